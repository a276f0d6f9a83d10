%% SPDX-License-Identifier: Apache-2.0
%% @doc Where the interfaces of a lab lead, and how the ports there are to be (pure).
%%
%% What chance does at a port comes of the seed of the link, the switch or the lab,
%% and of the port's name: the ids of ports are another order each time.
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
    Seeded = fun(Impair) -> seeded(Impair, seed(Home, Lab), Port) end,
    case segment(Port, Lab) =:= Home andalso link_of(Port, Lab) of
        [#{ends := {Port, B}, up := Up, forth := Forth}] when is_tuple(B) ->
            #{up => Up, port => #{}, in => Seeded(Forth), out => #{}};
        [#{ends := {_, Port}, up := Up, back := Back}] ->
            #{up => Up, port => #{}, in => Seeded(Back), out => #{}};
        [#{up := Up, port := Options, forth := Forth, back := Back}] ->
            #{up => Up, port => Options, in => Seeded(Forth), out => Seeded(Back)};
        _ ->
            #{up => false, port => #{}, in => #{}, out => #{}}
    end.

%% @doc How the ports are to be at either end of a link between switches: the frames
%% of the other one come in there.
-spec trunk({evum_lab_spec:name(), evum_lab_spec:name()}, evum_lab_spec:lab()) ->
    {ok, evum_lab_net:setting(), evum_lab_net:setting()} | error.
trunk({A, B} = Ends, #{links := Links} = Lab) ->
    case [Link || #{ends := E} = Link <- Links, E =:= Ends] of
        [#{up := Up, port := Options, forth := Forth, back := Back}] ->
            Both = #{up => Up, port => Options, out => #{}},
            {ok,
                Both#{in => seeded(Back, seed({switch, A}, Lab), {A, B})},
                Both#{in => seeded(Forth, seed({switch, B}, Lab), {B, A})}};
        [] ->
            error
    end.

seeded(Impair, _Seed, _Port) when map_size(Impair) =:= 0 -> Impair;
seeded(Impair, Seed, Port) -> Impair#{seed => evum_impair:seed(maps:get(seed, Impair, Seed), Port)}.

seed({switch, Name}, #{switches := Switches, seed := Seed}) ->
    case Switches of
        #{Name := #{options := #{seed := Own}}} -> Own;
        #{} -> Seed
    end;
seed(_, #{seed := Seed}) ->
    Seed.
