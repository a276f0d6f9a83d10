%% SPDX-License-Identifier: Apache-2.0
%% @doc Which switches and wires of a running lab are not there, or not as they should be,
%% and why (pure).
-module(evum_lab_faults).

-export([forget/2, problem/2, problems/1, problems/2]).

-export_type([faults/0]).

-type faults() :: #{evum_lab_net:segment() => Reason :: term()}.

%% @doc Without those that a change may have mended: one of this link, with this switch, or
%% of the partition.
-spec forget({evum_lab_spec:link_end(), evum_lab_spec:link_end()} | evum_lab_spec:name() | partition | term(), faults()) -> faults().
forget(partition, Faults) ->
    maps:filter(
        fun
            (_, {partition, _}) -> false;
            (_, _) -> true
        end,
        Faults
    );
forget({A, B}, Faults) -> maps:without([{switch, A}, {switch, B}, {wire, A, B}], Faults);
forget(Name, Faults) -> maps:remove({switch, Name}, Faults).

%% @doc One as a problem.
-spec problem(evum_lab_net:segment(), Reason :: term()) -> evum_lab_spec:problem().
problem({switch, Name}, Reason) -> {{switch, Name}, {start, Reason, []}};
problem({wire, A, B}, Reason) -> {{link, {A, B}}, {start, Reason, []}};
problem({loose, {M, I}}, Reason) -> {{interface, M, I}, {start, Reason, []}}.

%% @doc All of them.
-spec problems(faults()) -> [evum_lab_spec:problem()].
problems(Faults) ->
    [problem(Segment, Reason) || {Segment, Reason} <- lists:sort(maps:to_list(Faults))].

%% @doc Those of what has these names: switches, the machines of interfaces that are in no
%% link, and links by their ends.
-spec problems([term()], faults()) -> [evum_lab_spec:problem()].
problems(Names, Faults) ->
    problems(maps:filter(fun(Segment, _) -> is_of(Segment, Names) end, Faults)).

is_of({switch, Name}, Names) ->
    lists:member(Name, Names) orelse lists:member(Name, [End || {_, End} <- Names]);
is_of({wire, A, B}, Names) ->
    lists:member({A, B}, Names);
is_of({loose, {Name, _}}, Names) ->
    lists:member(Name, Names).
