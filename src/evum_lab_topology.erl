%% SPDX-License-Identifier: Apache-2.0
%% @doc Descriptions of networks of a shape (pure); {@link evum_lab} has them by the
%% same names.
%%
%% Hosts are called `h1', `h2', ..., switches `s1', ..., routers `r1', ...; all have
%% image `tiny' and planned addresses, routers forward, and routes are along shortest
%% paths. What is to be otherwise is put into the map, such as `defaults'.
-module(evum_lab_topology).

-export([linear/2, ring/1, star/1, tree/2, mesh/1, fat_tree/1, random/3]).

%% Interfaces of a machine.
-define(INTERFACES_MAX, 16).

%% @doc So many switches in a line, each with so many hosts.
-spec linear(pos_integer(), pos_integer()) -> map().
linear(Switches, Hosts) when Switches >= 1, Hosts >= 1 ->
    Numbers = lists:seq(1, Switches),
    lab(
        [host((N - 1) * Hosts + H) || N <- Numbers, H <- lists:seq(1, Hosts)],
        [switch(N) || N <- Numbers],
        [{switch(N), switch(N + 1)} || N <- lists:droplast(Numbers)] ++
            [{{host((N - 1) * Hosts + H), card(0)}, switch(N)} || N <- Numbers, H <- lists:seq(1, Hosts)]
    ).

%% @doc So many routers in a ring, each with the next on its `eth1'.
-spec ring(pos_integer()) -> map().
ring(N) when N >= 3 ->
    Numbers = lists:seq(1, N),
    lab([router(I) || I <- Numbers], [], [{{router(I), card(1)}, {router(I rem N + 1), card(0)}} || I <- Numbers]).

%% @doc So many hosts at a switch.
-spec star(pos_integer()) -> map().
star(N) ->
    linear(1, N).

%% @doc A tree of switches: so deep, each with so many others, or hosts, below.
-spec tree(Depth :: pos_integer(), Fanout :: pos_integer()) -> map().
tree(Depth, Fanout) when Depth >= 1, Fanout >= 1 ->
    {_, _, Hosts, Switches, Links} = branch(Depth, Fanout, {1, 1, [], [], []}),
    lab(lists:reverse(Hosts), lists:reverse(Switches), lists:reverse(Links)).

%% A switch and what is below it; the numbers are those of the next ones.
branch(Depth, Fanout, {NextSwitch, NextHost, Hosts, Switches, Links}) ->
    Own = switch(NextSwitch),
    lists:foldl(
        fun
            (_, {S, H, Hs, Ss, Ls}) when Depth =:= 1 ->
                {S, H + 1, [host(H) | Hs], Ss, [{{host(H), card(0)}, Own} | Ls]};
            (_, {S, H, Hs, Ss, Ls}) ->
                branch(Depth - 1, Fanout, {S, H, Hs, Ss, [{Own, switch(S)} | Ls]})
        end,
        {NextSwitch + 1, NextHost, Hosts, [Own | Switches], Links},
        lists:seq(1, Fanout)
    ).

%% @doc So many routers, each with a wire to each other.
-spec mesh(pos_integer()) -> map().
mesh(N) when N >= 2, N =< ?INTERFACES_MAX + 1 ->
    Numbers = lists:seq(1, N),
    %% Of the others, each has the one after its own number one card earlier.
    lab(
        [router(I) || I <- Numbers],
        [],
        [{{router(I), card(J - 2)}, {router(J), card(I - 1)}} || I <- Numbers, J <- Numbers, I < J]
    ).

