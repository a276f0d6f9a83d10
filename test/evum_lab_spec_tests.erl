%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_spec_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(evum_lab_spec, [parse/1]).

one_form_test() ->
    {ok, Lab} = parse(#{
        name => net,
        machines => #{
            r1 => #{
                image => tiny,
                startup => ["sysctl -w net.ipv4.ip_forward=1", ["true", "x"]],
                interfaces => #{eth1 => ["10.1.0.1/24"], lo2 => #{mac => <<2, 0, 0, 0, 0, 9>>}}
            },
            "r2" => #{depends => [r1], mem => 48, startup => "true"},
            <<"pc1">> => #{}
        },
        defaults => #{mem => 32, env => #{"A" => "b"}},
        switches => #{a => #{ageing => 1000}},
        links => [
            {a, {pc1, eth0}},
            {{r1, eth0}, "a", #{port => #{isolated => true}}},
            {{r2, eth0}, {"r1", <<"eth1">>}, #{
                delay => {10, ms}, jitter => {2, ms}, distribution => normal, correlation => 0.25,
                rate => {5, mbit}, loss => 0.01, up => false
            }}
        ]
    }),
    #{name := <<"net">>, machines := #{<<"r1">> := R1, <<"r2">> := R2, <<"pc1">> := Pc1}, links := Links} = Lab,
    ?assertMatch(
        #{
            options := #{image := tiny, mem := 32},
            env := #{"A" := "b"},
            depends := [],
            startup := ["sysctl -w net.ipv4.ip_forward=1", ["true", "x"]],
            interfaces := #{
                <<"eth0">> := #{addresses := [], mac := <<"02:", _/binary>>},
                <<"eth1">> := #{addresses := ["10.1.0.1/24"]},
                <<"lo2">> := #{mac := <<"02:00:00:00:00:09">>}
            }
        },
        R1
    ),
    ?assertMatch(#{options := #{mem := 48}, depends := [<<"r1">>], startup := ["true"]}, R2),
    ?assertMatch(#{interfaces := #{<<"eth0">> := _}}, Pc1),
    ?assertMatch(
        [
            #{ends := {{<<"pc1">>, <<"eth0">>}, <<"a">>}, up := true, forth := None1, back := None1, port := None1},
            #{ends := {{<<"r1">>, <<"eth0">>}, <<"a">>}, port := #{isolated := true}},
            #{
                ends := {{<<"r1">>, <<"eth1">>}, {<<"r2">>, <<"eth0">>}},
                up := false,
                forth := #{
                    delay := {10, ms}, jitter := {2, ms}, distribution := normal, correlation := 0.25,
                    rate := {5, mbit}, loss := 0.01
                } = Both,
                back := Both
            }
        ] when None1 =:= #{},
        Links
    ).

