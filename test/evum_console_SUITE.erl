%% SPDX-License-Identifier: Apache-2.0
%% The console of a real machine, scripted and with several readers.
-module(evum_console_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

%% What is expected comes within that time, ms.
-define(LIMIT, 60000).

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [
        expects_what_is_shown,
        expects_in_a_flood,
        time_limits_hold,
        a_machine_dies,
        scripts,
        scripts_name_the_step,
        transcripts,
        transcript_in_a_file,
        transcript_on_a_full_disk,
        subscribers,
        a_subscriber_that_does_not_read,
        another_owner
    ].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    %% One kernel will do: it is the BEAM that is looked at.
    [{_, Kernel} | _] = evum_test:kernels(),
    [{kernel, Kernel} | Config].

end_per_suite(_Config) ->
    application:stop(evum).

init_per_testcase(_Case, Config) ->
    [{before, evum_test:leftovers()} | Config].

end_per_testcase(_Case, Config) ->
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_test:drain(),
    evum_test:no_leftovers(?config(before, Config)).

start(Config) -> start(Config, #{}).

start(Config, Options) ->
    R = evum_test:start(Config, Options#{switch => none}),
    {ok, _} = evum:expect(R, {prompt}, ?LIMIT),
    R.

%%% Expect ------------------------------------------------------------------------

expects_what_is_shown(Config) ->
    R = evum_test:start(Config, #{switch => none, name => r1}),
    %% from the start on
    {ok, #{groups := [_]}} = evum:expect(R, {re, "Linux version ([0-9.]+)"}, ?LIMIT),
    {ok, #{match := <<"root@r1:/# ">>}} = evum:expect(r1, {prompt}, ?LIMIT),
    ok = evum:puts(R, "stty -echo; printf 'a\\nb\\n\\033[31mred\\033[0m\\nlog''in: '; read x; echo \"<$x>\"\n"),
    %% the unfinished line, in colour or not
    {ok, #{before := Before, index := 2}} = evum:expect(R, ["never", "login: "], ?LIMIT),
    ?assertEqual(<<"a\nb\nred\n">>, lists:last(binary:split(Before, <<"\"<$x>\"\n">>))),
    ok = evum:puts(R, "me\n"),
    %% behind what was found before, and no more
    {ok, #{before := Between, match := <<"<me>">>, groups := [<<"me">>]}} =
        evum:expect(R, {re, "<(.*)>"}, ?LIMIT),
    ?assertEqual(<<>>, Between),
    {ok, #{match := <<"root@r1:/# ">>}} = evum:expect(R, {prompt}, ?LIMIT),
    %% and the lines came all the same
    _ = evum_test:await_line("<me>$"),
    ?assertEqual({error, {bad_pattern, {re, "("}}}, evum:expect(R, {re, "("}, 0)),
    ?assertEqual({error, no_machine}, evum:expect(r2, "x", 0)).

%% It is found behind a flood that nobody reads line by line, in a BEAM that
%% does not grow.
expects_in_a_flood(Config) ->
    R = start(Config),
    Before = erlang:memory(total),
    ok = evum:puts(R, "yes some line of a flood | head -n 100000; echo 'the e''nd'\n"),
    {ok, #{before := Text, index := 2}} = evum:expect(R, ["never", {re, "^the end$"}], ?LIMIT),
    ?assert(byte_size(Text) =< 65536),
    ?assert(erlang:memory(total) - Before < 32 bsl 20),
    {message_queue_len, Queue} = process_info(self(), message_queue_len),
    ?assert(Queue < 10000),
    #{console := #{discarded := Discarded, lines := Lines}} = evum:info(R),
    ?assert(Lines + Discarded >= 100000).

time_limits_hold(Config) ->
    R = start(Config),
    ok = evum:puts(R, "echo se''en\n"),
    {error, {timeout, Seen}} = evum:expect(R, "never", 1000),
    ?assertMatch({match, _}, re:run(Seen, "\nseen\n")),
    %% what was seen in vain is still there
    {ok, _} = evum:expect(R, "\nseen\n", 0),
    ?assertMatch({error, {timeout, _}}, evum:expect(R, "seen", 0)),
    %% also while there is always something new
    ok = evum:puts(R, "yes\n"),
    ?assertMatch({error, {timeout, _}}, evum:expect(R, {re, "never"}, 1000)).

a_machine_dies(Config) ->
    R = start(Config),
    #{os_pid := OsPid} = evum:info(R),
    ok = evum:puts(R, "echo la''st; exec sleep 1000\n"),
    _ = evum_test:await_line("^last$"),
    Killer = spawn_link(fun() ->
        receive now -> os:cmd("kill -9 " ++ integer_to_list(OsPid)) end
    end),
    Killer ! now,
    {error, {ended, Reason, Seen}} = evum:expect(R, "never", ?LIMIT),
    ?assertEqual({guest, {signal, 9}}, Reason),
    ?assertMatch({match, _}, re:run(Seen, "\nlast\n")),
    ?assertEqual({error, no_machine}, evum:expect(R, "never", ?LIMIT)).

%%% Scripts ------------------------------------------------------------------------

scripts(Config) ->
    R = start(Config),
    {ok, [_, #{groups := [Number]}, _]} = evum:script(R, [
        {send, "stty -echo; read -p 'Your name? ' name; echo $name has ${#name} letters"},
        {expect, {prompt}},
        {send, "Ada"},
        {expect, {re, "^Ada has ([0-9]+) letters$"}, ?LIMIT},
        {puts, "\n"},
        {expect, {prompt}}
    ]),
    ?assertEqual(<<"3">>, Number).

scripts_name_the_step(Config) ->
    R = start(Config),
    Step = {expect, "never", 200},
    ?assertMatch(
        {error, {step, 3, Step, {timeout, _}}},
        evum:script(R, [{send, "true"}, {expect, "true"}, Step, {send, "not typed"}])
    ),
    %% nothing is done of a script that cannot be carried out
    ?assertEqual(
        {error, {step, 2, {sned, "x"}, bad_step}}, evum:script(R, [{send, "touch /root/x"}, {sned, "x"}])
    ),
    ?assertEqual(
        {error, {step, 1, {expect, {re, "("}}, {bad_pattern, {re, "("}}}},
        evum:script(R, [{expect, {re, "("}}])
    ),
    ?assertEqual([<<"none">>], evum_test:sh(R, "ls /root/x 2>/dev/null || echo none")).

%%% Transcripts ---------------------------------------------------------------------

transcripts(Config) ->
    R = start(Config, #{transcript => 100}),
    _ = evum_test:sh(R, "seq 1000"),
    Small = evum:transcript(R),
    ?assert(byte_size(Small) =< 100),
    ?assertMatch({match, _}, re:run(Small, "\n999\n1000\n")),
    R2 = start(Config),
    _ = evum_test:sh(R2, "seq 1000"),
    ?assertMatch({match, _}, re:run(evum:transcript(R2), "\n1\n2\n3\n")),
    ?assertMatch({match, _}, re:run(evum:transcript(R2), "Linux version")).

transcript_in_a_file(Config) ->
    Path = filename:join(?config(priv_dir, Config), "a transcript"),
    R = start(Config, #{transcript => {file, Path}}),
    _ = evum_test:sh(R, "seq 1000"),
    {ok, _} = evum:expect(R, {prompt}, ?LIMIT),
    ok = evum:stop(R),
    %% up to the line that was never ended
    Text = evum_test:await(fun() ->
        case file:read_file(Path) of
            {ok, Bytes} when Bytes =/= <<>> ->
                re:run(Bytes, "root@.none.:/# \n$", [{capture, none}]) =:= match andalso Bytes;
            _ ->
                false
        end
    end),
    Stamp = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z ",
    Lines = binary:split(Text, <<"\n">>, [global, trim]),
    [?assertMatch({match, _}, re:run(Line, Stamp)) || Line <- Lines],
    ?assertEqual(1000, length([L || L <- Lines, re:run(L, "Z [0-9]+$", [{capture, none}]) =:= match])),
    Missing = filename:join([?config(priv_dir, Config), "missing", "file"]),
    ?assertEqual(
        {error, {bad_option, transcript, {file, list_to_binary(Missing)}}},
        evum:start(#{transcript => {file, Missing}, switch => none})
    ).

%% The machine does not mind.
transcript_on_a_full_disk(Config) ->
    R = start(Config, #{transcript => {file, "/dev/full"}}),
    ?assertEqual(1000, length(evum_test:sh(R, "seq 1000"))).

%%% More readers ----------------------------------------------------------------------

subscribers(Config) ->
    R = start(Config),
    Self = self(),
    Reader = spawn_link(fun() ->
        ok = evum:subscribe(R),
        Self ! ready,
        Self ! {read, read(R, <<"1000">>, [])},
        ok = evum:unsubscribe(R),
        Self ! ready
    end),
    receive ready -> ok after ?LIMIT -> error(timeout) end,
    _ = evum_test:sh(R, "seq 1000"),
    Lines =
        receive
            {read, L} -> L
        after ?LIMIT -> error(timeout)
        end,
    Numbers = [integer_to_binary(N) || N <- lists:seq(1, 1000)],
    ?assertEqual(Numbers, [L || L <- Lines, lists:member(L, Numbers)]),
    receive ready -> ok after ?LIMIT -> error(timeout) end,
    _ = evum_test:await_down(Reader),
    %% the machine has forgotten it
    ?assertEqual([<<"on">>], evum_test:sh(R, "echo on")).

read(R, Last, Lines) ->
    receive
        {evum, R, {line, Last}} -> lists:reverse([Last | Lines]);
        {evum, R, {line, Line}} -> read(R, Last, [Line | Lines])
    after ?LIMIT -> error(timeout)
    end.

%% It is dropped after a while, and the owner gets all.
a_subscriber_that_does_not_read(Config) ->
    R = start(Config),
    Self = self(),
    Sleeper = spawn_link(fun() ->
        ok = evum:subscribe(R),
        Self ! ready,
        receive stop -> Self ! {last, last_told(R, none)} end
    end),
    receive ready -> ok after ?LIMIT -> error(timeout) end,
    evum_test:drain(),
    ?assertEqual(50000, length(evum_test:sh(R, "seq -f %099.0f 50000"))),
    #{console := #{dropped := 1, discarded := 0}} = evum:info(R),
    {message_queue_len, Queue} = process_info(Sleeper, message_queue_len),
    ?assert(Queue < 10000),
    Sleeper ! stop,
    receive
        {last, What} -> ?assertEqual(dropped, What)
    after ?LIMIT -> error(timeout)
    end.

last_told(R, Last) ->
    receive
        {evum, R, What} -> last_told(R, What)
    after 0 -> Last
    end.

another_owner(Config) ->
    R = start(Config),
    Self = self(),
    Other = spawn_link(fun() ->
        receive take -> Self ! {refused, evum:controlling_process(R, self())} end,
        receive <<"for you">> -> Self ! got_it end
    end),
    Other ! take,
    receive {refused, Error} -> ?assertEqual({error, not_owner}, Error) after ?LIMIT -> error(timeout) end,
    ok = evum:controlling_process(R, Other),
    ok = evum:puts(R, "echo 'for'' you'\n"),
    receive got_it -> ok after ?LIMIT -> error(timeout) end,
    _ = evum_test:await_down(Other),
    %% who has died can refuse nothing
    ok = evum_test:await(fun() -> evum:controlling_process(R, self()) =:= ok andalso ok end),
    ?assertEqual([<<"mine">>], evum_test:sh(R, "echo mine")).
