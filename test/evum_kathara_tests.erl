%% SPDX-License-Identifier: Apache-2.0
-module(evum_kathara_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

%%% lab.conf

conf(Text) ->
    evum_kathara_conf:conf(<<"lab.conf">>, iolist_to_binary(Text)).

interfaces_test() ->
    ?assertEqual(
        {
            [
                {1, interface, <<"r1">>, {0, <<"A">>, random}},
                {2, interface, <<"r1">>, {1, <<"B">>, <<"02:00:00:00:00:0a">>}},
                {4, interface, <<"pc_1">>, {12, <<"lan2">>, random}},
                {5, interface, <<"pc2">>, {0, <<"A">>, random}},
                {6, tap, <<"pc2">>, {1, <<"10.0.0.2">>}},
                {7, interface, <<"pc2">>, {2, <<"tap">>, random}}
            ],
            []
        },
        conf("r1[0]=\"A\"\nr1[1]='B/02:00:00:00:00:0A'   # the second\n# none\n  pc_1[12]=lan2 # c\r\npc2[0]=\"A\"\npc2[1]=tap,10.0.0.1,10.0.0.2\npc2[2]=tap")
    ).

options_test() ->
    Lines = [
        {"image=\"kathara/frr\"", {image, <<"kathara/frr">>}},
        {"mem=128m", {mem, 128}},
        {"mem=\"1G\"", {mem, 1024}},
        {"mem=64", {mem, 64}},
        {"mem=100000k", {mem, 98}},
        {"mem=1b", {mem, 1}},
        {"cpus=1.5", {cpus, 1.5}},
        {"cpus=2", {cpus, 2.0}},
        {"bridged=true", {bridged, true}},
        {"bridged=\"False\"", {bridged, false}},
        {"ipv6=\"no\"", {ipv6, false}},
        {"ipv6=True", {ipv6, true}},
        {"port=\"8080:80/tcp\"", {port, {8080, 80, tcp}}},
        {"port=53/UDP", {port, {3000, 53, udp}}},
        {"port=7:8/sctp", {port, {7, 8, sctp}}},
        {"exec=\"echo 'a b' >/x\"", {exec, <<"echo 'a b' >/x">>}},
        {"env=\"A=b=c d\"", {env, {<<"A">>, <<"b=c d">>}}},
        {"sysctl=\"net.ipv4.conf.eth0.arp_ignore=8\"", {sysctl, {<<"net.ipv4.conf.eth0.arp_ignore">>, <<"8">>}}},
        {"ulimit=\"nofile=10:20\"", {ulimit, {<<"nofile">>, 10, 20}}},
        {"ulimit=memlock=-1", {ulimit, {<<"memlock">>, -1, -1}}},
        {"ulimit=nofile=30:20", {ulimit, {<<"nofile">>, 20, 20}}},
        {"volume=\"data|/srv|rw\"", {volume, {<<"data">>, <<"/srv">>, rw}}},
        {"volume=\"data|/srv\"", {volume, {<<"data">>, <<"/srv">>, ro}}},
        {"shell=/bin/sh", {shell, <<"/bin/sh">>}},
        {"num_terms=0", {num_terms, 0}},
        {"privileged=true", {privileged, true}},
        {"entrypoint=/x", {other, <<"entrypoint">>}}
    ],
    [?assertEqual({[{1, option, <<"r1">>, Value}], []}, conf(opt(Line))) || {Line, Value} <- Lines].

opt(Option) ->
    {Key, [$= | Value]} = lists:splitwith(fun(C) -> C =/= $= end, Option),
    ["r1[", Key, "]=", Value].

about_test() ->
    ?assertEqual(
        {
            [
                {1, about, <<"LAB_NAME">>, <<"Two routers">>},
                {2, about, <<"LAB_WEB">>, <<"http://a/?b=c">>},
                {4, machines, [<<"pc1">>, <<"pc2">>]}
            ],
            []
        },
        conf(<<16#ef, 16#bb, 16#bf, "LAB_NAME=\"Two routers\"\nLAB_WEB=http://a/?b=c\n\nmachines=\"pc1 pc2\"\n">>)
    ).

%% All at once, each with its line
conf_errors_test() ->
    Bad = [
        "pc1[0]='A",
        "pc1[0]='A\"",
        "pc1[0]=",
        "pc1[0]=\"\"",
        "pc1[0]='A$'",
        "pc1[0]=A B",
        "pc1[0]=\"A\" B",
        "pc1[0]=\"A/00:00:00:00:00\"",
        "pc1[0]=\"A/0/0\"",
        "pc1[0]=\"A/01:00:00:00:00:01\"",
        "pc1[0]=\"A/00:00:00:00:00:00\"",
        "pc1[0] = A",
        "pc1=A",
        "pc1[0=A",
        "pc1[]=A",
        "[0]=A",
        "pc1[99999]=A",
        "shared[0]=A",
        "_test[0]=A",
        "-pc[0]=A",
        "p/c[0]=A",
        "abcdefghijabcdefghijabcdefghijk[0]=A",
        "hello",
        "LAB_=x",
        "pc1[mem]=lots",
        "pc1[mem]=0",
        "pc1[mem]=-5m",
        "pc1[cpus]=0",
        "pc1[cpus]=none",
        "pc1[bridged]=maybe",
        "pc1[ipv6]=6",
        "pc1[port]=0:80",
        "pc1[port]=80:90:100",
        "pc1[port]=70000:80",
        "pc1[port]=80/dccp",
        "pc1[0]=tap,10.0.0.1",
        "pc1[0]=tap,10.0.0.1,10.0.0",
        "pc_[0]=A",
        "pc-[0]=A",
        "pc1[env]=X",
        "pc1[sysctl]=net.ipv4.ip_forward",
        "pc1[sysctl]=\"a;b=1\"",
        "pc1[ulimit]=nofile",
        "pc1[ulimit]=beer=3",
        "pc1[ulimit]=nofile=-1:3",
        "pc1[volume]=/a",
        "pc1[volume]=\"/a|/b|rx\"",
        "pc1[num_terms]=-1"
    ],
    {Statements, Problems} = conf(lists:join($\n, Bad)),
    ?assertEqual([], Statements),
    ?assertEqual(lists:seq(1, length(Bad)), [Line || {<<"lab.conf">>, Line, _} <- Problems]).

dep_test() ->
    ?assertEqual(
        {
            [{2, <<"pc1">>, [<<"pc2">>, <<"pc3">>]}, {3, <<"pc3">>, [<<"pc2">>]}],
            [
                {<<"lab.dep">>, 4, <<"after which devices?">>},
                {<<"lab.dep">>, 5, <<"not of the form DEVICE: DEVICE...">>},
                {<<"lab.dep">>, 6, <<"'p$' is no name of a device">>}
            ]
        },
        evum_kathara_conf:dep(<<"lab.dep">>, <<"# who\npc1: pc2\t pc3 # c\n pc3:pc2\r\npc4:\npc5 pc6\npc1: p$">>)
    ).

%%% Descriptions

folder(Conf) ->
    folder(Conf, #{}).

folder(Conf, More) ->
    maps:merge(
        #{path => <<"/lab">>, conf => iolist_to_binary(Conf), scripts => #{}, files => #{}, shared => false}, More
    ).

lab(Folder) ->
    {ok, Lab, _} = evum_kathara:describe(Folder, evum_kathara:images()),
    Lab.

machine(Name, Folder) ->
    #{machines := #{Name := Machine}} = lab(Folder),
    Machine.

problems(Folder) ->
    {error, Problems} = evum_kathara:describe(Folder, evum_kathara:images()),
    Problems.

links_test() ->
    %% An interface may have no number in between
    Lab = lab(folder("r1[0]=A\nr1[2]=B\npc1[0]=A/02:00:00:00:00:01\n")),
    ?assertMatch(
        #{
            switches := #{<<"A">> := _, <<"B">> := _},
            links := [
                {{<<"pc1">>, <<"eth0">>}, <<"A">>},
                {{<<"r1">>, <<"eth0">>}, <<"A">>},
                {{<<"r1">>, <<"eth2">>}, <<"B">>}
            ],
            machines := #{<<"pc1">> := #{interfaces := #{<<"eth0">> := #{mac := <<"02:00:00:00:00:01">>}}}}
        },
        Lab
    ),
    ?assertNot(is_map_key(<<"uplink">>, maps:get(switches, Lab))).

%% Switches and machines have their names in common
domain_names_test() ->
    #{links := Links} = lab(folder("r1[0]=r1\nr1[1]=_x\nr1[2]=\"domain-r1\"\nr1[3]=uplink")),
    Names = [Switch || {_, Switch} <- Links],
    ?assertEqual(4, length(lists:usort(Names))),
    ?assertEqual([], [N || N <- Names, re:run(N, "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$") =:= nomatch]),
    ?assertNot(lists:member(<<"r1">>, Names)),
    ?assertNot(lists:member(<<"uplink">>, Names)).

machine_test() ->
    Conf =
        "r1[0]=A\nr1[image]=\"kathara/quagga:latest\"\nr1[mem]=256m\nr1[cpus]=1.5\nr1[shell]=/bin/sh\nr1[env]=A=b\n"
        "r1[exec]=\"echo a\"\nr1[exec]=\"echo b\"\nr1[sysctl]=net.ipv4.ip_forward=0\nr1[ulimit]=nofile=5:9\nr1[volume]=\"d|/srv|rw\"\n",
    Scripts = #{
        {startup, shared} => <<"a">>,
        {startup, <<"r1">>} => <<"b">>,
        {shutdown, <<"r1">>} => <<"c">>,
        {shutdown, shared} => <<"d">>
    },
    Files = #{<<"r1">> => #{<<"/etc/x">> => {file, <<"/lab/r1/etc/x">>}}},
    Machine = machine(<<"r1">>, folder(Conf, #{scripts => Scripts, files => Files, shared => true})),
    ?assertMatch(
        #{
            image := debian,
            mem := 256,
            cpus := 2,
            init := [<<"/bin/sh">>],
            env := #{<<"A">> := <<"b">>},
            share := [{<<"/lab/shared">>, <<"/shared">>, rw}, {<<"/lab/d">>, <<"/srv">>, rw}],
            sysctl := #{<<"net.ipv4.ip_forward">> := <<"0">>, <<"net.ipv6.conf.eth0.accept_ra">> := <<"2">>},
            files := #{
                <<"/etc/x">> := {file, <<"/lab/r1/etc/x">>},
                <<"/hostlab/shared.startup">> := <<"a">>,
                <<"/hostlab/r1.startup">> := <<"b">>,
                <<"/hostlab/r1.shutdown">> := <<"c">>,
                <<"/hostlab/shared.shutdown">> := <<"d">>
            },
            startup := [<<"for p in", _/binary>>, _],
            shutdown := [_]
        },
        Machine
    ),
    #{startup := [_, Startup], shutdown := [Shutdown], files := #{<<"/hostlab/r1.exec">> := Exec}} = Machine,
    ?assertEqual([<<"shared.startup">>, <<"r1.startup">>, <<"r1.exec">>], scripts_of(Startup)),
    ?assertEqual([<<"r1.shutdown">>, <<"shared.shutdown">>], scripts_of(Shutdown)),
    ?assertEqual(<<"echo a\necho b\n">>, Exec).

scripts_of(Command) ->
    {match, Scripts} = re:run(Command, "^bash -x /hostlab/(\\S+) ", [global, multiline, {capture, [1], binary}]),
    lists:append(Scripts).

%% One that fails does not keep the next from running, and is the command's status.
run_all_test() ->
    Scripts = #{{startup, shared} => <<"exit 3">>, {startup, <<"a">>} => <<"true">>},
    #{startup := [Command]} = machine(<<"a">>, folder("a[0]=A", #{scripts => Scripts})),
    in_folder([{"hostlab/shared.startup", "echo one; exit 3\n"}, {"hostlab/a.startup", "echo two\n"}], fun(Folder) ->
        ok = filelib:ensure_dir(Folder ++ "/log/x"),
        Moved = lists:foldl(
            fun({From, To}, Text) -> string:replace(Text, From, Folder ++ To, all) end,
            Command,
            [{"/hostlab", "/hostlab"}, {"/var/log", "/log"}, {"/shared\n", "/shared\n"}]
        ),
        ok = file:write_file(Folder ++ "/run", Moved),
        Said = os:cmd("sh " ++ Folder ++ "/run; echo $?; cat " ++ Folder ++ "/log/startup.log"),
        ?assertEqual(["+ echo one", "one", "+ exit 3", "3", "+ echo two", "two"], string:lexemes(Said, "\n"))
    end).

ipv6_test() ->
    Sysctl = fun(Value) -> maps:get(sysctl, machine(<<"a">>, folder(["a[0]=A\na[ipv6]=", Value]))) end,
    ?assertMatch(#{<<"net.ipv6.conf.all.disable_ipv6">> := <<"1">>}, Sysctl("false")),
    ?assertMatch(#{<<"net.ipv6.conf.all.forwarding">> := <<"1">>}, Sysctl("true")),
    ?assertNot(is_map_key(<<"net.ipv6.conf.all.disable_ipv6">>, Sysctl("true"))).

uplink_test() ->
    Conf = "b[0]=A\nb[port]=\"8080:80\"\nb[port]=\"53:53/udp\"\na[bridged]=true\nc[0]=A\nc[bridged]=false\n",
    Lab = lab(folder(Conf, #{files => #{<<"b">> => #{<<"/etc/resolv.conf">> => {file, <<"/x">>}}}})),
    ?assertMatch(
        #{
            switches := #{
                <<"uplink">> := #{
                    uplink := {nat, _},
                    forwards := [
                        {tcp, {"127.0.0.1", 8080}, {<<"192.168.214.102">>, 80}},
                        {udp, {"127.0.0.1", 53}, {<<"192.168.214.102">>, 53}}
                    ]
                }
            },
            machines := #{
                <<"a">> := #{
                    interfaces := #{<<"eth0">> := #{addresses := [<<"192.168.214.101/24">>]}},
                    resolver := [_]
                },
                <<"b">> := #{interfaces := #{<<"eth1">> := #{addresses := [_]}}}
            }
        },
        Lab
    ),
    #{links := Links, machines := #{<<"b">> := B, <<"c">> := C}} = Lab,
    ?assertEqual(2, length([x || {_, <<"uplink">>} <- Links])),
    ?assertNot(is_map_key(resolver, B)),
    ?assertNot(is_map_key(routes, B)),
    ?assertNot(is_map_key(routes, C)),
    %% with both there is a way out, too
    ?assertMatch(
        #{routes := [{default, _}], resolver := [_]}, machine(<<"b">>, folder([Conf, "b[bridged]=true\n"]))
    ).

