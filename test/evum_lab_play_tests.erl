%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_play_tests).

-include_lib("eunit/include/eunit.hrl").

check_test_() ->
    [?_assertEqual({error, {bad_option, play, Bad}}, evum_lab_play:check([{at, 0, heal}, Bad]))
     || Bad <- [{at, -1, heal}, {every, 0, heal}, {at, 5, hell}, {at, 5, {set_link, a, b, up}}, {at, 5, fun() -> ok end}, heal]] ++
    [?_assertEqual({error, {bad_option, play, heal}}, evum_lab_play:check(heal)),
     ?_assertEqual(ok, evum_lab_play:check([{at, 5, {partition, [[a], [b]]}}, {every, 7, fun(_) -> ok end}]))].
