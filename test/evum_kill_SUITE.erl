%% SPDX-License-Identifier: Apache-2.0
%% Whatever is killed, nothing outlives it.
-module(evum_kill_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

-define(TIMES, 20).

suite() -> [{timetrap, {minutes, 10}}].

all() -> [{group, fast}, {group, debian}].

groups() ->
    evum_test:kernel_groups([kill_helper, kill_guest, kill_keeper, kill_beam, kill_beam_and_helper, many]).

init_per_group(Group, Config) ->
    {ok, _} = application:ensure_all_started(evum),
    evum_test:init_group(Group, Config).

end_per_group(_Group, _Config) ->
    application:stop(evum).

init_per_testcase(_Case, Config) ->
    [{before, evum_test:leftovers()} | Config].

end_per_testcase(_Case, _Config) ->
    ok.

%% Killed at any time: while it boots, and once it runs.
kill_helper(Config) ->
    repeat(Config, fun(R, I) ->
        maybe_boot(R, I),
        #{os_pid := OsPid} = evum:info(R),
        Kill = fun() -> kill(helper_of(OsPid)) end,
        %% 128 + 9, or epipe
        ?assertMatch({evum_guest, _}, evum_test:await_down(R, Kill))
    end).

kill_guest(Config) ->
    repeat(Config, fun(R, I) ->
        maybe_boot(R, I),
        #{os_pid := OsPid} = evum:info(R),
        Kill = fun() -> kill(OsPid) end,
        ?assertEqual({guest, {signal, 9}}, evum_test:await_down(R, Kill))
    end).

kill_keeper(Config) ->
    repeat(Config, fun(R, I) ->
        maybe_boot(R, I),
        #{os_pid := OsPid} = evum:info(R),
        Kill = fun() -> kill(parent(OsPid)) end,
        ?assertEqual({guest, {signal, 9}}, evum_test:await_down(R, Kill))
    end).

kill_beam(Config) ->
    kill_beams(Config, fun(Beam, _Helper) -> kill(Beam) end).

%% What an out-of-memory killer may do, or a person in haste: the file system
%% of the jail, and its processes, have no need of anybody to clean up.
kill_beam_and_helper(Config) ->
    kill_beams(Config, fun(Beam, Helper) ->
        "" = os:cmd(io_lib:format("kill -9 ~b ~b", [Beam, Helper]))
    end).

kill_beams(Config, Kill) ->
    lists:foreach(
        fun(_) ->
            {Port, Beam, Guest} = other_beam(?config(kernel, Config)),
            Helper = helper_of(Guest),
            Kill(Beam, Helper),
            receive {Port, {exit_status, _}} -> ok end,
            evum_test:await(fun() -> not alive(Helper) andalso not alive(Guest) end),
            evum_test:no_leftovers(?config(before, Config))
        end,
        lists:seq(1, ?TIMES)
    ).

%% 100 machines in turn: no process, file, or memory of the BEAM is left.
many(Config) ->
    Start = fun() ->
        R = evum_test:start(Config),
        ok = evum:stop(R),
        evum_test:drain()
    end,
    %% what is made once: code, tables, the default switch
    [Start() || _ <- lists:seq(1, 5)],
    Before = {settled_memory(), evum_test:leftovers(), length(erlang:ports())},
    [Start() || _ <- lists:seq(1, 100)],
    evum_test:no_leftovers(element(2, Before)),
    {Memory, _, Ports} = Before,
    After = settled_memory(),
    ct:log("~b KB before, ~b KB after", [Memory div 1024, After div 1024]),
    ?assert(After < Memory * 1.05),
    ?assertEqual(Ports, length(erlang:ports())),
    {ok, Ctl} = evum_ctl:default(),
    ?assert(is_process_alive(Ctl)).

settled_memory() ->
    [erlang:garbage_collect(P) || P <- processes()],
    erlang:memory(total).

repeat(Config, Fun) ->
    lists:foreach(
        fun(I) ->
            R = evum_test:start(Config, #{switch => none}),
            Fun(R, I),
            evum_test:no_leftovers(?config(before, Config)),
            evum_test:drain()
        end,
        lists:seq(1, ?TIMES)
    ).

maybe_boot(R, I) when I rem 2 =:= 0 -> evum_test:sh(R, "true");
maybe_boot(_R, _I) -> ok.

kill(OsPid) ->
    "" = os:cmd("kill -9 " ++ integer_to_list(OsPid)).

%% evum_guest is the parent of the keeper, and that one the guest's.
helper_of(Guest) -> parent(parent(Guest)).

parent(OsPid) ->
    {ok, Text} = file:read_file("/proc/" ++ integer_to_list(OsPid) ++ "/stat"),
    [_, Rest] = string:split(Text, ") ", trailing),
    [_State, Parent | _] = string:lexemes(Rest, " "),
    binary_to_integer(Parent).

alive(OsPid) ->
    filelib:is_dir("/proc/" ++ integer_to_list(OsPid)).

%% A second BEAM with a switch and a machine.
other_beam(Kernel) ->
    Code = io_lib:format(
        "{ok, R} = evum:start(#{kernel => ~p}), #{os_pid := P} = evum:info(R),"
        "evum:send(R, \"true\"),"
        "io:format(\"~~s ~~b~~n\", [os:getpid(), P]), receive never -> ok end.",
        [Kernel]
    ),
    Ebin = filename:dirname(code:which(evum)),
    Port = erlang:open_port({spawn_executable, os:find_executable("erl")}, [
        {args, [
            "-noshell", "-pa", Ebin, "-evum", "uplink", "none", "-eval", lists:flatten(Code)
        ]},
        {line, 200},
        exit_status
    ]),
    {Beam, Guest} = pids(Port),
    {Port, Beam, Guest}.

%% The line with the two process ids, behind what the BEAM may have logged.
pids(Port) ->
    receive
        {Port, {data, {_, Line}}} ->
            case re:run(Line, "^([0-9]+) ([0-9]+)$", [{capture, [1, 2], list}]) of
                {match, Ids} -> list_to_tuple([list_to_integer(Id) || Id <- Ids]);
                nomatch -> pids(Port)
            end;
        {Port, {exit_status, Status}} ->
            error({no_beam, Status})
    after 60000 -> error(no_beam)
    end.
