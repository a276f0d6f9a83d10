%% SPDX-License-Identifier: Apache-2.0
%% The table against a model that is too simple to be wrong: a map that is
%% searched as a whole at each step.
-module(evum_fdb_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

-define(PORTS, [1, 2, 3, 4]).

-define(GROUP, 16#010000000000).

%% What a switch does with a frame.
decide(Now, In, Destination, Source, Fdb) ->
    Fdb1 =
        case Source =:= 0 orelse Source band ?GROUP =/= 0 of
            true -> Fdb;
            false -> element(3, evum_fdb:learn(Now, In, Source, Fdb))
        end,
    {where(Now, In, Destination, Fdb1), Fdb1}.

where(_Now, _In, Group, _Fdb) when Group band ?GROUP =/= 0 ->
    flood;
where(Now, In, Destination, Fdb) ->
    case evum_fdb:lookup(Now, Destination, Fdb) of
        unknown -> flood;
        {In, _} -> filter;
        {Port, _} -> {forward, Port}
    end.

learns_and_forwards_test() ->
    Fdb0 = evum_fdb:new(#{}),
    {flood, Fdb1} = decide(0, 1, 16#b, 16#a, Fdb0),
    {{forward, 1}, Fdb2} = decide(0, 2, 16#a, 16#b, Fdb1),
    {{forward, 2}, Fdb3} = decide(5, 1, 16#b, 16#a, Fdb2),
    {filter, Fdb4} = decide(5, 1, 16#a, 16#c, Fdb3),
    ?assertEqual([{16#a, 1, 1}, {16#b, 2, 6}, {16#c, 1, 1}], evum_fdb:to_list(6, Fdb4)).

groups_and_nobody_are_not_learned_test() ->
    Fdb0 = evum_fdb:new(#{}),
    Group = 16#01005e000001,
    {flood, Fdb1} = decide(0, 1, 16#ffffffffffff, Group, Fdb0),
    {flood, Fdb2} = decide(0, 1, Group, 0, Fdb1),
    ?assertEqual([], evum_fdb:to_list(0, Fdb2)),
    {flood, _} = decide(0, 2, Group, 16#a, Fdb2).

tells_what_was_learned_test() ->
    Fdb0 = evum_fdb:new(#{fdb_size => 2, ageing => 100}),
    {new, [], Fdb1} = evum_fdb:learn(0, 1, 16#a, Fdb0),
    {known, [], Fdb2} = evum_fdb:learn(1, 1, 16#a, Fdb1),
    {{moved, 1}, [], Fdb3} = evum_fdb:learn(2, 2, 16#a, Fdb2),
    {new, [], Fdb4} = evum_fdb:learn(3, 3, 16#b, Fdb3),
    {new, [16#a], Fdb5} = evum_fdb:learn(4, 3, 16#c, Fdb4),
    ?assertEqual(2, evum_fdb:count(3, Fdb5)),
    %% Aged is as good as never seen.
    {new, [], Fdb6} = evum_fdb:learn(200, 1, 16#b, Fdb5),
    {[16#c], Fdb7} = evum_fdb:expire(200, Fdb6),
    ?assertEqual([{16#b, 1, 0}], evum_fdb:to_list(200, Fdb7)).

static_ones_stay_test() ->
    Fdb0 = evum_fdb:add_static(1, 16#a, evum_fdb:new(#{ageing => 100})),
    {static, [], Fdb0} = evum_fdb:learn(0, 2, 16#a, Fdb0),
    {known, [], Fdb0} = evum_fdb:learn(0, 1, 16#a, Fdb0),
    ?assertEqual({1, static}, evum_fdb:lookup(1000, 16#a, Fdb0)),
    {new, _, Fdb1} = evum_fdb:learn(0, 1, 16#b, Fdb0),
    ?assertEqual([{16#a, 1, static}], evum_fdb:to_list(0, evum_fdb:flush(Fdb1))),
    {[16#b], _} = evum_fdb:flush(1, Fdb1),
    {[16#a, 16#b], Fdb2} = evum_fdb:port_down(1, Fdb1),
    ?assertEqual([], evum_fdb:to_list(0, Fdb2)),
    ?assertEqual(unknown, evum_fdb:lookup(0, 16#a, evum_fdb:remove(16#a, Fdb0))).

%% evum_net has seen it later than the table knows, or somewhere else.
seen_elsewhere_is_no_news_test() ->
    {new, [], Fdb0} = evum_fdb:learn(0, 1, 16#a, evum_fdb:new(#{ageing => 100})),
    ?assertEqual({1, 60}, evum_fdb:lookup(150, 16#a, evum_fdb:seen(90, 1, 16#a, Fdb0))),
    ?assertEqual({1, 60}, evum_fdb:lookup(150, 16#a, evum_fdb:seen(90, there, 16#a, Fdb0))),
    ?assertEqual(unknown, evum_fdb:lookup(150, 16#a, evum_fdb:seen(90, 2, 16#a, Fdb0))),
    ?assertEqual(Fdb0, evum_fdb:seen(90, 1, 16#b, Fdb0)).

vlans_are_apart_test() ->
    [One, Two] = [evum_fdb:station(Vlan, 16#a) || Vlan <- [1, 2]],
    {new, [], Fdb} = evum_fdb:learn(0, 1, One, evum_fdb:new(#{})),
    ?assertEqual(unknown, evum_fdb:lookup(0, Two, Fdb)),
    ?assertEqual({2, 16#a}, {evum_fdb:vlan(Two), evum_fdb:mac(Two)}).

%% A port that takes its stations along may have left some to others.
moved_stations_stay_test() ->
    {_, Fdb1} = decide(0, 1, 16#b, 16#a, evum_fdb:new(#{})),
    {_, Fdb2} = decide(1, 2, 16#b, 16#a, Fdb1),
    ?assertEqual([{16#a, 2, 0}], evum_fdb:to_list(1, element(2, evum_fdb:port_down(1, Fdb2)))),
    ?assertEqual([], evum_fdb:to_list(1, element(2, evum_fdb:port_down(2, Fdb2)))).

full_table_loses_its_oldest_test() ->
    Learn = fun(N, Fdb) ->
        {_, Fdb1} = decide(N, 1, 16#ffffffffffff, N, Fdb),
        Fdb1
    end,
    Full = lists:foldl(Learn, evum_fdb:new(#{fdb_size => 1000}), lists:seq(1, 1000)),
    {_, Fresh} = decide(1001, 1, 16#ffffffffffff, 1, Full),
    More = lists:foldl(Learn, Fresh, [1002, 1003]),
    Macs = [Mac || {Mac, _, _} <- evum_fdb:to_list(1003, More)],
    ?assertEqual([1 | lists:seq(4, 1000)] ++ [1002, 1003], Macs).

model_test_() ->
    {timeout, 120, ?_assert(proper:quickcheck(prop_model(), [{to_file, user}, {numtests, 2000}]))}.

%% All that the table tells, after each of any sequence of steps.
prop_model() ->
    ?FORALL(
        {Ageing, Limit, Steps},
        {range(1, 20), range(1, 5), list(step())},
        run(Steps, 0, evum_fdb:new(#{ageing => Ageing, fdb_size => Limit}), {#{}, Ageing, Limit})
    ).

step() ->
    frequency([
        {10, {frame, port(), destination(), source()}},
        {3, {wait, range(0, 10)}},
        {1, {down, port()}},
        {1, expire}
    ]).

port() -> oneof(?PORTS).
station() -> range(16#020000000001, 16#020000000007).
destination() -> frequency([{8, station()}, {1, 16#ffffffffffff}, {1, 16#010000000001}]).
source() -> frequency([{8, station()}, {1, 0}, {1, 16#010000000001}]).

run([], _Now, _Fdb, _Model) ->
    true;
run([Step | Steps], Now, Fdb, Model) ->
    case step(Step, Now, Fdb, Model) of
        {true, Now1, Fdb1, Model1} ->
            Told = evum_fdb:to_list(Now1, Fdb1),
            Expected = told(Now1, Model1),
            Size = evum_fdb:size(Fdb1),
            {_, _, Limit} = Model1,
            case Told =:= Expected andalso Size =< Limit of
                true -> run(Steps, Now1, Fdb1, Model1);
                false -> failed(Step, Now1, Told, Expected)
            end;
        {false, Got, Expected} ->
            failed(Step, Now, Got, Expected)
    end.

failed(Step, Now, Got, Expected) ->
    io:format("~p at ~b: ~p, not ~p~n", [Step, Now, Got, Expected]),
    false.

step({wait, Ms}, Now, Fdb, Model) ->
    {true, Now + Ms, Fdb, Model};
step({down, Port}, Now, Fdb, {Stations, Ageing, Limit}) ->
    Left = maps:filter(fun(_, {P, _}) -> P =/= Port end, Stations),
    {true, Now, element(2, evum_fdb:port_down(Port, Fdb)), {Left, Ageing, Limit}};
step(expire, Now, Fdb, Model) ->
    {_, Fdb1} = evum_fdb:expire(Now, Fdb),
    %% Memory follows what is told.
    case {evum_fdb:size(Fdb1), length(told(Now, Model))} of
        {Same, Same} -> {true, Now, Fdb1, Model};
        {Size, Expected} -> {false, {size, Size}, {size, Expected}}
    end;
step({frame, In, Destination, Source}, Now, Fdb, Model) ->
    {Decision, Fdb1} = decide(Now, In, Destination, Source, Fdb),
    Model1 = {Stations, _, _} = learn(Now, In, Source, live(Now, Model)),
    Expected =
        case Stations of
            #{Destination := {In, _}} -> [];
            #{Destination := {Port, _}} -> [Port];
            #{} -> ?PORTS -- [In]
        end,
    case deliveries(Decision, In) of
        Expected -> {true, Now, Fdb1, Model1};
        Got -> {false, Got, Expected}
    end.

%% The ports that get a frame.
deliveries(flood, In) -> ?PORTS -- [In];
deliveries({forward, Port}, _In) -> [Port];
deliveries(filter, _In) -> [].

live(Now, {Stations, Ageing, Limit}) ->
    {maps:filter(fun(_, {_, Seen}) -> Now - Seen < Ageing end, Stations), Ageing, Limit}.

told(Now, Model) ->
    {Stations, _, _} = live(Now, Model),
    lists:sort([{Mac, Port, Now - Seen} || {Mac, {Port, Seen}} <- maps:to_list(Stations)]).

learn(_Now, _In, Source, Model) when Source =:= 0; Source =:= 16#010000000001 ->
    Model;
learn(Now, In, Source, {Stations, Ageing, Limit}) ->
    Room =
        case maps:is_key(Source, Stations) orelse map_size(Stations) < Limit of
            true ->
                Stations;
            false ->
                {_, Oldest} = lists:min([
                    {Seen, Mac}
                 || {Mac, {_, Seen}} <- maps:to_list(Stations)
                ]),
                maps:remove(Oldest, Stations)
        end,
    {Room#{Source => {In, Now}}, Ageing, Limit}.
