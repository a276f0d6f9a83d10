%% SPDX-License-Identifier: Apache-2.0
%% @doc The command `evum': what its words do, in the node that they are about,
%% or in a BEAM of their own where none is needed.
%%
%% The program is `bin/evum', which finds the nodes of its user, see {@link
%% evum_door}. Exit status: 0; 1 when something failed; 2 for a wrong call; 3
%% where what was named is not here; a command's own for `exec'.
-module(evum_cli).

-export([run/2, main/0, commands/0, machine/1]).

-export_type([io/0]).

-define(FAILED, 1).
-define(WRONG, 2).
-define(NOT_HERE, 3).
%% A shell's status for what a signal has ended.
-define(SIGNALLED, 128).

-type io() :: #{
    out := fun((unicode:chardata()) -> ok),
    err := fun((unicode:chardata()) -> ok),
    %% all of it
    input := fun(() -> binary()),
    cwd := file:filename(),
    %% no other node is asked afterwards
    last := boolean()
}.

%% @private
%% @doc All commands, in the order of the help.
-spec commands() -> [evum_args:command()].
commands() ->
    [
        #{name => "ls", args => [], help => "list the machines that run"},
        #{
            name => "ps",
            args => [],
            help => "list them with what they cost",
            text => "CPU is the time that the machine's processes have used on the host."
        },
        #{
            name => "console",
            args => ["NAME"],
            help => "show and type to the console of a machine; Ctrl-] leaves"
        },
        #{
            name => "exec",
            args => ["NAME", {many, "CMD"}],
            greedy => true,
            options => [
                #{name => input, short => $i, help => "the command reads this one's input"},
                #{
                    name => timeout,
                    short => $t,
                    value => "MS",
                    type => integer,
                    help => "kill it after so many milliseconds"
                }
            ],
            help => "run a command in a machine",
            text =>
                "One word is for the machine's shell, several are a program and its arguments.\n"
                "The exit status is the command's; 128 and the number of a signal; or 125 where\n"
                "it could not be run."
        },
        #{name => "stop", args => [{many, "NAME"}], help => "end machines at once"},
        #{
            name => "capture",
            args => ["NAME"],
            options => [
                #{name => live, help => "write it to the output, as pcapng, while frames pass"},
                #{name => filter, short => $f, value => "FILTER", help => "only frames that match, see pcap-filter(7)"},
                #{name => snaplen, short => $s, value => "BYTES", type => integer, help => "keep so much of a frame"},
                #{name => interface, short => $i, value => "ETH", help => "of a machine that has several"}
            ],
            help => "capture frames of a machine",
            text => "evum capture r1 --live | wireshark -k -i -"
        },
        #{name => "doctor", args => [], help => "tell what this host has and lacks"},
        #{name => "kernel", args => [], help => "tell of the kernels that machines get"},
        #{
            name => "image",
            args => [{optional, "NAME"}],
            options => [#{name => verify, help => "compare it with its checksum"}],
            help => "list the images of machines, or tell of one"
        },
        #{
            name => "completion",
            args => ["SHELL"],
            help => "print what completes these words in bash: eval \"$(evum completion bash)\""
        }
    ].

