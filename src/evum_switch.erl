%% SPDX-License-Identifier: Apache-2.0
%% @doc A learning switch: its API. Its ports are in `evum_net', one program a
%% switch; what happens to a frame is decided in {@link evum_switch_server}, the
%% process. {@link evum_switch_options} lists the options.
%%
%% A switch that loses its `evum_net' ends with the reason `{evum_net, Status}',
%% its exit status, or `epipe' where that was noticed by a write.
-module(evum_switch).

-export([start/0, start/1, start_link/0, start_link/1, stop/1]).
-export([fdb/1, ports/1, subscribe/1, counters/1, name/1, set_port/3]).
-export([flush/1, flush/2, add_static/4, forget/3]).
-export([hook/3, unhook/2, inject/4, count/3]).
-export([impair/4, block/2]).
-export([listen/3, unlisten/2, ask/3, connect/3, close_port/2, serve/3]).
-export([uplink/3, forward/4, unforward/3, forwards/1, leases/1]).
-export([capture/2, stop_capture/1, captures/1]).
-export([stats/1, watch/1, port_infos/1]).

-export_type([options/0, error/0, station/0, port_info/0, lease/0, stats/0]).

%% An Ethernet header, and what evum_net takes, bytes.
-define(FRAME_MIN, 14).
-define(FRAME_MAX, 65535).

-type options() :: evum_switch_options:options().
%% An address that DHCP has given: to a machine with a name, at which of its
%% interfaces, counted from 0; or to a MAC address. For so many ms.
-type lease() :: #{
    address := inet:ip4_address(),
    port := evum_fdb:port_id(),
    left := pos_integer(),
    machine => binary(),
    interface => non_neg_integer(),
    mac => <<_:48>>
}.
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
%% `rx_runts' (under 14 bytes) and `rx_giants' (over 65535), `rx_bad' (with an
%% offload header that does not fit, or no header of VXLAN's) and `rx_foreign'
%% (of a VXLAN's other networks, or of no remote), which are not forwarded,
%% `rx_dropped' (no room until the switch took them), `tx_frames', `tx_bytes',
%% `tx_dropped' (the peer did not read) and `tx_errors' (its socket refused);
%% `rx_down' and `tx_down', while the port was set down; `rx_vlan', of a VLAN that
%% the port is not in; `rx_isolated', for a port that it is isolated or blocked
%% from; `rx_mtu' and `tx_mtu', longer than the port's MTU (or than 65535 with a
%% tag); `rx_storm', more than may be flooded; `rx_reserved', to the addresses of
%% BPDUs; `rx_spoofed', from who claimed an address of `nat' as its own;
%% `tx_mirrored', copies of another port's frames; of `tx_dropped', `tx_sockets',
%% what would have had `nat' open more sockets than it may, and `tx_fragments',
%% IPv4 fragments beyond those that it keeps. Where there were any:
%% `rx_mac_limit', `rx_hook_dropped', and `dhcp_refused', what DHCP refused to
%% clients there. `rx_frames' are all that came while the port was up, those that
%% were dropped by what it is set to included. The settings are those of {@link
%% set_port/3}; `impair' is what {@link impair/4} made of it, with what became of
%% frames by it counted in `rx_impaired_loss', `rx_impaired_limit' (more were under
%% way than may be), `rx_impaired_duplicate', `rx_impaired_corrupt',
%% `rx_impaired_reorder', and the same with `tx'. Frames that were lost so are not
%% in `rx_frames' and `tx_frames'. `machine' is what is behind the port, where that
%% is one of evum's: its name or, where it has none, its pid.
-type port_info() :: #{
    machine => binary(),
    id := evum_fdb:port_id(),
    kind := daemon | bess | fd | vhost | stream | dgram | trunk | nat | tap | pcap | vxlan,
    peer := non_neg_integer(),
    up := boolean(),
    isolated := boolean(),
    learning := boolean(),
    mac_limit := infinity | non_neg_integer(),
    vlan := evum_vlan:config(),
    blocked := [evum_fdb:port_id()],
    impair := #{in := evum_impair:impairment(), out := evum_impair:impairment()},
    mtu := infinity | pos_integer(),
    mirror := none | evum_fdb:port_id(),
    rx_frames := non_neg_integer(),
    rx_bytes := non_neg_integer(),
    rx_runts := non_neg_integer(),
    rx_giants := non_neg_integer(),
    rx_bad := non_neg_integer(),
    rx_foreign := non_neg_integer(),
    rx_dropped := non_neg_integer(),
    tx_frames := non_neg_integer(),
    tx_bytes := non_neg_integer(),
    tx_dropped := non_neg_integer(),
    tx_errors := non_neg_integer(),
    rx_down := non_neg_integer(),
    rx_vlan := non_neg_integer(),
    rx_isolated := non_neg_integer(),
    rx_mtu := non_neg_integer(),
    rx_reserved := non_neg_integer(),
    rx_storm := non_neg_integer(),
    rx_spoofed := non_neg_integer(),
    rx_mac_limit => pos_integer(),
    rx_hook_dropped => pos_integer(),
    dhcp_refused => pos_integer(),
    tx_mtu := non_neg_integer(),
    tx_mirrored := non_neg_integer(),
    tx_sockets := non_neg_integer(),
    tx_fragments := non_neg_integer(),
    tx_down := non_neg_integer()
}.

