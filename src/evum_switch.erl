%% SPDX-License-Identifier: Apache-2.0
%% @doc A learning switch. Its ports are in `evum_net', one program a switch;
%% what happens to a frame is decided here.
%%
%% `evum_net' keeps what was decided here and acts upon it by itself. What it
%% does not know comes up in batches: {@link evum_switch_core} decides on each
%% frame, and the answers go down in one message, with the credit for the
%% batch, so that what waits in the mailbox is bounded.
%% {@link evum_switch_options} lists the options.
%%
%% A switch that loses its `evum_net' ends with the reason `{evum_net, Status}',
%% its exit status, or `epipe' where that was noticed by a write.
-module(evum_switch).
-behaviour(gen_server).

-export([start/0, start/1, start_link/0, start_link/1, stop/1]).
-export([fdb/1, ports/1, counters/1, name/1, set_port/3]).
-export([flush/1, flush/2, add_static/4, forget/3]).
-export([hook/3, unhook/2]).
-export([listen/3, unlisten/2, ask/3, connect/3, close_port/2, serve/3]).
-export([uplink/3, forward/4, unforward/3, forwards/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export([format_status/1]).

-export_type([options/0, error/0, station/0, port_info/0]).

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

-type options() :: evum_switch_options:options().
-type error() :: evum_switch_options:error() | {no_program, file:filename_all()}.
%% `mac' in the form "02:00:00:00:00:01", `port' an id of {@link ports/1},
%% `age' in milliseconds since the last frame of that station, `vlan' 0 where
%% the port has none.
-type station() :: #{
    mac := string(),
    vlan := evum_fdb:vlan(),
    port := evum_fdb:port_id(),
    age := non_neg_integer() | static
}.
%% `peer' is the process id on the host, 0 where it is not known. `rx' counts
%% what came from the peer, `tx' what went to it: `rx_frames', `rx_bytes',
%% `rx_runts' (under 14 bytes) and `rx_giants' (over 65535), which are not
%% forwarded, `rx_dropped' (no room until the switch took them), `tx_frames', `tx_bytes', `tx_dropped' (the peer did not read) and
%% `tx_errors' (its socket refused); `rx_down' and `tx_down', while the port was
%% set down, and where there were any `rx_mac_limit' and `rx_hook_dropped'. The
%% settings are those of {@link set_port/3}.
-type port_info() :: #{
    id := evum_fdb:port_id(),
    kind := daemon | bess | fd | vhost | stream | dgram | trunk | nat,
    peer := non_neg_integer(),
    up := boolean(),
    isolated := boolean(),
    learning := boolean(),
    mac_limit := infinity | non_neg_integer(),
    rx_frames := non_neg_integer(),
    rx_bytes := non_neg_integer(),
    rx_runts := non_neg_integer(),
    rx_giants := non_neg_integer(),
    rx_dropped := non_neg_integer(),
    tx_frames := non_neg_integer(),
    tx_bytes := non_neg_integer(),
    tx_dropped := non_neg_integer(),
    tx_errors := non_neg_integer(),
    rx_down := non_neg_integer(),
    tx_down := non_neg_integer()
}.

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
    | {ports | counters | fdb | flush | ask | set_port, gen_server:from()}
    | {hook, gen_server:from(), evum_switch_hooks:id()}
    | {unhook, evum_switch_hooks:id()}
    | dhcp
    | configure
    | seen.

