%% SPDX-License-Identifier: Apache-2.0
%% Machines whose interfaces are descriptors: what becomes of them as either
%% side goes, and what the machine knows of its switch. (That they exchange
%% frames with those of all other kinds, evum_vm_SUITE shows.)
-module(evum_fd_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

suite() -> [{timetrap, {minutes, 5}}].

all() -> [{group, fast}, {group, debian}].

groups() ->
    evum_test:kernel_groups([survives_a_reboot, ends_with_its_interface, ends_with_its_switch, no_switch]).

init_per_group(Group, Config) ->
    {ok, _} = application:ensure_all_started(evum),
    evum_test:init_group(Group, Config).

end_per_group(_Group, _Config) ->
    application:stop(evum).

init_per_testcase(_Case, Config) ->
    [{before, evum_test:leftovers()} | Config].

end_per_testcase(_Case, Config) ->
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_test:drain(),
    evum_test:no_leftovers(?config(before, Config)).

%% UML executes itself again, and finds its descriptor where it was.
survives_a_reboot(Config) ->
    {Switch, [A, B]} = machines(2, Config),
    Ports = evum_switch:ports(Switch),
    {ok, _} = evum:reboot(B),
    evum_test:await_line("Linux version"),
    configure(B, 2),
    pings(A, 2),
    ?assertEqual(ids(Ports), ids(evum_switch:ports(Switch))),
    ok = stop(Switch).

%% Set down, the interface is gone, for UML closes the descriptor. So is its
%% port, and nobody else is the worse for it.
ends_with_its_interface(Config) ->
    {Switch, [A, B, C]} = machines(3, Config),
    [] = evum_test:sh(B, "ip link set eth0 down"),
    evum_test:await(fun() -> length(evum_switch:ports(Switch)) =:= 2 end),
    [_ | _] = evum_test:sh(B, "ip link set eth0 up; echo status $?"),
    pings(A, 3),
    pings(C, 1),
    ok = stop(Switch).

%% The guest goes on without it.
ends_with_its_switch(Config) ->
    {Switch, [A, B]} = machines(2, Config),
    ok = evum_switch:stop(Switch),
    [<<"1">>] = evum_test:sh(A, "ping -c 1 -w 1 10.7.0.2 > /dev/null; echo $?"),
    [<<"fine">>] = evum_test:sh(B, "echo fine").

%% Nobody listens, or it is no socket: there is no machine.
no_switch(Config) ->
    Dir = string:trim(os:cmd("mktemp -d /tmp/evum-test-XXXXXX")),
    Path = filename:join(Dir, "ctl"),
    Start = fun() -> evum:start(#{kernel => ?config(kernel, Config), transport => fd, switch => Path}) end,
    ?assertEqual({error, {switch, enoent}}, Start()),
    ok = file:write_file(Path ++ ".fd", ""),
    ?assertEqual({error, {switch, econnrefused}}, Start()),
    ok = file:del_dir_r(Dir).

machines(N, Config) ->
    {ok, Switch} = evum_switch:start(),
    Options = #{switch => Switch, transport => fd, image => tiny},
    Machines = [evum_test:boot(Config, Options) || _ <- lists:seq(1, N)],
    [configure(R, I) || {I, R} <- lists:enumerate(Machines)],
    ?assertEqual(lists:duplicate(N, fd), [Kind || #{kind := Kind} <- evum_switch:ports(Switch)]),
    {Switch, Machines}.

configure(Machine, I) ->
    [] = evum_test:sh(Machine, ["dmesg -n 1; ip addr add ", address(I), "/24 dev eth0; ip link set eth0 up"]).

address(I) ->
    "10.7.0." ++ integer_to_list(I).

pings(Machine, To) ->
    [<<"0">>] = evum_test:sh(Machine, ["ping -c 1 -w 20 ", address(To), " > /dev/null; echo $?"]).

ids(Ports) ->
    lists:sort([Id || #{id := Id} <- Ports]).

stop(Switch) ->
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_test:await(fun() -> evum_switch:ports(Switch) =:= [] end),
    evum_switch:stop(Switch).
