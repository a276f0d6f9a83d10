%% SPDX-License-Identifier: Apache-2.0
%% @doc Labs: whole networks from one description.
%%
%% A description is a map (see {@link evum_lab_spec}), the path of a file of
%% Erlang terms that make one, or a folder of Kathará's or Netkit's (see {@link
%% evum_kathara}).
-module(evum_lab).

-export([check/1, read/1]).

-export_type([description/0]).

-type description() :: map() | file:filename_all().

%% @doc All that is wrong with a description, before anything is started.
%% {@link evum_lab_spec:format/1} makes a line of text of each.
-spec check(description()) -> ok | {error, [evum_lab_spec:problem(), ...]}.
check(Description) ->
    case read(Description) of
        {ok, _} -> ok;
        {error, _} = Error -> Error
    end.

%% @doc A description in its one form, see {@link evum_lab_spec:lab()}.
-spec read(description()) -> {ok, evum_lab_spec:lab()} | {error, [evum_lab_spec:problem(), ...]}.
read(Description) ->
    case load(Description) of
        {ok, Map} ->
            case evum_lab_spec:parse(Map) of
                {ok, Lab} ->
                    case evum_lab_machine:problems(Lab) of
                        [] -> {ok, Lab};
                        Problems -> {error, Problems}
                    end;
                {error, _} = Error ->
                    Error
            end;
        {error, _} = Error ->
            Error
    end.

load(Path) when is_list(Path), Path =/= []; is_binary(Path) ->
    case filelib:is_dir(Path) of
        true -> evum_kathara:read(Path);
        false -> evum_lab_spec:read(Path)
    end;
load(Description) ->
    {ok, Description}.
