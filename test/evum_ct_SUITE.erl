%% SPDX-License-Identifier: Apache-2.0
%% The hook, in Common Tests that run on a node of their own.
-module(evum_ct_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([for_a_suite/1, for_a_case/1, no_lab/1, init_fails/1, init_skips/1, collect_fails/1]).

all() -> [for_a_suite, for_a_case, no_lab, init_fails, init_skips, collect_fails].

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
    [Capture] = [File || File <- Kept, filename:extension(File) =:= ".pcapng"],
    ?assert(lists:any(fun is_icmp/1, frames(Capture))).

%% Only what failed is kept.
for_a_case(Config) ->
    {Output, Kept} = run(testcase, lab(Config), Config),
    ?assertMatch({match, _}, re:run(Output, "1 ok, 1 failed")),
    ?assert(is_kept("evum-bad/b.console", Kept)),
    [Capture] = [File || File <- Kept, filename:extension(File) =:= ".pcapng"],
    ?assertMatch({match, _}, re:run(Capture, "evum-bad/net.a_eth0-b_eth0.pcapng$")),
    ?assert(lists:any(fun is_icmp/1, frames(Capture))),
    ?assertNot(is_kept("evum-good", Kept)),
    [Term] = [File || File <- Kept, filename:basename(File) =:= "lab.term"],
    ?assertMatch({ok, [#{seed := 7, name := <<"net">>}]}, consult(Term)).

%% A suite whose lab does not start is not run.
no_lab(Config) ->
    {Output, _} = run(suite, #{machines => #{a => #{image => nowhere}}}, Config),
    ?assertMatch({match, _}, re:run(Output, "\\{0,0,\\{0,2\\}\\}|\\{0,2,\\{0,0\\}\\}")).

%% No end function is called then; the lab does not stay, and what it was is kept.
init_fails(Config) ->
    {_, OfSuite} = run(suite, lab(Config), "init_per_suite(_) -> error(on_purpose).\nend_per_suite(_) -> ok.\n", Config),
    ?assert(is_kept("evum-small_SUITE/lab.term", OfSuite)),
    ?assert(is_kept("evum-small_SUITE/net.a_eth0-b_eth0.pcapng", OfSuite)),
    InCase = "init_per_testcase(bad, _) -> error(on_purpose);\ninit_per_testcase(_, Config) -> Config.\n",
    {Output, OfCase} = run(testcase, lab(Config), InCase, Config),
    ?assertMatch({match, _}, re:run(Output, "1 ok, 0 failed, 1 skipped")),
    ?assert(is_kept("evum-bad/b.console", OfCase)),
    ?assertNot(is_kept("evum-good", OfCase)),
    %% the others have their suite's lab yet
    {Said, InSuite} = run(suite, lab(Config), InCase, Config),
    ?assertMatch({match, _}, re:run(Said, "1 ok, 0 failed, 1 skipped")),
    ?assert(is_kept("evum-small_SUITE/bad/lab.term", InSuite)).

init_skips(Config) ->
    {Output, Kept} = run(testcase, lab(Config), "init_per_testcase(_, _) -> {skip, on_purpose}.\n", Config),
    ?assertMatch({match, _}, re:run(Output, "0 ok, 0 failed, 2 skipped")),
    ?assertNot(is_kept("lab.term", Kept)).

%% What cannot be written is no reason for a lab to stay, and to be in the next one's way.
collect_fails(Config) ->
    InTheWay = fun(Case) ->
        ["ok = filelib:ensure_dir(filename:join([?config(priv_dir, Config), \"evum-", Case, "\", \"lab.term\", x]))"]
    end,
    OfCase = ["end_per_testcase(bad, Config) -> ", InTheWay("bad"), ";\nend_per_testcase(_, _) -> ok.\n"],
    {Output, _} = run(testcase, lab(Config), OfCase, Config),
    ?assertMatch({match, _}, re:run(Output, "1 ok, 1 failed")),
    OfSuite = ["init_per_suite(Config) -> ", InTheWay("small_SUITE"), ", error(on_purpose).\nend_per_suite(_) -> ok.\n"],
    _ = run(suite, lab(Config), OfSuite, Config).

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

%% The frames of a pcapng: what is in its Enhanced Packet Blocks.
frames(File) ->
    {ok, Bytes} = file:read_file(File),
    frames_of(Bytes).

frames_of(<<6:32/little, Length:32/little, _:12/binary, Kept:32/little, _:4/binary, Rest/binary>>) ->
    <<Frame:Kept/binary, _/binary>> = Rest,
    [Frame | frames_of(binary:part(Rest, Length - 28, byte_size(Rest) - Length + 28))];
frames_of(<<_:32, Length:32/little, Rest/binary>>) ->
    frames_of(binary:part(Rest, Length - 8, byte_size(Rest) - Length + 8));
frames_of(<<>>) ->
    [].

is_icmp(<<_:12/binary, 16#0800:16, _:9/binary, Protocol, _/binary>>) -> Protocol =:= 1;
is_icmp(_) -> false.

run(Each, Lab, Config) ->
    run(Each, Lab, "", Config).

%% A suite with a case that is good and one that is not, and more of its functions. No
%% lab is left of it.
run(Each, Lab, More, Config) ->
    Dir = filename:join(?config(priv_dir, Config), atom_to_list(Each) ++ integer_to_list(erlang:unique_integer([positive]))),
    ok = filelib:ensure_dir(filename:join(Dir, "logs/x")),
    Source = io_lib:format(
        "-module(small_SUITE).~n-compile([export_all, nowarn_export_all]).~n-include_lib(\"common_test/include/ct.hrl\").~n"
        "suite() -> [{ct_hooks, [{evum_ct, ~p}]}].~n"
        "all() -> [bad, good].~n"
        "good(Config) -> {0, _} = ping(Config).~n"
        "bad(Config) -> {0, _} = ping(Config), error(on_purpose).~n"
        "ping(Config) -> {ok, A} = evum_lab:machine(proplists:get_value(lab, Config), a),~n"
        "    {ok, S, O} = evum:cmd(A, \"for i in 1 2 3; do ping -c 1 -W 2 b && exit 0; done; exit 1\"), {S, O}.~n"
        "~s",
        [#{lab => Lab, each => Each}, More]
    ),
    ok = file:write_file(filename:join(Dir, "small_SUITE.erl"), Source),
    Run = io_lib:format(
        "R = ct:run_test([{dir, \"~ts\"}, {logdir, \"~ts/logs\"}, {auto_compile, true}]), "
        "io:format(\"~~n~~p~~n~~b labs are left~~n\", [R, length(evum_lab:list())]), halt().",
        [Dir, Dir]
    ),
    Ebin = filename:dirname(code:which(evum)),
    Output = erl(["-noinput", "-pa", Ebin, "-eval", lists:flatten(Run)], Dir),
    ct:log("~ts", [Output]),
    ?assertMatch({match, _}, re:run(Output, "0 labs are left")),
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
