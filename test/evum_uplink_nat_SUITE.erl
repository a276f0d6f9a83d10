%% SPDX-License-Identifier: Apache-2.0
%% What options of `nat' do to what a guest sends, in a network namespace that has
%% nothing but a loopback (evum_apart), so that nothing leaves this machine.
-module(evum_uplink_nat_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

-import(evum_uplink_rig, [families/1, host_addresses/1, address/1]).

suite() -> [{timetrap, {minutes, 5}}].

all() -> [bound_to_addresses, restricted, without_host_loopback].

init_per_suite(Config) ->
    case evum_apart:possible() of
        true ->
            Before = evum_test:leftovers(),
            [{peer, evum_apart:start()}, {before, Before} | Config];
        Skip ->
            Skip
    end.

end_per_suite(Config) ->
    ok = evum_apart:stop(?config(peer, Config)),
    evum_test:no_leftovers(?config(before, Config)).

end_per_testcase(_Case, Config) ->
    _ = peer:call(?config(peer, Config), application, stop, [evum]),
    ok.

%% What each case does, it does there.
bound_to_addresses(Config) -> there(bound, Config).
restricted(Config) -> there(nothing_out, Config).
without_host_loopback(Config) -> there(no_loopback, Config).

there(Function, Config) ->
    evum_apart:call(?config(peer, Config), ?MODULE, Function).

%% Connections and datagrams to the world come from these.
bound() ->
    host_addresses(replace),
    evum_netns:sh("ip addr add 10.99.0.9/32 dev lo && ip addr add fd99::9/128 dev lo"),
    {ok, Switch} = evum_switch:start(),
    {ok, _} = evum_switch:uplink(Switch, nat, #{bind => ["10.99.0.9", "fd99::9"]}),
    R = evum_test:boot([], #{switch => Switch}),
    Families = families(R),
    Sources = #{inet => {10, 99, 0, 9}, inet6 => {16#fd99, 0, 0, 0, 0, 0, 0, 9}},
    ?assertEqual(
        [{Family, Protocol, maps:get(Family, Sources)} || Family <- Families, Protocol <- [tcp, udp]],
        [Arrived || Family <- Families, Arrived <- arrive(R, Family, address(Family), address(Family))]
    ),
    evum_netns:sh("ip addr del 10.99.0.9/32 dev lo && ip addr del fd99::9/128 dev lo"),
    host_addresses(del).

%% Of what gets out elsewhere nothing does: connections, datagrams, names, and
%% pings, which libslirp does not know of IPv6.
nothing_out() ->
    host_addresses(replace),
    {ok, Switch} = evum_switch:start(),
    {ok, Nat} = evum_switch:uplink(Switch, nat, #{restrict => true}),
    R = evum_test:boot([], #{switch => Switch}),
    Families = families(R),
    %% The lease told of no way out.
    [] = evum_test:sh(R, "route add default gw 192.168.213.1"),
    ?assertEqual([], out(R, Families)),
    ok = evum_switch:close_port(Switch, Nat),
    {ok, _} = evum_switch:uplink(Switch, nat, #{}),
    ?assertEqual(
        [{Family, Protocol} || Family <- Families, Protocol <- [tcp, udp]] ++ [ping, names], out(R, Families)
    ),
    host_addresses(del).

out(R, Families) ->
    {ok, Names} = gen_udp:open(53, [binary, {ip, {127, 0, 0, 1}}, {active, false}]),
    [] = evum_test:sh(R, "echo name >/dev/udp/192.168.213.3/53"),
    Arrived = to_world(R, Families),
    Pinged = [ping || pings(R, address(inet), 2)],
    Asked = [names || {ok, _} <- [gen_udp:recv(Names, 0, 0)]],
    ok = gen_udp:close(Names),
    Arrived ++ Pinged ++ Asked.

to_world(R, Families) ->
    [
        {Family, Protocol}
     || Family <- Families,
        {_, Protocol, _} <- arrive(R, Family, address(Family), address(Family))
    ].

%% What listens at the host's loopback is out of reach, and the world is not.
no_loopback() ->
    host_addresses(replace),
    {ok, Switch} = evum_switch:start(),
    {ok, Nat} = evum_switch:uplink(Switch, nat, #{host_loopback => false}),
    R = evum_test:boot([], #{switch => Switch}),
    Families = families(R),
    Loopbacks = #{inet => {127, 0, 0, 1}, inet6 => {0, 0, 0, 0, 0, 0, 0, 1}},
    Inwards = fun() ->
        [
            {Family, Protocol}
         || Family <- Families,
            {_, Protocol, _} <- arrive(R, Family, gateway(Family), maps:get(Family, Loopbacks))
        ]
    end,
    All = [{Family, Protocol} || Family <- Families, Protocol <- [tcp, udp]],
    ?assertEqual([], Inwards()),
    ?assertEqual(All, to_world(R, Families)),
    ok = evum_switch:close_port(Switch, Nat),
    {ok, _} = evum_switch:uplink(Switch, nat, #{}),
    ?assertEqual(All, Inwards()),
    host_addresses(del).

%% What a guest sends to an address, and from where it comes to one of the host:
%% the gateway's answer to a ping shows that all that was sent before was dealt with.
arrive(R, Family, To, At) ->
    {ok, Listener} = gen_tcp:listen(0, [Family, {ip, At}, {active, false}]),
    {ok, Tcp} = inet:port(Listener),
    {ok, Socket} = gen_udp:open(0, [Family, binary, {ip, At}, {active, false}]),
    {ok, Udp} = inet:port(Socket),
    Device = fun(Protocol, Port) ->
        ["/dev/", Protocol, "/", inet:ntoa(To), "/", integer_to_list(Port)]
    end,
    _ = evum_test:sh(R, ["timeout 2 bash -c 'exec 3<>", Device("tcp", Tcp), "' 2>/dev/null"]),
    _ = evum_test:sh(R, ["echo datagram >", Device("udp", Udp)]),
    true = pings(R, gateway(Family), 20),
    Connected =
        case gen_tcp:accept(Listener, 0) of
            {ok, Accepted} ->
                {ok, {Client, _}} = inet:peername(Accepted),
                ok = gen_tcp:close(Accepted),
                [{Family, tcp, Client}];
            {error, timeout} ->
                []
        end,
    Received = [{Family, udp, Sender} || {ok, {Sender, _, _}} <- [gen_udp:recv(Socket, 0, 0)]],
    ok = gen_tcp:close(Listener),
    ok = gen_udp:close(Socket),
    Connected ++ Received.

gateway(inet) -> {192, 168, 213, 1};
gateway(inet6) -> {16#fd00, 0, 0, 0, 0, 0, 0, 2}.

%% Is there an answer, within so many seconds?
pings(R, Address, Limit) ->
    evum_test:sh(R, [
        "ping -c 1 -w ", integer_to_list(Limit), " ", inet:ntoa(Address), " | grep 'bytes from'"
    ]) =/= [].
