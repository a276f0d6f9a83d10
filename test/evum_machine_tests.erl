%% SPDX-License-Identifier: Apache-2.0
-module(evum_machine_tests).

-include_lib("eunit/include/eunit.hrl").

bad_options_test_() ->
    [
        ?_assertEqual({error, {bad_option, Key, Value}}, evum_machine:describe(#{Key => Value}))
     || {Key, Value} <- [
            {mem, 0},
            {mem, -1},
            {mem, 1 bsl 40},
            {mem, "many"},
            {mem, <<"0M">>},
            {mem, 64.0},
            {mac, "01:00:5e:00:00:01"},
            {mac, <<"ff:ff:ff:ff:ff:ff">>},
            {mac, "00:00:00:00:00:00"},
            {mac, "02:00:00:00:00"},
            {name, "two words"},
            {name, "r1\n"},
            {mac, <<1, 2, 3, 4, 5, 6>>},
            {mac, {2, 0, 0, 0, 0, 1}},
            {root, "/does/not/exist"},
            {root, "/etc/passwd"},
            {root, <<"/etc\0">>},
            {init, ""},
            {init, 7},
            {init, ["/bin/sh", 7]},
            {name, "two words"},
            {name, "-r1"},
            {hostname, "two words"},
            {name, lists:duplicate(65, $a)},
            {owner, not_a_pid},
            {switch, 7},
            {switch, ""},
            {transport, pigeon},
            {verbose, yes},
            {transcript, -1},
            {transcript, 1 bsl 40},
            {transcript, {file, ""}},
            {transcript, {file, 7}},
            {kernel, 7},
            {image, 7},
            {image, moon},
            {image, "/no/such/image"},
            {image, "/etc/passwd"},
            {disk, {tmpfs, 0}},
            {disk, {tmpfs, 65}},
            {disk, {tmpfs, "much"}},
            {disk, {file, "/no/such/folder/disk", 64}},
            {disk, {file, "/tmp", 64}},
            {disk, {file, "/tmp/disk", 1}},
            {disk, ram},
            {files, [{"/a", <<>>}]},
            {share, {"/tmp", "/mnt", ro}},
            {share, lists:duplicate(17, {"/tmp", "/mnt", ro})},
            {colour, red}
        ]
    ].

%% The one of several that is bad.
bad_entries_test_() ->
    [
        ?_assertEqual({error, {bad_option, Key, Bad}}, evum_machine:describe(#{Key => Value}))
     || {Key, Bad, Value} <- [
            {files, "etc/a", #{"/b" => <<>>, "etc/a" => <<>>}},
            {files, "/../etc/a", #{"/../etc/a" => <<>>}},
            {files, "/", #{"/" => <<>>}},
            {files, "/a", #{"/a" => 7}},
            {files, "/a", #{"/a" => {file, "/no/such/file"}}},
            {files, "/a", #{"/a" => {file, "/dev/zero"}}},
            {files, <<"/a">>, #{"/a" => binary:copy(<<0>>, (8 bsl 20) + 1)}},
            {share, {"/tmp/../etc", "/mnt", ro}, [{"/tmp", "/a", rw}, {"/tmp/../etc", "/mnt", ro}]},
            {share, {"/no/such", "/mnt", ro}, [{"/no/such", "/mnt", ro}]},
            {share, {"/tmp", "mnt", ro}, [{"/tmp", "mnt", ro}]},
            {share, {"/tmp", "/mnt/../etc", ro}, [{"/tmp", "/mnt/../etc", ro}]},
            {share, {"/tmp", "/", ro}, [{"/tmp", "/", ro}]},
            {share, {"/tmp", "/mnt", wr}, [{"/tmp", "/mnt", wr}]},
            {share, {"/etc/passwd", "/mnt", ro}, [{"/etc/passwd", "/mnt", ro}]}
        ]
    ].

%% More than the layer that it goes into has room for.
file_larger_than_the_overlay_test() ->
    Files = #{"/big" => binary:copy(<<0>>, 3 bsl 20)},
    Options = #{files => Files, disk => {tmpfs, "2M"}},
    ?assertEqual({error, {bad_option, files, <<"/big">>}}, evum_machine:describe(Options)),
    ?assertMatch({ok, _}, evum_machine:describe(Options#{disk => {tmpfs, 4}})).

%% A root of the host's and an image exclude each other.
image_and_root_test() ->
    ?assertEqual(
        {error, {bad_option, root, "/usr"}}, evum_machine:describe(#{image => "/usr", root => "/usr"})
    ).

image_request_test() ->
    {ok, M} = evum_machine:describe(#{
        switch => none,
        image => "/usr",
        disk => {file, "/tmp/d", 64},
        files => #{"/a" => <<"text">>},
        share => [{"/tmp", "/mnt/tmp", ro}, {"/var", "/mnt/var", rw}]
    }),
    Request = evum_machine_start:request(M#{transport := bess, cpu := []}, kernel([])),
    Value = fun(Key) -> proplists:get_value(Key, Request) end,
    ?assert(Value(closed)),
    ?assertEqual([<<"/k/li nux">>, <<"/lib/libc.so">>], Value(shown)),
    ?assertEqual([{<<"share0">>, <<"/tmp">>, false}, {<<"share1">>, <<"/var">>, true}], Value(shares)),
    ?assertEqual(<<"/tmp/d">>, Value(disk)),
    ?assert(lists:member(<<"ubd1d=/dev/shm/evum/disk">>, Value(argv))),
    ?assertEqual(<<"/usr">>, proplists:get_value(<<"root">>, Value(links))),
    ?assertEqual(<<3:32, 8#644:32, 4:32, "/a", 0, "text">>, Value(files)),
    ?assertEqual(
        <<"image=folder\0disk=\0files=\0share=ro:/mnt/tmp\0share=rw:/mnt/var\0",
            "init=/bin/bash\0instead=/bin/sh\0">>,
        Value(config)
    ).

not_options_test_() ->
    [
        ?_assertEqual({error, {bad_option, options, O}}, evum_machine:describe(O))
     || O <- [7, "64M", {mem, 64}]
    ].

good_options_test_() ->
    [
        ?_assertMatch({ok, #{mem := 64}}, evum_machine:describe(#{})),
        ?_assertMatch({ok, #{mem := 32}}, evum_machine:describe(#{mem => "32M"})),
        ?_assertMatch({ok, #{mem := 1024}}, evum_machine:describe(#{mem => <<"1g">>})),
        ?_assertMatch({ok, #{name := r1}}, evum_machine:describe(#{name => r1})),
        ?_assertMatch({ok, #{name := <<"r1">>}}, evum_machine:describe(#{name => "r1"})),
        ?_assertMatch(
            {ok, #{interfaces := [#{mac := <<2, 0, 0, 0, 0, 16#fe>>}]}},
            evum_machine:describe(#{mac => "02:00:00:00:00:FE"})
        ),
        ?_assertMatch(
            {ok, #{init := [<<"/bin/sh">>, <<"-l">>]}},
            evum_machine:describe(#{init => ["/bin/sh", "-l"]})
        )
    ].

%% The list that the seed had as its defaults, to the letter.
seed_test() ->
    {ok, M} = evum_machine:describe([
        net,
        {mem, 64},
        {root, "/dev/root"},
        {rootflags, "/"},
        {rootfstype, "hostfs"},
        {verbose, false},
        write,
        {init, "/bin/bash"}
    ]),
    ?assertMatch(#{mem := 64, root := <<"/">>, verbose := false, interfaces := [#{switch := default}]}, M),
    ?assertMatch({ok, #{interfaces := []}}, evum_machine:describe([{net, false}])),
    ?assertMatch({ok, #{mem := 16}}, evum_machine:describe([{mem, 16}, {mem, 32}])).

environment_test() ->
    ok = application:set_env(evum, mem, 48),
    try
        ?assertMatch({ok, #{mem := 48}}, evum_machine:describe(#{})),
        ?assertMatch({ok, #{mem := 16}}, evum_machine:describe(#{mem => 16}))
    after
        application:unset_env(evum, mem)
    end.

kernel(Features) ->
    #{
        path => "/k/li nux",
        version => <<"6.1">>,
        origin => option,
        modules => none,
        libraries => ["/lib/libc.so"],
        features => maps:from_list([{F, y} || F <- Features])
    }.

transport_test_() ->
    {ok, M} = evum_machine:describe(#{}),
    {ok, Daemon} = evum_machine:describe(#{transport => daemon}),
    Old = kernel([<<"UML_NET_DAEMON">>, <<"UML_NET_VECTOR">>]),
    New = kernel([<<"UML_NET_VECTOR">>]),
    Virtio = kernel([<<"UML_NET_VECTOR">>, <<"VIRTIO_UML">>, <<"VIRTIO_NET">>]),
    #{features := Features} = Virtio,
    Modules = Virtio#{features := Features#{<<"VIRTIO_NET">> := m}},
    [
        ?_assertEqual([vhost, bess, fd], evum_kernel:transports(Virtio)),
        ?_assertEqual([bess, fd], evum_kernel:transports(Modules)),
        ?_assertMatch({ok, #{transport := vhost}}, evum_machine:with_kernel(M, Virtio)),
        ?_assertMatch({ok, #{transport := daemon}}, evum_machine:with_kernel(M, Old)),
        ?_assertMatch({ok, #{transport := bess}}, evum_machine:with_kernel(M, New)),
        ?_assertEqual(
            {error, {bad_option, transport, daemon}}, evum_machine:with_kernel(Daemon, New)
        )
    ].

host_name_test_() ->
    [
        ?_assertMatch(<<Expected:(byte_size(Expected))/binary, 0, _/binary>>, begin
            {ok, M} = evum_machine:describe(Options#{switch => none}),
            proplists:get_value(config, evum_machine_start:request(M#{transport := bess, cpu := []}, kernel([])))
        end)
     || {Expected, Options} <- [
            {<<"hostname=r1">>, #{name => 'lab.r1', hostname => "r1"}},
            {<<"hostname=lab.r1">>, #{name => 'lab.r1'}},
            {<<"hostname=r1">>, #{hostname => r1}},
            {<<"init=/bin/bash">>, #{}}
        ]
    ].

%% No path of the host is on the command line, so none can break it.
command_line_test() ->
    {ok, M} = evum_machine:describe(#{
        mac => "02:00:00:00:00:01", switch => "/tmp/a b,c/ctl", name => r1
    }),
    Request = evum_machine_start:request(M#{transport := bess, cpu := []}, kernel([])),
    [<<"/k/li nux">> | Argv] = proplists:get_value(argv, Request),
    ?assert(
        lists:member(
            <<"vec0:transport=bess,dst=/dev/shm/evum/net0,mac=02:00:00:00:00:01">>, Argv
        )
    ),
    ?assertEqual([], [A || A <- Argv, binary:match(A, <<" ">>) =/= nomatch]),
    %% its memory, and 4 MiB beside it
    ?assertEqual(68 * 1024 * 1024, proplists:get_value(room, Request)),
    ?assertEqual(<<"hostname=r1\0interface=vec0,eth0,02:00:00:00:00:01\0init=/bin/bash\0">>, proplists:get_value(config, Request)),
    ?assertEqual(
        <<"/tmp/a b,c/ctl.bess">>,
        proplists:get_value(<<"net0">>, proplists:get_value(links, Request))
    ),
    ?assertNot(proplists:get_value(net, Request)).

%% A virtio card is told its address by evum_init.
vhost_test() ->
    {ok, M} = evum_machine:describe(#{
        mac => "02:00:00:00:00:01", switch => "/tmp/a b,c/ctl", transport => vhost
    }),
    Request = evum_machine_start:request(M#{cpu := []}, kernel([])),
    ?assert(
        lists:member(
            <<"virtio_uml.device=/dev/shm/evum/net0:1:100">>,
            proplists:get_value(argv, Request)
        )
    ),
    ?assertEqual(
        <<"interface=virtio-uml.100,eth0,02:00:00:00:00:01\0init=/bin/bash\0">>,
        proplists:get_value(config, Request)
    ),
    ?assertEqual(
        <<"/tmp/a b,c/ctl.vhost">>,
        proplists:get_value(<<"net0">>, proplists:get_value(links, Request))
    ),
    ?assertNot(proplists:get_value(net, Request)),
    %% without a switch there is no card
    Alone = evum_machine_start:request(M#{interfaces := [], cpu := []}, kernel([])),
    ?assertEqual(<<"init=/bin/bash\0">>, proplists:get_value(config, Alone)).

%% What depends on the kernel's version, and on what is known of it.
kernel_options_test_() ->
    {ok, Fast} = evum_machine:describe(#{cpu => any}),
    {ok, Strict} = evum_machine:describe(#{isolation => strict}),
    {ok, Four} = evum_machine:describe(#{cpus => 4}),
    Old = kernel([]),
    New = Old#{version := <<"7.2.1">>, lpj => {ok, 4711}},
    Argv = fun(#{cpu := Cpu} = Machine, Kernel) ->
        Cpus =
            case Cpu of
                any -> [];
                auto -> [1]
            end,
        Request = evum_machine_start:request(
            Machine#{cpu := Cpus, interfaces := []}, Kernel
        ),
        proplists:get_value(argv, Request)
    end,
    Has = fun(Option, Args) -> lists:member(Option, Args) end,
    [
        ?_assert(Has(<<"seccomp=auto">>, Argv(Fast, New))),
        ?_assert(Has(<<"seccomp=off">>, Argv(Strict, New))),
        ?_assertNot(Has(<<"seccomp=off">>, Argv(Strict, Old))),
        ?_assert(Has(<<"lpj=4711">>, Argv(Fast, New))),
        ?_assert(Has(<<"ncpus=4">>, Argv(Four, New))),
        ?_assertEqual(
            {error, {bad_option, isolation, strict}},
            evum_machine:describe(#{isolation => strict, cpus => 2})
        ),
        ?_assertEqual(
            {error, {bad_option, cpus, 4}},
            evum_machine:with_kernel(Four, kernel([<<"UML_NET_VECTOR">>]))
        )
    ].

no_interface_test() ->
    {ok, M} = evum_machine:describe(#{switch => none}),
    Request = evum_machine_start:request(M#{transport := daemon, cpu := []}, kernel([])),
    ?assertEqual(
        [], [A || <<"eth0", _/binary>> = A <- proplists:get_value(argv, Request)]
    ),
    ?assertNot(proplists:get_value(net, Request)).

%% The one that is wrong, or all where that is none.
bad_interfaces_test_() ->
    Good = #{switch => default},
    [
        ?_assertEqual(
            {error, {bad_option, Key, Bad}}, evum_machine:describe(#{interfaces => Value})
        )
     || {Key, Bad, Value} <- [
            {interfaces, eth0, eth0},
            {interfaces, lists:duplicate(17, Good), lists:duplicate(17, Good)},
            {interfaces, #{switch => none}, [Good, #{switch => none}]},
            {interfaces, #{}, #{eth0 => #{}}},
            {interfaces, #{switch => default, vlan => 1}, [#{switch => default, vlan => 1}]},
            {interfaces, "lo", #{"lo" => Good}},
            {interfaces, "a/b", #{"a/b" => Good}},
            {interfaces, <<"a,b">>, #{<<"a,b">> => Good}},
            {interfaces, #{eth0 => Good, "eth0" => Good}, #{eth0 => Good, "eth0" => Good}},
            {switch, 7, [#{switch => 7}]},
            {mac, "x", [#{switch => default, mac => "x"}]}
        ]
    ] ++
        [
            ?_assertEqual(
                {error, {bad_option, switch, none}},
                evum_machine:describe(#{interfaces => [Good], switch => none})
            )
        ].

%% Each transport has its own names for what the guest is to call otherwise.
interfaces_test_() ->
    {ok, M} = evum_machine:describe(#{
        interfaces => #{
            eth10 => #{switch => "/b", mac => "02:00:00:00:00:02"},
            eth2 => #{switch => "/a", mac => "02:00:00:00:00:01"}
        }
    }),
    Request = fun(Transport) ->
        evum_machine_start:request(M#{transport := Transport, cpu := []}, kernel([]))
    end,
    [
        ?_test(begin
            Argv = proplists:get_value(argv, Request(Transport)),
            Config = proplists:get_value(config, Request(Transport)),
            Links = proplists:get_value(links, Request(Transport)),
            ?assertEqual(Devices, lists:nthtail(length(Argv) - 2, Argv)),
            ?assertEqual(Suffix, proplists:get_value(<<"net1">>, Links)),
            [First, Second | _] = binary:split(Config, <<0>>, [global]),
            ?assertEqual(<<"interface=", Born0/binary, ",eth2,02:00:00:00:00:01">>, First),
            ?assertEqual(<<"interface=", Born1/binary, ",eth10,02:00:00:00:00:02">>, Second)
        end)
     || {Transport, Devices, Suffix, Born0, Born1} <- [
            {vhost,
                [
                    <<"virtio_uml.device=/dev/shm/evum/net0:1:100">>,
                    <<"virtio_uml.device=/dev/shm/evum/net1:1:101">>
                ],
                <<"/b.vhost">>, <<"virtio-uml.100">>, <<"virtio-uml.101">>},
            {daemon,
                [
                    <<"eth0=daemon,02:00:00:00:00:01,unix,/dev/shm/evum/net0">>,
                    <<"eth1=daemon,02:00:00:00:00:02,unix,/dev/shm/evum/net1">>
                ],
                <<"/b">>, <<"eth0">>, <<"eth1">>},
            {bess,
                [
                    <<"vec0:transport=bess,dst=/dev/shm/evum/net0,mac=02:00:00:00:00:01">>,
                    <<"vec1:transport=bess,dst=/dev/shm/evum/net1,mac=02:00:00:00:00:02">>
                ],
                <<"/b.bess">>, <<"vec0">>, <<"vec1">>},
            {fd,
                [
                    <<"vec0:transport=fd,fd=6,mac=02:00:00:00:00:01">>,
                    <<"vec1:transport=fd,fd=7,mac=02:00:00:00:00:02">>
                ],
                undefined, <<"vec0">>, <<"vec1">>}
        ]
    ] ++
        [
            ?_assertEqual([<<"/a.fd">>, <<"/b.fd">>], proplists:get_value(sockets, Request(fd))),
            ?_assertEqual(undefined, proplists:get_value(sockets, Request(bess)))
        ].
