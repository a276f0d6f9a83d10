%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_edit_tests).

-include_lib("eunit/include/eunit.hrl").

base() ->
    evum_lab_edit:canonical(#{
        machines => #{r1 => #{}, "r2" => #{depends => ["r1"]}},
        switches => [{a, #{}}],
        links => [{{r1, eth0}, {r2, "eth0"}}, {a, {r1, eth1}, #{up => false, delay => {1, ms}}}]
    }).

canonical_test() ->
    ?assertEqual(
        #{
            machines => #{<<"r1">> => #{}, <<"r2">> => #{depends => ["r1"]}},
            switches => #{<<"a">> => #{}},
            links => [
                {{<<"r1">>, <<"eth0">>}, {<<"r2">>, <<"eth0">>}, #{}},
                {<<"a">>, {<<"r1">>, <<"eth1">>}, #{up => false, delay => {1, ms}}}
            ]
        },
        base()
    ),
    ?assertEqual(base(), evum_lab_edit:canonical(base())).

add_test() ->
    {ok, #{machines := Machines}} = evum_lab_edit:add_machine(pc, #{mem => 32}, base()),
    ?assertMatch(#{<<"pc">> := #{mem := 32}}, Machines),
    ?assertEqual({error, [{{machine, <<"r2">>}, duplicate}]}, evum_lab_edit:add_machine(r2, #{}, base())),
    ?assertEqual({error, [{{switch, <<"a">>}, duplicate}]}, evum_lab_edit:add_switch("a", #{}, base())).

%% With its links, and nobody waits for it.
remove_test() ->
    {ok, Left} = evum_lab_edit:remove(r1, base()),
    ?assertMatch(#{machines := #{<<"r2">> := #{depends := []}}, links := []}, Left),
    ?assertNot(is_map_key(<<"r1">>, maps:get(machines, Left))),
    ?assertMatch({ok, #{switches := None, links := [_]}} when None =:= #{}, evum_lab_edit:remove("a", base())),
    ?assertMatch({error, [{lab, {no_machine, <<"x">>}}]}, evum_lab_edit:remove(x, base())).

links_test() ->
    {ok, #{links := Links}} = evum_lab_edit:set_link({"r1", eth1}, a, #{up => true, delay => none, loss => 0.1}, base()),
    ?assertEqual({<<"a">>, {<<"r1">>, <<"eth1">>}, #{up => true, loss => 0.1}}, lists:last(Links)),
    {ok, #{links := [_]}} = evum_lab_edit:disconnect(a, {r1, eth1}, base()),
    ?assertEqual({error, [{{link, {a, {r1, eth7}}}, no_link}]}, evum_lab_edit:disconnect(a, {r1, eth7}, base())),
    {ok, #{links := Three}} = evum_lab_edit:connect({r2, eth1}, "a", #{}, base()),
    ?assertEqual({{<<"r2">>, <<"eth1">>}, <<"a">>, #{}}, lists:last(Three)).

directions_test() ->
    {A, B} = {{<<"r1">>, <<"eth0">>}, {<<"r2">>, <<"eth0">>}},
    Set = fun(X, Y, Options, Description) ->
        {ok, #{links := [{A, B, Set}, _]} = New} = evum_lab_edit:set_link(X, Y, Options, Description),
        {Set, New}
    end,
    {_, D1} = Set(A, B, #{delay => {1, ms}, forth => #{loss => 0.1, delay => none}}, base()),
    %% from where it is called, which is the other end
    {Both, D2} = Set({r2, eth0}, {r1, eth0}, #{forth => #{loss => 0.5}, back => #{loss => 0.2}}, D1),
    ?assertEqual(#{delay => {1, ms}, forth => #{loss => 0.2, delay => none}, back => #{loss => 0.5}}, Both),
    ?assertMatch({#{forth := _, back := bad}, _}, Set(A, B, #{back => bad}, D2)),
    {Left, _} = Set(A, B, #{back => none, forth => none}, D2),
    ?assertEqual(#{delay => {1, ms}}, Left).

%% What is unplugged is in no VLAN any more, and what has gone neither.
vlans_test() ->
    Base = evum_lab_edit:canonical(#{
        machines => #{r1 => #{}, r2 => #{}},
        switches => #{
            a => #{vlans => #{{"r1", eth0} => 10, {r2, "eth0"} => 20, "b" => {trunk, all}}},
            b => #{vlans => #{a => {trunk, all}}}
        },
        links => [{{r1, eth0}, a}, {{r2, eth0}, a}, {a, b}]
    }),
    {R1, R2} = {{<<"r1">>, <<"eth0">>}, {<<"r2">>, <<"eth0">>}},
    Left = fun({ok, #{switches := Switches} = Description}) ->
        {ok, _} = evum_lab_spec:parse(Description),
        maps:map(fun(_, #{vlans := Vlans}) -> Vlans end, Switches)
    end,
    All = {trunk, all},
    {A, B} = {<<"a">>, <<"b">>},
    ?assertEqual(#{A => #{B => All, R1 => 10, R2 => 20}, B => #{A => All}}, Left({ok, Base})),
    ?assertEqual(#{A => #{B => All, R2 => 20}, B => #{A => All}}, Left(evum_lab_edit:disconnect(a, {r1, eth0}, Base))),
    ?assertEqual(#{A => #{R1 => 10, R2 => 20}, B => #{}}, Left(evum_lab_edit:disconnect(b, a, Base))),
    ?assertEqual(#{A => #{B => All, R1 => 10}, B => #{A => All}}, Left(evum_lab_edit:remove(r2, Base))),
    ?assertEqual(#{A => #{R1 => 10, R2 => 20}}, Left(evum_lab_edit:remove(b, Base))).
