%% SPDX-License-Identifier: Apache-2.0
%% @doc Makes a squashfs of a tar: of a root filesystem as `docker export' writes
%% it, or of layers as `docker save' and the OCI image layout have them.
%%
%% Nothing of the archive is unpacked on the host. Its entries are read
%% ({@link evum_tar}), put over one another ({@link evum_layers}) and written
%% as one new archive, which tar2sqfs makes into an image; so no name, link or
%% device in there can touch what is not the image's.
-module(evum_import).

-export([run/2]).

-export_type([reason/0]).

%% What layers that are compressed unpack to, all together, bytes.
-define(UNPACKED_MAX, (16 bsl 30)).
-define(PIECE, (1 bsl 20)).
%% A manifest, bytes.
-define(JSON_MAX, (4 bsl 20)).
-define(LAYERS_MAX, 256).
%% Indexes within one another; digests are not checked, so one may name itself.
-define(INDEXES_MAX, 8).
%% Of an ELF file (elf(5)): what tells the machine, and x86-64.
-define(ELF_HEAD, 20).
-define(EM_X86_64, 62).

-type reason() ::
    evum_tar:reason()
    | {Tar :: binary(), Posix :: atom()}
    %% of whose layers it is not clear which
    | {not_one_image, Count :: non_neg_integer()}
    | {no_layer, Name :: binary()}
    | {compression, binary()}
    | {too_large, Bytes :: pos_integer()}
    | {no_init, Paths :: [string()]}
    | {architecture, Path :: string(), ElfMachine :: non_neg_integer()}
    | evum_command:reason().

%% @doc Make the squashfs `Out' of a tar, in the folder that it is to be in, where
%% a folder `Out.import' comes and goes.
-spec run(binary(), binary()) -> ok | {error, reason()}.
run(Tar, Out) ->
    Work = <<Out/binary, ".import">>,
    _ = file:del_dir_r(Work),
    Opened = ets:new(?MODULE, [bag, private]),
    try
        ok = filelib:ensure_path(Work),
        import(Tar, Out, Work, Opened)
    catch
        throw:Reason -> {error, Reason};
        error:{badmatch, {error, Reason}} -> {error, {Out, Reason}}
    after
        _ = [file:close(Fd) || {fd, Fd} <- ets:tab2list(Opened)],
        ets:delete(Opened),
        _ = file:del_dir_r(Work)
    end.

