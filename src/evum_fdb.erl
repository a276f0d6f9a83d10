%% SPDX-License-Identifier: Apache-2.0
%% @doc The forwarding database of a learning switch: which station (MAC
%% address) is behind which port, and what follows from it for a frame.
%%
%% It is pure: time is an argument, in milliseconds of any clock that does not
%% go back. {@link evum_switch} carries out what is decided here.
%%
%% A frame costs one or two look-ups in a map. What is aged or has to go
%% because the table is full is found without a walk over the table: a queue,
%% ordered by time, holds each station once, under a time at which it was
%% last known to be seen. Frames do not move it there, since they come too
%% often; it is moved when it reaches the head of the queue and turns out to
%% have been seen since. So the head, once its time is true, is the oldest
%% station, and a station is looked at once in an ageing time.
-module(evum_fdb).

-export([new/1, frame/4, expire/2, port_down/2, to_list/2, size/1]).

-export_type([fdb/0, options/0, decision/0, port_id/0, mac/0, time_ms/0]).

-type port_id() :: non_neg_integer().
%% The six bytes of an address, as a big-endian number.
-type mac() :: 0..16#ffffffffffff.
-type time_ms() :: integer().
-type options() :: #{ageing => pos_integer(), fdb_size => pos_integer()}.
%% `{forward, Port}': to that port alone. `flood': to all ports but the one it
%% came from. `filter': to nobody, for its destination is behind the port that
%% it came from.
-type decision() :: {forward, port_id()} | flood | filter.

-define(AGEING, 300_000).
-define(FDB_SIZE, 65536).

-record(fdb, {
    ageing :: pos_integer(),
    limit :: pos_integer(),
    %% Queued is the station's key in the queue: at most Seen.
    stations = #{} :: #{mac() => {port_id(), Seen :: time_ms(), Queued :: time_ms()}},
    queue = gb_sets:new() :: gb_sets:set({Queued :: time_ms(), mac()}),
    %% for a port that goes
    by_port = #{} :: #{port_id() => #{mac() => []}}
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

%% @doc A frame has come in at a port: learn where its source is, and decide
%% where it goes. What is shorter than two addresses goes nowhere.
-spec frame(time_ms(), port_id(), Frame :: binary(), fdb()) -> {decision(), fdb()}.
frame(Now, In, <<Destination:48, Source:48, _/binary>>, Fdb) ->
    Fdb1 = learn(Now, In, Source, Fdb),
    {decide(Now, In, Destination, Fdb1), Fdb1};
frame(_Now, _In, _Frame, Fdb) ->
    {filter, Fdb}.

%% IEEE 802: the lowest bit of the first byte marks a group, which is nobody's
%% source.
decide(_Now, _In, Group, _Fdb) when Group band 16#010000000000 =/= 0 ->
    flood;
decide(Now, In, Station, #fdb{stations = Stations, ageing = Ageing}) ->
    case Stations of
        #{Station := {_, Seen, _}} when Now - Seen >= Ageing -> flood;
        #{Station := {In, _, _}} -> filter;
        #{Station := {Port, _, _}} -> {forward, Port};
        #{} -> flood
    end.

learn(_Now, _In, 0, Fdb) ->
    Fdb;
learn(_Now, _In, Group, Fdb) when Group band 16#010000000000 =/= 0 ->
    Fdb;
learn(Now, In, Station, #fdb{stations = Stations} = Fdb) ->
    case Stations of
        #{Station := {In, Now, _}} ->
            Fdb;
        #{Station := {In, _, Queued}} ->
            Fdb#fdb{stations = Stations#{Station := {In, Now, Queued}}};
        #{Station := {Port, _, Queued}} ->
            Fdb#fdb{
                stations = Stations#{Station := {In, Now, Queued}},
                by_port = add_to_port(In, Station, del_from_port(Port, Station, Fdb#fdb.by_port))
            };
        #{} ->
            add(Now, In, Station, make_room(Fdb))
    end.

add(Now, In, Station, #fdb{stations = Stations, queue = Queue, by_port = ByPort} = Fdb) ->
    Fdb#fdb{
        stations = Stations#{Station => {In, Now, Now}},
        queue = gb_sets:add_element({Now, Station}, Queue),
        by_port = add_to_port(In, Station, ByPort)
    }.

make_room(#fdb{stations = Stations, limit = Limit} = Fdb) when map_size(Stations) < Limit ->
    Fdb;
make_room(#fdb{queue = Queue} = Fdb) ->
    {{Queued, Station}, Rest} = gb_sets:take_smallest(Queue),
    case requeue(Queued, Station, Fdb#fdb{queue = Rest}) of
        {oldest, Fdb1} -> remove(Station, Fdb1);
        {younger, Fdb1} -> make_room(Fdb1)
    end.

%% @doc Forget the stations that were not heard of for the ageing time. What
%% {@link frame/4} decides does not depend on it, only memory does.
-spec expire(time_ms(), fdb()) -> fdb().
expire(Now, #fdb{queue = Queue, ageing = Ageing} = Fdb) ->
    case gb_sets:is_empty(Queue) of
        true ->
            Fdb;
        false ->
            case gb_sets:smallest(Queue) of
                {Queued, _} when Now - Queued < Ageing -> Fdb;
                {Queued, Station} -> expire(Now, Queued, Station, Fdb)
            end
    end.

expire(Now, Queued, Station, #fdb{queue = Queue, ageing = Ageing} = Fdb) ->
    Rest = gb_sets:del_element({Queued, Station}, Queue),
    case requeue(Queued, Station, Fdb#fdb{queue = Rest}) of
        {oldest, Fdb1} when Now - Queued >= Ageing -> expire(Now, remove(Station, Fdb1));
        {younger, Fdb1} -> expire(Now, Fdb1)
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
remove(Station, #fdb{stations = Stations, by_port = ByPort} = Fdb) ->
    {{Port, _, _}, Rest} = maps:take(Station, Stations),
    Fdb#fdb{stations = Rest, by_port = del_from_port(Port, Station, ByPort)}.

%% @doc A port has gone: forget the stations behind it.
-spec port_down(port_id(), fdb()) -> fdb().
port_down(Port, #fdb{by_port = ByPort} = Fdb) ->
    case maps:take(Port, ByPort) of
        error ->
            Fdb;
        {Macs, Rest} ->
            maps:fold(fun forget/3, Fdb#fdb{by_port = Rest}, Macs)
    end.

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

%% @doc The stations that are not aged, in the order of their addresses, each
%% with its port and the milliseconds since it was last seen.
-spec to_list(time_ms(), fdb()) -> [{mac(), port_id(), Age :: non_neg_integer()}].
to_list(Now, #fdb{stations = Stations, ageing = Ageing}) ->
    lists:sort([
        {Station, Port, Now - Seen}
     || {Station, {Port, Seen, _}} <- maps:to_list(Stations), Now - Seen < Ageing
    ]).

%% @doc How many stations the table holds, aged ones included that nobody has
%% removed yet.
-spec size(fdb()) -> non_neg_integer().
size(#fdb{stations = Stations}) ->
    map_size(Stations).
