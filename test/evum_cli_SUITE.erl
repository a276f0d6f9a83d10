%% SPDX-License-Identifier: Apache-2.0
%% The command `evum', as a shell runs it; its consoles are evum_attach_SUITE's.
-module(evum_cli_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [machines, exec_status, exec_output, exec_input, exec_is_left, door_closes, wrong_calls, host, completions, labs, lab_names, guide, readme, a_node_of_its_own].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    [{_, Kernel} | _] = evum_test:kernels(),
    [{kernel, Kernel} | Config].

end_per_suite(_Config) ->
    application:stop(evum).

init_per_testcase(_Case, Config) ->
    [{before, evum_test:leftovers()} | Config].

end_per_testcase(_Case, Config) ->
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_test:drain(),
    evum_test:no_leftovers(?config(before, Config)).

start(Config, Name) ->
    R = evum_test:start(Config, #{switch => none, image => tiny, name => Name}),
    ok = evum:await(R, ready),
    R.

%% What it writes, to both, and its status; in a shell that may pipe it.
evum(Args) ->
    sh("evum " ++ Args).

sh(Command) ->
    Program = filename:join([evum_test:top(), "bin", "evum"]),
    Node = "EVUM_NODE=" ++ binary_to_list(evum_door:name()),
    Text = os:cmd(
        "evum() { " ++ Node ++ " " ++ Program ++ " \"$@\"; }\n{ " ++ Command ++ "; } 2>&1\necho $?"
    ),
    {match, [Shown, Status]} = re:run(Text, "^(.*?)\n?([0-9]+)\n$", [
        dotall, unicode, {capture, all_but_first, list}
    ]),
    {list_to_integer(Status), Shown}.

machines(Config) ->
    ?assertEqual({0, ""}, evum("ls")),
    _ = start(Config, one),
    R = start(Config, <<"two">>),
    {0, Listed} = evum("ls"),
    ?assertMatch(match, match(Listed, "^one +<[0-9.]+> +running +64 MB$")),
    ?assertMatch(match, match(Listed, "^two ")),
    {0, Cost} = evum("ps"),
    ?assertMatch(match, match(Cost, "^one +[0-9]+ +[0-9]+\\.[0-9]+ +[1-9][0-9]*\\.[0-9]$")),
    ?assertEqual({0, ""}, evum("stop one '" ++ pid_to_list(R) ++ "'")),
    ?assertEqual([], evum:list()),
    ?assertMatch({3, "evum: there is no machine one: evum ls"}, evum("stop one")).

match(Text, Expression) ->
    re:run(Text, Expression, [multiline, {capture, none}]).

exec_status(Config) ->
    _ = start(Config, r),
    ?assertEqual({0, "Linux"}, evum("exec r uname -s")),
    ?assertEqual({7, ""}, evum("exec r 'exit 7'")),
    ?assertEqual({128 + 9, ""}, evum("exec r 'kill -9 $$'")),
    ?assertMatch({127, _}, evum("exec r /no/such/program")),
    ?assertEqual({125, "evum: timeout"}, evum("exec --timeout=100 r sleep 1000")),
    ?assertEqual({3, "evum: there is no machine nobody: evum ls"}, evum("exec nobody true")),
    %% what is behind the name is the command's
    ?assertEqual({0, "--help -i"}, evum("exec r echo --help -i")).

exec_output(Config) ->
    _ = start(Config, r),
    Sum = os:cmd("yes 2>/dev/null | head -c 3000000 | md5sum"),
    {0, Got} = sh("evum exec r 'yes | head -c 3000000' | md5sum"),
    ?assertEqual(string:trim(Sum), Got),
    %% a reader that has had enough
    ?assertEqual({0, "y"}, sh("evum exec r yes | head -n 1")).

exec_input(Config) ->
    _ = start(Config, r),
    ?assertEqual({0, "typed"}, sh("echo typed | evum exec -i r cat")),
    ?assertEqual({0, ""}, sh("evum exec -i r cat </dev/null")),
    File = filename:join(?config(priv_dir, Config), "input"),
    ok = file:write_file(File, binary:copy(<<"0123456789abcde\n">>, 20000)),
    Sum = os:cmd("md5sum <" ++ File),
    {0, Got} = sh("evum exec -i r md5sum <" ++ File),
    ?assertEqual(string:trim(Sum), Got),
    %% 64 MiB and one more
    ?assertEqual(
        {1, "evum: more than 67108864 bytes of input"}, sh("head -c 67108865 /dev/zero | evum exec -i r true")
    ),
    %% a loop's input stays the loop's
    ?assertEqual({0, "1\n2"}, sh("printf '1\\n2\\n' | while read n; do evum exec r echo $n; done")).

%% The command ends with the one who wanted it.
exec_is_left(Config) ->
    R = start(Config, r),
    Program = filename:join([evum_test:top(), "bin", "evum"]),
    Node = binary_to_list(evum_door:name()),
    Port = erlang:open_port({spawn_executable, Program}, [
        {args, ["exec", "r", "sleep", "4242"]}, {env, [{"EVUM_NODE", Node}]}, exit_status
    ]),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    Runs = fun() -> {ok, 0, Out} = evum:cmd(R, "ps | grep -c '[s]leep 4242' || true"), Out end,
    evum_test:await(fun() -> Runs() =/= <<"0\n">> end),
    [] = os:cmd("for p in " ++ integer_to_list(Pid) ++ " $(cat /proc/" ++ integer_to_list(Pid) ++
        "/task/*/children); do kill $p; done"),
    evum_test:await(fun() -> Runs() =:= <<"0\n">> end).

%% So does it with the door.
door_closes(Config) ->
    R = start(Config, r),
    Runs = fun() -> {ok, 0, Out} = evum:cmd(R, "ps | grep -c '[s]leep 4343' || true"), Out end,
    Self = self(),
    spawn_link(fun() -> Self ! {ended, evum("exec r sleep 4343")} end),
    evum_test:await(fun() -> Runs() =/= <<"0\n">> end),
    ok = supervisor:terminate_child(evum_sup, evum_door),
    evum_test:await(fun() -> Runs() =:= <<"0\n">> end),
    receive
        {ended, Ended} -> ?assertEqual({1, "evum: the node has ended"}, Ended)
    after 20000 -> error(timeout)
    end,
    {ok, _} = supervisor:restart_child(evum_sup, evum_door).

wrong_calls(_Config) ->
    {2, Usage} = evum(""),
    ?assertMatch(match, match(Usage, "^evum: what is to be done\\?$")),
    ?assertMatch({2, "evum: unknown command fly" ++ _}, evum("fly")),
    ?assertMatch({2, "evum exec: too few arguments\nusage: evum exec " ++ _}, evum("exec r")),
    ?assertMatch({2, "evum ls: too many arguments" ++ _}, evum("ls r")),
    ?assertMatch({2, "evum image: unknown option --x" ++ _}, evum("image --x")),
    {0, Help} = evum("--help"),
    [
        begin
            ?assertMatch(match, match(Help, "^  " ++ Name ++ " ")),
            ?assertMatch({0, "usage: evum " ++ _}, evum(Name ++ " --help"))
        end
     || #{name := Name} <- evum_cli_commands:all()
    ],
    %% no node is there
    ?assertMatch({1, _}, sh("EVUM_NODE=evum-0-0-0 " ++ evum_test:top() ++ "/bin/evum exec r true")).

%% A lab from its file: up, changed, and down; what is wrong with one is told.
labs(Config) ->
    Lab = fun(Name, Text) ->
        File = filename:join(?config(priv_dir, Config), Name),
        ok = file:write_file(File, Text),
        File
    end,
    Two = Lab("two.lab", two_machines()),
    ?assertEqual({0, ""}, evum("check " ++ Two)),
    {0, Up} = evum("up --seed 42 " ++ Two),
    ?assertMatch(match, match(Up, "2 up")),
    ?assertMatch(match, match(Up, "^two: seed 42$")),
    ?assertEqual({0, "two                  running    2 of 2 machines up, seed 42"}, evum("labs")),
    %% by its name in the lab, or with the lab's
    ?assertMatch({0, "tiny" ++ _}, evum("exec a 'echo tiny'")),
    ?assertMatch({0, "tiny" ++ _}, evum("exec two.a 'echo tiny'")),
    ?assertEqual({0, ["a b", "a - yes", "b yes -"]}, spaced(evum("ping-all"))),
    ?assertEqual({0, ""}, evum("link a:eth0 down")),
    ?assertEqual({1, ["a b", "a - NO", "b NO -"]}, spaced(evum("ping-all two"))),
    ?assertEqual({0, ""}, evum("link a:eth0 up")),
    ?assertEqual({0, ""}, evum("link two.a:eth0 delay 1ms 1ms 25% distribution normal loss 100%")),
    ?assertMatch({1, _}, evum("ping-all")),
    ?assertEqual({0, ""}, evum("link a:eth0 perfect")),
    %% only a direction, seen from the interface
    ?assertEqual({0, ""}, evum("link b:eth0 out loss 100%")),
    ?assertEqual({#{}, #{loss => 1.0}}, ways(<<"two">>)),
    ?assertEqual({0, ""}, evum("link a:eth0 in perfect")),
    ?assertEqual({#{}, #{}}, ways(<<"two">>)),
    ?assertEqual({0, ""}, evum("link a:eth0 rate 5mbit")),
    ?assertEqual({0, ""}, evum("link b:eth0 in delay 2ms")),
    ?assertEqual({#{delay => {2, ms}}, #{rate => {5, mbit}}}, ways(<<"two">>)),
    ?assertEqual({0, ""}, evum("link a:eth0 perfect")),
    ?assertEqual({#{}, #{}}, ways(<<"two">>)),
    ?assertEqual({2, "evum link: out and in are of impairments, or perfect"}, evum("link a:eth0 out")),
    ?assertEqual({2, "evum link: down"}, evum("link a:eth0 in down")),
    ?assertEqual({0, ""}, evum("partition a b")),
    ?assertMatch({1, _}, evum("ping-all")),
    ?assertEqual({0, ""}, evum("heal")),
    ?assertMatch({0, _}, evum("ping-all")),
    %% bad input
    ?assertEqual({2, "evum link: 10 is no time, such as 10ms"}, evum("link a:eth0 delay 10")),
    ?assertEqual({1, "evum: a:eth9: there is no link"}, evum("link a:eth9 up")),
    ?assertMatch({2, "evum link: a is no interface" ++ _}, evum("link a up")),
    ?assertMatch({3, _}, evum("link z:eth0 up")),
    ?assertMatch({3, _}, evum("partition z a")),
    ?assertMatch({2, _}, evum("partition --one-way a")),
    ?assertMatch({3, _}, evum("down nobody")),
    {0, Dot} = evum("graph --dot"),
    ?assertMatch(match, match(Dot, "^(strict )?graph ")),
    {0, "<svg " ++ _} = evum("graph two"),
    %% nothing passes, and that is told
    {0, Rates} = evum("graph --dot --rates"),
    ?assertMatch(match, match(Rates, "bit/s")),
    ?assertMatch({0, "<svg " ++ _}, evum("graph " ++ Two)),
    ?assertMatch({3, _}, evum("graph nobody")),
    %% a second one of the same machines, under another name
    {0, _} = evum("up --name=deux " ++ Two),
    ?assertMatch({2, "evum: which a? It takes LAB.NAME" ++ _}, evum("partition a b")),
    ?assertEqual({0, ""}, evum("partition two.a two.b")),
    ?assertMatch({1, _}, evum("ping-all two")),
    ?assertMatch({0, _}, evum("ping-all deux")),
    %% one name is enough to tell which lab
    ?assertEqual({0, ""}, evum("partition deux.a b")),
    ?assertMatch({1, _}, evum("ping-all deux")),
    ?assertEqual({0, ""}, evum("heal deux")),
    ?assertEqual({2, "evum: two.a, deux.b are of no one lab"}, evum("partition two.a deux.b")),
    ?assertEqual({3, "evum: there is no machine two.z: evum ls"}, evum("partition two.a two.z")),
    ?assertEqual({0, ""}, evum("partition --one-way two.a two.b")),
    ?assertMatch({1, _}, evum("ping-all two")),
    ?assertEqual({2, "evum: which one of deux, two?"}, sorted(evum("down"))),
    ?assertMatch({2, "evum: which a? It takes LAB.NAME" ++ _}, evum("link a:eth0 up")),
    ?assertEqual({0, ""}, evum("down two")),
    ?assertEqual({0, ""}, evum("down")),
    ?assertEqual({0, ""}, evum("labs")),
    ?assertEqual([], evum:list()),
    {0, _} = evum("up " ++ Lab("mute.lab", "#{machines => #{a => #{image => tiny}, b => #{image => tiny}}}.")),
    ?assertEqual({1, "evum: nothing to ping: no other machine that runs has an address"}, evum("ping-all")),
    ?assertEqual({0, ""}, evum("down")),
    %% a switch that cannot be started, though the machine is not at it
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    Taken = Lab("taken.lab", io_lib:format(
        "#{machines => #{a => #{image => tiny}}, switches => #{out =>"
        " #{uplink => {nat, #{restrict => true, subnet => \"192.168.214.0/24\", subnet6 => none}}, forwards =>"
        " [{tcp, {\"127.0.0.1\", ~b}, {\"192.168.214.15\", 80}}]}}}.",
        [Port]
    )),
    Refused = "switch out: tcp 127.0.0.1:" ++ integer_to_list(Port) ++ " .*address already in use",
    {1, Said} = evum("up -k " ++ Taken),
    ?assertMatch(match, match(Said, "out failed")),
    ?assertMatch(match, match(Said, "^evum: " ++ Refused)),
    ?assertMatch({0, "taken " ++ _}, evum("labs")),
    ?assertEqual({0, ""}, evum("down")),
    {1, All} = evum("up " ++ Taken),
    ?assertMatch(match, match(All, "^evum: " ++ Refused)),
    ?assertEqual({0, ""}, evum("labs")),
    ok = gen_tcp:close(Socket),
    Bad = Lab("bad.lab", "#{machines => #{a => #{image => tiny}}, links => [{{a, eth0}, {b, eth0}}, {{a, eth0}, s}]}."),
    {1, Problems} = evum("check " ++ Bad),
    ?assertEqual({1, Problems}, evum("up " ++ Bad)),
    [?assertMatch(match, match(Problems, Word)) || Word <- ["^evum: .*b", "^evum: .*s"]],
    ?assertMatch({1, "evum: /no/such.lab: " ++ _}, evum("up /no/such.lab")),
    %% one whose startup fails ends the others, or not
    Failing = Lab("failing.lab", [
        "#{machines => #{a => #{image => tiny, startup => [\"echo so it is; exit 3\"]}, b => #{image => tiny}}}."
    ]),
    ?assertEqual({1, "evum: the lab: bad option seed: -1"}, evum("up --seed=-1 " ++ Failing)),
    {1, Told} = evum("up " ++ Failing),
    %% and without a word of it one that can be given the next time
    ?assertMatch(match, match(Told, "^failing: seed [0-9]+$")),
    ?assertMatch(match, match(Told, "so it is")),
    ?assertEqual({0, ""}, evum("labs")),
    {1, _} = evum("up -k " ++ Failing),
    ?assertMatch({0, "failing " ++ _}, evum("labs")),
    ?assertEqual({0, "b"}, evum("exec b echo b")),
    ?assertEqual({0, ""}, evum("down failing")).

%% The impairments of a lab's link, forth and back.
ways(Name) ->
    [Lab] = [Lab || Lab <- evum_lab:list(), #{name := N} <- [evum_lab:info(Lab)], N =:= Name],
    {ok, _, #{links := [#{forth := Forth, back := Back}]}} = gen_server:call(Lab, description),
    {Forth, Back}.

%% A lab is called after its folder, whatever that is called.
lab_names(Config) ->
    Folder = filename:join(?config(priv_dir, Config), "My Lab"),
    ok = filelib:ensure_dir(Folder ++ "/x"),
    ok = file:write_file(Folder ++ "/lab.conf", "pc1[0]=A\npc1[image]=tiny\npc1[port]=\"80:80/sctp\"\n"),
    {0, Check} = sh("cd '" ++ Folder ++ "' && evum check ."),
    ?assertMatch(match, match(Check, "^evum: note: .*My Lab/lab.conf:3: .*sctp")),
    {0, Up} = sh("cd '" ++ Folder ++ "' && evum up ."),
    ?assertMatch(match, match(Up, "^evum: note: .*sctp")),
    ?assertMatch({0, "My-Lab " ++ _}, evum("labs")),
    ?assertEqual({0, "there"}, evum("exec My-Lab.pc1 echo there")),
    ?assertEqual({0, ""}, evum("down My-Lab")).

%% Those of the guide about a lab whose addresses are set by its scripts.
guide(_Config) ->
    case lists:member(<<"debian">>, [Name || #{name := Name} <- evum_image:list()]) of
        true ->
            {0, _} = sh("cd " ++ evum_test:top() ++ " && evum up labs/two-machines"),
            ?assertEqual({0, ["pc1 pc2", "pc1 - yes", "pc2 yes -"]}, spaced(evum("ping-all"))),
            {0, Svg} = evum("graph"),
            ?assertMatch(match, match(Svg, "eth0 10\\.0\\.0\\.2/24")),
            ?assertEqual({0, ""}, evum("partition pc1 pc2")),
            ?assertMatch({1, _}, evum("ping-all")),
            ?assertEqual({0, ""}, evum("down"));
        false ->
            {skip, "the image debian is not built: make images"}
    end.

%% The commands of the README, as they stand there.
readme(_Config) ->
    case lists:member(<<"debian">>, [Name || #{name := Name} <- evum_image:list()]) of
        true ->
            {ok, Text} = file:read_file(filename:join(evum_test:top(), "README.md")),
            {match, Lines} = re:run(Text, "^    bin/(evum [^#\n]*?) *(#.*)?$", [
                global, multiline, {capture, [1], list}
            ]),
            ?assertMatch([["evum up labs/ospf"] | _], Lines),
            ?assertEqual(["evum down"], lists:last(Lines)),
            Cd = "cd " ++ evum_test:top() ++ " && ",
            [?assertMatch({_, {0, _}}, {Line, sh(Cd ++ Line)}) || [Line] <- Lines],
            ?assertEqual([], evum:list());
        false ->
            {skip, "the image debian is not built: make images"}
    end.

two_machines() ->
    "#{machines => #{a => #{image => tiny}, b => #{image => tiny}}, links => [{{a, eth0}, {b, eth0}}],"
    " addressing => {ipv4, \"10.0.0.0/8\"}}.".

spaced({Status, Text}) ->
    {Status, [string:join(string:lexemes(Line, " "), " ") || Line <- string:lexemes(Text, "\n")]}.

sorted({Status, "evum: which one of " ++ Names}) ->
    Sorted = lists:sort(string:lexemes(Names, ", ?")),
    {Status, "evum: which one of " ++ lists:flatten(lists:join(", ", Sorted)) ++ "?"}.

%% Where no node runs, one is started, and ends when nothing runs in it. Nodes are
%% found by network namespace: in this one there is none.
a_node_of_its_own(Config) ->
    File = filename:join(?config(priv_dir, Config), "own.lab"),
    Script = filename:join(?config(priv_dir, Config), "own.sh"),
    ok = file:write_file(File, two_machines()),
    ok = file:write_file(Script, [
        "evum=", evum_test:top(), "/bin/evum; ip link set lo up\n"
        "$evum up ", File, " 2>/dev/null || echo up $?\n",
        "pid=$(sed -n 's/.* @evum-[0-9]*-\\([0-9]*\\)-.*/\\1/p' /proc/net/unix | head -n 1)\n"
        "$evum exec a echo here; $evum down; echo down $?\n"
        "n=0; while [ -d /proc/$pid ] && [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done\n"
        "[ -d /proc/$pid ] && { kill $pid; echo it stays; }; $evum exec a true; echo $?\n"
    ]),
    As =
        case os:cmd("id -u") of
            "0\n" -> "";
            _ -> "-r "
        end,
    case os:cmd("unshare " ++ As ++ "-n true 2>&1") of
        "" ->
            Shown = os:cmd("unshare " ++ As ++ "-n bash " ++ Script ++ " 2>&1 </dev/null"),
            ?assertEqual("here\ndown 0\nevum exec: no evum runs\n3\n", Shown);
        Why ->
            {skip, "no namespaces: " ++ Why}
    end.

host(_Config) ->
    {_, Doctor} = evum("doctor"),
    [
        ?assertMatch(match, match(Doctor, "^(ok|lacks|bad) +" ++ What ++ " "))
     || What <- ["system", "namespaces", "kernel", "memory", "images"]
    ],
    {0, Kernel} = evum("kernel"),
    ?assertMatch(match, match(Kernel, "^default +Linux [67]\\.")),
    {0, Images} = evum("image"),
    ?assertMatch(match, match(Images, "^tiny +tiny +built ")),
    {0, Tiny} = evum("image tiny"),
    ?assertMatch(match, match(Tiny, "^path +/.*tiny\\.cpio$")),
    ?assertMatch({1, "evum: image tiny: {no_checksum," ++ _}, evum("image --verify tiny")),
    [
        ?assertEqual({0, binary_to_list(Name) ++ ": as it was made"}, evum("image --verify " ++ binary_to_list(Name)))
     || #{name := <<"debian">> = Name} <- evum_image:list()
    ],
    {1, None} = evum("image no-such-image"),
    ?assertMatch(match, match(None, "^evum: image no-such-image: ")).

completions(Config) ->
    _ = start(Config, ralph),
    ?assertEqual({0, "exec"}, evum("--complete ex")),
    ?assertEqual({0, "ralph"}, evum("--complete exec r")),
    ?assertEqual({0, "--input"}, evum("--complete exec --i")),
    ?assertEqual({0, ""}, evum("--complete ls ''")),
    Bash = "source <(evum completion bash); COMP_WORDS=(evum st); COMP_CWORD=1; _evum; echo ${COMPREPLY[@]}",
    File = filename:join(?config(priv_dir, Config), "completion"),
    ok = file:write_file(File, ["evum() { ", evum_test:top(), "/bin/evum \"$@\"; }\n", Bash]),
    ?assertEqual("stop\n", os:cmd("bash " ++ File)).
