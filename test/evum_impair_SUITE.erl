%% SPDX-License-Identifier: Apache-2.0
%% Ports whose ways are not perfect. That the fates have the right chances is for
%% c_src/test/impair_test.c to show; here frames meet them, with real switches.
-module(evum_impair_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([same_seed_same_loss/1, no_sooner_than_the_delay/1, no_faster_than_the_rate/1]).
-export([healed_at_once/1, limit/1, twice_and_corrupt/1, overtaken/1]).
-export([directions/1, shown/1, bad_options/1, gone/1]).

-import(evum_switch_rig, [ports/1, fence/4, introduce/1, await/1]).

all() ->
    [
        same_seed_same_loss,
        no_sooner_than_the_delay,
        no_faster_than_the_rate,
        healed_at_once,
        limit,
        twice_and_corrupt,
        overtaken,
        directions,
        shown,
        bad_options,
        gone
    ].

suite() -> [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) -> ok.

init_per_testcase(Case, Config) ->
    Config1 = evum_switch_rig:open(Case, [{kinds, [bess, bess, daemon]} | Config]),
    introduce(?config(peers, Config1)),
    Config1.

end_per_testcase(_Case, Config) ->
    evum_switch_rig:close(Config).

%% The ports are those of the peers, in their order.
impair(N, Direction, Options, Config) ->
    Switch = ?config(switch, Config),
    evum_switch:impair(Switch, lists:nth(N, ports(Switch)), Direction, Options).

info(N, Config) ->
    lists:nth(N, evum_switch:ports(?config(switch, Config))).

await_info(N, Key, Value, Config) ->
    await(fun() -> maps:get(Key, info(N, Config)) =:= Value end).

number(N) -> evum_peer:frame(2, 1, {number, N}).

%% Send numbered frames from the first to the second; the numbers of those that
%% arrive.
arrived(Count, Config) ->
    [A, B | _] = ?config(peers, Config),
    Came = came(Config),
    [ok = evum_peer:send(A, number(N)) || N <- lists:seq(1, Count)],
    await(fun() -> came(Config) =:= Came + Count end),
    %% behind them all, once the way is perfect
    ok = impair(1, in, none, Config),
    End = number(last),
    ok = evum_peer:send(A, End),
    Numbers = maps:from_list([{number(N), N} || N <- lists:seq(1, Count)]),
    [maps:get(Frame, Numbers) || Frame <- received(B, End)].

came(Config) ->
    #{rx_frames := Frames, rx_impaired_loss := Lost} = info(1, Config),
    Frames + Lost.

received(Peer, End) ->
    case evum_peer:recv(Peer) of
        End -> [];
        Frame -> [Frame | received(Peer, End)]
    end.

%% Which frames are lost is the seed's to say: by flows that evum_net keeps as by
%% those that go through Erlang at another switch.
same_seed_same_loss(Config) ->
    Lossy = fun(Seed, OfSwitch) ->
        Loss = #{loss => {gilbert, 0.1, 0.4, 0.9, 0.05}, seed => Seed},
        ok = impair(1, in, Loss, OfSwitch),
        arrived(100, OfSwitch)
    end,
    Arrived = Lossy(1, Config),
    ?assert(length(Arrived) > 50),
    ?assert(length(Arrived) < 100),
    ?assertNotEqual(Arrived, Lossy(2, Config)),
    ?assertEqual(Arrived, Lossy(1, Config)),
    {ok, Relay} = evum_switch:start(#{forward => relay}),
    Path = filename:join(?config(dir, Config), "relay"),
    {ok, _} = evum_ctl:start(Relay, Path),
    OfRelay = [{switch, Relay}, {path, Path}],
    Peers = [evum_switch_rig:connect(bess, OfRelay) || _ <- [1, 2]],
    introduce(Peers),
    ?assertEqual(Arrived, Lossy(1, [{peers, Peers} | OfRelay])),
    ok = evum_switch:stop(Relay).

%% How long a function takes, ms.
taken(Fun) ->
    Start = erlang:monotonic_time(microsecond),
    Fun(),
    (erlang:monotonic_time(microsecond) - Start) / 1000.

no_sooner_than_the_delay(Config) ->
    [A, B | _] = ?config(peers, Config),
    ok = impair(1, both, #{delay => {30, ms}}, Config),
    ?assert(taken(fun() -> fence(A, 1, B, 2) end) >= 30),
    ?assert(taken(fun() -> fence(B, 2, A, 1) end) >= 30),
    ok = impair(2, out, #{delay => {20, ms}}, Config),
    ?assert(taken(fun() -> fence(A, 1, B, 2) end) >= 50),
    %% Frames keep their order.
    ?assertEqual(lists:seq(1, 50), begin
        [ok = evum_peer:send(A, number(N)) || N <- lists:seq(1, 50)],
        Numbers = maps:from_list([{number(N), N} || N <- lists:seq(1, 50)]),
        [maps:get(evum_peer:recv(B), Numbers) || _ <- lists:seq(1, 50)]
    end).

%% 41 frames of 60 bytes; the first may go at once.
no_faster_than_the_rate(Config) ->
    [A, B | _] = ?config(peers, Config),
    Size = byte_size(number(1)),
    ok = impair(2, out, #{rate => {Size * 8, kbit}, burst => Size}, Config),
    Fun = fun() ->
        [ok = evum_peer:send(A, number(N)) || N <- lists:seq(1, 41)],
        [?assertEqual(number(N), evum_peer:recv(B)) || N <- lists:seq(1, 41)]
    end,
    ?assert(taken(Fun) >= 40).

%% What is under way when the way is healed goes on, in its order, and what comes
%% later is behind it.
healed_at_once(Config) ->
    [A, B | _] = ?config(peers, Config),
    [
        begin
            ok = impair(Port, Direction, #{delay => {1, s}, jitter => {1, s}}, Config),
            ok = impair(Port, Direction, #{delay => {1800, s}}, Config),
            Before = maps:get(rx_frames, info(1, Config)),
            [ok = evum_peer:send(A, number(N)) || N <- lists:seq(1, 10)],
            %% One way or the other: they have come as far as that.
            Direction =:= in orelse await_info(1, rx_frames, Before + 10, Config),
            Direction =:= in andalso await_sent_to(A, Config),
            ok = impair(Port, Direction, none, Config),
            [?assertEqual(number(N), evum_peer:recv(B)) || N <- lists:seq(1, 10)],
            fence(A, 1, B, 2)
        end
     || {Port, Direction} <- [{2, out}, {1, in}]
    ].

%% A runt that is read is counted, and all before it was read.
await_sent_to(Peer, Config) ->
    Runts = maps:get(rx_runts, info(1, Config)),
    ok = evum_peer:send(Peer, <<1>>),
    await_info(1, rx_runts, Runts + 1, Config).

limit(Config) ->
    [A, B | _] = ?config(peers, Config),
    ok = impair(2, out, #{delay => {1, s}, limit => 5}, Config),
    [ok = evum_peer:send(A, number(N)) || N <- lists:seq(1, 8)],
    await_info(2, tx_impaired_limit, 3, Config),
    [?assertEqual(number(N), evum_peer:recv(B)) || N <- lists:seq(1, 5)],
    fence(A, 1, B, 2).

twice_and_corrupt(Config) ->
    [A, B | _] = ?config(peers, Config),
    ok = impair(2, out, #{duplicate => 1, corrupt => 1}, Config),
    Frame = number(1),
    ok = evum_peer:send(A, Frame),
    [?assertEqual(1, different_bits(Frame, evum_peer:recv(B))) || _ <- [1, 2]],
    ok = impair(2, out, none, Config),
    fence(A, 1, B, 2),
    ?assertMatch(#{tx_impaired_duplicate := 1, tx_impaired_corrupt := 2}, info(2, Config)).

different_bits(A, B) ->
    ?assertEqual(byte_size(A), byte_size(B)),
    length([Bit || <<Bit:1>> <= crypto:exor(A, B), Bit =:= 1]).

%% Each second frame does not wait.
overtaken(Config) ->
    [A, B | _] = ?config(peers, Config),
    ok = impair(2, out, #{delay => {1800, s}, reorder => {1, 2}}, Config),
    [ok = evum_peer:send(A, number(N)) || N <- lists:seq(1, 6)],
    [?assertEqual(number(N), evum_peer:recv(B)) || N <- [2, 4, 6]],
    ok = impair(2, out, none, Config),
    [?assertEqual(number(N), evum_peer:recv(B)) || N <- [1, 3, 5]],
    await_info(2, tx_impaired_reorder, 3, Config).

%% A flood is impaired for the ports that are, each by itself.
directions(Config) ->
    [A, B, C] = ?config(peers, Config),
    ok = impair(2, out, #{loss => 1}, Config),
    Flood = evum_peer:frame(broadcast, 1),
    ok = evum_peer:send(A, Flood),
    ?assertEqual(Flood, evum_peer:recv(C)),
    await_info(2, tx_impaired_loss, 1, Config),
    fence(B, 2, A, 1),
    ok = impair(2, out, none, Config),
    ok = impair(2, in, #{loss => 1}, Config),
    ok = evum_peer:send(B, evum_peer:frame(1, 2)),
    await_info(2, rx_impaired_loss, 1, Config),
    fence(A, 1, B, 2),
    fence(C, 3, A, 1).

shown(Config) ->
    ?assertMatch(#{impair := #{in := none, out := none}}, info(1, Config)),
    ok = impair(1, both, #{delay => {1, ms}}, Config),
    #{impair := #{in := In, out := In}} = info(1, Config),
    ?assertMatch(#{delay := {1, ms}, limit := 1000, seed := _}, In),
    ok = impair(1, in, #{}, Config),
    ?assertMatch(#{impair := #{in := none, out := In}}, info(1, Config)),
    ?assertMatch(#{impair := #{in := none, out := none}}, info(2, Config)),
    %% What was shown may be given.
    ok = impair(2, out, In, Config),
    ?assertMatch(#{impair := #{in := none, out := In}}, info(2, Config)),
    %% A switch's seed is that of all its ports.
    [Seed, Seed] = [derived_seed(Name, Config) || Name <- ["one", "other"]].

derived_seed(Name, Config) ->
    Path = filename:join(?config(dir, Config), Name),
    {ok, Switch} = evum_switch:start(#{seed => 77}),
    {ok, _} = evum_ctl:start(Switch, Path),
    _ = evum_switch_rig:connect(bess, [{switch, Switch}, {path, Path}]),
    [Id] = ports(Switch),
    ok = evum_switch:impair(Switch, Id, out, #{loss => 0.5}),
    [#{impair := #{out := #{seed := Seed}}}] = evum_switch:ports(Switch),
    ok = evum_switch:stop(Switch),
    Seed.

bad_options(Config) ->
    Switch = ?config(switch, Config),
    [Id | _] = ports(Switch),
    ok = impair(1, in, #{loss => 0.5, seed => 1}, Config),
    Before = maps:get(impair, info(1, Config)),
    [
        ?assertEqual(Error, evum_switch:impair(Switch, Port, Direction, Options))
     || {Port, Direction, Options, Error} <- [
            {99, in, #{loss => 0.1}, {error, no_port}},
            {Id, up, #{loss => 0.1}, {error, {bad_option, direction, up}}},
            {Id, in, #{delay => {1, ms}, loss => 2}, {error, {bad_option, loss, 2}}},
            {Id, in, 10, {error, {bad_option, impair, 10}}}
        ]
    ],
    ?assertEqual(Before, maps:get(impair, info(1, Config))),
    ?assertEqual({error, {bad_option, seed, -1}}, evum_switch:start(#{seed => -1})).

%% A port goes with frames under way, both ways, and nobody else minds.
gone(Config) ->
    [A, B, C] = ?config(peers, Config),
    ok = impair(2, both, #{delay => {1800, s}}, Config),
    [ok = evum_peer:send(A, number(N)) || N <- lists:seq(1, 10)],
    [ok = evum_peer:send(B, evum_peer:frame(1, 2, N)) || N <- lists:seq(1, 10)],
    ok = evum_peer:close(B),
    await(fun() -> length(ports(?config(switch, Config))) =:= 2 end),
    fence(A, 1, C, 3),
    fence(C, 3, A, 1).
