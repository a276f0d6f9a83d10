%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_plan_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

parsed(Description) ->
    {ok, Lab} = evum_lab_spec:parse(Description),
    Lab.

kinds(Old, New) ->
    [{element(1, Step), element(2, Step)} || Step <- evum_lab_plan:plan(parsed(Old), parsed(New))].

base() ->
    #{
        machines => #{r1 => #{mem => 32, routes => [{default, "10.0.0.9"}]}, r2 => #{}},
        switches => #{a => #{}},
        links => [{{r1, eth0}, {r2, eth0}}, {{r1, eth1}, a}]
    }.

%% What has to start anew, and what need not.
machine_test_() ->
    Base = base(),
    With = fun(Options) -> Base#{machines := #{r1 => Options, r2 => #{}}} end,
    R1 = #{mem => 32, routes => [{default, "10.0.0.9"}]},
    [
        ?_assertEqual([], kinds(Base, Base)),
        ?_assertEqual([{replace_machine, <<"r1">>}], kinds(Base, With(R1#{mem => 64}))),
        ?_assertEqual([{replace_machine, <<"r1">>}], kinds(Base, With(R1#{startup => "true"}))),
        ?_assertEqual([{replace_machine, <<"r1">>}], kinds(Base, With(R1#{interfaces => #{eth9 => []}}))),
        ?_assertEqual([{configure, <<"r1">>}], kinds(Base, With(R1#{interfaces => #{eth0 => ["10.0.0.1/24"]}}))),
        ?_assertEqual([{configure, <<"r1">>}], kinds(Base, With(R1#{routes => []}))),
        ?_assertEqual([{note_machine, <<"r1">>}], kinds(Base, With(R1#{shutdown => "sync"}))),
        ?_assertEqual([{note_machine, <<"r1">>}], kinds(Base, With(R1#{depends => [r2]})))
    ].

links_test_() ->
    Base = base(),
    Wire = {{<<"r1">>, <<"eth0">>}, {<<"r2">>, <<"eth0">>}},
    [
        ?_assertMatch(
            [{set_link, #{ends := Wire, up := false}}],
            evum_lab_plan:plan(parsed(Base), parsed(Base#{links := [{{r2, eth0}, {r1, eth0}, #{up => false}}, {{r1, eth1}, a}]}))
        ),
        ?_assertEqual(
            [{remove_link, Wire}],
            %% The cards are there all the same, as they were
            kinds(Base#{machines := cards()}, (Base#{machines := cards()})#{links := [{{r1, eth1}, a}]})
        )
    ].

cards() ->
    #{r1 => #{interfaces => #{eth0 => [], eth1 => []}}, r2 => #{interfaces => #{eth0 => []}}}.

%% A card that no link needs any more is no reason to start anew, nor is its use later.
keep_cards_test() ->
    {Base, Cut} = {parsed(base()), parsed((base())#{links := [{{r1, eth1}, a}]})},
    Kept = evum_lab_plan:keep_cards(Base, Cut),
    ?assertMatch([{remove_link, _}], evum_lab_plan:plan(Base, Kept)),
    ?assertMatch([{add_link, _}], evum_lab_plan:plan(Kept, evum_lab_plan:keep_cards(Kept, Base))),
    ?assertEqual(Cut, evum_lab_plan:keep_cards(parsed((base())#{machines := #{r1 => #{}, r2 => #{mem => 99}}}), Cut)).

switch_test_() ->
    Base = base(),
    [
        ?_assertEqual([{replace_switch, <<"a">>}], kinds(Base, Base#{switches := #{a => #{ageing => 5000}}})),
        ?_assertEqual([{note_switch, <<"a">>}], kinds(Base, Base#{switches := #{a => #{subnet => none}}})),
        ?_assertEqual([{note, #{seed => 7}}], kinds(Base, Base#{seed => 7}))
    ].

properties_test_() ->
    {timeout, 120, [
        ?_assert(proper:quickcheck(prop_plan(), [{to_file, user}, {numtests, 300}])),
        ?_assert(proper:quickcheck(prop_next(), [{to_file, user}, {numtests, 500}]))
    ]}.

%% The steps from one lab to another make the other of the one; there is one for
%% each thing that differs, and none for what does not.
prop_plan() ->
    ?FORALL({One, Other}, {some_lab(), some_lab()}, begin
        {Old, New} = {parsed(One), parsed(Other)},
        Steps = evum_lab_plan:plan(Old, New),
        Result = lists:foldl(fun evum_lab_plan:step/2, Old, Steps),
        sorted(Result) =:= sorted(New) andalso length(Steps) =:= differences(Old, New) andalso
            in_order(Steps, Old)
    end).

sorted(#{links := Links} = Lab) -> Lab#{links := lists:sort(Links)}.

differences(Old, New) ->
    ByEnds = fun(#{links := Links}) -> maps:from_list([{Ends, L} || #{ends := Ends} = L <- Links]) end,
    Notes = maps:without([name, machines, switches, links], Old) =/= maps:without([name, machines, switches, links], New),
    lists:sum([
        length([K || K <- lists:usort(maps:keys(A) ++ maps:keys(B)), maps:get(K, A, none) =/= maps:get(K, B, none)])
     || {A, B} <- [
            {maps:get(machines, Old), maps:get(machines, New)},
            {maps:get(switches, Old), maps:get(switches, New)},
            {ByEnds(Old), ByEnds(New)}
        ]
    ]) + length([x || Notes]).

%% No link ends in the air in between, but at machines that are about to come.
in_order([], _Lab) ->
    true;
in_order([Step | Steps], Lab) ->
    #{links := Links, switches := Switches} = Next = evum_lab_plan:step(Step, Lab),
    lists:all(fun(#{ends := {_, B}}) -> is_tuple(B) orelse is_map_key(B, Switches) end, Links) andalso
        in_order(Steps, Next).

some_lab() ->
    ?LET(
        {Machines, Switches, Ends, Notes},
        {
            list({oneof([m1, m2, m3, m4]), machine()}),
            list({oneof([a, b, c]), oneof([#{}, #{ageing => 5000}, #{subnet => none}])}),
            list({oneof([m1, m2, m3, m4]), oneof([m1, m2, m3, m4, a, b, c]), oneof([#{}, #{up => false}, #{delay => {1, ms}}])}),
            oneof([#{}, #{seed => 7}, #{addressing => {ipv4, "10.0.0.0/8"}}])
        },
        begin
            There = maps:from_list(Machines),
            Named = maps:from_list(Switches),
            Notes#{
                machines => There,
                switches => Named,
                links => [
                    {{X, lists:concat([x, N])}, other(Y, N), Options}
                 || {N, {X, Y, Options}} <- lists:enumerate(Ends),
                    is_map_key(X, There),
                    is_map_key(Y, There) orelse is_map_key(Y, Named)
                ]
            }
        end
    ).

machine() ->
    ?LET(
        Options,
        list(
            oneof([
                {mem, oneof([32, 64])},
                {startup, oneof(["true", "false"])},
                {routes, oneof([[], [{default, "10.0.0.1"}]])},
                {sysctl, #{"net.ipv4.ip_forward" => 1}},
                {boot_timeout, oneof([1000, 60000])}
            ])
        ),
        maps:from_list(Options)
    ).

other(Switch, _N) when Switch =:= a; Switch =:= b; Switch =:= c -> Switch;
other(Machine, N) -> {Machine, lists:concat([y, N])}.

%% All that can start does so in the end, each after what it depends on, and no
%% more at once than there is room for.
prop_next() ->
    ?FORALL({Depends, Room, Bad}, {some_depends(), range(1, 3), oneof([none, 1, 2])}, begin
        Machines = maps:map(fun(_, On) -> {waiting, On} end, Depends),
        {Up, Failed, Ok} = run(Machines, Room, Bad, []),
        Reach = reach(Bad, Depends),
        Ok andalso lists:sort(Up) =:= lists:sort(maps:keys(Depends) -- Reach) andalso lists:sort(Failed) =:= lists:sort(Reach)
    end).

some_depends() ->
    ?LET(
        Lists,
        vector(6, list(range(1, 6))),
        maps:from_list([{N, [On || On <- lists:usort(L), On < N]} || {N, L} <- lists:enumerate(Lists)])
    ).

%% One of those that start fails or comes up at a time.
run(Machines, Room, Bad, Seen) ->
    {Start, Hopeless} = evum_lab_plan:next(Machines, Room),
    Set = fun(Name, Status, Acc) -> maps:update_with(Name, fun({_, On}) -> {Status, On} end, Acc) end,
    M1 = lists:foldl(fun(N, Acc) -> Set(N, starting, Acc) end, Machines, Start),
    M2 = lists:foldl(fun({N, _}, Acc) -> Set(N, failed, Acc) end, M1, Hopeless),
    Starting = of_status(starting, M2),
    Fits = length(Starting) =< Room andalso
        lists:all(fun(N) -> {_, On} = maps:get(N, Machines), On -- of_status(up, Machines) =:= [] end, Start),
    case {Starting, Start, Hopeless} of
        {[], [], []} -> {of_status(up, M2), of_status(failed, M2), not lists:member(false, [Fits | Seen])};
        {[], _, _} -> run(M2, Room, Bad, [Fits | Seen]);
        {[Bad | _], _, _} -> run(Set(Bad, failed, M2), Room, Bad, [Fits | Seen]);
        {[N | _], _, _} -> run(Set(N, up, M2), Room, Bad, [Fits | Seen])
    end.

of_status(Status, Machines) -> [N || {N, {S, _}} <- maps:to_list(Machines), S =:= Status].

%% Those that a failure takes along.
reach(none, _Depends) -> [];
reach(Bad, Depends) -> reach([Bad], Depends, [Bad]).

reach(Lost, Depends, _) ->
    case [N || {N, On} <- maps:to_list(Depends), not lists:member(N, Lost), On -- (On -- Lost) =/= []] of
        [] -> Lost;
        More -> reach(Lost ++ More, Depends, More)
    end.
