%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_wiring_tests).

-include_lib("eunit/include/eunit.hrl").

lab() ->
    Options = #{forth => #{delay => {1, ms}}, back => #{loss => 0.5}},
    Description = #{
        machines => #{x => #{interfaces => #{eth9 => []}}, y => #{}},
        switches => #{a => #{}, b => #{}},
        links => [
            {{x, eth0}, {y, eth0}, Options},
            {{x, eth1}, a, Options#{port => #{vlan => {access, 10}}}},
            {b, {y, eth1}, Options#{up => false}},
            {b, a, Options#{port => #{vlan => {trunk, [10]}}}}
        ]
    },
    {ok, Lab} = evum_lab_spec:parse(Description#{seed => 7}),
    Lab.

id(Machine, Interface) -> {atom_to_binary(Machine), atom_to_binary(Interface)}.

port(Port) ->
    evum_lab_wiring:port(Port, evum_lab_wiring:segment(Port, lab()), lab()).

where_test() ->
    Wire = {wire, id(x, eth0), id(y, eth0)},
    ?assertEqual(Wire, evum_lab_wiring:segment(id(x, eth0), lab())),
    ?assertEqual(Wire, evum_lab_wiring:segment(id(y, eth0), lab())),
    ?assertEqual({switch, <<"b">>}, evum_lab_wiring:segment(id(y, eth1), lab())),
    ?assertEqual({loose, id(x, eth9)}, evum_lab_wiring:segment(id(x, eth9), lab())).

%% Each direction once, where its frames come in, or go out to the machine.
directions_test() ->
    ?assertMatch(#{up := true, in := #{delay := {1, ms}}, out := None} when None =:= #{}, port(id(x, eth0))),
    ?assertMatch(#{up := true, in := #{loss := 0.5}, out := None} when None =:= #{}, port(id(y, eth0))),
    ?assertMatch(
        #{up := true, port := #{vlan := {access, 10}}, in := #{delay := {1, ms}}, out := #{loss := 0.5}}, port(id(x, eth1))
    ),
    ?assertMatch(#{up := false, in := #{loss := 0.5}, out := #{delay := {1, ms}}}, port(id(y, eth1))),
    {ok, OfA, OfB} = evum_lab_wiring:trunk({<<"a">>, <<"b">>}, lab()),
    ?assertMatch(#{port := #{vlan := {trunk, [10]}}, in := #{delay := {1, ms}}, out := None} when None =:= #{}, OfA),
    ?assertMatch(#{in := #{loss := 0.5}, out := None} when None =:= #{}, OfB),
    ?assertEqual(error, evum_lab_wiring:trunk({<<"a">>, <<"c">>}, lab())).

%% A cable that leads elsewhere now is not plugged in where it was.
elsewhere_test() ->
    ?assertMatch(#{up := false}, evum_lab_wiring:port(id(x, eth0), {switch, <<"a">>}, lab())),
    ?assertMatch(#{up := false}, port(id(x, eth9))).

%% Of a lab's seed come as many as there are ports, the same each time.
seeds_test() ->
    Seeds = fun(Lab) ->
        {ok, OfA, OfB} = evum_lab_wiring:trunk({<<"a">>, <<"b">>}, Lab),
        Ports = [
            evum_lab_wiring:port(Port, evum_lab_wiring:segment(Port, Lab), Lab)
         || Port <- [id(x, eth0), id(y, eth0), id(x, eth1), id(y, eth1)]
        ],
        [Seed || #{in := #{seed := Seed}} <- [OfA, OfB | Ports]]
    end,
    Of7 = Seeds(lab()),
    ?assertEqual(6, length(lists:usort(Of7))),
    ?assertEqual([], [Seed || Seed <- Seeds((lab())#{seed := 8}), lists:member(Seed, Of7)]),
    %% the switch's own, or the link's: the others stay
    #{switches := #{<<"a">> := A} = Switches, links := [Wire | Links]} = lab(),
    OfSwitch = Seeds((lab())#{switches := Switches#{<<"a">> := A#{options := #{seed => 5}}}}),
    ?assertEqual([true, false, false, false, true, false], differ(Of7, OfSwitch)),
    Own = maps:map(fun(Key, Way) when Key =:= forth; Key =:= back -> Way#{seed => 5}; (_, V) -> V end, Wire),
    OfLink = Seeds((lab())#{links := [Own | Links]}),
    ?assertEqual([false, false, true, true, false, false], differ(Of7, OfLink)),
    ?assertEqual(6, length(lists:usort(OfLink))).

differ(As, Bs) -> [A =/= B || {A, B} <- lists:zip(As, Bs)].
