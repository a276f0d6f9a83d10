%% SPDX-License-Identifier: Apache-2.0
-module(evum_vlan_tests).

-include_lib("eunit/include/eunit.hrl").

-import(evum_vlan, [validate/1, is_member/2, wire/1]).

validate_test() ->
    ?assertEqual({ok, none}, validate(none)),
    ?assertEqual({ok, {access, 4094}}, validate({access, 4094})),
    ?assertEqual({ok, {trunk, [1, 7], none}}, validate({trunk, [7, 1, 7]})),
    ?assertEqual({ok, {trunk, all, none}}, validate({trunk, all})),
    ?assertEqual({ok, {trunk, [5], 9}}, validate({trunk, [5], 9})),
    Bad = [
        10, {access, 0}, {access, 4095}, {access, "1"}, {access, none}, {trunk, []}, {trunk, [0]},
        {trunk, [1, 4095]}, {trunk, [1 | 2]}, {trunk, 5}, {trunk, all, 0}, {trunk, [1], all}, {trunk}
    ],
    [?assertEqual({Value, error}, {Value, validate(Value)}) || Value <- Bad].

%% What evum_net is told says the same of each VLAN.
wire_test() ->
    [
        begin
            {Untagged, Tagged} = wire(Config),
            ?assert(lists:member(byte_size(Tagged), [0, 512])),
            [
                ?assertEqual(
                    {Config, Vlan, is_member(Vlan, Config)},
                    {Config, Vlan, Vlan =:= Untagged orelse bit(Vlan, Tagged)}
                )
             || Vlan <- lists:seq(1, 4095)
            ],
            ?assertEqual(Config =:= none, is_member(0, Config))
        end
     || Config <- [
            none,
            {access, 1},
            {trunk, all, none},
            {trunk, all, 4094},
            {trunk, [1, 8, 4094], none},
            {trunk, [100], 7}
        ]
    ].

bit(_, <<>>) -> false;
bit(Vlan, Set) ->
    <<_:Vlan, Bit:1, _/bitstring>> = Set,
    Bit =:= 1.
