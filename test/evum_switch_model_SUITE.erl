%% SPDX-License-Identifier: Apache-2.0
%% The cache of decisions changes nothing but speed: any sequence of frames,
%% moves, port losses, flushes, waits and settings of ports has the same deliveries through a
%% switch that relays each frame and through one that keeps its decisions.
%%
%% Both switches, with their real evum_net, get the same steps in parallel.
%% After each step they are asked until all that was sent has been dealt with,
%% so nothing is waited for; a receiver compares the frames of each source in
%% their order.
-module(evum_switch_model_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("proper/include/proper.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([cache_delivers_what_relay_does/1]).

-define(KINDS, [bess, daemon, bess, bess]).
-define(AGEING, 400).
%% Surely aged, and surely not, ms. A run that is neither proves nothing.
-define(LONG, 600).
-define(SHORT, 200).
-define(RUNS, 80).

all() -> [cache_delivers_what_relay_does].

suite() -> [{timetrap, {minutes, 5}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    #{level := Level} = logger:get_primary_config(),
    %% Stations move all the time.
    ok = logger:set_primary_config(level, error),
    [{level, Level} | Config].

end_per_suite(Config) ->
    logger:set_primary_config(level, ?config(level, Config)).

cache_delivers_what_relay_does(_Config) ->
    Tally = counters:new(3, []),
    ?assert(
        proper:quickcheck(
            ?FORALL(Steps, steps(), run(Steps, Tally)),
            [{numtests, ?RUNS}, {max_size, 40}, {to_file, user}, quiet]
        )
    ),
    [Relayed, Missed, Unclear] = [counters:get(Tally, N) || N <- [1, 2, 3]],
    ct:log("frames up: ~b relayed, ~b missed; runs too slow: ~b", [Relayed, Missed, Unclear]),
    %% It was the cache that was tried.
    ?assert(Missed < Relayed),
    ?assert(Unclear < ?RUNS).

%%% Steps

steps() ->
    ?LET({Settings, Steps}, {settings(), non_empty(list(step()))}, Settings ++ Steps).

%% To begin with, no port is set to anything, all have VLANs, or all but one are
%% isolated.
settings() ->
    Ports = lists:seq(1, length(?KINDS)),
    oneof([
        [],
        [{set, P, ?LET(Vlan, vlan(), #{vlan => Vlan})} || P <- Ports],
        [{set, P, #{isolated => true}} || P <- tl(Ports)]
    ]).

%% Few of them, so that ports meet.
vlan() ->
    oneof([
        {access, 10}, {access, 20}, {trunk, [10, 20]}, {trunk, all, 10}, {trunk, [20], 10}, {trunk, [10]}
    ]).

setting() ->
    frequency([
        {3, ?LET(Vlan, oneof([none, vlan()]), #{vlan => Vlan})},
        {2, ?LET(Isolated, boolean(), #{isolated => Isolated})},
        {2, ?LET(Limit, oneof([infinity, 0, 1, 2]), #{mac_limit => Limit})},
        {1, ?LET(Learning, boolean(), #{learning => Learning})},
        {1, ?LET(Up, frequency([{2, true}, {1, false}]), #{up => Up})}
    ]).

step() ->
    frequency([
        {30, ?LET(P, peer(), {frames, P, frames(P)})},
        {2, {reconnect, peer()}},
        {5, {set, peer(), setting()}},
        {1, flush},
        {1, {flush, peer()}},
        {1, {block, list({peer(), peer()})}},
        {1, wait}
    ]).

%% No more than a peer's socket has room for: nobody reads meanwhile.
frames(P) ->
    ?LET(Frames, non_empty(list({destination(), source(P), tag()})), lists:sublist(Frames, 8)).

peer() -> range(1, length(?KINDS)).
station() -> range(1, 6).
tag() -> frequency([{4, none}, {2, 10}, {2, 20}, {1, {5, 1, 0}}, {1, {3, 0, 10}}, {1, 30}]).
destination() -> frequency([{8, station()}, {2, broadcast}]).
%% Most stations stay where they are.
source(P) -> frequency([{15, P}, {1, station()}]).

%%% A run

run(Steps, Tally) ->
    Dir = string:trim(os:cmd("mktemp -d /tmp/evum-test-XXXXXX")),
    Rigs = [open(Forward, Dir) || Forward <- [relay, cache]],
    try
        run(Steps, 1, now_ms(), Rigs) =/= unclear orelse counters:add(Tally, 3, 1),
        true
    catch
        error:{differ, Step, Got} ->
            io:format("after ~p: ~p~n", [Step, Got]),
            false
    after
        lists:foldl(
            fun(#{switch := Switch}, N) ->
                counters:add(Tally, N, maps:get(frames_up, evum_switch:counters(Switch))),
                ok = evum_switch:stop(Switch),
                N + 1
            end,
            1,
            Rigs
        ),
        ok = file:del_dir_r(Dir)
    end.

open(Forward, Dir) ->
    Path = filename:join(Dir, Forward),
    {ok, Switch} = evum_switch:start(#{forward => Forward, ageing => ?AGEING}),
    {ok, _} = evum_ctl:start(Switch, Path),
    Rig = #{switch => Switch, path => Path, peers => #{}, sent => #{}},
    lists:foldl(fun connect/2, Rig, lists:seq(1, length(?KINDS))).

connect(N, #{path := Path, switch := Switch, peers := Peers, sent := Sent} = Rig) ->
    Kind = lists:nth(N, ?KINDS),
    Before = evum_switch_rig:ports(Switch),
    Peer = evum_peer:Kind(Path),
    [Id] = evum_switch_rig:await(fun() ->
        case evum_switch_rig:ports(Switch) -- Before of
            [] -> false;
            New -> New
        end
    end),
    Rig#{peers := Peers#{N => {Peer, Id}}, sent := Sent#{Id => 0}}.

run([], _N, _Since, _Rigs) ->
    clear;
run([wait | Steps], N, _Since, Rigs) ->
    receive after ?LONG -> ok end,
    %% Aged ones count for a limit until they are removed, as they are now.
    [[] = evum_switch:fdb(Switch) || #{switch := Switch} <- Rigs],
    run(Steps, N, now_ms(), Rigs);
run([Step | Steps], N, Since, Rigs) ->
    Rigs1 = [settle(step(Step, N, Rig)) || Rig <- Rigs],
    Got = [deliveries(Rig) || Rig <- Rigs1],
    case {now_ms() - Since < ?SHORT, Got} of
        {_, [Same, Same]} -> run(Steps, N + 1, Since, Rigs1);
        {true, _} -> error({differ, Step, Got});
        {false, _} -> unclear
    end.

step({frames, P, Frames}, N, #{peers := Peers, sent := Sent} = Rig) ->
    #{P := {Peer, Id}} = Peers,
    [
        ok = evum_peer:send(Peer, tagged(Tag, evum_peer:frame(To, From, {N, I})))
     || {I, {To, From, Tag}} <- lists:enumerate(Frames)
    ],
    Rig#{sent := maps:update_with(Id, fun(Old) -> Old + length(Frames) end, Sent)};
step({reconnect, P}, _N, #{switch := Switch, peers := Peers, sent := Sent} = Rig) ->
    #{P := {Peer, Id}} = Peers,
    ok = evum_peer:close(Peer),
    _ = evum_switch_rig:await(fun() -> not lists:member(Id, evum_switch_rig:ports(Switch)) end),
    connect(P, Rig#{sent := maps:remove(Id, Sent)});
step({set, P, Setting}, _N, #{switch := Switch, peers := Peers} = Rig) ->
    #{P := {_, Id}} = Peers,
    ok = evum_switch:set_port(Switch, Id, Setting),
    Rig;
step(flush, _N, #{switch := Switch} = Rig) ->
    ok = evum_switch:flush(Switch),
    Rig;
step({block, Pairs}, _N, #{switch := Switch, peers := Peers} = Rig) ->
    Id = fun(P) -> element(2, maps:get(P, Peers)) end,
    ok = evum_switch:block(Switch, [{Id(From), Id(To)} || {From, To} <- Pairs]),
    Rig;
step({flush, P}, _N, #{switch := Switch, peers := Peers} = Rig) ->
    #{P := {_, Id}} = Peers,
    ok = evum_switch:flush(Switch, Id),
    Rig.

tagged(none, Frame) -> Frame;
tagged(Tag, Frame) -> evum_peer:tagged(Tag, Frame).

%% All that was sent came in, and what went up then is answered: a question
%% goes the same ways, behind it.
settle(#{switch := Switch, sent := Sent} = Rig) ->
    _ = evum_switch_rig:await(fun() ->
        Sent =:=
            maps:from_list([
                {Id, Frames + Down}
             || #{id := Id, rx_frames := Frames, rx_down := Down} <- evum_switch:ports(Switch)
            ])
    end),
    _ = evum_switch:counters(Switch),
    Rig.

%% What each peer has got: of each source, the frames in their order.
deliveries(#{peers := Peers}) ->
    [
        {N, maps:groups_from_list(fun source_of/1, received(Peer))}
     || {N, {Peer, _}} <- lists:sort(maps:to_list(Peers))
    ].

source_of(<<_:6/binary, Source:6/binary, _/binary>>) -> Source.

received(Peer) ->
    case evum_peer:recv(Peer, 0) of
        {ok, Frame} -> [Frame | received(Peer)];
        {error, timeout} -> []
    end.

now_ms() ->
    erlang:monotonic_time(millisecond).
