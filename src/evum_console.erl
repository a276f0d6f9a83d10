%% SPDX-License-Identifier: Apache-2.0
%% @doc The console of a machine: who gets what it shows, when the guest may
%% show more, and when it is typed to. A pure module.
%%
%% {@link evum_vm} is the process around it: it gives what has happened, and
%% carries out the effects that come back, in their order:
%% <ul>
%% <li>`{write, Bytes}': to the guest's console</li>
%% <li>`{credit, Bytes}': the guest may show so much more</li>
%% <li>`{send, Pid, Message}': to that process</li>
%% <li>`{lines, Pid, Lines}': to that process, each a message</li>
%% <li>`{tell, Pid, What}': to that process, as `{evum, Machine, What}'</li>
%% <li>`{reply, From, Reply}': to a caller</li>
%% <li>`{timer, Tag, Ms}': call {@link expired/2} with the tag after so many
%%   milliseconds, in place of an earlier timer of that tag</li>
%% <li>`ask': call {@link unread/3} with the number of bytes that the guest has
%%   not read</li>
%% <li>`{look, Pid}': call {@link looked/3} with the number of messages that
%%   wait in that process' queue</li>
%% <li>`{monitor, Pid}', `{demonitor, Pid}': call {@link gone/2} when that
%%   process dies</li>
%% </ul>
%%
%% == Readers ==
%%
%% The owner and subscribers get lines, and are taken to read while few
%% messages wait in their queues. Streams, those of `evum:expect/3', of attached
%% terminals and of a transcript file, get the bytes as they come, and say how
%% many they have dealt with. The guest may show more when all have read:
%% nothing is lost, and nothing grows without bound. There are two exceptions.
%%
%% A process that itself waits in `expect/3' or `attach/1' does not look at its
%% queue, and must not make the console wait for what it waits for: lines that
%% find its queue full are discarded and counted.
%%
%% And only the owner may keep the guest waiting for ever. A subscriber or a
%% terminal that has not read for some seconds, while the guest waited for it, is
%% told so and dropped: who only looks on does not hold a machine up for good. A
%% transcript's file never keeps the guest waiting; it is told what it has lost.
-module(evum_console).

-export([new/3, output/2, line/4, bytes/2, booting/1, ready/1, unread/3, unanswered/1]).
-export([control/3, subscribe/2, unsubscribe/2]).
-export([listen/2, read/3, unlisten/2, expected/2, transcript/1]).
-export([expired/2, looked/3, gone/2, release/1, counters/1]).

-export_type([console/0, effect/0, tag/0, stream/0]).

%% Unread lines are no concern up to so many bytes for a reader ...
-define(UNREAD_FREE, 262144).
%% ... and beyond them while it has fewer messages than that waiting.
-define(MESSAGES, 1000).
%% How often readers who do not read are looked at, ms.
-define(POLL, 10).
%% Who only looks on is dropped after so many looks without progress: 5 s.
-define(PATIENCE, 500).
%% What a line costs in a mailbox beside its bytes.
-define(LINE_COST, 64).

%% An agent that has not answered in that time cannot be asked, ms.
-define(ANSWER_LIMIT, 1000).
%% Where there is none, what was typed is taken as read after that, ms.
-define(READ_TIME, 100).

-type tag() :: typist | poll | ask | answer | {caller, reference()}.
-type effect() ::
    {write, binary()}
    | {credit, pos_integer()}
    | {send, pid(), term()}
    | {lines, pid(), [binary()]}
    | {tell, pid(), term()}
    | {reply, gen_server:from(), binary() | timeout}
    | {timer, tag(), non_neg_integer()}
    | ask
    | {look, pid()}
    | {monitor | demonitor, pid()}.

%% Whose messages are `{Ref, {text, Bytes}}', `{Ref, {lost, Bytes}}' where it is
%% lossy, and `{Ref, dropped}'. `for' is the process that waits for what it does.
-type stream() :: #{
    ref := reference(),
    pid := pid(),
    for := pid(),
    lossy := boolean(),
    from := expected | line | now
}.

