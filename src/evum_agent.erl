%% SPDX-License-Identifier: Apache-2.0
%% @doc The BEAM's end of the channel to a machine's agent: frames and the
%% requests that are under way. A pure module; `doc/agent.md' describes the
%% protocol, `c_src/init/agent.h' is its other end.
%%
%% {@link evum_vm} gives what comes and carries out the effects, in their order:
%% <ul>
%% <li>`{agent_send, Bytes}': to the guest</li>
%% <li>`{agent_credit, Bytes}': the guest may send so much more</li>
%% <li>`{agent_tell, Key, Message}': to the one who made the request of that key:
%%   `{data, Bytes}', `{window, Bytes}' (so much more input may be sent), and at
%%   last `{done, Result}' or `{error, Reason}'</li>
%% <li>`{forget, Watch}': the request is over</li>
%% <li>`ready': the agent answers</li>
%% <li>`{bad, Reason}': it is not to be awaited any more</li>
%% </ul>
%%
%% What comes is a guest's: a length that is too long, a frame for a request
%% that was never made, more than a window allows: the agent is `bad' from then
%% on. Its requests fail, what it sends is thrown away, and no credit is given
%% for it until the port in the guest is opened anew.
-module(evum_agent).

-export([new/1, state/1, channel/2, feed/2, check/1, request/4]).
-export([input/3, eof/2, window/3, cancel/2, abandon/2, gone/2]).
-export([errno/1]).

-export_type([agent/0, key/0, request/0, message/0, result/0, effect/0, reason/0]).

-define(VERSION, 2).
-define(HELLO, <<13:32, 0, 0:32, "evum">>).
%% FRAME_PAYLOAD_MAX of c_src/init/agent_frame.h.
-define(PAYLOAD_MAX, 65536).
%% FRAME_STRINGS_MAX of c_src/init/agent_frame.h.
-define(STRINGS_MAX, 1024).
%% Bytes that are skipped in search of a hello, which an agent says first.
-define(SKIP_MAX, (1 bsl 20)).
%% Requests under way: commands; files and messages to the kernel; what the agent
%% answers itself, at once. None takes another's room, so that commands that run
%% on do not keep a machine from being shut down. AGENT_REQUESTS_MAX of
%% c_src/init/agent.h is their sum.
-define(COMMANDS_MAX, 48).
-define(INTERNAL_MAX, 12).
-define(IMMEDIATE_MAX, 4).
%% Requests of a class that wait for their turn, or for the agent.
-define(WAITING_MAX, 1024).
%% Output of one request that is under way, bytes.
-define(OUTPUT_WINDOW, 262144).
%% AGENT_INPUT_WINDOW of c_src/init/agent.h.
-define(INPUT_WINDOW, 262144).

-define(RUN, 1).
-define(PUT, 2).
-define(GET, 3).
-define(NETLINK, 4).
-define(UNREAD, 5).
-define(RESIZE, 6).
-define(POWER, 7).
-define(DATA, 16).
-define(EOF, 17).
-define(WINDOW, 18).
-define(CANCEL, 19).
-define(DONE, 20).

-type key() :: term().
-type request() ::
    {run, #{
        argv := [binary(), ...], env := [binary()], dir := binary(), input := boolean()
    }}
    | {put, Path :: binary(), Mode :: non_neg_integer(), Size :: non_neg_integer()}
    | {get, Path :: binary()}
    | {netlink, Message :: binary()}
    | unread
    | {resize, Columns :: pos_integer(), Rows :: pos_integer()}
    | {power, off | reboot}.
-type class() :: command | internal | immediate.
-type result() :: {exit, non_neg_integer()} | {signal, non_neg_integer()} | {errno, atom() | pos_integer()}.
-type too_long() :: e2big | enametoolong | emsgsize.
-type reason() :: agent_died | bad_agent | {agent_version, non_neg_integer()} | rebooted | cancelled.
-type message() ::
    {data, binary()} | {window, pos_integer()} | {done, result()} | {error, reason()}.
-type effect() ::
    {agent_send, iodata()}
    | {agent_credit, pos_integer()}
    | {agent_tell, key(), message()}
    | {forget, Watch :: term()}
    | ready
    | {bad, reason()}.

-record(request, {
    key :: key() | abandoned,
    watch :: term(),
    id :: non_neg_integer(),
    class :: class(),
    frame :: iodata(),
    %% what the agent may still send, and what may still be sent to it
    output = ?OUTPUT_WINDOW :: integer(),
    input = 0 :: integer()
}).

