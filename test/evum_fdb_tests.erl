%% SPDX-License-Identifier: Apache-2.0
%% The table against a model that is too simple to be wrong: a map that is
%% searched as a whole at each step.
-module(evum_fdb_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

-define(PORTS, [1, 2, 3, 4]).

frame(Destination, Source) ->
    <<Destination:48, Source:48, 16#0800:16, "payload">>.

decide(Now, In, Destination, Source, Fdb) ->
    evum_fdb:frame(Now, In, frame(Destination, Source), Fdb).

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

short_frames_go_nowhere_test() ->
    Fdb = evum_fdb:new(#{}),
    [
        ?assertEqual({filter, Fdb}, evum_fdb:frame(0, 1, <<0:(N * 8)>>, Fdb))
     || N <- lists:seq(0, 11)
    ].

%% A port that takes its stations along may have left some to others.
moved_stations_stay_test() ->
    {_, Fdb1} = decide(0, 1, 16#b, 16#a, evum_fdb:new(#{})),
    {_, Fdb2} = decide(1, 2, 16#b, 16#a, Fdb1),
    ?assertEqual([{16#a, 2, 0}], evum_fdb:to_list(1, evum_fdb:port_down(1, Fdb2))),
    ?assertEqual([], evum_fdb:to_list(1, evum_fdb:port_down(2, Fdb2))).

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
    {true, Now, evum_fdb:port_down(Port, Fdb), {Left, Ageing, Limit}};
step(expire, Now, Fdb, Model) ->
    Fdb1 = evum_fdb:expire(Now, Fdb),
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
