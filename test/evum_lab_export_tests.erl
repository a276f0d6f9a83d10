%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_export_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

%%% A folder of Kathará's, there and back

parsed(Folder) ->
    {ok, Map, _} = evum_kathara:describe(Folder, evum_kathara:images()),
    evum_lab_spec:parse(Map).

%% The folder that files make
folder(Files) ->
    Text = fun(Name) -> maps:from_list([{Key, Bytes} || {Key, File} <- Name, {F, Bytes} <- Files, F =:= File]) end,
    Scripts = maps:from_list([
        {{Kind, Name}, Bytes}
     || {File, Bytes} <- Files, {Kind, Name} <- script(binary:split(File, <<".">>, [global]))
    ]),
    Roots = [
        {Name, <<"/", Path/binary>>, Content}
     || {File, Content} <- Files, [Name, Path] <- [binary:split(File, <<"/">>)]
    ],
    maps:merge(Text([{conf, <<"lab.conf">>}, {dep, <<"lab.dep">>}]), #{
        path => <<"/lab">>,
        scripts => Scripts,
        files => lists:foldl(
            fun({Name, Path, Content}, Acc) -> Acc#{Name => maps:put(Path, Content, maps:get(Name, Acc, #{}))} end,
            #{},
            Roots
        ),
        shared => lists:keymember(<<"shared">>, 1, Files)
    }).

script([<<"shared">>, Kind]) when Kind =:= <<"startup">>; Kind =:= <<"shutdown">> -> [{binary_to_atom(Kind), shared}];
script([Name, Kind]) when Kind =:= <<"startup">>; Kind =:= <<"shutdown">> -> [{binary_to_atom(Kind), Name}];
script(_) -> [].

round_trip_test_() ->
    {timeout, 120, fun() ->
        ?assert(proper:quickcheck(?FORALL(Folder, lab(), round_trip(Folder)), [{numtests, 500}, {to_file, user}]))
    end}.

