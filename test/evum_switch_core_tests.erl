%% SPDX-License-Identifier: Apache-2.0
%% What a switch decides, against a model that knows nothing of tables: batches as
%% evum_net sends them go in, and who gets what is read from the answer.
-module(evum_switch_core_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

-define(PORTS, [1, 2, 3, 4]).
-define(AGEING, 20).

decides_test_() ->
    {timeout, 120, ?_assert(proper:quickcheck(prop_decides(), [{to_file, user}, {numtests, 2000}]))}.

%% Never back to where it came from, never twice, never lost, whole and in order;
%% to one port where the station was heard there of late, else to all others.
prop_decides() ->
    ?FORALL(Steps, list(step()), begin
        {ok, Options} = evum_switch_options:switch(#{forward => relay, ageing => ?AGEING}),
        Core = lists:foldl(fun up/2, evum_switch_core:new(Options), ?PORTS),
        run(Steps, 1000, Core, #{heard => #{}, ports => ?PORTS, isolated => []})
    end).

step() ->
    frequency([
        {10, {batch, list({port(), destination(), source()})}},
        {3, {wait, range(0, 15)}},
        {1, {down, port()}},
        {1, {up, port()}},
        {1, {isolated, port(), boolean()}}
    ]).

port() -> oneof(?PORTS).
station() -> range(16#020000000001, 16#020000000005).
destination() -> frequency([{8, station()}, {1, 16#ffffffffffff}, {1, 16#010000000001}]).
source() -> frequency([{8, station()}, {1, 0}, {1, 16#010000000001}]).

up(Port, Core) ->
    evum_switch_core:port_up(Port, daemon, 0, Core).

run([], _Now, _Core, _Model) ->
    true;
run([{wait, Ms} | Steps], Now, Core, Model) ->
    run(Steps, Now + Ms, Core, Model);
run([{down, Port} | Steps], Now, Core, #{ports := Ports, heard := Heard, isolated := Isolated} = Model) ->
    {Core1, _} = evum_switch_core:port_down(Port, Core),
    Left = maps:filter(fun(_, {At, _}) -> At =/= Port end, Heard),
    Model1 = Model#{ports := Ports -- [Port], heard := Left, isolated := Isolated -- [Port]},
    run(Steps, Now, Core1, Model1);
run([{up, Port} | Steps], Now, Core, #{ports := Ports} = Model) ->
    case lists:member(Port, Ports) of
        true -> run(Steps, Now, Core, Model);
        false -> run(Steps, Now, up(Port, Core), Model#{ports := lists:sort([Port | Ports])})
    end;
run([{isolated, Port, Value} | Steps], Now, Core, #{ports := Ports} = Model) ->
    case evum_switch_core:set_port(Port, #{isolated => Value}, Core) of
        {ok, _, Core1} ->
            #{heard := Heard, isolated := Isolated} = Model,
            %% What was learned there is forgotten with each change.
            Left = maps:filter(fun(_, {At, _}) -> At =/= Port end, Heard),
            Isolated1 = [Port || Value] ++ (Isolated -- [Port]),
            run(Steps, Now, Core1, Model#{heard := Left, isolated := Isolated1});
        {error, no_port} ->
            not lists:member(Port, Ports) andalso run(Steps, Now, Core, Model)
    end;
run([{batch, Frames} | Steps], Now, Core, Model) ->
    Numbered = [
        {In, <<To:48, From:48, 16#88b5:16, N:32>>}
     || {N, {In, To, From}} <- lists:enumerate(Frames)
    ],
    {Expected, Model1} = lists:mapfoldl(fun(F, M) -> expect(F, Now, M) end, Model, Numbered),
    {ok, Answer, _Notices, Core1} = evum_switch_core:frames(batch(Now, Numbered), Core),
    Somebody = fun({Ports, _}) -> Ports =/= [] end,
    Sent = lists:filter(Somebody, Expected),
    case lists:filter(Somebody, delivered(iolist_to_binary(Answer))) of
        Sent ->
            run(Steps, Now, Core1, Model1);
        Got ->
            io:format("~p at ~b: ~p, not ~p~n", [Frames, Now, Got, Sent]),
            false
    end.

expect({In, <<To:48, From:48, _/binary>> = Frame}, Now, #{ports := Ports, heard := Heard0} = Model) ->
    #{isolated := Isolated} = Model,
    Heard =
        case From band 16#010000000000 of
            _ when From =:= 0 -> Heard0;
            0 -> Heard0#{From => {In, Now}};
            _ -> Heard0
        end,
    Apart = fun(Out) -> lists:member(In, Isolated) andalso lists:member(Out, Isolated) end,
    Outs =
        case Heard of
            #{To := {In, Seen}} when Now - Seen < ?AGEING -> [];
            #{To := {Out, Seen}} when Now - Seen < ?AGEING -> [Out];
            #{} -> Ports -- [In]
        end,
    case lists:member(In, Ports) of
        true -> {{[Out || Out <- Outs, not Apart(Out)], Frame}, Model#{heard := Heard}};
        false -> {{[], Frame}, Model}
    end.

%% As doc/port-protocol.md draws them.
batch(Now, Frames) ->
    Records = [
        <<In:32, (byte_size(Frame)):32, 0:16, 0, 0, 16#ffffffff:32, 0:32, Frame/binary>>
     || {In, Frame} <- Frames
    ],
    iolist_to_binary([<<Now:64>> | Records]).

delivered(<<4, 0:24, _Bytes:32, Rest/binary>>) ->
    delivered(Rest);
delivered(<<0, 0, 0:16, Count:32, Size:32, Rest/binary>>) ->
    {Ports, <<Frame:Size/binary, More/binary>>} = split_binary(Rest, Count * 4),
    [{lists:sort([Port || <<Port:32>> <= Ports]), Frame} | delivered(More)];
delivered(<<>>) ->
    [].
