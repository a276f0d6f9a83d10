%% SPDX-License-Identifier: Apache-2.0
%% @doc A learning switch. Its ports are in `evum_net', one program a switch;
%% what happens to a frame is decided here.
%%
%% A batch of frames comes up, {@link evum_fdb} decides on each, and those that
%% go anywhere go down in one message. Credit for the batch is given back once
%% that is done, so that what waits in the mailbox is bounded.
%%
%% Options, a map or a property list:
%% <table>
%% <tr><td>`name'</td><td>a label for people: an atom, string or binary.
%%   Default: `"switch-N"'</td></tr>
%% <tr><td>`ageing'</td><td>milliseconds after which a station that was not
%%   heard of is forgotten. Default: 300 000</td></tr>
%% <tr><td>`fdb_size'</td><td>how many stations are remembered; the oldest
%%   goes first. Default: 65536</td></tr>
%% </table>
%% The application's environment overrides the defaults of `ageing' and
%% `fdb_size'.
%%
%% A switch that loses its `evum_net' ends with the reason `{evum_net, Status}',
%% its exit status, or `epipe' where that was noticed by a write.
-module(evum_switch).
-behaviour(gen_server).

-export([start/0, start/1, start_link/0, start_link/1, stop/1]).
-export([fdb/1, ports/1, counters/1, name/1]).
-export([listen/3, unlisten/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export([format_status/1]).

-export_type([options/0, error/0, station/0, port_info/0]).

-include_lib("kernel/include/logger.hrl").

%% Frames that may be under way from evum_net to here, bytes: a few of its
%% batches, so that it gathers one while another is decided on.
-define(WINDOW, 1_048_576).
%% evum_net gives back its socket files within that time when told to, ms.
-define(STOP_TIMEOUT, 2_000).
%% How much older than the ageing time an entry gets before its memory is
%% given back, at most, ms. Frames see it aged in time all the same.
-define(EXPIRE_INTERVAL, 1_000).

-type options() :: #{atom() => term()} | [atom() | {atom(), term()}].
-type error() :: {bad_option, Key :: term(), Value :: term()} | {no_program, file:filename_all()}.
%% `mac' in the form "02:00:00:00:00:01", `port' an id of {@link ports/1},
%% `age' in milliseconds since the last frame of that station.
-type station() :: #{mac := string(), port := evum_fdb:port_id(), age := non_neg_integer()}.
%% `peer' is the process id on the host, 0 where it is not known. `rx' counts
%% what came from the peer, `tx' what went to it: `rx_frames', `rx_bytes',
%% `rx_runts' (under 14 bytes) and `rx_giants' (over 65535), which are not
%% forwarded, `tx_frames', `tx_bytes', `tx_dropped' (the peer did not read) and
%% `tx_errors' (its socket refused).
-type port_info() :: #{
    id := evum_fdb:port_id(),
    kind := daemon | bess,
    peer := non_neg_integer(),
    rx_frames := non_neg_integer(),
    rx_bytes := non_neg_integer(),
    rx_runts := non_neg_integer(),
    rx_giants := non_neg_integer(),
    tx_frames := non_neg_integer(),
    tx_bytes := non_neg_integer(),
    tx_dropped := non_neg_integer(),
    tx_errors := non_neg_integer()
}.

-record(listener, {
    id :: pos_integer(),
    path :: binary(),
    own_dir :: boolean(),
    %% monitors the process that asked for it
    owner :: reference()
}).

%% A request that evum_net has not answered yet.
-type request() ::
    {listen, gen_server:from(), Path :: binary(), OwnDir :: boolean()}
    | {unlisten, gen_server:from() | nobody}
    | {ports | counters, gen_server:from()}.

-record(state, {
    name :: binary(),
    port :: port(),
    fdb :: evum_fdb:fdb(),
    ports = #{} :: #{evum_fdb:port_id() => {Kind :: atom(), Peer :: non_neg_integer()}},
    listeners = [] :: [#listener{}],
    requests = #{} :: #{pos_integer() => request()},
    next_id = 1 :: pos_integer()
}).

%% @equiv start(#{})
-spec start() -> {ok, pid()} | {error, error()}.
start() ->
    start(#{}).

%% @doc Start a switch that lives until it is stopped, whatever becomes of the
%% caller. The application is started if need be.
-spec start(options()) -> {ok, pid()} | {error, error() | term()}.
start(Options) ->
    case application:ensure_all_started(evum) of
        {ok, _} -> started(supervisor:start_child(evum_switch_sup, [Options]));
        {error, _} = Error -> Error
    end.

%% An error is no crash, and shall not be logged as one: hence `shutdown'.
started({ok, Pid}) when is_pid(Pid) -> {ok, Pid};
started({error, {shutdown, Reason}}) -> {error, Reason};
started({error, Reason}) -> {error, Reason}.