%% @doc A fat tree of routers with K ports: K pods of K/2 edge and K/2 aggregation
%% routers, K*K/4 core routers, and K/2 hosts at each edge router. Core routers are
%% called `c0', ..., others after their pod: `p0a0', `p0e0', and a host `p0e0h0'.
-spec fat_tree(pos_integer()) -> map().
fat_tree(K) when K >= 2, K rem 2 =:= 0, K =< ?INTERFACES_MAX ->
    Half = lists:seq(0, K div 2 - 1),
    Pods = lists:seq(0, K - 1),
    Core = fun(N) -> name("c", N) end,
    Aggregation = fun(P, J) -> iolist_to_binary([name("p", P), name("a", J)]) end,
    Edge = fun(P, I) -> iolist_to_binary([name("p", P), name("e", I)]) end,
    Host = fun(P, I, H) -> iolist_to_binary([Edge(P, I), name("h", H)]) end,
    lab(
        [Core(J * (K div 2) + L) || J <- Half, L <- Half] ++
            [Node(P, I) || Node <- [Aggregation, Edge], P <- Pods, I <- Half] ++
            [Host(P, I, H) || P <- Pods, I <- Half, H <- Half],
        [],
        [{{Host(P, I, H), card(0)}, {Edge(P, I), card(H)}} || P <- Pods, I <- Half, H <- Half] ++
            [{{Edge(P, I), card(K div 2 + J)}, {Aggregation(P, J), card(I)}} || P <- Pods, I <- Half, J <- Half] ++
            [
                {{Aggregation(P, J), card(K div 2 + L)}, {Core(J * (K div 2) + L), card(P)}}
             || P <- Pods, J <- Half, L <- Half
            ]
    ).

%% @doc So many routers with so many wires, as chance has it, but each reaches each.
%% The same seed makes the same network.
-spec random(Routers :: pos_integer(), Wires :: non_neg_integer(), Seed :: integer()) -> map().
random(N, Wires, Seed) when N >= 1, Wires >= N - 1, 2 * Wires =< N * (N - 1), Wires =< N * ?INTERFACES_MAX div 2 ->
    Rand0 = rand:seed_s(exsss, Seed),
    %% Each with one before it, so that all hang together
    {Tree, Rand1} = lists:mapfoldl(fun(I, Rand) -> attach(I, Rand) end, Rand0, lists:seq(2, N)),
    case has_room(Tree) of
        true -> random(N, Wires - length(Tree), Tree, Rand1);
        %% by chance one has too many
        false -> random(N, Wires, Seed + 1)
    end.

attach(I, Rand) ->
    {J, Rand1} = rand:uniform_s(I - 1, Rand),
    {{J, I}, Rand1}.

has_room(Pairs) ->
    lists:all(fun({I, J}) -> degree(I, Pairs) =< ?INTERFACES_MAX andalso degree(J, Pairs) =< ?INTERFACES_MAX end, Pairs).

degree(I, Pairs) -> length([x || {A, B} <- Pairs, A =:= I orelse B =:= I]).

random(N, More, Pairs, Rand) ->
    Free = [
        {I, J}
     || More > 0,
        I <- lists:seq(1, N),
        J <- lists:seq(I + 1, N),
        not lists:member({I, J}, Pairs),
        degree(I, Pairs) < ?INTERFACES_MAX,
        degree(J, Pairs) < ?INTERFACES_MAX
    ],
    case Free of
        [] ->
            {Links, _} = lists:mapfoldl(fun wire/2, #{}, lists:reverse(Pairs)),
            lab([router(I) || I <- lists:seq(1, N)], [], Links);
        _ ->
            {Which, Rand1} = rand:uniform_s(length(Free), Rand),
            random(N, More - 1, [lists:nth(Which, Free) | Pairs], Rand1)
    end.

%% With the next card of each.
wire({I, J}, Used) ->
    {A, B} = {maps:get(I, Used, 0), maps:get(J, Used, 0)},
    {{{router(I), card(A)}, {router(J), card(B)}}, Used#{I => A + 1, J => B + 1}}.

%%% ---------------------------------------------------------------------------

lab(Machines, Switches, Links) ->
    Ends = lists:append([[A, B] || {A, B} <- Links]),
    #{
        machines => maps:from_list([{Name, machine(Name, Ends)} || Name <- Machines]),
        switches => maps:from_list([{Name, #{}} || Name <- Switches]),
        links => Links,
        addressing => {ipv4, "10.0.0.0/8"},
        routing => static,
        defaults => #{image => tiny, mem => 32}
    }.

machine(Name, Ends) ->
    case [Card || {Machine, Card} <- Ends, Machine =:= Name] of
        [_, _ | _] -> #{sysctl => #{"net.ipv4.ip_forward" => 1, "net.ipv6.conf.all.forwarding" => 1}};
        _ -> #{}
    end.

host(N) -> name("h", N).
switch(N) -> name("s", N).
router(N) -> name("r", N).
card(N) -> name("eth", N).

name(Kind, N) -> list_to_binary(Kind ++ integer_to_list(N)).
