%% SPDX-License-Identifier: Apache-2.0
%% @doc Where the interfaces of a lab lead, and how the ports there are to be (pure).
-module(evum_lab_wiring).

-export([segment/2, port/3, trunk/2]).

%% @doc Where an interface leads.
-spec segment(evum_lab_spec:port_id(), evum_lab_spec:lab()) -> evum_lab_net:segment().
segment(Port, Lab) ->
    case link_of(Port, Lab) of
        [#{ends := {A, B}}] when is_tuple(B) -> {wire, A, B};
        [#{ends := {_, Switch}}] -> {switch, Switch};
        [] -> {loose, Port}
    end.

link_of(Port, #{links := Links}) ->
    [Link || #{ends := {A, B}} = Link <- Links, A =:= Port orelse B =:= Port].

%% @doc How the port of an interface is to be, where it is plugged in. On a wire each
%% end delays, loses and so on what comes in from its machine; at a switch there is
%% the one port for both directions.
-spec port(evum_lab_spec:port_id(), Home :: evum_lab_net:segment(), evum_lab_spec:lab()) -> evum_lab_net:setting().
port(Port, Home, Lab) ->
    case segment(Port, Lab) =:= Home andalso link_of(Port, Lab) of
        [#{ends := {Port, B}, up := Up, forth := Forth}] when is_tuple(B) ->
            #{up => Up, port => #{}, in => Forth, out => #{}};
        [#{ends := {_, Port}, up := Up, back := Back}] ->
            #{up => Up, port => #{}, in => Back, out => #{}};
        [#{up := Up, port := Options, forth := Forth, back := Back}] ->
            #{up => Up, port => Options, in => Forth, out => Back};
        _ ->
            #{up => false, port => #{}, in => #{}, out => #{}}
    end.

%% @doc How the ports are to be at either end of a link between switches: the frames
%% of the other one come in there.
-spec trunk({evum_lab_spec:name(), evum_lab_spec:name()}, evum_lab_spec:lab()) ->
    {ok, evum_lab_net:setting(), evum_lab_net:setting()} | error.
trunk(Ends, #{links := Links}) ->
    case [Link || #{ends := E} = Link <- Links, E =:= Ends] of
        [#{up := Up, port := Options, forth := Forth, back := Back}] ->
            {ok, #{up => Up, port => Options, in => Back, out => #{}}, #{up => Up, port => Options, in => Forth, out => #{}}};
        [] ->
            error
    end.
