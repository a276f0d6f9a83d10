%% SPDX-License-Identifier: Apache-2.0
%% What the suites share: kernels, lines to wait for, and leftovers.
-module(evum_test).

-export([kernels/0, kernel_groups/1, init_group/2]).
-export([start/1, start/2, boot/2, sh/2, await_line/1, await_line/2, drain/0]).
-export([await/1, await/2, await_down/1, await_down/2]).
-export([answering/1]).
-export([leftovers/0, no_leftovers/1, children/1, top/0]).

%% Anything that a test waits for comes within that time, ms.
-define(LIMIT, 60000).

%% The kernels of this machine that the suites run on.
kernels() ->
    Built = filename:join([code:priv_dir(evum), "kernel", "linux"]),
    [{fast, Built} || filelib:is_regular(Built)] ++
        [{debian, Path} || Path <- [os:find_executable("linux.uml")], Path =/= false].

%% A group of the same cases for each kernel.
kernel_groups(Cases) ->
    [{Name, [], Cases} || Name <- [fast, debian]].

init_group(Group, Config) ->
    case lists:keyfind(Group, 1, kernels()) of
        {_, Path} -> [{kernel, Path} | Config];
        false -> {skip, "no such kernel on this machine: make kernel, or make deps"}
    end.

start(Config) ->
    start(Config, #{}).

start(Config, Options) ->
    Kernel =
        case proplists:get_value(kernel, Config) of
            undefined -> #{};
            Path -> #{kernel => Path}
        end,
    {ok, Machine} = evum:start(maps:merge(Kernel, Options)),
    Machine.

%% Start a machine and wait for its shell, so that no boot messages of it come
%% between the lines of another.
boot(Config, Options) ->
    Machine = start(Config, Options),
    [] = sh(Machine, "true"),
    Machine.

%% Run a command on a machine's console: its output, a line each.
sh(Machine, Command) ->
    Mark = integer_to_list(erlang:unique_integer([positive])),
    Echo = evum:send(Machine, ["echo BEG''IN", Mark, "; ", Command, "; echo EN''D", Mark], ?LIMIT),
    is_binary(Echo) orelse error({no_echo, Echo}),
    _ = await_line("^BEGIN" ++ Mark),
    collect(list_to_binary("END" ++ Mark), deadline(?LIMIT), []).

collect(Mark, Deadline, Lines) ->
    receive
        Mark -> lists:reverse(Lines);
        Line when is_binary(Line) -> collect(Mark, Deadline, [Line | Lines])
    after left(Deadline) ->
        error({timeout, lists:reverse(Lines)})
    end.

%% The first line that the regular expression is found in.
await_line(Regex) ->
    await_line(Regex, ?LIMIT).

await_line(Regex, Limit) ->
    await_line(Regex, deadline(Limit), []).

await_line(Regex, Deadline, Seen) ->
    receive
        Line when is_binary(Line) ->
            case re:run(Line, Regex, [{capture, none}]) of
                match -> Line;
                nomatch -> await_line(Regex, Deadline, [Line | Seen])
            end
    after left(Deadline) ->
        error({no_line, Regex, lists:reverse(lists:sublist(Seen, 40))})
    end.

drain() ->
    receive
        Line when is_binary(Line) -> drain()
    after 0 -> ok
    end.

%% Wait until a function returns something else than false: that.
await(Fun) ->
    await(Fun, ?LIMIT).

await(Fun, Limit) ->
    await_until(Fun, deadline(Limit)).

await_until(Fun, Deadline) ->
    case Fun() of
        false ->
            case left(Deadline) of
                0 -> error({timeout, Fun});
                _ -> receive after 5 -> await_until(Fun, Deadline) end
            end;
        Result ->
            Result
    end.

%% The reason that a process ends with, after what is done to it.
await_down(Pid) ->
    await_down(Pid, fun() -> ok end).

await_down(Pid, Fun) ->
    Ref = monitor(process, Pid),
    _ = Fun(),
    receive
        {'DOWN', Ref, process, Pid, Reason} -> Reason
    after ?LIMIT -> error({still_alive, Pid})
    end.

%% All that machines and switches of this test run have on this host: processes,
%% and run directories. A test compares with what there was before it. Processes
%% are told from those of others by their working folder, which even a guest's
%% inherit; those of `make shell' and the demo are in the checkout's. A run
%% directory carries the process id of its BEAM, which may be gone.
leftovers() ->
    {ok, Cwd} = file:get_cwd(),
    Folders = [filename:absname(Cwd), top()],
    lists:sort(
        [
            {process, Pid, Name}
         || {Pid, Name} <- processes_of_host(), is_ours(Name), lists:member(cwd(integer_to_list(Pid)), Folders)
        ] ++
            [
                {file, filename:join(Folder, File)}
             || {Folder, Pattern} <- run_directories(),
                File <- filelib:wildcard("evum-*", Folder),
                {match, [Beam]} <- [re:run(File, Pattern, [{capture, [1], list}])],
                lists:member(cwd(Beam), [gone | Folders])
            ]
    ).

%% As evum_ctl makes them.
run_directories() ->
    [{"/tmp", "^evum-[0-9]+-([0-9]+)$"}] ++
        [{Runtime, "^evum-([0-9]+)$"} || Runtime <- [os:getenv("XDG_RUNTIME_DIR", "")], Runtime =/= ""].

%% The checkout: this module was compiled from its folder test.
top() ->
    {_, Source} = lists:keyfind(source, 1, ?MODULE:module_info(compile)),
    filename:dirname(filename:dirname(Source)).

cwd(Pid) ->
    case file:read_link("/proc/" ++ Pid ++ "/cwd") of
        {ok, Folder} -> Folder;
        {error, _} -> gone
    end.

no_leftovers(Before) ->
    try
        await(fun() -> leftovers() -- Before =:= [] end, 5000)
    catch
        error:{timeout, _} -> error({left_behind, leftovers() -- Before})
    end.

processes_of_host() ->
    {ok, Entries} = file:list_dir("/proc"),
    [
        {list_to_integer(Entry), string:trim(Name)}
     || Entry <- Entries,
        re:run(Entry, "^[0-9]+$", [{capture, none}]) =:= match,
        {ok, Name} <- [file:read_file(filename:join(["/proc", Entry, "comm"]))]
    ].

%% UML names itself after its file; its stubs are [uml-userspace] or the same.
is_ours(<<"evum_", _/binary>>) -> true;
is_ours(<<"linux", _/binary>>) -> true;
is_ours(<<"[uml-userspace]">>) -> true;
is_ours(<<"uml-userspace">>) -> true;
is_ours(_) -> false.

%% Process ids of the children of a process of the host.
children(OsPid) ->
    Pid = integer_to_list(OsPid),
    case file:read_file("/proc/" ++ Pid ++ "/task/" ++ Pid ++ "/children") of
        {ok, Text} -> [binary_to_integer(P) || P <- string:lexemes(Text, " \n")];
        {error, _} -> []
    end.

%% The process of a machine that has these answers to messages of netlink, each in pieces.
answering(Answers) ->
    spawn_link(fun() -> lists:foreach(fun answer/1, Answers) end).

answer(Pieces) ->
    receive
        {'$gen_call', From, {request, Key, {netlink, _}}} ->
            gen_server:reply(From, ok),
            [Key ! {evum_agent, Key, {data, Piece}} || Piece <- Pieces],
            Key ! {evum_agent, Key, {done, {exit, 0}}}
    end.

deadline(Limit) ->
    erlang:monotonic_time(millisecond) + Limit.

left(Deadline) ->
    max(0, Deadline - erlang:monotonic_time(millisecond)).
