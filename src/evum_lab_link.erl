%% SPDX-License-Identifier: Apache-2.0
%% @doc The links of a lab's description (pure); {@link evum_lab_spec} tells what
%% they may say.
-module(evum_lab_link).

-export([parse/3]).

-type switches() :: #{evum_lab_spec:name() => evum_lab_spec:switch()}.

%% @doc Links in their one form, and what is wrong with them.
-spec parse(term(), #{evum_lab_spec:name() => evum_lab_spec:machine()}, switches()) ->
    {[evum_lab_spec:link()], [evum_lab_spec:problem()]}.
parse(Given, Machines, Switches) when is_list(Given) ->
    {Made, Problems} = lists:unzip([link(Link, Machines, Switches) || Link <- Given]),
    Links = lists:append(Made),
    {Links, lists:append(Problems) ++ twice(Links)};
parse(Given, _Machines, _Switches) ->
    {[], [{lab, {bad_option, links, Given}}]}.

%% An interface is in one link, and two switches are joined by one.
twice(Links) ->
    Ports = [Port || #{ends := {A, B}} <- Links, Port <- [A, B], is_tuple(Port)],
    Joined = [Ends || #{ends := {A, _} = Ends} <- Links, is_binary(A)],
    [{{interface, M, I}, used_twice} || {M, I} <- lists:usort(Ports -- lists:usort(Ports))] ++
        [{{link, Ends}, used_twice} || Ends <- lists:usort(Joined -- lists:usort(Joined))].

link({A, B}, Machines, Switches) ->
    link({A, B, #{}}, Machines, Switches);
link({GivenA, GivenB, Options} = Given, Machines, Switches) when is_map(Options) ->
    {Forth, Back} = {way(forth, Options), way(back, Options)},
    P1 = [{{link, Given}, Bad} || {K, V} <- maps:to_list(Options), {error, Bad} <- [option(K, V)]] ++
        [{{link, Given}, Bad} || {error, Bad} <- lists:usort([evum_impair:options(Way) || Way <- [Forth, Back]])],
    case {link_end(GivenA, Machines, Switches), link_end(GivenB, Machines, Switches)} of
        {{ok, Same}, {ok, Same}} when is_binary(Same) ->
            {[], [{{link, Given}, {loop, [Same, Same]}} | P1]};
        {{ok, {_, _}}, {ok, {_, _}}} when is_map_key(port, Options) ->
            {[], [{{link, Given}, {bad_option, port, maps:get(port, Options)}} | P1]};
        {{ok, A}, {ok, B}} ->
            Link = #{
                ends => {A, B},
                up => maps:get(up, Options, true),
                subnet => maps:get(subnet, Options, auto),
                port => maps:get(port, Options, #{}),
                forth => Forth,
                back => Back
            },
            {[in_order(Link)], P1};
        Ends ->
            {[], [{{link, Given}, Reason} || {error, Reason} <- tuple_to_list(Ends)] ++ P1}
    end;
link(Given, _Machines, _Switches) ->
    {[], [{{link, Given}, {bad_option, link, Given}}]}.

%% The ends in the order of Erlang's terms
in_order(#{ends := {A, B}, forth := Forth, back := Back} = Link) when A > B ->
    Link#{ends := {B, A}, forth := Back, back := Forth};
in_order(Link) ->
    Link.

%% The impairments of a direction: those of both, and those of its own before them.
way(Key, Options) ->
    Own =
        case Options of
            #{Key := #{} = Given} -> Given;
            #{} -> #{}
        end,
    Keys = evum_impair:keys(),
    maps:filter(fun(_, Value) -> Value =/= none end, maps:merge(maps:with(Keys, Options), maps:with(Keys, Own))).

link_end({Machine, Interface}, Machines, _Switches) ->
    case {evum_lab_name:host(Machine), evum_lab_name:interface(Interface)} of
        {{ok, M}, {ok, I}} when is_map_key(M, Machines) -> {ok, {M, I}};
        {{ok, M}, {ok, _}} -> {error, {no_machine, M}};
        {_, error} -> {error, {bad_option, interface, Interface}};
        {error, _} -> {error, {no_machine, Machine}}
    end;
link_end(Switch, _Machines, Switches) ->
    case evum_lab_name:host(Switch) of
        {ok, S} when is_map_key(S, Switches) -> {ok, S};
        {ok, S} -> {error, {no_switch, S}};
        error -> {error, {no_switch, Switch}}
    end.

option(up, Up) when is_boolean(Up) ->
    ok;
option(port, #{up := Up}) ->
    %% The link's own `up' says so.
    {error, {bad_option, port, #{up => Up}}};
option(port, Options) ->
    evum_switch_options:port(Options, evum_switch_options:port_defaults());
option(Key, Way) when Key =:= forth; Key =:= back ->
    case is_map(Way) andalso maps:to_list(maps:without(evum_impair:keys(), Way)) of
        [] -> ok;
        _ -> {error, {bad_option, Key, Way}}
    end;
option(Key, Value) ->
    case (Key =:= subnet andalso evum_lab_address:is_subnet(Value)) orelse lists:member(Key, evum_impair:keys()) of
        true -> ok;
        false -> {error, {bad_option, Key, Value}}
    end.
