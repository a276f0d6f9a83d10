%% SPDX-License-Identifier: Apache-2.0
%% Erlang looks at the frames it asks for, decides about them, and at no others.
-module(evum_hook_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, groups/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([
    only_what_matches_comes_up/1,
    verdicts/1,
    what_goes_out/1,
    several_hooks/1,
    observers_get_copies/1,
    failing_hook_is_removed/1,
    reloaded_code_is_used/1,
    order_is_kept/1,
    bad_hooks/1
]).
-export([log/2]).

-import(evum_switch_rig, [fence/4, introduce/1]).

%% ether[14:1], behind the header: what the frames of these tests are marked by.
-define(MARKED, {bpf, "ether[14] = 7"}).

all() -> [{group, cache}, {group, relay}].

groups() ->
    [{Forward, cases()} || Forward <- [cache, relay]].

cases() ->
    [
        only_what_matches_comes_up,
        verdicts,
        what_goes_out,
        several_hooks,
        observers_get_copies,
        failing_hook_is_removed,
        reloaded_code_is_used,
        order_is_kept,
        bad_hooks
    ].

suite() -> [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) -> ok.

init_per_group(Forward, Config) ->
    ok = application:set_env(evum, forward, Forward),
    [{forward, Forward} | Config].

end_per_group(_, _Config) ->
    application:unset_env(evum, forward).

init_per_testcase(Case, Config) ->
    Config1 = evum_switch_rig:open(Case, [{kinds, [bess, daemon, bess]} | Config]),
    introduce(?config(peers, Config1)),
    Config1.

end_per_testcase(_Case, Config) ->
    evum_switch_rig:close(Config).

marked(Destination, Source, Mark) ->
    <<(evum_peer:mac(Destination))/binary, (evum_peer:mac(Source))/binary, 16#88b5:16, Mark, 0:376>>.

pass(From, Frame, To) ->
    ok = evum_peer:send(From, Frame),
    ?assertEqual(Frame, evum_peer:recv(To)).

only_what_matches_comes_up(Config) ->
    [A, B, _] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    Self = self(),
    %% Both are known by now.
    fence(A, 1, B, 2),
    {ok, Hook} = evum_switch:hook(Switch, ?MARKED, fun(Frame, Info) ->
        Self ! {seen, Frame, Info},
        forward
    end),
    Before = frames_up(Switch),
    [pass(A, marked(2, 1, 9), B) || _ <- lists:seq(1, 20)],
    Marked = marked(2, 1, 7),
    pass(A, Marked, B),
    receive
        {seen, Marked, Info} ->
            ?assertMatch(#{switch := Switch, vlan := 0, direction := in}, Info)
    after 0 -> error(not_seen)
    end,
    ?assertEqual(
        case ?config(forward, Config) of
            cache -> 1;
            relay -> 21
        end,
        frames_up(Switch) - Before
    ),
    ok = evum_switch:unhook(Switch, Hook),
    pass(A, Marked, B),
    receive
        {seen, _, _} = Seen -> error(Seen)
    after 0 -> ok
    end,
    ?assertEqual({error, no_hook}, evum_switch:unhook(Switch, Hook)).

frames_up(Switch) ->
    maps:get(frames_up, evum_switch:counters(Switch)).

verdicts(Config) ->
    [A, B, C] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    [_, _, PortC] = lists:sort(evum_switch_rig:ports(Switch)),
    fence(A, 1, B, 2),
    Set = fun(Verdict) -> evum_switch:hook(Switch, [?MARKED, {in, 1}], fun(_) -> Verdict end) end,
    {ok, Drop} = Set(drop),
    ok = evum_peer:send(A, marked(2, 1, 7)),
    fence(A, 1, B, 2),
    ?assertMatch([#{rx_hook_dropped := 1} | _], evum_switch:ports(Switch)),
    ok = evum_switch:unhook(Switch, Drop),
    New = marked(3, 1, 8),
    {ok, Rewrite} = Set({rewrite, New}),
    ok = evum_peer:send(A, marked(2, 1, 7)),
    ?assertEqual(New, evum_peer:recv(C)),
    ok = evum_switch:unhook(Switch, Rewrite),
    {ok, To} = Set({to, [PortC, 4711]}),
    pass(A, marked(2, 1, 7), C),
    %% It is for what comes in at the port of A.
    pass(C, marked(2, 3, 7), B),
    ok = evum_switch:unhook(Switch, To),
    pass(A, marked(2, 1, 7), B),
    fence(A, 1, C, 3).

what_goes_out(Config) ->
    [A, B, C] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    [PortA, PortB, _] = lists:sort(evum_switch_rig:ports(Switch)),
    [fence(From, N, To, M) || {From, N, To, M} <- [{A, 1, B, 2}, {B, 2, C, 3}, {C, 3, A, 1}]],
    {ok, Out} = evum_switch:hook(Switch, {out, PortB}, fun(_, #{direction := {out, P}}) ->
        P = PortB,
        drop
    end),
    ok = evum_peer:send(A, marked(2, 1, 7)),
    Flooded = marked(broadcast, 1, 7),
    pass(A, Flooded, C),
    fence(A, 1, C, 3),
    fence(B, 2, A, 1),
    ok = evum_switch:unhook(Switch, Out),
    fence(A, 1, B, 2),
    {ok, _} = evum_switch:hook(Switch, {port, PortA}, fun(Frame, #{direction := Direction}) ->
        Mark =
            case Direction of
                in -> 1;
                {out, PortA} -> 2
            end,
        <<Head:14/binary, _, Rest/binary>> = Frame,
        {rewrite, <<Head/binary, Mark, Rest/binary>>}
    end),
    ok = evum_peer:send(A, marked(2, 1, 7)),
    ?assertEqual(marked(2, 1, 1), evum_peer:recv(B)),
    ok = evum_peer:send(B, marked(1, 2, 7)),
    ?assertEqual(marked(1, 2, 2), evum_peer:recv(A)),
    pass(B, marked(3, 2, 7), C).

%% In the order in which they were set, each with what the one before it made.
several_hooks(Config) ->
    [A, B, _] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    fence(A, 1, B, 2),
    Next = fun(Was, Is) -> fun(Frame) ->
        Frame = marked(2, 1, Was),
        {rewrite, marked(2, 1, Is)}
    end end,
    {ok, _} = evum_switch:hook(Switch, ?MARKED, Next(7, 8)),
    {ok, _} = evum_switch:hook(Switch, ?MARKED, Next(8, 9)),
    ok = evum_peer:send(A, marked(2, 1, 7)),
    ?assertEqual(marked(2, 1, 9), evum_peer:recv(B)).

observers_get_copies(Config) ->
    [A, B, _] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    Self = self(),
    fence(A, 1, B, 2),
    {ok, _} = evum_switch:hook(Switch, ?MARKED, {observer, Self}),
    {ok, _} = evum_switch:hook(Switch, ?MARKED, {observer, fun(Frame) -> Self ! {fn, Frame} end}),
    Frame = marked(2, 1, 7),
    pass(A, Frame, B),
    pass(A, marked(2, 1, 8), B),
    receive
        {evum_frame, #{port := 1}, Frame} -> ok
    after 10000 -> error(no_copy)
    end,
    receive
        {fn, Frame} -> ok
    after 10000 -> error(no_copy)
    end,
    %% An observer that dies is removed, and so is one that fails.
    {Dying, Ref} = spawn_monitor(fun() -> ok end),
    receive
        {'DOWN', Ref, process, Dying, _} -> ok
    end,
    {ok, Dead} = evum_switch:hook(Switch, ?MARKED, {observer, Dying}),
    pass(A, Frame, B),
    evum_switch_rig:await(fun() -> evum_switch:unhook(Switch, Dead) =:= {error, no_hook} end).

failing_hook_is_removed(Config) ->
    [A, B, _] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    fence(A, 1, B, 2),
    Frame = marked(2, 1, 7),
    ok = logger:add_handler(?MODULE, ?MODULE, #{level => error, config => self()}),
    try
        [
            begin
                {ok, Hook} = evum_switch:hook(Switch, ?MARKED, Bad),
                pass(A, Frame, B),
                ?assertEqual({error, no_hook}, evum_switch:unhook(Switch, Hook)),
                ?assertMatch([{Hook, Bad, Why}], [{H, What, cause(Reason)} || [H, What, Reason] <- logged()])
            end
         || {Bad, Why} <- [
                {fun(_) -> error(oops) end, {error, oops}},
                {fun(_) -> throw(oops) end, {throw, oops}},
                {fun(_) -> exit(oops) end, {exit, oops}},
                {fun(_) -> {rewrite, <<"short">>} end, {bad_verdict, {rewrite, <<"short">>}}},
                {fun(_) -> {to, nobody} end, {bad_verdict, {to, nobody}}},
                {fun(_) -> yes end, {bad_verdict, yes}}
            ]
        ]
    after
        ok = logger:remove_handler(?MODULE)
    end,
    pass(A, Frame, B).

%% A handler of the logger's.
log(#{msg := {"hook " ++ _, Args}}, #{config := Test}) -> Test ! {logged, Args};
log(_, _) -> ok.

logged() ->
    receive
        {logged, Line} -> [Line | logged()]
    after 0 -> []
    end.

cause({Class, Reason, _Stack}) -> {Class, Reason};
cause(Reason) -> Reason.

reloaded_code_is_used(Config) ->
    [A, B, _] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    fence(A, 1, B, 2),
    {ok, _} = evum_switch:hook(Switch, ?MARKED, evum_hook_probe),
    Frame = marked(2, 1, 7),
    ok = evum_peer:send(A, Frame),
    fence(A, 1, B, 2),
    try
        {ok, Module, Code} = compile:forms([
            {attribute, 1, module, evum_hook_probe},
            {attribute, 1, export, [{handle_frame, 2}]},
            {function, 1, handle_frame, 2, [
                {clause, 1, [{var, 1, '_'}, {var, 1, '_'}], [], [{atom, 1, forward}]}
            ]}
        ]),
        {module, Module} = code:load_binary(Module, "reloaded", Code),
        pass(A, Frame, B)
    after
        code:purge(evum_hook_probe),
        {module, _} = code:load_file(evum_hook_probe),
        code:purge(evum_hook_probe)
    end.

%% What a hook has looked at is not overtaken by what it does not match.
order_is_kept(Config) ->
    [A, B, _] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    fence(A, 1, B, 2),
    {ok, _} = evum_switch:hook(Switch, ?MARKED, fun(_) -> forward end),
    Frames = [marked(2, 1, 7 + N rem 2) || N <- lists:seq(1, 500)],
    [pass_all(A, B, Some) || Some <- split(8, Frames)].

pass_all(A, B, Frames) ->
    [ok = evum_peer:send(A, Frame) || Frame <- Frames],
    [?assertEqual(Frame, evum_peer:recv(B)) || Frame <- Frames].

split(N, List) when length(List) > N ->
    {Head, Tail} = lists:split(N, List),
    [Head | split(N, Tail)];
split(_, List) ->
    [List].

bad_hooks(Config) ->
    Switch = ?config(switch, Config),
    Forward = fun(_) -> forward end,
    ?assertMatch(
        {error, {bpf, <<_, _/binary>>}}, evum_switch:hook(Switch, {bpf, "no such filter"}, Forward)
    ),
    [
        ?assertEqual({error, {bad_option, where, Bad}}, evum_switch:hook(Switch, Bad, Forward))
     || Bad <- [none, {in, 0}, {in, a}, {bpf, ""}, {bpf, 7}, [{in, 1}, {in, 2}], {port, -1}]
    ],
    [
        ?assertEqual({error, {bad_option, hook, Bad}}, evum_switch:hook(Switch, all, Bad))
     || Bad <- [no_such_module, lists, fun() -> forward end, {observer, 7}, 7]
    ],
    Hooks = [evum_switch:hook(Switch, {in, 77}, Forward) || _ <- lists:seq(1, 32)],
    ?assertEqual(32, length(lists:usort([Id || {ok, Id} <- Hooks]))),
    ?assertEqual({error, too_many_hooks}, evum_switch:hook(Switch, all, Forward)),
    {ok, Last} = lists:last(Hooks),
    ok = evum_switch:unhook(Switch, Last),
    %% Its number is free again once evum_net knows.
    _ = evum_switch:counters(Switch),
    {ok, Last} = evum_switch:hook(Switch, all, Forward).
