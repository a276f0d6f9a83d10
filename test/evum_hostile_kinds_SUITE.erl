%% SPDX-License-Identifier: Apache-2.0
%% The same misdeeds at a port of each kind that is a socket, and garbage for
%% the port that leads out: two witnesses exchange frames meanwhile, and no
%% frame of theirs is lost. (What only one kind can do wrong, such as a bad
%% request or a length that is none, is in evum_switch_hostile_SUITE,
%% evum_switch_ports_SUITE and evum_vhost_SUITE.)
-module(evum_hostile_kinds_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

-import(evum_switch_rig, [ports/1, await/1, witnesses/1, exchange/1, catch_up/4]).

%% Stations other than the witnesses': the peer's, and the first that a flood
%% makes up.
-define(PEER, 9).
-define(MADE_UP, 1000).

suite() -> [{timetrap, {minutes, 3}}].

all() -> [{group, Kind} || Kind <- kinds()] ++ [garbage_for_nat].

groups() -> [{Kind, [], [garbage, reads_never, floods, vanishes]} || Kind <- kinds()].

kinds() -> [daemon, bess, fd, stream, dgram, trunk].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) -> ok.

init_per_group(Kind, Config) -> [{kind, Kind} | Config].

end_per_group(_Kind, _Config) -> ok.

init_per_testcase(garbage_for_nat, Config) ->
    case evum_apart:possible() of
        true -> [{apart, evum_apart:start()} | Config];
        Skip -> Skip
    end;
init_per_testcase(Case, Config) ->
    open(Case, Config).

open(Case, Config) ->
    Config1 = evum_switch_rig:open(Case, Config),
    Witnesses = witnesses(Config1),
    [{witnesses, Witnesses}, {known, ports(?config(switch, Config1))} | Config1].

end_per_testcase(garbage_for_nat, Config) ->
    evum_apart:stop(?config(apart, Config));
end_per_testcase(_Case, Config) ->
    _ = [file:delete(path(Name, Config)) || Name <- ["here", "there"]],
    evum_switch_rig:close(Config).

%%% Ports of any kind

path(Name, Config) ->
    filename:join(?config(dir, Config), Name).

%% A peer, once the switch knows of its port.
join(Config) ->
    Switch = ?config(switch, Config),
    Before = ports(Switch),
    Peer = plug(?config(kind, Config), Switch, Config),
    _ = await(fun() -> ports(Switch) -- Before =/= [] end),
    Peer.

plug(fd, _Switch, Config) ->
    evum_peer:handed_over(?config(path, Config) ++ ".fd", path("pair", Config));
plug(dgram, Switch, Config) ->
    [Here, There] = [path(Name, Config) || Name <- ["here", "there"]],
    Peer = evum_peer:dgram(
        #{family => local, path => list_to_binary(There)},
        #{family => local, path => list_to_binary(Here)}
    ),
    {ok, _} = evum_switch:connect(Switch, dgram, {{unix, Here}, {unix, There}}),
    Peer;
