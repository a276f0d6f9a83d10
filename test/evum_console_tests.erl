%% SPDX-License-Identifier: Apache-2.0
-module(evum_console_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

new() ->
    {Effects, Con} = evum_console:new(self(), 100, false),
    ?assertEqual([{monitor, self()}], Effects),
    Con.

%% One of a guest that can be asked what is unread.
with_agent() ->
    {_, Con} = evum_console:new(self(), 100, true),
    Con.

%% A console whose shell is up and shows a prompt.
open() ->
    {_, Con} = evum_console:ready(new()),
    {[], _, Con1} = evum_console:output(<<"# ">>, Con),
    Con1.

from(N) -> {self(), N}.

lines_go_to_the_owner_test() ->
    Self = self(),
    {Ended, Effects, Con} = evum_console:output(<<"a\r\nb\nc">>, new()),
    ?assertEqual([<<"a">>, <<"b">>], Ended),
    ?assertEqual([{lines, Self, Ended}, {credit, 6}], Effects),
    ?assertMatch(#{lines := 2, bytes := 2, discarded := 0}, evum_console:counters(Con)).

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
    Con = with_agent(),
    Much = binary:copy(<<"x">>, evum_typist:limit()),
    ?assertEqual({error, full}, evum_console:line(Much, infinity, from(1), Con)),
    {ok, [], Con1} = evum_console:bytes(Much, Con),
    ?assertEqual({error, full}, evum_console:bytes(<<"x">>, Con1)).

%% The guest is asked what is unread; one that does not answer is typed to all
%% the same, a little at a time.
an_agent_that_does_not_answer_test() ->
    {_, Con} = evum_console:ready(with_agent()),
    {_, _, Con1} = evum_console:output(<<"# ">>, Con),
    {ok, Effects, Con2} = evum_console:bytes(binary:copy(<<"x">>, 9000), Con1),
    ?assert(lists:member(ask, Effects)),
    {timer, answer, Limit} = lists:keyfind(answer, 2, Effects),
    ?assert(Limit =< 1000),
    {[{timer, ask, _}], Con3} = evum_console:unread(9, 4, Con2),
    %% it has answered: that time is of no concern any more
    ?assertEqual({[], Con3}, evum_console:expired(answer, Con3)),
    {[{timer, answer, _}, ask], Con4} = evum_console:expired(ask, Con3),
    {[{write, _} | _], _} = evum_console:expired(answer, Con4).

%% Where there is none, time passes before the next piece.
no_agent_test() ->
    Much = binary:copy(<<"x">>, 9000),
    {ok, Effects, Con} = evum_console:bytes(Much, open()),
    ?assertMatch([{write, _}, {timer, answer, _}], Effects),
    ?assertEqual(9000, typed(Effects, Con)).

typed([{write, Bytes}, {timer, answer, _}], Con) ->
    {Effects, Con1} = evum_console:expired(answer, Con),
    byte_size(Bytes) + typed(Effects, Con1);
typed([{write, Bytes}], _Con) ->
    byte_size(Bytes).

%% A line that is typed in pieces has one caller, and one echo.
a_line_in_pieces_test() ->
    {_, Con} = evum_console:ready(with_agent()),
    {_, _, Con1} = evum_console:output(<<"# ">>, Con),
    Caller = from(1),
    {ok, Effects, Con2} = evum_console:line(binary:copy(<<"x">>, 2000), infinity, Caller, Con1),
    ?assert(lists:member(ask, Effects)),
    {[{write, _} | _], Con3} = evum_console:unread(0, 0, Con2),
    {_, Echoed, Con4} = evum_console:output(<<"echo\n">>, Con3),
    ?assert(lists:member({reply, Caller, <<"# echo">>}, Echoed)),
    {_, Shown, _} = evum_console:output(<<"more\n">>, Con4),
    ?assertEqual([], [R || {reply, _, _} = R <- Shown]).

%% Credit comes back at once, until the owner has much to read.
an_owner_that_does_not_read_test() ->
    Self = self(),
    {Con, Held} = fill(new()),
    {[], Con1} = evum_console:looked(Self, 100000, Con),
    {Poll, Con2} = evum_console:expired(poll, Con1),
    ?assertEqual([{timer, poll, 10}, {look, Self}], Poll),
    ?assertMatch({[{credit, Held}], _}, evum_console:looked(Self, 0, Con2)),
    {_, Con3} = evum_console:looked(Self, 0, Con2),
    %% nothing is held any more
    ?assertMatch({_, [_, {credit, 2}], _}, evum_console:output(<<"x\n">>, Con3)).

an_owner_that_died_test() ->
    Self = self(),
    {Con, Held} = fill(new()),
    {Effects, Con1} = evum_console:gone(Self, Con),
    ?assertEqual([{demonitor, Self}, {credit, Held}], Effects),
    {_, Effects1, Con2} = evum_console:output(<<"x\n">>, Con1),
    ?assertEqual([{credit, 2}], Effects1),
    ?assertMatch(#{discarded := 1}, evum_console:counters(Con2)).

%% Show lines until some are held: so many bytes.
fill(Con) ->
    Line = <<"some line of text\n">>,
    {_, Effects, Con1} = evum_console:output(Line, Con),
    case [N || {credit, N} <- Effects] of
        [_] -> fill(Con1);
        [] -> {Con1, byte_size(Line)}
    end.

%%% Other readers

subscribers_get_all_lines_test() ->
    Self = self(),
    Other = list_to_pid("<0.1.0>"),
    {[{monitor, Other}], Con} = evum_console:subscribe(Other, open()),
    {ok, _, Con1} = evum_console:line(<<"x">>, infinity, from(1), Con),
    {_, Effects, Con2} = evum_console:output(<<"x\nmore\n">>, Con1),
    ?assertEqual(
        [
            {reply, from(1), <<"# x">>},
            {lines, Self, [<<"more">>]},
            {tell, Other, {line, <<"# x">>}},
            {tell, Other, {line, <<"more">>}},
            {credit, 7}
        ],
        Effects
    ),
    %% once is enough
    {[], Con3} = evum_console:subscribe(Other, Con2),
    {[{demonitor, Other}], Con4} = evum_console:unsubscribe(Other, Con3),
    ?assertMatch({_, [{lines, Self, _}, {credit, 2}], _}, evum_console:output(<<"y\n">>, Con4)).

%% The guest waits for a subscriber, but not for ever.
a_subscriber_that_does_not_read_test() ->
    Self = self(),
    Other = list_to_pid("<0.1.0>"),
    {_, Con} = evum_console:subscribe(Other, new()),
    {Con1, Held} = fill(Con),
    {[], Con2} = evum_console:looked(Other, 5000, Con1),
    {_, Con3} = evum_console:looked(Self, 0, Con2),
    %% slow is not silent
    Con4 = poll(Other, fun(N) -> 5000 - N end, 600, Con3),
    ?assertMatch(#{dropped := 0}, evum_console:counters(Con4)),
    Con5 = poll(Other, fun(_) -> 5000 end, 499, Con4),
    ?assertMatch(#{dropped := 0}, evum_console:counters(Con5)),
    {Effects, Con6} = lists:foldl(
        fun(_, {Done, Acc}) ->
            {More, Acc1} = evum_console:looked(Other, 5000, Acc),
            {Done ++ More, Acc1}
        end,
        {[], Con5},
        [1, 2, 3]
    ),
    ?assertEqual([{tell, Other, dropped}, {demonitor, Other}, {credit, Held}], Effects),
    ?assertMatch(#{dropped := 1}, evum_console:counters(Con6)).

poll(Pid, Messages, Times, Con) ->
    lists:foldl(
        fun(N, Acc) ->
            {_, Acc1} = evum_console:expired(poll, Acc),
            {_, Acc2} = evum_console:looked(Pid, Messages(N), Acc1),
            Acc2
        end,
        Con,
        lists:seq(1, Times)
    ).

%% Whoever waits for a stream does not look at its queue: what has no room there
%% is discarded, and nobody waits.
an_owner_that_expects_test() ->
    Self = self(),
    {Con, _} = fill(new()),
    Ref = make_ref(),
    Stream = #{ref => Ref, pid => Self, for => Self, lossy => false, from => expected},
    {_, Backlog, Effects, Con1} = evum_console:listen(Stream, Con),
    ?assertMatch([{credit, _} | _], Effects),
    ?assertMatch(<<"some line", _/binary>>, Backlog),
    {_, Effects1, Con2} = evum_console:output(<<"lost\n">>, Con1),
    ?assertEqual([{send, Self, {Ref, {text, <<"lost\n">>}}}, {credit, 5}, {look, Self}], Effects1),
    ?assertMatch(#{discarded := 1}, evum_console:counters(Con2)),
    %% room again
    {[], Con3} = evum_console:looked(Self, 0, Con2),
    {_, Effects2, _} = evum_console:output(<<"got\n">>, Con3),
    ?assert(lists:member({lines, Self, [<<"got">>]}, Effects2)).

streams_test() ->
    Self = self(),
    Ref = make_ref(),
    Half = binary:copy(<<"x">>, 131072),
    Open = fun(Lossy) ->
        {_, <<>>, _, Con} = evum_console:listen(
            #{ref => Ref, pid => Self, for => Self, lossy => Lossy, from => now}, new()
        ),
        {_, [{send, Self, {Ref, {text, Half}}} | _], Con1} = evum_console:output(Half, Con),
        {_, Effects, Con2} = evum_console:output(Half, Con1),
        {Effects, Con2}
    end,
    %% one that is waited for
    {Effects, Con} = Open(false),
    ?assertEqual([], [N || {credit, N} <- Effects]),
    ?assertMatch({[{credit, 131072}], _}, evum_console:read(Ref, 131072, Con)),
    {_, Con1} = lists:foldl(
        fun(_, {_, Acc}) -> evum_console:expired(poll, Acc) end, {[], Con}, lists:seq(1, 500)
    ),
    {Dropped, _} = evum_console:expired(poll, Con1),
    ?assertEqual([{send, Self, {Ref, dropped}}, {credit, 131072}], Dropped),
    %% one that is not
    {Effects2, Con2} = Open(true),
    ?assertEqual([131072], [N || {credit, N} <- Effects2]),
    {_, Effects3, Con3} = evum_console:output(<<"lost">>, Con2),
    ?assertEqual([], [M || {send, _, M} <- Effects3]),
    {[], Con4} = evum_console:read(Ref, 262144, Con3),
    {_, Effects4, _} = evum_console:output(<<"x">>, Con4),
    ?assertMatch([{send, Self, {Ref, {lost, 4}}}, {send, Self, {Ref, {text, <<"x">>}}} | _], Effects4).

another_owner_test() ->
    Self = self(),
    Other = list_to_pid("<0.1.0>"),
    ?assertEqual({error, not_owner}, evum_console:control(Other, Other, new())),
    {ok, Effects, Con} = evum_console:control(Other, Self, new()),
    ?assertEqual([{demonitor, Self}, {monitor, Other}], Effects),
    ?assertMatch({_, [{lines, Other, _}, _], _}, evum_console:output(<<"x\n">>, Con)),
    {_, Con1} = evum_console:gone(Other, Con),
    ?assertMatch({ok, _, _}, evum_console:control(Self, Self, Con1)).

transcript_test() ->
    {_, _, Con} = evum_console:output(binary:copy(<<"0123456789">>, 100), new()),
    {_, _, Con1} = evum_console:output(<<"end">>, Con),
    Transcript = evum_console:transcript(Con1),
    ?assertEqual(100, byte_size(Transcript)),
    ?assertMatch(<<"3456789", _:90/binary, "end">>, Transcript).

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
