%% SPDX-License-Identifier: Apache-2.0
%% @doc Takes the terminal of this BEAM's shell away from it for a while.
%%
%% The shell of Erlang/OTP 25 and before has the terminal's input read by a
%% driver, all the time: somebody else who read the terminal would get a part of
%% what is typed. So the driver's port is given to a process of this module, and
%% the shell's own, `user_drv', is suspended, so that nothing of its output comes
%% between; what the BEAM logs to the terminal meanwhile waits.
%%
%% Later shells have no such port: `{error, no_terminal}', as where there is
%% no terminal at all. `evum console NAME' works in any case.
-module(evum_tty).
-behaviour(gen_server).

-export([take/0, forward/2, return/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-record(state, {
    port :: port(),
    shell :: pid(),
    taker :: pid(),
    to :: pid() | undefined
}).

%% @doc Take the terminal, for as long as the caller lives; with it a path by
%% which it can be opened.
-spec take() -> {ok, pid(), file:filename()} | {error, no_terminal}.
take() ->
    %% a shell that is connected from elsewhere has its terminal there
    case node(group_leader()) =:= node() andalso find() of
        {ok, Port, Shell} ->
            {ok, Pid} = gen_server:start(?MODULE, {Port, Shell, self()}, []),
            %% standard input of the BEAM is what its driver reads
            {ok, Pid, filename:join(["/proc", os:getpid(), "fd", "0"])};
        _ ->
            {error, no_terminal}
    end.

find() ->
    Shell = whereis(user_drv),
    Ports = [
        Port
     || Port <- erlang:ports(),
        {name, "tty_sl" ++ _} <- [erlang:port_info(Port, name)],
        {connected, Shell} =:= erlang:port_info(Port, connected)
    ],
    case Ports of
        [Port] -> {ok, Port, Shell};
        _ -> error
    end.

%% @doc Send what is typed to a process, as `{typed, Bytes}'.
-spec forward(pid(), pid()) -> ok.
forward(Tty, To) ->
    gen_server:call(Tty, {forward, To}, infinity).

%% @doc Give the terminal back to the shell.
-spec return(pid()) -> ok.
return(Tty) ->
    gen_server:stop(Tty).

%% @private
-spec init({port(), pid(), pid()}) -> {ok, #state{}}.
init({Port, Shell, Taker}) ->
    process_flag(trap_exit, true),
    _ = monitor(process, Taker),
    true = erlang:suspend_process(Shell),
    true = erlang:port_connect(Port, self()),
    {ok, #state{port = Port, shell = Shell, taker = Taker}}.

%% @private
-spec handle_call({forward, pid()}, gen_server:from(), #state{}) -> {reply, ok, #state{}}.
handle_call({forward, To}, _From, State) ->
    {reply, ok, State#state{to = To}}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({Port, {data, Bytes}}, #state{port = Port, to = To} = State) ->
    _ = To =:= undefined orelse (To ! {typed, iolist_to_binary(Bytes)}),
    {noreply, State};
%% such as that the driver has written what the shell gave it before
handle_info({Port, _} = Message, #state{port = Port, shell = Shell} = State) ->
    Shell ! Message,
    {noreply, State};
handle_info({'DOWN', _, process, Taker, _}, #state{taker = Taker} = State) ->
    {stop, normal, State};
handle_info(_Message, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{port = Port, shell = Shell}) ->
    try
        true = erlang:port_connect(Port, Shell),
        true = unlink(Port),
        true = erlang:resume_process(Shell),
        ok
    catch
        %% the terminal, or the shell, is gone
        error:_ -> ok
    end.
