%% SPDX-License-Identifier: Apache-2.0
-module(evum_impair_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

-define(CERTAIN, 16#100000000).

good_test_() ->
    [
        ?_assertMatch({ok, #{limit := 1000}}, evum_impair:options(Options))
     || Options <- [
            #{delay => {10, ms}, rate => {5, mbit}, loss => 0.01},
            #{jitter => {0.5, ms}},
            #{delay => {1, s}, jitter => {100, us}, distribution => pareto, reorder => {0.5, 5}},
            #{jitter => {1, ms}, correlation => 0.25},
            #{loss => {gilbert, 0.01, 0.3, 0.9, 0.001}, duplicate => 1, corrupt => 0},
            #{rate => {100, gbit}, burst => 15000, seed => 16#ffffffffffffffff}
        ]
    ].

nothing_test() ->
    ?assertEqual({ok, none}, evum_impair:options(#{})),
    ?assertEqual({ok, none}, evum_impair:options(none)),
    ?assertEqual({error, {bad_option, impair, 10}}, evum_impair:options(10)).

bad_test_() ->
    [
        ?_assertEqual(
            {error, {bad_option, Key, Value}},
            evum_impair:options(#{Key => Value, limit => maps:get(limit, #{Key => Value}, 10)})
        )
     || {Key, Value} <- [
            {delay, 10},
            {delay, {-1, ms}},
            {delay, {1, hour}},
            {delay, {3601, s}},
            {delay, {1.0e308, s}},
            {jitter, {1, ms, normal}},
            {distribution, gauss},
            {distribution, normal},
            {correlation, 1.1},
            {correlation, 0.1},
            {loss, 1.01},
            {loss, "1%"},
            {loss, {gilbert, 0.1}},
            {loss, {gilbert, 0.1, 2}},
            {loss, {bernoulli, 0.1, 0.1}},
            {loss, {gilbert, 0.1, 0.1, 0.1, 0.1, 0.1}},
            {duplicate, -0.1},
            {corrupt, many},
            {rate, 5},
            {rate, {999, bit}},
            {rate, {101, gbit}},
            {rate, {1.0e308, gbit}},
            {rate, {-1, mbit}},
            {rate, {1, mbyte}},
            {burst, 1500},
            {reorder, 0.1},
            {limit, 0},
            {limit, 1000001},
            {seed, -1},
            {seed, 1 bsl 64},
            {speed, 1},
            {"delay", {1, ms}}
        ]
    ].

keys_test() ->
    All = #{
        delay => {1, ms}, jitter => {1, ms}, distribution => normal, correlation => 0.5, loss => 0.1, duplicate => 0.1,
        corrupt => 0.1, reorder => 0.1, rate => {1, mbit}, burst => 1500, limit => 10, seed => 1
    },
    ?assertEqual({ok, All}, evum_impair:options(All)),
    ?assertEqual(lists:sort(maps:keys(All)), lists:sort(evum_impair:keys())).

gap_test() ->
    Of = fun(Gap) -> evum_impair:options(#{delay => {1, ms}, reorder => {0.1, Gap}}) end,
    ?assertMatch({ok, _}, Of(1)),
    ?assertEqual({error, {bad_option, reorder, {0.1, 0}}}, Of(0)).

%% What evum_net is told.
wire_test() ->
    Table = evum_impair:new(7),
    {ok, {In, keep}, {given, 5}, _} = evum_impair:set(
        1,
        in,
        #{
            delay => {10, ms},
            jitter => {2, us},
            distribution => normal,
            correlation => 0.5,
            loss => {gilbert, 0.25, 1},
            duplicate => 0.5,
            corrupt => 1,
            reorder => {0.25, 3},
            rate => {1.5, mbit},
            burst => 3000,
            limit => 50,
            seed => 5
        },
        Table
    ),
    ?assertEqual(
        {evum_impair:seed(5, in), {10_000_000, 2000, normal, ?CERTAIN div 2},
            {?CERTAIN div 4, ?CERTAIN, ?CERTAIN, 0}, ?CERTAIN div 2, ?CERTAIN, {?CERTAIN div 4, 3},
            {1_500_000, 3000}, 50},
        In
    ).

%% A direction that is not spoken of stays as it is; a port that comes back is
%% perfect.
table_test() ->
    Table = evum_impair:new(7),
    ?assertEqual(#{in => none, out => none}, evum_impair:of_port(1, Table)),
    {ok, {In, Out}, {derived, Seed}, T1} = evum_impair:set(1, both, #{loss => 0.1}, Table),
    ?assertNotEqual(element(1, In), element(1, Out)),
    Shown = #{loss => 0.1, limit => 1000, seed => Seed},
    ?assertEqual(#{in => Shown, out => Shown}, evum_impair:of_port(1, T1)),
    ?assertMatch({ok, {In, Out}, {given, Seed}, _}, evum_impair:set(1, both, Shown, Table)),
    {ok, {none, keep}, none, T2} = evum_impair:set(1, in, none, T1),
    ?assertEqual(#{in => none, out => Shown}, evum_impair:of_port(1, T2)),
    ?assertEqual(#{in => none, out => none}, evum_impair:of_port(2, T2)),
    ?assertEqual(#{in => none, out => none}, evum_impair:of_port(1, evum_impair:forget(1, T2))),
    ?assertEqual(
        {error, {bad_option, direction, up}}, evum_impair:set(1, up, #{loss => 0.1}, Table)
    ),
    ?assertEqual(
        {error, {bad_option, loss, 7}}, evum_impair:set(1, in, #{loss => 7}, Table)
    ).

%% Labs are played again from what was printed: these may never change.
seed_test() ->
    ?assertEqual(16829038437961525282, evum_impair:seed(42, in)),
    ?assertEqual(12985579754117568255, evum_impair:seed(42, {link, 1})).

%% Any options are either refused by the name of one that is there, or told to
%% evum_net with numbers that it takes.
any_options_test_() ->
    {timeout, 60, fun() ->
        ?assert(proper:quickcheck(prop_any_options(), [{numtests, 2000}, {to_file, user}, quiet]))
    end}.

prop_any_options() ->
    ?FORALL(
        Options,
        ?LET(List, list({option_key(), option_value()}), maps:from_list(List)),
        case evum_impair:set(1, out, Options, evum_impair:new(1)) of
            {error, {bad_option, Key, Value}} ->
                maps:get(Key, Options) =:= Value;
            {ok, {keep, none}, none, _} ->
                Options =:= #{};
            {ok, {keep, Wire}, _, _} ->
                {Seed, {Delay, Jitter, _, Corr}, Loss, Dup, Corrupt, {Reorder, Gap}, {Rate, Burst},
                    Limit} = Wire,
                Chances = [Corr, Dup, Corrupt, Reorder | tuple_to_list(Loss)],
                Numbers = [Seed, Delay, Jitter, Gap, Rate, Burst, Limit | Chances],
                lists:all(fun(N) -> is_integer(N) andalso N >= 0 end, Numbers) andalso
                    lists:all(fun(P) -> P =< ?CERTAIN end, Chances) andalso
                    Delay =< 3600_000_000_000 andalso Jitter =< 3600_000_000_000 andalso
                    (Rate =:= 0 orelse Rate >= 1000)
        end
    ).

option_key() ->
    oneof([delay, jitter, distribution, correlation, loss, duplicate, corrupt, reorder, rate, burst, limit, seed, limits]).

option_value() ->
    frequency([
        {3, probability()},
        {3, any_time()},
        {1, distribution()},
        {2, {union([int(), float()]), oneof([bit, kbit, mbit, gbit, mbyte])}},
        {1, {gilbert, probability(), probability()}},
        {1, {probability(), int()}},
        {3, non_neg_integer()},
        {1, term()}
    ]).

probability() -> union([float(0.0, 1.0), 0, 1]).
any_time() -> {union([non_neg_integer(), float()]), oneof([s, ms, us, ns, h])}.
distribution() -> oneof([uniform, normal, pareto]).
