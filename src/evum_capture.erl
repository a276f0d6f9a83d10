%% SPDX-License-Identifier: Apache-2.0
%% @doc Captures: frames of a switch, a port or a machine as a pcapng file, which
%% Wireshark, tshark and tcpdump read. Their options, validated whole (pure), and
%% the calls behind {@link evum_switch:capture/2}.
%%
%% Options, a map or a property list:
%% <table>
%% <tr><td>`file'</td><td>where to: a path, whose folder has to exist. A file that
%%   is there is replaced; a named pipe has to have a reader. Has to be
%%   given</td></tr>
%% <tr><td>`filter'</td><td>only frames that it matches, pcap-filter(7). It sees the
%%   first 256 bytes of a frame. Default: `""', all</td></tr>
%% <tr><td>`snaplen'</td><td>bytes of a frame that are kept, 14 to 65535. Default:
%%   65535, all of it</td></tr>
%% <tr><td>`size', `seconds'</td><td>a ring of files: the next one begins once a
%%   file has so many bytes, or with a frame so many seconds after its first. They are numbered:
%%   `x.pcapng' becomes `x.00001.pcapng' and so on. Default: `infinity', one
%%   file</td></tr>
%% <tr><td>`files'</td><td>how many files a ring has; the oldest is removed. Default:
%%   10</td></tr>
%% <tr><td>`interface'</td><td>of a machine that has several, an atom or text.
%%   Default: the one that it has</td></tr>
%% </table>
%%
%% A switch's capture has each frame once, where it came in; a port's has what
%% came in and what went out. What Erlang makes, never came in: answers of DHCP,
%% frames of {@link evum_switch:inject/4}, and what a hook has made of a frame are
%% in captures of the ports alone that they go out at. `evum_net' writes it in a thread of its own; a frame
%% that finds its 16 MiB full is dropped and counted, so that the network never
%% waits for a disk. Each port is an interface of the file, with the name of the
%% machine behind it, or `portN'.
-module(evum_capture).

-export([start/2, stop/1, list/1, stream/3]).
-export([options/1]).

-export_type([target/0, options/0, capture/0, counts/0, info/0, error/0]).

