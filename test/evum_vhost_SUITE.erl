%% SPDX-License-Identifier: Apache-2.0
%% Ports that are virtio cards: what guests that break the rules cost the others
%% (nothing), and machines on the fast kernel beside ports of other kinds.
-module(evum_vhost_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, groups/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([
    misdeeds_end_the_port/1,
    half_a_message/1,
    card_that_never_reads/1,
    card_that_floods/1,
    offloads_meet_other_kinds/1,
    machine_that_reboots/1
]).

-import(evum_switch_rig, [ports/1, await/1, await_counter/3, witnesses/1, exchange/1]).

%% A file of so many MiB goes through TCP.
-define(MIB, 4).

all() ->
    [{group, hostile}, {group, machines}].

groups() ->
    [
        {hostile, [], [misdeeds_end_the_port, half_a_message, card_that_never_reads, card_that_floods]},
        {machines, [], [offloads_meet_other_kinds, machine_that_reboots]}
    ].

suite() ->
    [{timetrap, {minutes, 3}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) ->
    ok.

init_per_group(hostile, Config) ->
    Config;
init_per_group(machines, Config) ->
    evum_test:init_group(fast, Config).

end_per_group(_Group, _Config) ->
    ok.

init_per_testcase(Case, Config) ->
    evum_switch_rig:open(Case, Config).

end_per_testcase(_Case, Config) ->
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_switch_rig:close(Config).

%%% Cards that break the rules ---------------------------------------------------

%% While two witnesses exchange frames without loss, a card after the other does
%% wrong, loses its port, and is counted.
misdeeds_end_the_port(Config) ->
    Switch = ?config(switch, Config),
    Witnesses = [A, B] = witnesses(Config),
    Before = ports(Switch),
    Misdeeds = ["garbage", "disorder", "surplus", "nowhere", "endless", "leap", "shrink"],
    lists:foreach(
        fun({N, Misdeed}) ->
            Card = evum_peer:misdeed(?config(path, Config), Misdeed),
            exchange(Witnesses),
            ?assertEqual({Misdeed, 0}, {Misdeed, exit_status(Card)}),
            await_counter(broken_vhost, N, Switch),
            _ = await(fun() -> ports(Switch) =:= Before end)
        end,
        lists:enumerate(Misdeeds)
    ),
    %% Its memory has gone when a frame for it comes.
    Vanished = evum_peer:misdeed(?config(path, Config), "vanish"),
    _ = await(fun() ->
        Frame = evum_peer:frame(broadcast, 1),
        ok = evum_peer:send(A, Frame),
        ?assertEqual(Frame, evum_peer:recv(B)),
        maps:get(broken_vhost, evum_switch:counters(Switch)) =:= length(Misdeeds) + 1
    end),
    ?assertEqual(0, exit_status(Vanished)),
    ?assertEqual(Before, ports(Switch)),
    exchange(Witnesses).

%% It says three bytes and nothing more: it is no port, and makes nobody wait.
half_a_message(Config) ->
    Switch = ?config(switch, Config),
    Witnesses = witnesses(Config),
    Before = maps:get(accepted, evum_switch:counters(Switch)),
    Card = evum_peer:misdeed(?config(path, Config), "half"),
    await_counter(accepted, Before + 1, Switch),
    exchange(Witnesses),
    ?assertEqual(2, length(ports(Switch))),
    true = port_close(Card),
    exchange(Witnesses).

%% It never offers a buffer: what it loses is counted at its port alone.
card_that_never_reads(Config) ->
    Switch = ?config(switch, Config),
    [A, B] = Witnesses = witnesses(Config),
    Known = ports(Switch),
    Card = evum_peer:misdeed(?config(path, Config), "deaf"),
    _ = await(fun() -> length(ports(Switch)) =:= 3 end),
    [
        begin
            Frame = evum_peer:frame(broadcast, 1, {size, 1514}),
            ok = evum_peer:send(A, Frame),
            ?assertEqual(Frame, evum_peer:recv(B))
        end
     || _ <- lists:seq(1, 1500)
    ],
    lists:foreach(
        fun(#{id := Id, tx_dropped := Dropped}) ->
            ?assertEqual(not lists:member(Id, Known), Dropped > 0)
        end,
        evum_switch:ports(Switch)
    ),
    exchange(Witnesses),
    true = port_close(Card),
    _ = await(fun() -> ports(Switch) =:= Known end).

%% Runts and frames to a station that nobody knows, without a pause. The
%% witnesses get what is flooded, and exchange their own frames in between.
card_that_floods(Config) ->
    Switch = ?config(switch, Config),
    [A, B] = witnesses(Config),
    Card = evum_peer:misdeed(?config(path, Config), "flood"),
    _ = await(fun() -> length(ports(Switch)) =:= 3 end),
    ok = evum_switch_rig:catch_up(B, 2, A, 1),
    ok = evum_switch_rig:catch_up(A, 1, B, 2),
    _ = await(fun() ->
        [Port] = [Port || #{kind := vhost} = Port <- evum_switch:ports(Switch)],
        maps:get(rx_runts, Port) > 0 andalso maps:get(rx_frames, Port) > 0
    end),
    true = port_close(Card),
    _ = await(fun() -> length(ports(Switch)) =:= 2 end),
    ok = evum_switch_rig:catch_up(B, 2, A, 1),
    ok = evum_switch_rig:catch_up(A, 1, B, 2),
    exchange([A, B]).

exit_status(Card) ->
    receive
        {Card, {exit_status, Status}} -> Status
    after 30000 -> error(no_exit_status)
    end.

%%% Machines -----------------------------------------------------------------------

%% A file through TCP, to and from a virtio card, with a neighbour of each kind
%% there is: it arrives as it was, and tcpdump finds no checksum wrong at ports
%% that offloads are completed for.
offloads_meet_other_kinds(Config) ->
    Switch = ?config(switch, Config),
    {ok, Kernel} = evum_kernel:info(?config(kernel, Config)),
    ?assertEqual(vhost, hd(evum_kernel:transports(Kernel))),
    Vhost = machine(Config, #{switch => Switch, transport => vhost}, "10.7.0.1"),
    Neighbours = [
        {vhost, machine(Config, #{switch => Switch, transport => vhost}, "10.7.0.2")},
        {bess, machine(Config, #{switch => Switch, transport => bess}, "10.7.0.3")}
        | [
            {daemon, machine([{kernel, Debian}], #{switch => Switch, transport => daemon}, "10.7.0.4")}
         || {debian, Debian} <- evum_test:kernels()
        ]
    ],
    Sum = prepare(Vhost),
    [Sum = prepare(Neighbour) || {_, Neighbour} <- Neighbours],
    [
        begin
            ?assertEqual({Kind, to, Sum}, {Kind, to, transfer(Vhost, Neighbour, Address, Kind)}),
            ?assertEqual({Kind, from, Sum}, {Kind, from, transfer(Neighbour, Vhost, "10.7.0.1", vhost)})
        end
     || {N, {Kind, Neighbour}} <- lists:enumerate(2, Neighbours),
        Address <- ["10.7.0." ++ integer_to_list(N)]
    ],
    %% Between cards, frames pass that no wire could carry.
    {vhost, Card} = hd(Neighbours),
    watch(Card, 1, "greater 1515"),
    evum_test:await(fun() ->
        Sum = transfer(Vhost, Card, "10.7.0.2", vhost),
        [<<"0">>] =:= evum_test:sh(Card, "test -e /tmp/watched; echo $?")
    end),
    [?assertMatch(#{rx_bad := 0, tx_errors := 0}, Port) || Port <- evum_switch:ports(Switch)].

machine(Config, Options, Address) ->
    Machine = evum_test:boot(Config, Options),
    configure(Machine, Address),
    Machine.

configure(Machine, Address) ->
    [] = evum_test:sh(Machine, [
        "dmesg -n 1; ip addr add ", Address, "/24 dev eth0; ip link set eth0 up"
    ]).

%% The file, made the same everywhere; its checksum.
prepare(Machine) ->
    Make = io_lib:format("seq 1 9999999 | head -c ~b > /tmp/file; cksum < /tmp/file", [?MIB bsl 20]),
    [Sum] = evum_test:sh(Machine, Make),
    Sum.

%% The checksum of what arrives; on the way it is looked at where it is to be
%% complete. Background jobs of a subshell leave no word on the console.
transfer(From, To, Address, Kind) ->
    [] = evum_test:sh(To, [
        %% the receiver's own input must not end, or nc tells the sender
        "rm -f /tmp/got /tmp/done /tmp/seen; test -p /tmp/never || mkfifo /tmp/never;"
        " ( { busybox nc -l -p 7000 <> /tmp/never > /tmp/got; touch /tmp/done; } & )"
    ]),
    Kind =:= vhost orelse watch(To, 40, "greater 200"),
    [] = evum_test:sh(To, "while ! grep -q ':1B58 ' /proc/net/tcp /proc/net/tcp6; do sleep 0.05; done"),
    [] = evum_test:sh(From, ["busybox nc ", Address, " 7000 < /tmp/file"]),
    [Sum] = evum_test:sh(To, "while ! test -e /tmp/done; do sleep 0.05; done; cksum < /tmp/got"),
    Kind =:= vhost orelse checksums_are_good(To),
    Sum.

%% So many of the segments are captured, with what tcpdump thinks of them. The
%% machine's own kernel must not join them before (GRO): the sum would be a part's.
watch(Machine, Count, Filter) ->
    [] = evum_test:sh(Machine, [
        "ip link set eth0 gro_max_size 100; rm -f /tmp/word;"
        " ( { tcpdump -i eth0 -c ", integer_to_list(Count), " -vvn 'tcp dst port 7000 and ", Filter,
        "' > /tmp/seen 2> /tmp/word;"
        " touch /tmp/watched; } & ); while ! grep -qs listening /tmp/word; do sleep 0.05; done"
    ]).

checksums_are_good(Machine) ->
    [Good, Bad] = evum_test:sh(Machine, [
        "while ! test -e /tmp/watched; do sleep 0.05; done; rm /tmp/watched;"
        " grep -c '(correct)' /tmp/seen; grep -c incorrect /tmp/seen"
    ]),
    ?assertEqual({<<"40">>, <<"0">>}, {Good, Bad}).

%% UML executes itself again: the card comes anew, as another port.
machine_that_reboots(Config) ->
    Switch = ?config(switch, Config),
    A = machine(Config, #{switch => Switch, transport => vhost}, "10.7.0.1"),
    B = machine(Config, #{switch => Switch, transport => vhost, mac => "02:00:00:00:07:02"}, "10.7.0.2"),
    [#{id := First}, #{id := Second}] = lists:sort(
        fun(#{id := X}, #{id := Y}) -> X =< Y end, evum_switch:ports(Switch)
    ),
    {ok, _} = evum:reboot(B),
    _ = await(fun() ->
        case ports(Switch) -- [First] of
            [New] -> New =/= Second;
            _ -> false
        end
    end),
    evum_test:drain(),
    [] = evum_test:sh(B, "true"),
    configure(B, "10.7.0.2"),
    [<<"02:00:00:00:07:02">>] = evum_test:sh(B, "cat /sys/class/net/eth0/address"),
    [<<"0">>] = evum_test:sh(A, "ping -c 1 -w 10 10.7.0.2 > /dev/null; echo $?").
