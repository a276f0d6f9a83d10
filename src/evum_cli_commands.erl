%% SPDX-License-Identifier: Apache-2.0
%% @private
%% @doc The commands of `evum': what they are called, take and are for.
-module(evum_cli_commands).

-export([all/0, complete/1]).

%% @doc All, in the order of the help.
-spec all() -> [evum_args:command()].
all() ->
    [
        #{
            name => "up",
            args => ["LAB"],
            options => [
                #{name => name, short => $n, value => "NAME", help => "what it is called; else as its file or folder"},
                #{name => seed, value => "N", type => integer, help => "what chance comes of: links do the same again"},
                #{name => keep_going, short => $k, help => "a machine that does not start does not end the others"}
            ],
            help => "start a lab: a file of Erlang terms, or a folder of Kathara's",
            text => "It returns once all machines are up. They run on until evum down."
        },
        #{name => "down", args => [{optional, "RUNNING"}], help => "stop a lab: the one that runs, or by name"},
        #{name => "labs", args => [], help => "list the labs that run"},
        #{name => "check", args => ["LAB"], help => "tell all that is wrong with a lab, and start nothing"},
        #{
            name => "link",
            args => ["NAME:ETH", {many, "WORD"}],
            help => "set the link at an interface: up, down, perfect, or impairments",
            text =>
                "evum link r1:eth0 delay 10ms 2ms loss 1% rate 5mbit\n"
                "evum link r1:eth0 out delay 50ms\n"
                "evum link r1:eth0 down\n\n"
                "out is only what the interface sends, in what comes to it; else it is both.\n"
                "The words are tc-netem(8)'s: delay TIME [JITTER [CORRELATION]]\n"
                "[distribution uniform | normal | pareto], loss P, loss gemodel P [R [1-H [1-K]]], duplicate P,\n"
                "corrupt P, reorder P [gap N], rate RATE [burst BYTES], limit FRAMES. perfect ends all."
        },
        #{
            name => "partition",
            args => [{many, "NAME,NAME"}],
            options => [#{name => one_way, help => "the first group's frames do not reach the second; the rest pass"}],
            help => "part a lab's machines into groups that do not reach one another",
            text => "evum partition a,b c"
        },
        #{name => "heal", args => [{optional, "RUNNING"}], help => "end a partition"},
        #{
            name => "ping-all",
            args => [{optional, "RUNNING"}],
            help => "tell which machine of a lab reaches which",
            text => "The exit status is 1 where one does not reach another."
        },
        #{
            name => "graph",
            args => [{optional, "LAB"}],
            options => [
                #{name => dot, help => "for Graphviz, instead of SVG"},
                #{name => rates, help => "with what passes, of a lab that runs"}
            ],
            help => "draw a lab, one that runs or a file or folder"
        },
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
            args => ["NAME[:ETH]"],
            options => [
                #{name => live, help => "write to the output while frames pass, which it does anyway"},
                #{name => filter, short => $f, value => "FILTER", help => "only frames that match, see pcap-filter(7)"},
                #{name => snaplen, short => $s, value => "BYTES", type => integer, help => "keep so much of a frame"}
            ],
            help => "capture frames of a machine",
            text => "As pcapng, until it is interrupted: evum capture r1:eth0 --live | wireshark -k -i -"
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

%% @doc What the last of these words may become.
-spec complete([string()]) -> [string()].
complete(Words) ->
    case evum_args:complete(Words, all()) of
        {words, All} ->
            All;
        {argument, #{args := Args}, N} ->
            Last = lists:last(Words),
            [Word || Word <- candidates(argument(N, Args)), lists:prefix(Last, Word)]
    end.

argument(N, Args) when N =< length(Args) -> lists:nth(N, Args);
argument(_, Args) when Args =/= [] -> lists:last(Args);
argument(_, []) -> none.

candidates({many, Kind}) -> candidates(Kind);
candidates({optional, Kind}) -> candidates(Kind);
candidates(Kind) when Kind =:= "NAME"; Kind =:= "NAME:ETH"; Kind =:= "NAME[:ETH]" -> evum_cli_machines:names();
candidates("RUNNING") -> evum_cli_labs:names();
candidates("SHELL") -> ["bash"];
candidates(_) -> [].
