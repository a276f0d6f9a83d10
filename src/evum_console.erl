%% SPDX-License-Identifier: Apache-2.0
%% @doc The console of a machine: who gets what it shows, when the guest may
%% show more, and when it is typed to. A pure module.
%%
%% {@link evum_vm} is the process around it: it gives what has happened, and
%% carries out the effects that come back, in their order:
%% <ul>
%% <li>`{write, Bytes}': to the guest's console</li>
%% <li>`{credit, Bytes}': the guest may show so much more</li>
%% <li>`{lines, Pid, Lines}': a message each to that process</li>
%% <li>`{reply, From, Reply}': to a caller</li>
%% <li>`{timer, Tag, Ms}': call {@link expired/2} with the tag after so many
%%   milliseconds, in place of an earlier timer of that tag</li>
%% <li>`{look, Pid}': call {@link looked/3} with the number of messages that
%%   wait in that process' queue</li>
%% </ul>
-module(evum_console).

-export([new/1, output/2, line/4, bytes/2, booting/1, ready/1]).
-export([expired/2, looked/3, gone/2, release/1, counters/1]).

-export_type([console/0, effect/0, tag/0]).

%% Unread lines are no concern up to so many bytes for a machine ...
-define(UNREAD_FREE, 262144).
%% ... and beyond them while the owner has fewer messages than that waiting.
-define(OWNER_MESSAGES, 1000).
%% How often an owner who does not read is looked at, ms.
-define(OWNER_POLL, 10).
%% What a line costs in the owner's mailbox beside its bytes.
-define(LINE_COST, 64).

-type tag() :: typist | poll | {caller, reference()}.
-type effect() ::
    {write, binary()}
    | {credit, pos_integer()}
    | {lines, pid(), [binary()]}
    | {reply, gen_server:from(), binary() | timeout}
    | {timer, tag(), non_neg_integer()}
    | {look, pid()}.

-record(console, {
    %% none once the owner has died
    owner :: pid() | none,
    lines = evum_lines:new() :: evum_lines:lines(),
    typist = evum_typist:new() :: evum_typist:typist(),
    %% callers of evum:send/3, in the order of their typing; of none the line
    %% that comes next is the owner's
    callers = [] :: [{reference(), gen_server:from(), Typed :: boolean()}],
    unread = 0 :: non_neg_integer(),
    %% credit kept back from the guest while the owner does not read
    held = 0 :: non_neg_integer(),
    polling = false :: boolean(),
    counters = #{lines => 0, bytes => 0, discarded => 0} :: #{atom() => non_neg_integer()}
}).

-opaque console() :: #console{}.

%% @doc The console of a machine that has just been started.
-spec new(Owner :: pid()) -> console().
new(Owner) ->
    #console{owner = Owner}.

