%% SPDX-License-Identifier: Apache-2.0
%% @doc Labs in the formats of others: folders of Kathará's, and containerlab's YAML.
%% A pure module, but for {@link write/2}.
%%
%% What a format has no words for is told in notes, and is not there: impairments,
%% VLANs of ports, options of switches. What would not be the same lab without it is
%% an error. Images get a name that others know: that of the folder which the lab comes
%% from, or `kathara/frr' and `kathara/quagga' for machines with files of theirs, or
%% `kathara/base'.
-module(evum_lab_export).

-export([kathara/2, containerlab/2, write/2]).

-export_type([file/0, note/0, images/0]).

%% What stands for evum's images elsewhere, if nothing of the machine's asks for more.
-define(BASE, <<"kathara/base">>).
%% What evum_kathara has for those that name none.
-define(MEM, 128).

%% By its path in the folder; a folder is copied whole.
-type file() :: {binary(), binary() | {file | folder, binary()}}.
-type note() :: {evum_lab_spec:thing(), binary()}.
%% Names of Docker's that machines' images had where the lab comes from.
-type images() :: #{evum_lab_spec:name() => binary()}.

%%% Kathará -------------------------------------------------------------------

%% @doc The files of a lab's folder. Read again, it is a lab with the same machines,
%% files and networks; of one that was such a folder, the same description, but for
%% commands of `exec' with quotes in them, which Kathará does not take there.
-spec kathara(evum_lab_spec:lab(), images()) ->
    {ok, [file()], [note()]} | {error, [evum_lab_spec:problem(), ...]}.
