%% SPDX-License-Identifier: Apache-2.0
%% The hook, in Common Tests that run on a node of their own.
-module(evum_ct_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([for_a_suite/1, for_a_case/1, no_lab/1]).

all() -> [for_a_suite, for_a_case, no_lab].

suite() -> [{timetrap, {minutes, 5}}].

%% The hook's labs need the agent.
init_per_suite(Config) -> evum_test:init_group(fast, [{before, evum_test:leftovers()} | Config]).

end_per_suite(Config) ->
    evum_test:no_leftovers(?config(before, Config)).

for_a_suite(Config) ->
    {Output, Kept} = run(suite, lab(Config), Config),
    ?assertMatch({match, _}, re:run(Output, "1 ok, 1 failed")),
    ?assert(is_kept("bad/a.console", Kept)),
    ?assert(is_kept("bad/lab.term", Kept)),
    ?assert(is_kept(".pcapng", Kept)).

%% Only what failed is kept.
for_a_case(Config) ->
    {Output, Kept} = run(testcase, lab(Config), Config),
    ?assertMatch({match, _}, re:run(Output, "1 ok, 1 failed")),
    ?assert(is_kept("evum-bad/b.console", Kept)),
    ?assert(is_kept("evum-bad/net.a_eth0-b_eth0.pcapng", Kept)),
    ?assertNot(is_kept("evum-good", Kept)),
    [Term] = [File || File <- Kept, filename:basename(File) =:= "lab.term"],
    ?assertMatch({ok, [#{seed := 7, name := <<"net">>}]}, consult(Term)).

%% A suite whose lab does not start is not run.
no_lab(Config) ->
    {Output, _} = run(suite, #{machines => #{a => #{image => nowhere}}}, Config),
    ?assertMatch({match, _}, re:run(Output, "\\{0,0,\\{0,2\\}\\}|\\{0,2,\\{0,0\\}\\}")).

lab(Config) ->
    #{
        name => net,
        seed => 7,
        machines => #{a => #{}, b => #{}},
        links => [{{a, eth0}, {b, eth0}}],
        addressing => {ipv4, "10.0.0.0/8"},
        defaults => #{image => tiny, mem => 32, kernel => ?config(kernel, Config)}
    }.

%% Pids are written as no term.
consult(File) ->
    {ok, Text} = file:read_file(File),
    Quoted = re:replace(Text, "<[0-9.]+>", "pid", [global, {return, list}]),
    {ok, Tokens, _} = erl_scan:string(Quoted),
    {ok, Term} = erl_parse:parse_term(Tokens),
    {ok, [Term]}.

is_kept(Part, Kept) -> lists:any(fun(File) -> string:find(File, Part) =/= nomatch end, Kept).

%% A suite with a case that is good and one that is not.
run(Each, Lab, Config) ->
    Dir = filename:join(?config(priv_dir, Config), atom_to_list(Each) ++ integer_to_list(erlang:unique_integer([positive]))),
    ok = filelib:ensure_dir(filename:join(Dir, "logs/x")),
    Source = io_lib:format(
        "-module(small_SUITE).~n-export([all/0, suite/0, good/1, bad/1]).~n"
        "suite() -> [{ct_hooks, [{evum_ct, ~p}]}].~n"
        "all() -> [good, bad].~n"
        "good(Config) -> {0, _} = ping(Config).~n"
        "bad(Config) -> {0, _} = ping(Config), error(on_purpose).~n"
        "ping(Config) -> {ok, A} = evum_lab:machine(proplists:get_value(lab, Config), a),~n"
        "    {ok, S, O} = evum:cmd(A, \"for i in 1 2 3; do ping -c 1 -W 2 b && exit 0; done; exit 1\"), {S, O}.~n",
        [#{lab => Lab, each => Each}]
    ),
    ok = file:write_file(filename:join(Dir, "small_SUITE.erl"), Source),
    Run = io_lib:format(
        "R = ct:run_test([{dir, \"~ts\"}, {logdir, \"~ts/logs\"}, {auto_compile, true}]), io:format(\"~~n~~p~~n\", [R]), halt().", [Dir, Dir]
    ),
    Ebin = filename:dirname(code:which(evum)),
    Output = erl(["-noinput", "-pa", Ebin, "-eval", lists:flatten(Run)], Dir),
    ct:log("~ts", [Output]),
    {Output, filelib:wildcard(filename:join(Dir, "logs/**/*"))}.

erl(Args, Dir) ->
    Port = open_port({spawn_executable, os:find_executable("erl")}, [{args, Args}, {cd, Dir}, exit_status, binary, stderr_to_stdout]),
    collect(Port, <<>>).

collect(Port, Output) ->
    receive
        {Port, {data, Data}} -> collect(Port, <<Output/binary, Data/binary>>);
        {Port, {exit_status, _}} -> Output
    after 200000 -> error({timeout, Output})
    end.
