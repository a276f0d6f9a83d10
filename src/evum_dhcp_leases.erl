%% SPDX-License-Identifier: Apache-2.0
%% @doc Who has which address of a pool, and for how long. A pure module.
%%
%% A client that comes again gets its address again, also when its lease has run
%% out, unless all others are taken. A port has a quarter of the pool at most, so
%% that one guest that makes up clients leaves the others theirs. Anybody can ask
%% in another's name: what is bound is given back, or declined, at the port that
%% it was taken at alone, and stays that port's until it runs out or the port goes.
%%
%% Times are milliseconds of any clock that does not jump.
-module(evum_dhcp_leases).

-export([new/3, offer/5, take/5, release/4, decline/5, port_down/2, list/2]).

-export_type([leases/0, client/0]).

%% An offer that is not taken up is free again after that, ms; so is an address
%% that a client found in use (RFC 2131, 3.1.5), after a longer time.
-define(OFFER, 60_000).
-define(DECLINED, 600_000).
%% The share of a port, and the least it is.
-define(SHARE, 4).
-define(SHARE_MIN, 8).

-type address() :: non_neg_integer().
-type client() :: term().

-record(lease, {
    client :: client(),
    port :: evum_fdb:port_id(),
    %% left: bound, and its port has gone
    state :: offered | bound | left | declined,
    until :: integer()
}).
-record(leases, {
    first :: address(),
    last :: address(),
    time :: pos_integer(),
    %% those that have run out are kept, for their clients
    by_address = #{} :: #{address() => #lease{}},
    by_client = #{} :: #{client() => address()}
}).

-opaque leases() :: #leases{}.

%% @doc A pool from the first to the last address, with leases of so many ms.
-spec new(address(), address(), pos_integer()) -> leases().
new(First, Last, Time) when First =< Last ->
    #leases{first = First, last = Last, time = Time}.

%% @doc An address for a client, which may wish for one.
-spec offer(client(), evum_fdb:port_id(), address() | none, integer(), leases()) ->
    {ok, address(), leases()} | {error, port_limit | full}.
