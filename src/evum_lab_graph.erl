%% SPDX-License-Identifier: Apache-2.0
%% @doc Drawings of a lab (pure): Graphviz' language, or SVG with a layout of its own.
-module(evum_lab_graph).

-export([draw/3]).

-export_type([format/0, extra/0]).

-type format() :: dot | svg.
%% Addresses are those of the description where none are given; machines that do not run
%% are grey; rates are bits a second, from the first end of a link to the second and back.
%% So are impairments that differ: `50 ms / -'.
-type extra() :: #{
    addresses => evum_lab_ask:addresses(),
    down => [evum_lab_spec:name()],
    rates => #{Ends :: {evum_lab_spec:link_end(), evum_lab_spec:link_end()} => {Forth :: number(), Back :: number()}}
}.

%% Rounds of the layout, and the room that a node has, in SVG's units.
-define(ROUNDS, 250).
-define(ROOM, 190.0).
-define(MARGIN, 110.0).

-type node_id() :: {machine | switch, evum_lab_spec:name()}.

%% @doc Draw it, as UTF-8.
-spec draw(format(), evum_lab_spec:lab(), extra()) -> binary().
draw(Format, Lab, Extra) ->
    All = Extra#{addresses => maps:merge(evum_lab_ask:described(Lab), maps:get(addresses, Extra, #{}))},
    unicode:characters_to_binary(
        case Format of
            dot -> dot(Lab, All);
            svg -> svg(Lab, All)
        end
    ).

boxes(#{machines := Machines, switches := Switches}) ->
    [{machine, Name} || Name <- lists:sort(maps:keys(Machines))] ++
        [{switch, Name} || Name <- lists:sort(maps:keys(Switches))].

edges(#{links := Links}) ->
    [{node_of(A), node_of(B), Link} || #{ends := {A, B}} = Link <- Links].

node_of({Machine, _}) -> {machine, Machine};
node_of(Switch) -> {switch, Switch}.

%% The lines of a node: its name, and the addresses of its interfaces.
lines({switch, Name}, _Extra) ->
    [Name];
lines({machine, Name}, #{addresses := Addresses}) ->
    [Name | [[Interface, $\s, Address] || {Interface, Address} <- maps:get(Name, Addresses)]].

end_label({_, Interface}) -> Interface;
end_label(_) -> "".

is_down({machine, Name}, Extra) -> lists:member(Name, maps:get(down, Extra, []));
is_down(_, _Extra) -> false.

%% What is to be known of a link: whether it is down, how bad it is, what passes.
link_lines(#{ends := Ends, up := Up, forth := Forth, back := Back}, Extra) ->
    ["down" || not Up] ++
        [
            [atom_to_list(Key), $\s, both(maps:get(Key, Forth, none), maps:get(Key, Back, none))]
         || Key <- lists:sort(maps:keys(maps:merge(Forth, Back)))
        ] ++
        [[rate(There), " / ", rate(Here)] || #{Ends := {There, Here}} <- [maps:get(rates, Extra, #{})]].

both(Same, Same) -> value(Same);
both(Forth, Back) -> [value(Forth), " / ", value(Back)].

value(none) -> "-";
value({Number, Unit}) when is_number(Number), is_atom(Unit) -> io_lib:format("~p ~s", [Number, Unit]);
value(Value) -> io_lib:format("~0p", [Value]).

rate(Bits) when Bits >= 1.0e9 -> io_lib:format("~.1f Gbit/s", [Bits / 1.0e9]);
rate(Bits) when Bits >= 1.0e6 -> io_lib:format("~.1f Mbit/s", [Bits / 1.0e6]);
rate(Bits) when Bits >= 1.0e3 -> io_lib:format("~.1f kbit/s", [Bits / 1.0e3]);
rate(Bits) -> io_lib:format("~b bit/s", [round(Bits)]).

%%% Graphviz ------------------------------------------------------------------

dot(Lab, Extra) ->
    [
        "graph ", quoted(name(Lab)), " {\n",
        "    node [fontname=\"sans-serif\", fontsize=11]; edge [fontname=\"sans-serif\", fontsize=9];\n",
        [dot_node(Node, Extra) || Node <- boxes(Lab)],
        [dot_edge(Edge, Extra) || Edge <- edges(Lab)],
        "}\n"
    ].

dot_node({Kind, _} = Node, Extra) ->
    Shape =
        case Kind of
            machine -> "box";
            switch -> "ellipse"
        end,
    Colour = [", color=grey, fontcolor=grey" || is_down(Node, Extra)],
    ["    ", dot_id(Node), " [shape=", Shape, ", label=", quoted(lists:join("\n", lines(Node, Extra))), Colour, "];\n"].

dot_edge({A, B, #{ends := {EndA, EndB}, up := Up} = Link}, Extra) ->
    [
        "    ", dot_id(A), " -- ", dot_id(B),
        " [taillabel=", quoted(end_label(EndA)), ", headlabel=", quoted(end_label(EndB)),
        ", label=", quoted(lists:join("\n", link_lines(Link, Extra))),
        [", style=dashed" || not Up], "];\n"
    ].

dot_id({machine, Name}) -> quoted(["m/", Name]);
dot_id({switch, Name}) -> quoted(["s/", Name]).

quoted(Text) ->
    Escaped = lists:map(
        fun
            ($") -> "\\\"";
            ($\\) -> "\\\\";
            ($\n) -> "\\n";
            (Char) -> Char
        end,
        unicode:characters_to_list(Text)
    ),
    [$", Escaped, $"].

name(#{name := none}) -> "lab";
name(#{name := Name}) -> Name.

%%% SVG -----------------------------------------------------------------------

svg(Lab, Extra) ->
    Nodes = boxes(Lab),
    Edges = edges(Lab),
    Places = layout(Nodes, [{A, B} || {A, B, _} <- Edges, A =/= B]),
    {Width, Height} = extent(maps:values(Places)),
    [
        io_lib:format(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"~b\" height=\"~b\" viewBox=\"0 0 ~b ~b\" "
            "font-family=\"sans-serif\" font-size=\"11\" text-anchor=\"middle\">\n",
            [Width, Height, Width, Height]
        ),
        "<title>", escaped(name(Lab)), "</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        [svg_edge(Edge, Places, Extra) || Edge <- Edges],
        [svg_node(Node, maps:get(Node, Places), Extra) || Node <- Nodes],
        "</svg>\n"
    ].

extent([]) ->
    {round(2 * ?MARGIN), round(2 * ?MARGIN)};
extent(Places) ->
    {round(lists:max([X || {X, _} <- Places]) + ?MARGIN), round(lists:max([Y || {_, Y} <- Places]) + ?MARGIN)}.

svg_node({Kind, _} = Node, {X, Y}, Extra) ->
    [Name | Others] = lines(Node, Extra),
    Colour =
        case is_down(Node, Extra) of
            true -> "grey";
            false -> "black"
        end,
    Longest = lists:max([string:length(Line) || Line <- [Name | Others]]),
    W = max(50, 7 * Longest + 12),
    H = 14 * length([Name | Others]) + 10,
    Shape =
        case Kind of
            machine ->
                io_lib:format("<rect x=\"~.1f\" y=\"~.1f\" width=\"~b\" height=\"~b\" rx=\"4\"", [X - W / 2, Y - H / 2, W, H]);
            switch ->
                io_lib:format("<ellipse cx=\"~.1f\" cy=\"~.1f\" rx=\"~.1f\" ry=\"~.1f\"", [X, Y, W / 2, H / 2 + 2])
        end,
    Top = Y - H / 2 + 15,
    [
        Shape, " fill=\"", fill(Kind), "\" stroke=\"", Colour, "\"/>\n",
        text(X, Top, Colour, " font-weight=\"bold\"", Name),
        [text(X, Top + 14 * N, Colour, "", Line) || {N, Line} <- lists:enumerate(Others)]
    ].

fill(machine) -> "#eef3fb";
fill(switch) -> "#fbf4e4".

svg_edge({A, B, #{ends := {EndA, EndB}, up := Up} = Link}, Places, Extra) ->
    #{A := {X1, Y1}, B := {X2, Y2}} = Places,
    Along = fun(Part) -> {X1 + (X2 - X1) * Part, Y1 + (Y2 - Y1) * Part} end,
    At = fun(Part, Line, Down) ->
        {X, Y} = Along(Part),
        text(X, Y + Down, "#555", "", Line)
    end,
    Dashed = [" stroke-dasharray=\"6 4\"" || not Up],
    [
        io_lib:format("<line x1=\"~.1f\" y1=\"~.1f\" x2=\"~.1f\" y2=\"~.1f\" stroke=\"#555\"", [X1, Y1, X2, Y2]),
        Dashed, "/>\n",
        At(0.3, end_label(EndA), -4),
        At(0.7, end_label(EndB), -4),
        [At(0.5, Line, 11 * N - 2) || {N, Line} <- lists:enumerate(link_lines(Link, Extra))]
    ].

text(_X, _Y, _Colour, _Style, "") ->
    "";
text(X, Y, Colour, Style, Line) ->
    [io_lib:format("<text x=\"~.1f\" y=\"~.1f\" fill=\"~s\"~s>", [X, float(Y), Colour, Style]), escaped(Line), "</text>\n"].

escaped(Text) ->
    lists:map(
        fun
            ($<) -> "&lt;";
            ($>) -> "&gt;";
            ($&) -> "&amp;";
            ($") -> "&quot;";
            (Char) -> Char
        end,
        unicode:characters_to_list(Text)
    ).

%%% Layout: nodes push one another away, edges pull (Fruchterman and Reingold, 1991).

-spec layout([node_id()], [{node_id(), node_id()}]) -> #{node_id() => {float(), float()}}.
layout(Nodes, Edges) ->
    Count = max(1, length(Nodes)),
    Side = ?ROOM * math:sqrt(Count),
    Start = maps:from_list([
        {Node, {Side / 2 + Side / 2 * math:cos(Angle), Side / 2 + Side / 2 * math:sin(Angle)}}
     || {N, Node} <- lists:enumerate(Nodes), Angle <- [2 * math:pi() * N / Count]
    ]),
    corner(rounds(?ROUNDS, Edges, Start, Side / 8)).

rounds(0, _Edges, Places, _Heat) ->
    Places;
rounds(N, Edges, Places, Heat) ->
    List = maps:to_list(Places),
    Pushed = maps:from_list([{Node, push(Node, At, List)} || {Node, At} <- List]),
    Forces = lists:foldl(fun(Edge, Acc) -> pull(Edge, Places, Acc) end, Pushed, Edges),
    Moved = maps:map(
        fun(Node, {X, Y}) ->
            {Fx, Fy} = maps:get(Node, Forces),
            Length = max(0.01, math:sqrt(Fx * Fx + Fy * Fy)),
            Step = min(Length, Heat),
            {X + Fx / Length * Step, Y + Fy / Length * Step}
        end,
        Places
    ),
    rounds(N - 1, Edges, Moved, max(1.0, Heat * 0.98)).

push(Node, {X, Y}, Others) ->
    lists:foldl(
        fun
            ({Other, _}, Acc) when Other =:= Node ->
                Acc;
            ({_, {X2, Y2}}, {Fx, Fy}) ->
                {Dx, Dy} = {X - X2, Y - Y2},
                Square = max(1.0, Dx * Dx + Dy * Dy),
                Force = ?ROOM * ?ROOM / Square,
                {Fx + Dx * Force, Fy + Dy * Force}
        end,
        {0.0, 0.0},
        Others
    ).

pull({A, B}, Places, Forces) ->
    #{A := {X1, Y1}, B := {X2, Y2}} = Places,
    {Dx, Dy} = {X2 - X1, Y2 - Y1},
    Pull = math:sqrt(Dx * Dx + Dy * Dy) / ?ROOM,
    Add = fun(Sign) -> fun({Fx, Fy}) -> {Fx + Sign * Dx * Pull, Fy + Sign * Dy * Pull} end end,
    maps:update_with(B, Add(-1), maps:update_with(A, Add(1), Forces)).

%% So that all is inside the margins.
corner(Places) when map_size(Places) =:= 0 ->
    Places;
corner(Places) ->
    Left = lists:min([X || {X, _} <- maps:values(Places)]),
    Top = lists:min([Y || {_, Y} <- maps:values(Places)]),
    maps:map(fun(_, {X, Y}) -> {X - Left + ?MARGIN, Y - Top + ?MARGIN} end, Places).
