%% SPDX-License-Identifier: Apache-2.0
%% @doc The frame batches between the BEAM and `evum_net', in both directions.
%%
%% `doc/port-protocol.md' draws them; `c_src/net/frames.c' is the other end.
%% Frames are parts of the batch that they came in, not copies.
-module(evum_frames).

-export([fold/3, ports/1, down/2]).

-export_type([port_list/0]).

-type port_id() :: evum_fdb:port_id().
%% Ports in the form that frames are sent with, made once for many frames.
-opaque port_list() :: {Count :: non_neg_integer(), binary()}.

%% @doc Fold over the frames of a batch from `evum_net', each with the port
%% that it came in at; `malformed' where the lengths do not fit.
-spec fold(fun((port_id(), Frame :: binary(), Acc) -> Acc), Acc, binary()) ->
    {ok, Acc} | malformed.
fold(Fun, Acc, <<Port:32, Size:32, Frame:Size/binary, Rest/binary>>) ->
    fold(Fun, Fun(Port, Frame, Acc), Rest);
fold(_Fun, Acc, <<>>) ->
    {ok, Acc};
fold(_Fun, _Acc, _) ->
    malformed.

%% @doc Prepare a list of ports.
-spec ports([port_id()]) -> port_list().
ports(Ports) ->
    {length(Ports), <<<<Port:32>> || Port <- Ports>>}.

%% @doc One frame of a batch for `evum_net', to one port or to a list of them.
-spec down(port_id() | port_list(), Frame :: binary()) -> iodata().
down({Count, Ports}, Frame) ->
    [<<Count:32, (byte_size(Frame)):32, Ports/binary>>, Frame];
down(Port, Frame) ->
    [<<1:32, (byte_size(Frame)):32, Port:32>>, Frame].
