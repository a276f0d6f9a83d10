%% SPDX-License-Identifier: Apache-2.0
-module(evum_netem_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

parse(Text) -> evum_netem:parse(string:lexemes(Text, " ")).

words_test_() ->
    [
        ?_assertEqual({ok, Options}, parse(Text))
     || {Text, Options} <- [
            {"", #{}},
            {"delay 10ms", #{delay => {10, ms}}},
            {"delay 1.5s 2ms", #{delay => {1.5, s}, jitter => {2, ms}}},
            {"delay 10ms 2ms 25%", #{delay => {10, ms}, jitter => {{2, ms}, uniform, 0.25}}},
            {"delay 10ms 2ms distribution normal", #{delay => {10, ms}, jitter => {{2, ms}, normal}}},
            {"delay 10ms 2us 50% distribution pareto loss 1%", #{
                delay => {10, ms}, jitter => {{2, us}, pareto, 0.5}, loss => 0.01
            }},
            {"loss random 0.5%", #{loss => 0.005}},
            {"loss gemodel 1% 10% rate 5mbit", #{loss => {gilbert, 0.01, 0.1}, rate => {5, mbit}}},
            {"loss gemodel 25%", #{loss => {gilbert, 0.25, 0.75}}},
            {"loss gemodel 1% 10% 50% 1%", #{loss => {gilbert, 0.01, 0.1, 0.5, 0.01}}},
            {"rate 1Gbit burst 3000 limit 20", #{rate => {1, gbit}, burst => 3000, limit => 20}},
            {"delay 1ms reorder 25% gap 5", #{delay => {1, ms}, reorder => {0.25, 5}}},
            {"duplicate 100% corrupt 0%", #{duplicate => 1.0, corrupt => 0.0}}
        ]
    ].

errors_test_() ->
    [
        ?_assertEqual({error, Word}, parse(Text))
     || {Text, Word} <- [
            {"fly", "fly"},
            {"delay", "delay needs a value"},
            {"delay 10", "10 is no time, such as 10ms"},
            {"delay 10ms delay 10ms", "delay twice"},
            {"loss 1", "1 is no probability, such as 1%"},
            {"loss 101%", "101% is no probability, such as 1%"},
            {"loss gemodel", "loss gemodel needs one to four probabilities"},
            {"rate 5m", "5m is no rate, such as 5mbit"},
            {"limit 1.5", "1.5 is no whole number"},
            {"delay 1ms 1ms distribution flat", "distribution flat"}
        ]
    ].

%% Whatever is typed; and what is understood is what evum_impair knows of.
total_test() ->
    Word = oneof([
        "delay", "loss", "gemodel", "rate", "10ms", "1%", "5mbit", "burst", "gap", "3", "limit",
        "distribution", "normal", "reorder", "duplicate", string()
    ]),
    Property = ?FORALL(
        Words,
        list(Word),
        case evum_netem:parse(Words) of
            {ok, Options} -> is_map(Options);
            {error, Text} -> is_list(Text)
        end
    ),
    ?assert(proper:quickcheck(Property, [quiet, {numtests, 500}])).
