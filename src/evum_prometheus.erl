%% SPDX-License-Identifier: Apache-2.0
%% @doc Prometheus' text format, version 0.0.4 (pure).
-module(evum_prometheus).

-export([format/1]).

-export_type([family/0, sample/0]).

%% The name of a counter ends in `_total'. A family without samples is left out.
-type family() :: {
    Name :: string(), counter | gauge, Help :: unicode:chardata(), [sample()]
}.
-type sample() :: {[{Label :: atom(), unicode:chardata() | atom() | integer()}], number()}.

%% @doc All families as text.
-spec format([family()]) -> binary().
format(Families) ->
    unicode:characters_to_binary([family(Family) || {_, _, _, [_ | _]} = Family <- Families]).

family({Name, Type, Help, Samples}) ->
    [
        ["# HELP ", Name, $\s, escape(Help, []), $\n],
        ["# TYPE ", Name, $\s, atom_to_list(Type), $\n],
        [[Name, labels(Labels), $\s, number(Value), $\n] || {Labels, Value} <- Samples]
    ].

labels([]) -> [];
labels(Labels) -> [${, lists:join($,, [[atom_to_list(Key), "=\"", escape(text(Value), "\""), $"] || {Key, Value} <- Labels]), $}].

text(Value) when is_atom(Value) -> atom_to_list(Value);
text(Value) when is_integer(Value) -> integer_to_list(Value);
text(Value) -> Value.

%% A backslash and a newline everywhere; quotes in labels.
escape(Text, More) ->
    [escaped(Char, More) || Char <- unicode:characters_to_list(Text)].

escaped($\\, _) -> "\\\\";
escaped($\n, _) -> "\\n";
escaped(Char, [Char]) -> [$\\, Char];
escaped(Char, _) -> Char.

number(Value) when is_integer(Value) -> integer_to_list(Value);
number(Value) -> io_lib:format("~w", [Value]).
