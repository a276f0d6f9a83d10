%% SPDX-License-Identifier: Apache-2.0
%% @doc What the machines of a running lab say of themselves: scripts, DHCP and daemons
%% give addresses that no description knows.
-module(evum_lab_ask).

-export([addresses/2, described/1, each/2]).

-export_type([addresses/0]).

%% A machine that has not answered within that time does not, ms.
-define(TIMEOUT, 5000).
%% Of one machine; a guest may invent any number of them.
-define(ADDRESSES_MAX, 32).

%% In the order of the interfaces, as "10.0.0.1/24".
-type addresses() :: #{evum_lab_spec:name() => [{Interface :: binary(), Address :: unicode:chardata()}]}.

%% @doc The addresses of a lab's machines: what those that run say, and of the others, and
%% those that do not answer, what the description says.
-spec addresses(#{evum_lab_spec:name() => pid()}, evum_lab_spec:lab()) -> addresses().
addresses(Vms, Lab) ->
    Asked = each(fun(_, Vm) -> evum_netconf:addresses(Vm, ?TIMEOUT) end, Vms),
    maps:merge(described(Lab), maps:from_list([{Name, told(Found)} || {Name, {ok, {ok, Found}}} <- maps:to_list(Asked)])).

told(Found) ->
    Sorted = lists:sort([{order(Interface), IP, Prefix} || {Interface, {IP, Prefix}} <- Found, is_plain(Interface)]),
    [
        {Interface, iolist_to_binary([inet:ntoa(IP), $/, integer_to_list(Prefix)])}
     || {{_, _, Interface}, IP, Prefix} <- lists:sublist(Sorted, ?ADDRESSES_MAX)
    ].

%% As evum_lab_interface:sorted/1 has them, that of the loopback last.
order(Interface) -> {Interface =:= <<"lo">>, byte_size(Interface), Interface}.

%% It is shown.
is_plain(Interface) ->
    re:run(Interface, "^[!-~]{1,15}$", [{capture, none}, dollar_endonly]) =:= match.

%% @doc The addresses that are planned or given by the description.
-spec described(evum_lab_spec:lab()) -> addresses().
described(#{machines := Machines}) ->
    maps:map(
        fun(_, #{interfaces := Interfaces}) ->
            [
                {Interface, Address}
             || {Interface, #{addresses := Addresses}} <- evum_lab_interface:sorted(Interfaces), Address <- Addresses
            ]
        end,
        Machines
    ).

%% @doc Call a function with each machine, all at once; `error' where it crashed.
-spec each(fun((evum_lab_spec:name(), pid()) -> Result), #{evum_lab_spec:name() => pid()}) ->
    #{evum_lab_spec:name() => {ok, Result} | error}.
each(Fun, Vms) ->
    Self = self(),
    Asked = maps:map(
        fun(Name, Vm) ->
            Ref = make_ref(),
            {_, Monitor} = proc_lib:spawn_opt(fun() -> Self ! {Ref, Fun(Name, Vm)} end, [monitor]),
            {Ref, Monitor}
        end,
        Vms
    ),
    maps:map(fun(_, {Ref, Monitor}) -> answer(Ref, Monitor) end, Asked).

answer(Ref, Monitor) ->
    receive
        {Ref, Result} ->
            demonitor(Monitor, [flush]),
            {ok, Result};
        {'DOWN', Monitor, process, _, _} ->
            error
    end.
