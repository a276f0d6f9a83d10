%% SPDX-License-Identifier: Apache-2.0
%% @doc A terminal that shows a machine's console: a process for each.
%%
%% The terminal is at the other end of `evum_attach', a C program that makes it
%% raw and puts it back; it speaks the port protocol. It is a port program where
%% this is called from an Erlang shell, and the client of {@link evum_door} where
%% somebody has typed `evum console NAME'. What the console shows goes there as it
%% comes; what is typed goes to the guest, but for the key that leaves.
-module(evum_attach).
-behaviour(gen_server).

-export([shell/1, socket/2, start_link/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([error/0]).

%% Ctrl-], as in telnet and virsh.
-define(LEAVE, 29).
%% Bytes typed that are under way between evum_attach and here.
-define(WINDOW, 4096).
%% When the console has no room for what is typed: try again after that, ms.
-define(FULL_WAIT, 50).

%% A program that is to leave its terminal has ended by then, ms.
-define(LEAVE_TIMEOUT, 1000).
%% Typed ahead of what the console takes, bytes; more is dropped.
-define(TYPED_MAX, 1048576).

-type error() ::
    no_machine
    | no_terminal
    | too_slow
    | {ended, Reason :: term()}
    | {no_program, file:filename_all()}
    | {evum_attach, Status :: term()}.
-type terminal() :: {path, string()} | {socket, gen_tcp:socket()}.

%% CONSOLE_COLUMNS and CONSOLE_ROWS of c_src/init/console.c: what the console has
%% while no terminal is attached.
-define(COLUMNS, 512).
-define(ROWS, 24).

-record(state, {
    machine :: pid(),
    %% who waits for the end of this, and must not keep the console waiting
    caller :: pid(),
    terminal :: terminal(),
    peer :: evum_port:peer() | undefined,
    stream :: reference() | undefined,
    %% typed, and not yet taken by the console
    typed = <<>> :: binary(),
    waiting = false :: boolean(),
    %% why, once it is leaving
    leaving :: undefined | normal | {shutdown, error()},
    resized = false :: boolean()
}).

%% @doc Show a machine's console on the terminal of the calling Erlang shell,
%% until the key that leaves is pressed.
-spec shell(pid()) -> ok | {error, error()}.
shell(Machine) ->
    case evum_tty:take() of
        {ok, Tty, Path} ->
            try
                run(Machine, {path, Path}, fun(Pid) -> evum_tty:forward(Tty, Pid) end)
            after
                evum_tty:return(Tty)
            end;
        {error, no_terminal} = Error ->
            Error
    end.

%% @doc Show a machine's console at the other end of a socket, whose owner calls.
-spec socket(pid(), gen_tcp:socket()) -> ok | {error, error()}.
socket(Machine, Socket) ->
    run(Machine, {socket, Socket}, fun(Pid) -> gen_tcp:controlling_process(Socket, Pid) end).

run(Machine, Terminal, Give) ->
    {ok, Pid} = supervisor:start_child(evum_attach_sup, [{Machine, self(), Terminal}]),
    Ref = monitor(process, Pid),
    ok = Give(Pid),
    ok = gen_server:cast(Pid, open),
    receive
        {'DOWN', Ref, process, _, normal} -> ok;
        {'DOWN', Ref, process, _, {shutdown, Reason}} -> {error, Reason};
        {'DOWN', Ref, process, _, Reason} -> {error, {evum_attach, Reason}}
    end.

%% @private
-spec start_link({pid(), pid(), terminal()}) -> gen_server:start_ret().
start_link(Args) ->
    gen_server:start_link(?MODULE, Args, []).

%% @private
-spec init({pid(), pid(), terminal()}) -> {ok, #state{}}.
init({Machine, Caller, Terminal}) ->
    process_flag(trap_exit, true),
    logger:set_process_metadata(#{domain => [evum]}),
    _ = monitor(process, Caller),
    {ok, #state{machine = Machine, caller = Caller, terminal = Terminal}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, ok, #state{}}.
handle_call(_Request, _From, State) ->
    {reply, ok, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_cast(open, #state{machine = Machine, caller = Caller} = State) ->
    case evum_vm:listen(Machine, Caller, line) of
        {ok, Stream, _, Shown} -> open(Shown, State#state{stream = Stream});
        {error, no_machine} -> {stop, {shutdown, no_machine}, State}
    end;
handle_cast(_Message, State) ->
    {noreply, State}.

open(Shown, #state{terminal = {path, Path}} = State) ->
    case evum_port:open("evum_attach", ["tty", Path]) of
        {ok, Port} -> opened(Shown, State#state{peer = Port});
        {error, Reason} -> {stop, {shutdown, Reason}, State}
    end;
open(Shown, #state{terminal = {socket, Socket} = Peer} = State) ->
    ok = evum_port:reply(Peer, 1, {ok, <<>>}),
    case inet:setopts(Socket, [{active, true}]) of
        ok -> opened(Shown, State#state{peer = Peer});
        {error, _} -> {stop, normal, State}
    end.

opened(Shown, #state{peer = Peer} = State) ->
    ok = evum_port:data(Peer, Shown),
    ok = evum_port:credit(Peer, ?WINDOW),
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({Port, {data, Packet}}, #state{peer = Port} = State) ->
    handle_port(evum_port:decode(Packet), State);
handle_info({tcp, Socket, Packet}, #state{peer = {socket, Socket}} = State) ->
    handle_port(evum_port:decode(Packet), State);
handle_info({Port, {exit_status, Status}}, #state{peer = Port} = State) ->
    program_ended(Status, State#state{peer = undefined});
handle_info({'EXIT', Port, Reason}, #state{peer = Port} = State) ->
    program_ended(Reason, State#state{peer = undefined});
handle_info({tcp_closed, Socket}, #state{peer = {socket, Socket}} = State) ->
    {stop, normal, State};
handle_info({timeout, _, leave}, #state{leaving = Reason} = State) ->
    {stop, Reason, State};
handle_info(_Message, #state{leaving = Reason} = State) when Reason =/= undefined ->
    {noreply, State};
handle_info({Stream, {text, Bytes}}, #state{stream = Stream, peer = Peer} = State) ->
    ok = evum_port:data(Peer, Bytes),
    {noreply, State};
handle_info({Stream, dropped}, #state{stream = Stream} = State) ->
    leave({shutdown, too_slow}, State);
handle_info({'DOWN', Stream, process, _, Reason}, #state{stream = Stream} = State) ->
    leave({shutdown, {ended, Reason}}, State);
handle_info({'DOWN', _, process, Caller, _}, #state{caller = Caller} = State) ->
    leave(normal, State);
%% from evum_tty
handle_info({typed, Bytes}, State) ->
    typed(Bytes, State);
handle_info({timeout, _, full}, State) ->
    {noreply, type(State#state{waiting = false})};
handle_info(_Message, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{machine = Machine, stream = Stream, peer = Peer, resized = Resized}) ->
    _ = Resized andalso evum_vm:resize(Machine, ?COLUMNS, ?ROWS),
    _ = Stream =:= undefined orelse evum_vm:unlisten(Machine, Stream),
    Peer =:= undefined orelse evum_port:close(Peer).

program_ended(_Status, #state{leaving = Reason} = State) when Reason =/= undefined ->
    {stop, Reason, State};
program_ended(Status, State) ->
    {stop, {shutdown, {evum_attach, Status}}, State}.

handle_port({data, Bytes}, #state{leaving = undefined} = State) ->
    typed(Bytes, State);
handle_port({event, written, Bytes}, #state{machine = Machine, stream = Stream} = State) when
    is_integer(Bytes), Bytes >= 0
->
    ok = evum_vm:read(Machine, Stream, Bytes),
    {noreply, State};
handle_port({event, resize, {Columns, Rows}}, #state{machine = Machine} = State) when
    is_integer(Columns), Columns > 0, is_integer(Rows), Rows > 0
->
    ok = evum_vm:resize(Machine, Columns, Rows),
    {noreply, State#state{resized = true}};
handle_port(_Other, State) ->
    {noreply, State}.

%%% Typing ------------------------------------------------------------------------

typed(Bytes, #state{typed = Typed} = State) ->
    {Before, Leave} =
        case binary:split(Bytes, <<?LEAVE>>) of
            [All] -> {All, false};
            [First, _] -> {First, true}
        end,
    Room = max(0, ?TYPED_MAX - byte_size(Typed)),
    Taken = binary:part(Before, 0, min(Room, byte_size(Before))),
    State1 = type(State#state{typed = <<Typed/binary, Taken/binary>>}),
    case Leave of
        true -> leave(normal, State1);
        false -> {noreply, State1}
    end.

%% A program at a socket reads on once the console has taken what it has read.
type(#state{typed = <<>>} = State) ->
    State;
type(#state{waiting = true} = State) ->
    State;
type(#state{machine = Machine, typed = Typed, peer = Peer} = State) ->
    Size = min(?WINDOW, byte_size(Typed)),
    <<Chunk:Size/binary, Rest/binary>> = Typed,
    try evum_vm:puts(Machine, Chunk) of
        ok ->
            ok = evum_port:credit(Peer, Size),
            type(State#state{typed = Rest});
        {error, full} ->
            _ = erlang:start_timer(?FULL_WAIT, self(), full),
            State#state{waiting = true};
        {error, stopped} ->
            State#state{typed = <<>>}
    catch
        %% its end is about to be told
        exit:_ -> State#state{typed = <<>>}
    end.

%%% Leaving -----------------------------------------------------------------------

leave(Reason, #state{peer = Peer} = State) ->
    ok = evum_port:data(Peer, farewell(Reason)),
    case Peer of
        {socket, _} ->
            {stop, Reason, State};
        _ ->
            %% The terminal is as before when the program has ended, and not
            %% when its port is closed.
            ok = evum_port:request(Peer, 1, leave, none),
            _ = erlang:start_timer(?LEAVE_TIMEOUT, self(), leave),
            {noreply, State#state{leaving = Reason}}
    end.

farewell({shutdown, {ended, _}}) -> <<"\r\n[the machine has ended]">>;
farewell({shutdown, too_slow}) -> <<"\r\n[left: this terminal does not keep up]">>;
farewell(_) -> <<>>.
