%% SPDX-License-Identifier: Apache-2.0
%% The agent of machines: what it does, and what it does not let happen.
-module(evum_agent_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

suite() -> [{timetrap, {minutes, 2}}].

all() -> [{group, fast}, {group, debian}].

groups() ->
    [
        {fast, [], [
            commands,
            command_options,
            too_long,
            time_limit,
            many_at_once,
            commands_that_run_on,
            floods,
            streams,
            files,
            file_larger_than_the_overlay,
            configures_interfaces,
            changes_addresses,
            stat,
            resize,
            megabyte_of_typing,
            long_lines_of_typing,
        typing_that_is_not_read,
            shuts_down_in_order,
            agent_is_killed,
            agent_is_stopped,
            another_version,
            rubbish,
            stopped_machine,
            reboots,
            machine_is_killed,
            caller_is_killed,
            kernel_without_a_channel
        ]},
        {debian, [], [
            commands,
            time_limit,
            files,
            configures_an_interface,
            megabyte_of_typing,
            agent_is_killed,
            shuts_down_in_order
        ]}
    ].

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
    case evum_ctl:default() of
        {ok, _} -> ok;
        none -> evum_test:no_leftovers(?config(before, Config))
    end.

start(Config) ->
    R = evum_test:start(Config, #{switch => none, verbose => false}),
    ok = evum:await(R, ready, 60000),
    R.

%%% What it does ----------------------------------------------------------------

commands(Config) ->
    %% asked before the agent is there: answered when it is
    R = evum_test:start(Config, #{switch => none, verbose => false}),
    ?assertEqual({ok, 0, <<"Linux\n">>}, evum:cmd(R, "uname -s")),
    ?assertEqual(ok, evum:await(R, ready)),
    ?assertEqual({ok, 3, <<>>}, evum:cmd(R, "exit 3")),
    ?assertMatch({ok, {signal, 9}, _}, evum:cmd(R, "kill -9 $$")),
    ?assertEqual({ok, 0, <<"a  b\n">>}, evum:cmd(R, ["echo", "a  b"])),
    ?assertEqual({ok, 0, <<"out\nerr\n">>}, evum:cmd(R, "echo out; echo err >&2")),
    {ok, 127, Message} = evum:cmd(R, ["no-such-command"]),
    ?assertMatch({match, _}, re:run(Message, "no-such-command: No such file")),
    ?assertMatch({ok, 127, <<_, _/binary>>}, evum:cmd(R, "no-such-command")),
    ?assertMatch({ok, 126, _}, evum:cmd(R, ["/etc/passwd"])),
    %% a daemon that is left behind is not waited for, and lives on
    {ok, 0, <<"left\n">>} = evum:cmd(R, "sleep 1234 & echo left"),
    ?assertMatch({ok, 0, _}, evum:cmd(R, "pgrep -f '^sleep 1234'")).

command_options(Config) ->
    R = start(Config),
    ?assertEqual({ok, 0, <<"/etc\n">>}, evum:cmd(R, ["pwd"], #{dir => "/etc"})),
    ?assertMatch({ok, 127, _}, evum:cmd(R, ["pwd"], #{dir => "/no/such/folder"})),
    ?assertEqual(
        {ok, 0, <<"v dumb\n">>}, evum:cmd(R, "echo $K $TERM", #{env => #{"K" => "v"}})
    ),
    Input = binary:copy(<<"0123456789">>, 100000),
    ?assertEqual({ok, 0, Input}, evum:cmd(R, ["cat"], #{input => Input})),
    %% one that does not read all of it
    ?assertEqual({ok, 0, <<"0">>}, evum:cmd(R, ["head", "-c", "1"], #{input => Input})),
    ?assertEqual({ok, 0, <<>>}, evum:cmd(R, ["cat"], #{input => ""})),
    [
        ?assertEqual({error, {bad_option, Key, Value}}, evum:cmd(R, "true", #{Key => Value}))
     || {Key, Value} <- [
            {colour, red}, {timeout, -1}, {limit, 0}, {dir, <<0>>}, {env, []}, {input, 7}, {stream, me}
        ]
    ],
    ?assertEqual({error, {bad_option, command, 7}}, evum:cmd(R, 7)),
    ?assertMatch({error, {bad_option, env, _}}, evum:cmd(R, "true", #{env => #{"" => "x"}})).

%% What is too long for the agent's channel is refused, and nobody else is hurt.
too_long(Config) ->
    R = start(Config),
    Self = self(),
    spawn_link(fun() ->
        Self ! {other, evum:cmd(R, "touch /run/begun; until [ -e /run/go ]; do sleep 0.1; done; echo here")}
    end),
    evum_test:await(fun() -> evum:get(R, "/run/begun") =:= {ok, <<>>} end),
    Text = fun(Size) -> binary:copy(<<"x">>, Size) end,
    Comment = fun(Size) -> <<"echo yes #", (Text(Size - 10))/binary>> end,
    %% all that a frame has room for, beside "/bin/sh", "-c" and "/"
    ?assertEqual({ok, 0, <<"yes\n">>}, evum:cmd(R, Comment(65513))),
    [
        ?assertEqual({error, e2big}, evum:cmd(R, Command, Options))
     || {Command, Options} <- [
            {Comment(65514), #{}},
            {Comment(17 bsl 20), #{}},
            {"true", #{dir => Text(65537)}},
            {"true", #{env => #{"X" => Text(17 bsl 20)}}},
            {"true", #{env => maps:from_list([{integer_to_list(N), ""} || N <- lists:seq(1, 1025)])}},
            {lists:duplicate(1025, "true"), #{}}
        ]
    ],
    ?assertMatch({ok, 0, _}, evum:cmd(R, lists:duplicate(1024, "true"))),
    [
        ?assertEqual({error, enametoolong}, Answer)
     || Size <- [5000, 65537, 17 bsl 20],
        Answer <- [evum:get(R, ["/", Text(Size)]), evum:put(R, ["/", Text(Size)], "x")]
    ],
    ok = evum:put(R, "/run/go", ""),
    receive {other, Other} -> ?assertEqual({ok, 0, <<"here\n">>}, Other) after 60000 -> error(no_end) end.

%% All of the command's session: groups of its own do not save a process.
time_limit(Config) ->
    R = start(Config),
    ?assertEqual({error, timeout}, evum:cmd(R, ["sleep", "60"], #{timeout => 500})),
    ?assertEqual(
        {error, timeout},
        evum:cmd(R, "trap '' TERM; set -m; sleep 61 & sleep 62 & sleep 63", #{timeout => 500})
    ),
    ?assertMatch({ok, 1, _}, evum:cmd(R, "pgrep -f '^sleep 6'")).

many_at_once(Config) ->
    R = start(Config),
    Self = self(),
    %% more than the agent takes at a time, beside some that do not end
    Slow = [spawn_link(fun() -> {error, _} = evum:cmd(R, "sleep 100") end) || _ <- lists:seq(1, 8)],
    [
        spawn_link(fun() ->
            Text = integer_to_binary(N),
            Self ! {N, evum:cmd(R, ["echo", Text]) =:= {ok, 0, <<Text/binary, "\n">>}}
        end)
     || N <- lists:seq(1, 100)
    ],
    [receive {N, Right} -> ?assert(Right) after 60000 -> error({no_answer, N}) end || N <- lists:seq(1, 100)],
    ?assert(lists:all(fun is_process_alive/1, Slow)),
    [begin unlink(Pid), exit(Pid, kill) end || Pid <- Slow].

%% More than run at a time: nothing but commands waits for them.
commands_that_run_on(Config) ->
    R = evum_test:start(Config, #{verbose => false}),
    Callers = [
        begin
            Command = ["sh", "-c", "touch /run/begun-$0; exec sleep 1000", integer_to_list(N)],
            {Pid, Ref} = spawn_monitor(fun() -> exit(evum:cmd(R, Command, #{timeout => infinity})) end),
            %% in this order, so that it is known which wait
            evum_test:await(fun() -> process_info(Pid, current_function) =:= {current_function, {evum_request, await, 1}} end),
            Ref
        end
     || N <- lists:seq(1, 70)
    ],
    Running = fun() -> evum_test:sh(R, "ls /run | grep -c begun; pgrep -xc sleep") end,
    evum_test:await(fun() -> Running() =:= [<<"48">>, <<"48">>] end),
    ?assertEqual(ok, evum:put(R, "/root/x", "x")),
    ?assertEqual({ok, <<"x">>}, evum:get(R, "/root/x")),
    ?assertMatch({ok, _}, evum:stat(R)),
    ?assertEqual(ok, evum:config(R, #{hostname => "busy", eth0 => ["10.8.0.1/24"]})),
    ?assertEqual([<<"48">>, <<"48">>], Running()),
    %% one that waits begins where one ends
    ?assertEqual({error, enoent}, evum:get(R, "/run/begun-49")),
    [] = evum_test:sh(R, "kill -9 $(pgrep -xo sleep)"),
    evum_test:await(fun() -> evum:get(R, "/run/begun-49") =:= {ok, <<>>} end),
    ?assertEqual({error, enoent}, evum:get(R, "/run/begun-50")),
    ?assertEqual(ok, evum:shutdown(R, 60000)),
    [receive {'DOWN', Ref, process, _, Result} -> ?assert(is_tuple(Result)) after 60000 -> error(no_end) end || Ref <- Callers].

floods(Config) ->
    R = start(Config),
    ?assertEqual({error, {output_limit, 1000000}}, evum:cmd(R, "yes", #{limit => 1000000})),
    %% the rest of it is gone
    ?assertMatch({ok, 1, _}, evum:cmd(R, "pgrep -x yes")),
    {ok, 0, Exact} = evum:cmd(R, "yes | head -c 100000", #{limit => 100000}),
    ?assertEqual(100000, byte_size(Exact)).

%% A reader that does not read holds back its own command, and nobody else.
streams(Config) ->
    R = start(Config),
    Self = self(),
    Sleeper = spawn_link(fun() -> receive {count, From} -> From ! {bytes, read_all(0)} end end),
    Total = 40000000,
    Command = "head -c " ++ integer_to_list(Total) ++ " /dev/zero",
    spawn_link(fun() -> Self ! evum:cmd(R, Command, #{stream => {Sleeper, tag}, timeout => 60000}) end),
    evum_test:await(fun() ->
        {message_queue_len, N} = process_info(Sleeper, message_queue_len),
        N >= 100
    end),
    ?assertEqual({ok, 0, <<"other\n">>}, evum:cmd(R, "echo other")),
    {message_queue_len, Waiting} = process_info(Sleeper, message_queue_len),
    ?assert(Waiting < 1000),
    Sleeper ! {count, Self},
    receive {ok, 0, <<>>} -> ok after 60000 -> error(no_end) end,
    Sleeper ! done,
    receive {bytes, N} -> ?assertEqual(Total, N) after 60000 -> error(no_count) end.

read_all(N) ->
    receive
        {tag, Bytes} -> read_all(N + byte_size(Bytes));
        done -> N
    end.

files(Config) ->
    R = start(Config),
    Bin = rand:bytes(5000000),
    ?assertEqual(ok, evum:put(R, "/root/x", Bin)),
    ?assertEqual({ok, Bin}, evum:get(R, "/root/x")),
    ?assertEqual(ok, evum:put(R, "/root/x", ["short", <<"er">>], #{mode => 8#755})),
    ?assertEqual({ok, <<"shorter">>}, evum:get(R, "/root/x")),
    ?assertEqual({ok, 0, <<"755 7\n">>}, evum:cmd(R, "stat -c '%a %s' /root/x")),
    ?assertEqual(ok, evum:put(R, "/root/empty", "")),
    ?assertEqual({ok, <<>>}, evum:get(R, "/root/empty")),
    ?assertEqual({error, enoent}, evum:get(R, "/no/such/file")),
    ?assertEqual({error, enoent}, evum:put(R, "/no/such/file", "x")),
    ?assertEqual({error, eisdir}, evum:get(R, "/root")),
    ?assertEqual({error, eisdir}, evum:put(R, "/root", "x")),
    ?assertEqual({error, {output_limit, 6}}, evum:get(R, "/root/x", #{limit => 6})),
    ?assertEqual({error, {bad_option, mode, rw}}, evum:put(R, "/root/y", "x", #{mode => rw})),
    ?assertEqual({error, {bad_option, path, <<"/a", 0>>}}, evum:get(R, <<"/a", 0>>)),
    %% a setting, and nothing left of what did not work
    ?assertEqual(ok, evum:put(R, "/proc/sys/kernel/hostname", "renamed")),
    ?assertEqual({ok, 0, <<"renamed\n">>}, evum:cmd(R, "hostname")),
    ?assertEqual({ok, 0, <<".\n..\nempty\nx\n">>}, evum:cmd(R, "ls -a /root | grep -v '^\\.[a-z]*rc$\\|profile'")).

file_larger_than_the_overlay(Config) ->
    R = start(Config),
    Big = binary:copy(<<0>>, 100 bsl 20),
    ?assertEqual({error, enospc}, evum:put(R, "/root/big", Big)),
    ?assertEqual({error, enospc}, evum:put(R, "/var/big", Big)),
    ?assertEqual({ok, 1, <<>>}, evum:cmd(R, "ls -a /root /var | grep 'big\\|evum-put'")),
    ?assertEqual(ok, evum:put(R, "/root/small", "x")).

configures_interfaces(Config) ->
    [R1, R2] = [evum_test:start(Config, #{verbose => false}) || _ <- [1, 2]],
    ok = evum:config(R1, #{
        hostname => "left",
        eth0 => #{addresses => ["10.8.0.1/24", "fd00:8::1/64"], mtu => 1400},
        routes => [{default, "10.8.0.2"}, {"10.9.0.0/16", eth0}, {"fd00:9::/32", "fd00:8::2"}],
        resolver => ["10.8.0.53"]
    }),
    ok = evum:config(R2, #{eth0 => ["10.8.0.9/24"]}),
    ok = evum:config(R2, #{eth0 => ["10.8.0.2/24", "fd00:8::2/64"]}),
    [
        ?assertMatch({ok, 0, _}, evum:cmd(R1, ["ping", "-c", "1", "-w", "20", Address]))
     || Address <- ["10.8.0.2", "fd00:8::2"]
    ],
    ?assertEqual({ok, 0, <<"left\n">>}, evum:cmd(R1, "hostname")),
    ?assertEqual({ok, <<"nameserver 10.8.0.53\n">>}, evum:get(R1, "/etc/resolv.conf")),
    {ok, Route} = evum:get(R1, "/proc/net/route"),
    ?assertMatch({match, _}, re:run(Route, "eth0\t00000000\t0200080A")),
    ?assertMatch({match, _}, re:run(Route, "eth0\t0000090A\t00000000")),
    ?assertEqual({ok, <<"1400\n">>}, evum:get(R1, "/sys/class/net/eth0/mtu")),
    %% the address that is not given any more has gone
    {ok, Local} = evum:get(R2, "/proc/net/fib_trie"),
    ?assertEqual(nomatch, re:run(Local, "10\\.8\\.0\\.9")),
    ?assertEqual({error, {eth7, enodev}}, evum:config(R1, #{eth7 => ["10.0.0.1/8"]})),
    ?assertMatch({error, {routes, _}}, evum:config(R1, #{routes => [{default, "192.168.77.1"}]})),
    ?assertEqual({error, {bad_option, eth0, "x"}}, evum:config(R1, #{eth0 => ["x"]})).

configures_an_interface(Config) ->
    [R1, R2] = [evum_test:start(Config, #{verbose => false}) || _ <- [1, 2]],
    ok = evum:config(R1, #{eth0 => ["10.8.0.1/24"]}),
    ok = evum:config(R2, #{eth0 => ["10.8.0.2/24"]}),
    ?assertMatch({ok, 0, _}, evum:cmd(R1, ["ping", "-c", "1", "-w", "20", "10.8.0.2"])).

%% Linux takes the other addresses of a subnet away with the first one, if it is
%% not told to promote them, and all routes with an interface's last address.
changes_addresses(Config) ->
    [R, Gateway] = [evum_test:start(Config, #{verbose => false}) || _ <- [1, 2]],
    ok = evum:config(Gateway, #{eth0 => ["10.8.0.254/16"]}),
    [
        begin
            ok = evum:put(R, "/proc/sys/net/ipv4/conf/all/promote_secondaries", Promote),
            ok = evum:config(R, #{
                eth0 => ["10.8.0.1/24", "10.8.0.2/24", "10.8.0.3/24", "fd00:8::1/64"],
                routes => [{default, "10.8.0.254"}, {"10.9.0.0/16", "10.8.0.253"}, {"fd00:9::/32", "fd00:8::2"}]
            }),
            {ok, 0, Routes} = evum:cmd(R, "ip route | grep via; ip -6 route | grep via"),
            ?assertMatch([_, _, _], binary:split(Routes, <<"\n">>, [global, trim])),
            [
                begin
                    ?assertEqual(ok, evum:config(R, #{eth0 => Addresses})),
                    ?assertEqual(lists:sort(Addresses), addresses(R)),
                    ?assertEqual({ok, 0, Routes}, evum:cmd(R, "ip route | grep via; ip -6 route | grep via")),
                    [
                        ?assertMatch({ok, 0, _}, evum:cmd(Gateway, ["ping", "-c", "1", "-w", "20", IP]))
                     || "10.8" ++ _ = Address <- Addresses, [IP, _] <- [string:split(Address, "/")]
                    ]
                end
             || Addresses <- [
                    ["10.8.0.2/24", "10.8.0.3/24", "fd00:8::1/64"],
                    ["10.8.0.3/24", "fd00:8::9/64"],
                    ["10.8.0.9/24", "10.8.0.10/24", "fd00:8::9/64"],
                    ["10.8.0.10/16", "10.8.0.10/32", "fd00:8::9/64"],
                    ["10.8.0.10/24", "172.16.0.1/24", "fd00:8::9/64"]
                ]
            ],
            ?assertEqual(ok, evum:config(R, #{eth0 => []})),
            ?assertEqual([], addresses(R))
        end
     || Promote <- ["0", "1"]
    ].

addresses(R) ->
    {ok, 0, Text} = evum:cmd(R, "ip -o addr show dev eth0 scope global"),
    Lines = [string:lexemes(Line, " ") || Line <- string:lexemes(binary_to_list(Text), "\n")],
    lists:sort([Address || [_, "eth0", _, Address | _] <- Lines]).

stat(Config) ->
    R = start(Config),
    {ok, #{load := {_, _, _}, uptime := Uptime, memory := Memory, processes := N}} = evum:stat(R),
    #{total := Total, available := Available} = Memory,
    ?assert(is_float(Uptime)),
    ?assert(Available > 0 andalso Available < Total andalso Total =< (64 bsl 20)),
    ?assert(N > 2).

%%% The console -------------------------------------------------------------------

resize(Config) ->
    R = start(Config),
    _ = evum:send(R, "sh -c \"trap 'echo wi''nch' WINCH; echo g''o; while :; do sleep 0.1; done\""),
    _ = evum_test:await_line("^go$"),
    ok = evum_vm:resize(R, 100, 40),
    _ = evum_test:await_line("^winch$"),
    ok = evum:puts(R, [3]),
    ?assertEqual([<<"40 100">>], evum_test:sh(R, "stty size")).

megabyte_of_typing(Config) ->
    R = start(Config),
    Lines = iolist_to_binary([io_lib:format("~6..0b ~s~n", [N, lists:duplicate(92, $x)]) || N <- lists:seq(1, 10000)]),
    _ = evum:send(R, "sh -c 'stty -echo; echo g''o; cat > /root/in; stty echo; echo e''nd'"),
    _ = evum_test:await_line("^go$"),
    ok = evum:puts(R, Lines),
    ok = evum:puts(R, [4]),
    _ = evum_test:await_line("^end$"),
    ?assertEqual({ok, Lines}, evum:get(R, "/root/in")),
    ?assertEqual({error, full}, evum:puts(R, binary:copy(<<"x">>, 5 bsl 20))).

%% Longer ones than a terminal takes, and than a console holds.
long_lines_of_typing(Config) ->
    R = start(Config),
    Lines = iolist_to_binary([[binary:copy(<<"x">>, N), $\n] || N <- [65536, 4000, 3, 5000, 800, 4096, 1, 20000]]),
    _ = evum:send(R, "sh -c 'stty -echo; echo g''o; cat > /root/in; stty echo; echo e''nd'"),
    _ = evum_test:await_line("^go$"),
    ok = evum:puts(R, Lines),
    ok = evum:puts(R, [4]),
    _ = evum_test:await_line("^end$"),
    ?assertEqual({ok, Lines}, evum:get(R, "/root/in")).

%% Far more than a console holds, into a program that reads none of it for long.
typing_that_is_not_read(Config) ->
    R = start(Config),
    Lines = binary:copy(<<"some line of text that is typed\n">>, 1000),
    Size = integer_to_list(byte_size(Lines)),
    _ = evum:send(R, ["sh -c 'stty -echo; echo g''o; sleep 2; head -c ", Size, " | wc -c; stty echo'"]),
    _ = evum_test:await_line("^go$"),
    ok = evum:puts(R, Lines),
    ?assertMatch(<<_/binary>>, evum_test:await_line("^" ++ Size ++ "$")),
    ?assertEqual([<<"here">>], evum_test:sh(R, "echo here")).

%%% Ends --------------------------------------------------------------------------

shuts_down_in_order(Config) ->
    R = start(Config),
    Daemon = "trap 'echo as''ked > /dev/console; exit' TERM; echo > /run/up; while :; do sleep 0.1; done",
    ok = evum:put(R, "/run/daemon", Daemon),
    {ok, 0, _} = evum:cmd(R, "setsid sh /run/daemon < /dev/null > /dev/null 2>&1 &"),
    %% one that does not listen
    {ok, 0, _} = evum:cmd(R, "setsid sh -c \"trap '' TERM HUP; sleep 1000\" < /dev/null > /dev/null 2>&1 &"),
    evum_test:await(fun() -> evum:get(R, "/run/up") =/= {error, enoent} end),
    Ref = monitor(process, R),
    ?assertEqual(ok, evum:shutdown(R)),
    receive {'DOWN', Ref, process, R, Reason} -> ?assertEqual(normal, Reason) end,
    _ = evum_test:await_line("asked"),
    ?assertEqual({error, no_machine}, evum:shutdown(R)).

%% The agent's process id: process 1's other one.
-define(AGENT, "$(pgrep -x init | grep -vx 1)").

agent_is_killed(Config) ->
    R = start(Config),
    Self = self(),
    spawn_link(fun() -> Self ! {result, evum:cmd(R, "touch /run/begun; sleep 100")} end),
    evum_test:await(fun() -> evum:get(R, "/run/begun") =:= {ok, <<>>} end),
    _ = evum_test:sh(R, "kill -9 " ++ ?AGENT),
    receive {result, Result} -> ?assertEqual({error, agent_died}, Result) after 30000 -> error(no_result) end,
    ?assertEqual({ok, 0, <<"again\n">>}, evum:cmd(R, "echo again")),
    ?assertEqual([<<"console">>], evum_test:sh(R, "echo console")).

agent_is_stopped(Config) ->
    R = start(Config),
    _ = evum_test:sh(R, "A=" ++ ?AGENT ++ "; kill -STOP $A"),
    ?assertEqual({error, timeout}, evum:cmd(R, "true", #{timeout => 300})),
    ?assertEqual({error, timeout}, evum:put(R, "/root/x", "x", #{timeout => 300})),
    Settings = #{hostname => "x", lo => ["127.0.0.1/8"], routes => [{"10.0.0.0/8", lo}]},
    ?assertEqual({error, timeout}, evum:config(R, Settings, 300)),
    ?assertEqual({error, timeout}, evum:stat(R, 300)),
    %% more than is typed without asking it
    [?assertEqual([<<"console">>], evum_test:sh(R, ["true ", lists:duplicate(300, $x), "; echo console"])) || _ <- lists:seq(1, 8)],
    _ = evum_test:sh(R, "kill -CONT $A"),
    ?assertEqual({ok, 0, <<>>}, evum:cmd(R, "true")),
    %% nor is too much typed to a program that reads none of it
    Lines = binary:copy(<<"a line of some length, of which there are many\n">>, 400),
    Size = integer_to_list(byte_size(Lines)),
    _ = evum:send(R, [
        "sh -c 'kill -STOP ", ?AGENT, "; stty -echo; echo g''o; sleep 5; kill -CONT ", ?AGENT, "; head -c ", Size,
        " | wc -c; stty echo'"
    ]),
    _ = evum_test:await_line("^go$"),
    ok = evum:puts(R, Lines),
    ?assertMatch(<<_/binary>>, evum_test:await_line("^" ++ Size ++ "$")),
    ?assertEqual([<<"here">>], evum_test:sh(R, "echo here")),
    %% what it was asked for in the end, it does
    _ = evum_test:sh(R, "kill -STOP $A"),
    ?assertEqual({error, timeout}, evum:shutdown(R, 300)),
    ?assertEqual(normal, evum_test:await_down(R, fun() -> evum:puts(R, "kill -CONT $A\n") end)).

%% The guest's root takes the agent's place, as below, and says who it is only
%% when it is awaited.
another_version(Config) ->
    R = start(Config),
    Self = self(),
    Hello = "printf '\\0\\0\\0\\15\\0\\0\\0\\0\\0evum\\0\\0\\0\\11'",
    ok = evum:put(R, "/root/take", [
        "kill -9 ", ?AGENT, "; until kill -9 ", ?AGENT, " 2> /dev/null; do :; done\n",
        "until { touch /run/taken; until [ -e /run/say ]; do sleep 0.1; done; ", Hello, "; sleep 60; } > /dev/vport0p0; do :; done\n"
    ]),
    _ = evum_test:sh(R, "bash /root/take > /dev/null 2>&1 & until [ -e /run/taken ]; do sleep 0.1; done"),
    Callers = [
        spawn_link(fun() -> Self ! {N, Call()} end)
     || {N, Call} <- [{1, fun() -> evum:await(R, ready, 60000) end}, {2, fun() -> evum:cmd(R, "true", #{timeout => 60000}) end}]
    ],
    evum_test:await(fun() -> [P || P <- Callers, process_info(P, status) =/= {status, waiting}] =:= [] end),
    _ = evum_test:sh(R, "touch /run/say"),
    [receive {N, Result} -> ?assertEqual({error, {agent_version, 9}}, Result) after 30000 -> error({no_result, N}) end || N <- [1, 2]].

%% The guest's root takes the agent's place: once it is killed, and killed again
%% before it has run for a second, it is not started for a second.
rubbish(Config) ->
    R = evum_test:start(Config, #{verbose => false}),
    Peer = evum_test:start(Config, #{verbose => false}),
    ok = evum:config(R, #{eth0 => ["10.8.0.1/24"]}),
    ok = evum:config(Peer, #{eth0 => ["10.8.0.2/24"]}),
    Hello = "printf '\\0\\0\\0\\15\\0\\0\\0\\0\\0evum\\0\\0\\0\\2'",
    ok = evum:put(R, "/root/take", [
        "kill -9 ", ?AGENT, "; until kill -9 ", ?AGENT, " 2> /dev/null; do :; done\n",
        "until { ", Hello, "; head -c 300000 /dev/urandom; touch /run/taken; sleep 3; } > /dev/vport0p0; do :; done\n"
    ]),
    _ = evum_test:sh(R, "bash /root/take > /dev/null 2>&1 & sleep 0.5; until [ -e /run/taken ]; do sleep 0.1; done"),
    evum_test:await(fun() -> evum:cmd(R, "true", #{timeout => 100}) =:= {error, bad_agent} end),
    ?assertMatch([_ | _], evum_test:sh(R, "ping -c 1 -w 20 10.8.0.2 | grep 'bytes from'")),
    %% it lets go, and all is as before
    evum_test:await(fun() -> evum:cmd(R, "echo good", #{timeout => 1000}) =:= {ok, 0, <<"good\n">>} end).

stopped_machine(Config) ->
    R = start(Config),
    {ok, _} = evum_mcons:stop(R),
    ?assertEqual({error, timeout}, evum:cmd(R, "echo late > /run/late", #{timeout => 300})),
    {ok, _} = evum_mcons:go(R),
    ?assertEqual({ok, 0, <<"again\n">>}, evum:cmd(R, "echo again")).

reboots(Config) ->
    R = start(Config),
    Self = self(),
    spawn_link(fun() -> Self ! {result, evum:cmd(R, "touch /run/begun; sleep 100")} end),
    evum_test:await(fun() -> evum:get(R, "/run/begun") =:= {ok, <<>>} end),
    {ok, _} = evum:reboot(R),
    receive {result, Result} -> ?assertEqual({error, rebooted}, Result) after 30000 -> error(no_result) end,
    ?assertEqual(ok, evum:await(R, ready)),
    ?assertEqual({error, enoent}, evum:get(R, "/run/begun")).

machine_is_killed(Config) ->
    R = start(Config),
    #{os_pid := OsPid} = evum:info(R),
    Self = self(),
    spawn_link(fun() -> Self ! {result, evum:cmd(R, "touch /run/begun; sleep 100")} end),
    evum_test:await(fun() -> evum:get(R, "/run/begun") =:= {ok, <<>>} end),
    "" = os:cmd("kill -9 " ++ integer_to_list(OsPid)),
    receive {result, Result} -> ?assertEqual({error, no_machine}, Result) after 30000 -> error(no_result) end,
    ?assertEqual({error, no_machine}, evum:cmd(R, "true")),
    ?assertEqual({error, no_machine}, evum:await(R, ready)).

%% Nobody waits for it any more: what it had started ends.
caller_is_killed(Config) ->
    R = start(Config),
    Caller = spawn(fun() -> evum:cmd(R, "sleep 4321") end),
    evum_test:await(fun() -> element(2, evum:cmd(R, "pgrep -f '^sleep 4321'")) =:= 0 end),
    exit(Caller, kill),
    evum_test:await(fun() -> element(2, evum:cmd(R, "pgrep -f '^sleep 4321'")) =:= 1 end).

%% A kernel that says of itself that it has no virtio console.
kernel_without_a_channel(Config) ->
    {ok, Info} = evum_kernel:info(?config(kernel, Config)),
    #{features := Features} = Info,
    Less = Info#{features := maps:remove(<<"VIRTIO_CONSOLE">>, Features)},
    {ok, Machine} = evum_machine:describe(#{switch => none}),
    {ok, Machine1} = evum_machine:with_kernel(Machine, Less),
    {ok, R} = evum_vm:start_link({Machine1, Less}),
    ok = evum_vm:await(R),
    ?assertEqual({error, no_agent}, evum:await(R, ready)),
    ?assertEqual({error, no_agent}, evum:cmd(R, "true")),
    ?assertEqual([<<"here">>], evum_test:sh(R, "echo here")),
    ok = evum:stop(R).