-type target() :: pid() | {Switch :: pid(), evum_fdb:port_id()} | evum:machine().
-type options() :: #{atom() => term()} | [atom() | {atom(), term()}].
-opaque capture() :: {capture, Switch :: pid(), pos_integer(), file:name_all()}.
%% Frames that are in the file, or files (those that were removed included), and
%% those that should have been.
-type counts() :: #{written := non_neg_integer(), dropped := non_neg_integer()}.
-type info() :: #{
    capture := pos_integer(),
    state := running | ended | {failed, Errno :: atom()},
    written := non_neg_integer(),
    dropped := non_neg_integer()
}.
%% `bpf' has the words of libpcap's compiler. `capture' names the file and the
%% host's reason, such as `enoent', `eacces', `enospc', `enxio' (a pipe without a
%% reader), `emfile' (16 captures run already).
-type error() ::
    {bad_option, Key :: term(), Value :: term()}
    | {bpf, binary()}
    | {capture, file:name_all(), Errno :: atom()}
    | no_port
    | no_machine
    | no_switch.

%% evum_net's FRAME_MIN and FRAME_MAX
-define(SNAPLEN_MIN, 14).
-define(SNAPLEN_MAX, 65535).
-define(FILES, 10).
%% Numbers that evum_net takes.
-define(BYTES_MAX, 16#7fffffffffffffff).
-define(COUNT_MAX, 16#ffffffff).
%% PATH_MAX, with its NUL
-define(PATH_MAX, 4095).
%% evum_net has connected before it says so, ms.
-define(ACCEPT_TIMEOUT, 5000).

%% @doc See {@link evum_switch:capture/2}.
-spec start(target(), options()) -> {ok, capture()} | {error, error()}.
start(Target, Options) ->
    case options(Options) of
        {ok, #{file := File} = Given} ->
            case resolve(Target, Given) of
                {ok, Switch, Port} -> open(Switch, Port, {false, File}, Given);
                {error, _} = Error -> Error
            end;
        {ok, #{}} ->
            {error, {bad_option, file, undefined}};
        {error, _} = Error ->
            Error
    end.

open(Switch, Port, {IsSocket, Path}, Given) ->
    #{snaplen := Snaplen, filter := Filter, size := Size, seconds := Seconds, files := Files} = Given,
    Where = {IsSocket, Path, never(Size), never(Seconds), Files},
    case ask(Switch, capture, {Port, Snaplen, Filter, Where}) of
        {ok, Id} -> {ok, {capture, Switch, Id, Path}};
        {error, {port, enoent}} -> {error, no_port};
        {error, {capture, Errno}} -> {error, {capture, Path, Errno}};
        {error, _} = Error -> Error
    end.

never(infinity) -> 0;
never(N) -> N.

%% @doc See {@link evum_switch:stop_capture/1}.
-spec stop(capture()) -> {ok, counts()} | {error, {capture, file:name_all(), atom(), counts()} | no_capture | no_switch}.
stop({capture, Switch, Id, File}) ->
    case ask(Switch, capture_stop, Id) of
        {ok, {ok, Written, Dropped}} ->
            {ok, #{written => Written, dropped => Dropped}};
        {ok, {Errno, Written, Dropped}} ->
            {error, {capture, File, Errno, #{written => Written, dropped => Dropped}}};
        {error, {capture, enoent}} ->
            {error, no_capture};
        {error, _} = Error ->
            Error
    end.

%% @doc See {@link evum_switch:captures/1}.
-spec list(pid()) -> [info()] | {error, no_switch}.
list(Switch) ->
    case ask(Switch, captures, none) of
        {ok, Captures} ->
            [
                #{capture => Id, state => state(Runs, Errno), written => Written, dropped => Dropped}
             || {Id, Runs, Errno, Written, Dropped} <- lists:sort(Captures)
            ];
        {error, _} = Error ->
            Error
    end.

state(true, _) -> running;
state(false, ok) -> ended;
state(false, Errno) -> {failed, Errno}.

%% @doc Hand a capture to a function, piece by piece, as long as it goes on: until
%% the switch, the port or this process ends. Frames that come faster than the
%% function takes them are dropped and counted. Options as above but `file',
%% `size', `seconds' and `files'.
-spec stream(target(), options(), fun((binary()) -> ok)) -> {ok, counts()} | {error, error()}.
stream(Target, Options, Fun) ->
    case options(Options) of
        {ok, #{file := File}} ->
            {error, {bad_option, file, File}};
        {ok, Given} ->
            case resolve(Target, Given) of
                {ok, Switch, Port} -> stream(Switch, Port, Given, Fun);
                {error, _} = Error -> Error
            end;
        {error, _} = Error ->
            Error
    end.

%% evum_net connects to a socket of an abstract name: no file is left of it.
stream(Switch, Port, Given, Fun) ->
    Name = <<0, "evum-capture-", (binary:encode_hex(rand:bytes(16)))/binary>>,
    {ok, Listener} = gen_tcp:listen(0, [{ifaddr, {local, Name}}, binary, {active, false}]),
    try open(Switch, Port, {true, Name}, Given) of
        {ok, Capture} ->
            {ok, Socket} = accept(Listener),
            ok = receive_all(Socket, Fun),
            streamed(stop(Capture));
        {error, {capture, _, Errno}} ->
            {error, {capture, stream, Errno}};
        {error, _} = Error ->
            Error
    after
        gen_tcp:close(Listener)
    end.

%% Anybody on the host may connect to such a name.
accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener, ?ACCEPT_TIMEOUT),
    case evum_door:is_own_user(Socket) of
        true ->
            {ok, Socket};
        false ->
            ok = gen_tcp:close(Socket),
            accept(Listener)
    end.

receive_all(Socket, Fun) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Bytes} ->
            ok = Fun(Bytes),
            receive_all(Socket, Fun);
        {error, _} ->
            gen_tcp:close(Socket)
    end.

streamed({ok, _} = Ok) -> Ok;
streamed({error, {capture, _, Errno, _}}) -> {error, {capture, stream, Errno}};
streamed({error, _} = Error) -> Error.

ask(Switch, Op, Arg) ->
    try
        gen_server:call(Switch, {ask, Op, Arg}, infinity)
    catch
        exit:_ -> {error, no_switch}
    end.

%%% What is meant

resolve({Switch, Port}, _) when is_pid(Switch), is_integer(Port), Port > 0, Port =< ?COUNT_MAX ->
    {ok, Switch, Port};
resolve(Pid, Options) when is_pid(Pid) ->
    case proc_lib:translate_initial_call(Pid) of
        {evum_switch_server, init, 1} -> {ok, Pid, 0};
        _ -> resolve_machine(Pid, Options)
    end;
resolve(Name, Options) when is_atom(Name); is_binary(Name); is_list(Name) ->
    resolve_machine(Name, Options);
resolve(_, _) ->
    {error, no_machine}.

