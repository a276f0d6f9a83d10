%% SPDX-License-Identifier: Apache-2.0
%% What a port is set to holds for the frames that come after that, whether
%% decisions are kept or each frame is relayed.
-module(evum_switch_policy_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, groups/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([isolated/1, down_and_up/1, mac_limit/1, no_learning/1, bad_options/1, blocked/1]).
-export([mtu/1, mirror/1, mirrors_of_each_other/1, storm_of_floods/1, storm_of_unknown/1]).
-export([reserved/1, reserved_dropped/1, one_address_twice/1]).
%% of a handler of logger
-export([log/2]).

-import(evum_switch_rig, [ports/1, fence/4, introduce/1]).
-import(evum_peer, [frame/2, frame/3, tagged/2]).

all() -> [{group, cache}, {group, relay}].

groups() ->
    Cases = [
        isolated,
        down_and_up,
        mac_limit,
        no_learning,
        bad_options,
        blocked,
        mtu,
        mirror,
        mirrors_of_each_other,
        storm_of_floods,
        storm_of_unknown,
        reserved,
        reserved_dropped,
        one_address_twice
    ],
    [{cache, [], Cases}, {relay, [], Cases}].

suite() -> [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) -> ok.

init_per_group(Forward, Config) -> [{forward, Forward} | Config].

end_per_group(_Group, _Config) -> ok.

init_per_testcase(Case, Config) ->
    Options = maps:put(forward, ?config(forward, Config), options(Case)),
    evum_switch_rig:open(Case, [{kinds, [daemon, bess, daemon]}, {options, Options} | Config]).

%% However slow the machine is, more than one frame a second is sent.
options(storm_of_floods) -> #{storm_limit => 1};
options(storm_of_unknown) -> #{storm_limit => 1};
options(reserved_dropped) -> #{bpdu => false};
options(_) -> #{}.

end_per_testcase(_Case, Config) ->
    evum_switch_rig:close(Config).

info(N, Config) ->
    lists:nth(N, evum_switch:ports(?config(switch, Config))).

await_count(N, Counter, Count, Config) ->
    _ = evum_switch_rig:await(fun() -> maps:get(Counter, info(N, Config)) =:= Count end),
    ok.

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
    Bad = [
        {up, 1}, {learning, x}, {mac_limit, -1}, {vlan, 5}, {nothing, 0}, {mtu, 67}, {mtu, 65522},
        {mirror, 0}, {mirror, 99}, {mirror, hd(ports(Switch))}
    ],
    [
        ?assertEqual({error, {bad_option, K, V}}, set(1, #{isolated => true, K => V}, Config))
     || {K, V} <- Bad
    ],
    ?assertEqual({error, {bad_option, options, none}}, set(1, none, Config)),
    ?assertEqual({error, no_port}, evum_switch:set_port(Switch, 99, #{})),
    ?assertEqual(Before, info(1, Config)).

%% Bytes behind the Ethernet header; a tag does not count.
mtu(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    introduce(Peers),
    ok = set(1, #{mtu => 1500}, Config),
    ?assertMatch(#{mtu := 1500}, info(1, Config)),
    fence(A, 1, B, 2),
    fence(B, 2, A, 1),
    Sizes = [60, 1514, 1515, 9000],
    [ok = evum_peer:send(A, frame(2, 1, {size, Size})) || Size <- Sizes],
    [ok = evum_peer:send(A, tagged(7, frame(2, 1, {size, Size}))) || Size <- Sizes],
    ok = await_count(1, rx_mtu, 4, Config),
    [ok = evum_peer:send(B, frame(1, 2, {size, Size})) || Size <- Sizes],
    [ok = evum_peer:send(B, tagged(7, frame(1, 2, {size, Size}))) || Size <- Sizes],
    ok = await_count(1, tx_mtu, 4, Config),
    [
        begin
            ?assertEqual(frame(To, From, {size, 60}), evum_peer:recv(Peer)),
            ?assertEqual(frame(To, From, {size, 1514}), evum_peer:recv(Peer)),
            ?assertEqual(tagged(7, frame(To, From, {size, 60})), evum_peer:recv(Peer)),
            ?assertEqual(tagged(7, frame(To, From, {size, 1514})), evum_peer:recv(Peer))
        end
     || {Peer, To, From} <- [{B, 2, 1}, {A, 1, 2}]
    ],
    %% Others are not held to it.
    Long = frame(2, 3, {size, 9000}),
    ok = evum_peer:send(C, Long),
    ?assertEqual(Long, evum_peer:recv(B)),
    fence(A, 1, B, 2),
    ?assertMatch(#{rx_mtu := 0, tx_mtu := 0}, info(2, Config)).

%% C gets copies of what comes in and goes out at A, as it is there.
mirror(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    introduce(Peers),
    Switch = ?config(switch, Config),
    [P1, _, P3] = ports(Switch),
    [ok = set(N, #{vlan => Vlan}, Config) || {N, Vlan} <- [{1, {trunk, [10]}}, {2, {access, 10}}]],
    ok = set(1, #{mirror => P3}, Config),
    ?assertMatch(#{mirror := P3}, info(1, Config)),
    Out = frame(2, 1),
    Back = frame(1, 2),
    [
        begin
            ok = evum_peer:send(A, tagged(10, Out)),
            [?assertEqual(Got, evum_peer:recv(To)) || {To, Got} <- [{B, Out}, {C, tagged(10, Out)}]],
            ok = evum_peer:send(B, Back),
            [?assertEqual(tagged(10, Back), evum_peer:recv(To)) || To <- [A, C]]
        end
     || _ <- [decided, known]
    ],
    %% What is dropped has come in all the same.
    Lost = tagged(11, Out),
    ok = evum_peer:send(A, Lost),
    ?assertEqual(Lost, evum_peer:recv(C)),
    ?assertMatch(#{tx_mirrored := 5}, info(3, Config)),
    ok = set(1, #{mirror => none}, Config),
    ok = evum_peer:send(A, tagged(10, Out)),
    ?assertEqual(Out, evum_peer:recv(B)),
    ?assertMatch(#{tx_mirrored := 5}, info(3, Config)),
    %% It ends with the port that it goes to.
    ok = set(1, #{mirror => P3}, Config),
    ok = evum_peer:close(C),
    _ = evum_switch_rig:await(fun() -> length(ports(Switch)) =:= 2 end),
    ?assertMatch(#{id := P1, mirror := none}, info(1, Config)),
    ok = evum_peer:send(A, tagged(10, Out)),
    ?assertEqual(Out, evum_peer:recv(B)).

%% A copy makes no copies.
mirrors_of_each_other(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    introduce(Peers),
    [P1, P2, P3] = ports(?config(switch, Config)),
    [ok = set(N, #{mirror => P}, Config) || {N, P} <- [{1, P2}, {2, P3}, {3, P1}]],
    Before = [maps:get(tx_frames, info(N, Config)) || N <- [1, 2, 3]],
    Flood = frame(broadcast, 1),
    ok = evum_peer:send(A, Flood),
    %% in at A: a copy for B; out at B: one for C; out at C: one for A
    [?assertEqual(Flood, evum_peer:recv(To)) || To <- [A, B, B, C, C]],
    ?assertEqual([1, 1, 1], [maps:get(tx_mirrored, info(N, Config)) || N <- [1, 2, 3]]),
    After = [maps:get(tx_frames, info(N, Config)) || N <- [1, 2, 3]],
    ?assertEqual([1, 2, 2], lists:zipwith(fun(N, M) -> N - M end, After, Before)).

storm_of_floods(Config) ->
    [A, B, C] = ?config(peers, Config),
    Floods = [frame(broadcast, 1, {number, N}) || N <- lists:seq(1, 40)],
    storm(A, Floods, Config),
    %% It costs others nothing, nor frames to stations that are known.
    Flood = frame(broadcast, 3),
    ok = evum_peer:send(C, Flood),
    ok = receive_until(Flood, B),
    ToC = frame(3, 2),
    ok = evum_peer:send(B, ToC),
    ok = receive_until(ToC, C),
    [fence(C, 3, B, 2) || _ <- lists:seq(1, 40)],
    [fence(B, 2, C, 3) || _ <- lists:seq(1, 40)],
    ?assertMatch(#{rx_storm := 0}, info(3, Config)),
    ?assertMatch(#{rx_storm := 0}, info(2, Config)).

storm_of_unknown(Config) ->
    [A | _] = ?config(peers, Config),
    storm(A, [frame(9, 1, {number, N}) || N <- lists:seq(1, 40)], Config).

%% At least one passes, some do not, and all are counted.
storm(A, Frames, Config) ->
    [ok = evum_peer:send(A, Frame) || Frame <- Frames],
    ok = await_count(1, rx_frames, length(Frames), Config),
    _ = evum_switch:counters(?config(switch, Config)),
    #{rx_storm := Dropped} = info(1, Config),
    ?assert(Dropped > 0),
    #{tx_frames := Passed} = info(2, Config),
    ?assert(Passed > 0),
    ?assertEqual(length(Frames), Dropped + Passed).

receive_until(Frame, Peer) ->
    case evum_peer:recv(Peer) of
        Frame -> ok;
        _ -> receive_until(Frame, Peer)
    end.

%% STP and its like pass between guests that are switches.
reserved(Config) ->
    [A, B, C] = ?config(peers, Config),
    [
        begin
            ok = evum_peer:send(A, Frame),
            [?assertEqual(Frame, evum_peer:recv(To)) || To <- [B, C]]
        end
     || Frame <- reserved_frames(), _ <- [decided, known]
    ],
    ?assertMatch(#{rx_reserved := 0}, info(1, Config)).

reserved_dropped(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    introduce(Peers),
    [ok = evum_peer:send(A, Frame) || Frame <- reserved_frames(), _ <- [1, 2]],
    %% the next address is none of them
    Next = <<16#0180c2000010:48, (binary:part(frame(broadcast, 1), 6, 20))/binary>>,
    ok = evum_peer:send(A, Next),
    [?assertEqual(Next, evum_peer:recv(To)) || To <- [B, C]],
    ?assertMatch(#{rx_reserved := 32}, info(1, Config)).

reserved_frames() ->
    <<_:6/binary, Rest/binary>> = frame(broadcast, 1),
    [<<16#0180c200000:44, N:4, Rest/binary>> || N <- lists:seq(0, 15)].

%% Two guests with one address: the later one has it, that is told of, and of
%% many such moves in a few lines.
one_address_twice(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    introduce(Peers),
    ok = logger:add_handler(?MODULE, ?MODULE, #{level => warning, config => self()}),
    Switch = ?config(switch, Config),
    try
        fence(C, 3, A, 1),
        [
            begin
                fence(Here, 1, C, 3),
                fence(C, 3, Here, 1)
            end
         || _ <- lists:seq(1, 20), Here <- [B, A]
        ],
        ?assertMatch(#{moves := 40}, evum_switch:counters(Switch)),
        [P1, P2, _] = ports(Switch),
        Lines = logged(),
        ?assert(length(Lines) >= 5 andalso length(Lines) < 40),
        ?assertMatch(["02:00:00:00:00:01", P1, P2], hd(Lines)),
        ?assertMatch([{P1, "02:00:00:00:00:01"}], [
            {Port, Mac}
         || #{port := Port, mac := Mac} <- evum_switch:fdb(Switch), lists:suffix("01", Mac)
        ])
    after
        ok = logger:remove_handler(?MODULE)
    end.

log(#{msg := {"station " ++ _, Args}}, #{config := Test}) -> Test ! {logged, Args};
log(_, _) -> ok.

logged() ->
    receive
        {logged, Line} -> [Line | logged()]
    after 0 -> []
    end.
