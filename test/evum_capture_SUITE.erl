%% SPDX-License-Identifier: Apache-2.0
%% What captures write is read by tshark and tcpdump, and is what passed; and the
%% network goes on whatever becomes of them.
-module(evum_capture_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

-import(evum_switch_rig, [await/1, connect/2, fence/4, introduce/1, exchange/1]).

%% As fast as they go, through one port.
-define(MANY, 200000).

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [
        switch_has_each_frame_once,
        port_has_both_ways,
        frames_that_erlang_made,
        offloaded_frames_are_whole,
        times_and_lengths,
        filter_and_snaplen,
        ring_of_files,
        as_many_as_counted,
        stalled_reader_costs_frames_only,
        stream,
        ends_with_its_port,
        ends_with_its_switch,
        full_disk,
        machines_by_name,
        command_line,
        bad_input
    ].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    case os:find_executable("tshark") of
        false -> {skip, "tshark is missing: scripts/deps test"};
        _ -> [{leftovers, evum_test:leftovers()} | Config]
    end.

end_per_suite(Config) ->
    application:stop(evum),
    evum_test:no_leftovers(?config(leftovers, Config)).

init_per_testcase(Case, Config) ->
    Config1 = evum_switch_rig:open(Case, [{kinds, [bess, daemon, bess]} | Config]),
    introduce(?config(peers, Config1)),
    Path = filename:join(?config(dir, Config1), "capture"),
    ok = file:make_dir(Path),
    [{folder, Path}, {file, filename:join(Path, "x.pcapng")} | Config1].

end_per_testcase(_Case, Config) ->
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_test:drain(),
    ok = file:del_dir_r(?config(folder, Config)),
    evum_switch_rig:close(Config).

%%% Readers -----------------------------------------------------------------------

%% The fields of each frame, a list of texts.
tshark(File, Fields) ->
    Command = ["tshark -r ", File, " -T fields -E separator='|'", [[" -e ", F] || F <- Fields]],
    [string:split(Line, "|", all) || Line <- lines(lists:flatten([Command, " 2>/dev/null"]))].

lines(Command) ->
    string:lexemes(os:cmd(Command), "\n").

frames_in(File) ->
    length(tshark(File, ["frame.number"])).

%% Frames that another reader finds in it.
tcpdump(File) ->
    length(lines("tcpdump -n -tt -r " ++ File ++ " 2>/dev/null | grep '^[0-9]'")).

interfaces(File) ->
    {match, Names} = re:run(os:cmd("capinfos -I " ++ File ++ " 2>/dev/null"), "Name = (.*)", [
        global, {capture, all_but_first, list}
    ]),
    [Name || [Name] <- Names].

%% The last blocks are what is dropped, for each interface.
dropped_by_statistics(File) ->
    {match, Drops} = re:run(os:cmd("capinfos -I " ++ File ++ " 2>/dev/null"), "Number of stat entries = (.*)", [
        global, {capture, all_but_first, list}
    ]),
    [list_to_integer(string:trim(N)) || [N] <- Drops].

%%% Cases -------------------------------------------------------------------------

switch_has_each_frame_once(Config) ->
    [A, B, C] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    File = ?config(file, Config),
    {ok, Capture} = evum_switch:capture(Switch, #{file => File}),
    fence(A, 1, B, 2),
    fence(B, 2, C, 3),
    %% to two ports
    Flooded = evum_peer:frame(broadcast, 3),
    ok = evum_peer:send(C, Flooded),
    [?assertEqual(Flooded, evum_peer:recv(P)) || P <- [A, B]],
    D = connect(daemon, Config),
    ok = evum_peer:send(D, evum_peer:frame(1, 4)),
    _ = evum_peer:recv(A),
    ?assertMatch([#{state := running, dropped := 0}], evum_switch:captures(Switch)),
    ?assertEqual({ok, #{written => 4, dropped => 0}}, evum_switch:stop_capture(Capture)),
    ?assertEqual({error, no_capture}, evum_switch:stop_capture(Capture)),
    ?assertEqual([], evum_switch:captures(Switch)),
    ?assertEqual(
        [
            ["port1", "02:00:00:00:00:02", "1"],
            ["port2", "02:00:00:00:00:03", "1"],
            ["port3", "ff:ff:ff:ff:ff:ff", "1"],
            ["port4", "02:00:00:00:00:01", "1"]
        ],
        [[I, M, integer_to_list(number(F) band 3)] || [I, M, F] <- tshark(File, ["frame.interface_name", "eth.dst", "frame.packet_flags"])]
    ),
    ?assertEqual(["port1", "port2", "port3", "port4"], interfaces(File)),
    ?assertEqual([1, 1, 1, 1], dropped_by_statistics(File)),
    ?assertEqual(4, tcpdump(File)).

number("0x" ++ Digits) -> list_to_integer(Digits, 16);
number(Digits) -> list_to_integer(Digits).

port_has_both_ways(Config) ->
    [A, B, C] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    File = ?config(file, Config),
    {ok, Capture} = evum_switch:capture({Switch, 2}, #{file => File}),
    fence(A, 1, B, 2),
    fence(B, 2, C, 3),
    fence(C, 3, A, 1),
    {ok, #{written := 2}} = evum_switch:stop_capture(Capture),
    ?assertMatch(
        [["port2", "02:00:00:00:00:01", Out], ["port2", "02:00:00:00:00:02", In]] when Out > In,
        tshark(File, ["frame.interface_name", "eth.src", "frame.packet_flags"])
    ).

%% Frames of all kinds of ports, through all kinds.
%% They came in nowhere: a switch's has none of them, and of one that was
%% rewritten what it was before.
frames_that_erlang_made(Config) ->
    [A, B, _] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    Folder = ?config(folder, Config),
    [All, One] = [filename:join(Folder, Name) || Name <- ["all", "one"]],
    Injected = evum_peer:frame(2, 9),
    {ok, _} = evum_switch:hook(Switch, {in, 1}, fun(<<_:12/binary, Rest/binary>>) ->
        {rewrite, <<(evum_peer:mac(2))/binary, (evum_peer:mac(7))/binary, Rest/binary>>}
    end),
    {ok, OfAll} = evum_switch:capture(Switch, #{file => All}),
    {ok, OfPort} = evum_switch:capture({Switch, 2}, #{file => One}),
    ok = evum_switch:inject(Switch, 2, 0, Injected),
    ?assertEqual(Injected, evum_peer:recv(B)),
    ok = evum_peer:send(A, evum_peer:frame(2, 1)),
    _ = evum_peer:recv(B),
    {ok, #{written := 1}} = evum_switch:stop_capture(OfAll),
    {ok, #{written := 2}} = evum_switch:stop_capture(OfPort),
    ?assertEqual([["port1", "02:00:00:00:00:01"]], tshark(All, ["frame.interface_name", "eth.src"])),
    ?assertEqual(
        [["port2", "02:00:00:00:00:09"], ["port2", "02:00:00:00:00:07"]],
        tshark(One, ["frame.interface_name", "eth.src"])
    ).

offloaded_frames_are_whole(Config) ->
    [A | _] = ?config(peers, Config),
    File = ?config(file, Config),
    V = connect(vhost, Config),
    {ok, Capture} = evum_switch:capture(?config(switch, Config), #{file => File}),
    Sizes = [14, 60, 255, 256, 257, 1514, 9000, 65000],
    [
        begin
            Frame = evum_peer:frame(broadcast, 9, {size, Size}),
            ok = evum_peer:send(V, Frame),
            ?assertEqual(Frame, evum_peer:recv(A))
        end
     || Size <- Sizes
    ],
    {ok, #{written := 8}} = evum_switch:stop_capture(Capture),
    ?assertEqual([[integer_to_list(S), integer_to_list(S)] || S <- Sizes], tshark(File, ["frame.len", "frame.cap_len"])),
    %% to the last byte
    {ok, Bytes} = file:read_file(File),
    ?assertMatch({_, _}, binary:match(Bytes, evum_peer:frame(broadcast, 9, {size, 65000}))).

times_and_lengths(Config) ->
    [A, B | _] = ?config(peers, Config),
    File = ?config(file, Config),
    {ok, Capture} = evum_switch:capture(?config(switch, Config), #{file => File}),
    T0 = erlang:system_time(nanosecond),
    [fence(A, 1, B, 2) || _ <- lists:seq(1, 50)],
    T1 = erlang:system_time(nanosecond),
    {ok, #{written := 50}} = evum_switch:stop_capture(Capture),
    Times = [
        begin
            [S, Ns] = string:split(T, "."),
            %% nanoseconds
            9 = length(Ns),
            list_to_integer(S) * 1000000000 + list_to_integer(Ns)
        end
     || [T] <- tshark(File, ["frame.time_epoch"])
    ],
    ?assertEqual(Times, lists:sort(Times)),
    ?assert(hd(Times) >= T0),
    ?assert(lists:last(Times) =< T1),
    ?assertEqual(50, length(lists:usort(Times))).

filter_and_snaplen(Config) ->
    [A, B | _] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    File = ?config(file, Config),
    {error, {bpf, Text}} = evum_switch:capture(Switch, #{file => File, filter => "no such filter"}),
    ?assertMatch({match, _}, re:run(Text, "syntax error")),
    ?assertNot(filelib:is_file(File)),
    {ok, Capture} = evum_switch:capture(Switch, #{file => File, filter => "ether src 02:00:00:00:00:01", snaplen => 40}),
    [
        begin
            ok = evum_peer:send(A, evum_peer:frame(2, 1, {size, 1000})),
            _ = evum_peer:recv(B),
            fence(B, 2, A, 1)
        end
     || _ <- lists:seq(1, 10)
    ],
    ?assertEqual({ok, #{written => 10, dropped => 0}}, evum_switch:stop_capture(Capture)),
    ?assertEqual(lists:duplicate(10, ["1000", "40"]), tshark(File, ["frame.len", "frame.cap_len"])).

ring_of_files(Config) ->
    [A, B | _] = ?config(peers, Config),
    Folder = ?config(folder, Config),
    {ok, Capture} = evum_switch:capture(?config(switch, Config), #{
        file => ?config(file, Config), size => 10000, files => 3
    }),
    [
        begin
            ok = evum_peer:send(A, evum_peer:frame(2, 1, {size, 1000})),
            _ = evum_peer:recv(B)
        end
     || _ <- lists:seq(1, 95)
    ],
    ?assertEqual({ok, #{written => 95, dropped => 0}}, evum_switch:stop_capture(Capture)),
    {ok, Names} = file:list_dir(Folder),
    [_, _, Last] = Sorted = lists:sort(Names),
    Counts = [frames_in(filename:join(Folder, Name)) || Name <- Sorted],
    [N, N, M] = Counts,
    ?assert(N >= 8 andalso N < 10 andalso M >= 1 andalso M =< N),
    ?assertMatch("x.000" ++ _, Last).

%% The load of a port in one direction, as fast as it goes: frames are written,
%% or dropped and counted.
flood(A, N) ->
    Frame = evum_peer:frame(2, 1, {size, 100}),
    lists:foreach(fun(_) -> ok = evum_peer:send(A, Frame) end, lists:seq(1, N)).

counted(Switch, Keys) ->
    lists:sum([maps:get(Key, Port) || Port <- evum_switch:ports(Switch), Key <- Keys]).

await_flood(Switch, Before, N) ->
    await(fun() -> counted(Switch, [rx_frames]) - Before =:= N end).

as_many_as_counted(Config) ->
    [A | _] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    File = ?config(file, Config),
    OfPort = File ++ ".port",
    RxBefore = counted(Switch, [rx_frames]),
    #{rx_frames := Rx0, tx_frames := Tx0} = port(2, Switch),
    {ok, All} = evum_switch:capture(Switch, #{file => File}),
    {ok, One} = evum_switch:capture({Switch, 2}, #{file => OfPort}),
    %% Nobody reads at port 2: what it does not get is not in the file.
    flood(A, ?MANY),
    await_flood(Switch, RxBefore, ?MANY),
    #{rx_frames := Rx1, tx_frames := Tx1, tx_dropped := Lost} = port(2, Switch),
    ?assert(Lost > 0),
    {ok, #{written := Written, dropped := Dropped}} = evum_switch:stop_capture(All),
    ?assertEqual(?MANY, Written + Dropped),
    ?assertEqual(Written, frames_in(File)),
    {ok, #{written := W2, dropped := D2}} = evum_switch:stop_capture(One),
    ?assertEqual(Rx1 - Rx0 + Tx1 - Tx0, W2 + D2),
    ?assertEqual(W2, frames_in(OfPort)),
    ct:pal("written ~b, dropped ~b; of the port ~b, ~b", [Written, Dropped, W2, D2]).

port(Id, Switch) ->
    [Port] = [P || #{id := I} = P <- evum_switch:ports(Switch), I =:= Id],
    Port.

stalled_reader_costs_frames_only(Config) ->
    [A, _, C] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    Pipe = filename:join(?config(folder, Config), "pipe"),
    [] = os:cmd("mkfifo " ++ Pipe),
    ?assertEqual({error, {capture, list_to_binary(Pipe), enxio}}, evum_switch:capture(Switch, #{file => Pipe})),
    %% It has the pipe open, and never reads it.
    Reader = erlang:open_port({spawn_executable, "/bin/sh"}, [
        {args, ["-c", "exec 3<\"$1\"; exec cat", "sh", Pipe]}, exit_status
    ]),
    {ok, Capture} = await(fun() ->
        case evum_switch:capture(Switch, #{file => Pipe}) of
            {error, {capture, _, enxio}} -> false;
            Started -> Started
        end
    end),
    RxBefore = counted(Switch, [rx_frames]),
    flood(A, ?MANY),
    await_flood(Switch, RxBefore, ?MANY),
    fence(A, 1, C, 3),
    [#{state := running, dropped := Dropped}] = evum_switch:captures(Switch),
    ?assert(Dropped > 0),
    {error, {capture, _, etimedout, #{written := W, dropped := D}}} = evum_switch:stop_capture(Capture),
    ?assertEqual(?MANY + 1, W + D),
    true = port_close(Reader),
    ok.

stream(Config) ->
    [A, B | _] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    File = ?config(file, Config),
    Self = self(),
    {Pid, Ref} = spawn_monitor(fun() ->
        {ok, Io} = file:open(File, [write, raw, binary]),
        Result = evum_capture:stream({Switch, 1}, #{}, fun(Bytes) ->
            ok = file:write(Io, Bytes),
            Self ! got,
            ok
        end),
        exit({done, Result})
    end),
    %% The section and the interface come at once.
    receive
        got -> ok
    after 20000 -> error(nothing)
    end,
    [fence(A, 1, B, 2) || _ <- lists:seq(1, 10)],
    %% and frames soon
    receive
        got -> ok
    after 20000 -> error(nothing)
    end,
    ok = evum_switch:close_port(Switch, 1),
    receive
        {'DOWN', Ref, process, Pid, {done, {ok, #{written := 10, dropped := 0}}}} -> ok;
        {'DOWN', Ref, process, Pid, Other} -> error(Other)
    after 20000 -> error(still_alive)
    end,
    ?assertEqual(10, frames_in(File)),
    %% Whose reader has died.
    Lazy = spawn(fun() -> evum_capture:stream(Switch, #{}, fun(_) -> Self ! got, ok end) end),
    await(fun() -> [S || #{state := running = S} <- evum_switch:captures(Switch)] =/= [] end),
    exit(Lazy, kill),
    await(fun() ->
        ok = evum_peer:send(B, evum_peer:frame(3, 2)),
        [S || #{state := running = S} <- evum_switch:captures(Switch)] =:= []
    end).

ends_with_its_port(Config) ->
    [A, B | _] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    File = ?config(file, Config),
    {ok, Capture} = evum_switch:capture({Switch, 1}, #{file => File}),
    fence(A, 1, B, 2),
    ok = evum_peer:close(A),
    await(fun() -> [S || #{state := ended = S} <- evum_switch:captures(Switch)] =/= [] end),
    ?assertEqual(1, frames_in(File)),
    ?assertEqual([1], dropped_by_statistics(File)),
    ?assertEqual({ok, #{written => 1, dropped => 0}}, evum_switch:stop_capture(Capture)),
    ?assertEqual({error, no_port}, evum_switch:capture({Switch, 1}, #{file => File})).

ends_with_its_switch(Config) ->
    [A, B | _] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    File = ?config(file, Config),
    {ok, Capture} = evum_switch:capture(Switch, #{file => File}),
    exchange([A, B]),
    ok = evum_switch:stop(Switch),
    ?assertEqual(200, frames_in(File)),
    ?assertEqual([1, 1, 1], dropped_by_statistics(File)),
    ?assertEqual({error, no_switch}, evum_switch:stop_capture(Capture)),
    ?assertEqual({error, no_switch}, evum_switch:captures(Switch)).

full_disk(_Config) ->
    Peer = evum_apart:start(),
    try
        evum_apart:call(Peer, ?MODULE, full_disk_there)
    after
        evum_apart:stop(Peer)
    end.

%% In a mount namespace of its own.
full_disk_there() ->
    {ok, _} = application:ensure_all_started(evum),
    [] = os:cmd("mkdir /mnt/small && mount -t tmpfs -o size=256k none /mnt/small 2>&1"),
    Config = evum_switch_rig:open(full_disk, [{kinds, [bess, bess]}]),
    [A, B] = ?config(peers, Config),
    introduce([A, B]),
    Switch = ?config(switch, Config),
    ?assertEqual(
        {error, {capture, <<"/dev/full">>, enospc}}, evum_switch:capture(Switch, #{file => "/dev/full"})
    ),
    {ok, Capture} = evum_switch:capture(Switch, #{file => "/mnt/small/x"}),
    Sent = fun Send(N) ->
        exchange([A, B]),
        case [S || #{state := {failed, _} = S} <- evum_switch:captures(Switch)] of
            [] -> Send(N + 200);
            [{failed, enospc}] -> N + 200
        end
    end(0),
    exchange([A, B]),
    {error, {capture, <<"/mnt/small/x">>, enospc, #{written := Written, dropped := Dropped}}} =
        evum_switch:stop_capture(Capture),
    ?assert(Written > 200),
    ?assert(Written + Dropped =< Sent),
    ?assertEqual(Written, frames_in("/mnt/small/x")),
    evum_switch_rig:close(Config).

%% A guest, on the best kernel that there is.
guest(Config, Options) ->
    [{_, Kernel} | _] = evum_test:kernels(),
    R = evum_test:start([{kernel, Kernel}], Options#{image => tiny, switch => ?config(switch, Config)}),
    ok = evum:await(R, ready),
    R.

machines_by_name(Config) ->
    Switch = ?config(switch, Config),
    File = ?config(file, Config),
    R1 = guest(Config, #{name => r1}),
    R2 = guest(Config, #{}),
    [ok = evum:config(R, #{eth0 => #{addresses => [A]}}) || {R, A} <- [{R1, "10.0.0.1/24"}, {R2, "10.0.0.2/24"}]],
    {ok, All} = await(fun() -> both_are_there(Switch, R1, File) end),
    {ok, One} = evum_switch:capture(r1, #{file => File ++ ".r1", filter => "icmp"}),
    {ok, 0, _} = evum:cmd(R1, "ping -c 3 -s 3000 10.0.0.2"),
    {ok, _} = evum_switch:stop_capture(All),
    {ok, #{written := 18}} = evum_switch:stop_capture(One),
    Names = [Name || [Name] <- tshark(File, ["frame.interface_name"])],
    ?assertEqual(lists:sort(["r1", pid_to_list(R2)]), lists:usort(Names)),
    ?assertEqual(["r1"], lists:usort([Name || [Name] <- tshark(File ++ ".r1", ["frame.interface_name"])])).

%% Its daemon or virtio port is up.
both_are_there(Switch, R1, File) ->
    #{os_pid := OsPid} = evum:info(R1),
    case [Id || #{id := Id, peer := Peer} <- evum_switch:ports(Switch), Peer =:= OsPid] of
        [_] -> evum_switch:capture(Switch, #{file => File});
        [] -> false
    end.

command_line(Config) ->
    File = ?config(file, Config),
    R = guest(Config, #{name => capturer}),
    ok = evum:config(R, #{eth0 => #{addresses => ["10.0.0.1/24"]}}),
    Shell = erlang:open_port({spawn_executable, "/bin/sh"}, [
        {args, ["-c", "exec \"$1\" capture capturer --live --filter=arp >\"$2\"", "sh",
            filename:join([evum_test:top(), "bin", "evum"]), File]},
        {env, [{"EVUM_NODE", binary_to_list(evum_door:name())}]},
        exit_status, stderr_to_stdout, binary
    ]),
    await(fun() -> filelib:file_size(File) > 0 end),
    {ok, _, _} = evum:cmd(R, "ping -c 2 -W 1 10.0.0.2"),
    await(fun() -> frames_in(File) >= 1 end),
    ok = evum:stop(R),
    {Text, 0} = finished(Shell, <<>>),
    ?assertMatch({match, _}, re:run(Text, "^evum: [0-9]+ frames, 0 dropped")),
    Program = filename:join([evum_test:top(), "bin", "evum"]),
    ?assertEqual("3\n", os:cmd("EVUM_NODE=" ++ binary_to_list(evum_door:name()) ++ " " ++ Program ++
        " capture nobody --live 2>/dev/null; echo $?")).

finished(Port, Text) ->
    receive
        {Port, {data, More}} -> finished(Port, <<Text/binary, More/binary>>);
        {Port, {exit_status, Status}} -> {Text, Status}
    after 20000 -> error({goes_on, Text})
    end.

bad_input(Config) ->
    Switch = ?config(switch, Config),
    File = ?config(file, Config),
    Capture = fun(Options) -> evum_switch:capture(Switch, Options) end,
    ?assertEqual({error, {bad_option, file, undefined}}, Capture(#{})),
    ?assertEqual({error, {bad_option, size, 0}}, Capture(#{file => File, size => 0})),
    ?assertEqual({error, no_port}, evum_switch:capture({Switch, 4711}, #{file => File})),
    ?assertEqual({error, no_machine}, evum_switch:capture(nobody, #{file => File})),
    Nowhere = filename:join(?config(folder, Config), "no/x"),
    ?assertEqual({error, {capture, list_to_binary(Nowhere), enoent}}, Capture(#{file => Nowhere})),
    Captures = [
        begin
            {ok, C} = Capture(#{file => File ++ integer_to_list(N)}),
            C
        end
     || N <- lists:seq(1, 16)
    ],
    ?assertEqual({error, {capture, list_to_binary(File), emfile}}, Capture(#{file => File})),
    exchange(lists:sublist(?config(peers, Config), 2)),
    [?assertEqual({ok, #{written => 200, dropped => 0}}, evum_switch:stop_capture(C)) || C <- Captures].