%% @doc The guest has shown something: the lines that it completes, and what
%% follows.
-spec output(binary(), console()) -> {Ended :: [binary()], [effect()], console()}.
output(Bytes, #console{lines = Lines, typist = Typist} = Con) ->
    {Ended, Lines1} = evum_lines:feed(Bytes, Lines),
    {Delivered, Con1} = deliver(Ended, Con#console{lines = Lines1}),
    {Typed, Con2} = type(
        evum_typist:shown(Ended =/= [], evum_lines:partial(Lines1), Typist), Con1
    ),
    {Given, Con3} = give_credit(byte_size(Bytes), Con2),
    {Ended, Delivered ++ Typed ++ Given, Con3}.

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
-spec bytes(binary(), console()) -> {ok, [effect()], console()} | {error, full}.
bytes(Bytes, #console{typist = Typist} = Con) ->
    case evum_typist:type({bytes, Bytes}, none, Typist) of
        {ok, Effects, Typist1} ->
            {Typed, Con1} = type({Effects, Typist1}, Con),
            {ok, Typed, Con1};
        {error, full} = Error ->
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

%% @doc The time of a `timer' effect is over.
-spec expired(tag(), console()) -> {[effect()], console()}.
expired(typist, #console{typist = Typist} = Con) ->
    type(evum_typist:expired(Typist), Con);
expired(poll, Con) ->
    give_credit(0, Con#console{polling = false});
expired({caller, Ref}, #console{callers = Callers} = Con) ->
    case lists:keytake(Ref, 1, Callers) of
        {value, {Ref, From, _}, Rest} -> {[{reply, From, timeout}], Con#console{callers = Rest}};
        false -> {[], Con}
    end.

%% @doc A process has so many messages waiting.
-spec looked(pid(), non_neg_integer(), console()) -> {[effect()], console()}.
looked(Owner, Messages, #console{owner = Owner} = Con) when Messages < ?OWNER_MESSAGES ->
    give_credit(0, Con#console{unread = 0});
looked(Owner, _, #console{owner = Owner, polling = false} = Con) ->
    {[{timer, poll, ?OWNER_POLL}], Con#console{polling = true}};
looked(_, _, Con) ->
    {[], Con}.

%% @doc A process has died.
-spec gone(pid(), console()) -> {[effect()], console()}.
gone(Owner, #console{owner = Owner} = Con) ->
    release(Con);
gone(_, Con) ->
    {[], Con}.

%% @doc From now on the lines are for nobody, and nobody is waited for.
-spec release(console()) -> {[effect()], console()}.
release(Con) ->
    give_credit(0, Con#console{owner = none}).

%% @doc Lines and bytes that have been shown, and lines that were for nobody.
-spec counters(console()) -> #{lines | bytes | discarded => non_neg_integer()}.
counters(#console{counters = Counters}) ->
    Counters.

%%% ---------------------------------------------------------------------------

%% The typist's effects.
type({Effects, Typist}, Con) ->
    type(Effects, [], Con#console{typist = Typist}).

type([], Done, Con) ->
    {lists:append(lists:reverse(Done)), Con};
type([{timer, Ms} | Rest], Done, Con) ->
    type(Rest, [[{timer, typist, Ms}] | Done], Con);
type([{write, Bytes, Ref} | Rest], Done, #console{callers = Callers} = Con) ->
    Callers1 =
        case lists:keyfind(Ref, 1, Callers) of
            {Ref, From, false} -> lists:keyreplace(Ref, 1, Callers, {Ref, From, true});
            false -> Callers
        end,
    %% A caller who waits reads, whatever the owner does.
    {Given, Con1} = give_credit(0, Con#console{callers = Callers1}),
    type(Rest, [[{write, Bytes} | Given] | Done], Con1).

deliver([], Con) ->
    {[], Con};
deliver([Line | Lines], #console{callers = [{_, From, true} | Callers]} = Con) ->
    {Effects, Con1} = deliver(Lines, count(lines, [Line], Con#console{callers = Callers})),
    {[{reply, From, Line} | Effects], Con1};
deliver(Lines, #console{owner = none} = Con) ->
    {[], count(discarded, Lines, Con)};
deliver(Lines, #console{owner = Owner, unread = Unread} = Con) ->
    Size = iolist_size(Lines) + ?LINE_COST * length(Lines),
    {[{lines, Owner, Lines}], count(lines, Lines, Con#console{unread = Unread + Size})}.

count(What, Lines, #console{counters = #{bytes := Bytes} = Counters} = Con) ->
    Counters1 = maps:update_with(What, fun(N) -> N + length(Lines) end, Counters),
    Con#console{counters = Counters1#{bytes := Bytes + iolist_size(Lines)}}.

%% Credit for what has been consumed: all of it goes back at once, unless the
%% owner has stopped reading; then none does until it reads again.
give_credit(Bytes, #console{held = Held} = Con) ->
    Con1 = Con#console{held = Held + Bytes},
    case reads(Con1) of
        true -> {[{credit, Held + Bytes} || Held + Bytes > 0], Con1#console{held = 0}};
        {look, _} = Look -> {[Look], Con1}
    end.

%% A caller of send/3 is waiting for a line, so that it counts as a reader.
reads(#console{owner = none}) -> true;
reads(#console{callers = [{_, _, true} | _]}) -> true;
reads(#console{unread = Unread}) when Unread < ?UNREAD_FREE -> true;
reads(#console{owner = Owner}) -> {look, Owner}.
