%% SPDX-License-Identifier: Apache-2.0
%% @doc Expecting and sending on a machine's console: what runs in the process
%% of the caller, around {@link evum_expect}.
%%
%% So an expression that takes long keeps its caller waiting, and no machine.
-module(evum_script).

-export([expect/3, run/2]).

-export_type([step/0, error/0]).

%% Nothing has to come for that long for a line to be taken as it is, ms.
-define(QUIET, 50).
%% Text that is looked at at once, where more is waiting, bytes.
-define(BATCH, 32768).
%% A step that does not say how long it waits, ms.
-define(STEP_TIMEOUT, 30000).

-type step() ::
    {expect, Patterns :: term()}
    | {expect, Patterns :: term(), timeout()}
    | {send, Line :: iodata()}
    | {puts, iodata()}.
-type error() ::
    evum_expect:bad_pattern()
    | no_machine
    | {timeout, Seen :: binary()}
    | {ended, Reason :: term(), Seen :: binary()}
    | {too_slow, Seen :: binary()}.

-record(wait, {
    machine :: pid(),
    stream :: reference(),
    deadline :: evum_deadline:deadline(),
    expect :: evum_expect:expect()
}).

%% @doc See {@link evum:expect/3}.
-spec expect(pid(), Patterns :: term(), timeout()) ->
    {ok, evum_expect:found()} | {error, error()}.
expect(Machine, Patterns, Timeout) ->
    case evum_expect:compile(Patterns) of
        {ok, Compiled} -> listen(Machine, Compiled, Timeout);
        {error, _} = Error -> Error
    end.

listen(Machine, Patterns, Timeout) ->
    Deadline = evum_deadline:new(Timeout),
    case evum_vm:listen(Machine, self(), expected) of
        {ok, Stream, Position, Bytes} ->
            Result = feed(Bytes, #wait{
                machine = Machine,
                stream = Stream,
                deadline = Deadline,
                expect = evum_expect:new(Patterns, Position)
            }),
            ok = evum_vm:unlisten(Machine, Stream),
            Result;
        {error, _} = Error ->
            Error
    end.

feed(Bytes, #wait{expect = Expect} = Wait) ->
    Expect1 = evum_expect:feed(Bytes, Expect),
    case evum_expect:pending(Expect1) < ?BATCH of
        true -> more(waiting, Wait#wait{expect = Expect1});
        false -> look(Wait#wait{expect = Expect1})
    end.

look(#wait{expect = Expect} = Wait) ->
    case evum_expect:look(Expect) of
        {more, Expect1} -> more(quiet, Wait#wait{expect = Expect1});
        Found -> found(Found, Wait)
    end.

%% First take what is waiting and look at it, then wait for as long as tells
%% that the console has settled, then for the rest of the time.
more(Until, #wait{machine = Machine, stream = Stream, expect = Expect} = Wait) ->
    receive
        {Stream, {text, Bytes}} ->
            ok = evum_vm:read(Machine, Stream, byte_size(Bytes)),
            feed(Bytes, Wait);
        {Stream, dropped} ->
            {error, {too_slow, evum_expect:seen(Expect)}};
        {'DOWN', Stream, process, _, Reason} ->
            ended(Reason, Wait)
    after time(Until, Wait) ->
        case Until of
            waiting -> look(Wait);
            quiet -> settle(fun(_) -> more(deadline, Wait) end, Wait);
            deadline -> {error, {timeout, evum_expect:seen(Expect)}}
        end
    end.

ended(Reason, #wait{expect = Expect} = Wait) ->
    case evum_expect:look(Expect) of
        {more, Expect1} ->
            settle(
                fun(Seen) -> {error, {ended, Reason, Seen}} end, Wait#wait{expect = Expect1}
            );
        Found ->
            found(Found, Wait)
    end.

settle(Else, #wait{expect = Expect} = Wait) ->
    case evum_expect:settle(Expect) of
        {more, _} -> Else(evum_expect:seen(Expect));
        Found -> found(Found, Wait)
    end.

found({found, Found, Position}, #wait{machine = Machine}) ->
    ok = evum_vm:expected(Machine, Position),
    {ok, Found}.

time(waiting, _) -> 0;
time(deadline, #wait{deadline = Deadline}) -> evum_deadline:left(Deadline);
%% A number is less than an atom.
time(quiet, Wait) -> min(?QUIET, time(deadline, Wait)).

%% @doc See {@link evum:script/2}.
-spec run(pid(), [step()]) ->
    {ok, [evum_expect:found()]}
    | {error, {step, pos_integer(), term(), error() | bad_step | full | stopped}}.
run(Machine, Steps) ->
    Numbered = lists:enumerate(Steps),
    %% nothing is typed by a script that cannot be carried out
    case [{N, Step, Error} || {N, Step} <- Numbered, {error, Error} <- [check(Step)]] of
        [{N, Step, Error} | _] -> {error, {step, N, Step, Error}};
        [] -> run(Machine, Numbered, [])
    end.

run(_Machine, [], Found) ->
    {ok, lists:reverse(Found)};
run(Machine, [{N, Step} | Steps], Found) ->
    case step(Machine, Step) of
        ok -> run(Machine, Steps, Found);
        {ok, What} -> run(Machine, Steps, [What | Found]);
        {error, Reason} -> {error, {step, N, Step, Reason}}
    end.

check({expect, Patterns}) -> check({expect, Patterns, ?STEP_TIMEOUT});
check({expect, Patterns, T}) when T =:= infinity; is_integer(T), T >= 0 ->
    evum_expect:compile(Patterns);
check({Op, Data}) when Op =:= send; Op =:= puts ->
    try iolist_size(Data) of
        _ -> ok
    catch
        error:badarg -> {error, bad_step}
    end;
check(_) ->
    {error, bad_step}.

step(Machine, {expect, Patterns}) -> expect(Machine, Patterns, ?STEP_TIMEOUT);
step(Machine, {expect, Patterns, Timeout}) -> expect(Machine, Patterns, Timeout);
step(Machine, {send, Line}) -> evum:puts(Machine, [Line, $\n]);
step(Machine, {puts, Bytes}) -> evum:puts(Machine, Bytes).
