%% SPDX-License-Identifier: Apache-2.0
%% @doc The collision domains of a lab, and what must not be there twice: addresses,
%% and ways from switch to switch.
-module(evum_lab_domain).

-export([all/1, twice/1, loops/1]).

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

%% @doc Circles of switches in which frames of a VLAN, or without one, would go
%% round for ever: each as the names on its way.
-spec loops([evum_lab_spec:link()]) -> [[evum_lab_spec:name()]].
loops(Links) ->
    Trunks = [{Ends, vlan(Port)} || #{ends := {A, _} = Ends, up := true, port := Port} <- Links, is_binary(A)],
    Told = lists:usort([Vlan || {_, Config} <- Trunks, Vlan <- told(Config)]),
    %% one that only those for all carry
    Other = lists:sublist(lists:seq(1, 4094) -- Told, 1),
    Nets = lists:usort([
        lists:usort([Ends || {Ends, Config} <- Trunks, evum_vlan:is_member(Vlan, Config)])
     || Vlan <- [0 | Told ++ Other]
    ]),
    lists:usort(lists:append([circles(Net, #{}) || Net <- Nets])).

vlan(Port) ->
    case evum_vlan:validate(maps:get(vlan, Port, none)) of
        {ok, Config} -> Config;
        error -> none
    end.

told({access, Vlan}) -> [Vlan];
told({trunk, all, Native}) -> [Native || Native =/= none];
told({trunk, Vlans, Native}) -> [Native || Native =/= none] ++ Vlans;
told(none) -> [].

%% Each link between two that others join already closes a circle.
circles([], _Joined) ->
    [];
circles([{A, B} | Rest], Joined) ->
    case way([A], B, Joined) of
        none ->
            Add = fun(From, To, Acc) -> Acc#{From => [To | maps:get(From, Acc, [])]} end,
            circles(Rest, Add(A, B, Add(B, A, Joined)));
        Way ->
            [from_first(Way) | circles(Rest, Joined)]
    end.

%% A circle is the same wherever it is begun, and either way.
from_first(Way) ->
    First = lists:min(Way),
    {Before, [First | After]} = lists:splitwith(fun(Name) -> Name =/= First end, Way),
    Rest = After ++ Before,
    [First | min(Rest, lists:reverse(Rest))] ++ [First].

%% From the last of these names, in the other order; there is one way at most.
way([To | _] = Way, To, _Joined) ->
    lists:reverse(Way);
way([At | Before] = Way, To, Joined) ->
    Ways = [way([Next | Way], To, Joined) || Next <- maps:get(At, Joined, []), [Next] =/= lists:sublist(Before, 1)],
    case [Found || Found <- Ways, Found =/= none] of
        [Found] -> Found;
        [] -> none
    end.
