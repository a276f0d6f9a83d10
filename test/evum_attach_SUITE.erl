%% SPDX-License-Identifier: Apache-2.0
%% Consoles on a terminal: `evum console' and evum:attach/1, through a pty.
-module(evum_attach_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

%% What a terminal shows, it shows within that time, ms.
-define(LIMIT, 60000).
-define(LEAVE, "\x1d").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [
        command_line,
        an_editor,
        size_changes,
        relay_is_killed,
        guardian_is_killed,
        machine_ends,
        by_pid,
        paste_without_agent,
        wrong_calls,
        erlang_shell,
        beam_is_killed,
        no_terminal,
        rubbish_at_the_door,
        other_users
    ].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    [{_, Kernel} | _] = evum_test:kernels(),
    [{kernel, Kernel} | Config].

end_per_suite(_Config) ->
    application:stop(evum).

%% Others of this user may have machines, too: a name that they do not have.
init_per_testcase(Case, Config) ->
    Name = string:replace(atom_to_list(Case), "_", "-", all) ++ "-" ++ os:getpid(),
    [{before, evum_test:leftovers()}, {name, lists:flatten(Name)} | Config].

end_per_testcase(_Case, Config) ->
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_test:drain(),
    evum_test:no_leftovers(?config(before, Config)).

start(Config) ->
    R = evum_test:start(Config, #{switch => none, name => ?config(name, Config)}),
    {ok, _} = evum:expect(R, {prompt}, ?LIMIT),
    R.

%%% The command -------------------------------------------------------------------

command_line(Config) ->
    R = start(Config),
    Terminal = console(Config),
    type(Terminal, "echo on $((20 + 22))\r", "on 42\r\n"),
    %% ^C is the guest's; once the program has it, see evum_vm_SUITE
    type(Terminal, "sh -c 'echo st''arted; exec sleep 1000'\r", "started\r\n"),
    type(Terminal, "\x03", "# $"),
    type(Terminal, "echo status $?\r", "status 130\r\n"),
    %% the owner has its lines all the same
    _ = evum_test:await_line("^on 42$"),
    leave(Terminal),
    %% and the machine runs on
    ?assertEqual([<<"here">>], evum_test:sh(R, "echo here")).

an_editor(Config) ->
    R = start(Config),
    Terminal = console(Config),
    %% its screen, drawn with escape sequences
    type(Terminal, "busybox vi /root/file\r", "~.*- /root/file"),
    type(Terminal, "iwritten in vi\e", "written in vi"),
    type(Terminal, ":wq\r", "# $"),
    leave(Terminal),
    ?assertEqual([<<"written in vi">>], evum_test:sh(R, "cat /root/file")).

size_changes(Config) ->
    R = start(Config),
    ok = evum:await(R, ready),
    Terminal = console(Config),
    Await = fun(Size) ->
        evum_test:await(fun() ->
            Shown = type(Terminal, "stty size; echo th''at\r", "that\r\n.*# $"),
            re:run(Shown, "\n" ++ Size ++ "\r", [{capture, none}]) =:= match
        end)
    end,
    Await("30 100"),
    [] = os:cmd("stty -F " ++ get(tty) ++ " rows 21 cols 77"),
    Await("21 77"),
    leave(Terminal),
    %% as it was
    evum_test:await(fun() -> evum_test:sh(R, "stty size") =:= [<<"24 512">>] end).

%% Whatever dies, the terminal is as before: leave/1 and left/1 look at it.
relay_is_killed(Config) ->
    _ = start(Config),
    Terminal = console(Config),
    [_Guardian, Relay] = attach_programs(Config),
    [] = os:cmd("kill -9 " ++ Relay),
    left(Terminal).

guardian_is_killed(Config) ->
    _ = start(Config),
    Terminal = console(Config),
    [Guardian, _Relay] = attach_programs(Config),
    [] = os:cmd("kill -9 " ++ Guardian),
    left(Terminal).

%% The first of them is the parent of the other.
attach_programs(Config) ->
    %% the brackets keep the pattern from matching the shell that it is run by
    Pattern = "'[e]vum_attach console .* " ++ ?config(name, Config) ++ "$'",
    [First] = string:lexemes(os:cmd("pgrep -o -f " ++ Pattern), "\n"),
    [Child] = evum_test:children(list_to_integer(First)),
    [First, integer_to_list(Child)].

machine_ends(Config) ->
    R = start(Config),
    Terminal = console(Config),
    ok = evum:stop(R),
    _ = expect(Terminal, "the machine has ended"),
    left(Terminal).

by_pid(Config) ->
    R = evum_test:boot(Config, #{switch => none}),
    Terminal = console(Config, "'" ++ pid_to_list(R) ++ "'"),
    leave(Terminal).

%% On a kernel that says of itself that it has no virtio console; no more than
%% would fit unread.
paste_without_agent(Config) ->
    {ok, Info} = evum_kernel:info(?config(kernel, Config)),
    #{features := Features} = Info,
    Less = Info#{features := maps:remove(<<"VIRTIO_CONSOLE">>, Features)},
    {ok, Machine} = evum_machine:describe(#{switch => none}),
    {ok, Machine1} = evum_machine:with_kernel(Machine, Less),
    {ok, R} = evum_vm:start_link({Machine1, Less}),
    ok = evum_vm:await(R),
    {ok, _} = evum:expect(R, {prompt}, ?LIMIT),
    Terminal = console(Config, "'" ++ pid_to_list(R) ++ "'"),
    Line = lists:duplicate(99, $x) ++ "\r",
    type(Terminal, "stty -echo; echo re''ady; head -n 39 | wc -c; stty echo\r", "ready\r\n"),
    type(Terminal, lists:duplicate(39, Line), "3900\r\n.*# $"),
    type(Terminal, "echo on $((20 + 22))\r", "on 42\r\n.*# $"),
    leave(Terminal),
    ok = evum:stop(R).

wrong_calls(Config) ->
    R = start(Config),
    Name = ?config(name, Config),
    Terminal = terminal(Config, program() ++ " console nobody; echo status=$?"),
    _ = expect(Terminal, "there is no machine nobody.*status=3\r\n.*after=[^\n]*\n"),
    ?assertEqual(0, receive {Terminal, {exit_status, S}} -> S end),
    ?assertMatch({2, _}, evum("console")),
    ?assertMatch({2, _}, evum("")),
    ?assertMatch({2, _}, evum("fly")),
    {0, Help} = evum("--help"),
    ?assertMatch({match, _}, re:run(Help, "Ctrl-]")),
    {0, Machines} = evum("ls"),
    ?assertMatch({match, _}, re:run(Machines, Name ++ " +<.*running +64 MB")),
    %% no terminal
    {1, Text} = evum("console " ++ Name),
    ?assertMatch({match, _}, re:run(Text, "there is no terminal")),
    ?assertMatch(#{phase := running}, evum:info(R)).

evum(Args) ->
    Text = os:cmd("setsid -w " ++ program() ++ " " ++ Args ++ " 2>&1; echo $?"),
    Lines = string:lexemes(Text, "\n"),
    {list_to_integer(lists:last(Lines)), string:join(lists:droplast(Lines), "\n")}.

%%% From an Erlang shell ------------------------------------------------------------

erlang_shell(Config) ->
    Terminal = erl(Config),
    type(Terminal, "evum:attach(r1).\n", "root@r1:/# $"),
    type(Terminal, "echo on $((20 + 22))\r", "on 42\r\n"),
    type(Terminal, "sh -c 'echo st''arted; exec sleep 1000'\r", "started\r\n"),
    type(Terminal, "\x03", "# $"),
    %% ^G, which the shell would take for itself
    type(Terminal, "\x07echo be''ll\r", "bell\r\n.*# $"),
    type(Terminal, ?LEAVE, "ok\r?\n[0-9]+> $"),
    type(Terminal, "20 + 22.\n", "42\r?\n[0-9]+> $"),
    %% once more, and the machine ends
    type(Terminal, "evum:attach(r1).\n", "root@r1:/# $"),
    type(Terminal, "busybox poweroff\r", "{error,{ended,normal}}.*> $"),
    tell(Terminal, "q().\n"),
    left(Terminal).

beam_is_killed(Config) ->
    Terminal = erl(Config),
    Shown = type(Terminal, "os:getpid().\n", "\"[0-9]+\".*4> $"),
    {match, [Beam]} = re:run(Shown, "\"([0-9]+)\"", [{capture, [1], list}]),
    type(Terminal, "evum:attach(r1).\n", "root@r1:/# $"),
    [] = os:cmd("kill -9 " ++ Beam),
    left(Terminal).

erl(Config) ->
    Ebin = filename:dirname(code:which(evum)),
    Terminal = terminal(Config, "erl -pa " ++ Ebin),
    _ = expect(Terminal, "1> $"),
    Kernel = io_lib:format("~p", [?config(kernel, Config)]),
    type(
        Terminal,
        ["{ok, _} = evum:start(#{switch => none, name => r1, kernel => ", Kernel, "}).\n"],
        "2> $"
    ),
    type(Terminal, "evum:expect(r1, {prompt}, 60000), ok.\n", "ok\r?\n3> $"),
    Terminal.

%% Here is none.
no_terminal(Config) ->
    R = start(Config),
    ?assertEqual({error, no_terminal}, evum:attach(R)).

%%% The door -----------------------------------------------------------------------

rubbish_at_the_door(_Config) ->
    [
        begin
            {ok, Socket} = gen_tcp:connect({local, <<0, (evum_door:name())/binary>>}, 0, [
                binary, {active, false}
            ]),
            ok = gen_tcp:send(Socket, Bytes),
            ?assertEqual({error, closed}, gen_tcp:recv(Socket, 0, ?LIMIT))
        end
     || Bytes <- [
            <<0:32>>,
            <<5:32, "hello">>,
            <<-1:32>>,
            <<3:32, 131, 104, 255>>,
            term(rubbish),
            term({-1, console, <<>>}),
            term({1, console}),
            term({1, run, <<>>}),
            term({1, run, <<"/", 0, "last", 0>>})
        ]
    ],
    ?assertMatch({0, _}, evum("ls")).

term(Term) ->
    Bytes = term_to_binary(Term),
    <<(byte_size(Bytes)):32, Bytes/binary>>.

other_users(_Config) ->
    case os:cmd("id -u") of
        "0\n" ->
            As = "setpriv --reuid=65534 --regid=65534 --clear-groups ",
            Name = binary_to_list(evum_door:name()),
            Request = filename:join(["/tmp", "evum-door-" ++ os:getpid()]),
            ok = file:write_file(Request, term({1, console, <<"nobody">>})),
            %% it may be shown the door before it has said anything: socat tells of that
            Shown = os:cmd(As ++ "socat -t 10 - ABSTRACT-CONNECT:" ++ Name ++ " <" ++ Request ++ " 2>/dev/null"),
            Own = os:cmd("socat -t 10 - ABSTRACT-CONNECT:" ++ Name ++ " <" ++ Request),
            ok = file:delete(Request),
            ?assertEqual("", Shown),
            ?assertMatch({match, _}, re:run(Own, "reply"));
        _ ->
            {skip, "needs root, to be another user"}
    end.

%%% Terminals ------------------------------------------------------------------------

program() ->
    filename:join([evum_test:top(), "bin", "evum"]).

console(Config) ->
    console(Config, ?config(name, Config)).

console(Config, Name) ->
    Terminal = terminal(Config, program() ++ " console " ++ Name),
    _ = expect(Terminal, "root@[^ ]*:/# $"),
    Terminal.

%% A program on a terminal of 30 lines and 100 columns, whose settings are shown
%% before and behind it.
terminal(Config, Command) ->
    Script = filename:join(?config(priv_dir, Config), "script"),
    ok = file:write_file(Script, [
        "stty rows 30 cols 100; echo \"tty=$(tty)\"; B=$(stty -g); echo \"before=$B\"\n", Command,
        %% where all was killed, who puts it back learns of that as this does
        "\nfor i in 1 2 3 4 5 6 7 8 9 10; do [ \"$(stty -g)\" = $B ] && break; sleep 0.1; done\n",
        "echo \"after=$(stty -g)\"\n"
    ]),
    Terminal = erlang:open_port({spawn_executable, os:find_executable("socat")}, [
        {args, ["-", "EXEC:sh " ++ Script ++ ",pty,setsid,ctty,stderr"]},
        {env, [{"TERM", "xterm"}]},
        binary,
        exit_status
    ]),
    Shown = expect(Terminal, "before=[0-9a-f:]+\r\n"),
    {match, [Tty]} = re:run(Shown, "tty=(.*)\r\n", [{capture, [1], list}]),
    put(before, settings("before", Shown)),
    put(tty, Tty),
    Terminal.

settings(When, Shown) ->
    {match, [Settings]} = re:run(Shown, When ++ "=([0-9a-f:]+)\r\n", [{capture, [1], binary}]),
    Settings.

leave(Terminal) ->
    tell(Terminal, ?LEAVE),
    left(Terminal).

left(Terminal) ->
    After = settings("after", expect(Terminal, "after=[0-9a-f:]+\r\n")),
    ?assertEqual(get(before), After),
    receive
        {Terminal, {exit_status, _}} -> ok
    after ?LIMIT -> error(still_there)
    end.

type(Terminal, Text, Expected) ->
    tell(Terminal, Text),
    expect(Terminal, Expected).

tell(Terminal, Text) ->
    true = erlang:port_command(Terminal, Text).

%% All that is shown until the expression is found in it.
expect(Terminal, Regex) ->
    expect(Terminal, Regex, <<>>, erlang:monotonic_time(millisecond) + ?LIMIT).

expect(Terminal, Regex, Shown, Deadline) ->
    case re:run(Shown, Regex, [dotall, {capture, none}]) of
        match ->
            Shown;
        nomatch ->
            receive
                {Terminal, {data, Data}} ->
                    expect(Terminal, Regex, <<Shown/binary, Data/binary>>, Deadline);
                {Terminal, {exit_status, Status}} ->
                    error({terminal_ended, Status, Shown})
            after max(0, Deadline - erlang:monotonic_time(millisecond)) ->
                error({not_shown, Regex, Shown})
            end
    end.
