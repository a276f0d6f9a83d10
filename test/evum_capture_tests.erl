%% SPDX-License-Identifier: Apache-2.0
-module(evum_capture_tests).

-include_lib("eunit/include/eunit.hrl").

defaults_test() ->
    {ok, Options} = evum_capture:options(#{file => "/tmp/x"}),
    ?assertEqual(
        #{
            file => <<"/tmp/x">>,
            filter => <<>>,
            snaplen => 65535,
            size => infinity,
            seconds => infinity,
            files => 10,
            interface => any
        },
        Options
    ).

given_test() ->
    {ok, #{file := File, filter := <<"arp">>, interface := <<"eth1">>, size := 9}} =
        evum_capture:options([{file, <<"x">>}, {filter, "arp"}, {interface, eth1}, {size, 9}]),
    ?assertEqual(filename:absname(<<"x">>), File).

bad_options_test_() ->
    [
        ?_assertEqual({error, {bad_option, Key, Value}}, evum_capture:options(#{Key => Value}))
     || {Key, Values} <- [
            {file, ["", <<>>, none, "a\0b", lists:duplicate(5000, $x), [-1]]},
            {filter, [all, <<"a\0">>, 1]},
            {snaplen, [0, 13, 65536, infinity]},
            {size, [0, -1, 1 bsl 63, "1"]},
            {seconds, [0, 1 bsl 32]},
            {files, [0, infinity]},
            {interface, ["", 1]},
            {colour, [red]}
        ],
        Value <- Values
    ] ++
        [
            ?_assertEqual({error, {bad_option, options, Options}}, evum_capture:options(Options))
         || Options <- [none, [{a, b} | c]]
        ].
