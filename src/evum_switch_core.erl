%% SPDX-License-Identifier: Apache-2.0
%% @doc What a switch decides, as pure functions: events go in, what
%% {@link evum_switch} is to send to `evum_net' comes out.
%%
%% `evum_net' keeps what is decided here as a cache, and asks again for what it
%% does not hold: it tells with each frame what it knew (see {@link evum_frames}),
%% and gets what it lacked with the answer. With `forward => relay' it is told
%% nothing, so that each frame comes up.
%%
%% The time is that of evum_net's clock, so that here and there an entry ages at
%% the same moment.
-module(evum_switch_core).

-export([new/1, port_up/4, port_down/2, set_port/3, ports/1, port/2]).
-export([frames/2, seen/3, expire/2, fdb/2, size/1]).
-export([add_static/4, remove/3, flush/1, flush/2]).
-export([hooks/1, with_hooks/2]).
-export([block/2, blocked/2]).
-export([moves/1, drops/2, count/3, inject/4]).

-export_type([core/0, port_config/0, notice/0]).

-define(GROUP, 16#010000000000).
%% Moves that are told of, for each batch; all are counted.
-define(NOTICES, 5).

-type port_id() :: evum_fdb:port_id().
-type port_config() :: evum_switch_options:port_config().
%% A station that was at one port speaks at another, or a hook has failed.
-type notice() ::
    {moved, evum_fdb:station(), From :: port_id(), To :: port_id()}
    | {failed, evum_switch_hooks:id()}.

-record(port, {
    kind :: atom(),
    peer :: non_neg_integer(),
    config :: port_config(),
    %% frames that were dropped here
    drops = #{} :: #{atom() => pos_integer()}
}).

-record(core, {
    relay :: boolean(),
    %% floods of a port are limited, by evum_net
    storm :: boolean(),
    fdb :: evum_fdb:fdb(),
    ports = #{} :: #{port_id() => #port{}},
    %% how many ports came up, ever
    ups = 0 :: non_neg_integer(),
    %% VLANs whose floods evum_net was told of
    told = #{} :: #{evum_fdb:vlan() => []},
    %% floods, made once for many frames
    floods = #{} :: #{{port_id(), evum_fdb:vlan()} => evum_frames:port_list()},
    moves = 0 :: non_neg_integer(),
    %% to which ports no frame of a port goes
    blocked = #{} :: #{port_id() => #{port_id() => []}},
    hooks = evum_switch_hooks:new() :: evum_switch_hooks:hooks()
}).

-opaque core() :: #core{}.

%% @doc A switch without ports, of the options of {@link evum_switch_options}.
-spec new(evum_switch_options:switch()) -> core().
new(#{forward := Forward, storm_limit := Storm} = Options) ->
    #core{relay = Forward =:= relay, storm = Storm =/= infinity, fdb = evum_fdb:new(Options)}.

%% @doc A port has come.
-spec port_up(port_id(), atom(), non_neg_integer(), core()) -> core().
port_up(Id, Kind, Peer, #core{ports = Ports, ups = Ups} = Core) ->
    Port = #port{kind = Kind, peer = Peer, config = evum_switch_options:port_defaults()},
    changed(Core#core{ports = Ports#{Id => Port}, ups = (Ups + 1) band 16#ffffffff}).

%% @doc A port has gone, and its stations with it. The second is for evum_net.
-spec port_down(port_id(), core()) -> {core(), iodata()}.
port_down(Id, #core{ports = Ports, fdb = Fdb, blocked = Blocked} = Core) ->
    {Gone, Fdb1} = evum_fdb:port_down(Id, Fdb),
    Left = maps:map(fun(_, Port) -> no_mirror(Id, Port) end, maps:remove(Id, Ports)),
    Core1 = changed(Core#core{
        ports = Left,
        fdb = Fdb1,
        blocked = maps:map(fun(_, To) -> maps:remove(Id, To) end, maps:remove(Id, Blocked))
    }),
    {Core1, forget(Gone, Core1)}.

no_mirror(Id, #port{config = #{mirror := Id} = Config} = Port) ->
    Port#port{config = Config#{mirror := none}};
no_mirror(_, Port) ->
    Port.

%% @doc A port is to be otherwise: the stations that were learned there are
%% forgotten. evum_net has to forget all.
-spec set_port(port_id(), term(), core()) ->
    {ok, port_config(), core()} | {error, no_port | evum_switch_options:error()}.
set_port(Id, Changes, #core{ports = Ports, fdb = Fdb} = Core) ->
    case Ports of
        #{Id := #port{config = Old} = Port} ->
            case check_mirror(Id, evum_switch_options:port(Changes, Old), Ports) of
                {ok, Config} ->
                    Ports1 = Ports#{Id := Port#port{config = Config}},
                    Fdb1 = left(Id, Config, Fdb),
                    {ok, Config, changed(Core#core{ports = Ports1, fdb = Fdb1})};
                {error, _} = Error ->
                    Error
            end;
        #{} ->
            {error, no_port}
    end.

%% Another port, that there is.
check_mirror(Id, {ok, #{mirror := Mirror} = Config}, Ports) when Mirror =/= none ->
    case Mirror =/= Id andalso is_map_key(Mirror, Ports) of
        true -> {ok, Config};
        false -> {error, {bad_option, mirror, Mirror}}
    end;
check_mirror(_, Result, _) ->
    Result.

%% Nothing that was learned there, and no static station of another VLAN.
left(Id, #{vlan := Vlans}, Fdb) ->
    {_, Fdb1} = evum_fdb:flush(Id, Fdb),
    lists:foldl(
        fun evum_fdb:remove/2,
        Fdb1,
        [
            Station
         || Station <- evum_fdb:static(Id, Fdb1),
            not evum_vlan:is_member(evum_fdb:vlan(Station), Vlans)
        ]
    ).

%% @doc Between which ports frames do not pass, in that direction; all others do.
%% Pairs with a port that is not there are of no use. What evum_net is told, which
%% has to forget all.
-spec block(term(), core()) ->
    {ok, [{port_id(), binary()}], core()} | {error, {bad_option, block, term()}}.
block(Pairs, #core{ports = Ports} = Core) when is_list(Pairs) ->
    case [Bad || Bad <- Pairs, not is_pair(Bad)] of
        [] ->
            Known = [
                Pair
             || {From, To} = Pair <- Pairs, is_map_key(From, Ports), is_map_key(To, Ports)
            ],
            Blocked = maps:map(
                fun(_, To) -> maps:from_keys(To, []) end,
                maps:groups_from_list(fun({From, _}) -> From end, fun({_, To}) -> To end, Known)
            ),
            Core1 = changed(Core#core{blocked = Blocked}),
            Told = [{Id, <<<<To:32>> || To <- blocked(Id, Core1)>>} || Id <- maps:keys(Blocked)],
            {ok, Told, Core1};
        [Bad | _] ->
            {error, {bad_option, block, Bad}}
    end;
block(Pairs, _Core) ->
    {error, {bad_option, block, Pairs}}.

is_pair({From, To}) -> is_integer(From) andalso is_integer(To);
is_pair(_) -> false.

%% @doc To which ports no frame of a port goes.
-spec blocked(port_id(), core()) -> [port_id()].
blocked(Id, #core{blocked = Blocked}) ->
    lists:sort(maps:keys(maps:get(Id, Blocked, #{}))).

changed(Core) ->
    Core#core{told = #{}, floods = #{}}.

%% @doc The ports, with their kinds and the processes of their peers.
-spec ports(core()) -> #{port_id() => {Kind :: atom(), Peer :: non_neg_integer()}}.
ports(#core{ports = Ports}) ->
    maps:map(fun(_, #port{kind = Kind, peer = Peer}) -> {Kind, Peer} end, Ports).

%% @doc How a port is to be.
-spec port(port_id(), core()) -> {ok, port_config()} | {error, no_port}.
port(Id, #core{ports = Ports}) ->
    case Ports of
        #{Id := #port{config = Config}} -> {ok, Config};
        #{} -> {error, no_port}
    end.

%% @doc Frames that were dropped by what is decided here, by reason.
-spec drops(port_id(), core()) -> #{atom() => pos_integer()}.
drops(Id, #core{ports = Ports}) ->
    case Ports of
        #{Id := #port{drops = Drops}} -> Drops;
        #{} -> #{}
    end.

%% @doc How many times a station was heard of at another port than before.
-spec moves(core()) -> non_neg_integer().
moves(#core{moves = Moves}) ->
    Moves.

%% @doc The hooks of the switch.
-spec hooks(core()) -> evum_switch_hooks:hooks().
hooks(#core{hooks = Hooks}) ->
    Hooks.

%% @doc The switch with other hooks.
-spec with_hooks(evum_switch_hooks:hooks(), core()) -> core().
with_hooks(Hooks, Core) ->
    Core#core{hooks = Hooks}.

%%% Frames

-record(batch, {
    now :: integer(),
    out = [] :: iolist(),
    notices = [] :: [notice()],
    %% the latest source and destination that evum_net was told of
    source = none :: evum_fdb:station() | none,
    destination = none :: evum_fdb:station() | none
}).

%% @doc Decide on a batch of frames from evum_net: the answer for it, and what
%% is worth telling people.
-spec frames(binary(), core()) -> {ok, iodata(), [notice()], core()} | malformed.
frames(Bytes, Core) ->
    maybe_frames(evum_frames:begun(Bytes), byte_size(Bytes), Core).

maybe_frames({Now, Frames}, Size, Core) ->
    case evum_frames:fold(fun frame/3, {#batch{now = Now}, Core}, Frames) of
        {ok, {#batch{out = Out, notices = Notices}, Core1}} ->
            Answer = [evum_frames:answers(Size) | lists:reverse(Out)],
            {ok, Answer, lists:reverse(Notices), Core1};
        malformed ->
            malformed
    end;
maybe_frames(malformed, _, _) ->
    malformed.

frame(#{copy := true, hooks := Mask} = Up, Frame, {Batch, #core{hooks = Hooks} = Core}) ->
    failed(evum_switch_hooks:copies(Mask, info(Up), Frame, Hooks), {Batch, Core});
frame(#{port := In, vlan := Vlan} = Up, <<_:48, From:48, _/binary>> = Frame, {Batch, Core}) ->
    case Core#core.ports of
        #{In := #port{config = #{up := PortUp, vlan := Vlans}} = Port} ->
            %% It may have been on its way when the port was set.
            case PortUp andalso evum_vlan:is_member(Vlan, Vlans) of
                true ->
                    Station = evum_fdb:station(Vlan, From),
                    case learn(Station, From, Port, Up, Batch, Core) of
                        {ok, Batch1, Core1} -> hooked(Port, Up, Frame, Batch1, Core1);
                        {drop, Reason} -> {Batch, dropped(In, Reason, Core)}
                    end;
                false when PortUp ->
                    {Batch, dropped(In, rx_vlan, Core)};
                false ->
                    {Batch, dropped(In, rx_down, Core)}
            end;
        #{} ->
            {Batch, Core}
    end;
frame(_Up, _Runt, Acc) ->
    Acc.

hooked(Port, #{hooks := 0} = Up, Frame, Batch, Core) ->
    {Where, Batch1, Core1} = decide(Port, Up, Frame, Batch, Core),
    send(Where, Up, Frame, Batch1, Core1);
hooked(Port, #{hooks := Mask, port := In} = Up, Frame, Batch, #core{hooks = Hooks} = Core) ->
    Info = info(Up),
    Failed = evum_switch_hooks:copies(Mask, Info, Frame, Hooks),
    {Verdict, Frame1, Failed1} = evum_switch_hooks:input(Mask, Info, Frame, Hooks),
    {Batch1, Core1} = failed(Failed ++ Failed1, {Batch, Core}),
    case Verdict of
        forward ->
            {Where, Batch2, Core2} = decide(Port, Up, Frame1, Batch1, Core1),
            case evum_switch_hooks:has_output(Mask, Hooks) of
                true -> output(outs(Where, Up, Core2), Up, Frame1, Batch2, Core2);
                false -> send(Where, Up, Frame1, Batch2, Core2)
            end;
        drop ->
            {Batch1, dropped(In, rx_hook_dropped, Core1)};
        {to, Ports} ->
            send({ports, Ports}, Up, Frame1, Batch1, Core1)
    end.

output([], _Up, _Frame, Batch, Core) ->
    {Batch, Core};
output([Out | Outs], #{hooks := Mask} = Up, Frame, Batch, #core{hooks = Hooks} = Core) ->
    {Ports, Frame1, Failed} = evum_switch_hooks:output(Mask, info(Up), Out, Frame, Hooks),
    {Batch1, Core1} = failed(Failed, {Batch, Core}),
    {Batch2, Core2} = send({ports, Ports}, Up, Frame1, Batch1, Core1),
    output(Outs, Up, Frame, Batch2, Core2).

info(#{port := In, vlan := Vlan}) ->
    #{switch => self(), port => In, vlan => Vlan, direction => in}.

%% They are called no more, even in this batch.
failed(Ids, Acc) ->
    lists:foldl(
        fun(Id, {#batch{notices = Notices} = Batch, #core{hooks = Hooks} = Core}) ->
            case evum_switch_hooks:remove(Id, Hooks) of
                {ok, Hooks1} ->
                    {Batch#batch{notices = [{failed, Id} | Notices]}, Core#core{hooks = Hooks1}};
                error ->
                    {Batch, Core}
            end
        end,
        Acc,
        Ids
    ).

dropped(In, Reason, #core{ports = Ports} = Core) ->
    #{In := #port{drops = Drops} = Port} = Ports,
    Drops1 = maps:update_with(Reason, fun(N) -> N + 1 end, 1, Drops),
    Core#core{ports = Ports#{In := Port#port{drops = Drops1}}}.

%% IEEE 802: the lowest bit of the first byte marks a group, which is nobody's
%% source.
learn(_, From, #port{config = #{learning := Learning}}, _Up, Batch, Core) when
    not Learning; From =:= 0; From band ?GROUP =/= 0
->
    {ok, Batch, Core};
learn(Station, _, #port{config = #{mac_limit := infinity}}, Up, Batch, Core) ->
    learned(Station, Up, Batch, Core);
learn(Station, _, #port{config = #{mac_limit := Limit}}, #{port := In} = Up, Batch, Core) ->
    #core{fdb = Fdb} = Core,
    case evum_fdb:is_at(In, Station, Fdb) orelse evum_fdb:count(In, Fdb) < Limit of
        true -> learned(Station, Up, Batch, Core);
        false -> {drop, rx_mac_limit}
    end.

learned(Station, #{port := In, source_known := Known}, #batch{now = Now} = Batch, Core) ->
    {Outcome, Gone, Fdb} = evum_fdb:learn(Now, In, Station, Core#core.fdb),
    Core1 = Core#core{fdb = Fdb},
    case Outcome of
        known when Known ->
            {ok, Batch, Core1};
        static ->
            {ok, Batch, Core1};
        {moved, From} ->
            {Batch1, Core2} = moved({moved, Station, From, In}, Batch, Core1),
            {ok, tell_source(Station, In, Batch1, Core2), Core2};
        _ ->
            {ok, tell_source(Station, In, emit(forget(Gone, Core1), Batch), Core1), Core1}
    end.

moved(Notice, #batch{notices = Notices} = Batch, #core{moves = Moves} = Core) ->
    Core1 = Core#core{moves = Moves + 1},
    case length(Notices) < ?NOTICES of
        true -> {Batch#batch{notices = [Notice | Notices]}, Core1};
        false -> {Batch, Core1}
    end.

emit([], Batch) -> Batch;
emit(Record, #batch{out = Out} = Batch) -> Batch#batch{out = [Record | Out]}.

forget(_, #core{relay = true}) -> [];
forget(Stations, _) -> [evum_frames:forget(Station) || Station <- Stations].

tell_source(_, _, Batch, #core{relay = true}) ->
    Batch;
tell_source(Station, _, #batch{source = Station} = Batch, _) ->
    Batch;
tell_source(Station, In, Batch, #core{fdb = Fdb}) ->
    {In, Age} = evum_fdb:lookup(Batch#batch.now, Station, Fdb),
    Batch1 = emit(evum_frames:station(Station, In, seen_at(Age, Batch)), Batch),
    %% What was told of a destination may be of this one.
    Batch1#batch{source = Station, destination = none}.

seen_at(static, _) -> static;
seen_at(Age, #batch{now = Now}) -> Now - Age.

%% @doc A frame is to leave at a port: what evum_net is to be sent.
-spec inject(port_id(), evum_fdb:vlan(), binary(), core()) -> iodata().
inject(Id, Vlan, Frame, #core{ports = Ports}) ->
    case Ports of
        #{Id := #port{config = #{up := true}}} -> evum_frames:down(Id, Vlan, Frame);
        #{} -> []
    end.

%% @doc Count something that was refused to a port, with what it has dropped.
-spec count(port_id(), atom(), core()) -> core().
count(Id, Reason, #core{ports = Ports} = Core) when is_map_key(Id, Ports) ->
    dropped(Id, Reason, Core);
count(_, _, Core) ->
    Core.

%%% Where a frame goes

decide(_Port, _Up, <<_:7, 1:1, _/binary>>, Batch, Core) ->
    {flood, Batch, Core};
decide(_Port, #{port := In, vlan := Vlan, age := Hint}, <<To:48, _/binary>>, Batch, Core) ->
    #batch{now = Now} = Batch,
    Station = evum_fdb:station(Vlan, To),
    Fdb = refresh(Hint, Now, Station, Core#core.fdb),
    Core1 = Core#core{fdb = Fdb},
    case evum_fdb:lookup(Now, Station, Fdb) of
        unknown ->
            {flood, tell_destination(Station, unknown, 0, Hint, Batch, Core1), Core1};
        {Out, Age} ->
            Batch1 = tell_destination(Station, Out, Age, Hint, Batch, Core1),
            case may_pass(In, Out, Core1) of
                _ when Out =:= In -> {nowhere, Batch1, Core1};
                true -> {{port, Out}, Batch1, Core1};
                false -> {nowhere, Batch1, dropped(In, rx_isolated, Core1)}
            end
    end.

send(nowhere, _Up, _Frame, Batch, Core) ->
    {Batch, Core};
send({port, Out}, #{tci := Tci}, Frame, Batch, Core) ->
    {emit(evum_frames:down(Out, Tci, Frame), Batch), Core};
send({ports, []}, _Up, _Frame, Batch, Core) ->
    {Batch, Core};
send({ports, Outs}, #{tci := Tci}, Frame, Batch, Core) ->
    {emit(evum_frames:down(evum_frames:ports(Outs), Tci, Frame), Batch), Core};
send(flood, Up, Frame, Batch, Core) ->
    flood(Up, Frame, Batch, Core).

%% The ports that a frame goes to.
outs(nowhere, _, _) ->
    [];
outs({port, Out}, _, _) ->
    [Out];
outs(flood, #{port := In, vlan := Vlan}, #core{ports = Ports} = Core) ->
    [
        Id
     || {Id, Other} <- lists:sort(maps:to_list(Ports)),
        Id =/= In,
        is_member(Vlan, Other),
        may_pass(In, Id, Core)
    ].

refresh(unknown, _Now, _Station, Fdb) -> Fdb;
refresh(Age, Now, Station, Fdb) -> evum_fdb:seen(Now - Age, there, Station, Fdb).

tell_destination(_, _, _, _, Batch, #core{relay = true}) ->
    Batch;
tell_destination(_, _, _, Hint, Batch, _) when Hint =/= unknown ->
    Batch;
tell_destination(Station, _, _, _, #batch{destination = Station} = Batch, _) ->
    Batch;
tell_destination(Station, Out, Age, _, Batch, _) ->
    Batch1 = emit(evum_frames:station(Station, Out, seen_at(Age, Batch)), Batch),
    Batch1#batch{destination = Station}.

flood(#{port := In, vlan := Vlan} = Up, Frame, Batch, #core{floods = Floods} = Core) ->
    case Floods of
        #{{In, Vlan} := Ports} ->
            {emit(flooded(Ports, Up, Frame, Core), Batch), Core};
        #{} ->
            {Batch1, Core1} = tell_flood(Vlan, Batch, Core),
            Ports = evum_frames:ports(outs(flood, Up, Core1)),
            Core2 = Core1#core{floods = Floods#{{In, Vlan} => Ports}},
            {emit(flooded(Ports, Up, Frame, Core2), Batch1), Core2}
    end.

%% Frames to groups were counted when they came in.
flooded(Ports, #{port := In, tci := Tci}, <<_:7, 0:1, _/binary>> = Frame, #core{storm = true}) ->
    evum_frames:flooded(In, Ports, Tci, Frame);
flooded(Ports, #{tci := Tci}, Frame, _) ->
    evum_frames:down(Ports, Tci, Frame).

%% evum_net leaves out the port that a frame came from, and those that its frames
%% may not pass to.
tell_flood(_, Batch, #core{relay = true} = Core) ->
    {Batch, Core};
tell_flood(Vlan, Batch, #core{told = Told} = Core) when is_map_key(Vlan, Told) ->
    {Batch, Core};
tell_flood(Vlan, Batch, #core{told = Told, ups = Ups, ports = Ports} = Core) ->
    Members = [Id || {Id, Port} <- maps:to_list(Ports), is_member(Vlan, Port)],
    Record = evum_frames:flood(Vlan, Ups, evum_frames:ports(Members)),
    {emit(Record, Batch), Core#core{told = Told#{Vlan => []}}}.

is_member(Vlan, #port{config = #{up := Up, vlan := Vlans}}) ->
    Up andalso evum_vlan:is_member(Vlan, Vlans).

may_pass(In, Out, #core{ports = Ports, blocked = Blocked}) ->
    case {Ports, Blocked} of
        {_, #{In := #{Out := _}}} ->
            false;
        {#{In := #port{config = #{isolated := true}}, Out := #port{config = #{isolated := true}}}, _} ->
            false;
        _ ->
            true
    end.

%%% Stations

%% @doc evum_net tells whom it has seen.
-spec seen(integer(), binary(), core()) -> core().
seen(Now, Seen, #core{fdb = Fdb} = Core) ->
    Core#core{
        fdb = lists:foldl(
            fun({Station, Port, Age}, Acc) -> evum_fdb:seen(Now - Age, Port, Station, Acc) end,
            Fdb,
            evum_frames:seen(Seen)
        )
    }.

%% @doc Forget who was not seen for the ageing time.
-spec expire(integer(), core()) -> {core(), iodata()}.
expire(Now, #core{fdb = Fdb} = Core) ->
    {Gone, Fdb1} = evum_fdb:expire(Now, Fdb),
    {Core#core{fdb = Fdb1}, forget(Gone, Core)}.

%% @doc The stations, see {@link evum_fdb:to_list/2}.
-spec fdb(integer(), core()) -> [{evum_fdb:station(), port_id(), non_neg_integer() | static}].
fdb(Now, #core{fdb = Fdb}) ->
    evum_fdb:to_list(Now, Fdb).

%% @doc How many stations were learned.
-spec size(core()) -> non_neg_integer().
size(#core{fdb = Fdb}) ->
    evum_fdb:size(Fdb).

%% @doc A station is at a port from now on, whatever is heard of it.
-spec add_static(port_id(), evum_fdb:vlan(), evum_fdb:mac(), core()) ->
    {ok, core(), iodata()} | {error, no_port | not_a_member}.
add_static(Id, Vlan, Mac, #core{ports = Ports, fdb = Fdb} = Core) ->
    Station = evum_fdb:station(Vlan, Mac),
    case Ports of
        #{Id := Port} ->
            case is_member(Vlan, Port) of
                true ->
                    {ok, Core#core{fdb = evum_fdb:add_static(Id, Station, Fdb)},
                        forget([Station], Core)};
                false ->
                    {error, not_a_member}
            end;
        #{} ->
            {error, no_port}
    end.

%% @doc Forget a station, static or not.
-spec remove(evum_fdb:vlan(), evum_fdb:mac(), core()) -> {core(), iodata()}.
remove(Vlan, Mac, #core{fdb = Fdb} = Core) ->
    Station = evum_fdb:station(Vlan, Mac),
    {Core#core{fdb = evum_fdb:remove(Station, Fdb)}, forget([Station], Core)}.

%% @doc Forget all stations that were learned. evum_net has to forget all, too.
-spec flush(core()) -> core().
flush(#core{fdb = Fdb} = Core) ->
    changed(Core#core{fdb = evum_fdb:flush(Fdb)}).

%% @doc Forget the stations that were learned at a port.
-spec flush(port_id(), core()) -> {core(), iodata()}.
flush(Id, #core{fdb = Fdb} = Core) ->
    {Gone, Fdb1} = evum_fdb:flush(Id, Fdb),
    {Core#core{fdb = Fdb1}, forget(Gone, Core)}.
