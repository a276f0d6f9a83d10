%% SPDX-License-Identifier: Apache-2.0
%% @doc Changes of a lab's description, which make another description of it.
%% That is parsed as a whole, so that no change can break it.
-module(evum_lab_edit).

-export([name/1, canonical/1, add_machine/3, add_switch/3, remove/2, connect/4, disconnect/3, set_link/4]).

-type description() :: map().
-type link_end() :: evum_lab_spec:link_end().

%% @doc A description that was parsed, with each name as a binary and each link
%% of three elements.
-spec canonical(description()) -> description().
canonical(Given) ->
    maps:merge(Given, #{
        machines => named(maps:get(machines, Given, #{})),
        switches => maps:map(fun(_, Options) -> named_vlans(Options) end, named(maps:get(switches, Given, #{}))),
        links => [full_link(Link) || Link <- maps:get(links, Given, [])]
    }).

named(Given) when is_map(Given) -> named(maps:to_list(Given));
named(Given) -> maps:from_list([{name(Name), Options} || {Name, Options} <- Given]).

named_vlans(#{vlans := Vlans} = Options) ->
    Options#{vlans := maps:from_list([{link_end(End), Vlan} || {End, Vlan} <- maps:to_list(Vlans)])};
named_vlans(Options) ->
    Options.

full_link({A, B}) -> {link_end(A), link_end(B), #{}};
full_link({A, B, Options}) -> {link_end(A), link_end(B), Options}.

link_end({Machine, Interface}) -> {name(Machine), name(Interface)};
link_end(Switch) -> name(Switch).

%% @doc A name as a binary. What is none stays as it is, for evum_lab_spec to say so.
-spec name(term()) -> term().
name(Name) when is_atom(Name) ->
    atom_to_binary(Name);
name(Name) when is_list(Name); is_binary(Name) ->
    try unicode:characters_to_binary(Name) of
        Text when is_binary(Text) -> Text;
        _ -> Name
    catch
        error:badarg -> Name
    end;
name(Name) ->
    Name.

%% @doc A machine more.
-spec add_machine(term(), map(), description()) -> {ok, description()} | {error, [evum_lab_spec:problem()]}.
add_machine(Name, Options, Description) ->
    add(machines, machine, name(Name), Options, Description).

%% @doc A switch more.
-spec add_switch(term(), map(), description()) -> {ok, description()} | {error, [evum_lab_spec:problem()]}.
add_switch(Name, Options, Description) ->
    add(switches, switch, name(Name), Options, Description).

add(Key, Kind, Name, Options, Description) ->
    #{Key := Named} = Description,
    case Named of
        #{Name := _} -> {error, [{{Kind, Name}, duplicate}]};
        #{} -> {ok, Description#{Key := Named#{Name => Options}}}
    end.

%% @doc Without a machine or switch, and its links.
-spec remove(term(), description()) -> {ok, description()} | {error, [evum_lab_spec:problem()]}.
remove(Given, #{machines := Machines, switches := Switches, links := Links} = Description) ->
    Name = name(Given),
    case is_map_key(Name, Machines) orelse is_map_key(Name, Switches) of
        true ->
            {ok, Description#{
                machines := maps:map(fun(_, Options) -> independent(Name, Options) end, maps:remove(Name, Machines)),
                switches := with_vlans(fun(_, End) -> not is_of(Name, End) end, maps:remove(Name, Switches)),
                links := [Link || {A, B, _} = Link <- Links, not is_of(Name, A), not is_of(Name, B)]
            }};
        false ->
            {error, [{lab, {no_machine, Name}}]}
    end.

%% What has started need not wait for it any more.
independent(Name, #{depends := Depends} = Options) ->
    Options#{depends := [On || On <- Depends, name(On) =/= Name]};
independent(_Name, Options) ->
    Options.

%% VLANs are of what is linked.
with_vlans(Stays, Switches) ->
    maps:map(
        fun
            (Switch, #{vlans := Vlans} = Options) ->
                Options#{vlans := maps:filter(fun(End, _) -> Stays(Switch, End) end, Vlans)};
            (_, Options) ->
                Options
        end,
        Switches
    ).

is_of(Name, {Machine, _}) -> Machine =:= Name;
is_of(Name, Switch) -> Switch =:= Name.

%% @doc A link more.
-spec connect(link_end() | term(), link_end() | term(), map(), description()) -> {ok, description()}.
connect(A, B, Options, #{links := Links} = Description) ->
    {ok, Description#{links := Links ++ [{link_end(A), link_end(B), Options}]}}.

%% @doc Without a link, and the VLAN that a switch has for it.
-spec disconnect(link_end() | term(), link_end() | term(), description()) ->
    {ok, description()} | {error, [evum_lab_spec:problem()]}.
disconnect(A, B, #{switches := Switches} = Description) ->
    Ends = lists:sort([link_end(A), link_end(B)]),
    Left = with_vlans(fun(Switch, End) -> lists:sort([Switch, End]) =/= Ends end, Switches),
    with_link(A, B, fun(_) -> [] end, Description#{switches := Left}).

%% @doc With other options of a link; those that are not named stay, and those
%% that are `none' go. `forth' is from the first end that is given here.
-spec set_link(link_end() | term(), link_end() | term(), map(), description()) ->
    {ok, description()} | {error, [evum_lab_spec:problem()]}.
set_link(A, B, Options, Description) ->
    with_link(
        A,
        B,
        fun({EndA, EndB, Old}) ->
            New =
                case link_end(A) of
                    EndA -> Options;
                    EndB -> turned(Options)
                end,
            Merged = maps:merge_with(fun option/3, Old, New),
            [{EndA, EndB, maps:filter(fun(_, V) -> V =/= none end, Merged)}]
        end,
        Description
    ).

%% Of a direction some may be named, too.
option(Key, #{} = Old, #{} = New) when Key =:= forth; Key =:= back -> maps:merge(Old, New);
option(_Key, _Old, New) -> New.

turned(Options) ->
    Ways = #{forth => back, back => forth},
    maps:from_list([{maps:get(Key, Ways, Key), Value} || {Key, Value} <- maps:to_list(Options)]).

with_link(GivenA, GivenB, Fun, #{links := Links} = Description) ->
    Ends = lists:sort([link_end(GivenA), link_end(GivenB)]),
    case [Link || {A, B, _} = Link <- Links, lists:sort([A, B]) =:= Ends] of
        [Link] ->
            New = [
                case Link of
                    Other -> Fun(Link);
                    _ -> [Other]
                end
             || Other <- Links
            ],
            {ok, Description#{links := lists:append(New)}};
        [] ->
            {error, [{{link, {GivenA, GivenB}}, no_link}]}
    end.