import(Tar, Out, Work, Opened) ->
    Outer = plain(open(Tar, Opened), Work, Opened),
    Layers = [plain(Layer, Work, Opened) || Layer <- layers(Outer)],
    Indexes = [index(Layer) || Layer <- Layers],
    Items =
        case evum_layers:merge(Indexes) of
            {ok, Merged} -> Merged;
            {error, Reason} -> throw(Reason)
        end,
    check_program(Items, Layers),
    Merged1 = <<Work/binary, "/merged.tar">>,
    write(Merged1, Items, Layers),
    Made = <<Work/binary, "/image">>,
    case evum_command:run("tar2sqfs", ["-q", "-s", "-c", "zstd", Made], #{stdin => Merged1}) of
        {ok, _} -> ok = file:rename(Made, Out);
        {error, Why} -> throw(Why)
    end.

%%% Files: {Fd, Offset, Size} -------------------------------------------------

open(Path, Opened) ->
    case file:open(Path, [read, raw, binary]) of
        {ok, Fd} ->
            true = ets:insert(Opened, {fd, Fd}),
            {Fd, 0, filelib:file_size(Path)};
        {error, Posix} ->
            throw({Path, Posix})
    end.

read({_Fd, _Base, Size}, Offset, _Length) when Offset >= Size -> <<>>;
read({Fd, Base, Size}, Offset, Length) ->
    case file:pread(Fd, Base + Offset, min(Length, Size - Offset)) of
        {ok, Bytes} -> Bytes;
        eof -> <<>>;
        {error, Posix} -> throw({<<"read">>, Posix})
    end.

index(File) ->
    case evum_tar:index(fun(Offset, Length) -> read(File, Offset, Length) end) of
        {ok, Entries} -> Entries;
        {error, Reason} -> throw(Reason)
    end.

%% An archive as it is, whatever packed it.
plain(File, Work, Opened) ->
    case read(File, 0, 4) of
        <<16#1f, 16#8b, _/binary>> -> gunzip(File, Work, Opened);
        <<16#28, 16#b5, 16#2f, 16#fd>> -> throw({compression, <<"zstd">>});
        <<16#fd, "7zX">> -> throw({compression, <<"xz">>});
        <<"BZh", _>> -> throw({compression, <<"bzip2">>});
        _ -> File
    end.

gunzip(File, Work, Opened) ->
    Number = integer_to_binary(erlang:unique_integer([positive])),
    Path = <<Work/binary, "/", Number/binary>>,
    {ok, Out} = file:open(Path, [write, raw, binary]),
    Z = zlib:open(),
    try
        ok = zlib:inflateInit(Z, 31),
        inflate(File, 0, Z, Out, Opened)
    catch
        error:Why when Why =:= data_error; Why =:= buf_error; Why =:= stream_error ->
            throw({compression, <<"gzip">>})
    after
        zlib:close(Z),
        file:close(Out)
    end,
    open(Path, Opened).

inflate(File, Offset, Z, Out, Opened) ->
    case read(File, Offset, ?PIECE) of
        <<>> ->
            %% An error where the stream is cut off
            zlib:inflateEnd(Z);
        Bytes ->
            drain(zlib:safeInflate(Z, Bytes), Z, Out, Opened),
            inflate(File, Offset + byte_size(Bytes), Z, Out, Opened)
    end.

%% Piece by piece, so that no few bytes become all of the memory or the disk.
drain({Tag, Data}, Z, Out, Opened) ->
    Unpacked = lists:sum([N || {unpacked, N} <- ets:lookup(Opened, unpacked)]) + iolist_size(Data),
    Unpacked =< ?UNPACKED_MAX orelse throw({too_large, Unpacked}),
    true = ets:delete(Opened, unpacked),
    true = ets:insert(Opened, {unpacked, Unpacked}),
    ok = file:write(Out, Data),
    case Tag of
        continue -> drain(zlib:safeInflate(Z, []), Z, Out, Opened);
        finished -> ok
    end.

%%% Layers --------------------------------------------------------------------

%% The lowest first.
layers(Outer) ->
    Entries = maps:from_list([{Name, Entry} || #{name := Name} = Entry <- index(Outer)]),
    case Entries of
        #{<<"manifest.json">> := Entry} ->
            docker(json(Entry, Outer), Entries, Outer);
        #{<<"index.json">> := Entry, <<"oci-layout">> := _} ->
            oci(json(Entry, Outer), Entries, Outer, ?INDEXES_MAX);
        _ ->
            [Outer]
    end.

%% `docker save'
docker([#{<<"Layers">> := Names}], Entries, Outer) when
    is_list(Names), length(Names) =< ?LAYERS_MAX
->
    [layer(Name, Entries, Outer) || Name <- Names];
docker(Images, _Entries, _Outer) ->
    throw({not_one_image, count(Images)}).

%% OCI image specification, image-layout.md: an index of manifests, or of
%% indexes of them, for several machines.
oci(#{<<"manifests">> := Manifests}, Entries, Outer, Indexes) when is_list(Manifests), Indexes > 0 ->
    case [M || M <- Manifests, is_for_us(M)] of
        [#{<<"digest">> := Digest}] -> oci(json(blob(Digest, Entries), Outer), Entries, Outer, Indexes - 1);
        Several -> throw({not_one_image, length(Several)})
    end;
oci(#{<<"layers">> := Layers}, Entries, Outer, _Indexes) when
    is_list(Layers), length(Layers) =< ?LAYERS_MAX
->
    [part(blob(Digest, Entries), Outer) || #{<<"digest">> := Digest} <- Layers];
oci(Other, _Entries, _Outer, _Indexes) ->
    throw({not_one_image, count(Other)}).

is_for_us(#{<<"platform">> := #{<<"architecture">> := Machine}}) -> Machine =:= <<"amd64">>;
is_for_us(_) -> true.

count(List) when is_list(List) -> length(List);
count(_) -> 0.

blob(Digest, Entries) when is_binary(Digest) ->
    Name = <<"blobs/", (binary:replace(Digest, <<":">>, <<"/">>))/binary>>,
    case Entries of
        #{Name := Entry} -> Entry;
        _ -> throw({no_layer, Digest})
    end;
blob(_Digest, _Entries) ->
    throw({no_layer, <<>>}).

%% Old archives have a layer once, and links to it.
layer(Name, Entries, Outer) when is_binary(Name) ->
    case Entries of
        #{Name := #{type := file} = Entry} ->
            part(Entry, Outer);
        #{Name := #{type := symlink, link := Link}} ->
            Target = normal(filename:join(filename:dirname(Name), Link)),
            case Entries of
                #{Target := #{type := file} = Entry} -> part(Entry, Outer);
                _ -> throw({no_layer, Name})
            end;
        _ ->
            throw({no_layer, Name})
    end;
layer(_Name, _Entries, _Outer) ->
    throw({no_layer, <<>>}).

normal(Path) ->
    Parts = lists:foldl(
        fun
            (<<"..">>, [_ | Up]) -> Up;
            (Part, Acc) -> [Part | Acc]
        end,
        [],
        filename:split(Path)
    ),
    iolist_to_binary(lists:join($/, lists:reverse(Parts))).

part(#{offset := Offset, size := Size}, {Fd, Base, _}) ->
    {Fd, Base + Offset, Size}.

json(#{size := Size} = Entry, Outer) when Size =< ?JSON_MAX ->
    case evum_json:decode(read(part(Entry, Outer), 0, max(Size, 1))) of
        {ok, Value} -> Value;
        error -> throw({malformed, maps:get(offset, Entry)})
    end;
json(#{offset := Offset}, _Outer) ->
    throw({malformed, Offset}).

%%% What comes of them -----------------------------------------------------------

%% A shell for this machine's processor, or there is nothing to start.
check_program(Items, Layers) ->
    Paths = ["bin/bash", "bin/sh"],
    Found = [{P, Item} || P <- Paths, {ok, Item} <- [evum_layers:resolve(list_to_binary(P), Items)]],
    case Found of
        [] ->
            throw({no_init, Paths});
        [{Path, {N, Entry}} | _] ->
            {Fd, Base, _} = lists:nth(N, Layers),
            #{offset := Offset, size := Size} = Entry,
            case read({Fd, Base + Offset, Size}, 0, ?ELF_HEAD) of
                <<127, "ELF", _:14/binary, Machine:16/little>> when Machine =/= ?EM_X86_64 ->
                    throw({architecture, Path, Machine});
                _ ->
                    ok
            end
    end.

write(Path, Items, Layers) ->
    {ok, Out} = file:open(Path, [write, raw, binary, {delayed_write, ?PIECE, 1000}]),
    try
        lists:foreach(
            fun({N, Entry}) ->
                ok = file:write(Out, evum_tar:header(Entry)),
                copy(Entry, lists:nth(N, Layers), Out)
            end,
            Items
        ),
        ok = file:write(Out, evum_tar:finish())
    after
        file:close(Out)
    end.

copy(#{type := file, offset := Offset, size := Size}, {Fd, Base, _}, Out) ->
    copy_bytes({Fd, Base + Offset, Size}, 0, Out),
    ok = file:write(Out, evum_tar:padding(Size));
copy(_Entry, _Layer, _Out) ->
    ok.

copy_bytes(File, Offset, Out) ->
    case read(File, Offset, ?PIECE) of
        <<>> ->
            ok;
        Bytes ->
            ok = file:write(Out, Bytes),
            copy_bytes(File, Offset + byte_size(Bytes), Out)
    end.
