%% SPDX-License-Identifier: Apache-2.0
%% @doc The process that is one machine: it owns the port to `evum_guest'.
%%
%% What it decides is decided by pure modules: what the guest is to be by
%% {@link evum_machine}, who gets what of its console, and when, by
%% {@link evum_console}. {@link evum} is its API.
%%
%% It ends with reason `normal' when the machine was stopped or powered itself
%% off; otherwise with `{guest, {exit, Status} | {signal, Number}}',
%% `{panic, Text}', `{failed, Text}' when `evum_init' could not set the machine
%% up, or `{evum_guest, Status}' when that program died, with its exit status or
%% `epipe' where that was noticed by a write.
-module(evum_vm).
-behaviour(gen_server).

-export([start_link/1, await/1, send/3, puts/2, mconsole/2, stop/1, info/1]).
-export([control/2, subscribe/1, unsubscribe/1, transcript/1]).
-export([listen/3, read/3, unlisten/2, expected/2]).
-export([ready/2, request/3, tell_request/3, resize/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2, terminate/2]).
-export([format_status/1]).

-include_lib("kernel/include/logger.hrl").

%% Console bytes under way between evum_guest and here.
-define(WINDOW, 65536).
%% The same for the agent.
-define(AGENT_WINDOW, 262144).
%% Credit goes back in lots of that size: a lot is one write, and a wake-up of
%% evum_guest. What is not given back yet is far from all that it has.
-define(CREDIT_LOT, (?WINDOW div 4)).
%% The machine ends within that time when told to, ms.
-define(STOP_TIMEOUT, 5000).
%% Who starts a machine asks what became of it within that time, ms.
-define(AWAIT_TIMEOUT, 5000).

-record(state, {
    machine :: evum_machine:machine(),
    kernel :: evum_kernel:kernel(),
    port :: port() | undefined,
    %% exited: evum_guest has said so, and is about to end itself
    phase = starting :: starting | running | exited | stopping,
    os_pid :: integer() | undefined,
    booted = false :: boolean(),
    %% the kernel is about to print its delay loop's figure
    calibrating :: boolean(),
    next_id = 1 :: pos_integer(),
    %% requests that evum_guest has not answered yet
    requests = #{} :: #{pos_integer() => gen_server:from()},
    %% mconsole commands from before the kernel listens
    early = [] :: [{gen_server:from(), binary()}],
    awaiting = [] :: [gen_server:from()],
    stopping = [] :: [gen_server:from()],
    reason = normal :: term(),
    console :: evum_console:console(),
    %% that evum_guest is to get with the next lot
    credit = 0 :: non_neg_integer(),
    timers = #{} :: #{evum_console:tag() => reference()},
    monitors = #{} :: #{pid() => reference()},
    agent :: evum_agent:agent(),
    %% callers who wait for the agent
    unready = [] :: [gen_server:from()]
}).

%% @private
-spec start_link({evum_machine:machine(), evum_kernel:kernel()}) ->
    gen_server:start_ret().
start_link(Spec) ->
    gen_server:start_link(?MODULE, Spec, []).

%% @doc Wait until the machine exists, that is, its kernel runs.
-spec await(pid()) -> ok | {error, term()}.
await(Pid) ->
    gen_server:call(Pid, await, infinity).

%% @doc Type a line; the next line that the console shows, or `timeout'.
-spec send(pid(), binary(), timeout()) -> binary() | timeout | {error, full}.
send(Pid, Line, Timeout) ->
    gen_server:call(Pid, {send, Line, Timeout}, infinity).

%% @doc Type bytes.
-spec puts(pid(), binary()) -> ok | {error, full | stopped}.
puts(Pid, Bytes) ->
    gen_server:call(Pid, {puts, Bytes}, infinity).

%% @doc A command for the machine's management console.
-spec mconsole(pid(), binary()) -> {ok, binary()} | {error, term()}.
mconsole(Pid, Command) ->
    gen_server:call(Pid, {mconsole, Command}, infinity).

%% @doc Wait until the agent answers, or cannot be had.
-spec ready(pid(), timeout()) -> ok | {error, no_agent | timeout | term()}.
ready(Pid, Timeout) ->
    try
        gen_server:call(Pid, ready, Timeout)
    catch
        exit:{timeout, _} -> {error, timeout}
    end.

