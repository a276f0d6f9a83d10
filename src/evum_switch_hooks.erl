%% SPDX-License-Identifier: Apache-2.0
%% @doc The hooks of a switch: who looks at which frames. `evum_net' finds the
%% frames that hooks match; here the hooks are called.
%%
%% A hook has a number of its own, the bit by which `evum_net' tells that it
%% matches. The number of one that was removed is used again only when
%% `evum_net' has confirmed that: until then frames may come that bear it.
-module(evum_switch_hooks).

-export([new/0, where/1, what/1, add/3, remove/2, free/2, request/1, copies/4, input/4, output/5]).
-export([has_output/2]).

-export_type([hooks/0, id/0, where/0, what/0, action/0, hook/0]).

-include_lib("kernel/include/logger.hrl").

%% The bits of evum_net's mask.
-define(MAX, 32).
%% An observer that is a process gets no more copies while it has so many
%% messages waiting.
-define(OBSERVER_MESSAGES, 1000).
-define(FRAME_MIN, 14).
-define(FRAME_MAX, 65535).

-type id() :: 0..31.
-type where() :: condition() | [condition()].
-type condition() ::
    all
    | {in | out | port, evum_fdb:port_id()}
    | {bpf, string() | binary()}.
-type what() :: action() | {observer, action() | pid()}.
-type action() :: module() | fun((binary(), evum_hook:info()) -> term()) | fun((binary()) -> term()).

-record(hook, {
    id :: id(),
    conditions :: #{in | out | port => evum_fdb:port_id(), bpf => binary()},
    action :: action() | pid(),
    observer :: boolean()
}).

-opaque hook() :: #hook{}.

-record(hooks, {
    active = #{} :: #{id() => #hook{}},
    %% removed here, but perhaps not yet in evum_net
    leaving = [] :: [id()]
}).

-opaque hooks() :: #hooks{}.

%% @doc None.
-spec new() -> hooks().
new() ->
    #hooks{}.

%% @doc The conditions of a hook, validated.
-spec where(term()) -> {ok, map()} | error.
where(all) ->
    {ok, #{}};
where(Conditions) when is_list(Conditions) ->
    try
        {ok, lists:foldl(fun condition/2, #{}, Conditions)}
    catch
        throw:bad_condition -> error
    end;
where(Condition) ->
    where([Condition]).

condition(all, Acc) ->
    Acc;
condition({Key, Port}, Acc) when
    is_integer(Port), Port > 0, Key =:= in orelse Key =:= out orelse Key =:= port
->
    is_map_key(Key, Acc) andalso throw(bad_condition),
    Acc#{Key => Port};
condition({bpf, Text}, Acc) when not is_map_key(bpf, Acc) ->
    try unicode:characters_to_binary(Text) of
        Expression when is_binary(Expression), Expression =/= <<>> -> Acc#{bpf => Expression};
        _ -> throw(bad_condition)
    catch
        error:badarg -> throw(bad_condition)
    end;
condition(_, _) ->
    throw(bad_condition).

%% @doc What a hook is to do, validated.
-spec what(term()) -> {ok, {Observer :: boolean(), action() | pid()}} | error.
what({observer, Pid}) when is_pid(Pid), node(Pid) =:= node() -> {ok, {true, Pid}};
what({observer, Action}) -> action(true, Action);
what(Action) -> action(false, Action).

action(Observer, Fun) when is_function(Fun, 1); is_function(Fun, 2) ->
    {ok, {Observer, Fun}};
action(Observer, Module) when is_atom(Module) ->
    _ = code:ensure_loaded(Module),
    case erlang:function_exported(Module, handle_frame, 2) of
        true -> {ok, {Observer, Module}};
        false -> error
    end;
action(_, _) ->
    error.

%% @doc Add a hook; the second is what evum_net is asked for with {@link
%% request/1}.
-spec add(map(), {boolean(), action() | pid()}, hooks()) -> {ok, id(), hook(), hooks()} | full.
add(Conditions, {Observer, Action}, #hooks{active = Active, leaving = Leaving} = Hooks) ->
    case lists:seq(0, ?MAX - 1) -- (maps:keys(Active) ++ Leaving) of
        [Id | _] ->
            Hook = #hook{id = Id, conditions = Conditions, action = Action, observer = Observer},
            {ok, Id, Hook, Hooks#hooks{active = Active#{Id => Hook}}};
        [] ->
            full
    end.

%% @doc The request for evum_net.
-spec request(hook()) -> tuple().
request(#hook{id = Id, conditions = Conditions, observer = Observer}) ->
    [In, Out, Either] = [maps:get(Key, Conditions, 0) || Key <- [in, out, port]],
    {Id, Observer, In, Out, Either, maps:get(bpf, Conditions, <<>>)}.

%% @doc Take a hook out, until {@link free/2} its number stays taken.
-spec remove(id(), hooks()) -> {ok, hooks()} | error.
remove(Id, #hooks{active = Active, leaving = Leaving} = Hooks) ->
    case is_map_key(Id, Active) of
        true -> {ok, Hooks#hooks{active = maps:remove(Id, Active), leaving = [Id | Leaving]}};
        false -> error
    end.

%% @doc evum_net knows a hook no more.
-spec free(id(), hooks()) -> hooks().
free(Id, #hooks{leaving = Leaving} = Hooks) ->
    Hooks#hooks{leaving = lists:delete(Id, Leaving)}.

%%% Calls. Each returns the hooks that failed.

%% @doc Give copies to the observers among those that match.
-spec copies(Mask :: non_neg_integer(), evum_hook:info(), binary(), hooks()) -> [id()].
copies(Mask, Info, Frame, Hooks) ->
    [Id || #hook{id = Id} = Hook <- observers(Mask, Hooks), observe(Hook, Info, Frame) =:= failed].

observers(Mask, Hooks) ->
    [Hook || #hook{observer = true} = Hook <- matching(Mask, Hooks)].

matching(Mask, #hooks{active = Active}) ->
    [Hook || {Id, Hook} <- lists:sort(maps:to_list(Active)), Mask band (1 bsl Id) =/= 0].

observe(#hook{action = Pid}, Info, Frame) when is_pid(Pid) ->
    case erlang:process_info(Pid, message_queue_len) of
        {_, N} when N < ?OBSERVER_MESSAGES ->
            Pid ! {evum_frame, Info, Frame},
            ok;
        {_, _} ->
            ok;
        undefined ->
            %% It has died.
            failed
    end;
observe(Hook, Info, Frame) ->
    case call(Hook, Info, Frame) of
        {ok, _} -> ok;
        failed -> failed
    end.

%% @doc A frame has come in: what its hooks say, the first that does not want
%% it forwarded as it is has the last word about where it goes.
-spec input(Mask :: non_neg_integer(), evum_hook:info(), binary(), hooks()) ->
    {forward | drop | {to, [evum_fdb:port_id()]}, Frame :: binary(), Failed :: [id()]}.
input(Mask, #{port := In} = Info, Frame, Hooks) ->
    Deciding = [
        Hook
     || #hook{observer = false, conditions = Conditions} = Hook <- matching(Mask, Hooks),
        not is_map_key(out, Conditions),
        maps:get(port, Conditions, In) =:= In
    ],
    decide(Deciding, Info, Frame, []).

decide([], _Info, Frame, Failed) ->
    {forward, Frame, Failed};
decide([#hook{id = Id} = Hook | Rest], Info, Frame, Failed) ->
    case call(Hook, Info, Frame) of
        {ok, forward} ->
            decide(Rest, Info, Frame, Failed);
        {ok, drop} ->
            {drop, Frame, Failed};
        {ok, {rewrite, New}} when
            is_binary(New), byte_size(New) >= ?FRAME_MIN, byte_size(New) =< ?FRAME_MAX
        ->
            decide(Rest, Info, New, Failed);
        {ok, {to, Ports} = To} when is_list(Ports) ->
            case lists:all(fun is_integer/1, Ports) of
                true -> {To, Frame, Failed};
                false -> bad_verdict(Hook, To, Rest, Info, Frame, Failed)
            end;
        {ok, Other} ->
            bad_verdict(Hook, Other, Rest, Info, Frame, Failed);
        failed ->
            decide(Rest, Info, Frame, [Id | Failed])
    end.

bad_verdict(#hook{id = Id} = Hook, Verdict, Rest, Info, Frame, Failed) ->
    complain(Hook, {bad_verdict, Verdict}),
    decide(Rest, Info, Frame, [Id | Failed]).

call(#hook{action = Action} = Hook, Info, Frame) ->
    try
        if
            is_atom(Action) -> {ok, Action:handle_frame(Frame, Info)};
            is_function(Action, 1) -> {ok, Action(Frame)};
            true -> {ok, Action(Frame, Info)}
        end
    catch
        Class:Reason:Stack ->
            complain(Hook, {Class, Reason, Stack}),
            failed
    end.

complain(#hook{id = Id, action = Action}, Reason) ->
    ?LOG_ERROR("hook ~b (~p) failed and is removed: ~p", [Id, Action, Reason]).

%% @doc Does any of the hooks look at what goes out at ports?
-spec has_output(Mask :: non_neg_integer(), hooks()) -> boolean().
has_output(Mask, Hooks) ->
    lists:any(
        fun(#hook{conditions = Conditions}) ->
            is_map_key(out, Conditions) orelse is_map_key(port, Conditions)
        end,
        matching(Mask, Hooks)
    ).

%% @doc A frame is about to go out at a port: to which it goes, and as what.
-spec output(
    Mask :: non_neg_integer(), evum_hook:info(), Out :: evum_fdb:port_id(), binary(), hooks()
) ->
    {[evum_fdb:port_id()], Frame :: binary(), Failed :: [id()]}.
output(Mask, #{port := In} = Info, Out, Frame, Hooks) ->
    Deciding = [
        Hook
     || #hook{observer = false, conditions = Conditions} = Hook <- matching(Mask, Hooks),
        maps:get(out, Conditions, none) =:= Out orelse
            (In =/= Out andalso maps:get(port, Conditions, none) =:= Out)
    ],
    case decide(Deciding, Info#{direction := {out, Out}}, Frame, []) of
        {forward, Frame1, Failed} -> {[Out], Frame1, Failed};
        {drop, Frame1, Failed} -> {[], Frame1, Failed};
        {{to, Ports}, Frame1, Failed} -> {Ports, Frame1, Failed}
    end.
