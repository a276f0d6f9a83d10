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
    Big = binary:copy(<<"x">>, evum_typist:limit()),
    {[], T} = type({bytes, Big}, evum_typist:new()),
    ?assertEqual({error, full}, evum_typist:type({bytes, <<"y">>}, none, T)).

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