%% @doc Make a request to the agent, for {@link evum_request}. Its messages,
%% `{evum_agent, Key, Message}', come to the key, an alias of the caller.
-spec request(pid(), reference(), evum_agent:request()) -> ok | {error, term()}.
request(Pid, Key, Request) ->
    gen_server:call(Pid, {request, Key, Request}, infinity).

%% @doc Go on with a request.
-spec tell_request(pid(), reference(), Op) -> ok when
    Op :: {input, binary()} | eof | {window, pos_integer()} | cancel | abandon.
tell_request(Pid, Key, Op) ->
    gen_server:cast(Pid, {request, Key, Op}).

%% @doc Tell the console's terminal its size; programs in its foreground get
%% SIGWINCH. Where there is no agent, nobody is told.
-spec resize(pid(), Columns :: 1..65535, Rows :: 1..65535) -> ok.
resize(Pid, Columns, Rows) ->
    gen_server:cast(Pid, {resize, Columns, Rows}).

%% @doc End the machine, and wait until nothing is left of it.
-spec stop(pid()) -> ok.
stop(Pid) ->
    gen_server:call(Pid, stop, infinity).

%% @doc Give the console's lines to another process of this node.
-spec control(pid(), pid()) -> ok | {error, not_owner | not_local}.
control(Pid, Owner) ->
    gen_server:call(Pid, {control, Owner}, infinity).

%% @doc Send the console's lines to the caller, too.
-spec subscribe(pid()) -> ok | {error, not_local}.
subscribe(Pid) ->
    gen_server:call(Pid, subscribe, infinity).

%% @doc Send the caller no more lines.
-spec unsubscribe(pid()) -> ok.
unsubscribe(Pid) ->
    gen_server:call(Pid, unsubscribe, infinity).

%% @doc The last of what the console has shown.
-spec transcript(pid()) -> binary().
transcript(Pid) ->
    gen_server:call(Pid, transcript, infinity).

%% @doc Open a stream of the console's bytes to the caller, for what `For' waits
%% for; from where evum:expect/3 has got to, from the start of the line that is
%% not ended, or from now on. See {@link evum_console} for the messages.
-spec listen(pid(), For :: pid(), expected | line | now) ->
    {ok, reference(), evum_expect:position(), binary()} | {error, no_machine}.
listen(Pid, For, From) ->
    Ref = monitor(process, Pid),
    Stream = #{ref => Ref, pid => self(), for => For, lossy => false, from => From},
    try gen_server:call(Pid, {listen, Stream}, infinity) of
        {ok, Position, Bytes} -> {ok, Ref, Position, Bytes};
        {error, stopped} ->
            demonitor(Ref, [flush]),
            {error, no_machine}
    catch
        exit:{_, {gen_server, call, _}} ->
            demonitor(Ref, [flush]),
            {error, no_machine}
    end.

%% @doc So many bytes of a stream have been dealt with.
-spec read(pid(), reference(), non_neg_integer()) -> ok.
read(Pid, Ref, Bytes) ->
    gen_server:cast(Pid, {read, Ref, Bytes}).

%% @doc Close a stream; none of its messages are left.
-spec unlisten(pid(), reference()) -> ok.
unlisten(Pid, Ref) ->
    try
        gen_server:call(Pid, {unlisten, Ref}, infinity)
    catch
        exit:{_, {gen_server, call, _}} -> ok
    end,
    demonitor(Ref, [flush]),
    flush(Ref).

flush(Ref) ->
    receive
        {Ref, _} -> flush(Ref)
    after 0 -> ok
    end.

%% @doc evum:expect/3 need not look again at what is before a position.
-spec expected(pid(), evum_expect:position()) -> ok.
expected(Pid, Position) ->
    gen_server:cast(Pid, {expected, Position}).

%% @doc What the machine is.
-spec info(pid()) -> map().
info(Pid) ->
    gen_server:call(Pid, info, infinity).

