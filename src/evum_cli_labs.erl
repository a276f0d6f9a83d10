%% SPDX-License-Identifier: Apache-2.0
%% @private
%% @doc Commands about labs: `up', `down', `labs', `check', `link', `partition', `heal',
%% `ping-all', `graph'.
-module(evum_cli_labs).

-export([do/4, names/0]).

-define(FAILED, 1).
-define(WRONG, 2).

%% @doc Carry out a command.
-spec do(string(), [string()], map(), evum_cli_io:io()) -> byte().
do("up", [Given], Options, #{cwd := Cwd} = Io) ->
    up(filename:absname(Given, Cwd), Options, Io);
do("check", [Given], _, #{cwd := Cwd} = Io) ->
    Path = filename:absname(Given, Cwd),
    case evum_lab:check(Path) of
        ok -> notes(Path, Io);
        {error, Problems} -> problems(Problems, Io)
    end;
do("down", Names, _, Io) ->
    with_lab(Names, Io, fun(Lab, _) ->
        _ = evum_lab:stop(Lab),
        0
    end);
do("labs", [], _, Io) ->
    evum_cli_io:out(Io, [
        io_lib:format("~-20ts ~-10w ~b of ~b machines up, seed ~b~n", [
            Name, Phase, length([1 || #{status := up} <- maps:values(Machines)]), map_size(Machines), Seed
        ])
     || #{name := Name, phase := Phase, machines := Machines, seed := Seed} <- infos()
    ]);
do("link", [Port | Words], _, Io) ->
    case link_options(Words) of
        {ok, Options} -> link(Port, Options, Io);
        {error, Text} -> evum_cli_io:err(Io, ["evum link: ", Text, "\n"], ?WRONG)
    end;
do("partition", Given, Options, Io) ->
    Groups = [string:lexemes(Group, ",") || Group <- Given],
    case {Options, Groups} of
        {#{one_way := true}, [_, _]} -> partition(Groups, fun([From, To]) -> {one_way, From, To} end, Io);
        {#{one_way := true}, _} -> evum_cli_io:err(Io, "evum partition: --one-way is of two groups\n", ?WRONG);
        _ -> partition(Groups, fun(Members) -> Members end, Io)
    end;
do("heal", Names, _, Io) ->
    with_lab(Names, Io, fun(Lab, _) -> done(evum_lab:heal(Lab), Io) end);
do("ping-all", Names, _, Io) ->
    with_lab(Names, Io, fun(Lab, _) -> ping_all(Lab, Io) end);
do("graph", Given, Options, Io) ->
    graph(Given, Options, Io).

%%% Labs --------------------------------------------------------------------------

infos() ->
    [Info#{lab => Lab} || Lab <- evum_lab:list(), #{} = Info <- [evum_lab:info(Lab)]].

%% @doc The labs that run.
-spec names() -> [string()].
names() ->
    lists:sort([unicode:characters_to_list(Name) || #{name := Name} <- infos()]).

%% The one that is named, or else the only one.
with_lab(Names, Io, Fun) ->
    case {Names, infos()} of
        {[], [#{lab := Lab} = Info]} ->
            Fun(Lab, Info);
        {[], []} ->
            evum_cli_io:not_here(Io, "lab", "that runs");
        {[], Several} ->
            Known = lists:join(", ", [Name || #{name := Name} <- Several]),
            evum_cli_io:err(Io, ["evum: which one of ", Known, "?\n"], ?WRONG);
        {[Name], All} ->
            case [Info || #{name := N} = Info <- All, unicode:characters_to_list(N) =:= Name] of
                [#{lab := Lab} = Info] -> Fun(Lab, Info);
                [] -> evum_cli_io:not_here(Io, "lab", Name)
            end
    end.

up(Path, Options, Io) ->
    case evum_lab:load(Path) of
        {ok, #{} = Map} ->
            _ = notes(Path, Io),
            up_as(described(Map, Path, Options), Io);
        {ok, Other} -> up_as(Other, Io);
        {error, Problems} -> problems(Problems, Io)
    end.

described(Map, Path, Options) ->
    Own = maps:merge(#{name => evum_lab_name:of_path(Path)}, Map),
    maps:merge(
        Own,
        maps:from_list(
            maps:to_list(maps:with([name, seed], Options)) ++
                [{all_or_nothing, false} || is_map_key(keep_going, Options)]
        )
    ).

up_as(Description, Io) ->
    Reporter = spawn_link(fun() -> report(Io, 0) end),
    Started = evum_lab:start(Description, #{progress => Reporter}),
    Reporter ! {self(), stop},
    receive
        {Reporter, stopped} -> ok
    end,
    case Started of
        {ok, Lab} -> failures(evum_lab:info(Lab), Io);
        {error, Problems} -> problems(Problems, Io)
    end.

%% A line that grows until the start is over.
report(Io, Up) ->
    receive
        {evum_lab, Name, {seed, Seed}} ->
            _ = evum_cli_io:err(Io, io_lib:format("~ts: seed ~b~n", [Name, Seed]), 0),
            report(Io, Up);
        {evum_lab, _, {machine, _, up}} ->
            _ = evum_cli_io:err(Io, io_lib:format("\r~b up", [Up + 1]), 0),
            report(Io, Up + 1);
        {evum_lab, _, {machine, Name, {failed, _}}} ->
            _ = evum_cli_io:err(Io, io_lib:format("\r~ts failed~n", [Name]), 0),
            report(Io, Up);
        {evum_lab, _, {problem, {switch, Name}, _}} ->
            _ = evum_cli_io:err(Io, io_lib:format("\r~ts failed~n", [Name]), 0),
            report(Io, Up);
        {Pid, stop} ->
            _ = Up > 0 andalso evum_cli_io:err(Io, "\n", 0),
            Pid ! {self(), stopped};
        _ ->
            report(Io, Up)
    end.

failures(#{machines := Machines, problems := Problems}, Io) ->
    problems(
        Problems ++ [
            {{machine, Name}, {start, Reason, maps:get(console, Machine, [])}}
         || {Name, #{status := failed, reason := Reason} = Machine} <- maps:to_list(Machines)
        ],
        Io
    ).

notes(Path, Io) ->
    evum_cli_io:err(Io, [["evum: note: ", Note, "\n"] || Note <- evum_lab:notes(Path)], 0).

problems([], _) ->
    0;
problems(Problems, Io) ->
    evum_cli_io:err(Io, [["evum: ", evum_lab_problem:format(Problem), "\n"] || Problem <- Problems], ?FAILED).

done(ok, _) -> 0;
done({error, [_ | _] = Problems}, Io) -> problems(Problems, Io);
done({error, Reason}, Io) -> evum_cli_io:failed(Io, "~tp", [Reason]).

%%% Links -------------------------------------------------------------------------

link_options(["up"]) ->
    {ok, #{up => true}};
link_options(["down"]) ->
    {ok, #{up => false}};
link_options(["out" | Words]) ->
    way_options(forth, Words);
link_options(["in" | Words]) ->
    way_options(back, Words);
link_options(Words) ->
    case impairments(Words) of
        {ok, Options} -> {ok, Options#{forth => none, back => none}};
        {error, Text} -> {error, Text}
    end.

%% Seen from the interface that is named
way_options(Way, Words) ->
    case impairments(Words) of
        {ok, Options} -> {ok, #{Way => Options}};
        {error, Text} -> {error, Text}
    end.

impairments([]) ->
    {error, "out and in are of impairments, or perfect"};
impairments(["perfect"]) ->
    impairments_of([]);
impairments(Words) ->
    impairments_of(Words).

%% As tc does: what is not said is not there any more.
impairments_of(Words) ->
    case evum_netem:parse(Words) of
        {ok, Options} -> {ok, maps:merge(maps:from_keys(evum_impair:keys(), none), Options)};
        {error, Text} -> {error, Text}
    end.

link(Given, Options, Io) ->
    case string:split(Given, ":", trailing) of
        [Name, Interface] ->
            with_members([Name], Io, fun(Lab, #{Name := Machine}) ->
                case [Ends || Ends <- evum_lab:links(Lab), is_end({Machine, Interface}, Ends)] of
                    [Ends] -> done(set_link(Lab, {Machine, Interface}, Ends, Options), Io);
                    [] -> evum_cli_io:failed(Io, "~ts: there is no link", [Given])
                end
            end);
        [_] ->
            evum_cli_io:err(Io, ["evum link: ", Given, " is no interface, such as r1:eth0\n"], ?WRONG)
    end.

is_end(Interface, {A, B}) ->
    A =:= binary_end(Interface) orelse B =:= binary_end(Interface).

%% With the end that is named in front
set_link(Lab, Interface, {A, B}, Options) ->
    case binary_end(Interface) of
        A -> evum_lab:set_link(Lab, A, B, Options);
        B -> evum_lab:set_link(Lab, B, A, Options)
    end.

binary_end({Machine, Interface}) ->
    {unicode:characters_to_binary(Machine), unicode:characters_to_binary(Interface)}.

%% The lab that has all these machines, each `NAME' or `LAB.NAME', and their names
%% there.
with_members(Names, Io, Fun) ->
    Labs = [{Lab, members(Names, Info)} || #{lab := Lab} = Info <- infos()],
    case [Found || {_, Members} = Found <- Labs, map_size(Members) =:= length(lists:usort(Names))] of
        [{Lab, Members}] ->
            Fun(Lab, Members);
        [] ->
            case [Name || Name <- Names, not lists:any(fun({_, Members}) -> is_map_key(Name, Members) end, Labs)] of
                [Nowhere | _] -> evum_cli_io:not_here(Io, "machine", Nowhere);
                [] -> evum_cli_io:err(Io, ["evum: ", lists:join(", ", Names), " are of no one lab\n"], ?WRONG)
            end;
        [_ | _] ->
            evum_cli_io:err(Io, ["evum: which ", hd(Names), "? It takes LAB.NAME\n"], ?WRONG)
    end.

members(Names, #{name := LabName, machines := Machines}) ->
    Prefix = unicode:characters_to_list(LabName) ++ ".",
    All = [unicode:characters_to_list(Machine) || Machine <- maps:keys(Machines)],
    maps:from_list(
        [{Name, Member} || Name <- Names, Member <- All, Name =:= Prefix ++ Member] ++
            [{Name, Name} || Name <- Names, lists:member(Name, All)]
    ).

partition(Groups, Shape, Io) ->
    case lists:append(Groups) of
        [] ->
            evum_cli_io:err(Io, "evum partition: it needs names of machines\n", ?WRONG);
        Names ->
            with_members(Names, Io, fun(Lab, Members) ->
                Partition = Shape([[maps:get(Name, Members) || Name <- Group] || Group <- Groups]),
                done(evum_lab:partition(Lab, Partition), Io)
            end)
    end.

%%% The picture -------------------------------------------------------------------

ping_all(Lab, Io) ->
    case evum_lab:ping_all(Lab) of
        {ok, Matrix} ->
            Names = lists:sort(maps:keys(Matrix)),
            Width = lists:max([1 | [string:length(Name) || Name <- Names]]),
            Row = fun(From) ->
                #{From := Reached} = Matrix,
                [string:pad(From, Width), [[" ", string:pad(mark(To, Reached), Width)] || To <- Names], "\n"]
            end,
            Head = [string:pad("", Width), [[" ", string:pad(Name, Width)] || Name <- Names], "\n"],
            _ = evum_cli_io:out(Io, [Head | lists:map(Row, Names)]),
            case lists:member(false, lists:append([maps:values(Reached) || Reached <- maps:values(Matrix)])) of
                true -> ?FAILED;
                false -> 0
            end;
        {error, nothing_to_ping} ->
            evum_cli_io:failed(Io, "nothing to ping: no other machine that runs has an address", []);
        {error, Reason} ->
            done({error, Reason}, Io)
    end.

mark(To, Reached) ->
    case Reached of
        #{To := true} -> "yes";
        #{To := false} -> "NO";
        #{} -> "-"
    end.

graph([Given], Options, #{cwd := Cwd} = Io) ->
    Path = filename:absname(Given, Cwd),
    case {lists:member(Given, names()), filelib:is_file(Path)} of
        {true, _} -> with_lab([Given], Io, fun(Lab, _) -> draw(Lab, Options, Io) end);
        {false, true} -> draw(Path, Options, Io);
        {false, false} -> evum_cli_io:not_here(Io, "lab", Given)
    end;
graph([], Options, Io) ->
    with_lab([], Io, fun(Lab, _) -> draw(Lab, Options, Io) end).

draw(Lab, Options, Io) ->
    Format =
        case Options of
            #{dot := true} -> dot;
            #{} -> svg
        end,
    case evum_lab:graph(Lab, Format, #{rates => is_map_key(rates, Options)}) of
        {ok, Text} -> evum_cli_io:out(Io, Text);
        {error, Reason} -> done({error, Reason}, Io)
    end.
