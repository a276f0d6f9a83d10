%% SPDX-License-Identifier: Apache-2.0
%% What a port is set to holds for the frames that come after that.
-module(evum_switch_policy_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([isolated/1, down_and_up/1, mac_limit/1, no_learning/1, bad_options/1, blocked/1]).

-import(evum_switch_rig, [ports/1, fence/4, introduce/1]).

all() -> [isolated, down_and_up, mac_limit, no_learning, bad_options, blocked].

suite() -> [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) -> ok.

init_per_testcase(Case, Config) ->
    evum_switch_rig:open(Case, [{kinds, [daemon, bess, daemon]} | Config]).

end_per_testcase(_Case, Config) ->
    evum_switch_rig:close(Config).

info(N, Config) ->
    lists:nth(N, evum_switch:ports(?config(switch, Config))).

set(N, Options, Config) ->
    Switch = ?config(switch, Config),
    evum_switch:set_port(Switch, lists:nth(N, ports(Switch)), Options).

%% Cached flows and floods between two ports end with their isolation. That a
%% frame does not arrive: the third's, sent later, is the next that does.
isolated(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    introduce(Peers),
    fence(A, 1, B, 2),
    ok = set(1, #{isolated => true}, Config),
    ok = set(2, #{isolated => true}, Config),
    ?assertMatch(#{isolated := true}, info(2, Config)),
    [
        begin
            Flood = evum_peer:frame(broadcast, 1),
            ok = evum_peer:send(A, Flood),
            ?assertEqual(Flood, evum_peer:recv(C))
        end
     || _ <- [decided, cached]
    ],
    fence(B, 2, C, 3),
    [ok = evum_peer:send(A, evum_peer:frame(2, 1, {number, N})) || N <- [decided, cached]],
    fence(A, 1, C, 3),
    fence(C, 3, B, 2),
    ok = set(2, #{isolated => false}, Config),
    Flood = evum_peer:frame(broadcast, 1),
    ok = evum_peer:send(A, Flood),
    [?assertEqual(Flood, evum_peer:recv(Peer)) || Peer <- [B, C]].

down_and_up(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    introduce(Peers),
    %% Its stations are forgotten, but for one that stays whatever is heard.
    Switch = ?config(switch, Config),
    <<Static:6/binary, _/binary>> = ToStatic = evum_peer:frame(9, 1),
    ok = evum_switch:add_static(Switch, lists:nth(2, ports(Switch)), 0, Static),
    ok = set(2, #{up => false}, Config),
    ok = evum_peer:send(A, ToStatic),
    _ = evum_switch_rig:await(fun() -> maps:get(tx_down, info(2, Config)) =:= 1 end),
    ok = evum_peer:send(B, evum_peer:frame(broadcast, 2)),
    _ = evum_switch_rig:await(fun() -> maps:get(rx_down, info(2, Config)) =:= 1 end),
    Flood = evum_peer:frame(broadcast, 1),
    ok = evum_peer:send(A, Flood),
    ?assertEqual(Flood, evum_peer:recv(C)),
    %% Of nobody, and to all: the flood is held, and Erlang would not be asked.
    <<_:12/binary, Rest/binary>> = Flood,
    ok = evum_peer:send(B, <<16#ffffffffffff:48, 0:48, Rest/binary>>),
    _ = evum_switch_rig:await(fun() -> maps:get(rx_down, info(2, Config)) =:= 2 end),
    fence(C, 3, A, 1),
    ok = set(2, #{up => true}, Config),
    fence(C, 3, B, 2),
    ?assertMatch(#{up := true, rx_down := 2, tx_down := 1}, info(2, Config)).

mac_limit(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    ok = set(1, #{mac_limit => 1}, Config),
    introduce(Peers),
    ok = evum_peer:send(A, evum_peer:frame(2, 7)),
    fence(A, 1, B, 2),
    fence(C, 3, B, 2),
    ?assertMatch(#{mac_limit := 1, rx_mac_limit := 1}, info(1, Config)).

%% Two ports are parted, one way or both, between frames that were decided on before
%% and those whose decision is kept; the third sees all.
blocked(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    Switch = ?config(switch, Config),
    [IdA, IdB, _] = ports(Switch),
    introduce(Peers),
    fence(A, 1, B, 2),
    Reaches = fun(From, Source, To, Destination) ->
        Flood = evum_peer:frame(broadcast, Source),
        ok = evum_peer:send(From, evum_peer:frame(Destination, Source)),
        ok = evum_peer:send(From, Flood),
        ?assertEqual(Flood, evum_peer:recv(C)),
        %% what is the next that arrives?
        Last = evum_peer:frame(Destination, 3),
        ok = evum_peer:send(C, Last),
        case evum_peer:recv(To) of
            Last ->
                false;
            _ ->
                ?assertEqual(Flood, evum_peer:recv(To)),
                ?assertEqual(Last, evum_peer:recv(To)),
                true
        end
    end,
    AtoB = fun() -> Reaches(A, 1, B, 2) end,
    BtoA = fun() -> Reaches(B, 2, A, 1) end,
    ?assertEqual([true, true], [AtoB(), BtoA()]),
    ok = evum_switch:block(Switch, [{IdA, IdB}, {IdB, IdA}]),
    [?assertEqual([false, false], [AtoB(), BtoA()]) || _ <- [decided, kept]],
    ?assertMatch(#{blocked := [IdB], rx_isolated := 2}, info(1, Config)),
    ok = evum_switch:block(Switch, [{IdB, IdA}, {IdB, 99}]),
    [?assertEqual([true, false], [AtoB(), BtoA()]) || _ <- [decided, kept]],
    ?assertEqual([[], [IdA], []], [maps:get(blocked, info(N, Config)) || N <- [1, 2, 3]]),
    %% refused whole
    [
        ?assertEqual({error, {bad_option, block, Bad}}, evum_switch:block(Switch, Pairs))
     || {Pairs, Bad} <- [{all, all}, {[{IdA, IdB}, IdB], IdB}, {[{IdA, b}], {IdA, b}}]
    ],
    ?assertEqual([true, false], [AtoB(), BtoA()]),
    ok = evum_switch:block(Switch, []),
    ?assertEqual([true, true], [AtoB(), BtoA()]),
    %% A port that goes takes its pairs along.
    ok = evum_switch:block(Switch, [{IdA, IdB}]),
    ok = evum_switch:close_port(Switch, IdB),
    evum_switch_rig:await(fun() -> length(ports(Switch)) =:= 2 end),
    ?assertMatch(#{blocked := []}, info(1, Config)).

%% The station of a port that does not learn is flooded to.
no_learning(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    ok = set(1, #{learning => false}, Config),
    introduce(Peers),
    Frame = evum_peer:frame(1, 2),
    ok = evum_peer:send(B, Frame),
    [?assertEqual(Frame, evum_peer:recv(Peer)) || Peer <- [A, C]],
    ?assertEqual(2, length(evum_switch:fdb(?config(switch, Config)))).

bad_options(Config) ->
    Switch = ?config(switch, Config),
    Before = info(1, Config),
    Bad = [{up, 1}, {learning, x}, {mac_limit, -1}, {vlan, 5}, {nothing, 0}],
    [
        ?assertEqual({error, {bad_option, K, V}}, set(1, #{isolated => true, K => V}, Config))
     || {K, V} <- Bad
    ],
    ?assertEqual({error, {bad_option, options, none}}, set(1, none, Config)),
    ?assertEqual({error, no_port}, evum_switch:set_port(Switch, 99, #{})),
    ?assertEqual(Before, info(1, Config)).
