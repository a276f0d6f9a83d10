%% SPDX-License-Identifier: Apache-2.0
%% @doc Which machine of a lab reaches which.
-module(evum_lab_ping).

-export([all/2]).

-define(TIMEOUT, 60000).

-type matrix() :: #{evum_lab_spec:name() => #{evum_lab_spec:name() => boolean()}}.

%% @doc Each of these machines pings each other, all at once.
-spec all(#{evum_lab_spec:name() => pid()}, evum_lab_spec:lab()) -> matrix().
all(Vms, #{machines := Machines}) ->
    Targets = [
        {Name, evum_lab_address:host(Address)}
     || Name <- lists:sort(maps:keys(Vms)),
        #{Name := #{interfaces := Interfaces}} <- [Machines],
        [Address | _] <- [lists:append([As || {_, #{addresses := As}} <- evum_lab_interface:sorted(Interfaces)])]
    ],
    Asked = [
        begin
            Others = [Target || {To, _} = Target <- Targets, To =/= From],
            Ref = make_ref(),
            Self = self(),
            {_, Monitor} = proc_lib:spawn_opt(fun() -> Self ! {Ref, reached(Vm, Others)} end, [monitor]),
            {From, Others, Ref, Monitor}
        end
     || {From, Vm} <- maps:to_list(Vms)
    ],
    maps:from_list([{From, answer(Others, Ref, Monitor)} || {From, Others, Ref, Monitor} <- Asked]).

answer(Others, Ref, Monitor) ->
    Reached =
        receive
            {Ref, Names} -> Names;
            {'DOWN', Monitor, process, _, _} -> []
        end,
    demonitor(Monitor, [flush]),
    maps:from_list([{To, lists:member(Address, Reached)} || {To, Address} <- Others]).

%% ping of iproute's and of busybox both know these options.
reached(_Vm, []) ->
    [];
reached(Vm, Others) ->
    Script =
        "for a in $TO; do (ping -c 1 -W 2 $a >/dev/null 2>&1 || ping -c 1 -W 2 $a >/dev/null 2>&1) && echo $a & done; wait",
    To = lists:join($\s, [Address || {_, Address} <- Others]),
    case evum:cmd(Vm, Script, #{env => #{"TO" => To}, timeout => ?TIMEOUT}) of
        {ok, _, Output} -> binary:split(Output, <<"\n">>, [global, trim_all]);
        {error, _} -> []
    end.
