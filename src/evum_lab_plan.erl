%% SPDX-License-Identifier: Apache-2.0
%% @doc What is to be done: the steps from one lab to another, and which machines
%% may start next.
%%
%% What is the same in both labs has no step; what differs has one. A step is what
%% happens in the running lab, and {@link step/2} what becomes of its description.
-module(evum_lab_plan).

-export([plan/2, keep_cards/2, step/2, next/2]).

-export_type([step/0, status/0]).

-type name() :: evum_lab_spec:name().
%% `configure': addresses, routes and settings of a running machine change;
%% `replace_machine': it has to start anew; `note_machine': what changes matters
%% later.
-type step() ::
    {remove_link, Ends :: {evum_lab_spec:link_end(), evum_lab_spec:link_end()}}
    | {remove_machine | remove_switch, name()}
    | {add_switch | replace_switch | note_switch, name(), evum_lab_spec:switch()}
    | {add_link | set_link, evum_lab_spec:link()}
    | {configure | note_machine | replace_machine | add_machine, name(), evum_lab_spec:machine()}
    | {note, #{atom() => term()}}.
-type status() :: waiting | starting | up | failed | stopping | down.

%% @doc The steps that make one lab another, in their order.
-spec plan(evum_lab_spec:lab(), evum_lab_spec:lab()) -> [step()].
plan(Old, New) ->
    Lasting = [name, machines, switches, links],
    Notes = maps:filter(
        fun(Key, Value) -> maps:get(Key, Old) =/= Value end, maps:without(Lasting, New)
    ),
    Machines = changes(fun machine/2, maps:get(machines, Old), maps:get(machines, New)),
    Switches = changes(fun switch/2, maps:get(switches, Old), maps:get(switches, New)),
    Links = changes(fun(_, _) -> set_link end, by_ends(Old), by_ends(New)),
    [{remove_link, Ends} || {remove, Ends} <- Links] ++
        [{remove_machine, Name} || {remove, Name} <- Machines] ++
        [{remove_switch, Name} || {remove, Name} <- Switches] ++
        [{add_switch, Name, Switch} || {add, Name, Switch} <- Switches] ++
        [{Kind, Name, Switch} || {Kind, Name, Switch} <- Switches, Kind =/= add] ++
        [{add_link, Link} || {add, _, Link} <- Links] ++
        [{set_link, Link} || {set_link, _, Link} <- Links] ++
        [{Kind, Name, Machine} || {Kind, Name, Machine} <- Machines, Kind =/= add] ++
        [{add_machine, Name, Machine} || {add, Name, Machine} <- Machines] ++
        [{note, Notes} || Notes =/= #{}].

by_ends(#{links := Links}) ->
    maps:from_list([{Ends, Link} || #{ends := Ends} = Link <- Links]).

changes(Kind, Old, New) ->
    [{remove, Key} || Key <- lists:sort(maps:keys(Old)), not is_map_key(Key, New)] ++
        lists:append([change(Kind, Key, Old, Value) || {Key, Value} <- lists:sort(maps:to_list(New))]).

change(Kind, Key, Old, Value) ->
    case Old of
        #{Key := Value} -> [];
        #{Key := Before} -> [{Kind(Before, Value), Key, Value}];
        #{} -> [{add, Key, Value}]
    end.

%% Where both have the same of what a machine is started with, it need not start
%% anew; where both have the same of what can be set while it runs, nothing need be
%% set.
machine(Old, New) ->
    case {same(fun started_with/1, Old, New), same(fun settings/1, Old, New)} of
        {false, _} -> replace_machine;
        {true, false} -> configure;
        {true, true} -> note_machine
    end.

same(Part, Old, New) -> Part(Old) =:= Part(New).

started_with(#{interfaces := Interfaces} = Machine) ->
    Cards = maps:map(fun(_, Interface) -> maps:get(mac, Interface) end, Interfaces),
    {without_cards(Machine), Cards}.

settings(Machine) ->
    maps:with([interfaces, routes, resolver, sysctl], Machine).

switch(#{options := Options} = Old, #{options := Options} = New) ->
    case maps:with([uplink, forwards], Old) =:= maps:with([uplink, forwards], New) of
        true -> note_switch;
        false -> replace_switch
    end;
switch(_Old, _New) ->
    replace_switch.

%% @doc The new lab with the interfaces of the old one that it does not name: a card
%% stays in a machine that runs on, and is only unplugged.
-spec keep_cards(evum_lab_spec:lab(), evum_lab_spec:lab()) -> evum_lab_spec:lab().
keep_cards(#{machines := Old}, #{machines := New} = Lab) ->
    Keep = fun(Name, #{interfaces := Interfaces} = Machine) ->
        case Old of
            #{Name := #{interfaces := Before} = Same} ->
                Stays = without_cards(Same) =:= without_cards(Machine),
                Bare = maps:map(fun(_, #{mac := Mac}) -> #{mac => Mac, addresses => []} end, Before),
                Machine#{interfaces := maps:merge(maps:filter(fun(_, _) -> Stays end, Bare), Interfaces)};
            #{} ->
                Machine
        end
    end,
    Lab#{machines := maps:map(Keep, New)}.

without_cards(Machine) -> maps:with([options, env, startup], Machine).

%% @doc A lab's description after a step.
-spec step(step(), evum_lab_spec:lab()) -> evum_lab_spec:lab().
step({remove_link, Ends}, #{links := Links} = Lab) ->
    Lab#{links := [Link || #{ends := Other} = Link <- Links, Other =/= Ends]};
step({add_link, Link}, #{links := Links} = Lab) ->
    Lab#{links := Links ++ [Link]};
step({set_link, #{ends := Ends} = Link}, #{links := Links} = Lab) ->
    Lab#{
        links := [
            case Ends of
                Other -> Link;
                _ -> Old
            end
         || #{ends := Other} = Old <- Links
        ]
    };
step({remove_machine, Name}, #{machines := Machines} = Lab) ->
    Lab#{machines := maps:remove(Name, Machines)};
step({remove_switch, Name}, #{switches := Switches} = Lab) ->
    Lab#{switches := maps:remove(Name, Switches)};
step({Kind, Name, Switch}, #{switches := Switches} = Lab) when
    Kind =:= add_switch; Kind =:= replace_switch; Kind =:= note_switch
->
    Lab#{switches := Switches#{Name => Switch}};
step({note, Notes}, Lab) ->
    maps:merge(Lab, Notes);
step({_, Name, Machine}, #{machines := Machines} = Lab) ->
    Lab#{machines := Machines#{Name => Machine}}.

%% @doc Which of the machines that wait may start, and which cannot, for want of
%% another that does not run: `Room' is how many may start at once.
-spec next(#{name() => {status(), Depends :: [name()]}}, Room :: pos_integer()) ->
    {Start :: [name()], Hopeless :: [{name(), On :: name()}]}.
next(Machines, Room) ->
    Waiting = [{Name, Depends} || {Name, {waiting, Depends}} <- lists:sort(maps:to_list(Machines))],
    Hopeless = [
        {Name, hd(Lost)}
     || {Name, Depends} <- Waiting,
        Lost <- [[On || On <- Depends, is_in([failed, down, none], On, Machines)]],
        Lost =/= []
    ],
    Ready = [
        Name
     || {Name, Depends} <- Waiting, lists:all(fun(On) -> is_in([up], On, Machines) end, Depends)
    ],
    Starting = length([Name || {Name, {starting, _}} <- maps:to_list(Machines)]),
    {lists:sublist(Ready, max(0, Room - Starting)), Hopeless}.

is_in(Statuses, Name, Machines) ->
    {Status, _} = maps:get(Name, Machines, {none, []}),
    lists:member(Status, Statuses).
