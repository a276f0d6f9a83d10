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
            {"delay 10ms 2ms 25%", #{delay => {10, ms}, jitter => {2, ms}, correlation => 0.25}},
            {"delay 10ms 2ms distribution normal", #{delay => {10, ms}, jitter => {2, ms}, distribution => normal}},
            {"delay 10ms 2us 50% distribution pareto loss 1%", #{
                delay => {10, ms}, jitter => {2, us}, correlation => 0.5, distribution => pareto, loss => 0.01
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
            {"delay 1ms 1ms distribution flat", "distribution flat"},
            {"delay 1ms distribution normal", "distribution needs a jitter"},
            {"reorder 25%", "reorder needs a delay"},
            {"delay 2h", "2h is no time, such as 10ms"},
            {"delay 3601s", "delay is out of range"},
            {"rate 999bit", "rate is out of range"},
            {"limit 0", "limit is out of range"},
            {"delay 1ms reorder 25% gap 0", "reorder is out of range"},
            {"loss 1% 25%", "25%: no correlation here"},
            {"reorder 1% 25% gap 5", "25%: no correlation here"}
        ]
    ].

%% Whatever is typed; and what is understood is what evum_impair knows of.
total_test() ->
    Property = ?FORALL(
        Words,
        list(oneof([phrase(), word(), string()])),
        case evum_netem:parse(lists:append([words(Word) || Word <- Words])) of
            {ok, Options} -> element(1, evum_impair:options(Options)) =:= ok;
            {error, Text} -> is_list(Text)
        end
    ),
    ?assert(proper:quickcheck(Property, [quiet, {numtests, 1000}])).

words([Word | _] = Words) when is_list(Word) -> Words;
words(Word) -> [Word].

word() ->
    oneof([
        "delay", "loss", "gemodel", "rate", "10ms", "1%", "5mbit", "burst", "gap", "3", "limit",
        "distribution", "normal", "reorder", "duplicate"
    ]).

%% All that the help promises is taken, and one is no trouble to another.
promised_test() ->
    Property = ?FORALL(
        Phrases,
        [oneof([[], Phrase]) || Phrase <- [delay(), loss(), duplicate(), corrupt(), rate(), limit()]],
        begin
            Words = lists:append(Phrases),
            {ok, Options} = evum_netem:parse(Words),
            map_size(Options) >= length([1 || [_ | _] <- Phrases]) andalso
                element(1, evum_impair:options(Options)) =:= ok
        end
    ),
    ?assert(proper:quickcheck(Property, [quiet, {numtests, 1000}])).

phrase() -> oneof([delay(), loss(), duplicate(), corrupt(), rate(), limit()]).

delay() ->
    Time = ?LET({N, Unit}, {range(1, 3000), oneof(["s", "ms", "us", "ns"])}, integer_to_list(N) ++ Unit),
    Jitter = ?LET(Correlation, up_to(1), [Time | Correlation]),
    Distribution = ?LET(Name, oneof(["uniform", "normal", "pareto"]), ["distribution", Name]),
    Reorder = ?LET(P, percent(), oneof([["reorder", P], ["reorder", P, "gap", "5"]])),
    ?LET(
        {Of, More, Other},
        {Time, oneof([[], Jitter, ?LET({J, D}, {Jitter, Distribution}, J ++ D)]), oneof([[], Reorder])},
        ["delay", Of | More] ++ Other
    ).

loss() ->
    oneof([
        ?LET(P, percent(), oneof([["loss", P], ["loss", "random", P]])),
        ?LET({P, More}, {percent(), up_to(3)}, ["loss", "gemodel", P | More])
    ]).

duplicate() -> ?LET(P, percent(), ["duplicate", P]).

corrupt() -> ?LET(P, percent(), ["corrupt", P]).

rate() -> ?LET(N, range(1, 100), oneof([["rate", integer_to_list(N) ++ "mbit"], ["rate", "1.5gbit", "burst", "3000"]])).

limit() -> ?LET(N, range(1, 1000), ["limit", integer_to_list(N)]).

percent() -> ?LET(N, range(0, 100), oneof([integer_to_list(N) ++ "%", integer_to_list(min(N, 99)) ++ ".5%"])).

up_to(N) -> ?LET(Count, range(0, N), vector(Count, percent())).