-record(state, {
    name :: binary(),
    port :: port(),
    core :: evum_switch_core:core(),
    %% how often evum_net tells of a station that is seen all the time, ms
    seen_every :: pos_integer(),
    notices = {0, 0} :: {Since :: integer(), Count :: non_neg_integer()},
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
    case evum_switch_options:switch(Options) of
        {ok, Description} ->
            started(gen_server:start_link(?MODULE, Description, []));
        {error, _} = Error ->
            Error
    end.

%% @doc Stop a switch. Its ports are closed and its sockets removed.
-spec stop(pid()) -> ok.
stop(Switch) ->
    gen_server:stop(Switch).

%% @doc The stations that the switch knows, by VLAN and address.
-spec fdb(pid()) -> [station()].
fdb(Switch) ->
    [
        #{
            mac => format_mac(evum_fdb:mac(Station)),
            vlan => evum_fdb:vlan(Station),
            port => Port,
            age => Age
        }
     || {Station, Port, Age} <- gen_server:call(Switch, fdb)
    ].

%% @doc Forget all stations that were learned. Frames that come after that are
%% flooded.
-spec flush(pid()) -> ok.
flush(Switch) ->
    gen_server:call(Switch, {flush, all}).

%% @doc Forget the stations that were learned at a port.
-spec flush(pid(), evum_fdb:port_id()) -> ok.
flush(Switch, Port) ->
    gen_server:call(Switch, {flush, Port}).

%% @doc A station is at a port, for as long as there is the port, whatever is
%% heard of it. The address is text or six bytes, the VLAN 0 where the port has
%% none.
-spec add_static(pid(), evum_fdb:port_id(), evum_fdb:vlan(), Mac :: string() | <<_:48>>) ->
    ok | {error, no_port | not_a_member | {bad_option, mac | vlan, term()}}.
add_static(Switch, Port, Vlan, Mac) ->
    station_call(Switch, {add_static, Port}, Vlan, Mac).

%% @doc Forget a station, static or learned.
-spec forget(pid(), evum_fdb:vlan(), Mac :: string() | <<_:48>>) ->
    ok | {error, {bad_option, mac | vlan, term()}}.
forget(Switch, Vlan, Mac) ->
    station_call(Switch, forget, Vlan, Mac).

%% @doc Look at frames, and decide about them.
%%
%% `Where' tells which: `all' that come in, those that come `{in, Port}', go
%% `{out, Port}' or do either, `{port, Port}', those that a filter matches,
%% `{bpf, "tcp port 80"}' (pcap-filter(7); give addresses, not names), or a
%% list: all of that at once. Only those frames leave the fast path.
%%
%% `What' is a function of the frame or of the frame and {@link
%% evum_hook:info()}, or a module with `handle_frame/2' ({@link evum_hook}); its
%% value is `forward', `drop', `{rewrite, Frame}' or `{to, Ports}'. Code that is
%% loaded anew is used from the next frame on, but for local functions.
%% `{observer, What}' gets copies, and frames do not wait for it; a process
%% gets them as `{evum_frame, Info, Frame}', and none while it has 1000 messages
%% waiting.
%%
%% A hook that fails, or returns something else, is removed with a line in the
%% log; the frame is forwarded.
-spec hook(pid(), evum_switch_hooks:where(), evum_switch_hooks:what()) ->
    {ok, evum_switch_hooks:id()}
    | {error, {bad_option, where | hook, term()} | {bpf, binary()} | too_many_hooks}.
hook(Switch, Where, What) ->
    case {evum_switch_hooks:where(Where), evum_switch_hooks:what(What)} of
        {{ok, Conditions}, {ok, Action}} -> gen_server:call(Switch, {hook, Conditions, Action});
        {error, _} -> {error, {bad_option, where, Where}};
        {_, error} -> {error, {bad_option, hook, What}}
    end.

%% @doc Take a hook away. Frames that come after that do not meet it.
-spec unhook(pid(), evum_switch_hooks:id()) -> ok | {error, no_hook}.
unhook(Switch, Hook) ->
    gen_server:call(Switch, {unhook, Hook}).

station_call(Switch, Request, Vlan, Mac) ->
    case {parse_mac(Mac), is_integer(Vlan) andalso Vlan >= 0 andalso Vlan < 4095} of
        {{ok, Number}, true} -> gen_server:call(Switch, {Request, Vlan, Number});
        {error, _} -> {error, {bad_option, mac, Mac}};
        {_, false} -> {error, {bad_option, vlan, Vlan}}
    end.

