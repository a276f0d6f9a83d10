%% SPDX-License-Identifier: Apache-2.0
%% @doc Files that keep what a machine writes: ext4 filesystems, as sparse as
%% what is in them, made where there is none.
-module(evum_disk).

-export([ensure/1]).

-export_type([reason/0]).

%% What evum_image:probe/2 looks at, bytes.
-define(HEAD, 2048).

-type reason() ::
    {bad_option, disk, {file, binary(), pos_integer()}}
    | {disk, binary(), file:posix() | evum_command:reason()}.

%% @doc Make the disk of a machine, where it has one and that is not there yet.
%% One that is there must be an ext4 of the size that is asked for.
-spec ensure(evum_machine:machine()) -> ok | {error, reason()}.
ensure(#{disk := {file, Path, MiB} = Disk}) ->
    case file:open(Path, [read, raw, binary]) of
        {ok, Fd} ->
            Head = file:pread(Fd, 0, ?HEAD),
            ok = file:close(Fd),
            check(Head, filelib:file_size(Path), Disk);
        {error, enoent} ->
            make(Path, MiB);
        {error, Posix} ->
            {error, {disk, Path, Posix}}
    end;
ensure(_Machine) ->
    ok.

check({ok, Head}, Size, {file, _, MiB} = Disk) when Size =:= MiB bsl 20 ->
    case evum_image:probe(Head, Size) of
        {ok, #{type := ext4}} -> ok;
        _ -> {error, {bad_option, disk, Disk}}
    end;
check(_Head, _Size, Disk) ->
    {error, {bad_option, disk, Disk}}.

%% Whole or not at all: it gets its name when it is a filesystem. A link does
%% not replace what somebody else has made meanwhile.
make(Path, MiB) ->
    New = <<Path/binary, ".", (list_to_binary(os:getpid()))/binary, "-",
        (integer_to_binary(erlang:unique_integer([positive])))/binary>>,
    Size = integer_to_list(MiB) ++ "M",
    Made = evum_command:run("mke2fs", ["-q", "-t", "ext4", "-m", "0", New, Size], #{}),
    Linked =
        case Made of
            {ok, _} -> file:make_link(New, Path);
            {error, _} -> Made
        end,
    _ = file:delete(New),
    case Linked of
        ok -> ok;
        {error, eexist} -> ok;
        {error, Reason} -> {error, {disk, Path, Reason}}
    end.
