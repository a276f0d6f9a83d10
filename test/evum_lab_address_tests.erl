%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_address_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

addresses(Description) -> addresses(Description, #{}).

addresses(Description, Kept) ->
    {ok, Lab} = evum_lab_spec:parse(Description, Kept),
    evum_lab_address:kept(Lab).

at(M, I, Map) -> maps:get({atom_to_binary(M), atom_to_binary(I)}, Map).

lab(Links) ->
    #{
        machines => #{r1 => #{}, r2 => #{}, r3 => #{}, r4 => #{}},
        switches => #{a => #{}},
        links => Links,
        addressing => {ipv4, "10.0.0.0/8"}
    }.

%% A subnet for each link, and one for all of a switch.
plan_test() ->
    Map = addresses(lab([
        {{r1, eth0}, {r2, eth0}}, {{r1, eth1}, a}, {{r3, eth0}, a}, {{r4, eth0}, a}, {{r4, eth1}, {r2, eth1}}
    ])),
    ?assertEqual([<<"10.0.0.1/24">>], at(r1, eth1, Map)),
    ?assertEqual([<<"10.0.0.2/24">>], at(r3, eth0, Map)),
    ?assertEqual([<<"10.0.0.3/24">>], at(r4, eth0, Map)),
    ?assertEqual([<<"10.0.1.1/24">>], at(r1, eth0, Map)),
    ?assertEqual([<<"10.0.1.2/24">>], at(r2, eth0, Map)),
    ?assertEqual([<<"10.0.2.1/24">>], at(r2, eth1, Map)),
    ?assertEqual([<<"10.0.2.2/24">>], at(r4, eth1, Map)).

both_families_test() ->
    Map = addresses((lab([{{r1, eth0}, {r2, eth0}}]))#{addressing => [{ipv6, "fd00::/48"}, {ipv4, "192.168.0.0/16"}]}),
    ?assertEqual([<<"192.168.0.2/24">>, <<"fd00::2/64">>], at(r2, eth0, Map)).

%% What is given by hand stays, and others of its domain join its subnet.
by_hand_test() ->
    Lab = lab([{{r1, eth0}, a}, {{r2, eth0}, a}, {{r3, eth0}, a}, {{r1, eth1}, {r2, eth1}}]),
    Map = addresses(Lab#{machines := #{r1 => #{interfaces => #{eth0 => ["10.0.0.2/28"]}}, r2 => #{}, r3 => #{}, r4 => #{}}}),
    ?assertEqual(["10.0.0.2/28"], at(r1, eth0, Map)),
    ?assertEqual([<<"10.0.0.1/28">>], at(r2, eth0, Map)),
    ?assertEqual([<<"10.0.0.3/28">>], at(r3, eth0, Map)),
    %% 10.0.0.0/24 is not free
    ?assertEqual([<<"10.0.1.1/24">>], at(r1, eth1, Map)).

said_test() ->
    Lab = lab([{{r1, eth0}, {r2, eth0}, #{subnet => "172.16.5.0/30"}}, {{r1, eth1}, {r3, eth0}, #{subnet => none}}]),
    Map = addresses(Lab#{addressing => none}),
    ?assertEqual([<<"172.16.5.2/30">>], at(r2, eth0, Map)),
    ?assertEqual([], at(r1, eth1, Map)),
    Planned = addresses(Lab),
    ?assertEqual([<<"172.16.5.2/30">>], at(r2, eth0, Planned)),
    ?assertEqual([], at(r1, eth1, Planned)).

%% A small pool is cut into small subnets, as long as there is room.
small_pool_test() ->
    Links = [{{r1, eth0}, {r2, eth0}}, {{r2, eth1}, {r3, eth0}}, {{r3, eth1}, {r4, eth0}}],
    Pool = fun(Text) -> (lab(Links))#{addressing => {ipv4, Text}} end,
    ?assertEqual([<<"10.0.0.10/30">>], at(r4, eth0, addresses(Pool("10.0.0.0/28")))),
    ?assertEqual({error, [{lab, {no_room, "10.0.0.0/29"}}]}, evum_lab_spec:parse(Pool("10.0.0.0/29"))).

%% A link that goes does not change the addresses of others, nor does one that comes.
kept_test() ->
    Three = [{{r1, eth0}, {r2, eth0}}, {{r2, eth1}, {r3, eth0}}, {{r3, eth1}, {r4, eth0}}],
    Before = addresses(lab(Three)),
    After = addresses(lab(tl(Three) ++ [{{r4, eth1}, {r1, eth1}}]), Before),
    [?assertEqual(at(M, I, Before), at(M, I, After)) || {M, I} <- [{r2, eth1}, {r3, eth0}, {r3, eth1}, {r4, eth0}]],
    ?assertEqual([<<"10.0.0.1/24">>], at(r1, eth1, After)).

hosts_test() ->
    {ok, Lab} = evum_lab_spec:parse(lab([{{r1, eth0}, {r2, eth0}}])),
    Text = evum_lab_address:hosts(Lab),
    ?assertMatch({_, _}, binary:match(Text, <<"\n10.0.0.1 r1\n10.0.0.2 r2\n">>)).

bad_subnet_test_() ->
    [?_assertEqual(error, evum_lab_address:subnet(S)) || S <- ["10.0.0.0", "10.0.0.0/33", "x/8", "", 7, "10.0.0.0/-1", [300]]].

%% No address is given twice; all of a domain share a subnet, and no two domains.
plan_test_() ->
    {timeout, 60, ?_assert(proper:quickcheck(prop_plan(), [{to_file, user}, {numtests, 200}]))}.

prop_plan() ->
    ?FORALL({Description, Older}, {some_lab(), some_lab()}, begin
        {ok, Old} = evum_lab_spec:parse(Older),
        {ok, Lab} = evum_lab_spec:parse(Description, evum_lab_address:kept(Old)),
        Kept = evum_lab_address:kept(Lab),
        All = lists:append(maps:values(Kept)),
        Subnets = [
            lists:usort([element(3, evum_lab_address:subnet(A)) || Port <- Ports, A <- maps:get(Port, Kept)])
         || {_, [_ | _] = Ports} <- evum_lab_domain:all(Lab)
        ],
        length(All) =:= length(lists:usort(All)) andalso
            lists:all(fun(A) -> length(A) =:= 1 end, maps:values(Kept)) andalso
            lists:all(fun(S) -> length(S) =:= 1 end, Subnets) andalso
            length(Subnets) =:= length(lists:usort(Subnets))
    end).

some_lab() ->
    ?LET(
        Ends,
        list({oneof([r1, r2, r3, r4]), oneof([r1, r2, r3, r4, a, b])}),
        begin
            Numbered = lists:enumerate(Ends),
            #{
                machines => #{r1 => #{}, r2 => #{}, r3 => #{}, r4 => #{}},
                switches => #{a => #{}, b => #{}},
                links => [{{X, card(N, x)}, other(Y, N)} || {N, {X, Y}} <- Numbered],
                addressing => {ipv4, "10.0.0.0/16"}
            }
        end
    ).

other(Switch, _N) when Switch =:= a; Switch =:= b -> Switch;
other(Machine, N) -> {Machine, card(N, y)}.

card(N, Side) -> lists:concat([Side, N]).
