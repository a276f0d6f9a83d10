%% SPDX-License-Identifier: Apache-2.0
%% What evum's own kernel has and Debian's has not, and where machines run.
-module(evum_fast_kernel_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

suite() -> [{timetrap, {minutes, 3}}].

all() -> [{group, fast}].

groups() ->
    [
        {fast, [], [
            info,
            isolation,
            cpu,
            cpus,
            delay_calibration,
            ipv6_by_hand,
            ipv6_by_router_advertisement,
            covers_what_labs_need,
            little_memory
        ]}
    ].

init_per_group(Group, Config) ->
    {ok, _} = application:ensure_all_started(evum),
    evum_test:init_group(Group, Config).

end_per_group(_Group, _Config) ->
    application:stop(evum).

end_per_testcase(_Case, _Config) ->
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_test:drain().

info(Config) ->
    Path = ?config(kernel, Config),
    {ok, Info} = evum_kernel:info(Path),
    ?assertMatch(#{path := Path, flavour := time_travel, origin := option, modules := none}, Info),
    ?assertMatch(#{source := <<"linux-source-", _/binary>>}, Info),
    ?assert(evum_kernel:has_seccomp_mode(Info)),
    ?assert(evum_kernel:has("VIRTIO_UML", Info)),
    ?assertNot(evum_kernel:has("UML_NET_DAEMON", Info)),
    {ok, R} = evum:start(#{kernel => Path, switch => none}),
    [Release] = evum_test:sh(R, "uname -r"),
    ?assertMatch(#{version := Release}, Info).

%% Who traces the guest's programs: its kernel, or nobody.
isolation(Config) ->
    [
        begin
            R = evum_test:boot(Config, #{switch => none, isolation => Isolation}),
            #{os_pid := Kernel} = evum:info(R),
            Tracers = [
                binary_to_integer(Tracer)
             || Pid <- evum_test:children(Kernel),
                Tracer <- status(Pid, "TracerPid:\\s*([0-9]+)")
            ],
            ?assertNotEqual([], Tracers),
            ?assertEqual(Traced, lists:any(fun(T) -> T =/= 0 end, Tracers)),
            ok = evum:stop(R)
        end
     || {Isolation, Traced} <- [{fast, false}, {strict, true}]
    ].

cpu(Config) ->
    [First | _] = Allowed = evum_cpus:allowed(),
    %% as many machines as CPUs: each its own
    Machines = [evum_test:boot(Config, #{switch => none}) || _ <- Allowed],
    ?assertEqual([[C] || C <- Allowed], lists:sort([cpus_of(R) || R <- Machines])),
    %% a place that has become free is taken again
    [Gone | _] = Machines,
    Free = cpus_of(Gone),
    ok = evum:stop(Gone),
    ?assertEqual(Free, cpus_of(evum_test:start(Config, #{switch => none}))),
    ?assertEqual(Allowed, cpus_of(evum_test:start(Config, #{switch => none, cpu => any}))),
    ?assertEqual([First], cpus_of(evum_test:start(Config, #{switch => none, cpu => First}))),
    ?assertEqual(Allowed, cpus_of(evum_test:start(Config, #{switch => none, cpu => Allowed}))),
    %% those that were told theirs count: what is left is taken
    [_ = evum_test:start(Config, #{switch => none, cpu => First}) || _ <- lists:seq(1, 3)],
    length(Allowed) > 1 andalso
        ?assertNotEqual([First], cpus_of(evum_test:start(Config, #{switch => none}))),
    [
        ?assertEqual({error, {bad_option, cpu, Bad}}, evum:start(#{cpu => Bad}))
     || Bad <- [9999, -1, [First, 9999], some, []]
    ].

%% All processes of the guest, programs in it included.
cpus_of(R) ->
    #{os_pid := OsPid} = evum:info(R),
    [List] = lists:usort([
        List
     || Pid <- [OsPid | evum_test:children(OsPid)],
        List <- status(Pid, "Cpus_allowed_list:\\s*(\\S+)")
    ]),
    evum_cpus:parse(List).

%% A field of a process of the host; none where it has just ended.
status(OsPid, Regex) ->
    case file:read_file("/proc/" ++ integer_to_list(OsPid) ++ "/status") of
        {ok, Status} ->
            {match, Fields} = re:run(Status, Regex, [{capture, [1], binary}]),
            Fields;
        {error, _} ->
            []
    end.

cpus(Config) ->
    ?assertEqual(
        {error, {bad_option, cpus, 2}}, evum:start(#{kernel => ?config(kernel, Config), cpus => 2})
    ),
    case evum_kernel:find(smp) of
        {ok, #{flavour := smp}} ->
            {ok, R} = evum:start(#{cpus => 2, switch => none}),
            ?assertEqual([<<"2">>], evum_test:sh(R, "nproc"));
        {error, _} ->
            {skip, "no kernel with SMP: make kernel-smp"}
    end.

%% The second boot of a kernel does not find out again what the first one has.
delay_calibration(Config) ->
    R1 = evum_test:boot(Config, #{switch => none}),
    ok = evum:stop(R1),
    R2 = evum_test:start(Config, #{switch => none}),
    [Line] = evum_test:sh(R2, "cat /proc/cmdline"),
    ?assertMatch({match, _}, re:run(Line, "lpj=[1-9]")),
    ?assertEqual([], evum_test:sh(R2, "dmesg | grep 'Calibrating delay loop\\.\\.\\. [0-9]'")),
    %% a guest cannot make one up
    {ok, Kernel} = evum_kernel:info(?config(kernel, Config)),
    Lpj = evum_lpj:recall(Kernel),
    _ = evum_test:sh(R2, "echo 'Calibrating delay loop... 1 BogoMIPS (lpj=7)'"),
    ?assertEqual(Lpj, evum_lpj:recall(Kernel)).

ipv6_by_hand(Config) ->
    [R1, R2] = [evum_test:boot(Config, #{}) || _ <- [1, 2]],
    ok = evum:ifconfig(R1, {"fd00:e::1", 64, "fd00:e::ff"}),
    ok = evum:ifconfig(R2, {"fd00:e::2", 64}),
    _ = evum_test:sh(R2, "true"),
    %% neighbour discovery, through a switch that has not heard of either
    ?assertMatch(
        [_ | _],
        evum_test:await(fun() ->
            case evum_test:sh(R1, "ping -w 5 -c 1 fd00:e::2 | grep 'bytes from'") of
                [] -> false;
                Lines -> Lines
            end
        end)
    ),
    ?assertMatch([_ | _], evum_test:sh(R1, "route -n -A inet6 | grep fd00:e::ff")),
    evum_test:drain(),
    ?assertMatch(<<_/binary>>, evum:ping(R2, {16#fd00, 16#e, 0, 0, 0, 0, 0, 1})),
    evum_test:await_line("bytes from fd00:e::1"),
    [
        ?assertEqual({error, {bad_address, Bad}}, evum:ifconfig(R1, Given))
     || {Bad, Given} <- [
            {"fd00::g", {"fd00::g", 64}},
            {129, {"fd00::1", 129}},
            {"10.0.0.1", {"fd00::1", 64, "10.0.0.1"}},
            {"fd00::1", {"fd00::1", "255.0.0.0"}}
        ]
    ].

%% A router that speaks RFC 4861 to all nodes: here a peer of the switch.
ipv6_by_router_advertisement(Config) ->
    {ok, Switch} = evum_switch:start(),
    R = evum_test:boot(Config, #{switch => Switch, mac => "02:00:00:00:00:42"}),
    _ = evum_test:sh(R, "ifconfig eth0 up"),
    {ok, Ctl} = evum_ctl:serving(Switch),
    {ok, Peer} = socket:open(local, seqpacket, default),
    ok = socket:connect(Peer, #{family => local, path => evum_ctl:socket(Ctl) ++ ".bess"}),
    Advertisement = router_advertisement(),
    %% the interface takes its time to be ready to hear it
    evum_test:await(fun() ->
        ok = socket:send(Peer, Advertisement),
        evum_test:sh(R, "ifconfig eth0 | grep -i fd00:a::ff:fe00:42") =/= []
    end),
    ok = socket:close(Peer),
    ok = evum_switch:stop(Switch).

%% RFC 4861, 4.2 and 4.6.2: an on-link prefix, fd00:a::/64, for
%% autoconfiguration, from fe80::1 to ff02::1.
router_advertisement() ->
    Source = <<16#fe80:16, 0:104, 1>>,
    AllNodes = <<16#ff02:16, 0:104, 1>>,
    Prefix = <<3, 4, 64, 16#c0, 3600:32, 3600:32, 0:32, 16#fd00:16, 16#a:16, 0:96>>,
    Body = fun(Sum) -> <<134, 0, Sum:16, 64, 0, 1800:16, 0:32, 0:32, Prefix/binary>> end,
    Length = byte_size(Body(0)),
    Sum = checksum(<<Source/binary, AllNodes/binary, Length:32, 0:24, 58, (Body(0))/binary>>, 0),
    <<16#33, 16#33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 16#86dd:16, 6:4, 0:28, Length:16, 58, 255,
        Source/binary, AllNodes/binary, (Body(Sum))/binary>>.

%% RFC 1071.
checksum(<<Word:16, Rest/binary>>, Sum) -> checksum(Rest, Sum + Word);
checksum(<<>>, Sum) when Sum > 16#ffff -> checksum(<<>>, (Sum band 16#ffff) + (Sum bsr 16));
checksum(<<>>, Sum) -> 16#ffff - Sum.

%% A device or rule of each kind can be made.
covers_what_labs_need(Config) ->
    R = evum_test:boot(Config, #{switch => none, mem => 128}),
    Missing = evum_test:sh(R, [
        "for o in ",
        lists:join(" ", [
            "BRIDGE_VLAN_FILTERING", "VLAN_8021Q", "VXLAN", "BONDING", "NET_VRF", "MACVLAN", "VETH",
            "TUN", "DUMMY", "NET_IPGRE", "NET_IPIP", "IPV6_SIT", "MPLS_ROUTING",
            "IP_MULTIPLE_TABLES", "IP_MROUTE", "IP_ROUTE_MULTIPATH", "NF_TABLES", "IP_NF_IPTABLES",
            "NF_CONNTRACK", "NF_NAT", "IP_SET", "NET_SCH_NETEM", "NET_SCH_TBF", "NET_SCH_HTB",
            "NET_SCH_FQ_CODEL", "OPENVSWITCH", "WIREGUARD", "IP_SCTP", "PACKET", "BPF_SYSCALL",
            "USER_NS", "CGROUPS", "OVERLAY_FS", "SQUASHFS_ZSTD", "EXT4_FS", "FUSE_FS", "VIRTIO_FS",
            "NET_9P", "VIRTIO_NET", "VIRTIO_BLK", "VIRTIO_CONSOLE", "VSOCKETS", "HOSTFS",
            "BLK_DEV_UBD", "MCONSOLE", "MAGIC_SYSRQ"
        ]),
        "; do zcat /proc/config.gz | grep -q ^CONFIG_$o=y || echo $o; done"
    ]),
    ?assertEqual([], Missing).

little_memory(Config) ->
    R = evum_test:start(Config, #{switch => none, mem => 32}),
    ?assertEqual([<<"fine">>], evum_test:sh(R, "echo fine")).
