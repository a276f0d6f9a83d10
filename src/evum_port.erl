%% SPDX-License-Identifier: Apache-2.0
%% @doc The BEAM's end of a port program: framing, requests and credits.
%%
%% `doc/port-protocol.md' describes the protocol; `c_src/lib/port.h' is its
%% other end. A request is answered by a message, never awaited here.
-module(evum_port).

-export([open/1, open/2, request/4, reply/3, event/3, data/2, credit/2, decode/1, close/1]).
-export([second/2, second_credit/2]).
-export([find_program/1]).

-export_type([message/0, peer/0]).

-define(KIND_DATA, 1).
-define(KIND_CREDIT, 2).
-define(KIND_SECOND, 3).
-define(KIND_SECOND_CREDIT, 4).
-define(KIND_TERM, 131).

%% A port program, or one that somebody else has started and that is at the
%% other end of a socket with `{packet, 4}'.
-type peer() :: port() | {socket, gen_tcp:socket()}.
-type message() ::
    {reply, Id :: non_neg_integer(), ok | {ok, term()} | {error, term()}}
    | {event, Name :: atom(), Detail :: term()}
    | {data, binary()}
    | {second, binary()}
    | {error, malformed}.

%% @equiv open(Program, [])
-spec open(string()) -> {ok, port()} | {error, {no_program, file:filename_all()}}.
open(Program) ->
    open(Program, []).

%% @doc Start a port program of this application, by its name in `priv', with
%% arguments. The caller owns the port and receives its messages.
-spec open(string(), [string()]) -> {ok, port()} | {error, {no_program, file:filename_all()}}.
open(Program, Args) ->
    Path = find_program(Program),
    try
        {ok,
            erlang:open_port(
                {spawn_executable, Path},
                [{packet, 4}, binary, exit_status, use_stdio, {args, Args}]
            )}
    catch
        error:_ -> {error, {no_program, Path}}
    end.

%% @doc The path of a program that the build has put into `priv'.
-spec find_program(string()) -> file:filename().
find_program(Program) ->
    filename:join(code:priv_dir(evum), Program).

%% @doc Send a request; its answer carries `Id'.
-spec request(peer(), non_neg_integer(), atom(), term()) -> ok.
request(Port, Id, Op, Arg) ->
    command(Port, term_to_binary({Id, Op, Arg})).

%% @doc Answer a request of a program at the other end of a socket.
-spec reply(peer(), non_neg_integer(), {ok | error, binary()} | {exit, byte()}) -> ok.
reply(Peer, Id, Result) ->
    command(Peer, term_to_binary({reply, Id, Result})).

%% @doc Tell a program at the other end of a socket of something.
-spec event(peer(), atom(), binary()) -> ok.
event(Peer, Name, Detail) ->
    command(Peer, term_to_binary({event, Name, Detail})).

%% @doc Send raw data.
-spec data(peer(), iodata()) -> ok.
data(Port, Data) ->
    command(Port, [?KIND_DATA | Data]).

%% @doc Let the program send so many more bytes of data.
-spec credit(peer(), non_neg_integer()) -> ok.
credit(_Port, 0) ->
    ok;
credit(Port, Bytes) ->
    command(Port, <<?KIND_CREDIT, Bytes:32>>).

%% @doc Send raw data on the second channel of a program that has one.
-spec second(port(), iodata()) -> ok.
second(Port, Data) ->
    command(Port, [?KIND_SECOND | Data]).

%% @doc Let the program send so many more bytes on its second channel.
-spec second_credit(port(), pos_integer()) -> ok.
second_credit(Port, Bytes) ->
    command(Port, <<?KIND_SECOND_CREDIT, Bytes:32>>).

%% @doc Decode what a port program has sent.
-spec decode(binary()) -> message().
decode(<<?KIND_DATA, Data/binary>>) ->
    {data, Data};
decode(<<?KIND_SECOND, Data/binary>>) ->
    {second, Data};
decode(<<?KIND_TERM, _/binary>> = Packet) ->
    %% Not `safe': the program's atoms are its own literals and the names of
    %% errnos, and the BEAM need not know each of those before.
    try binary_to_term(Packet) of
        {reply, Id, _} = Reply when is_integer(Id) -> Reply;
        {event, Name, _} = Event when is_atom(Name) -> Event;
        _ -> {error, malformed}
    catch
        error:badarg -> {error, malformed}
    end;
decode(_) ->
    {error, malformed}.

%% @doc Close the port; the program sees the end of its stdin, and ends.
-spec close(peer()) -> ok.
close({socket, Socket}) ->
    gen_tcp:close(Socket);
close(Port) ->
    try erlang:port_close(Port) of
        true -> ok
    catch
        error:badarg -> ok
    end.

%% A program that has just died leaves a closed port behind; its owner learns
%% so from the exit status that is on its way.
command({socket, Socket}, Data) ->
    %% the same is told of a socket by its end
    _ = gen_tcp:send(Socket, Data),
    ok;
command(Port, Data) ->
    try erlang:port_command(Port, Data) of
        true -> ok
    catch
        error:badarg -> ok
    end.
