%% SPDX-License-Identifier: Apache-2.0
-module(evum_lines_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

lines(Bytes) ->
    {Lines, Rest} = evum_lines:feed(Bytes, evum_lines:new()),
    {Lines, evum_lines:partial(Rest)}.

plain_test_() ->
    [
        ?_assertEqual({[], <<>>}, lines(<<>>)),
        ?_assertEqual({[<<"a">>, <<>>, <<"b">>], <<"c">>}, lines(<<"a\n\nb\nc">>)),
        ?_assertEqual({[<<"a\tb">>], <<>>}, lines(<<"a\tb\r\n">>)),
        ?_assertEqual({[<<"héé"/utf8>>], <<>>}, lines(<<"héé\r\n"/utf8>>)),
        ?_assertEqual({[<<"ab">>], <<>>}, lines(<<"a\0\007\bb\n">>))
    ].

escapes_test_() ->
    [
        ?_assertEqual({[<<"red">>], <<>>}, lines(<<"\e[1;31mred\e[0m\n">>)),
        ?_assertEqual({[<<"x">>], <<"y">>}, lines(<<"\e]0;title\007x\n\e]0;t\e\\y">>)),
        ?_assertEqual({[], <<"ab">>}, lines(<<"a\e(B\e[?2004hb">>)),
        ?_assertEqual({[], <<"x">>}, lines(<<"\eMx">>)),
        %% one that is never ended swallows no more than its line
        ?_assertEqual({[<<"next">>], <<>>}, lines(<<"\e]0;broken\nnext\n">>))
    ].

long_lines_come_in_pieces_test() ->
    Max = evum_lines:limit(),
    Long = binary:copy(<<"x">>, 2 * Max + 1),
    {[A, B, C], <<>>} = lines(<<Long/binary, "\n">>),
    ?assertEqual([Max, Max, 1], [byte_size(L) || L <- [A, B, C]]),
    %% exactly as long as that: one line
    ?assertMatch({[_], <<>>}, lines(<<(binary:copy(<<"x">>, Max))/binary, "\n">>)).

properties_test_() ->
    {timeout, 60,
        ?_assert(
            proper:quickcheck(
                proper:conjunction([
                    {chunks, prop_chunks()},
                    {clean, prop_clean()},
                    {text, prop_text()},
                    {uncut, prop_uncut()}
                ]),
                [{to_file, user}, {numtests, 500}]
            )
        )}.

%% However the bytes are cut, the lines are the same.
prop_chunks() ->
    ?FORALL(
        Chunks,
        list(console_bytes()),
        begin
            {Pieces, End} = lists:mapfoldl(
                fun(Chunk, Acc) -> evum_lines:feed(Chunk, Acc) end, evum_lines:new(), Chunks
            ),
            {lists:append(Pieces), evum_lines:partial(End)} =:=
                lines(iolist_to_binary(Chunks))
        end
    ).

%% Text that is not cut into lines holds the same, however the bytes are cut.
prop_uncut() ->
    ?FORALL(
        Chunks,
        list(console_bytes()),
        begin
            {Texts, _} = lists:mapfoldl(fun evum_lines:text/2, none, Chunks),
            {Lines, Partial} = lines(iolist_to_binary(Chunks)),
            Text = iolist_to_binary(Texts),
            binary:replace(Text, <<"\n">>, <<>>, [global]) =:= iolist_to_binary([Lines, Partial]) andalso
                length(binary:matches(Text, <<"\n">>)) =< length(Lines)
        end
    ).

%% No line holds a control character but the tab, or is too long.
prop_clean() ->
    ?FORALL(
        Bytes,
        console_bytes(),
        begin
            {Lines, Partial} = lines(Bytes),
            lists:all(
                fun(Line) ->
                    byte_size(Line) =< evum_lines:limit() andalso
                        lists:all(fun is_text/1, binary_to_list(Line))
                end,
                [Partial | Lines]
            )
        end
    ).

%% Text without controls comes out as it was.
prop_text() ->
    ?FORALL(
        Lines,
        list(text()),
        lines(iolist_to_binary([[L, "\r\n"] || L <- Lines])) =:= {Lines, <<>>}
    ).

text() ->
    ?LET(Text, list(range($\s, $~)), list_to_binary(Text)).

console_bytes() ->
    ?LET(
        Parts,
        list(
            frequency([
                {4, text()},
                {3, <<"\r\n">>},
                {2, oneof([<<"\e[1m">>, <<"\e]0;t\007">>, <<"\e(B">>, <<"\eP1\e\\">>, <<"\e">>])},
                {1, binary()},
                {1, binary:copy(<<"y">>, 5000)}
            ])
        ),
        iolist_to_binary(Parts)
    ).

is_text(Byte) -> Byte =:= $\t orelse (Byte >= 16#20 andalso Byte =/= 16#7f).
