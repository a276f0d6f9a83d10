%% SPDX-License-Identifier: Apache-2.0
%% @doc What passes the links of a running lab.
-module(evum_lab_rates).

-export([measure/2]).

%% ms
-define(INTERVAL, 1000).

-type ends() :: {evum_lab_spec:link_end(), evum_lab_spec:link_end()}.

%% @doc Bits a second, forth and back, of each link with a machine at its first end:
%% what its port counts for a second.
-spec measure(#{evum_lab_spec:port_id() => {pid(), evum_fdb:port_id()}}, evum_lab_spec:lab()) ->
    #{ends() => {float(), float()}}.
measure(Ports, #{links := Links}) ->
    {Before, Start} = {count(Ports), erlang:monotonic_time()},
    receive after ?INTERVAL -> ok end,
    {After, End} = {count(Ports), erlang:monotonic_time()},
    Seconds = erlang:convert_time_unit(End - Start, native, microsecond) / 1.0e6,
    maps:from_list([
        {Ends, {8 * (Rx2 - Rx1) / Seconds, 8 * (Tx2 - Tx1) / Seconds}}
     || #{ends := {A, _} = Ends} <- Links,
        #{A := {Rx1, Tx1}} <- [Before],
        #{A := {Rx2, Tx2}} <- [After]
    ]).

count(Ports) ->
    Switches = lists:usort([Switch || {Switch, _} <- maps:values(Ports)]),
    Counters = maps:from_list([
        {{Switch, Id}, {Rx, Tx}}
     || Switch <- Switches, #{id := Id, rx_bytes := Rx, tx_bytes := Tx} <- counters(Switch)
    ]),
    maps:map(fun(_, Where) -> maps:get(Where, Counters, {0, 0}) end, Ports).

%% One that has died counts nothing.
counters(Switch) ->
    try
        evum_switch:ports(Switch)
    catch
        exit:{_, {gen_server, call, _}} -> []
    end.
