%% SPDX-License-Identifier: Apache-2.0
%% A switch at a real interface: one end of a cable to another namespace, whose
%% kernel cuts no frames and sums no checksums for it, as it would for a card.
-module(evum_uplink_pcap_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [
        guest_and_namespace,
        frames_are_complete,
        tags_are_kept,
        trunk_between_switches,
        nothing_loops,
        filter,
        drops_are_counted,
        interface_goes,
        interface_goes_while_down,
        bad_input,
        without_capabilities
    ].

init_per_suite(Config) ->
    case evum_apart:possible() of
        true -> init_apart(Config);
        Skip -> Skip
    end.

init_apart(Config) ->
    Before = evum_test:leftovers(),
    Peer = evum_apart:start(),
    case peer:call(Peer, os, cmd, ["ip link add probe type veth 2>&1 && ip link del probe"]) of
        "" ->
            [{peer, Peer}, {before, Before} | Config];
        Why ->
            ok = evum_apart:stop(Peer),
            {skip, "no veth here: " ++ Why}
    end.

end_per_suite(Config) ->
    ok = evum_apart:stop(?config(peer, Config)),
    evum_test:no_leftovers(?config(before, Config)).

init_per_testcase(_Case, Config) ->
    Config.

end_per_testcase(_Case, Config) ->
    _ = peer:call(?config(peer, Config), application, stop, [evum]),
    _ = peer:call(?config(peer, Config), os, cmd, ["ip link del v0"]),
    ok.

%% What each case does, it does there.
guest_and_namespace(Config) -> there(guest, Config).
frames_are_complete(Config) -> there(complete, Config).
tags_are_kept(Config) -> there(tags, Config).
trunk_between_switches(Config) -> there(trunk, Config).
nothing_loops(Config) -> there(no_loop, Config).
filter(Config) -> there(filtered, Config).
drops_are_counted(Config) -> there(drops, Config).
interface_goes(Config) -> there(goes, Config).
interface_goes_while_down(Config) -> there(goes_while_down, Config).
bad_input(Config) -> there(bad_interfaces, Config).

there(Function, Config) ->
    evum_apart:call(?config(peer, Config), ?MODULE, Function).

%% A file each way. Neither end of the cable knows of the switch.
guest() ->
    Netns = cable(),
    evum_netns:sh(Netns, "ip addr add 10.9.0.1/24 dev v1 && ip addr add fd09::1/64 dev v1 nodad"),
    {ok, Switch} = evum_switch:start(),
    {ok, Id} = evum_switch:uplink(Switch, pcap, #{interface => "v0"}),
    ?assertMatch({match, _}, re:run(evum_netns:sh("ip -d link show v0"), "promiscuity 1")),
    R = evum_uplink_tap_SUITE:guest(Switch),
    evum_uplink_tap_SUITE:pings(R, "10.9.0.1"),
    evum_netns:sh(Netns, "busybox ping -c 1 -w 20 10.9.0.2"),
    Sum = evum_netns:file(R),
    [
        begin
            ?assertEqual(same, evum_netns:upload(R, Address, Netns)),
            ?assertEqual(Sum, evum_netns:download(R, Address, Netns))
        end
     || Address <- [{10, 9, 0, 1}] ++
            [{16#fd09, 0, 0, 0, 0, 0, 0, 1} || evum_uplink_tap_SUITE:has_ipv6(R)]
    ],
    ?assertMatch(#{rx_bad := 0, tx_errors := 0}, evum_uplink_tap_SUITE:port(Switch, Id)).

%% What the kernel leaves to a card is done for a port of another kind.
complete() ->
    Netns = cable(),
    {Config, Switch, [Peer]} = rig(complete, [bess]),
    {ok, _} = evum_switch:uplink(Switch, pcap, #{interface => "v0"}),
    evum_netns:sh(Netns, "ip addr add 10.9.0.1/24 dev v1"),
    neighbour(Netns, "v1", "10.9.0.9"),
    ok = udp(Netns, {10, 9, 0, 9}, 2000, <<"odd number">>),
    <<_:96, 16#0800:16, Ip/binary>> = evum_peer:recv(Peer),
    ?assertEqual(<<"odd number">>, payload(Ip)),
    %% one call, many datagrams: UDP_SEGMENT of udp(7)
    {ok, Socket} = gen_udp:open(0, [{raw, 17, 103, <<500:32/native>>} | evum_netns:in(Netns)]),
    Datagrams = [binary:copy(<<N>>, Size) || {N, Size} <- [{1, 500}, {2, 500}, {3, 200}]],
    ok = gen_udp:send(Socket, {10, 9, 0, 9}, 2000, Datagrams),
    [
        begin
            <<_:96, 16#0800:16, Packet/binary>> = evum_peer:recv(Peer),
            ?assertEqual(Datagram, payload(Packet))
        end
     || Datagram <- Datagrams
    ],
    evum_switch_rig:close(Config).

%% The kernel takes a VLAN tag out of a frame: it is back, between two switches
%% at the ends of a cable, and a filter finds it.
tags() ->
    own_cable(),
    {ConfigA, A, [PeerA]} = rig(tags_a, [bess]),
    {ConfigB, B, [PeerB]} = rig(tags_b, [bess]),
    {ok, All} = evum_switch:uplink(A, pcap, #{interface => "v0"}),
    {ok, _} = evum_switch:uplink(B, pcap, #{interface => "v1"}),
    Tagged = fun(Tpid, Tci) ->
        <<(evum_peer:mac(1))/binary, (evum_peer:mac(2))/binary, Tpid:16, Tci:16, 16#88b5:16, 0:400>>
    end,
    Frames = [Tagged(16#8100, 7), Tagged(16#88a8, 16#e008), evum_peer:frame(1, 2)],
    Send = fun() -> [ok = evum_peer:send(PeerB, Frame) || Frame <- Frames] end,
    Send(),
    [?assertEqual(Frame, evum_peer:recv(PeerA)) || Frame <- Frames],
    ok = evum_switch:close_port(A, All),
    {ok, _} = evum_switch:uplink(A, pcap, #{interface => "v0", filter => "not vlan 7"}),
    Send(),
    [?assertEqual(Frame, evum_peer:recv(PeerA)) || Frame <- tl(Frames)],
    evum_switch_rig:close(ConfigA),
    evum_switch_rig:close(ConfigB).

%% Guests in a VLAN that is tagged on the cable: what they leave to a card passes
%% it untouched.
trunk() ->
    own_cable(),
    [{A, Ours}, {B, _}] = [
        begin
            {ok, Switch} = evum_switch:start(),
            {ok, Id} = evum_switch:uplink(Switch, pcap, #{interface => Name}),
            ok = evum_switch:set_port(Switch, Id, #{vlan => {trunk, all}}),
            {Switch, Id}
        end
     || Name <- ["v0", "v1"]
    ],
    [GuestA, GuestB] = [
        begin
            Guest = evum_test:boot([], #{switch => Switch}),
            [#{id := Id}] = [Port || #{kind := Kind} = Port <- evum_switch:ports(Switch), Kind =/= pcap],
            ok = evum_switch:set_port(Switch, Id, #{vlan => {access, 10}}),
            [] = evum_test:sh(Guest, [
                "dmesg -n 1; ip addr add ", Address, "/24 dev eth0; ip link set eth0 up"
            ]),
            Guest
        end
     || {Switch, Address} <- [{A, "10.9.0.1"}, {B, "10.9.0.2"}]
    ],
    Sum = evum_netns:file(GuestA),
    [] = evum_test:sh(GuestB, [
        "( ( socat -u tcp-l:7000 - | cksum > /tmp/sum; touch /tmp/done ) & );"
        " while ! grep -q ':1B58 ' /proc/net/tcp /proc/net/tcp6; do sleep 0.05; done"
    ]),
    [] = evum_test:sh(GuestA, "socat -u /tmp/file tcp:10.9.0.2:7000"),
    ?assertEqual(
        [Sum], evum_test:sh(GuestB, "while ! test -e /tmp/done; do sleep 0.05; done; cat /tmp/sum")
    ),
    #{tx_frames := Frames, tx_bytes := Bytes, tx_errors := 0} = evum_uplink_tap_SUITE:port(A, Ours),
    ?assert(Bytes > 4194304),
    case [vhost || #{kind := vhost} <- evum_switch:ports(A)] of
        [vhost] -> ?assert(Frames < 4194304 div 1448);
        [] -> ok
    end.

%% Neither what the switch sends there, nor what the host does, comes in.
no_loop() ->
    Netns = cable(),
    {Config, Switch, [A, B]} = rig(no_loop, [bess, bess]),
    {ok, Id} = evum_switch:uplink(Switch, pcap, #{interface => "v0"}),
    evum_switch_rig:introduce([A, B]),
    %% the host's own: to the other end of the cable
    evum_netns:sh("ip addr add 10.9.0.3/24 dev v0"),
    neighbour(here, "v0", "10.9.0.9"),
    ok = udp(here, {10, 9, 0, 9}, 2000, <<"of the host">>),
    %% what comes from there, comes behind it
    evum_netns:sh(Netns, "ip addr add 10.9.0.1/24 dev v1"),
    neighbour(Netns, "v1", "10.9.0.9"),
    ok = udp(Netns, {10, 9, 0, 9}, 2000, <<"of the namespace">>),
    [
        begin
            <<_:96, 16#0800:16, Ip/binary>> = evum_peer:recv(Peer),
            ?assertEqual(<<"of the namespace">>, payload(Ip))
        end
     || Peer <- [A, B]
    ],
    ?assertMatch(#{tx_frames := 2, rx_frames := 1}, evum_uplink_tap_SUITE:port(Switch, Id)),
    ?assertMatch(#{moves := 0}, evum_switch:counters(Switch)),
    evum_switch_rig:close(Config).

filtered() ->
    Netns = cable(),
    evum_netns:sh(Netns, "ip addr add 10.9.0.1/24 dev v1"),
    neighbour(Netns, "v1", "10.9.0.9"),
    {Config, Switch, [Peer]} = rig(filtered, [bess]),
    {ok, Id} = evum_switch:uplink(Switch, pcap, #{interface => "v0", filter => "udp port 2001"}),
    [ok = udp(Netns, {10, 9, 0, 9}, Port, <<"x">>) || Port <- [2000, 2001]],
    ?assertMatch(<<_:96, 16#0800:16, _:176, 2001:16, _/binary>>, evum_peer:recv(Peer)),
    ?assertMatch(#{rx_frames := 1}, evum_uplink_tap_SUITE:port(Switch, Id)),
    evum_switch_rig:close(Config).

%% While the switch takes nothing, more comes than can wait: what came and what
%% was dropped are what was sent.
drops() ->
    Netns = cable(),
    evum_netns:sh(Netns, "ip addr add 10.9.0.1/24 dev v1"),
    neighbour(Netns, "v1", "10.9.0.9"),
    {ok, Switch} = evum_switch:start(#{forward => relay}),
    {ok, Id} = evum_switch:uplink(Switch, pcap, #{interface => "v0", filter => "udp"}),
    N = 20000,
    ok = sys:suspend(Switch),
    {ok, Socket} = gen_udp:open(0, evum_netns:in(Netns)),
    Payload = binary:copy(<<7>>, 1400),
    [ok = gen_udp:send(Socket, {10, 9, 0, 9}, 2000, Payload) || _ <- lists:seq(1, N)],
    ok = sys:resume(Switch),
    evum_test:await(fun() ->
        #{rx_frames := Came, rx_dropped := Dropped} = evum_uplink_tap_SUITE:port(Switch, Id),
        ?assert(Came + Dropped =< N),
        Came + Dropped =:= N andalso Dropped > 0
    end).

%% One that is down comes back; one that is removed does not.
goes() ->
    Netns = cable(),
    {Config, Switch, [Peer, Other]} = rig(goes, [bess, bess]),
    {ok, Id} = evum_switch:uplink(Switch, pcap, #{interface => "v0"}),
    evum_switch_rig:introduce([Peer, Other]),
    evum_netns:sh("ip link set v0 down"),
    Frame = evum_peer:frame(broadcast, 1),
    ok = evum_peer:send(Peer, Frame),
    Frame = evum_peer:recv(Other),
    evum_test:await(fun() -> maps:get(tx_errors, evum_uplink_tap_SUITE:port(Switch, Id)) > 0 end),
    evum_netns:sh("ip link set v0 up"),
    evum_netns:sh(Netns, "ip addr add 10.9.0.1/24 dev v1"),
    neighbour(Netns, "v1", "10.9.0.9"),
    ok = udp(Netns, {10, 9, 0, 9}, 2000, <<"again">>),
    <<_:96, 16#0800:16, Ip/binary>> = evum_peer:recv(Peer),
    ?assertEqual(<<"again">>, payload(Ip)),
    evum_uplink_tap_SUITE:goes_down(Id, enodev, fun() -> evum_netns:sh("ip link del v0") end),
    ?assertEqual(none, evum_uplink_tap_SUITE:port(Switch, Id)),
    _ = evum_peer:recv(Other),
    evum_switch_rig:fence(Peer, 1, Other, 2),
    evum_switch_rig:close(Config).

%% The kernel tells of its going down, and then no more.
goes_while_down() ->
    _ = cable(),
    {Config, Switch, [Peer, Other]} = rig(goes_while_down, [bess, bess]),
    {ok, Id} = evum_switch:uplink(Switch, pcap, #{interface => "v0"}),
    evum_switch_rig:introduce([Peer, Other]),
    evum_netns:sh("ip link set v0 down"),
    Frame = evum_peer:frame(broadcast, 1),
    ok = evum_peer:send(Peer, Frame),
    Frame = evum_peer:recv(Other),
    evum_test:await(fun() -> maps:get(tx_errors, evum_uplink_tap_SUITE:port(Switch, Id)) > 0 end),
    evum_uplink_tap_SUITE:goes_down(Id, enodev, fun() -> evum_netns:sh("ip link del v0") end),
    evum_switch_rig:fence(Peer, 1, Other, 2),
    evum_switch_rig:close(Config).

bad_interfaces() ->
    {ok, Switch} = evum_switch:start(),
    _ = cable(),
    evum_netns:sh("ip link add v2 type veth peer name v3"),
    Uplink = fun(Options) -> evum_switch:uplink(Switch, pcap, Options) end,
    ?assertEqual({error, {bad_option, interface, none}}, Uplink(#{})),
    ?assertEqual({error, {bad_option, filter, ip}}, Uplink(#{interface => "v0", filter => ip})),
    {error, {bpf, Message}} = Uplink(#{interface => "v0", filter => "tcp prot 80"}),
    ?assertMatch({match, _}, re:run(Message, "syntax error")),
    ?assertEqual({error, {uplink, {pcap, "v9"}, enodev}}, Uplink(#{interface => "v9"})),
    ?assertEqual({error, {uplink, {pcap, "v2"}, enetdown}}, Uplink(#{interface => "v2"})),
    ?assertEqual({error, {uplink, {pcap, "lo"}, eafnosupport}}, Uplink(#{interface => "lo"})),
    ?assertEqual([], evum_switch:ports(Switch)),
    evum_netns:sh("ip link del v2").

without_capabilities(_Config) ->
    Peer = evum_apart:start(["setpriv", "--bounding-set=-net_admin,-net_raw"]),
    evum_apart:call(Peer, ?MODULE, unprivileged),
    ok = evum_apart:stop(Peer).

unprivileged() ->
    {ok, Switch} = evum_switch:start(),
    ?assertEqual(
        {error, {uplink, {pcap, "v0"}, {eperm, cap_net_raw}}},
        evum_switch:uplink(Switch, pcap, #{interface => "v0"})
    ),
    ?assertEqual([], evum_switch:ports(Switch)),
    ok = application:stop(evum).

%%% What they share

cable() ->
    Netns = evum_netns:new(),
    _ = evum_netns:cable(Netns, "v0", "v1"),
    Netns.

%% Both ends here.
own_cable() ->
    evum_netns:sh("ip link add v0 type veth peer name v1"),
    [evum_netns:sh(["ip link set ", Name, " addrgenmode none up"]) || Name <- ["v0", "v1"]].

rig(Case, Kinds) ->
    Config = evum_switch_rig:open(Case, [{kinds, Kinds}]),
    {Config, ?config(switch, Config), ?config(peers, Config)}.

%% The ninth station has that address, at an interface of a namespace.
neighbour(here, Name, Address) ->
    evum_netns:sh(["ip neigh replace ", Address, " lladdr 02:00:00:00:00:09 nud permanent dev ", Name]);
neighbour(Netns, Name, Address) ->
    evum_netns:sh(Netns, ["ip neigh replace ", Address, " lladdr 02:00:00:00:00:09 nud permanent dev ", Name]).

udp(Netns, To, Port, Payload) ->
    {ok, Socket} = gen_udp:open(0, evum_netns:in(Netns)),
    ok = gen_udp:send(Socket, To, Port, Payload),
    gen_udp:close(Socket).

%% Of a UDP packet over IPv4, whose checksum has to be right.
payload(<<Head:12/binary, Addresses:8/binary, Rest/binary>>) ->
    <<4:4, 5:4, _:8, Length:16, _/binary>> = Head,
    <<Udp:(Length - 20)/binary, _/binary>> = Rest,
    <<_:48, Checksum:16, Payload/binary>> = Udp,
    ?assertNotEqual(0, Checksum),
    ?assertEqual(16#ffff, sum(<<Addresses/binary, 17:16, (byte_size(Udp)):16, Udp/binary>>)),
    Payload.

%% RFC 1071
sum(Bytes) when byte_size(Bytes) rem 2 =:= 1 ->
    sum(<<Bytes/binary, 0>>);
sum(Bytes) ->
    Sum = lists:sum([Word || <<Word:16>> <= Bytes]),
    fold(Sum).

fold(Sum) when Sum > 16#ffff -> fold((Sum band 16#ffff) + (Sum bsr 16));
fold(Sum) -> Sum.
