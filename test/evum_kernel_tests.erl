%% SPDX-License-Identifier: Apache-2.0
%% Which kernel is found where: scripts that answer as kernels do, in a priv and
%% a PATH of their own.
-module(evum_kernel_tests).

-include_lib("eunit/include/eunit.hrl").

order_test_() ->
    {foreach, fun setup/0, fun cleanup/1, [
        fun({Dir, _}) -> {"a machine of one CPU", ?_test(one_cpu(Dir))} end,
        fun({Dir, _}) -> {"of several", ?_test(several_cpus(Dir))} end,
        fun({Dir, _}) -> {"what EVUM_KERNEL names is no kernel", ?_test(bad_environment(Dir))} end
    ]}.

setup() ->
    Dir = string:trim(os:cmd("mktemp -d")),
    [ok = filelib:ensure_path(filename:join(Dir, D)) || D <- ["evum/ebin", "evum/priv/kernel", "bin"]],
    true = code:add_patha(filename:join(Dir, "evum/ebin")),
    Before = [{Name, os:getenv(Name)} || Name <- ["PATH", "EVUM_KERNEL"]],
    true = os:putenv("PATH", filename:join(Dir, "bin")),
    true = os:unsetenv("EVUM_KERNEL"),
    {Dir, Before}.

cleanup({Dir, Before}) ->
    [
        case Value of
            false -> os:unsetenv(Name);
            _ -> os:putenv(Name, Value)
        end
     || {Name, Value} <- Before
    ],
    true = code:del_path(filename:join(Dir, "evum/ebin")),
    ok = file:del_dir_r(Dir).

one_cpu(Dir) ->
    ?assertMatch({error, {no_kernel, ["EVUM_KERNEL", "priv/kernel/linux" ++ _, "linux.uml" ++ _]}}, evum_kernel:info()),
    Path = kernel(Dir, "bin/linux.uml", []),
    ?assertMatch({ok, #{path := Path, origin := path, flavour := generic}}, evum_kernel:info()),
    %% what is for several CPUs is none of its business
    Smp = kernel(Dir, "evum/priv/kernel/linux-smp", ["SMP"]),
    ?assertMatch({ok, #{path := Path}}, evum_kernel:info()),
    Built = kernel(Dir, "evum/priv/kernel/linux", ["UML_TIME_TRAVEL_SUPPORT"]),
    ?assertMatch({ok, #{path := Built, origin := priv, flavour := time_travel}}, evum_kernel:info()),
    true = os:putenv("EVUM_KERNEL", Smp),
    ?assertMatch({ok, #{path := Smp, origin := environment, flavour := smp}}, evum_kernel:info()),
    true = os:putenv("EVUM_KERNEL", ""),
    ?assertMatch({ok, #{path := Built}}, evum_kernel:info()).

several_cpus(Dir) ->
    _ = kernel(Dir, "bin/linux.uml", []),
    One = kernel(Dir, "evum/priv/kernel/linux", []),
    Own = kernel(Dir, "own", ["SMP"]),
    None = {error, {no_kernel, ["priv/kernel/linux-smp (make kernel-smp)"]}},
    ?assertEqual(None, evum_kernel:find(smp)),
    true = os:putenv("EVUM_KERNEL", One),
    ?assertEqual(None, evum_kernel:find(smp)),
    Built = kernel(Dir, "evum/priv/kernel/linux-smp", ["SMP"]),
    ?assertMatch({ok, #{path := Built, origin := priv}}, evum_kernel:find(smp)),
    true = os:putenv("EVUM_KERNEL", Own),
    ?assertMatch({ok, #{path := Own, origin := environment}}, evum_kernel:find(smp)).

bad_environment(Dir) ->
    [kernel(Dir, "evum/priv/kernel/" ++ Name, ["SMP"]) || Name <- ["linux", "linux-smp"]],
    Absent = filename:join(Dir, "absent"),
    true = os:putenv("EVUM_KERNEL", Absent),
    [?assertEqual({error, {no_kernel, [Absent]}}, evum_kernel:find(Which)) || Which <- [default, smp]].

%% A script that has what a machine needs, and some more; its path.
kernel(Dir, Name, More) ->
    Needed = [
        "UML", "HOSTFS", "BLK_DEV_INITRD", "MCONSOLE", "PROC_FS", "SYSFS", "TMPFS", "DEVTMPFS", "UNIX98_PTYS",
        "OVERLAY_FS", "UML_NET_VECTOR"
    ],
    Config = [["echo CONFIG_", Option, "=y\n"] || Option <- Needed ++ More],
    Path = filename:join(Dir, Name),
    ok = file:write_file(Path, ["#!/bin/sh\n[ $1 = --showconfig ] || { echo 7.9.1; exit; }\n" | Config]),
    ok = file:change_mode(Path, 8#755),
    Path.