%% @equiv start_link(#{})
-spec start_link() -> {ok, pid()} | {error, error()}.
start_link() ->
    start_link(#{}).

%% @doc Start a switch and link it to the caller.
-spec start_link(options()) -> {ok, pid()} | {error, error()}.
start_link(Options) ->
    case describe(Options) of
        {ok, Description} ->
            started(gen_server:start_link(?MODULE, Description, []));
        {error, _} = Error ->
            Error
    end.

%% @doc Stop a switch. Its ports are closed and its sockets removed.
-spec stop(pid()) -> ok.
stop(Switch) ->
    gen_server:stop(Switch).

%% @doc The stations that the switch has learned, by address.
-spec fdb(pid()) -> [station()].
fdb(Switch) ->
    {Now, Fdb} = gen_server:call(Switch, fdb),
    [
        #{mac => format_mac(Mac), port => Port, age => Age}
     || {Mac, Port, Age} <- evum_fdb:to_list(Now, Fdb)
    ].

%% @doc The ports that are up, by id, with their counters.
-spec ports(pid()) -> [port_info()].
ports(Switch) ->
    {Ports, Counters} = gen_server:call(Switch, ports),
    [
        maps:merge(maps:from_list(Counts), #{id => Id, kind => Kind, peer => Peer})
     || {Id, Counts} <- lists:sort(Counters), {Kind, Peer} <- [maps:get(Id, Ports)]
    ].

%% @doc What became of the connections to the switch: `accepted',
%% `refused_limit', `refused_descriptors', and those that were closed for what
%% they sent: `bad_magic', `bad_version', `bad_type', `bad_address',
%% `short_request', `surplus_bytes', `timeout'.
-spec counters(pid()) -> #{atom() => non_neg_integer()}.
counters(Switch) ->
    maps:from_list(gen_server:call(Switch, counters)).

%% @doc The switch's name.
-spec name(pid()) -> binary().
name(Switch) ->
    gen_server:call(Switch, name).

%% @private
%% @doc Open a control socket at `Path', until it is closed or the caller has
%% died. With `OwnDir' the folder is removed, if empty, with the socket.
-spec listen(pid(), Path :: binary(), OwnDir :: boolean()) ->
    {ok, pos_integer()} | {error, {Step :: atom(), Errno :: atom()}}.
listen(Switch, Path, OwnDir) ->
    gen_server:call(Switch, {listen, Path, OwnDir}).

%% @private
-spec unlisten(pid(), pos_integer()) -> ok | {error, {Step :: atom(), Errno :: atom()}}.
unlisten(Switch, Listener) ->
    gen_server:call(Switch, {unlisten, Listener}).

%%% Options

describe(Options) when is_list(Options) ->
    try
        describe(maps:from_list(lists:reverse(proplists:unfold(Options))))
    catch
        error:badarg -> {error, {bad_option, options, Options}}
    end;
describe(Options) when is_map(Options) ->
    Environment = [{Key, Value} || Key <- [ageing, fdb_size], {ok, Value} <- [environment(Key)]],
    Given = maps:merge(maps:from_list(Environment), Options),
    try
        {ok, maps:map(fun option/2, Given)}
    catch
        throw:{bad_option, _, _} = Error -> {error, Error}
    end;
describe(Options) ->
    {error, {bad_option, options, Options}}.

environment(Key) ->
    case application:get_env(evum, Key) of
        undefined -> none;
        {ok, Value} -> {ok, Value}
    end.

option(name, Name) when is_atom(Name) -> atom_to_binary(Name);
option(name, Name) -> label(Name);
option(Key, Value) when Key =:= ageing; Key =:= fdb_size ->
    (is_integer(Value) andalso Value > 0) orelse throw({bad_option, Key, Value}),
    Value;
option(Key, Value) ->
    throw({bad_option, Key, Value}).

label(Name) ->
    try unicode:characters_to_binary(Name) of
        Label when is_binary(Label), Label =/= <<>> -> Label;
        _ -> throw({bad_option, name, Name})
    catch
        error:badarg -> throw({bad_option, name, Name})
    end.

default_name() ->
    N = erlang:unique_integer([positive, monotonic]),
    <<"switch-", (integer_to_binary(N))/binary>>.

%%% The process

%% @private
-spec init(map()) -> {ok, #state{}} | {stop, {shutdown, error()}}.
init(Description) ->
    %% for terminate/2, when a supervisor says so
    process_flag(trap_exit, true),
    Name = maps:get(name, Description, default_name()),
    logger:set_process_metadata(#{domain => [evum], switch => Name}),
    case evum_port:open("evum_net") of
        {ok, Port} ->
            ok = evum_port:credit(Port, ?WINDOW),
            _ = erlang:send_after(?EXPIRE_INTERVAL, self(), expire),
            {ok, #state{name = Name, port = Port, fdb = evum_fdb:new(Description)}};
        {error, Reason} ->
            {stop, {shutdown, Reason}}
    end.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(fdb, _From, #state{fdb = Fdb} = State) ->
    {reply, {now_ms(), Fdb}, State};
handle_call(name, _From, #state{name = Name} = State) ->
    {reply, Name, State};
handle_call(Query, From, State) when Query =:= ports; Query =:= counters ->
    {noreply, request(counters, none, {Query, From}, State)};
handle_call({listen, Path, OwnDir}, From, State) ->
    {noreply, request(listen, {Path, OwnDir}, {listen, From, Path, OwnDir}, State)};
handle_call({unlisten, Id}, From, State) ->
    {noreply, unlisten_id(Id, From, State)}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
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
        false -> {noreply, State}
    end;
handle_info(expire, #state{fdb = Fdb} = State) ->
    _ = erlang:send_after(?EXPIRE_INTERVAL, self(), expire),
    {noreply, State#state{fdb = evum_fdb:expire(now_ms(), Fdb)}};
handle_info(_Message, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{port = Port, listeners = Listeners}) ->
    %% evum_net removes its sockets at the end of its stdin, too. This way they
    %% are gone when stop/1 returns.
    lists:foreach(
        fun(#listener{id = Id}) -> ok = evum_port:request(Port, 0, unlisten, Id) end, Listeners
    ),
    await_unlistened(length(Listeners), Port, now_ms() + ?STOP_TIMEOUT),
    evum_port:close(Port).

await_unlistened(0, _Port, _Deadline) ->
    ok;
await_unlistened(N, Port, Deadline) ->
    receive
        {Port, {data, Packet}} ->
            case evum_port:decode(Packet) of
                {reply, 0, _} -> await_unlistened(N - 1, Port, Deadline);
                _ -> await_unlistened(N, Port, Deadline)
            end;
        {'EXIT', Port, _} ->
            ok
    after max(0, Deadline - now_ms()) ->
        ok
    end.

%% @private
%% @doc A table of 65536 stations helps nobody in a log.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{name = Name, ports = Ports, fdb = Fdb}} = Status) ->
    Status#{state := {Name, Ports, {stations, evum_fdb:size(Fdb)}}};
format_status(Status) ->
    Status.

%%% Messages of evum_net

message({data, Batch}, #state{port = Port} = State) ->
    case forward(Batch, State) of
        {ok, Out, Fdb} ->
            Out =/= [] andalso evum_port:data(Port, Out),
            ok = evum_port:credit(Port, byte_size(Batch)),
            {noreply, State#state{fdb = Fdb}};
        malformed ->
            {stop, {evum_net, malformed}, State}
    end;
message({event, port_up, {Id, Kind, Peer}}, #state{ports = Ports} = State) ->
    ?LOG_DEBUG("port ~b up: ~s, process ~b", [Id, Kind, Peer]),
    {noreply, State#state{ports = Ports#{Id => {Kind, Peer}}}};
message({event, port_down, {Id, Reason}}, #state{ports = Ports, fdb = Fdb} = State) ->
    ?LOG_DEBUG("port ~b down: ~s", [Id, Reason]),
    {noreply, State#state{ports = maps:remove(Id, Ports), fdb = evum_fdb:port_down(Id, Fdb)}};
message({reply, Id, Result}, #state{requests = Requests} = State) ->
    {Request, Rest} = maps:take(Id, Requests),
    {noreply, answer(Request, Result, State#state{requests = Rest})};
message(_, State) ->
    {stop, {evum_net, malformed}, State}.

%% The frames that go on, in the order in which they came in.
forward(Batch, #state{fdb = Fdb0, ports = Ports}) ->
    Now = now_ms(),
    Decide = fun(In, Frame, {Fdb, Flood, Out}) ->
        case evum_fdb:frame(Now, In, Frame, Fdb) of
            {{forward, To}, Fdb1} ->
                {Fdb1, Flood, [evum_frames:down(To, Frame) | Out]};
            {flood, Fdb1} ->
                {_, Others} = Flood1 = flood_list(In, Ports, Flood),
                {Fdb1, Flood1, [evum_frames:down(Others, Frame) | Out]};
            {filter, Fdb1} ->
                {Fdb1, Flood, Out}
        end
    end,
    case evum_frames:fold(Decide, {Fdb0, none, []}, Batch) of
        {ok, {Fdb, _, Out}} -> {ok, lists:reverse(Out), Fdb};
        malformed -> malformed
    end.

%% All ports but In, kept for the next frame: floods come in rows.
flood_list(In, _Ports, {In, _} = Flood) -> Flood;
flood_list(In, Ports, _) -> {In, evum_frames:ports([Id || Id <- maps:keys(Ports), Id =/= In])}.

answer({listen, {Pid, _} = From, Path, OwnDir}, {ok, Id}, State) ->
    Listener = #listener{id = Id, path = Path, own_dir = OwnDir, owner = monitor(process, Pid)},
    gen_server:reply(From, {ok, Id}),
    State#state{listeners = [Listener | State#state.listeners]};
answer({listen, From, _, _}, {error, _} = Error, State) ->
    gen_server:reply(From, Error),
    State;
answer({unlisten, nobody}, _Result, State) ->
    State;
answer({unlisten, From}, Result, State) ->
    gen_server:reply(From, Result),
    State;
answer({ports, From}, {ok, {_, Counters}}, #state{ports = Ports} = State) ->
    gen_server:reply(From, {Ports, Counters}),
    State;
answer({counters, From}, {ok, {Counters, _}}, State) ->
    gen_server:reply(From, Counters),
    State.

request(Op, Arg, Request, #state{port = Port, requests = Requests, next_id = Id} = State) ->
    ok = evum_port:request(Port, Id, Op, Arg),
    State#state{requests = Requests#{Id => Request}, next_id = Id + 1}.

unlisten_id(Id, From, #state{listeners = Listeners} = State) ->
    case lists:keytake(Id, #listener.id, Listeners) of
        {value, #listener{owner = Ref}, Rest} ->
            demonitor(Ref, [flush]),
            request(unlisten, Id, {unlisten, From}, State#state{listeners = Rest});
        false ->
            From =:= nobody orelse gen_server:reply(From, {error, {listener, enoent}}),
            State
    end.

lost(Status, #state{listeners = Listeners} = State) ->
    lists:foreach(fun remove_files/1, Listeners),
    {stop, {evum_net, Status}, State#state{listeners = []}}.

%% What evum_net left behind when it was killed.
remove_files(#listener{path = Path, own_dir = OwnDir}) ->
    _ = file:delete(Path),
    _ = file:delete(<<Path/binary, ".bess">>),
    _ = OwnDir andalso file:del_dir(filename:dirname(Path)),
    ok.

now_ms() ->
    erlang:monotonic_time(millisecond).

format_mac(Mac) ->
    Bytes = [io_lib:format("~2.16.0b", [Byte]) || <<Byte>> <= <<Mac:48>>],
    lists:flatten(lists:join($:, Bytes)).
