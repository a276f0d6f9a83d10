%% SPDX-License-Identifier: Apache-2.0
%% @doc What all switches, ports, captures and machines of this node count, for
%% Prometheus.
%%
%% {@link format/0} is the text. An HTTP server for it, at `/metrics', runs where
%% the application's environment says so, `{metrics, Port}' or `{metrics, {Address,
%% Port}}', with an address of this host; the default is `127.0.0.1'. It is OTP's
%% `inets', which evum needs for nothing else. It answers whoever can connect.
-module(evum_metrics).

-export([format/0]).
-export([child_specs/0, start_link/1, do/1]).

-include_lib("inets/include/httpd.hrl").
-include_lib("kernel/include/logger.hrl").

-define(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8").
-define(LOOPBACK, {127, 0, 0, 1}).

%% @doc All metrics of this node, in Prometheus' text format. A switch or machine
%% that ends meanwhile is left out.
-spec format() -> binary().
format() ->
    Switches = [
        #{labels => [{switch, Name}, {pid, pid_to_list(Pid)}], ports => Ports, counters => Counters, captures => Captures}
     || Pid <- evum_registry:switches(),
        {Name, Ports, Counters, Captures} <- asked(fun() -> switch(Pid) end)
    ],
    Machines = [{machine_labels(Pid, Info), Info} || Pid <- evum:list(), #{} = Info <- asked(fun() -> evum:info(Pid) end)],
    evum_prometheus:format(switch_families(Switches) ++ port_families(Switches) ++ machine_families(Machines)).

asked(Fun) ->
    try
        [Fun()]
    catch
        exit:_ -> []
    end.

switch(Pid) ->
    Captures =
        case evum_switch:captures(Pid) of
            {error, no_switch} -> [];
            List -> List
        end,
    {evum_switch:name(Pid), evum_switch:ports(Pid), evum_switch:counters(Pid), Captures}.

switch_families(Switches) ->
    [
        {"evum_switch_ports", gauge, "Ports of a switch.", [
            {Labels, length(Ports)}
         || #{labels := Labels, ports := Ports} <- Switches
        ]},
        {"evum_switch_events_total", counter, "What became of connections, and frames that went to Erlang.", [
            {Labels ++ [{event, Event}], Count}
         || #{labels := Labels, counters := Counters} <- Switches, {Event, Count} <- lists:sort(maps:to_list(Counters))
        ]},
        {"evum_capture_written_frames_total", counter, "Frames that are in the file of a capture.", captures(written, Switches)},
        {"evum_capture_dropped_frames_total", counter, "Frames that should have been in the file of a capture.", captures(dropped, Switches)}
    ].

captures(Key, Switches) ->
    [
        {Labels ++ [{capture, Id}], maps:get(Key, Capture)}
     || #{labels := Labels, captures := Captures} <- Switches, #{capture := Id} = Capture <- Captures
    ].

port_families(Switches) ->
    Ports = [{Labels ++ port_labels(Port), Port} || #{labels := Labels, ports := Ports} <- Switches, Port <- Ports],
    [
        {"evum_port_up", gauge, "Whether a port is set up.", [
            {Labels, number(Up)}
         || {Labels, #{up := Up}} <- Ports
        ]}
        | [
            {Name, counter, Help, [{Labels, maps:get(Key, Port)} || {Labels, Port} <- Ports]}
         || {Name, Key, Help} <- [
                {"evum_port_receive_frames_total", rx_frames, "Frames from the peer of a port."},
                {"evum_port_receive_bytes_total", rx_bytes, "Bytes from the peer of a port."},
                {"evum_port_transmit_frames_total", tx_frames, "Frames to the peer of a port."},
                {"evum_port_transmit_bytes_total", tx_bytes, "Bytes to the peer of a port."}
            ]
        ]
    ] ++
        [
            {"evum_port_events_total", counter, "Frames of a port that something else happened to than passing.", [
                {Labels ++ [{event, Key}], Count}
             || {Labels, Port} <- Ports, {Key, Count} <- lists:sort(maps:to_list(Port)), is_event(Key), is_integer(Count)
            ]}
        ].

port_labels(#{id := Id, kind := Kind} = Port) ->
    [{port, Id}, {kind, Kind}, {machine, maps:get(machine, Port, "")}].

is_event(Key) ->
    case atom_to_list(Key) of
        [_, $x, $_ | Rest] -> not lists:member(Rest, ["frames", "bytes"]);
        _ -> false
    end.

number(true) -> 1;
number(false) -> 0.

machine_families(Machines) ->
    [
        {"evum_machines", gauge, "Machines that run.", [{[], length(Machines)}]},
        {"evum_machine_info", gauge, "A machine, its phase and the process of its kernel.", [
            {Labels ++ [{phase, Phase}, {os_pid, OsPid}], 1}
         || {Labels, #{phase := Phase, os_pid := OsPid}} <- Machines
        ]},
        {"evum_machine_memory_bytes", gauge, "Memory that a machine was given.", [
            {Labels, Mem * (1 bsl 20)}
         || {Labels, #{mem := Mem}} <- Machines
        ]},
        {"evum_machine_console_bytes_total", counter, "What the console of a machine has shown.", console(bytes, Machines)},
        {"evum_machine_console_discarded_lines_total", counter, "Lines that nobody got.", console(discarded, Machines)}
    ].

console(Key, Machines) ->
    [{Labels, maps:get(Key, Console)} || {Labels, #{console := #{Key := _} = Console}} <- Machines].

machine_labels(Pid, #{name := none}) -> [{machine, pid_to_list(Pid)}];
machine_labels(_, #{name := Name}) -> [{machine, Name}].

%%% The HTTP server

%% @private
%% @doc For the supervisor: nothing, where nothing is set.
-spec child_specs() -> [supervisor:child_spec()].
child_specs() ->
    case application:get_env(evum, metrics) of
        undefined -> [];
        {ok, off} -> [];
        {ok, Where} -> [#{id => ?MODULE, type => supervisor, start => {?MODULE, start_link, [Where]}}]
    end.

%% @private
%% @doc Machines do without: where it cannot be had, that is told.
-spec start_link(term()) -> {ok, pid()} | ignore.
start_link(Where) ->
    case where(Where) of
        {ok, Address, Port} ->
            started(inets:start(httpd, config(Address, Port), stand_alone), Where);
        error ->
            started({error, {bad_option, metrics, Where}}, Where)
    end.

started({ok, Pid}, _) ->
    {ok, Pid};
started({error, Reason}, Where) ->
    ?LOG_WARNING("evum: no HTTP server for metrics at ~p: ~p", [Where, Reason], #{domain => [evum]}),
    ignore.

where({Address, Port}) when is_tuple(Address), is_integer(Port), Port >= 0, Port =< 65535 -> {ok, Address, Port};
where({Text, Port}) when is_list(Text) ->
    case inet:parse_strict_address(Text) of
        {ok, Address} -> where({Address, Port});
        {error, _} -> error
    end;
where(Port) when is_integer(Port) -> where({?LOOPBACK, Port});
where(_) ->
    error.

%% It has no files: the one module is this one.
config(Address, Port) ->
    Family =
        case tuple_size(Address) of
            4 -> inet;
            8 -> inet6
        end,
    [
        {port, Port},
        {bind_address, Address},
        {ipfamily, Family},
        {server_name, "evum"},
        {server_root, code:root_dir()},
        {document_root, code:root_dir()},
        {modules, [?MODULE]}
    ].

%% @private
%% @doc A request, for `httpd'.
-spec do(#mod{}) -> {proceed, list()}.
do(#mod{method = Method, request_uri = Uri}) when Method =:= "GET"; Method =:= "HEAD" ->
    case string:split(Uri, "?") of
        ["/metrics" | _] -> respond(200, ?CONTENT_TYPE, format());
        _ -> respond(404, "text/plain", <<"/metrics\n">>)
    end;
do(#mod{}) ->
    respond(405, "text/plain", <<"GET\n">>).

respond(Code, Type, Body) ->
    Head = [{code, Code}, {content_type, Type}, {content_length, integer_to_list(byte_size(Body))}],
    {proceed, [{response, {response, Head, Body}}]}.
