%% SPDX-License-Identifier: Apache-2.0
%% @private
%% @doc Asks each switch once a second for its counters, so that {@link
%% evum_switch:stats/1} can tell rates, and {@link evum_telemetry} what goes on.
%%
%% It waits for no switch: one that has not answered yet is not asked again.
-module(evum_sampler).
-behaviour(gen_server).

-export([start_link/0, rates/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% ms
-define(INTERVAL, 1_000).

-record(switch, {
    name = <<>> :: binary(),
    rates = evum_rates:new() :: evum_rates:rates(),
    %% those that were there the last time
    ports = #{} :: #{evum_fdb:port_id() => evum_switch:port_info()},
    %% answers that have not come
    owed = 0 :: non_neg_integer()
}).

-record(state, {
    due :: integer(),
    switches = #{} :: #{pid() => #switch{}},
    requests = gen_server:reqids_new() :: gen_server:request_id_collection()
}).

%% @private
-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc The rates of a switch's ports; of one that is new, or unknown, none.
-spec rates(pid()) -> #{evum_fdb:port_id() => evum_rates:port_rates()}.
rates(Switch) ->
    gen_server:call(?MODULE, {rates, Switch}).

%% @private
-spec init([]) -> {ok, #state{}}.
init([]) ->
    {ok, next(#state{due = erlang:monotonic_time(millisecond)})}.

%% Not later and later: what a turn has taken is no part of the interval.
next(#state{due = Due} = State) ->
    Next = max(Due + ?INTERVAL, erlang:monotonic_time(millisecond)),
    _ = erlang:start_timer(Next, self(), sample, [{abs, true}]),
    State#state{due = Next}.

%% @private
-spec handle_call({rates, pid()}, gen_server:from(), #state{}) -> {reply, map(), #state{}}.
handle_call({rates, Switch}, _From, #state{switches = Switches} = State) ->
    case Switches of
        #{Switch := #switch{rates = Rates}} -> {reply, evum_rates:ports(Rates), State};
        #{} -> {reply, #{}, State}
    end.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({timeout, _, sample}, #state{switches = Switches} = State) ->
    Pids = evum_registry:switches(),
    State1 = State#state{switches = maps:with(Pids, Switches)},
    {noreply, next(lists:foldl(fun ask/2, State1, Pids))};
handle_info(Message, #state{requests = Requests} = State) ->
    case gen_server:check_response(Message, Requests, true) of
        {{reply, Reply}, {What, Pid}, Rest} ->
            {noreply, answered(What, Pid, Reply, State#state{requests = Rest})};
        {{error, _}, {_, Pid}, Rest} ->
            {noreply, State#state{
                requests = Rest, switches = maps:remove(Pid, State#state.switches)
            }};
        _ ->
            {noreply, State}
    end.

ask(Pid, #state{switches = Switches} = State) ->
    case Switches of
        #{Pid := #switch{owed = 0}} -> request([ports], Pid, State);
        #{Pid := _} -> State;
        #{} -> request([name, ports], Pid, State#state{switches = Switches#{Pid => #switch{}}})
    end.

request(Whats, Pid, #state{switches = Switches, requests = Requests} = State) ->
    #{Pid := Switch} = Switches,
    State#state{
        switches = Switches#{Pid := Switch#switch{owed = length(Whats)}},
        requests = lists:foldl(
            fun(What, Acc) -> gen_server:send_request(Pid, What, {What, Pid}, Acc) end,
            Requests,
            Whats
        )
    }.

answered(What, Pid, Reply, #state{switches = Switches} = State) ->
    case Switches of
        #{Pid := #switch{owed = Owed} = Switch} ->
            Switch1 = took(What, Pid, Reply, Switch#switch{owed = Owed - 1}),
            State#state{switches = Switches#{Pid := Switch1}};
        #{} ->
            State
    end.

took(name, _, Name, Switch) ->
    Switch#switch{name = Name};
took(ports, Pid, Reply, #switch{name = Name, rates = Rates, ports = Before} = Switch) ->
    Ports = evum_switch:port_infos(Reply),
    Rates1 = evum_rates:add(erlang:monotonic_time(millisecond), Ports, Rates),
    Now = maps:from_list([{Id, Port} || #{id := Id} = Port <- Ports]),
    ok = evum_telemetry:emit(
        evum_telemetry:events(#{switch => Pid, name => Name}, Before, Now, evum_rates:ports(Rates1))
    ),
    Switch#switch{rates = Rates1, ports = Now}.
