%% SPDX-License-Identifier: Apache-2.0
-module(evum_uplink_tests).

-include_lib("eunit/include/eunit.hrl").

defaults_test() ->
    {ok, {Flags, In4, In6, 1500}} = evum_uplink:nat(#{}),
    ?assertEqual({false, true}, Flags),
    ?assertEqual(
        {true, 24, <<192, 168, 213, 0>>, <<192, 168, 213, 1>>, <<192, 168, 213, 3>>, <<0:32>>}, In4
    ),
    ?assertEqual(
        {true, 64, <<16#fd:8, 0:120>>, <<16#fd:8, 0:112, 2>>, <<16#fd:8, 0:112, 3>>, <<0:128>>}, In6
    ).

options_test() ->
    {ok, {Flags, In4, In6, 9000}} = evum_uplink:nat(many()),
    ?assertEqual({true, false}, Flags),
    ?assertEqual(<<10, 0, 0, 9>>, element(6, In4)),
    ?assertEqual(<<16#fd:8, 0:112, 9>>, element(6, In6)).

many() ->
    [
        restrict,
        {host_loopback, false},
        {subnet, <<"10.1.2.32/27">>},
        {subnet6, "fd00:1::/64"},
        {bind, ["10.0.0.9", {16#fd00, 0, 0, 0, 0, 0, 0, 9}]},
        {mtu, 9000},
        {domain, "lab.example"}
    ].

dhcp_test() ->
    ?assertEqual(
        #{
            first => <<192, 168, 213, 15>>,
            last => <<192, 168, 213, 254>>,
            server => {<<192, 168, 213, 1>>, <<16#52, 16#55, 192, 168, 213, 1>>},
            mask => <<255, 255, 255, 0>>,
            router => <<192, 168, 213, 1>>,
            resolver => <<192, 168, 213, 3>>
        },
        evum_uplink:dhcp(#{})
    ),
    %% nothing leads out
    ?assertEqual(
        #{
            first => <<10, 1, 2, 47>>,
            last => <<10, 1, 2, 62>>,
            server => {<<10, 1, 2, 33>>, <<16#52, 16#55, 10, 1, 2, 33>>},
            mask => <<255, 255, 255, 224>>,
            mtu => 9000,
            domain => <<"lab.example">>
        },
        evum_uplink:dhcp(many())
    ),
    ?assertMatch(
        #{first := <<10, 0, 0, 15>>, last := <<10, 0, 16, 14>>}, evum_uplink:dhcp(#{subnet => "10.0.0.0/8"})
    ),
    ?assertEqual(none, evum_uplink:dhcp(#{dhcp => false})),
    ?assertEqual(none, evum_uplink:dhcp(#{subnet => none})).

one_family_test() ->
    {ok, {{_, _}, {false, 1, _, _, _, _}, {true, 64, _, _, _, _}, _}} =
        evum_uplink:nat(#{subnet => none}).

bad_options_test_() ->
    [
        ?_assertEqual({error, {bad_option, Key, Value}}, evum_uplink:nat(#{Key => Value}))
     || {Key, Value} <- [
            {subnet, "192.168.213.0"},
            {subnet, "192.168.213.1/24"},
            {subnet, "192.168.213.0/28"},
            {subnet, "10.0.0.0/7"},
            {subnet, "300.0.0.0/8"},
            {subnet, "fd00::/64"},
            {subnet, 7},
            {subnet6, "fd00::/48"},
            {subnet6, "192.168.213.0/24"},
            {restrict, yes},
            {bind, ["10.0.0.1", "10.0.0.2"]},
            {bind, ["host"]},
            {mtu, 1279},
            {mtu, 65522},
            {domain, "a b"},
            {domain, "a\n"},
            {domain, atom},
            {colour, red}
        ]
    ] ++ [?_assertMatch({error, {bad_option, options, _}}, evum_uplink:nat(none))].

free_test() ->
    In = fun(Address, Mask) -> [{"eth0", [{addr, Address}, {netmask, Mask}]}] end,
    ?assertEqual(#{}, evum_uplink:free(In({10, 0, 0, 1}, {255, 0, 0, 0}))),
    ?assertEqual(
        #{subnet => none}, evum_uplink:free(In({192, 168, 213, 9}, {255, 255, 255, 0}))
    ),
    Mask6 = {16#ffff, 16#ffff, 16#ffff, 16#ffff, 0, 0, 0, 0},
    ?assertEqual(
        #{subnet6 => none}, evum_uplink:free(In({16#fd00, 0, 0, 0, 0, 0, 0, 2}, Mask6))
    ).

overlap_test() ->
    Host = [
        {"lo", [{addr, {127, 0, 0, 1}}, {netmask, {255, 0, 0, 0}}]},
        {"eth0", [
            {flags, [up]},
            {addr, {10, 1, 2, 3}},
            {netmask, {255, 255, 0, 0}},
            {broadaddr, {10, 1, 255, 255}},
            {addr, {16#fd00, 0, 0, 5, 0, 0, 0, 1}},
            {netmask, {16#ffff, 16#ffff, 16#ffff, 16#ffff, 0, 0, 0, 0}}
        ]}
    ],
    Check = fun(Subnet) -> evum_uplink:overlap([none, Subnet], Host) end,
    ?assertEqual(ok, Check({{192, 168, 213, 0}, 24})),
    ?assertEqual(ok, Check({{10, 2, 0, 0}, 16})),
    ?assertEqual({error, {overlap, "10.1.9.0/24", "eth0"}}, Check({{10, 1, 9, 0}, 24})),
    ?assertEqual({error, {overlap, "10.0.0.0/8", "eth0"}}, Check({{10, 0, 0, 0}, 8})),
    ?assertEqual({error, {overlap, "127.0.0.0/24", "lo"}}, Check({{127, 0, 0, 0}, 24})),
    ?assertEqual(ok, Check({{16#fd00, 0, 0, 0, 0, 0, 0, 0}, 64})),
    ?assertEqual(
        {error, {overlap, "fd00:0:0:5::/64", "eth0"}},
        Check({{16#fd00, 0, 0, 5, 0, 0, 0, 0}, 64})
    ).

bad_forwards_test_() ->
    Good = {"127.0.0.1", 80},
    [
        ?_assertEqual({error, Error}, evum_uplink:forward(self(), Protocol, Host, Guest))
     || {Error, Protocol, Host, Guest} <- [
            {{bad_option, protocol, sctp}, sctp, Good, Good},
            {{bad_option, host, {"localhost", 80}}, tcp, {"localhost", 80}, Good},
            {{bad_option, host, {"127.0.0.1", 0}}, tcp, {"127.0.0.1", 0}, Good},
            {{bad_option, guest, {"10.0.0.1", 65536}}, udp, Good, {"10.0.0.1", 65536}},
            {{bad_option, guest, "10.0.0.1"}, udp, Good, "10.0.0.1"},
            {{bad_option, guest, {"fd00::1", 80}}, tcp, Good, {"fd00::1", 80}}
        ]
    ].
