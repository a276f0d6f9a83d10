%% SPDX-License-Identifier: Apache-2.0
%% Whole networks of real guests: they come up, change, and leave nothing.
-module(evum_lab_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, groups/0, init_per_suite/1, end_per_suite/1, init_per_group/2, end_per_group/2]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([
    up_and_down/1,
    two_labs/1,
    order/1,
    failing_command/1,
    hanging_command/1,
    nobody_waits_for_the_start/1,
    starter_goes/1,
    the_rest_is_up/1,
    no_machine_at_all/1,
    links_up_and_down/1,
    impairments/1,
    seed/1,
    power/1,
    add_and_remove/1,
    fewest_steps/1,
    what_scripts_have_set/1,
    refused_settings/1,
    changed_while_it_starts/1,
    moved_cable/1,
    two_switches/1,
    switches_in_line/1,
    spare_link/1,
    bonded_links/1,
    partition/1,
    partition_behind_routers/1,
    play/1,
    ping_all/1,
    drawn/1,
    shutdown_commands/1,
    bad_requests/1,
    server_is_killed/1,
    many/1
]).

all() -> [{group, fast}].

groups() ->
    [
        {fast, [], [
            up_and_down,
            two_labs,
            order,
            failing_command,
            hanging_command,
            nobody_waits_for_the_start,
            starter_goes,
            the_rest_is_up,
            no_machine_at_all,
            links_up_and_down,
            impairments,
            seed,
            power,
            add_and_remove,
            fewest_steps,
            what_scripts_have_set,
            refused_settings,
            changed_while_it_starts,
            moved_cable,
            two_switches,
            switches_in_line,
            spare_link,
            bonded_links,
            partition,
            partition_behind_routers,
            play,
            ping_all,
            drawn,
            shutdown_commands,
            bad_requests,
            server_is_killed,
            many
        ]}
    ].

suite() -> [{timetrap, {minutes, 5}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) -> ok.

%% A lab needs the agent, which Debian's kernel has no device for.
init_per_group(Group, Config) -> evum_test:init_group(Group, Config).

end_per_group(_Group, _Config) -> ok.

init_per_testcase(_Case, Config) ->
    [{before, evum_test:leftovers()} | Config].

end_per_testcase(_Case, Config) ->
    [evum_lab:stop(Lab) || Lab <- evum_lab:list()],
    ?assertEqual([], evum:list()),
    evum_test:no_leftovers(?config(before, Config)).

%%% ---------------------------------------------------------------------------

defaults(Config) ->
    #{image => tiny, mem => 32, verbose => false, kernel => ?config(kernel, Config)}.

%% Two machines on a wire, both at a switch with a third.
triangle(Config) ->
    #{
        machines => #{a => #{}, b => #{}, c => #{}},
        switches => #{s => #{}},
        links => [{{a, eth0}, s}, {{b, eth0}, s}, {{c, eth0}, s}, {{a, eth1}, {b, eth1}}],
        addressing => {ipv4, "10.0.0.0/8"},
        defaults => defaults(Config)
    }.

start(Description) ->
    {ok, Lab} = evum_lab:start(Description),
    Lab.

