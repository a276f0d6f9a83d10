%% SPDX-License-Identifier: Apache-2.0
%% @doc The interfaces of a machine, as the description of a lab has them.
-module(evum_lab_interface).

-export([parse/2, default/2, sorted/1]).

%% @doc In their one form, and what is wrong with them.
-spec parse(evum_lab_spec:name(), term()) ->
    {#{evum_lab_spec:name() => evum_lab_spec:interface()}, [evum_lab_spec:problem()]}.
parse(Machine, Given) when is_map(Given) ->
    lists:foldl(
        fun({Name, Options}, {Made, Problems}) ->
            case evum_lab_name:interface(Name) of
                {ok, Interface} when not is_map_key(Interface, Made) ->
                    {One, Wrong} = interface(Machine, Interface, Options),
                    {Made#{Interface => One}, Wrong ++ Problems};
                {ok, Interface} ->
                    {Made, [{{interface, Machine, Interface}, duplicate} | Problems]};
                error ->
                    {Made, [{{interface, Machine, Name}, bad_name} | Problems]}
            end
        end,
        {#{}, []},
        maps:to_list(Given)
    );
parse(Machine, Given) ->
    {#{}, [{{machine, Machine}, {bad_option, interfaces, Given}}]}.

interface(Machine, Name, Addresses) when is_list(Addresses) ->
    interface(Machine, Name, #{addresses => Addresses});
interface(Machine, Name, Given) when is_map(Given) ->
    Thing = {interface, Machine, Name},
    Unknown = [
        {Thing, {bad_option, K, V}}
     || {K, V} <- maps:to_list(maps:without([mac, addresses, mtu], Given))
    ],
    #{mac := Own} = Default = default(Machine, Name),
    {Mac, P1} =
        case mac(maps:get(mac, Given, random), Machine, Name) of
            {ok, Text} -> {Text, []};
            error -> {Own, [{Thing, {bad_option, mac, maps:get(mac, Given)}}]}
        end,
    P2 =
        case evum_netconf:plan(#{Name => maps:with([addresses, mtu], Given)}) of
            {ok, _} -> [];
            {error, {bad_option, _, #{}}} -> [{Thing, {bad_option, interface, maps:remove(mac, Given)}}];
            {error, {bad_option, _, Bad}} -> [{Thing, {bad_address, Bad}}]
        end,
    Good = maps:merge(Default, maps:with([addresses || P2 =:= []] ++ [mtu || P2 =:= []], Given)),
    {Good#{mac := Mac}, Unknown ++ P1 ++ P2};
interface(Machine, Name, Given) ->
    {default(Machine, Name), [{{interface, Machine, Name}, {bad_option, interface, Given}}]}.

%% @doc One that nothing is said of.
-spec default(evum_lab_spec:name(), evum_lab_spec:name()) -> evum_lab_spec:interface().
default(Machine, Name) ->
    {ok, Mac} = mac(random, Machine, Name),
    #{mac => Mac, addresses => []}.

%% The same each time: what a lab shows shall not depend on chance. Locally
%% administered, and of one station (IEEE 802).
mac(random, Machine, Name) ->
    <<Chance:40, _/binary>> = erlang:md5([Machine, $/, Name]),
    {ok, list_to_binary(evum_mac:format(2 bsl 40 + Chance))};
mac(Given, _Machine, _Name) ->
    case evum_mac:parse_station(Given) of
        {ok, Mac} -> {ok, list_to_binary(evum_mac:format(Mac))};
        error -> error
    end.

%% @doc Interfaces in the order in which a machine has them.
-spec sorted(#{evum_lab_spec:name() => Any}) -> [{evum_lab_spec:name(), Any}].
sorted(Interfaces) ->
    lists:sort(
        fun({A, _}, {B, _}) -> {byte_size(A), A} =< {byte_size(B), B} end, maps:to_list(Interfaces)
    ).
