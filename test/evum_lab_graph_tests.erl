%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_graph_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("xmerl/include/xmerl.hrl").
-include_lib("eunit/include/eunit.hrl").

lab() ->
    {ok, Lab} = evum_lab_spec:parse(#{
        name => net,
        machines => #{r1 => #{interfaces => #{eth0 => ["10.0.0.1/24", "fd00::1/64"]}}, r2 => #{}, pc => #{}},
        switches => #{a => #{}, b => #{}},
        links => [
            {{r1, eth0}, {r2, eth0}, #{delay => {10, ms}, forth => #{loss => 0.01, delay => {50, ms}}, rate => {5, mbit}}},
            {{pc, eth0}, a, #{up => false}},
            {a, b},
            {{r2, eth1}, {r2, eth2}}
        ]
    }),
    Lab.

extra() ->
    #{down => [<<"pc">>], rates => #{{{<<"r1">>, <<"eth0">>}, {<<"r2">>, <<"eth0">>}} => {1.25e6, 900}}}.

dot_test() ->
    Dot = evum_lab_graph:draw(dot, lab(), extra()),
    [
        ?assertMatch({Line, {_, _}}, {Line, binary:match(Dot, Line)})
     || Line <- [
            <<"graph \"net\" {">>,
            <<"\"m/r1\" [shape=box, label=\"r1\\neth0 10.0.0.1/24\\neth0 fd00::1/64\"]">>,
            <<"\"m/pc\" [shape=box, label=\"pc\", color=grey, fontcolor=grey]">>,
            <<"\"s/a\" [shape=ellipse, label=\"a\"]">>,
            <<"\"m/r1\" -- \"m/r2\" [taillabel=\"eth0\", headlabel=\"eth0\", label=\"delay 50 ms / 10 ms\\nloss 0.01 / -\\nrate 5 mbit\\n1.3 Mbit/s / 900 bit/s\"]">>,
            <<"\"m/pc\" -- \"s/a\" [taillabel=\"eth0\", headlabel=\"\", label=\"down\", style=dashed]">>,
            <<"\"s/a\" -- \"s/b\"">>
        ]
    ].

%% What a machine says goes before what is written of it.
asked_test() ->
    Extra = (extra())#{addresses => #{<<"r1">> => [{<<"eth0">>, <<"10.0.0.7/24">>}], <<"r2">> => [{<<"lo\"">>, <<"10.0.0.8/24">>}]}},
    Dot = evum_lab_graph:draw(dot, lab(), Extra),
    [
        ?assertMatch({Line, {_, _}}, {Line, binary:match(Dot, Line)})
     || Line <- [<<"label=\"r1\\neth0 10.0.0.7/24\"]">>, <<"label=\"r2\\nlo\\\" 10.0.0.8/24\"]">>, <<"label=\"pc\",">>]
    ],
    ?assert(lists:member("eth0 10.0.0.7/24", texts(evum_lab_graph:draw(svg, lab(), Extra)))).

%% Graphviz takes it, where there is one.
graphviz_test_() ->
    case os:find_executable("dot") of
        false ->
            [];
        Dot ->
            fun() ->
                File = string:trim(os:cmd("mktemp")),
                ok = file:write_file(File, evum_lab_graph:draw(dot, lab(), extra())),
                Output = os:cmd(Dot ++ " -Tsvg " ++ File ++ "; echo status $?"),
                ok = file:delete(File),
                ?assertMatch({match, _}, re:run(Output, "status 0"))
            end
    end.

svg_test() ->
    Texts = texts(evum_lab_graph:draw(svg, lab(), extra())),
    [?assert(lists:member(Text, Texts)) || Text <- ["r1", "eth0 10.0.0.1/24", "a", "delay 50 ms / 10 ms", "1.3 Mbit/s / 900 bit/s", "down"]].

texts(Svg) ->
    {Root, []} = xmerl_scan:string(binary_to_list(Svg), [{quiet, true}]),
    svg = Root#xmlElement.name,
    [lists:flatten([V || #xmlText{value = V} <- Content]) || #xmlElement{name = text, content = Content} <- Root#xmlElement.content].

%% Boxes have their places, and stay in the picture.
layout_test_() ->
    {timeout, 60, [?_test(placed(evum_lab:fat_tree(4))), ?_test(placed(evum_lab:ring(12))), ?_test(placed(#{machines => #{a => #{}}})),
        ?_assertEqual(<<"<svg">>, binary:part(evum_lab_graph:draw(svg, element(2, evum_lab_spec:parse(#{})), #{}), 0, 4))]}.

placed(Description) ->
    {ok, #{machines := Machines} = Lab} = evum_lab_spec:parse(Description#{addressing => none}),
    Svg = evum_lab_graph:draw(svg, Lab, #{}),
    {Root, []} = xmerl_scan:string(binary_to_list(Svg), [{quiet, true}]),
    Number = fun(Name, E) -> list_to_float(hd([V ++ [$. || not lists:member($., V)] ++ [$0 || not lists:member($., V)] || #xmlAttribute{name = N, value = V} <- E#xmlElement.attributes, N =:= Name])) end,
    Boxes = [{Number(x, E), Number(y, E)} || #xmlElement{name = rect} = E <- Root#xmlElement.content, [x] =:= [x || #xmlAttribute{name = rx} <- E#xmlElement.attributes]],
    {Width, Height} = {Number(width, Root), Number(height, Root)},
    ?assertEqual(map_size(Machines), length(Boxes)),
    [?assert(X >= 0 andalso X =< Width andalso Y >= 0 andalso Y =< Height) || {X, Y} <- Boxes],
    %% none upon another
    [?assert(abs(X1 - X2) + abs(Y1 - Y2) > 20) || {N, {X1, Y1}} <- lists:enumerate(Boxes), {M, {X2, Y2}} <- lists:enumerate(Boxes), N < M].
