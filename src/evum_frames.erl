%% SPDX-License-Identifier: Apache-2.0
%% @doc The frame batches between the BEAM and `evum_net', in both directions.
%%
%% `doc/port-protocol.md' draws them; `c_src/net/frames.c' is the other end.
%% Frames are parts of the batch that they came in, not copies.
-module(evum_frames).

-export([begun/1, fold/3, ports/1, down/3, flooded/4, station/3, forget/1, flood/3, answers/1, seen/1]).

-export_type([up/0, port_list/0, tci/0]).

-type port_id() :: evum_fdb:port_id().
-type tci() :: 0..16#ffff.
%% What comes with a frame: the port it came in at, its tag control information
%% (802.1Q: priority, drop eligibility, VLAN; 0 where the port has no VLANs) and
%% the VLAN of that, whether evum_net
%% knows its source, for how many milliseconds its destination was not seen,
%% where evum_net knows that, and a mask of the hooks that match. A `copy' is
%% for observers alone: evum_net has passed the frame on.
-type up() :: #{
    port := port_id(),
    tci := tci(),
    vlan := evum_fdb:vlan(),
    source_known := boolean(),
    age := non_neg_integer() | unknown,
    hooks := non_neg_integer(),
    copy := boolean()
}.
%% Ports in the form that frames are sent with, made once for many frames.
-opaque port_list() :: {Count :: non_neg_integer(), binary()}.

-define(FRAME, 0).
-define(STATION, 1).
-define(FORGET, 2).
-define(FLOOD, 3).
-define(ANSWERS, 4).
-define(VLAN_ID, 16#fff).
-define(NO_AGE, 16#ffffffff).

%% @doc The time of a batch, by the clock of evum_net, and its frames.
-spec begun(binary()) -> {evum_fdb:time_ms(), Frames :: binary()} | malformed.
begun(<<Now:64, Frames/binary>>) -> {Now, Frames};
begun(_) -> malformed.

%% @doc Fold over the frames of a batch from `evum_net'; `malformed' where the
%% lengths do not fit.
-spec fold(fun((up(), Frame :: binary(), Acc) -> Acc), Acc, binary()) ->
    {ok, Acc} | malformed.
fold(
    Fun,
    Acc,
    <<Port:32, Size:32, Tci:16, Flags:8, 0, Age:32, Hooks:32, Frame:Size/binary, Rest/binary>>
) ->
    Up = #{
        port => Port,
        tci => Tci,
        vlan => Tci band ?VLAN_ID,
        source_known => Flags band 1 =:= 1,
        age => age(Age),
        hooks => Hooks,
        copy => Flags band 2 =:= 2
    },
    fold(Fun, Fun(Up, Frame, Acc), Rest);
fold(_Fun, Acc, <<>>) ->
    {ok, Acc};
fold(_Fun, _Acc, _) ->
    malformed.

age(?NO_AGE) -> unknown;
age(Age) -> Age.

%% @doc Prepare a list of ports.
-spec ports([port_id()]) -> port_list().
ports(Ports) ->
    {length(Ports), <<<<Port:32>> || Port <- Ports>>}.

%% @doc A frame for one port or a list of them.
-spec down(port_id() | port_list(), tci(), Frame :: binary()) -> iodata().
down({Count, Ports}, Tci, Frame) ->
    [<<?FRAME, 0, Tci:16, Count:32, (byte_size(Frame)):32, Ports/binary>>, Frame];
down(Port, Tci, Frame) ->
    [<<?FRAME, 0, Tci:16, 1:32, (byte_size(Frame)):32, Port:32>>, Frame].

%% @doc A frame to a station that nobody knows, for a list of ports, if there is
%% room for it in the storm limit of the port that it came from.
-spec flooded(In :: port_id(), port_list(), tci(), Frame :: binary()) -> iodata().
flooded(In, {Count, Ports}, Tci, Frame) ->
    [<<?FRAME, 1, Tci:16, (Count + 1):32, (byte_size(Frame)):32, In:32, Ports/binary>>, Frame].

%% @doc A station is behind a port, or flooded (`unknown'); it was last seen at
%% that time by evum_net's clock, or never ages.
-spec station(evum_fdb:station(), port_id() | unknown, evum_fdb:time_ms() | static) -> binary().
station(Station, unknown, Seen) -> station(Station, 0, Seen);
station(Station, Port, static) -> <<?STATION, 1, 0:16, Station:64, Port:32, 0:32>>;
station(Station, Port, Seen) -> <<?STATION, 0, 0:16, Station:64, Port:32, Seen:32>>.

%% @doc It is not known any more where a station is.
-spec forget(evum_fdb:station()) -> binary().
forget(Station) ->
    <<?FORGET, 0:24, Station:64>>.

%% @doc The ports that floods of a VLAN go to; true of the ports that there
%% were when so many had come up.
-spec flood(evum_fdb:vlan(), Ups :: non_neg_integer(), port_list()) -> binary().
flood(Vlan, Ups, {Count, Ports}) ->
    <<?FLOOD, 0, Vlan:16, Ups:32, Count:32, Ports/binary>>.

%% @doc So many bytes of batches were decided on: what follows is the answer,
%% and evum_net may send as many more.
-spec answers(non_neg_integer()) -> binary().
answers(Bytes) ->
    <<?ANSWERS, 0:24, Bytes:32>>.

%% @doc The stations that evum_net has seen, in the binary that it tells them
%% in, each with its port and the milliseconds since.
-spec seen(binary()) -> [{evum_fdb:station(), port_id(), Age :: non_neg_integer()}].
seen(Binary) ->
    [{Station, Port, Age} || <<Station:64, Port:32, Age:32>> <= Binary].
