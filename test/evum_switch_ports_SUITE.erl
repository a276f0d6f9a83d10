%% SPDX-License-Identifier: Apache-2.0
%% Ports of the kinds that connect by address or are handed over: frames of all
%% sizes pass, and peers that break the rules hurt nobody but themselves.
-module(evum_switch_ports_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([
    streams_come_in/1,
    stream_goes_out/1,
    trunk_joins_two_switches/1,
    datagrams_unix/1,
    datagrams_udp/1,
    handed_over/1,
    hostile_streams/1,
    hostile_hand_overs/1,
    hostile_datagrams/1,
    bad_addresses/1,
    nothing_is_left/1
]).

-import(evum_switch_rig, [ports/1, await/1, await_counter/3, fence/4, introduce/1, witnesses/1,
    exchange/1, catch_up/4]).

all() ->
    [
        streams_come_in,
        stream_goes_out,
        trunk_joins_two_switches,
        datagrams_unix,
        datagrams_udp,
        handed_over,
        hostile_streams,
        hostile_hand_overs,
        hostile_datagrams,
        bad_addresses,
        nothing_is_left
    ].

suite() -> [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) -> ok.

init_per_testcase(Case, Config) ->
    evum_switch_rig:open(Case, Config).

end_per_testcase(_Case, Config) ->
    evum_switch_rig:close(Config).

path(Name, Config) ->
    filename:join(?config(dir, Config), Name).

%% A peer that has a port, once the switch knows of it.
plugged(Make, Config) ->
    Switch = ?config(switch, Config),
    Before = ports(Switch),
    Peer = Make(),
    _ = await(fun() -> ports(Switch) -- Before =/= [] end),
    Peer.

kinds(Config) ->
    [Kind || #{kind := Kind} <- evum_switch:ports(?config(switch, Config))].

all_sizes(A, B) ->
    introduce([A, B]),
    [
        begin
            Frame = evum_peer:frame(2, 1, {size, Size}),
            ok = evum_peer:send(A, Frame),
            ?assertEqual(Frame, evum_peer:recv(B)),
            Back = evum_peer:frame(1, 2, {size, Size}),
            ok = evum_peer:send(B, Back),
            ?assertEqual(Back, evum_peer:recv(A))
        end
     || Size <- [14, 60, 1514, 9014, 65507, 65535]
    ].

streams_come_in(Config) ->
    Switch = ?config(switch, Config),
    Path = path("stream", Config),
    {ok, Unix, 0} = evum_switch:listen(Switch, stream, {unix, Path}),
    {ok, Tcp, Port} = evum_switch:listen(Switch, stream, {tcp, "127.0.0.1", 0}),
    A = plugged(fun() -> evum_peer:stream(Path) end, Config),
    Address = #{family => inet, addr => {127, 0, 0, 1}, port => Port},
    B = plugged(fun() -> evum_peer:stream(Address) end, Config),
    ?assertEqual([stream, stream], kinds(Config)),
    all_sizes(A, B),
    %% Several in one piece, and one in many.
    [F1, F2, F3] = [evum_peer:frame(2, 1, {number, N}) || N <- [1, 2, 3]],
    ok = evum_peer:send_raw(A, [[<<(byte_size(F)):32>>, F] || F <- [F1, F2]]),
    [ok = evum_peer:send_raw(A, <<Byte>>) || <<Byte>> <= <<(byte_size(F3)):32, F3/binary>>],
    [?assertEqual(F, evum_peer:recv(B)) || F <- [F1, F2, F3]],
    %% The listeners go, the ports stay.
    [ok = evum_switch:unlisten(Switch, Id) || Id <- [Unix, Tcp]],
    exchange([A, B]),
    ok = evum_peer:close(A),
    _ = await(fun() -> length(ports(Switch)) =:= 1 end).

stream_goes_out(Config) ->
    Switch = ?config(switch, Config),
    {ok, Listener} = socket:open(local, stream, default),
    Address = #{family => local, path => list_to_binary(path("qemu", Config))},
    ok = socket:bind(Listener, Address),
    ok = socket:listen(Listener),
    {ok, Port} = evum_switch:connect(Switch, stream, {unix, path("qemu", Config)}),
    {ok, Socket} = socket:accept(Listener),
    A = evum_peer:of_stream(Socket),
    B = evum_switch_rig:connect(daemon, Config),
    all_sizes(A, B),
    ?assertEqual(ok, evum_switch:close_port(Switch, Port)),
    ?assertEqual({error, {port, enoent}}, evum_switch:close_port(Switch, Port)),
    ?assertEqual({error, closed}, evum_peer:recv(A, 10000)),
    ok = socket:close(Listener),
    ?assertEqual(
        {error, {connect, econnrefused}},
        evum_switch:connect(Switch, stream, {unix, path("qemu", Config)})
    ),
    ok = file:delete(path("qemu", Config)).

trunk_joins_two_switches(Config) ->
    Switch = ?config(switch, Config),
    {ok, Other} = evum_switch:start(),
    OtherPath = path("other", Config),
    {ok, _} = evum_ctl:start(Other, OtherPath),
    {ok, _, 0} = evum_switch:listen(Switch, trunk, {unix, path("trunk", Config)}),
    {ok, _} = evum_switch:connect(Other, trunk, {unix, path("trunk", Config)}),
    _ = await(fun() -> kinds(Config) =:= [trunk] end),
    A = evum_switch_rig:connect(bess, Config),
    B = evum_switch_rig:connect(bess, [{switch, Other}, {path, OtherPath}]),
    C = evum_switch_rig:connect(daemon, [{switch, Other}, {path, OtherPath}]),
    introduce([A, B, C]),
    all_sizes(A, B),
    fence(C, 3, A, 1),
    ok = evum_switch:stop(Other),
    _ = await(fun() -> kinds(Config) =:= [bess] end).

datagrams_unix(Config) ->
    Switch = ?config(switch, Config),
    [Here, There] = [path(Name, Config) || Name <- ["here", "there"]],
    Own = #{family => local, path => list_to_binary(There)},
    A = evum_peer:dgram(Own, #{family => local, path => list_to_binary(Here)}),
    {ok, _} = evum_switch:connect(Switch, dgram, {{unix, Here}, {unix, There}}),
    B = evum_switch_rig:connect(bess, Config),
    all_sizes(A, B),
    %% Nobody else can send to it.
    {ok, Stranger} = socket:open(local, dgram, default),
    ?assertEqual(
        {error, eperm},
        socket:sendto(Stranger, evum_peer:frame(2, 9), #{
            family => local, path => list_to_binary(Here)
        })
    ),
    %% That it has gone shows with the next frame.
    ok = evum_peer:close(A),
    ok = evum_peer:send(B, evum_peer:frame(1, 2)),
    _ = await(fun() -> kinds(Config) =:= [bess] end),
    ok = file:delete(There).

datagrams_udp(Config) ->
    Switch = ?config(switch, Config),
    {ok, Free} = gen_udp:open(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Here} = inet:port(Free),
    ok = gen_udp:close(Free),
    Loop = fun(Port) -> #{family => inet, addr => {127, 0, 0, 1}, port => Port} end,
    A = evum_peer:dgram(Loop(0), Loop(Here)),
    There = evum_peer:port(A),
    {ok, _} = evum_switch:connect(
        Switch, dgram, {{udp, "127.0.0.1", Here}, {udp, {127, 0, 0, 1}, There}}
    ),
    B = evum_switch_rig:connect(bess, Config),
    introduce([A, B]),
    exchange([A, B]),
    %% Nobody there: frames are lost, and the port stays for who comes back.
    ok = evum_peer:close(A),
    [ok = evum_peer:send(B, evum_peer:frame(1, 2)) || _ <- [1, 2, 3]],
    C = evum_peer:dgram(Loop(There), Loop(Here)),
    ok = catch_up(C, 1, B, 2),
    ?assertEqual([dgram, bess], kinds(Config)).

handed_over(Config) ->
    A = plugged(fun() -> hand_over(Config) end, Config),
    B = evum_switch_rig:connect(bess, Config),
    ?assertEqual([fd, bess], kinds(Config)),
    all_sizes(A, B),
    ok = evum_peer:close(A),
    _ = await(fun() -> kinds(Config) =:= [bess] end).

hand_over(Config) ->
    evum_peer:handed_over(?config(path, Config) ++ ".fd", path("peer", Config)).

hostile_streams(Config) ->
    Witnesses = witnesses(Config),
    [hostile_streams(Kind, Witnesses, Config) || Kind <- [stream, trunk]].

hostile_streams(Kind, Witnesses, Config) ->
    Switch = ?config(switch, Config),
    Known = ports(Switch),
    Path = path(atom_to_list(Kind), Config),
    {ok, _, 0} = evum_switch:listen(Switch, Kind, {unix, Path}),
    Join = fun() -> plugged(fun() -> evum_peer:stream(Path) end, Config) end,
    Gone = fun() -> await(fun() -> ports(Switch) =:= Known end) end,
    %% A length that no frame has; garbage is one, too.
    [
        begin
            Peer = Join(),
            ok = evum_peer:send_raw(Peer, Bytes),
            ?assertEqual({error, closed}, until_end(Peer)),
            Gone()
        end
     || Bytes <- [<<65536:32>>, <<255, 255, 255, 255>>, <<"GET / HTTP/1.0\r\n\r\n">>]
    ],
    %% Runts are counted, and what follows is still in step.
    Odd = Join(),
    [ok = evum_peer:send_raw(Odd, <<N:32, 0:(N * 8)>>) || N <- [0, 1, 13]],
    Frame = evum_peer:frame(broadcast, 9),
    ok = evum_peer:send(Odd, Frame),
    [?assertEqual(Frame, evum_peer:recv(Witness)) || Witness <- Witnesses],
    ?assertMatch(#{kind := Kind, rx_runts := 3}, lists:last(evum_switch:ports(Switch))),
    %% Goes in the middle of a frame, or of a length.
    ok = evum_peer:send_raw(Odd, <<100:32, 0:400>>),
    ok = evum_peer:close(Odd),
    Gone(),
    Half = Join(),
    ok = evum_peer:send_raw(Half, <<0, 0>>),
    %% Half-open: says nothing more, and nobody waits for it.
    exchange(Witnesses),
    ok = evum_peer:close(Half),
    Gone(),
    exchange(Witnesses),
    no_loss(Switch, Known).

until_end(Peer) ->
    case evum_peer:recv(Peer, 10000) of
        {ok, _} -> until_end(Peer);
        {error, econnreset} -> {error, closed};
        Error -> Error
    end.

no_loss(Switch, Known) ->
    [
        ?assertMatch(#{tx_dropped := 0, tx_errors := 0, rx_dropped := 0}, Port)
     || #{id := Id} = Port <- evum_switch:ports(Switch), lists:member(Id, Known)
    ].

hostile_hand_overs(Config) ->
    Switch = ?config(switch, Config),
    Witnesses = witnesses(Config),
    Known = ports(Switch),
    Door = fun() ->
        {ok, Socket} = socket:open(local, stream, default),
        ok = socket:connect(Socket, #{
            family => local, path => list_to_binary(?config(path, Config) ++ ".fd")
        }),
        Socket
    end,
    [Silent, Talking, Going] = [Door() || _ <- [1, 2, 3]],
    ok = socket:send(Talking, <<"no descriptor">>),
    ?assertMatch({error, _}, socket:recv(Talking, 0, 10000)),
    ok = socket:close(Going),
    await_counter(short_request, 2, Switch),
    [
        ok = evum_peer:hand_over_bad(Kind, ?config(path, Config) ++ ".fd", path("pair", Config))
     || Kind <- [many, stream]
    ],
    await_counter(bad_descriptor, 2, Switch),
    ?assertEqual(Known, ports(Switch)),
    exchange(Witnesses),
    ok = socket:close(Silent),
    no_loss(Switch, Known).

hostile_datagrams(Config) ->
    Switch = ?config(switch, Config),
    Witnesses = witnesses(Config),
    Known = ports(Switch),
    [Here, There] = [path(Name, Config) || Name <- ["here", "there"]],
    Own = #{family => local, path => list_to_binary(There)},
    A = evum_peer:dgram(Own, #{family => local, path => list_to_binary(Here)}),
    {ok, _} = evum_switch:connect(Switch, dgram, {{unix, Here}, {unix, There}}),
    [ok = evum_peer:send(A, Bytes) || Bytes <- [<<>>, <<1>>, binary:copy(<<255>>, 65536)]],
    Frame = evum_peer:frame(broadcast, 9),
    ok = evum_peer:send(A, Frame),
    [?assertEqual(Frame, evum_peer:recv(Witness)) || Witness <- Witnesses],
    ?assertMatch(#{rx_runts := 2, rx_giants := 1}, lists:last(evum_switch:ports(Switch))),
    exchange(Witnesses),
    no_loss(Switch, Known),
    ok = evum_peer:close(A),
    ok = file:delete(There).

bad_addresses(Config) ->
    Switch = ?config(switch, Config),
    [
        ?assertEqual({error, {bad_option, address, Bad}}, evum_switch:connect(Switch, stream, Bad))
     || Bad <- [
            {unix, ""},
            {unix, lists:duplicate(108, $x)},
            {unix, 7},
            {tcp, "localhost", 80},
            {tcp, "127.0.0.1", 65536},
            {udp, "127.0.0.1", 80},
            nowhere
        ]
    ],
    ?assertEqual({error, {bad_option, kind, bess}}, evum_switch:connect(Switch, bess, {unix, "x"})),
    ?assertEqual({error, {bad_option, kind, dgram}}, evum_switch:listen(Switch, dgram, {unix, "x"})),
    Mixed = {{unix, "/x"}, {udp, "127.0.0.1", 80}},
    ?assertEqual({error, {bad_option, address, Mixed}}, evum_switch:connect(Switch, dgram, Mixed)),
    ?assertEqual(
        {error, {connect, enoent}}, evum_switch:connect(Switch, stream, {unix, path("none", Config)})
    ),
    ?assertEqual(
        {error, {bind, enoent}},
        evum_switch:listen(Switch, stream, {unix, path("no/such", Config)})
    ),
    ?assertEqual([], ports(Switch)).

%% evum_switch_rig:close/1 looks whether sockets are left in the folder.
nothing_is_left(Config) ->
    Switch = ?config(switch, Config),
    [Here, There] = [path(Name, Config) || Name <- ["here", "there"]],
    A = evum_peer:dgram(#{family => local, path => list_to_binary(There)}, none),
    {ok, _, 0} = evum_switch:listen(Switch, stream, {unix, path("stream", Config)}),
    {ok, Port} = evum_switch:connect(Switch, dgram, {{unix, Here}, {unix, There}}),
    ok = evum_switch:close_port(Switch, Port),
    ?assertNot(evum_switch_rig:exists(Here)),
    {ok, _} = evum_switch:connect(Switch, dgram, {{unix, Here}, {unix, There}}),
    ok = evum_peer:close(A),
    ok = file:delete(There),
    ok = evum_switch:stop(Switch),
    _ = await(fun() -> not evum_switch_rig:exists(Here) end).
