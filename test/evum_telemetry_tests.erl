%% SPDX-License-Identifier: Apache-2.0
-module(evum_telemetry_tests).

-include_lib("eunit/include/eunit.hrl").

-export([forward/3]).

port(Id) ->
    #{id => Id, kind => vhost, machine => <<"r1">>, rx_frames => 1, rx_bytes => 60, tx_frames => 2, tx_bytes => 120, tx_dropped => 3}.

events_test() ->
    Switch = #{switch => self(), name => <<"a">>},
    Rates = evum_rates:ports(evum_rates:add(0, [port(2)], evum_rates:new())),
    Of = fun(Id) -> Switch#{port => Id, kind => vhost, machine => <<"r1">>} end,
    {Two, One} = {Of(2), Of(1)},
    [
        {[evum, switch, port, down], #{count := 1}, One},
        {[evum, switch, port, up], #{count := 1}, Two},
        {[evum, switch, stats], #{ports := 1, rx_frames := +0.0, drops := +0.0}, Switch},
        {[evum, switch, port, stats], #{rx_frames := +0.0, total_rx_frames := 1, total_drops := 3}, Two}
    ] = evum_telemetry:events(Switch, #{1 => port(1)}, #{2 => port(2)}, Rates).

handlers_test_() ->
    {setup,
        fun() ->
            #{level := Level} = logger:get_primary_config(),
            ok = logger:set_primary_config(level, none),
            {ok, Pid} = evum_telemetry:start_link(),
            {Pid, Level}
        end,
        fun({Pid, Level}) ->
            gen_server:stop(Pid),
            logger:set_primary_config(level, Level)
        end,
        [
            fun attached/0,
            fun failing/0,
            fun library/0
        ]}.

attached() ->
    Self = self(),
    Handler = fun(Name, Measurements, Metadata) -> Self ! {Name, Measurements, Metadata} end,
    ok = evum_telemetry:attach(one, Handler),
    ?assertEqual({error, already_exists}, evum_telemetry:attach(one, Handler)),
    ?assertEqual({error, {bad_option, handler, x}}, evum_telemetry:attach(two, x)),
    ok = evum_telemetry:emit([{[evum, a], #{n => 1}, #{m => 2}}, {[evum, b], #{}, #{}}]),
    receive {[evum, a], #{n := 1}, #{m := 2}} -> ok after 5000 -> error(lost) end,
    receive {[evum, b], _, _} -> ok after 5000 -> error(lost) end,
    ok = evum_telemetry:detach(one),
    ?assertEqual({error, not_found}, evum_telemetry:detach(one)).

%% It is detached, and the others get on.
failing() ->
    Self = self(),
    ok = evum_telemetry:attach(bad, fun(_, _, _) -> error(oops) end),
    ok = evum_telemetry:attach(good, fun(Name, _, _) -> Self ! Name end),
    ok = evum_telemetry:emit([{[evum, a], #{}, #{}}]),
    receive [evum, a] -> ok after 5000 -> error(lost) end,
    ?assertEqual({error, not_found}, evum_telemetry:detach(bad)),
    ok = evum_telemetry:detach(good).

%% The library of that name, where it is loaded: here one that is made up.
library() ->
    ?assertNot(code:is_loaded(telemetry) =/= false),
    register(telemetry_test, self()),
    Forms = [
        {attribute, 1, module, telemetry},
        {attribute, 1, export, [{execute, 3}]},
        {function, 1, execute, 3, [
            {clause, 1, [{var, 1, 'N'}, {var, 1, 'M'}, {var, 1, 'D'}], [], [
                {call, 1, {remote, 1, {atom, 1, ?MODULE}, {atom, 1, forward}}, [{var, 1, 'N'}, {var, 1, 'M'}, {var, 1, 'D'}]}
            ]}
        ]}
    ],
    {ok, telemetry, Code} = compile:forms(Forms),
    {module, telemetry} = code:load_binary(telemetry, "telemetry", Code),
    try
        ok = evum_telemetry:emit([{[evum, a], #{n => 1}, #{}}]),
        receive {library, [evum, a], #{n := 1}, #{}} -> ok after 5000 -> error(lost) end
    after
        code:purge(telemetry),
        code:delete(telemetry),
        code:purge(telemetry),
        unregister(telemetry_test)
    end.

forward(Name, Measurements, Metadata) ->
    telemetry_test ! {library, Name, Measurements, Metadata}.
