%% SPDX-License-Identifier: Apache-2.0
%% @private
%% @doc The process that is one switch, between callers ({@link evum_switch}) and
%% its `evum_net'.
%%
%% `evum_net' keeps what was decided here and acts upon it by itself. What it
%% does not know comes up in batches: {@link evum_switch_core} decides on each
%% frame, and the answers go down in one message, with the credit for the
%% batch, so that what waits in the mailbox is bounded.
-module(evum_switch_server).
-behaviour(gen_server).

-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export([format_status/1]).

-include_lib("kernel/include/logger.hrl").

%% Frames that may be under way from evum_net to here, bytes: a few of its
%% batches, so that it gathers one while another is decided on.
-define(WINDOW, 1_048_576).
%% evum_net ends within that time when told to, ms.
-define(STOP_TIMEOUT, 2_000).
%% How much older than the ageing time an entry gets before its memory is
%% given back, at most, ms. Frames see it aged in time all the same.
-define(EXPIRE_INTERVAL, 1_000).
%% evum_net tells of a station that is seen all the time so often, at least,
%% ms; and at least four times in an ageing time.
-define(SEEN_EVERY_MAX, 10_000).
%% Lines about stations that moved, in that time, ms.
-define(NOTICES, 5).
-define(NOTICE_WINDOW, 10_000).

-record(listener, {
    id :: pos_integer(),
    %% of a TCP port: none
    path :: binary() | none,
    own_dir = false :: boolean(),
    %% monitors the process that it stands or falls with
    owner = none :: reference() | none
}).

%% A request that evum_net has not answered yet.
-type request() ::
    {listen, gen_server:from(), Path :: binary(), OwnDir :: boolean()}
    | {listen_stream, gen_server:from(), evum_switch_options:wire_address()}
    | {unlisten, gen_server:from() | nobody}
    | {connect | close, gen_server:from()}
    | {ports | counters | fdb | flush | told | ask | set_port | impair | block, gen_server:from()}
    | {hook, gen_server:from(), evum_switch_hooks:id()}
    | {unhook, evum_switch_hooks:id()}
    | dhcp
    | configure
    | named
    | seen.