offer(Client, Port, Wish, Now, #leases{by_client = Clients} = Leases) ->
    case Clients of
        #{Client := Address} ->
            %% Asking again does not end what is bound.
            #{Address := Lease} = Leases#leases.by_address,
            case is_live(Lease, Now) of
                true -> {ok, Address, Leases};
                false -> new_offer(Client, Port, Address, Now, Leases)
            end;
        #{} ->
            case find(Wish, Now, Leases) of
                {ok, Address} -> new_offer(Client, Port, Address, Now, Leases);
                full -> {error, full}
            end
    end.

new_offer(Client, Port, Address, Now, Leases) ->
    case has_room(Port, Now, Leases) of
        true -> {ok, Address, put(Address, Client, Port, offered, Now + ?OFFER, Leases)};
        false -> {error, port_limit}
    end.

has_room(Port, Now, #leases{first = First, last = Last, by_address = Addresses}) ->
    Live = [1 || #lease{port = P} = Lease <- maps:values(Addresses), P =:= Port, is_live(Lease, Now)],
    length(Live) < max(?SHARE_MIN, (Last - First + 1) div ?SHARE).

is_live(#lease{until = Until}, Now) -> Until > Now.

%% The wish, or an address that nobody has had, or the one that ran out first.
find(Wish, Now, #leases{first = First, last = Last, by_address = Addresses} = Leases) ->
    case is_integer(Wish) andalso Wish >= First andalso Wish =< Last andalso not is_map_key(Wish, Addresses) of
        true ->
            {ok, Wish};
        false when map_size(Addresses) =< Last - First ->
            {ok, unused(First, Leases)};
        false ->
            case lists:sort([{Until, A} || {A, #lease{until = Until}} <- maps:to_list(Addresses), Until =< Now]) of
                [{_, Address} | _] -> {ok, Address};
                [] -> full
            end
    end.

unused(Address, #leases{by_address = Addresses} = Leases) when is_map_key(Address, Addresses) ->
    unused(Address + 1, Leases);
unused(Address, _) ->
    Address.

put(Address, Client, Port, State, Until, #leases{by_address = Addresses, by_client = Clients} = Leases) ->
    Clients1 =
        case Addresses of
            #{Address := #lease{client = Other}} when Other =/= Client -> maps:remove(Other, Clients);
            #{} -> Clients
        end,
    Lease = #lease{client = Client, port = Port, state = State, until = Until},
    Leases#leases{
        by_address = Addresses#{Address => Lease}, by_client = Clients1#{Client => Address}
    }.

%% @doc A client takes an address, or wants to keep it: for how many ms.
-spec take(client(), evum_fdb:port_id(), address(), integer(), leases()) ->
    {ok, pos_integer(), leases()} | {error, not_yours | port_limit}.
take(Client, Port, Address, Now, #leases{time = Time, by_client = Clients} = Leases) ->
    case Clients of
        #{Client := Address} ->
            bind(Client, Port, Address, Now, Time, Leases);
        #{Client := _} ->
            {error, not_yours};
        #{} ->
            %% Of a time before this server's.
            case offer(Client, Port, Address, Now, Leases) of
                {ok, Address, Leases1} -> bind(Client, Port, Address, Now, Time, Leases1);
                {ok, _, _} -> {error, not_yours};
                {error, port_limit} -> {error, port_limit};
                {error, full} -> {error, not_yours}
            end
    end.

bind(Client, Port, Address, Now, Time, #leases{by_address = Addresses} = Leases) ->
    #{Address := #lease{port = Before, state = State} = Lease} = Addresses,
    case is_live(Lease, Now) of
        true when State =:= bound; Before =:= Port ->
            {ok, Time, put(Address, Client, Before, bound, Now + Time, Leases)};
        _ ->
            case has_room(Port, Now, Leases) of
                true -> {ok, Time, put(Address, Client, Port, bound, Now + Time, Leases)};
                false -> {error, port_limit}
            end
    end.

%% @doc A client needs its address no longer.
-spec release(client(), evum_fdb:port_id(), integer(), leases()) -> {ok, leases()} | {error, not_yours}.
release(Client, Port, Now, Leases) ->
    case held(Client, Port, Leases) of
        {ok, Address} -> {ok, put(Address, Client, Port, offered, Now, Leases)};
        none -> {error, not_yours}
    end.

%% @doc A client has found its address in use: nobody gets it for a while.
-spec decline(client(), evum_fdb:port_id(), address(), integer(), leases()) ->
    {ok, leases()} | {error, not_yours}.
decline(Client, Port, Address, Now, Leases) ->
    case held(Client, Port, Leases) of
        {ok, Address} ->
            Leases1 = put(Address, declined, Port, declined, Now + ?DECLINED, Leases),
            #leases{by_client = Clients} = Leases1,
            {ok, Leases1#leases{by_client = maps:remove(declined, Clients)}};
        _ ->
            {error, not_yours}
    end.

held(Client, Port, #leases{by_address = Addresses, by_client = Clients}) ->
    case Clients of
        #{Client := Address} ->
            case Addresses of
                #{Address := #lease{port = Port}} -> {ok, Address};
                #{} -> none
            end;
        #{} ->
            none
    end.

%% @doc A port has gone: its clients may come again at another.
-spec port_down(evum_fdb:port_id(), leases()) -> leases().
port_down(Port, #leases{by_address = Addresses} = Leases) ->
    Leases#leases{
        by_address = maps:map(
            fun
                (_, #lease{port = P, state = bound} = Lease) when P =:= Port -> Lease#lease{state = left};
                (_, Lease) -> Lease
            end,
            Addresses
        )
    }.

%% @doc The leases that clients have taken: address, client, port, and the ms left.
-spec list(integer(), leases()) -> [{address(), client(), evum_fdb:port_id(), pos_integer()}].
list(Now, #leases{by_address = Addresses}) ->
    lists:sort([
        {Address, Client, Port, Until - Now}
     || {Address, #lease{client = Client, port = Port, state = State, until = Until}} <-
            maps:to_list(Addresses),
        State =:= bound orelse State =:= left,
        Until > Now
    ]).