round_trip(Folder) ->
    case parsed(Folder) of
        {ok, Lab} ->
            {Statements, []} = evum_kathara_conf:conf(<<"lab.conf">>, maps:get(conf, Folder)),
            Images = maps:from_list([{Name, Image} || {_, option, Name, {image, Image}} <- Statements]),
            {ok, Files, []} = evum_lab_export:kathara(Lab, Images),
            {ok, Again} = parsed(folder(Files)),
            %% The order of links is none
            Sorted = fun(#{links := Links} = L) -> L#{links := lists:sort(Links)} end,
            case Sorted(Again) =:= Sorted(Lab) of
                true -> true;
                false ->
                    #{machines := Ms} = Lab,
                    #{machines := Ms2} = Again,
                    Differ = fun(A, B) -> lists:sort(maps:to_list(A)) -- lists:sort(maps:to_list(B)) end,
                    io:format(user, "~p~n~p~n", [
                        {Differ(Lab, Again), Differ(Ms, Ms2)}, {Differ(Again, Lab), Differ(Ms2, Ms)}
                    ]),
                    false
            end;
        {error, Problems} ->
            %% Only what comes twice by chance
            [] =:= [P || {_, What} = P <- Problems, not is_tuple(What) orelse not lists:member(element(1, What), [mac_twice, cycle])]
    end.

name() -> oneof([<<"r1">>, <<"r2">>, <<"pc1">>, <<"web_server">>]).

lab() ->
    ?LET(
        {Lines, Scripts, Files, Dep, Shared},
        {
            list({name(), line()}),
            list({{oneof([startup, shutdown]), oneof([shared, name()])}, word()}),
            list({name(), oneof([<<"/etc/frr/daemons">>, <<"/root/x">>]), oneof([word(), {file, <<"/lab/f">>}])}),
            boolean(),
            boolean()
        },
        #{
            path => <<"/lab">>,
            conf => iolist_to_binary([
                "r1[0]=A\nr2[0]=A\n",
                [[N, $[, K, "]=\"", V, "\"\n"] || {N, {K, V}} <- once(Lines, [])]
            ]),
            dep => iolist_to_binary([["r1: r2\n" || Dep]]),
            scripts => maps:from_list([Script || {{_, N}, _} = Script <- Scripts, N =:= shared orelse N =:= <<"r1">>]),
            files => maps:from_list([{N, maps:from_list([{P, C} || {M, P, C} <- Files, M =:= N])} || {N, _, _} <- Files, N =:= <<"r1">>]),
            shared => Shared
        }
    ).

%% An interface has one line
once([], _) ->
    [];
once([{N, {K, V}} | Rest], Seen) ->
    IsNumber = hd(K) < $a,
    case (IsNumber andalso lists:member({N, K}, Seen)) orelse (K =:= "0" andalso N =/= <<"pc1">>) of
        true -> once(Rest, Seen);
        false -> [{N, {K, V}} | once(Rest, [{N, K} | Seen])]
    end.

word() -> oneof([<<"one\n">>, <<"echo 'two' \"x\"\n">>, <<>>]).

line() ->
    oneof([
        {oneof(["0", "1", "3"]), oneof(["A", "B", "C_1", "B/02:00:00:00:00:01"])},
        {"image", oneof(["kathara/base", "kathara/frr", "erlang", "tiny"])},
        {"mem", oneof(["64m", "256m", "1g"])},
        {"cpus", oneof(["1", "1.5", "3"])},
        {"shell", "/bin/sh"},
        {"bridged", oneof(["true", "false"])},
        {"port", oneof(["8080:80", "53:53/udp", "99"])},
        {"ipv6", oneof(["true", "false"])},
        {"exec", oneof(["echo a", "echo b >/x"])},
        {"env", oneof(["A=b", "C=d e"])},
        {"sysctl", oneof(["net.ipv4.ip_forward=0", "net.ipv4.conf.eth0.arp_ignore=8", "net.ipv6.conf.all.forwarding=0"])},
        {"ulimit", oneof(["nofile=5:9", "memlock=-1"])},
        {"volume", oneof(["d|/srv|rw", "/tmp|/mnt"])}
    ]).

%%% Labs of terms

terms() ->
    {ok, Lab} = evum_lab_spec:parse(#{
        name => net,
        addressing => {ipv4, "10.0.0.0/16"},
        machines => #{
            r1 => #{
                image => debian,
                mem => 256,
                sysctl => #{"net.ipv4.ip_forward" => 1},
                files => #{"/etc/motd" => <<"hello\n">>, "/etc/x" => {file, "/some/file"}},
                startup => ["echo \"it's\"", ["touch", "/a b"]],
                interfaces => #{eth1 => #{mtu => 1400}}
            },
            pc1 => #{image => tiny, routes => [{default, "10.0.0.1"}], env => #{"A" => "b"}, depends => [r1]},
            pc2 => #{image => tiny, shutdown => "true", interfaces => #{eth0 => #{mac => "02:00:00:00:00:02"}}}
        },
        switches => #{a => #{}, 'b-2' => #{}},
        links => [
            {{pc1, eth0}, a},
            {{r1, eth0}, a},
            {a, 'b-2'},
            {{r1, eth1}, {pc2, eth0}, #{delay => {10, ms}}}
        ]
    }),
    Lab.

