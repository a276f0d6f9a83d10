%% SPDX-License-Identifier: Apache-2.0
%% @doc Impairments as they are typed for Linux' netem, tc-netem(8), made options
%% of a link. A pure module.
%%
%% `delay TIME [JITTER [CORRELATION]] [distribution uniform | normal | pareto]',
%% `loss [random] P', `loss gemodel P [R [1-H [1-K]]]', `duplicate P', `corrupt P',
%% `reorder P [gap N]', `rate RATE [burst BYTES]', `limit FRAMES'. A time is `10ms',
%% a probability `1%', a rate `5mbit'; unlike netem's, they need their units.
-module(evum_netem).

-export([parse/1]).

%% @doc The options, or the word that is not understood.
-spec parse([string()]) -> {ok, map()} | {error, string()}.
parse(Words) ->
    try
        {ok, parse(Words, #{})}
    catch
        throw:{bad, Text} -> {error, Text}
    end.

parse([], Options) ->
    Options;
parse(["delay", Time | Words], Options) ->
    jitter(Words, put(delay, time(Time), Options));
parse(["loss", "random" | Words], Options) ->
    parse(["loss" | Words], Options);
parse(["loss", "gemodel" | Words], Options) ->
    {Ps, Rest} = lists:splitwith(fun(Word) -> lists:suffix("%", Word) end, Words),
    case [probability(P) || P <- Ps] of
        [P] -> parse(Rest, put(loss, {gilbert, P, 1 - P}, Options));
        List when length(List) >= 2, length(List) =< 4 ->
            parse(Rest, put(loss, list_to_tuple([gilbert | List]), Options));
        _ -> throw({bad, "loss gemodel needs one to four probabilities"})
    end;
parse(["reorder", P, "gap", N | Words], Options) ->
    parse(Words, put(reorder, {probability(P), whole(N)}, Options));
parse(["rate", Rate, "burst", N | Words], Options) ->
    parse(Words, put(burst, whole(N), put(rate, rate(Rate), Options)));
parse(["rate", Rate | Words], Options) ->
    parse(Words, put(rate, rate(Rate), Options));
parse(["limit", N | Words], Options) ->
    parse(Words, put(limit, whole(N), Options));
parse(["loss", P | Words], Options) ->
    parse(Words, put(loss, probability(P), Options));
parse(["duplicate", P | Words], Options) ->
    parse(Words, put(duplicate, probability(P), Options));
parse(["corrupt", P | Words], Options) ->
    parse(Words, put(corrupt, probability(P), Options));
parse(["reorder", P | Words], Options) ->
    parse(Words, put(reorder, probability(P), Options));
parse([Word], _) ->
    case lists:member(Word, ["delay", "loss", "duplicate", "corrupt", "reorder", "rate", "limit"]) of
        true -> throw({bad, Word ++ " needs a value"});
        false -> throw({bad, Word})
    end;
parse([Word | _], _) ->
    throw({bad, Word}).

put(Key, _, Options) when is_map_key(Key, Options) ->
    throw({bad, atom_to_list(Key) ++ " twice"});
put(Key, Value, Options) ->
    Options#{Key => Value}.

%% Behind a delay: a jitter, if there is one, its correlation, its distribution.
jitter([[C | _] = Time | Words], Options) when C >= $0, C =< $9 ->
    {Correlation, Words1} =
        case Words of
            [[D | _] = P | Rest] when D >= $0, D =< $9 -> {probability(P), Rest};
            _ -> {none, Words}
        end,
    {Distribution, Words2} =
        case Words1 of
            ["distribution", Name | Rest1] -> {distribution(Name), Rest1};
            _ -> {uniform, Words1}
        end,
    Jitter =
        case {Distribution, Correlation} of
            {uniform, none} -> time(Time);
            {_, none} -> {time(Time), Distribution};
            _ -> {time(Time), Distribution, Correlation}
        end,
    parse(Words2, put(jitter, Jitter, Options));
jitter(Words, Options) ->
    parse(Words, Options).

distribution("uniform") -> uniform;
distribution("normal") -> normal;
distribution("pareto") -> pareto;
distribution(Other) -> throw({bad, "distribution " ++ Other}).

time(Word) ->
    unit(Word, [{"s", s}, {"ms", ms}, {"us", us}, {"ns", ns}], "no time, such as 10ms").

rate(Word) ->
    Units = [{"bit", bit}, {"kbit", kbit}, {"mbit", mbit}, {"gbit", gbit}],
    unit(Word, Units, "no rate, such as 5mbit").

unit(Word, Units, Text) ->
    {Number, Unit} = number(Word, Text),
    case lists:keyfind(string:lowercase(Unit), 1, Units) of
        {_, Atom} -> {Number, Atom};
        false -> bad(Word, Text)
    end.

probability(Word) ->
    case number(Word, "no probability, such as 1%") of
        {Number, "%"} when Number =< 100 -> Number / 100;
        _ -> bad(Word, "no probability, such as 1%")
    end.

whole(Word) ->
    case number(Word, "no whole number") of
        {Number, ""} when is_integer(Number) -> Number;
        _ -> bad(Word, "no whole number")
    end.

number(Word, Text) ->
    case {string:to_float(Word), string:to_integer(Word)} of
        {{Float, Unit}, _} when is_float(Float), Float >= 0.0 -> {Float, Unit};
        {_, {Int, Unit}} when is_integer(Int), Int >= 0 -> {Int, Unit};
        _ -> bad(Word, Text)
    end.

-spec bad(string(), string()) -> no_return().
bad(Word, Text) ->
    throw({bad, Word ++ " is " ++ Text}).
