%% SPDX-License-Identifier: Apache-2.0
%% The batches, with the part of evum_net played here, from the drawing in
%% doc/port-protocol.md.
-module(evum_frames_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

up(Frames) ->
    <<<<Port:32, (byte_size(Frame)):32, Frame/binary>> || {Port, Frame} <- Frames>>.

parse_down(<<Count:32, Size:32, Rest/binary>>) ->
    Bytes = Count * 4,
    <<Ports:Bytes/binary, Frame:Size/binary, More/binary>> = Rest,
    [{[Port || <<Port:32>> <= Ports], Frame} | parse_down(More)];
parse_down(<<>>) ->
    [].

collect(Batch) ->
    case evum_frames:fold(fun(Port, Frame, Acc) -> [{Port, Frame} | Acc] end, [], Batch) of
        {ok, Frames} -> {ok, lists:reverse(Frames)};
        malformed -> malformed
    end.

as_drawn_test() ->
    ?assertEqual(
        {ok, [{16#01020304, <<"frame">>}, {5, <<>>}]},
        collect(<<1, 2, 3, 4, 0, 0, 0, 5, "frame", 0, 0, 0, 5, 0, 0, 0, 0>>)
    ),
    ?assertEqual(
        <<0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 7, "abc">>,
        iolist_to_binary(evum_frames:down(7, <<"abc">>))
    ),
    ?assertEqual(
        <<0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 1, 0, "x">>,
        iolist_to_binary(evum_frames:down(evum_frames:ports([7, 256]), <<"x">>))
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
        list({oneof([port_id(), list(port_id())]), binary()}),
        begin
            Batch = [evum_frames:down(to(Ports), Frame) || {Ports, Frame} <- Frames],
            parse_down(iolist_to_binary(Batch)) =:=
                [{lists:flatten([Ports]), Frame} || {Ports, Frame} <- Frames]
        end
    ).

to(Ports) when is_list(Ports) -> evum_frames:ports(Ports);
to(Port) -> Port.

port_id() -> range(0, 16#ffffffff).
