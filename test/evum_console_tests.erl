%% SPDX-License-Identifier: Apache-2.0
-module(evum_console_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

%% A console whose shell is up and shows a prompt.
open() ->
    {_, Con} = evum_console:ready(evum_console:new(self())),
    {[], _, Con1} = evum_console:output(<<"# ">>, Con),
    Con1.

from(N) -> {self(), N}.

lines_go_to_the_owner_test() ->
    Self = self(),
    {Ended, Effects, Con} = evum_console:output(<<"a\r\nb\nc">>, evum_console:new(Self)),
    ?assertEqual([<<"a">>, <<"b">>], Ended),
    ?assertEqual([{lines, Self, Ended}, {credit, 6}], Effects),
    ?assertEqual(#{lines => 2, bytes => 2, discarded => 0}, evum_console:counters(Con)).

a_line_goes_to_its_caller_test() ->
    Self = self(),
    {ok, Effects, Con} = evum_console:line(<<"x">>, 10, from(1), open()),
    ?assertMatch([{timer, {caller, _}, 10}, {write, <<"x\n">>} | _], Effects),
    {_, Effects1, _} = evum_console:output(<<"x\nmore\n">>, Con),
    ?assertEqual(
        [{reply, from(1), <<"# x">>}, {lines, Self, [<<"more">>]}, {credit, 7}], Effects1
    ).

a_caller_waits_no_longer_than_it_said_test() ->
    {ok, [{timer, Tag, 10} | _], Con} = evum_console:line(<<"x">>, 10, from(1), open()),
    {Effects, Con1} = evum_console:expired(Tag, Con),
    ?assertEqual([{reply, from(1), timeout}], Effects),
    %% and what comes then is the owner's
    {_, [{lines, _, [<<"# x">>]} | _], _} = evum_console:output(<<"x\n">>, Con1).

too_much_typed_test() ->
    Con = evum_console:new(self()),
    Much = binary:copy(<<"x">>, evum_typist:limit()),
    ?assertEqual({error, full}, evum_console:line(Much, infinity, from(1), Con)),
    {ok, [], Con1} = evum_console:bytes(Much, Con),
    ?assertEqual({error, full}, evum_console:bytes(<<"x">>, Con1)).

%% Credit comes back at once, until the owner has much to read.
an_owner_that_does_not_read_test() ->
    Self = self(),
    {Con, Look} = fill(evum_console:new(Self)),
    ?assertEqual({look, Self}, Look),
    {[{timer, poll, _}], Con1} = evum_console:looked(Self, 100000, Con),
    {Poll, Con2} = evum_console:expired(poll, Con1),
    ?assertEqual([{look, Self}], Poll),
    {[{credit, Held}], Con3} = evum_console:looked(Self, 0, Con2),
    ?assert(Held > 0),
    %% nothing is held any more
    ?assertMatch({_, [_, {credit, 2}], _}, evum_console:output(<<"x\n">>, Con3)).

an_owner_that_died_test() ->
    Self = self(),
    {Con, _} = fill(evum_console:new(Self)),
    {[{credit, _}], Con1} = evum_console:gone(Self, Con),
    {_, Effects, Con2} = evum_console:output(<<"x\n">>, Con1),
    ?assertEqual([{credit, 2}], Effects),
    ?assertMatch(#{discarded := 1}, evum_console:counters(Con2)).

fill(Con) ->
    case evum_console:output(<<"some line of text\n">>, Con) of
        {_, [_, {credit, _}], Con1} -> fill(Con1);
        {_, [_, Look], Con1} -> {Con1, Look}
    end.

properties_test_() ->
    {timeout, 60,
        ?_assert(proper:quickcheck(prop_credit(), [{to_file, user}, {numtests, 300}]))}.

%% What is shown is credited, once, sooner or later, whatever the owner does.
prop_credit() ->
    ?FORALL(
        Steps,
        list(oneof([{show, binary()}, {show, lines()}, poll, {look, range(0, 2000)}, type])),
        begin
            {Con, Credit} = lists:foldl(fun step/2, {open(), 0}, Steps),
            {Effects, _} = evum_console:release(Con),
            Credit + credit(Effects) =:= shown(Steps)
        end
    ).

lines() ->
    ?LET(N, range(1, 3000), binary:copy(<<"ninety bytes of a line\n">>, N)).

step({show, Bytes}, {Con, Credit}) ->
    {_, Effects, Con1} = evum_console:output(Bytes, Con),
    {Con1, Credit + credit(Effects)};
step(poll, {Con, Credit}) ->
    add(evum_console:expired(poll, Con), Credit);
step({look, N}, {Con, Credit}) ->
    add(evum_console:looked(self(), N, Con), Credit);
step(type, {Con, Credit}) ->
    {ok, Effects, Con1} = evum_console:line(<<>>, infinity, from(1), Con),
    {Con1, Credit + credit(Effects)}.

add({Effects, Con}, Credit) -> {Con, Credit + credit(Effects)}.

credit(Effects) -> lists:sum([N || {credit, N} <- Effects]).

shown(Steps) -> lists:sum([byte_size(B) || {show, B} <- Steps]).
