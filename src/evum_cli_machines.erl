%% SPDX-License-Identifier: Apache-2.0
%% @private
%% @doc Commands about machines that run: `ls', `ps', `exec', `stop', `capture'.
-module(evum_cli_machines).

-export([do/4, find/1, names/0]).

-define(CANNOT_RUN, 125).
%% A shell's status for what a signal has ended.
-define(SIGNALLED, 128).

%% @doc Carry out a command.
-spec do(string(), [string()], map(), evum_cli_io:io()) -> byte().
do("ls", [], _, Io) ->
    evum_cli_io:out(Io, [
        io_lib:format("~-20ts ~-12w ~-10w ~5b MB~n", [shown(Pid), Pid, Phase, Mem])
     || Pid <- evum:list(), #{phase := Phase, mem := Mem} <- [evum:info(Pid)]
    ]);
do("ps", [], _, Io) ->
    evum_cli_io:out(Io, [
        io_lib:format("~-20ts ~8s ~9s ~9s~n", ["MACHINE", "PROCESS", "CPU s", "MB"])
        | [process(Pid) || Pid <- evum:list()]
    ]);
do("exec", [Name | Command], Options, Io) ->
    with_machine(Name, Io, fun(Pid) -> exec(Pid, Command, Options, Io) end);
do("capture", [Given], Options, Io) ->
    {Name, Interface} = port_name(Given),
    with_machine(Name, Io, fun(Pid) -> capture(Pid, maps:merge(maps:without([live], Options), Interface), Io) end);
do("stop", Names, _, Io) ->
    lists:max([
        with_machine(Name, Io, fun(Pid) ->
            _ = evum:stop(Pid),
            0
        end)
     || Name <- Names
    ]);
do("console", _, _, Io) ->
    %% of a node: evum_door
    evum_cli_io:failed(Io, "a console is shown by bin/evum", []).

%% @doc A machine by its name, or its pid as `evum ls' shows it; one of a lab by
%% its name in it, too, where that is the only one.
-spec find(string()) -> {ok, pid()} | error.
find(Name) ->
    All = [{Pid, names(Pid)} || Pid <- evum:list()],
    case [Pid || {Pid, Names} <- All, lists:member(Name, Names)] of
        [Pid | _] ->
            {ok, Pid};
        [] ->
            case [Pid || {Pid, Names} <- All, N <- Names, lists:suffix([$. | Name], N)] of
                [Pid] -> {ok, Pid};
                _ -> error
            end
    end.

names(Pid) ->
    [pid_to_list(Pid) | [unicode:characters_to_list(Name) || Name <- [name(Pid)], Name =/= none]].

name(Pid) ->
    case evum:info(Pid) of
        #{name := none} -> none;
        #{name := Name} when is_atom(Name) -> atom_to_binary(Name);
        #{name := Name} -> Name;
        {error, no_machine} -> none
    end.

with_machine(Name, Io, Fun) ->
    case find(Name) of
        {ok, Pid} -> Fun(Pid);
        error -> evum_cli_io:not_here(Io, "machine", Name)
    end.

%% @doc The names of those that have one.
-spec names() -> [string()].
names() ->
    lists:usort([unicode:characters_to_list(N) || Pid <- evum:list(), N <- [name(Pid)], N =/= none]).

shown(Pid) ->
    case name(Pid) of
        none -> <<"-">>;
        Name -> Name
    end.

process(Pid) ->
    case evum:info(Pid) of
        #{os_pid := OsPid} when is_integer(OsPid) ->
            io_lib:format("~-20ts ~8b ~9.2f ~9.1f~n", [
                shown(Pid), OsPid, cpu_seconds(tree(OsPid)), memory(OsPid) / 1024
            ]);
        _ ->
            io_lib:format("~-20ts ~8s ~9s ~9s~n", [shown(Pid), "-", "-", "-"])
    end.

%% A process and all below it: a guest's programs are children of its kernel.
tree(Pid) ->
    Tasks = filelib:wildcard("/proc/" ++ integer_to_list(Pid) ++ "/task/*/children"),
    Children = [
        list_to_integer(Child)
     || Task <- Tasks, {ok, Text} <- [file:read_file(Task)], Child <- string:lexemes(binary_to_list(Text), " ")
    ],
    [Pid | lists:flatmap(fun tree/1, Children)].

%% proc(5): utime and stime are the 14th and 15th field, in ticks of 10 ms; the
%% second, in parentheses, may hold spaces.
cpu_seconds(Pids) ->
    Ticks = [
        list_to_integer(lists:nth(12, Fields)) + list_to_integer(lists:nth(13, Fields))
     || Pid <- Pids,
        {ok, Text} <- [file:read_file(["/proc/", integer_to_list(Pid), "/stat"])],
        Fields <- [string:lexemes(lists:last(string:split(binary_to_list(Text), ")", all)), " ")]
    ],
    lists:sum(Ticks) / 100.

%% KB of its own; what it shares with other machines is shared among them.
memory(Pid) ->
    Path = ["/proc/", integer_to_list(Pid), "/smaps_rollup"],
    maybe_number(file:read_file(Path), "Pss: +([0-9]+) kB").

maybe_number({ok, Text}, Expression) ->
    case re:run(Text, Expression, [{capture, all_but_first, list}]) of
        {match, [Number]} -> list_to_integer(Number);
        nomatch -> 0
    end;
maybe_number({error, _}, _) ->
    0.

%%% Running commands --------------------------------------------------------------

exec(Pid, Command, Options, #{out := Out, input := Input} = Io) ->
    Tag = make_ref(),
    Pump = spawn_link(fun() -> pump(Tag, Out) end),
    Common = #{stream => {Pump, Tag}, timeout => maps:get(timeout, Options, infinity)},
    Given =
        case Options of
            #{input := true} -> Common#{input => Input()};
            #{} -> Common
        end,
    Words =
        case Command of
            [One] -> One;
            Several -> Several
        end,
    Result = evum:cmd(Pid, Words, Given),
    Pump ! {Tag, done, self()},
    receive
        {Tag, written} -> ok
    end,
    case Result of
        {ok, {signal, Signal}, _} ->
            ?SIGNALLED + Signal;
        {ok, Status, _} ->
            Status;
        {error, Reason} ->
            _ = evum_cli_io:failed(Io, "~tp", [Reason]),
            ?CANNOT_RUN
    end.

capture(Pid, Options, #{out := Out} = Io) ->
    case evum_capture:stream(Pid, Options, Out) of
        {ok, #{written := Written, dropped := Dropped}} ->
            evum_cli_io:err(Io, io_lib:format("evum: ~b frames, ~b dropped~n", [Written, Dropped]), 0);
        {error, {bpf, Text}} ->
            evum_cli_io:failed(Io, "filter: ~ts", [Text]);
        {error, Reason} ->
            evum_cli_io:failed(Io, "~tp", [Reason])
    end.

pump(Tag, Out) ->
    receive
        {Tag, done, Pid} ->
            Pid ! {Tag, written};
        {Tag, Bytes} ->
            ok = Out(Bytes),
            pump(Tag, Out)
    end.

%% `NAME:eth0', of a machine that has several.
port_name(Given) ->
    case string:split(Given, ":", trailing) of
        [Name, Interface] -> {Name, #{interface => Interface}};
        [Name] -> {Name, #{}}
    end.
