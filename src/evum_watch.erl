%% SPDX-License-Identifier: Apache-2.0
%% @doc A table of a switch's ports that follows what happens, for a person in a
%% shell.
-module(evum_watch).

-export([run/1, table/1]).

%% ms
-define(INTERVAL, 1_000).
%% ECMA-48: to the first line, and erase all below.
-define(HOME, "\e[H\e[J").

%% @doc Show the table, anew each second, until a line is typed (Enter) or the
%% switch ends.
-spec run(pid()) -> ok | {error, no_switch}.
run(Switch) ->
    Self = self(),
    Reader = spawn_link(fun() ->
        _ = io:get_line(""),
        Self ! {self(), stop},
        ok
    end),
    show(Switch, Reader).

show(Switch, Reader) ->
    case evum_switch:stats(Switch) of
        #{} = Stats ->
            ok = io:put_chars([clear(), table(Stats), "Enter ends this.\n"]),
            receive
                {Reader, stop} -> ok
            after ?INTERVAL -> show(Switch, Reader)
            end;
        {error, no_switch} = Error ->
            ok = io:put_chars("The switch has ended: press Enter.\n"),
            receive
                {Reader, stop} -> Error
            end
    end.

%% Only a terminal has columns.
clear() ->
    case io:columns() of
        {ok, _} -> ?HOME;
        {error, _} -> ""
    end.

%% @doc The table of these figures.
-spec table(evum_switch:stats()) -> unicode:chardata().
table(#{name := Name, ports := Ports, total := Total}) ->
    [
        io_lib:format("~ts, a second, over the last second and minute~n", [Name]),
        line(["port", "machine"], [["rx frames", "rx bytes", "tx frames", "tx bytes", "drops"], ["rx bytes", "tx bytes"]]),
        [
            line([[integer_to_list(Id), " ", atom_to_list(Kind)], maps:get(machine, Port, "")], figures(Port))
         || #{id := Id, kind := Kind} = Port <- Ports
        ],
        line(["all", ""], figures(Total))
    ].

figures(#{second := Second, minute := Minute}) ->
    [
        [figure(maps:get(Key, Second)) || Key <- [rx_frames, rx_bytes, tx_frames, tx_bytes, drops]],
        [figure(maps:get(Key, Minute)) || Key <- [rx_bytes, tx_bytes]]
    ].

line([Port, Machine], [Second, Minute]) ->
    [
        io_lib:format("~-12ts ~-16ts", [Port, string:slice(Machine, 0, 16)]),
        [io_lib:format(" ~9ts", [Text]) || Text <- Second],
        " |",
        [io_lib:format(" ~9ts", [Text]) || Text <- Minute],
        $\n
    ].

%% At most six characters.
figure(Rate) when Rate < 999.5 -> integer_to_list(round(Rate));
figure(Rate) -> figure(Rate / 1000, "kMGTPE").

figure(Rate, [Unit | Units]) when Rate < 999.5; Units =:= [] ->
    io_lib:format("~.1f~c", [float(Rate), Unit]);
figure(Rate, [_ | Units]) ->
    figure(Rate / 1000, Units).
