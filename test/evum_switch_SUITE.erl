%% SPDX-License-Identifier: Apache-2.0
%% A switch does what a switch does, for peers of each kind, and leaves nothing
%% behind however it ends.
-module(evum_switch_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, groups/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([
    floods_and_learns/1,
    never_back/1,
    station_moves/1,
    entries_age/1,
    entries_are_changed/1,
    port_takes_its_entries_along/1,
    counts_frames/1,
    order_is_kept/1,
    frames_of_all_sizes/1,
    bad_options/1,
    options_of_the_environment/1,
    switch_outlives_its_starter/1,
    linked_switch_ends_with_its_starter/1,
    two_switches_are_apart/1,
    stop_leaves_nothing/1,
    evum_net_is_killed/1,
    evum_net_is_terminated/1,
    interrupt_is_ignored/1,
    beam_is_killed/1
]).

-import(evum_switch_rig, [
    connect/2,
    ports/1,
    await/1,
    fence/4,
    introduce/1,
    exchange/1,
    exists/1,
    evum_net_pid/1,
    waits_for_evum_net/2,
    quietly/1
]).

-define(PEERS, 3).

all() ->
    [{group, daemon}, {group, bess}, {group, vhost}, {group, mixed} | life()].

groups() ->
    [{Kind, switching()} || Kind <- [daemon, bess, vhost, mixed]].

switching() ->
    [
        floods_and_learns,
        never_back,
        station_moves,
        entries_age,
        entries_are_changed,
        port_takes_its_entries_along,
        counts_frames,
        order_is_kept,
        frames_of_all_sizes
    ].

life() ->
    [
        bad_options,
        options_of_the_environment,
        switch_outlives_its_starter,
        linked_switch_ends_with_its_starter,
        two_switches_are_apart,
        stop_leaves_nothing,
        evum_net_is_killed,
        evum_net_is_terminated,
        interrupt_is_ignored,
        beam_is_killed
    ].

suite() ->
    [{timetrap, {minutes, 3}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) ->
    ok.

init_per_group(Group, Config) ->
    [{kinds, kinds(Group)} | Config].

end_per_group(_Group, _Config) ->
    ok.

kinds(mixed) -> [daemon, bess, vhost];
kinds(Kind) -> lists:duplicate(?PEERS, Kind).

init_per_testcase(Case, Config) ->
    evum_switch_rig:open(Case, Config).

end_per_testcase(_Case, Config) ->
    evum_switch_rig:close(Config).

floods_and_learns(Config) ->
    [A, B, C] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    Unknown = evum_peer:frame(2, 1),
    ok = evum_peer:send(A, Unknown),
    ?assertEqual(Unknown, evum_peer:recv(B)),
    ?assertEqual(Unknown, evum_peer:recv(C)),
    [#{mac := "02:00:00:00:00:01", port := PortA, age := Age}] = evum_switch:fdb(Switch),
    ?assertEqual(hd(lists:sort(ports(Switch))), PortA),
    ?assert(Age >= 0),
    %% Now A is known: C does not see what B sends to it ...
    fence(B, 2, A, 1),
    %% ... but what comes next.
    Broadcast = evum_peer:frame(broadcast, 2),
    ok = evum_peer:send(B, Broadcast),
    ?assertEqual(Broadcast, evum_peer:recv(C)),
    Multicast = <<16#01005e000001:48, (evum_peer:mac(2))/binary, "to a group">>,
    ok = evum_peer:send(B, Multicast),
    ?assertEqual(Multicast, evum_peer:recv(C)).

never_back(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    introduce(Peers),
    %% To itself, to all, and to a second station behind the same port.
    ok = evum_peer:send(A, evum_peer:frame(1, 1)),
    Broadcast = evum_peer:frame(broadcast, 11),
    ok = evum_peer:send(A, Broadcast),
    ok = evum_peer:send(A, evum_peer:frame(11, 1)),
    ?assertEqual(Broadcast, evum_peer:recv(B)),
    ?assertEqual(Broadcast, evum_peer:recv(C)),
    fence(A, 1, B, 2),
    fence(A, 1, C, 3),
    fence(B, 2, A, 1).

station_moves(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    introduce(Peers),
    fence(C, 3, A, 1),
    %% Station 1 now speaks behind B.
    fence(B, 1, C, 3),
    fence(C, 3, B, 1),
    fence(C, 3, B, 2),
    %% And A has not got what went to B.
    fence(A, 4, B, 1),
    fence(B, 1, A, 4).

entries_age(Config) ->
    Dir = ?config(dir, Config),
    {ok, Switch} = evum_switch:start(#{ageing => 100}),
    Path = filename:join(Dir, "ageing"),
    {ok, _} = evum_ctl:start(Switch, Path),
    [A, B, C] = [
        connect(Kind, [{switch, Switch}, {path, Path}])
     || Kind <- ?config(kinds, Config)
    ],
    Hello = evum_peer:frame(broadcast, 1),
    ok = evum_peer:send(A, Hello),
    ?assertEqual(Hello, evum_peer:recv(B)),
    ?assertEqual(Hello, evum_peer:recv(C)),
    _ = await(fun() -> evum_switch:fdb(Switch) =:= [] end),
    Flooded = evum_peer:frame(1, 2),
    ok = evum_peer:send(B, Flooded),
    ?assertEqual(Flooded, evum_peer:recv(A)),
    ?assertEqual(Flooded, evum_peer:recv(C)),
    evum_switch:stop(Switch).

%% A change takes effect before the next frame, and before the call returns.
entries_are_changed(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    Switch = ?config(switch, Config),
    introduce(Peers),
    [_, PortB, PortC] = lists:sort(ports(Switch)),
    Mac = evum_peer:mac(2),
    Flooded = fun() ->
        Frame = evum_peer:frame(2, 1),
        ok = evum_peer:send(A, Frame),
        [?assertEqual(Frame, evum_peer:recv(Peer)) || Peer <- [B, C]]
    end,
    fence(A, 1, B, 2),
    ok = evum_switch:forget(Switch, 0, Mac),
    Flooded(),
    %% not known to be anywhere
    ok = evum_switch:forget(Switch, 0, Mac),
    fence(B, 2, A, 1),
    fence(A, 1, B, 2),
    ok = evum_switch:flush(Switch, PortB),
    Flooded(),
    ok = evum_switch:add_static(Switch, PortC, 0, Mac),
    fence(A, 1, C, 2),
    ok = evum_switch:forget(Switch, 0, "02:00:00:00:00:02"),
    Flooded(),
    ?assertEqual({error, {bad_option, mac, "here"}}, evum_switch:forget(Switch, 0, "here")),
    ?assertEqual({error, {bad_option, vlan, 4095}}, evum_switch:forget(Switch, 4095, Mac)),
    [
        ?assert(waits_for_evum_net(Switch, Call))
     || Call <- [
            fun() -> ok = evum_switch:flush(Switch) end,
            fun() -> ok = evum_switch:flush(Switch, PortB) end,
            fun() -> ok = evum_switch:add_static(Switch, PortC, 0, Mac) end,
            fun() -> ok = evum_switch:forget(Switch, 0, Mac) end
        ]
    ].

port_takes_its_entries_along(Config) ->
    [A, B, C] = Peers = ?config(peers, Config),
    Switch = ?config(switch, Config),
    introduce(Peers),
    ?assertEqual(3, length(evum_switch:fdb(Switch))),
    [PortA | _] = Ports = lists:sort(ports(Switch)),
    ok = evum_peer:close(A),
    _ = await(fun() -> lists:sort(ports(Switch)) =:= Ports -- [PortA] end),
    ?assertMatch(
        [#{mac := "02:00:00:00:00:02"}, #{mac := "02:00:00:00:00:03"}], evum_switch:fdb(Switch)
    ),
    Unknown = evum_peer:frame(1, 2),
    ok = evum_peer:send(B, Unknown),
    ?assertEqual(Unknown, evum_peer:recv(C)),
    %% Who comes next gets a port that there was not before.
    _ = connect(daemon, Config),
    ?assertNot(lists:member(PortA, ports(Switch))).

counts_frames(Config) ->
    [A, B, C] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    Kinds = ?config(kinds, Config),
    Frame = evum_peer:frame(broadcast, 1, {size, 100}),
    [
        begin
            ok = evum_peer:send(A, Frame),
            Frame = evum_peer:recv(B),
            Frame = evum_peer:recv(C)
        end
     || _ <- lists:seq(1, 10)
    ],
    [CountsA, CountsB, CountsC] = evum_switch:ports(Switch),
    ?assertMatch(
        #{rx_frames := 10, rx_bytes := 1000, tx_frames := 0, tx_bytes := 0}, CountsA
    ),
    [
        ?assertMatch(
            #{
                rx_frames := 0,
                rx_bytes := 0,
                rx_runts := 0,
                rx_giants := 0,
                tx_frames := 10,
                tx_bytes := 1000,
                tx_dropped := 0,
                tx_errors := 0
            },
            Counts
        )
     || Counts <- [CountsB, CountsC]
    ],
    [
        ?assertEqual({Kind, evum_peer:os_pid(Peer)}, {maps:get(kind, Counts), maps:get(peer, Counts)})
     || {Kind, Peer, Counts} <- lists:zip3(Kinds, ?config(peers, Config), [CountsA, CountsB, CountsC])
    ],
    ?assertMatch(#{accepted := 3}, evum_switch:counters(Switch)).

%% More than a batch, kept going by the receiver.
order_is_kept(Config) ->
    [A, B | _] = Peers = ?config(peers, Config),
    introduce(Peers),
    Frames = [evum_peer:frame(2, 1, {number, N}) || N <- lists:seq(1, 5000)],
    {Ahead, Rest} = lists:split(50, Frames),
    [ok = evum_peer:send(A, Frame) || Frame <- Ahead],
    Left = lists:foldl(
        fun(Frame, ToSend) ->
            ?assertEqual(Frame, evum_peer:recv(B)),
            case ToSend of
                [Next | More] ->
                    ok = evum_peer:send(A, Next),
                    More;
                [] ->
                    []
            end
        end,
        Rest,
        Frames
    ),
    ?assertEqual([], Left).

frames_of_all_sizes(Config) ->
    [A, B | _] = Peers = ?config(peers, Config),
    introduce(Peers),
    lists:foreach(
        fun(Size) ->
            Frame = evum_peer:frame(2, 1, {size, Size}),
            ok = evum_peer:send(A, Frame),
            ?assertEqual(Frame, evum_peer:recv(B))
        end,
        [14, 15, 60, 1514, 9014, 32768, 65534, 65535]
    ).

bad_options(_Config) ->
    [
        ?assertEqual({error, {bad_option, Key, Value}}, evum_switch:start(Options))
     || {Key, Value, Options} <- [
            {ageing, 0, #{ageing => 0}},
            {ageing, 1.5, [{ageing, 1.5}]},
            {ageing, "300", #{ageing => "300"}},
            {fdb_size, -1, #{fdb_size => -1, name => ok}},
            {name, <<>>, #{name => <<>>}},
            {name, 7, #{name => 7}},
            {speed, 1000, #{speed => 1000}},
            {speed, true, [speed]},
            {options, 7, 7},
            {options, [{a, b, c}], [{a, b, c}]}
        ]
    ],
    [
        ?assertEqual({error, {bad_option, poll, Us}}, evum_switch:start(#{poll => Us}))
     || Us <- [-1, 101, soon]
    ],
    {ok, Polling} = evum_switch:start(#{poll => 100}),
    %% evum_net has taken it, and answers
    ?assertMatch(#{}, evum_switch:counters(Polling)),
    evum_switch:stop(Polling),
    {ok, Switch} = evum_switch:start([{name, "einfach"}, {ageing, 1000}, {ageing, 0}]),
    ?assertEqual(<<"einfach">>, evum_switch:name(Switch)),
    evum_switch:stop(Switch).

options_of_the_environment(_Config) ->
    ok = application:set_env(evum, ageing, soon),
    try
        ?assertEqual({error, {bad_option, ageing, soon}}, evum_switch:start()),
        {ok, Switch} = evum_switch:start(#{ageing => 1000}),
        evum_switch:stop(Switch)
    after
        application:unset_env(evum, ageing)
    end.

switch_outlives_its_starter(Config) ->
    Self = self(),
    Path = filename:join(?config(dir, Config), "other"),
    Starter = spawn_link(fun() ->
        {ok, Switch} = evum_switch:start(),
        {ok, Ctl} = evum_ctl:start(Switch, Path),
        Self ! {Switch, Ctl}
    end),
    normal = evum_test:await_down(Starter),
    receive
        {Switch, Ctl} ->
            ?assertEqual(Path, evum_ctl:socket(Ctl)),
            ?assertEqual([], evum_switch:ports(Switch)),
            evum_switch:stop(Switch)
    end.

linked_switch_ends_with_its_starter(Config) ->
    Self = self(),
    Path = filename:join(?config(dir, Config), "other"),
    {Starter, Ref} = spawn_monitor(fun() ->
        {ok, Switch} = evum_switch:start_link(),
        {ok, Ctl} = evum_ctl:start_link(Switch, Path),
        Self ! {Switch, Ctl},
        exit(enough)
    end),
    receive
        {Switch, Ctl} -> [evum_test:await_down(Pid) || Pid <- [Switch, Ctl]]
    end,
    receive
        {'DOWN', Ref, process, Starter, enough} -> ok
    end,
    _ = await(fun() -> not exists(Path) end).

two_switches_are_apart(Config) ->
    {ok, Other} = evum_switch:start(),
    OtherPath = filename:join(?config(dir, Config), "other"),
    {ok, _} = evum_ctl:start(Other, OtherPath),
    OtherConfig = [{switch, Other}, {path, OtherPath}],
    [A, B] = [connect(bess, Config) || _ <- [1, 2]],
    [C, D] = [connect(bess, OtherConfig) || _ <- [1, 2]],
    introduce([A, B]),
    %% Nothing of that is among what C and D get.
    introduce([C, D]),
    ?assertNotEqual(
        evum_switch:name(Other), evum_switch:name(?config(switch, Config))
    ),
    evum_switch:stop(Other),
    ?assertNot(exists(OtherPath)),
    exchange([A, B]).

stop_leaves_nothing(Config) ->
    Switch = ?config(switch, Config),
    Pid = evum_net_pid(Switch),
    Peers = [connect(daemon, Config), connect(bess, Config)],
    introduce(Peers),
    ok = evum_switch:stop(Switch),
    ?assertEqual({ok, []}, file:list_dir(?config(dir, Config))),
    _ = await(fun() -> not exists("/proc/" ++ integer_to_list(Pid)) end),
    [?assertMatch({error, _}, evum_peer:send(Peer, <<0:112>>)) || Peer <- Peers].

%% Twenty times, and each time something is under way.
evum_net_is_killed(Config) ->
    quietly(fun() -> [evum_net_is_killed_once(Config) || _ <- lists:seq(1, 20)] end).

evum_net_is_killed_once(Config) ->
    {ok, Switch} = evum_switch:start(),
    Dir = filename:join(?config(dir, Config), "run"),
    ok = application:set_env(evum, run_dir, Dir),
    {ok, Ctl} = evum_ctl:start(Switch),
    ok = application:unset_env(evum, run_dir),
    Path = filename:join(?config(dir, Config), "other"),
    {ok, Other} = evum_ctl:start(Switch, Path),
    A = connect(bess, [{switch, Switch}, {path, Path}]),
    Refs = [monitor(process, Pid) || Pid <- [Switch, Ctl, Other]],
    [evum_peer:send(A, evum_peer:frame(broadcast, 1)) || _ <- lists:seq(1, 100)],
    [] = os:cmd("kill -9 " ++ integer_to_list(evum_net_pid(Switch))),
    Reasons = [
        receive
            {'DOWN', Ref, process, _, Reason} -> Reason
        after 10000 -> error(still_alive)
        end
     || Ref <- Refs
    ],
    %% 128 + 9, as the BEAM tells a signal.
    ?assertMatch([{evum_net, _}, normal, normal], Reasons),
    [{evum_net, Status} | _] = Reasons,
    ?assert(lists:member(Status, [137, epipe])),
    ?assertNot(exists(Path)),
    ?assertNot(exists(Path ++ ".bess")),
    ?assertNot(exists(Dir)),
    ?assertEqual(none, evum_ctl:default()).

%% It removes its sockets itself then; the switch ends all the same.
evum_net_is_terminated(Config) ->
    Switch = ?config(switch, Config),
    quietly(fun() ->
        Kill = "kill -TERM " ++ integer_to_list(evum_net_pid(Switch)),
        ?assertEqual({evum_net, 0}, evum_test:await_down(Switch, fun() -> os:cmd(Kill) end))
    end).

interrupt_is_ignored(Config) ->
    Peers = [connect(daemon, Config), connect(bess, Config)],
    introduce(Peers),
    Pid = integer_to_list(evum_net_pid(?config(switch, Config))),
    [[] = os:cmd("kill -" ++ Signal ++ " " ++ Pid) || Signal <- ["INT", "QUIT"]],
    exchange(Peers).

%% Another BEAM, with a switch in it, is killed: its evum_net sees the end.
beam_is_killed(Config) ->
    Path = filename:join(?config(dir, Config), "other"),
    Dir = filename:join(?config(dir, Config), "run"),
    Script = io_lib:format(
        "ok = application:load(evum), ok = application:set_env(evum, run_dir, ~p),"
        "{ok, S} = evum_switch:start(), {ok, _} = evum_ctl:start(S, ~p),"
        "{ok, _} = evum_ctl:start(S), io:format(\"ready~~n\").",
        [Dir, Path]
    ),
    Beam = open_port({spawn_executable, os:find_executable("erl")}, [
        {args, ["-noshell", "-pa", filename:dirname(code:which(evum_switch)), "-eval", Script]},
        {env, [{"ERL_LIBS", filename:dirname(code:lib_dir(evum))}]},
        exit_status,
        {line, 1000}
    ]),
    {os_pid, Pid} = erlang:port_info(Beam, os_pid),
    try
        receive
            {Beam, {data, {eol, "ready"}}} -> ok;
            {Beam, Other} -> error(Other)
        after 30000 -> error(timeout)
        end,
        introduce([evum_peer:daemon(Path), evum_peer:bess(filename:join(Dir, "evum.ctl"))])
    after
        [] = os:cmd("kill -9 " ++ integer_to_list(Pid))
    end,
    _ = await(fun() ->
        not exists(Path) andalso not exists(Path ++ ".bess") andalso not exists(Dir)
    end).