-record(reader, {
    pid :: pid(),
    for :: pid(),
    policy :: wait | patient | lossy,
    unread = 0 :: non_neg_integer(),
    %% messages in its queue when it was last looked at
    queue = 0 :: non_neg_integer(),
    %% looks since it has last read something
    stalled = 0 :: non_neg_integer(),
    %% bytes that a lossy stream has not been told of yet
    lost = 0 :: non_neg_integer()
}).

-type key() :: owner | {lines, pid()} | {stream, reference()}.

-record(console, {
    readers :: #{key() => #reader{}},
    lines = evum_lines:new() :: evum_lines:lines(),
    typist :: evum_typist:typist(),
    %% there is one to ask what is unread
    agent :: boolean(),
    %% it has been asked, and has not answered
    asked = false :: boolean(),
    %% callers of evum:send/3, in the order of their typing; of none the line
    %% that comes next is the owner's
    callers = [] :: [{reference(), gen_server:from(), Typed :: boolean()}],
    %% what has been shown of late, for transcripts and evum:expect/3
    window :: evum_window:window(),
    transcript :: non_neg_integer(),
    %% what evum:expect/3 has found is before that
    expected = evum_expect:position(0) :: evum_expect:position(),
    %% credit kept back from the guest while somebody does not read
    held = 0 :: non_neg_integer(),
    polling = false :: boolean(),
    counters = #{lines => 0, bytes => 0, discarded => 0, dropped => 0} ::
        #{atom() => non_neg_integer()}
}).

-opaque console() :: #console{}.

%% @doc The console of a machine that has just been started, the bytes that a
%% transcript is made of, and whether the guest can be asked what is unread.
-spec new(Owner :: pid(), Transcript :: non_neg_integer(), Agent :: boolean()) ->
    {[effect()], console()}.
new(Owner, Transcript, Agent) ->
    Console = #console{
        readers = #{owner => reader(Owner, wait)},
        typist = evum_typist:new(),
        agent = Agent,
        transcript = Transcript,
        window = evum_window:new(max(Transcript, evum_expect:limit()))
    },
    {[{monitor, Owner}], Console}.

reader(Pid, Policy) ->
    #reader{pid = Pid, for = Pid, policy = Policy}.

