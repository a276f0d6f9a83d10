%% SPDX-License-Identifier: Apache-2.0
%% Machines as a person uses them, on real kernels.
-module(evum_vm_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

suite() -> [{timetrap, {minutes, 3}}].

all() -> [{group, fast}, {group, debian}].

groups() ->
    evum_test:kernel_groups([
        lines_are_plain,
        send_returns_the_echo,
        early_input_is_not_lost,
        sends_in_a_row,
        puts_types_bytes,
        ctrl_c_reaches_the_foreground,
        the_shell_comes_back,
        wide_lines_are_whole,
        lives_on_without_its_owner,
        linked_machine_dies_with_its_owner,
        names,
        mconsole,
        mconsole_refusals,
        powers_itself_off,
        panics,
        killed_guest,
        reboots,
        init_with_arguments,
        init_that_does_not_exist,
        panic_after_a_failure,
        own_root,
        host_is_safe,
        takes_no_more_memory_than_it_has,
        host_tools_and_applets,
        loopback_is_up,
        no_interface,
        quiet,
        flood,
        owner_that_does_not_read,
        two_machines_ping,
        several_interfaces,
        transports_meet,
        network_of_its_own,
        switch_dies
    ]).

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) ->
    application:stop(evum).

init_per_group(Group, Config) ->
    evum_test:init_group(Group, Config).