kathara_of_terms_test() ->
    #{machines := Machines} = Lab = terms(),
    {ok, Files, Notes} = evum_lab_export:kathara(Lab, #{}),
    ?assertMatch(
        [
            {{machine, <<"pc1">>}, <<"kathara/base stands for the image tiny">>},
            {{machine, <<"pc2">>}, <<"kathara/base stands for the image tiny">>},
            {{link, _}, <<"impairments", _/binary>>}
        ],
        Notes
    ),
    ?assertEqual(
        [<<"lab.conf">>, <<"lab.dep">>, <<"pc1.startup">>, <<"pc2.shutdown">>, <<"pc2.startup">>, <<"r1.startup">>, <<"r1/etc/motd">>, <<"r1/etc/x">>],
        lists:sort([Name || {Name, _} <- Files])
    ),
    {ok, #{machines := Again} = Lab2} = parsed(folder(Files)),
    ?assertEqual(maps:keys(Machines), maps:keys(Again)),
    Domains = fun(L) -> lists:sort([lists:sort(Ports) || {_, Ports} <- evum_lab_domain:all(L)]) end,
    ?assertEqual(Domains(Lab), Domains(Lab2)),
    {_, Startup} = lists:keyfind(<<"r1.startup">>, 1, Files),
    ?assertMatch({_, _}, binary:match(Startup, <<"ip link set dev eth1 mtu 1400\n">>)),
    ?assertMatch({_, _}, binary:match(Startup, <<"echo \"it's\"\n'touch' '/a b'\n">>)),
    %% What was written is a folder of Kathará's, and stays what it is from then on.
    {ok, Files2, []} = evum_lab_export:kathara(Lab2, #{}),
    ?assertEqual({ok, Lab2}, parsed(folder(Files2))).

no_kathara_test() ->
    {ok, Lab} = evum_lab_spec:parse(#{
        machines => #{'R-1' => #{interfaces => #{lan => #{}}}}, switches => #{a => #{}}, links => [{{'R-1', lan}, a}]
    }),
    ?assertEqual(
        {error, [{{machine, <<"R-1">>}, bad_name}, {{interface, <<"R-1">>, <<"lan">>}, {bad_option, interface, <<"lan">>}}]},
        evum_lab_export:kathara(Lab, #{})
    ),
    %% Kathará has no quotes within a value
    [
        begin
            {ok, Quotes} = evum_lab_spec:parse(#{machines => #{a => #{env => #{"X" => Text}}}}),
            ?assertMatch({error, [{{machine, <<"a">>}, {bad_option, env, _}}]}, evum_lab_export:kathara(Quotes, #{}))
        end
     || Text <- ["\"'", "it's", "\"", "a\nb"]
    ].

%% Such commands are the startup script's, behind what was there.
exec_quotes_test() ->
    Conf = "a[0]=A\na[exec]=\"echo one\"\na[exec]=\"echo 'two'\"\n",
    {ok, Lab} = parsed(folder([{<<"lab.conf">>, list_to_binary(Conf)}, {<<"a.startup">>, <<"true">>}])),
    {ok, Files, []} = evum_lab_export:kathara(Lab, #{}),
    ?assertEqual({<<"a.startup">>, <<"true\necho one\necho 'two'\n">>}, lists:keyfind(<<"a.startup">>, 1, Files)),
    {_, Written} = lists:keyfind(<<"lab.conf">>, 1, Files),
    ?assertEqual(nomatch, re:run(Written, "exec")),
    %% each line is one of Kathará's
    Pattern = "^[a-z0-9_]{1,30}\\[\\w+\\]=\"[^\"']+\"$",
    ?assertEqual([], [L || L <- binary:split(Written, <<"\n">>, [global, trim_all]), re:run(L, Pattern) =:= nomatch]).

images_test() ->
    Daemons = fun(Folder) -> #{Folder ++ "/daemons" => <<>>} end,
    {ok, Lab} = evum_lab_spec:parse(#{
        machines => #{
            a => #{image => debian},
            b => #{image => debian, files => Daemons("/etc/frr")},
            c => #{image => debian, files => Daemons("/etc/quagga")},
            d => #{image => erlang},
            e => #{image => "/srv/rootfs"},
            f => #{image => mine},
            g => #{image => debian, files => Daemons("/etc/frr")},
            h => #{files => Daemons("/etc/zebra")},
            i => #{}
        }
    }),
    Given = #{<<"g">> => <<"kathara/sdn:old">>},
    {ok, Files, Notes} = evum_lab_export:kathara(Lab, Given),
    {Statements, []} = evum_kathara_conf:conf(<<"lab.conf">>, proplists:get_value(<<"lab.conf">>, Files)),
    ?assertEqual(
        [
            {<<"a">>, <<"kathara/base">>},
            {<<"b">>, <<"kathara/frr">>},
            {<<"c">>, <<"kathara/quagga">>},
            {<<"d">>, <<"erlang">>},
            {<<"e">>, <<"kathara/base">>},
            {<<"f">>, <<"mine">>},
            {<<"g">>, <<"kathara/sdn:old">>},
            {<<"h">>, <<"kathara/quagga">>}
        ],
        [{Name, Image} || {_, option, Name, {image, Image}} <- Statements]
    ),
    ?assertEqual([<<"e">>, <<"f">>, <<"h">>, <<"i">>], [Machine || {{machine, Machine}, _} <- Notes]),
    {ok, [{_, Yaml} | _], Notes} = evum_lab_export:containerlab(Lab, Given),
    ?assertMatch({_, _}, binary:match(Yaml, <<"image: \"kathara/sdn:old\"">>)).

%% An interface that is in no link is there all the same, alone.
loose_test() ->
    {ok, Lab} = evum_lab_spec:parse(#{
        machines => #{a => #{image => debian, interfaces => #{eth0 => ["10.0.0.1/24"]}}}
    }),
    {ok, Files, []} = evum_lab_export:kathara(Lab, #{}),
    {Statements, []} = evum_kathara_conf:conf(<<"lab.conf">>, proplists:get_value(<<"lab.conf">>, Files)),
    ?assertMatch([{_, interface, <<"a">>, {0, <<"a_eth0">>, _}}], [S || {_, interface, _, _} = S <- Statements]),
    {ok, _, Notes} = evum_lab_export:containerlab(Lab, #{}),
    ?assertEqual([{{interface, <<"a">>, <<"eth0">>}, <<"one without a link is not there">>}], Notes).

%% The interface to the uplink changes its number; one to something else changes that.
bridged_test() ->
    {ok, Lab} = evum_lab_spec:parse(#{
        machines => #{a => #{}, b => #{}},
        switches => #{s => #{}, up => #{uplink => {nat, #{}}}, out => #{uplink => {tap, #{interface => "t0"}}}},
        links => [{{a, eth0}, up}, {{a, eth1}, s}, {{b, eth0}, s}, {{b, eth1}, out}],
        defaults => #{image => debian}
    }),
    {ok, _, Notes} = evum_lab_export:kathara(Lab, #{}),
    ?assertMatch([{{interface, <<"a">>, <<"eth0">>}, _}, {{switch, <<"out">>}, _}], Notes).

containerlab_test() ->
    {ok, [{<<"topology.clab.yml">>, Yaml} | Files], Notes} = evum_lab_export:containerlab(terms(), #{}),
    ?assertEqual([{<<"r1/etc/motd">>, <<"hello\n">>}, {<<"r1/etc/x">>, {file, <<"/some/file">>}}], Files),
    ?assertMatch(
        [
            {{machine, <<"pc1">>}, <<"depends has no counterpart">>},
            {{machine, <<"pc2">>}, <<"shutdown has no counterpart">>},
            {{machine, <<"pc1">>}, <<"kathara/base stands for the image tiny">>},
            {{machine, <<"pc2">>}, _},
            {{link, _}, _}
        ],
        Notes
    ),
    Lines = binary:split(Yaml, <<"\n">>, [global]),
    [
        ?assertEqual({Line, true}, {Line, lists:member(Line, Lines)})
     || Line <- [
            <<"name: \"net\"">>,
            <<"    \"r1\":">>,
            <<"      kind: linux">>,
            <<"      image: \"kathara/base\"">>,
            <<"      memory: \"256MB\"">>,
            <<"        \"A\": \"b\"">>,
            <<"        - \"r1/etc/motd:/etc/motd\"">>,
            <<"        - \"sh -c 'echo \\\"it'\\\\''s\\\"'\"">>,
            <<"        - \"sh -c 'ip link set dev eth0 address 02:00:00:00:00:02\\nip address add 10.0.1.1/24 dev eth0\\n'\"">>,
            <<"    - endpoints: [\"pc1:eth0\", \"r1:eth0\"]">>,
            <<"    - endpoints: [\"pc2:eth0\", \"r1:eth1\"]">>
        ]
    ].

%% A domain of three needs a bridge.
containerlab_bridge_test() ->
    {ok, Lab} = evum_lab_spec:parse(#{
        machines => #{a => #{}, b => #{}, c => #{}},
        switches => #{s => #{}},
        links => [{{M, eth0}, s} || M <- [a, b, c]]
    }),
    {ok, [{_, Yaml}], [_, _, _]} = evum_lab_export:containerlab(Lab, #{}),
    ?assertMatch({_, _}, binary:match(Yaml, <<"    \"s\":\n      kind: bridge\n">>)),
    ?assertMatch({_, _}, binary:match(Yaml, <<"    - endpoints: [\"a:eth0\", \"s:a-eth0\"]\n">>)).

write_test() ->
    Folder = filename:join("/tmp", "evum-export-" ++ os:getpid() ++ "-" ++ integer_to_list(erlang:unique_integer([positive]))),
    try
        From = filename:join(Folder, "from"),
        ok = filelib:ensure_dir(filename:join(From, "sub/x")),
        ok = file:write_file(filename:join(From, "sub/tool"), "#!/bin/sh\n"),
        ok = file:change_mode(filename:join(From, "sub/tool"), 8#755),
        Tool = list_to_binary(filename:join(From, "sub/tool")),
        To = filename:join(Folder, "to"),
        ok = evum_lab_export:write(To, [
            {<<"lab.conf">>, <<"x">>}, {<<"a/bin/tool">>, {file, Tool}}, {<<"shared">>, {folder, list_to_binary(From)}}
        ]),
        ?assertEqual({ok, <<"x">>}, file:read_file(To ++ "/lab.conf")),
        {ok, Info} = file:read_file_info(To ++ "/a/bin/tool"),
        ?assertEqual(8#755, element(8, Info) band 8#777),
        ?assertEqual({ok, <<"#!/bin/sh\n">>}, file:read_file(To ++ "/shared/sub/tool")),
        ?assertEqual({error, {<<"/no/such">>, enoent}}, evum_lab_export:write(To, [{<<"y">>, {file, <<"/no/such">>}}]))
    after
        file:del_dir_r(Folder)
    end.

%% From file to folder, and the folder read again
export_test() ->
    Folder = filename:join("/tmp", "evum-export-" ++ os:getpid() ++ "-" ++ integer_to_list(erlang:unique_integer([positive]))),
    Lab = #{machines => #{a => #{image => tiny}, b => #{}}, links => [{{a, eth0}, {b, eth0}}]},
    try
        ?assertMatch({ok, [{{machine, <<"a">>}, _}, {{machine, <<"b">>}, _}]}, evum_lab:export(Lab, {kathara, Folder})),
        {ok, #{machines := Machines}} = evum_kathara:read(Folder),
        ?assertMatch(#{<<"a">> := #{image := debian}, <<"b">> := _}, Machines),
        ok = file:write_file(Folder ++ "/lab.conf", "b[image]=\"kathara/frr:v9\"\n", [append]),
        ?assertEqual({ok, []}, evum_lab:export(Folder, {containerlab, Folder ++ "/clab"})),
        {ok, Yaml} = file:read_file(Folder ++ "/clab/topology.clab.yml"),
        ?assertMatch({_, _}, binary:match(Yaml, <<"image: \"kathara/frr:v9\"">>)),
        ?assertMatch({error, [{lab, {bad_option, format, yaml}}]}, evum_lab:export(Lab, yaml)),
        ?assertMatch({error, [{{file, _}, <<"cannot be written", _/binary>>}]}, evum_lab:export(Lab, {kathara, Folder ++ "/lab.conf"}))
    after
        file:del_dir_r(Folder)
    end.