kathara(#{machines := Machines} = Lab, Images) ->
    Names = lists:sort(maps:keys(Machines)),
    Domains = domains(Lab),
    Bad = [{{machine, N}, bad_name} || N <- Names, not is_device(N)] ++
        [
            {{interface, N, I}, {bad_option, interface, I}}
         || N <- Names, {I, _} <- interfaces(N, Lab), number(I) =:= error
        ],
    case Bad of
        [] ->
            try
                Conf = [conf(N, Domains, Lab, Images) || N <- Names],
                Depends = [
                    [N, ": ", lists:join($\s, Others), $\n]
                 || N <- Names, #{depends := [_ | _] = Others} <- [maps:get(N, Machines)]
                ],
                Files = [{<<"lab.conf">>, iolist_to_binary(lists:join($\n, Conf))}] ++
                    [{<<"lab.dep">>, iolist_to_binary(Depends)} || Depends =/= []] ++
                    lists:usort(lists:append([machine_files(N, maps:get(N, Machines), Lab) || N <- Names])),
                {ok, Files, moved(Lab) ++ notes(Lab, Images)}
            catch
                throw:{problem, Problem} -> {error, [Problem]}
            end;
        _ ->
            {error, Bad}
    end.

is_device(Name) ->
    byte_size(Name) =< 30 andalso
        re:run(Name, "^[a-z0-9][a-z0-9_]*$", [{capture, none}, dollar_endonly]) =:= match andalso
        Name =/= <<"shared">>.

number(Interface) ->
    case re:run(Interface, "^eth(0|[1-9][0-9]{0,3})$", [{capture, all_but_first, binary}, dollar_endonly]) of
        {match, [Digits]} -> {ok, binary_to_integer(Digits)};
        nomatch -> error
    end.

interfaces(Name, #{machines := Machines}) ->
    #{interfaces := Interfaces} = maps:get(Name, Machines),
    evum_lab_interface:sorted(Interfaces).

%% The name of the collision domain that an interface is in: one of its own where it is
%% in no link. Switches with an uplink are none: that is what `bridged' is for.
domains(#{switches := Switches} = Lab) ->
    Named =
        [{Ports, Name} || {Domain, Ports} <- evum_lab_domain:all(Lab), Name <- domain(Domain, Switches)] ++
            [{[{M, I}], <<M/binary, "_", I/binary>>} || {M, I} <- loose(Lab)],
    maps:from_list([{Port, Name} || {Ports, Name} <- unique(Named), Port <- Ports]).

loose(#{machines := Machines, links := Links} = Lab) ->
    Linked = [End || #{ends := {A, B}} <- Links, End <- [A, B]],
    [{M, I} || M <- lists:sort(maps:keys(Machines)), {I, _} <- interfaces(M, Lab), not lists:member({M, I}, Linked)].

domain({switches, Names}, Switches) ->
    case [N || N <- Names, is_map_key(uplink, maps:get(N, Switches))] of
        [] -> [hd(lists:sort(Names))];
        _ -> []
    end;
domain({wire, {A, I}, {B, J}}, _Switches) ->
    [<<A/binary, "_", I/binary, "_", B/binary, "_", J/binary>>].

%% Only letters, digits and underscores; two that come to the same get a number.
unique(Named) ->
    {Unique, _} = lists:mapfoldl(
        fun({N, {Ports, Name}}, Taken) ->
            Word = re:replace(Name, "[^A-Za-z0-9_]", "_", [global, {return, binary}]),
            New =
                case lists:member(Word, Taken) of
                    true -> <<Word/binary, "_", (integer_to_binary(N))/binary>>;
                    false -> Word
                end,
            {{Ports, New}, [New | Taken]}
        end,
        [],
        lists:enumerate(lists:keysort(2, Named))
    ),
    Unique.

conf(Name, Domains, #{machines := Machines} = Lab, Images) ->
    Machine = maps:get(Name, Machines),
    [
        [Name, $[, Key, $], $=, quoted(Name, Key, Value), $\n]
     || {Key, Value} <- [
            {integer_to_binary(element(2, number(I))), <<(maps:get({Name, I}, Domains))/binary, "/", Mac/binary>>}
         || {I, #{mac := Mac}} <- interfaces(Name, Lab), is_map_key({Name, I}, Domains)
        ] ++ options(Name, Machine, Lab, Images)
    ].

%% Kathará's pattern for values knows of no quotes within.
quoted(Name, Key, Value) ->
    case is_plain(Value) of
        true -> [$", Value, $"];
        false -> throw({problem, {{machine, Name}, {bad_option, binary_to_atom(Key), Value}}})
    end.

is_plain(Value) -> binary:match(Value, [<<"\"">>, <<"'">>, <<"\n">>]) =:= nomatch.

options(Name, #{options := Options, sysctl := Sysctl, env := Env, startup := Startup} = Machine, Lab, Images) ->
    [
        {<<"image">>, Image}
     || Image <- [image(Name, Options, Images)], Image =/= ?BASE orelse maps:get(image, Options, host) =/= host
    ] ++
        [{<<"mem">>, <<(integer_to_binary(M))/binary, "m">>} || #{mem := M} <- [Options], is_integer(M), M =/= ?MEM] ++
        [{<<"cpus">>, integer_to_binary(N)} || #{cpus := N} <- [Options], N > 1] ++
        [{<<"shell">>, text(Shell)} || #{init := [Shell]} <- [Options], not is_integer(Shell)] ++
        [{<<"volume">>, volume(Share)} || Share <- maps:get(share, Options, []), not is_shared(Share)] ++
        [{<<"bridged">>, <<"true">>} || uplink_of(Name, Lab) =/= none, leads_out(Name, Machine, Lab)] ++
        [{<<"port">>, Port} || Port <- forwards(Name, Lab)] ++
        ipv6(Name, Machine, Lab) ++
        [
            {<<"sysctl">>, <<(text(K))/binary, "=", (value(V))/binary>>}
         || {K, V} <- own_sysctl(Sysctl, Lab, Name)
        ] ++
        [{<<"env">>, <<(text(K))/binary, "=", (text(V))/binary>>} || {K, V} <- lists:sort(maps:to_list(Env))] ++
        [{<<"ulimit">>, Limit} || Limit <- limits(Startup)] ++
        [{<<"exec">>, Command} || {conf, Commands} <- [execs(Name, Machine)], Command <- Commands].

%% The name that it had, or else one that others know.
image(Name, Options, Images) ->
    Image = text(maps:get(image, Options, host)),
    IsPath = binary:match(Image, <<"/">>) =/= nomatch,
    IsOurs = IsPath orelse lists:member(Image, [<<"debian">>, <<"host">>, <<"tiny">>]),
    case Images of
        #{Name := Given} -> Given;
        #{} when IsOurs -> with_daemons(Options);
        #{} -> Image
    end.

%% Whose configuration is there, is to be run.
with_daemons(Options) ->
    Paths = [text(Path) || Path <- maps:keys(maps:get(files, Options, #{}))],
    Has = fun(Folder) -> lists:any(fun(Path) -> string:prefix(Path, Folder) =/= nomatch end, Paths) end,
    case {Has("/etc/frr/"), Has("/etc/quagga/") orelse Has("/etc/zebra/")} of
        {true, _} -> <<"kathara/frr">>;
        {_, true} -> <<"kathara/quagga">>;
        _ -> ?BASE
    end.

text(Text) when is_atom(Text) -> atom_to_binary(Text);
text(Text) -> unicode:characters_to_binary(Text).

value(V) when is_integer(V) -> integer_to_binary(V);
value(V) -> text(V).

volume({Host, Guest, Mode}) ->
    iolist_to_binary([text(Host), $|, text(Guest), $|, atom_to_binary(Mode)]).

is_shared({_, Guest, rw}) -> text(Guest) =:= <<"/shared">>;
is_shared(_) -> false.

%%% Uplinks

%% The interface that leads to a switch with an uplink, and the switch.
uplink_of(Name, #{switches := Switches, links := Links}) ->
    case [{I, S} || #{ends := {{M, I}, S}} <- Links, M =:= Name, is_binary(S), is_map_key(uplink, maps:get(S, Switches))] of
        [First | _] -> First;
        [] -> none
    end.

%% As evum_kathara has it: one with forwards that has no route to there is left to those.
leads_out(Name, #{routes := Routes}, Lab) ->
    forwards(Name, Lab) =:= [] orelse Routes =/= [].

forwards(Name, #{switches := Switches} = Lab) ->
    case uplink_of(Name, Lab) of
        none ->
            [];
        {Interface, Switch} ->
            #{addresses := Addresses} = proplists:get_value(Interface, interfaces(Name, Lab)),
            Own = [hd(binary:split(text(A), <<"/">>)) || A <- Addresses],
            [
                iolist_to_binary([integer_to_binary(Host), $:, integer_to_binary(Guest), $/, atom_to_binary(Protocol)])
             || {Protocol, {_, Host}, {Address, Guest}} <- maps:get(forwards, maps:get(Switch, Switches), []),
                lists:member(address(Address), Own)
            ]
    end.

address(Address) when is_tuple(Address) -> list_to_binary(inet:ntoa(Address));
address(Address) -> text(Address).

%% A way out is behind all other interfaces there, and is one to the world.
moved(#{machines := Machines, switches := Switches} = Lab) ->
    Uplinks = [{M, uplink_of(M, Lab)} || M <- lists:sort(maps:keys(Machines))],
    [
        {{interface, M, I}, <<"'bridged' makes it the last one">>}
     || {M, {I, _}} <- Uplinks,
        Others <- [[N || {J, _} <- interfaces(M, Lab), J =/= I, {ok, N} <- [number(J)]]],
        number(I) =/= {ok, lists:max([-1 | Others]) + 1}
    ] ++
        [
            {{switch, S}, <<"'bridged' stands for its uplink">>}
         || S <- lists:usort([S || {_, {_, S}} <- Uplinks]), element(1, maps:get(uplink, maps:get(S, Switches))) =/= nat
        ].

%%% Settings of the kernel. What evum_kathara sets by itself is not told again.

default_sysctl(Ipv6, Name, Lab) ->
    Names = [I || {I, _} <- interfaces(Name, Lab)],
    evum_kathara:sysctl(Ipv6, Names).

ipv6_of(Sysctl, Name, Lab) ->
    Fits = [
        Ipv6
     || Ipv6 <- [false, default, true],
        Default <- [default_sysctl(Ipv6, Name, Lab)],
        maps:keys(Default) -- maps:keys(Sysctl) =:= []
    ],
    case Fits of
        [Ipv6 | _] -> Ipv6;
        %% one that is no folder of Kathará's
        [] -> true
    end.

ipv6(Name, #{sysctl := Sysctl}, Lab) ->
    case ipv6_of(texts(Sysctl), Name, Lab) of
        default -> [];
        Ipv6 -> [{<<"ipv6">>, atom_to_binary(Ipv6)}]
    end.

own_sysctl(Given, Lab, Name) ->
    Sysctl = texts(Given),
    Default = default_sysctl(ipv6_of(Sysctl, Name, Lab), Name, Lab),
    %% A machine that does not say so does not forward.
    Off = #{<<"net.ipv4.ip_forward">> => <<"0">>, <<"net.ipv6.conf.all.forwarding">> => <<"0">>},
    lists:sort(
        maps:to_list(
            maps:filter(
                fun(K, V) -> maps:get(K, Default, none) =/= V end,
                maps:merge(maps:with(maps:keys(Default), Off), Sysctl)
            )
        )
    ).

texts(Map) ->
    maps:from_list([{text(K), value(V)} || {K, V} <- maps:to_list(Map)]).

%%% Commands

limits(Startup) ->
    [Limit || Command <- Startup, Limit <- limit(Command)].

limit(Command) when is_binary(Command) ->
    case evum_kathara:limit_of(Command) of
        {ok, Limit} -> [Limit];
        error -> []
    end;
limit(_) ->
    [].

%% Where one of them cannot be said in lab.conf, all are commands of the startup script.
execs(Name, #{options := Options}) ->
    Lines = [
        Line
     || {Path, Bytes} <- maps:to_list(maps:get(files, Options, #{})),
        text(Path) =:= <<"/hostlab/", Name/binary, ".exec">>,
        is_binary(Bytes),
        Line <- binary:split(Bytes, <<"\n">>, [global, trim_all])
    ],
    case lists:all(fun is_plain/1, Lines) of
        true -> {conf, Lines};
        false -> {script, Lines}
    end.

%% Files of /hostlab are the lab's own, all others are put over the root.
machine_files(Name, #{options := Options} = Machine, Lab) ->
    Files = [{text(Path), content(Content)} || {Path, Content} <- maps:to_list(maps:get(files, Options, #{}))],
    Scripts = [{Script, Bytes} || {<<"/hostlab/", Script/binary>>, Bytes} <- Files],
    Own = [{<<Name/binary, ".", (atom_to_binary(Kind))/binary>>, Kind} || Kind <- [startup, shutdown]],
    Made = [
        {Script, iolist_to_binary([Before, ended(Given, After), After])}
     || {Script, Kind} <- Own,
        Given <- [proplists:get_value(Script, Scripts, <<>>)],
        {Before, After} <- [{setup(Kind, Name, Machine, Lab), more(Kind, Name, Machine)}],
        lists:keymember(Script, 1, Scripts) orelse Before =/= [] orelse After =/= []
    ],
    Made ++
        [Shared || {Script, _} = Shared <- Scripts, lists:member(Script, [<<"shared.startup">>, <<"shared.shutdown">>])] ++
        [
            {<<Name/binary, Path/binary>>, Content}
         || {Path, Content} <- Files, binary:match(Path, <<"/hostlab/">>) =/= {0, 9}
        ] ++
        [{<<"shared">>, {folder, text(Host)}} || {Host, _, _} = Share <- maps:get(share, Options, []), is_shared(Share)].

%% What follows begins on a line of its own.
ended(<<>>, _After) -> <<>>;
ended(Script, []) -> Script;
ended(Script, _After) -> [string:trim(Script, trailing, "\n"), $\n].

content({file, Path}) -> {file, text(Path)};
content(Bytes) -> Bytes.

%% What a lab of Kathará's has no words for, commands say.
setup(shutdown, _Name, _Machine, _Lab) ->
    [];
setup(startup, Name, #{routes := Routes} = Machine, Lab) ->
    Uplink = uplink_of(Name, Lab),
    [
        [["ip link set dev ", I, " mtu ", integer_to_list(M), $\n] || #{mtu := M} <- [Interface]] ++
            [["ip address add ", text(A), " dev ", I, $\n] || A <- maps:get(addresses, Interface)]
     || {I, Interface} <- interfaces(Name, Lab), Uplink =:= none orelse element(1, Uplink) =/= I, has_setup(Interface)
    ] ++
        [[route(Route), $\n] || Route <- Routes, Uplink =:= none] ++
        [["echo nameserver ", address(A), " >>/etc/resolv.conf\n"] || #{resolver := As} <- [Machine], Uplink =:= none, A <- As].

has_setup(#{addresses := [_ | _]}) -> true;
has_setup(#{mtu := _}) -> true;
has_setup(_) -> false.

route({To, Via}) when is_atom(Via) -> ["ip route add ", to(To), " dev ", atom_to_binary(Via)];
route({To, Via}) -> ["ip route add ", to(To), " via ", address(Via)];
route({To, Via, Interface}) -> ["ip route add ", to(To), " via ", address(Via), " dev ", text(Interface)].

to(default) -> "default";
to(To) -> address(To).

%% Commands that are not the ones that evum_kathara makes of scripts
more(Kind, Name, #{options := Options} = Machine) ->
    Made = evum_kathara:commands(Kind, Name, maps:get(image, Options, host), maps:get(files, Options, #{})),
    [[Command, $\n] || Kind =:= startup, {script, Commands} <- [execs(Name, Machine)], Command <- Commands] ++
        [
            [line(Command), $\n]
         || Command <- maps:get(Kind, Machine), not lists:member(Command, Made), limit(Command) =:= []
        ].

line([First | _] = Argv) when not is_integer(First) -> lists:join($\s, [quote(text(Arg)) || Arg <- Argv]);
line(Command) -> text(Command).

quote(Arg) ->
    [$', binary:replace(Arg, <<"'">>, <<"'\\''">>, [global]), $'].

%%% Containerlab --------------------------------------------------------------

%% @doc The topology as containerlab's YAML, and the files that it binds. A switch
%% that joins more than two interfaces is a node of kind `bridge', which has to be
%% there on the host.
-spec containerlab(evum_lab_spec:lab(), images()) -> {ok, [file()], [note()]}.
containerlab(#{name := Name, machines := Machines, switches := Switches} = Lab, Images) ->
    Domains = evum_lab_domain:all(Lab),
    Bridges = [hd(lists:sort(Names)) || {{switches, Names}, Ports} <- Domains, length(Ports) =/= 2],
    Text = [
        ["name: ", json(lab_name(Name)), "\n\ntopology:\n  nodes:\n"],
        [node(N, maps:get(N, Machines), Lab, Images) || N <- lists:sort(maps:keys(Machines))],
        [["    ", json(B), ":\n      kind: bridge\n"] || B <- Bridges],
        "  links:\n",
        [
            ["    - endpoints: [", json(A), ", ", json(B), "]\n"]
         || {Domain, Ports} <- Domains, {A, B} <- cables(Domain, [port(P) || P <- Ports])
        ]
    ],
    Files = lists:append([bound_files(N, maps:get(N, Machines)) || N <- lists:sort(maps:keys(Machines))]),
    Uplinks = [{{switch, S}, <<"an uplink has no counterpart">>} || {S, #{uplink := _}} <- lists:sort(maps:to_list(Switches))],
    Lost = [
        {{machine, M}, <<(atom_to_binary(Key))/binary, " has no counterpart">>}
     || {M, Machine} <- lists:sort(maps:to_list(Machines)), Key <- [depends, shutdown], maps:get(Key, Machine) =/= []
    ],
    Loose = [{{interface, M, I}, <<"one without a link is not there">>} || {M, I} <- loose(Lab)],
    Notes = Uplinks ++ Lost ++ Loose ++ notes(Lab, Images),
    {ok, [{<<"topology.clab.yml">>, unicode:characters_to_binary(Text)} | Files], Notes}.

lab_name(none) -> <<"lab">>;
lab_name(Name) -> Name.

port({Machine, Interface}) -> <<Machine/binary, ":", Interface/binary>>.

cables(_Domain, [A, B]) -> [{A, B}];
cables({switches, Names}, Ports) ->
    Bridge = hd(lists:sort(Names)),
    [{Port, <<Bridge/binary, ":", (binary:replace(Port, <<":">>, <<"-">>))/binary>>} || Port <- Ports].

node(Name, #{options := Options, env := Env} = Machine, Lab, Images) ->
    [
        ["    ", json(Name), ":\n      kind: linux\n      image: ", json(image(Name, Options, Images)), $\n],
        %% eth0 is a link like the others.
        "      network-mode: none\n",
        [["      memory: ", json(<<(integer_to_binary(M))/binary, "MB">>), $\n] || #{mem := M} <- [Options], is_integer(M)],
        [["      cpu: ", integer_to_list(N), $\n] || #{cpus := N} <- [Options]],
        list("env", [[json(text(K)), ": ", json(text(V))] || {K, V} <- lists:sort(maps:to_list(Env))], "        "),
        list("binds", [["- ", json(Bind)] || Bind <- binds(Name, Machine)], "        "),
        list("exec", [["- ", json(Command)] || Command <- execute(Name, Machine, Lab)], "        ")
    ].

list(_Key, [], _Indent) -> [];
list(Key, Items, Indent) -> ["      ", Key, ":\n", [[Indent, Item, $\n] || Item <- Items]].

binds(Name, #{options := Options}) ->
    [<<Name/binary, Path/binary, ":", Path/binary>> || Path <- lists:sort([text(P) || P <- maps:keys(maps:get(files, Options, #{}))])] ++
        [iolist_to_binary([text(Host), $:, text(Guest), $:, atom_to_binary(Mode)]) || {Host, Guest, Mode} <- maps:get(share, Options, [])].

bound_files(Name, #{options := Options}) ->
    lists:sort([{<<Name/binary, (text(Path))/binary>>, content(Content)} || {Path, Content} <- maps:to_list(maps:get(files, Options, #{}))]).

execute(Name, #{sysctl := Sysctl, startup := Startup} = Machine, Lab) ->
    Shell = fun(Command) -> iolist_to_binary(["sh -c ", quote(iolist_to_binary(Command))]) end,
    [<<"sysctl -w ", K/binary, "=", V/binary>> || {K, V} <- lists:sort(maps:to_list(texts(Sysctl)))] ++
        [Shell(Setup) || Setup <- [macs(Name, Lab) ++ setup(startup, Name, Machine, Lab)], iolist_size(Setup) > 0] ++
        [Shell(line(Command)) || Command <- Startup].

%% Those that somebody chose
macs(Name, Lab) ->
    [
        ["ip link set dev ", I, " address ", Mac, $\n]
     || {I, #{mac := Mac}} <- interfaces(Name, Lab),
        #{mac := Made} <- [evum_lab_interface:default(Name, I)],
        Mac =/= Made
    ].

%% YAML 1.2 has JSON's strings for its own.
json(Text) ->
    [$", [escaped(C) || C <- unicode:characters_to_list(Text)], $"].

escaped($") -> "\\\"";
escaped($\\) -> "\\\\";
escaped($\n) -> "\\n";
escaped(C) when C < 32; C =:= 127 -> io_lib:format("\\u~4.16.0b", [C]);
escaped(C) -> C.

%%% Both

notes(#{machines := Machines, links := Links, switches := Switches}, Images) ->
    [
        {{machine, M}, iolist_to_binary(Note)}
     || {M, #{options := O}} <- lists:sort(maps:to_list(Machines)),
        not is_map_key(M, Images),
        Note <- image_note(text(maps:get(image, O, host)), image(M, O, Images))
    ] ++
    [{{link, Ends}, <<"impairments have no counterpart">>} || #{ends := Ends, forth := F, back := B} <- Links, F =/= #{} orelse B =/= #{}] ++
        [{{link, Ends}, <<"options of the port have no counterpart">>} || #{ends := Ends, port := P} <- Links, P =/= #{}] ++
        [{{link, Ends}, <<"a link that is down is up">>} || #{ends := Ends, up := false} <- Links] ++
        [{{switch, S}, <<"options have no counterpart">>} || {S, #{options := O}} <- lists:sort(maps:to_list(Switches)), O =/= #{}].

image_note(<<"host">>, _) -> ["Debian stands for the host's files"];
image_note(<<"erlang">>, _) -> [];
image_note(Image, Image) -> [["the image ", Image, " has to be there"]];
image_note(<<"debian">>, _) -> [];
image_note(Image, Other) -> [[Other, " stands for the image ", Image]].

%% @doc Write files into a folder, which is made where there is none. What is there
%% of these names is replaced.
-spec write(file:filename_all(), [file()]) -> ok | {error, {file:filename_all(), Posix :: atom()}}.
write(_Folder, []) ->
    ok;
write(Folder, [{Name, Content} | Files]) ->
    Path = filename:join(Folder, Name),
    case write_one(Path, Content) of
        ok -> write(Folder, Files);
        {error, _} = Error -> Error
    end.

write_one(Path, {folder, From}) ->
    case file:list_dir(From) of
        {ok, Names} -> write(Path, [{N, kind(filename:join(From, N))} || N <- Names]);
        {error, Posix} -> {error, {From, Posix}}
    end;
write_one(Path, Content) ->
    maybe_ok(Path, filelib:ensure_dir(Path), fun() ->
        case Content of
            {file, From} -> copy(From, Path);
            _ -> maybe_ok(Path, file:write_file(Path, Content), fun() -> ok end)
        end
    end).

kind(Path) ->
    case filelib:is_dir(Path) of
        true -> {folder, Path};
        false -> {file, Path}
    end.

%% With its mode: whether it may be executed counts.
copy(From, Path) ->
    case file:read_file_info(From) of
        {ok, Info} ->
            case file:copy(From, Path) of
                {ok, _} -> maybe_ok(Path, file:change_mode(Path, element(8, Info) band 8#777), fun() -> ok end);
                {error, Posix} -> {error, {Path, Posix}}
            end;
        {error, Posix} ->
            {error, {From, Posix}}
    end.

maybe_ok(_Path, ok, Next) -> Next();
maybe_ok(Path, {error, Posix}, _Next) -> {error, {Path, Posix}}.
