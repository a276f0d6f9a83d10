%% SPDX-License-Identifier: Apache-2.0
%% @doc Sets the ports of a running lab's switches to what its links, VLANs and
%% partitions say.
-module(evum_lab_ports).

-export([plugged/2, set/3]).

-export_type([machines/0, partition/0]).

%% Machines that run: their process ids on the host, and where their interfaces are
%% plugged in.
-type machines() :: #{
    evum_lab_spec:name() => {OsPid :: integer(), #{evum_lab_spec:name() => evum_lab_net:segment()}}
}.
-type partition() :: {[evum_lab_cut:cut()], evum_lab_ask:addresses()}.
-type plugged() :: {evum_lab_spec:port_id(), evum_lab_net:segment(), evum_fdb:port_id()}.

%% @doc The ports of interfaces that are up, each with where it is.
-spec plugged(machines(), evum_lab_net:net()) -> [plugged()].
plugged(Machines, Net) ->
    lists:append([of_machine(Name, Machine, Net) || {Name, Machine} <- lists:sort(maps:to_list(Machines))]).

of_machine(Name, {OsPid, Homes}, Net) ->
    Sorted = evum_lab_interface:sorted(Homes),
    [
        {{Name, Interface}, Home, Port}
     || {Interface, Home} <- Sorted,
        N <- [length([I || {I, H} <- Sorted, H =:= Home, {byte_size(I), I} =< {byte_size(Interface), Interface}])],
        {ok, Port} <- [evum_lab_net:port(Home, OsPid, N, Net)]
    ].

%% @doc Set them all, and part those that are not to reach one another; what could not
%% be set, and why.
-spec set(machines(), partition(), {evum_lab_spec:lab(), evum_lab_net:net()}) ->
    {[{evum_lab_net:segment(), Reason :: term()}], evum_lab_net:net()}.
set(Machines, Partition, {Lab, Net}) ->
    Plugged = plugged(Machines, Net),
    Settings = [{Home, Port, evum_lab_wiring:port(Id, Home, Lab)} || {Id, Home, Port} <- Plugged],
    Set = fun({Home, Port, Setting}, Acc) ->
        tried(Home, fun(N) -> evum_lab_net:set(Home, Port, Setting, N) end, Acc)
    end,
    Done = lists:foldl(Set, {[], Net}, Settings ++ trunk_settings(Lab, Net)),
    {Complaints, Net1} = part([{Home, Name, Port} || {{Name, _}, Home, Port} <- Plugged], Partition, Lab, Done),
    {lists:reverse(Complaints), Net1}.

tried(Segment, Fun, {Complaints, Net}) ->
    case Fun(Net) of
        {ok, Net1} -> {Complaints, Net1};
        {error, Reason, Net1} -> {[{Segment, Reason} | Complaints], Net1}
    end.

%% Those that go down before those that come up, lest frames go round in between.
trunk_settings(Lab, Net) ->
    Settings = [
        {Up, {{switch, Name}, Port, Setting}}
     || {{A, B} = Ends, {PortA, PortB}} <- maps:to_list(evum_lab_net:trunks(Net)),
        {ok, OfA, OfB} <- [evum_lab_wiring:trunk(Ends, Lab)],
        {Name, Port, #{up := Up} = Setting} <- [{A, PortA, OfA}, {B, PortB, OfB}]
    ],
    [Setting || {_, Setting} <- lists:keysort(1, Settings)].

part(Ports, {Cuts, Addresses}, Lab, {_, Net} = Acc) ->
    Union = fun(_, Described, Asked) -> Described ++ Asked end,
    Filter = evum_lab_cut:filter(Cuts, maps:merge_with(Union, evum_lab_ask:described(Lab), Addresses)),
    lists:foldl(fun(Segment, Done) -> part_at(Segment, Ports, Cuts, Filter, Done) end, Acc, evum_lab_net:segments(Net)).

part_at(Segment, Ports, Cuts, Filter, Acc) ->
    There = [{Name, Port} || {Home, Name, Port} <- Ports, Home =:= Segment],
    Pairs = [{A, B} || {From, A} <- There, {To, B} <- There, evum_lab_cut:is_cut(From, To, Cuts)],
    Meets = lists:any(fun({_, To}) -> [Name || {Name, _} <- There, lists:member(Name, To)] =/= [] end, Cuts),
    Which =
        case Meets of
            true -> Filter;
            false -> none
        end,
    tried(Segment, fun(N) -> evum_lab_net:part(Segment, Pairs, Which, N) end, Acc).
