%% SPDX-License-Identifier: Apache-2.0
%% @doc One machine of a lab: starts it, sets it up ({@link evum_lab_config}), runs its
%% commands, and watches over it. It is the owner of the machine's console, of which it
%% keeps the last lines. The machine is linked to it, and ends with it.
%%
%% The lab's process, which it is linked to, is told of each step:
%% `{runner, Pid, Event}'.
-module(evum_lab_runner).
-behaviour(gen_server).

-export([start_link/3, stop/2, configure/3]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([event/0]).

%% Lines of the console that are kept for who asks why.
-define(LINES, 40).
%% The last output of a command, bytes.
-define(OUTPUT, 4096).
%% What the host is left with, MiB, when a machine is given its memory.
-define(MEMORY_SPARE, 64).

-type event() ::
    {running, Vm :: pid(), OsPid :: integer()}
    | {phase, booting | configuring | commands}
    | up
    %% its start failed; the machine is gone, or runs, where only a command failed
    | {failed, Reason :: term(), Lines :: [binary()]}
    %% its shutdown commands did
    | {complaint, Reason :: term()}
    %% it is what {@link configure/3} said with that tag, or is not
    | {configured, Tag :: reference(), ok | {error, Reason :: term()}}
    | {ended, Reason :: term(), Lines :: [binary()]}.

-record(state, {
    lab :: pid(),
    %% as it was set up
    machine :: evum_lab_spec:machine(),
    %% as it is to be, and who said so
    wanted :: {none | reference(), evum_lab_spec:machine()},
    options :: evum_machine:options(),
    vm :: pid() | undefined,
    %% brings the machine up or down, or configures it
    worker :: pid() | undefined,
    phase = starting :: starting | up | failed | stopping,
    lines = [] :: [binary()],
    output = <<>> :: binary()
}).

%% @doc Start a machine; evum_machine's options are what it is started with.
-spec start_link(pid(), evum_lab_spec:machine(), evum_machine:options()) -> gen_server:start_ret().
start_link(Lab, Machine, Options) ->
    gen_server:start_link(?MODULE, {Lab, Machine, Options}, []).

%% @doc End a machine, at once or after its shutdown commands; the process ends
%% when nothing is left of it.
-spec stop(pid(), kill | shutdown) -> ok.
stop(Pid, How) ->
    gen_server:cast(Pid, {stop, How}).

%% @doc Set what differs of a machine's addresses, routes and so on: at once where it
%% runs, or once it is up. Of several that wait only the last is told of.
-spec configure(pid(), evum_lab_spec:machine(), Tag :: reference()) -> ok.
configure(Pid, Machine, Tag) ->
    gen_server:cast(Pid, {configure, Machine, Tag}).

%% @private
-spec init({pid(), evum_lab_spec:machine(), evum_machine:options()}) ->
    {ok, #state{}, {continue, start}}.
init({Lab, Machine, Options}) ->
    process_flag(trap_exit, true),
    logger:set_process_metadata(#{domain => [evum]}),
    {ok, #state{lab = Lab, machine = Machine, wanted = {none, Machine}, options = Options}, {continue, start}}.

%% @private
-spec handle_continue(start, #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_continue(start, #state{machine = Machine, options = Options} = State) ->
    case room(Options) of
        ok ->
            case evum:start_link(self(), Options) of
                {ok, Vm} ->
                    #{os_pid := OsPid} = evum:info(Vm),
                    tell({running, Vm, OsPid}, State),
                    Self = self(),
                    Worker = proc_lib:spawn_link(fun() -> bring_up(Self, Vm, Machine) end),
                    {noreply, State#state{vm = Vm, worker = Worker}};
                {error, Reason} ->
                    tell({failed, Reason, []}, State),
                    {stop, normal, State}
            end;
        {error, Reason} ->
            tell({failed, Reason, []}, State),
            {stop, normal, State}
    end.

%% Machines that use all of their memory on a host that has none left are killed
%% in the middle.
room(Options) ->
    {ok, #{mem := Mem}} = evum_machine:describe(maps:with([mem], Options)),
    {ok, Text} = file:read_file("/proc/meminfo"),
    {match, [KiB]} = re:run(Text, "^MemAvailable: +([0-9]+) kB", [multiline, {capture, [1], list}]),
    case list_to_integer(KiB) div 1024 - ?MEMORY_SPARE of
        Available when Available >= Mem -> ok;
        Available -> {error, {memory, Mem, max(0, Available)}}
    end.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call(_Request, _From, State) ->
    {reply, {error, bad_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_cast({stop, How}, #state{phase = Phase, vm = Vm, wanted = {_, #{shutdown := Commands} = Machine}} = State0) ->
    State = dismiss(State0),
    case How =:= shutdown andalso lists:member(Phase, [up, failed]) andalso Commands =/= [] of
        true ->
            Self = self(),
            Worker = proc_lib:spawn_link(fun() -> bring_down(Self, Vm, Machine) end),
            {noreply, State#state{phase = stopping, worker = Worker}};
        false ->
            cut(State)
    end;
handle_cast({configure, Machine, Tag}, State) ->
    {noreply, configure(State#state{wanted = {Tag, Machine}})}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info(Line, #state{lines = Lines} = State) when is_binary(Line) ->
    {noreply, State#state{lines = lists:sublist([Line | Lines], ?LINES)}};
handle_info({worker, Pid, phase, Phase}, #state{worker = Pid} = State) ->
    tell({phase, Phase}, State),
    {noreply, State};
handle_info({worker, Pid, command}, #state{worker = Pid} = State) ->
    {noreply, State#state{output = <<>>}};
handle_info({{output, Pid}, Bytes}, #state{worker = Pid, output = Output} = State) ->
    {noreply, State#state{output = tail(<<Output/binary, Bytes/binary>>)}};
handle_info({worker, Pid, up, ok}, #state{worker = Pid} = State) ->
    tell(up, State),
    {noreply, changed(State#state{phase = up, worker = undefined})};
handle_info({worker, Pid, up, {error, {command, Command, Status}}}, #state{worker = Pid} = State) ->
    tell({failed, {startup, Command, Status, State#state.output}, lines(State)}, State),
    {noreply, changed(State#state{phase = failed, worker = undefined})};
%% Its end says more.
handle_info({worker, Pid, up, {error, no_machine}}, #state{worker = Pid} = State) ->
    {noreply, State};
handle_info({worker, Pid, up, {error, Reason}}, #state{worker = Pid} = State) ->
    tell({failed, Reason, lines(State)}, State),
    cut(State);
handle_info({worker, Pid, configured, Wanted, Result}, #state{worker = Pid, machine = Old} = State) ->
    {Tag, New} = Wanted,
    Machine =
        case Result of
            ok -> New;
            {error, _} -> Old
        end,
    State1 = State#state{machine = Machine, worker = undefined},
    case State of
        #state{wanted = Wanted} ->
            tell({configured, Tag, Result}, State1),
            {noreply, State1};
        _ ->
            {noreply, configure(State1)}
    end;
handle_info({worker, Pid, down, Result}, #state{worker = Pid, output = Output} = State) ->
    case Result of
        ok -> ok;
        {error, {command, Command, Status}} -> tell({complaint, {shutdown, Command, Status, Output}}, State)
    end,
    cut(State);
handle_info({'EXIT', Vm, Reason}, #state{vm = Vm, phase = Phase} = State) ->
    case Phase of
        starting -> tell({failed, {ended, Reason}, lines(State)}, State);
        _ -> tell({ended, Reason, lines(State)}, State)
    end,
    {stop, normal, State#state{vm = undefined}};
handle_info({'EXIT', Pid, Reason}, #state{worker = Pid} = State) when Reason =/= normal ->
    tell({failed, {worker, Reason}, lines(State)}, State),
    cut(State);
handle_info(_Other, State) ->
    {noreply, State}.

%% What came in between is not lost.
changed(#state{wanted = {none, _}} = State) -> State;
changed(State) -> configure(State).

configure(#state{phase = Phase, worker = undefined, vm = Vm, machine = Machine, wanted = {_, New} = Wanted} = State) when
    Phase =:= up; Phase =:= failed
->
    Self = self(),
    Changes = evum_lab_config:changes(Machine, New),
    Worker = proc_lib:spawn_link(fun() ->
        Self ! {worker, self(), configured, Wanted, evum_lab_config:set(Vm, Changes)}
    end),
    State#state{worker = Worker};
configure(State) ->
    State.

tell(Event, #state{lab = Lab}) ->
    Lab ! {runner, self(), Event},
    ok.

lines(#state{lines = Lines}) ->
    lists:reverse(Lines).

tail(Output) when byte_size(Output) =< ?OUTPUT -> Output;
tail(Output) -> binary:part(Output, byte_size(Output), -?OUTPUT).

dismiss(#state{worker = undefined} = State) ->
    State;
dismiss(#state{worker = Worker} = State) ->
    unlink(Worker),
    exit(Worker, kill),
    State#state{worker = undefined}.

cut(#state{vm = undefined} = State) ->
    {stop, normal, State};
cut(#state{vm = Vm} = State) ->
    _ = evum:stop(Vm),
    {stop, normal, State#state{vm = undefined}}.

%%% Workers -------------------------------------------------------------------

bring_up(Runner, Vm, #{boot_timeout := Boot, startup := Commands} = Machine) ->
    Runner ! {worker, self(), phase, booting},
    Result =
        case evum:await(Vm, ready, Boot) of
            ok ->
                Runner ! {worker, self(), phase, configuring},
                case evum_lab_config:set(Vm, evum_lab_config:all(Machine)) of
                    ok when Commands =:= [] ->
                        ok;
                    ok ->
                        Runner ! {worker, self(), phase, commands},
                        commands(Commands, Runner, Vm, Machine);
                    {error, _} = Error ->
                        Error
                end;
            {error, no_machine} = Error ->
                Error;
            {error, Reason} ->
                {error, {boot, Reason}}
        end,
    Runner ! {worker, self(), up, Result}.

bring_down(Runner, Vm, #{shutdown := Commands} = Machine) ->
    Runner ! {worker, self(), down, commands(Commands, Runner, Vm, Machine)}.

commands([], _Runner, _Vm, _Machine) ->
    ok;
commands([Command | Commands], Runner, Vm, #{env := Env, startup_timeout := Timeout} = Machine) ->
    Runner ! {worker, self(), command},
    Options = #{env => Env, timeout => Timeout, stream => {Runner, {output, self()}}},
    case evum:cmd(Vm, Command, Options) of
        {ok, 0, _} -> commands(Commands, Runner, Vm, Machine);
        {ok, Status, _} -> {error, {command, Command, Status}};
        {error, Reason} -> {error, {command, Command, Reason}}
    end.
