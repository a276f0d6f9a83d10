%% SPDX-License-Identifier: Apache-2.0
%% @doc Images: the root filesystems of machines.
%%
%% <table>
%% <tr><td>`host'</td><td>the host's own files</td></tr>
%% <tr><td>`tiny'</td><td>busybox alone, in the machine's memory</td></tr>
%% <tr><td>`debian', `erlang'</td><td>what `make images' has put into
%%   `priv/images'</td></tr>
%% <tr><td>another name</td><td>what {@link import/2} has made</td></tr>
%% <tr><td>a path, with a slash in it</td><td>a squashfs, an ext4 or a folder of
%%   the user's</td></tr>
%% </table>
%%
%% A machine reads its image and never writes to it: all machines that have the
%% same one share its file, and the host's memory that caches it.
-module(evum_image).

-export([list/0, info/1, verify/1, import/2]).
-export([probe/2, needs/1]).

-export_type([image/0, name/0, reason/0]).

%% What tells a filesystem is at its beginning, bytes.
-define(HEAD, 2048).

-type name() :: atom() | string() | binary().
-type image() :: #{
    name := host | tiny | binary(),
    type := host | tiny | folder | squashfs | ext4,
    %% of a file or folder; tiny's is the initramfs
    path := binary(),
    origin := system | built | imported | path,
    %% of its file
    bytes => non_neg_integer(),
    %% of a squashfs
    compression => binary(),
    %% as it was made, SHA-256 in hexadecimal
    sha256 => binary(),
    %% the other lines that tell where it came from
    info => #{binary() => binary()}
}.
-type reason() ::
    {no_image, name(), Hint :: string()}
    | {not_an_image, file:filename_all()}
    | {truncated, file:filename_all(), Bytes :: non_neg_integer(), Wanted :: pos_integer()}
    | {checksum, file:filename_all()}
    | {no_checksum, file:filename_all()}
    | {bad_name, name()}
    | evum_import:reason()
    | {file:filename_all(), Posix :: atom()}.

%% @doc The images that have a name.
-spec list() -> [image()].
list() ->
    Files = [F || Dir <- [built(), imported()], F <- filelib:wildcard(Dir ++ "/*.squashfs")],
    Names = lists:usort([filename:basename(F, ".squashfs") || F <- Files]),
    [Image || Name <- [host, tiny | Names], {ok, Image} <- [info(Name)]].

%% @doc What evum knows of an image. Its file is looked at, but not read
%% through: see {@link verify/1}.
-spec info(name()) -> {ok, image()} | {error, reason()}.
info(host) ->
    {ok, #{name => host, type => host, path => <<"/">>, origin => system}};
info(tiny) ->
    Path = unicode:characters_to_binary(filename:absname(evum_port:find_program("tiny.cpio"))),
    {ok, #{
        name => tiny, type => tiny, path => Path, origin => built, bytes => filelib:file_size(Path)
    }};
info(Name) when is_atom(Name) ->
    info(atom_to_binary(Name));
info(Name) ->
    case unicode:characters_to_binary(Name) of
        <<"host">> -> info(host);
        <<"tiny">> -> info(tiny);
        Text when is_binary(Text) -> named(Text, binary:match(Text, <<"/">>));
        _ -> {error, {no_image, Name, hint(Name)}}
    end.

named(Path, {_, _}) ->
    at(filename:absname(Path), filename:absname(Path), path);
named(Name, nomatch) ->
    File = <<Name/binary, ".squashfs">>,
    Built = filename:join(built(), File),
    Imported = filename:join(imported(), File),
    case {filelib:is_regular(Built), filelib:is_regular(Imported)} of
        {true, _} -> at(Name, unicode:characters_to_binary(Built), built);
        {_, true} -> at(Name, unicode:characters_to_binary(Imported), imported);
        _ -> {error, {no_image, Name, hint(Name)}}
    end.

hint(<<"debian">>) -> "make image-debian";
hint(<<"erlang">>) -> "make image-erlang";
hint(_) -> "evum_image:import/2; a path has a slash in it".

built() -> filename:absname(evum_port:find_program("images")).

%% Not a cache: nobody can make them again.
imported() ->
    case {os:getenv("XDG_DATA_HOME", ""), os:getenv("HOME", "")} of
        {"", Home} -> filename:join([Home, ".local", "share", "evum", "images"]);
        {Data, _} -> filename:join([Data, "evum", "images"])
    end.

at(Name, Path, Origin) ->
    case filelib:is_dir(Path) of
        true ->
            {ok, #{name => Name, type => folder, path => Path, origin => Origin}};
        false ->
            case head(Path) of
                {ok, Head, Size} -> examine(Name, Path, Origin, probe(Head, Size), Size);
                {error, Posix} -> {error, {Path, Posix}}
            end
    end.

examine(Name, Path, Origin, {ok, What}, Size) ->
    Info = info_file(Path),
    Image = What#{name => Name, path => Path, origin => Origin, bytes => Size, info => Info},
    {ok,
        case Info of
            #{<<"sha256">> := Sum} -> Image#{sha256 => Sum};
            _ -> Image
        end};
examine(_Name, Path, _Origin, {error, {truncated, Wanted}}, Size) ->
    {error, {truncated, Path, Size, Wanted}};
examine(_Name, Path, _Origin, {error, not_an_image}, _Size) ->
    {error, {not_an_image, Path}}.

head(Path) ->
    case file:open(Path, [read, raw, binary]) of
        {ok, Fd} ->
            try
                {ok, Head} = file:pread(Fd, 0, ?HEAD),
                {ok, Head, filelib:file_size(Path)}
            catch
                error:{badmatch, eof} -> {ok, <<>>, 0};
                error:{badmatch, {error, Posix}} -> {error, Posix}
            after
                file:close(Fd)
            end;
        {error, Posix} ->
            {error, Posix}
    end.

%% What rootfs/build and import/2 leave beside an image: lines of key=value.
info_file(Path) ->
    case file:read_file(<<Path/binary, ".info">>) of
        {ok, Text} ->
            maps:from_list([
                {Key, Value}
             || Line <- binary:split(Text, <<"\n">>, [global, trim_all]),
                [Key, Value] <- [binary:split(Line, <<"=">>)]
            ]);
        {error, _} ->
            #{}
    end.

%% @doc Tell a filesystem by its first 2048 bytes, and whether all of it is there.
-spec probe(Head :: binary(), Size :: non_neg_integer()) ->
    {ok, #{type := squashfs | ext4, compression => binary()}}
    | {error, not_an_image | {truncated, pos_integer()}}.
%% fs/squashfs/squashfs_fs.h, struct squashfs_super_block
probe(
    <<"hsqs", _:16/binary, Compression:16/little, _:6/binary, 4:16/little, _:10/binary,
        Used:64/little, _/binary>>,
    Size
) ->
    case Used =< Size of
        true -> {ok, #{type => squashfs, compression => compression(Compression)}};
        false -> {error, {truncated, Used}}
    end;
%% fs/ext4/ext4.h, struct ext4_super_block
probe(
    <<_:1028/binary, BlocksLow:32/little, _:16/binary, LogBlock:32/little, _:28/binary,
        16#ef53:16/little, _:38/binary, Incompatible:32/little, _:236/binary, BlocksHigh:32/little,
        _/binary>>,
    Size
) when LogBlock =< 6 ->
    High =
        case Incompatible band 16#80 of
            0 -> 0;
            _ -> BlocksHigh
        end,
    case ((High bsl 32) + BlocksLow) bsl (10 + LogBlock) of
        Wanted when Wanted =< Size -> {ok, #{type => ext4}};
        Wanted -> {error, {truncated, Wanted}}
    end;
probe(<<"hsqs", _/binary>>, Size) when Size < 96 ->
    {error, {truncated, 96}};
probe(_Head, _Size) ->
    {error, not_an_image}.

compression(1) -> <<"zlib">>;
compression(2) -> <<"lzma">>;
compression(3) -> <<"lzo">>;
compression(4) -> <<"xz">>;
compression(5) -> <<"lz4">>;
compression(6) -> <<"zstd">>;
compression(_) -> <<"unknown">>.

%% @doc What a kernel must have for an image, as Kconfig calls it.
-spec needs(image()) -> [binary()].
needs(#{type := squashfs, compression := Name}) ->
    [<<"SQUASHFS">>, <<"SQUASHFS_", (string:uppercase(Name))/binary>>];
needs(#{type := ext4}) ->
    [<<"EXT4_FS">>];
needs(_) ->
    [].

%% @doc Read an image through and compare it with what it was when it was made.
%% Images that evum has not made have no checksum.
-spec verify(name()) -> ok | {error, reason()}.
verify(Name) ->
    case info(Name) of
        {ok, #{sha256 := Sum, path := Path}} ->
            case checksum(Path) of
                {ok, Sum} -> ok;
                {ok, _} -> {error, {checksum, Path}};
                {error, Posix} -> {error, {Path, Posix}}
            end;
        {ok, #{path := Path}} ->
            {error, {no_checksum, Path}};
        {error, _} = Error ->
            Error
    end.

%% By a program, so that no scheduler of the BEAM is busy with it for seconds.
checksum(Path) ->
    case evum_command:run("sha256sum", ["-b", "--", Path], #{}) of
        {ok, <<Sum:64/binary, _/binary>>} -> {ok, Sum};
        {error, {exit_status, _, _}} -> {error, eio};
        {error, _} -> {error, enoent}
    end.

%% @doc Make an image of a tar and give it a name, for option `image'. The tar is
%% one of a root filesystem, such as `docker export' writes, or of layers: `docker
%% save', or an OCI image layout; as it is, or packed with gzip. It must hold a
%% shell, `/bin/bash' or `/bin/sh', for x86-64. An image that was imported under
%% this name before is replaced; machines that have it keep the old one.
-spec import(file:filename_all(), name()) -> {ok, image()} | {error, reason()}.
import(Tar, Name) ->
    case import_name(Name) of
        {ok, Text} ->
            Out = unicode:characters_to_binary(filename:join(imported(), <<Text/binary, ".squashfs">>)),
            _ = filelib:ensure_dir(Out),
            New = <<Out/binary, ".", (integer_to_binary(erlang:unique_integer([positive])))/binary, "-",
                (list_to_binary(os:getpid()))/binary>>,
            import(filename:absname(Tar), Text, New, Out);
        error ->
            {error, {bad_name, Name}}
    end.

import(Tar, Name, New, Out) ->
    Source = bytes(Tar),
    case evum_import:run(Source, New) of
        ok ->
            {ok, Sum} = checksum(New),
            Info = ["image=", Name, "\nsource=", Source, "\nsha256=", Sum, "\n"],
            ok = file:write_file(<<New/binary, ".info">>, Info),
            ok = file:rename(<<New/binary, ".info">>, <<Out/binary, ".info">>),
            ok = file:rename(New, Out),
            info(Name);
        {error, _} = Error ->
            Error
    end.

%% Names of files need not be UTF-8.
bytes(Path) when is_binary(Path) -> Path;
bytes(Path) -> unicode:characters_to_binary(Path).

%% Not one that stands for something else.
import_name(Name) when is_atom(Name) ->
    import_name(atom_to_binary(Name));
import_name(Name) ->
    Pattern = "^(?!(host|tiny|debian|erlang)$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    try unicode:characters_to_binary(Name) of
        Text when is_binary(Text) ->
            case re:run(Text, Pattern, [{capture, none}]) of
                match -> {ok, Text};
                nomatch -> error
            end;
        _ ->
            error
    catch
        error:badarg -> error
    end.
