%% SPDX-License-Identifier: Apache-2.0
-module(evum_dhcp_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

-define(MAC, <<2, 1, 2, 3, 4, 5>>).
-define(SERVER, {<<10, 0, 0, 1>>, <<16#52, 16#55, 10, 0, 0, 1>>}).

%%% The wire

%% As a client of RFC 2131 makes it.
discover() ->
    discover(<<53, 1, 1, 12, 2, "r1", 50, 4, 10, 0, 0, 20, 0, 0, 255>>).

discover(Options) ->
    Message =
        <<1, 1, 6, 0, 7:32, 0:16, 16#8000:16, 0:32, 0:32, 0:32, 0:32, ?MAC/binary, 0:80, 0:512, 0:1024,
            16#63825363:32, Options/binary>>,
    Udp = <<68:16, 67:16, (8 + byte_size(Message)):16, 0:16, Message/binary>>,
    <<-1:48, ?MAC/binary, 16#0800:16, 4:4, 5:4, 0, (20 + byte_size(Udp)):16, 0:32, 64, 17, 0:16, 0:32, -1:32,
        Udp/binary>>.

decode_test() ->
    ?assertEqual(
        {ok, #{
            kind => discover,
            from => ?MAC,
            mac => ?MAC,
            xid => 7,
            broadcast => true,
            client => <<0:32>>,
            relay => <<0:32>>,
            hostname => <<"r1">>,
            requested => <<10, 0, 0, 20>>
        }},
        evum_dhcp:decode(discover())
    ),
    %% Padding of Ethernet
    ?assertMatch({ok, _}, evum_dhcp:decode(<<(discover())/binary, 0:80>>)),
    %% An answer, a reply's kind, none
    [?assertEqual(error, evum_dhcp:decode(discover(O))) || O <- [<<53, 1, 2, 255>>, <<53, 2, 1, 1>>, <<>>]].

truncated_test() ->
    Frame = discover(),
    [
        ?assertEqual(error, evum_dhcp:decode(binary:part(Frame, 0, N)))
     || N <- lists:seq(0, byte_size(Frame) - 1)
    ].

encode_test() ->
    {ok, Request} = evum_dhcp:decode(discover()),
    Offer = #{
        kind => offer,
        to => Request,
        server => ?SERVER,
        address => <<10, 0, 0, 20>>,
        lease => 3600,
        mask => <<255, 255, 255, 0>>,
        router => <<10, 0, 0, 1>>,
        mtu => 9000,
        hostname => <<"r1">>
    },
    <<To:48, From:6/binary, 16#0800:16, Ip:20/binary, 67:16, 68:16, Length:16, Sum:16, Message/binary>> =
        evum_dhcp:encode(Offer),
    ?assertEqual({16#ffffffffffff, element(2, ?SERVER)}, {To, From}),
    ?assertEqual(0, sum(Ip)),
    ?assertEqual(byte_size(Message) + 8, Length),
    <<_:12/binary, Addresses:8/binary>> = Ip,
    ?assertEqual(
        0, sum(<<Addresses/binary, 17:16, Length:16, 67:16, 68:16, Length:16, Sum:16, Message/binary>>)
    ),
    <<2, 1, 6, 0, 7:32, _:16, 16#8000:16, 0:32, 10, 0, 0, 20, _:8/binary, Mac:6/binary, _:202/binary,
        16#63825363:32, Options/binary>> = Message,
    ?assertEqual(?MAC, Mac),
    ?assertMatch(
        <<53, 1, 2, 54, 4, 10, 0, 0, 1, 51, 4, 3600:32, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 0, 1, 26, 2, 9000:16,
            12, 2, "r1", 255, _/binary>>,
        Options
    ),
    %% To a client that has an address, and to one that takes unicasts
    ?assertMatch(
        <<2, 1, 2, 3, 4, 5, _:24/binary, 10, 0, 0, 9, _/binary>>,
        evum_dhcp:encode(Offer#{to := Request#{client := <<10, 0, 0, 9>>}})
    ),
    ?assertMatch(
        <<2, 1, 2, 3, 4, 5, _:24/binary, 10, 0, 0, 20, _/binary>>,
        evum_dhcp:encode(Offer#{to := Request#{broadcast := false}})
    ),
    ?assertMatch(
        <<16#ffffffffffff:48, _/binary>>,
        evum_dhcp:encode(#{kind => nak, to => Request#{broadcast := false}, server => ?SERVER})
    ).

sum(Bytes) ->
    Sum = lists:sum([W || <<W:16>> <= <<Bytes/binary, 0:(byte_size(Bytes) rem 2 * 8)>>]),
    (Sum rem 16#ffff).

garbage_test() ->
    Property = ?FORALL(
        {At, With, Cut},
        {range(0, 300), binary(), range(0, 400)},
        begin
            Frame = discover(),
            <<Head:At/binary, _/binary>> = <<Frame/binary, 0:2400>>,
            Bytes = <<Head/binary, With/binary, Frame/binary>>,
            case evum_dhcp:decode(binary:part(Bytes, 0, min(Cut, byte_size(Bytes)))) of
                {ok, #{kind := _}} -> true;
                error -> true
            end
        end
    ),
    ?assert(proper:quickcheck(Property, [quiet, {numtests, 1000}])).

%%% Leases

-define(TIME, 3_600_000).

new() -> evum_dhcp_leases:new(15, 254, ?TIME).

again_test() ->
    {ok, 15, L1} = evum_dhcp_leases:offer(a, 1, none, 0, new()),
    {ok, 15, L1} = evum_dhcp_leases:offer(a, 1, 40, 1, L1),
    {ok, 16, L2} = evum_dhcp_leases:offer(b, 2, none, 1, L1),
    {ok, ?TIME, L3} = evum_dhcp_leases:take(a, 1, 15, 2, L2),
    ?assertEqual([{15, a, 1, ?TIME}], evum_dhcp_leases:list(2, L3)),
    %% long after, and at another port: still its own
    ?assertMatch({ok, 15, _}, evum_dhcp_leases:offer(a, 7, none, ?TIME * 9, L3)),
    ?assertEqual([], evum_dhcp_leases:list(?TIME * 9, L3)),
    ?assertEqual({error, not_yours}, evum_dhcp_leases:take(b, 2, 15, 3, L3)),
    ?assertEqual({error, not_yours}, evum_dhcp_leases:take(c, 3, 15, 3, L3)),
    %% a wish, and a lease of a server before this one
    ?assertMatch({ok, 40, _}, evum_dhcp_leases:offer(c, 3, 40, 3, L3)),
    ?assertMatch({ok, ?TIME, _}, evum_dhcp_leases:take(d, 3, 41, 3, L3)),
    ?assertMatch({error, not_yours}, evum_dhcp_leases:take(d, 3, 300, 3, L3)),
    {ok, L4} = evum_dhcp_leases:release(a, 1, 4, L3),
    ?assertEqual([], evum_dhcp_leases:list(4, L4)),
    ?assertMatch({ok, 15, _}, evum_dhcp_leases:offer(a, 1, none, 5, L4)),
    {ok, L5} = evum_dhcp_leases:decline(a, 1, 15, 4, L3),
    ?assertMatch({ok, 17, _}, evum_dhcp_leases:offer(a, 1, none, 5, L5)),
    ?assertEqual({error, not_yours}, evum_dhcp_leases:decline(b, 2, 15, 4, L3)),
    ?assertEqual({error, not_yours}, evum_dhcp_leases:release(c, 1, 4, L3)).

%% What another port says in a client's name costs the client nothing.
other_port_test() ->
    {ok, 15, L1} = evum_dhcp_leases:offer(a, 1, none, 0, new()),
    {ok, _, L2} = evum_dhcp_leases:take(a, 1, 15, 0, L1),
    ?assertEqual({error, not_yours}, evum_dhcp_leases:release(a, 2, 1, L2)),
    ?assertEqual({error, not_yours}, evum_dhcp_leases:decline(a, 2, 15, 1, L2)),
    %% nor does it become that port's by asking first
    {ok, ?TIME, L3} = evum_dhcp_leases:take(a, 2, 15, 1, L2),
    ?assertEqual([{15, a, 1, ?TIME}], evum_dhcp_leases:list(1, L3)),
    ?assertEqual({error, not_yours}, evum_dhcp_leases:decline(a, 2, 15, 1, L3)),
    %% but once the port has gone, or the lease has run out
    L4 = evum_dhcp_leases:port_down(1, L3),
    ?assertEqual([{15, a, 1, ?TIME}], evum_dhcp_leases:list(1, L4)),
    [
        begin
            {ok, ?TIME, L6} = evum_dhcp_leases:take(a, 2, 15, Now, L5),
            ?assertEqual([{15, a, 2, ?TIME}], evum_dhcp_leases:list(Now, L6)),
            ?assertMatch({ok, _}, evum_dhcp_leases:release(a, 2, Now, L6))
        end
     || {Now, L5} <- [{1, L4}, {?TIME + 1, L3}]
    ],
    ?assertEqual(L2, evum_dhcp_leases:port_down(3, L2)).

%% One port that makes up clients leaves the others theirs.
starvation_test() ->
    {Refused, Leases} = lists:foldl(
        fun(N, {Refused, L}) ->
            case evum_dhcp_leases:offer({fake, N}, 1, none, N, L) of
                {ok, Address, L1} ->
                    {ok, _, L2} = evum_dhcp_leases:take({fake, N}, 1, Address, N, L1),
                    {Refused, L2};
                {error, port_limit} ->
                    {Refused + 1, L}
            end
        end,
        {0, new()},
        lists:seq(1, 1000)
    ),
    ?assertEqual(940, Refused),
    ?assertMatch({ok, 75, _}, evum_dhcp_leases:offer(honest, 2, none, 1000, Leases)).

full_test() ->
    Full = lists:foldl(
        fun(N, L) ->
            {ok, _, L1} = evum_dhcp_leases:offer(N, N, none, 0, L),
            L1
        end,
        evum_dhcp_leases:new(1, 5, ?TIME),
        lists:seq(1, 5)
    ),
    ?assertEqual({error, full}, evum_dhcp_leases:offer(late, late, none, 1, Full)),
    {ok, _, Taken} = evum_dhcp_leases:take(2, 2, 2, 1, Full),
    %% offers that nobody took up are free again, the oldest first
    ?assertMatch({ok, 1, _}, evum_dhcp_leases:offer(late, late, none, 60_001, Taken)).

%% Whatever clients do, no two of them have an address at a time, and all
%% addresses are of the pool.
no_two_test() ->
    Client = range(1, 12),
    Step = oneof([
        {offer, Client, range(1, 3), oneof([none, range(0, 12)])},
        {take, Client, range(1, 3), range(0, 12)},
        {release, Client, range(1, 3)},
        {decline, Client, range(1, 3), range(0, 12)},
        {port_down, range(1, 3)},
        {wait, oneof([1, 30_000, 70_000, ?TIME])}
    ]),
    Property = ?FORALL(
        Steps,
        list(Step),
        begin
            {_, _, Held} = lists:foldl(fun lease_step/2, {0, evum_dhcp_leases:new(1, 10, ?TIME), []}, Steps),
            Held =/= twice
        end
    ),
    ?assert(proper:quickcheck(Property, [quiet, {numtests, 1000}])).

lease_step(_, {_, _, twice} = Acc) ->
    Acc;
lease_step(Step, {Now, Leases, _}) ->
    {Now1, Leases1} =
        case Step of
            {wait, Ms} -> {Now + Ms, Leases};
            {offer, C, P, W} -> {Now, changed(evum_dhcp_leases:offer(C, P, W, Now, Leases), Leases)};
            {take, C, P, A} -> {Now, changed(evum_dhcp_leases:take(C, P, A, Now, Leases), Leases)};
            {release, C, P} -> {Now, changed(evum_dhcp_leases:release(C, P, Now, Leases), Leases)};
            {decline, C, P, A} -> {Now, changed(evum_dhcp_leases:decline(C, P, A, Now, Leases), Leases)};
            {port_down, P} -> {Now, evum_dhcp_leases:port_down(P, Leases)}
        end,
    List = evum_dhcp_leases:list(Now1, Leases1),
    Addresses = [A || {A, _, _, _} <- List],
    Clients = [C || {_, C, _, _} <- List],
    case
        {lists:usort(Addresses), lists:usort(Clients), lists:all(fun(A) -> A >= 1 andalso A =< 10 end, Addresses)}
    of
        {Addresses, Sorted, true} when length(Sorted) =:= length(Clients) -> {Now1, Leases1, ok};
        _ -> {Now1, Leases1, twice}
    end.

changed({ok, Leases}, _) -> Leases;
changed({ok, _, Leases}, _) -> Leases;
changed({error, _}, Leases) -> Leases.
