%% SPDX-License-Identifier: Apache-2.0
%% @doc The command `evum': what its words do, in the node that they are about,
%% or in a BEAM of their own where none is needed.
%%
%% The program is `bin/evum', which finds the nodes of its user, see {@link
%% evum_door}. Exit status: 0; 1 when something failed; 2 for a wrong call; 3
%% where what was named is not here; a command's own for `exec'.
-module(evum_cli).

-export([run/2, main/0]).

-define(FAILED, 1).
-define(WRONG, 2).

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
-spec run([string()], evum_cli_io:io()) -> byte().
run(["--complete" | Words], Io) ->
    evum_cli_io:out(Io, [[Word, "\n"] || Word <- evum_cli_commands:complete(Words)]);
run(Words, Io) ->
    Commands = evum_cli_commands:all(),
    case evum_args:parse(Words, Commands) of
        {ok, {#{name := Name}, Options, Args}} ->
            do(Name, Args, Options, Io);
        {help, all} ->
            evum_cli_io:out(Io, evum_args:usage("evum", Commands));
        {help, Command} ->
            evum_cli_io:out(Io, evum_args:help("evum", Command));
        {error, all, Text} ->
            evum_cli_io:err(Io, ["evum: ", Text, "\n", evum_args:usage("evum", Commands)], ?WRONG);
        {error, #{name := Name} = Command, Text} ->
            evum_cli_io:err(Io, ["evum ", Name, ": ", Text, "\n", evum_args:usage("evum", Command)], ?WRONG)
    end.

do("completion", ["bash"], _, Io) ->
    evum_cli_io:out(Io, [
        "_evum() { mapfile -t COMPREPLY < <(evum --complete",
        " \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null); }\n",
        "complete -o default -F _evum evum\n"
    ]);
do("completion", [Shell], _, Io) ->
    evum_cli_io:err(Io, ["evum completion: ", Shell, " is not bash\n"], ?WRONG);
do(Name, Args, Options, Io) when Name =:= "doctor"; Name =:= "kernel"; Name =:= "image" ->
    evum_cli_host:do(Name, Args, Options, Io);
do(Name, Args, Options, Io) when
    Name =:= "ls"; Name =:= "ps"; Name =:= "exec"; Name =:= "stop"; Name =:= "capture"; Name =:= "console"
->
    evum_cli_machines:do(Name, Args, Options, Io);
do(Name, Args, Options, Io) ->
    evum_cli_labs:do(Name, Args, Options, Io).
