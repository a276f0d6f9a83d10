%% SPDX-License-Identifier: Apache-2.0
%% What can be seen of switches while they run: rates, the live table, events,
%% metrics.
-module(evum_picture_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

-import(evum_switch_rig, [await/1, fence/4, introduce/1, exchange/1]).

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [
        rates,
        rates_of_a_switch_that_is_stuck,
        machines_are_named,
        watch,
        watch_ends_with_the_switch,
        events,
        metrics,
        metrics_over_http,
        no_http_unless_asked_for
    ].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Config.

end_per_suite(_Config) ->
    application:stop(evum).

init_per_testcase(Case, Config) ->
    Config1 = evum_switch_rig:open(Case, [{kinds, [bess, daemon]} | Config]),
    introduce(?config(peers, Config1)),
    Config1.

end_per_testcase(_Case, Config) ->
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_test:drain(),
    evum_switch_rig:close(Config).

rates(Config) ->
    [A, B] = ?config(peers, Config),
    Switch = ?config(switch, Config),
    %% It has been looked at before there is traffic.
    await(fun() -> maps:size(evum_sampler:rates(Switch)) =:= 2 end),
    exchange([A, B]),
    #{name := <<"rates">>, ports := [One, Two], total := _} = evum_switch:stats(Switch),
    ?assertMatch(#{id := 1, kind := bess, rx_frames := 101, second := #{}, minute := #{}}, One),
    ?assertMatch(#{id := 2, kind := daemon}, Two),
    Minute = await(fun() ->
        #{ports := [#{minute := M} | _]} = evum_switch:stats(Switch),
        maps:get(rx_frames, M) > 0 andalso M
    end),
    ?assertMatch(#{drops := +0.0}, Minute),
    %% The second is over soon, the minute is not.
    await(fun() ->
        #{ports := [#{second := S}, _], total := #{second := S2, minute := M}} = evum_switch:stats(Switch),
        {maps:get(rx_frames, S), maps:get(tx_frames, S2)} =:= {0.0, 0.0} andalso maps:get(rx_frames, M) > 0
    end),
    ok = evum_peer:close(A),
    await(fun() -> length(maps:get(ports, evum_switch:stats(Switch))) =:= 1 end),
    ok = evum_switch:stop(Switch),
    ?assertEqual({error, no_switch}, evum_switch:stats(Switch)),
    await(fun() -> evum_sampler:rates(Switch) =:= #{} end).

%% Others are looked at all the same.
rates_of_a_switch_that_is_stuck(Config) ->
    Switch = ?config(switch, Config),
    {ok, Other} = evum_switch:start(#{name => other}),
    ok = sys:suspend(Other),
    await(fun() -> maps:size(evum_sampler:rates(Switch)) =:= 2 end),
    exchange(?config(peers, Config)),
    await(fun() ->
        #{total := #{minute := #{rx_frames := N}}} = evum_switch:stats(Switch),
        N > 0
    end),
    ok = sys:resume(Other),
    ok = evum_switch:stop(Other).

machines_are_named(Config) ->
    Switch = ?config(switch, Config),
    [{_, Kernel} | _] = evum_test:kernels(),
    R = evum_test:start([{kernel, Kernel}], #{name => ralph, image => tiny, switch => Switch}),
    ok = evum:await(R, ready),
    ok = evum:config(R, #{eth0 => #{addresses => ["10.0.0.1/24"]}}),
    await(fun() -> [ralph || #{machine := <<"ralph">>} <- evum_switch:ports(Switch)] =:= [ralph] end),
    Text = evum_metrics:format(),
    ?assertMatch({match, _}, re:run(Text, "evum_machine_info{machine=\"ralph\",phase=\"running\",os_pid=\"[0-9]+\"} 1\n")),
    ?assertMatch({match, _}, re:run(Text, "evum_port_receive_frames_total{.*machine=\"ralph\"} [0-9]+\n")),
    ?assertMatch({match, _}, re:run(Text, "evum_machine_memory_bytes{machine=\"ralph\"} 67108864\n")).

%% In a process whose terminal is this one.
watch(Config) ->
    Switch = ?config(switch, Config),
    await(fun() -> maps:size(evum_sampler:rates(Switch)) =:= 2 end),
    {Pid, Ref} = watching(Switch),
    Reader = wait_for_line(),
    await_text("port +machine.*\n1 bess .*\n2 daemon .*\nall .*\nEnter ends this"),
    exchange(?config(peers, Config)),
    await_text("1 bess +[1-9][0-9]* "),
    type(Reader),
    receive
        {'DOWN', Ref, process, Pid, {done, ok}} -> ok
    after 20000 -> error(goes_on)
    end.

watch_ends_with_the_switch(Config) ->
    Switch = ?config(switch, Config),
    {Pid, Ref} = watching(Switch),
    Reader = wait_for_line(),
    await_text("Enter ends this"),
    ok = evum_switch:stop(Switch),
    await_text("The switch has ended: press Enter"),
    type(Reader),
    receive
        {'DOWN', Ref, process, Pid, {done, {error, no_switch}}} -> ok
    after 20000 -> error(goes_on)
    end.

watching(Switch) ->
    Self = self(),
    spawn_monitor(fun() ->
        true = group_leader(Self, self()),
        exit({done, evum_switch:watch(Switch)})
    end).

%% The protocol of I/O servers, as far as it is needed.
wait_for_line() ->
    receive
        {io_request, From, As, {get_line, _, _}} -> {From, As}
    after 20000 -> error(no_reader)
    end.

type({From, As}) ->
    From ! {io_reply, As, "\n"}.

await_text(Expression) ->
    receive
        {io_request, From, As, {put_chars, _, Chars}} ->
            From ! {io_reply, As, ok},
            case re:run(unicode:characters_to_binary(Chars), Expression, [{capture, none}]) of
                match -> ok;
                nomatch -> await_text(Expression)
            end;
        {io_request, From, As, {get_geometry, _}} ->
            From ! {io_reply, As, {error, enotsup}},
            await_text(Expression)
    after 20000 -> error({not_shown, Expression})
    end.

events(Config) ->
    Switch = ?config(switch, Config),
    Self = self(),
    ok = evum_telemetry:attach(?MODULE, fun(Name, Measurements, Metadata) ->
        Self ! {event, Name, Measurements, Metadata}
    end),
    _ = evum_switch_rig:connect(bess, Config),
    Up = event([evum, switch, port, up], fun(#{switch := S, port := P}) -> {S, P} =:= {Switch, 3} end),
    ?assertMatch({#{count := 1}, #{name := <<"events">>, kind := bess}}, Up),
    {#{ports := 3, rx_frames := _}, _} = event([evum, switch, stats], fun(#{switch := S}) -> S =:= Switch end),
    exchange(?config(peers, Config)),
    _ = evum_test:await(fun() ->
        {#{total_rx_frames := N, rx_frames := Rate}, _} =
            event([evum, switch, port, stats], fun(#{port := P, switch := S}) -> {S, P} =:= {Switch, 1} end),
        N =:= 101 andalso is_float(Rate)
    end),
    ok = evum_switch:close_port(Switch, 3),
    _ = event([evum, switch, port, down], fun(#{port := P, switch := S}) -> {S, P} =:= {Switch, 3} end),
    ok = evum_telemetry:detach(?MODULE).

event(Name, Is) ->
    receive
        {event, Name, Measurements, Metadata} ->
            case Is(Metadata) of
                true -> {Measurements, Metadata};
                false -> event(Name, Is)
            end
    after 20000 -> error({no_event, Name})
    end.

metrics(Config) ->
    Switch = ?config(switch, Config),
    {ok, Odd} = evum_switch:start(#{name => "a \"b\"\\\n"}),
    File = filename:join(?config(dir, Config), "x.pcapng"),
    {ok, Capture} = evum_switch:capture(Switch, #{file => File}),
    exchange(?config(peers, Config)),
    Text = evum_metrics:format(),
    well_formed(Text),
    Pid = pid_to_list(Switch),
    Has = fun(Line) -> ?assertMatch({_, _}, binary:match(Text, iolist_to_binary([Line, "\n"]))) end,
    Labels = ["{switch=\"metrics\",pid=\"", Pid, "\""],
    Has(["evum_switch_ports", Labels, "} 2"]),
    Has(["evum_port_receive_frames_total", Labels, ",port=\"1\",kind=\"bess\",machine=\"\"} 101"]),
    Has(["evum_port_up", Labels, ",port=\"2\",kind=\"daemon\",machine=\"\"} 1"]),
    Has(["evum_port_events_total", Labels, ",port=\"2\",kind=\"daemon\",machine=\"\",event=\"tx_dropped\"} 0"]),
    Has(["evum_switch_events_total", Labels, ",event=\"accepted\"} 2"]),
    Has(["evum_capture_dropped_frames_total", Labels, ",capture=\"1\"} 0"]),
    Has(["evum_switch_ports{switch=\"a \\\"b\\\"\\\\\\n\",pid=\"", pid_to_list(Odd), "\"} 0"]),
    Has("evum_machines 0"),
    {ok, _} = evum_switch:stop_capture(Capture),
    ok = file:delete(File),
    ok = evum_switch:stop(Odd).

%% Each line is a comment or a sample of the family that was announced last; no
%% sample comes twice.
well_formed(Text) ->
    Lines = string:lexemes(binary_to_list(Text), "\n"),
    _ = lists:foldl(
        fun
            ("# HELP " ++ Rest, _) ->
                [Name, _] = string:split(Rest, " "),
                Name;
            ("# TYPE " ++ Rest, Family) ->
                [Family, Type] = string:lexemes(Rest, " "),
                ?assertEqual(Type =:= "counter", lists:suffix("_total", Family)),
                Family;
            (Line, Family) ->
                Expression = "^" ++ Family ++ "({[a-z_]+=\"([^\"\\\\]|\\\\.)*\"(,[a-z_]+=\"([^\"\\\\]|\\\\.)*\")*})? [0-9.e+-]+$",
                ?assertEqual({match, Line}, {re:run(Line, Expression, [{capture, none}]), Line}),
                Family
        end,
        none,
        Lines
    ),
    ?assertEqual(length(Lines), length(lists:usort(Lines))).

metrics_over_http(Config) ->
    Port = free_port(),
    process_flag(trap_exit, true),
    {ok, Server} = evum_metrics:start_link(Port),
    {Head, Body} = http(Port, "GET /metrics HTTP/1.0\r\n\r\n"),
    ?assertMatch({match, _}, re:run(Head, "^HTTP/1.[01] 200 ")),
    ?assertMatch({match, _}, re:run(Head, "content-type: text/plain; version=0.0.4", [caseless])),
    well_formed(Body),
    ?assertMatch({_, _}, binary:match(Body, <<"evum_switch_ports{switch=\"metrics_over_http\"">>)),
    ?assertMatch({match, _}, re:run(element(1, http(Port, "GET /etc/passwd HTTP/1.0\r\n\r\n")), "^HTTP/1.[01] 404 ")),
    ?assertMatch({match, _}, re:run(element(1, http(Port, "POST /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")), "^HTTP/1.[01] 405 ")),
    %% on the loopback's first address alone
    ?assertEqual({error, econnrefused}, gen_tcp:connect({127, 0, 0, 2}, Port, [])),
    %% A port that is in use
    ok = evum_switch_rig:quietly(fun() ->
        ?assertEqual(ignore, evum_metrics:start_link(Port)),
        ?assertEqual(ignore, evum_metrics:start_link({"no address", 1})),
        ok
    end),
    true = unlink(Server),
    exit(Server, shutdown),
    _ = evum_test:await(fun() -> not is_process_alive(Server) end),
    _ = Config,
    ok.

free_port() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port.

http(Port, Request) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
    ok = gen_tcp:send(Socket, Request),
    [Head, Body] = binary:split(all_of(Socket, <<>>), <<"\r\n\r\n">>),
    {Head, Body}.

all_of(Socket, Bytes) ->
    case gen_tcp:recv(Socket, 0, 20000) of
        {ok, More} -> all_of(Socket, <<Bytes/binary, More/binary>>);
        {error, closed} -> Bytes
    end.

no_http_unless_asked_for(_Config) ->
    ?assertNot(lists:keymember(evum_metrics, 1, supervisor:which_children(evum_sup))),
    ?assertEqual([], evum_metrics:child_specs()),
    ok = application:set_env(evum, metrics, 9568),
    ?assertMatch([#{start := {evum_metrics, start_link, [9568]}}], evum_metrics:child_specs()),
    ok = application:unset_env(evum, metrics).
