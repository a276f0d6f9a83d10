%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_ping_tests).

-include_lib("eunit/include/eunit.hrl").

%% Of a family that both have, where there is one.
targets_test_() ->
    Known = #{
        <<"a">> => [{<<"eth0">>, <<"10.0.0.1/24">>}],
        <<"b">> => [{<<"eth0">>, "fd00::2/64"}],
        <<"c">> => [{<<"eth0">>, <<"10.0.0.3/24">>}, {<<"eth0">>, <<"fd00::3/64">>}],
        <<"d">> => []
    },
    [
        ?_assertEqual([{<<"b">>, <<"fd00::2">>}, {<<"c">>, <<"10.0.0.3">>}], evum_lab_ping:targets(<<"a">>, Known)),
        ?_assertEqual([{<<"a">>, <<"10.0.0.1">>}, {<<"c">>, <<"fd00::3">>}], evum_lab_ping:targets(<<"b">>, Known)),
        ?_assertEqual([{<<"a">>, <<"10.0.0.1">>}, {<<"b">>, <<"fd00::2">>}, {<<"c">>, <<"10.0.0.3">>}], evum_lab_ping:targets(<<"d">>, Known)),
        ?_assertEqual({error, nothing_to_ping}, evum_lab_ping:all(#{}, Known)),
        ?_assertEqual({error, nothing_to_ping}, evum_lab_ping:all(#{<<"a">> => self()}, Known)),
        ?_assertEqual({error, nothing_to_ping}, evum_lab_ping:all(#{<<"d">> => self(), <<"e">> => self()}, Known))
    ].