%% Of each port what {@link ports/1} tells, and the rates.
-type stats() :: #{
    name := binary(),
    ports := [#{second := evum_rates:rate(), minute := evum_rates:rate(), atom() => term()}],
    total := evum_rates:port_rates()
}.

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
            started(gen_server:start_link(evum_switch_server, Description, []));
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
            mac => evum_mac:format(evum_fdb:mac(Station)),
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

%% @doc Forget the stations that were learned at a port. Frames that come after
%% that are flooded.
-spec flush(pid(), evum_fdb:port_id()) -> ok.
flush(Switch, Port) ->
    gen_server:call(Switch, {flush, Port}).

%% @doc A station is at a port, for as long as there is the port, whatever is
%% heard of it. The address is text or six bytes, the VLAN 0 where the port has
%% none. Frames that come after that find it there.
-spec add_static(pid(), evum_fdb:port_id(), evum_fdb:vlan(), Mac :: string() | <<_:48>>) ->
    ok | {error, no_port | not_a_member | {bad_option, mac | vlan, term()}}.
add_static(Switch, Port, Vlan, Mac) ->
    station_call(Switch, {add_static, Port}, Vlan, Mac).

%% @doc Forget a station, static or learned. Frames to it that come after that are
%% flooded.
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

%% @doc Send a frame out at a port, as one of a VLAN (0: of none) that has been
%% switched there. Where there is no such port, or it is down, nothing happens.
-spec inject(pid(), evum_fdb:port_id(), evum_fdb:vlan(), Frame :: binary()) -> ok.
inject(Switch, Port, Vlan, Frame) when
    is_binary(Frame), byte_size(Frame) >= ?FRAME_MIN, byte_size(Frame) =< ?FRAME_MAX
->
    gen_server:cast(Switch, {inject, Port, Vlan, Frame}).

%% @private
%% @doc Count something that was refused to a port, for ports/1.
-spec count(pid(), evum_fdb:port_id(), atom()) -> ok.
count(Switch, Port, Reason) ->
    gen_server:cast(Switch, {count, Port, Reason}).

station_call(Switch, Request, Vlan, Mac) ->
    case {evum_mac:parse(Mac), is_integer(Vlan) andalso Vlan >= 0 andalso Vlan < 4095} of
        {{ok, Number}, true} -> gen_server:call(Switch, {Request, Vlan, Number});
        {error, _} -> {error, {bad_option, mac, Mac}};
        {_, false} -> {error, {bad_option, vlan, Vlan}}
    end.

%% @doc The ports that are up, by id, with their counters.
-spec ports(pid()) -> [port_info()].
ports(Switch) ->
    port_infos(gen_server:call(Switch, ports)).

