%% SPDX-License-Identifier: Apache-2.0
%% VLANs of ports, the same whether decisions are kept or each frame is relayed.
-module(evum_switch_vlan_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, groups/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([
    access/1,
    bad_tags/1,
    trunk/1,
    trunk_to_trunk/1,
    native/1,
    priorities/1,
    ports_without_vlans/1,
    stations_by_vlan/1,
    moved_to_another_vlan/1,
    static_stations/1,
    hooks/1,
    longest_frames/1
]).

-import(evum_switch_rig, [ports/1, fence/4]).
-import(evum_peer, [frame/2, tagged/2]).

all() -> [{group, cache}, {group, relay}].

groups() ->
    Cases = [
        access,
        bad_tags,
        trunk,
        trunk_to_trunk,
        native,
        priorities,
        ports_without_vlans,
        stations_by_vlan,
        moved_to_another_vlan,
        static_stations,
        hooks,
        longest_frames
    ],
    [{cache, [], Cases}, {relay, [], Cases}].

suite() -> [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) -> ok.

init_per_group(Forward, Config) ->
    [{options, #{forward => Forward}} | Config].

end_per_group(_Group, _Config) -> ok.

init_per_testcase(Case, Config) ->
    evum_switch_rig:open(Case, [{kinds, [daemon, bess, vhost, bess]} | Config]).

end_per_testcase(_Case, Config) ->
    evum_switch_rig:close(Config).

%% The peers, once their ports are in those VLANs.
peers(Vlans, Config) ->
    Switch = ?config(switch, Config),
    [
        ok = evum_switch:set_port(Switch, Id, #{vlan => Vlan})
     || {Id, Vlan} <- lists:zip(ports(Switch), Vlans)
    ],
    ?config(peers, Config).

info(N, Config) ->
    lists:nth(N, evum_switch:ports(?config(switch, Config))).

await_count(N, Counter, Count, Config) ->
    _ = evum_switch_rig:await(fun() -> maps:get(Counter, info(N, Config)) =:= Count end),
    ok.

%% Send a frame, several times so that it is decided on, and then known; each
%% time the others get those, and nothing else.
send(From, Frame, Deliveries) ->
    [
        begin
            ok = evum_peer:send(From, Frame),
            [?assertEqual(Expected, evum_peer:recv(To)) || {To, Expected} <- Deliveries]
        end
     || _ <- [decided, known, known]
    ],
    ok.

%% Nothing has come that nobody waited for: what is sent now is next.
nothing_else(Fences) ->
    [fence(From, Source, To, Destination) || {From, Source, To, Destination} <- Fences],
    ok.

access(Config) ->
    [A, B, C, D] = peers([{access, 10}, {access, 10}, {access, 20}, {access, 20}], Config),
    ?assertMatch(#{vlan := {access, 10}}, info(1, Config)),
    Flood = frame(broadcast, 1),
    send(A, Flood, [{B, Flood}]),
    %% Its own tag goes no further.
    send(A, tagged(10, Flood), [{B, Flood}]),
    Other = frame(broadcast, 3),
    send(C, Other, [{D, Other}]),
    %% Of an address in another VLAN nothing is known.
    Lost = frame(1, 3),
    send(C, Lost, [{D, Lost}]),
    nothing_else([{A, 1, B, 2}, {B, 2, A, 1}, {D, 4, C, 3}, {C, 3, D, 4}]).

bad_tags(Config) ->
    [A, B, C, D] = peers([{access, 10}, {access, 10}, {access, 20}, {access, 20}], Config),
    fence(A, 1, B, 2),
    fence(C, 3, D, 4),
    Flood = frame(broadcast, 1),
    Bad = [
        tagged(20, Flood),
        tagged(4095, Flood),
        tagged({7, 1, 11}, Flood),
        %% half a tag
        binary:part(tagged(10, Flood), 0, 14),
        binary:part(tagged(10, Flood), 0, 17)
    ],
    [ok = evum_peer:send(A, Frame) || Frame <- Bad],
    ok = await_count(1, rx_vlan, length(Bad), Config),
    nothing_else([{A, 1, B, 2}, {C, 3, D, 4}, {D, 4, C, 3}]),
    ?assertMatch(#{rx_vlan := 0}, info(2, Config)).

trunk(Config) ->
    [A, B, C, D] = peers([{access, 10}, {access, 20}, {trunk, [10, 20]}, {access, 30}], Config),
    ?assertMatch(#{vlan := {trunk, [10, 20], none}}, info(3, Config)),
    Flood = frame(broadcast, 1),
    send(A, Flood, [{C, tagged(10, Flood)}]),
    Back = frame(1, 3),
    send(C, tagged(10, Back), [{A, Back}]),
    Other = frame(broadcast, 3),
    send(C, tagged(20, Other), [{B, Other}]),
    Reply = frame(3, 2),
    send(B, Reply, [{C, tagged(20, Reply)}]),
    %% Frames without a tag, and those of other VLANs.
    [ok = evum_peer:send(C, Frame) || Frame <- [Other, tagged(30, Other), tagged({1, 0, 0}, Other)]],
    ok = await_count(3, rx_vlan, 3, Config),
    ok = evum_peer:send(D, frame(broadcast, 4)),
    send(A, Flood, [{C, tagged(10, Flood)}]),
    send(C, tagged(20, Other), [{B, Other}]),
    send(C, tagged(10, Back), [{A, Back}]),
    ?assertMatch(#{tx_frames := 0}, info(4, Config)).

trunk_to_trunk(Config) ->
    [A, B, C, D] = peers([{trunk, all}, {trunk, [7]}, {trunk, all, 7}, {trunk, [8], 9}], Config),
    Flood = frame(broadcast, 1),
    Tagged = tagged({5, 1, 7}, Flood),
    %% It passes as it is, and at the native VLAN of one without its tag.
    send(A, Tagged, [{B, Tagged}, {C, Flood}]),
    %% A tag of the guest's own, behind that of the switch.
    Inner = tagged({6, 0, 8}, tagged(99, Flood)),
    send(A, Inner, [{C, Inner}, {D, Inner}]),
    Reply = frame(1, 4),
    send(D, tagged({6, 0, 8}, Reply), [{A, tagged({6, 0, 8}, Reply)}]).

native(Config) ->
    [A, B, C, D] = peers([{trunk, [10], 20}, {access, 10}, {access, 20}, none], Config),
    Flood = frame(broadcast, 1),
    send(A, Flood, [{C, Flood}]),
    send(A, tagged(20, Flood), [{C, Flood}]),
    send(A, tagged(10, Flood), [{B, Flood}]),
    Reply = frame(1, 3),
    send(C, Reply, [{A, Reply}]),
    ok = evum_peer:send(D, frame(broadcast, 4)),
    send(A, Flood, [{C, Flood}]).

%% Priority and drop eligibility stay while there is a tag to tell them.
priorities(Config) ->
    [A, B, C, D] = peers([{access, 10}, {access, 10}, {trunk, [10]}, {trunk, all}], Config),
    Flood = frame(broadcast, 1),
    Tagged = tagged({5, 1, 10}, Flood),
    %% A tag without a VLAN takes that of the port.
    send(A, tagged({5, 1, 0}, Flood), [{B, Flood}, {C, Tagged}, {D, Tagged}]),
    send(A, Tagged, [{B, Flood}, {C, Tagged}, {D, Tagged}]),
    ToTrunk = frame(3, 1),
    Back = frame(1, 3),
    send(C, tagged({2, 0, 10}, Back), [{A, Back}]),
    send(A, tagged({7, 0, 0}, ToTrunk), [{C, tagged({7, 0, 10}, ToTrunk)}]).

%% What they send passes untouched, whatever it says of VLANs, and meets no
%% port that has any.
ports_without_vlans(Config) ->
    [A, B, C, D] = peers([none, none, {trunk, all, 1}, {access, 10}], Config),
    Flood = frame(broadcast, 1),
    Frames = [
        Flood,
        tagged(10, Flood),
        tagged(1, Flood),
        tagged({5, 1, 0}, Flood),
        tagged(4095, Flood),
        tagged(10, tagged(20, Flood))
    ],
    [send(A, Frame, [{B, Frame}]) || Frame <- Frames],
    Native = frame(broadcast, 4),
    send(D, Native, [{C, tagged(10, Native)}]),
    nothing_else([{A, 1, B, 2}, {B, 2, A, 1}]).

%% The same address in two VLANs is two stations.
stations_by_vlan(Config) ->
    [A, B, C, D] = peers([{access, 10}, {access, 20}, {access, 10}, {trunk, all}], Config),
    Switch = ?config(switch, Config),
    First = frame(broadcast, 9),
    send(A, First, [{C, First}, {D, tagged(10, First)}]),
    send(B, First, [{D, tagged(20, First)}]),
    To = frame(9, 4),
    send(D, tagged(10, To), [{A, To}]),
    send(D, tagged(20, To), [{B, To}]),
    [P1, P2, _, P4] = ports(Switch),
    ?assertEqual(
        [{10, 4, P4}, {10, 9, P1}, {20, 4, P4}, {20, 9, P2}],
        lists:sort([
            {Vlan, list_to_integer(lists:last(string:split(Mac, ":", all)), 16), Port}
         || #{vlan := Vlan, mac := Mac, port := Port} <- evum_switch:fdb(Switch)
        ])
    ),
    ?assertMatch(#{moves := 0}, evum_switch:counters(Switch)).

moved_to_another_vlan(Config) ->
    [A, B, C, _] = peers([{access, 10}, {access, 10}, {access, 20}, none], Config),
    Switch = ?config(switch, Config),
    Flood = frame(broadcast, 1),
    send(A, Flood, [{B, Flood}]),
    Other = frame(broadcast, 2),
    send(B, Other, [{A, Other}]),
    fence(B, 2, A, 1),
    ok = evum_switch:set_port(Switch, hd(ports(Switch)), #{vlan => {access, 20}}),
    send(B, Other, []),
    send(B, frame(1, 2), []),
    ok = await_count(2, rx_frames, 3 + 1 + 3 + 3, Config),
    send(A, Flood, [{C, Flood}]),
    fence(C, 3, A, 1),
    ok = evum_switch:set_port(Switch, hd(ports(Switch)), #{vlan => {trunk, [10]}}),
    send(B, Flood, [{A, tagged(10, Flood)}]),
    ok = evum_switch:set_port(Switch, hd(ports(Switch)), #{vlan => {access, 10}}),
    send(A, Flood, [{B, Flood}]).

static_stations(Config) ->
    [A, B, C, _] = peers([{access, 10}, {access, 10}, {access, 10}, none], Config),
    Switch = ?config(switch, Config),
    [_, P2 | _] = ports(Switch),
    ?assertEqual({error, not_a_member}, evum_switch:add_static(Switch, P2, 20, evum_peer:mac(9))),
    ok = evum_switch:add_static(Switch, P2, 10, evum_peer:mac(9)),
    To = frame(9, 1),
    send(A, To, [{B, To}]),
    %% Where it was, no frame of that VLAN goes any more.
    ok = evum_switch:set_port(Switch, P2, #{vlan => {access, 20}}),
    send(A, To, [{C, To}]),
    ?assertMatch(#{tx_frames := 3}, info(2, Config)).

%% Hooks see frames without the tag, and what they make of them gets it again.
hooks(Config) ->
    [A, B, C, _] = peers([{trunk, [10, 20]}, {access, 10}, {trunk, all}, none], Config),
    Switch = ?config(switch, Config),
    Self = self(),
    Reverse = fun(<<To:12/binary, 16#88b5:16, Payload/binary>>, #{vlan := Vlan}) ->
        Self ! {seen, Vlan},
        {rewrite, <<To/binary, 16#88b5:16, Payload/binary, Vlan:16>>}
    end,
    {ok, Hook} = evum_switch:hook(Switch, {bpf, "ether proto 0x88b5"}, Reverse),
    Flood = frame(broadcast, 1),
    Rewritten = <<Flood/binary, 10:16>>,
    send(A, tagged({3, 0, 10}, Flood), [{B, Rewritten}, {C, tagged({3, 0, 10}, Rewritten)}]),
    [
        receive
            {seen, Vlan} -> ?assertEqual(10, Vlan)
        after 10000 -> error(not_seen)
        end
     || _ <- [1, 2, 3]
    ],
    ok = evum_switch:unhook(Switch, Hook),
    send(A, tagged({3, 0, 10}, Flood), [{B, Flood}, {C, tagged({3, 0, 10}, Flood)}]).

%% Where there is no room for a tag, that is counted.
longest_frames(Config) ->
    [_, B, _, D] = peers([none, {access, 10}, none, {trunk, all}], Config),
    Fits = evum_peer:frame(broadcast, 1, {size, 65531}),
    send(B, Fits, [{D, tagged(10, Fits)}]),
    ok = evum_peer:send(B, evum_peer:frame(broadcast, 1, {size, 65532})),
    ok = await_count(4, tx_mtu, 1, Config),
    send(B, Fits, [{D, tagged(10, Fits)}]),
    send(D, tagged(10, Fits), [{B, Fits}]).
