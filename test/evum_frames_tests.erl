%% SPDX-License-Identifier: Apache-2.0
%% The batches, with the part of evum_net played here, from the drawing in
%% doc/port-protocol.md.
-module(evum_frames_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

up(Frames) ->
    <<
        <<Port:32, (byte_size(Frame)):32, 0:16, 0, 0, 16#ffffffff:32, 0:32, Frame/binary>>
     || {Port, Frame} <- Frames
    >>.

parse_down(<<0, 0, Vlan:16, Count:32, Size:32, Rest/binary>>) ->
    Bytes = Count * 4,
    <<Ports:Bytes/binary, Frame:Size/binary, More/binary>> = Rest,
    [{[Port || <<Port:32>> <= Ports], Vlan, Frame} | parse_down(More)];
parse_down(<<>>) ->
    [].

collect(Batch) ->
    Add = fun(#{port := Port}, Frame, Acc) -> [{Port, Frame} | Acc] end,
    case evum_frames:fold(Add, [], Batch) of
        {ok, Frames} -> {ok, lists:reverse(Frames)};
        malformed -> malformed
    end.

as_drawn_test() ->
    ?assertEqual(
        {ok, [
            {
                #{
                    port => 16#01020304,
                    tci => 16#a102,
                    vlan => 16#0102,
                    source_known => true,
                    hooks => 9,
                    copy => false,
                    age => 7
                },
                <<"frame">>
            },
            {#{port => 5, tci => 0, vlan => 0, source_known => false, hooks => 0, copy => true,
                age => unknown}, <<>>}
        ]},
        evum_frames:fold(
            fun(Up, Frame, Acc) -> Acc ++ [{Up, Frame}] end,
            [],
            <<1, 2, 3, 4, 5:32, 16#a1, 2, 1, 0, 7:32, 9:32, "frame", 5:32, 0:32, 0:16, 2, 0, 255,
                255, 255, 255, 0:32>>
        )
    ),
    [
        ?assertEqual(Bytes, iolist_to_binary(Record))
     || {Bytes, Record} <- [
            {<<0, 0, 1, 2, 1:32, 3:32, 7:32, "abc">>, evum_frames:down(7, 16#0102, <<"abc">>)},
            {<<0, 0, 0, 0, 2:32, 1:32, 7:32, 256:32, "x">>,
                evum_frames:down(evum_frames:ports([7, 256]), 0, <<"x">>)},
            {<<1, 0, 0, 0, 16#a:64, 7:32, 9:32>>, evum_frames:station(16#a, 7, 9)},
            {<<1, 1, 0, 0, 16#a:64, 7:32, 0:32>>, evum_frames:station(16#a, 7, static)},
            {<<1, 0, 0, 0, 16#a:64, 0:32, 9:32>>, evum_frames:station(16#a, unknown, 9)},
            {<<2, 0, 0, 0, 16#a:64>>, evum_frames:forget(16#a)},
            {<<3, 0, 0, 5, 3:32, 1:32, 7:32>>, evum_frames:flood(5, 3, evum_frames:ports([7]))},
            {<<4, 0, 0, 0, 1000:32>>, evum_frames:answers(1000)}
        ]
    ],
    ?assertEqual({7, <<"rest">>}, evum_frames:begun(<<7:64, "rest">>)),
    ?assertEqual(malformed, evum_frames:begun(<<7:56>>)),
    ?assertEqual(
        [{16#a, 7, 9}, {16#b, 1, 0}], evum_frames:seen(<<16#a:64, 7:32, 9:32, 16#b:64, 1:32, 0:32>>)
    ).

properties_test_() ->
    {timeout, 60,
        ?_assert(
            proper:quickcheck(
                proper:conjunction([{up, prop_up()}, {cut, prop_cut()}, {down, prop_down()}]),
                [{to_file, user}, {numtests, 500}]
            )
        )}.

prop_up() ->
    ?FORALL(Frames, list({port_id(), binary()}), collect(up(Frames)) =:= {ok, Frames}).

%% Less than all of it is malformed, or a batch with fewer frames.
prop_cut() ->
    ?FORALL(
        Frames,
        non_empty(list({port_id(), non_empty(binary())})),
        begin
            Batch = up(Frames),
            Whole = [byte_size(up(lists:sublist(Frames, N))) || N <- lists:seq(0, length(Frames))],
            lists:all(
                fun(Size) ->
                    Cut = collect(binary:part(Batch, 0, Size)),
                    case lists:member(Size, Whole) of
                        true -> element(1, Cut) =:= ok;
                        false -> Cut =:= malformed
                    end
                end,
                lists:seq(0, byte_size(Batch))
            )
        end
    ).

prop_down() ->
    ?FORALL(
        Frames,
        list({oneof([port_id(), list(port_id())]), range(0, 4095), binary()}),
        begin
            Batch = [evum_frames:down(to(Ports), Vlan, Frame) || {Ports, Vlan, Frame} <- Frames],
            parse_down(iolist_to_binary(Batch)) =:=
                [{lists:flatten([Ports]), Vlan, Frame} || {Ports, Vlan, Frame} <- Frames]
        end
    ).

to(Ports) when is_list(Ports) -> evum_frames:ports(Ports);
to(Port) -> Port.

port_id() -> range(0, 16#ffffffff).
