%% SPDX-License-Identifier: Apache-2.0
%% Shapes, and the routes in them.
-module(evum_lab_topology_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

parsed(Description) ->
    {ok, Lab} = evum_lab_spec:parse(Description),
    Lab.

sizes_test_() ->
    [
        ?_assertEqual(Sizes, sizes(parsed(Description)))
     || {Sizes, Description} <- [
            {{6, 3, 8}, evum_lab:linear(3, 2)},
            {{5, 0, 5}, evum_lab:ring(5)},
            {{4, 1, 4}, evum_lab:star(4)},
            {{8, 7, 14}, evum_lab:tree(3, 2)},
            {{5, 0, 10}, evum_lab:mesh(5)},
            {{17, 0, 136}, evum_lab:mesh(17)},
            {{36, 0, 48}, evum_lab:fat_tree(4)},
            {{10, 0, 14}, evum_lab:random(10, 14, 7)},
            {{1, 0, 0}, evum_lab:random(1, 0, 7)}
        ]
    ].

sizes(#{machines := Machines, switches := Switches, links := Links}) ->
    {map_size(Machines), map_size(Switches), length(Links)}.

seed_test() ->
    ?assertEqual(evum_lab:random(12, 20, 1), evum_lab:random(12, 20, 1)),
    ?assertNotEqual(evum_lab:random(12, 20, 1), evum_lab:random(12, 20, 2)).

bad_shapes_test_() ->
    [
        ?_assertError(function_clause, Fun())
     || Fun <- [
            fun() -> evum_lab:ring(2) end,
            fun() -> evum_lab:mesh(18) end,
            fun() -> evum_lab:fat_tree(3) end,
            fun() -> evum_lab:random(5, 3, 1) end,
            fun() -> evum_lab:random(4, 7, 1) end
        ]
    ].

%% Who has one router needs but one route; routes by hand go before.
routes_test() ->
    #{machines := Machines} = parsed(#{
        machines => #{
            h => #{},
            r => #{sysctl => #{"net.ipv4.ip_forward" => 1}, interfaces => #{eth0 => ["10.1.0.1/24"], eth1 => ["10.2.0.1/24"]}},
            k => #{routes => [{"10.1.0.0/24", "10.2.0.9"}]}
        },
        links => [{{h, eth0}, {r, eth0}}, {{k, eth0}, {r, eth1}}],
        addressing => {ipv4, "10.0.0.0/8"},
        routing => static
    }),
    Routes = fun(Name) -> maps:get(routes, maps:get(Name, Machines)) end,
    ?assertEqual([{default, <<"10.1.0.1">>}], Routes(<<"h">>)),
    ?assertEqual([], Routes(<<"r">>)),
    ?assertEqual([{"10.1.0.0/24", "10.2.0.9"}, {default, <<"10.2.0.1">>}], Routes(<<"k">>)).

%% No way leads through who does not forward.
no_forwarding_test() ->
    #{machines := #{<<"h">> := #{routes := Routes}}} = parsed(#{
        machines => #{h => #{}, r => #{}, k => #{}},
        links => [{{h, eth0}, {r, eth0}}, {{k, eth0}, {r, eth1}}],
        addressing => {ipv4, "10.0.0.0/8"},
        routing => static
    }),
    ?assertEqual([], Routes).

ways_test_() ->
    {timeout, 120, ?_assert(proper:quickcheck(prop_ways(), [{to_file, user}, {numtests, 60}]))}.

%% Hop by hop, each machine's routes lead to each address, by no more machines than
%% there are.
prop_ways() ->
    ?FORALL(Description, shape(), begin
        #{machines := Machines} = Lab = parsed(Description),
        Addresses = maps:from_list([
            {evum_lab_address:host(A), Name}
         || {Name, #{interfaces := Interfaces}} <- maps:to_list(Machines),
            #{addresses := As} <- maps:values(Interfaces),
            A <- As
        ]),
        lists:all(
            fun(From) ->
                lists:all(fun(To) -> arrives(From, To, map_size(Machines), Lab, Addresses) end, maps:keys(Addresses))
            end,
            maps:keys(Machines)
        )
    end).

shape() ->
    oneof([
        ?LET({A, B}, {range(1, 3), range(1, 3)}, evum_lab:linear(A, B)),
        ?LET(N, range(3, 7), evum_lab:ring(N)),
        ?LET(N, range(2, 6), evum_lab:mesh(N)),
        ?LET({A, B}, {range(1, 3), range(1, 2)}, evum_lab:tree(A, B)),
        ?LET({N, More, Seed}, {range(2, 8), range(0, 3), integer()}, evum_lab:random(N, min(N - 1 + More, N * (N - 1) div 2), Seed)),
        evum_lab:fat_tree(2)
    ]).

arrives(From, To, Left, #{machines := Machines} = Lab, Addresses) ->
    #{From := #{interfaces := Interfaces, routes := Routes}} = Machines,
    Own = [A || #{addresses := As} <- maps:values(Interfaces), A <- As],
    case lists:any(fun(A) -> is_in(To, A) end, Own) of
        true ->
            true;
        false when Left > 0 ->
            case [Via || {Network, Via} <- Routes, Network =:= default orelse is_in(To, Network)] of
                [Via] -> arrives(maps:get(Via, Addresses), To, Left - 1, Lab, Addresses);
                _ -> false
            end;
        false ->
            false
    end.

is_in(Address, Network) ->
    {ok, Family, {_, Length} = Found} = evum_lab_address:subnet(Network),
    {ok, Family, Found} =:= evum_lab_address:subnet(iolist_to_binary([Address, $/, integer_to_list(Length)])).