%% @private
-spec init({evum_machine:machine(), evum_kernel:kernel()}) ->
    {ok, #state{}, {continue, start}}.
init({#{owner := Owner, transcript := Transcript} = Machine, Kernel}) ->
    %% A write to a port whose program has just died is an exit signal, too.
    process_flag(trap_exit, true),
    logger:set_process_metadata(#{domain => [evum], machine => maps:get(name, Machine)}),
    Lpj = evum_lpj:recall(Kernel),
    Agent = evum_kernel:has_serial(Kernel),
    {Effects, Console} = evum_console:new(Owner, maps:get(bytes, Transcript), Agent),
    {ok,
        effects(Effects, #state{
            machine = Machine,
            kernel = Kernel#{lpj => Lpj},
            console = Console,
            agent = evum_agent:new(Agent),
            calibrating = Lpj =:= unknown
        }),
        {continue, start}}.

%% @private
-spec handle_continue(start, #state{}) -> {noreply, #state{}}.
handle_continue(start, State) ->
    case claim(State) of
        {ok, State1} -> {noreply, open(State1)};
        {error, Reason} -> {noreply, failed(Reason, State)}
    end.

claim(#state{machine = #{name := Name, interfaces := Interfaces} = Machine} = State) ->
    ok = evum_registry:claim({machine, self()}),
    case Name =:= none orelse evum_registry:claim({name, Name}) of
        {error, _} ->
            {error, {bad_option, name, Name}};
        _ ->
            case claim_macs(Interfaces, []) of
                {ok, Claimed} -> record(State#state{machine = Machine#{interfaces := Claimed}});
                {error, Mac} -> {error, {bad_option, mac, Mac}}
            end
    end.

record(#state{machine = #{transcript := #{file := none}}} = State) ->
    {ok, State};
record(#state{machine = #{transcript := #{file := Path}}, console = Console} = State) ->
    Ref = make_ref(),
    case evum_transcript:start(Path, Ref) of
        {ok, Pid} ->
            Stream = #{ref => Ref, pid => Pid, for => Pid, lossy => true, from => now},
            {_, _, Effects, Console1} = evum_console:listen(Stream, Console),
            {ok, effects(Effects, State#state{console = Console1})};
        {error, _} ->
            {error, {bad_option, transcript, {file, Path}}}
    end.

claim_macs([], Claimed) ->
    {ok, lists:reverse(Claimed)};
claim_macs([#{mac := Given, switch := Switch} = Interface | Rest], Claimed) ->
    Twice = [Given || #{mac := Mac, switch := Path} <- Claimed, {Mac, Path} =:= {Given, Switch}],
    case Twice =:= [] andalso claim_mac(Given, Switch) of
        {ok, Mac} -> claim_macs(Rest, [Interface#{mac := Mac} | Claimed]);
        _ -> {error, Given}
    end.

%% Bit 1 of the first byte: locally administered (IEEE 802).
claim_mac(random, Switch) ->
    Mac = <<2, (rand:bytes(5))/binary>>,
    case claim_mac(Mac, Switch) of
        error -> claim_mac(random, Switch);
        Claimed -> Claimed
    end;
claim_mac(Mac, Switch) ->
    case evum_registry:claim({mac, Switch, Mac}) of
        ok -> {ok, Mac};
        {error, _} -> error
    end.

open(#state{machine = #{cpu := Choice} = Machine0, kernel = Kernel} = State0) ->
    %% Several CPUs of its own on one of the host's would only wait in turn.
    Cpus =
        case Machine0 of
            #{cpus := N} when N > 1, Choice =:= auto -> [];
            _ -> evum_cpus:place(Choice)
        end,
    Machine = Machine0#{cpu := Cpus},
    State = State0#state{machine = Machine},
    case evum_port:open("evum_guest") of
        {ok, Port} ->
            %% Before the request: evum_guest ends where that fails, and a write
            %% that finds it gone would lose its answer.
            ok = evum_port:credit(Port, ?WINDOW),
            %% Sockets that it hands over are its own.
            _ = [known_as(OsPid) || {os_pid, OsPid} <- [erlang:port_info(Port, os_pid)]],
            ok = evum_port:second_credit(Port, ?AGENT_WINDOW),
            ok = evum_port:request(
                Port, 0, start, evum_machine_start:request(Machine, Kernel)
            ),
            %% The guest has the files now
            State#state{port = Port, machine = Machine#{files := []}};
        {error, Reason} ->
            failed(Reason, State)
    end.

%% By its peer's process a switch knows whose port one is.
known_as(OsPid) ->
    _ = evum_registry:claim({os_pid, OsPid}),
    ok.

%% The machine does not come into being: say so to those who wait, and end;
%% where nobody has asked yet, the one who started it is about to.
failed(Reason, #state{awaiting = Awaiting} = State) ->
    Linger =
        case Awaiting of
            [] -> ?AWAIT_TIMEOUT;
            _ -> 0
        end,
    _ = erlang:start_timer(Linger, self(), failed),
    lists:foreach(fun(From) -> gen_server:reply(From, {error, Reason}) end, Awaiting),
    State#state{phase = stopping, reason = Reason, awaiting = []}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(await, From, #state{phase = starting, awaiting = Awaiting} = State) ->
    {noreply, State#state{awaiting = [From | Awaiting]}};
handle_call(await, _From, #state{phase = Phase} = State) when Phase =:= running; Phase =:= exited ->
    {reply, ok, State};
handle_call(await, _From, #state{phase = stopping, reason = Reason} = State) ->
    _ = erlang:start_timer(0, self(), failed),
    {reply, {error, Reason}, State};
handle_call(stop, From, State) ->
    {noreply, stopping(From, State)};
handle_call(info, _From, State) ->
    {reply, describe(State), State};
handle_call(_Request, _From, #state{phase = Phase} = State) when
    Phase =:= stopping; Phase =:= exited
->
    {reply, {error, stopped}, State};
handle_call({send, Line, Timeout}, From, #state{console = Console} = State) ->
    case evum_console:line(Line, Timeout, From, Console) of
        {ok, Effects, Console1} -> {noreply, effects(Effects, State#state{console = Console1})};
        {error, full} = Error -> {reply, Error, State}
    end;
handle_call({puts, Bytes}, _From, #state{console = Console} = State) ->
    case evum_console:bytes(Bytes, Console) of
        {ok, Effects, Console1} -> {reply, ok, effects(Effects, State#state{console = Console1})};
        {error, _} = Error -> {reply, Error, State}
    end;
handle_call({request, Key, Request}, {Pid, _}, #state{agent = Agent} = State) ->
    Watch = monitor(process, Pid),
    case evum_agent:request(Key, Watch, Request, Agent) of
        {ok, Effects, Agent1} ->
            {reply, ok, effects(Effects, State#state{agent = Agent1})};
        {error, _} = Error ->
            demonitor(Watch, [flush]),
            {reply, Error, State}
    end;
handle_call(ready, From, #state{agent = Agent, unready = Unready} = State) ->
    case evum_agent:state(Agent) of
        ready -> {reply, ok, State};
        waiting -> {noreply, State#state{unready = [From | Unready]}};
        {error, _} = Error -> {reply, Error, State}
    end;
handle_call({control, Owner}, _From, State) when node(Owner) =/= node() ->
    {reply, {error, not_local}, State};
handle_call(subscribe, {Pid, _}, State) when node(Pid) =/= node() ->
    {reply, {error, not_local}, State};
handle_call({control, Owner}, {Caller, _}, #state{console = Console} = State) ->
    case evum_console:control(Owner, Caller, Console) of
        {ok, Effects, Console1} -> {reply, ok, effects(Effects, State#state{console = Console1})};
        {error, _} = Error -> {reply, Error, State}
    end;
handle_call(subscribe, {Pid, _}, #state{console = Console} = State) ->
    {reply, ok, console(evum_console:subscribe(Pid, Console), State)};
handle_call(unsubscribe, {Pid, _}, #state{console = Console} = State) ->
    {reply, ok, console(evum_console:unsubscribe(Pid, Console), State)};
handle_call(transcript, _From, #state{console = Console} = State) ->
    {reply, evum_console:transcript(Console), State};
handle_call({listen, Stream}, _From, #state{console = Console} = State) ->
    {Position, Bytes, Effects, Console1} = evum_console:listen(Stream, Console),
    {reply, {ok, Position, Bytes}, effects(Effects, State#state{console = Console1})};
handle_call({unlisten, Ref}, _From, #state{console = Console} = State) ->
    {reply, ok, console(evum_console:unlisten(Ref, Console), State)};
handle_call({mconsole, Command}, From, #state{booted = true} = State) ->
    {noreply, mconsole(From, Command, State)};
handle_call({mconsole, Command}, From, #state{early = Early} = State) ->
    {noreply, State#state{early = [{From, Command} | Early]}}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({read, Ref, Bytes}, #state{console = Console} = State) ->
    {noreply, console(evum_console:read(Ref, Bytes, Console), State)};
handle_cast({expected, Position}, #state{console = Console} = State) ->
    {noreply, State#state{console = evum_console:expected(Position, Console)}};
handle_cast({resize, Columns, Rows}, #state{agent = Agent} = State) ->
    case evum_agent:request({resize, make_ref()}, none, {resize, Columns, Rows}, Agent) of
        {ok, Effects, Agent1} -> {noreply, effects(Effects, State#state{agent = Agent1})};
        {error, _} -> {noreply, State}
    end;
handle_cast({request, Key, Op}, #state{agent = Agent} = State) ->
    {noreply,
        agent(
            case Op of
                {input, Bytes} -> evum_agent:input(Key, Bytes, Agent);
                eof -> evum_agent:eof(Key, Agent);
                {window, Bytes} -> evum_agent:window(Key, Bytes, Agent);
                cancel -> evum_agent:cancel(Key, Agent);
                abandon -> evum_agent:abandon(Key, Agent)
            end,
            State
        )};
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({Port, {data, Packet}}, #state{port = Port} = State) ->
    handle_port(evum_port:decode(Packet), State);
handle_info({Port, {exit_status, Status}}, #state{port = Port} = State) ->
    ended(Status, State#state{port = undefined});
handle_info({'EXIT', Port, Reason}, #state{port = Port} = State) ->
    ended(Reason, State#state{port = undefined});
handle_info({'EXIT', Pid, Reason}, State) when is_pid(Pid), Reason =/= normal ->
    {stop, Reason, State};
handle_info({timeout, _, failed}, State) ->
    %% Told to whoever waited; for others there is nothing to mend.
    {stop, normal, State};
handle_info({timeout, Timer, {console, Tag}}, #state{timers = Timers} = State) ->
    case Timers of
        #{Tag := Timer} ->
            State1 = State#state{timers = maps:remove(Tag, Timers)},
            {noreply, console(evum_console:expired(Tag, State#state.console), State1)};
        #{} ->
            {noreply, State}
    end;
handle_info({timeout, _, stop}, State) ->
    ?LOG_WARNING("evum_guest does not end; closing its port"),
    {stop, normal, State};
handle_info({'DOWN', Watch, process, Pid, _}, #state{console = Console, agent = Agent} = State) ->
    State1 = console(evum_console:gone(Pid, Console), State),
    {noreply, agent(evum_agent:gone(Watch, Agent), State1)};
handle_info(_Message, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{port = Port, stopping = Stopping}) ->
    Port =:= undefined orelse evum_port:close(Port),
    lists:foreach(fun(From) -> gen_server:reply(From, ok) end, Stopping).

%% @private
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{machine = Machine, phase = Phase}} = Status) ->
    Status#{state := {Machine, Phase}};
format_status(Status) ->
    Status.

describe(#state{machine = #{interfaces := Interfaces} = Machine, kernel = Kernel, phase = Phase, os_pid = OsPid} = State) ->
    %% What the short form asked for
    First = fun(Key, None) ->
        case Interfaces of
            [#{Key := Value} | _] -> Value;
            [] -> None
        end
    end,
    Machine#{
        kernel := maps:get(path, Kernel),
        switch => First(switch, none),
        mac => First(mac, random),
        phase => Phase,
        os_pid => OsPid,
        console => evum_console:counters(State#state.console)
    }.

stopping(From, #state{stopping = [], phase = Phase, port = Port} = State) when
    Phase =/= stopping, Port =/= undefined
->
    ok = evum_port:request(Port, 0, stop, none),
    _ = erlang:start_timer(?STOP_TIMEOUT, self(), stop),
    %% Whatever the console still shows is not waited for.
    console(
        evum_console:release(State#state.console),
        State#state{stopping = [From], phase = stopping}
    );
stopping(From, #state{stopping = Others} = State) ->
    State#state{stopping = [From | Others]}.

%%% The port ------------------------------------------------------------------

handle_port({data, Bytes}, State) ->
    {noreply, shown(Bytes, State)};
handle_port({reply, 0, {ok, OsPid}}, #state{awaiting = Awaiting} = State) ->
    known_as(OsPid),
    lists:foreach(fun(From) -> gen_server:reply(From, ok) end, Awaiting),
    {noreply, State#state{phase = running, os_pid = OsPid, awaiting = []}};
handle_port({reply, 0, {error, {Step, Errno}}}, #state{machine = Machine, kernel = Kernel} = State) ->
    {noreply, failed(evum_machine_start:failure(Step, Errno, Machine, Kernel), State)};
handle_port({reply, Id, Result}, #state{requests = Requests} = State) ->
    case maps:take(Id, Requests) of
        {From, Rest} ->
            gen_server:reply(From, Result),
            {noreply, State#state{requests = Rest}};
        error ->
            {noreply, State}
    end;
handle_port({event, booted, _}, #state{early = Early, console = Console} = State0) ->
    State = agent(evum_agent:channel(booted, State0#state.agent), State0),
    State1 = State#state{booted = true, early = [], console = evum_console:booting(Console)},
    {noreply,
        lists:foldr(
            fun({From, Command}, Acc) -> mconsole(From, Command, Acc) end, State1, Early
        )};
handle_port({second, Bytes}, #state{agent = Agent} = State) ->
    {noreply, agent(evum_agent:feed(Bytes, Agent), State)};
handle_port({event, agent, Channel}, #state{agent = Agent} = State) ->
    {noreply, agent(evum_agent:channel(Channel, Agent), State)};
handle_port({event, notify, <<"ready">>}, #state{console = Console} = State) ->
    {noreply, console(evum_console:ready(Console), State#state{calibrating = false})};
handle_port({event, notify, <<"failed ", What/binary>>}, State) ->
    {noreply, State#state{reason = {failed, What}}};
%% Debian's kernel panics at times while it powers off, which is what evum_init
%% does once it has failed: why it failed is what is to be known.
handle_port({event, panic, _Text}, #state{reason = {failed, _}} = State) ->
    {noreply, State};
handle_port({event, panic, Text}, State) ->
    {noreply, State#state{reason = {panic, Text}}};
handle_port({event, exited, How}, #state{port = Port, reason = Reason} = State) ->
    %% It waits for that; its own end is awaited, so that nothing is left.
    ok = evum_port:request(Port, 0, stop, none),
    Reason1 =
        case Reason of
            normal when How =/= {exit, 0} -> {guest, How};
            _ -> Reason
        end,
    {noreply, State#state{phase = exited, reason = Reason1}};
handle_port(_Other, State) ->
    {noreply, State}.

%% evum_guest has ended, and the guest with it.
ended(_Status, #state{stopping = [_ | _]} = State) ->
    {stop, normal, State};
ended(0, #state{phase = stopping} = State) ->
    {stop, normal, State};
ended(_Status, #state{phase = exited, reason = Reason} = State) ->
    {stop, Reason, State};
ended(Status, #state{phase = starting} = State) ->
    {noreply, failed({evum_guest, Status}, State)};
ended(Status, State) ->
    {stop, {evum_guest, Status}, State}.

mconsole(From, Command, #state{port = Port, next_id = Id, requests = Requests} = State) ->
    ok = evum_port:request(Port, Id, mconsole, Command),
    State#state{next_id = Id + 1, requests = Requests#{Id => From}}.

%%% The console ---------------------------------------------------------------

shown(Bytes, #state{console = Console} = State) ->
    {Ended, Effects, Console1} = evum_console:output(Bytes, Console),
    effects(Effects, calibrate(Ended, State#state{console = Console1})).

%% Before init runs: what a program of the guest prints is not believed.
calibrate(Ended, #state{calibrating = true, kernel = Kernel} = State) ->
    case [Lpj || Line <- Ended, {ok, Lpj} <- [evum_lpj:find(Line)]] of
        [Lpj | _] ->
            ok = evum_lpj:learn(Kernel, Lpj),
            State#state{calibrating = false};
        [] ->
            State
    end;
calibrate(_Ended, State) ->
    State.

console({Effects, Console}, State) ->
    effects(Effects, State#state{console = Console}).

agent({Effects, Agent}, State) ->
    effects(Effects, State#state{agent = Agent}).

effects(Effects, State) ->
    lists:foldl(fun effect/2, State, Effects).

%% The port is gone for the last lines of a machine.
effect({Op, _}, #state{port = undefined} = State) when
    Op =:= write; Op =:= credit; Op =:= agent_send; Op =:= agent_credit
->
    State;
effect({agent_send, Bytes}, #state{port = Port} = State) ->
    ok = evum_port:second(Port, Bytes),
    State;
effect({agent_credit, Bytes}, #state{port = Port} = State) ->
    ok = evum_port:second_credit(Port, Bytes),
    State;
effect({agent_tell, console, {done, {exit, Unread}}}, #state{console = Console} = State) ->
    console(evum_console:unread(Unread band 16#ffff, Unread bsr 16 band 16#ff, Console), State);
effect({agent_tell, console, _}, #state{console = Console} = State) ->
    console(evum_console:unanswered(Console), State);
%% Nobody waits for it
effect({agent_tell, {resize, _}, _}, State) ->
    State;
effect({agent_tell, Key, Message}, State) ->
    Key ! {evum_agent, Key, Message},
    State;
effect({forget, Watch}, State) ->
    _ = is_reference(Watch) andalso demonitor(Watch, [flush]),
    State;
effect(ready, State) ->
    answer_unready(ok, State);
effect({bad, Reason}, State) ->
    answer_unready({error, Reason}, State);
effect(ask, #state{agent = Agent, console = Console} = State) ->
    case evum_agent:request(console, none, unread, Agent) of
        {ok, Effects, Agent1} -> effects(Effects, State#state{agent = Agent1});
        {error, _} -> console(evum_console:unanswered(Console), State)
    end;
effect({write, Bytes}, #state{port = Port} = State) ->
    ok = evum_port:data(Port, Bytes),
    State;
effect({credit, Bytes}, #state{credit = Credit} = State) when Credit + Bytes < ?CREDIT_LOT ->
    State#state{credit = Credit + Bytes};
effect({credit, Bytes}, #state{port = Port, credit = Credit} = State) ->
    ok = evum_port:credit(Port, Credit + Bytes),
    State#state{credit = 0};
effect({lines, Pid, Lines}, State) ->
    lists:foreach(fun(Line) -> Pid ! Line end, Lines),
    State;
effect({send, Pid, Message}, State) ->
    Pid ! Message,
    State;
effect({tell, Pid, What}, State) ->
    Pid ! {evum, self(), What},
    State;
effect({monitor, Pid}, #state{monitors = Monitors} = State) ->
    State#state{monitors = Monitors#{Pid => monitor(process, Pid)}};
effect({demonitor, Pid}, #state{monitors = Monitors} = State) ->
    {Ref, Rest} = maps:take(Pid, Monitors),
    demonitor(Ref, [flush]),
    State#state{monitors = Rest};
effect({reply, From, Reply}, State) ->
    gen_server:reply(From, Reply),
    State;
effect({timer, Tag, Ms}, #state{timers = Timers} = State) ->
    _ = [erlang:cancel_timer(Old) || #{Tag := Old} <- [Timers]],
    Timer = erlang:start_timer(Ms, self(), {console, Tag}),
    State#state{timers = Timers#{Tag => Timer}};
effect({look, Pid}, #state{console = Console} = State) ->
    console(evum_console:looked(Pid, messages(Pid), Console), State).

answer_unready(Answer, #state{unready = Unready} = State) ->
    lists:foreach(fun(From) -> gen_server:reply(From, Answer) end, Unready),
    State#state{unready = []}.

messages(Pid) ->
    case process_info(Pid, message_queue_len) of
        {message_queue_len, N} -> N;
        undefined -> 0
    end.
