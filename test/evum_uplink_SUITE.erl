%% SPDX-License-Identifier: Apache-2.0
%% The way out, for real guests. All cases run in a network namespace that has
%% nothing but a loopback (evum_apart), so that nothing leaves this machine.
-module(evum_uplink_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

-import(evum_uplink_rig, [lease/1, families/1, host_addresses/1, address/1]).

-define(LIMIT, 20000).
%% TCP's payload of a frame of 1514 bytes: so many of them for the file of evum_netns.
-define(SEGMENTS, 4194304 div 1448).

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [
        guest_reaches_the_host,
        host_reaches_the_guest,
        host_reaches_the_guest_by_ipv6,
        thousand_connections,
        sockets_are_limited,
        files_arrive_whole,
        dhcp_without_uplink,
        passt_instead,
        leases_by_name,
        dhcp_is_starved,
        dhcp_in_others_names,
        gateway_is_spoofed,
        bad_input
    ].

init_per_suite(Config) ->
    case evum_apart:possible() of
        true ->
            Before = evum_test:leftovers(),
            [{peer, evum_apart:start()}, {before, Before} | Config];
        Skip ->
            Skip
    end.

end_per_suite(Config) ->
    ok = evum_apart:stop(?config(peer, Config)),
    evum_test:no_leftovers(?config(before, Config)).

init_per_testcase(passt_instead, Config) ->
    case os:find_executable("passt") of
        false -> {skip, "passt is not installed"};
        _ -> Config
    end;
init_per_testcase(_Case, Config) ->
    Config.

end_per_testcase(_Case, Config) ->
    _ = peer:call(?config(peer, Config), application, stop, [evum]),
    ok.

%% What each case does, it does there.
guest_reaches_the_host(Config) -> there(guest_to_host, Config).
host_reaches_the_guest(Config) -> there(host_to_guest, Config).
host_reaches_the_guest_by_ipv6(Config) -> there(host_to_guest6, Config).
thousand_connections(Config) -> there(thousand, Config).
sockets_are_limited(Config) -> there(limited, Config).
files_arrive_whole(Config) -> there(files, Config).
dhcp_without_uplink(Config) -> there(dhcp_alone, Config).
passt_instead(Config) -> there(passt, Config).
leases_by_name(Config) -> there(by_name, Config).
dhcp_is_starved(Config) -> there(starved, Config).
dhcp_in_others_names(Config) -> there(in_others_names, Config).
gateway_is_spoofed(Config) -> there(spoofed, Config).
bad_input(Config) -> there(bad_uplinks, Config).

there(Function, Config) ->
    evum_apart:call(?config(peer, Config), ?MODULE, Function).

%% DHCP, a name, and a page of a server on the host's loopback, by IPv4 and
%% IPv6: on the switch that starts by itself.
guest_to_host() ->
    Port = page_server({127, 0, 0, 1}),
    Port6 = page_server({0, 0, 0, 0, 0, 0, 0, 1}),
    Names = name_server(),
    R = evum_test:boot([], #{}),
    {ok, Ctl} = evum_ctl:default(),
    [nat] = [Kind || #{kind := Kind} <- evum_switch:ports(switch_of(Ctl)), Kind =:= nat],
    ?assertEqual(<<"192.168.213.15">>, lease(R)),
    ?assertEqual([<<"a page">>], fetch(R, "192.168.213.1", Port)),
    ?assertEqual([<<"a page">>], fetch(R, "www.evum.test", Port)),
    ?assertMatch([_ | _], evum_test:sh(R, "ping -c 1 -w 20 192.168.213.1 | grep 'bytes from'")),
    ok = gen_udp:close(Names),
    case evum_test:sh(R, "ls /proc/net/if_inet6") of
        [<<"/proc/net/if_inet6">>] ->
            %% by router advertisement
            _ = evum_test:await(fun() ->
                evum_test:sh(R, "ip -6 addr show dev eth0 | grep 'fd00:.*global'") =/= []
            end),
            ?assertEqual([<<"a page">>], fetch(R, "fd00::2", Port6)),
            %% The router, once it has to be looked for
            [] = evum_test:sh(R, "ip -6 neigh flush dev eth0"),
            ?assertMatch([_ | _], evum_test:sh(R, "ping -c 1 -w 20 fe80::2%eth0 | grep 'bytes from'"));
        _ ->
            ok
    end.

host_to_guest() ->
    {ok, Switch} = evum_switch:start(),
    {ok, _} = evum_switch:uplink(Switch, nat, #{subnet => "10.7.0.0/24"}),
    R = evum_test:boot([], #{switch => Switch}),
    ?assertEqual(<<"10.7.0.15">>, lease(R)),
    [] = evum_test:sh(R, "(socat tcp-l:7777,reuseaddr,fork exec:cat &)"),
    [] = evum_test:sh(R, "(socat udp-l:7778,fork exec:cat &)"),
    Host = {"127.0.0.1", 17777},
    ok = evum_switch:forward(Switch, tcp, Host, {"10.7.0.15", 7777}),
    ok = evum_switch:forward(Switch, udp, Host, {{10, 7, 0, 15}, 7778}),
    ?assertEqual(
        [
            {tcp, {{127, 0, 0, 1}, 17777}, {{10, 7, 0, 15}, 7777}},
            {udp, {{127, 0, 0, 1}, 17777}, {{10, 7, 0, 15}, 7778}}
        ],
        evum_switch:forwards(Switch)
    ),
    evum_test:await(fun() -> echoes_tcp({127, 0, 0, 1}, 17777) end),
    evum_test:await(fun() -> echoes_udp({127, 0, 0, 1}, 17777) end),
    ok = evum_switch:unforward(Switch, tcp, Host),
    ?assertEqual({error, econnrefused}, gen_tcp:connect({127, 0, 0, 1}, 17777, [])),
    ?assertMatch([{udp, _, _}], evum_switch:forwards(Switch)),
    ?assertEqual(
        {error, {forward, {tcp, Host}, enoent}}, evum_switch:unforward(Switch, tcp, Host)
    ).

echoes_tcp(Host, Port) ->
    {ok, Socket} = gen_tcp:connect(Host, Port, [binary, {active, false}]),
    _ = gen_tcp:send(Socket, <<"hello">>),
    Answer = gen_tcp:recv(Socket, 5, 2000),
    ok = gen_tcp:close(Socket),
    Answer =:= {ok, <<"hello">>}.

echoes_udp(Host, Port) ->
    {ok, Socket} = gen_udp:open(0, [family(Host), binary, {active, false}]),
    ok = gen_udp:send(Socket, Host, Port, <<"hello">>),
    Answer = gen_udp:recv(Socket, 0, 2000),
    ok = gen_udp:close(Socket),
    case Answer of
        {ok, {_, _, <<"hello">>}} -> true;
        {error, timeout} -> false
    end.

family(Address) when tuple_size(Address) =:= 4 -> inet;
family(Address) when tuple_size(Address) =:= 8 -> inet6.

host_to_guest6() ->
    {ok, Switch} = evum_switch:start(),
    {ok, _} = evum_switch:uplink(Switch, nat, #{}),
    R = evum_test:boot([], #{switch => Switch}),
    case families(R) of
        [inet] ->
            ok;
        [inet, inet6] ->
            Loopback = {0, 0, 0, 0, 0, 0, 0, 1},
            Any = {0, 0, 0, 0, 0, 0, 0, 0},
            Guest = {16#fd00, 0, 0, 0, 0, 0, 0, 16#15},
            [] = evum_test:sh(R, "ip -6 addr add fd00::15/64 dev eth0 nodad"),
            [] = evum_test:sh(R, "(socat tcp6-l:7777,reuseaddr,fork exec:cat &)"),
            [] = evum_test:sh(R, "(socat udp6-l:7778,fork exec:cat &)"),
            Host = {"::", 17777},
            ok = evum_switch:forward(Switch, tcp, Host, {"fd00::15", 7777}),
            ok = evum_switch:forward(Switch, udp, Host, {Guest, 7778}),
            ?assertEqual(
                [{tcp, {Any, 17777}, {Guest, 7777}}, {udp, {Any, 17777}, {Guest, 7778}}],
                evum_switch:forwards(Switch)
            ),
            evum_test:await(fun() -> echoes_tcp(Loopback, 17777) end),
            evum_test:await(fun() -> echoes_udp(Loopback, 17777) end),
            %% and nothing of IPv4
            ?assertEqual({error, econnrefused}, gen_tcp:connect({127, 0, 0, 1}, 17777, [])),
            ok = evum_switch:unforward(Switch, tcp, Host),
            ?assertEqual({error, econnrefused}, gen_tcp:connect(Loopback, 17777, [inet6]))
    end.

%% All at once; none is lost, and none leaves a descriptor in evum_net.
thousand() ->
    {ok, Switch} = evum_switch:start(),
    {ok, _} = evum_switch:uplink(Switch, nat, #{}),
    R = evum_test:boot([], #{switch => Switch}),
    _ = lease(R),
    {ok, Listener} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}, {backlog, 1024}, {active, false}]),
    {ok, Port} = inet:port(Listener),
    Self = self(),
    Server = spawn_link(fun() -> Self ! {self(), serve(Listener, 1000)} end),
    Before = descriptors(Switch),
    ?assertEqual(
        [<<"opened 1000">>],
        evum_test:sh(R, [
            "( ulimit -n 2048; n=0; while [ $n -lt 1000 ] && exec {fd}<>/dev/tcp/192.168.213.1/",
            integer_to_list(Port),
            "; do n=$((n+1)); fds=\"$fds $fd\"; done;",
            " for fd in $fds; do read -r -n 1 -u $fd; exec {fd}<&-; done; echo opened $n )"
        ])
    ),
    receive
        {Server, Served} -> ?assertEqual(1000, Served)
    after ?LIMIT -> error(timeout)
    end,
    evum_test:await(fun() -> descriptors(Switch) =:= Before end).

%% Accept so many, have them all open, then see each end.
serve(Listener, N) ->
    Sockets = [
        begin
            {ok, Socket} = gen_tcp:accept(Listener, 120000),
            Socket
        end
     || _ <- lists:seq(1, N)
    ],
    [ok = gen_tcp:send(Socket, <<"x">>) || Socket <- Sockets],
    length([1 || Socket <- Sockets, ends(Socket)]).

%% A guest of 32 MB resets connections when it has too many half closed ones.
ends(Socket) ->
    Ended = gen_tcp:recv(Socket, 0, ?LIMIT),
    ok = gen_tcp:close(Socket),
    lists:member(Ended, [{error, closed}, {error, econnreset}]).

descriptors(Switch) ->
    Pid = integer_to_list(evum_switch_rig:evum_net_pid(Switch)),
    {ok, Fds} = file:list_dir(filename:join(["/proc", Pid, "fd"])),
    length(Fds).

%% A guest that opens all it can: what is too much is dropped and counted, what it
%% has goes on, and evum_net has descriptors left. A quarter of them is for each
%% kind of socket.
limited() ->
    {ok, Switch} = evum_switch:start(),
    Pid = integer_to_list(evum_switch_rig:evum_net_pid(Switch)),
    evum_netns:sh(["prlimit --pid ", Pid, " --nofile=400"]),
    {ok, Id} = evum_switch:uplink(Switch, nat, #{}),
    R = evum_test:boot([], #{switch => Switch}),
    _ = lease(R),
    Tcp = sink(),
    {ok, Sink} = gen_udp:open(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Udp} = inet:port(Sink),
    [] = evum_test:sh(R, [
        "( (n=0; while [ $n -lt 100 ] && exec {fd}<>/dev/tcp/192.168.213.1/", integer_to_list(Tcp),
        "; do n=$((n+1)); done; echo opened $n; exec sleep 1000) & echo $! >/run/hold )"
    ]),
    _ = evum_test:await_line("opened 100$"),
    ?assertEqual(0, too_many(Switch, Id)),
    ?assertEqual([<<"124">>], another(R, Tcp)),
    ?assert(too_many(Switch, Id) > 0),
    [] = evum_test:sh(R, "kill $(cat /run/hold)"),
    evum_test:await(fun() -> another(R, Tcp) =:= [<<"0">>] end),
    Before = too_many(Switch, Id),
    [] = evum_test:sh(R, [
        "for i in $(seq 150); do echo x >/dev/udp/192.168.213.1/", integer_to_list(Udp), "; done"
    ]),
    %% Some have a port of the guest's that another had before.
    evum_test:await(fun() -> too_many(Switch, Id) >= Before + 25 end),
    ?assertEqual([<<"0">>], another(R, Tcp)),
    ?assert(descriptors(Switch) < 300),
    ok = evum_switch:stop(Switch).

too_many(Switch, Id) ->
    [N] = [N || #{id := I, tx_sockets := N} <- evum_switch:ports(Switch), I =:= Id],
    N.

%% Does one more connection come about? The status.
another(R, Port) ->
    evum_test:sh(R, [
        "timeout 5 bash -c 'exec 3<>/dev/tcp/192.168.213.1/", integer_to_list(Port),
        "' 2>/dev/null; echo $?"
    ]).

%% A port whose connections are taken, and closed when their other end is.
sink() ->
    {ok, Listener} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}, {backlog, 256}]),
    {ok, Port} = inet:port(Listener),
    Server = spawn_link(fun() -> sink(Listener) end),
    ok = gen_tcp:controlling_process(Listener, Server),
    Port.

sink(Listener) ->
    case gen_tcp:accept(Listener, 10) of
        {ok, _} -> ok;
        {error, timeout} -> receive {tcp_closed, _} -> ok after 0 -> ok end
    end,
    sink(Listener).

%% A file each way, by IPv4 and IPv6, to an address of the host's. By IPv4 a guest
%% with a virtio card leaves the cutting into segments to nobody.
files() ->
    host_addresses(replace),
    {ok, Switch} = evum_switch:start(),
    {ok, Id} = evum_switch:uplink(Switch, nat, #{}),
    R = evum_test:boot([], #{switch => Switch}),
    Families = families(R),
    Sum = evum_netns:file(R),
    ?assertEqual(same, evum_netns:upload(R, address(inet), here)),
    Ports = evum_switch:ports(Switch),
    case [Kind || #{kind := Kind} <- Ports, Kind =/= nat] of
        [vhost] -> ?assert(sent_to(Id, Ports) < ?SEGMENTS div 2);
        _ -> ok
    end,
    ?assertEqual(Sum, evum_netns:download(R, address(inet), here)),
    [
        begin
            ?assertEqual(same, evum_netns:upload(R, address(inet6), here)),
            ?assertEqual(Sum, evum_netns:download(R, address(inet6), here))
        end
     || inet6 <- Families
    ],
    host_addresses(del).

sent_to(Id, Ports) ->
    [Frames] = [Frames || #{id := I, tx_frames := Frames} <- Ports, I =:= Id],
    Frames.

%% Nothing gets out, and TCP alone gets in.
dhcp_alone() ->
    {ok, Switch} = evum_switch:start(#{dhcp => true}),
    R = evum_test:boot([], #{switch => Switch}),
    ?assertEqual(<<"192.168.213.15">>, lease(R)),
    ?assertEqual({error, {uplink, nat, eexist}}, evum_switch:uplink(Switch, nat, #{subnet => "10.7.0.0/24"})),
    Port = page_server({127, 0, 0, 1}),
    ?assertNotEqual([<<"a page">>], fetch(R, "192.168.213.1", Port)),
    [] = evum_test:sh(R, "(socat tcp-l:7777,reuseaddr,fork exec:cat &)"),
    Host = {"127.0.0.1", 17777},
    Guest = {"192.168.213.15", 7777},
    ok = evum_switch:forward(Switch, tcp, Host, Guest),
    evum_test:await(fun() -> echoes_tcp({127, 0, 0, 1}, 17777) end),
    ?assertEqual(
        {error, {forward, {udp, Host}, eopnotsupp}}, evum_switch:forward(Switch, udp, Host, Guest)
    ).

%% A machine has its address again, whatever its MAC, and whoever comes first.
by_name() ->
    {ok, Switch} = evum_switch:start(),
    {ok, Nat} = evum_switch:uplink(Switch, nat, #{}),
    Start = fun(Name) -> evum_test:boot([], #{switch => Switch, name => Name}) end,
    Before = [{Name, Start(Name)} || Name <- [alpha, <<"beta">>]],
    ?assertEqual(
        [<<"192.168.213.15">>, <<"192.168.213.16">>], [lease(R) || {_, R} <- Before]
    ),
    ?assertMatch(
        [
            #{address := {192, 168, 213, 15}, machine := <<"alpha">>, interface := 0, left := _},
            #{address := {192, 168, 213, 16}, machine := <<"beta">>}
        ],
        evum_switch:leases(Switch)
    ),
    [ok = evum:stop(R) || {_, R} <- Before],
    ?assertEqual(
        [<<"192.168.213.16">>, <<"192.168.213.15">>], [lease(Start(Name)) || Name <- [beta, alpha]]
    ),
    %% what the name is, a machine without one is known by its MAC
    _ = lease(Start(none)),
    ?assertMatch([_, _, #{mac := <<2, _/binary>>}], evum_switch:leases(Switch)),
    ok = evum_switch:close_port(Switch, Nat),
    evum_test:await(fun() -> evum_switch:leases(Switch) =:= [] end),
    %% and a new one serves anew
    {ok, _} = evum_switch:uplink(Switch, nat, #{}),
    ?assertEqual(<<"192.168.213.15">>, lease(Start(gamma))).

%% One port takes all that it can get; a machine gets an address all the same.
starved() ->
    {ok, Switch} = evum_switch:start(),
    {ok, _} = evum_switch:uplink(Switch, nat, #{subnet => "10.7.0.0/26"}),
    Path = filename:join("/tmp", "evum-starved-" ++ os:getpid()),
    {ok, Listener, 0} = evum_switch:listen(Switch, stream, {unix, Path}),
    Peer = evum_peer:stream(Path),
    %% 48 addresses, of which a port may have 12
    [ok = evum_peer:send(Peer, discover(N)) || N <- lists:seq(1, 100)],
    Refused = fun() ->
        lists:sum([N || #{dhcp_refused := N} <- evum_switch:ports(Switch)])
    end,
    evum_test:await(fun() -> Refused() =:= 100 - 12 end),
    R = evum_test:boot([], #{switch => Switch}),
    ?assertEqual(<<"10.7.0.27">>, lease(R)),
    ok = evum_peer:close(Peer),
    ok = evum_switch:unlisten(Switch, Listener),
    _ = file:delete(Path).

%% One port asks for another's address, gives it back and declines it: it stays the
%% other's, whose port alone can do so. Once that has gone it may come elsewhere.
in_others_names() ->
    {ok, Switch} = evum_switch:start(),
    {ok, _} = evum_switch:uplink(Switch, nat, #{subnet => "10.7.0.0/26"}),
    Path = filename:join("/tmp", "evum-others-" ++ os:getpid()),
    {ok, Listener, 0} = evum_switch:listen(Switch, stream, {unix, Path}),
    Own = evum_peer:stream(Path),
    Address = <<10, 7, 0, 15>>,
    Take = client(1, 3, <<50, 4, Address/binary>>),
    ok = evum_peer:send(Own, Take),
    evum_test:await(fun() -> evum_switch:leases(Switch) =/= [] end),
    [#{address := {10, 7, 0, 15}, port := Port}] = evum_switch:leases(Switch),
    Other = evum_peer:stream(Path),
    Decline = client(1, 4, <<50, 4, Address/binary>>),
    Release = client(1, 7, <<54, 4, 10, 7, 0, 1>>),
    [ok = evum_peer:send(Other, Frame) || Frame <- [Take, Decline, Release]],
    Refused = fun() ->
        [{Id, N} || #{id := Id, dhcp_refused := N} <- evum_switch:ports(Switch)]
    end,
    evum_test:await(fun() -> [N || {_, N} <- Refused()] =:= [2] end),
    ?assertNot(lists:keymember(Port, 1, Refused())),
    ?assertMatch([#{port := Port}], evum_switch:leases(Switch)),
    %% Of another server: none of ours.
    ok = evum_peer:send(Own, client(1, 7, <<54, 4, 10, 7, 0, 2>>)),
    ok = evum_peer:close(Own),
    evum_test:await(fun() -> not lists:member(Port, evum_switch_rig:ports(Switch)) end),
    ?assertMatch([_], evum_switch:leases(Switch)),
    [ok = evum_peer:send(Other, Frame) || Frame <- [Take, Release]],
    evum_test:await(fun() -> evum_switch:leases(Switch) =:= [] end),
    ?assertMatch([{_, 2}], Refused()),
    ok = evum_peer:close(Other),
    ok = evum_switch:unlisten(Switch, Listener),
    _ = file:delete(Path).

discover(N) ->
    client(N, 1, <<>>).

%% What a client says: the kind as RFC 2132, 9.6, numbers it.
client(N, Kind, Options) ->
    Mac = <<2, 0, 0, 0, N:16>>,
    Message =
        <<1, 1, 6, 0, N:32, 0:16, 16#8000:16, 0:128, Mac/binary, 0:80, 0:512, 0:1024, 16#63825363:32, 53, 1, Kind,
            Options/binary, 255>>,
    Udp = <<68:16, 67:16, (8 + byte_size(Message)):16, 0:16, Message/binary>>,
    <<-1:48, Mac/binary, 16#0800:16, 16#45, 0, (20 + byte_size(Udp)):16, 0:32, 64, 17, 0:16, 0:32, -1:32,
        Udp/binary>>.

%% A guest that takes the gateway's address, or its MAC, has it to itself.
spoofed() ->
    {ok, Switch} = evum_switch:start(),
    {ok, _} = evum_switch:uplink(Switch, nat, #{}),
    Page = page_server({127, 0, 0, 1}),
    R = evum_test:boot([], #{switch => Switch}),
    Thief = evum_test:boot([], #{switch => Switch}),
    Address = lease(R),
    ?assertEqual([<<"a page">>], fetch(R, "192.168.213.1", Page)),
    Spoofed = fun() -> lists:sum([N || #{rx_spoofed := N} <- evum_switch:ports(Switch)]) end,
    ?assertEqual(0, Spoofed()),
    [] = evum_test:sh(Thief, ["ifconfig eth0 192.168.213.1 up; ping -c 1 -w 2 ", Address, " >/dev/null"]),
    Claims = Spoofed(),
    ?assert(Claims > 0),
    [] = evum_test:sh(Thief, [
        "ifconfig eth0 down hw ether 52:55:c0:a8:d5:01 192.168.213.77 up; ping -c 1 -w 2 ", Address,
        " >/dev/null"
    ]),
    ?assert(Spoofed() > Claims),
    ?assertEqual([<<"a page">>], fetch(R, "192.168.213.1", Page)).

%% passt as the way out, over a port of kind `stream': DHCP, and a page each way.
%% It takes what it tells guests from the interface of the default route.
passt() ->
    evum_netns:sh(
        "ip link add evp0 type veth peer name evp1 && ip link set evp1 up && ip link set evp0 up &&"
        " ip addr add 10.99.0.2/24 dev evp0 && ip route add default via 10.99.0.1"
    ),
    Dir = string:trim(os:cmd("mktemp -d")),
    Path = filename:join(Dir, "passt"),
    %% In a user namespace, since as root it would become another user; in the
    %% foreground it ends with its port.
    Passt = open_port({spawn_executable, os:find_executable("setpriv")}, [
        {args, [
            "--pdeathsig", "KILL", "unshare", "-r", "passt", "-f", "-q", "-4", "-s", Path,
            "-a", "10.7.0.15", "-n", "24", "-g", "10.7.0.1", "-t", "17777:7777"
        ]},
        exit_status, stderr_to_stdout
    ]),
    evum_test:await(fun() -> evum_switch_rig:exists(Path) end),
    {ok, Switch} = evum_switch:start(),
    {ok, Id} = evum_switch:connect(Switch, stream, {unix, Path}),
    R = evum_test:boot([], #{switch => Switch}),
    ?assertEqual(<<"10.7.0.15">>, lease(R)),
    Port = page_server({127, 0, 0, 1}),
    %% passt of 2023 may lose what comes right before the end of a connection.
    evum_test:await(fun() -> fetch(R, "10.7.0.1", Port) =:= [<<"a page">>] end),
    [] = evum_test:sh(R, "(socat tcp-l:7777,reuseaddr,fork exec:cat &)"),
    evum_test:await(fun() -> echoes_tcp({127, 0, 0, 1}, 17777) end),
    ?assertMatch([#{rx_bad := 0}], [P || #{id := I} = P <- evum_switch:ports(Switch), I =:= Id]),
    {os_pid, Pid} = erlang:port_info(Passt, os_pid),
    _ = os:cmd("kill " ++ integer_to_list(Pid)),
    %% It has gone, and its port with it; the switch goes on.
    evum_test:await(fun() ->
        [P || #{id := I} = P <- evum_switch:ports(Switch), I =:= Id] =:= []
    end),
    ok = file:del_dir_r(Dir),
    evum_netns:sh("ip link del evp0").

bad_uplinks() ->
    ?assertEqual({error, {bad_option, dhcp, maybe}}, evum_switch:start(#{dhcp => 'maybe'})),
    {ok, Switch} = evum_switch:start(),
    Uplink = fun(Options) -> evum_switch:uplink(Switch, nat, Options) end,
    Host = {"127.0.0.1", 18080},
    Guest = {"192.168.213.15", 80},
    ?assertEqual({error, {bad_option, kind, rope}}, evum_switch:uplink(Switch, rope, #{})),
    ?assertEqual({error, {bad_option, mtu, 1}}, Uplink(#{mtu => 1})),
    ?assertEqual(
        {error, {overlap, "127.7.0.0/16", "lo"}}, Uplink(#{subnet => "127.7.0.0/16"})
    ),
    ?assertEqual({error, {overlap, "::/64", "lo"}}, Uplink(#{subnet6 => "::/64"})),
    ?assertEqual(
        {error, {forward, {tcp, Host}, enotconn}}, evum_switch:forward(Switch, tcp, Host, Guest)
    ),
    ?assertEqual([], evum_switch:ports(Switch)),
    ?assertEqual([], evum_switch:forwards(Switch)),
    NoBind = {error, {uplink, nat, {eaddrnotavail, bind}}},
    ?assertEqual(NoBind, Uplink(#{bind => ["192.0.2.1"]})),
    ?assertEqual(NoBind, Uplink(#{bind => ["127.0.0.1", "2001:db8::1"]})),
    ?assertEqual([], evum_switch:ports(Switch)),
    {ok, Id} = Uplink(#{bind => ["127.0.0.1"]}),
    ?assertMatch([#{id := Id, kind := nat, rx_dropped := 0}], evum_switch:ports(Switch)),
    ?assertEqual({error, {uplink, nat, eexist}}, Uplink(#{})),
    {ok, Listener} = gen_tcp:listen(18080, [{ip, {127, 0, 0, 1}}]),
    ?assertEqual(
        {error, {forward, {tcp, Host}, eaddrinuse}}, evum_switch:forward(Switch, tcp, Host, Guest)
    ),
    ok = gen_tcp:close(Listener),
    Bad = fun(Why, BadHost, BadGuest) ->
        ?assertEqual(
            {error, {forward, {tcp, BadHost}, Why}},
            evum_switch:forward(Switch, tcp, BadHost, BadGuest)
        )
    end,
    Bad(eaddrnotavail, {"192.0.2.1", 18080}, Guest),
    Bad(enetunreach, Host, {"192.168.214.15", 80}),
    Bad(enetunreach, {"::1", 18080}, {"fd00:1::15", 80}),
    ?assertEqual(
        {error, {bad_option, guest, {"::1", 80}}},
        evum_switch:forward(Switch, tcp, Host, {"::1", 80})
    ),
    ?assertEqual([], evum_switch:forwards(Switch)),
    ok = evum_switch:forward(Switch, tcp, Host, Guest),
    ?assertEqual(
        {error, {forward, {tcp, Host}, eaddrinuse}}, evum_switch:forward(Switch, tcp, Host, Guest)
    ),
    ok = evum_switch:stop(Switch).

%%% In the guest

%% No more than the server reads before it closes, or that is a reset.
fetch(R, Host, Port) ->
    evum_test:sh(R, [
        "( exec 3<>/dev/tcp/", Host, "/", integer_to_list(Port),
        " && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && tail -n 1 <&3 ) 2>&1"
    ]).

%%% On the host

switch_of(Ctl) ->
    {state, Switch, _, _, _} = sys:get_state(Ctl),
    Switch.

page_server(Address) ->
    Family =
        case tuple_size(Address) of
            4 -> inet;
            8 -> inet6
        end,
    {ok, Listener} = gen_tcp:listen(0, [
        Family, binary, {ip, Address}, {packet, http_bin}, {active, false}
    ]),
    spawn_link(fun() -> serve_page(Listener) end),
    ok = gen_tcp:controlling_process(Listener, self()),
    {ok, Port} = inet:port(Listener),
    Port.

serve_page(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    {ok, {http_request, 'GET', _, _}} = gen_tcp:recv(Socket, 0, ?LIMIT),
    read_headers(Socket),
    ok = gen_tcp:send(
        Socket, <<"HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\na page\n">>
    ),
    ok = gen_tcp:close(Socket),
    serve_page(Listener).

read_headers(Socket) ->
    case gen_tcp:recv(Socket, 0, ?LIMIT) of
        {ok, http_eoh} -> ok;
        {ok, _} -> read_headers(Socket)
    end.

%% Any name is the gateway's address.
name_server() ->
    {ok, Socket} = gen_udp:open(53, [binary, {ip, {127, 0, 0, 1}}, {active, false}]),
    _ = spawn_link(fun() -> serve_names(Socket) end),
    Socket.

serve_names(Socket) ->
    case gen_udp:recv(Socket, 0) of
        {ok, Query} ->
            answer(Socket, Query),
            serve_names(Socket);
        {error, closed} ->
            ok
    end.

answer(Socket, {Address, Port, <<Id:16, _:80, Question/binary>>}) ->
    Name = binary:part(Question, 0, byte_size(Question) - 4),
    <<_:(byte_size(Name))/binary, Type:16, 1:16>> = Question,
    Answer =
        case Type of
            1 -> <<16#c00c:16, 1:16, 1:16, 60:32, 4:16, 192, 168, 213, 1>>;
            _ -> <<>>
        end,
    Count = min(1, byte_size(Answer)),
    ok = gen_udp:send(
        Socket, Address, Port, <<Id:16, 16#8180:16, 1:16, Count:16, 0:32, Question/binary, Answer/binary>>
    ).
