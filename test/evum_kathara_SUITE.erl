%% SPDX-License-Identifier: Apache-2.0
%% A folder of Kathará's with all that its format has, on real machines.
-module(evum_kathara_SUITE).

-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

all() ->
    [everything, asked_addresses, port_in_use, failures, there_and_back].

suite() ->
    [{timetrap, {minutes, 5}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    case {lists:keymember(fast, 1, evum_test:kernels()), evum_image:info(debian)} of
        {false, _} -> {skip, "labs want the fast kernel: make kernel"};
        {true, {error, _}} -> {skip, "no image debian: make image-debian"};
        {true, {ok, _}} -> Config
    end.

end_per_suite(_Config) ->
    application:stop(evum).

init_per_testcase(_Case, Config) ->
    [{before, evum_test:leftovers()} | Config].

end_per_testcase(_Case, Config) ->
    lists:foreach(fun evum_lab:stop/1, evum_lab:list()),
    evum_test:no_leftovers(proplists:get_value(before, Config)).

folder(Case, Files, Config) ->
    Folder = filename:join(proplists:get_value(priv_dir, Config), Case),
    [
        begin
            Path = filename:join(Folder, Name),
            ok = filelib:ensure_dir(Path),
            ok = file:write_file(Path, Content)
        end
     || {Name, Content} <- Files
    ],
    Folder.

%% A network of this host's only: the uplink lets nothing out.
start(Folder) ->
    {ok, Lab} = restricted(Folder),
    evum_lab:start(Lab).

restricted(Folder) ->
    {ok, #{switches := Switches} = Lab} = evum_kathara:read(Folder),
    Restricted = maps:map(
        fun
            (_, #{uplink := {nat, Options}} = Switch) -> Switch#{uplink := {nat, Options#{restrict => true}}};
            (_, Switch) -> Switch
        end,
        Switches
    ),
    {ok, Lab#{switches := Restricted}}.

said(Lab, Machine, Command) ->
    {ok, Vm} = evum_lab:machine(Lab, Machine),
    {ok, _, Said} = evum:cmd(Vm, Command),
    string:trim(Said).

free_port() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port.

everything(Config) ->
    Port = free_port(),
    Folder = folder(
        "everything",
        [
            {"lab.conf", [
                "LAB_NAME=\"all of it\"\r\n# a comment\r\n",
                "r1[0]=\"A/02:00:00:00:0a:01\" # and another\n",
                "r1[2]='B'\n",
                "r1[image]=\"kathara/quagga:latest\"\nr1[mem]=\"256m\"\nr1[cpus]=0.5\n",
                ["r1[port]=\"", integer_to_list(Port), ":8000/tcp\"\n"],
                "r1[env]=\"GREETING=good day\"\nr1[exec]=\"echo $GREETING >/tmp/exec\"\n",
                "r1[sysctl]=\"net.ipv4.conf.all.arp_ignore=1\"\nr1[ulimit]=\"nofile=300:400\"\n",
                "r1[shell]=/bin/sh\nr1[num_terms]=0\n",
                "pc1[0]=A\npc1[bridged]=true\npc1[ipv6]=\"false\"\npc1[sysctl]=net.ipv4.ip_forward=0\n"
            ]},
            {"lab.dep", "pc1: r1\n"},
            {"shared.startup", "hostname >/shared/$(hostname).up\n"},
            {"r1.startup", [
                "ip address add 10.0.0.1/24 dev eth0\r\n",
                "echo '<p>hello</p>' >/srv/index.html\r\n",
                "python3 -m http.server -d /srv 8000 &\r\n"
            ]},
            {"pc1.startup", "ifconfig eth0 10.0.0.2/24 up\nls /shared >/tmp/seen\n"},
            {"r1.shutdown", "touch /shared/r1.down\n"},
            {"r1/etc/motd", "welcome\n"},
            {"r1/etc/quagga/daemons", "zebra=yes\n"},
            {"_test/steps", "none"},
            {"shared/here", "x"}
        ],
        Config
    ),
    {ok, Lab} = start(Folder),
    #{machines := Machines} = evum_lab:info(Lab),
    ?assertEqual([<<"pc1">>, <<"r1">>], lists:sort(maps:keys(Machines))),
    [?assertMatch({Name, #{status := up}}, {Name, Machine}) || {Name, Machine} <- maps:to_list(Machines)],
    ?assertMatch({match, _}, re:run(said(Lab, pc1, "ping -c 1 -W 5 10.0.0.1"), "1 received")),
    ?assertEqual(<<"02:00:00:00:0a:01">>, said(Lab, r1, "cat /sys/class/net/eth0/address")),
    %% eth3 is the uplink's, behind the last one
    ?assertEqual(<<"eth0 eth2 eth3">>, said(Lab, r1, "cd /sys/class/net && echo eth*")),
    ?assertMatch({match, _}, re:run(said(Lab, pc1, "ip route"), "^default via 192.168.214.1 dev eth1", [multiline])),
    %% a port alone leads in, and no way out
    ?assertEqual(<<>>, said(Lab, r1, "ip route show default")),
    ?assertEqual(<<"good day">>, said(Lab, r1, "cat /tmp/exec")),
    ?assertEqual(<<"1 1">>, said(Lab, r1, "echo $(sysctl -n net.ipv4.ip_forward net.ipv4.conf.all.arp_ignore)")),
    ?assertEqual(<<"0 1">>, said(Lab, pc1, "echo $(sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.disable_ipv6)")),
    ?assertEqual(<<"300 400">>, said(Lab, r1, "echo $(ulimit -Sn) $(ulimit -Hn)")),
    ?assertEqual(<<"welcome">>, said(Lab, r1, "cat /etc/motd")),
    ?assertEqual(<<"zebra=yes">>, said(Lab, r1, "cat /etc/frr/daemons")),
    %% pc1 came after r1, and /shared is one folder, the host's.
    ?assertMatch({match, _}, re:run(said(Lab, pc1, "cat /tmp/seen"), "^r1.up$", [multiline])),
    ?assert(filelib:is_regular(Folder ++ "/shared/pc1.up")),
    ?assertMatch({match, _}, re:run(said(Lab, r1, "cat /var/log/startup.log"), "^\\+ ip address add", [multiline])),
    evum_test:await(fun() -> is_served(Port) end),
    ok = evum_lab:stop(Lab),
    ?assert(filelib:is_regular(Folder ++ "/shared/r1.down")).

%% A forwarded port of this host's
is_served(Port) ->
    case gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}], 2000) of
        {ok, Socket} ->
            ok = gen_tcp:send(Socket, "GET / HTTP/1.0\r\n\r\n"),
            Answer = gen_tcp:recv(Socket, 0, 5000),
            Rest = gen_tcp:recv(Socket, 0, 5000),
            ok = gen_tcp:close(Socket),
            lists:any(
                fun
                    ({ok, Bytes}) -> binary:match(Bytes, <<"<p>hello</p>">>) =/= nomatch;
                    (_) -> false
                end,
                [Answer, Rest]
            );
        {error, _} ->
            false
    end.

%% No description knows the addresses that scripts and DHCP give: the machines are asked,
%% to be pinged, drawn, and parted across a router.
asked_addresses(Config) ->
    Folder = folder(
        "asked",
        [
            {"lab.conf", "pc1[0]=A\nr[0]=A\nr[1]=B\npc2[0]=B\nmute[0]=B\n"},
            {"pc1.startup", "ip address add 10.0.1.2/24 dev eth0\nip route add default via 10.0.1.1\n"},
            {"r.startup", [
                "ip address add 10.255.0.1/32 dev lo\n",
                "ip address add 10.0.1.1/24 dev eth0\nip address add 10.0.2.1/24 dev eth1\n"
            ]},
            %% as DHCP does
            {"pc2.startup", [
                "ip address add 10.0.2.2/24 dev eth0 valid_lft 3600 preferred_lft 3600\n",
                "ip route add default via 10.0.2.1\n"
            ]}
        ],
        Config
    ),
    {ok, Lab} = start(Folder),
    {ok, #{<<"pc1">> := Row, <<"mute">> := Mute}} = evum_lab:ping_all(Lab),
    ?assertEqual(#{<<"pc2">> => true, <<"r">> => true}, Row),
    ?assertEqual([<<"pc1">>, <<"pc2">>, <<"r">>], maps:keys(Mute)),
    {ok, Dot} = evum_lab:graph(Lab, dot),
    [
        ?assertMatch({Label, {_, _}}, {Label, binary:match(Dot, Label)})
     || Label <- [
            <<"label=\"r\\neth0 10.0.1.1/24\\neth1 10.0.2.1/24\\nlo 10.255.0.1/32\"">>,
            <<"label=\"pc2\\neth0 10.0.2.2/24\"">>,
            <<"label=\"mute\"">>
        ]
    ],
    Reaches = fun(From, To) ->
        {ok, #{From := #{To := Is}}} = evum_lab:ping_all(Lab),
        Is
    end,
    ok = evum_lab:partition(Lab, [[pc1], [pc2]]),
    ?assertNot(Reaches(<<"pc1">>, <<"pc2">>)),
    ?assert(Reaches(<<"pc1">>, <<"r">>)),
    %% another address, once it is up again
    ok = file:write_file(filename:join(Folder, "pc2.startup"), [
        "ip address add 10.0.2.3/24 dev eth0\nip route add default via 10.0.2.1\n"
    ]),
    {ok, Changed} = evum_lab:load(Folder),
    #{machines := Machines} = Changed,
    ok = evum_lab:apply(Lab, Changed),
    ?assertEqual(<<"10.0.2.3">>, said(Lab, pc2, "ip -4 -o address show eth0 | sed 's/.*inet //; s,/.*,,'")),
    evum_test:await(fun() -> not Reaches(<<"pc1">>, <<"pc2">>) end),
    ok = evum_lab:heal(Lab),
    ?assert(Reaches(<<"pc1">>, <<"pc2">>)),
    [ok = evum_lab:kill(Lab, Name) || Name <- maps:keys(Machines), Name =/= <<"pc1">>],
    ?assertEqual({error, nothing_to_ping}, evum_lab:ping_all(Lab)).

%% A port of the host's that is taken: its switch is not there, which is told once; the
%% machine at it says why it does not start, the others do, and it does when it is free.
port_in_use(Config) ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    Folder = folder(
        "port",
        [
            {"lab.conf", ["web[0]=A\nweb[port]=\"", integer_to_list(Port), ":8000/tcp\"\npc[0]=A\nother[0]=A\n"]},
            {"lab.dep", "other: pc\n"},
            {"web.startup", "mkdir -p /srv\necho '<p>hello</p>' >/srv/index.html\npython3 -m http.server -d /srv 8000 &\n"}
        ],
        Config
    ),
    {ok, Restricted} = restricted(Folder),
    {ok, Lab} = evum_lab:start(Restricted, #{progress => self()}),
    #{problems := Problems, machines := #{<<"web">> := Web, <<"pc">> := Pc, <<"other">> := Other}} = evum_lab:info(Lab),
    ?assertMatch([{{switch, <<"uplink">>}, {start, {forward, {tcp, {_, Port}}, eaddrinuse}, []}}], Problems),
    ?assertMatch(#{status := failed, reason := {switch, <<"uplink">>, {forward, _, eaddrinuse}}}, Web),
    [?assertMatch(#{status := up}, Machine) || Machine <- [Pc, Other]],
    {error, [Problem]} = evum_lab:boot(Lab, web),
    ?assertMatch({match, _}, re:run(evum_lab_problem:format(Problem), "switch uplink: .*address already in use")),
    %% at the start, and when it was tried again
    ?assertEqual(2, length(told_problems())),
    Late = #{
        uplink => {nat, #{restrict => true, subnet => "192.168.215.0/24", subnet6 => none}},
        forwards => [{tcp, {"127.0.0.1", Port}, {"192.168.215.15", 80}}]
    },
    ?assertMatch({error, [{{switch, <<"late">>}, {start, {forward, _, eaddrinuse}, []}}]}, evum_lab:add_switch(Lab, late, Late)),
    ok = evum_lab:remove(Lab, late),
    ?assertMatch(#{problems := [{{switch, <<"uplink">>}, _}]}, evum_lab:info(Lab)),
    ok = gen_tcp:close(Socket),
    ok = evum_lab:boot(Lab, web),
    ?assertMatch(#{problems := []}, evum_lab:info(Lab)),
    evum_test:await(fun() -> is_served(Port) end).

told_problems() ->
    receive
        {evum_lab, _, {problem, {switch, <<"uplink">>}, Reason}} -> [Reason | told_problems()];
        {evum_lab, _, _} -> told_problems()
    after 0 -> []
    end.

%% A script that fails is told of, with its last words; all else runs, the machine's
%% other scripts too, those that wait for it, and at the end its shutdown.
failures(Config) ->
    Bad = folder("bad", [{"lab.conf", "a[0]=A\nb[0=B\nc[image]=kathara/p4\n"}, {"lab.dep", "a: nobody\n"}], Config),
    {error, Problems} = evum_lab:check(Bad),
    ?assertMatch(
        [{"lab.conf", 2}, {"lab.conf", 3}, {"lab.dep", 1}],
        lists:sort([{unicode:characters_to_list(filename:basename(File)), Line} || {{file, File}, {line, Line, _}} <- Problems])
    ),
    Folder = folder(
        "failures",
        [
            {"lab.conf", "a[0]=A\na[exec]=\"touch /tmp/exec\"\na[volume]=\"out|/mnt|rw\"\nb[0]=A\nc[0]=A\n"},
            {"lab.dep", "b: a\nc: b\n"},
            {"shared.startup", "test $(hostname) != a\n"},
            {"a.startup", "touch /tmp/own\necho the end is near\nexit 3\n"},
            {"a.shutdown", "touch /mnt/a.down\n"},
            {"out/here", "x"}
        ],
        Config
    ),
    {ok, Lab} = start(Folder),
    #{machines := #{<<"a">> := A, <<"b">> := B, <<"c">> := C}} = evum_lab:info(Lab),
    [?assertMatch(#{status := up}, Other) || Other <- [B, C]],
    ?assertMatch(#{status := failed, reason := {startup, _, 3, _}}, A),
    #{reason := {startup, _, 3, Output}} = A,
    ?assertMatch({match, _}, re:run(Output, "the end is near")),
    #{vm := Vm} = A,
    ?assertMatch({ok, 0, _}, evum:cmd(Vm, "ls /tmp/own /tmp/exec")),
    %% where there is no shared/, the lab's folder gets none
    ?assertEqual(<<"yes">>, said(Lab, b, "test -d /shared && echo yes")),
    ?assertNot(filelib:is_file(Folder ++ "/shared")),
    ok = evum_lab:stop(Lab),
    ?assert(filelib:is_regular(Folder ++ "/out/a.down")).

%% Written, and started again from what was written
there_and_back(Config) ->
    To = filename:join(proplists:get_value(priv_dir, Config), "written"),
    Lab0 = #{
        addressing => {ipv4, "10.0.0.0/24"},
        defaults => #{image => debian},
        machines => #{a => #{files => #{"/root/x" => <<"kept\n">>}}, b => #{startup => ["echo started >/root/y"]}},
        links => [{{a, eth0}, {b, eth0}}]
    },
    {ok, []} = evum_lab:export(Lab0, {kathara, To}),
    {ok, Lab} = evum_lab:start(To),
    ?assertEqual(<<"kept">>, said(Lab, a, "cat /root/x")),
    ?assertEqual(<<"started">>, said(Lab, b, "cat /root/y")),
    Address = said(Lab, b, "ip -4 -o address show eth0 | sed 's/.*inet //; s,/.*,,'"),
    ?assertMatch({match, _}, re:run(said(Lab, a, "ping -c 1 -w 5 " ++ binary_to_list(Address)), "1 received")).
