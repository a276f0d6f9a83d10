%% SPDX-License-Identifier: Apache-2.0
%% @doc The collision domains of a lab, and what must not be there twice.
-module(evum_lab_domain).

-export([all/1, twice/1]).

%% @doc The collision domains, each with its ports in the order of the links.
-spec all(evum_lab_spec:lab()) -> [{evum_lab_spec:domain(), [evum_lab_spec:port_id()]}].
all(#{switches := Switches, links := Links}) ->
    Trunks = [{A, B} || #{ends := {A, B}} <- Links, is_binary(A)],
    Groups = lists:foldl(fun join/2, [[S] || S <- lists:sort(maps:keys(Switches))], Trunks),
    Wires = [
        {{wire, A, B}, [A, B]}
     || #{ends := {A, B}} <- Links, is_tuple(A), is_tuple(B)
    ],
    [
        {{switches, Group}, [A || #{ends := {A, B}} <- Links, is_tuple(A), lists:member(B, Group)]}
     || Group <- Groups
    ] ++ Wires.

join({A, B}, Groups) ->
    {Joined, Rest} = lists:partition(fun(G) -> lists:member(A, G) orelse lists:member(B, G) end, Groups),
    [lists:usort(lists:append(Joined)) | Rest].

%% @doc Addresses that two interfaces of a domain or of a machine have, and MACs of a
%% domain.
-spec twice(evum_lab_spec:lab()) -> [evum_lab_spec:problem()].
twice(#{machines := Machines} = Lab) ->
    Of = fun(Field, {M, I}) ->
        #{M := #{interfaces := #{I := Interface}}} = Machines,
        case Field of
            mac -> [maps:get(mac, Interface)];
            addresses -> [evum_lab_address:host(A) || A <- maps:get(addresses, Interface)]
        end
    end,
    InDomains = [{Field, Ports} || {_, Ports} <- all(Lab), Field <- [mac, addresses]],
    InMachines = [
        {addresses, [{M, I} || I <- maps:keys(Interfaces)]}
     || {M, #{interfaces := Interfaces}} <- maps:to_list(Machines)
    ],
    Found = [
        {{interface, M2, I2}, {Field, Value, {interface, M1, I1}}}
     || {Field, Ports} <- InDomains ++ InMachines,
        Values <- [[{V, Port} || Port <- lists:sort(Ports), V <- Of(Field, Port)]],
        {{V1, {M1, I1}}, {Value, {M2, I2}}} <- pairs(lists:sort(Values)),
        V1 =:= Value
    ],
    lists:usort([
        case What of
            {mac, V, Other} -> {Thing, {mac_twice, V, Other}};
            {addresses, V, Other} -> {Thing, {address_twice, V, Other}}
        end
     || {Thing, What} <- Found
    ]).

pairs([A, B | Rest]) -> [{A, B} | pairs([B | Rest])];
pairs(_) -> [].
