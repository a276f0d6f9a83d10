%% SPDX-License-Identifier: Apache-2.0
-module(evum_typist_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

written(Effects) -> [Bytes || {write, Bytes, _} <- Effects].

type(What, T) ->
    {ok, Effects, T1} = evum_typist:type(What, none, T),
    {written(Effects), T1}.

shown(Ended, Partial, T) ->
    {Effects, T1} = evum_typist:shown(Ended, Partial, T),
    {written(Effects), T1}.

at_prompt() ->
    {_, T} = evum_typist:ready(evum_typist:new()),
    {[], T1} = shown(true, <<"# ">>, T),
    T1.

nothing_is_typed_before_the_first_prompt_test() ->
    {[], T1} = type({line, <<"a\n">>}, evum_typist:new()),
    {[], T2} = type({bytes, <<"b">>}, T1),
    %% boot messages, even one that is not ended
    {[], T3} = shown(true, <<"Booting...">>, T2),
    {[{timer, _}], T4} = evum_typist:ready(T3),
    ?assertMatch({[<<"a\n">>, <<"b">>], _}, shown(false, <<"# ">>, T4)).

a_prompt_may_be_faster_than_the_news_of_the_shell_test() ->
    {[], T1} = type({line, <<"a\n">>}, evum_typist:new()),
    {[], T2} = shown(true, <<"# ">>, T1),
    {Effects, _} = evum_typist:ready(T2),
    ?assertEqual([<<"a\n">>], written(Effects)).

a_shell_without_prompt_gets_its_input_late_test() ->
    {[], T1} = type({bytes, <<"b">>}, evum_typist:new()),
    {_, T2} = evum_typist:ready(T1),
    {Effects, _} = evum_typist:expired(T2),
    ?assertEqual([<<"b">>], written(Effects)).

lines_wait_for_the_prompt_after_the_echo_test() ->
    {[<<"a\n">>], T1} = type({line, <<"a\n">>}, at_prompt()),
    {[], T2} = type({line, <<"b\n">>}, T1),
    %% the echo, before its newline: no prompt
    {[], T3} = shown(false, <<"# a">>, T2),
    {[], T4} = shown(true, <<>>, T3),
    ?assertMatch({[<<"b\n">>], _}, shown(true, <<"# ">>, T4)).

lines_do_not_wait_for_ever_test() ->
    {[_], T1} = type({line, <<"cat\n">>}, at_prompt()),
    {[], T2} = shown(true, <<>>, T1),
    {ok, [{timer, _}], T3} = evum_typist:type({line, <<"x\n">>}, none, T2),
    {Effects, _} = evum_typist:expired(T3),
    ?assertEqual([<<"x\n">>], written(Effects)).

bytes_do_not_wait_but_keep_their_place_test() ->
    {[_], T1} = type({line, <<"a\n">>}, at_prompt()),
    {[<<3>>], T2} = type({bytes, <<3>>}, T1),
    {[], T3} = type({line, <<"b\n">>}, T2),
    {[], T4} = type({bytes, <<"c">>}, T3),
    ?assertMatch({[<<"b\n">>, <<"c">>], _}, shown(true, <<"# ">>, T4)).

output_in_pieces_is_no_prompt_test() ->
    {[_], T1} = type({line, <<"echo 5\n">>}, at_prompt()),
    {[], T2} = shown(true, <<>>, T1),
    {[], T3} = type({line, <<"b\n">>}, T2),
    {[], T4} = lists:foldl(
        fun(Piece, {[], TN}) -> shown(false, Piece, TN) end,
        {[], T3},
        [<<"5">>, <<"TX bytes 0 (0.0 B)">>, <<"<b>">>, <<"total:">>, <<" ">>]
    ),
    ?assertMatch({[<<"b\n">>], _}, shown(true, <<"root@(none):/# ">>, T4)).

typed_newlines_are_lines_too_test() ->
    {[_], T1} = type({bytes, <<"a\n">>}, at_prompt()),
    {[], T2} = type({line, <<"b\n">>}, T1),
    {[], T3} = shown(false, <<"# a">>, T2),
    ?assertMatch({[<<"b\n">>], _}, shown(true, <<"# ">>, T3)).

the_queue_is_bounded_test() ->
    {[], T} = type({bytes, binary:copy(<<"x">>, evum_typist:limit())}, evum_typist:new()),
    ?assertEqual({error, full}, evum_typist:type({bytes, <<"y">>}, none, T)).

%% What a guest's kernel takes unread before it is deaf: N_TTY_BUF_SIZE less
%% TTY_THRESHOLD_THROTTLE.
-define(DEAF, 3968).

bytes_wait_until_all_is_read_test() ->
    {ok, Effects, T1} = evum_typist:type({bytes, binary:copy(<<"x">>, 10000)}, none, at_prompt()),
    [First] = written(Effects),
    ?assert(2 * byte_size(First) < ?DEAF),
    ?assertEqual({ask, 0}, lists:last(Effects)),
    {[{ask, Later}], T2} = evum_typist:unread(7, 0, T1),
    ?assert(Later > 0),
    {[], T3} = type({bytes, <<"y">>}, T2),
    {More, _} = evum_typist:unread(0, 0, T3),
    ?assertMatch([<<"x", _/binary>>], written(More)),
    %% nobody asked
    ?assertEqual({[], at_prompt()}, evum_typist:unread(0, 0, at_prompt())).

a_long_line_waits_for_one_prompt_test() ->
    Line = <<(binary:copy(<<"x">>, 2000))/binary, "\n">>,
    {ok, Effects, T1} = evum_typist:type({line, Line}, tag, at_prompt()),
    [{write, Start, tag}, {ask, 0}] = Effects,
    {[{write, Rest, tag}], _} = evum_typist:unread(0, 0, T1),
    ?assertEqual(Line, <<Start/binary, Rest/binary>>).

%% Once without an answer; then after a prompt, or an answer.
without_answers_little_is_typed_test() ->
    {ok, Effects, T1} = evum_typist:type({bytes, binary:copy(<<"x">>, 10000)}, none, at_prompt()),
    {More, T2} = evum_typist:unanswered(T1),
    ?assert(iolist_size(written(Effects ++ More)) < ?DEAF),
    ?assertEqual({ask, 0}, lists:last(More)),
    {[{ask, Later}], T3} = evum_typist:unanswered(T2),
    ?assert(Later > 0),
    {[], T4} = shown(true, <<"no prompt">>, T3),
    {[_], _} = shown(true, <<"# ">>, T4),
    {Rest, _} = evum_typist:unread(0, 0, T4),
    ?assertMatch([_], written(Rest)).

%% A terminal that takes lines gets a long one in parts; others, what they edit
%% and lines that are ended are left alone.
long_lines_are_handed_over_test_() ->
    X = binary:copy(<<"x">>, 1400),
    [
        {Name, fun() ->
            Bytes = <<Typed/binary, (binary:copy(<<"y">>, 5000))/binary>>,
            {ok, _, T} = evum_typist:type({bytes, Bytes}, none, at_prompt()),
            {Effects, _} = evum_typist:unread(0, Eof, T),
            ?assertEqual(Handed, [<<4>>] =:= written(Effects) andalso {ask, 0} =:= lists:last(Effects))
        end}
     || {Name, Typed, Eof, Handed} <- [
            {"a line", X, 4, true},
            {"no lines", X, 0, false},
            {"a line that is short so far", <<X/binary, "\n">>, 4, false},
            {"a line that was thrown away", <<X/binary, 3>>, 4, false},
            {"a line that is being edited", <<X/binary, (binary:copy(<<127>>, 136))/binary>>, 4, false}
        ]
    ].

%% Whatever is typed and read, and even where one look in two is too early: no
%% byte is lost, no line is too long, and the guest never holds too much.
pace_test_() ->
    {timeout, 60, ?_assert(proper:quickcheck(prop_pace(), [{to_file, user}, {numtests, 300}]))}.

prop_pace() ->
    ?FORALL(
        {Lines, Reads, Eof},
        {list({range(1, 9000), oneof([<<>>, <<"\n">>])}), list(range(0, 2000)), oneof([0, 4])},
        begin
            Typed = [<<(binary:copy(<<"x">>, N))/binary, End/binary>> || {N, End} <- Lines],
            {Queued, T} = lists:foldl(
                fun(Bytes, {Acc, T0}) ->
                    {ok, Effects, T1} = evum_typist:type({bytes, Bytes}, none, T0),
                    {Acc ++ Effects, T1}
                end,
                {[], at_prompt()},
                Typed
            ),
            {Got, Most} = guest(Queued, T, Reads, Eof, early, {<<>>, <<>>}, <<>>, 0),
            Got =:= iolist_to_binary(Typed) andalso Most < ?DEAF
        end
    ).

%% A guest that reads a little at a time, then all. Its terminal holds what may be
%% read and, where it takes lines, one that is not ended, which is not told of.
guest(Effects, T, Reads, Eof, Look, Tty0, Got, Most) ->
    New = iolist_to_binary(written(Effects)),
    {Whole, Line} = Tty = received(New, Eof, Tty0),
    Most1 = max(Most, byte_size(Whole) + byte_size(Line)),
    case lists:keymember(ask, 1, Effects) of
        true when Look =:= early ->
            %% it has not seen the last of it
            {Before, _} = Tty0,
            {More, T1} = evum_typist:unread(byte_size(Before), Eof, T),
            guest(More, T1, Reads, Eof, late, Tty, Got, Most1);
        true ->
            {N, Reads1} =
                case Reads of
                    [First | Rest] -> {min(First, byte_size(Whole)), Rest};
                    [] -> {byte_size(Whole), []}
                end,
            <<Read:N/binary, Left/binary>> = Whole,
            {More, T1} = evum_typist:unread(byte_size(Left), Eof, T),
            guest(More, T1, Reads1, Eof, early, {Left, Line}, <<Got/binary, Read/binary>>, Most1);
        false ->
            {<<Got/binary, Whole/binary, Line/binary>>, Most1}
    end.

received(Bytes, 0, {Whole, <<>>}) ->
    {<<Whole/binary, Bytes/binary>>, <<>>};
received(Bytes, Eof, {Whole, Line}) ->
    lists:foldl(
        fun
            (C, {W, L}) when C =:= Eof, L =/= <<>> -> {<<W/binary, L/binary>>, <<>>};
            ($\n, {W, L}) -> {<<W/binary, L/binary, $\n>>, <<>>};
            (C, {W, L}) -> {W, <<L/binary, C>>}
        end,
        {Whole, Line},
        binary_to_list(Bytes)
    ).

a_reboot_keeps_what_is_queued_test() ->
    {[_], T1} = type({line, <<"reboot\n">>}, at_prompt()),
    {[], T2} = type({line, <<"a\n">>}, T1),
    {[], T3} = shown(true, <<"booting">>, evum_typist:booting(T2)),
    {_, T4} = evum_typist:ready(T3),
    ?assertMatch({[<<"a\n">>], _}, shown(true, <<"# ">>, T4)).

%% Whatever happens: each thing is written once, whole, in the order of typing,
%% and all of it once the waits are over.
order_test_() ->
    {timeout, 60, ?_assert(proper:quickcheck(prop_order(), [{to_file, user}, {numtests, 1000}]))}.

prop_order() ->
    ?FORALL(
        Events,
        list(event()),
        begin
            {Written, Typed, T} = lists:foldl(fun run/2, {[], [], evum_typist:new()}, Events),
            {Last, _} = settle(T, 2 + length(Events)),
            Written ++ Last =:= Typed
        end
    ).

event() ->
    oneof([
        {type, line, binary(2)},
        {type, bytes, binary(2)},
        ready,
        booting,
        expired,
        {shown, boolean(), oneof([<<>>, <<"# ">>])}
    ]).

run({type, Kind, Bytes}, {Written, Typed, T}) ->
    {ok, Effects, T1} = evum_typist:type({Kind, Bytes}, none, T),
    {Written ++ written(Effects), Typed ++ [Bytes], T1};
run(Event, {Written, Typed, T}) ->
    {Effects, T1} =
        case Event of
            ready -> evum_typist:ready(T);
            booting -> {[], evum_typist:booting(T)};
            expired -> evum_typist:expired(T);
            {shown, Ended, Partial} -> evum_typist:shown(Ended, Partial, T)
        end,
    {Written ++ written(Effects), Typed, T1}.

settle(T, N) ->
    {E1, T1} = evum_typist:ready(T),
    lists:foldl(
        fun(_, {Acc, TN}) ->
            {Effects, TN1} = evum_typist:expired(TN),
            {Acc ++ written(Effects), TN1}
        end,
        {written(E1), T1},
        lists:seq(1, N)
    ).
