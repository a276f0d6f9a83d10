%% SPDX-License-Identifier: Apache-2.0
-module(evum_uplink_options_tests).

-include_lib("eunit/include/eunit.hrl").

good_test_() ->
    Any = {inet, <<0:32>>, 4789},
    One = {inet, <<192, 0, 2, 1>>, 4789},
    [
        ?_assertEqual({ok, Wire}, evum_uplink_options:Kind(Options))
     || {Kind, Options, Wire} <- [
            {tap, #{interface => "tap0"}, {<<"tap0">>, 0}},
            {tap, [{interface, <<"fifteen-bytes-n">>}, {mtu, 9000}], {<<"fifteen-bytes-n">>, 9000}},
            {pcap, #{interface => "eth0"}, {<<"eth0">>, <<>>}},
            {pcap, #{interface => "eth0", filter => "tcp port 80"}, {<<"eth0">>, <<"tcp port 80">>}},
            {vxlan, #{vni => 0, remotes => ["192.0.2.1"]}, {0, Any, [One]}},
            {vxlan, #{vni => 16777215, remotes => [{192, 0, 2, 1}, {<<"192.0.2.2">>, 99}]},
                {16777215, Any, [One, {inet, <<192, 0, 2, 2>>, 99}]}},
            {vxlan, #{vni => 7, remotes => [{{192, 0, 2, 1}, 99}], port => 8472, local => "192.0.2.9"},
                {7, {inet, <<192, 0, 2, 9>>, 8472}, [{inet, <<192, 0, 2, 1>>, 99}]}},
            {vxlan, #{vni => 7, remotes => ["fd00::1"]},
                {7, {inet, <<0:128>>, 4789}, [{inet, <<16#fd00:16, 1:112>>, 4789}]}}
        ]
    ].

bad_test_() ->
    Vxlan = #{vni => 7, remotes => ["192.0.2.1"]},
    [
        ?_assertEqual(
            {error, {bad_option, Key, maps:get(Key, Options, none)}}, evum_uplink_options:Kind(Options)
        )
     || {Kind, Key, Options} <- [
            {tap, interface, #{}},
            {tap, interface, #{interface => ""}},
            {tap, interface, #{interface => "sixteen-bytes-no"}},
            {tap, interface, #{interface => "a b"}},
            {tap, interface, #{interface => "../eth0"}},
            {tap, interface, #{interface => "tap%d"}},
            {tap, interface, #{interface => "eth0:1"}},
            {tap, interface, #{interface => <<"a", 0>>}},
            {tap, interface, #{interface => ".."}},
            {tap, interface, #{interface => 7}},
            {tap, mtu, #{interface => "tap0", mtu => 67}},
            {tap, mtu, #{interface => "tap0", mtu => 65522}},
            {tap, filter, #{interface => "tap0", filter => "ip"}},
            {pcap, interface, #{filter => "ip"}},
            {pcap, filter, #{interface => "eth0", filter => ip}},
            {pcap, filter, #{interface => "eth0", filter => [0]}},
            {pcap, mtu, #{interface => "eth0", mtu => 1500}},
            {vxlan, vni, #{remotes => ["192.0.2.1"]}},
            {vxlan, vni, Vxlan#{vni => 16777216}},
            {vxlan, vni, Vxlan#{vni => -1}},
            {vxlan, remotes, #{vni => 7}},
            {vxlan, remotes, Vxlan#{remotes => []}},
            {vxlan, remotes, Vxlan#{remotes => ["192.0.2.1" | improper]}},
            {vxlan, remotes, Vxlan#{remotes => ["host"]}},
            {vxlan, remotes, Vxlan#{remotes => [{"192.0.2.1", 0}]}},
            {vxlan, remotes, Vxlan#{remotes => [{"192.0.2.1", 65536}]}},
            {vxlan, remotes, Vxlan#{remotes => ["192.0.2.1", "fd00::1"]}},
            {vxlan, remotes, Vxlan#{remotes => ["239.1.1.1"]}},
            {vxlan, remotes, Vxlan#{remotes => ["255.255.255.255"]}},
            {vxlan, remotes, Vxlan#{remotes => ["0.0.0.0"]}},
            {vxlan, remotes, Vxlan#{remotes => ["ff02::1"]}},
            {vxlan, remotes, Vxlan#{remotes => ["::"]}},
            {vxlan, remotes, Vxlan#{remotes => lists:duplicate(65, "192.0.2.1")}},
            {vxlan, local, Vxlan#{local => "fd00::1"}},
            {vxlan, local, Vxlan#{local => here}},
            {vxlan, port, Vxlan#{port => 0}},
            {vxlan, colour, Vxlan#{colour => red}}
        ]
    ] ++
        [
            ?_assertEqual(
                {error, {bad_option, options, Options}}, evum_uplink_options:Kind(Options)
            )
         || Kind <- [tap, pcap, vxlan], Options <- [none, [7]]
        ].
