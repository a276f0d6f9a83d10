%% SPDX-License-Identifier: Apache-2.0
%% @doc What is set in a machine of a lab once it runs: settings of its kernel, addresses,
%% routes, name servers.
-module(evum_lab_config).

-export([all/1, changes/2, set/2]).

-export_type([config/0]).

-type config() :: #{
    sysctl := #{unicode:chardata() => term()},
    net := evum_netconf:config(),
    %% routes that the machine is rid of afterwards
    gone := [term()]
}.

%% @doc All that a machine's description says. All interfaces are brought up, those
%% without addresses too.
-spec all(evum_lab_spec:machine()) -> config().
all(#{sysctl := Settings, interfaces := Interfaces, routes := Routes} = Machine) ->
    Cards = maps:map(fun(_, Interface) -> maps:remove(mac, Interface) end, Interfaces),
    #{sysctl => Settings, net => maps:merge(maps:with([resolver], Machine), Cards#{routes => Routes}), gone => []}.

%% @doc What has to be set for a machine to become what another description says. The
%% rest is left alone: scripts, DHCP and daemons may have set it otherwise.
-spec changes(evum_lab_spec:machine(), evum_lab_spec:machine()) -> config().
changes(Old, New) ->
    #{sysctl := Settings, net := #{routes := Routes} = Net} = all(New),
    #{sysctl := OldSettings, net := #{routes := OldRoutes} = OldNet} = all(Old),
    Differs = fun(Before) -> fun(Key, Value) -> maps:get(Key, Before, none) =/= Value end end,
    Cards = maps:without([routes, resolver], Net),
    Changed = maps:filter(
        fun(_, Card) -> Card =/= #{} end,
        maps:map(fun(Name, Card) -> maps:filter(Differs(maps:get(Name, OldNet, #{})), Card) end, Cards)
    ),
    Way =
        case maps:size(Changed) of
            0 -> Routes -- OldRoutes;
            %% They may have gone with an address.
            _ -> Routes
        end,
    To = [element(1, Route) || Route <- Routes],
    #{
        sysctl => maps:filter(Differs(OldSettings), Settings),
        net => maps:merge(
            maps:filter(Differs(OldNet), maps:with([resolver], Net)), Changed#{routes => Way}
        ),
        gone => [Route || Route <- OldRoutes, not lists:member(element(1, Route), To)]
    }.

%% @doc Set it; the first thing that the machine refuses is named.
-spec set(pid(), config()) ->
    ok | {error, no_machine | {sysctl, Key :: unicode:chardata(), term()} | {config, term()}}.
set(Vm, #{sysctl := Settings, net := Net, gone := Gone}) ->
    case sysctl(lists:sort(maps:to_list(Settings)), Vm) of
        ok ->
            case evum:config(Vm, Net) of
                ok -> lists:foreach(fun(Route) -> forget_route(Vm, Route) end, Gone);
                {error, no_machine} = Error -> Error;
                {error, Reason} -> {error, {config, Reason}}
            end;
        {error, _} = Error ->
            Error
    end.

sysctl([], _Vm) ->
    ok;
sysctl([{Key, Value} | Rest], Vm) ->
    Path = ["/proc/sys/", path(unicode:characters_to_binary(Key))],
    case evum:put(Vm, Path, [text(Value), $\n]) of
        ok -> sysctl(Rest, Vm);
        {error, no_machine} = Error -> Error;
        {error, Reason} -> {error, {sysctl, Key, Reason}}
    end.

%% sysctl(8): dots, or slashes where a name has dots itself.
path(Key) ->
    case binary:match(Key, <<"/">>) of
        nomatch -> binary:replace(Key, <<".">>, <<"/">>, [global]);
        _ -> Key
    end.

text(Value) when is_integer(Value) -> integer_to_list(Value);
text(Value) -> Value.

%% It may have gone with an interface's address.
forget_route(Vm, Route) ->
    To =
        case element(1, Route) of
            default -> "default";
            Network -> Network
        end,
    _ = evum:cmd(Vm, ["ip", "route", "del", To]),
    ok.
