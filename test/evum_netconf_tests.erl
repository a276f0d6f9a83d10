%% SPDX-License-Identifier: Apache-2.0
-module(evum_netconf_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

plan_test() ->
    {ok, Steps} = evum_netconf:plan(#{
        resolver => ["10.0.0.53", {16#fd00, 0, 0, 0, 0, 0, 0, 1}],
        routes => [{default, "10.0.0.254"}, {"10.1.2.3/16", eth1}, {default, "fe80::1", eth0}],
        eth0 => ["10.0.0.1/24", "fd00::1/64"],
        "eth1" => #{mtu => 1400},
        hostname => r1
    }),
    ?assertEqual(
        [
            {hostname, <<"r1">>},
            {interface, eth0, <<"eth0">>, none, [
                {{10, 0, 0, 1}, 24}, {{16#fd00, 0, 0, 0, 0, 0, 0, 1}, 64}
            ]},
            {interface, "eth1", <<"eth1">>, 1400, keep},
            {route, {{0, 0, 0, 0}, 0}, {10, 0, 0, 254}, none},
            %% the bits of a host are of no network
            {route, {{10, 1, 0, 0}, 16}, none, <<"eth1">>},
            {route, {{0, 0, 0, 0, 0, 0, 0, 0}, 0}, {16#fe80, 0, 0, 0, 0, 0, 0, 1}, <<"eth0">>},
            {resolver, <<"nameserver 10.0.0.53\nnameserver fd00::1\n">>}
        ],
        Steps
    ).

bad_test_() ->
    [
        ?_assertEqual({error, {bad_option, Key, Bad}}, evum_netconf:plan(#{Key => Value}))
     || {Key, Value, Bad} <- [
            {hostname, "two words", "two words"},
            {hostname, 7, 7},
            {eth0, ["10.0.0.1"], "10.0.0.1"},
            {eth0, ["10.0.0.1/33"], "10.0.0.1/33"},
            {eth0, ["fd00::1/129"], "fd00::1/129"},
            {eth0, [7], 7},
            {eth0, up, up},
            {eth0, #{mtu => 1}, #{mtu => 1}},
            {eth0, #{colour => red}, #{colour => red}},
            {"a name that is too long", [], []},
            {"../eth0", [], []},
            {routes, [default], default},
            {routes, [{default, "nowhere at all"}], {default, "nowhere at all"}},
            {routes, [{"10.0.0.0/8", "fd00::1"}], {"10.0.0.0/8", "fd00::1"}},
            {routes, all, all},
            {resolver, ["x"], "x"},
            {resolver, none, none}
        ]
    ] ++ [?_assertEqual({error, {bad_option, config, 7}}, evum_netconf:plan(7))].

%% As ip(8) of iproute2 says it: RTM_NEWADDR for 10.0.0.1/24 on interface 2.
address_message_test() ->
    <<Length:32/little, 20:16/little, Flags:16/little, 9:32/little, 0:32, 2, 24, _, 0, 2:32/little,
        Attributes/binary>> = evum_rtnl:add_address(2, {{10, 0, 0, 1}, 24}, 9),
    ?assertEqual(Length, 24 + byte_size(Attributes)),
    ?assertEqual(16#505, Flags),
    ?assertEqual(
        <<8:16/little, 2:16/little, 10, 0, 0, 1, 8:16/little, 1:16/little, 10, 0, 0, 1,
            8:16/little, 4:16/little, 10, 0, 0, 255>>,
        Attributes
    ).

replies_test() ->
    Ack = <<36:32/little, 2:16/little, 0:16, 0:32, 0:32, 0:32, 0:128>>,
    Refused = <<36:32/little, 2:16/little, 0:16, 0:32, 0:32, -19:32/little, 0:128>>,
    ?assertEqual({ok, [done, {error, 19}]}, evum_rtnl:decode(<<Ack/binary, Refused/binary>>)),
    ?assertEqual(error, evum_rtnl:decode(<<Ack/binary, 1>>)),
    ?assertEqual(error, evum_rtnl:decode(<<8:32/little, 0:96>>)).

%% An interface with an address of its own, one by DHCP, and one of the link's only; sizes
%% that no address has.
addresses_test() ->
    Attribute = fun(Type, Value) -> <<(4 + byte_size(Value)):16/little, Type:16/little, Value/binary, 0:(-byte_size(Value) band 3 * 8)>> end,
    Message = fun(Type, Body) -> <<(16 + byte_size(Body)):32/little, Type:16/little, 0:80, Body/binary>> end,
    Address = fun(Family, Prefix, Flags, Scope, IP) ->
        Message(20, <<Family, Prefix, Flags, Scope, 2:32/little, (Attribute(1, IP))/binary>>)
    end,
    Link = Message(16, <<0:32, 2:32/little, 0:64, (Attribute(4, <<1400:32/little>>))/binary, (Attribute(3, <<"eth0", 0>>))/binary>>),
    ?assertEqual(
        {ok, [
            {link, 2, <<"eth0">>},
            {address, 2, {{10, 0, 0, 1}, 24}, permanent},
            {address, 2, {{16#fd00, 0, 0, 0, 0, 0, 0, 1}, 64}, dynamic},
            other,
            other,
            other,
            done
        ]},
        evum_rtnl:decode(
            iolist_to_binary([
                Link,
                Address(2, 24, 16#80, 0, <<10, 0, 0, 1>>),
                Address(10, 64, 0, 0, <<16#fd00:16, 0:96, 1:16>>),
                Address(10, 64, 16#80, 253, <<16#fe80:16, 0:96, 1:16>>),
                Address(2, 33, 0, 0, <<10, 0, 0, 1>>),
                Address(10, 129, 0, 0, <<16#fd00:16, 0:96, 1:16>>),
                Message(3, <<0:32>>)
            ])
        )
    ).

%% A guest answers what it likes: addresses of interfaces that it has not, and no end of
%% them.
asked_test() ->
    Link = <<40:32/little, 16:16/little, 0:80, 0:32, 2:32/little, 0:64, 7:16/little, 3:16/little, "lo", 0, 0>>,
    Address = fun(Index) -> <<32:32/little, 20:16/little, 0:80, 2, 8, 0, 0, Index:32/little, 8:16/little, 1:16/little, 10, 0, 0, 1>> end,
    Vm = evum_test:answering([[Link], [Address(2), Address(3)]]),
    ?assertEqual({ok, [{<<"lo">>, {{10, 0, 0, 1}, 8}}]}, evum_netconf:addresses(Vm, 5000)),
    Flood = evum_test:answering([[Link], lists:duplicate(70, binary:copy(Address(2), 2048))]),
    ?assertEqual({error, {output_limit, 4 bsl 20}}, evum_netconf:addresses(Flood, 5000)).

any_replies_test_() ->
    {timeout, 60, ?_assert(proper:quickcheck(prop_any(), [{to_file, user}, {numtests, 1000}]))}.

prop_any() ->
    ?FORALL(
        {Type, Bytes, Rest},
        {oneof([2, 3, 16, 20, byte()]), binary(), binary()},
        case evum_rtnl:decode(<<(16 + byte_size(Bytes)):32/little, Type:16/little, 0:80, Bytes/binary, Rest/binary>>) of
            {ok, Replies} -> is_list(Replies);
            error -> true
        end
    ).

stat_test() ->
    ?assertEqual(
        {ok, #{
            load => {0.5, 0.25, 0.0},
            uptime => 1.5,
            memory => #{total => 65536 * 1024, available => 1024},
            processes => 7
        }},
        evum_stat:parse(
            <<"0.50 0.25 0.00 1/7 99\n">>, <<"1.50 0.10\n">>, <<"MemTotal:   65536 kB\nMemFree: 1 kB\nMemAvailable: 1 kB\n">>
        )
    ),
    ?assertEqual(error, evum_stat:parse(<<>>, <<>>, <<>>)).
