%% SPDX-License-Identifier: Apache-2.0
%% @doc Programs of the host's that do a piece of work and end: their output,
%% bounded, and whether they were successful.
-module(evum_command).

-export([run/3]).

-export_type([reason/0]).

%% A program's output, bytes; it is told of nothing beyond that.
-define(OUTPUT_MAX, 65536).

-type reason() ::
    {no_program, string()}
    | {exit_status, pos_integer(), Output :: binary()}.

%% @doc Run a program of `PATH' with arguments, and wait for its end. With
%% `stdin' it reads from that file. What it writes to stdout and stderr is the
%% result; at most the first 64 KiB of it.
-spec run(string(), [file:filename_all()], #{stdin => file:filename_all()}) ->
    {ok, binary()} | {error, reason()}.
run(Program, Args, Options) ->
    %% The tools of filesystems are not in everybody's PATH.
    case os:find_executable(Program, os:getenv("PATH", "") ++ ":/usr/sbin:/sbin") of
        false -> {error, {no_program, Program}};
        Path -> run_port(open(Path, Args, Options))
    end.

open(Path, Args, #{stdin := File}) ->
    open("/bin/sh", ["-c", "f=$1; shift; exec \"$@\" <\"$f\"", "sh", File, Path | Args]);
open(Path, Args, #{}) ->
    open(Path, Args).

open(Path, Args) ->
    erlang:open_port({spawn_executable, Path}, [
        {args, Args}, binary, exit_status, use_stdio, stderr_to_stdout, hide
    ]).

run_port(Port) ->
    case collect(Port, <<>>) of
        {0, Output} -> {ok, Output};
        {Status, Output} -> {error, {exit_status, Status, Output}}
    end.

collect(Port, Output) ->
    receive
        {Port, {data, Data}} when byte_size(Output) + byte_size(Data) =< ?OUTPUT_MAX ->
            collect(Port, <<Output/binary, Data/binary>>);
        {Port, {data, _}} ->
            collect(Port, Output);
        {Port, {exit_status, Status}} ->
            {Status, Output}
    end.
