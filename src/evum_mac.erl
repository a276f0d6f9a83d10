%% SPDX-License-Identifier: Apache-2.0
%% @doc Addresses of stations, as text and as numbers (pure).
-module(evum_mac).

-export([format/1, parse/1, parse_station/1]).

%% IEEE 802: the lowest bit of the first byte marks a group of stations.
-define(GROUP, (1 bsl 40)).

%% @doc In the form "02:00:00:00:00:01".
-spec format(evum_fdb:mac()) -> string().
format(Mac) ->
    Bytes = [io_lib:format("~2.16.0b", [Byte]) || <<Byte>> <= <<Mac:48>>],
    lists:flatten(lists:join($:, Bytes)).

%% @doc Of text or six bytes.
-spec parse(term()) -> {ok, evum_fdb:mac()} | error.
parse(<<Mac:48>>) ->
    {ok, Mac};
parse(Text) when is_list(Text); is_binary(Text) ->
    Pattern = "^([0-9a-f]{2}:){5}[0-9a-f]{2}$",
    try re:run(Text, Pattern, [{capture, none}, caseless, dollar_endonly]) of
        match -> {ok, binary_to_integer(binary:replace(iolist_to_binary(Text), <<":">>, <<>>, [global]), 16)};
        nomatch -> error
    catch
        error:badarg -> error
    end;
parse(_) ->
    error.

%% @doc The same, of one station.
-spec parse_station(term()) -> {ok, evum_fdb:mac()} | error.
parse_station(Given) ->
    case parse(Given) of
        {ok, Mac} when Mac =/= 0, Mac band ?GROUP =:= 0 -> {ok, Mac};
        _ -> error
    end.
