%% SPDX-License-Identifier: Apache-2.0
%% @doc Which machine of a lab reaches which.
-module(evum_lab_ping).

-export([all/2, targets/2]).

-define(TIMEOUT, 60000).

-type matrix() :: #{evum_lab_spec:name() => #{evum_lab_spec:name() => boolean()}}.

%% @doc Each of these machines pings each other of which an address is known, all at once.
-spec all(#{evum_lab_spec:name() => pid()}, evum_lab_ask:addresses()) -> {ok, matrix()} | {error, nothing_to_ping}.
all(Vms, Addresses) ->
    Known = maps:with(maps:keys(Vms), Addresses),
    Targets = maps:map(fun(From, _) -> targets(From, Known) end, Vms),
    case lists:append(maps:values(Targets)) of
        [] ->
            {error, nothing_to_ping};
        _ ->
            Reached = evum_lab_ask:each(fun(From, Vm) -> reached(Vm, maps:get(From, Targets)) end, Vms),
            {ok, maps:map(fun(From, Result) -> row(maps:get(From, Targets), Result) end, Reached)}
    end.

row(Targets, {ok, Reached}) -> maps:from_list([{To, lists:member(Address, Reached)} || {To, Address} <- Targets]);
row(Targets, error) -> row(Targets, {ok, []}).

%% @doc What a machine pings of each other: its first address, of a family that both
%% have where there is one.
-spec targets(evum_lab_spec:name(), evum_lab_ask:addresses()) -> [{evum_lab_spec:name(), binary()}].
targets(From, Known) ->
    Families = [is_ipv6(Address) || {_, Address} <- maps:get(From, Known, [])],
    [
        {To, evum_lab_address:host(hd([A || A <- Addresses, lists:member(is_ipv6(A), Families)] ++ Addresses))}
     || {To, Found} <- lists:sort(maps:to_list(Known)),
        To =/= From,
        [_ | _] = Addresses <- [[Address || {_, Address} <- Found]]
    ].

is_ipv6(Address) -> string:find(Address, ":") =/= nomatch.

%% ping of iproute's and of busybox both know these options.
reached(_Vm, []) ->
    [];
reached(Vm, Targets) ->
    Script =
        "for a in $TO; do (ping -c 1 -W 2 $a >/dev/null 2>&1 || ping -c 1 -W 2 $a >/dev/null 2>&1) && echo $a & done; wait",
    To = lists:join($\s, [Address || {_, Address} <- Targets]),
    case evum:cmd(Vm, Script, #{env => #{"TO" => To}, timeout => ?TIMEOUT}) of
        {ok, _, Output} -> binary:split(Output, <<"\n">>, [global, trim_all]);
        {error, _} -> []
    end.
