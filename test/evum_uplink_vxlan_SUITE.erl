%% SPDX-License-Identifier: Apache-2.0
%% Switches on several hosts as one network. The hosts are namespaces, the other
%% ends Linux's own vxlan device, switches, and sockets of the test.
-module(evum_uplink_vxlan_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

-define(LIMIT, 20000).

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [
        linux_is_a_peer,
        linux_is_a_peer_by_ipv6,
        two_switches,
        three_switches,
        frames_that_do_not_fit,
        hostile_datagrams,
        bad_input
    ].

init_per_suite(Config) ->
    case evum_apart:possible() of
        true -> init_apart(Config);
        Skip -> Skip
    end.

init_apart(Config) ->
    Before = evum_test:leftovers(),
    [{peer, evum_apart:start()}, {before, Before} | Config].

end_per_suite(Config) ->
    ok = evum_apart:stop(?config(peer, Config)),
    evum_test:no_leftovers(?config(before, Config)).

init_per_testcase(Case, Config) when Case =:= linux_is_a_peer; Case =:= linux_is_a_peer_by_ipv6 ->
    Probe = "ip link add probe type vxlan id 1 dstport 9 2>&1 && ip link del probe",
    case peer:call(?config(peer, Config), os, cmd, [Probe]) of
        "" -> Config;
        Why -> {skip, "no vxlan device here: " ++ Why}
    end;
init_per_testcase(_Case, Config) ->
    Config.

end_per_testcase(_Case, Config) ->
    _ = peer:call(?config(peer, Config), application, stop, [evum]),
    _ = peer:call(?config(peer, Config), os, cmd, ["ip link del u0"]),
    ok.

%% What each case does, it does there.
linux_is_a_peer(Config) -> there(linux, Config).
linux_is_a_peer_by_ipv6(Config) -> there(linux6, Config).
two_switches(Config) -> there(two, Config).
three_switches(Config) -> there(three, Config).
frames_that_do_not_fit(Config) -> there(too_large, Config).
hostile_datagrams(Config) -> there(hostile, Config).
bad_input(Config) -> there(bad_vxlans, Config).

there(Function, Config) ->
    evum_apart:call(?config(peer, Config), ?MODULE, Function).

linux() -> linux_peer("192.0.2.1", "192.0.2.2", "24", 1450).
linux6() -> linux_peer("fd00:2::1", "fd00:2::2", "64 nodad", 1430).

%% Another host, with Linux's device, over a cable of the usual MTU: pings of
%% frames of 1400 bytes and of the largest, and a file each way.
linux_peer(Here, There, Prefix, Mtu) ->
    Netns = evum_netns:new(),
    _ = evum_netns:cable(Netns, "u0", "u1"),
    evum_netns:sh(["ip addr add ", Here, "/", Prefix, " dev u0"]),
    evum_netns:sh(Netns, [
        "ip addr add ", There, "/", Prefix, " dev u1 && ip link add vx0 type vxlan id 42 dstport 4789 local ",
        There, " remote ", Here,
        " && ip link set vx0 addrgenmode none up && ip addr add 10.9.0.1/24 dev vx0"
    ]),
    {ok, Switch} = evum_switch:start(),
    {ok, Id} = evum_switch:uplink(Switch, vxlan, #{vni => 42, remotes => [There], local => Here}),
    R = evum_uplink_tap_SUITE:guest(Switch),
    [] = evum_test:sh(R, ["ip link set eth0 mtu ", integer_to_list(Mtu)]),
    [
        begin
            ?assertEqual([<<"0">>], evum_test:sh(R, ["ping -c 1 -w 20 ", Size, " 10.9.0.1 > /dev/null; echo $?"])),
            evum_netns:sh(Netns, ["busybox ping -c 1 -w 20 ", Size, " 10.9.0.2"])
        end
     || Bytes <- [56, 1400 - 14 - 28, Mtu - 28], Size <- [["-s ", integer_to_list(Bytes)]]
    ],
    Sum = evum_netns:file(R),
    ?assertEqual(same, evum_netns:upload(R, {10, 9, 0, 1}, Netns)),
    ?assertEqual(Sum, evum_netns:download(R, {10, 9, 0, 1}, Netns)),
    %% over this cable, Linux leaves the inner checksums to nobody
    ?assertEqual(
        [<<"0">>], evum_test:sh(R, "grep ^Tcp: /proc/net/snmp | tail -n 1 | grep -o '[0-9]*$'")
    ),
    ?assertMatch(
        #{rx_bad := 0, rx_foreign := 0, tx_errors := 0}, evum_uplink_tap_SUITE:port(Switch, Id)
    ).

%% Guests on two switches.
two() ->
    {ok, A} = evum_switch:start(),
    {ok, B} = evum_switch:start(),
    {ok, _} = evum_switch:uplink(A, vxlan, #{vni => 1, local => "127.0.0.1", remotes => ["127.0.0.2"]}),
    {ok, _} = evum_switch:uplink(B, vxlan, #{vni => 1, local => "127.0.0.2", remotes => ["127.0.0.1"]}),
    GuestA = evum_uplink_tap_SUITE:guest(A),
    GuestB = evum_test:boot([], #{switch => B}),
    [] = evum_test:sh(GuestB, "dmesg -n 1; ip addr add 10.9.0.3/24 dev eth0; ip link set eth0 up"),
    evum_uplink_tap_SUITE:pings(GuestA, "10.9.0.3"),
    evum_uplink_tap_SUITE:pings(GuestB, "10.9.0.2").

%% Each joined with both others: a frame for all comes to each of them once, one
%% for a station to where it is, and that may change.
three() ->
    Hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"],
    Rigs = [rig(Host, Hosts -- [Host]) || Host <- Hosts],
    Peers = [P1, P2, P3] = [Peer || {_, Peer, _} <- Rigs],
    evum_switch_rig:introduce(Peers),
    Sent = fun() -> [maps:get(tx_frames, Port()) || {_, _, Port} <- Rigs] end,
    Came = fun() -> [maps:get(rx_frames, Port()) || {_, _, Port} <- Rigs] end,
    ?assertEqual({[1, 1, 1], [2, 2, 2]}, {Sent(), Came()}),
    evum_switch_rig:fence(P1, 1, P3, 3),
    evum_switch_rig:fence(P3, 3, P2, 2),
    ?assertEqual({[2, 1, 2], [2, 3, 3]}, {Sent(), Came()}),
    %% The third station speaks behind the second switch.
    Moved = evum_peer:frame(1, 3),
    ok = evum_peer:send(P2, Moved),
    ?assertEqual(Moved, evum_peer:recv(P1)),
    evum_switch_rig:fence(P1, 1, P2, 3),
    ?assertEqual({[3, 2, 2], [3, 4, 3]}, {Sent(), Came()}),
    [evum_switch_rig:close(Config) || {Config, _, _} <- Rigs].

rig(Local, Remotes) ->
    Config = evum_switch_rig:open(Local, [{kinds, [bess]}]),
    Switch = ?config(switch, Config),
    {ok, Id} = evum_switch:uplink(Switch, vxlan, #{vni => 3, local => Local, remotes => Remotes}),
    [Peer] = ?config(peers, Config),
    {Config, Peer, fun() -> evum_uplink_tap_SUITE:port(Switch, Id) end}.

%% Nothing is fragmented: what does not fit is counted, and the next one goes.
too_large() ->
    Netns = evum_netns:new(),
    _ = evum_netns:cable(Netns, "u0", "u1"),
    evum_netns:sh("ip addr add 192.0.2.1/24 dev u0"),
    evum_netns:sh(Netns, "ip addr add 192.0.2.2/24 dev u1"),
    {Config, Peer, Port} = rig("192.0.2.1", ["192.0.2.2"]),
    {ok, Socket} = gen_udp:open(4789, [binary, {active, false} | evum_netns:in(Netns)]),
    %% 1500 bytes of the cable's, less IPv4, UDP and VXLAN
    Fits = evum_peer:frame(broadcast, 1, {size, 1500 - 20 - 8 - 8}),
    ok = evum_peer:send(Peer, evum_peer:frame(broadcast, 1, {size, byte_size(Fits) + 1})),
    ok = evum_peer:send(Peer, Fits),
    ?assertMatch(
        {ok, {{192, 0, 2, 1}, 4789, <<8, 0:24, 3:24, 0, Fits/binary>>}}, gen_udp:recv(Socket, 0, ?LIMIT)
    ),
    ?assertMatch(#{tx_frames := 1, tx_errors := 1}, Port()),
    evum_switch_rig:close(Config).

%% What is no frame of the network is counted, and what is comes through.
hostile() ->
    {Config, Peer, Port} = rig("127.0.0.1", [{"127.0.0.2", 4790}, {"127.0.0.3", 4790}]),
    {ok, Remote} = gen_udp:open(0, [binary, {ip, {127, 0, 0, 2}}, {active, false}]),
    {ok, Stranger} = gen_udp:open(4790, [binary, {ip, {127, 0, 0, 9}}, {active, false}]),
    Frame = evum_peer:frame(broadcast, 2),
    Say = fun(Socket, Datagram) -> ok = gen_udp:send(Socket, {127, 0, 0, 1}, 4789, Datagram) end,
    Bad = [<<>>, <<8, 0:24, 3:24>>, <<0:32, 3:24, 0, Frame/binary>>, <<16#f7, 0:24, 3:24, 0, Frame/binary>>],
    [Say(Remote, Datagram) || Datagram <- Bad],
    %% another network, nobody's, and one of no remote's
    [Say(Remote, <<8, 0:24, Vni:24, 0, Frame/binary>>) || Vni <- [0, 4, 16#ffffff]],
    Say(Stranger, <<8, 0:24, 3:24, 0, Frame/binary>>),
    %% no frame behind the header
    [Say(Remote, <<8, 0:24, 3:24, 0, 0:(8 * N)>>) || N <- [0, 13]],
    %% what is reserved is ignored
    Say(Remote, <<16#ff, 16#ffffff:24, 3:24, 16#ff, Frame/binary>>),
    ?assertEqual(Frame, evum_peer:recv(Peer)),
    ?assertMatch(
        #{rx_bad := 4, rx_foreign := 4, rx_runts := 2, rx_frames := 1}, Port()
    ),
    [ok = gen_udp:close(Socket) || Socket <- [Remote, Stranger]],
    evum_switch_rig:close(Config).

bad_vxlans() ->
    {ok, Switch} = evum_switch:start(),
    Uplink = fun(Options) -> evum_switch:uplink(Switch, vxlan, Options) end,
    Good = #{vni => 1, local => "127.0.0.1", remotes => ["127.0.0.2"]},
    ?assertEqual({error, {bad_option, vni, 1 bsl 24}}, Uplink(Good#{vni => 1 bsl 24})),
    ?assertEqual({error, {bad_option, local, "127.0.0.1"}}, Uplink(Good#{remotes => ["::1"]})),
    ?assertEqual(
        {error, {uplink, {vxlan, {{192, 0, 2, 77}, 4789}}, eaddrnotavail}}, Uplink(Good#{local => "192.0.2.77"})
    ),
    {ok, Id} = Uplink(Good),
    InUse = {error, {uplink, {vxlan, {{127, 0, 0, 1}, 4789}}, eaddrinuse}},
    ?assertEqual(InUse, Uplink(Good)),
    ?assertEqual(InUse, Uplink(Good#{vni => 2})),
    ok = evum_switch:close_port(Switch, Id),
    {ok, _} = Uplink(Good#{vni => 2}).
