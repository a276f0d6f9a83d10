%% SPDX-License-Identifier: Apache-2.0
%% @doc Static routes of a lab (pure): from each machine to each subnet along a shortest
%% path through the machines that forward.
-module(evum_lab_routes).

-export([plan/1]).

%% A network, and the ports in it with their addresses.
-type subnet() :: {Network :: term(), [{evum_lab_spec:name(), Address :: binary()}]}.

%% @doc Give the machines of a lab routes, beside those that they have by hand.
-spec plan(evum_lab_spec:lab()) -> evum_lab_spec:lab().
plan(#{routing := none} = Lab) ->
    Lab;
plan(#{routing := static, machines := Machines} = Lab) ->
    Subnets = [subnets(Family, Lab) || Family <- [ipv4, ipv6]],
    Lab#{
        machines := maps:map(
            fun(Name, #{routes := Given} = Machine) ->
                ByHand = [destination(element(1, Route)) || Route <- Given],
                Found = lists:append([routes(Name, S, Machines) || S <- Subnets]),
                New = [{To, Via} || {To, Via} <- Found, not lists:member(destination(To), ByHand)],
                Machine#{routes := Given ++ New}
            end,
            Machines
        )
    }.

destination(default) ->
    default;
destination(To) ->
    {ok, Family, Network} = evum_lab_address:subnet(To),
    {Family, Network}.

-spec subnets(ipv4 | ipv6, evum_lab_spec:lab()) -> [subnet()].
subnets(Family, #{machines := Machines} = Lab) ->
    [
        {Network, [{M, evum_lab_address:host(A)} || {M, A, N} <- Ports, N =:= Network]}
     || {_, Domain} <- evum_lab_domain:all(Lab),
        Ports <- [
            [
                {M, A, {F, N}}
             || {M, I} <- Domain,
                #{M := #{interfaces := #{I := #{addresses := Addresses}}}} <- [Machines],
                A <- Addresses,
                {ok, F, N} <- [evum_lab_address:subnet(A)],
                F =:= Family
            ]
        ],
        Network <- lists:usort([N || {_, _, N} <- Ports])
    ].

%% Breadth first: the first hop to each subnet, in the order in which they are found.
routes(Name, Subnets, Machines) ->
    {Own, Others} = lists:partition(fun({_, Ports}) -> lists:keymember(Name, 1, Ports) end, Subnets),
    Hops = [{Router, Via} || {_, Ports} <- Own, {Router, Via} <- Ports, Router =/= Name, forwards(Router, Via, Machines)],
    Found = walk(Hops, [Name], Others, Machines, []),
    case lists:usort([Via || {_, Via} <- Found]) of
        %% All by one router
        [Via] -> [{default, Via}];
        _ -> [{text(Network), Via} || {Network, Via} <- lists:reverse(Found)]
    end.

walk([], _Seen, _Left, _Machines, Found) ->
    Found;
walk([{Router, Via} | Hops], Seen, Left, Machines, Found) ->
    case lists:member(Router, Seen) of
        true ->
            walk(Hops, Seen, Left, Machines, Found);
        false ->
            {There, Left1} = lists:partition(fun({_, Ports}) -> lists:keymember(Router, 1, Ports) end, Left),
            Next = [
                {Other, Via}
             || {_, Ports} <- There, {Other, Address} <- Ports, Other =/= Router, forwards(Other, Address, Machines)
            ],
            Found1 = [{Network, Via} || {Network, _} <- There] ++ Found,
            walk(Hops ++ Next, [Router | Seen], Left1, Machines, Found1)
    end.

forwards(Name, Address, Machines) ->
    #{Name := #{sysctl := Settings}} = Machines,
    Key =
        case binary:match(Address, <<":">>) of
            nomatch -> <<"net.ipv4.ip_forward">>;
            _ -> <<"net.ipv6.conf.all.forwarding">>
        end,
    lists:any(
        fun({K, V}) -> unicode:characters_to_binary(K) =:= Key andalso (V =:= 1 orelse V =:= "1" orelse V =:= <<"1">>) end,
        maps:to_list(Settings)
    ).

text({Family, Network}) -> evum_lab_address:text(Family, Network).
