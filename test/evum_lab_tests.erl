%% SPDX-License-Identifier: Apache-2.0
%% What can be found wrong with a lab before anything is started.
-module(evum_lab_tests).

-include_lib("eunit/include/eunit.hrl").

check_test() ->
    ?assertEqual(
        ok,
        evum_lab:check(#{
            machines => #{pc1 => #{image => tiny, mem => 32}, pc2 => #{image => tiny, files => #{"/a" => <<"b">>}}},
            links => [{{pc1, eth0}, {pc2, eth0}}]
        })
    ).

%% What only this host can tell is told with the rest of its kind.
host_test() ->
    {error, Problems} = evum_lab:check(#{
        machines => #{
            pc1 => #{image => nowhere, mem => 1, verbose => perhaps},
            pc2 => #{image => tiny, files => #{"/x" => {file, "/does/not/exist"}}},
            pc3 => #{image => 7}
        }
    }),
    ?assertMatch(
        [
            {{machine, <<"pc1">>}, {image, {no_image, _, _}}},
            {{machine, <<"pc1">>}, {bad_option, mem, 1}},
            {{machine, <<"pc1">>}, {bad_option, verbose, perhaps}},
            {{machine, <<"pc2">>}, {bad_option, files, "/x"}},
            {{machine, <<"pc3">>}, {bad_option, image, 7}}
        ],
        lists:sort(Problems)
    ).

%% What the host tells is told with all else that is wrong, and once.
stages_test() ->
    {error, Problems} = evum_lab:check(#{
        name => binary:copy(<<"n">>, 64),
        machines => #{a => #{image => nowhere, interfaces => #{eth0 => #{mac => 7}}}, b => #{mem => 1, routes => 7}},
        links => [{{a, eth0}, b}, {{b, eth0}, {a, eth0}, #{port => #{}}}]
    }),
    ?assertMatch(
        [
            {{link, {{a, eth0}, b, _}}, {no_switch, <<"b">>}},
            {{link, {{b, eth0}, {a, eth0}, _}}, {no_switch_port, port}},
            {{machine, <<"a">>}, bad_name},
            {{machine, <<"a">>}, {image, {no_image, _, _}}},
            {{machine, <<"b">>}, bad_name},
            {{machine, <<"b">>}, {bad_option, mem, 1}},
            {{machine, <<"b">>}, {bad_option, routes, 7}},
            {{interface, <<"a">>, <<"eth0">>}, {bad_option, mac, 7}}
        ],
        lists:sort(Problems)
    ).

many_interfaces_test() ->
    Links = [{{pc1, lists:concat([eth, N])}, a} || N <- lists:seq(0, 16)],
    ?assertMatch(
        {error, [{{machine, <<"pc1">>}, {bad_option, interfaces, _}}]},
        evum_lab:check(#{machines => #{pc1 => #{}}, switches => #{a => #{}}, links => Links})
    ).
