%% SPDX-License-Identifier: Apache-2.0
-module(evum_args_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

commands() ->
    [
        #{
            name => "up",
            args => ["LAB"],
            options => [
                #{name => all_or_nothing, help => "stop all where one fails"},
                #{name => wait, short => $w, value => "S", type => integer, help => "seconds"},
                #{name => as, value => "NAME", help => "a name"}
            ],
            help => "start a lab"
        },
        #{name => "exec", args => ["NAME", {many, "CMD"}], greedy => true, help => "run"},
        #{name => "down", args => [{optional, "LAB"}], help => "stop", text => "At once."}
    ].

parse(Words) ->
    case evum_args:parse(Words, commands()) of
        {ok, {#{name := Name}, Options, Args}} -> {Name, Options, Args};
        {help, #{name := Name}} -> {help, Name};
        {error, #{name := Name}, Text} -> {error, Name, Text};
        Other -> Other
    end.

arguments_test() ->
    ?assertEqual({"up", #{}, ["a"]}, parse(["up", "a"])),
    ?assertEqual({"down", #{}, []}, parse(["down"])),
    ?assertEqual({"down", #{}, ["a"]}, parse(["down", "a"])),
    ?assertEqual({error, "up", "too few arguments"}, parse(["up"])),
    ?assertEqual({error, "down", "too many arguments"}, parse(["down", "a", "b"])),
    ?assertEqual({error, "exec", "too few arguments"}, parse(["exec", "a"])),
    ?assertEqual({error, all, "unknown command fly"}, parse(["fly"])),
    ?assertEqual({error, all, "what is to be done?"}, parse([])).

options_test() ->
    All = #{all_or_nothing => true, wait => 5, as => "x"},
    ?assertEqual({"up", All, ["a"]}, parse(["up", "--all-or-nothing", "-w", "5", "--as=x", "a"])),
    ?assertEqual({"up", All, ["a"]}, parse(["up", "a", "--as", "x", "-w5", "--all-or-nothing"])),
    ?assertEqual({"up", #{}, ["--as"]}, parse(["up", "--", "--as"])),
    ?assertEqual({error, "up", "unknown option --nil"}, parse(["up", "--nil", "a"])),
    ?assertEqual({error, "up", "unknown option -q"}, parse(["up", "-q", "a"])),
    ?assertEqual({error, "up", "--as needs NAME"}, parse(["up", "a", "--as"])),
    ?assertEqual({error, "up", "--wait: x is no whole number"}, parse(["up", "a", "--wait=x"])),
    ?assertEqual(
        {error, "up", "--all-or-nothing=1: it takes no value"}, parse(["up", "--all-or-nothing=1"])
    ).

greedy_test() ->
    ?assertEqual({"exec", #{}, ["r1", "ls", "-l", "--help"]}, parse(["exec", "r1", "ls", "-l", "--help"])),
    ?assertEqual({help, "exec"}, parse(["exec", "--help"])).

help_test() ->
    ?assertEqual({help, all}, parse(["--help"])),
    ?assertEqual({help, "up"}, parse(["help", "up"])),
    ?assertEqual({help, "up"}, parse(["up", "a", "-h"])),
    Text = text(evum_args:help("evum", hd(commands()))),
    ?assertMatch("usage: evum up [OPTION...] LAB\n\nStart a lab.\n" ++ _, Text),
    ?assertMatch({match, _}, re:run(Text, "  -w, --wait=S +seconds\n")),
    ?assertEqual(
        "usage: evum down [LAB]\n\nStop.\n\nAt once.\n",
        text(evum_args:help("evum", lists:last(commands())))
    ),
    ?assertMatch({match, _}, re:run(text(evum_args:usage("evum", commands())), "  exec  run\n")).

text(Iolist) -> binary_to_list(iolist_to_binary(Iolist)).

complete_test() ->
    ?assertEqual({words, ["down", "exec", "up"]}, evum_args:complete([""], commands())),
    ?assertEqual({words, ["up"]}, evum_args:complete(["u"], commands())),
    ?assertEqual({words, ["--all-or-nothing", "--as"]}, evum_args:complete(["up", "--a"], commands())),
    ?assertMatch({argument, #{name := "exec"}, 1}, evum_args:complete(["exec", "r"], commands())),
    ?assertMatch({argument, #{name := "up"}, 1}, evum_args:complete(["up", "--as=x", ""], commands())),
    ?assertEqual({words, []}, evum_args:complete(["fly", ""], commands())).

%% Whatever is typed, the answer is one of the four; and arguments behind -- are
%% taken as they are.
total_test() ->
    Word = oneof([string(), "--", "-w", "up", "exec", "down", "--as", "-h", "--wait=3"]),
    Property = ?FORALL(
        Words,
        list(Word),
        case evum_args:parse(Words, commands()) of
            {ok, {#{args := Spec}, _, Args}} -> length(Args) >= length(Spec) - 1;
            {help, _} -> true;
            {error, _, Text} -> is_list(unicode:characters_to_list(Text))
        end
    ),
    ?assert(proper:quickcheck(Property, [quiet, {numtests, 500}])).
