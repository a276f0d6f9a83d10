%% SPDX-License-Identifier: Apache-2.0
%% @doc The process that is one running lab; {@link evum_lab} is its API.
%%
%% It holds the description as it is now, and how far its machines are. Whatever
%% changes either, it brings the rest after: switches that are wanted are started, ports
%% are set to what their links say, machines whose turn it is are started
%% ({@link evum_lab_plan:next/2}). Nothing here waits for a machine: each has an
%% {@link evum_lab_runner}.
-module(evum_lab_server).
-behaviour(gen_server).

-export([start_link/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export([format_status/1]).

-export_type([spec/0]).

-include_lib("kernel/include/logger.hrl").

%% Machines that start at once, for each CPU.
-define(ROOM, 4).
%% All machines have ended within that time when the lab is stopped at once, ms.
-define(STOP_TIMEOUT, 20000).

-type name() :: evum_lab_spec:name().
-type spec() :: #{
    description := map(),
    lab := evum_lab_spec:lab(),
    progress := none | pid(),
    %% who is told how the start went, {Tag, ok | {error, Problems}}; where that
    %% process ends before, so does the lab
    starter := {pid(), reference()}
}.

-record(machine, {
    status = waiting :: evum_lab_plan:status(),
    runner :: pid() | undefined,
    vm :: pid() | undefined,
    os_pid :: integer() | undefined,
    %% where its interfaces are plugged in, as long as it runs
    homes = #{} :: #{name() => evum_lab_net:segment()},
    %% why it failed or ended
    reason = none :: term(),
    lines = [] :: [binary()],
    %% what it is told to set, and why that failed
    configuring = none :: none | reference(),
    refused = none :: term(),
    %% what is to become of it once it has ended
    next = stay :: stay | start | remove
}).

%% Who is answered once no machine is on its way.
-type waiting() :: {gen_server:from(), [name()] | all}.

-record(state, {
    name :: name(),
    description :: map(),
    lab :: evum_lab_spec:lab(),
    net :: evum_lab_net:net(),
    %% why switches and wires are not there, or not as they should be
    faults = #{} :: evum_lab_faults:faults(),
    machines = #{} :: #{name() => #machine{}},
    cuts = [] :: [evum_lab_cut:cut()],
    %% what machines that were parted have said
    addresses = #{} :: evum_lab_ask:addresses(),
    phase = starting :: starting | running | stopping | ended,
    %% monitors who waits for the start
    starter :: reference(),
    waiting = [] :: [waiting()],
    %% who stops it, and what is said to those who wait
    stopping = [] :: [gen_server:from()],
    failure = none :: none | [evum_lab_spec:problem()],
    progress :: #{pid() => reference()},
    room :: pos_integer()
}).

%% @private
-spec start_link(spec()) -> gen_server:start_ret().
start_link(Spec) ->
    gen_server:start_link(?MODULE, Spec, []).

%% @private
-spec init(spec()) -> {ok, #state{}} | {stop, {shutdown, [evum_lab_spec:problem()]}}.
init(#{description := Description, lab := #{machines := Machines} = Lab, progress := Progress, starter := {Pid, _} = Starter}) ->
    process_flag(trap_exit, true),
    case claim(Lab, 1) of
        {ok, Name} ->
            logger:set_process_metadata(#{domain => [evum], lab => Name}),
            Seed = seed(Lab),
            State = #state{
                name = Name,
                description = Description,
                lab = Lab#{name := Name, seed := Seed},
                net = evum_lab_net:new(Name, Seed),
                machines = maps:map(fun(_, _) -> #machine{} end, Machines),
                waiting = [{Starter, all}],
                starter = monitor(process, Pid),
                progress = watchers(Progress),
                room = ?ROOM * length(evum_cpus:allowed())
            },
            {ok, State, {continue, start}};
        error ->
            {stop, {shutdown, [{lab, {bad_option, name, maps:get(name, Lab)}}]}}
    end.

seed(#{seed := random}) -> rand:uniform(1 bsl 32) - 1;
seed(#{seed := Seed}) -> Seed.

watchers(none) -> #{};
watchers(Pid) -> #{Pid => monitor(process, Pid)}.

claim(#{name := none} = Lab, N) ->
    Name = <<"lab", (integer_to_binary(N))/binary>>,
    case evum_registry:claim({lab, Name}) of
        ok -> {ok, Name};
        {error, _} -> claim(Lab, N + 1)
    end;
claim(#{name := Name}, _N) ->
    case evum_registry:claim({lab, Name}) of
        ok -> {ok, Name};
        {error, _} -> error
    end.

%% @private
-spec handle_continue(start, #state{}) -> {noreply, #state{}}.
handle_continue(start, #state{lab = #{seed := Seed}} = State) ->
    {noreply, go_on(tell({seed, Seed}, State))}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(stop, From, #state{stopping = Stopping} = State) ->
    {noreply, stop(shutdown, State#state{stopping = [From | Stopping]})};
handle_call(_Request, _From, #state{phase = stopping} = State) ->
    {reply, {error, stopping}, State};
handle_call(info, _From, State) ->
    {reply, describe(State), State};
handle_call(description, _From, #state{description = Description, lab = Lab} = State) ->
    {reply, {ok, Description, Lab}, State};
handle_call({machine, Name}, _From, #state{machines = Machines} = State) ->
    {reply,
        case Machines of
            #{Name := #machine{vm = Vm}} when is_pid(Vm) -> {ok, Vm};
            #{Name := _} -> {error, {not_running, Name}};
            #{} -> {error, {no_machine, Name}}
        end,
        State};
handle_call({change, Description, New, Lab}, From, #state{description = Description} = State) ->
    changed(New, Lab, From, State);
handle_call({change, _, _, _}, _From, State) ->
    {reply, {error, overtaken}, State};
handle_call({halt, Name, How}, From, #state{machines = Machines} = State) ->
    case Machines of
        #{Name := Machine} ->
            State1 = put_machine(Name, finish(How, Machine#machine{next = stay}), State),
            {noreply, settle(State1#state{waiting = [{From, []} | State#state.waiting]})};
        #{} ->
            {reply, {error, {no_machine, Name}}, State}
    end;
handle_call({boot, Name, How}, From, #state{machines = Machines} = State) ->
    case Machines of
        #{Name := Machine} ->
            State1 = put_machine(Name, again(How, Machine), State),
            {noreply, go_on(retry(State1#state{waiting = [{From, [Name]} | State#state.waiting]}))};
        #{} ->
            {reply, {error, {no_machine, Name}}, State}
    end;
handle_call({partition, Partition, Addresses}, _From, #state{machines = Machines, faults = Faults} = State) ->
    case evum_lab_cut:cuts(Partition, maps:keys(Machines)) of
        {ok, Cuts} ->
            Without = evum_lab_faults:forget(partition, Faults),
            {reply, ok, plug(State#state{cuts = Cuts, addresses = Addresses, faults = Without})};
        {error, _} = Error ->
            {reply, Error, State}
    end;
handle_call({play, Steps}, _From, #state{name = Name} = State) ->
    {reply, evum_lab_play:start_link(self(), Name, Steps), State};
handle_call(ports, _From, State) ->
    {reply, {ok, where_ports(State)}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({watch, Pid}, #state{progress = Watchers} = State) when not is_map_key(Pid, Watchers) ->
    {noreply, State#state{progress = Watchers#{Pid => monitor(process, Pid)}}};
handle_cast({tell, What}, State) ->
    {noreply, tell(What, State)};
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({runner, Pid, Event}, State) ->
    case find(Pid, State) of
        {Name, Machine} -> {noreply, runner(Event, Name, Machine, State)};
        none -> {noreply, State}
    end;
handle_info({evum_switch, Pid, What}, #state{net = Net} = State) ->
    {noreply, plug(State#state{net = evum_lab_net:event(Pid, What, Net)})};
handle_info({addresses, Asked}, #state{addresses = Addresses} = State) ->
    {noreply, plug(State#state{addresses = maps:merge(Addresses, Asked)})};
handle_info({'EXIT', Pid, Reason}, #state{net = Net} = State) ->
    case {find(Pid, State), evum_lab_net:lost(Pid, Net)} of
        {{Name, Machine}, _} ->
            goes_on(gone(Name, Machine, Reason, State));
        {none, {ok, Segment, Net1}} ->
            ?LOG_ERROR("switch ~0tp has died: ~0tp", [Segment, Reason]),
            Faults = maps:remove(Segment, State#state.faults),
            {noreply, tell({switch_died, Segment, Reason}, State#state{net = Net1, faults = Faults})};
        {none, error} ->
            {noreply, State}
    end;
handle_info({'DOWN', Ref, process, _, _}, #state{starter = Ref, phase = starting} = State) ->
    {noreply, stop(kill, State)};
handle_info({'DOWN', _, process, Pid, _}, #state{progress = Watchers} = State) ->
    {noreply, State#state{progress = maps:remove(Pid, Watchers)}};
handle_info(stopped, State) ->
    goes_on(State);
handle_info({timeout, _, stop}, State) ->
    ?LOG_ERROR("machines do not end"),
    {stop, {shutdown, stop_timeout}, State};
handle_info(_Message, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{net = Net}) ->
    _ = evum_lab_net:close(Net),
    ok.

%% @private
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{name = Name, phase = Phase, machines = Machines}} = Status) ->
    Status#{state := {Name, Phase, maps:map(fun(_, M) -> M#machine.status end, Machines)}};
format_status(Status) ->
    Status.

describe(#state{name = Name, phase = Phase, machines = Machines, lab = Lab, net = Net, faults = Faults}) ->
    #{
        name => Name,
        phase => Phase,
        seed => maps:get(seed, Lab),
        machines => maps:map(fun(_, Machine) -> describe_machine(Machine) end, Machines),
        switches => length(evum_lab_net:segments(Net)),
        problems => evum_lab_faults:problems(Faults)
    }.

describe_machine(#machine{status = Status, vm = Vm, reason = Reason, lines = Lines}) ->
    maps:from_list(
        [{status, Status}] ++ [{vm, Vm} || is_pid(Vm)] ++
            [{reason, Reason} || Reason =/= none] ++ [{console, Lines} || Lines =/= []]
    ).

find(Pid, #state{machines = Machines}) ->
    case [Found || {_, #machine{runner = Runner}} = Found <- maps:to_list(Machines), Runner =:= Pid] of
        [Found] -> Found;
        [] -> none
    end.

put_machine(Name, Machine, #state{machines = Machines} = State) ->
    State#state{machines = Machines#{Name => Machine}}.

tell(What, #state{progress = Watchers, name = Name} = State) ->
    lists:foreach(fun(Pid) -> Pid ! {evum_lab, Name, What} end, maps:keys(Watchers)),
    State.

%%% Machines ------------------------------------------------------------------

runner({running, Vm, OsPid}, Name, Machine, State) ->
    plug(put_machine(Name, Machine#machine{vm = Vm, os_pid = OsPid}, State));
runner({phase, Phase}, Name, _Machine, State) ->
    tell({machine, Name, Phase}, State);
runner(up, Name, #machine{status = starting} = Machine, State) ->
    go_on(ask(Name, tell({machine, Name, up}, put_machine(Name, Machine#machine{status = up}, State))));
runner({failed, Reason, Lines}, Name, #machine{status = Status} = Machine, State) when
    Status =:= starting; Status =:= up
->
    ?LOG_WARNING("machine ~ts: ~0tp", [Name, Reason]),
    State1 = put_machine(Name, Machine#machine{status = failed, reason = Reason, lines = Lines}, State),
    go_on(failed(Name, Reason, Lines, ask(Name, tell({machine, Name, {failed, Reason}}, State1))));
runner({complaint, Reason}, Name, _Machine, State) ->
    ?LOG_WARNING("machine ~ts: ~0tp", [Name, Reason]),
    State;
runner({configured, Tag, Result}, Name, #machine{configuring = Tag} = Machine, State) ->
    settle(configured(Result, Name, Machine#machine{configuring = none, refused = none}, State));
runner({ended, Reason, Lines}, Name, #machine{status = up} = Machine, State) ->
    {Status, Why} =
        case Reason of
            normal -> {down, powered_off};
            _ -> {failed, Reason}
        end,
    put_machine(Name, Machine#machine{status = Status, reason = Why, lines = Lines}, State);
runner(_Event, _Name, _Machine, State) ->
    State.

%% Its addresses may be others than when the partition was made.
ask(Name, #state{cuts = [_ | _], machines = Machines, lab = Lab} = State) ->
    #{Name := #machine{vm = Vm}} = Machines,
    Self = self(),
    _ =
        is_pid(Vm) andalso
            proc_lib:spawn_link(fun() ->
                Self ! {addresses, maps:with([Name], evum_lab_ask:addresses(#{Name => Vm}, Lab))}
            end),
    State;
ask(_Name, State) ->
    State.

configured(ok, Name, Machine, State) ->
    put_machine(Name, Machine, State);
configured({error, Reason}, Name, Machine, State) ->
    ?LOG_WARNING("machine ~ts: ~0tp", [Name, Reason]),
    tell({machine, Name, {complaint, Reason}}, put_machine(Name, Machine#machine{refused = Reason}, State)).

%% With all or nothing, the first failure of a start ends all.
failed(Name, Reason, Lines, #state{phase = starting, lab = #{all_or_nothing := true}} = State) ->
    stop(kill, State#state{failure = [problem(Name, Reason, Lines)]});
failed(_Name, _Reason, _Lines, State) ->
    State.

problem(Name, Reason, Lines) ->
    {{machine, Name}, {start, Reason, Lines}}.

%% Its runner has ended, and nothing of it is left.
gone(Name, #machine{next = remove}, _Reason, #state{machines = Machines} = State) ->
    tell({machine, Name, removed}, State#state{machines = maps:remove(Name, Machines)});
gone(Name, #machine{next = start}, _Reason, State) ->
    put_machine(Name, #machine{}, State);
gone(Name, #machine{status = Status, reason = Reason0, lines = Lines}, Reason, State) ->
    {Status1, Why} =
        case Status of
            stopping -> {down, Reason0};
            starting -> {failed, Reason};
            up -> {failed, Reason};
            _ -> {Status, Reason0}
        end,
    Ended = #machine{status = Status1, reason = Why, lines = Lines},
    tell({machine, Name, Status1}, put_machine(Name, Ended, State)).

goes_on(#state{phase = stopping} = State) ->
    case stopped(State) of
        #state{phase = ended} = Ended -> {stop, normal, Ended};
        State1 -> {noreply, State1}
    end;
goes_on(State) ->
    {noreply, go_on(State)}.

finish(How, #machine{runner = Runner} = Machine) when is_pid(Runner) ->
    evum_lab_runner:stop(Runner, How),
    Machine#machine{status = stopping};
finish(_How, #machine{status = waiting} = Machine) ->
    Machine#machine{status = down};
finish(_How, Machine) ->
    Machine.

%% Start anew, or start what is down.
again(boot, #machine{runner = Runner} = Machine) when is_pid(Runner) -> Machine;
again(_How, #machine{runner = undefined}) -> #machine{};
again(How, Machine) -> (finish(How, Machine))#machine{next = start}.

%%% Bringing the rest after ---------------------------------------------------

go_on(#state{phase = stopping} = State) ->
    State;
go_on(State) ->
    settle(plug(start_next(switches(State)))).

%% Start and stop switches.
switches(#state{lab = Lab, machines = Machines, net = Net} = State) ->
    Homes = [Home || #machine{homes = H} <- maps:values(Machines), Home <- maps:values(H)],
    Named = [{{switch, Name}, Switch} || {Name, Switch} <- maps:to_list(maps:get(switches, Lab))],
    Wires = [{{wire, A, B}, wire} || #{ends := {A, B}} <- maps:get(links, Lab), is_tuple(A), is_tuple(B)],
    Wanted = maps:from_list(Named ++ Wires),
    Net1 = lists:foldl(
        fun evum_lab_net:close/2,
        Net,
        (evum_lab_net:segments(Net) -- maps:keys(Wanted)) -- Homes
    ),
    Faults = maps:with(maps:keys(Wanted) ++ Homes, State#state.faults),
    State1 = maps:fold(
        fun(Segment, Switch, Acc) -> open(Segment, Switch, Acc) end, State#state{net = Net1, faults = Faults}, Wanted
    ),
    trunks(State1).

%% One that failed is not tried again before somebody asks for it.
open(Segment, Switch, #state{net = Net, faults = Faults} = State) ->
    case {evum_lab_net:switch(Segment, Net), Faults} of
        {{ok, _}, _} ->
            State;
        {error, #{Segment := _}} ->
            State;
        {error, _} ->
            case evum_lab_net:open(Segment, Switch, Net) of
                {ok, Net1} ->
                    State#state{net = Net1};
                {error, Reason} ->
                    complain(Segment, Reason, State)
            end
    end.

retry(#state{faults = Faults, net = Net} = State) ->
    State#state{faults = maps:with(evum_lab_net:segments(Net), Faults)}.

%% What is tried again and again is told once.
complain(Segment, Reason, #state{faults = Faults} = State) ->
    case Faults of
        #{Segment := Reason} -> State;
        #{} -> complained(Segment, Reason, State#state{faults = Faults#{Segment => Reason}})
    end.

complained(Segment, Reason, State) ->
    ?LOG_ERROR("~0tp: ~0tp", [Segment, Reason]),
    State1 = tell({problem, Segment, Reason}, State),
    case State1 of
        #state{phase = starting, failure = none, lab = #{all_or_nothing := true}} ->
            stop(kill, State1#state{failure = [evum_lab_faults:problem(Segment, Reason)]});
        _ ->
            State1
    end.

trunks(#state{lab = #{links := Links}, net = Net} = State) ->
    Is = fun(Name) -> evum_lab_net:switch({switch, Name}, Net) =/= error end,
    Wanted = [Ends || #{ends := {A, B} = Ends} <- Links, is_binary(A), Is(A), Is(B)],
    There = maps:keys(evum_lab_net:trunks(Net)),
    Net1 = lists:foldl(fun evum_lab_net:untrunk/2, Net, There -- Wanted),
    lists:foldl(
        fun({A, B}, #state{net = N} = Acc) ->
            case evum_lab_net:trunk(A, B, N) of
                {ok, N1} -> Acc#state{net = N1};
                {error, Reason} -> complain({switch, A}, Reason, Acc)
            end
        end,
        State#state{net = Net1},
        Wanted -- There
    ).

start_next(#state{phase = stopping} = State) ->
    State;
start_next(#state{machines = Machines, lab = #{machines := Specs, depends_on := On}, room = Room} = State) ->
    Statuses = maps:map(
        fun(Name, Machine) ->
            #{depends := Depends} = maps:get(Name, Specs, #{depends => []}),
            {to_others(Machine, On), Depends}
        end,
        Machines
    ),
    case evum_lab_plan:next(Statuses, Room) of
        {[], []} ->
            State;
        {Start, Hopeless} ->
            State1 = lists:foldl(fun start_machine/2, State, Start),
            start_next(lists:foldl(fun hopeless/2, State1, Hopeless))
    end.

%% A machine's status for those that wait for it.
to_others(#machine{status = failed, reason = {startup, _, _, _}, vm = Vm}, runs) when is_pid(Vm) -> up;
to_others(#machine{status = Status}, _On) -> Status.

hopeless({Name, On}, State) ->
    does_not_start(Name, {depends, On}, State).

does_not_start(Name, Reason, #state{machines = Machines} = State) ->
    #{Name := Machine} = Machines,
    State1 = put_machine(Name, Machine#machine{status = failed, reason = Reason}, State),
    failed(Name, Reason, [], tell({machine, Name, {failed, Reason}}, State1)).

start_machine(_Name, #state{phase = stopping} = State) ->
    State;
start_machine(Name, #state{lab = #{machines := Specs} = Lab} = State0) ->
    #{Name := #{interfaces := Interfaces} = Spec} = Specs,
    Homes = maps:map(fun(Interface, _) -> evum_lab_wiring:segment({Name, Interface}, Lab) end, Interfaces),
    #state{net = Net, faults = Faults} = State = lists:foldl(
        fun(Home, Acc) -> open(Home, wire, Acc) end, State0, [Home || {loose, _} = Home <- maps:values(Homes)]
    ),
    Pids = maps:map(fun(_, Home) -> evum_lab_net:switch(Home, Net) end, Homes),
    case [maps:get(Interface, Homes) || {Interface, error} <- lists:sort(maps:to_list(Pids))] of
        [] ->
            Switch = fun({_, Interface}) -> element(2, maps:get(Interface, Pids)) end,
            Options = evum_lab_machine:options(Name, Lab, Switch),
            {ok, Runner} = evum_lab_runner:start_link(self(), Spec, Options),
            Machine = #machine{status = starting, runner = Runner, homes = Homes},
            tell({machine, Name, starting}, put_machine(Name, Machine, State));
        [Segment | _] ->
            {Thing, {start, Reason, []}} = evum_lab_faults:problem(Segment, maps:get(Segment, Faults)),
            does_not_start(Name, erlang:append_element(Thing, Reason), State)
    end.

%% Set all ports to what their links say, and part those that do not reach one another.
plug(#state{lab = Lab, net = Net, cuts = Cuts, addresses = Addresses} = State) ->
    {Complaints, Net1} = evum_lab_ports:set(attached(State), {Cuts, Addresses}, {Lab, Net}),
    lists:foldl(fun({Segment, Reason}, Acc) -> complain(Segment, Reason, Acc) end, State#state{net = Net1}, Complaints).

attached(#state{machines = Machines}) ->
    maps:filtermap(
        fun
            (_, #machine{os_pid = OsPid, homes = Homes}) when is_integer(OsPid) -> {true, {OsPid, Homes}};
            (_, _) -> false
        end,
        Machines
    ).

%% The ports of interfaces that are up, each with its switch.
where_ports(#state{net = Net} = State) ->
    [
        {Id, Switch, Port}
     || {Id, Home, Port} <- evum_lab_ports:plugged(attached(State), Net),
        {ok, Switch} <- [evum_lab_net:switch(Home, Net)]
    ].

%%% Answers -------------------------------------------------------------------

%% No machine is on its way: that is what was waited for.
settle(#state{machines = Machines, waiting = Waiting, phase = Phase} = State) when Phase =/= stopping ->
    case lists:any(fun is_busy/1, maps:values(Machines)) of
        false ->
            lists:foreach(fun({From, Which}) -> gen_server:reply(From, verdict(Which, State)) end, Waiting),
            State1 = State#state{waiting = [], phase = running},
            case Phase of
                starting -> tell(settled, State1);
                running -> State1
            end;
        true ->
            State
    end;
settle(State) ->
    State.

is_busy(#machine{status = Status, next = Next, configuring = Tag}) ->
    lists:member(Status, [waiting, starting, stopping]) orelse Next =/= stay orelse Tag =/= none.

verdict(Which, #state{machines = Machines, faults = Faults}) ->
    OfSwitches =
        case Which of
            all -> evum_lab_faults:problems(Faults);
            Names -> evum_lab_faults:problems(Names, Faults)
        end,
    OfMachines = [
        Problem
     || {Name, Machine} <- lists:sort(maps:to_list(Machines)),
        Which =:= all orelse lists:member(Name, Which),
        Problem <- machine_problems(Name, Machine)
    ],
    case OfSwitches ++ OfMachines of
        [] -> ok;
        Problems -> {error, Problems}
    end.

machine_problems(Name, #machine{status = Status, reason = Reason, lines = Lines, refused = Refused}) ->
    [problem(Name, Reason, Lines) || Status =:= failed] ++
        [{{machine, Name}, {configure, Refused}} || Refused =/= none].

%%% Change --------------------------------------------------------------------

changed(Description, #{name := Name} = Lab, From, #state{name = Own, lab = Old, waiting = Waiting} = State) ->
    case Name =:= none orelse Name =:= Own of
        true ->
            New = evum_lab_plan:keep_cards(Old, Lab#{name := Own, seed := kept_seed(Lab, Old)}),
            Steps = evum_lab_plan:plan(Old, New),
            Moved = moved(New, State),
            State1 = lists:foldl(fun step/2, State#state{description = Description}, Steps),
            State2 = lists:foldl(fun restart/2, State1, Moved),
            State3 = hosts(evum_lab_address:hosts(Old), evum_lab_address:hosts(New), State2),
            Names = [element(2, step_name(Step)) || Step <- Steps] ++ Moved,
            {noreply, go_on((retry(State3))#state{waiting = [{From, Names} | Waiting]})};
        false ->
            {reply, {error, [{lab, {bad_option, name, Name}}]}, State}
    end.

kept_seed(#{seed := random}, #{seed := Seed}) -> Seed;
kept_seed(#{seed := Seed}, _Old) -> Seed.

%% Machines that run on, of which an interface leads elsewhere now: a card cannot
%% be moved to another switch while its machine runs.
moved(#{machines := Specs} = New, #state{machines = Machines}) ->
    [
        Name
     || {Name, #machine{homes = Homes, runner = Runner}} <- lists:sort(maps:to_list(Machines)),
        is_pid(Runner),
        is_map_key(Name, Specs),
        lists:any(
            fun({Interface, Home}) ->
                case evum_lab_wiring:segment({Name, Interface}, New) of
                    Home -> false;
                    {loose, _} -> false;
                    _ -> true
                end
            end,
            maps:to_list(Homes)
        )
    ].

restart(Name, #state{machines = Machines} = State) ->
    #{Name := Machine} = Machines,
    put_machine(Name, again(shutdown, Machine), State).

step(Step, #state{lab = Lab, faults = Faults} = State) ->
    Name = step_name(Step),
    Left = evum_lab_faults:forget(element(2, Name), Faults),
    do(Step, Lab, tell({step, Name}, State#state{lab = evum_lab_plan:step(Step, Lab), faults = Left})).

step_name({Kind, #{ends := Ends}}) -> {Kind, Ends};
step_name(Step) -> {element(1, Step), element(2, Step)}.

do({add_machine, Name, _}, _Lab, #state{machines = Machines} = State) ->
    case Machines of
        %% one of that name is about to end
        #{Name := Machine} -> put_machine(Name, Machine#machine{next = start}, State);
        #{} -> put_machine(Name, #machine{}, State)
    end;
do({remove_machine, Name}, _Lab, #state{machines = Machines} = State) ->
    case Machines of
        #{Name := #machine{runner = undefined}} ->
            State#state{machines = maps:remove(Name, Machines)};
        #{Name := Machine} ->
            put_machine(Name, (finish(shutdown, Machine))#machine{next = remove}, State)
    end;
do({replace_machine, Name, _}, _Lab, State) ->
    restart(Name, State);
do({Kind, Name, New}, _Lab, #state{machines = Machines} = State) when Kind =:= configure; Kind =:= note_machine ->
    case Machines of
        #{Name := #machine{runner = Runner} = Machine} when is_pid(Runner) ->
            Tag = make_ref(),
            evum_lab_runner:configure(Runner, New, Tag),
            put_machine(Name, Machine#machine{configuring = Tag}, State);
        #{} ->
            State
    end;
do({replace_switch, Name, _}, _Lab, #state{machines = Machines, net = Net} = State) ->
    Of = [
        N
     || {N, #machine{homes = Homes, reason = Reason}} <- maps:to_list(Machines),
        lists:member({switch, Name}, maps:values(Homes)) orelse is_switch(Name, Reason)
    ],
    State1 = State#state{net = evum_lab_net:close({switch, Name}, Net)},
    lists:foldl(fun restart/2, State1, Of);
do(_Step, _Lab, State) ->
    State.

%% That a machine did not start for want of.
is_switch(Name, {switch, Name, _}) -> true;
is_switch(_Name, _Reason) -> false.

%% Machines that run on learn the addresses of others.
hosts(Same, Same, State) ->
    State;
hosts(_Old, New, #state{machines = Machines, lab = #{machines := Specs}} = State) ->
    Vms = [
        Vm
     || {Name, #machine{status = up, vm = Vm, next = stay}} <- maps:to_list(Machines),
        evum_lab_machine:has_hosts(maps:get(Name, Specs))
    ],
    _ = proc_lib:spawn_link(fun() -> lists:foreach(fun(Vm) -> evum:put(Vm, "/etc/hosts", New) end, Vms) end),
    State.

%%% The end -------------------------------------------------------------------

stop(How, #state{phase = Phase, machines = Machines} = State) when Phase =/= stopping ->
    _ = [evum_lab_runner:stop(Runner, How) || #machine{runner = Runner} <- maps:values(Machines), is_pid(Runner)],
    _ = erlang:start_timer(?STOP_TIMEOUT + shutdown_time(How, State), self(), stop),
    %% There may be none to wait for.
    self() ! stopped,
    State#state{phase = stopping};
stop(_How, State) ->
    State.

%% What the commands before the end may take, at most, ms.
shutdown_time(kill, _State) ->
    0;
shutdown_time(shutdown, #state{lab = #{machines := Specs}}) ->
    lists:max([0 | [length(Commands) * Ms || #{shutdown := Commands, startup_timeout := Ms} <- maps:values(Specs), is_integer(Ms)]]).

stopped(#state{machines = Machines, net = Net, waiting = Waiting, stopping = Stopping, failure = Failure} = State) ->
    case [Runner || #machine{runner = Runner} <- maps:values(Machines), is_pid(Runner)] of
        [] ->
            Net1 = evum_lab_net:close(Net),
            Verdict =
                case Failure of
                    none -> {error, stopped};
                    Problems -> {error, Problems}
                end,
            lists:foreach(fun({From, _}) -> gen_server:reply(From, Verdict) end, Waiting),
            lists:foreach(fun(From) -> gen_server:reply(From, ok) end, Stopping),
            State#state{net = Net1, waiting = [], stopping = [], phase = ended};
        _ ->
            State
    end.
