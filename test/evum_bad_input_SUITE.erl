%% SPDX-License-Identifier: Apache-2.0
%% What a person can get wrong: each is one clear error, before anything is
%% forked, and nothing is left.
-module(evum_bad_input_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [
        bad_options,
        bad_kernels,
        no_kernel_at_all,
        kernel_that_lacks_something,
        kernel_that_hangs,
        kernel_that_goes_away,
        bad_run_directory,
        no_switch,
        taken_names_and_addresses,
        start_link_returns_errors
    ].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) ->
    application:stop(evum).

init_per_testcase(_Case, Config) ->
    [{before, evum_test:leftovers()} | Config].

end_per_testcase(_Case, Config) ->
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_test:no_leftovers(?config(before, Config)).

bad_options(_Config) ->
    [
        ?assertEqual({error, {bad_option, Key, Value}}, evum:start(#{Key => Value}))
     || {Key, Value} <- [
            {mem, 0},
            {mem, 1 bsl 40},
            {mac, "ff:ff:ff:ff:ff:ff"},
            {root, "/etc/passwd"},
            {root, "/no/such/folder"},
            {owner_of, me}
        ]
    ],
    ?assertEqual({error, {bad_option, owner, node()}}, evum:start(node(), #{})),
    ?assertEqual({error, {bad_option, options, 64}}, evum:start(64)),
    ?assertEqual([], evum:list()).

bad_kernels(Config) ->
    Dir = ?config(priv_dir, Config),
    Script = fun(Name, Text) ->
        Path = filename:join(Dir, Name),
        ok = file:write_file(Path, ["#!/bin/sh\n", Text]),
        ok = file:change_mode(Path, 8#755),
        Path
    end,
    Fails = Script("fails", "exit 3"),
    Other = Script("other", "echo CONFIG_X86=y"),
    NotExecutable = filename:join(Dir, "plain"),
    ok = file:write_file(NotExecutable, <<"text">>),
    Empty = filename:join(Dir, "empty"),
    ok = file:write_file(Empty, <<>>),
    ok = file:change_mode(Empty, 8#755),
    [
        begin
            ?assertEqual({error, {bad_option, kernel, Path}}, evum:start(#{kernel => Path})),
            ?assertMatch({error, Why}, evum_kernel:info(Path))
        end
     || {Path, Why} <- [
            {"/no/such/kernel", {no_kernel, ["/no/such/kernel"]}},
            {"/etc", {not_executable, "/etc"}},
            {NotExecutable, {not_executable, NotExecutable}},
            {Empty, {not_uml, Empty}},
            {"/bin/true", {not_uml, "/bin/true"}},
            {"/bin/ls", {not_uml, "/bin/ls"}},
            %% prints for ever
            {"/usr/bin/yes", {not_uml, "/usr/bin/yes"}},
            {Fails, {not_uml, Fails}},
            {Other, {not_uml, Other}}
        ]
    ].

no_kernel_at_all(_Config) ->
    true = os:putenv("EVUM_KERNEL", "/no/such/kernel"),
    try
        ?assertEqual({error, {no_kernel, ["/no/such/kernel"]}}, evum:start())
    after
        os:unsetenv("EVUM_KERNEL")
    end.

%% It is told what is missing, by the kernel's own name for it.
kernel_that_lacks_something(Config) ->
    Path = filename:join(?config(priv_dir, Config), "lacking"),
    ok = file:write_file(Path, [
        "#!/bin/sh\n[ $1 = --version ] && exec echo 9.9\n",
        [["echo CONFIG_", F, "=y\n"] || F <- ["UML", "HOSTFS", "BLK_DEV_INITRD"]]
    ]),
    ok = file:change_mode(Path, 8#755),
    ?assertEqual({error, {bad_option, kernel, Path}}, evum:start(#{kernel => Path})),
    ?assertEqual({error, {lacks, Path, "CONFIG_MCONSOLE"}}, evum_kernel:info(Path)).

kernel_that_hangs(Config) ->
    Path = filename:join(?config(priv_dir, Config), "hangs"),
    ok = file:write_file(Path, "#!/bin/sh\nexec sleep 1000 > /dev/null < /dev/null\n"),
    ok = file:change_mode(Path, 8#755),
    ?assertEqual({error, {not_uml, Path}}, evum_kernel:info(Path)).

%% A kernel that has answered, and cannot be executed when it is wanted.
kernel_that_goes_away(Config) ->
    [{_, Kernel} | _] = evum_test:kernels(),
    Path = filename:join(?config(priv_dir, Config), "goes"),
    {ok, _} = file:copy(Kernel, Path),
    ok = file:change_mode(Path, 8#755),
    {ok, Info} = evum_kernel:info(Path),
    {ok, Machine} = evum_machine:describe(#{switch => none}),
    {ok, Machine1} = evum_machine:with_kernel(Machine, Info),
    ok = file:delete(Path),
    {ok, Pid} = evum_vm:start_link({Machine1, Info}),
    unlink(Pid),
    ?assertEqual({error, {kernel, Path, enoent}}, evum_vm:await(Pid)),
    ?assertEqual(normal, evum_test:await_down(Pid)).

bad_run_directory(_Config) ->
    %% A path of the suite's own would be too long for a socket.
    Dir = string:trim(os:cmd("mktemp -d")),
    File = filename:join(Dir, "file"),
    ok = file:write_file(File, <<>>),
    Open = filename:join(Dir, "open_to_all"),
    ok = file:make_dir(Open),
    ok = file:change_mode(Open, 8#777),
    [
        begin
            ok = application:set_env(evum, run_dir, Bad),
            try
                ?assertEqual({error, {bad_option, run_dir, Bad}}, evum:start())
            after
                application:unset_env(evum, run_dir)
            end
        end
     || Bad <- ["/no/such/folder/at/all", File, Open, "/proc/evum"]
    ],
    ok = file:del_dir_r(Dir),
    ?assertEqual([], evum:list()).

no_switch(_Config) ->
    ?assertEqual({error, {bad_option, switch, self()}}, evum:start(#{switch => self()})).

taken_names_and_addresses(_Config) ->
    Mac = "02:00:00:00:00:07",
    {ok, Switch} = evum_switch:start(),
    Options = #{switch => Switch, name => taken, mac => Mac},
    {ok, R} = evum:start(Options),
    ?assertEqual({error, {bad_option, name, taken}}, evum:start(Options)),
    ?assertEqual(
        {error, {bad_option, mac, <<2, 0, 0, 0, 0, 7>>}}, evum:start(maps:remove(name, Options))
    ),
    ok = evum:stop(R),
    {ok, R2} = evum:start(Options),
    ok = evum:stop(R2),
    %% Once more on the same network, but not on another
    Twice = [#{switch => S, mac => Mac} || S <- [Switch, Switch]],
    ?assertEqual(
        {error, {bad_option, mac, <<2, 0, 0, 0, 0, 7>>}}, evum:start(#{interfaces => Twice})
    ),
    ok = evum_switch:stop(Switch).

%% They do not kill the caller that they are linked to.
start_link_returns_errors(_Config) ->
    {ok, R} = evum:start(#{switch => none, name => taken}),
    ?assertEqual(
        {error, {bad_option, name, taken}}, evum:start_link(#{switch => none, name => taken})
    ),
    ok = evum:stop(R).
