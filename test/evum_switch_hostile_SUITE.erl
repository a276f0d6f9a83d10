%% SPDX-License-Identifier: Apache-2.0
%% Peers that break the protocol, flood or do not read: they suffer and are
%% counted, while others exchange frames without loss.
-module(evum_switch_hostile_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([
    wrong_requests_are_closed/1,
    request_in_pieces/1,
    late_request_is_closed/1,
    bytes_behind_a_request_end_the_port/1,
    hostile_addresses/1,
    only_the_peer_can_send/1,
    runts_and_giants/1,
    peer_that_floods/1,
    connections_come_and_go/1,
    too_many_connections/1,
    no_descriptors/1
]).

-import(evum_switch_rig, [
    connect/2,
    ports/1,
    await/1,
    await_counter/3,
    introduce/1,
    witnesses/1,
    exchange/1,
    catch_up/4,
    evum_net_pid/1
]).

all() ->
    [
        wrong_requests_are_closed,
        request_in_pieces,
        late_request_is_closed,
        bytes_behind_a_request_end_the_port,
        hostile_addresses,
        only_the_peer_can_send,
        runts_and_giants,
        peer_that_floods,
        connections_come_and_go,
        too_many_connections,
        no_descriptors
    ].

suite() ->
    [{timetrap, {minutes, 3}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) ->
    ok.

init_per_testcase(Case, Config) ->
    evum_switch_rig:open(Case, Config).

end_per_testcase(_Case, Config) ->
    evum_switch_rig:close(Config).

is_closed(Socket) ->
    case socket:recv(Socket, 0, [], 10000) of
        {error, closed} -> true;
        {error, econnreset} -> true;
        Other -> {not_closed, Other}
    end.

wrong_requests_are_closed(Config) ->
    Switch = ?config(switch, Config),
    Path = ?config(path, Config),
    Witnesses = witnesses(Config),
    Before = ports(Switch),
    Cases = [
        {bad_magic, evum_peer:request("/x", #{magic => 16#cafebabe})},
        {bad_magic, <<"GET / HTTP/1.0\r\n\r\n">>},
        {bad_version, evum_peer:request("/x", #{version => 2})},
        {bad_version, binary:part(evum_peer:request("/x", #{version => 4}), 0, 8)},
        {bad_type, evum_peer:request("/x", #{type => 1})},
        {bad_address, evum_peer:request("/x", #{family => 2})},
        {surplus_bytes, <<(evum_peer:request("/x"))/binary, 0>>}
    ],
    [
        begin
            Was = maps:get(Counter, evum_switch:counters(Switch)),
            Control = evum_peer:control(Path),
            ok = socket:send(Control, Bytes),
            ?assertEqual(true, is_closed(Control)),
            ?assertEqual(Was + 1, maps:get(Counter, evum_switch:counters(Switch)), Counter)
        end
     || {Counter, Bytes} <- Cases
    ],
    %% Stops half-way.
    Half = evum_peer:control(Path),
    ok = socket:send(Half, binary:part(evum_peer:request("/x"), 0, 60)),
    ok = socket:shutdown(Half, write),
    ?assertEqual(true, is_closed(Half)),
    await_counter(short_request, 1, Switch),
    %% Says nothing at all, and goes.
    ok = socket:close(evum_peer:control(Path)),
    await_counter(short_request, 2, Switch),
    ?assertEqual(Before, ports(Switch)),
    exchange(Witnesses).

request_in_pieces(Config) ->
    {ok, Frames} = socket:open(local, dgram, default),
    Own = filename:join(?config(dir, Config), "peer"),
    ok = socket:bind(Frames, #{family => local, path => Own}),
    Control = evum_peer:control(?config(path, Config)),
    [
        begin
            ok = socket:send(Control, <<Byte>>),
            %% Only one piece can be under way: it is sent with the next turn.
            _ = evum_switch:counters(?config(switch, Config))
        end
     || <<Byte>> <= evum_peer:request(Own)
    ],
    {ok, <<1:16/native, 0, _/binary>>} = socket:recv(Control, 110, [], 10000),
    [#{kind := daemon}] = evum_switch:ports(?config(switch, Config)),
    ok = file:delete(Own).

late_request_is_closed(Config) ->
    Switch = ?config(switch, Config),
    Witnesses = witnesses(Config),
    Half = evum_peer:control(?config(path, Config)),
    ok = socket:send(Half, binary:part(evum_peer:request("/x"), 0, 60)),
    exchange(Witnesses),
    ?assertEqual({error, closed}, socket:recv(Half, 0, [], 30000)),
    ?assertMatch(#{timeout := 1}, evum_switch:counters(Switch)),
    exchange(Witnesses).

bytes_behind_a_request_end_the_port(Config) ->
    Switch = ?config(switch, Config),
    Witnesses = witnesses(Config),
    Before = ports(Switch),
    {ok, Frames} = socket:open(local, dgram, default),
    Own = filename:join(?config(dir, Config), "peer"),
    ok = socket:bind(Frames, #{family => local, path => Own}),
    Control = evum_peer:control(?config(path, Config)),
    ok = socket:send(Control, evum_peer:request(Own)),
    {ok, _} = socket:recv(Control, 110, [], 10000),
    _ = await(fun() -> ports(Switch) =/= Before end),
    ok = socket:send(Control, <<"more">>),
    ?assertEqual(true, is_closed(Control)),
    _ = await(fun() -> ports(Switch) =:= Before end),
    ?assertMatch(#{surplus_bytes := 1}, evum_switch:counters(Switch)),
    exchange(Witnesses),
    ok = file:delete(Own).

hostile_addresses(Config) ->
    Switch = ?config(switch, Config),
    Addresses = [
        <<>>,
        binary:copy(<<$x>>, 108),
        binary:copy(<<255>>, 108),
        <<0, (binary:copy(<<$x>>, 107))/binary>>,
        <<"/dev/null">>,
        %% a stream socket: the switch's own
        iolist_to_binary(?config(path, Config))
    ],
    [
        begin
            Control = evum_peer:control(?config(path, Config)),
            ok = socket:send(Control, evum_peer:request(Address)),
            ?assertEqual(true, is_closed(Control))
        end
     || Address <- Addresses
    ],
    await_counter(bad_address, length(Addresses), Switch),
    ?assertEqual([], evum_switch:ports(Switch)).

only_the_peer_can_send(Config) ->
    [A, B] = witnesses(Config),
    {ok, Stranger} = socket:open(local, dgram, default),
    ?assertEqual(
        {error, eperm}, socket:sendto(Stranger, evum_peer:frame(2, 1), evum_peer:switch(A))
    ),
    exchange([A, B]).

runts_and_giants(Config) ->
    Switch = ?config(switch, Config),
    Witnesses = witnesses(Config),
    [
        begin
            Peer = connect(Kind, Config),
            Id = lists:max(ports(Switch)),
            [
                ok = evum_peer:send(Peer, Frame)
             || Frame <- [<<>>, <<1>>, binary:copy(<<255>>, 13), binary:copy(<<255>>, 65536)]
            ],
            ok = evum_peer:send(Peer, binary:copy(<<255>>, 100_000)),
            _ = await(fun() ->
                case [Port || #{id := I} = Port <- evum_switch:ports(Switch), I =:= Id] of
                    [#{rx_runts := 3, rx_giants := 2, rx_frames := 0}] -> true;
                    _ -> false
                end
            end),
            %% It may still behave.
            Frame = evum_peer:frame(broadcast, 9),
            ok = evum_peer:send(Peer, Frame),
            [?assertEqual(Frame, evum_peer:recv(Witness)) || Witness <- Witnesses],
            ok = evum_peer:close(Peer),
            _ = await(fun() -> length(ports(Switch)) =:= 2 end)
        end
     || Kind <- [daemon, bess]
    ],
    exchange(Witnesses).

%% More than the BEAM takes: the sender waits, nobody grows, nobody is lost.
peer_that_floods(Config) ->
    Switch = ?config(switch, Config),
    [A, B] = witnesses(Config),
    Flooder = connect(bess, Config),
    ok = sys:suspend(Switch),
    Frame = evum_peer:frame(9, 9, {size, 60000}),
    Sent = flood(Flooder, Frame, 0),
    {message_queue_len, Length} = process_info(Switch, message_queue_len),
    {binary, Binaries} = process_info(Switch, binary),
    Held = lists:sum([Size || {_, Size, _} <- Binaries]),
    ok = sys:resume(Switch),
    ct:log("sent ~b frames, held ~b bytes in ~b messages", [Sent, Held, Length]),
    ?assert(Sent < 1000),
    %% The window, and a burst of 64 frames beyond it.
    ?assert(Held < 1_048_576 + 64 * 65536),
    _ = await(fun() ->
        lists:member(Sent, [N || #{rx_frames := N} <- evum_switch:ports(Switch)])
    end),
    ok = catch_up(A, 1, B, 2),
    ok = catch_up(B, 2, A, 1),
    exchange([A, B]).

flood(Peer, Frame, N) when N < 10000 ->
    case evum_peer:send(Peer, Frame, 500) of
        ok -> flood(Peer, Frame, N + 1);
        {error, timeout} -> N
    end;
flood(_, _, N) ->
    N.

connections_come_and_go(Config) ->
    Switch = ?config(switch, Config),
    Path = ?config(path, Config),
    Witnesses = witnesses(Config),
    Before = ports(Switch),
    [
        begin
            Peers = [evum_peer:Kind(Path) || Kind <- [daemon, bess, daemon, bess]],
            [evum_peer:send(Peer, evum_peer:frame(1, 100 + N)) || Peer <- Peers],
            [ok = evum_peer:close(Peer) || Peer <- Peers]
        end
     || N <- lists:seq(1, 100)
    ],
    _ = await(fun() -> ports(Switch) =:= Before end),
    %% A port's entries go with it, but for those it took over from another.
    ?assertEqual(
        ["02:00:00:00:00:01", "02:00:00:00:00:02"],
        [Mac || #{mac := Mac} <- evum_switch:fdb(Switch)]
    ),
    [A, B] = Witnesses,
    ok = catch_up(A, 1, B, 2),
    ok = catch_up(B, 2, A, 1),
    exchange(Witnesses).

%% NET_CONNECTIONS_MAX is 4096.
too_many_connections(Config) ->
    Switch = ?config(switch, Config),
    Witnesses = witnesses(Config),
    case os:cmd("ulimit -Hn") of
        "unlimited" ++ _ ->
            too_many_connections(Config, Switch, Witnesses);
        Limit ->
            case list_to_integer(string:trim(Limit)) >= 10000 of
                true -> too_many_connections(Config, Switch, Witnesses);
                false -> {skip, "fewer than 10000 descriptors"}
            end
    end.

too_many_connections(Config, Switch, Witnesses) ->
    Many = [evum_peer:control(?config(path, Config)) || _ <- lists:seq(1, 4100)],
    await_counter(refused_limit, 6, Switch),
    exchange(Witnesses),
    [ok = socket:close(Socket) || Socket <- Many],
    %% And there is room again.
    _ = await(fun() -> maps:get(short_request, evum_switch:counters(Switch)) =:= 4094 end),
    ok = evum_peer:close(connect(daemon, Config)).

%% Without descriptors nobody new gets in, and evum_net does not spin.
no_descriptors(Config) ->
    Switch = ?config(switch, Config),
    Witnesses = witnesses(Config),
    Pid = integer_to_list(evum_net_pid(Switch)),
    Used = length(filelib:wildcard("/proc/" ++ Pid ++ "/fd/*")),
    "" = os:cmd(lists:concat(["prlimit --pid ", Pid, " --nofile=", Used + 3, ":"])),
    Waiting = [evum_peer:control(?config(path, Config)) || _ <- lists:seq(1, 10)],
    _ = await(fun() -> maps:get(refused_descriptors, evum_switch:counters(Switch)) >= 3 end),
    exchange(Witnesses),
    %% Three times means two pauses; a loop that spins would be at thousands.
    ?assert(maps:get(refused_descriptors, evum_switch:counters(Switch)) < 1000),
    [ok = socket:close(Socket) || Socket <- Waiting],
    _ = await(fun() -> maps:get(short_request, evum_switch:counters(Switch)) =:= 10 end),
    ok = evum_peer:close(connect(bess, Config)).
