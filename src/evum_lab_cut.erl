%% SPDX-License-Identifier: Apache-2.0
%% @doc Partitions of a lab: whose frames do not reach whom (pure).
-module(evum_lab_cut).

-export([cuts/2, is_cut/3, filter/2]).

-export_type([partition/0, cut/0]).

%% Groups of machines that reach one another only within a group; or the frames
%% of some do not reach others, while theirs come back. Who is in no group reaches all.
-type partition() :: [[term()]] | {one_way, From :: [term()], To :: [term()]}.
%% Frames of the first do not reach the second.
-type cut() :: {From :: [evum_lab_spec:name()], To :: [evum_lab_spec:name()]}.

%% @doc The cuts of a partition of these machines.
-spec cuts(partition() | term(), [evum_lab_spec:name()]) ->
    {ok, [cut()]} | {error, {no_machine, term()} | {bad_option, partition, term()}}.
cuts({one_way, From, To} = Given, Machines) when is_list(From), is_list(To) ->
    checked([From, To], Given, Machines, fun([F, T]) -> [{F, T}] end);
cuts(Groups, Machines) when is_list(Groups) ->
    checked(Groups, Groups, Machines, fun(Named) ->
        [{From, To} || {N, From} <- lists:enumerate(Named), {M, To} <- lists:enumerate(Named), N =/= M]
    end);
cuts(Given, _Machines) ->
    {error, {bad_option, partition, Given}}.

checked(Groups, Given, Machines, Fun) ->
    case lists:all(fun is_list/1, Groups) of
        true ->
            Named = [[evum_lab_edit:name(Name) || Name <- Group] || Group <- Groups],
            All = lists:append(Named),
            case {All -- Machines, All -- lists:usort(All)} of
                {[], []} -> {ok, Fun(Named)};
                {[], _} -> {error, {bad_option, partition, Given}};
                {[Unknown | _], _} -> unknown(Unknown, Machines, Given)
            end;
        false ->
            {error, {bad_option, partition, Given}}
    end.

%% One that is there, but twice
unknown(Name, Machines, Given) ->
    case lists:member(Name, Machines) of
        true -> {error, {bad_option, partition, Given}};
        false -> {error, {no_machine, Name}}
    end.

%% @doc Do frames of one not reach the other?
-spec is_cut(evum_lab_spec:name(), evum_lab_spec:name(), [cut()]) -> boolean().
is_cut(From, To, Cuts) ->
    lists:any(fun({F, T}) -> lists:member(From, F) andalso lists:member(To, T) end, Cuts).

%% @doc What tells packets that have come a longer way, by routers or other
%% switches: a filter of pcap-filter(7) over the machines' addresses.
-spec filter([cut()], evum_lab_ask:addresses()) -> none | binary().
filter(Cuts, Known) ->
    Terms = [
        ["(", hosts("src", From), " and ", hosts("dst", To), ")"]
     || {FromNames, ToNames} <- Cuts,
        {From, To} <- [{addresses(FromNames, Known), addresses(ToNames, Known)}],
        From =/= [],
        To =/= []
    ],
    case Terms of
        [] -> none;
        _ -> iolist_to_binary(lists:join(" or ", Terms))
    end.

hosts(Side, Addresses) ->
    ["(", lists:join(" or ", [[Side, " host ", Address] || Address <- Addresses]), ")"].

addresses(Names, Known) ->
    lists:usort([evum_lab_address:host(Address) || Name <- Names, {_, Address} <- maps:get(Name, Known, [])]).
