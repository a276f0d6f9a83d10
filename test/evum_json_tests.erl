%% SPDX-License-Identifier: Apache-2.0
-module(evum_json_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

decode_test_() ->
    [
        ?_assertEqual({ok, Value}, evum_json:decode(Text))
     || {Text, Value} <- [
            {<<" null ">>, null},
            {<<"[1, -2, 3.5, 1e2, true, false]">>, [1, -2, 3.5, 100.0, true, false]},
            {<<"{\"a\": {\"b\": []}, \"c\": {}}">>, #{<<"a">> => #{<<"b">> => []}, <<"c">> => #{}}},
            {<<"\"\\u00e9\\n\\ud83d\\ude00\\\"\"">>, <<"é\n😀\""/utf8>>},
            {<<"\"a/b:c\"">>, <<"a/b:c">>}
        ]
    ].

no_json_test_() ->
    [
        ?_assertEqual(error, evum_json:decode(Text))
     || Text <- [
            <<>>, <<"nul">>, <<"[1,]">>, <<"[1">>, <<"{\"a\"}">>, <<"{a: 1}">>, <<"\"a">>, <<"\"\\x\"">>,
            <<"01">>, <<"1 2">>, <<"\"\\u-001\"">>, <<"\"\\u+001\"">>, <<"\"\\ud800\"">>, <<"1e999">>, binary:copy(<<"[">>, 1000)
        ]
    ].

%% Whatever the text, it is an answer.
any_test() ->
    Piece = oneof([binary(), elements([<<"[">>, <<"]">>, <<"{">>, <<"}">>, <<"\"">>, <<",">>, <<":">>, <<"1">>, <<"\\u">>])]),
    ?assert(
        proper:quickcheck(
            ?FORALL(Pieces, list(Piece), begin
                case evum_json:decode(iolist_to_binary(Pieces)) of
                    {ok, _} -> true;
                    error -> true
                end
            end),
            [{numtests, 1000}, {to_file, user}]
        )
    ).
