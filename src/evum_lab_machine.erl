%% SPDX-License-Identifier: Apache-2.0
%% @doc What a machine of a lab is started with, and whether this host can.
-module(evum_lab_machine).

-export([options/3, has_hosts/1, problems/1]).

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
    Given = maps:merge(#{hostname => Name}, Options#{name => registered(Lab, Name), interfaces => Cards}),
    Files = maps:get(files, Options, #{}),
    case is_map(Files) andalso has_hosts(maps:get(Name, Machines)) of
        true -> Given#{files => Files#{"/etc/hosts" => evum_lab_address:hosts(Spec)}};
        false -> Given
    end.

registered(none, Name) -> Name;
registered(Lab, Name) -> <<Lab/binary, $., Name/binary>>.

%% @doc Is `/etc/hosts' of a machine the lab's? Who brings a file of that name has
%% his reasons.
-spec has_hosts(evum_lab_spec:machine()) -> boolean().
has_hosts(#{options := #{files := Files}}) when is_map(Files) ->
    maps:with(["/etc/hosts", <<"/etc/hosts">>], Files) =:= #{};
has_hosts(_Machine) ->
    true.

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