%% What cannot be forwarded needs no interface.
sctp_test() ->
    {ok, Lab, Notes} = evum_kathara:describe(folder("a[0]=A\na[port]=7:7/sctp\n"), evum_kathara:images()),
    ?assertEqual([<<"A">>], maps:keys(maps:get(switches, Lab))),
    ?assertMatch([{<<"/lab/lab.conf">>, 2, <<"a port of 'a' is not forwarded", _/binary>>}], Notes).

%% Netkit's: an interface to the host, where its number says
tap_test() ->
    Folder = folder("vm[0]=tap,10.0.0.1,10.0.0.2\nvm[1]=A\nvm[port]=8080:80\n"),
    {ok, Lab, Notes} = evum_kathara:describe(Folder, evum_kathara:images()),
    ?assertMatch(
        #{
            links := [{{<<"vm">>, <<"eth1">>}, <<"A">>}, {{<<"vm">>, <<"eth0">>}, <<"uplink">>}],
            machines := #{
                <<"vm">> := #{
                    interfaces := #{<<"eth0">> := #{addresses := [<<"192.168.214.101/24">>]}, <<"eth1">> := _},
                    routes := [{default, _}]
                }
            },
            switches := #{<<"uplink">> := #{uplink := {nat, _}, forwards := [_]}}
        },
        Lab
    ),
    ?assertMatch({ok, _}, evum_lab_spec:parse(Lab)),
    ?assertEqual(
        [
            {<<"/lab/lab.conf">>, 1, <<"eth0 of 'vm' leads to the uplink, with an address of 192.168.214.0/24 instead of 10.0.0.2">>}
        ],
        Notes
    ),
    ?assertMatch([{_, {line, 2, _}}], problems(folder("vm[0]=tap,10.0.0.1,10.0.0.2\nvm[0]=A\n"))),
    ?assertMatch([{_, {line, 2, _}}], problems(folder("vm[0]=tap,10.0.0.1,10.0.0.2\nvm[1]=tap,10.0.0.1,10.0.0.3\n"))).

