%% SPDX-License-Identifier: Apache-2.0
%% @doc The process that is one machine: it owns the port to `evum_guest'.
%%
%% What it decides is decided by pure modules: what the guest is to be by
%% {@link evum_machine}, what is a line by {@link evum_lines}, when something
%% is typed by {@link evum_typist}. {@link evum} is its API.
%%
%% It ends with reason `normal' when the machine was stopped or powered itself
%% off; otherwise with `{guest, {exit, Status} | {signal, Number}}',
%% `{panic, Text}', `{failed, Text}' when `evum_init' could not set the machine
%% up, or `{evum_guest, Status}' when that program died, with its exit status or
%% `epipe' where that was noticed by a write.
-module(evum_vm).
-behaviour(gen_server).

-export([start_link/1, await/1, send/3, puts/2, mconsole/2, stop/1, info/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2, terminate/2]).
-export([format_status/1]).

-include_lib("kernel/include/logger.hrl").

%% Console bytes under way between evum_guest and here.
-define(WINDOW, 65536).
%% Unread lines are no concern up to so many bytes for a machine ...
-define(UNREAD_FREE, 262144).
%% ... and beyond them while the owner has fewer messages than that waiting.
-define(OWNER_MESSAGES, 1000).
%% How often an owner who does not read is looked at, ms.
-define(OWNER_POLL, 10).
%% The machine ends within that time when told to, ms.
-define(STOP_TIMEOUT, 5000).
%% Who starts a machine asks what became of it within that time, ms.
-define(AWAIT_TIMEOUT, 5000).
%% What a line costs in the owner's mailbox beside its bytes.
-define(LINE_COST, 64).

-record(state, {
    machine :: evum_machine:machine(),
    kernel :: evum_kernel:kernel(),
    switch :: none | binary(),
    port :: port() | undefined,
    %% none once the owner has died
    owner :: pid() | none,
    phase = starting :: starting | running | stopping,
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
    lines = evum_lines:new() :: evum_lines:lines(),
    typist = evum_typist:new() :: evum_typist:typist(),
    typing :: reference() | undefined,
    %% callers of send/3, in the order of their typing; of none the line that
    %% comes next is the owner's
    callers = [] :: [{Ref :: reference(), gen_server:from(), Typed :: boolean()}],
    unread = 0 :: non_neg_integer(),
    %% credit kept back from evum_guest while the owner does not read
    held = 0 :: non_neg_integer(),
    polling = false :: boolean(),
    counters = #{lines => 0, bytes => 0, discarded => 0} :: #{atom() => non_neg_integer()}
}).

%% @private
-spec start_link({evum_machine:machine(), evum_kernel:kernel(), none | binary()}) ->
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
-spec puts(pid(), binary()) -> ok | {error, full}.
puts(Pid, Bytes) ->
    gen_server:call(Pid, {puts, Bytes}, infinity).

%% @doc A command for the machine's management console.
-spec mconsole(pid(), binary()) -> {ok, binary()} | {error, term()}.
mconsole(Pid, Command) ->
    gen_server:call(Pid, {mconsole, Command}, infinity).

%% @doc End the machine, and wait until nothing is left of it.
-spec stop(pid()) -> ok.
stop(Pid) ->
    gen_server:call(Pid, stop, infinity).

%% @doc What the machine is.
-spec info(pid()) -> map().
info(Pid) ->
    gen_server:call(Pid, info, infinity).

%% @private
-spec init({evum_machine:machine(), evum_kernel:kernel(), none | binary()}) ->
    {ok, #state{}, {continue, start}}.
init({#{owner := Owner} = Machine, Kernel, Switch}) ->
    %% A write to a port whose program has just died is an exit signal, too.
    process_flag(trap_exit, true),
    logger:set_process_metadata(#{domain => [evum], machine => maps:get(name, Machine)}),
    _ = monitor(process, Owner),
    Lpj = evum_lpj:recall(Kernel),
    {ok,
        #state{
            machine = Machine,
            kernel = Kernel#{lpj => Lpj},
            switch = Switch,
            owner = Owner,
            calibrating = Lpj =:= unknown
        },
        {continue, start}}.

%% @private
-spec handle_continue(start, #state{}) -> {noreply, #state{}}.
handle_continue(start, State) ->
    case claim(State) of
        {ok, State1} -> {noreply, open(State1)};
        {error, Reason} -> {noreply, failed(Reason, State)}
    end.

claim(#state{machine = #{name := Name} = Machine, switch = Switch} = State) ->
    case Name =:= none orelse evum_registry:claim({name, Name}) of
        {error, _} ->
            {error, {bad_option, name, Name}};
        _ ->
            case claim_mac(maps:get(mac, Machine), Switch) of
                {ok, Mac} -> {ok, State#state{machine = Machine#{mac := Mac}}};
                error -> {error, {bad_option, mac, maps:get(mac, Machine)}}
            end
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

open(#state{machine = #{cpu := Choice} = Machine0, kernel = Kernel, switch = Switch} = State0) ->
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
            ok = evum_port:request(
                Port, 0, start, evum_machine:start_request(Machine, Kernel, Switch)
            ),
            ok = evum_port:credit(Port, ?WINDOW),
            State#state{port = Port};
        {error, Reason} ->
            failed(Reason, State)
    end.

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
handle_call(await, _From, #state{phase = running} = State) ->
    {reply, ok, State};
handle_call(await, _From, #state{phase = stopping, reason = Reason} = State) ->
    _ = erlang:start_timer(0, self(), failed),
    {reply, {error, Reason}, State};
handle_call(stop, From, State) ->
    {noreply, stopping(From, State)};
handle_call(info, _From, State) ->
    {reply, describe(State), State};
handle_call(_Request, _From, #state{phase = stopping} = State) ->
    {reply, {error, stopped}, State};
handle_call({send, Line, Timeout}, From, State) ->
    {noreply, type_line(Line, Timeout, From, State)};
handle_call({puts, Bytes}, _From, #state{typist = Typist} = State) ->
    case evum_typist:type({bytes, Bytes}, none, Typist) of
        {ok, Effects, Typist1} -> {reply, ok, effects(Effects, State#state{typist = Typist1})};
        {error, full} -> {reply, {error, full}, State}
    end;
handle_call({mconsole, Command}, From, #state{booted = true} = State) ->
    {noreply, mconsole(From, Command, State)};
handle_call({mconsole, Command}, From, #state{early = Early} = State) ->
    {noreply, State#state{early = [{From, Command} | Early]}}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
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
handle_info({timeout, Timer, type}, #state{typing = Timer, typist = Typist} = State) ->
    {Effects, Typist1} = evum_typist:expired(Typist),
    {noreply, effects(Effects, State#state{typing = undefined, typist = Typist1})};
handle_info({timeout, _, {caller, Ref}}, State) ->
    {noreply, caller_gone(Ref, State)};
handle_info({timeout, _, owner_poll}, State) ->
    {noreply, give_credit(0, State#state{polling = false})};
handle_info({timeout, _, stop}, State) ->
    ?LOG_WARNING("evum_guest does not end; closing its port"),
    {stop, normal, State};
handle_info({'DOWN', _, process, Owner, _}, #state{owner = Owner} = State) ->
    {noreply, give_credit(0, State#state{owner = none})};
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

describe(#state{machine = Machine, kernel = Kernel, phase = Phase, os_pid = OsPid} = State) ->
    Machine#{
        kernel := maps:get(path, Kernel),
        switch := State#state.switch,
        phase => Phase,
        os_pid => OsPid,
        console => State#state.counters
    }.

stopping(From, #state{stopping = [], phase = Phase, port = Port} = State) when
    Phase =/= stopping, Port =/= undefined
->
    ok = evum_port:request(Port, 0, stop, none),
    _ = erlang:start_timer(?STOP_TIMEOUT, self(), stop),
    %% Whatever the console still shows is not waited for.
    give_credit(0, State#state{stopping = [From], phase = stopping, owner = none});
stopping(From, #state{stopping = Others} = State) ->
    State#state{stopping = [From | Others]}.

%%% The port ------------------------------------------------------------------

handle_port({data, Bytes}, State) ->
    {noreply, shown(Bytes, State)};
handle_port({reply, 0, {ok, OsPid}}, #state{awaiting = Awaiting} = State) ->
    lists:foreach(fun(From) -> gen_server:reply(From, ok) end, Awaiting),
    {noreply, State#state{phase = running, os_pid = OsPid, awaiting = []}};
handle_port({reply, 0, {error, {Step, Errno}}}, State) ->
    {noreply, failed(start_error(Step, Errno, State), State)};
handle_port({reply, Id, Result}, #state{requests = Requests} = State) ->
    case maps:take(Id, Requests) of
        {From, Rest} ->
            gen_server:reply(From, Result),
            {noreply, State#state{requests = Rest}};
        error ->
            {noreply, State}
    end;
handle_port({event, booted, _}, #state{early = Early, typist = Typist} = State) ->
    State1 = State#state{booted = true, early = [], typist = evum_typist:booting(Typist)},
    {noreply,
        lists:foldr(
            fun({From, Command}, Acc) -> mconsole(From, Command, Acc) end, State1, Early
        )};
handle_port({event, notify, <<"ready">>}, #state{typist = Typist} = State) ->
    {Effects, Typist1} = evum_typist:ready(Typist),
    {noreply, effects(Effects, State#state{typist = Typist1, calibrating = false})};
handle_port({event, notify, <<"failed ", What/binary>>}, State) ->
    {noreply, State#state{reason = {failed, What}}};
handle_port({event, panic, Text}, State) ->
    {noreply, State#state{reason = {panic, Text}}};
handle_port({event, exited, How}, #state{reason = normal} = State) when How =/= {exit, 0} ->
    {noreply, State#state{reason = {guest, How}}};
handle_port(_Other, State) ->
    {noreply, State}.

start_error(exec, Errno, #state{kernel = #{path := Path}}) ->
    {kernel, Path, Errno};
%% What the host denies to all who are not root, on some distributions.
start_error(namespaces, Errno, _State) ->
    {namespaces, Errno, "user namespaces: see doc/guide.md, Trouble"};
start_error(Step, Errno, _State) ->
    {Step, Errno}.

%% evum_guest has ended, and the guest with it.
ended(_Status, #state{stopping = [_ | _]} = State) ->
    {stop, normal, State};
ended(0, #state{phase = stopping} = State) ->
    {stop, normal, State};
ended(0, #state{reason = Reason} = State) ->
    {stop, Reason, State};
ended(Status, #state{phase = starting} = State) ->
    {noreply, failed({evum_guest, Status}, State)};
ended(Status, State) ->
    {stop, {evum_guest, Status}, State}.

mconsole(From, Command, #state{port = Port, next_id = Id, requests = Requests} = State) ->
    ok = evum_port:request(Port, Id, mconsole, Command),
    State#state{next_id = Id + 1, requests = Requests#{Id => From}}.

%%% Typing --------------------------------------------------------------------

type_line(Line, Timeout, From, #state{typist = Typist, callers = Callers} = State) ->
    Ref = make_ref(),
    case evum_typist:type({line, <<Line/binary, $\n>>}, Ref, Typist) of
        {ok, Effects, Typist1} ->
            _ = Timeout =:= infinity orelse
                erlang:start_timer(Timeout, self(), {caller, Ref}),
            effects(Effects, State#state{
                typist = Typist1, callers = Callers ++ [{Ref, From, false}]
            });
        {error, full} = Error ->
            gen_server:reply(From, Error),
            State
    end.

caller_gone(Ref, #state{callers = Callers} = State) ->
    case lists:keytake(Ref, 1, Callers) of
        {value, {Ref, From, _}, Rest} ->
            gen_server:reply(From, timeout),
            State#state{callers = Rest};
        false ->
            State
    end.

effects([], State) ->
    State;
effects([{write, Bytes, Ref} | Rest], #state{callers = Callers} = State) ->
    ok = evum_port:data(State#state.port, Bytes),
    Typed =
        case lists:keyfind(Ref, 1, Callers) of
            {Ref, From, false} -> lists:keyreplace(Ref, 1, Callers, {Ref, From, true});
            false -> Callers
        end,
    effects(Rest, give_credit(0, State#state{callers = Typed}));
effects([{timer, Ms} | Rest], #state{typing = Timer} = State) ->
    _ = Timer =:= undefined orelse erlang:cancel_timer(Timer),
    effects(Rest, State#state{typing = erlang:start_timer(Ms, self(), type)}).

%%% The console's lines -------------------------------------------------------

shown(Bytes, #state{lines = Lines, typist = Typist} = State) ->
    {Ended, Lines1} = evum_lines:feed(Bytes, Lines),
    State1 = lists:foldl(fun deliver/2, calibrate(Ended, State#state{lines = Lines1}), Ended),
    {Effects, Typist1} = evum_typist:shown(Ended =/= [], evum_lines:partial(Lines1), Typist),
    give_credit(byte_size(Bytes), effects(Effects, State1#state{typist = Typist1})).

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

deliver(Line, #state{callers = [{_, From, true} | Rest]} = State) ->
    gen_server:reply(From, Line),
    count(Line, State#state{callers = Rest});
deliver(Line, #state{owner = none} = State) ->
    count(Line, State, discarded);
deliver(Line, #state{owner = Owner, unread = Unread} = State) ->
    Owner ! Line,
    count(Line, State#state{unread = Unread + byte_size(Line) + ?LINE_COST}).

count(Line, State) ->
    count(Line, State, lines).

count(Line, #state{counters = #{bytes := Bytes} = Counters} = State, What) ->
    Counters1 = maps:update_with(What, fun(N) -> N + 1 end, Counters),
    State#state{counters = Counters1#{bytes := Bytes + byte_size(Line)}}.

%% Credit for what has been consumed: all of it goes back at once, unless the
%% owner has stopped reading; then none does until it reads again. A caller of
%% send/3 is waiting for a line, so that it counts as a reader.
give_credit(Bytes, #state{held = Held, port = Port} = State) ->
    Credit = Held + Bytes,
    case owner_reads(State) of
        true when Port =:= undefined ->
            State;
        true ->
            ok = evum_port:credit(Port, Credit),
            State#state{held = 0, unread = unread(State)};
        false ->
            poll_owner(State#state{held = Credit})
    end.

poll_owner(#state{polling = true} = State) ->
    State;
poll_owner(State) ->
    _ = erlang:start_timer(?OWNER_POLL, self(), owner_poll),
    State#state{polling = true}.

owner_reads(#state{owner = none}) -> true;
owner_reads(#state{callers = [{_, _, true} | _]}) -> true;
owner_reads(#state{unread = Unread}) when Unread < ?UNREAD_FREE -> true;
owner_reads(#state{owner = Owner}) -> owner_messages(Owner) < ?OWNER_MESSAGES.

unread(#state{unread = Unread}) when Unread < ?UNREAD_FREE -> Unread;
unread(_) -> 0.

owner_messages(Owner) ->
    case process_info(Owner, message_queue_len) of
        {message_queue_len, N} -> N;
        undefined -> 0
    end.