-record(agent, {
    state :: none | absent | hello | ready | {bad, reason()},
    buffer = <<>> :: binary(),
    skipped = 0 :: non_neg_integer(),
    next_id = 1 :: pos_integer(),
    %% under way, by id
    requests = #{} :: #{non_neg_integer() => #request{}},
    ids = #{} :: #{key() => non_neg_integer()},
    waiting = #{command => queue:new(), internal => queue:new(), immediate => queue:new()} :: #{
        class() := queue:queue(#request{})
    },
    %% credit of one that was bad
    held = 0 :: non_neg_integer()
}).

-opaque agent() :: #agent{}.

%% @doc The agent of a machine that has just been started; with `false', of one
%% whose kernel has no channel for it.
-spec new(boolean()) -> agent().
new(true) -> #agent{state = absent};
new(false) -> #agent{state = none}.

%% @doc Whether the agent answers, is awaited, or cannot be had.
-spec state(agent()) -> ready | waiting | {error, no_agent | reason()}.
state(#agent{state = ready}) -> ready;
state(#agent{state = none}) -> {error, no_agent};
state(#agent{state = {bad, Reason}}) -> {error, Reason};
state(#agent{}) -> waiting.

%% @doc The port in the guest was opened or closed; the guest's kernel went, or
%% broke the rules of the device; or it boots, maybe once more: only then is it
%% known what became of requests that were under way when it went.
-spec channel(opened | closed | gone | broken | booted, agent()) -> {[effect()], agent()}.
channel(_, #agent{state = none} = A) ->
    {[], A};
channel(opened, #agent{held = Held} = A) ->
    {Failed, A1} = fail(agent_died, A),
    {Failed ++ credit(Held), A1#agent{state = hello, buffer = <<>>, skipped = 0, held = 0}};
channel(closed, A) ->
    absent(agent_died, A);
channel(booted, A) ->
    absent(rebooted, A);
channel(broken, A) ->
    bad(bad_agent, 0, A);
channel(gone, A) ->
    {[], A#agent{state = absent, buffer = <<>>}}.

absent(Reason, #agent{held = Held} = A) ->
    {Failed, A1} = fail(Reason, A),
    {Failed ++ credit(Held), A1#agent{state = absent, buffer = <<>>, held = 0}}.

%% @doc Bytes have come from the guest.
-spec feed(binary(), agent()) -> {[effect()], agent()}.
feed(Bytes, #agent{state = {bad, _}, held = Held} = A) ->
    {[], A#agent{held = Held + byte_size(Bytes)}};
feed(Bytes, #agent{state = hello} = A) ->
    hello(byte_size(Bytes), A#agent{buffer = <<(A#agent.buffer)/binary, Bytes/binary>>});
feed(Bytes, #agent{state = ready, buffer = Buffer} = A) ->
    frames(<<Buffer/binary, Bytes/binary>>, [credit(byte_size(Bytes))], A);
%% What an agent that has gone had left in the rings
feed(Bytes, A) ->
    {credit(byte_size(Bytes)), A}.

%% @doc Whether a request fits into a frame, which an agent would not survive
%% else; what Linux says of what is too long for it.
-spec check(request()) -> ok | {error, too_long()}.
check(Request) ->
    case fitting(Request) of
        {ok, _, _} -> ok;
        {error, _} = Error -> Error
    end.

fitting({run, #{argv := Argv, env := Env}}) when length(Argv) > ?STRINGS_MAX; length(Env) > ?STRINGS_MAX ->
    {error, e2big};
fitting(Request) ->
    {Type, Payload} = encode(Request),
    case iolist_size(Payload) =< ?PAYLOAD_MAX of
        true -> {ok, Type, Payload};
        false when Type =:= ?RUN -> {error, e2big};
        false when Type =:= ?NETLINK -> {error, emsgsize};
        false -> {error, enametoolong}
    end.

%% @doc Make a request. Its key is for {@link input/3} and the like and for
%% `agent_tell' effects; its watch for {@link gone/2} and `forget' effects.
-spec request(key(), Watch :: term(), request(), agent()) ->
    {ok, [effect()], agent()} | {error, no_agent | full | reason() | too_long()}.