resolve_machine(Machine, Options) ->
    case evum:info(Machine) of
        #{interfaces := Interfaces, os_pid := OsPid} when is_integer(OsPid) ->
            case interface(Options, Interfaces) of
                {ok, #{switch := Path, mac := Mac}} -> port(evum_ctl:switch_at(Path), OsPid, Mac);
                {error, _} = Error -> Error
            end;
        _ ->
            {error, no_machine}
    end.

interface(#{interface := any}, [Interface]) ->
    {ok, Interface};
interface(#{interface := any}, Interfaces) ->
    {error, {bad_option, interface, [Name || #{name := Name} <- Interfaces]}};
interface(#{interface := Wanted}, Interfaces) ->
    case [Interface || #{name := Name} = Interface <- Interfaces, iolist_to_binary(Name) =:= Wanted] of
        [Interface] -> {ok, Interface};
        [] -> {error, {bad_option, interface, Wanted}}
    end.

%% By its processes; of several ports of one machine, the one that its address was
%% heard of at.
port({ok, Switch}, OsPid, Mac) ->
    {ok, Machine, _} = evum_registry:machine(OsPid),
    Own = [
        Id
     || #{id := Id, peer := Peer} <- evum_switch:ports(Switch),
        {ok, Pid, _} <- [evum_registry:machine(Peer)],
        Pid =:= Machine
    ],
    case Own of
        [Port] ->
            {ok, Switch, Port};
        Ports ->
            Heard = [
                Port
             || #{mac := Text, port := Port} <- evum_switch:fdb(Switch),
                lists:member(Port, Ports),
                evum_mac:parse(Text) =:= evum_mac:parse(Mac)
            ],
            case Heard of
                [Port | _] -> {ok, Switch, Port};
                [] -> {error, no_port}
            end
    end;
port({error, _}, _, _) ->
    {error, no_switch}.

%%% Options

%% @doc All options, checked, with defaults. `file' is there where it was given.
-spec options(options()) -> {ok, map()} | {error, {bad_option, term(), term()}}.
options(Options) ->
    try
        Given = maps:map(fun option/2, to_map(Options)),
        {ok, maps:merge(defaults(), Given)}
    catch
        throw:{bad_option, _, _} = Error -> {error, Error}
    end.

defaults() ->
    #{
        filter => <<>>,
        snaplen => ?SNAPLEN_MAX,
        size => infinity,
        seconds => infinity,
        files => ?FILES,
        interface => any
    }.

to_map(Options) when is_map(Options) ->
    Options;
to_map(Options) when is_list(Options) ->
    try
        maps:from_list(lists:reverse(proplists:unfold(Options)))
    catch
        error:_ -> throw({bad_option, options, Options})
    end;
to_map(Options) ->
    throw({bad_option, options, Options}).

option(file, Path) ->
    case text(Path, file:native_name_encoding()) of
        {ok, Bytes} ->
            case filename:absname(Bytes) of
                Whole when byte_size(Whole) =< ?PATH_MAX -> Whole;
                _ -> throw({bad_option, file, Path})
            end;
        error ->
            throw({bad_option, file, Path})
    end;
option(filter, <<>>) ->
    <<>>;
option(filter, "") ->
    <<>>;
option(filter, Text) ->
    given(filter, Text);
option(interface, Name) when is_atom(Name) ->
    atom_to_binary(Name);
option(interface, Name) ->
    given(interface, Name);
option(snaplen, N) when is_integer(N), N >= ?SNAPLEN_MIN, N =< ?SNAPLEN_MAX ->
    N;
option(size, N) when is_integer(N), N > 0, N =< ?BYTES_MAX ->
    N;
option(seconds, N) when is_integer(N), N > 0, N =< ?COUNT_MAX ->
    N;
option(Key, infinity) when Key =:= size; Key =:= seconds ->
    infinity;
option(files, N) when is_integer(N), N > 0, N =< ?COUNT_MAX ->
    N;
option(Key, Value) ->
    throw({bad_option, Key, Value}).

given(Key, Value) ->
    case text(Value, unicode) of
        {ok, Bytes} -> Bytes;
        error -> throw({bad_option, Key, Value})
    end.

%% Bytes without a NUL.
text(Text, _) when is_binary(Text), Text =/= <<>> ->
    no_nul(Text);
text(Text, Encoding) when is_list(Text), Text =/= [] ->
    try unicode:characters_to_binary(Text, unicode, Encoding) of
        Bytes when is_binary(Bytes) -> no_nul(Bytes);
        _ -> error
    catch
        error:badarg -> error
    end;
text(_, _) ->
    error.

no_nul(Bytes) ->
    case binary:match(Bytes, <<0>>) of
        nomatch -> {ok, Bytes};
        _ -> error
    end.