%% @private
%% @doc The entry of a BEAM of its own; its words are behind `-extra'.
-spec main() -> no_return().
main() ->
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    Put = fun(Device) ->
        fun(Text) -> io:put_chars(Device, Text) end
    end,
    {ok, Cwd} = file:get_cwd(),
    Io = #{
        out => Put(standard_io),
        err => Put(standard_error),
        input => fun() -> <<>> end,
        cwd => Cwd,
        last => true
    },
    Status =
        try
            run(init:get_plain_arguments(), Io)
        catch
            Class:Reason:Stack ->
                io:format(standard_error, "evum: ~tp~n", [{Class, Reason, Stack}]),
                ?FAILED
        end,
    halt(Status).

%% @private
-spec run([string()], io()) -> byte().
run(["--complete" | Words], Io) ->
    completions(Words, Io);
run(Words, Io) ->
    case evum_args:parse(Words, commands()) of
        {ok, {#{name := Name}, Options, Args}} ->
            do(Name, Args, Options, Io);
        {help, all} ->
            out(Io, evum_args:usage("evum", commands()));
        {help, Command} ->
            out(Io, evum_args:help("evum", Command));
        {error, all, Text} ->
            err(Io, ["evum: ", Text, "\n", evum_args:usage("evum", commands())], ?WRONG);
        {error, #{name := Name} = Command, Text} ->
            err(Io, ["evum ", Name, ": ", Text, "\n", evum_args:usage("evum", Command)], ?WRONG)
    end.

out(#{out := Out}, Text) ->
    ok = Out(unicode:characters_to_binary(Text)),
    0.

err(#{err := Err}, Text, Status) ->
    ok = Err(unicode:characters_to_binary(Text)),
    Status.

failed(Io, Format, Args) ->
    err(Io, ["evum: ", io_lib:format(Format, Args), "\n"], ?FAILED).

%% Said by the last that is asked.
not_here(#{last := true} = Io, What, Name) ->
    err(Io, ["evum: there is no ", What, " ", Name, ": evum ls\n"], ?NOT_HERE);
not_here(_, _, _) ->
    ?NOT_HERE.

%%% Machines ----------------------------------------------------------------------

%% @private
%% @doc A machine by its name, or its pid as `evum ls' shows it; one of a lab by
%% its name in it, too, where that is the only one.
-spec machine(string()) -> {ok, pid()} | error.
machine(Name) ->
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
    case machine(Name) of
        {ok, Pid} -> Fun(Pid);
        error -> not_here(Io, "machine", Name)
    end.

do("ls", [], _, Io) ->
    out(Io, [
        io_lib:format("~-20ts ~-12w ~-10w ~5b MB~n", [shown(Pid), Pid, Phase, Mem])
     || Pid <- evum:list(), #{phase := Phase, mem := Mem} <- [evum:info(Pid)]
    ]);
do("ps", [], _, Io) ->
    out(Io, [
        io_lib:format("~-20ts ~8s ~9s ~9s~n", ["MACHINE", "PROCESS", "CPU s", "MB"])
        | [process(Pid) || Pid <- evum:list()]
    ]);
do("exec", [Name | Command], Options, Io) ->
    with_machine(Name, Io, fun(Pid) -> exec(Pid, Command, Options, Io) end);
