%% SPDX-License-Identifier: Apache-2.0
%% @doc When what is typed on a console reaches the guest: a pure module.
%%
%% Nothing is typed before the shell is up: the guest's terminal would echo it
%% between boot messages, and a program that flushes its terminal would lose
%% it. Whole lines also wait for a prompt, so that the echo comes behind it: a
%% line that is not ended, and ends in what prompts end in. Both waits are
%% bounded: where nothing looks like a prompt, input comes a little later.
%%
%% Once some 4 KB lie unread in a guest, its kernel stops listening to that
%% console for good (`line_throttle()' in `arch/um/drivers/line.c'). So input is
%% paced: after so many bytes the next ones wait until all has been read.
%%
%% A terminal that takes lines (`ICANON') does not tell of one that is not ended,
%% and cuts it off at 4095 bytes. So the beginning of a long line is handed to
%% who reads it by the terminal's VEOF character, which ends a read and no line
%% (POSIX.1, 11.1.9).
%%
%% An agent that does not answer is asked on and on. Meanwhile so much is typed
%% once, and again after each prompt: whoever shows one has read what was typed.
%%
%% Functions return effects for the process around it to carry out:
%% `{write, Bytes, Tag}'; `{timer, Ms}', which asks for one call of
%% {@link expired/1} after so many milliseconds, in place of any earlier one; and
%% `{ask, Ms}', which asks for one call of {@link unread/3} with an answer that
%% the guest gives in so many milliseconds or later, or of {@link unanswered/1}.
-module(evum_typist).

-export([new/0, booting/1, ready/1, type/3, shown/3, expired/1, unread/3, unanswered/1]).
-export([queued/1, limit/0, is_prompt/1]).

-export_type([typist/0, effect/0, kind/0]).

%% The shell has been started and shows no prompt: type after that, ms.
-define(FIRST_PROMPT_WAIT, 3000).
%% A line waits no longer than that for a prompt, ms.
-define(PROMPT_WAIT, 1000).
%% Bytes that wait to be typed.
-define(QUEUE_MAX, (4 bsl 20)).
%% Bytes typed between two looks at what is unread: twice as many would still
%% fit, should one look be a little early ...
-define(PACE, 1536).
%% ... behind so many of a line that is not ended.
-define(LINE_MAX, 800).
%% From the first look that finds something unread to the next, ms; and the
%% longest time between two.
-define(LOOK_MIN, 1).
-define(LOOK_MAX, 50).
%% From a look that was not answered to the next, ms.
-define(LOOK_AGAIN, 1000).
%% What ends a line that a terminal holds, or throws it away, by its defaults: the
%% characters of VINTR, VEOF, newline, return, VKILL, VSUSP, VQUIT.
-define(LINE_ENDS, [<<3>>, <<4>>, <<"\n">>, <<"\r">>, <<21>>, <<26>>, <<28>>]).

-type kind() :: line | bytes.
-type effect() ::
    {write, binary(), Tag :: term()} | {timer, pos_integer()} | {ask, non_neg_integer()}.

-record(typist, {
    phase = booting :: booting | starting | open,
    %% a line has been typed, and none has been ended since
    echoing = false :: boolean(),
    prompt = false :: boolean(),
    %% a timer runs for the line at the head of the queue
    waiting = false :: boolean(),
    queue = queue:new() :: queue:queue({kind(), binary(), term()}),
    bytes = 0 :: non_neg_integer(),
    %% what may be typed before the next look
    room = ?PACE :: non_neg_integer(),
    asking = false :: boolean(),
    look = ?LOOK_MIN :: pos_integer(),
    %% the last look was not answered
    blind = false :: boolean(),
    %% bytes typed since a line was ended, and whether the last of them is in it
    %% for sure: it did not edit the line
    line = 0 :: non_neg_integer(),
    in_line = false :: boolean()
}).

-opaque typist() :: #typist{}.

%% @doc The console of a machine that has just been started.
-spec new() -> typist().
new() -> #typist{}.

%% @doc The machine boots (again); what is queued stays.
-spec booting(typist()) -> typist().
booting(#typist{queue = Queue, bytes = Bytes}) ->
    #typist{queue = Queue, bytes = Bytes}.

%% @doc The program on the console has been started.
-spec ready(typist()) -> {[effect()], typist()}.
ready(#typist{phase = booting, prompt = true} = T) ->
    %% The prompt has come by the console before this came by another way.
    run(T#typist{phase = open});
ready(#typist{phase = booting} = T) ->
    {[{timer, ?FIRST_PROMPT_WAIT}], T#typist{phase = starting}};
ready(T) ->
    {[], T}.

%% @doc Type bytes; a `line' waits for a prompt, `bytes' do not. The tag comes
%% back with the effect that writes them, or the first piece of them. `{error,
%% full}' when too many wait.
-spec type({kind(), binary()}, Tag :: term(), typist()) ->
    {ok, [effect()], typist()} | {error, full}.
type({Kind, Bytes}, Tag, #typist{queue = Queue, bytes = Waiting} = T) ->
    case byte_size(Bytes) + Waiting > ?QUEUE_MAX of
        true ->
            {error, full};
        false ->
            {Effects, T1} = run(T#typist{
                queue = queue:in({Kind, Bytes, Tag}, Queue),
                bytes = Waiting + byte_size(Bytes)
            }),
            {ok, Effects, T1}
    end.

%% @doc The console has shown something: whether lines were ended by it, and
%% what stands behind the last one.
-spec shown(Ended :: boolean(), Partial :: binary(), typist()) -> {[effect()], typist()}.
shown(Ended, Partial, #typist{echoing = Echoing} = T) ->
    Echoing1 = Echoing andalso not Ended,
    T1 = T#typist{echoing = Echoing1, prompt = not Echoing1 andalso is_prompt(Partial)},
    run(all_read(first_prompt(T1))).

%% @doc The time of the last `timer' effect is over.
-spec expired(typist()) -> {[effect()], typist()}.
expired(#typist{phase = starting} = T) ->
    run(T#typist{phase = open});
expired(#typist{phase = open, waiting = true} = T) ->
    run(T#typist{waiting = false, prompt = true});
expired(T) ->
    {[], T}.

%% @doc So many bytes are unread in the guest, whose terminal takes lines where
%% it has that VEOF character, and 0 where it does not.
-spec unread(non_neg_integer(), Eof :: byte(), typist()) -> {[effect()], typist()}.
unread(0, Eof, #typist{asking = true, line = Line, in_line = true} = T) when
    Eof =/= 0, Line > ?LINE_MAX
->
    {[{write, <<Eof>>, none}, {ask, 0}], T#typist{line = 0, in_line = false, blind = false}};
unread(0, Eof, #typist{asking = true} = T) ->
    run((held(Eof, T))#typist{asking = false, room = ?PACE, look = ?LOOK_MIN, blind = false});
unread(_, _, #typist{asking = true, look = Look} = T) ->
    {[{ask, Look}], T#typist{look = min(2 * Look, ?LOOK_MAX), blind = false}};
unread(_, _, T) ->
    {[], T}.

%% Without lines nothing is held of one.
held(0, T) -> T#typist{line = 0, in_line = false};
held(_, T) -> T.

%% @doc It is not known what is unread.
-spec unanswered(typist()) -> {[effect()], typist()}.
unanswered(#typist{asking = true, blind = false} = T) ->
    run(T#typist{asking = false, room = ?PACE, blind = true});
unanswered(#typist{asking = true, bytes = Waiting} = T) when Waiting > 0 ->
    {[{ask, ?LOOK_AGAIN}], T};
unanswered(#typist{asking = true} = T) ->
    {[], T#typist{asking = false}};
unanswered(T) ->
    {[], T}.

%% @doc Whether a line that is not ended is a prompt: it ends in "# ", "$ ",
%% "1> ", "Password: ", "(gdb) ", "[y/N] " or the like. The blank at the end
%% tells it from text whose newline is yet to come: output comes in pieces, and
%% the terminal writes the end of a line as one of its own.
-spec is_prompt(binary()) -> boolean().
is_prompt(Partial) when byte_size(Partial) >= 2 ->
    Mark = binary:at(Partial, byte_size(Partial) - 2),
    binary:last(Partial) =:= $\s andalso lists:member(Mark, "#$%>:?)]");
is_prompt(_) ->
    false.

%% @doc Bytes that wait to be typed.
-spec queued(typist()) -> non_neg_integer().
queued(#typist{bytes = Bytes}) ->
    Bytes.

%% @doc The most bytes that may wait.
-spec limit() -> pos_integer().
limit() -> ?QUEUE_MAX.

first_prompt(#typist{phase = starting, prompt = true} = T) -> T#typist{phase = open};
first_prompt(T) -> T.

all_read(#typist{blind = true, prompt = true} = T) ->
    T#typist{room = ?PACE, line = 0, in_line = false};
all_read(T) ->
    T.

%% Type what may be typed now.
run(#typist{phase = open, queue = Queue} = T) ->
    case queue:peek(Queue) of
        {value, {line, _, _}} when not T#typist.prompt ->
            wait(T);
        {value, _} when T#typist.room =:= 0 ->
            ask(T);
        {value, {Kind, Bytes, Tag}} ->
            {Piece, Rest} = split(Bytes, T#typist.room),
            T1 = typed(Kind, Piece, (in_line(Piece, T))#typist{
                queue = rest(Rest, Tag, queue:drop(Queue)),
                bytes = T#typist.bytes - byte_size(Piece),
                room = T#typist.room - byte_size(Piece),
                waiting = false
            }),
            {Effects, T2} = run(T1),
            {[{write, Piece, Tag} | Effects], T2};
        empty ->
            {[], T}
    end;
run(T) ->
    {[], T}.

split(Bytes, Room) when byte_size(Bytes) > Room ->
    <<Piece:Room/binary, Rest/binary>> = Bytes,
    {Piece, Rest};
split(Bytes, _Room) ->
    {Bytes, <<>>}.

%% What has been begun waits for no prompt.
rest(<<>>, _Tag, Queue) -> Queue;
rest(Rest, Tag, Queue) -> queue:in_r({bytes, Rest, Tag}, Queue).

ask(#typist{asking = true} = T) -> {[], T};
ask(T) -> {[{ask, 0}], T#typist{asking = true}}.

in_line(<<>>, T) ->
    T;
in_line(Piece, #typist{line = Line} = T) ->
    Behind =
        case binary:matches(Piece, ?LINE_ENDS) of
            [] -> Line + byte_size(Piece);
            Ends -> byte_size(Piece) - element(1, lists:last(Ends)) - 1
        end,
    Last = binary:last(Piece),
    T#typist{line = Behind, in_line = Last >= $\s andalso Last =/= 127}.

typed(line, _, T) ->
    T#typist{prompt = false, echoing = true};
typed(bytes, Bytes, T) ->
    case binary:match(Bytes, [<<"\n">>, <<"\r">>]) of
        nomatch -> T;
        _ -> typed(line, Bytes, T)
    end.

wait(#typist{waiting = true} = T) -> {[], T};
wait(T) -> {[{timer, ?PROMPT_WAIT}], T#typist{waiting = true}}.
