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
    {first_uses(Links, []), lists:append(Problems) ++ twice(Links)};
parse(Given, _Machines, _Switches) ->
    {[], [{lab, {bad_option, links, Given}}]}.

%% An interface is in one link, and two switches are joined by one.
twice(Links) ->
    Ports = [Port || #{ends := {A, B}} <- Links, Port <- [A, B], is_tuple(Port)],
    Joined = [Ends || #{ends := {A, _} = Ends} <- Links, is_binary(A)],
    [{{interface, M, I}, used_twice} || {M, I} <- lists:usort(Ports -- lists:usort(Ports))] ++
        [{{link, Ends}, used_twice} || Ends <- lists:usort(Joined -- lists:usort(Joined))].

%% Without those links whose ends others have already.
first_uses([], _Used) ->
    [];
first_uses([#{ends := Ends} = Link | Links], Used) ->
    Uses = uses(Ends),
    case lists:usort(Uses) =:= lists:sort(Uses) andalso Uses -- Used =:= Uses of
        true -> [Link | first_uses(Links, Uses ++ Used)];
        false -> first_uses(Links, Used)
    end.

uses({A, B} = Ends) when is_binary(A), is_binary(B) -> [Ends];
uses({A, B}) -> [Port || Port <- [A, B], is_tuple(Port)].

link({A, B}, Machines, Switches) ->
    link({A, B, #{}}, Machines, Switches);
link({GivenA, GivenB, Options} = Given, Machines, Switches) when is_map(Options) ->
    {Forth, Back} = {way(forth, Options), way(back, Options)},
    Wrong = maps:map(fun option/2, Options),
    Right = maps:with([Key || {Key, []} <- maps:to_list(Wrong)], Options),
    P1 = [{{link, Given}, Bad} || {_, All} <- lists:sort(maps:to_list(Wrong)), Bad <- All] ++
        [{{link, Given}, Bad} || {error, Bad} <- lists:usort([evum_impair:options(Way) || Way <- [Forth, Back]])],
    case {link_end(GivenA, Machines, Switches), link_end(GivenB, Machines, Switches)} of
        {{ok, Same}, {ok, Same}} when is_binary(Same) ->
            {[], [{{link, Given}, {loop, [Same, Same]}} | P1]};
        {{ok, A}, {ok, B}} ->
            Link = #{
                ends => {A, B},
                up => maps:get(up, Right, true),
                subnet => maps:get(subnet, Right, auto),
                port => maps:get(port, Right, #{}),
                forth => Forth,
                back => Back
            },
            IsWire = is_tuple(A) andalso is_tuple(B),
            {[in_order(Link)], P1 ++ [{{link, Given}, {no_switch_port, port}} || IsWire, is_map_key(port, Options)]};
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

%% What is wrong with one.
option(up, Up) ->
    [{bad_option, up, Up} || not is_boolean(Up)];
option(subnet, Subnet) ->
    [{bad_option, subnet, Subnet} || not evum_lab_address:is_subnet(Subnet)];
option(port, Options) when is_map(Options) ->
    lists:append([port_option(K, V) || {K, V} <- lists:sort(maps:to_list(Options))]);
option(Key, Way) when Key =:= forth; Key =:= back ->
    [{bad_option, Key, Way} || not (is_map(Way) andalso maps:without(evum_impair:keys(), Way) =:= #{})];
option(Key, Value) ->
    [{bad_option, Key, Value} || not lists:member(Key, evum_impair:keys())].

%% The link's own `up' says so.
port_option(up, Up) ->
    [{bad_option, {port, up}, Up}];
port_option(Key, Value) ->
    evum_lab_problem:within(port, evum_switch_options:port(#{Key => Value}, evum_switch_options:port_defaults())).
