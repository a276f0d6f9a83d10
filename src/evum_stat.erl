%% SPDX-License-Identifier: Apache-2.0
%% @doc How a machine fares, from its `/proc'.
-module(evum_stat).

-export([read/2, parse/3]).

-export_type([stat/0]).

-type stat() :: #{
    load := {float(), float(), float()},
    uptime := float(),
    memory := #{total := non_neg_integer(), available := non_neg_integer()},
    processes := non_neg_integer()
}.

%% @doc Ask a machine, within so many milliseconds.
-spec read(pid(), timeout()) -> {ok, stat()} | evum_request:error().
read(Vm, Timeout) ->
    Files = ["/proc/loadavg", "/proc/uptime", "/proc/meminfo"],
    read(Vm, Files, evum_deadline:new(Timeout), []).

read(_Vm, [], _Deadline, [Memory, Uptime, Load]) ->
    case parse(Load, Uptime, Memory) of
        {ok, _} = Stat -> Stat;
        error -> {error, bad_agent}
    end;
read(Vm, [File | Files], Deadline, Texts) ->
    case evum_request:get(Vm, File, #{timeout => evum_deadline:left(Deadline)}) of
        {ok, Text} -> read(Vm, Files, Deadline, [Text | Texts]);
        {error, _} = Error -> Error
    end.

%% @doc What `/proc/loadavg', `uptime' and `meminfo' say.
-spec parse(binary(), binary(), binary()) -> {ok, stat()} | error.
parse(Load, Uptime, Memory) ->
    try
        {match, [L1, L5, L15, Processes]} = re:run(
            Load, "^(\\d+\\.\\d+) (\\d+\\.\\d+) (\\d+\\.\\d+) \\d+/(\\d+) ", [
                {capture, all_but_first, binary}
            ]
        ),
        {match, [Up]} = re:run(Uptime, "^(\\d+\\.\\d+) ", [{capture, all_but_first, binary}]),
        {ok, #{
            load => {binary_to_float(L1), binary_to_float(L5), binary_to_float(L15)},
            uptime => binary_to_float(Up),
            memory => #{
                total => kilobytes("MemTotal", Memory),
                available => kilobytes("MemAvailable", Memory)
            },
            processes => binary_to_integer(Processes)
        }}
    catch
        error:_ -> error
    end.

kilobytes(Name, Memory) ->
    {match, [KB]} = re:run(Memory, "^" ++ Name ++ ": +(\\d{1,15}) kB$", [
        multiline, {capture, all_but_first, binary}
    ]),
    1024 * binary_to_integer(KB).