names_test() ->
    Files = #{<<"doc">> => #{}, <<"pc1">> => #{}},
    Scripts = #{{startup, <<"pc2">>} => <<>>, {startup, shared} => <<>>},
    Names = fun(Conf) -> maps:keys(maps:get(machines, lab(folder(Conf, #{files => Files, scripts => Scripts})))) end,
    %% Netkit's: what has a folder or a script
    ?assertEqual([<<"doc">>, <<"pc1">>, <<"pc2">>], Names("")),
    ?assertEqual([<<"pc1">>, <<"pc2">>, <<"pc3">>], Names("pc1[0]=A\npc3[0]=A")),
    ?assertEqual([<<"pc1">>], Names("pc1[0]=A\nmachines=\"pc1\"")).

%% Whom `machines' does not name is not there, whatever is said of it.
machines_test() ->
    Conf = "machines=\"pc1 pc2\"\npc1[0]=A\npc3[0]=A\npc3[1]=B\npc3[1]=B\npc3[image]=nowhere\npc2[0]=A\n",
    Folder = folder(Conf, #{dep => <<"pc1: pc2 pc3\npc3: pc1\n">>}),
    {ok, #{links := Links} = Lab, Notes} = evum_kathara:describe(Folder, evum_kathara:images()),
    ?assertEqual([{{<<"pc1">>, <<"eth0">>}, <<"A">>}, {{<<"pc2">>, <<"eth0">>}, <<"A">>}], Links),
    ?assertEqual([<<"A">>], maps:keys(maps:get(switches, Lab))),
    ?assertEqual([<<"pc2">>], maps:get(depends, machine(<<"pc1">>, Folder))),
    ?assertMatch({ok, _}, evum_lab_spec:parse(Lab)),
    ?assertEqual([{<<"/lab/lab.conf">>, 0, <<"'machines' leaves out 'pc3'">>}], Notes).

%% One of a script, as of lab.conf, has to be a host's name.
host_names_test() ->
    ?assertMatch(
        [{{file, <<"/lab/pc_">>}, <<"no name of a device here", _/binary>>}],
        problems(folder("", #{scripts => #{{startup, <<"pc_">>} => <<>>}}))
    ),
    ?assertMatch([{{file, <<"/lab/lab.conf">>}, {line, 1, <<"'pc_' is no name of a device here", _/binary>>}}], problems(folder("pc_[0]=A"))).

describe_errors_test() ->
    Conf = "r1[0]=A\nr1[0]=B\nr1[image]=\"kathara/p4\"\nx\nr2[image]=\"alpine\"\n",
    ?assertMatch(
        [
            {{file, <<"/lab/lab.conf">>}, {line, 4, _}},
            {{file, <<"/lab/lab.conf">>}, {line, 2, <<"interface 0 of 'r1' for the second time">>}},
            {{file, <<"/lab/lab.dep">>}, {line, 1, <<"there is no device 'r9'">>}},
            {{file, <<"/lab/lab.conf">>}, {line, 3, <<"there is no counterpart to the image 'kathara/p4'">>}},
            {{file, <<"/lab/lab.conf">>}, {line, 5, <<"there is no counterpart to the image 'alpine'">>}}
        ],
        problems(folder(Conf, #{dep => <<"r1: r9\n">>}))
    ),
    ?assertMatch([{{file, <<"/lab/lab.conf">>}, _}], problems(folder("# nothing\n"))).

depends_test() ->
    Folder = folder("a[0]=A\nb[0]=A\nc[0]=A", #{dep => <<"a: b c\nb: c\n">>}),
    ?assertEqual([<<"b">>, <<"c">>], maps:get(depends, machine(<<"a">>, Folder))),
    ?assertNot(is_map_key(depends, machine(<<"c">>, Folder))).

own_images_test() ->
    application:set_env(evum, kathara_images, #{"kathara/p4" => mine}),
    try
        ?assertMatch(#{image := mine}, machine(<<"a">>, folder("a[image]=kathara/p4")))
    after
        application:unset_env(evum, kathara_images)
    end.

notes_test() ->
    {ok, _, Notes} = evum_kathara:describe(
        folder("a[0]=A\na[entrypoint]=x\na[privileged]=true\na[port]=80", #{files => #{<<"doc">> => #{}}, ext => true}),
        evum_kathara:images()
    ),
    ?assertMatch([{<<"/lab/doc">>, 0, _}, {<<"/lab/lab.ext">>, 0, _}, {_, 2, _}, {_, 3, _}, {_, 4, _}], Notes).

%% Each machine has a /shared, and where the lab has none one of its own.
shared_test() ->
    ?assertMatch(#{startup := [<<"mkdir -p /shared">>]}, machine(<<"a">>, folder("a[0]=A"))),
    #{startup := [Run]} = Machine = machine(<<"a">>, folder("a[0]=A", #{scripts => #{{startup, <<"a">>} => <<"true">>}})),
    ?assertMatch({match, _}, re:run(Run, "^mkdir .*/shared$", [multiline])),
    ?assertNot(is_map_key(share, Machine)).

%% What comes out is a description without a fault.
spec_test() ->
    Conf = "r1[0]=A\nr1[1]=B/02:00:00:00:00:01\nr1[bridged]=true\nr1[port]=80\nr1[env]=A=b\nr1[ulimit]=nofile=9\npc1[0]=A\n",
    {ok, #{machines := #{<<"r1">> := #{interfaces := Interfaces}}}} =
        evum_lab_spec:parse(lab(folder(Conf, #{dep => <<"pc1: r1">>, scripts => #{{startup, shared} => <<"a">>}}))),
    ?assertEqual([<<"eth0">>, <<"eth1">>, <<"eth2">>], lists:sort(maps:keys(Interfaces))).

%%% Folders

in_folder(Files, Fun) ->
    Folder = filename:join("/tmp", "evum-kathara-" ++ os:getpid() ++ "-" ++ integer_to_list(erlang:unique_integer([positive]))),
    try
        [
            begin
                Path = filename:join(Folder, Name),
                ok = filelib:ensure_dir(Path),
                case Content of
                    {link, Target} -> ok = file:make_symlink(Target, Path);
                    _ -> ok = file:write_file(Path, Content)
                end
            end
         || {Name, Content} <- Files
        ],
        Fun(Folder)
    after
        file:del_dir_r(Folder)
    end.

folder_test() ->
    Files = [
        {"lab.conf", "pc1[0]=A\r\n"},
        {"lab.dep", "pc1: pc2\n"},
        {"pc1.startup", "echo a\r\necho b\r\n"},
        {"pc2.shutdown", "echo c\n"},
        {"shared.startup", "echo d\n"},
        {"pc1/etc/frr/daemons", "zebra=yes\r\n"},
        {"pc1/usr/bin/tool", "#!/bin/sh\r\n"},
        {"pc1/data", <<0, "\r\n">>},
        {"pc1/same", {link, "etc/frr"}},
        {"pc1/.DS_Store", "x"},
        {"shared/x", "y"},
        {"_test/x", "y"},
        {"README.md", "# lab"},
        {"lab.ext", "A eth0\n"}
    ],
    in_folder(Files, fun(Folder) ->
        ?assertMatch({ok, #{ext := true}}, evum_kathara_folder:read(Folder)),
        ok = file:change_mode(Folder ++ "/pc1/usr/bin/tool", 8#755),
        {ok, #{machines := #{<<"pc1">> := Pc1, <<"pc2">> := Pc2} = Machines}} = evum_kathara:read(Folder),
        ?assertEqual(2, map_size(Machines)),
        Path = list_to_binary(Folder),
        ?assertEqual(
            #{
                <<"/etc/frr/daemons">> => <<"zebra=yes\n">>,
                <<"/same/daemons">> => <<"zebra=yes\n">>,
                <<"/usr/bin/tool">> => {file, <<Path/binary, "/pc1/usr/bin/tool">>},
                <<"/data">> => {file, <<Path/binary, "/pc1/data">>},
                <<"/hostlab/pc1.startup">> => <<"echo a\necho b\n">>,
                <<"/hostlab/shared.startup">> => <<"echo d\n">>
            },
            maps:get(files, Pc1)
        ),
        ?assertMatch(#{depends := [<<"pc2">>], share := [{_, <<"/shared">>, rw}]}, Pc1),
        ?assertMatch(#{shutdown := [_], startup := [_]}, Pc2)
    end).

bad_folder_test() ->
    Files = [
        {"lab.conf/x", ""},
        {"pc1/passwd", {link, "/etc/passwd"}},
        {"pc1/up", {link, "../.."}},
        {"pc1/loop", {link, "."}},
        {"pc1/gone", {link, "nowhere"}}
    ],
    in_folder(Files, fun(Folder) ->
        {error, Problems} = evum_kathara:read(Folder),
        Base = fun(Path) -> filename:basename(Path) end,
        ?assertMatch(
            [<<"gone">>, <<"lab.conf">>, <<"loop">>, <<"passwd">>, <<"up">>],
            lists:usort([Base(Path) || {{file, Path}, _} <- Problems])
        ),
        ?assertEqual(
            [<<"passwd">>, <<"up">>],
            %% each once: a loop ends where it begins
            lists:sort([Base(Path) || {{file, Path}, <<"a link that leads out of the lab">>} <- Problems])
        )
    end),
    ?assertMatch({error, [{{file, <<"/no/such">>}, {unreadable, enoent}}]}, evum_kathara:read("/no/such")).

%%% Any bytes

never_crashes_test_() ->
    {timeout, 60, fun() ->
        Piece = oneof([
            binary(),
            oneof([
                <<"pc1[">>, <<"]=">>, <<"\"">>, <<"'">>, <<"\n">>, <<"0">>, <<"A">>, <<"/">>, <<":">>, <<"#">>, <<" ">>,
                <<"mem">>, <<"port">>, <<"sysctl">>, <<"ulimit">>, <<"env">>, <<"cpus">>, <<"image">>, <<"volume">>,
                <<"LAB_NAME=">>, <<"machines=">>, <<"|">>, <<".">>, <<"=">>, <<"-1">>, <<"\r\n">>, <<"99999999999999999999">>
            ])
        ]),
        ?assert(
            proper:quickcheck(
                ?FORALL({Conf, Dep}, {list(Piece), list(Piece)}, begin
                    Folder = folder(Conf, #{dep => iolist_to_binary(Dep)}),
                    case evum_kathara:describe(Folder, evum_kathara:images()) of
                        {ok, Lab, Notes} -> is_map(Lab) andalso is_list(Notes);
                        {error, [_ | _]} -> true
                    end
                end),
                [{numtests, 2000}, {to_file, user}]
            )
        )
    end}.