%% @doc The guest has shown something: the lines that it completes, and what
%% follows.
-spec output(binary(), console()) -> {Ended :: [binary()], [effect()], console()}.
output(Bytes, #console{lines = Lines, typist = Typist, window = Window} = Con) ->
    {Ended, Lines1} = evum_lines:feed(Bytes, Lines),
    Con1 = Con#console{lines = Lines1, window = evum_window:add(Bytes, Window)},
    {Streamed, Con2} = stream(Bytes, Con1),
    {Delivered, Con3} = deliver(Ended, Con2),
    {Typed, Con4} = type(
        evum_typist:shown(Ended =/= [], evum_lines:partial(Lines1), Typist), Con3
    ),
    {Given, Con5} = give_credit(byte_size(Bytes), Con4),
    {Ended, Streamed ++ Delivered ++ Typed ++ Given, Con5}.

%% @doc Type a line for a caller, who gets the next one that is shown, or
%% `timeout'.
-spec line(binary(), timeout(), gen_server:from(), console()) ->
    {ok, [effect()], console()} | {error, full}.
line(Line, Timeout, From, #console{typist = Typist, callers = Callers} = Con) ->
    Ref = make_ref(),
    case evum_typist:type({line, <<Line/binary, $\n>>}, Ref, Typist) of
        {ok, Effects, Typist1} ->
            Timers = [{timer, {caller, Ref}, Timeout} || Timeout =/= infinity],
            {Typed, Con1} = type(
                {Effects, Typist1}, Con#console{callers = Callers ++ [{Ref, From, false}]}
            ),
            {ok, Timers ++ Typed, Con1};
        {error, full} = Error ->
            Error
    end.

%% @doc Type bytes.
-spec bytes(binary(), console()) ->
    {ok, [effect()], console()} | {error, full}.
bytes(Bytes, #console{typist = Typist} = Con) ->
    case evum_typist:type({bytes, Bytes}, none, Typist) of
        {ok, Effects, Typist1} ->
            {Typed, Con1} = type({Effects, Typist1}, Con),
            {ok, Typed, Con1};
        {error, _} = Error ->
            Error
    end.

%% @doc The machine boots, maybe once more.
-spec booting(console()) -> console().
booting(#console{typist = Typist} = Con) ->
    Con#console{typist = evum_typist:booting(Typist)}.

%% @doc The program on the console has been started.
-spec ready(console()) -> {[effect()], console()}.
ready(#console{typist = Typist} = Con) ->
    type(evum_typist:ready(Typist), Con).

%% @doc So many bytes that were typed are unread in the guest; see
%% {@link evum_typist:unread/3}.
-spec unread(non_neg_integer(), byte(), console()) -> {[effect()], console()}.
unread(Bytes, Eof, #console{typist = Typist} = Con) ->
    type(evum_typist:unread(Bytes, Eof, Typist), Con#console{asked = false}).

%% @doc The guest cannot say what is unread.
-spec unanswered(console()) -> {[effect()], console()}.
unanswered(#console{typist = Typist} = Con) ->
    type(evum_typist:unanswered(Typist), Con#console{asked = false}).

%%% Readers come and go -----------------------------------------------------------

%% @doc Give the lines to another owner. Only the owner may do so, or anybody
%% once it has died.
-spec control(New :: pid(), Caller :: pid(), console()) ->
    {ok, [effect()], console()} | {error, not_owner}.
control(New, Caller, #console{readers = Readers} = Con) ->
    case Readers of
        #{owner := #reader{pid = Owner}} when Owner =/= Caller ->
            {error, not_owner};
        #{} ->
            {Effects, Con1} = with_readers(Readers#{owner => reader(New, wait)}, Con),
            {ok, Effects, Con1}
    end.

%% @doc Let a process have the lines, too.
-spec subscribe(pid(), console()) -> {[effect()], console()}.
subscribe(Pid, #console{readers = Readers} = Con) ->
    with_readers(maps:merge(#{{lines, Pid} => reader(Pid, patient)}, Readers), Con).

%% @doc A process has enough of the lines.
-spec unsubscribe(pid(), console()) -> {[effect()], console()}.
unsubscribe(Pid, #console{readers = Readers} = Con) ->
    with_readers(maps:remove({lines, Pid}, Readers), Con).

%% @doc Open a stream: where it starts, and what has been shown since.
-spec listen(stream(), console()) ->
    {evum_expect:position(), binary(), [effect()], console()}.
listen(#{ref := Ref, pid := Pid, for := For, lossy := Lossy, from := From}, Con) ->
    #console{readers = Readers, window = Window, expected = Expected} = Con,
    Policy =
        case Lossy of
            true -> lossy;
            false -> patient
        end,
    Reader = (reader(Pid, Policy))#reader{for = For},
    {Effects, Con1} = with_readers(Readers#{{stream, Ref} => Reader}, Con),
    Wanted =
        case From of
            expected -> Expected;
            line -> evum_expect:position(last_line(Window));
            now -> evum_expect:position(evum_window:total(Window))
        end,
    Offset = evum_expect:offset(Wanted),
    case evum_window:since(Offset, Window) of
        {Offset, Bytes} -> {Wanted, Bytes, Effects, Con1};
        %% what it wanted is not there any more
        {Start, Bytes} -> {evum_expect:position(Start), Bytes, Effects, Con1}
    end.

%% Where the line starts that is not ended yet.
last_line(Window) ->
    {_, Bytes} = evum_window:since(0, Window),
    evum_window:total(Window) - byte_size(lists:last(binary:split(Bytes, <<"\n">>, [global]))).

%% @doc A stream's reader has dealt with so many bytes.
-spec read(reference(), non_neg_integer(), console()) -> {[effect()], console()}.
read(Ref, Bytes, #console{readers = Readers} = Con) ->
    Key = {stream, Ref},
    case Readers of
        #{Key := #reader{unread = Unread} = Reader} ->
            Reader1 = Reader#reader{unread = max(0, Unread - Bytes), stalled = 0},
            settle(Con#console{readers = Readers#{Key := Reader1}});
        #{} ->
            {[], Con}
    end.

%% @doc Close a stream.
-spec unlisten(reference(), console()) -> {[effect()], console()}.
unlisten(Ref, #console{readers = Readers} = Con) ->
    with_readers(maps:remove({stream, Ref}, Readers), Con).

%% @doc What is before a position has been found, and is not looked at again.
-spec expected(evum_expect:position(), console()) -> console().
expected(Position, #console{expected = Before} = Con) ->
    case evum_expect:offset(Position) >= evum_expect:offset(Before) of
        true -> Con#console{expected = Position};
        false -> Con
    end.

%% @doc The last of what has been shown, as it came.
-spec transcript(console()) -> binary().
transcript(#console{window = Window, transcript = Size}) ->
    {_, Bytes} = evum_window:since(max(0, evum_window:total(Window) - Size), Window),
    Bytes.

%% @doc A process has died.
-spec gone(pid(), console()) -> {[effect()], console()}.
gone(Pid, #console{readers = Readers} = Con) ->
    with_readers(maps:filter(fun(_, #reader{pid = P}) -> P =/= Pid end, Readers), Con).

%% @doc From now on nobody is waited for, and the owner has died.
-spec release(console()) -> {[effect()], console()}.
release(#console{readers = Readers} = Con) ->
    Streams = maps:filter(fun(_, #reader{policy = Policy}) -> Policy =:= lossy end, Readers),
    with_readers(Streams, Con).

%% @doc What has been shown: lines and bytes, lines that were for nobody or found
%% a queue full, readers that were dropped.
-spec counters(console()) -> #{lines | bytes | discarded | dropped => non_neg_integer()}.
counters(#console{counters = Counters}) ->
    Counters.

%% Whoever is in there first or last is monitored from or until now.
with_readers(Readers, #console{readers = Before} = Con) ->
    {Old, New} = {pids(Before), pids(Readers)},
    {Effects, Con1} = give_credit(0, Con#console{readers = Readers}),
    {
        [{demonitor, Pid} || Pid <- Old -- New] ++ [{monitor, Pid} || Pid <- New -- Old] ++
            Effects,
        Con1
    }.

pids(Readers) ->
    lists:usort([Pid || #reader{pid = Pid} <- maps:values(Readers)]).

%%% Time, and looks -----------------------------------------------------------------
%% @doc The time of a `timer' effect is over.
-spec expired(tag(), console()) -> {[effect()], console()}.
expired(typist, #console{typist = Typist} = Con) ->
    type(evum_typist:expired(Typist), Con);
expired(ask, Con) ->
    ask(Con);
%% Where there is nobody to ask, time tells.
expired(answer, #console{asked = true, agent = false} = Con) ->
    unread(0, 0, Con);
%% The answer may still come.
expired(answer, #console{asked = true, typist = Typist} = Con) ->
    type(evum_typist:unanswered(Typist), Con);
expired(answer, Con) ->
    {[], Con};
expired(poll, Con) ->
    {Dropped, Con1} = stalled([{stream, R} || {stream, R} <- blocking(Con)], Con),
    {Effects, Con2} = give_credit(0, Con1#console{polling = false}),
    {Dropped ++ Effects, Con2};
expired({caller, Ref}, #console{callers = Callers} = Con) ->
    case lists:keytake(Ref, 1, Callers) of
        {value, {Ref, From, _}, Rest} -> {[{reply, From, timeout}], Con#console{callers = Rest}};
        false -> {[], Con}
    end.

%% @doc A process has so many messages waiting.
-spec looked(pid(), non_neg_integer(), console()) -> {[effect()], console()}.
looked(Pid, Messages, #console{readers = Readers} = Con) ->
    Keys = [Key || Key <- [owner, {lines, Pid}], is_full(Key, Pid, Readers)],
    Looked = lists:foldl(
        fun(Key, Acc) -> Acc#{Key := look(Messages, maps:get(Key, Acc))} end, Readers, Keys
    ),
    Stalled = [Key || Key <- Keys, Messages >= ?MESSAGES, lists:member(Key, blocking(Con))],
    {Dropped, Con1} = stalled(Stalled, Con#console{readers = Looked}),
    {Effects, Con2} = settle(Con1),
    {Dropped ++ Effects, Con2}.

is_full(Key, Pid, Readers) ->
    case Readers of
        #{Key := #reader{pid = Pid} = Reader} -> is_full(Reader);
        #{} -> false
    end.

look(Messages, Reader) when Messages < ?MESSAGES ->
    Reader#reader{unread = 0, queue = 0, stalled = 0};
look(Messages, #reader{queue = Before} = Reader) when Messages < Before ->
    Reader#reader{queue = Messages, stalled = 0};
look(Messages, Reader) ->
    Reader#reader{queue = Messages}.

%% The guest waits for these readers, and they have not read.
stalled(Keys, Con) ->
    lists:foldl(
        fun(Key, {Effects, Acc}) ->
            {More, Acc1} = stalled_reader(Key, Acc),
            {More ++ Effects, Acc1}
        end,
        {[], Con},
        Keys
    ).

stalled_reader(Key, #console{readers = Readers, counters = Counters} = Con) ->
    case Readers of
        #{Key := #reader{policy = patient, stalled = N, pid = Pid}} when N >= ?PATIENCE ->
            Con1 = Con#console{counters = maps:update_with(dropped, fun(D) -> D + 1 end, Counters)},
            {Effects, Con2} = with_readers(maps:remove(Key, Readers), Con1),
            {[dropped(Key, Pid) | Effects], Con2};
        #{Key := #reader{stalled = N} = Reader} ->
            {[], Con#console{readers = Readers#{Key := Reader#reader{stalled = N + 1}}}};
        %% dropped with another of the same process
        #{} ->
            {[], Con}
    end.

dropped({stream, Ref}, Pid) -> {send, Pid, {Ref, dropped}};
dropped({lines, Pid}, Pid) -> {tell, Pid, dropped}.

%%% What is shown -------------------------------------------------------------------

%% The typist's effects.
type({Effects, Typist}, Con) ->
    type(Effects, [], Con#console{typist = Typist}).

type([], Done, Con) ->
    {lists:append(lists:reverse(Done)), Con};
type([{timer, Ms} | Rest], Done, Con) ->
    type(Rest, [[{timer, typist, Ms}] | Done], Con);
type([{ask, 0} | Rest], Done, Con) ->
    {Asked, Con1} = ask(Con),
    type(Rest, [Asked | Done], Con1);
type([{ask, Ms} | Rest], Done, Con) ->
    type(Rest, [[{timer, ask, Ms}] | Done], Con);
type([{write, Bytes, Ref} | Rest], Done, #console{callers = Callers} = Con) ->
    Callers1 =
        case lists:keyfind(Ref, 1, Callers) of
            {Ref, From, false} -> lists:keyreplace(Ref, 1, Callers, {Ref, From, true});
            %% of nobody who waits, or not the first piece
            _ -> Callers
        end,
    %% A caller who waits reads, whatever the owner does.
    {Given, Con1} = give_credit(0, Con#console{callers = Callers1}),
    type(Rest, [[{write, Bytes} | Given] | Done], Con1).

ask(#console{agent = false} = Con) ->
    {[{timer, answer, ?READ_TIME}], Con#console{asked = true}};
ask(#console{asked = true} = Con) ->
    {[{timer, answer, ?ANSWER_LIMIT}], Con};
ask(Con) ->
    {[{timer, answer, ?ANSWER_LIMIT}, ask], Con#console{asked = true}}.

stream(Bytes, #console{readers = Readers} = Con) ->
    Streams = [{Key, Reader} || {{stream, _} = Key, Reader} <- maps:to_list(Readers)],
    {Effects, Streamed} = lists:unzip([streamed(Bytes, Key, R) || {Key, R} <- Streams]),
    {lists:append(Effects), Con#console{readers = maps:merge(Readers, maps:from_list(Streamed))}}.

streamed(Bytes, {stream, Ref} = Key, #reader{pid = Pid, unread = Unread, lost = Lost} = Reader) ->
    case Reader#reader.policy =:= lossy andalso is_full(Reader) of
        true ->
            {[], {Key, Reader#reader{lost = Lost + byte_size(Bytes)}}};
        false ->
            {
                [{send, Pid, {Ref, {lost, Lost}}} || Lost > 0] ++ [{send, Pid, {Ref, {text, Bytes}}}],
                {Key, Reader#reader{unread = Unread + byte_size(Bytes), lost = 0}}
            }
    end.

%% All lines are for subscribers; the owner gets those that no caller waits for.
deliver([], Con) ->
    {[], Con};
deliver(Lines, #console{readers = Readers} = Con) ->
    Subscribers = [Key || {lines, _} = Key <- maps:keys(Readers)],
    {Told, Con1} = lists:foldl(
        fun(Key, {Effects, Acc}) ->
            {More, Acc1} = deliver_to(Key, Lines, Acc),
            {More ++ Effects, Acc1}
        end,
        {[], count(bytes, iolist_size(Lines), Con)},
        Subscribers
    ),
    {Replies, Rest, Con2} = answer(Lines, [], Con1),
    {Owned, Con3} = deliver_to(owner, Rest, Con2),
    {Replies ++ Owned ++ Told, Con3}.

answer([Line | Lines], Done, #console{callers = [{_, From, true} | Callers]} = Con) ->
    answer(Lines, [{reply, From, Line} | Done], count(lines, 1, Con#console{callers = Callers}));
answer(Lines, Done, Con) ->
    {lists:reverse(Done), Lines, Con}.

deliver_to(_Key, [], Con) ->
    {[], Con};
deliver_to(Key, Lines, #console{readers = Readers} = Con) ->
    case Readers of
        #{Key := #reader{unread = Unread} = Reader} ->
            case is_full(Reader) andalso is_lossy(Reader, Con) of
                true ->
                    {[], count(discarded, length(Lines), Con)};
                false ->
                    Size = iolist_size(Lines) + ?LINE_COST * length(Lines),
                    Reader1 = Reader#reader{unread = Unread + Size},
                    Con1 = Con#console{readers = Readers#{Key := Reader1}},
                    shown_to(Key, Reader#reader.pid, Lines, Con1)
            end;
        %% the owner has died
        #{} ->
            {[], count(discarded, length(Lines), Con)}
    end.

shown_to(owner, Pid, Lines, Con) ->
    {[{lines, Pid, Lines}], count(lines, length(Lines), Con)};
shown_to({lines, Pid}, Pid, Lines, Con) ->
    {[{tell, Pid, {line, Line}} || Line <- Lines], Con}.

count(What, N, #console{counters = Counters} = Con) ->
    Con#console{counters = maps:update_with(What, fun(Before) -> Before + N end, Counters)}.

%%% Credit --------------------------------------------------------------------------

%% Credit for what has been consumed: all of it goes back at once, unless
%% somebody has stopped reading; then none does until they read again.
give_credit(Bytes, #console{held = Held, readers = Readers} = Con) ->
    Full = [Pid || {Key, #reader{pid = Pid} = R} <- maps:to_list(Readers), has_queue(Key), is_full(R)],
    {Effects, Con1} = settle(Con#console{held = Held + Bytes}),
    {Effects ++ [{look, Pid} || Pid <- lists:usort(Full)], Con1}.

settle(#console{held = 0} = Con) ->
    {[], Con};
settle(#console{held = Held, polling = Polling} = Con) ->
    case blocking(Con) of
        [] -> {[{credit, Held}], Con#console{held = 0}};
        _ when Polling -> {[], Con};
        _ -> {[{timer, poll, ?POLL}], Con#console{polling = true}}
    end.

%% The readers that the guest has to wait for.
blocking(#console{readers = Readers} = Con) ->
    [Key || {Key, Reader} <- maps:to_list(Readers), is_full(Reader), is_waited_for(Key, Reader, Con)].

%% A caller of send/3 is waiting for a line, so that it counts as a reader.
is_waited_for(owner, _Reader, #console{callers = [{_, _, true} | _]}) -> false;
is_waited_for({stream, _}, #reader{policy = Policy}, _Con) -> Policy =/= lossy;
is_waited_for(_Key, Reader, Con) -> not is_lossy(Reader, Con).

is_full(#reader{unread = Unread}) -> Unread >= ?UNREAD_FREE.

has_queue({stream, _}) -> false;
has_queue(_) -> true.

%% It waits for a stream of its own, and does not look at its queue.
is_lossy(#reader{pid = Pid}, #console{readers = Readers}) ->
    lists:any(
        fun({Key, #reader{for = For}}) -> For =:= Pid andalso not has_queue(Key) end,
        maps:to_list(Readers)
    ).