%% @doc The ports that are up, by id, with their counters.
-spec ports(pid()) -> [port_info()].
ports(Switch) ->
    {Ports, Counters} = gen_server:call(Switch, ports),
    [
        maps:merge_with(fun(_, A, B) -> A + B end, maps:from_list(Counts), Port#{id => Id})
     || {Id, Counts} <- lists:sort(Counters), Port <- [maps:get(Id, Ports)]
    ].

%% @doc Change how a port is: `up', `isolated', `learning' and `mac_limit', see
%% {@link evum_switch_options:port/2}. What is not named stays as it is. The
%% stations that were learned at the port are forgotten; frames that come after
%% that meet the port as it is now.
-spec set_port(pid(), evum_fdb:port_id(), #{atom() => term()}) ->
    ok | {error, no_port | {bad_option, Key :: term(), Value :: term()}}.
set_port(Switch, Port, Options) ->
    gen_server:call(Switch, {set_port, Port, Options}).

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

%% @doc Open a way out. Returns the id of its port, which is closed with the
%% switch. The one kind is `nat', which needs no privilege: guests reach the
%% world through sockets of evum_net, find a gateway, a resolver and, by DHCP
%% and router advertisements, their addresses. A switch has one at most; see
%% {@link evum_uplink} for the options and errors.
-spec uplink(pid(), nat, evum_uplink:options()) ->
    {ok, evum_fdb:port_id()} | {error, evum_uplink:error()}.
uplink(Switch, Kind, Options) ->
    evum_uplink:open(Switch, Kind, Options).

%% @doc Hand connections, or datagrams, that come to an address and port of the
%% host on to one of a guest. `{error, {forward, {Protocol, Host}, Errno}}':
%% `eaddrinuse' where somebody listens there, `enotconn' where the switch has no
%% `nat', `eopnotsupp' for `udp' where that is restricted, `enobufs' beyond 1024
%% of them.
-spec forward(pid(), tcp | udp, Host, Guest) -> ok | {error, evum_uplink:error()} when
    Host :: evum_uplink:end_point(), Guest :: evum_uplink:end_point().
forward(Switch, Protocol, Host, Guest) ->
    evum_uplink:forward(Switch, Protocol, Host, Guest).

%% @doc End a forward; connections that came by it stay. `enoent' where there is
%% none.
-spec unforward(pid(), tcp | udp, Host :: evum_uplink:end_point()) ->
    ok | {error, evum_uplink:error()}.
unforward(Switch, Protocol, Host) ->
    evum_uplink:unforward(Switch, Protocol, Host).

%% @doc The forwards of a switch.
-spec forwards(pid()) -> [{tcp | udp, Host, Guest}] when
    Host :: {inet:ip_address(), inet:port_number()},
    Guest :: {inet:ip_address(), inet:port_number()}.
forwards(Switch) ->
    evum_uplink:forwards(Switch).

%% @private
%% @doc Ask evum_net; for the modules of a switch.
-spec ask(pid(), atom(), term()) -> ok | {ok, term()} | {error, term()}.
ask(Switch, Op, Arg) ->
    gen_server:call(Switch, {ask, Op, Arg}).

%% @private
%% @doc Open a control socket at `Path', until it is closed or the caller has
%% died. With `OwnDir' the folder is removed, if empty, with the socket.
-spec serve(pid(), Path :: binary(), OwnDir :: boolean()) ->
    {ok, pos_integer()} | {error, {Step :: atom(), Errno :: atom()}}.
serve(Switch, Path, OwnDir) ->
    gen_server:call(Switch, {listen, Path, OwnDir}).

%% @doc Take ports from whoever connects to an address, until {@link
%% unlisten/2} or the end of the switch. `stream': frames with their length in
%% front, 4 bytes, big-endian, as QEMU's `-netdev stream' and passt speak;
%% `trunk': the same, for another switch. TCP port 0 means any; which one it is,
%% is returned.
-spec listen(pid(), stream | trunk, evum_switch_options:address()) ->
    {ok, Listener :: pos_integer(), inet:port_number()}
    | {error, {bad_option, kind | address, term()} | {Step :: atom(), Errno :: atom()}}.
listen(Switch, Kind, Address) when Kind =:= stream; Kind =:= trunk ->
    case evum_switch_options:address(tcp, Address) of
        {ok, Wire} -> gen_server:call(Switch, {listen_stream, Wire, Kind =:= trunk});
        error -> {error, {bad_option, address, Address}}
    end;
listen(_Switch, Kind, _Address) ->
    {error, {bad_option, kind, Kind}}.

%% @doc Make a port by connecting to a peer. `stream' and `trunk' as for {@link
%% listen/3}; `dgram' is between two addresses, `{Local, Peer}', a frame a
%% datagram, as QEMU's `-netdev dgram' has it. It waits up to 5 s for a TCP
%% peer; the switch does not.
-spec connect(
    pid(),
    stream | trunk | dgram,
    evum_switch_options:address()
    | {Local :: evum_switch_options:address(), Peer :: evum_switch_options:address()}
) ->
    {ok, evum_fdb:port_id()}
    | {error, {bad_option, kind | address, term()} | {Step :: atom(), Errno :: atom()}}.
connect(Switch, Kind, Address) ->
    case connect_request(Kind, Address) of
        {ok, Op, Arg} -> gen_server:call(Switch, {connect, Op, Arg}, infinity);
        {bad, Key, Value} -> {error, {bad_option, Key, Value}}
    end.

connect_request(dgram, Addresses) ->
    case evum_switch_options:addresses(Addresses) of
        {ok, Wire} -> {ok, connect_dgram, Wire};
        error -> {bad, address, Addresses}
    end;
connect_request(Kind, Address) when Kind =:= stream; Kind =:= trunk ->
    case evum_switch_options:address(tcp, Address) of
        {ok, Wire} -> {ok, connect_stream, {Wire, Kind =:= trunk}};
        error -> {bad, address, Address}
    end;
connect_request(Kind, _) ->
    {bad, kind, Kind}.

%% @doc Close a port, of whatever kind.
-spec close_port(pid(), evum_fdb:port_id()) -> ok | {error, {port, enoent}}.
close_port(Switch, Port) when is_integer(Port), Port > 0 ->
    gen_server:call(Switch, {close, Port});
close_port(_Switch, _Port) ->
    {error, {port, enoent}}.

%% @doc Close a listener of {@link listen/3}; its ports stay.
-spec unlisten(pid(), pos_integer()) -> ok | {error, {Step :: atom(), Errno :: atom()}}.
unlisten(Switch, Listener) ->
    gen_server:call(Switch, {unlisten, Listener}).

%%% The process

%% @private
-spec init(evum_switch_options:switch()) -> {ok, #state{}} | {stop, {shutdown, error()}}.
init(#{name := Name, ageing := Ageing} = Description) ->
    %% for terminate/2, when a supervisor says so
    process_flag(trap_exit, true),
    logger:set_process_metadata(#{domain => [evum], switch => Name}),
    case evum_port:open("evum_net") of
        {ok, Port} ->
            State = #state{
                name = Name,
                port = Port,
                core = evum_switch_core:new(Description),
                seen_every = max(1, min(Ageing div 4, ?SEEN_EVERY_MAX))
            },
            _ = erlang:send_after(?EXPIRE_INTERVAL, self(), expire),
            #{forward := Forward, fdb_size := Size, dhcp := Dhcp, poll := Poll} = Description,
            Configure = {Forward =:= relay, Size, Ageing},
            State1 = polling(Poll, request(configure, Configure, configure, State)),
            ok = evum_port:credit(Port, ?WINDOW),
            {ok, serve_dhcp(Dhcp, State1)};
        {error, Reason} ->
            {stop, {shutdown, Reason}}
    end.

polling(0, State) -> State;
polling(Us, State) -> request(poll, Us, configure, State).

serve_dhcp(true, State) -> request(nat, evum_uplink:dhcp_only(), dhcp, State);
serve_dhcp(false, State) -> State.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(fdb, From, State) ->
    {noreply, request(seen, 0, {fdb, From}, State)};
handle_call({flush, all}, From, #state{core = Core} = State) ->
    State1 = State#state{core = evum_switch_core:flush(Core)},
    {noreply, request(flush, none, {flush, From}, State1)};
handle_call({flush, Id}, _From, #state{core = Core} = State) ->
    {reply, ok, tell(evum_switch_core:flush(Id, Core), State)};
handle_call({{add_static, Id}, Vlan, Mac}, _From, #state{core = Core} = State) ->
    case evum_switch_core:add_static(Id, Vlan, Mac, Core) of
        {ok, Core1, Records} -> {reply, ok, tell({Core1, Records}, State)};
        {error, _} = Error -> {reply, Error, State}
    end;
handle_call({forget, Vlan, Mac}, _From, #state{core = Core} = State) ->
    {reply, ok, tell(evum_switch_core:remove(Vlan, Mac, Core), State)};
handle_call({set_port, Id, Options}, From, #state{core = Core} = State) ->
    case evum_switch_core:set_port(Id, Options, Core) of
        {ok, #{up := Up, isolated := Isolated}, Core1} ->
            State1 = State#state{core = Core1},
            {noreply, request(set_port, {Id, Up, Isolated}, {set_port, From}, State1)};
        {error, _} = Error ->
            {reply, Error, State}
    end;
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
    {noreply, State#state{core = evum_switch_core:port_up(Id, Kind, Peer, Core)}};
message({event, port_down, {Id, Reason}}, #state{core = Core} = State) ->
    ?LOG_DEBUG("port ~b down: ~s", [Id, Reason]),
    {noreply, tell(evum_switch_core:port_down(Id, Core), State)};
message({reply, Id, Result}, #state{requests = Requests} = State) ->
    {Request, Rest} = maps:take(Id, Requests),
    {noreply, answer(Request, Result, State#state{requests = Rest})};
message(_, State) ->
    {stop, {evum_net, malformed}, State}.

%% Send what a decision asks for.
tell({Core, Records}, #state{port = Port} = State) ->
    Records =/= [] andalso evum_port:data(Port, Records),
    State#state{core = Core}.

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
                format_mac(evum_fdb:mac(Station)), From, To
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
            maps:merge(evum_switch_core:drops(Id, Core), Config#{kind => Kind, peer => Peer})
        end,
        evum_switch_core:ports(Core)
    ),
    gen_server:reply(From, {Ports, Counters}),
    State;
answer({counters, From}, {ok, {Counters, _}}, #state{core = Core} = State) ->
    gen_server:reply(From, [{moves, evum_switch_core:moves(Core)} | Counters]),
    State;
answer({fdb, From}, {ok, {Now, Seen}}, #state{core = Core} = State) ->
    Core1 = evum_switch_core:seen(Now, Seen, Core),
    gen_server:reply(From, evum_switch_core:fdb(Now, Core1)),
    State#state{core = Core1};
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
answer({set_port, From}, {error, {port, enoent}}, State) ->
    %% It has gone meanwhile; that it has is on its way.
    gen_server:reply(From, {error, no_port}),
    State;
answer({Op, From}, ok, State) when Op =:= flush; Op =:= set_port ->
    gen_server:reply(From, ok),
    State;
answer(configure, ok, State) ->
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

format_mac(Mac) ->
    Bytes = [io_lib:format("~2.16.0b", [Byte]) || <<Byte>> <= <<Mac:48>>],
    lists:flatten(lists:join($:, Bytes)).

parse_mac(<<Mac:48>>) ->
    {ok, Mac};
parse_mac(Text) when is_list(Text) ->
    try
        Bytes = [list_to_integer(Byte, 16) || [_, _] = Byte <- string:split(Text, ":", all)],
        <<Mac:48>> = list_to_binary(Bytes),
        17 = length(Text),
        {ok, Mac}
    catch
        error:_ -> error
    end;
parse_mac(_) ->
    error.
