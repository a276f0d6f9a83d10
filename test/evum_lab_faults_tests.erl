%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_faults_tests).

-include_lib("eunit/include/eunit.hrl").

-define(A, {<<"a">>, <<"eth0">>}).
-define(B, {<<"b">>, <<"eth0">>}).

faults() ->
    #{
        {switch, <<"s">>} => {forward, {tcp, {"127.0.0.1", 80}}, eaddrinuse},
        {switch, <<"t">>} => {partition, einval},
        {wire, ?A, ?B} => emfile,
        {loose, ?A} => emfile
    }.

forget_test_() ->
    Left = fun(What) -> lists:sort(maps:keys(evum_lab_faults:forget(What, faults()))) end,
    [
        ?_assertEqual([{loose, ?A}, {switch, <<"t">>}, {wire, ?A, ?B}], Left(<<"s">>)),
        ?_assertEqual([{loose, ?A}, {switch, <<"t">>}, {wire, ?A, ?B}], Left({?A, <<"s">>})),
        ?_assertEqual([{loose, ?A}, {switch, <<"s">>}, {switch, <<"t">>}], Left({?A, ?B})),
        ?_assertEqual([{loose, ?A}, {switch, <<"s">>}, {wire, ?A, ?B}], Left(partition)),
        ?_assertEqual(lists:sort(maps:keys(faults())), Left(#{seed => 7}))
    ].

problems_test_() ->
    Of = fun(Names) -> [Thing || {Thing, {start, _, []}} <- evum_lab_faults:problems(Names, faults())] end,
    [
        ?_assertEqual([], Of([])),
        ?_assertEqual([{switch, <<"s">>}], Of([<<"s">>])),
        ?_assertEqual([{switch, <<"s">>}], Of([{?B, <<"s">>}, <<"c">>])),
        ?_assertEqual([{link, {?A, ?B}}], Of([{?A, ?B}])),
        ?_assertEqual([{interface, <<"a">>, <<"eth0">>}], Of([<<"a">>])),
        ?_assertEqual(4, length(evum_lab_faults:problems(faults())))
    ].

%% In words
text_test_() ->
    Text = fun(Segment, Reason) -> unicode:characters_to_list(evum_lab_problem:format(evum_lab_faults:problem(Segment, Reason))) end,
    [
        ?_assertEqual(
            "switch s: udp 127.0.0.1:53 of the host is not forwarded: address already in use (eaddrinuse)",
            Text({switch, <<"s">>}, {forward, {udp, {{127, 0, 0, 1}, 53}}, eaddrinuse})
        ),
        ?_assertEqual("link a:eth0 - b:eth0: emfile", Text({wire, ?A, ?B}, emfile)),
        ?_assertEqual(
            "machine a: switch s: uplink: {bad_option,mtu,1}",
            unicode:characters_to_list(
                evum_lab_problem:format({{machine, <<"a">>}, {start, {switch, <<"s">>, {uplink, {bad_option, mtu, 1}}}, []}})
            )
        )
    ].
