%% SPDX-License-Identifier: Apache-2.0
%% @doc Impairments as they are typed for Linux' netem, tc-netem(8), made those of
%% {@link evum_impair}. A pure module.
%%
%% `delay TIME [JITTER [CORRELATION]] [distribution uniform | normal | pareto]',
%% `loss [random] P', `loss gemodel P [R [1-H [1-K]]]', `duplicate P', `corrupt P',
%% `reorder P [gap N]', `rate RATE [burst BYTES]', `limit FRAMES'. A time is `10ms',
%% a probability `1%', a rate `5mbit'; unlike netem's, they need their units. Only
%% that of a delay has a correlation: losses that come together are `gemodel''s.
-module(evum_netem).

-export([parse/1]).

%% @doc The options, good ones, or what is wrong with the words.
-spec parse([string()]) -> {ok, map()} | {error, string()}.
parse(Words) ->
    try
        Options = parse(Words, #{}),
        case evum_impair:options(Options) of
            {ok, _} -> {ok, Options};
            {error, {bad_option, Key, _}} -> {error, refused(Key, Options)}
        end
    catch
        throw:{bad, Text} -> {error, Text}
    end.

refused(reorder, Options) when not is_map_key(delay, Options) -> "reorder needs a delay";
refused(distribution, _) -> "distribution needs a jitter";
refused(Key, _) -> atom_to_list(Key) ++ " is out of range".

parse([], Options) ->
    Options;
parse(["delay", Time | Words], Options) ->
    jitter(Words, put(delay, time(Time), Options));
parse(["distribution", Name | Words], Options) ->
    parse(Words, put(distribution, distribution(Name), Options));
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
    case lists:member(Word, ["delay", "distribution", "loss", "duplicate", "corrupt", "reorder", "rate", "limit"]) of
        true -> throw({bad, Word ++ " needs a value"});
        false -> unknown(Word)
    end;
parse([Word | _], _) ->
    unknown(Word).

-spec unknown(string()) -> no_return().
unknown(Word) ->
    case lists:suffix("%", Word) of
        true -> throw({bad, Word ++ ": no correlation here"});
        false -> throw({bad, Word})
    end.

put(Key, _, Options) when is_map_key(Key, Options) ->
    throw({bad, atom_to_list(Key) ++ " twice"});
put(Key, Value, Options) ->
    Options#{Key => Value}.

%% Behind a delay: a jitter, if there is one, and its correlation.
jitter([[C | _] = Time | Words], Options) when C >= $0, C =< $9 ->
    correlation(Words, put(jitter, time(Time), Options));
jitter(Words, Options) ->
    parse(Words, Options).

correlation([[C | _] = P | Words], Options) when C >= $0, C =< $9 ->
    parse(Words, put(correlation, probability(P), Options));
correlation(Words, Options) ->
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
