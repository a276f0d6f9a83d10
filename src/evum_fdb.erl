%% SPDX-License-Identifier: Apache-2.0
%% @doc The forwarding database of a learning switch: which station (an address
%% in a VLAN) is behind which port.
%%
%% It is pure: time is an argument, in milliseconds of any clock that does not
%% go back. {@link evum_switch_core} makes decisions of it.
%%
%% A frame costs one or two look-ups in a map. What is aged or has to go
%% because the table is full is found without a walk over the table: a queue,
%% ordered by time, holds each station once, under a time at which it was
%% last known to be seen. Frames do not move it there, since they come too
%% often; it is moved when it reaches the head of the queue and turns out to
%% have been seen since. So the head, once its time is true, is the oldest
%% station, and a station is looked at once in an ageing time.
%%
%% Static stations are no part of that: they stay until they are removed or
%% their port goes.
-module(evum_fdb).

-export([new/1, learn/4, lookup/3, seen/4, expire/2, port_down/2]).
-export([add_static/3, static/2, remove/2, flush/1, flush/2]).
-export([to_list/2, size/1, count/2, is_at/3, station/2, mac/1, vlan/1]).

-export_type([fdb/0, options/0, port_id/0, mac/0, vlan/0, station/0, time_ms/0, learned/0]).

