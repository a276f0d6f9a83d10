%% SPDX-License-Identifier: Apache-2.0
-module(evum_expect_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

expect(Patterns) ->
    {ok, Compiled} = evum_expect:compile(Patterns),
    evum_expect:new(Compiled, evum_expect:position(0)).

%% All chunks, and then nothing more.
run(Patterns, Chunks) ->
    run(expect(Patterns), Chunks, []).

feed(Bytes, Expect) ->
    evum_expect:look(evum_expect:feed(Bytes, Expect)).

run(Expect, [], []) ->
    case evum_expect:settle(Expect) of
        {found, Found, _} -> Found;
        {more, Expect1} -> {none, evum_expect:seen(Expect1)}
    end;
run(Expect, [Chunk | Chunks], []) ->
    case feed(Chunk, Expect) of
        {found, Found, _} -> Found;
        {more, Expect1} -> run(Expect1, Chunks, [])
    end.

strings_test_() ->
    [
        ?_assertMatch(
            #{before := <<"a\n">>, match := <<"login: ">>, groups := [], index := 1},
            run("login: ", [<<"a\r\nlog">>, <<"in: x">>])
        ),
        ?_assertMatch(#{match := <<"b">>, index := 2}, run(["c", <<"b">>], [<<"abc">>])),
        %% the one that is complete first, whatever the order
        ?_assertMatch(#{match := <<"bc">>, index := 2}, run(["abcd", "bc"], [<<"abcd">>])),
        ?_assertMatch(#{match := <<"bc">>, index := 1}, run(["bc", "abc"], [<<"abcd">>])),
        %% iodata is one string
        ?_assertMatch(#{match := <<"count 42">>}, run(["count ", $4, <<"2">>], [<<"count 42">>])),
        ?_assertEqual({none, <<"nothing\n">>}, run("x", [<<"noth">>, <<"ing\n">>]))
    ].

expressions_test_() ->
    Address = {re, "inet ([0-9.]+)( .*)?$"},
    [
        %% greedy to the end of the line, however the line came
        ?_assertMatch(
            #{before := <<"x\n  ">>, groups := [<<"192.168.0.1">>], index := 1},
            run(Address, [<<"x\n  inet 192.1">>, <<"68.0.1">>, <<"\n">>])
        ),
        ?_assertMatch(#{groups := [<<>>, <<"b">>]}, run({re, "(a)?(b)"}, [<<"b\n">>])),
        %% over lines
        ?_assertMatch(#{match := <<"b\nc">>}, run({re, "b\nc"}, [<<"a\nb\nc\nd\n">>])),
        %% the line that is not ended, when nothing more comes
        ?_assertMatch(#{match := <<"Password: ">>}, run({re, "[Pp]assword: $"}, [<<"Password: ">>])),
        ?_assertMatch(#{index := 2}, run([{re, "never"}, "done"], [<<"done">>])),
        %% a line that ends first, before a string that comes later
        ?_assertMatch(#{index := 2, match := <<"err 1">>}, run(["end", {re, "err.*"}], [<<"err 1\nend">>])),
        ?_assertMatch(#{index := 1}, run(["end", {re, "err.*"}], [<<"err end\n">>])),
        fun() ->
            {ok, MP} = re:compile("B", [caseless]),
            ?assertMatch(#{match := <<"b">>}, run({re, MP}, [<<"abc\n">>]))
        end
    ].

prompts_test_() ->
    [
        ?_assertMatch(
            #{before := <<"out\n">>, match := <<"root@r1:/# ">>}, run({prompt}, [<<"out\r\nroot@r1:/# ">>])
        ),
        %% no line that goes on, and none that is ended
        ?_assertEqual({none, <<"a -> b">>}, run({prompt}, [<<"a -> ">>, <<"b">>])),
        ?_assertEqual({none, <<"100% \n">>}, run({prompt}, [<<"100% \n">>]))
    ].

bad_patterns_test_() ->
    [
        ?_assertEqual({error, {bad_pattern, Bad}}, evum_expect:compile(Pattern))
     || {Bad, Pattern} <- [
            {{re, "("}, {re, "("}},
            {{re, "("}, ["x", {re, "("}]},
            {"", ""},
            {<<>>, <<>>},
            {7, 7},
            {{prompt, 1}, {prompt, 1}},
            {{re, {re_pattern, 1}}, {re, {re_pattern, 1}}},
            {{re, 7}, {re, 7}}
        ]
    ].

%% What was found is not found again, and what is behind it is.
position_test() ->
    Bytes = iolist_to_binary([
        ["\e[1mline ", integer_to_binary(N), "\e[0m\r\n"] || N <- lists:seq(1, 1000)
    ]),
    {ok, Patterns} = evum_expect:compile({re, "^line \\d+$"}),
    Found = all(Patterns, Bytes, evum_expect:position(0), []),
    ?assertEqual([<<"line ", (integer_to_binary(N))/binary>> || N <- lists:seq(1, 1000)], Found).

all(Patterns, Bytes, Position, Found) ->
    From = evum_expect:offset(Position),
    Rest = binary:part(Bytes, From, byte_size(Bytes) - From),
    case cut(Rest, 700, evum_expect:new(Patterns, Position)) of
        {found, #{match := Match}, Position1} -> all(Patterns, Bytes, Position1, [Match | Found]);
        none -> lists:reverse(Found)
    end.

cut(<<>>, _, _Expect) ->
    none;
cut(Bytes, Size, Expect) ->
    N = min(Size, byte_size(Bytes)),
    <<Chunk:N/binary, Rest/binary>> = Bytes,
    case feed(Chunk, Expect) of
        {more, Expect1} -> cut(Rest, Size, Expect1);
        Found -> Found
    end.

%% What is kept is bounded.
bounded_test() ->
    Line = <<"a line of a flood\n">>,
    Flood = binary:copy(Line, 5000),
    Expect = lists:foldl(
        fun(_, Acc) ->
            {more, Acc1} = feed(Flood, Acc),
            Acc1
        end,
        expect(["no such thing", {re, "nor this"}]),
        lists:seq(1, 20)
    ),
    ?assertEqual(evum_expect:limit(), byte_size(evum_expect:seen(Expect))),
    ?assert(erts_debug:flat_size(Expect) < 10000),
    {found, #{before := Before}, _} = feed(<<"and no such thing\n">>, Expect),
    ?assertEqual(evum_expect:limit(), byte_size(Before)).

properties_test_() ->
    {timeout, 120,
        ?_assert(
            proper:quickcheck(
                proper:conjunction([{cuts, prop_cuts()}, {behind, prop_behind()}]),
                [{to_file, user}, {numtests, 1000}]
            )
        )}.

%% However the bytes are cut, the same is found.
prop_cuts() ->
    ?FORALL(
        {Chunks, Patterns},
        {list(shown()), patterns()},
        run(Patterns, Chunks) =:= run(Patterns, [iolist_to_binary(Chunks)])
    ).

%% What comes before, what matches and what is behind it, is the whole text.
prop_behind() ->
    ?FORALL(
        {Chunks, Patterns},
        {list(shown()), patterns()},
        begin
            Bytes = iolist_to_binary(Chunks),
            {Text, none} = evum_lines:text(<<Bytes/binary, "\n">>, none),
            case feed(<<Bytes/binary, "\n">>, expect(Patterns)) of
                {found, #{before := Before, match := Match}, Position} ->
                    Size = byte_size(Before) + byte_size(Match),
                    <<_:Size/binary, Behind/binary>> = Text,
                    From = evum_expect:offset(Position),
                    Rest = binary:part(Bytes, From, byte_size(Bytes) - From),
                    {ok, Compiled} = evum_expect:compile("no such text"),
                    {more, Expect} = feed(
                        <<Rest/binary, "\n">>, evum_expect:new(Compiled, Position)
                    ),
                    evum_expect:seen(Expect) =:= Behind;
                {more, Expect} ->
                    evum_expect:seen(Expect) =:= Text
            end
        end
    ).

patterns() ->
    ?LET(
        List,
        non_empty(
            list(
                oneof([
                    non_empty(list(oneof("ab\n"))),
                    {re, oneof(["a+", "b.*a", "^b", "a$", "a\nb", "(a|bb)(b*)", "\\bab?\\b"])},
                    {prompt}
                ])
            )
        ),
        List
    ).

shown() ->
    ?LET(
        Parts,
        list(oneof(["a", "b", "ab", "\r\n", "\n", "# ", "\e[1m", "\e[0m", "\a"])),
        iolist_to_binary(Parts)
    ).