request(_Key, _Watch, _Request, #agent{state = none}) ->
    {error, no_agent};
request(_Key, _Watch, _Request, #agent{state = {bad, Reason}}) ->
    {error, Reason};
request(Key, Watch, Request, #agent{next_id = Id, waiting = Waiting} = A) ->
    Class = class(Request),
    #{Class := Queue} = Waiting,
    case {fitting(Request), queue:len(Queue)} of
        {{error, _} = Error, _} ->
            Error;
        {{ok, _, _}, ?WAITING_MAX} ->
            {error, full};
        {{ok, Type, Payload}, _} ->
            Made = #request{
                key = Key, watch = Watch, id = Id, class = Class, frame = frame(Type, Id, Payload)
            },
            {Effects, A1} = start(Class, A#agent{
                next_id = Id + 1,
                ids = (A#agent.ids)#{Key => Id},
                waiting = Waiting#{Class := queue:in(Made, Queue)}
            }),
            {ok, Effects, A1}
    end.

%% @doc Send input of a request, no more than `window' messages have allowed.
-spec input(key(), binary(), agent()) -> {[effect()], agent()}.
input(Key, Bytes, A) ->
    case lookup(Key, A) of
        {ok, #request{id = Id, input = Input} = R} ->
            {
                [{agent_send, pieces(Id, Bytes)}],
                store(R#request{input = Input - byte_size(Bytes)}, A)
            };
        error ->
            {[], A}
    end.

%% @doc Its input ends.
-spec eof(key(), agent()) -> {[effect()], agent()}.
eof(Key, A) ->
    with(Key, A, fun(Id) -> frame(?EOF, Id, <<>>) end).

%% @doc So many bytes of its output have been consumed.
-spec window(key(), pos_integer(), agent()) -> {[effect()], agent()}.
window(Key, Bytes, A) ->
    case lookup(Key, A) of
        {ok, #request{id = Id, output = Output} = R} ->
            {
                [{agent_send, frame(?WINDOW, Id, <<Bytes:32>>)}],
                store(R#request{output = Output + Bytes}, A)
            };
        error ->
            {[], A}
    end.

%% @doc End it; its last message comes when it has ended.
-spec cancel(key(), agent()) -> {[effect()], agent()}.
cancel(Key, #agent{ids = Ids, waiting = Waiting} = A) ->
    case {lookup(Key, A), Ids} of
        {{ok, #request{id = Id}}, _} ->
            {[{agent_send, frame(?CANCEL, Id, <<>>)}], A};
        {error, #{Key := Id}} ->
            [#request{watch = Watch, class = Class}] = [R || R <- waiting(A), R#request.id =:= Id],
            Rest = queue:filter(fun(R) -> R#request.id =/= Id end, maps:get(Class, Waiting)),
            {
                [{agent_tell, Key, {error, cancelled}}, {forget, Watch}],
                A#agent{ids = maps:remove(Key, Ids), waiting = Waiting#{Class := Rest}}
            };
        {error, #{}} ->
            {[], A}
    end.

%% @doc Nobody wants to hear of it any more: end it.
-spec abandon(key(), agent()) -> {[effect()], agent()}.
abandon(Key, #agent{ids = Ids} = A) ->
    {Effects, A1} = cancel(Key, A),
    Untold = [Effect || Effect <- Effects, element(1, Effect) =/= agent_tell],
    case lookup(Key, A1) of
        {ok, R} -> {Untold, store(R#request{key = abandoned}, A1#agent{ids = maps:remove(Key, Ids)})};
        error -> {Untold, A1}
    end.

%% @doc The one who made the request of that watch has died.
-spec gone(Watch :: term(), agent()) -> {[effect()], agent()}.
gone(Watch, #agent{requests = Requests} = A) ->
    Keys = [
        Key
     || #request{watch = W, key = Key} <- maps:values(Requests) ++ waiting(A),
        W =:= Watch,
        Key =/= abandoned
    ],
    lists:foldl(
        fun(Key, {Effects, Acc}) ->
            {More, Acc1} = abandon(Key, Acc),
            {Effects ++ More, Acc1}
        end,
        {[], A},
        Keys
    ).

%%% Requests ------------------------------------------------------------------

class({run, _}) -> command;
class({put, _, _, _}) -> internal;
class({get, _}) -> internal;
class({netlink, _}) -> internal;
class(unread) -> immediate;
class({resize, _, _}) -> immediate;
class({power, _}) -> immediate.

max(command) -> ?COMMANDS_MAX;
max(internal) -> ?INTERNAL_MAX;
max(immediate) -> ?IMMEDIATE_MAX.

%% Send those that wait, while there is room for them.
start(Class, #agent{state = ready, requests = Requests, waiting = Waiting} = A) ->
    #{Class := Queue} = Waiting,
    Room = not queue:is_empty(Queue) andalso
        length([R || R <- maps:values(Requests), R#request.class =:= Class]) < max(Class),
    case Room of
        true ->
            {{value, #request{id = Id, frame = Frame} = R}, Rest} = queue:out(Queue),
            {Effects, A1} = start(Class, A#agent{
                requests = Requests#{Id => R#request{frame = <<>>}},
                waiting = Waiting#{Class := Rest}
            }),
            {[{agent_send, Frame} | Effects], A1};
        false ->
            {[], A}
    end;
start(_Class, A) ->
    {[], A}.

start_all(A) ->
    lists:foldl(
        fun(Class, {Effects, Acc}) ->
            {More, Acc1} = start(Class, Acc),
            {Effects ++ More, Acc1}
        end,
        {[], A},
        [immediate, internal, command]
    ).

waiting(#agent{waiting = Waiting}) ->
    lists:append([queue:to_list(Queue) || Queue <- maps:values(Waiting)]).

lookup(Key, #agent{ids = Ids, requests = Requests}) ->
    case Ids of
        #{Key := Id} -> maps:find(Id, Requests);
        #{} -> error
    end.

store(#request{id = Id} = R, #agent{requests = Requests} = A) ->
    A#agent{requests = Requests#{Id => R}}.

with(Key, A, Frame) ->
    case lookup(Key, A) of
        {ok, #request{id = Id}} -> {[{agent_send, Frame(Id)}], A};
        error -> {[], A}
    end.

%% Those that the agent has; it cannot be asked about them any more.
fail(Reason, #agent{requests = Requests} = A) ->
    fail(Reason, maps:values(Requests), A#agent{requests = #{}}).

fail(Reason, Failed, #agent{ids = Ids} = A) ->
    {
        lists:append([over(R, {error, Reason}) || R <- lists:keysort(#request.id, Failed)]),
        A#agent{ids = maps:without([R#request.key || R <- Failed], Ids)}
    }.

over(#request{key = abandoned, watch = Watch}, _Message) ->
    [{forget, Watch}];
over(#request{key = Key, watch = Watch}, Message) ->
    [{agent_tell, Key, Message}, {forget, Watch}].

%% Those that wait fail, too, as those do that come later.
bad(Reason, Unread, #agent{requests = Requests, waiting = Waiting, held = Held} = A) ->
    {Failed, A1} = fail(Reason, maps:values(Requests) ++ waiting(A), A),
    {Failed ++ [{bad, Reason}], A1#agent{
        state = {bad, Reason},
        buffer = <<>>,
        requests = #{},
        waiting = maps:map(fun(_, _) -> queue:new() end, Waiting),
        held = Held + Unread
    }}.

%%% Frames --------------------------------------------------------------------

%% An agent begins with a hello; before it there may be what another one that
%% had the port, and has died, has left behind.
hello(New, #agent{buffer = Buffer, skipped = Skipped} = A) ->
    case binary:match(Buffer, ?HELLO) of
        {At, Length} when byte_size(Buffer) >= At + Length + 4 ->
            <<_:At/binary, _:Length/binary, Version:32, Rest/binary>> = Buffer,
            case Version of
                ?VERSION ->
                    {Started, A1} = start_all(A#agent{state = ready, buffer = <<>>}),
                    frames(Rest, [credit(New), [ready | Started]], A1);
                _ ->
                    bad({agent_version, Version}, New, A)
            end;
        {_, _} ->
            {credit(New), A};
        nomatch when Skipped > ?SKIP_MAX ->
            bad(bad_agent, New, A);
        nomatch ->
            Keep = min(byte_size(Buffer), byte_size(?HELLO) - 1),
            Skip = byte_size(Buffer) - Keep,
            {credit(New), A#agent{
                buffer = binary:part(Buffer, Skip, Keep), skipped = Skipped + Skip
            }}
    end.

frames(<<Length:32, _/binary>>, Done, A) when Length < 5; Length > ?PAYLOAD_MAX + 5 ->
    break(Done, A);
frames(<<Length:32, Frame:Length/binary, Rest/binary>>, Done, A) ->
    <<Type, Id:32, Payload/binary>> = Frame,
    case frame_came(Type, Id, Payload, A) of
        {Effects, A1} -> frames(Rest, [Effects | Done], A1);
        bad -> break(Done, A)
    end;
frames(Rest, Done, A) ->
    {lists:append(lists:reverse(Done)), A#agent{buffer = binary:copy(Rest)}}.

break(Done, A) ->
    {Failed, A1} = bad(bad_agent, 0, A),
    {lists:append(lists:reverse([Failed | Done])), A1}.

frame_came(Type, Id, Payload, #agent{requests = Requests, next_id = Next} = A) ->
    case Requests of
        #{Id := R} -> frame_of(Type, Payload, R, A);
        %% it was made when another agent had the port
        #{} when Id < Next, Type >= ?DATA, Type =< ?DONE -> {[], A};
        #{} -> bad
    end.

frame_of(?DATA, Payload, #request{output = Output} = R, A) when
    byte_size(Payload) =< Output, Payload =/= <<>>
->
    {tell(R, {data, binary:copy(Payload)}),
        store(R#request{output = Output - byte_size(Payload)}, A)};
frame_of(?WINDOW, <<More:32>>, #request{input = Input} = R, A) when
    More > 0, Input + More =< ?INPUT_WINDOW
->
    {tell(R, {window, More}), store(R#request{input = Input + More}, A)};
frame_of(?DONE, <<How, Value:32>>, #request{id = Id, key = Key} = R, A) when How =< 2 ->
    {Started, A1} = start(R#request.class, A#agent{
        requests = maps:remove(Id, A#agent.requests), ids = maps:remove(Key, A#agent.ids)
    }),
    {over(R, {done, result(How, Value)}) ++ Started, A1};
frame_of(_, _, _, _) ->
    bad.

tell(#request{key = abandoned}, _Message) -> [];
tell(#request{key = Key}, Message) -> [{agent_tell, Key, Message}].

result(0, Value) -> {exit, Value};
result(1, Value) -> {signal, Value};
result(2, Value) -> {errno, errno(Value)}.

credit(0) -> [];
credit(Bytes) -> [{agent_credit, Bytes}].

frame(Type, Id, Payload) ->
    [<<(5 + iolist_size(Payload)):32, Type, Id:32>>, Payload].

pieces(Id, <<Piece:?PAYLOAD_MAX/binary, Rest/binary>>) when Rest =/= <<>> ->
    [frame(?DATA, Id, Piece) | pieces(Id, Rest)];
pieces(Id, Bytes) ->
    [frame(?DATA, Id, Bytes)].

encode({run, #{argv := Argv, env := Env, dir := Dir, input := Input}}) ->
    Flag =
        case Input of
            true -> 1;
            false -> 0
        end,
    {?RUN, [<<?OUTPUT_WINDOW:32, Flag>>, Dir, 0, strings(Argv), strings(Env)]};
encode({put, Path, Mode, Size}) ->
    {?PUT, [<<Mode:32, Size:64>>, Path, 0]};
encode({get, Path}) ->
    {?GET, [<<?OUTPUT_WINDOW:32>>, Path, 0]};
encode({netlink, Message}) ->
    {?NETLINK, Message};
encode(unread) ->
    {?UNREAD, <<>>};
encode({resize, Columns, Rows}) ->
    {?RESIZE, <<Columns:16, Rows:16>>};
encode({power, off}) ->
    {?POWER, <<0:32>>};
encode({power, reboot}) ->
    {?POWER, <<1:32>>}.

strings(Strings) ->
    [<<(length(Strings)):16>> | [[String, 0] || String <- Strings]].

%% @doc The name of one of Linux' numbers (asm-generic/errno-base.h and errno.h),
%% or the number itself: a guest makes no atoms.
-spec errno(non_neg_integer()) -> atom() | non_neg_integer().
errno(1) -> eperm;
errno(2) -> enoent;
errno(3) -> esrch;
errno(4) -> eintr;
errno(5) -> eio;
errno(6) -> enxio;
errno(7) -> e2big;
errno(8) -> enoexec;
errno(11) -> eagain;
errno(12) -> enomem;
errno(13) -> eacces;
errno(16) -> ebusy;
errno(17) -> eexist;
errno(18) -> exdev;
errno(19) -> enodev;
errno(20) -> enotdir;
errno(21) -> eisdir;
errno(22) -> einval;
errno(23) -> enfile;
errno(24) -> emfile;
errno(26) -> etxtbsy;
errno(27) -> efbig;
errno(28) -> enospc;
errno(30) -> erofs;
errno(32) -> epipe;
errno(34) -> erange;
errno(36) -> enametoolong;
errno(39) -> enotempty;
errno(40) -> eloop;
errno(90) -> emsgsize;
errno(95) -> eopnotsupp;
errno(97) -> eafnosupport;
errno(98) -> eaddrinuse;
errno(99) -> eaddrnotavail;
errno(100) -> enetdown;
errno(101) -> enetunreach;
errno(110) -> etimedout;
errno(113) -> ehostunreach;
errno(122) -> edquot;
errno(125) -> ecanceled;
errno(Number) -> Number.