cmd(Lab, Name, Command) ->
    {ok, Vm} = evum_lab:machine(Lab, Name),
    {ok, Status, Output} = evum:cmd(Vm, lists:flatten(Command), #{timeout => 60000}),
    {Status, Output}.

%% As long as it takes, or as long as one must wait to believe that it does not.
reaches(Lab, From, To) ->
    {Status, _} = cmd(Lab, From, ["for i in 1 2 3 4 5; do ping -c 1 -W 2 ", To, " && exit 0; done; exit 1"]),
    Status =:= 0.

is_cut_off(Lab, From, To) ->
    {Status, _} = cmd(Lab, From, ["ping -c 2 -W 1 ", To]),
    Status =/= 0.

status(Lab, Name) ->
    #{machines := Machines} = evum_lab:info(Lab),
    maps:get(status, maps:get(atom_to_binary(Name), Machines)).

%%% ---------------------------------------------------------------------------

up_and_down(Config) ->
    Lab = start((triangle(Config))#{name => net}),
    ?assertMatch(#{name := <<"net">>, phase := running, switches := 2}, evum_lab:info(net)),
    ?assertEqual({0, <<"a\n">>}, cmd(Lab, a, "hostname")),
    %% by name and by address, at the switch and on the wire
    [?assert(reaches(Lab, From, To)) || {From, To} <- [{a, "b"}, {b, "c"}, {c, "10.0.0.1"}, {a, "10.0.1.2"}]],
    ?assertMatch({0, <<"b\n">>}, begin {ok, 0, Name} = evum:cmd("net.b", "hostname"), {0, Name} end),
    ok = evum_lab:stop(net),
    ?assertEqual({error, no_lab}, evum_lab:info(net)),
    ?assertEqual({error, no_lab}, evum_lab:stop(Lab)).

%% Names are those of a lab.
two_labs(Config) ->
    One = start(triangle(Config)),
    Two = start(triangle(Config)),
    {ok, A1} = evum_lab:machine(One, a),
    {ok, A2} = evum_lab:machine(Two, a),
    ?assertNotEqual(A1, A2),
    ?assert(reaches(One, a, "c")),
    ok = evum_lab:stop(One),
    ?assert(reaches(Two, a, "c")),
    ?assertMatch({error, [{lab, {bad_option, name, _}}]}, evum_lab:start((triangle(Config))#{name => maps:get(name, evum_lab:info(Two))})).

%% A machine starts when what it depends on is up, with all its commands.
order(Config) ->
    Lab = #{
        machines => #{
            last => #{depends => [first, middle]},
            middle => #{depends => [first]},
            first => #{startup => ["sleep 1", "touch /done"]}
        },
        defaults => defaults(Config)
    },
    {ok, Pid} = evum_lab:start(Lab, #{progress => self()}),
    Told = fun Told(Acc) ->
        receive
            {evum_lab, _, settled} -> lists:reverse(Acc);
            {evum_lab, _, {machine, Name, What}} when What =:= starting; What =:= up -> Told([{Name, What} | Acc]);
            {evum_lab, _, _} -> Told(Acc)
        after 60000 -> error({timeout, Acc})
        end
    end,
    ?assertEqual([{Name, What} || Name <- [<<"first">>, <<"middle">>, <<"last">>], What <- [starting, up]], Told([])),
    ?assertMatch({0, _}, cmd(Pid, first, "test -e /done")).

%% The machine, the command and what it said are told, and nothing is left.
failing_command(Config) ->
    #{machines := Machines} = Lab = triangle(Config),
    {error, [Problem]} = evum_lab:start(Lab#{machines := Machines#{b => #{startup => ["true", "echo no such luck; exit 3"]}}}),
    ?assertMatch({{machine, <<"b">>}, {start, {startup, "echo no such luck; exit 3", 3, <<"no such luck\n">>}, _}}, Problem),
    ?assertMatch({_, _}, binary:match(unicode:characters_to_binary(evum_lab_problem:format(Problem)), <<"no such luck">>)),
    ?assertEqual([], evum_lab:list()),
    ?assertEqual([], evum:list()).

hanging_command(Config) ->
    #{machines := Machines} = Lab = triangle(Config),
    Hangs = #{startup => "echo so far; sleep 1000", startup_timeout => 1500},
    {error, [Problem]} = evum_lab:start(Lab#{machines := Machines#{c => Hangs}}),
    ?assertMatch({{machine, <<"c">>}, {start, {startup, _, timeout, <<"so far\n">>}, _}}, Problem),
    ?assertEqual([], evum:list()).

%% Nobody would know of it.
nobody_waits_for_the_start(Config) ->
    #{machines := Machines} = Lab = triangle(Config),
    Self = self(),
    Pid = spawn(fun() ->
        evum_lab:start(Lab#{machines := Machines#{c => #{startup => "sleep 1000"}}}, #{progress => Self})
    end),
    receive
        {evum_lab, _, {machine, <<"c">>, commands}} -> ok
    after 60000 -> error(timeout)
    end,
    [Server] = evum_lab:list(),
    Ref = monitor(process, Server),
    exit(Pid, kill),
    receive
        {'DOWN', Ref, process, _, normal} -> ok
    after 20000 -> error(timeout)
    end,
    ?assertEqual([], evum:list()).

%% Whoever started it may go, then.
starter_goes(Config) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit(evum_lab:start(triangle(Config))) end),
    receive
        {'DOWN', Ref, process, Pid, {ok, Lab}} -> ?assert(reaches(Lab, a, "c"))
    after 60000 -> error(timeout)
    end.

the_rest_is_up(Config) ->
    #{machines := Machines} = Lab = triangle(Config),
    Pid = start(Lab#{
        machines := Machines#{b => #{startup => "false"}, d => #{depends => [b]}}, all_or_nothing => false
    }),
    ?assertMatch(
        #{
            machines := #{
                <<"a">> := #{status := up},
                <<"b">> := #{status := failed, reason := {startup, "false", 1, <<>>}},
                <<"c">> := #{status := up},
                <<"d">> := #{status := failed, reason := {depends, <<"b">>}}
            }
        },
        evum_lab:info(Pid)
    ),
    ?assert(reaches(Pid, a, "c")).

%% One that does not even boot: its console is shown.
no_machine_at_all(Config) ->
    Lab = #{
        machines => #{good => #{}, bad => #{init => "/no/such/program", verbose => true}},
        defaults => defaults(Config)
    },
    {error, [{{machine, <<"bad">>}, {start, {ended, {failed, Why}}, Lines}}]} = evum_lab:start(Lab),
    ?assertMatch({_, _}, binary:match(Why, <<"/no/such/program">>)),
    ?assert(lists:any(fun(Line) -> binary:match(Line, <<"Linux version">>) =/= nomatch end, Lines) orelse length(Lines) =:= 40),
    ?assertEqual([], evum:list()).

links_up_and_down(Config) ->
    Lab = start(triangle(Config)),
    ?assert(reaches(Lab, a, "10.0.1.2")),
    ok = evum_lab:set_link(Lab, {a, eth1}, {b, eth1}, #{up => false}),
    ?assert(is_cut_off(Lab, a, "10.0.1.2")),
    ?assert(reaches(Lab, a, "10.0.0.2")),
    ok = evum_lab:set_link(Lab, {b, eth1}, {a, eth1}, #{up => true}),
    ?assert(reaches(Lab, a, "10.0.1.2")),
    ?assertMatch(
        {error, [{{link, _}, {bad_option, {port, vlan}, rubbish}}]},
        evum_lab:set_link(Lab, s, {c, eth0}, #{port => #{vlan => rubbish}})
    ),
    ?assertMatch(
        {error, [{{link, _}, {no_switch_port, port}}]},
        evum_lab:set_link(Lab, {a, eth1}, {b, eth1}, #{port => #{isolated => true}})
    ),
    ok = evum_lab:disconnect(Lab, s, {c, eth0}),
    ?assert(is_cut_off(Lab, a, "10.0.0.3")),
    {ok, Vm} = evum_lab:machine(Lab, c),
    ok = evum_lab:connect(Lab, s, {c, eth0}),
    %% it was only unplugged
    ?assertEqual({ok, Vm}, evum_lab:machine(Lab, c)),
    ?assert(reaches(Lab, a, "10.0.0.3")).

%% Each way of a wire takes its delay; so does each way to and from a switch.
impairments(Config) ->
    #{links := Links} = Description = triangle(Config),
    Lab = start(Description#{seed => 7, links := [{{c, eth0}, s, #{delay => {60, ms}}} | Links -- [{{c, eth0}, s}]]}),
    ?assertMatch(#{seed := 7}, evum_lab:info(Lab)),
    ?assert(reaches(Lab, a, "c")),
    ?assert(rtt(Lab, a, "c") >= 120),
    ok = evum_lab:set_link(Lab, {a, eth1}, {b, eth1}, #{delay => {50, ms}}),
    ?assert(rtt(Lab, a, "10.0.1.2") >= 100),
    ok = evum_lab:set_link(Lab, {a, eth1}, {b, eth1}, #{delay => none, loss => 1}),
    ?assert(is_cut_off(Lab, a, "10.0.1.2")),
    ok = evum_lab:restart(Lab, b),
    ?assert(is_cut_off(Lab, a, "10.0.1.2")),
    ok = evum_lab:set_link(Lab, {a, eth1}, {b, eth1}, #{loss => none}),
    ?assert(reaches(Lab, a, "10.0.1.2")),
    %% one direction, which is that of the end where it comes from
    ok = evum_lab:set_link(Lab, {b, eth1}, {a, eth1}, #{forth => #{delay => {70, ms}}}),
    ?assertMatch(#{in := #{delay := {70, ms}}, out := none}, impaired(Lab, b, eth1)),
    ?assertEqual(#{in => none, out => none}, impaired(Lab, a, eth1)),
    ?assert(rtt(Lab, a, "10.0.1.2") >= 70),
    ?assertMatch({error, [{{link, _}, {bad_option, loss, 7}}]}, evum_lab:set_link(Lab, {a, eth1}, {b, eth1}, #{loss => 7})).

impaired(Lab, Machine, Interface) ->
    {ok, Ports} = evum_lab:ports(Lab),
    {Switch, Port} = maps:get({atom_to_binary(Machine), atom_to_binary(Interface)}, Ports),
    [Impair] = [Impair || #{id := Id, impair := Impair} <- evum_switch:ports(Switch), Id =:= Port],
    Impair.

%% The least of some round trips, ms.
rtt(Lab, From, To) ->
    {0, Output} = cmd(Lab, From, ["ping -c 3 -i 0.2 -W 5 ", To]),
    {match, [Min]} = re:run(Output, "= ([0-9]+)\\.", [{capture, [1], binary}]),
    binary_to_integer(Min).

%% Of a seed comes which frames are lost, whoever is plugged in first, and again
%% after a restart.
seed(Config) ->
    Description = fun(Seed, First, Second) ->
        (triangle(Config))#{
            seed => Seed,
            machines := #{First => silent(), Second => (silent())#{depends => [First]}},
            links := [{{a, eth0}, s, #{loss => 0.3}}, {{b, eth0}, s, #{back => #{loss => 0.2}}}]
        }
    end,
    Lab1 = start(Description(7, a, b)),
    Arrived = arrived(Lab1),
    ?assert(length(Arrived) > 5),
    ?assert(length(Arrived) < 55),
    ok = evum_lab:restart(Lab1, a),
    ok = evum_lab:restart(Lab1, b),
    ?assertEqual(Arrived, arrived(Lab1)),
    ok = evum_lab:stop(Lab1),
    Lab2 = start(Description(7, b, a)),
    ?assertEqual(Arrived, arrived(Lab2)),
    ok = evum_lab:stop(Lab2),
    ?assertNotEqual(Arrived, arrived(start(Description(8, a, b)))).

%% A machine that sends nothing by itself, once it knows where the others are.
silent() ->
    #{sysctl => #{"net.ipv6.conf.all.disable_ipv6" => 1}}.

%% Which of 60 echo requests were answered, with nothing else under way.
arrived(Lab) ->
    lists:foreach(
        fun({Machine, Other, Address}) ->
            {0, Mac} = cmd(Lab, Other, "cat /sys/class/net/eth0/address"),
            ?assertEqual({0, <<>>}, cmd(Lab, Machine, ["arp -s ", Address, " ", string:trim(binary_to_list(Mac))]))
        end,
        [{a, b, "10.0.0.2"}, {b, a, "10.0.0.1"}]
    ),
    {_, Output} = cmd(Lab, a, "ping -c 60 -i 0.02 -W 1 10.0.0.2"),
    {match, Numbers} = re:run(Output, "seq=([0-9]+)", [global, {capture, [1], list}]),
    [list_to_integer(Number) || [Number] <- Numbers].

%% What is killed has its links when it is back.
power(Config) ->
    Lab = start(triangle(Config)),
    {ok, Before} = evum_lab:machine(Lab, b),
    ok = evum_lab:set_link(Lab, {a, eth1}, {b, eth1}, #{up => false}),
    ok = evum_lab:kill(Lab, b),
    ?assertEqual(down, status(Lab, b)),
    ?assertEqual({error, {not_running, <<"b">>}}, evum_lab:machine(Lab, b)),
    ?assertNot(is_process_alive(Before)),
    ok = evum_lab:boot(Lab, b),
    ?assert(reaches(Lab, b, "a")),
    ?assert(is_cut_off(Lab, b, "10.0.1.1")),
    ok = evum_lab:set_link(Lab, {a, eth1}, {b, eth1}, #{up => true}),
    ?assert(reaches(Lab, b, "10.0.1.1")),
    {ok, Again} = evum_lab:machine(Lab, b),
    ok = evum_lab:restart(Lab, b),
    ?assertNotEqual({ok, Again}, evum_lab:machine(Lab, b)),
    ?assert(reaches(Lab, a, "10.0.1.2")),
    %% one that powers itself off
    {ok, Last} = evum_lab:machine(Lab, b),
    ok = evum:shutdown(Last),
    _ = evum_test:await(fun() -> status(Lab, b) =:= down end),
    ok = evum_lab:boot(Lab, b),
    ?assert(reaches(Lab, b, "c")).

add_and_remove(Config) ->
    Lab = start(triangle(Config)),
    ok = evum_lab:add(Lab, d, #{interfaces => #{eth0 => []}}),
    ok = evum_lab:connect(Lab, {d, eth0}, s),
    ?assert(reaches(Lab, d, "a")),
    %% who was there before has learned its name
    ?assert(reaches(Lab, a, "d")),
    ok = evum_lab:remove(Lab, a),
    ?assertEqual({error, {no_machine, <<"a">>}}, evum_lab:machine(Lab, a)),
    ?assert(reaches(Lab, d, "b")),
    ok = evum_lab:add_switch(Lab, t, #{}),
    ?assertMatch(#{switches := 3}, evum_lab:info(Lab)),
    ok = evum_lab:remove(Lab, t),
    %% s, and the wire that b's card is still plugged into
    ?assertMatch(#{switches := 2}, evum_lab:info(Lab)),
    ok = evum_lab:restart(Lab, b),
    ?assert(reaches(Lab, b, "d")).

%% What is the same in both descriptions is not touched.
fewest_steps(Config) ->
    #{machines := Machines, links := Links} = Description = triangle(Config),
    Lab = start(Description),
    Vms = [evum_lab:machine(Lab, Name) || Name <- [a, b, c]],
    ok = evum_lab:watch(Lab),
    ok = evum_lab:apply(Lab, Description),
    ok = evum_lab:apply(Lab, Description#{
        machines := Machines#{d => #{}, c => #{sysctl => #{"net.ipv4.ip_forward" => 1}}},
        links := Links ++ [{{d, eth0}, s}]
    }),
    ?assertEqual(Vms, [evum_lab:machine(Lab, Name) || Name <- [a, b, c]]),
    ?assertMatch([{add_link, _}, {configure, <<"c">>}, {add_machine, <<"d">>}], steps()),
    ?assert(reaches(Lab, d, "a")),
    ?assertEqual({0, <<"1\n">>}, cmd(Lab, c, "cat /proc/sys/net/ipv4/ip_forward")),
    ok = evum_lab:apply(Lab, Description#{machines := Machines#{c => #{mem => 48}}}),
    Now = [evum_lab:machine(Lab, Name) || Name <- [a, b, c]],
    ?assertEqual(lists:droplast(Vms), lists:droplast(Now)),
    ?assertNotEqual(lists:last(Vms), lists:last(Now)),
    ?assertMatch([{remove_link, _}, {remove_machine, <<"d">>}, {replace_machine, <<"c">>}], steps()),
    ?assert(reaches(Lab, c, "a")).

steps() ->
    receive
        {evum_lab, _, {step, Step}} -> [Step | steps()];
        {evum_lab, _, _} -> steps()
    after 0 -> []
    end.

%% Addresses and routes that the description does not tell of are left alone, those that
%% it does tell of change.
what_scripts_have_set(Config) ->
    Script = [
        "ip addr add 192.168.1.1/24 dev eth0",
        "ip route add 192.168.2.0/24 via 192.168.1.2",
        "ip route replace default via 192.168.1.3"
    ],
    A = #{startup => Script, interfaces => #{eth0 => [], eth1 => ["10.0.0.1/24"]}},
    Description = #{
        machines => #{a => A, b => #{startup => "ip addr add 192.168.1.2/24 dev eth0"}},
        links => [{{a, eth0}, {b, eth0}}, {{a, eth1}, {b, eth1}}],
        defaults => defaults(Config)
    },
    Lab = start(Description),
    Set = "echo $(ip -o -4 addr show scope global | sed 's/.*inet //; s/ .*//') $(ip route | sed 's/ dev.*//')",
    ?assertEqual(
        {0, <<"192.168.1.1/24 10.0.0.1/24 default via 192.168.1.3 10.0.0.0/24 192.168.1.0/24 192.168.2.0/24 via 192.168.1.2\n">>},
        cmd(Lab, a, Set)
    ),
    ok = evum_lab:apply(Lab, Description#{
        machines := #{
            a => A#{sysctl => #{"net.ipv4.ip_forward" => 1}, interfaces => #{eth0 => [], eth1 => ["10.0.7.1/24"]}},
            b => #{startup => "ip addr add 192.168.1.2/24 dev eth0", sysctl => #{"net.ipv4.ip_forward" => 1}}
        }
    }),
    ?assertEqual(
        {0, <<"192.168.1.1/24 10.0.7.1/24 default via 192.168.1.3 10.0.7.0/24 192.168.1.0/24 192.168.2.0/24 via 192.168.1.2\n">>},
        cmd(Lab, a, Set)
    ),
    [?assertEqual({0, <<"1\n">>}, cmd(Lab, Name, "cat /proc/sys/net/ipv4/ip_forward")) || Name <- [a, b]],
    ?assert(reaches(Lab, b, "192.168.1.1")).

%% What a machine does not take is told, by its name; the next time it is tried again.
refused_settings(Config) ->
    #{machines := Machines} = Description = triangle(Config),
    Lab = start(Description),
    With = fun(B, C) -> Description#{machines := Machines#{b => #{sysctl => B}, c => #{sysctl => C}}} end,
    Good = #{"net.ipv4.ip_forward" => 1},
    {error, [Problem]} = evum_lab:apply(Lab, With(#{"net.no.such" => 1}, Good)),
    ?assertEqual({{machine, <<"b">>}, {configure, {sysctl, "net.no.such", enoent}}}, Problem),
    ?assertMatch({_, _}, binary:match(unicode:characters_to_binary(evum_lab_problem:format(Problem)), <<"net.no.such">>)),
    ?assertEqual([up, up, up], [status(Lab, Name) || Name <- [a, b, c]]),
    ?assertEqual({0, <<"1\n">>}, cmd(Lab, c, "cat /proc/sys/net/ipv4/ip_forward")),
    ok = evum_lab:apply(Lab, With(Good, Good)),
    ?assertEqual({0, <<"1\n">>}, cmd(Lab, b, "cat /proc/sys/net/ipv4/ip_forward")).

%% It is set once the machine is up, and answered then.
changed_while_it_starts(Config) ->
    #{machines := Machines} = Triangle = triangle(Config),
    A = #{startup => "until test -e /go; do sleep 0.1; done"},
    Description = Triangle#{name => net, machines := Machines#{a => A}},
    Self = self(),
    Run = fun(Fun) -> spawn_link(fun() -> Self ! {self(), Fun()} end) end,
    Starter = Run(fun() -> evum_lab:start(Description, #{progress => Self}) end),
    told({machine, <<"a">>, commands}),
    Changer = Run(fun() ->
        evum_lab:apply(net, Description#{machines := Machines#{a => A#{sysctl => #{"net.ipv4.ip_forward" => 1}}}})
    end),
    told({step, {configure, <<"a">>}}),
    {ok, Vm} = evum_lab:machine(net, a),
    ok = evum:put(Vm, "/go", ""),
    receive {Changer, Changed} -> ?assertEqual(ok, Changed) after 60000 -> error(timeout) end,
    receive {Starter, Started} -> ?assertMatch({ok, _}, Started) after 60000 -> error(timeout) end,
    ?assertEqual({0, <<"1\n">>}, cmd(net, a, "cat /proc/sys/net/ipv4/ip_forward")).

told(What) ->
    receive
        {evum_lab, _, What} -> ok
    after 60000 -> error({not_told, What})
    end.

%% From the wire to the switch, which takes a new start; the address is as before.
moved_cable(Config) ->
    #{links := Links} = Description = triangle(Config),
    Lab = start(Description#{links := lists:droplast(Links) ++ [{{a, eth1}, {b, eth1}, #{subnet => "192.168.7.0/24"}}]}),
    ?assert(reaches(Lab, a, "192.168.7.2")),
    ok = evum_lab:apply(Lab, Description#{switches := #{s => #{}, t => #{}}, links := lists:droplast(Links) ++ [{{a, eth1}, t}, {{b, eth1}, t}]}),
    ?assertMatch(#{switches := 2}, evum_lab:info(Lab)),
    ?assert(reaches(Lab, a, "10.0.1.2")),
    ?assert(reaches(Lab, b, "10.0.0.1")).

two_switches(Config) ->
    #{links := Links} = Description = triangle(Config),
    Lab = start(Description#{switches := #{s => #{}, t => #{}}, links := [{s, t}, {{c, eth0}, t} | Links -- [{{c, eth0}, s}]]}),
    ?assert(reaches(Lab, a, "c")),
    ok = evum_lab:set_link(Lab, t, s, #{up => false}),
    ?assert(is_cut_off(Lab, a, "c")),
    ?assert(reaches(Lab, a, "b")),
    ok = evum_lab:set_link(Lab, s, t, #{up => true}),
    ?assert(reaches(Lab, c, "b")),
    %% Frames would go round.
    ?assertEqual({error, [{{link, {<<"s">>, <<"t">>}}, used_twice}]}, evum_lab:connect(Lab, t, s)),
    ok = evum_lab:add_switch(Lab, u, #{}),
    ok = evum_lab:connect(Lab, t, u),
    ?assertEqual({error, [{lab, {loop, [<<"s">>, <<"t">>, <<"u">>, <<"s">>]}}]}, evum_lab:connect(Lab, s, u)),
    ok = evum_lab:connect(Lab, s, u, #{up => false}),
    ?assertMatch({error, [{lab, {loop, _}}]}, evum_lab:set_link(Lab, s, u, #{up => true})),
    ?assert(reaches(Lab, c, "b")),
    ok = evum_lab:disconnect(Lab, s, t),
    ?assert(is_cut_off(Lab, a, "c")).

%% Of each link the port is known, at either switch.
switches_in_line(_Config) ->
    Names = [<<"a">>, <<"b">>, <<"c">>, <<"d">>],
    Net = lists:foldl(
        fun(Name, Acc) ->
            {ok, Opened} = evum_lab_net:open({switch, Name}, #{options => #{}, subnet => auto, forwards => []}, Acc),
            Opened
        end,
        evum_lab_net:new(<<"line">>, 1),
        Names
    ),
    Joined = lists:foldl(
        fun({A, B}, Acc) ->
            {ok, More} = evum_lab_net:trunk(A, B, Acc),
            More
        end,
        Net,
        lists:zip(lists:droplast(Names), tl(Names))
    ),
    Known = [
        {Name, Port}
     || {{A, B}, {PortA, PortB}} <- maps:to_list(evum_lab_net:trunks(Joined)), {Name, Port} <- [{A, PortA}, {B, PortB}]
    ],
    There = [
        {Name, Id}
     || Name <- Names, {ok, Switch} <- [evum_lab_net:switch({switch, Name}, Joined)], #{id := Id} <- evum_switch:ports(Switch)
    ],
    ?assertEqual(There, lists:sort(Known)),
    [] = evum_lab_net:segments(evum_lab_net:close(Joined)).

%% A circle of switches is open at one link, and at no time at none.
spare_link(_Config) ->
    Ring = fun(Spare) ->
        #{
            switches => #{a => #{}, b => #{}, c => #{}},
            links => [{A, B, #{up => {A, B} =/= Spare}} || {A, B} <- [{a, b}, {b, c}, {a, c}]]
        }
    end,
    Lab = start(Ring({a, b})),
    erlang:trace_pattern({evum_switch, set_port, 3}, true, []),
    1 = erlang:trace(Lab, true, [call]),
    ok = evum_lab:apply(Lab, Ring({b, c})),
    ok = evum_lab:apply(Lab, Ring({a, b})),
    Set = [
        receive
            {trace, Lab, call, {evum_switch, set_port, [_, _, #{up := Up}]}} -> Up
        after 5000 -> nothing
        end
     || _ <- lists:seq(1, 8)
    ],
    1 = erlang:trace(Lab, false, [call]),
    ?assertEqual([false, false, true, true, false, false, true, true], Set).

%% Two links as one, by LACP (802.1AX), which wants to know their speed; one of
%% them may go.
bonded_links(Config) ->
    Bond = fun(Address) ->
        [
            "cd /sys/class/net && ip link set eth0 down && ip link set eth1 down",
            "cd /sys/class/net && { test -e bond0 || echo +bond0 > bonding_masters; }",
            "cd /sys/class/net/bond0/bonding && echo 802.3ad > mode && echo fast > lacp_rate && echo 100 > miimon",
            "cd /sys/class/net/bond0/bonding && echo +eth0 > slaves && echo +eth1 > slaves",
            "ip addr add " ++ Address ++ "/24 dev bond0 && ip link set bond0 up"
        ]
    end,
    Lab = start(#{
        machines => #{a => #{startup => Bond("10.1.0.1")}, b => #{startup => Bond("10.1.0.2")}},
        links => [{{a, eth0}, {b, eth0}}, {{a, eth1}, {b, eth1}}],
        defaults => defaults(Config)
    }),
    ?assertEqual({0, <<"10000\nfull\n">>}, cmd(Lab, a, "cat /sys/class/net/eth0/speed /sys/class/net/eth0/duplex")),
    Both = "for i in $(seq 100); do grep -q 2 /sys/class/net/bond0/bonding/ad_num_ports && exit 0; sleep 0.2; done; exit 1",
    ?assertEqual({0, <<>>}, cmd(Lab, a, Both)),
    ?assert(reaches(Lab, a, "10.1.0.2")),
    ok = evum_lab:set_link(Lab, {a, eth0}, {b, eth0}, #{up => false}),
    ?assert(reaches(Lab, a, "10.1.0.2")),
    ok = evum_lab:set_link(Lab, {a, eth0}, {b, eth0}, #{up => true}),
    ok = evum_lab:set_link(Lab, {a, eth1}, {b, eth1}, #{up => false}),
    ?assert(reaches(Lab, a, "10.1.0.2")).

%% Groups at one switch, and on a wire.
partition(Config) ->
    Lab = start(triangle(Config)),
    [?assert(reaches(Lab, From, To)) || {From, To} <- [{a, "c"}, {a, "b"}, {a, "10.0.1.2"}, {b, "c"}]],
    ok = evum_lab:partition(Lab, [[a], [b, c]]),
    [?assert(is_cut_off(Lab, From, To)) || {From, To} <- [{a, "c"}, {a, "b"}, {a, "10.0.1.2"}, {c, "a"}]],
    ?assert(reaches(Lab, b, "c")),
    %% one that starts anew is as parted as it was
    ok = evum_lab:restart(Lab, a),
    ?assert(is_cut_off(Lab, a, "c")),
    %% the later takes the place of the earlier
    ok = evum_lab:partition(Lab, [[c], [b]]),
    ?assert(reaches(Lab, a, "c")),
    ?assert(is_cut_off(Lab, c, "b")),
    ok = evum_lab:heal(Lab),
    ?assert(reaches(Lab, c, "b")),
    %% the requests arrive, the replies do not
    {ok, C} = evum_lab:machine(Lab, c),
    {ok, 0, Before} = evum:cmd(C, "cat /sys/class/net/eth0/statistics/rx_packets"),
    ok = evum_lab:partition(Lab, {one_way, [c], [a]}),
    ?assert(is_cut_off(Lab, a, "c")),
    {ok, 0, After} = evum:cmd(C, "cat /sys/class/net/eth0/statistics/rx_packets"),
    ?assert(binary_to_integer(string:trim(After)) >= binary_to_integer(string:trim(Before)) + 2),
    ?assertEqual({error, {no_machine, <<"x">>}}, evum_lab:partition(Lab, [[a], [x]])).

%% The way leads over machines that are in neither group.
partition_behind_routers(Config) ->
    Lab = start((evum_lab:ring(4))#{defaults := defaults(Config)}),
    %% r1 and r3 are not neighbours: links are r1-r2 10.0.0.0/24, r2-r3 .1, r3-r4 .2, r4-r1 .3
    ?assert(reaches(Lab, r1, "10.0.1.2")),
    ok = evum_lab:partition(Lab, [[r1], [r3]]),
    ?assert(is_cut_off(Lab, r1, "10.0.1.2")),
    ?assert(reaches(Lab, r1, "10.0.1.1")),
    ?assert(reaches(Lab, r2, "10.0.1.2")),
    ok = evum_lab:heal(Lab),
    ?assert(reaches(Lab, r1, "10.0.1.2")).

play(Config) ->
    Lab = start(triangle(Config)),
    ok = evum_lab:watch(Lab),
    Self = self(),
    {ok, Player} = evum_lab:play(Lab, [
        {at, 0, {partition, [[a], [b]]}},
        {every, 10, fun(L) -> Self ! {tick, L} end},
        {at, 50, {kill, c}},
        {at, 60, {set_link, {a, eth1}, {c, eth9}, #{up => false}}}
    ]),
    [receive {tick, Lab} -> ok after 60000 -> error(no_tick) end || _ <- [1, 2, 3]],
    Played = fun(Action) ->
        receive
            {evum_lab, _, {played, Action, Result}} -> Result
        after 60000 -> error({not_played, Action})
        end
    end,
    ?assertEqual(ok, Played({partition, [[a], [b]]})),
    ?assertEqual(ok, Played({kill, c})),
    ?assertMatch({error, [{{link, _}, no_link}]}, Played({set_link, {a, eth1}, {c, eth9}, #{up => false}})),
    ?assert(is_cut_off(Lab, a, "b")),
    ?assertEqual(down, status(Lab, c)),
    ok = gen_server:stop(Player),
    {ok, Another} = evum_lab:play(Lab, [{every, 1000, heal}]),
    ?assertEqual({error, {bad_option, play, {at, now, heal}}}, evum_lab:play(Lab, [{at, now, heal}])),
    _ = evum_test:await_down(Another, fun() -> ok = evum_lab:stop(Lab) end).

ping_all(Config) ->
    Lab = start((evum_lab:linear(2, 2))#{defaults := defaults(Config)}),
    {ok, Whole} = evum_lab:ping_all(Lab),
    Reached = fun(Matrix) -> lists:sort([{From, To} || {From, Row} <- maps:to_list(Matrix), {To, true} <- maps:to_list(Row)]) end,
    Names = [<<"h1">>, <<"h2">>, <<"h3">>, <<"h4">>],
    ?assertEqual([{A, B} || A <- Names, B <- Names, A =/= B], Reached(Whole)),
    ok = evum_lab:disconnect(Lab, s1, s2),
    ok = evum_lab:kill(Lab, h4),
    {ok, Parted} = evum_lab:ping_all(Lab),
    ?assertEqual([{<<"h1">>, <<"h2">>}, {<<"h2">>, <<"h1">>}], Reached(Parted)),
    ?assertNot(is_map_key(<<"h4">>, Parted)).

%% With what passes, and what does not run.
drawn(Config) ->
    Lab = start(triangle(Config)),
    {ok, A} = evum_lab:machine(Lab, a),
    {ok, Ports} = evum_lab:ports(Lab),
    ?assertEqual([{<<"a">>, <<"eth0">>}, {<<"a">>, <<"eth1">>}, {<<"b">>, <<"eth0">>}, {<<"b">>, <<"eth1">>}, {<<"c">>, <<"eth0">>}],
        lists:sort(maps:keys(Ports))),
    ok = evum_lab:kill(Lab, c),
    {ok, 0, _} = evum:cmd(A, "ping -s 1000 -i 0.05 10.0.1.2 >/dev/null 2>&1 &"),
    Rates = evum_test:await(fun() ->
        {ok, Dot} = evum_lab:graph(Lab, dot, #{rates => true}),
        case re:run(Dot, "\"m/a\" -- \"m/b\" .*label=\"[0-9.]+ kbit/s / [0-9.]+ kbit/s\"", [{capture, none}]) of
            match -> Dot;
            nomatch -> false
        end
    end),
    ?assertMatch({match, _}, re:run(Rates, "\"m/c\" .*color=grey")),
    ?assertMatch({ok, <<"<svg", _/binary>>}, evum_lab:graph(Lab, svg)),
    ?assertEqual({error, [{{file, "/no/such"}, {unreadable, enoent}}]}, evum_lab:graph("/no/such", svg)).

shutdown_commands(Config) ->
    Dir = ?config(priv_dir, Config),
    Out = filename:join(Dir, "out"),
    ok = filelib:ensure_dir(filename:join(Out, "x")),
    Lab = start(#{
        machines => #{
            a => #{shutdown => "echo bye from $WHO >/out/a", env => #{"WHO" => "a"}, share => [{Out, "/out", rw}]},
            b => #{shutdown => "exit 1"}
        },
        defaults => defaults(Config)
    }),
    ok = evum_lab:stop(Lab),
    ?assertEqual({ok, <<"bye from a\n">>}, file:read_file(filename:join(Out, "a"))).

bad_requests(Config) ->
    Lab = start(triangle(Config)),
    ?assertEqual({error, {no_machine, <<"x">>}}, evum_lab:kill(Lab, x)),
    ?assertEqual({error, [{{machine, <<"a">>}, duplicate}]}, evum_lab:add(Lab, a, #{})),
    ?assertMatch({error, [{{interface, <<"a">>, <<"eth0">>}, used_twice}]}, evum_lab:connect(Lab, {a, eth0}, {c, eth1})),
    ?assertMatch({error, [{{machine, <<"d">>}, {bad_option, colour, red}}]}, evum_lab:add(Lab, d, #{colour => red})),
    ?assertMatch({error, [{{link, _}, no_link}]}, evum_lab:set_link(Lab, {a, eth0}, {c, eth0}, #{up => false})),
    ?assertMatch({error, [{lab, {bad_option, name, _}}]}, evum_lab:apply(Lab, (triangle(Config))#{name => other})),
    ?assertMatch({error, [{lab, {bad_option, lab, 7}}]}, evum_lab:start(7)),
    ?assertEqual({error, no_lab}, evum_lab:apply(nowhere, #{})),
    %% nothing has changed
    ?assert(reaches(Lab, a, "c")),
    ?assertEqual([up, up, up], [status(Lab, Name) || Name <- [a, b, c]]).

%% Machines and switches go with it.
server_is_killed(Config) ->
    Lab = start(triangle(Config)),
    evum_switch_rig:quietly(fun() ->
        killed = evum_test:await_down(Lab, fun() -> exit(Lab, kill) end),
        evum_test:no_leftovers(?config(before, Config))
    end),
    _ = evum_test:await(fun() -> evum:list() =:= [] end),
    Again = start((triangle(Config))#{name => lab1}),
    ?assert(reaches(Again, a, "c")).

%% A ring of 12, all at once, and gone at once.
many(Config) ->
    Names = [lists:concat([r, N]) || N <- lists:seq(1, 12)],
    Lab = start(#{
        machines => maps:from_list([{Name, #{}} || Name <- Names]),
        links => [{{A, eth1}, {B, eth0}} || {A, B} <- lists:zip(Names, tl(Names) ++ [hd(Names)])],
        addressing => [{ipv4, "10.0.0.0/16"}, {ipv6, "fd00::/48"}],
        defaults => defaults(Config)
    }),
    ?assertMatch(#{switches := 12}, evum_lab:info(Lab)),
    ?assert(reaches(Lab, r1, "10.0.11.2")),
    ?assert(reaches(Lab, r7, "r8")),
    ?assert(reaches(Lab, r2, "fd00:0:0:1::2")),
    {Time, ok} = timer:tc(fun() -> evum_lab:stop(Lab) end),
    ct:log("stopped in ~b ms", [Time div 1000]).
