%% SPDX-License-Identifier: Apache-2.0
%% @doc Addresses of stations, as text and as numbers (pure).
-module(evum_mac).

-export([format/1, parse/1]).

%% @doc In the form "02:00:00:00:00:01".
-spec format(evum_fdb:mac()) -> string().
format(Mac) ->
    Bytes = [io_lib:format("~2.16.0b", [Byte]) || <<Byte>> <= <<Mac:48>>],
    lists:flatten(lists:join($:, Bytes)).

%% @doc Of text or six bytes.
-spec parse(term()) -> {ok, evum_fdb:mac()} | error.
parse(<<Mac:48>>) ->
    {ok, Mac};
parse(Text) when is_list(Text) ->
    try
        Bytes = [list_to_integer(Byte, 16) || [_, _] = Byte <- string:split(Text, ":", all)],
        <<Mac:48>> = list_to_binary(Bytes),
        17 = length(Text),
        {ok, Mac}
    catch
        error:_ -> error
    end;
parse(_) ->
    error.