-type port_id() :: non_neg_integer().
%% The six bytes of an address, as a big-endian number.
-type mac() :: 0..16#ffffffffffff.
-type vlan() :: 0..4095.
%% An address in a VLAN.
-type station() :: non_neg_integer().
-type time_ms() :: integer().
-type options() :: #{ageing => pos_integer(), fdb_size => pos_integer(), _ => _}.
%% `static': it stays where it was put, which is another port.
-type learned() :: known | new | {moved, From :: port_id()} | static.

-define(AGEING, 300_000).
-define(FDB_SIZE, 65536).

-record(fdb, {
    ageing :: pos_integer(),
    limit :: pos_integer(),
    %% Queued is the station's key in the queue: at most Seen.
    stations = #{} :: #{station() => {port_id(), Seen :: time_ms(), Queued :: time_ms()}},
    static = #{} :: #{station() => port_id()},
    queue = gb_sets:new() :: gb_sets:set({Queued :: time_ms(), station()}),
    %% for a port that goes; static ones are not in it
    by_port = #{} :: #{port_id() => #{station() => []}}
}).

-opaque fdb() :: #fdb{}.

%% @doc An empty table. `ageing': milliseconds after which a station that was
%% not heard of is forgotten, 300 000 unless told. `fdb_size': how many
%% stations it holds at most, the oldest goes first; 65536 unless told.
-spec new(options()) -> fdb().
new(Options) ->
    #fdb{
        ageing = maps:get(ageing, Options, ?AGEING),
        limit = maps:get(fdb_size, Options, ?FDB_SIZE)
    }.

%% @doc The station of an address in a VLAN.
-spec station(vlan(), mac()) -> station().
station(Vlan, Mac) ->
    Vlan bsl 48 bor Mac.

%% @doc The address of a station.
-spec mac(station()) -> mac().
mac(Station) ->
    Station band 16#ffffffffffff.

%% @doc The VLAN of a station.
-spec vlan(station()) -> vlan().
vlan(Station) ->
    Station bsr 48.

%% @doc A station, which is no group, has sent a frame from a port. Which
%% stations had to go for it, because the table is full, is returned.
-spec learn(time_ms(), port_id(), station(), fdb()) -> {learned(), [station()], fdb()}.
learn(Now, In, Station, #fdb{stations = Stations, static = Static, ageing = Ageing} = Fdb) ->
    case Stations of
        #{Station := {In, Now, _}} ->
            {known, [], Fdb};
        #{Station := {In, Seen, Queued}} when Now - Seen < Ageing ->
            {known, [], Fdb#fdb{stations = Stations#{Station := {In, Now, Queued}}}};
        #{Station := {In, _, Queued}} ->
            {new, [], Fdb#fdb{stations = Stations#{Station := {In, Now, Queued}}}};
        #{Station := {Port, Seen, Queued}} ->
            Fdb1 = Fdb#fdb{
                stations = Stations#{Station := {In, Now, Queued}},
                by_port = add_to_port(In, Station, del_from_port(Port, Station, Fdb#fdb.by_port))
            },
            case Now - Seen < Ageing of
                true -> {{moved, Port}, [], Fdb1};
                false -> {new, [], Fdb1}
            end;
        #{} ->
            case Static of
                #{Station := In} -> {known, [], Fdb};
                #{Station := _} -> {static, [], Fdb};
                #{} ->
                    {Gone, Fdb1} = make_room(Fdb),
                    {new, Gone, add(Now, In, Station, Fdb1)}
            end
    end.

%% @doc Where a station is, and for how many milliseconds it was not seen.
-spec lookup(time_ms(), station(), fdb()) ->
    {port_id(), Age :: non_neg_integer() | static} | unknown.
lookup(Now, Station, #fdb{stations = Stations, static = Static, ageing = Ageing}) ->
    case Stations of
        #{Station := {Port, Seen, _}} when Now - Seen < Ageing -> {Port, Now - Seen};
        #{Station := _} -> unknown;
        #{} ->
            case Static of
                #{Station := Port} -> {Port, static};
                #{} -> unknown
            end
    end.

%% @doc A station was seen behind a port, or where it is known to be (`there'),
%% at a time that may be long ago. What contradicts the table is left out.
-spec seen(time_ms(), port_id() | there, station(), fdb()) -> fdb().
seen(At, Port, Station, #fdb{stations = Stations} = Fdb) ->
    case Stations of
        #{Station := {There, Seen, Queued}} when At > Seen, Port =:= There orelse Port =:= there ->
            Fdb#fdb{stations = Stations#{Station := {There, At, Queued}}};
        #{} ->
            Fdb
    end.

add(Now, In, Station, #fdb{stations = Stations, queue = Queue, by_port = ByPort} = Fdb) ->
    Fdb#fdb{
        stations = Stations#{Station => {In, Now, Now}},
        queue = gb_sets:add_element({Now, Station}, Queue),
        by_port = add_to_port(In, Station, ByPort)
    }.

make_room(#fdb{stations = Stations, limit = Limit} = Fdb) when map_size(Stations) < Limit ->
    {[], Fdb};
make_room(#fdb{queue = Queue} = Fdb) ->
    {{Queued, Station}, Rest} = gb_sets:take_smallest(Queue),
    case requeue(Queued, Station, Fdb#fdb{queue = Rest}) of
        {oldest, Fdb1} -> {[Station], drop(Station, Fdb1)};
        {younger, Fdb1} -> make_room(Fdb1)
    end.

%% @doc Forget the stations that were not heard of for the ageing time: those.
%% What {@link lookup/3} tells does not depend on it, only memory does.
-spec expire(time_ms(), fdb()) -> {[station()], fdb()}.
expire(Now, Fdb) ->
    expire(Now, [], Fdb).

expire(Now, Gone, #fdb{queue = Queue, ageing = Ageing} = Fdb) ->
    case gb_sets:is_empty(Queue) of
        true ->
            {Gone, Fdb};
        false ->
            case gb_sets:smallest(Queue) of
                {Queued, _} when Now - Queued < Ageing -> {Gone, Fdb};
                {Queued, Station} -> expire(Now, Queued, Station, Gone, Fdb)
            end
    end.

expire(Now, Queued, Station, Gone, #fdb{queue = Queue} = Fdb) ->
    Rest = gb_sets:del_element({Queued, Station}, Queue),
    case requeue(Queued, Station, Fdb#fdb{queue = Rest}) of
        {oldest, Fdb1} -> expire(Now, [Station | Gone], drop(Station, Fdb1));
        {younger, Fdb1} -> expire(Now, Gone, Fdb1)
    end.

%% A station was taken off the head of the queue: `oldest' if it was not seen
%% since, else it goes back to where it now belongs.
requeue(Queued, Station, #fdb{stations = Stations, queue = Queue} = Fdb) ->
    case Stations of
        #{Station := {_, Queued, _}} ->
            {oldest, Fdb};
        #{Station := {Port, Seen, _}} ->
            {younger, Fdb#fdb{
                stations = Stations#{Station := {Port, Seen, Seen}},
                queue = gb_sets:add_element({Seen, Station}, Queue)
            }}
    end.

%% It is no longer in the queue.
drop(Station, #fdb{stations = Stations, by_port = ByPort} = Fdb) ->
    {{Port, _, _}, Rest} = maps:take(Station, Stations),
    Fdb#fdb{stations = Rest, by_port = del_from_port(Port, Station, ByPort)}.

%% @doc A station is behind a port, whatever is heard of it.
-spec add_static(port_id(), station(), fdb()) -> fdb().
add_static(Port, Station, Fdb) ->
    #fdb{static = Static} = Fdb1 = remove(Station, Fdb),
    Fdb1#fdb{static = Static#{Station => Port}}.

%% @doc The static stations behind a port.
-spec static(port_id(), fdb()) -> [station()].
static(Port, #fdb{static = Static}) ->
    [Station || {Station, P} <- maps:to_list(Static), P =:= Port].

%% @doc Forget a station, static or learned.
-spec remove(station(), fdb()) -> fdb().
remove(Station, #fdb{stations = Stations, queue = Queue, static = Static} = Fdb) ->
    case Stations of
        #{Station := {_, _, Queued}} ->
            drop(Station, Fdb#fdb{queue = gb_sets:del_element({Queued, Station}, Queue)});
        #{} ->
            Fdb#fdb{static = maps:remove(Station, Static)}
    end.

%% @doc Forget all that was learned.
-spec flush(fdb()) -> fdb().
flush(Fdb) ->
    Fdb#fdb{stations = #{}, queue = gb_sets:new(), by_port = #{}}.

%% @doc Forget what was learned behind a port: those stations.
-spec flush(port_id(), fdb()) -> {[station()], fdb()}.
flush(Port, #fdb{by_port = ByPort} = Fdb) ->
    case maps:take(Port, ByPort) of
        error ->
            {[], Fdb};
        {Stations, Rest} ->
            {maps:keys(Stations), maps:fold(fun forget/3, Fdb#fdb{by_port = Rest}, Stations)}
    end.

%% @doc A port has gone: forget the stations behind it, static ones too.
-spec port_down(port_id(), fdb()) -> {[station()], fdb()}.
port_down(Port, #fdb{static = Static} = Fdb) ->
    {Gone, Fdb1} = flush(Port, Fdb),
    There = static(Port, Fdb),
    {There ++ Gone, Fdb1#fdb{static = maps:without(There, Static)}}.

forget(Station, [], #fdb{stations = Stations, queue = Queue} = Fdb) ->
    {{_, _, Queued}, Rest} = maps:take(Station, Stations),
    Fdb#fdb{stations = Rest, queue = gb_sets:del_element({Queued, Station}, Queue)}.

add_to_port(Port, Station, ByPort) ->
    case ByPort of
        #{Port := Macs} -> ByPort#{Port := Macs#{Station => []}};
        #{} -> ByPort#{Port => #{Station => []}}
    end.

del_from_port(Port, Station, ByPort) ->
    case maps:remove(Station, maps:get(Port, ByPort)) of
        Empty when map_size(Empty) =:= 0 -> maps:remove(Port, ByPort);
        Macs -> ByPort#{Port := Macs}
    end.

%% @doc How many stations were learned behind a port, aged ones included that
%% nobody has removed yet.
-spec count(port_id(), fdb()) -> non_neg_integer().
count(Port, #fdb{by_port = ByPort}) ->
    case ByPort of
        #{Port := Stations} -> map_size(Stations);
        #{} -> 0
    end.

%% @doc Is a station one of those that count for a port?
-spec is_at(port_id(), station(), fdb()) -> boolean().
is_at(Port, Station, #fdb{stations = Stations}) ->
    case Stations of
        #{Station := {Port, _, _}} -> true;
        #{} -> false
    end.

%% @doc The stations that are not aged, in the order of their addresses, each
%% with its port and the milliseconds since it was last seen.
-spec to_list(time_ms(), fdb()) ->
    [{station(), port_id(), Age :: non_neg_integer() | static}].
to_list(Now, #fdb{stations = Stations, static = Static, ageing = Ageing}) ->
    lists:sort(
        [
            {Station, Port, Now - Seen}
         || {Station, {Port, Seen, _}} <- maps:to_list(Stations), Now - Seen < Ageing
        ] ++ [{Station, Port, static} || {Station, Port} <- maps:to_list(Static)]
    ).

%% @doc How many stations were learned, aged ones included that nobody has
%% removed yet.
-spec size(fdb()) -> non_neg_integer().
size(#fdb{stations = Stations}) ->
    map_size(Stations).
