%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_config_tests).

-include_lib("eunit/include/eunit.hrl").

machine(Options) ->
    {ok, #{machines := #{<<"a">> := Machine}}} = evum_lab_spec:parse(#{machines => #{a => Options}}),
    Machine.

%% All at the start, interfaces without addresses too; later what differs.
changes_test_() ->
    Cards = #{eth0 => ["10.0.0.1/24"], eth1 => #{mtu => 1400}},
    Old = machine(#{interfaces => Cards, routes => [{default, "10.0.0.9"}], resolver => ["10.0.0.53"], sysctl => #{"a" => 1}}),
    Changes = fun(Options) ->
        New = machine(maps:merge(
            #{interfaces => Cards, routes => [{default, "10.0.0.9"}], resolver => ["10.0.0.53"], sysctl => #{"a" => 1}}, Options
        )),
        #{sysctl := Settings, net := Net, gone := Gone} = evum_lab_config:changes(Old, New),
        {Settings, maps:filter(fun(_, V) -> V =/= [] end, Net), Gone}
    end,
    [
        ?_assertEqual(
            #{
                sysctl => #{"a" => 1},
                net => #{
                    <<"eth0">> => #{addresses => ["10.0.0.1/24"]},
                    <<"eth1">> => #{addresses => [], mtu => 1400},
                    routes => [{default, "10.0.0.9"}],
                    resolver => ["10.0.0.53"]
                },
                gone => []
            },
            evum_lab_config:all(Old)
        ),
        ?_assertEqual({#{}, #{}, []}, Changes(#{})),
        ?_assertEqual({#{"b" => 2}, #{}, []}, Changes(#{sysctl => #{"a" => 1, "b" => 2}})),
        ?_assertEqual({#{"a" => 2}, #{}, []}, Changes(#{sysctl => #{"a" => 2}})),
        ?_assertEqual({#{}, #{resolver => ["10.0.0.54"]}, []}, Changes(#{resolver => ["10.0.0.54"]})),
        ?_assertEqual(
            {#{}, #{<<"eth1">> => #{mtu => 1300}, routes => [{default, "10.0.0.9"}]}, []},
            Changes(#{interfaces => Cards#{eth1 := #{mtu => 1300}}})
        ),
        %% the route may have gone with the address
        ?_assertEqual(
            {#{}, #{<<"eth0">> => #{addresses => ["10.0.0.2/24"]}, routes => [{default, "10.0.0.9"}]}, []},
            Changes(#{interfaces => Cards#{eth0 := ["10.0.0.2/24"]}})
        ),
        ?_assertEqual(
            {#{}, #{routes => [{"10.1.0.0/16", "10.0.0.9"}]}, [{default, "10.0.0.9"}]},
            Changes(#{routes => [{"10.1.0.0/16", "10.0.0.9"}]})
        )
    ].
