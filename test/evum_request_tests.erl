%% SPDX-License-Identifier: Apache-2.0
%% Time limits of calls that make several requests. The machine is a process
%% here, whose agent takes a while for each: not too long for any of them, but
%% for all.
-module(evum_request_tests).

-include_lib("eunit/include/eunit.hrl").

%% ms
-define(LIMIT, 150).
-define(EACH, 100).

slow_agent_test_() ->
    {ok, Steps} = evum_netconf:plan(#{eth0 => ["10.0.0.1/24", "10.0.0.2/24"]}),
    {setup, fun() -> spawn_link(fun slow/0) end, fun(Vm) -> unlink(Vm), exit(Vm, kill) end, fun(Vm) ->
        [
            {timeout, 60, {Name, ?_assertEqual({error, timeout}, Call(Vm, ?LIMIT))}}
         || {Name, Call} <- [
                {"config", fun(Pid, Limit) -> evum_netconf:set(Pid, Steps, Limit) end},
                {"stat", fun evum_stat:read/2},
                {"shutdown", fun evum:shutdown/2}
            ]
        ]
    end}.

slow() ->
    receive
        {'$gen_call', From, {request, Key, Request}} ->
            gen_server:reply(From, ok),
            receive
            after ?EACH -> ok
            end,
            _ = [Key ! {evum_agent, Key, {data, Bytes}} || Bytes <- [output(Request)], Bytes =/= <<>>],
            Key ! {evum_agent, Key, {done, {exit, 0}}},
            slow();
        {'$gen_cast', _} ->
            slow()
    end.

output({netlink, <<_:32, 18:16/native, _/binary>>}) -> message(16, <<0:32, 2:32/native, 0:64>>);
output({netlink, _}) -> message(2, <<0:32>>);
output({get, <<"/proc/loadavg">>}) -> <<"0.50 0.25 0.00 1/7 99\n">>;
output({get, <<"/proc/uptime">>}) -> <<"1.50 0.10\n">>;
output({get, <<"/proc/meminfo">>}) -> <<"MemTotal: 2 kB\nMemAvailable: 1 kB\n">>;
output(_) -> <<>>.

message(Type, Body) ->
    <<(16 + byte_size(Body)):32/native, Type:16/native, 0:80, Body/binary>>.
