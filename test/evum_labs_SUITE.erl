%% SPDX-License-Identifier: Apache-2.0
%% The labs of this repository, each as a case: it is started as a user would start
%% it, and has to do what its _test/steps.term says. labs/README.md explains the
%% steps.
-module(evum_labs_SUITE).

-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

%% What a step waits for comes within that time, ms.
-define(LIMIT, 60000).
%% A command of a step, ms.
-define(COMMAND, 30000).
-define(PAUSE, 200).

all() ->
    [two_machines, router, vlans, dhcp_dns, ipv6_ra, rip, ospf, bgp, web, fabric, quorum].

suite() ->
    [{timetrap, {minutes, 5}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    case evum_kernel:find(default) of
        {ok, #{path := _} = Kernel} ->
            case {evum_kernel:has("VIRTIO_UML", Kernel), [I || I <- [debian, erlang], {error, _} <- [evum_image:info(I)]]} of
                {false, _} -> {skip, "labs want the fast kernel: make kernel"};
                {true, []} -> Config;
                {true, Missing} -> {skip, io_lib:format("images that are not built: ~p (make images)", [Missing])}
            end;
        {error, _} ->
            {skip, "no kernel"}
    end.

end_per_suite(_Config) ->
    application:stop(evum).

init_per_testcase(_Case, Config) ->
    [{before, evum_test:leftovers()} | Config].

end_per_testcase(_Case, Config) ->
    lists:foreach(fun evum_lab:stop/1, evum_lab:list()),
    evum_test:no_leftovers(proplists:get_value(before, Config)).

two_machines(_) -> run("two-machines").
router(_) -> run("router").
vlans(_) -> run("vlans").
dhcp_dns(_) -> run("dhcp-dns").
ipv6_ra(_) -> run("ipv6-ra").
rip(_) -> run("rip").
ospf(_) -> run("ospf").
bgp(_) -> run("bgp").
web(_) -> run("web").
fabric(_) -> run("fabric").
quorum(_) -> run("quorum").

run(Name) ->
    Folder = filename:join([evum_test:top(), "labs", Name]),
    {ok, [_ | _] = Steps} = file:consult(filename:join([Folder, "_test", "steps.term"])),
    Start = erlang:monotonic_time(millisecond),
    {ok, #{links := Links}} = evum_lab:read(description(Folder)),
    {ok, Lab} = evum_lab:start(description(Folder)),
    ?assertEqual([], failed(evum_lab:info(Lab))),
    Up = erlang:monotonic_time(millisecond),
    lists:foreach(fun(Step) -> step(Step, #{lab => Lab, links => Links}) end, Steps),
    Done = erlang:monotonic_time(millisecond),
    ok = evum_lab:stop(Lab),
    ct:pal("~s: up in ~b ms, ~b steps in ~b ms, down in ~b ms", [
        Name, Up - Start, length(Steps), Done - Up, erlang:monotonic_time(millisecond) - Done
    ]).

description(Folder) ->
    Terms = filename:join(Folder, "lab.term"),
    case filelib:is_regular(Terms) of
        true -> Terms;
        false -> Folder
    end.

failed(#{machines := Machines}) ->
    [{Name, Machine} || {Name, #{status := Status} = Machine} <- maps:to_list(Machines), Status =/= up].

step({until, Machine, Command}, Lab) ->
    step({until, Machine, Command, ""}, Lab);
step({until, Machine, Command, Regex}, Lab) ->
    await(Lab, Machine, Command, Regex, ?LIMIT);
step({within, Limit, Machine, Command, Regex}, Lab) ->
    await(Lab, Machine, Command, Regex, Limit);
step({fails, Machine, Command}, Lab) ->
    step({fails, Machine, Command, ""}, Lab);
step({fails, Machine, Command, Regex}, Lab) ->
    {ok, Status, Said} = cmd(Lab, Machine, Command),
    Status =/= 0 andalso said(Said, Regex) orelse error({did_not_fail, Machine, Command, Status, Said});
step({link, {Machine, Interface} = End, How}, Lab) ->
    #{lab := Pid, links := Links} = Lab,
    Port = {atom_to_binary(Machine), atom_to_binary(Interface)},
    [Other] = [B || #{ends := {A, B}} <- Links, A =:= Port] ++ [A || #{ends := {A, B}} <- Links, B =:= Port],
    ok = evum_lab:set_link(Pid, End, Other, #{up => How =:= up});
step({partition, Groups}, #{lab := Lab}) ->
    ok = evum_lab:partition(Lab, Groups);
step(heal, #{lab := Lab}) ->
    ok = evum_lab:heal(Lab);
step({kill, Machine}, Lab) ->
    ok = evum_lab:kill(maps:get(lab, Lab), Machine);
step({boot, Machine}, Lab) ->
    ok = evum_lab:boot(maps:get(lab, Lab), Machine).

await(Lab, Machine, Command, Regex, Limit) ->
    await(Lab, Machine, Command, Regex, erlang:monotonic_time(millisecond) + Limit, none).

await(Lab, Machine, Command, Regex, Deadline, Last) ->
    erlang:monotonic_time(millisecond) < Deadline orelse error({never, Machine, Command, Regex, Last}),
    case cmd(Lab, Machine, Command) of
        {ok, 0, Said} = Answer ->
            case said(Said, Regex) of
                true -> ok;
                false -> again(Lab, Machine, Command, Regex, Deadline, Answer)
            end;
        Answer ->
            again(Lab, Machine, Command, Regex, Deadline, Answer)
    end.

again(Lab, Machine, Command, Regex, Deadline, Answer) ->
    receive
    after ?PAUSE -> await(Lab, Machine, Command, Regex, Deadline, Answer)
    end.

said(Said, Regex) ->
    re:run(Said, Regex, [{capture, none}, dotall, dollar_endonly]) =:= match.

cmd(#{lab := Lab}, Machine, Command) ->
    {ok, Vm} = evum_lab:machine(Lab, Machine),
    evum:cmd(Vm, Command, #{timeout => ?COMMAND}).
