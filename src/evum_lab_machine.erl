%% SPDX-License-Identifier: Apache-2.0
%% @doc What a machine of a lab is started with, and whether this host can.
-module(evum_lab_machine).

-export([options/3, problems/1]).

%% @doc The options for `evum:start_link/2'. `Switch' tells where an interface
%% leads.
-spec options(evum_lab_spec:name(), evum_lab_spec:lab(), fun((evum_lab_spec:port_id()) -> term())) ->
    evum_machine:options().
options(Name, #{name := Lab, machines := Machines} = Spec, Switch) ->
    #{Name := #{options := Options, interfaces := Interfaces}} = Machines,
    Cards = maps:map(
        fun(Interface, #{mac := Mac}) -> #{mac => Mac, switch => Switch({Name, Interface})} end,
        Interfaces
    ),
    Files = maps:get(files, Options, #{}),
    with_hosts(
        maps:merge(#{hostname => Name}, Options#{name => registered(Lab, Name), interfaces => Cards}),
        Files,
        evum_lab_address:hosts(Spec)
    ).

registered(none, Name) -> Name;
registered(Lab, Name) -> <<Lab/binary, $., Name/binary>>.

%% Who brings files of that name has his reasons.
with_hosts(Options, Files, Hosts) when is_map(Files) ->
    case maps:with(["/etc/hosts", <<"/etc/hosts">>], Files) of
        None when None =:= #{} -> Options#{files => Files#{"/etc/hosts" => Hosts}};
        _ -> Options
    end;
with_hosts(Options, _Files, _Hosts) ->
    Options.

%% @doc What is wrong with the machines' options, as far as this host can tell
%% before they start: images, files, memory.
-spec problems(evum_lab_spec:lab()) -> [evum_lab_spec:problem()].
problems(#{machines := Machines} = Lab) ->
    lists:append([
        [{{machine, Name}, Reason} || Reason <- reasons(options(Name, Lab, fun(_) -> default end))]
     || Name <- lists:sort(maps:keys(Machines))
    ]).

%% Not only the first: what is bad is taken out, and the rest looked at again.
reasons(Options) ->
    case image(Options) of
        {error, Reason} ->
            [{image, Reason} | reasons(maps:remove(image, Options))];
        ok ->
            case evum_machine:describe(Options) of
                {ok, _} ->
                    [];
                {error, {bad_option, Key, _} = Bad} when is_map_key(Key, Options) ->
                    [Bad | reasons(maps:remove(Key, Options))];
                {error, Bad} ->
                    [Bad]
            end
    end.

image(#{image := Image}) ->
    try evum_image:info(Image) of
        {ok, _} -> ok;
        {error, _} = Error -> Error
    catch
        %% no name at all: evum_machine says so
        error:_ -> ok
    end;
image(#{}) ->
    ok.
