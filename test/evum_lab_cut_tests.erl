%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_cut_tests).

-include_lib("eunit/include/eunit.hrl").

-define(ALL, [<<"a">>, <<"b">>, <<"c">>, <<"d">>]).

cuts_test_() ->
    {ok, Three} = evum_lab_cut:cuts([[a, "b"], [<<"c">>]], ?ALL),
    {ok, OneWay} = evum_lab_cut:cuts({one_way, [a], [c]}, ?ALL),
    Is = fun(From, To, Cuts) -> evum_lab_cut:is_cut(atom_to_binary(From), atom_to_binary(To), Cuts) end,
    [
        ?_assert(Is(a, c, Three)),
        ?_assert(Is(c, b, Three)),
        ?_assertNot(Is(a, b, Three)),
        %% who is in no group
        ?_assertNot(Is(d, a, Three)),
        ?_assertNot(Is(c, d, Three)),
        ?_assert(Is(a, c, OneWay)),
        ?_assertNot(Is(c, a, OneWay)),
        ?_assertEqual({ok, []}, evum_lab_cut:cuts([], ?ALL))
    ].

bad_test_() ->
    [
        ?_assertEqual({error, Reason}, evum_lab_cut:cuts(Partition, ?ALL))
     || {Reason, Partition} <- [
            {{no_machine, <<"x">>}, [[a], [x]]},
            {{bad_option, partition, [[a], [a]]}, [[a], [a]]},
            {{bad_option, partition, [a]}, [a]},
            {{bad_option, partition, 7}, 7},
            {{bad_option, partition, {one_way, a, b}}, {one_way, a, b}}
        ]
    ].

filter_test() ->
    {ok, Lab} = evum_lab_spec:parse(#{
        machines => #{a => #{interfaces => #{eth0 => ["10.0.0.1/24", "fd00::1/64"]}}, b => #{interfaces => #{eth0 => ["10.0.1.1/24"]}}, c => #{}}
    }),
    Filter = fun(Partition) ->
        {ok, Cuts} = evum_lab_cut:cuts(Partition, [<<"a">>, <<"b">>, <<"c">>]),
        evum_lab_cut:filter(Cuts, evum_lab_ask:described(Lab))
    end,
    ?assertEqual(none, Filter([])),
    ?assertEqual(none, Filter([[a], [c]])),
    ?assertEqual(<<"((src host 10.0.1.1) and (dst host 10.0.0.1 or dst host fd00::1))">>, Filter({one_way, [b], [a]})).
