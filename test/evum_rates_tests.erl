%% SPDX-License-Identifier: Apache-2.0
%% Rates against a model that keeps all samples.
-module(evum_rates_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

port(Id, Count) ->
    #{id => Id, rx_frames => Count, rx_bytes => 100 * Count, tx_frames => 2 * Count, tx_bytes => 0, tx_dropped => Count div 2}.

nothing_test() ->
    ?assertEqual(#{}, evum_rates:ports(evum_rates:new())),
    One = evum_rates:add(0, [port(1, 5)], evum_rates:new()),
    #{1 := #{second := #{rx_frames := +0.0}, minute := #{rx_frames := +0.0}}} = evum_rates:ports(One).

steady_test() ->
    Rates = lists:foldl(
        fun(S, Acc) -> evum_rates:add(1000 * S, [port(1, 10 * S)], Acc) end, evum_rates:new(), lists:seq(0, 200)
    ),
    #{1 := #{second := Second, minute := Second}} = evum_rates:ports(Rates),
    ?assertEqual(
        #{rx_frames => 10.0, rx_bytes => 1000.0, tx_frames => 20.0, tx_bytes => 0.0, drops => 5.0}, Second
    ).

%% A burst is over after a second, and after a minute.
burst_test() ->
    Add = fun(S, Acc) -> evum_rates:add(1000 * S, [port(1, if S >= 100 -> 600; true -> 0 end)], Acc) end,
    At = fun(S) ->
        #{1 := #{second := #{rx_frames := A}, minute := #{rx_frames := B}}} =
            evum_rates:ports(lists:foldl(Add, evum_rates:new(), lists:seq(0, S))),
        {A, B}
    end,
    ?assertEqual({0.0, 0.0}, At(99)),
    ?assertMatch({600.0, M} when M > 9.0 andalso M =< 10.0, At(100)),
    ?assertMatch({+0.0, M} when M > 9.0 andalso M =< 10.0, At(150)),
    ?assertEqual({0.0, 0.0}, At(170)).

drops_test() ->
    ?assertEqual(
        7,
        evum_rates:drops(#{
            rx_frames => 100,
            tx_bytes => 100,
            rx_impaired_reorder => 100,
            tx_mirrored => 100,
            rx_impaired_loss => 4,
            tx_dropped => 2,
            tx_sockets => 1,
            tx_fragments => 1,
            rx_down => 1,
            mac_limit => 100,
            id => 100,
            up => true
        })
    ).

total_test() ->
    Rates = evum_rates:add(2000, [port(1, 20), port(2, 10)], evum_rates:add(0, [port(1, 0)], evum_rates:new())),
    Ports = evum_rates:ports(Rates),
    #{second := #{rx_frames := 15.0}} = evum_rates:total(maps:values(Ports)),
    #{second := #{rx_frames := +0.0}} = evum_rates:total([]).

%% A port that comes and goes, at irregular times.
model_test() ->
    ?assert(proper:quickcheck(prop_model(), [{to_file, user}, {numtests, 300}])).

prop_model() ->
    ?FORALL(
        Steps,
        non_empty(list({integer(1, 20000), oneof([gone, integer(0, 1000)])})),
        begin
            {_, _, Samples, Rates} = lists:foldl(
                fun
                    ({After, gone}, {Now, _, Acc, R}) ->
                        T = Now + After,
                        {T, 0, [{T, 0} | Acc], evum_rates:add(T, [], R)};
                    ({After, More}, {Now, Count, Acc, R}) ->
                        {T, C} = {Now + After, Count + More},
                        {T, C, [{T, C} | Acc], evum_rates:add(T, [port(7, C)], R)}
                end,
                {0, 0, [], evum_rates:new()},
                Steps
            ),
            case {lists:last(Steps), evum_rates:ports(Rates)} of
                {{_, gone}, Ports} ->
                    Ports =:= #{};
                {_, #{7 := #{second := #{rx_frames := Second}, minute := #{rx_frames := Minute}}}} ->
                    is_second(Second, Samples) andalso is_minute(Minute, Samples)
            end
        end
    ).

is_second(Rate, [_]) -> Rate == 0.0;
is_second(Rate, [Latest, Previous | _]) -> near(Rate, Latest, Previous).

%% From the latest that is a minute old, of samples five seconds apart; or from
%% the first one.
is_minute(Rate, [{Now, _} = Latest | _] = Samples) ->
    Kept = lists:foldr(
        fun
            ({T, _}, [{Last, _} | _] = Acc) when T - Last < 5000 -> Acc;
            (S, Acc) -> [S | Acc]
        end,
        [],
        Samples
    ),
    case [S || {T, _} = S <- Kept, Now - T >= 60000] of
        [] -> near(Rate, Latest, lists:last(Samples));
        [Since | _] -> near(Rate, Latest, Since)
    end.

near(Rate, {Now, _}, {Now, _}) -> Rate == 0.0;
near(Rate, {Now, Count}, {Then, Before}) -> abs(Rate - (Count - Before) * 1000 / (Now - Then)) < 0.001.
