%% SPDX-License-Identifier: Apache-2.0
%% @doc The names that things of a lab may have.
-module(evum_lab_name).

-export([host/1, interface/1, of_path/1]).

%% Bytes of a name that is made up, so that those of machines find room behind it.
-define(MADE_MAX, 32).

%% @doc Of a lab, a machine or a switch, as names of hosts are: RFC 1123, section
%% 2.1; Linux takes 64 bytes.
-spec host(term()) -> {ok, binary()} | error.
host(Given) when is_atom(Given), Given =/= undefined ->
    host(atom_to_binary(Given));
host(Given) when is_binary(Given); is_list(Given) ->
    try unicode:characters_to_binary(Given) of
        Text when is_binary(Text) ->
            Regex = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$",
            case re:run(Text, Regex, [{capture, none}, dollar_endonly]) of
                match -> {ok, Text};
                nomatch -> error
            end;
        _ ->
            error
    catch
        error:badarg -> error
    end;
host(_) ->
    error.

%% @doc Of an interface: IFNAMSIZ of linux/if.h is 16, with a NUL; `lo' is taken.
-spec interface(term()) -> {ok, binary()} | error.
interface(Name) when is_atom(Name) ->
    interface(atom_to_binary(Name));
interface(Name) ->
    case host(Name) of
        {ok, Text} ->
            Regex = "^(?!lo$)[a-z][a-z0-9._-]{0,14}$",
            case re:run(Text, Regex, [{capture, none}, dollar_endonly]) of
                match -> {ok, Text};
                nomatch -> error
            end;
        error ->
            error
    end.

%% @doc Of a lab, after its file or folder, an absolute path.
-spec of_path(file:filename()) -> binary().
of_path(Path) ->
    Base = filename:rootname(lists:last(["" | real_parts(filename:split(Path))])),
    case host(Base) of
        {ok, Name} -> Name;
        error -> made(Base)
    end.

%% Without `.' and `..'.
real_parts(Parts) ->
    lists:reverse(
        lists:foldl(
            fun
                (Part, Before) when Part =:= "."; Part =:= "/" -> Before;
                ("..", Before) -> lists:nthtail(min(1, length(Before)), Before);
                (Part, Before) -> [Part | Before]
            end,
            [],
            Parts
        )
    ).

%% What no name may have becomes a dash.
made(Base) ->
    Dashed = re:replace(Base, "[^A-Za-z0-9._-]+", "-", [global, unicode, {return, binary}]),
    Bare = re:replace(Dashed, "^[._-]+", "", [{return, binary}]),
    Cut = binary:part(Bare, 0, min(?MADE_MAX, byte_size(Bare))),
    case re:replace(Cut, "[._-]+$", "", [{return, binary}]) of
        <<>> -> <<"lab">>;
        Name -> Name
    end.
