%% SPDX-License-Identifier: Apache-2.0
%% The first session of the README, typed through a real terminal; the demo;
%% a guest that is not evum's; and all of it as a user without privileges.
-module(evum_session_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

%% What a shell shows, it shows within that time, ms.
-define(LIMIT, 90000).

suite() -> [{timetrap, {minutes, 10}}].

all() -> [{group, fast}, {group, debian}, rootless].

groups() -> evum_test:kernel_groups([session, demo, foreign_guest]).

init_per_group(Group, Config) ->
    evum_test:init_group(Group, Config).

end_per_group(_Group, _Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    [{before, evum_test:leftovers()} | Config].

end_per_testcase(_Case, Config) ->
    _ = application:stop(evum),
    evum_test:no_leftovers(?config(before, Config)).

session(Config) ->
    Shell = shell(Config),
    %% Eshell's own banner and prompt
    _ = expect(Shell, "1> $"),
    type(Shell, "{ok, Switch} = evum_switch:start().", "{ok,<.*2> $"),
    type(Shell, "evum_ctl:start(Switch).", "{ok,<.*3> $"),
    type(Shell, "{ok, R} = evum:start().", "{ok,<.*4> $"),
    type(Shell, "{ok, R1} = evum:start().", "{ok,<.*5> $"),
    type(Shell, "{ok, R2} = evum:start().", "{ok,<.*6> $"),
    type(Shell, "flush().", "7> $"),
    type(Shell, ifconfig("R", "92"), "ok.*8> $"),
    type(Shell, ifconfig("R1", "93"), "ok.*9> $"),
    type(Shell, ifconfig("R2", "94"), "ok.*10> $"),
    type(Shell, "evum:send(R, \"ifconfig -a\").", "<<\"root@\\(none\\):/# ifconfig -a\">>.*11> $"),
    Shown = flush(Shell, "127\\.0\\.0\\.1"),
    ?assertMatch({match, _}, re:run(Shown, "Shell got <<\"eth0")),
    ?assertMatch({match, _}, re:run(Shown, "192\\.168\\.213\\.92")),
    type(Shell, "evum:ping(R, {192,168,213,93}).", "<<\"root@\\(none\\):/# ping -w 5 -c 1"),
    _ = flush(Shell, "Shell got <<\"64 bytes from 192\\.168\\.213\\.93"),
    type(
        Shell,
        "evum:send(R, \"socat tcp-l:7777,reuseaddr,fork system:'/bin/bash',stderr &\").",
        "<<\"root@\\(none\\):/# socat tcp-l:7777,reuseaddr,fork system:'/bin/bash',stderr &\">>"
    ),
    %% until socat listens: a person would try again, too
    evum_test:await(fun() ->
        type(
            Shell,
            "evum:send(R1, \"echo uname -a | socat - tcp:192.168.213.92:7777\").",
            "<<\"root@\\(none\\):/# echo uname -a"
        ),
        Text = flush(Shell, "Shell got <<\"Linux \\(none\\)|refused"),
        re:run(Text, "Linux \\(none\\)", [{capture, none}]) =:= match
    end),
    tell(Shell, "q().\n"),
    receive {Shell, {exit_status, _}} -> ok after ?LIMIT -> error(still_there) end.

%% `make shell' in a terminal, as a person has it.
shell(Config) ->
    Top = evum_test:top(),
    erlang:open_port({spawn_executable, os:find_executable("socat")}, [
        {args, ["-", "EXEC:make --no-print-directory -C '" ++ Top ++ "' shell,pty,setsid,ctty,stderr"]},
        {env, [{"EVUM_KERNEL", ?config(kernel, Config)}, {"TERM", "dumb"}]},
        binary,
        exit_status
    ]).

ifconfig(R, Last) ->
    "evum:ifconfig(" ++ R ++ ", {\"192.168.213." ++ Last ++ "\", \"255.255.255.0\", \"192.168.213.1\"}).".

type(Shell, Line, Expected) ->
    tell(Shell, Line ++ "\n"),
    expect(Shell, Expected).

tell(Shell, Text) ->
    true = erlang:port_command(Shell, Text).

%% All that is shown until the expression is found in it.
expect(Shell, Regex) ->
    expect(Shell, Regex, <<>>, erlang:monotonic_time(millisecond) + ?LIMIT).

expect(Shell, Regex, Shown, Deadline) ->
    case re:run(Shown, Regex, [dotall, {capture, none}]) of
        match ->
            Shown;
        nomatch ->
            receive
                {Shell, {data, Data}} -> expect(Shell, Regex, <<Shown/binary, Data/binary>>, Deadline);
                {Shell, {exit_status, Status}} -> error({shell_ended, Status, Shown})
            after max(0, Deadline - erlang:monotonic_time(millisecond)) ->
                error({not_shown, Regex, Shown})
            end
    end.

%% Type flush() until the expression has been shown: all that was.
flush(Shell, Regex) ->
    flush(Shell, Regex, <<>>, erlang:monotonic_time(millisecond) + ?LIMIT).

flush(Shell, Regex, Before, Deadline) ->
    tell(Shell, "flush().\n"),
    Shown = <<Before/binary, (expect(Shell, "ok\r?\n[0-9]+> $"))/binary>>,
    case re:run(Shown, Regex, [{capture, none}]) of
        match ->
            Shown;
        nomatch ->
            erlang:monotonic_time(millisecond) < Deadline orelse error({not_shown, Regex, Shown}),
            flush(Shell, Regex, Shown, Deadline)
    end.

demo(Config) ->
    Port = erlang:open_port({spawn_executable, filename:join([evum_test:top(), "scripts", "demo"])}, [
        {cd, evum_test:top()}, {env, [{"EVUM_KERNEL", ?config(kernel, Config)}]}, binary, exit_status
    ]),
    Shown = collect(Port, <<>>),
    ?assertMatch({match, _}, re:run(Shown, "64 bytes from 192.168.213.93")),
    ?assertMatch({match, _}, re:run(Shown, "64 bytes from 192.168.213.92")).

collect(Port, Shown) ->
    receive
        {Port, {data, Data}} -> collect(Port, <<Shown/binary, Data/binary>>);
        {Port, {exit_status, 0}} -> Shown;
        {Port, {exit_status, Status}} -> error({exit_status, Status, Shown})
    after ?LIMIT -> error({timeout, Shown})
    end.

%% Debian's kernel, started by hand, with a line that any UML user knows.
foreign_guest(Config) ->
    case os:find_executable("linux.uml") of
        false -> {skip, "needs Debian's user-mode-linux for the foreign guest"};
        Uml -> foreign_guest(Uml, Config)
    end.

foreign_guest(Uml, Config) ->
    {ok, _} = application:ensure_all_started(evum),
    R = evum_test:boot(Config, #{}),
    ok = evum:ifconfig(R, {"10.9.0.1", "255.255.255.0", "10.9.0.254"}),
    Dir = string:trim(os:cmd("mktemp -d")),
    Init = filename:join(Dir, "init.sh"),
    %% The host may have no ping of its own.
    Applets = filename:absname(filename:join(code:priv_dir(evum), "applets")),
    ok = file:write_file(Init, [
        "#!/bin/sh\nPATH=$PATH:", Applets, "\nmount -t proc proc /proc\nifconfig eth0 10.9.0.2 up\n",
        "ping -w 20 -c 3 10.9.0.1\necho the foreign guest is do''ne\nexec halt -f\n"
    ]),
    ok = file:change_mode(Init, 8#755),
    Port = erlang:open_port({spawn_executable, Uml}, [
        {args, [
            "mem=64M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
            "init=" ++ Init, "con=null", "con0=null,fd:1", "uml_dir=" ++ Dir ++ "/",
            "eth0=daemon,,unix," ++ evum_ctl:socket()
        ]},
        binary, exit_status, stderr_to_stdout
    ]),
    {os_pid, OsPid} = erlang:port_info(Port, os_pid),
    Shown = until(Port, "the foreign guest is done", <<>>),
    %% With its helpers, which do not die with it; UML leads a group of its own.
    _ = os:cmd("kill -9 -- -" ++ integer_to_list(OsPid)),
    ct:log("~ts", [Shown]),
    ?assertMatch({match, _}, re:run(Shown, "64 bytes from 10.9.0.1")),
    ?assertMatch({match, _}, re:run(Shown, "3 packets transmitted, 3 (packets )?received")),
    evum_port:close(Port),
    ok = file:del_dir_r(Dir).

until(Port, Regex, Shown) ->
    case re:run(Shown, Regex, [{capture, none}]) of
        match ->
            Shown;
        nomatch ->
            receive
                {Port, {data, Data}} -> until(Port, Regex, <<Shown/binary, Data/binary>>);
                {Port, {exit_status, _}} -> Shown
            after ?LIMIT -> error({timeout, Shown})
            end
    end.

%% The main suite once more, as nobody. Where this runs without privileges,
%% all of it has shown that already.
rootless(Config) ->
    case string:trim(os:cmd("id -u")) of
        "0" -> rootless(can_unshare(), Config);
        _ -> {skip, "all suites already run without privileges"}
    end.

can_unshare() ->
    os:cmd(as_nobody() ++ " unshare -Um true && echo yes") =:= "yes\n".

as_nobody() ->
    "setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs env -u XDG_RUNTIME_DIR".

rootless(false, _Config) ->
    {skip, "this host gives unprivileged users no namespaces"};
rootless(true, _Config) ->
    %% A copy that nobody may read: the checkout may be in somebody's home.
    Dir = string:trim(os:cmd("mktemp -d")),
    Evum = filename:dirname(filename:dirname(code:which(evum))),
    Test = filename:dirname(code:which(?MODULE)),
    [] = os:cmd(io_lib:format(
        "mkdir ~ts/evum && cp -rL ~ts/ebin ~ts/priv ~ts/evum && cp -r ~ts ~ts/test && mkdir ~ts/logs"
        " && chmod -R a+rX ~ts && chown 65534 ~ts ~ts/logs",
        [Dir, Evum, Evum, Dir, Test, Dir, Dir, Dir, Dir, Dir]
    )),
    Code = io_lib:format(
        "{Ok, Failed, _} = ct:run_test([{dir, ~p}, {suite, evum_vm_SUITE}, {auto_compile, false}, {logdir, ~p}]),"
        "io:format(\"~~b ok, ~~b failed~~n\", [Ok, Failed]), halt().",
        [filename:join(Dir, "test"), filename:join(Dir, "logs")]
    ),
    ok = file:write_file(filename:join(Dir, "code"), Code),
    Shown = os:cmd(lists:flatten(io_lib:format(
        "cd ~ts && ~ts HOME=~ts erl -noshell -evum uplink none -pa ~ts/evum/ebin ~ts/test -eval \"$(cat code)\" 2>&1",
        [Dir, as_nobody(), Dir, Dir, Dir]
    ))),
    ct:log("~ts", [Shown]),
    {match, [Ok, Failed]} = re:run(
        Shown, "\n([0-9]+) ok, ([0-9]+) failed", [{capture, [1, 2], list}]
    ),
    ?assertEqual("0", Failed),
    ?assert(list_to_integer(Ok) >= 30),
    ok = file:del_dir_r(Dir).