%% @private
%% @doc What a switch answers, as {@link ports/1} tells it.
-spec port_infos({#{evum_fdb:port_id() => map()}, [{evum_fdb:port_id(), [{atom(), non_neg_integer()}]}]}) ->
    [port_info()].
port_infos({Ports, Counters}) ->
    [
        maps:merge_with(fun(_, A, B) -> A + B end, maps:from_list(Counts), with_machine(Port#{id => Id}))
     || {Id, Counts} <- lists:sort(Counters), Port <- [maps:get(Id, Ports)]
    ].

with_machine(#{peer := Peer} = Port) ->
    case evum_registry:machine(Peer) of
        {ok, _, Called} -> Port#{machine => Called};
        none -> Port
    end.

%% @doc The ports with how fast their counters grow, in frames and bytes a second,
%% over the last second and the last minute (of a switch or port that is younger,
%% over as long as it is looked at); and the sums over all ports. `drops' are
%% frames that were lost, for whatever reason. Looked at is once a second.
-spec stats(pid()) -> stats() | {error, no_switch}.
stats(Switch) ->
    try {name(Switch), ports(Switch)} of
        {Name, Ports} ->
            Rates = evum_sampler:rates(Switch),
            None = evum_rates:total([]),
            Known = [{Port, maps:get(Id, Rates, None)} || #{id := Id} = Port <- Ports],
            #{
                name => Name,
                ports => [maps:merge(Port, Of) || {Port, Of} <- Known],
                total => evum_rates:total([Of || {_, Of} <- Known])
            }
    catch
        exit:_ -> {error, no_switch}
    end.

%% @doc Show {@link stats/1} in this shell, anew each second, until you press
%% Enter.
-spec watch(pid()) -> ok | {error, no_switch}.
watch(Switch) ->
    evum_watch:run(Switch).

%% @doc Be told of ports that come and go: `{evum_switch, Switch, {port_up, {Id,
%% Kind, Peer}}}' and `{evum_switch, Switch, {port_down, Id}}'; Peer is the process
%% id on the host, 0 where it is not known. Returns those that are up.
-spec subscribe(pid()) -> [{evum_fdb:port_id(), Kind :: atom(), Peer :: non_neg_integer()}].
subscribe(Switch) ->
    gen_server:call(Switch, watch).

%% @doc Change how a port is: `up', `isolated', `learning', `mac_limit', `vlan',
%% `mtu' and `mirror', see {@link evum_switch_options:port/2}. What is not named stays as it is. The
%% stations that were learned at the port are forgotten; frames that come after
%% that meet the port as it is now.
-spec set_port(pid(), evum_fdb:port_id(), #{atom() => term()}) ->
    ok | {error, no_port | {bad_option, Key :: term(), Value :: term()}}.
set_port(Switch, Port, Options) ->
    gen_server:call(Switch, {set_port, Port, Options}).

%% @doc Make the way of frames through a port worse, as {@link evum_impair} tells:
%% `in' from its peer into the switch, `out' the other way, or `both'. What is
%% not in the options is perfect; `#{}' or `none' heals. What was under way goes on
%% at once. `ports/1' tells how it is, with the seed.
%%
%% Frames that a virtio card left for others to cut are cut first, so that all
%% this meets frames as a wire would carry them.
-spec impair(pid(), evum_fdb:port_id(), in | out | both, evum_impair:options()) ->
    ok | {error, no_port | {bad_option, Key :: term(), Value :: term()}}.
impair(Switch, Port, Direction, Options) ->
    gen_server:call(Switch, {impair, Port, Direction, Options}).

%% @doc From now on no frame that comes in at the first port of a pair goes out at
%% the second, and between all other pairs they do: `[{A, B}, {B, A}]' parts two
%% ports, `[{A, B}]' one way only, `[]' heals all. Stations are learned all the same,
%% so that healing takes no time. Ports that are not there are ignored; a port that
%% comes is blocked from nobody.
-spec block(pid(), [{From :: evum_fdb:port_id(), To :: evum_fdb:port_id()}]) ->
    ok | {error, {bad_option, block, term()}}.
block(Switch, Pairs) ->
    gen_server:call(Switch, {block, Pairs}).

%% @doc What became of the connections to the switch: `accepted',
%% `refused_limit', `refused_descriptors', and those that were closed for what
%% they sent: `bad_magic', `bad_version', `bad_type', `bad_address',
%% `short_request', `surplus_bytes', `timeout', `bad_descriptor' (what was handed
%% over is no packet socket), `broken_vhost' (a virtio card broke a rule, or its
%% memory is gone). And of all that the switch did: `frames_up', those that had to
%% be decided on here, `copies_missed' by observers while it was busy, and `moves'
%% of stations from one port to another.
-spec counters(pid()) -> #{atom() => non_neg_integer()}.
counters(Switch) ->
    maps:from_list(gen_server:call(Switch, counters)).

%% @doc The switch's name.
-spec name(pid()) -> binary().
name(Switch) ->
    gen_server:call(Switch, name).

%% @doc Open a way out. Returns the id of its port, which is closed with {@link
%% close_port/2} or the switch. `nat' needs no privilege: guests reach the
%% world through sockets of evum_net, find a gateway, a resolver and, by DHCP
%% and router advertisements, their addresses. A switch has one at most. The
%% others join the switch with another Ethernet: `tap' with an interface of the
%% host's kernel, `pcap' with what is connected to a real interface, `vxlan' with
%% switches on other hosts. A port whose interface is removed goes. See {@link
%% evum_uplink} for errors and the options of `nat', {@link
%% evum_uplink_options} for those of the others.
-spec uplink(pid(), evum_uplink:kind(), evum_uplink:options()) ->
    {ok, evum_fdb:port_id()} | {error, evum_uplink:error()}.
uplink(Switch, Kind, Options) ->
    evum_uplink:open(Switch, Kind, Options).

%% @doc Hand connections, or datagrams, that come to an address and port of the
%% host on to one of a guest. `{error, {forward, {Protocol, Host}, Errno}}':
%% `eaddrinuse' where somebody listens there, `eaddrnotavail' where that is no address of the
%% host's, `enetunreach' where the guest's is not in the subnet, `enotconn' where the switch has no
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

%% @doc The addresses that machines have by DHCP. One that comes again has the
%% address that it had, known by its name or else by its MAC address. A port has a
%% quarter of a subnet's addresses at most, and gives back or declines those alone
%% that were taken at it; what is refused is counted, as `dhcp_refused' of {@link
%% ports/1}.
-spec leases(pid()) -> [lease()].
leases(Switch) ->
    evum_dhcp_server:leases(Switch).

%% @doc Write frames into a pcapng file: of a switch, each once, where it came in
%% (so none that Erlang made: those of {@link inject/4}, of DHCP and of hooks);
%% of a port, `{Switch, Port}', or a machine, by pid or name, what comes in and
%% what goes out there. {@link evum_capture} lists the options and errors. It goes
%% on until {@link stop_capture/1}, whatever becomes of the caller, or until the
%% switch or port goes; the file is complete then. An error of the file, such as a
%% full disk, ends it with a line in the log, and the network goes on.
-spec capture(evum_capture:target(), evum_capture:options()) ->
    {ok, evum_capture:capture()} | {error, evum_capture:error()}.
capture(Target, Options) ->
    evum_capture:start(Target, Options).

%% @doc End a capture, once all is written: how many frames the file has, and
%% how many were dropped. Where it has ended by itself: the same, or what it ended
%% of, with the file and the counts; a switch remembers its last 64.
-spec stop_capture(evum_capture:capture()) ->
    {ok, evum_capture:counts()}
    | {error, {capture, file:name_all(), Errno :: atom(), evum_capture:counts()} | no_capture | no_switch}.
stop_capture(Capture) ->
    evum_capture:stop(Capture).

%% @doc The captures of a switch that run, or ended by themselves, with their
%% counts so far.
-spec captures(pid()) -> [evum_capture:info()] | {error, no_switch}.
captures(Switch) ->
    evum_capture:list(Switch).

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
