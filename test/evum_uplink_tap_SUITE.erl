%% SPDX-License-Identifier: Apache-2.0
%% Taps, in a network namespace of its own: the kernel on the other side is the
%% node's.
-module(evum_uplink_tap_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

%% TCP's payload of a frame of 1514 bytes: so many of them for the file.
-define(SEGMENTS, 4194304 div 1448).

suite() -> [{timetrap, {minutes, 5}}].

all() -> [offloads_pass, existing_tap, interface_goes, bad_input, without_capabilities].

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

init_per_testcase(without_capabilities, Config) ->
    Config;
init_per_testcase(_Case, Config) ->
    Probe = "ip tuntap add probe mode tap 2>&1 && ip link del probe",
    case peer:call(?config(peer, Config), os, cmd, [Probe]) of
        "" -> Config;
        Why -> {skip, "no taps here: " ++ Why}
    end.

end_per_testcase(_Case, Config) ->
    _ = peer:call(?config(peer, Config), application, stop, [evum]),
    ok.

%% What each case does, it does there.
offloads_pass(Config) -> there(offloads, Config).
existing_tap(Config) -> there(existing, Config).
interface_goes(Config) -> there(goes, Config).
bad_input(Config) -> there(bad_taps, Config).

there(Function, Config) ->
    evum_apart:call(?config(peer, Config), ?MODULE, Function).

%% A file each way, by IPv4 and IPv6: whole, and where both sides can, in fewer
%% frames than a wire would take.
offloads() ->
    {ok, Switch} = evum_switch:start(),
    {ok, Id} = evum_switch:uplink(Switch, tap, #{interface => "evt0"}),
    evum_netns:sh("ip addr add 10.9.0.1/24 dev evt0 && ip addr add fd09::1/64 dev evt0 nodad"),
    R = guest(Switch),
    Sum = evum_netns:file(R),
    [
        begin
            ?assertEqual(same, evum_netns:upload(R, Address, here)),
            ?assertEqual(Sum, evum_netns:download(R, Address, here))
        end
     || Address <- [{10, 9, 0, 1}] ++ [{16#fd09, 0, 0, 0, 0, 0, 0, 1} || has_ipv6(R)]
    ],
    #{rx_bad := 0, tx_errors := 0, rx_bytes := Rx, rx_frames := RxFrames} = Port = port(Switch, Id),
    Files = Rx div 4194304,
    ?assert(Files >= 1),
    case [Kind || #{kind := Kind} <- evum_switch:ports(Switch), Kind =/= tap] of
        [vhost] ->
            ?assert(RxFrames < Files * ?SEGMENTS),
            ?assert(maps:get(tx_frames, Port) < Files * ?SEGMENTS);
        _ ->
            ok
    end,
    evum_netns:sh("busybox ping -c 1 -w 20 10.9.0.2").

%% It is used as it is found, and stays.
existing() ->
    evum_netns:sh("ip tuntap add evt1 mode tap && ip addr add 10.9.0.1/24 dev evt1"),
    {ok, Switch} = evum_switch:start(),
    {ok, Id} = evum_switch:uplink(Switch, tap, #{interface => "evt1"}),
    ?assertEqual(
        {error, {uplink, {tap, "evt1"}, ebusy}},
        evum_switch:uplink(Switch, tap, #{interface => "evt1"})
    ),
    R = guest(Switch),
    %% down: what is sent to it is counted
    [<<"1">>] = evum_test:sh(R, "ping -c 1 -w 1 10.9.0.1 > /dev/null; echo $?"),
    evum_test:await(fun() -> maps:get(tx_errors, port(Switch, Id)) > 0 end),
    evum_netns:sh("ip link set evt1 up"),
    pings(R, "10.9.0.1"),
    ok = evum_switch:stop(Switch),
    %% another, with another MTU
    {ok, Switch2} = evum_switch:start(),
    {ok, _} = evum_switch:uplink(Switch2, tap, #{interface => "evt1", mtu => 1400}),
    ?assertMatch({match, _}, re:run(evum_netns:sh("ip link show evt1"), "mtu 1400")),
    ok = evum_switch:stop(Switch2),
    evum_netns:sh("ip link del evt1").

%% One that was made goes with its port, and the port with its interface.
goes() ->
    {ok, Switch} = evum_switch:start(),
    {ok, Closed} = evum_switch:uplink(Switch, tap, #{interface => "evt2"}),
    ok = evum_switch:close_port(Switch, Closed),
    evum_test:await(fun() -> os:cmd("ip link show evt2 2>/dev/null") =:= "" end),
    R = guest(Switch),
    [
        begin
            {ok, Id} = evum_switch:uplink(Switch, tap, #{interface => "evt2"}),
            evum_netns:sh("ip addr add 10.9.0.1/24 dev evt2"),
            %% the one before had another address
            _ = evum_test:sh(R, "ip neigh flush dev eth0"),
            pings(R, "10.9.0.1"),
            goes_down(Id, enodev, fun() -> evum_netns:sh("ip link del evt2") end),
            ?assertEqual(none, port(Switch, Id))
        end
     || _ <- [1, 2]
    ],
    %% Nothing is left of them.
    Fds = "/proc/" ++ integer_to_list(evum_switch_rig:evum_net_pid(Switch)) ++ "/fd",
    ?assertEqual("", os:cmd("ls -l " ++ Fds ++ " | grep net/tun")).

bad_taps() ->
    {ok, Switch} = evum_switch:start(),
    Uplink = fun(Options) -> evum_switch:uplink(Switch, tap, Options) end,
    ?assertEqual({error, {bad_option, interface, none}}, Uplink(#{})),
    ?assertEqual({error, {bad_option, mtu, big}}, Uplink(#{interface => "evt3", mtu => big})),
    ?assertEqual({error, {uplink, {tap, "lo"}, einval}}, Uplink(#{interface => "lo"})),
    evum_netns:sh("ip tuntap add evt3 mode tun"),
    ?assertEqual({error, {uplink, {tap, "evt3"}, einval}}, Uplink(#{interface => "evt3"})),
    ?assertEqual([], evum_switch:ports(Switch)).

%% A process that may not is told what it lacks.
without_capabilities(_Config) ->
    Peer = evum_apart:start(["setpriv", "--bounding-set=-net_admin,-net_raw"]),
    evum_apart:call(Peer, ?MODULE, unprivileged),
    ok = evum_apart:stop(Peer).

unprivileged() ->
    {ok, Switch} = evum_switch:start(),
    Lacks =
        case os:cmd("( : <> /dev/net/tun ) 2>&1") of
            "" -> {eperm, cap_net_admin};
            Why -> {reason(string:find(Why, "ermission denied")), "/dev/net/tun"}
        end,
    ?assertEqual(
        {error, {uplink, {tap, "evt4"}, Lacks}},
        evum_switch:uplink(Switch, tap, #{interface => "evt4"})
    ),
    ?assertEqual([], evum_switch:ports(Switch)),
    ok = application:stop(evum).

reason(nomatch) -> enoent;
reason(_) -> eacces.

%%% What they share

guest(Switch) ->
    R = evum_test:boot([], #{switch => Switch}),
    [] = evum_test:sh(R, "dmesg -n 1; ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up"),
    has_ipv6(R) andalso
        ([] = evum_test:sh(R, "ip addr add fd09::2/64 dev eth0 nodad")),
    R.

has_ipv6(R) ->
    evum_test:sh(R, "cat /proc/net/if_inet6 2>/dev/null | grep -c lo") =/= [<<"0">>].

pings(R, Address) ->
    ?assertEqual(
        [<<"0">>], evum_test:sh(R, ["ping -c 1 -w 20 ", Address, " > /dev/null; echo $?"])
    ).

port(Switch, Id) ->
    case [Port || #{id := Other} = Port <- evum_switch:ports(Switch), Other =:= Id] of
        [Port] -> Port;
        [] -> none
    end.

%% A port goes for that reason when something is done.
goes_down(Id, Reason, Fun) ->
    Handler = ?MODULE,
    ok = logger:set_module_level(evum_switch_server, debug),
    ok = logger:add_handler(Handler, ?MODULE, #{config => #{to => self()}}),
    _ = Fun(),
    receive
        {log, {"port ~b down: ~s", [Id, Reason]}} -> ok
    after 20000 -> error(still_up)
    end,
    ok = logger:remove_handler(Handler),
    ok = logger:unset_module_level(evum_switch_server).

%% A handler of the logger's.
log(#{msg := Message}, #{config := #{to := Pid}}) ->
    Pid ! {log, Message}.
