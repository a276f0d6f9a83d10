%% SPDX-License-Identifier: Apache-2.0
%% What the suites of the switch share: a switch with its real evum_net, and
%% peers that are plain sockets (evum_peer).
%%
%% That a frame does not arrive is shown without waiting: another one is sent
%% behind it, and is the next to arrive. Frames of one sender keep their order.
-module(evum_switch_rig).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([open/2, close/1]).
-export([connect/2, ports/1, await/1, await_counter/3, exists/1]).
-export([fence/4, introduce/1, witnesses/1, exchange/1, catch_up/4]).
-export([evum_net_pid/1, waits_for_evum_net/2, quietly/1]).

%% For each case a folder for sockets of its own (priv_dir's name is too long
%% for one), a switch with the options of Config, and peers of the kinds that it
%% asks for.
open(Case, Config) ->
    Dir = string:trim(os:cmd("mktemp -d /tmp/evum-test-XXXXXX")),
    Path = filename:join(Dir, "ctl"),
    Options = proplists:get_value(options, Config, #{}),
    {ok, Switch} = evum_switch:start(Options#{name => Case}),
    {ok, Ctl} = evum_ctl:start(Switch, Path),
    Config1 = [{dir, Dir}, {path, Path}, {switch, Switch}, {ctl, Ctl} | Config],
    Kinds = proplists:get_value(kinds, Config, []),
    [{peers, [connect(Kind, Config1) || Kind <- Kinds]} | Config1].

close(Config) ->
    Switch = ?config(switch, Config),
    is_process_alive(Switch) andalso evum_switch:stop(Switch),
    {ok, Left} = file:list_dir(?config(dir, Config)),
    ok = file:del_dir_r(?config(dir, Config)),
    ?assertEqual([], Left).

%% A further peer, once the switch knows of its port.
connect(Kind, Config) ->
    Switch = ?config(switch, Config),
    Before = ports(Switch),
    Peer = evum_peer:Kind(?config(path, Config)),
    _ = await(fun() -> ports(Switch) -- Before =/= [] end),
    Peer.

%% filelib:is_file/1 does not see sockets.
exists(Path) ->
    element(1, file:read_link_info(Path)) =:= ok.

ports(Switch) ->
    [Id || #{id := Id} <- evum_switch:ports(Switch)].

await(Fun) ->
    evum_test:await(Fun, 20000).

await_counter(Name, Value, Switch) ->
    await(fun() -> maps:get(Name, evum_switch:counters(Switch)) =:= Value end).

%% Send from one peer to the station of another, and see it arrive.
fence(From, Source, To, Destination) ->
    Frame = evum_peer:frame(Destination, Source),
    ok = evum_peer:send(From, Frame),
    ?assertEqual(Frame, evum_peer:recv(To)).

%% The station N of each peer is known, and nothing is under way.
introduce(Peers) ->
    Frames = [evum_peer:frame(broadcast, N) || N <- lists:seq(1, length(Peers))],
    lists:foreach(
        fun({Peer, Frame}) ->
            ok = evum_peer:send(Peer, Frame),
            [?assertEqual(Frame, evum_peer:recv(Other)) || Other <- Peers, Other =/= Peer]
        end,
        lists:zip(Peers, Frames)
    ).

%% A pair that exchanges frames without loss while somebody misbehaves.
witnesses(Config) ->
    Witnesses = [connect(daemon, Config), connect(bess, Config)],
    introduce(Witnesses),
    Witnesses.

%% Whoever misbehaves may have frames for others flooded to them meanwhile.
exchange([A, B]) ->
    [
        begin
            arrives(A, 1, B, 2),
            arrives(B, 2, A, 1)
        end
     || _ <- lists:seq(1, 100)
    ],
    ok.

arrives(From, Source, To, Destination) ->
    Frame = evum_peer:frame(Destination, Source),
    ok = evum_peer:send(From, Frame),
    await_frame(Frame, To).

await_frame(<<Own:6/binary, _/binary>> = Frame, To) ->
    case evum_peer:recv(To) of
        Frame -> ok;
        <<Other:6/binary, _/binary>> when Other =/= Own -> await_frame(Frame, To)
    end.

%% Read all that has waited for a peer, up to a frame that is sent now, and
%% anew (another one) as long as older ones keep it out: when nothing comes any
%% more, and now and then while a flood does, which leaves little room in the
%% peer's queue.
catch_up(Peer, Destination, Sender, Source) ->
    Frame = evum_peer:frame(Destination, Source),
    ok = evum_peer:send(Sender, Frame),
    catch_up(100, Frame, Peer, Destination, Sender, Source).

catch_up(0, _Frame, Peer, Destination, Sender, Source) ->
    catch_up(Peer, Destination, Sender, Source);
catch_up(Patience, Frame, Peer, Destination, Sender, Source) ->
    case evum_peer:recv(Peer, 200) of
        {ok, Frame} ->
            ok;
        {ok, Old} ->
            ?assert(byte_size(Old) >= 14),
            catch_up(Patience - 1, Frame, Peer, Destination, Sender, Source);
        {error, timeout} ->
            catch_up(Peer, Destination, Sender, Source)
    end.

evum_net_pid(Switch) ->
    [Pid] = [
        Pid
     || Port <- erlang:ports(),
        erlang:port_info(Port, connected) =:= {connected, Switch},
        {os_pid, Pid} <- [erlang:port_info(Port, os_pid)]
    ],
    Pid.

%% Does a call return before evum_net has had what it says?
waits_for_evum_net(Switch, Call) ->
    Pid = integer_to_list(evum_net_pid(Switch)),
    _ = os:cmd("kill -STOP " ++ Pid),
    {Caller, Ref} = spawn_monitor(Call),
    Status = fun() -> process_info(Caller, status) end,
    _ = await(fun() -> lists:member(Status(), [{status, waiting}, undefined]) end),
    %% The switch has had the call, and an answer would be there.
    _ = evum_switch:name(Switch),
    Waits = Status() =:= {status, waiting},
    _ = os:cmd("kill -CONT " ++ Pid),
    receive
        {'DOWN', Ref, process, Caller, normal} -> Waits
    end.

%% The reports of a switch that ends as it should would fill the log.
quietly(Fun) ->
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, none),
    try
        Fun()
    after
        logger:set_primary_config(level, Level)
    end.
