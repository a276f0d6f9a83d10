%% SPDX-License-Identifier: Apache-2.0
%% The control sockets: where they are, whose, and what becomes of them.
-module(evum_ctl_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([
    two_sockets_of_one_switch/1,
    default_socket/1,
    runtime_directory/1,
    default_is_started_once/1,
    switch_gets_a_socket_of_its_own/1,
    last_socket_takes_the_run_directory_along/1,
    ctl_ends_with_its_switch/1,
    killed_ctl_leaves_nothing/1,
    bad_paths/1,
    unsafe_run_directories/1,
    live_and_stale_sockets/1
]).

-import(evum_switch_rig, [
    connect/2,
    await/1,
    introduce/1,
    exchange/1,
    exists/1
]).

all() ->
    [
        two_sockets_of_one_switch,
        default_socket,
        runtime_directory,
        default_is_started_once,
        switch_gets_a_socket_of_its_own,
        last_socket_takes_the_run_directory_along,
        ctl_ends_with_its_switch,
        killed_ctl_leaves_nothing,
        bad_paths,
        unsafe_run_directories,
        live_and_stale_sockets
    ].

suite() ->
    [{timetrap, {minutes, 3}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) ->
    ok.

init_per_testcase(Case, Config) ->
    evum_switch_rig:open(Case, Config).

end_per_testcase(_Case, Config) ->
    evum_switch_rig:close(Config).

two_sockets_of_one_switch(Config) ->
    Path = filename:join(?config(dir, Config), "second"),
    {ok, Second} = evum_ctl:start(?config(switch, Config), Path),
    A = connect(daemon, Config),
    B = connect(bess, [{path, Path} | Config]),
    introduce([A, B]),
    %% Ports stay up without the socket that they came in at.
    ok = evum_ctl:stop(Second),
    ?assertNot(exists(Path)),
    ?assertNot(exists(Path ++ ".bess")),
    exchange([A, B]),
    _ = connect(daemon, Config).

default_socket(Config) ->
    Switch = ?config(switch, Config),
    none = evum_ctl:default(),
    Path = evum_ctl:socket(),
    Dir = filename:dirname(Path),
    ?assertNot(exists(Dir)),
    {ok, Ctl} = evum_ctl:start(Switch),
    ?assertEqual({ok, Ctl}, evum_ctl:default()),
    ?assertEqual(Path, evum_ctl:socket(Ctl)),
    ?assertEqual("700", string:trim(os:cmd("stat -c %a " ++ Dir))),
    ?assertEqual({error, {already_started, Ctl}}, evum_ctl:start(Switch)),
    ?assertEqual({error, {already_started, Ctl}}, evum_ctl:start(Switch, Path)),
    Own = ?config(path, Config),
    OwnCtl = ?config(ctl, Config),
    ?assertEqual({error, {already_started, OwnCtl}}, evum_ctl:start(Switch, Own)),
    ok = evum_peer:close(evum_peer:daemon(Path)),
    ok = evum_ctl:stop(Ctl),
    ?assertEqual(none, evum_ctl:default()),
    ?assertNot(exists(Dir)),
    {ok, Again} = evum_ctl:start(Switch, Path),
    ?assertEqual({ok, Again}, evum_ctl:default()),
    ok = evum_ctl:stop(Again).

%% Where the user has a folder for such things, it is there, and looked for there.
runtime_directory(Config) ->
    Before = os:getenv("XDG_RUNTIME_DIR"),
    Runtime = ?config(dir, Config),
    true = os:putenv("XDG_RUNTIME_DIR", Runtime),
    try
        Dir = filename:join(Runtime, "evum-" ++ os:getpid()),
        {ok, Ctl} = evum_ctl:start(?config(switch, Config)),
        ?assertEqual(filename:join(Dir, "evum.ctl"), evum_ctl:socket(Ctl)),
        ?assert(lists:member({file, Dir}, evum_test:leftovers())),
        ok = evum_ctl:stop(Ctl),
        ?assertNot(lists:member({file, Dir}, evum_test:leftovers()))
    after
        case Before of
            false -> os:unsetenv("XDG_RUNTIME_DIR");
            _ -> os:putenv("XDG_RUNTIME_DIR", Before)
        end
    end.

default_is_started_once(_Config) ->
    Self = self(),
    Starters = [
        spawn_link(fun() -> Self ! {self(), evum_ctl:ensure()} end)
     || _ <- lists:seq(1, 10)
    ],
    [{ok, Ctl}] = lists:usort([
        receive
            {Pid, Result} -> Result
        end
     || Pid <- Starters
    ]),
    ?assertEqual({ok, Ctl}, evum_ctl:default()),
    ?assertEqual({ok, Ctl}, evum_ctl:serving(Ctl)),
    %% Its switch, and that of this case: those of the other nine have gone.
    [_, _] = [Pid || {_, Pid, _, _} <- supervisor:which_children(evum_switch_sup)],
    [Switch] = [
        Pid
     || {_, Pid, _, _} <- supervisor:which_children(evum_switch_sup),
        evum_switch:name(Pid) =:= <<"default">>
    ],
    ok = evum_switch:stop(Switch),
    _ = await(fun() -> evum_ctl:default() =:= none end),
    ?assertNot(exists(filename:dirname(evum_ctl:socket()))).

switch_gets_a_socket_of_its_own(Config) ->
    ?assertEqual({ok, ?config(ctl, Config)}, evum_ctl:serving(?config(switch, Config))),
    ?assertEqual({error, no_switch}, evum_ctl:serving(self())),
    {ok, Switch} = evum_switch:start(),
    {ok, Ctl} = evum_ctl:serving(Switch),
    ?assertEqual({ok, Ctl}, evum_ctl:serving(Switch)),
    ?assertEqual(none, evum_ctl:default()),
    Path = evum_ctl:socket(Ctl),
    ?assertEqual(filename:dirname(evum_ctl:socket()), filename:dirname(Path)),
    Peers = [connect(Kind, [{switch, Switch}, {path, Path}]) || Kind <- [daemon, bess]],
    introduce(Peers),
    ok = evum_switch:stop(Switch),
    ?assertNot(exists(filename:dirname(Path))).

last_socket_takes_the_run_directory_along(Config) ->
    Switch = ?config(switch, Config),
    Dir = filename:dirname(evum_ctl:socket()),
    {ok, First} = evum_ctl:start(Switch),
    {ok, Second} = evum_ctl:start(Switch, private),
    ok = evum_ctl:stop(First),
    ?assert(exists(Dir)),
    ok = evum_ctl:stop(Second),
    ?assertNot(exists(Dir)).

ctl_ends_with_its_switch(Config) ->
    Ctl = ?config(ctl, Config),
    Switch = ?config(switch, Config),
    Ref = monitor(process, Ctl),
    evum_switch:stop(Switch),
    receive
        {'DOWN', Ref, process, Ctl, Reason} -> ?assertEqual(normal, Reason)
    after 20000 -> error(still_alive)
    end,
    Path = ?config(path, Config),
    ?assertMatch({error, {switch, _}}, evum_ctl:start(Switch, Path)),
    ?assertEqual({error, {bad_option, switch, 17}}, evum_ctl:start(17, Path)).

killed_ctl_leaves_nothing(Config) ->
    A = connect(daemon, Config),
    exit(?config(ctl, Config), kill),
    _ = await(fun() -> file:list_dir(?config(dir, Config)) =:= {ok, []} end),
    {ok, _} = evum_ctl:start(?config(switch, Config), ?config(path, Config)),
    B = connect(bess, Config),
    introduce([A, B]).

bad_paths(Config) ->
    Switch = ?config(switch, Config),
    Dir = ?config(dir, Config),
    Longest = filename:join(Dir, lists:duplicate(107 - length(".vhost") - length(Dir) - 1, $x)),
    [
        ?assertEqual({error, {bad_option, path, Path}}, evum_ctl:start(Switch, Path))
     || Path <- [Longest ++ "x", "", <<>>, 17, "a\0b", [foo], {a}]
    ],
    {ok, Ctl} = evum_ctl:start(Switch, Longest),
    ok = evum_peer:close(evum_peer:bess(Longest)),
    ok = evum_ctl:stop(Ctl),
    Missing = filename:join([Dir, "missing", "ctl"]),
    ?assertEqual({error, {listen, Missing, enoent}}, evum_ctl:start(Switch, Missing)),
    ?assertEqual(
        {error, {listen, "/dev/null/ctl", enotdir}}, evum_ctl:start(Switch, "/dev/null/ctl")
    ),
    Odd = filename:join(Dir, "größe 1,2"),
    {ok, OddCtl} = evum_ctl:start(Switch, Odd),
    ?assertEqual(Odd, evum_ctl:socket(OddCtl)),
    ?assert(exists(Odd)),
    ok = evum_ctl:stop(OddCtl).

unsafe_run_directories(Config) ->
    Switch = ?config(switch, Config),
    Dir = filename:join(?config(dir, Config), "run"),
    Start = fun() ->
        application:set_env(evum, run_dir, Dir),
        try
            evum_ctl:start(Switch)
        after
            application:unset_env(evum, run_dir)
        end
    end,
    ok = file:make_dir(Dir),
    ok = file:change_mode(Dir, 8#777),
    ?assertEqual({error, {bad_option, run_dir, Dir}}, Start()),
    ok = file:change_mode(Dir, 8#755),
    {ok, Ctl} = Start(),
    ?assertEqual(filename:join(Dir, "evum.ctl"), evum_ctl:socket(Ctl)),
    ok = evum_ctl:stop(Ctl),
    %% It was there before, so it stays.
    ok = file:del_dir(Dir),
    ok = file:write_file(Dir, <<>>),
    ?assertEqual({error, {bad_option, run_dir, Dir}}, Start()),
    ok = file:delete(Dir),
    {ok, Own} = Start(),
    ok = evum_ctl:stop(Own),
    ?assertNot(exists(Dir)),
    application:set_env(evum, run_dir, "/proc/evum"),
    ?assertEqual({error, {bad_option, run_dir, "/proc/evum"}}, evum_ctl:start(Switch)),
    application:unset_env(evum, run_dir).

live_and_stale_sockets(Config) ->
    Switch = ?config(switch, Config),
    Path = filename:join(?config(dir, Config), "taken"),
    {ok, Socket} = socket:open(local, stream, default),
    ok = socket:bind(Socket, #{family => local, path => Path}),
    ok = socket:listen(Socket),
    ?assertEqual({error, {listen, Path, eaddrinuse}}, evum_ctl:start(Switch, Path)),
    %% Nobody listens any more; evum_net makes both sockets or none.
    ok = socket:close(Socket),
    ok = file:write_file(Path ++ ".bess", <<"no socket">>),
    ?assertEqual({error, {listen, Path, eaddrinuse}}, evum_ctl:start(Switch, Path)),
    ?assertNot(exists(Path)),
    ?assertEqual({ok, <<"no socket">>}, file:read_file(Path ++ ".bess")),
    ok = file:delete(Path ++ ".bess"),
    {ok, Stale} = socket:open(local, stream, default),
    ok = socket:bind(Stale, #{family => local, path => Path}),
    ok = socket:close(Stale),
    ?assert(exists(Path)),
    {ok, Ctl} = evum_ctl:start(Switch, Path),
    ok = evum_peer:close(evum_peer:daemon(Path)),
    %% What others put in its place is not removed.
    ok = file:delete(Path),
    ok = file:write_file(Path, <<"mine">>),
    ok = evum_ctl:stop(Ctl),
    ?assertEqual({ok, <<"mine">>}, file:read_file(Path)),
    ok = file:delete(Path).
