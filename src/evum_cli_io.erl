%% SPDX-License-Identifier: Apache-2.0
%% @private
%% @doc What a command writes, and the status that it ends with.
-module(evum_cli_io).

-export([out/2, err/3, failed/3, not_here/3]).

-export_type([io/0]).

-define(FAILED, 1).
-define(NOT_HERE, 3).

-type io() :: #{
    out := fun((unicode:chardata()) -> ok),
    err := fun((unicode:chardata()) -> ok),
    %% all of it
    input := fun(() -> binary()),
    cwd := file:filename(),
    %% no other node is asked afterwards
    last := boolean()
}.

%% @doc Text for the output: success.
-spec out(io(), unicode:chardata()) -> 0.
out(#{out := Out}, Text) ->
    ok = Out(unicode:characters_to_binary(Text)),
    0.

%% @doc Text for where errors go, and a status.
-spec err(io(), unicode:chardata(), byte()) -> byte().
err(#{err := Err}, Text, Status) ->
    ok = Err(unicode:characters_to_binary(Text)),
    Status.

%% @doc It has failed.
-spec failed(io(), io:format(), [term()]) -> byte().
failed(Io, Format, Args) ->
    err(Io, ["evum: ", io_lib:format(Format, Args), "\n"], ?FAILED).

%% @doc What was named is not here. Said by the last node that is asked.
-spec not_here(io(), string(), string()) -> byte().
not_here(#{last := true} = Io, What, Name) ->
    err(Io, ["evum: there is no ", What, " ", Name, ": evum ls\n"], ?NOT_HERE);
not_here(_, _, _) ->
    ?NOT_HERE.