%% From the first end that is given to the second, and back.
directions_test() ->
    Parse = fun(A, B, Options) ->
        parse(#{machines => #{x => #{}, y => #{}}, switches => #{a => #{}, b => #{}}, links => [{A, B, Options}]})
    end,
    Ways = fun(A, B, Options) ->
        {ok, #{links := [#{forth := Forth, back := Back}]}} = Parse(A, B, Options),
        {Forth, Back}
    end,
    {X, Y} = {{x, eth0}, {y, eth0}},
    Options = #{delay => {10, ms}, rate => {1, mbit}, forth => #{delay => {50, ms}}, back => #{rate => none, loss => 0.1}},
    Forth = #{delay => {50, ms}, rate => {1, mbit}},
    Back = #{delay => {10, ms}, loss => 0.1},
    ?assertEqual({Forth, Back}, Ways(X, Y, Options)),
    ?assertEqual({Back, Forth}, Ways(Y, X, Options)),
    ?assertEqual({Forth, Back}, Ways(X, a, Options)),
    ?assertEqual({Back, Forth}, Ways(a, X, Options)),
    ?assertEqual({Back, Forth}, Ways(b, a, Options)),
    ?assertEqual({#{}, #{loss => 1}}, Ways(X, Y, #{back => #{loss => 1}})),
    Bad = fun(Given) ->
        {error, [{{link, {X, Y, Given}}, Reason}]} = Parse(X, Y, Given),
        Reason
    end,
    ?assertEqual({bad_option, forth, slow}, Bad(#{forth => slow})),
    ?assertEqual({bad_option, forth, #{up => false}}, Bad(#{forth => #{up => false}})),
    ?assertEqual({bad_option, loss, 7}, Bad(#{back => #{loss => 7}})),
    ?assertEqual({bad_option, loss, 7}, Bad(#{loss => 7})),
    %% one needs what the other direction has no more
    ?assertEqual({bad_option, reorder, 0.1}, Bad(#{delay => {1, ms}, reorder => 0.1, back => #{delay => none}})).

%% Addresses of cards are the same each time, and of different cards different.
macs_test() ->
    Two = #{machines => #{a => #{}, b => #{}}, links => [{{a, eth0}, {b, eth0}}]},
    {ok, Lab} = parse(Two),
    ?assertEqual({ok, Lab}, parse(Two)),
    Macs = [Mac || {_, M} <- maps:to_list(maps:get(machines, Lab)), #{mac := Mac} <- maps:values(maps:get(interfaces, M))],
    ?assertEqual(2, length(lists:usort(Macs))).

%% Each thing that is wrong is told, by name.
all_at_once_test() ->
    {error, Problems} = parse(#{
        typo => 1,
        machines => #{
            r1 => #{mem => 32, colour => red, depends => [r3]},
            "r1" => #{},
            r2 => #{startup => 7, interfaces => #{eth0 => ["10.0.0.300/24"], "e/0" => []}},
            r3 => #{depends => [r1, ghost]},
            'bad name' => #{},
            a => #{}
        },
        switches => #{a => #{ageing => 0}},
        links => [
            {{r1, eth0}, a},
            {{r1, eth0}, {r3, eth0}},
            {{r9, eth0}, a},
            {{r1, eth1}, nowhere},
            {{r1, eth2}, a, #{colour => blue}},
            {{r1, eth3}, a, #{delay => much}},
            {{r1, eth4}, a, #{port => #{vlan => {access, 5000}}}},
            {{r1, eth5}, a, #{port => #{up => false}}},
            {{r1, eth6}, {r3, eth6}, #{port => #{mtu => 1400}}},
            {"a", a},
            bad
        ],
        addressing => {ipv4, "everything"},
        all_or_nothing => perhaps,
        depends_on => luck
    }),
    Expected = [
        {lab, {bad_option, typo, 1}},
        {lab, {bad_option, addressing, {ipv4, "everything"}}},
        {lab, {bad_option, all_or_nothing, perhaps}},
        {lab, {bad_option, depends_on, luck}},
        {lab, {cycle, [<<"r1">>, <<"r3">>, <<"r1">>]}},
        {{machine, <<"r1">>}, duplicate},
        {{machine, <<"r1">>}, {bad_option, colour, red}},
        {{machine, <<"r2">>}, {bad_option, startup, 7}},
        {{interface, <<"r2">>, "e/0"}, bad_name},
        {{interface, <<"r2">>, <<"eth0">>}, {bad_address, "10.0.0.300/24"}},
        {{machine, <<"r3">>}, {no_machine, <<"ghost">>}},
        {{machine, 'bad name'}, bad_name},
        {{machine, <<"a">>}, duplicate},
        {{switch, <<"a">>}, {bad_option, ageing, 0}},
        {{interface, <<"r1">>, <<"eth0">>}, used_twice},
        {{link, {{r9, eth0}, a, #{}}}, {no_machine, <<"r9">>}},
        {{link, {{r1, eth1}, nowhere, #{}}}, {no_switch, <<"nowhere">>}},
        {{link, {{r1, eth2}, a, #{colour => blue}}}, {bad_option, colour, blue}},
        {{link, {{r1, eth3}, a, #{delay => much}}}, {bad_option, delay, much}},
        {{link, {{r1, eth4}, a, #{port => #{vlan => {access, 5000}}}}}, {bad_option, {port, vlan}, {access, 5000}}},
        {{link, {{r1, eth5}, a, #{port => #{up => false}}}}, {bad_option, {port, up}, false}},
        {{link, {{r1, eth6}, {r3, eth6}, #{port => #{mtu => 1400}}}}, {no_switch_port, port}},
        {{link, {"a", a, #{}}}, {loop, [<<"a">>, <<"a">>]}},
        {{link, bad}, {bad_option, link, bad}}
    ],
    ?assertEqual(lists:sort(Expected), lists:sort(Problems)),
    [?assert(is_binary(unicode:characters_to_binary(evum_lab_problem:format(P)))) || P <- Problems].

%% Addresses and the rest of what is good are looked at all the same.
stages_test() ->
    {error, Problems} = parse(#{
        machines => #{
            a => #{depends => [b], interfaces => #{eth0 => ["10.0.0.1/24"], eth1 => ["10.0.0"], eth2 => #{mac => 7}}},
            b => #{depends => [a], interfaces => #{eth0 => ["10.0.0.1/24"]}},
            c => #{depends => [c]}
        },
        switches => #{s => #{}},
        links => [{{a, eth0}, s}, {{b, eth0}, s}, {{a, eth0}, s}, {{b, eth1}, nowhere}, {{b, eth1}, {c, eth0}}],
        addressing => [{ipv4, "10.0.0.0/32"}, {ipv6, "fd00::/128"}, everything]
    }),
    Expected = [
        {lab, {bad_option, addressing, everything}},
        {lab, {cycle, [<<"a">>, <<"b">>, <<"a">>]}},
        {lab, {cycle, [<<"c">>, <<"c">>]}},
        {lab, {no_room, "10.0.0.0/32"}},
        {lab, {no_room, "fd00::/128"}},
        {{interface, <<"a">>, <<"eth0">>}, used_twice},
        {{interface, <<"a">>, <<"eth1">>}, {bad_address, "10.0.0"}},
        {{interface, <<"a">>, <<"eth2">>}, {bad_option, mac, 7}},
        {{interface, <<"b">>, <<"eth0">>}, {address_twice, <<"10.0.0.1">>, {interface, <<"a">>, <<"eth0">>}}},
        {{link, {{b, eth1}, nowhere, #{}}}, {no_switch, <<"nowhere">>}}
    ],
    ?assertEqual(lists:sort(Expected), lists:sort(Problems)).

%% Each domain that has no room
no_room_test() ->
    ?assertEqual(
        {error, [{lab, {no_room, <<"10.0.0.0/32">>}}, {lab, {no_room, <<"10.0.1.0/32">>}}]},
        parse(#{
            machines => #{a => #{}, b => #{}},
            switches => #{s => #{subnet => "10.0.0.0/32"}, t => #{subnet => "10.0.1.0/32"}},
            links => [{{a, eth0}, s}, {{b, eth0}, t}]
        })
    ).

link_port_test() ->
    Given = #{vlan => {access, 5000}, mtu => 20, isolated => true, colour => red},
    Link = fun(B, Port) ->
        parse(#{machines => #{a => #{}, b => #{}}, switches => #{s => #{}}, links => [{{a, eth0}, B, #{port => Port}}]})
    end,
    {error, Problems} = Link(s, Given),
    ?assertEqual(
        [
            {bad_option, {port, colour}, red},
            {bad_option, {port, mtu}, 20},
            {bad_option, {port, vlan}, {access, 5000}}
        ],
        lists:sort([Reason || {{link, {{a, eth0}, s, #{port := _}}}, Reason} <- Problems])
    ),
    ?assertEqual(
        "link a:eth0 - s: bad option port: colour: red", lists:flatten(evum_lab_problem:format(hd(Problems)))
    ),
    ?assertMatch({ok, _}, Link(s, #{vlan => {trunk, [1, 2]}, mtu => 1400})),
    ?assertMatch({error, [{{link, _}, {no_switch_port, port}}]}, Link({b, eth0}, #{vlan => none})),
    ?assertMatch({error, [{{link, _}, {bad_option, port, 7}}]}, Link(s, 7)).

switch_values_test() ->
    Switch = fun(Options) ->
        case parse(#{switches => #{s => Options}}) of
            {ok, _} -> [];
            {error, Problems} -> [Reason || {{switch, <<"s">>}, Reason} <- Problems]
        end
    end,
    ?assertEqual([{bad_option, {uplink, subnet}, "10.0.0"}], Switch(#{uplink => {nat, #{subnet => "10.0.0"}}})),
    ?assertEqual([{bad_option, {uplink, interface}, none}], Switch(#{uplink => {tap, #{}}})),
    ?assertEqual([{bad_option, {uplink, vni}, -1}], Switch(#{uplink => {vxlan, #{vni => -1, remotes => ["10.0.0.1"]}}})),
    ?assertEqual([{bad_option, {uplink, kind}, balloon}], Switch(#{uplink => {balloon, #{}}})),
    ?assertEqual([{bad_option, uplink, nat}], Switch(#{uplink => nat})),
    ?assertEqual([], Switch(#{uplink => {pcap, #{interface => "eth0", filter => "icmp"}}})),
    Good = {tcp, {"127.0.0.1", 8080}, {{10, 0, 0, 1}, 80}},
    Bad = [
        {sctp, {"127.0.0.1", 1}, {"10.0.0.1", 1}},
        {tcp, {"127.0.0.300", 1}, {"10.0.0.1", 1}},
        {tcp, {"127.0.0.1", 70000}, {"10.0.0.1", 1}},
        {udp, {"::1", 1}, {"10.0.0.1", 1}},
        {tcp, "127.0.0.1", {"10.0.0.1", 1}},
        7
    ],
    ?assertEqual([], Switch(#{uplink => {nat, #{}}, forwards => [Good]})),
    ?assertEqual([{bad_option, forwards, One} || One <- Bad], Switch(#{uplink => {nat, #{}}, forwards => [Good | Bad]})).

twice_test() ->
    Lab = fun(A, B) ->
        #{
            machines => #{pc1 => #{interfaces => #{eth0 => A}}, pc2 => #{interfaces => #{eth0 => B}}},
            switches => #{a => #{}, b => #{}},
            links => [{{pc1, eth0}, a}, {a, b}, {{pc2, eth0}, b}]
        }
    end,
    ?assertMatch({ok, _}, parse(Lab(["10.0.0.1/24"], ["10.0.0.2/24"]))),
    ?assertEqual(
        {error, [
            {{interface, <<"pc2">>, <<"eth0">>},
                {address_twice, <<"fd00::1">>, {interface, <<"pc1">>, <<"eth0">>}}}
        ]},
        parse(Lab(["10.0.0.1/24", "fd00::1/64"], ["10.0.0.2/24", "fd00:0::1/64"]))
    ),
    ?assertEqual(
        {error, [
            {{interface, <<"pc2">>, <<"eth0">>},
                {mac_twice, <<"02:00:00:00:00:0a">>, {interface, <<"pc1">>, <<"eth0">>}}}
        ]},
        parse(Lab(#{mac => "02:00:00:00:00:0A"}, #{mac => <<2, 0, 0, 0, 0, 10>>}))
    ),
    %% Networks that never meet may use the same addresses.
    ?assertMatch({ok, _}, parse((Lab(["10.0.0.1/24"], ["10.0.0.1/24"]))#{links => []})).

%% Between switches there is one way at most.
loops_test_() ->
    Parse = fun(Links) -> parse(#{switches => maps:from_list([{S, #{}} || S <- [a, b, c, d]]), links => Links}) end,
    Vlan = fun(Config) -> #{port => #{vlan => Config}} end,
    Loop = fun(Names) -> {error, [{lab, {loop, [atom_to_binary(Name) || Name <- Names]}}]} end,
    [
        ?_assertMatch({ok, _}, Parse([{a, b}, {b, c}, {b, d}])),
        ?_assertEqual({error, [{{link, {<<"a">>, <<"b">>}}, used_twice}]}, Parse([{a, b}, {b, a}])),
        ?_assertEqual(Loop([a, b, c, a]), Parse([{a, b}, {b, c}, {d, b}, {c, a}])),
        ?_assertEqual(Loop([a, b, c, d, a]), Parse([{b, c}, {a, d}, {c, d}, {a, b}])),
        ?_assertMatch({error, [{lab, {loop, _}}, {lab, {loop, _}}]}, Parse([{a, b}, {b, c}, {c, a}, {a, d}, {d, c}])),
        %% nothing goes round where one is down, or carries another VLAN
        ?_assertMatch({ok, _}, Parse([{a, b}, {b, c}, {a, c, #{up => false}}])),
        ?_assertMatch({ok, _}, Parse([{a, b}, {b, c}, {a, c, Vlan({access, 10})}])),
        ?_assertMatch(
            {ok, _}, Parse([{a, b, Vlan({trunk, [1, 2]})}, {b, c, Vlan({trunk, [2, 3]})}, {a, c, Vlan({trunk, [3, 1]})}])
        ),
        ?_assertEqual(
            Loop([a, b, c, a]),
            Parse([{a, b, Vlan({trunk, [1, 2]})}, {b, c, Vlan({trunk, [2, 3]})}, {a, c, Vlan({trunk, [3], 2})}])
        ),
        ?_assertMatch(
            {ok, _},
            parse(#{
                switches => #{a => #{vlans => #{b => 10, c => 30}}, b => #{vlans => #{c => 20}}, c => #{}},
                links => [{a, b}, {b, c}, {c, a}]
            })
        ),
        ?_assertEqual(Loop([a, b, c, a]), Parse([{A, B, Vlan({trunk, all})} || {A, B} <- [{a, b}, {b, c}, {a, c}]]))
    ].

%% The VLANs of a switch are those of its ports.
vlans_test() ->
    Parse = fun(OfA, OfB) ->
        parse(#{
            machines => #{x => #{}, y => #{}, z => #{}},
            switches => #{a => #{vlans => OfA}, b => #{vlans => OfB, ageing => 1000}},
            links => [{{x, eth0}, a}, {a, {y, eth0}, #{port => #{mtu => 1500}}}, {b, a}, {{z, eth0}, b, #{port => #{vlan => {access, 7}}}}]
        })
    end,
    {ok, #{links := Links, switches := #{<<"a">> := A}}} = Parse(
        #{{x, eth0} => 10, {"y", <<"eth0">>} => {access, 20}, b => {trunk, [20, 10]}},
        #{{z, eth0} => 20, a => {trunk, [10, 20], none}}
    ),
    ?assertEqual(
        [
            #{vlan => {access, 10}},
            #{vlan => {access, 20}, mtu => 1500},
            #{vlan => {trunk, [10, 20], none}},
            #{vlan => {access, 7}}
        ],
        [Port || #{port := Port} <- Links]
    ),
    ?assertNot(is_map_key(vlans, A)),
    Bad = fun(OfA, OfB) ->
        {error, Problems} = Parse(OfA, OfB),
        Problems
    end,
    Switch = fun(Name, Given) -> [{{switch, Name}, {bad_option, vlans, Given}}] end,
    ?assertEqual(Switch(<<"a">>, 10), Bad(10, #{})),
    ?assertEqual(Switch(<<"a">>, {{x, eth0}, 5000}), Bad(#{{x, eth0} => 5000}, #{})),
    ?assertEqual(Switch(<<"b">>, {a, {trunk, []}}), Bad(#{}, #{a => {trunk, []}})),
    ?assertEqual(Switch(<<"a">>, {7, 10}), Bad(#{7 => 10}, #{})),
    ?assertEqual(Switch(<<"b">>, {a, 11}), Bad(#{b => 10}, #{a => 11})),
    ?assertEqual([{{link, {{x, eth1}, <<"a">>}}, no_link}], Bad(#{{x, eth1} => 10}, #{})),
    ?assertEqual([{{link, {x, <<"a">>}}, no_link}], Bad(#{x => 10}, #{})),
    ?assertEqual([{{link, {{x, eth0}, <<"b">>}}, no_link}], Bad(#{}, #{{x, eth0} => 10})).

%% There is a circle where links are more than it takes to join what they join.
loops_property_test() ->
    Names = [<<"a">>, <<"b">>, <<"c">>, <<"d">>, <<"e">>],
    Property = ?FORALL(
        Pairs,
        list(?SUCHTHAT({A, B}, {oneof(Names), oneof(Names)}, A < B)),
        begin
            Ends = lists:usort(Pairs),
            Links = [#{ends => E, up => true, port => #{}} || E <- Ends],
            Nets = evum_lab_domain:all(#{switches => maps:from_keys(Names, x), links => Links}),
            Loops = evum_lab_domain:loops(Links),
            length(Loops) =:= length(Ends) - (length(Names) - length(Nets)) andalso
                lists:all(fun(Loop) -> is_circle(Loop, Ends) end, Loops)
        end
    ),
    ?assert(proper:quickcheck(Property, [quiet, {numtests, 500}])).

is_circle([First | Rest] = Loop, Ends) ->
    lists:last(Rest) =:= First andalso lists:usort(Rest) =:= lists:sort(Rest) andalso
        lists:all(fun({A, B}) -> lists:member({min(A, B), max(A, B)}, Ends) end, lists:zip(lists:droplast(Loop), Rest)).

domains_test() ->
    {ok, Lab} = parse(#{
        machines => #{x => #{}, y => #{}, z => #{}},
        switches => #{a => #{}, b => #{}, c => #{}, d => #{}},
        links => [{{x, eth0}, a}, {{y, eth0}, c}, {a, b}, {c, b}, {{y, eth1}, {z, eth1}}, {{z, eth0}, d}]
    }),
    P = fun(M, I) -> {atom_to_binary(M), atom_to_binary(I)} end,
    ?assertEqual(
        lists:sort([
            {{switches, [<<"a">>, <<"b">>, <<"c">>]}, [P(x, eth0), P(y, eth0)]},
            {{switches, [<<"d">>]}, [P(z, eth0)]},
            {{wire, P(y, eth1), P(z, eth1)}, [P(y, eth1), P(z, eth1)]}
        ]),
        lists:sort(evum_lab_domain:all(Lab))
    ).

read_test_() ->
    {setup, fun() -> string:trim(os:cmd("mktemp -d")) end, fun file:del_dir_r/1, fun(Dir) ->
        Write = fun(Text) ->
            Path = filename:join(Dir, "a.lab"),
            ok = file:write_file(Path, Text),
            Path
        end,
        [
            ?_assertEqual({ok, #{machines => #{}}}, evum_lab_spec:read(Write("#{machines => #{}}."))),
            ?_assertEqual(
                {ok, #{name => x, machines => #{r => #{}}}},
                evum_lab_spec:read(Write("{name, x}.\n{machines, #{r => #{}}}.\n"))
            ),
            ?_assertMatch({error, [{{file, _}, {line, 2, _}}]}, evum_lab_spec:read(Write("{name, x}.\n{machines, ]}.\n"))),
            ?_assertMatch({error, [{{file, _}, {bad_option, name, twice}}]}, evum_lab_spec:read(Write("{name, x}.\n{name, y}.\n"))),
            ?_assertMatch({error, [{{file, _}, {unreadable, enoent}}]}, evum_lab_spec:read(filename:join(Dir, "no")))
        ]
    end}.

%% Whatever is given, there is an answer, and each problem is a line of text.
total_test_() ->
    {timeout, 60, ?_assert(proper:quickcheck(prop_total(), [{to_file, user}, {numtests, 500}]))}.

prop_total() ->
    ?FORALL(Description, description(), begin
        {Lab, Problems} = evum_lab_spec:partly(Description, #{}),
        %% what is good is so good that more can be found
        All = Problems ++ evum_lab_machine:problems(Lab),
        parse(Description) =:= hd([{error, Problems} || Problems =/= []] ++ [{ok, Lab}]) andalso
            lists:all(fun(P) -> is_binary(unicode:characters_to_binary(evum_lab_problem:format(P))) end, All)
    end).

description() ->
    oneof([
        ?LET(
            Pairs,
            list(oneof([
                {machines, names(machine_options())},
                {switches,
                    names(oneof([
                        #{},
                        any_of([uplink, forwards, subnet]),
                        #{uplink => {nat, #{subnet => thing()}}},
                        #{vlans => thing()},
                        #{vlans => #{{a, eth0} => thing(), thing() => 10}},
                        thing()
                    ]))},
                {links, oneof([list(some_link()), thing()])},
                {defaults, oneof([#{}, thing()])},
                {addressing, oneof([{ipv4, "10.0.0.0/8"}, {ipv4, "10.0.0.0/31"}, {ipv6, "fd00::/48"}, thing()])},
                {name, thing()},
                {seed, thing()}
            ])),
            maps:from_list(Pairs)
        ),
        thing()
    ]).

names(Options) ->
    oneof([?LET(L, list({some_name(), Options}), maps:from_list(L)), list({some_name(), Options}), thing()]).

some_name() -> oneof([a, b, c, "a", <<"b">>, x, thing()]).

machine_options() ->
    oneof([
        ?LET(
            Pairs,
            list({
                oneof([interfaces, startup, shutdown, depends, env, sysctl, routes, resolver, mem, boot_timeout, any()]),
                oneof([[a], [b], #{eth0 => []}, #{eth0 => ["10.0.0.1/24"]}, #{eth0 => any()}, "true", thing()])
            }),
            maps:from_list(Pairs)
        ),
        thing()
    ]).

some_link() ->
    End = oneof([a, b, c, {a, eth0}, {b, eth0}, {a, eth1}, {c, eth0}, {x, eth0}, thing()]),
    oneof([{End, End}, {End, End, oneof([#{}, #{subnet => none}, #{subnet => "10.9.0.0/29"}, #{port => any_of([vlan, mtu])}, thing()])}, thing()]).

any_of(Keys) -> ?LET(Pairs, list({oneof(Keys), thing()}), maps:from_list(Pairs)).

thing() -> resize(6, any()).