end_per_group(_Group, _Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    [{before, evum_test:leftovers()} | Config].

end_per_testcase(_Case, Config) ->
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_test:drain(),
    %% The default switch is one of the application, and stays.
    case evum_ctl:default() of
        {ok, _} -> ok;
        none -> evum_test:no_leftovers(?config(before, Config))
    end.

%%% The console ---------------------------------------------------------------

lines_are_plain(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    Boot = evum_test:await_line("Linux version"),
    ?assertEqual(nomatch, re:run(Boot, "[\r\n\e]")),
    ?assertEqual(
        [<<"plain">>, <<"red">>, <<>>, <<"tab\tis">>],
        evum_test:sh(R, "printf 'plain\\n\\033[31mred\\033[0m\\n\\ntab\\tis\\n'")
    ),
    ?assertEqual([<<"dumb">>], evum_test:sh(R, "echo $TERM")).

send_returns_the_echo(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    ?assertEqual(<<"root@(none):/# echo hello">>, evum:send(R, "echo hello")),
    ?assertEqual(<<"hello">>, evum_test:await_line("hello")),
    %% a program that shows nothing: the line is typed, and echoed, all the same
    _ = evum:send(R, "cat"),
    ?assertEqual(<<"x">>, evum:send(R, "x")),
    ?assertEqual(timeout, silent(R)).

silent(R) ->
    _ = evum:puts(R, [4]),
    _ = evum:send(R, "stty -echo; exec sleep 1000"),
    evum_test:await(fun() -> evum:send(R, "x", 100) =:= timeout end),
    timeout.

early_input_is_not_lost(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    ok = evum:puts(R, "echo fi''rst\n"),
    ?assertMatch(<<"root@(none):/# echo sec", _/binary>>, evum:send(R, "echo sec''ond")),
    ?assertEqual(<<"first">>, evum_test:await_line("^(first|second)$")),
    ?assertEqual(<<"second">>, evum_test:await_line("^(first|second)$")).

%% Each call gets the echo of its own line, even while programs run.
sends_in_a_row(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    [
        ?assertEqual(
            <<"root@(none):/# sleep 0.1; echo ", N/binary>>,
            evum:send(R, <<"sleep 0.1; echo ", N/binary>>)
        )
     || I <- lists:seq(1, 10), N <- [integer_to_binary(I)]
    ].

puts_types_bytes(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    ok = evum:puts(R, "ec"),
    ok = evum:puts(R, <<"ho $((20 + 22))\n">>),
    ?assertEqual(<<"42">>, evum_test:await_line("^42$")),
    %% a few KB, all of them unread for a while, do not close the console
    ok = evum:puts(R, "sh -c 'echo g''o; cat > /root/x'\n"),
    _ = evum_test:await_line("^go$"),
    ok = evum:puts(R, [lists:duplicate(2990, $y), "\n", 4]),
    ?assertEqual([<<"2991 /root/x">>], evum_test:sh(R, "wc -c /root/x")).

%% Once the program has it: bash itself is at a loss with a ^C that comes
%% between the end of a line and the start of what the line says.
ctrl_c_reaches_the_foreground(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    _ = evum:send(R, "sh -c 'echo st''arted; exec sleep 1000'; echo status $?"),
    _ = evum_test:await_line("^started$"),
    ok = evum:puts(R, [3]),
    ?assertEqual([<<"1 0">>], evum_test:sh(R, "echo 1 $(jobs | wc -l)")).

the_shell_comes_back(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    [First] = evum_test:sh(R, "echo $$"),
    _ = evum:send(R, "exit"),
    [Second] = evum_test:sh(R, "echo $$"),
    ?assertNotEqual(First, Second).

wide_lines_are_whole(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    Long = "echo " ++ lists:duplicate(300, $w),
    ?assertEqual(list_to_binary("root@(none):/# " ++ Long), evum:send(R, Long)),
    Length = evum_lines:limit() + 1,
    [A, B] = evum_test:sh(R, io_lib:format("printf '%0~bd\\n' 0", [Length])),
    ?assertEqual(Length, byte_size(A) + byte_size(B)).

%%% Life and death ------------------------------------------------------------

lives_on_without_its_owner(Config) ->
    Self = self(),
    Owner = spawn(fun() -> Self ! {machine, evum_test:start(Config, #{switch => none})} end),
    R = receive {machine, M} -> M end,
    _ = evum_test:await_down(Owner),
    ?assertMatch(<<"root@(none):/# echo on">>, evum:send(R, "echo on")),
    #{console := #{discarded := D}} = evum_test:await(fun() ->
        case evum:info(R) of
            #{console := #{discarded := N}} = Info when N > 0 -> Info;
            _ -> false
        end
    end),
    ?assert(D > 0).

linked_machine_dies_with_its_owner(Config) ->
    Self = self(),
    Options = #{switch => none, kernel => ?config(kernel, Config)},
    {Owner, Ref} = spawn_monitor(fun() ->
        {ok, R} = evum:start_link(Options),
        Self ! {machine, R},
        receive die -> exit(killed_by_test) end
    end),
    R = receive {machine, M} -> M end,
    #{os_pid := OsPid} = evum:info(R),
    Owner ! die,
    receive {'DOWN', Ref, process, Owner, _} -> ok end,
    ?assertMatch({error, no_machine}, wait_gone(R)),
    evum_test:await(fun() -> not filelib:is_dir("/proc/" ++ integer_to_list(OsPid)) end).

wait_gone(R) ->
    _ = evum_test:await_down(R),
    evum:info(R).

names(Config) ->
    R = evum_test:start(Config, #{switch => none, name => r1}),
    ?assertEqual(<<"root@r1:/# hostname">>, evum:send(r1, "hostname")),
    ?assertEqual(<<"r1">>, evum_test:await_line("^r1$")),
    ?assertEqual({error, {bad_option, name, r1}}, evum:start(#{name => r1})),
    R2 = evum_test:start(Config, #{switch => none, name => "r2"}),
    ?assertMatch(#{name := <<"r2">>}, evum:info("r2")),
    ?assertEqual(lists:sort([R, R2]), lists:sort(evum:list())),
    ok = evum:stop(r1),
    ?assertEqual({error, no_machine}, evum:send(r1, "x")),
    ?assertEqual({error, no_machine}, evum:stop(r1)),
    %% free again at once
    R3 = evum_test:start(Config, #{switch => none, name => r1}),
    ok = evum:stop(R3).

mconsole(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    %% asked before the kernel listens: answered when it does
    {ok, Version} = evum_mcons:version(R),
    ?assertMatch(<<"Linux ", _/binary>>, Version),
    %% an answer of several packets
    {ok, Meminfo} = evum_mcons:proc(R, "meminfo"),
    ?assert(byte_size(Meminfo) > 512),
    ?assertMatch({match, _}, re:run(Meminfo, "MemTotal")),
    {ok, _} = evum_mcons:log(R, "logged by a test"),
    ?assertMatch([_ | _], evum_test:sh(R, "dmesg | grep 'logged by a test'")),
    {ok, _} = evum_mcons:stop(R),
    {ok, _} = evum_mcons:go(R),
    %% many at once
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), evum_mcons:version(R)} end) || _ <- lists:seq(1, 20)],
    [receive {Pid, Answer} -> ?assertEqual({ok, Version}, Answer) end || Pid <- Pids].

mconsole_refusals(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    ?assertMatch({error, {guest, _}}, evum:system(R, "no such command")),
    [
        ?assertMatch({error, {mconsole, e2big}}, evum:system(R, binary:copy(<<"x">>, Size)))
     || Size <- [512, 17 bsl 20]
    ],
    ?assertMatch({ok, _}, evum_mcons:version(R)).

powers_itself_off(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    PowerOff = fun() -> evum:send(R, "busybox poweroff") end,
    ?assertEqual(normal, evum_test:await_down(R, PowerOff)).

panics(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    Crash = fun() ->
        evum:send(R, "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger")
    end,
    ?assertMatch({panic, <<_, _/binary>>}, evum_test:await_down(R, Crash)).

killed_guest(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    #{os_pid := OsPid} = evum:info(R),
    Kill = fun() -> os:cmd("kill -9 " ++ integer_to_list(OsPid)) end,
    ?assertEqual({guest, {signal, 9}}, evum_test:await_down(R, Kill)).

%% The same process, with files as new.
reboots(Config) ->
    R = evum_test:start(Config, #{name => r1}),
    #{os_pid := OsPid, mac := Mac} = evum:info(R),
    [] = evum_test:sh(R, "touch /root/mine /etc/mine"),
    evum_test:drain(),
    {ok, _} = evum:reboot(R),
    _ = evum_test:await_line("Linux version"),
    ?assertEqual([<<"gone">>], evum_test:sh(R, "ls /root/mine /etc/mine 2>/dev/null || echo gone")),
    ?assertMatch(#{os_pid := OsPid, mac := Mac}, evum:info(R)),
    ?assertEqual([mac_text(Mac)], evum_test:sh(R, "cat /sys/class/net/eth0/address")),
    %% and by the guest's own means
    evum_test:drain(),
    _ = evum:send(R, "busybox reboot"),
    _ = evum_test:await_line("Linux version"),
    ?assertEqual([<<"r1">>], evum_test:sh(R, "hostname")).

mac_text(Mac) ->
    iolist_to_binary(lists:join($:, [io_lib:format("~2.16.0b", [B]) || <<B>> <= Mac])).

init_with_arguments(Config) ->
    R = evum_test:start(Config, #{
        switch => none, init => ["/bin/sh", "-c", "echo \"<$1 and $2>\"; exec cat", "sh", "a b", ""]
    }),
    _ = evum_test:await_line("^<a b and >$"),
    _ = evum:send(R, "x"),
    ?assertEqual({error, {bad_option, init, [""]}}, evum:start(#{init => [""]})).

init_that_does_not_exist(Config) ->
    R = evum_test:start(Config, #{switch => none, init => "/no/such/shell"}),
    %% it boots first: there is time to ask
    {failed, Text} = evum_test:await_down(R),
    ?assertMatch({match, _}, re:run(Text, "/no/such/shell: No such file")).

%% As Debian's kernel does at times, while evum_init powers it off.
panic_after_a_failure(Config) ->
    Crash =
        "mount -t proc proc /proc; echo -n failed at last > /proc/mconsole; "
        "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger",
    R = evum_test:start(Config, #{switch => none, init => ["/bin/sh", "-c", Crash]}),
    ?assertEqual({failed, <<"at last">>}, evum_test:await_down(R)).

%%% Files ---------------------------------------------------------------------

own_root(Config) ->
    Root = filename:join(?config(priv_dir, Config), "a root, with blanks"),
    ok = filelib:ensure_dir(filename:join([Root, "bin", "x"])),
    {ok, _} = file:copy("/bin/busybox", filename:join([Root, "bin", "sh"])),
    ok = file:change_mode(filename:join([Root, "bin", "sh"]), 8#755),
    ok = file:write_file(filename:join(Root, "hello"), <<"from the host\n">>),
    R = evum_test:start(Config, #{switch => none, root => Root, init => "/bin/sh"}),
    ok = evum:puts(R, "cat /hello; echo changed > /hello; echo do''ne\n"),
    _ = evum_test:await_line("^from the host"),
    _ = evum_test:await_line("^done"),
    ?assertEqual({ok, <<"from the host\n">>}, file:read_file(filename:join(Root, "hello"))).

%% The guest's root tries all it can to write to the host's files.
host_is_safe(Config) ->
    Dir = filename:join(?config(priv_dir, Config), "victim"),
    File = filename:join(Dir, "file"),
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, <<"untouched">>),
    {ok, Line} = file:read_file("/proc/sys/kernel/core_pattern"),
    Pattern = ["'", string:trim(Line), "'"],
    Elsewhere = "/tmp/guest-was-here-" ++ os:getpid(),
    R = evum_test:start(Config, #{switch => none}),
    %% through the overlay: seen in the guest only
    [<<"changed">>] = evum_test:sh(R, ["echo changed > ", File, "; cat ", File]),
    %% past it: hostfs once more, writable
    Commands = [
        "mkdir -p /m; mount -t hostfs -o / none /m",
        ["echo bad > /m", File],
        ["rm -f /m", File],
        ["touch /m", Dir, "/new"],
        ["chmod 777 /m", File],
        ["mknod /m", Dir, "/null c 1 3"],
        ["ln -s x /m", Dir, "/link"],
        %% harmless where it should succeed: what stands there already
        ["echo ", Pattern, " > /m/proc/sys/kernel/core_pattern && touch /written"],
        ["touch /m", Elsewhere]
    ],
    _ = evum_test:sh(R, ["{ ", lists:join("; ", Commands), "; } 2>/dev/null"]),
    ?assertEqual({ok, <<"untouched">>}, file:read_file(File)),
    ?assertEqual({ok, ["file"]}, file:list_dir(Dir)),
    ?assertNot(filelib:is_file(Elsewhere)),
    ?assertEqual([<<"no">>], evum_test:sh(R, "ls /written 2>/dev/null || echo no")),
    %% no process of the host is to be seen in there
    [Seen] = evum_test:sh(R, "ls -d /m/proc/[0-9]* 2>/dev/null | wc -l"),
    ?assert(binary_to_integer(string:trim(Seen)) < 10).

%% The machine's memory is a file in the jail, on a file system of that size: a
%% guest that fills the rest of it through hostfs has only itself to blame.
takes_no_more_memory_than_it_has(Config) ->
    R = evum_test:start(Config, #{switch => none, mem => 32}),
    #{os_pid := OsPid} = evum:info(R),
    {ok, Mounts} = file:read_file("/proc/" ++ integer_to_list(OsPid) ++ "/mounts"),
    Size = integer_to_list((32 + 4) * 1024),
    ?assertMatch({match, _}, re:run(Mounts, "evum /dev/shm tmpfs [^ ]*size=" ++ Size ++ "k")).

host_tools_and_applets(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    %% the host's own come first; what it lacks is an applet
    ?assertEqual([<<"/run/evum/bin/microcom">>], evum_test:sh(R, "type -P microcom")),
    [Bash] = evum_test:sh(R, "type -P bash"),
    ?assertEqual(nomatch, binary:match(Bash, <<"evum">>)),
    [Path] = evum_test:sh(R, "echo $PATH"),
    ?assertEqual(<<"/run/evum/bin">>, lists:last(binary:split(Path, <<":">>, [global]))).

%%% The network ---------------------------------------------------------------

loopback_is_up(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    ?assertMatch([_ | _], evum_test:sh(R, "ping -c 1 127.0.0.1 | grep 'bytes from'")).

no_interface(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    ?assertEqual([<<"none">>], evum_test:sh(R, "ls -d /sys/class/net/eth0 2>/dev/null || echo none")).

quiet(Config) ->
    R = evum_test:start(Config, #{switch => none, verbose => false}),
    _ = evum:send(R, "true"),
    ?assertError({no_line, _, _}, evum_test:await_line("Linux version", 0)).

two_machines_ping(Config) ->
    [R1, R2] = [evum_test:boot(Config, #{}) || _ <- [1, 2]],
    #{mac := Mac1} = evum:info(R1),
    #{mac := Mac2} = evum:info(R2),
    ?assertNotEqual(Mac1, Mac2),
    %% unicast, locally administered
    [?assertMatch(<<_:6, 1:1, 0:1, _/binary>>, Mac) || Mac <- [Mac1, Mac2]],
    pings(R1, "192.168.213.92", R2, "192.168.213.93"),
    {ok, Ctl} = evum_ctl:default(),
    _ = Ctl.

%% Each at its switch, with its name and address, whatever they were called
%% before: b is the first here, and eth0 the second.
several_interfaces(Config) ->
    {ok, Kernel} = evum_kernel:info(?config(kernel, Config)),
    [several_interfaces(Transport, Config) || Transport <- evum_kernel:transports(Kernel)].

several_interfaces(Transport, Config) ->
    {ok, A} = evum_switch:start(),
    {ok, B} = evum_switch:start(),
    R = evum_test:boot(Config, #{
        transport => Transport,
        interfaces => #{
            b => #{switch => A, mac => "02:00:00:00:00:0a"},
            eth0 => #{switch => B, mac => "02:00:00:00:00:0b"}
        }
    }),
    ?assertEqual(
        [<<"02:00:00:00:00:0a">>, <<"02:00:00:00:00:0b">>],
        evum_test:sh(R, "cat /sys/class/net/b/address /sys/class/net/eth0/address")
    ),
    #{os_pid := OsPid} = evum:info(R),
    P = evum_test:boot(Config, #{switch => B}),
    pings(R, "192.168.213.92", P, "192.168.213.93"),
    [] = evum_test:sh(R, "ifconfig b up"),
    [_] = evum_test:await(fun() -> at(A, OsPid) end),
    ?assertMatch([_], at(B, OsPid)),
    lists:foreach(fun evum:stop/1, [R, P]),
    lists:foreach(fun evum_switch:stop/1, [A, B]).

at(Switch, OsPid) ->
    case [Id || #{id := Id, peer := Peer} <- evum_switch:ports(Switch), Peer =:= OsPid] of
        [] -> false;
        Ids -> Ids
    end.

pings(R1, A1, R2, A2) ->
    ok = evum:ifconfig(R1, {A1, "255.255.255.0", "192.168.213.1"}),
    ok = evum:ifconfig(R2, {A2, "255.255.255.0", "192.168.213.1"}),
    {ok, Tuple} = inet:parse_address(A2),
    [
        begin
            evum_test:drain(),
            ?assertEqual(<<Prompt/binary, (iolist_to_binary(A))/binary>>, evum:ping(From, To)),
            evum_test:await_line("bytes from " ++ A),
            evum_test:await_line("packet loss")
        end
     || {From, To, A} <- [{R1, A2, A2}, {R1, Tuple, A2}, {R2, list_to_binary(A1), A1}],
        Prompt <- [<<"root@(none):/# ping -w 5 -c 1 ">>]
    ],
    ?assertMatch({error, {bad_address, _}}, evum:ping(R1, "1.2.3.4; reboot")),
    ?assertMatch({error, {bad_address, _}}, evum:ping(R1, "1.2.3.4\n")),
    ?assertMatch({error, {bad_address, _}}, evum:ping(R1, "-f")),
    ?assertMatch({error, {bad_address, _}}, evum:ping(R1, {1, 2, 3})),
    ?assertMatch({error, {bad_address, "x"}}, evum:ifconfig(R1, {"x", "y", "z"})).

%% Whatever the kernel can do, on one switch.
transports_meet(Config) ->
    {ok, Kernel} = evum_kernel:info(?config(kernel, Config)),
    {ok, Switch} = evum_switch:start(),
    Kinds = evum_kernel:transports(Kernel),
    Machines = [
        {evum_test:boot(Config, #{switch => Switch, transport => Kind}), Kind}
     || Kind <- Kinds
    ],
    Peer = evum_test:boot(Config, #{switch => Switch}),
    [
        begin
            ?assertEqual([<<"eth0">>, <<"lo">>], evum_test:sh(R, "ls -1 /sys/class/net | sort | grep -e eth0 -e lo -e vec")),
            pings(R, "192.168.213." ++ integer_to_list(N), Peer, "192.168.213.100")
        end
     || {N, {R, _}} <- lists:zip(lists:seq(1, length(Machines)), Machines)
    ],
    Ports = evum_switch:ports(Switch),
    ?assertEqual(lists:sort(Kinds), lists:usort([K || #{kind := K} <- Ports])),
    %% a port names the process that is behind it
    Pids = [OsPid || {R, _} <- [{Peer, peer} | Machines], #{os_pid := OsPid} <- [evum:info(R)]],
    ?assertEqual(lists:sort(Pids), lists:sort([P || #{peer := P} <- Ports])),
    [?assertMatch(#{rx_frames := N} when N > 0, P) || P <- Ports],
    %% a machine that goes takes its port along
    [{First, _} | _] = Machines,
    ok = evum:stop(First),
    evum_test:await(fun() -> length(evum_switch:ports(Switch)) =:= length(Ports) - 1 end),
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_test:await(fun() -> evum_switch:ports(Switch) =:= [] end),
    ?assertEqual([], evum_switch:fdb(Switch)),
    ok = evum_switch:stop(Switch).

%% Machines on two switches do not see each other, and may share an address.
network_of_its_own(Config) ->
    {ok, S1} = evum_switch:start(),
    {ok, S2} = evum_switch:start(),
    Mac = "02:00:00:00:00:01",
    R1 = evum_test:boot(Config, #{switch => S1, mac => Mac}),
    R2 = evum_test:boot(Config, #{switch => S2, mac => Mac}),
    ?assertEqual({error, {bad_option, mac, <<2, 0, 0, 0, 0, 1>>}}, evum:start(#{switch => S1, mac => Mac})),
    ok = evum:ifconfig(R1, {"10.0.0.1", "255.0.0.0", "10.0.0.9"}),
    ok = evum:ifconfig(R2, {"10.0.0.2", "255.0.0.0", "10.0.0.9"}),
    ?assertMatch([_ | _], evum_test:sh(R1, "ping -c 1 -w 1 10.0.0.2 | grep '100% packet loss'")),
    [ok = evum_switch:stop(S) || S <- [S1, S2]].

%% A machine outlives its switch.
switch_dies(Config) ->
    {ok, Switch} = evum_switch:start(),
    R = evum_test:start(Config, #{switch => Switch}),
    [<<"up">>] = evum_test:sh(R, "ifconfig eth0 10.0.0.1 up; echo up"),
    ok = evum_switch:stop(Switch),
    ?assertEqual([<<"here">>], evum_test:sh(R, "echo here")).

%%% Floods --------------------------------------------------------------------

%% 100 MB of lines: all of them come, in order, and the BEAM does not grow.
flood(Config) ->
    R = evum_test:start(Config, #{switch => none}),
    Lines = 1000000,
    Before = memory(),
    %% numbered lines of some 100 bytes
    Padding = lists:duplicate(93, $x),
    _ = evum:send(R, io_lib:format("seq -w 1 ~b | sed 's/$/~s/'", [Lines, Padding])),
    Peak = count(1, Lines, 0),
    ct:log("peak ~b KB over ~b KB before", [(Peak - Before) div 1024, Before div 1024]),
    ?assert(Peak - Before < 32 bsl 20).

count(N, Last, Peak) when N > Last ->
    Peak;
count(N, Last, Peak) ->
    receive
        <<Number:7/binary, "xxx", _/binary>> ->
            N = binary_to_integer(Number),
            Peak1 =
                case N rem 1000 of
                    0 -> max(Peak, memory());
                    _ -> Peak
                end,
            count(N + 1, Last, Peak1);
        _ ->
            count(N, Last, Peak)
    after 60000 -> error({stuck_at, N})
    end.

memory() ->
    erlang:memory(total).

%% Its console waits, the machine and the BEAM do not mind.
owner_that_does_not_read(Config) ->
    Self = self(),
    Sleeper = spawn_link(fun() -> receive {count, From} -> From ! {lines, read_all(0)} end end),
    {ok, R} = evum:start(Sleeper, #{switch => none, kernel => ?config(kernel, Config)}),
    _ = evum:send(R, "seq 1 2000000; echo al''l"),
    %% it fills up, and stops
    Held = evum_test:await(fun() ->
        {message_queue_len, A} = process_info(Sleeper, message_queue_len),
        receive after 200 -> ok end,
        {message_queue_len, B} = process_info(Sleeper, message_queue_len),
        A =:= B andalso A > 1000 andalso B
    end),
    ?assert(Held < 200000),
    ?assertMatch({ok, _}, evum_mcons:version(R)),
    %% nothing is lost once it reads
    Sleeper ! {count, Self},
    receive
        {lines, N} -> ?assert(N >= 2000000)
    after 60000 -> error(timeout)
    end.

read_all(N) ->
    receive
        <<"all">> -> N;
        Line when is_binary(Line) -> read_all(N + 1)
    end.
