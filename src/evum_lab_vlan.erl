%% SPDX-License-Identifier: Apache-2.0
%% @doc The VLANs that a lab's description gives to what is linked to a switch (pure).
%% They come out as options of the links' ports.
-module(evum_lab_vlan).

-export([into_links/2]).

%% @doc Links with the `vlans' of these switches, and what is wrong with those.
-spec into_links([{evum_lab_spec:name(), Options :: term()}], [evum_lab_spec:link()]) ->
    {[evum_lab_spec:link()], [evum_lab_spec:problem()]}.
into_links(Switches, Links) ->
    {Told, Problems} = lists:unzip([
        told(Switch, Given, Links)
     || {Switch, #{vlans := Vlans}} <- Switches, Given <- entries(Vlans)
    ]),
    {Vlans, Twice} = lists:foldl(fun once/2, {#{}, []}, lists:append(Told)),
    {[with(Link, Vlans) || Link <- Links], lists:append(Problems) ++ lists:reverse(Twice)}.

entries(Vlans) when is_map(Vlans) -> lists:sort(maps:to_list(Vlans));
entries(Vlans) -> [Vlans].

told(Switch, {End, Vlan} = Given, Links) ->
    case {config(Vlan), named(End)} of
        {{ok, Config}, {ok, Name}} ->
            Ends = {min(Name, Switch), max(Name, Switch)},
            case lists:any(fun(#{ends := E}) -> E =:= Ends end, Links) of
                true -> {[{Ends, Switch, Given, Config}], []};
                false -> {[], [{{link, {End, Switch}}, no_link}]}
            end;
        _ ->
            {[], [{{switch, Switch}, {bad_option, vlans, Given}}]}
    end;
told(Switch, Given, _Links) ->
    {[], [{{switch, Switch}, {bad_option, vlans, Given}}]}.

%% A VLAN alone is that of an access port.
config(Vlan) when is_integer(Vlan) -> evum_vlan:validate({access, Vlan});
config(Config) -> evum_vlan:validate(Config).

named({Machine, Interface}) ->
    case {evum_lab_name:host(Machine), evum_lab_name:interface(Interface)} of
        {{ok, M}, {ok, I}} -> {ok, {M, I}};
        _ -> error
    end;
named(Switch) ->
    evum_lab_name:host(Switch).

%% Two switches may say of their link only the same.
once({Ends, Switch, Given, Config}, {Vlans, Problems}) ->
    case Vlans of
        #{Ends := Other} when Other =/= Config -> {Vlans, [{{switch, Switch}, {bad_option, vlans, Given}} | Problems]};
        #{} -> {Vlans#{Ends => Config}, Problems}
    end.

with(#{ends := Ends, port := Port} = Link, Vlans) ->
    case Vlans of
        #{Ends := Config} -> Link#{port := maps:merge(#{vlan => Config}, Port)};
        #{} -> Link
    end.