do("capture", [Name], #{live := true} = Options, Io) ->
    with_machine(Name, Io, fun(Pid) -> capture(Pid, maps:remove(live, Options), Io) end);
do("capture", _, _, Io) ->
    err(Io, "evum capture: --live is the one way so far\n", ?WRONG);
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
    failed(Io, "a console is shown by bin/evum", []);
%%% The host ----------------------------------------------------------------------
do("doctor", [], _, Io) ->
    Findings = evum_doctor:look(),
    _ = out(Io, [
        io_lib:format("~-6s ~-12s ~ts~n", [Mark, What, Text])
     || {Mark, What, Text} <- Findings
    ]),
    case lists:keymember(bad, 1, Findings) of
        true -> ?FAILED;
        false -> 0
    end;
do("kernel", [], _, Io) ->
    Found = [{Which, evum_kernel:find(Which)} || Which <- [default, smp]],
    _ = [kernel(Which, Kernel, Io) || {Which, Kernel} <- Found],
    case Found of
        [{default, {ok, _}} | _] -> 0;
        _ -> ?FAILED
    end;
do("image", [], _, Io) ->
    out(Io, [
        io_lib:format("~-20ts ~-9w ~-9w ~8ts~n", [N, Type, Origin, megabytes(Image)])
     || #{name := N, type := Type, origin := Origin} = Image <- evum_image:list()
    ]);
do("image", [Name], #{verify := true}, Io) ->
    case evum_image:verify(image(Name)) of
        ok -> out(Io, [Name, ": as it was made\n"]);
        {error, Reason} -> failed(Io, "image ~ts: ~tp", [Name, Reason])
    end;
do("image", [Name], _, Io) ->
    case evum_image:info(image(Name)) of
        {ok, Image} -> out(Io, about(Image));
        {error, Reason} -> failed(Io, "image ~ts: ~tp", [Name, Reason])
    end;
do("completion", ["bash"], _, Io) ->
    out(Io, [
        "_evum() { mapfile -t COMPREPLY < <(evum --complete",
        " \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null); }\n",
        "complete -o default -F _evum evum\n"
    ]);
do("completion", [Shell], _, Io) ->
    err(Io, ["evum completion: ", Shell, " is not bash\n"], ?WRONG).

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

kernel(Which, {ok, #{path := Path, version := Version, flavour := Flavour} = Kernel}, Io) ->
    out(Io, [
        io_lib:format("~-8s Linux ~ts (~s), ~ts~n", [Which, Version, Flavour, Path]),
        io_lib:format("~-8s interfaces by ~ts~n", [
            "", lists:join(", ", [atom_to_list(T) || T <- evum_kernel:transports(Kernel)])
        ])
    ]);
kernel(Which, {error, {no_kernel, _}}, Io) ->
    out(Io, io_lib:format("~-8s none~n", [Which]));
kernel(Which, {error, Reason}, Io) ->
    failed(Io, "kernel ~s: ~tp", [Which, Reason]).

image("host") -> host;
image("tiny") -> tiny;
image(Name) -> Name.

megabytes(#{bytes := Bytes}) -> io_lib:format("~.1f MB", [Bytes / (1 bsl 20)]);
megabytes(_) -> "-".

about(Image) ->
    Lines = maps:to_list(maps:without([info], Image)) ++ maps:to_list(maps:get(info, Image, #{})),
    [
        case is_binary(Value) of
            true -> io_lib:format("~-16ts ~ts~n", [Key, Value]);
            false -> io_lib:format("~-16ts ~tp~n", [Key, Value])
        end
     || {Key, Value} <- Lines
    ].

%%% What may be typed next --------------------------------------------------------

completions(Words, Io) ->
    Found =
        case evum_args:complete(Words, commands()) of
            {words, All} ->
                All;
            {argument, #{args := Args}, N} ->
                Last = lists:last(Words),
                [Word || Word <- candidates(argument(N, Args)), lists:prefix(Last, Word)]
        end,
    out(Io, [[Word, "\n"] || Word <- Found]).

argument(N, Args) when N =< length(Args) -> lists:nth(N, Args);
argument(_, Args) when Args =/= [] -> lists:last(Args);
argument(_, []) -> none.

candidates("NAME") -> lists:usort([unicode:characters_to_list(N) || P <- evum:list(), N <- [name(P)], N =/= none]);
candidates({many, "NAME"}) -> candidates("NAME");
candidates("SHELL") -> ["bash"];
candidates(_) -> [].

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
            _ = failed(Io, "~tp", [Reason]),
            125
    end.

capture(Pid, Options, #{out := Out} = Io) ->
    case evum_capture:stream(Pid, Options, Out) of
        {ok, #{written := Written, dropped := Dropped}} ->
            err(Io, io_lib:format("evum: ~b frames, ~b dropped~n", [Written, Dropped]), 0);
        {error, {bpf, Text}} ->
            failed(Io, "filter: ~ts", [Text]);
        {error, Reason} ->
            failed(Io, "~tp", [Reason])
    end.

pump(Tag, Out) ->
    receive
        {Tag, done, Pid} ->
            Pid ! {Tag, written};
        {Tag, Bytes} ->
            ok = Out(Bytes),
            pump(Tag, Out)
    end.
