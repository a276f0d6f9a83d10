%% SPDX-License-Identifier: Apache-2.0
%% A register that only a majority of its nodes may write: n1 makes it, whoever comes
%% later takes part.
-module(quorum).

-export([start/0, call/1, write/1, read/0, nodes_of/0]).

-define(NODES, ['node@10.11.0.1', 'node@10.11.0.2', 'node@10.11.0.3']).

start() ->
    ok = mnesia:start(),
    Others = [Node || Node <- ?NODES, Node =/= node(), net_adm:ping(Node) =:= pong],
    {ok, _} = mnesia:change_config(extra_db_nodes, Others),
    join(lists:member(register, mnesia:system_info(tables)), Others).

%% A node that was here before still is one of the table's, by what others know.
join(true, _) ->
    case lists:member(node(), mnesia:table_info(register, ram_copies)) of
        true -> ok;
        false -> {atomic, ok} = mnesia:add_table_copy(register, node(), ram_copies)
    end,
    ok = mnesia:wait_for_tables([register], 30000);
join(false, []) ->
    {atomic, ok} = mnesia:create_table(register, [{ram_copies, [node()]}, {majority, true}]),
    ok.

%% For the command: ask the node of this machine, and be quick about it.
call(Args) ->
    [Function | Values] = [list_to_atom(Arg) || Arg <- Args],
    Node = list_to_atom("node@10.11.0." ++ os:getenv("NODE")),
    {Status, Said} = answer(Node, name(Function), Values, 100),
    io:format("~p~n", [Said]),
    halt(Status).

name(nodes) -> nodes_of;
name(Function) -> Function.

answer(Node, Function, Values, Tries) ->
    case rpc:call(Node, ?MODULE, Function, Values) of
        {badrpc, _} when Tries > 0 ->
            timer:sleep(100),
            answer(Node, Function, Values, Tries - 1);
        {atomic, Result} ->
            {0, Result};
        Other ->
            {1, Other}
    end.

write(Value) ->
    mnesia:transaction(fun() -> mnesia:write({register, it, Value}) end).

read() ->
    mnesia:transaction(fun() -> [Value || {register, it, Value} <- mnesia:read(register, it)] end).

nodes_of() ->
    case mnesia:wait_for_tables([register], 0) of
        ok -> {atomic, lists:sort(mnesia:table_info(register, active_replicas))};
        _ -> {badrpc, not_yet}
    end.
