%% SPDX-License-Identifier: Apache-2.0
-module(evum_agent_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

-define(WINDOW, 262144).

frame(Type, Id, Payload) ->
    <<(5 + byte_size(Payload)):32, Type, Id:32, Payload/binary>>.

hello(Version) ->
    frame(0, 0, <<"evum", Version:32>>).

feed(Bytes, A) ->
    {Effects, A1} = evum_agent:feed(Bytes, A),
    {told(Effects), A1}.

told(Effects) ->
    [Effect || Effect <- Effects, Effect =:= ready orelse element(1, Effect) =/= agent_credit].

ready() ->
    {_, A} = evum_agent:channel(opened, evum_agent:new(true)),
    {[ready], A1} = feed(hello(2), A),
    A1.

request(Key, A) ->
    {ok, Effects, A1} = evum_agent:request(Key, {watch, Key}, {get, <<"/x">>}, A),
    {Effects, A1}.

no_agent_test() ->
    A = evum_agent:new(false),
    ?assertEqual({error, no_agent}, evum_agent:request(k, w, unread, A)),
    ?assertEqual({error, no_agent}, evum_agent:state(A)).

requests_wait_for_the_agent_test() ->
    {[], A} = request(k, evum_agent:new(true)),
    ?assertEqual(waiting, evum_agent:state(A)),
    {_, A1} = evum_agent:channel(opened, A),
    {[ready, {agent_send, Frame}], A2} = feed(hello(2), A1),
    ?assertEqual(frame(3, 1, <<?WINDOW:32, "/x", 0>>), iolist_to_binary(Frame)),
    ?assertEqual(ready, evum_agent:state(A2)).

%% What another program has left in the rings comes first.
rubbish_before_the_hello_is_skipped_test() ->
    {_, A} = evum_agent:channel(opened, evum_agent:new(true)),
    Bytes = <<(binary:copy(<<0, 0, 0, 13>>, 100))/binary, (hello(2))/binary>>,
    {Told, A1} = lists:foldl(
        fun(Byte, {Acc, AccA}) ->
            {More, AccA1} = feed(<<Byte>>, AccA),
            {Acc ++ More, AccA1}
        end,
        {[], A},
        binary_to_list(Bytes)
    ),
    ?assertEqual([ready], Told),
    ?assertEqual(ready, evum_agent:state(A1)).

nothing_but_rubbish_test() ->
    {_, A} = evum_agent:channel(opened, evum_agent:new(true)),
    Flood = binary:copy(<<"x">>, 1 bsl 20),
    {_, A1} = feed(Flood, A),
    {_, A2} = feed(Flood, A1),
    {_, A3} = feed(Flood, A2),
    ?assertEqual({error, bad_agent}, evum_agent:state(A3)),
    %% and no more credit for it, until the port is opened anew
    {[], A4} = evum_agent:feed(Flood, A3),
    {[{agent_credit, Held}], _} = evum_agent:channel(opened, A4),
    ?assert(Held >= byte_size(Flood)).

another_version_test() ->
    {_, A} = evum_agent:channel(opened, evum_agent:new(true)),
    {[{bad, {agent_version, 3}}], A1} = feed(hello(3), A),
    ?assertEqual({error, {agent_version, 3}}, evum_agent:state(A1)),
    ?assertEqual({error, {agent_version, 3}}, evum_agent:request(k, w, unread, A1)).

a_request_test() ->
    {[{agent_send, _}], A} = request(k, ready()),
    {[{agent_tell, k, {data, <<"abc">>}}], A1} = feed(frame(16, 1, <<"abc">>), A),
    {[{agent_tell, k, {window, 7}}], A2} = feed(frame(18, 1, <<7:32>>), A1),
    {[{agent_send, Input}], A3} = evum_agent:input(k, <<"input">>, A2),
    ?assertEqual(frame(16, 1, <<"input">>), iolist_to_binary(Input)),
    {[{agent_send, Eof}], A4} = evum_agent:eof(k, A3),
    ?assertEqual(frame(17, 1, <<>>), iolist_to_binary(Eof)),
    {Over, A5} = feed(frame(20, 1, <<1, 9:32>>), A4),
    ?assertEqual([{agent_tell, k, {done, {signal, 9}}}, {forget, {watch, k}}], Over),
    %% what was under way for it
    ?assertEqual({[], A5}, feed(frame(16, 1, <<"late">>), A5)),
    ?assertEqual({[], A5}, evum_agent:cancel(k, A5)).

%% All bytes are paid for, once.
credit_test() ->
    {_, A} = request(k, ready()),
    Bytes = <<(frame(16, 1, <<"abc">>))/binary, (frame(20, 1, <<0, 0:32>>))/binary>>,
    {Effects, _} = evum_agent:feed(Bytes, A),
    ?assertEqual(byte_size(Bytes), lists:sum([N || {agent_credit, N} <- Effects])).

broken_rules_test_() ->
    [
        {Name, fun() ->
            {_, A} = request(k, ready()),
            {Told, A1} = feed(Bytes, A),
            ?assertEqual(
                [{agent_tell, k, {error, bad_agent}}, {forget, {watch, k}}, {bad, bad_agent}],
                [T || T <- Told, not is_data(T)]
            ),
            ?assertEqual({error, bad_agent}, evum_agent:state(A1)),
            ?assertEqual({error, bad_agent}, evum_agent:request(l, w, unread, A1))
        end}
     || {Name, Bytes} <- [
            {"too short", <<4:32, 0, 0, 0, 0>>},
            {"too long", <<70000:32, 16, 1:32>>},
            {"unknown id", frame(16, 77, <<"x">>)},
            {"unknown type", frame(99, 1, <<"x">>)},
            {"a second hello", hello(2)},
            {"empty data", frame(16, 1, <<>>)},
            {"more than the window", binary:copy(frame(16, 1, binary:copy(<<"x">>, 65536)), 5)},
            {"too much input allowed", frame(18, 1, <<(?WINDOW + 1):32>>)},
            {"a window of nothing", frame(18, 1, <<0:32>>)},
            {"an end that is none", frame(20, 1, <<3, 0:32>>)},
            {"an end cut short", frame(20, 1, <<0>>)}
        ]
    ].

%% Those that wait for a bad agent do not wait for another one.
waiting_for_a_bad_agent_test() ->
    {[], A} = request(k, evum_agent:new(true)),
    {_, A1} = evum_agent:channel(opened, A),
    Reason = {agent_version, 9},
    ?assertMatch(
        {[{agent_tell, k, {error, Reason}}, {forget, {watch, k}}, {bad, Reason}], _}, feed(hello(9), A1)
    ),
    {_, A2} = feed(hello(9), A1),
    {_, A3} = evum_agent:channel(opened, A2),
    ?assertMatch({[ready], _}, feed(hello(2), A3)).

is_data({agent_tell, _, {data, _}}) -> true;
is_data(_) -> false.

many_requests_take_turns_test() ->
    {Sent, A} = many(1, 100, command(), ready()),
    ?assertEqual(48, length(Sent)),
    {Told, A1} = feed(frame(20, 3, <<0, 0:32>>), A),
    ?assertMatch([{agent_tell, 3, {done, {exit, 0}}}, {forget, _}, {agent_send, _}], Told),
    ?assertEqual(49, id(lists:last(Told))),
    {Cancelled, A2} = evum_agent:cancel(50, A1),
    ?assertEqual([{agent_tell, 50, {error, cancelled}}, {forget, {watch, 50}}], Cancelled),
    {Next, A3} = feed(frame(20, 4, <<0, 0:32>>), A2),
    ?assertEqual(51, id(lists:last(Next))),
    {[], Full} = many(101, 1024 + 51, command(), A3),
    ?assertEqual({error, full}, evum_agent:request(last, w, command(), Full)),
    %% the caller of one that waits has died
    {[{forget, {watch, 60}}], Room} = evum_agent:gone({watch, 60}, Full),
    ?assertMatch({ok, [], _}, evum_agent:request(last, w, command(), Room)).

%% Each class has room of its own, so that none blocks another.
others_do_not_wait_for_commands_test() ->
    {Commands, A} = many(1, 200, command(), ready()),
    {Files, A1} = many(201, 400, {get, <<"/x">>}, A),
    {Immediate, _} = many(401, 600, {power, off}, A1),
    ?assertEqual(
        [lists:seq(1, 48), lists:seq(201, 212), lists:seq(401, 404)],
        [[id(Effect) || Effect <- Effects] || Effects <- [Commands, Files, Immediate]]
    ),
    %% and what waited for the agent is sent as is what came later
    {[], B} = many(1, 200, command(), evum_agent:new(true)),
    {[], B1} = many(201, 202, {power, off}, B),
    {_, B2} = evum_agent:channel(opened, B1),
    {[ready | Sent], _} = feed(hello(2), B2),
    ?assertEqual([201, 202 | lists:seq(1, 48)], [id(Effect) || Effect <- Sent]).

command() ->
    {run, #{argv => [<<"true">>], env => [], dir => <<"/">>, input => false}}.

many(First, Last, Request, A) ->
    lists:foldl(
        fun(Key, {Sent, Acc}) ->
            {ok, Effects, Acc1} = evum_agent:request(Key, {watch, Key}, Request, Acc),
            {Sent ++ Effects, Acc1}
        end,
        {[], A},
        lists:seq(First, Last)
    ).

id({agent_send, Frame}) ->
    <<_:32, _, Id:32, _/binary>> = iolist_to_binary(Frame),
    Id.

%% What does not fit into a frame is never sent.
too_long_test_() ->
    Run = #{argv => [<<"x">>], env => [], dir => <<"/">>, input => false},
    Strings = lists:duplicate(1024, <<"x">>),
    [
        ?_assertEqual(
            {Fits, Fits}, {evum_agent:check(Request), sent(evum_agent:request(k, w, Request, ready()))}
        )
     || {Fits, Request} <- [
            %% behind window, input, directory and two counts
            {ok, {run, Run#{argv := [text(65536 - 4 - 1 - 2 - 4 - 1)]}}},
            {{error, e2big}, {run, Run#{argv := [text(65536 - 4 - 1 - 2 - 4)]}}},
            {{error, e2big}, {run, Run#{dir := text(65536)}}},
            {{error, e2big}, {run, Run#{env := [text(65536)]}}},
            {ok, {run, Run#{argv := Strings, env := Strings}}},
            {{error, e2big}, {run, Run#{argv := [<<"x">> | Strings]}}},
            {{error, e2big}, {run, Run#{env := [<<"x">> | Strings]}}},
            {ok, {get, text(65536 - 4 - 1)}},
            {{error, enametoolong}, {get, text(65536 - 4)}},
            {ok, {put, text(65536 - 12 - 1), 0, 0}},
            {{error, enametoolong}, {put, text(65536 - 12), 0, 0}},
            {ok, {netlink, text(65536)}},
            {{error, emsgsize}, {netlink, text(65537)}}
        ]
    ].

text(Size) -> binary:copy(<<"x">>, Size).

sent({ok, [{agent_send, Frame}], _}) ->
    <<Length:32, _:Length/binary>> = iolist_to_binary(Frame),
    ok;
sent({error, _} = Error) ->
    Error.

a_caller_that_died_test() ->
    {_, A} = request(k, ready()),
    {[{agent_send, Cancel}], A1} = evum_agent:gone({watch, k}, A),
    ?assertEqual(frame(19, 1, <<>>), iolist_to_binary(Cancel)),
    {[], A2} = feed(frame(16, 1, <<"x">>), A1),
    ?assertMatch({[{forget, _}], _}, feed(frame(20, 1, <<1, 9:32>>), A2)).

the_agent_dies_test() ->
    {_, A} = request(k, ready()),
    {Told, A1} = evum_agent:channel(closed, A),
    ?assertEqual([{agent_tell, k, {error, agent_died}}, {forget, {watch, k}}], told(Told)),
    {[], A2} = request(l, A1),
    {_, A3} = evum_agent:channel(opened, A2),
    ?assertMatch({[ready, {agent_send, _}], _}, feed(hello(2), A3)).

%% What became of a request is known when the machine boots again, or ends.
the_machine_reboots_test() ->
    {_, A} = request(k, ready()),
    {[], A1} = evum_agent:channel(gone, A),
    {Told, _} = evum_agent:channel(booted, A1),
    ?assertEqual([{agent_tell, k, {error, rebooted}}, {forget, {watch, k}}], Told).

%% Any bytes, cut anywhere: the same effects however they are cut, no crash, and
%% no more kept than a frame.
hostile_test_() ->
    {timeout, 120, [
        ?_assert(proper:quickcheck(prop_cuts(), [{to_file, user}, {numtests, 1000}])),
        ?_assert(proper:quickcheck(prop_any(), [{to_file, user}, {numtests, 1000}]))
    ]}.

prop_cuts() ->
    ?FORALL(
        {Frames, Cuts},
        {list(frame()), list(range(1, 40))},
        begin
            Bytes = iolist_to_binary(Frames),
            {_, A} = request(k, ready()),
            {Whole, _} = feed(Bytes, A),
            {Cut, _} = lists:foldl(
                fun(Piece, {Acc, AccA}) ->
                    {More, AccA1} = feed(Piece, AccA),
                    {Acc ++ More, AccA1}
                end,
                {[], A},
                cut(Bytes, Cuts)
            ),
            Whole =:= Cut
        end
    ).

frame() ->
    ?LET(
        {Type, Id, Payload},
        {oneof([0, 16, 18, 20, byte()]), oneof([0, 1, 2]), oneof([binary(), <<7:32>>, <<0, 0:32>>])},
        frame(Type, Id, Payload)
    ).

prop_any() ->
    ?FORALL(
        Pieces,
        list(oneof([binary(), frame(), hello(2)])),
        begin
            {_, A} = request(k, ready()),
            End = lists:foldl(
                fun
                    (opened, Acc) -> element(2, evum_agent:channel(opened, Acc));
                    (Piece, Acc) -> element(2, evum_agent:feed(Piece, Acc))
                end,
                A,
                lists:join(opened, Pieces)
            ),
            erts_debug:flat_size(End) < 20000
        end
    ).

cut(<<>>, _) ->
    [];
cut(Bytes, []) ->
    [Bytes];
cut(Bytes, [N | Cuts]) when byte_size(Bytes) > N ->
    <<Piece:N/binary, Rest/binary>> = Bytes,
    [Piece | cut(Rest, Cuts)];
cut(Bytes, _) ->
    [Bytes].