-record(state, {
    name :: binary(),
    port :: port(),
    core :: evum_switch_core:core(),
    impaired :: evum_impair:table(),
    %% how often evum_net tells of a station that is seen all the time, ms
    seen_every :: pos_integer(),
    notices = {0, 0} :: {Since :: integer(), Count :: non_neg_integer()},
    listeners = [] :: [#listener{}],
    watchers = [] :: [{reference(), pid()}],
    requests = #{} :: #{pos_integer() => request()},
    next_id = 1 :: pos_integer()
}).

%% @private
-spec init(evum_switch_options:switch()) -> {ok, #state{}} | {stop, {shutdown, evum_switch:error()}}.
init(#{name := Name, ageing := Ageing, seed := Seed} = Description) ->
    %% for terminate/2, when a supervisor says so
    process_flag(trap_exit, true),
    logger:set_process_metadata(#{domain => [evum], switch => Name}),
    ok = enter(),
    case evum_port:open("evum_net") of
        {ok, Port} ->
            State = #state{
                name = Name,
                port = Port,
                core = evum_switch_core:new(Description),
                impaired = evum_impair:new(Seed),
                seen_every = max(1, min(Ageing div 4, ?SEEN_EVERY_MAX))
            },
            _ = erlang:send_after(?EXPIRE_INTERVAL, self(), expire),
            #{forward := Forward, fdb_size := Size, dhcp := Dhcp, poll := Poll} = Description,
            Configure = {Forward =:= relay, Size, Ageing},
            State1 = limits(
                Description, polling(Poll, request(configure, Configure, configure, State))
            ),
            ok = evum_port:credit(Port, ?WINDOW),
            {ok, serve_dhcp(Dhcp, State1)};
        {error, Reason} ->
            {stop, {shutdown, Reason}}
    end.

%% Without the application, which needs no registry, it is in no list.
enter() ->
    case erlang:whereis(evum_registry) of
        undefined -> ok;
        _ -> evum_registry:claim({switch, self()})
    end.

limits(#{bpdu := true, storm_limit := infinity}, State) ->
    State;
limits(#{bpdu := Bpdu, storm_limit := infinity}, State) ->
    request(limits, {Bpdu, 0}, configure, State);
limits(#{bpdu := Bpdu, storm_limit := Limit}, State) ->
    request(limits, {Bpdu, Limit}, configure, State).

polling(0, State) -> State;
polling(Us, State) -> request(poll, Us, configure, State).

serve_dhcp(true, State) ->
    {ok, Nat} = evum_uplink:nat(evum_uplink:dhcp_only()),
    request(nat, Nat, dhcp, State);
serve_dhcp(false, State) ->
    State.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(fdb, From, State) ->
    {noreply, request(seen, 0, {fdb, From}, State)};
handle_call({flush, all}, From, #state{core = Core} = State) ->
    State1 = State#state{core = evum_switch_core:flush(Core)},
    {noreply, request(flush, none, {flush, From}, State1)};
handle_call({flush, Id}, From, #state{core = Core} = State) ->
    {noreply, told(evum_switch_core:flush(Id, Core), From, State)};
handle_call({{add_static, Id}, Vlan, Mac}, From, #state{core = Core} = State) ->
    case evum_switch_core:add_static(Id, Vlan, Mac, Core) of
        {ok, Core1, Records} -> {noreply, told({Core1, Records}, From, State)};
        {error, _} = Error -> {reply, Error, State}
    end;
handle_call({forget, Vlan, Mac}, From, #state{core = Core} = State) ->
    {noreply, told(evum_switch_core:remove(Vlan, Mac, Core), From, State)};
handle_call({set_port, Id, Options}, From, #state{core = Core} = State) ->
    case evum_switch_core:set_port(Id, Options, Core) of
        {ok, Config, Core1} ->
            Request = evum_switch_options:port_request(Id, Config),
            {noreply, request(set_port, Request, {set_port, From}, State#state{core = Core1})};
        {error, _} = Error ->
            {reply, Error, State}
    end;
handle_call({impair, Id, Where, Options}, From, #state{core = Core, impaired = Table} = State) ->
    case {evum_switch_core:port(Id, Core), evum_impair:set(Id, Where, Options, Table)} of
        {{error, _} = Error, _} ->
            {reply, Error, State};
        {_, {error, _} = Error} ->
            {reply, Error, State};
        {{ok, _}, {ok, {In, Out}, Seed, Table1}} ->
            tell_seed(Id, Seed),
            State1 = State#state{impaired = Table1},
            {noreply, request(impair, {Id, In, Out}, {impair, From}, State1)}
    end;
handle_call({block, Pairs}, From, #state{core = Core} = State) ->
    case evum_switch_core:block(Pairs, Core) of
        {ok, Told, Core1} ->
            {noreply, request(block, Told, {block, From}, State#state{core = Core1})};
        {error, _} = Error ->
            {reply, Error, State}
    end;
handle_call(watch, {Pid, _}, #state{core = Core, watchers = Watchers} = State) ->
    Ports = [{Id, Kind, Peer} || {Id, {Kind, Peer}} <- maps:to_list(evum_switch_core:ports(Core))],
    {reply, lists:sort(Ports), State#state{watchers = [{monitor(process, Pid), Pid} | Watchers]}};
handle_call(name, _From, #state{name = Name} = State) ->
    {reply, Name, State};
handle_call(Query, From, State) when Query =:= ports; Query =:= counters ->
    {noreply, request(counters, none, {Query, From}, State)};
handle_call({hook, Conditions, Action}, From, #state{core = Core} = State) ->
    case evum_switch_hooks:add(Conditions, Action, evum_switch_core:hooks(Core)) of
        {ok, Id, Hook, Hooks} ->
            State1 = State#state{core = evum_switch_core:with_hooks(Hooks, Core)},
            Request = evum_switch_hooks:request(Hook),
            {noreply, request(hook, Request, {hook, From, Id}, State1)};
        full ->
            {reply, {error, too_many_hooks}, State}
    end;
handle_call({unhook, Id}, _From, #state{core = Core} = State) ->
    case evum_switch_hooks:remove(Id, evum_switch_core:hooks(Core)) of
        {ok, Hooks} ->
            State1 = State#state{core = evum_switch_core:with_hooks(Hooks, Core)},
            {reply, ok, request(unhook, Id, {unhook, Id}, State1)};
        error ->
            {reply, {error, no_hook}, State}
    end;
handle_call({ask, Op, Arg}, From, State) ->
    {noreply, request(Op, Arg, {ask, From}, State)};
handle_call({listen, Path, OwnDir}, From, State) ->
    {noreply, request(listen, {Path, OwnDir}, {listen, From, Path, OwnDir}, State)};
handle_call({listen_stream, Address, Trunk}, From, State) ->
    Request = {listen_stream, From, Address},
    {noreply, request(listen_stream, {Address, Trunk}, Request, State)};
handle_call({connect, Op, Arg}, From, State) ->
    {noreply, request(Op, Arg, {connect, From}, State)};
handle_call({close, Id}, From, State) ->
    {noreply, request(close, Id, {close, From}, State)};
handle_call({unlisten, Id}, From, State) ->
    {noreply, unlisten_id(Id, From, State)}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({inject, Id, Vlan, Frame}, #state{core = Core} = State) ->
    {noreply, tell({Core, evum_switch_core:inject(Id, Vlan, Frame, Core)}, State)};
handle_cast({count, Id, Reason}, #state{core = Core} = State) ->
    {noreply, State#state{core = evum_switch_core:count(Id, Reason, Core)}};
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({Port, {data, Packet}}, #state{port = Port} = State) ->
    message(evum_port:decode(Packet), State);
handle_info({Port, {exit_status, Status}}, #state{port = Port} = State) ->
    lost(Status, State);
handle_info({'EXIT', Port, Reason}, #state{port = Port} = State) ->
    %% A write noticed its end first; then there is no status.
    lost(Reason, State);
handle_info({'DOWN', Ref, process, _, _}, #state{listeners = Listeners} = State) ->
    case lists:keyfind(Ref, #listener.owner, Listeners) of
        #listener{id = Id} -> {noreply, unlisten_id(Id, nobody, State)};
        false -> {noreply, State#state{watchers = lists:keydelete(Ref, 1, State#state.watchers)}}
    end;
handle_info(expire, #state{seen_every = Every} = State) ->
    {noreply, request(seen, Every, seen, State)};
handle_info(_Message, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{port = Port}) ->
    %% evum_net closes all at the end of its stdin, too. This way its sockets are
    %% gone when stop/1 returns, and so is it.
    ok = evum_port:request(Port, 0, stop, none),
    receive
        {Port, {exit_status, _}} -> ok;
        {'EXIT', Port, _} -> ok
    after ?STOP_TIMEOUT -> ok
    end,
    evum_port:close(Port).

%% @private
%% @doc A table of 65536 stations helps nobody in a log.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{name = Name, core = Core}} = Status) ->
    Ports = evum_switch_core:ports(Core),
    Status#{state := {Name, Ports, {stations, evum_switch_core:size(Core)}}};
format_status(Status) ->
    Status.

%%% Messages of evum_net

message({data, Batch}, #state{port = Port, core = Core} = State) ->
    case evum_switch_core:frames(Batch, Core) of
        {ok, Answer, Notices, Core1} ->
            ok = evum_port:data(Port, Answer),
            {noreply, notice(Notices, State#state{core = Core1})};
        malformed ->
            {stop, {evum_net, malformed}, State}
    end;
message({event, port_up, {Id, Kind, Peer}}, #state{core = Core} = State) ->
    ?LOG_DEBUG("port ~b up: ~s, process ~b", [Id, Kind, Peer]),
    State1 = State#state{core = evum_switch_core:port_up(Id, Kind, Peer, Core)},
    {noreply, tell_watchers({port_up, {Id, Kind, Peer}}, name_port(Id, Peer, State1))};
message({event, capture_ended, {Id, Reason, Written, Dropped, File}}, State) ->
    capture_ended(Reason, Id, {Written, Dropped}, File),
    {noreply, State};
message({event, port_down, {Id, Reason}}, #state{core = Core} = State) ->
    ?LOG_DEBUG("port ~b down: ~s", [Id, Reason]),
    case evum_switch_core:ports(Core) of
        #{Id := {nat, _}} -> evum_dhcp_server:stop(self());
        #{} -> ok
    end,
    State1 = State#state{impaired = evum_impair:forget(Id, State#state.impaired)},
    State2 = tell(evum_switch_core:port_down(Id, Core), State1),
    {noreply, tell_watchers({port_down, Id}, State2)};
message({reply, Id, Result}, #state{requests = Requests} = State) ->
    {Request, Rest} = maps:take(Id, Requests),
    {noreply, answer(Request, Result, State#state{requests = Rest})};
message(_, State) ->
    {stop, {evum_net, malformed}, State}.

%% What captures call a port.
name_port(Id, Peer, State) ->
    case evum_registry:machine(Peer) of
        {ok, _, Called} -> request(name_port, {Id, Called}, named, State);
        none -> State
    end.

%% A reader that has had enough is no trouble.
capture_ended(Reason, Id, Counts, File) when Reason =:= ok; File =:= <<>> ->
    ?LOG_DEBUG("capture ~b ended: ~p, {written, dropped} ~p", [Id, Reason, Counts]);
capture_ended(Reason, _Id, {Written, Dropped}, File) ->
    ?LOG_WARNING("capture ended: ~ts: ~s, ~b frames written, ~b dropped", [
        File, Reason, Written, Dropped
    ]).

tell_watchers(What, #state{watchers = Watchers} = State) ->
    lists:foreach(fun({_, Pid}) -> Pid ! {evum_switch, self(), What} end, Watchers),
    State.

%% Send what a decision asks for.
tell({Core, Records}, #state{port = Port} = State) ->
    Records =/= [] andalso evum_port:data(Port, Records),
    State#state{core = Core}.

%% The same, and answer once evum_net has it: once it has answered what comes
%% behind that.
told(Decision, From, State) ->
    request(counters, none, {told, From}, tell(Decision, State)).

%% What nobody has chosen can be chosen the next time.
tell_seed(Id, {derived, Seed}) ->
    ?LOG_NOTICE("port ~b is impaired by chance, with seed ~b", [Id, Seed]);
tell_seed(_, _) ->
    ok.

notice(Notices, State) ->
    lists:foldl(fun notice_one/2, State, Notices).

notice_one({failed, Id}, State) ->
    request(unhook, Id, {unhook, Id}, State);
%% Guests can make stations move with each frame: a few lines will do.
notice_one({moved, Station, From, To}, #state{notices = {Since, Count}} = State) ->
    case now_ms() of
        Now when Now - Since >= ?NOTICE_WINDOW ->
            notice_one({moved, Station, From, To}, State#state{notices = {Now, 0}});
        _ when Count < ?NOTICES ->
            ?LOG_WARNING("station ~s, at port ~b before, is now at port ~b", [
                evum_mac:format(evum_fdb:mac(Station)), From, To
            ]),
            State#state{notices = {Since, Count + 1}};
        _ ->
            State
    end.

answer({listen, {Pid, _} = From, Path, OwnDir}, {ok, Id}, State) ->
    Listener = #listener{id = Id, path = Path, own_dir = OwnDir, owner = monitor(process, Pid)},
    gen_server:reply(From, {ok, Id}),
    State#state{listeners = [Listener | State#state.listeners]};
answer({listen, From, _, _}, {error, _} = Error, State) ->
    gen_server:reply(From, Error),
    State;
answer({listen_stream, From, Address}, {ok, {Id, TcpPort}}, State) ->
    Path =
        case Address of
            {unix, Bytes} -> Bytes;
            {inet, _, _} -> none
        end,
    gen_server:reply(From, {ok, Id, TcpPort}),
    State#state{listeners = [#listener{id = Id, path = Path} | State#state.listeners]};
answer({listen_stream, From, _}, {error, _} = Error, State) ->
    gen_server:reply(From, Error),
    State;
answer({Op, From}, Result, State) when Op =:= connect; Op =:= close ->
    gen_server:reply(From, Result),
    State;
answer({ask, From}, Result, State) ->
    gen_server:reply(From, Result),
    State;
answer(dhcp, {ok, _Port}, State) ->
    ok = evum_dhcp_server:start(self(), evum_uplink:dhcp(evum_uplink:dhcp_only())),
    State;
answer({unlisten, nobody}, _Result, State) ->
    State;
answer({unlisten, From}, Result, State) ->
    gen_server:reply(From, Result),
    State;
answer({ports, From}, {ok, {_, Counters}}, #state{core = Core} = State) ->
    Ports = maps:map(
        fun(Id, {Kind, Peer}) ->
            {ok, Config} = evum_switch_core:port(Id, Core),
            Impair = evum_impair:of_port(Id, State#state.impaired),
            Blocked = evum_switch_core:blocked(Id, Core),
            Port = Config#{kind => Kind, peer => Peer, impair => Impair, blocked => Blocked},
            maps:merge(evum_switch_core:drops(Id, Core), Port)
        end,
        evum_switch_core:ports(Core)
    ),
    gen_server:reply(From, {Ports, Counters}),
    State;
answer({counters, From}, {ok, {Counters, _}}, #state{core = Core} = State) ->
    gen_server:reply(From, [{moves, evum_switch_core:moves(Core)} | Counters]),
    State;
answer({told, From}, {ok, _}, State) ->
    gen_server:reply(From, ok),
    State;
answer({fdb, From}, {ok, {Now, Seen}}, #state{core = Core} = State) ->
    Core1 = evum_switch_core:seen(Now, Seen, Core),
    gen_server:reply(From, evum_switch_core:fdb(Now, Core1)),
    tell(evum_switch_core:expire(Now, Core1), State);
answer(seen, {ok, {Now, Seen}}, #state{core = Core} = State) ->
    _ = erlang:send_after(?EXPIRE_INTERVAL, self(), expire),
    tell(evum_switch_core:expire(Now, evum_switch_core:seen(Now, Seen, Core)), State);
answer({hook, From, Id}, ok, State) ->
    gen_server:reply(From, {ok, Id}),
    State;
answer({hook, From, Id}, {error, _} = Error, #state{core = Core} = State) ->
    {ok, Hooks} = evum_switch_hooks:remove(Id, evum_switch_core:hooks(Core)),
    gen_server:reply(From, Error),
    State#state{core = evum_switch_core:with_hooks(evum_switch_hooks:free(Id, Hooks), Core)};
answer({unhook, Id}, ok, #state{core = Core} = State) ->
    Hooks = evum_switch_hooks:free(Id, evum_switch_core:hooks(Core)),
    State#state{core = evum_switch_core:with_hooks(Hooks, Core)};
answer({Op, From}, {error, {port, enoent}}, State) when Op =:= set_port; Op =:= impair ->
    %% It has gone meanwhile; that it has is on its way.
    gen_server:reply(From, {error, no_port}),
    State;
answer({Op, From}, ok, State) when
    Op =:= flush; Op =:= set_port; Op =:= impair; Op =:= block
->
    gen_server:reply(From, ok),
    State;
answer(Op, ok, State) when Op =:= configure; Op =:= named ->
    State.

request(Op, Arg, Request, #state{port = Port, requests = Requests, next_id = Id} = State) ->
    ok = evum_port:request(Port, Id, Op, Arg),
    State#state{requests = Requests#{Id => Request}, next_id = Id + 1}.

unlisten_id(Id, From, #state{listeners = Listeners} = State) ->
    case lists:keytake(Id, #listener.id, Listeners) of
        {value, #listener{owner = Ref}, Rest} ->
            _ = Ref =/= none andalso demonitor(Ref, [flush]),
            request(unlisten, Id, {unlisten, From}, State#state{listeners = Rest});
        false ->
            From =:= nobody orelse gen_server:reply(From, {error, {listener, enoent}}),
            State
    end.

lost(Status, #state{listeners = Listeners} = State) ->
    lists:foreach(fun remove_files/1, Listeners),
    {stop, {evum_net, Status}, State#state{listeners = []}}.

%% What evum_net left behind when it was killed.
remove_files(#listener{path = none}) ->
    ok;
remove_files(#listener{path = Path, owner = none}) ->
    _ = file:delete(Path),
    ok;
remove_files(#listener{path = Path, own_dir = OwnDir}) ->
    Suffixes = [<<>>, <<".bess">>, <<".vhost">>, <<".fd">>],
    lists:foreach(fun(Suffix) -> file:delete(<<Path/binary, Suffix/binary>>) end, Suffixes),
    _ = OwnDir andalso file:del_dir(filename:dirname(Path)),
    ok.

now_ms() ->
    erlang:monotonic_time(millisecond).