plug(Kind, Switch, Config) when Kind =:= stream; Kind =:= trunk ->
    Path = path("stream", Config),
    {ok, Listener, 0} = evum_switch:listen(Switch, Kind, {unix, Path}),
    Peer = evum_peer:stream(Path),
    _ = await(fun() -> lists:member(Kind, [K || #{kind := K} <- evum_switch:ports(Switch)]) end),
    ok = evum_switch:unlisten(Switch, Listener),
    Peer;
plug(Kind, _Switch, Config) ->
    evum_peer:Kind(?config(path, Config)).

%% What the switch tells of it.
port(Config) ->
    [Port] = [
        Port
     || #{id := Id} = Port <- evum_switch:ports(?config(switch, Config)),
        not lists:member(Id, ?config(known, Config))
    ],
    Port.

gone(Config) ->
    await(fun() -> ports(?config(switch, Config)) =:= ?config(known, Config) end).

%% Nothing that was the witnesses' has been lost, and they still reach each other.
unharmed(Config) ->
    [A, B] = ?config(witnesses, Config),
    ok = catch_up(B, 2, A, 1),
    ok = catch_up(A, 1, B, 2),
    exchange([A, B]),
    [
        ?assertMatch(#{tx_dropped := 0, tx_errors := 0, rx_dropped := 0}, Port)
     || #{id := Id} = Port <- evum_switch:ports(?config(switch, Config)),
        lists:member(Id, ?config(known, Config))
    ].

%%% Misdeeds

%% Bytes of any length that are no frames, or only look like some.
garbage(Config) ->
    [A, B] = ?config(witnesses, Config),
    Peer = join(Config),
    Lengths = lists:flatten([[N, N, rand:uniform(65535)] || N <- lists:seq(0, 30)]),
    lists:foreach(
        fun(Length) ->
            ok = evum_peer:send(Peer, rand:bytes(Length)),
            %% It may have been flooded to them.
            ok = catch_up(A, 1, B, 2),
            ok = catch_up(B, 2, A, 1)
        end,
        Lengths
    ),
    Short = length([N || N <- Lengths, N < 14]),
    _ = await(fun() ->
        #{rx_runts := Runts, rx_frames := Frames} = port(Config),
        {Runts, Frames} =:= {Short, length(Lengths) - Short}
    end),
    unharmed(Config),
    ok = evum_peer:close(Peer),
    %% Of a datagram's peer that shows with the next frame for it.
    ok = evum_peer:send(A, evum_peer:frame(broadcast, 1)),
    gone(Config).

%% What it loses is counted at its port, and nowhere else. Once it reads, it gets
%% what has waited, in whole frames, and then what is new.
reads_never(Config) ->
    [A, B] = ?config(witnesses, Config),
    Peer = join(Config),
    [
        begin
            Frame = evum_peer:frame(broadcast, 1, {size, 1514}),
            ok = evum_peer:send(A, Frame),
            ?assertEqual(Frame, evum_peer:recv(B))
        end
     || _ <- lists:seq(1, 2000)
    ],
    ?assertMatch(#{tx_dropped := N} when N > 500, port(Config)),
    unharmed(Config),
    ok = catch_up(Peer, broadcast, A, 1).

%% All that it can send, from ever other stations, so that many of its frames go
%% up: for a station of its own.
floods(Config) ->
    Peer = join(Config),
    ok = evum_peer:send(Peer, evum_peer:frame(?PEER, ?PEER)),
    Flooder = spawn_link(fun() -> flood(Peer, 0) end),
    _ = await(fun() -> maps:get(rx_frames, port(Config)) > 1000 end),
    #{rx_frames := Before} = port(Config),
    [unharmed(Config) || _ <- lists:seq(1, 5)],
    _ = await(fun() -> maps:get(rx_frames, port(Config)) > Before + 1000 end),
    Ended = monitor(process, Flooder),
    Flooder ! stop,
    receive {'DOWN', Ended, process, Flooder, Reason} -> ?assertEqual(normal, Reason) end,
    unharmed(Config).

flood(Peer, N) ->
    Made = evum_peer:frame(?PEER, ?MADE_UP + N rem 4096, {size, 14 + N rem 1500}),
    [ok = evum_peer:send(Peer, Frame) || Frame <- [Made, <<1, 2, 3>>, evum_peer:frame(?PEER, ?PEER)]],
    receive
        stop -> ok
    after 0 -> flood(Peer, N + 1)
    end.

%% In the middle of it all, with frames unread and half sent.
vanishes(Config) ->
    [A, B] = ?config(witnesses, Config),
    lists:foreach(
        fun(_) ->
            Peer = join(Config),
            [ok = evum_peer:send(Peer, evum_peer:frame(?PEER, N)) || N <- lists:seq(?PEER, 3 * ?PEER)],
            Frame = evum_peer:frame(broadcast, 1),
            ok = evum_peer:send(A, Frame),
            lists:member(?config(kind, Config), [stream, trunk]) andalso
                evum_peer:send_raw(Peer, <<1000:32, 0:4000>>),
            ok = evum_peer:close(Peer),
            ok = evum_peer:send(A, evum_peer:frame(broadcast, 1)),
            ok = catch_up(B, 2, A, 1),
            gone(Config),
            _ = [file:delete(path("there", Config)) || ?config(kind, Config) =:= dgram]
        end,
        lists:seq(1, 20)
    ),
    unharmed(Config),
    %% Nothing is known any more of what it had.
    ?assertEqual(
        ["02:00:00:00:00:01", "02:00:00:00:00:02"],
        lists:sort([Mac || #{mac := Mac} <- evum_switch:fdb(?config(switch, Config))])
    ).

%%% The port that leads out

%% Packets that are cut, or wrong in a few bytes, to a gateway in a network
%% namespace of its own: it still answers, and evum_net is the same.
garbage_for_nat(Config) ->
    evum_apart:call(?config(apart, Config), ?MODULE, garbage_apart).

garbage_apart() ->
    {ok, _} = application:ensure_all_started(evum),
    Config = open(garbage_for_nat, []),
    Switch = ?config(switch, Config),
    {ok, _} = evum_switch:uplink(Switch, nat, #{subnet => "10.7.0.0/24"}),
    Net = evum_switch_rig:evum_net_pid(Switch),
    [A, B] = ?config(witnesses, Config),
    Peer = evum_switch_rig:connect(bess, Config),
    Seed = rand:seed_s(exsss),
    logger:notice("seed ~p", [rand:export_seed_s(Seed)]),
    lists:foldl(
        fun(N, Random) ->
            {Packet, Random1} = mangle(lists:nth(1 + N rem length(packets()), packets()), Random),
            ok = evum_peer:send(Peer, Packet),
            N rem 50 =:= 0 andalso
                begin
                    ok = catch_up(A, 1, B, 2),
                    ok = catch_up(B, 2, A, 1)
                end,
            Random1
        end,
        Seed,
        lists:seq(1, 5000)
    ),
    ?assert(answers_arp(Peer)),
    ?assertEqual(Net, evum_switch_rig:evum_net_pid(Switch)),
    unharmed(Config),
    evum_switch_rig:close(Config).

answers_arp(Peer) ->
    [{arp, Request} | _] = packets(),
    ok = evum_peer:send(Peer, Request),
    await(fun() -> is_arp_reply(evum_peer:recv(Peer, 1000), Peer, Request) end).

is_arp_reply({ok, <<_:12/binary, 16#0806:16, _:6/binary, 2:16, _:6/binary, 10, 7, 0, 1, _/binary>>}, _, _) ->
    true;
is_arp_reply({ok, _}, _, _) ->
    false;
is_arp_reply({error, timeout}, Peer, Request) ->
    ok = evum_peer:send(Peer, Request),
    false.

%% Some bytes replaced, and perhaps an end that is missing.
mangle({_Name, Packet}, Random) ->
    {Count, Random1} = rand:uniform_s(6, Random),
    {Mangled, Random2} = lists:foldl(fun replace/2, {Packet, Random1}, lists:seq(2, Count)),
    {Cut, Random3} = rand:uniform_s(2 * (byte_size(Packet) - 14), Random2),
    {binary:part(Mangled, 0, min(byte_size(Packet), 14 + Cut)), Random3}.

%% Behind the addresses, so that it still gets there.
replace(_, {Packet, Random}) ->
    {At, Random1} = rand:uniform_s(byte_size(Packet) - 12, Random),
    {Byte, Random2} = rand:uniform_s(256, Random1),
    <<Before:(At + 11)/binary, _, After/binary>> = Packet,
    {<<Before/binary, (Byte - 1), After/binary>>, Random2}.

%% One of each kind that libslirp looks into.
packets() ->
    Mac = evum_peer:mac(?PEER),
    Gateway = <<16#52, 16#55, 10, 7, 0, 1>>,
    Guest = <<10, 7, 0, 15>>,
    [
        {arp, <<-1:48, Mac/binary, 16#0806:16, 1:16, 16#0800:16, 6, 4, 1:16, Mac/binary, Guest/binary, 0:48, 10, 7, 0, 1>>},
        {dhcp, ipv4(<<-1:48>>, Mac, <<0:32>>, <<-1:32>>, 17, 0, udp(68, 67, dhcp(Mac)))},
        {tcp, ipv4(Gateway, Mac, Guest, <<10, 7, 0, 1>>, 6, 0, <<4000:16, 80:16, 1:32, 0:32, 5:4, 0:6, 2:6, 8192:16, 0:32>>)},
        {tcp_out, ipv4(Gateway, Mac, Guest, <<192, 0, 2, 1>>, 6, 0, <<4001:16, 80:16, 1:32, 0:32, 6:4, 0:6, 2:6, 8192:16, 0:32, 2, 4, 1460:16>>)},
        {icmp, ipv4(Gateway, Mac, Guest, <<10, 7, 0, 1>>, 1, 0, icmp(<<1:16, 1:16, 0:320>>))},
        {tftp, ipv4(Gateway, Mac, Guest, <<10, 7, 0, 2>>, 17, 0, udp(4002, 69, <<1:16, "file", 0, "octet", 0>>))},
        {dns, ipv4(Gateway, Mac, Guest, <<10, 7, 0, 3>>, 17, 0, udp(4003, 53, <<1:16, 1:16, 1:16, 0:48, 4, "evum", 0, 1:16, 1:16>>))},
        {fragment, ipv4(Gateway, Mac, Guest, <<10, 7, 0, 1>>, 17, 16#2000, udp(4004, 7, <<0:800>>))},
        {fragment2, ipv4(Gateway, Mac, Guest, <<10, 7, 0, 1>>, 17, 16#2000 + 13, <<0:800>>)},
        {nd, ipv6(Mac, 58, icmp6(<<135, 0>>, <<0:32, 16#fd00:16, 0:104, 1, 1, 1, Mac/binary>>))},
        {rs, ipv6(Mac, 58, icmp6(<<133, 0>>, <<0:32, 1, 1, Mac/binary>>))},
        {tcp6, ipv6(Mac, 6, <<4005:16, 80:16, 1:32, 0:32, 5:4, 0:6, 2:6, 8192:16, 0:32>>)}
    ].

ipv4(To, From, Source, Destination, Protocol, Fragment, Payload) ->
    Length = 20 + byte_size(Payload),
    Header = fun(Sum) ->
        <<16#45, 0, Length:16, 7:16, Fragment:16, 64, Protocol, Sum:16, Source/binary, Destination/binary>>
    end,
    <<To/binary, From/binary, 16#0800:16, (Header(sum(Header(0))))/binary, Payload/binary>>.

ipv6(Mac, Next, Payload) ->
    <<16#33330000:32, 1:16, Mac/binary, 16#86dd:16, 6:4, 0:28, (byte_size(Payload)):16, Next, 255,
        16#fe80:16, 0:104, 9, 16#ff02:16, 0:104, 1, Payload/binary>>.

%% No checksum (RFC 768).
udp(From, To, Payload) ->
    <<From:16, To:16, (8 + byte_size(Payload)):16, 0:16, Payload/binary>>.

%% RFC 2131: DISCOVER.
dhcp(Mac) ->
    <<1, 1, 6, 0, 1:32, 0:160, Mac/binary, 0:(10 * 8), 0:(192 * 8), 99, 130, 83, 99, 53, 1, 1, 55, 2, 1, 3, 255>>.

icmp(Rest) ->
    <<8, 0, (sum(<<8, 0, 0:16, Rest/binary>>)):16, Rest/binary>>.

icmp6(Type, Rest) ->
    Length = 4 + byte_size(Rest),
    Pseudo = <<16#fe80:16, 0:104, 9, 16#ff02:16, 0:104, 1, Length:32, 0:24, 58>>,
    <<Type/binary, (sum(<<Pseudo/binary, Type/binary, 0:16, Rest/binary>>)):16, Rest/binary>>.

%% RFC 1071.
sum(Bytes) -> sum(Bytes, 0).

sum(<<Word:16, Rest/binary>>, Sum) -> sum(Rest, Sum + Word);
sum(<<>>, Sum) when Sum > 16#ffff -> sum(<<>>, (Sum band 16#ffff) + (Sum bsr 16));
sum(<<>>, Sum) -> 16#ffff - Sum.
