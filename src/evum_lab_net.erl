%% SPDX-License-Identifier: Apache-2.0
%% @doc The switches of a running lab: one for each that the description names,
%% and one for each wire between two interfaces.
%%
%% A switch of its own for each is a process more, half a MB and some ms to start,
%% and in return the frames of one wire have nothing to do with those of another,
%% whatever tags they carry, and one that dies takes no other along.
%%
%% What ports are set to is kept here, so that only what differs is set.
-module(evum_lab_net).

-export([new/2, open/3, close/2, close/1, segments/1, switch/2]).
-export([event/3, lost/2, port/4, trunk/3, untrunk/2, trunks/1, set/4, part/4]).

%% Within that time a switch has taken a connection that was made, ms.
-define(TRUNK_TIMEOUT, 5000).

-export_type([net/0, segment/0, setting/0]).

-type segment() ::
    {switch, evum_lab_spec:name()}
    | {wire, evum_lab_spec:port_id(), evum_lab_spec:port_id()}
    %% of an interface that is in no link
    | {loose, evum_lab_spec:port_id()}.
-type setting() :: #{
    up := boolean(),
    %% of `evum_switch:set_port/3'
    port := #{atom() => term()},
    in := #{atom() => term()},
    out := #{atom() => term()}
}.

-record(segment, {
    switch :: pid(),
    %% that are up, with the process ids of their peers
    ports :: #{evum_fdb:port_id() => non_neg_integer()},
    set = #{} :: #{evum_fdb:port_id() => setting()},
    %% pairs of ports, from and to; and the filter of what else is dropped
    parted = [] :: [{evum_fdb:port_id(), evum_fdb:port_id()}],
    filter = none :: none | {binary(), evum_switch_hooks:id()}
}).

-record(net, {
    name :: binary(),
    seed :: non_neg_integer(),
    segments = #{} :: #{segment() => #segment{}},
    trunks = #{} :: #{
        {evum_lab_spec:name(), evum_lab_spec:name()} => {evum_fdb:port_id(), evum_fdb:port_id()}
    }
}).

-opaque net() :: #net{}.

%% @doc A lab's, of that name and seed; no switches yet.
-spec new(binary(), non_neg_integer()) -> net().
new(Name, Seed) ->
    #net{name = Name, seed = Seed}.

%% @doc Start a switch, linked to the caller.
-spec open(segment(), evum_lab_spec:switch() | wire, net()) -> {ok, net()} | {error, term()}.
open(Segment, Switch, #net{name = Name, seed = LabSeed, segments = Segments} = Net) ->
    %% The same chances for the same switch of the same lab.
    Seed = erlang:phash2({LabSeed, Segment}, 1 bsl 32),
    Options =
        case Switch of
            wire -> #{seed => Seed};
            #{options := Given} -> maps:merge(#{seed => Seed}, Given)
        end,
    case evum_switch:start_link(Options#{name => label(Name, Segment)}) of
        {ok, Pid} ->
            case equip(Pid, Switch) of
                ok ->
                    Ports = maps:from_list([{Id, Peer} || {Id, _, Peer} <- evum_switch:subscribe(Pid)]),
                    New = #segment{switch = Pid, ports = Ports},
                    {ok, Net#net{segments = Segments#{Segment => New}}};
                {error, _} = Error ->
                    ok = evum_switch:stop(Pid),
                    Error
            end;
        {error, _} = Error ->
            Error
    end.

equip(Pid, #{uplink := {Kind, Options}, forwards := Forwards}) ->
    case evum_switch:uplink(Pid, Kind, Options) of
        {ok, _} -> forwards(Pid, Forwards);
        {error, Reason} -> {error, {uplink, Reason}}
    end;
equip(Pid, #{forwards := Forwards}) ->
    forwards(Pid, Forwards);
equip(_Pid, wire) ->
    ok.

forwards(_Pid, []) ->
    ok;
forwards(Pid, [{Protocol, Host, Guest} | Rest]) ->
    case evum_switch:forward(Pid, Protocol, Host, Guest) of
        ok -> forwards(Pid, Rest);
        {error, _} = Error -> Error
    end.

label(Lab, {switch, Name}) -> <<Lab/binary, $., Name/binary>>;
label(Lab, {wire, A, B}) -> iolist_to_binary([Lab, $., port_label(A), $-, port_label(B)]);
label(Lab, {loose, Port}) -> iolist_to_binary([Lab, $., port_label(Port)]).

port_label({Machine, Interface}) -> [Machine, $:, Interface].

%% @doc Stop a switch; it may have died before.
-spec close(segment(), net()) -> net().
close(Segment, #net{segments = Segments, trunks = Trunks} = Net) ->
    case maps:take(Segment, Segments) of
        {#segment{switch = Pid}, Rest} ->
            unlink(Pid),
            _ = attempt(fun() -> evum_switch:stop(Pid) end),
            Of = fun({A, B}, _) -> {switch, A} =/= Segment andalso {switch, B} =/= Segment end,
            Net#net{segments = Rest, trunks = maps:filter(Of, Trunks)};
        error ->
            Net
    end.

%% @doc Stop all.
-spec close(net()) -> net().
close(Net) ->
    lists:foldl(fun close/2, Net, segments(Net)).

%% @doc Those that there are.
-spec segments(net()) -> [segment()].
segments(#net{segments = Segments}) ->
    maps:keys(Segments).

%% @doc The process of one.
-spec switch(segment(), net()) -> {ok, pid()} | error.
switch(Segment, #net{segments = Segments}) ->
    case Segments of
        #{Segment := #segment{switch = Pid}} -> {ok, Pid};
        #{} -> error
    end.

%% @doc A port has come or gone.
-spec event(pid(), term(), net()) -> net().
event(Pid, What, #net{segments = Segments} = Net) ->
    case find(Pid, Net) of
        {ok, Segment, #segment{ports = Ports, set = Set} = Old} ->
            New =
                case What of
                    {port_up, {Id, _Kind, Peer}} -> Old#segment{ports = Ports#{Id => Peer}};
                    {port_down, Id} -> Old#segment{ports = maps:remove(Id, Ports), set = maps:remove(Id, Set)}
                end,
            Net#net{segments = Segments#{Segment := New}};
        error ->
            Net
    end.

%% @doc Which switch has died with that process.
-spec lost(pid(), net()) -> {ok, segment(), net()} | error.
lost(Pid, Net) ->
    case find(Pid, Net) of
        {ok, Segment, _} -> {ok, Segment, close(Segment, Net)};
        error -> error
    end.

find(Pid, #net{segments = Segments}) ->
    case [{Segment, Found} || {Segment, #segment{switch = P} = Found} <- maps:to_list(Segments), P =:= Pid] of
        [{Segment, Found}] -> {ok, Segment, Found};
        [] -> error
    end.

%% @doc The port of a machine, known by its process id on the host: the Nth of
%% those that it has at this switch, counted from 1 in the order in which its
%% kernel has them.
-spec port(segment(), OsPid :: integer(), N :: pos_integer(), net()) ->
    {ok, evum_fdb:port_id()} | error.
port(Segment, OsPid, N, #net{segments = Segments}) ->
    case Segments of
        #{Segment := #segment{ports = Ports}} ->
            case lists:nthtail(min(N - 1, map_size(Ports)), lists:sort([Id || {Id, P} <- maps:to_list(Ports), P =:= OsPid])) of
                [Id | _] -> {ok, Id};
                [] -> error
            end;
        #{} ->
            error
    end.

%% @doc The links between two switches, each with the port at either.
-spec trunks(net()) -> #{{evum_lab_spec:name(), evum_lab_spec:name()} => {evum_fdb:port_id(), evum_fdb:port_id()}}.
trunks(#net{trunks = Trunks}) ->
    Trunks.

%% @doc Join two switches.
-spec trunk(evum_lab_spec:name(), evum_lab_spec:name(), net()) -> {ok, net()} | {error, term()}.
trunk(A, B, #net{segments = Segments} = Net) ->
    #{{switch, A} := #segment{switch = PidA}, {switch, B} := #segment{switch = PidB}} = Segments,
    {ok, Ctl} = evum_ctl:serving(PidA),
    Name = "trunk-" ++ integer_to_list(erlang:unique_integer([positive])),
    Socket = {unix, filename:join(filename:dirname(evum_ctl:socket(Ctl)), Name)},
    case evum_switch:listen(PidA, trunk, Socket) of
        {ok, Listener, _} ->
            Joined = evum_switch:connect(PidB, trunk, Socket),
            Joined1 = both_up(Joined, {A, PidA}, {B, PidB}, Net),
            ok = evum_switch:unlisten(PidA, Listener),
            Joined1;
        {error, _} = Error ->
            Error
    end.

%% Both ports are waited for: that of one link must not be taken for that of the next.
both_up({ok, PortB}, {A, PidA}, {B, PidB}, #net{trunks = Trunks} = Net) ->
    case {port_up(PidB, PortB), port_up(PidA, any)} of
        {{ok, _, UpB}, {ok, PortA, UpA}} ->
            {ok, event(PidA, UpA, event(PidB, UpB, Net#net{trunks = Trunks#{{A, B} => {PortA, PortB}}}))};
        _ ->
            {error, {trunk, timeout}}
    end;
both_up({error, _} = Error, _A, _B, _Net) ->
    Error.

port_up(Pid, Wanted) ->
    receive
        {evum_switch, Pid, {port_up, {Port, trunk, _}} = Up} when Wanted =:= any; Port =:= Wanted -> {ok, Port, Up}
    after ?TRUNK_TIMEOUT -> timeout
    end.

%% @doc Part two switches.
-spec untrunk({evum_lab_spec:name(), evum_lab_spec:name()}, net()) -> net().
untrunk({A, B} = Ends, #net{trunks = Trunks} = Net) ->
    case maps:take(Ends, Trunks) of
        {{PortA, PortB}, Rest} ->
            _ = [
                attempt(fun() -> evum_switch:close_port(Pid, Port) end)
             || {Name, Port} <- [{A, PortA}, {B, PortB}], {ok, Pid} <- [switch({switch, Name}, Net)]
            ],
            Net#net{trunks = Rest};
        error ->
            Net
    end.

%% @doc Set a port, unless it is set so already.
-spec set(segment(), evum_fdb:port_id(), setting(), net()) -> {ok, net()} | {error, term(), net()}.
set(Segment, Port, Setting, #net{segments = Segments} = Net) ->
    case Segments of
        #{Segment := #segment{switch = Pid, set = Set} = Old} ->
            Before = maps:get(Port, Set, unset()),
            %% Also where it fails: it would fail again.
            Net1 = Net#net{segments = Segments#{Segment := Old#segment{set = Set#{Port => Setting}}}},
            case Setting =:= Before orelse attempt(fun() -> change(Pid, Port, Before, Setting) end) of
                true -> {ok, Net};
                ok -> {ok, Net1};
                %% It has gone; that it has is on its way.
                {error, no_port} -> {ok, Net1};
                {error, Reason} -> {error, Reason, Net1}
            end;
        #{} ->
            {ok, Net}
    end.

unset() ->
    #{up => true, port => #{}, in => #{}, out => #{}}.

change(Pid, Port, #{port := Old} = Before, #{port := New} = Setting) ->
    Defaults = maps:with(maps:keys(Old), evum_switch_options:port_defaults()),
    Options = maps:merge(Defaults, New#{up => maps:get(up, Setting)}),
    case Options =:= maps:merge(Old, #{up => maps:get(up, Before)}) orelse evum_switch:set_port(Pid, Port, Options) of
        {error, _} = Error -> Error;
        _ -> impair([in, out], Pid, Port, Before, Setting)
    end.

impair([], _Pid, _Port, _Before, _Setting) ->
    ok;
impair([Direction | Rest], Pid, Port, Before, Setting) ->
    case {maps:get(Direction, Before), maps:get(Direction, Setting)} of
        {Same, Same} ->
            impair(Rest, Pid, Port, Before, Setting);
        {_, Options} ->
            case evum_switch:impair(Pid, Port, Direction, Options) of
                ok -> impair(Rest, Pid, Port, Before, Setting);
                {error, _} = Error -> Error
            end
    end.

%% @doc Let no frames pass between these pairs of ports, nor what a filter
%% matches, and all others.
-spec part(segment(), [{evum_fdb:port_id(), evum_fdb:port_id()}], none | binary(), net()) ->
    {ok, net()} | {error, term(), net()}.
part(Segment, Pairs, Filter, #net{segments = Segments} = Net) ->
    #{Segment := #segment{switch = Pid, parted = Parted} = Old} = Segments,
    Sorted = lists:sort(Pairs),
    Blocked = Sorted =:= Parted orelse attempt(fun() -> evum_switch:block(Pid, Sorted) end),
    {Hooked, New} = filter(Filter, Old#segment{parted = Sorted}),
    Net1 = Net#net{segments = Segments#{Segment := New}},
    case {Blocked, Hooked} of
        {{error, no_port}, ok} -> {ok, Net1};
        {{error, Reason}, _} -> {error, Reason, Net1};
        {_, {error, Reason}} -> {error, Reason, Net1};
        {_, ok} -> {ok, Net1}
    end.

filter(none, #segment{filter = none} = Segment) ->
    {ok, Segment};
filter(Same, #segment{filter = {Same, _}} = Segment) ->
    {ok, Segment};
filter(New, #segment{switch = Pid, filter = {_, Hook}} = Segment) ->
    _ = attempt(fun() -> evum_switch:unhook(Pid, Hook) end),
    filter(New, Segment#segment{filter = none});
filter(New, #segment{switch = Pid, filter = none} = Segment) ->
    case attempt(fun() -> evum_switch:hook(Pid, {bpf, New}, fun(_) -> drop end) end) of
        {ok, Hook} -> {ok, Segment#segment{filter = {New, Hook}}};
        ok -> {ok, Segment};
        {error, Reason} -> {{error, {partition, Reason}}, Segment}
    end.

%% A switch may die at any time; that it has is on its way.
attempt(Fun) ->
    try
        Fun()
    catch
        exit:{_, {gen_server, _, _}} -> ok;
        exit:{noproc, _} -> ok;
        exit:noproc -> ok
    end.
