%% SPDX-License-Identifier: Apache-2.0
%% Machines at ports with VLANs and a MTU: what a guest's own 802.1Q makes of
%% the tags, and TCP whose segments are left to be cut by the switch.
-module(evum_vlan_machines_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, groups/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([machines_of_vlans/1, tcp_with_tags/1, mtu/1]).

-import(evum_test, [sh/2]).

%% A file of so many MiB goes through TCP.
-define(MIB, 1).
%% Transfers until a long frame has passed, at most.
-define(TRANSFERS, 20).

all() -> [{group, fast}].

groups() -> [{fast, [], [machines_of_vlans, tcp_with_tags, mtu]}].

suite() -> [{timetrap, {minutes, 8}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) -> ok.

init_per_group(Group, Config) -> evum_test:init_group(Group, Config).

end_per_group(_Group, _Config) -> ok.

init_per_testcase(Case, Config) -> evum_switch_rig:open(Case, Config).

end_per_testcase(_Case, Config) ->
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_switch_rig:close(Config).

%% A machine with a card at a port that is set so, and the port.
machine(Transport, Setting, Config) ->
    Switch = ?config(switch, Config),
    Before = evum_switch_rig:ports(Switch),
    Machine = evum_test:boot(Config, #{switch => Switch, transport => Transport, image => tiny}),
    [] = sh(Machine, "dmesg -n 1; ip link set eth0 up"),
    [Port] = evum_switch_rig:await(fun() ->
        case evum_switch_rig:ports(Switch) -- Before of
            [] -> false;
            New -> New
        end
    end),
    ok = evum_switch:set_port(Switch, Port, Setting),
    {Machine, Port}.

address(Machine, Interface, Address) ->
    [] = sh(Machine, ["ip addr add ", Address, "/24 dev ", Interface]).

%% The interface of a VLAN at a trunk.
sub_interface(Machine, Vlan, Address) ->
    Interface = "eth0." ++ integer_to_list(Vlan),
    [] = sh(Machine, [
        "ip link add link eth0 name ", Interface, " type vlan id ", integer_to_list(Vlan),
        "; ip link set ", Interface, " up"
    ]),
    address(Machine, Interface, Address).

%% Within that many seconds: the limit of what is to come, and enough for what is
%% not to come to come.
reaches(Machine, Address) -> ping(Machine, Address, "-w 30 -c 1") =:= [<<"0">>].
reaches_not(Machine, Address) -> ping(Machine, Address, "-w 2 -c 2") =/= [<<"0">>].

ping(Machine, Address, Options) ->
    sh(Machine, ["ping ", Options, " ", Address, " > /dev/null 2>&1; echo $?"]).

info(Port, Config) ->
    [Info] = [Info || #{id := Id} = Info <- evum_switch:ports(?config(switch, Config)), Id =:= Port],
    Info.

machines_of_vlans(Config) ->
    {A, _} = machine(vhost, #{vlan => {access, 10}}, Config),
    {B, _} = machine(bess, #{vlan => {access, 10}}, Config),
    {C, _} = machine(vhost, #{vlan => {access, 20}}, Config),
    {T, P} = machine(vhost, #{vlan => {trunk, [10, 20]}}, Config),
    [
        address(Machine, "eth0", Address)
     || {Machine, Address} <- [{A, "10.8.0.1"}, {B, "10.8.0.2"}, {C, "10.8.0.3"}]
    ],
    sub_interface(T, 10, "10.8.0.4"),
    ?assert(reaches(A, "10.8.0.2")),
    ?assert(reaches(A, "10.8.0.4")),
    ?assert(reaches_not(A, "10.8.0.3")),
    ?assert(reaches_not(C, "10.8.0.4")),
    %% The same machine in the other VLAN, and in one that its port is not in.
    sub_interface(T, 20, "10.8.1.4"),
    address(C, "eth0", "10.8.1.3"),
    ?assert(reaches(C, "10.8.1.4")),
    ?assert(reaches(T, "10.8.1.3")),
    sub_interface(T, 30, "10.8.2.4"),
    ?assert(reaches_not(T, "10.8.2.1")),
    ?assert(maps:get(rx_vlan, info(P, Config)) > 0).

%% A file each way between a trunk and an access port of each kind: segments to
%% be cut go with a tag and without, and what is cut by the switch has its tag.
tcp_with_tags(Config) ->
    {T, Trunk} = machine(vhost, #{vlan => {trunk, [10, 20]}}, Config),
    {A, Access} = machine(vhost, #{vlan => {access, 10}}, Config),
    {B, _} = machine(bess, #{vlan => {access, 10}}, Config),
    {S, _} = machine(bess, #{vlan => {trunk, [20]}}, Config),
    sub_interface(T, 10, "10.8.0.1"),
    address(A, "eth0", "10.8.0.2"),
    address(B, "eth0", "10.8.0.3"),
    sub_interface(T, 20, "10.8.1.1"),
    sub_interface(S, 20, "10.8.1.2"),
    [Sum] = lists:usort([prepare(Machine) || Machine <- [T, A, B, S]]),
    [
        ?assertEqual({Address, Sum}, {Address, transfer(From, To, Address)})
     || {From, To, Address} <- [
            {T, A, "10.8.0.2"},
            {A, T, "10.8.0.1"},
            {T, B, "10.8.0.3"},
            {B, T, "10.8.0.1"},
            {A, B, "10.8.0.3"},
            {T, S, "10.8.1.2"},
            {S, T, "10.8.1.1"}
        ]
    ],
    %% Between cards, frames pass that no wire could carry.
    passes_whole(Trunk, fun() -> Sum = transfer(T, A, "10.8.0.2") end, Config),
    passes_whole(Access, fun() -> Sum = transfer(A, T, "10.8.0.1") end, Config),
    [
        ?assertMatch(#{rx_bad := 0, tx_errors := 0, tx_mtu := 0}, Port)
     || Port <- evum_switch:ports(?config(switch, Config))
    ].

%% What is left to be cut is not too long; frames that are, are.
mtu(Config) ->
    {A, P} = machine(vhost, #{mtu => 1500}, Config),
    {B, _} = machine(vhost, #{}, Config),
    address(A, "eth0", "10.8.0.1"),
    address(B, "eth0", "10.8.0.2"),
    Sum = prepare(A),
    Sum = prepare(B),
    ?assertEqual(Sum, transfer(A, B, "10.8.0.2")),
    ?assertEqual(Sum, transfer(B, A, "10.8.0.1")),
    passes_whole(P, fun() -> Sum = transfer(A, B, "10.8.0.2") end, Config),
    ?assertMatch(#{rx_mtu := 0, tx_mtu := 0}, info(P, Config)),
    Switch = ?config(switch, Config),
    ok = evum_switch:set_port(Switch, P, #{mtu => 1000}),
    ?assertEqual([<<"0">>], ping(A, "10.8.0.2", "-w 30 -c 1 -s 972")),
    ?assertNotEqual([<<"0">>], ping(A, "10.8.0.2", "-w 2 -c 2 -s 973")),
    ?assertNotEqual([<<"0">>], ping(B, "10.8.0.1", "-w 2 -c 2 -s 973")),
    #{rx_mtu := Rx, tx_mtu := Tx} = info(P, Config),
    ?assert(Rx > 0),
    ?assert(Tx > 0).

%% The file, made the same everywhere; its checksum.
prepare(Machine) ->
    Make = io_lib:format("seq 1 9999999 | head -c ~b > /tmp/file; cksum < /tmp/file", [?MIB bsl 20]),
    [Sum] = sh(Machine, Make),
    Sum.

%% A frame that is longer than a wire's comes in at the port: how many segments the
%% guest makes one of is its own affair, so it is asked again until it does.
passes_whole(Port, Transfer, Config) ->
    Switch = ?config(switch, Config),
    {ok, Hook} = evum_switch:hook(Switch, [{in, Port}, {bpf, "greater 1523"}], {observer, self()}),
    ?assert(is_seen(Transfer, ?TRANSFERS)),
    ok = evum_switch:unhook(Switch, Hook).

is_seen(_, 0) ->
    false;
is_seen(Transfer, N) ->
    _ = Transfer(),
    receive
        {evum_frame, _, _} -> true
    after 0 -> is_seen(Transfer, N - 1)
    end.

%% The checksum of what arrives. Background jobs of a subshell leave no word on
%% the console.
transfer(From, To, Address) ->
    [] = sh(To, [
        %% the receiver's own input must not end, or nc tells the sender
        "rm -f /tmp/got /tmp/done; test -p /tmp/never || mkfifo /tmp/never;"
        " ( { nc -l -p 7000 <> /tmp/never > /tmp/got; touch /tmp/done; } & )"
    ]),
    [] = sh(To, "while ! grep -q ':1B58 ' /proc/net/tcp /proc/net/tcp6; do sleep 0.05; done"),
    [] = sh(From, ["nc ", Address, " 7000 < /tmp/file"]),
    [Sum] = sh(To, "while ! test -e /tmp/done; do sleep 0.05; done; cksum < /tmp/got"),
    Sum.
