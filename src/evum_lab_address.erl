%% SPDX-License-Identifier: Apache-2.0
%% @doc The addresses of a lab that nobody gave by hand: a subnet for each
%% collision domain, and an address in it for each interface.
%%
%% Subnets are /24 and /64 where the pool has room for so many, else as large as
%% there is room for. Those that a domain had before stay with it, so that a change
%% of a lab changes no address that need not change.
-module(evum_lab_address).

-export([plan/2, kept/1, subnet/1, is_subnet/1, text/2, host/1, hosts/1]).

-export_type([kept/0]).

-define(IPV4_LENGTH, 24).
-define(IPV6_LENGTH, 64).

%% The addresses that interfaces had.
-type kept() :: #{evum_lab_spec:port_id() => [unicode:chardata()]}.
-type family() :: ipv4 | ipv6.
-type network() :: {Bits :: non_neg_integer(), Length :: non_neg_integer()}.

%% @doc Give addresses to the interfaces that have none by hand. Addresses that
%% are kept are given again where they fit.
-spec plan(evum_lab_spec:lab(), kept()) ->
    {ok, evum_lab_spec:lab()} | {error, [evum_lab_spec:problem(), ...]}.
plan(#{addressing := Addressing} = Lab, Kept) ->
    Domains = [
        {subnets(Domain, Lab), Ports, [Port || Port <- Ports, given(Port, Lab) =:= []]}
     || {Domain, Ports} <- evum_lab_domain:all(Lab)
    ],
    {Planned, Problems} = lists:foldl(
        fun(Family, {Acc, Wrong}) ->
            Pool = proplists:get_value(Family, Addressing, none),
            case family(Family, Pool, Domains, Kept, Lab, Acc) of
                {ok, Lab1} -> {Lab1, Wrong};
                {error, More} -> {Acc, Wrong ++ More}
            end
        end,
        {Lab, []},
        [ipv4, ipv6]
    ),
    case Problems of
        [] -> {ok, Planned};
        _ -> {error, Problems}
    end.

%% @doc What a lab's interfaces have.
-spec kept(evum_lab_spec:lab()) -> kept().
kept(#{machines := Machines}) ->
    maps:from_list([
        {{M, I}, Addresses}
     || {M, #{interfaces := Interfaces}} <- maps:to_list(Machines),
        {I, #{addresses := Addresses}} <- maps:to_list(Interfaces)
    ]).

%% @doc A network, such as "10.0.0.0/8"; bits of a host are cut off.
-spec subnet(term()) -> {ok, family(), network()} | error.
subnet(Text) when is_list(Text); is_binary(Text) ->
    try
        [Address, Length] = string:split(unicode:characters_to_list(Text), "/"),
        {ok, IP} = inet:parse_strict_address(Address),
        {Family, Width, Bits} = number(IP),
        N = list_to_integer(Length),
        true = N >= 0 andalso N =< Width,
        {ok, Family, {Bits bsr (Width - N) bsl (Width - N), N}}
    catch
        error:_ -> error
    end;
subnet(_) ->
    error.

%% @doc Whether a domain may be told to have this one.
-spec is_subnet(term()) -> boolean().
is_subnet(Subnet) when Subnet =:= auto; Subnet =:= none -> true;
is_subnet(Subnet) -> subnet(Subnet) =/= error.

%% @doc The address alone, in the one way to write it.
-spec host(unicode:chardata()) -> binary().
host(Address) ->
    [Text | _] = string:split(unicode:characters_to_list(Address), "/"),
    {ok, IP} = inet:parse_strict_address(Text),
    list_to_binary(inet:ntoa(IP)).

%% @doc What `/etc/hosts' of a lab's machines says: a line for each address.
-spec hosts(evum_lab_spec:lab()) -> binary().
hosts(#{machines := Machines}) ->
    iolist_to_binary([
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
        [
            [host(Address), $\s, Name, $\n]
         || {Name, #{interfaces := Interfaces}} <- lists:sort(maps:to_list(Machines)),
            {_, #{addresses := Addresses}} <- evum_lab_interface:sorted(Interfaces),
            Address <- Addresses
        ]
    ]).

%%% ---------------------------------------------------------------------------

given({M, I}, #{machines := Machines}) ->
    #{M := #{interfaces := #{I := #{addresses := Addresses}}}} = Machines,
    Addresses.

%% What the description says of a domain's subnets: `none', or those it names.
subnets({switches, Names} = Domain, #{switches := Switches} = Lab) ->
    said([maps:get(subnet, maps:get(Name, Switches)) || Name <- Names] ++ of_links(Domain, Lab));
subnets(Domain, Lab) ->
    said(of_links(Domain, Lab)).

of_links({wire, A, B}, #{links := Links}) ->
    [Subnet || #{ends := Ends, subnet := Subnet} <- Links, Ends =:= {A, B}];
of_links({switches, Names}, #{links := Links}) ->
    [Subnet || #{ends := {_, B}, subnet := Subnet} <- Links, lists:member(B, Names)].

said(Subnets) ->
    case lists:member(none, Subnets) of
        true -> none;
        false -> [{Family, Network} || Text <- Subnets, {ok, Family, Network} <- [subnet(Text)]]
    end.

%% The subnets of one family, then its addresses.
family(Family, Pool, Domains, Kept, Lab, Acc) ->
    Wanted = [
        {settled(Family, Subnets, Ports, Needy, Pool, Kept, Lab), Ports, Needy}
     || {Subnets, Ports, Needy} <- Domains,
        Subnets =/= none,
        Needy =/= [],
        Pool =/= none orelse lists:keymember(Family, 1, Subnets)
    ],
    Used = [
        Network
     || {_, Ports, _} <- Domains, Port <- Ports, Address <- given(Port, Lab), {ok, F, Network} <- [subnet(Address)], F =:= Family
    ],
    case choose(Family, Pool, dropped(Wanted, [], []), Used) of
        {ok, Chosen} -> hosts(Family, Chosen, Kept, Lab, Acc);
        Error -> Error
    end.

%% A subnet that is said, or that addresses by hand are in; or one of before.
settled(Family, Subnets, Ports, Needy, Pool, Kept, Lab) ->
    ByHand = networks(Family, [A || Port <- Ports, A <- given(Port, Lab)]),
    Before = [
        Network
     || Network <- networks(Family, [A || Port <- Needy, A <- maps:get(Port, Kept, [])]), is_within(Family, Network, Pool)
    ],
    case {lists:keyfind(Family, 1, Subnets), ByHand, Before} of
        {{_, Network}, _, _} -> {said, Network};
        {false, [Network | _], _} -> {said, Network};
        {false, [], [Network | _]} -> {kept, Network};
        {false, [], []} -> new
    end.

networks(Family, Addresses) ->
    [Network || Address <- Addresses, {ok, F, Network} <- [subnet(Address)], F =:= Family].

%% Two domains do not keep the same subnet, as those that were one before would.
dropped([], _Seen, Done) ->
    lists:reverse(Done);
dropped([{{kept, Network}, Ports, Needy} | Rest], Seen, Done) ->
    case lists:member(Network, Seen) of
        true -> dropped(Rest, Seen, [{new, Ports, Needy} | Done]);
        false -> dropped(Rest, [Network | Seen], [{{kept, Network}, Ports, Needy} | Done])
    end;
dropped([Domain | Rest], Seen, Done) ->
    dropped(Rest, Seen, [Domain | Done]).

choose(Family, Pool, Wanted, Used) ->
    Taken = Used ++ [Network || {{_, Network}, _, _} <- Wanted],
    New = [{Ports, Needy} || {new, Ports, Needy} <- Wanted],
    Settled = [{Network, Ports, Needy} || {{_, Network}, Ports, Needy} <- Wanted],
    case New of
        [] ->
            {ok, Settled};
        _ ->
            {ok, Family, {Base, PoolLength}} = subnet(Pool),
            Largest = lists:max([length(Ports) || {Ports, _} <- New]),
            Most = width(Family) - bits(Largest + beside(Family)),
            Length = min(Most, max(PoolLength, min(default_length(Family), Most))),
            fill(Family, Pool, {Base, PoolLength}, Length, Most, New, Taken, Settled)
    end.

%% With the longest prefixes that there have to be, and no longer ones.
fill(_Family, Pool, {_, PoolLength}, Length, Most, _New, _Taken, _Settled) when Length > Most; Most < PoolLength ->
    {error, [{lab, {no_room, Pool}}]};
fill(Family, Pool, {Base, PoolLength} = Network, Length, Most, New, Taken, Settled) ->
    Step = 1 bsl (width(Family) - Length),
    End = Base + (1 bsl (width(Family) - PoolLength)),
    case take(New, Base, Step, End, {Family, Length}, Taken, []) of
        {ok, Chosen} -> {ok, Settled ++ Chosen};
        full -> fill(Family, Pool, Network, Length + 1, Most, New, Taken, Settled)
    end.

take([], _Next, _Step, _End, _Kind, _Taken, Chosen) ->
    {ok, Chosen};
take(_New, Next, _Step, End, _Kind, _Taken, _Chosen) when Next >= End ->
    full;
take([{Ports, Needy} | Rest] = New, Next, Step, End, {Family, Length} = Kind, Taken, Chosen) ->
    case [T || T <- Taken, overlap(Family, T, {Next, Length})] of
        [] -> take(Rest, Next + Step, Step, End, Kind, Taken, [{{Next, Length}, Ports, Needy} | Chosen]);
        [_ | _] -> take(New, Next + Step, Step, End, Kind, Taken, Chosen)
    end.

hosts(Family, Chosen, Kept, Lab, Acc) ->
    {Given, Problems} = lists:foldl(
        fun({Network, Ports, Needy}, {Lab1, Wrong}) ->
            case domain(Family, Network, Ports, Needy, Kept, Lab, Lab1) of
                {ok, Lab2} -> {Lab2, Wrong};
                {error, More} -> {Lab1, Wrong ++ More}
            end
        end,
        {Acc, []},
        Chosen
    ),
    case Problems of
        [] -> {ok, Given};
        _ -> {error, Problems}
    end.

domain(Family, {Base, Length} = Network, Ports, Needy, Kept, Lab, Acc) ->
    First = Base + 1,
    Last = Base + (1 bsl (width(Family) - Length)) - beside(Family),
    ByHand = [N || Port <- Ports, N <- numbers(Family, given(Port, Lab))],
    Again = [
        {Port, hd(Ns)}
     || Port <- Needy,
        Ns <- [[N || N <- numbers(Family, maps:get(Port, Kept, [])), N >= First, N =< Last, not lists:member(N, ByHand)]],
        Ns =/= []
    ],
    Left = [Port || Port <- Needy, not lists:keymember(Port, 1, Again)],
    Taken = ordsets:from_list(ByHand ++ [N || {_, N} <- Again]),
    case free(First, Last, length(Left), Taken) of
        {ok, Numbers} ->
            {ok, lists:foldl(fun(One, L) -> give(Family, One, Length, L) end, Acc, Again ++ lists:zip(Left, Numbers))};
        error ->
            {error, [{lab, {no_room, text(Family, Network)}}]}
    end.

free(_Next, _Last, 0, _Taken) ->
    {ok, []};
free(Next, Last, _N, _Taken) when Next > Last ->
    error;
free(Next, Last, N, Taken) ->
    case ordsets:is_element(Next, Taken) of
        true ->
            free(Next + 1, Last, N, Taken);
        false ->
            case free(Next + 1, Last, N - 1, Taken) of
                {ok, Numbers} -> {ok, [Next | Numbers]};
                error -> error
            end
    end.

give(Family, {{M, I}, Number}, Length, #{machines := Machines} = Lab) ->
    #{M := #{interfaces := #{I := #{addresses := Addresses} = Interface} = Interfaces} = Machine} = Machines,
    With = Interface#{addresses := Addresses ++ [text(Family, {Number, Length})]},
    Lab#{machines := Machines#{M := Machine#{interfaces := Interfaces#{I := With}}}}.

%%% Numbers -------------------------------------------------------------------

number({A, B, C, D}) ->
    <<Bits:32>> = <<A, B, C, D>>,
    {ipv4, 32, Bits};
number(Words) ->
    <<Bits:128>> = <<<<Word:16>> || Word <- tuple_to_list(Words)>>,
    {ipv6, 128, Bits}.

numbers(Family, Addresses) ->
    [
        Bits
     || Address <- Addresses,
        {ok, IP} <- [inet:parse_strict_address(binary_to_list(host(Address)))],
        {F, _, Bits} <- [number(IP)],
        F =:= Family
    ].

%% @doc A network or address as text, "10.0.0.0/8".
-spec text(family(), network()) -> binary().
text(Family, {Bits, Length}) ->
    IP =
        case Family of
            ipv4 -> list_to_tuple([B || <<B>> <= <<Bits:32>>]);
            ipv6 -> list_to_tuple([W || <<W:16>> <= <<Bits:128>>])
        end,
    iolist_to_binary([inet:ntoa(IP), $/, integer_to_list(Length)]).

is_within(_Family, _Network, none) ->
    false;
is_within(Family, {Bits, Length}, Pool) ->
    {ok, Family, {Base, PoolLength}} = subnet(Pool),
    Length >= PoolLength andalso overlap(Family, {Base, PoolLength}, {Bits, Length}).

overlap(Family, {A, LengthA}, {B, LengthB}) ->
    Shift = width(Family) - min(LengthA, LengthB),
    A bsr Shift =:= B bsr Shift.

%% How many bits it takes to tell so many apart.
bits(N) -> length(integer_to_list(N - 1, 2)).

width(ipv4) -> 32;
width(ipv6) -> 128.

default_length(ipv4) -> ?IPV4_LENGTH;
default_length(ipv6) -> ?IPV6_LENGTH.

%% Addresses at the ends of a subnet that are no host's: its own, and that for all.
beside(ipv4) -> 2;
beside(ipv6) -> 1.
