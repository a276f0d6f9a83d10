%% SPDX-License-Identifier: Apache-2.0
%% @doc Events of switches in the shape of the library `telemetry': a name, a map
%% of measurements, a map of metadata. They go to that library where it is
%% loaded, and to handlers that are attached here; evum depends on neither.
%%
%% <table>
%% <tr><td>`[evum, switch, stats]'</td><td>once a second for each switch: the sums of
%%   its ports' rates over the last second, a second each ({@link
%%   evum_rates:rate()}), and `ports', how many there are</td></tr>
%% <tr><td>`[evum, switch, port, stats]'</td><td>once a second for each port: its
%%   rates, with `total_rx_frames' and so on for the counters themselves</td></tr>
%% <tr><td>`[evum, switch, port, up]', `[evum, switch, port, down]'</td><td>a port has
%%   come, or gone, as seen once a second: `count' 1</td></tr>
%% </table>
%%
%% Metadata: `switch', its pid, and `name'; for a port also `port', its id, `kind'
%% and, where a machine is behind it, `machine'.
%%
%% Handlers run in a process of their own, which no switch waits for: events that
%% find 1000 messages in its queue are dropped. A handler that fails is detached,
%% with a line in the log. The application's environment attaches one,
%% `{telemetry, {Module, Function}}'.
-module(evum_telemetry).
-behaviour(gen_server).

-export([start_link/0, attach/2, detach/1]).
-export([emit/1, events/4]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([event/0, handler/0]).

-include_lib("kernel/include/logger.hrl").

-define(MESSAGES, 1000).

-type event() :: {[atom()], Measurements :: #{atom() => number()}, Metadata :: map()}.
%% Called with the three parts of an event.
-type handler() :: fun(([atom()], map(), map()) -> term()) | {module(), Function :: atom()}.

-record(state, {handlers = [] :: [{term(), handler()}]}).

%% @private
-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Have events go to a handler, under a name of your choice.
-spec attach(Id :: term(), handler()) -> ok | {error, already_exists | {bad_option, handler, term()}}.
attach(Id, Handler) ->
    case is_handler(Handler) of
        true -> gen_server:call(?MODULE, {attach, Id, Handler});
        false -> {error, {bad_option, handler, Handler}}
    end.

is_handler({Module, Function}) -> is_atom(Module) andalso is_atom(Function);
is_handler(Handler) -> is_function(Handler, 3).

%% @doc End that.
-spec detach(Id :: term()) -> ok | {error, not_found}.
detach(Id) ->
    gen_server:call(?MODULE, {detach, Id}).

%% @private
%% @doc Hand events on, unless they come faster than they are handled.
-spec emit([event()]) -> ok.
emit(Events) ->
    case erlang:whereis(?MODULE) of
        undefined ->
            ok;
        Pid ->
            case process_info(Pid, message_queue_len) of
                {message_queue_len, N} when N < ?MESSAGES -> gen_server:cast(Pid, {emit, Events});
                _ -> ok
            end
    end.

%% @private
%% @doc What is to be told of a switch, from its ports the last time and now.
-spec events(map(), Ports, Ports, #{Id => evum_rates:port_rates()}) -> [event()] when
    Ports :: #{Id => evum_switch:port_info()}, Id :: evum_fdb:port_id().
events(Switch, Before, Now, Rates) ->
    Gone = maps:without(maps:keys(Now), Before),
    Come = maps:without(maps:keys(Before), Now),
    #{second := Total} = evum_rates:total(maps:values(Rates)),
    [{[evum, switch, port, down], #{count => 1}, metadata(Switch, Port)} || Port <- by_id(Gone)] ++
        [{[evum, switch, port, up], #{count => 1}, metadata(Switch, Port)} || Port <- by_id(Come)] ++
        [{[evum, switch, stats], Total#{ports => map_size(Now)}, Switch}] ++
        [
            {[evum, switch, port, stats], measured(Port, Rates), metadata(Switch, Port)}
         || Port <- by_id(Now)
        ].

by_id(Ports) ->
    [Port || {_, Port} <- lists:sort(maps:to_list(Ports))].

metadata(Switch, #{id := Id, kind := Kind} = Port) ->
    maps:merge(Switch#{port => Id, kind => Kind}, maps:with([machine], Port)).

measured(#{id := Id} = Port, Rates) ->
    #{Id := #{second := Rate}} = Rates,
    #{rx_frames := RxF, rx_bytes := RxB, tx_frames := TxF, tx_bytes := TxB} = Port,
    Rate#{
        total_rx_frames => RxF,
        total_rx_bytes => RxB,
        total_tx_frames => TxF,
        total_tx_bytes => TxB,
        total_drops => evum_rates:drops(Port)
    }.

%%% The process

%% @private
-spec init([]) -> {ok, #state{}}.
init([]) ->
    logger:set_process_metadata(#{domain => [evum]}),
    Handlers =
        case application:get_env(evum, telemetry) of
            {ok, Handler} -> [{environment, Handler}];
            undefined -> []
        end,
    {ok, #state{handlers = [{Id, H} || {Id, H} <- Handlers, is_handler(H)]}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({attach, Id, Handler}, _From, #state{handlers = Handlers} = State) ->
    case lists:keymember(Id, 1, Handlers) of
        true -> {reply, {error, already_exists}, State};
        false -> {reply, ok, State#state{handlers = [{Id, Handler} | Handlers]}}
    end;
handle_call({detach, Id}, _From, #state{handlers = Handlers} = State) ->
    case lists:keytake(Id, 1, Handlers) of
        {value, _, Rest} -> {reply, ok, State#state{handlers = Rest}};
        false -> {reply, {error, not_found}, State}
    end.

%% @private
-spec handle_cast({emit, [event()]}, #state{}) -> {noreply, #state{}}.
handle_cast({emit, Events}, #state{handlers = Handlers} = State) ->
    Library = [{telemetry, {telemetry, execute}} || is_loaded()],
    Failed = [Id || {Id, Handler} <- Library ++ Handlers, not all_handled(Handler, Id, Events)],
    {noreply, State#state{handlers = [H || {Id, _} = H <- Handlers, not lists:member(Id, Failed)]}}.

is_loaded() ->
    erlang:function_exported(telemetry, execute, 3).

all_handled(Handler, Id, Events) ->
    try
        lists:foreach(fun(Event) -> handle(Handler, Event) end, Events),
        true
    catch
        Class:Reason ->
            ?LOG_WARNING("telemetry handler ~tp is detached: ~p", [Id, {Class, Reason}]),
            false
    end.

handle({Module, Function}, {Name, Measurements, Metadata}) ->
    Module:Function(Name, Measurements, Metadata);
handle(Handler, {Name, Measurements, Metadata}) ->
    Handler(Name, Measurements, Metadata).

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(_Message, State) ->
    {noreply, State}.
