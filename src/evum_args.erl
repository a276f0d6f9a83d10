%% SPDX-License-Identifier: Apache-2.0
%% @doc Arguments of a program of commands, such as {@link evum_cli}: what is
%% typed, checked against a description, and the help that the description gives.
%% A pure module (OTP 25 has no `argparse').
%%
%% Options are `--name' or `--name=VALUE', with a short form where one is given,
%% anywhere behind the command; `--' ends them. A command that is `greedy' takes
%% all behind its first argument as it stands, for it is another program's.
-module(evum_args).

-export([parse/2, usage/2, help/2, complete/2]).

-export_type([command/0, option/0, parsed/0]).

-type option() :: #{
    name := atom(),
    short => char(),
    %% what its value is called in the help; without it the option is a switch
    value => string(),
    type => string | integer,
    help := string()
}.
-type command() :: #{
    name := string(),
    %% what the arguments are called; the last one, in a list, may come again
    args := [string() | {optional, string()} | {many, string()}],
    options => [option()],
    greedy => boolean(),
    help := string(),
    text => string()
}.
-type parsed() :: {command(), Options :: #{atom() => true | string() | integer()}, [string()]}.

%% @doc What is to be done: `help' is for one command or, with `all', for the
%% program. An error's text names the argument.
-spec parse([string()], [command()]) ->
    {ok, parsed()} | {help, command() | all} | {error, command() | all, string()}.
parse([], _) ->
    {error, all, "what is to be done?"};
parse([Word | Words], Commands) ->
    case {find(Word, Commands), lists:member(Word, ["--help", "-h", "help"]), Words} of
        {{ok, Command}, _, _} -> parse_command(Words, Command);
        {error, true, []} -> {help, all};
        {error, true, [Name | _]} -> help_for(find(Name, Commands), Name);
        {error, false, _} -> {error, all, "unknown command " ++ Word}
    end.

find(Name, Commands) ->
    case [Command || #{name := N} = Command <- Commands, N =:= Name] of
        [Command] -> {ok, Command};
        [] -> error
    end.

help_for({ok, Command}, _) -> {help, Command};
help_for(error, Name) -> {error, all, "unknown command " ++ Name}.

parse_command(Words, Command) ->
    case words(Words, Command, #{}, []) of
        {ok, Options, Args} ->
            case count(length(Args), maps:get(args, Command)) of
                ok -> {ok, {Command, Options, Args}};
                {error, Text} -> {error, Command, Text}
            end;
        help ->
            {help, Command};
        {error, Text} ->
            {error, Command, Text}
    end.

words([], _, Options, Args) ->
    {ok, Options, lists:reverse(Args)};
words(["--" | Words], _, Options, Args) ->
    {ok, Options, lists:reverse(Args, Words)};
words([Word | Words], #{greedy := true}, Options, [_ | _] = Args) ->
    {ok, Options, lists:reverse(Args, [Word | Words])};
words([Help | _], _, _, _) when Help =:= "--help"; Help =:= "-h" ->
    help;
words([[$-, $- | Long] = Word | Words], Command, Options, Args) ->
    {Name, Value} =
        case string:split(Long, "=") of
            [N, V] -> {N, V};
            [N] -> {N, none}
        end,
    Is = fun(#{name := Key}) -> spelled(Key) =:= Name end,
    option(Word, lists:search(Is, options(Command)), Value, Words, Command, Options, Args);
words([[$-, Short | Rest] = Word | Words], Command, Options, Args) ->
    Is = fun(Option) -> maps:get(short, Option, none) =:= Short end,
    Value =
        case Rest of
            [] -> none;
            _ -> Rest
        end,
    option(Word, lists:search(Is, options(Command)), Value, Words, Command, Options, Args);
words([Word | Words], Command, Options, Args) ->
    words(Words, Command, Options, [Word | Args]).

options(Command) -> maps:get(options, Command, []).

spelled(Key) ->
    lists:flatten(string:replace(atom_to_list(Key), "_", "-", all)).

option(Word, false, _, _, _, _, _) ->
    {error, "unknown option " ++ Word};
option(_, {value, #{name := Key, value := _} = Option}, none, [Value | Words], Command, Options, Args) ->
    value(Key, Option, Value, Words, Command, Options, Args);
option(Word, {value, #{value := Called}}, none, [], _, _, _) ->
    {error, Word ++ " needs " ++ Called};
option(_, {value, #{name := Key, value := _} = Option}, Value, Words, Command, Options, Args) ->
    value(Key, Option, Value, Words, Command, Options, Args);
option(_, {value, #{name := Key}}, none, Words, Command, Options, Args) ->
    words(Words, Command, Options#{Key => true}, Args);
option(Word, {value, _}, _, _, _, _, _) ->
    {error, Word ++ ": it takes no value"}.

value(Key, Option, Value, Words, Command, Options, Args) ->
    case {maps:get(type, Option, string), string:to_integer(Value)} of
        {string, _} ->
            words(Words, Command, Options#{Key => Value}, Args);
        {integer, {N, ""}} when is_integer(N) ->
            words(Words, Command, Options#{Key => N}, Args);
        {integer, _} ->
            {error, "--" ++ spelled(Key) ++ ": " ++ Value ++ " is no whole number"}
    end.

count(N, Args) ->
    Needed = length([Arg || Arg <- Args, is_list(Arg)]) + length([1 || {many, _} <- Args]),
    Most =
        case lists:keymember(many, 1, Args) of
            true -> infinity;
            false -> length(Args)
        end,
    if
        N < Needed -> {error, "too few arguments"};
        N > Most -> {error, "too many arguments"};
        true -> ok
    end.

%% @doc How the program is called, or one of its commands: a line each.
-spec usage(string(), [command()] | command()) -> iolist().
usage(Program, #{name := Name, args := Args} = Command) ->
    Options =
        case options(Command) of
            [] -> "";
            _ -> " [OPTION...]"
        end,
    ["usage: ", Program, " ", Name, Options, [[" ", called(Arg)] || Arg <- Args], "\n"];
usage(Program, Commands) ->
    Width = lists:max([length(Name) || #{name := Name} <- Commands]),
    [
        ["usage: ", Program, " COMMAND ...\n\n"],
        [
            ["  ", string:pad(Name, Width + 2), Help, "\n"]
         || #{name := Name, help := Help} <- Commands
        ],
        ["\n", Program, " COMMAND --help tells more.\n"]
    ].

called({optional, Name}) -> ["[", Name, "]"];
called({many, Name}) -> [Name, "..."];
called(Name) -> Name.

%% @doc All that is to be said of a command.
-spec help(string(), command()) -> iolist().
help(Program, #{help := Help} = Command) ->
    Options = [{flags(Option), Text} || #{help := Text} = Option <- options(Command)],
    Width = lists:max([0 | [string:length(Flags) || {Flags, _} <- Options]]),
    [
        usage(Program, Command),
        ["\n", capital(Help), ".\n"],
        [["\n", Text, "\n"] || #{text := Text} <- [Command]],
        ["\n" || _ <- lists:sublist(Options, 1)],
        [["  ", string:pad(Flags, Width + 2), Text, "\n"] || {Flags, Text} <- Options]
    ].

capital([First | Rest]) -> [string:to_upper(First) | Rest].

flags(#{name := Key} = Option) ->
    Short = [[$-, S, $,, $\s] || #{short := S} <- [Option]],
    Value = [[$=, V] || #{value := V} <- [Option]],
    lists:flatten([Short, "--", spelled(Key), Value]).

%% @doc What the last of these words may become: commands and options; whatever
%% else is an argument's, which the caller knows.
-spec complete([string()], [command()]) -> {words, [string()]} | {argument, command(), pos_integer()}.
complete([Word], Commands) ->
    {words, starting(Word, [Name || #{name := Name} <- Commands])};
complete([Name | Words], Commands) ->
    Last = lists:last(Words),
    Before = lists:droplast(Words),
    case {find(Name, Commands), Last} of
        {error, _} ->
            {words, []};
        {{ok, Command}, [$- | _]} ->
            All = ["--help" | ["--" ++ spelled(Key) || #{name := Key} <- options(Command)]],
            {words, starting(Last, All)};
        {{ok, Command}, _} ->
            {argument, Command, 1 + length([W || [C | _] = W <- Before, C =/= $-])}
    end;
complete([], _) ->
    {words, []}.

starting(Word, Words) ->
    lists:sort([W || W <- Words, lists:prefix(Word, W)]).
