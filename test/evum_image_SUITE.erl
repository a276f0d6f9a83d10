%% SPDX-License-Identifier: Apache-2.0
%% Machines with images, disks, files and shares of their own: that they boot,
%% what they see of the host, and that nothing of it changes.
-module(evum_image_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

-import(evum_test, [boot/2, sh/2, start/2]).

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [{group, fast}, {group, debian}, import_root, import_layers, import_hostile, bad_disks, verify].

groups() ->
    [
        {fast, [], both() ++ [as_new_after_a_reboot, shut_down, services, enabled_service, old_names, erlang_image]},
        {debian, [], both()}
    ].

both() ->
    [tiny, debian_image, nothing_of_the_host, shares, share_gone, files, disk, folder, ext4, unusable].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(evum),
    Data = filename:join(?config(priv_dir, Config), "data"),
    Before = os:getenv("XDG_DATA_HOME"),
    true = os:putenv("XDG_DATA_HOME", Data),
    [{data_home, Before} | Config].

end_per_suite(Config) ->
    _ =
        case ?config(data_home, Config) of
            false -> os:unsetenv("XDG_DATA_HOME");
            Before -> os:putenv("XDG_DATA_HOME", Before)
        end,
    application:stop(evum).

init_per_group(Group, Config) -> evum_test:init_group(Group, Config).

end_per_group(_Group, _Config) -> ok.

init_per_testcase(Case, Config) ->
    case needs(Case) of
        none ->
            [{before, evum_test:leftovers()}, {dir, fresh_dir(Config)} | Config];
        Image ->
            case evum_image:info(Image) of
                {ok, _} -> init_per_testcase(none, Config);
                {error, {no_image, _, Hint}} -> {skip, "no such image on this machine: " ++ Hint}
            end
    end.

needs(Case) when Case =:= debian_image; Case =:= services; Case =:= enabled_service; Case =:= old_names; Case =:= verify ->
    debian;
needs(erlang_image) -> erlang;
needs(_) -> none.

end_per_testcase(_Case, Config) ->
    lists:foreach(fun evum:stop/1, evum:list()),
    evum_test:no_leftovers(?config(before, Config)).

%% A folder of the host's for one case.
fresh_dir(Config) ->
    Number = integer_to_list(erlang:unique_integer([positive])),
    Dir = filename:join(?config(priv_dir, Config), "case-" ++ Number),
    ok = filelib:ensure_path(Dir),
    Dir.

in(Config, Name) -> filename:join(?config(dir, Config), Name).

machine(Config, Options) ->
    boot(Config, maps:merge(#{switch => none}, Options)).

%% A root filesystem that is busybox and nothing else.
root(Config) ->
    Root = in(Config, "root"),
    ok = filelib:ensure_path(filename:join(Root, "bin")),
    Busybox = filename:join([code:priv_dir(evum), "applets", "busybox"]),
    {ok, _} = file:copy(Busybox, filename:join(Root, "bin/busybox")),
    ok = file:change_mode(filename:join(Root, "bin/busybox"), 8#755),
    [
        ok = file:make_symlink("busybox", filename:join([Root, "bin", Name]))
     || Name <- ["sh", "cat", "echo", "ls", "id"]
    ],
    ok = file:write_file(filename:join(Root, "mark"), <<"this is the image\n">>),
    Root.

sum(Path) ->
    {ok, Bytes} = file:read_file(Path),
    erlang:md5(Bytes).

%%% Images ----------------------------------------------------------------------

tiny(Config) ->
    R = machine(Config, #{image => tiny, mem => 40}),
    ?assertEqual([<<"/bin/busybox">>], sh(R, "readlink -f /bin/ls")),
    ?assertEqual([<<"mine">>], sh(R, "echo mine > /etc/x && cat /etc/x")),
    ?assertMatch(#{image := #{type := tiny}}, evum:info(R)).

debian_image(Config) ->
    {ok, #{path := Image}} = evum_image:info(debian),
    Before = sum(Image),
    [R1, R2] = [machine(Config, #{image => debian}) || _ <- [1, 2]],
    ?assertMatch([<<"ID=debian">>], sh(R1, "grep ^ID= /etc/os-release")),
    %% its root may write to its overlay, and to no disk
    ?assertEqual([<<"changed">>], sh(R1, "rm /bin/true && echo changed > /bin/true && cat /bin/true")),
    [_ | _] = sh(R1, "dd if=/dev/zero of=/dev/ubda bs=1k count=64 conv=fsync 2>&1"),
    [] = sh(R1, "blockdev --setrw /dev/ubda 2>/dev/null; echo x 2>/dev/null > /dev/ubda"),
    ?assertEqual([<<"whole">>], sh(R2, "/bin/true && echo whole")),
    [ok = evum:stop(R) || R <- [R1, R2]],
    ?assertEqual(Before, sum(Image)).

%% With an image, hostfs shows the jail, which holds no file of the host's that
%% a machine does not need. Without one it shows what the user may read.
nothing_of_the_host(Config) ->
    Secret = in(Config, "secret"),
    ok = file:write_file(Secret, <<"the secret\n">>),
    Look = "mkdir -p /mnt; mount -t hostfs none /mnt; cat /mnt" ++ Secret ++ " 2>&1",
    R1 = machine(Config, #{image => tiny, name => r1}),
    [Line] = sh(R1, Look),
    ?assertNotEqual(nomatch, string:find(Line, "No such file")),
    %% of folders no more than what leads to the kernel and its libraries
    ?assertEqual([], sh(R1, "ls -d /mnt/etc/passwd /mnt/root/.profile /mnt/var/lib/dpkg /mnt/sys 2>/dev/null")),
    ?assertEqual([<<"no">>], sh(R1, "echo x 2>/dev/null > /mnt/x || echo no")),
    %% nor what evum_guest had in its memory, or of its environment
    ?assertEqual([<<"no">>], sh(R1, "cat /mnt/proc/1/environ 2>/dev/null || echo no")),
    ?assertEqual([<<"no">>], sh(R1, "ls /mnt/proc/1/root/ 2>/dev/null || echo no")),
    R2 = machine(Config, #{name => r2}),
    ?assertEqual([<<"the secret">>], sh(R2, Look)),
    ?assertEqual([<<"no">>], sh(R2, "cat /mnt/proc/1/environ 2>/dev/null || echo no")).

as_new_after_a_reboot(Config) ->
    R = machine(Config, #{image => tiny, files => #{"/etc/given" => <<"given\n">>}}),
    ?assertEqual([<<"x">>], sh(R, "echo x > /etc/mine; echo y > /etc/given; cat /etc/mine")),
    {ok, _} = evum:reboot(R),
    _ = evum_test:await_line("BusyBox"),
    ?assertEqual([<<"given">>], sh(R, "cat /etc/mine /etc/given 2>/dev/null")).

erlang_image(Config) ->
    R = machine(Config, #{image => erlang, mem => 256}),
    Ask = "erl -noshell -eval 'io:format(\"~s~n\", [erlang:system_info(otp_release)]), halt().'",
    ?assertEqual([list_to_binary(erlang:system_info(otp_release))], sh(R, Ask)).

verify(Config) ->
    {ok, #{path := Image}} = evum_image:info(debian),
    ?assertEqual(ok, evum_image:verify(debian)),
    ?assert(lists:any(fun(#{name := Name}) -> Name =:= <<"debian">> end, evum_image:list())),
    %% the same with one byte that is another
    Copy = in(Config, "copy"),
    {ok, _} = file:copy(Image, Copy),
    {ok, _} = file:copy(<<Image/binary, ".info">>, Copy ++ ".info"),
    {ok, Fd} = file:open(Copy, [read, write, raw, binary]),
    {ok, <<Byte>>} = file:pread(Fd, 1000000, 1),
    ok = file:pwrite(Fd, 1000000, <<(Byte bxor 1)>>),
    ok = file:close(Fd),
    ?assertEqual({error, {checksum, list_to_binary(Copy)}}, evum_image:verify(Copy)),
    ?assertMatch({error, {no_checksum, _}}, evum_image:verify(tiny)),
    ok = file:delete(Copy).

%%% Files and folders of the host's ------------------------------------------------

shares(Config) ->
    [Ro, Rw, Other] = [in(Config, Name) || Name <- ["read only", "rw", "other"]],
    [ok = file:make_dir(Dir) || Dir <- [Ro, Rw, Other]],
    ok = file:write_file(filename:join(Ro, "f"), <<"text\n">>),
    Secret = filename:join(Other, "secret"),
    ok = file:write_file(Secret, <<"the secret\n">>),
    ok = file:make_symlink("../other/secret", filename:join(Rw, "up")),
    ok = file:make_symlink(Secret, filename:join(Rw, "there")),
    Options = #{image => tiny, share => [{Ro, "/mnt/ro", ro}, {Rw, "/srv/a/rw", rw}]},
    [
        begin
            R = machine(Config, O),
            ?assertEqual([<<"text">>], sh(R, "cat /mnt/ro/f")),
            ?assertEqual([<<"no">>], sh(R, "echo x 2>/dev/null > /mnt/ro/f || echo no")),
            ?assertEqual([<<"no">>], sh(R, "echo x 2>/dev/null > /mnt/ro/new || echo no")),
            ?assertEqual([], sh(R, "echo new > /srv/a/rw/new; mkdir /srv/a/rw/sub")),
            ?assertEqual({ok, <<"new\n">>}, file:read_file(filename:join(Rw, "new"))),
            %% a link leads to what the machine has there
            ?assertEqual([<<"no">>], sh(R, "cat /srv/a/rw/up 2>/dev/null || echo no")),
            maps:get(image, O) =:= host orelse
                ?assertEqual([<<"no">>], sh(R, "cat /srv/a/rw/there 2>/dev/null || echo no")),
            %% and the guest's root gets no further by mounting the jail itself
            Jail = "/mnt/j/dev/shm/evum/share",
            ?assertEqual([], sh(R, "mkdir -p /mnt/j; mount -t hostfs none /mnt/j 2>&1")),
            ?assertEqual([<<"text">>], sh(R, "cat " ++ Jail ++ "0/f")),
            ?assertEqual([<<"no">>], sh(R, "echo x 2>/dev/null > " ++ Jail ++ "0/f || echo no")),
            ?assertEqual([<<"no">>], sh(R, "echo x 2>/dev/null > " ++ Jail ++ "1/../../../../x || echo no")),
            ?assertEqual(
                [<<"no">>],
                sh(R, ["echo x 2>/dev/null > '/mnt/j", Other, "/new' || echo no"])
            ),
            ok = evum:stop(R),
            ?assertEqual({ok, <<"text\n">>}, file:read_file(filename:join(Ro, "f"))),
            ?assertEqual({ok, ["secret"]}, file:list_dir(Other)),
            ok = file:delete(filename:join(Rw, "new")),
            ok = file:del_dir(filename:join(Rw, "sub"))
        end
     || O <- [Options, Options#{image => host}]
    ].

%% One that has gone since it was looked at is told by its name.
share_gone(Config) ->
    process_flag(trap_exit, true),
    [Stays, Goes] = [in(Config, Name) || Name <- ["stays", "goes"]],
    [ok = file:make_dir(Dir) || Dir <- [Stays, Goes]],
    Given = #{image => tiny, switch => none, share => [{Stays, "/a", ro}, {Goes, "/b", rw}]},
    {ok, Machine} = evum_machine:describe(Given),
    {ok, Kernel} = evum_kernel:info(?config(kernel, Config)),
    {ok, Machine1} = evum_machine:with_kernel(Machine, Kernel),
    ok = file:del_dir(Goes),
    {ok, R} = evum_vm:start_link({Machine1, Kernel}),
    ?assertEqual({error, {share, list_to_binary(Goes), enoent}}, evum_vm:await(R)),
    _ = evum_test:await_down(R).

%% They are there before anything runs, with an owner and modes.
files(Config) ->
    Program = in(Config, "a program"),
    ok = file:write_file(Program, <<"#!/bin/sh\necho it runs\nexec sh\n">>),
    ok = file:change_mode(Program, 8#700),
    Big = binary:copy(<<"0123456789abcdef">>, 1 bsl 16),
    R = start(Config, #{
        image => tiny,
        switch => none,
        init => "/opt/my/program",
        files => #{
            "/opt/my/program" => {file, Program},
            "/etc/hosts" => <<"10.0.0.1 r1\n">>,
            <<"/etc/big">> => Big,
            "/etc/empty" => <<>>
        }
    }),
    _ = evum_test:await_line("^it runs"),
    ?assertEqual([<<"10.0.0.1 r1">>], sh(R, "cat /etc/hosts")),
    ?assertEqual(
        [<<"755 0 /opt/my/program">>, <<"644 0 /etc/hosts">>, <<"644 0 /etc/empty">>],
        sh(R, "stat -c '%a %u %n' /opt/my/program /etc/hosts /etc/empty")
    ),
    Sum = string:lowercase(binary:encode_hex(erlang:md5(Big))),
    ?assertEqual([<<Sum/binary, "  /etc/big">>], sh(R, "md5sum /etc/big")),
    ok = evum:stop(R),
    %% where no file can be, the machine ends and says so
    Bad = start(Config, #{image => tiny, switch => none, files => #{"/etc/hosts/x" => <<>>}}),
    ?assertEqual({failed, <<"write /etc/hosts/x: Not a directory">>}, ended(Bad)).

%% The file of a disk keeps what is written, for one machine at a time.
disk(Config) ->
    Disk = in(Config, "my disk"),
    Options = #{image => tiny, disk => {file, Disk, 16}},
    R1 = machine(Config, Options),
    ?assertEqual([<<"kept">>], sh(R1, "echo kept > /etc/kept; sync; cat /etc/kept")),
    ?assertEqual(
        {error, {disk, list_to_binary(Disk), ebusy}},
        evum:start(Options#{switch => none, kernel => ?config(kernel, Config)})
    ),
    ok = evum:stop(R1),
    R2 = machine(Config, Options),
    ?assertEqual([<<"kept">>], sh(R2, "cat /etc/kept")),
    %% what the guest makes of its disk is no file of UML's own format
    ?assertEqual([], sh(R2, "printf 'MOOO\\0\\0\\0\\3/etc/passwd' > /dev/ubdb; sync")),
    ok = evum:stop(R2),
    %% sparse
    Used = string:trim(os:cmd("du -m '" ++ Disk ++ "' | cut -f 1")),
    ?assert(list_to_integer(Used) < 16).

%% Nothing has called sync: what was there before the end is on the disk before
%% anybody is waited for, and what was written at the end before the power is off.
shut_down(Config) ->
    Daemon = <<
        "trap 'echo late > /etc/late; echo asked > /dev/console; exec sleep 1000' TERM\n"
        "echo > /run/up\n"
        "while :; do sleep 0.1; done\n"
    >>,
    Options = #{image => tiny, disk => {file, in(Config, "disk"), 16}, files => #{"/etc/daemon" => Daemon}},
    Writing = fun(Text) ->
        R = machine(Config, Options),
        [] = sh(R, ["rm -f /run/up; echo ", Text, " > /etc/text"]),
        [] = sh(R, "(setsid sh /etc/daemon &); until [ -e /run/up ]; do sleep 0.1; done"),
        R
    end,
    ok = evum:shutdown(Writing("first"), 60000),
    R = machine(Config, Options),
    ?assertEqual([<<"first">>, <<"late">>], sh(R, "cat /etc/text /etc/late")),
    ok = evum:stop(R),
    evum_test:drain(),
    Cut = Writing("second"),
    Self = self(),
    _ = spawn_link(fun() -> Self ! {ended, evum:shutdown(Cut, 60000)} end),
    _ = evum_test:await_line("asked$"),
    ok = evum:stop(Cut),
    receive {ended, Answer} -> ?assertEqual(ok, Answer) end,
    ?assertEqual([<<"second">>], sh(machine(Config, Options), "cat /etc/text")).

bad_disks(Config) ->
    Text = in(Config, "text"),
    ok = file:write_file(Text, binary:copy(<<"text">>, 4 bsl 20)),
    Good = in(Config, "good"),
    {ok, M} = evum_machine:describe(#{disk => {file, Good, 16}}),
    ok = evum_disk:ensure(M),
    [
        ?assertEqual(
            {error, {bad_option, disk, {file, list_to_binary(Path), Size}}},
            evum:start(#{switch => none, image => tiny, disk => {file, Path, Size}})
        )
     || {Path, Size} <- [{Text, 16}, {Good, 32}]
    ],
    ?assertMatch(
        {error, {disk, _, _}},
        evum:start(#{switch => none, image => tiny, disk => {file, "/proc/evum", 16}})
    ),
    ?assertEqual({ok, ["good", "text"]}, sorted(file:list_dir(?config(dir, Config)))).

sorted({ok, List}) -> {ok, lists:sort(List)}.

%%% Images of the user's ------------------------------------------------------------

folder(Config) ->
    Root = root(Config),
    R = machine(Config, #{image => Root}),
    ?assertEqual([<<"this is the image">>], sh(R, "cat /mark; echo x > /mark")),
    ok = evum:stop(R),
    ?assertEqual({ok, <<"this is the image\n">>}, file:read_file(filename:join(Root, "mark"))).

ext4(Config) ->
    Image = in(Config, "image.ext4"),
    {ok, _} = evum_command:run("mke2fs", ["-q", "-t", "ext4", "-d", root(Config), Image, "8M"], #{}),
    Before = sum(Image),
    R = machine(Config, #{image => Image}),
    ?assertEqual([<<"this is the image">>], sh(R, "cat /mark; echo x > /mark; echo x > /dev/ubda 2>/dev/null")),
    ok = evum:stop(R),
    ?assertEqual(Before, sum(Image)).

%% What cannot be a machine's root says why, by name.
unusable(Config) ->
    Root = root(Config),
    Kernel = ?config(kernel, Config),
    Why = fun(Options) ->
        ended(start(Config, maps:merge(#{switch => none, image => Root, kernel => Kernel}, Options)))
    end,
    ?assertMatch({failed, <<"start /sbin/init: ", _/binary>>}, Why(#{init => "/sbin/init"})),
    ok = file:delete(filename:join(Root, "bin/sh")),
    ok = file:write_file(filename:join(Root, "bin/sh"), <<127, "ELF", 2, 1, 0:80, 2:16/little, 183:16/little, 0:512>>),
    ok = file:change_mode(filename:join(Root, "bin/sh"), 8#755),
    ?assertMatch({failed, <<"start, built for aarch64, /bin/sh", _/binary>>}, Why(#{})),
    ok = file:delete(filename:join(Root, "bin/sh")),
    ?assertMatch({failed, <<"start /bin/bash: ", _/binary>>}, Why(#{})),
    %% a superblock, and nothing of what it promises
    Rotten = in(Config, "rotten"),
    Super = <<"hsqs", 0:128, 6:16/little, 0:48, 4:16/little, 0:80, 4096:64/little>>,
    ok = file:write_file(Rotten, [Super, <<0:((8192 - byte_size(Super)) * 8)>>]),
    ?assertMatch({failed, <<"squashfs /dev/ubda", _/binary>>}, Why(#{image => Rotten})),
    Cut = in(Config, "cut"),
    ok = file:write_file(Cut, Super),
    ?assertEqual({error, {bad_option, image, Cut}}, evum:start(#{image => Cut})),
    ?assertMatch({error, {truncated, _, 48, 4096}}, evum_image:info(Cut ++ "")).

ended(R) ->
    evum_test:await_down(R).

%%% Import ---------------------------------------------------------------------------

%% As `docker export' has it.
import_root(Config) ->
    [{_, Kernel} | _] = evum_test:kernels(),
    Tar = in(Config, "root.tar"),
    [] = os:cmd("tar -C '" ++ root(Config) ++ "' --owner=0 --group=0 -cf '" ++ Tar ++ "' . 2>&1"),
    ?assertMatch({ok, #{name := <<"mine">>, type := squashfs}}, evum_image:import(Tar, mine)),
    ?assertEqual(ok, evum_image:verify(mine)),
    R = machine([{kernel, Kernel} | Config], #{image => mine}),
    ?assertEqual([<<"this is the image">>, <<"uid=0 gid=0">>], sh(R, "cat /mark; id")),
    ok = evum:stop(R),
    ?assertEqual([], filelib:wildcard(os:getenv("XDG_DATA_HOME") ++ "/evum/images/*.import")).

%% As `docker save' has it: a layer that is packed, and one that takes away.
import_layers(Config) ->
    [{_, Kernel} | _] = evum_test:kernels(),
    {ok, Busybox} = file:read_file(filename:join([code:priv_dir(evum), "applets", "busybox"])),
    Entry = fun evum_tar_tests:entry/3,
    File = fun(Name) -> Entry(Name, file, <<>>) end,
    Base = evum_tar_tests:archive([
        {Entry(<<"bin">>, directory, <<>>), <<>>},
        {File(<<"bin/busybox">>), Busybox},
        {Entry(<<"bin/sh">>, hard, <<"bin/busybox">>), <<>>},
        {Entry(<<"bin/cat">>, symlink, <<"/bin/busybox">>), <<>>},
        {Entry(<<"bin/ls">>, symlink, <<"busybox">>), <<>>},
        {File(<<"gone">>), <<"1">>},
        {File(<<"changed">>), <<"old\n">>}
    ]),
    Top = evum_tar_tests:archive([
        {File(<<".wh.gone">>), <<>>},
        {File(<<"changed">>), <<"new\n">>}
    ]),
    Manifest = <<"[{\"Config\":\"c.json\",\"RepoTags\":[\"x:1\"],\"Layers\":[\"a/layer.tar\",\"b/layer.tar\"]}]">>,
    Docker = in(Config, "docker.tar"),
    ok = file:write_file(
        Docker,
        evum_tar_tests:archive([
            {File(<<"a/layer.tar">>), zlib:gzip(Base)},
            {File(<<"b/layer.tar">>), Top},
            {File(<<"manifest.json">>), Manifest}
        ])
    ),
    Oci = in(Config, "oci.tar"),
    Manifests = fun(Extra) ->
        ["{\"manifests\":[", Extra, "{\"digest\":\"sha256:m\",\"platform\":{\"architecture\":\"amd64\"}}]}"]
    end,
    ok = file:write_file(
        Oci,
        evum_tar_tests:archive([
            {File(<<"oci-layout">>), <<"{}">>},
            {File(<<"blobs/sha256/m">>), <<"{\"layers\":[{\"digest\":\"sha256:a\"},{\"digest\":\"sha256:b\"}]}">>},
            {File(<<"blobs/sha256/a">>), Base},
            {File(<<"blobs/sha256/b">>), zlib:gzip(Top)},
            {File(<<"index.json">>),
                iolist_to_binary(Manifests("{\"digest\":\"sha256:x\",\"platform\":{\"architecture\":\"arm64\"}},"))}
        ])
    ),
    [
        begin
            ?assertMatch({ok, _}, evum_image:import(Tar, layers)),
            R = machine([{kernel, Kernel} | Config], #{image => layers}),
            ?assertEqual([<<"new">>], sh(R, "cat /changed")),
            ?assertEqual([], sh(R, "ls /gone 2>/dev/null")),
            ok = evum:stop(R)
        end
     || Tar <- [Docker, Oci]
    ].

import_hostile(Config) ->
    Tar = in(Config, "bad.tar"),
    Entry = fun evum_tar_tests:entry/3,
    Shell = {Entry(<<"bin/sh">>, file, <<>>), <<"#!/bin/x\n">>},
    Arm = <<127, "ELF", 2, 1, 0:80, 2:16/little, 183:16/little>>,
    Archive = fun(Items) -> evum_tar_tests:archive(Items) end,
    Import = fun(Bytes) ->
        ok = file:write_file(Tar, Bytes),
        evum_image:import(Tar, hostile)
    end,
    Outside = iolist_to_binary([lists:duplicate(20, "../"), ?config(dir, Config), "/escaped"]),
    [
        ?assertEqual({error, Why}, Import(Bytes))
     || {Why, Bytes} <- [
            {{unsafe, Outside}, Archive([Shell, {Entry(Outside, file, <<>>), <<"x">>}])},
            {{unsafe, <<"l/f">>},
                Archive([Shell, {Entry(<<"l">>, symlink, <<"/etc">>), <<>>}, {Entry(<<"l/f">>, file, <<>>), <<"x">>}])},
            {{unsafe, <<"../x">>}, Archive([Shell, {Entry(<<"h">>, hard, <<"../x">>), <<>>}])},
            {{no_init, ["bin/bash", "bin/sh"]}, Archive([{Entry(<<"etc">>, directory, <<>>), <<>>}])},
            {{no_init, ["bin/bash", "bin/sh"]}, Archive([{Entry(<<"bin/sh">>, symlink, <<"sh">>), <<>>}])},
            {{architecture, "bin/sh", 183}, Archive([{Entry(<<"bin/sh">>, file, <<>>), Arm}])},
            {{malformed, 512}, binary:part(Archive([Shell]), 0, 515)},
            {{malformed, 0}, binary:copy(<<"junk">>, 1000)},
            {{compression, <<"gzip">>}, binary:part(zlib:gzip(Archive([Shell])), 0, 60)},
            {{compression, <<"zstd">>}, <<16#fd2fb528:32/little, 0:800>>},
            {{not_one_image, 2}, Archive([{Entry(<<"manifest.json">>, file, <<>>), <<"[{}, {}]">>}])},
            {{no_layer, <<"a">>}, Archive([{Entry(<<"manifest.json">>, file, <<>>), <<"[{\"Layers\":[\"a\"]}]">>}])},
            {{no_layer, <<"a/b">>},
                Archive([
                    {Entry(<<"manifest.json">>, file, <<>>), <<"[{\"Layers\":[\"a/b\"]}]">>},
                    {Entry(<<"a/b">>, symlink, <<"..">>), <<>>}
                ])},
            %% an index that names itself
            {{not_one_image, 0},
                Archive([
                    {Entry(<<"oci-layout">>, file, <<>>), <<"{}">>},
                    {Entry(<<"index.json">>, file, <<>>), <<"{\"manifests\":[{\"digest\":\"sha256:m\"}]}">>},
                    {Entry(<<"blobs/sha256/m">>, file, <<>>), <<"{\"manifests\":[{\"digest\":\"sha256:m\"}]}">>}
                ])}
        ]
    ],
    [?assertMatch({error, _}, Import(rand:bytes(rand:uniform(5000)))) || _ <- lists:seq(1, 50)],
    ?assertEqual({error, {list_to_binary(in(Config, "none")), enoent}}, evum_image:import(in(Config, "none"), x)),
    ?assertEqual({error, {bad_name, "../x"}}, evum_image:import(Tar, "../x")),
    ?assertEqual({error, {bad_name, debian}}, evum_image:import(Tar, debian)),
    ?assertEqual({error, {<<"/caf", 233>>, enoent}}, evum_image:import(<<"/caf", 233>>, x)),
    %% names that are no UTF-8 are names, and nothing is left of the others
    Latin1 = [{Entry(binary:copy(<<"caf", 233>>, N), file, <<>>), <<"x">>} || N <- [1, 50]],
    ?assertMatch({ok, _}, Import(Archive([Shell | Latin1]))),
    ?assertNot(filelib:is_file(in(Config, "escaped"))),
    ?assertEqual(
        ["hostile.squashfs", "hostile.squashfs.info"],
        lists:sort([
            F
         || F <- filelib:wildcard("*", filename:join(os:getenv("XDG_DATA_HOME"), "evum/images")),
            string:prefix(F, "hostile") =/= nomatch
        ])
    ).

%%% Services ----------------------------------------------------------------------------

services(Config) ->
    R = machine(Config, #{image => debian, mem => 256}),
    Names = ["ssh", "nginx", "named", "bind9", "frr", "openvswitch-switch", "dnsmasq"],
    [
        begin
            ?assertEqual({Name, <<"active">>}, {Name, state(R, ["systemctl start ", Name], Name)}),
            ?assertEqual({Name, <<"inactive">>}, {Name, state(R, ["systemctl stop ", Name], Name)})
        end
     || Name <- Names
    ],
    ?assertEqual(<<"active">>, state(R, "service apache2 start; service apache2 restart", "apache2")),
    ?assertEqual([<<"0">>], sh(R, "service apache2 status > /tmp/out 2>&1; echo $?")),
    ?assertEqual([<<"200">>], sh(R, "curl -s -o /tmp/out -w '%{http_code}\\n' http://127.0.0.1/")),
    [] = sh(R, "printf 'interface lo { AdvSendAdvert on; };\\n' > /etc/radvd.conf"),
    ?assertMatch([_ | _], sh(R, "systemctl status radvd")),
    ?assertEqual([<<"5">>], sh(R, "systemctl start moon 2>/dev/null; echo $?")).

%% After a command; what daemons say to the console meanwhile is not looked at.
state(R, Command, Name) ->
    _ = sh(R, [Command, " > /tmp/out 2>&1"]),
    lists:last(sh(R, ["systemctl is-active ", Name])).

%% What labs of some years ago have: Quagga's places and defaults, options of BIND's
%% that are gone, start scripts called by themselves.
old_names(Config) ->
    R = machine(Config, #{
        image => debian,
        mem => 128,
        files => #{
            "/etc/quagga/daemons" => <<"zebra=yes\nbgpd=yes\n">>,
            "/etc/zebra/zebra.conf" => <<"log file /var/log/quagga/zebra.log\nip route 10.9.0.0/16 blackhole\n">>,
            "/etc/quagga/bgpd.conf" =>
                <<"router bgp 1\n neighbor 127.0.0.2 remote-as 2\n network 10.8.0.0/16\nlog file /var/log/zebra/bgpd.log\n">>,
            "/etc/bind/named.conf" => <<"options {\n\tdirectory \"/var/cache/bind\";\n\tdnssec-enable no;\n};\n">>
        }
    }),
    ?assertEqual(<<"active">>, said_state(R, "systemctl start quagga", "quagga")),
    {ok, 0, Running} = evum:cmd(R, ["vtysh", "-c", "show running-config"]),
    ?assertMatch({_, _}, binary:match(Running, <<"no bgp ebgp-requires-policy">>)),
    ?assertMatch({_, _}, binary:match(Running, <<"no bgp network import-check">>)),
    %% staticd gets its routes although there is a file of its own.
    Blackhole = "i=0; until ip route | grep '^blackhole 10.9.0.0/16' || [ $i = 300 ]; do sleep 0.1; i=$((i+1)); done",
    ?assertMatch(<<"blackhole", _/binary>>, said(R, Blackhole)),
    ?assertEqual(<<"0">>, said(R, "test -e /var/log/frr/bgpd.log && test -s /var/log/frr/zebra.log; echo $?")),
    %% In the file that bgpd has read, once for all starts
    ?assertEqual(<<"0">>, said(R, "vtysh -c write >/dev/null; /etc/init.d/zebra restart >/dev/null 2>&1; echo $?")),
    ?assertEqual(<<"1">>, said(R, "grep -c '^frr version' /etc/zebra/bgpd.conf")),
    ?assertEqual(<<"1">>, said(R, "ls /etc/frr | grep -c '^bgpd.conf$'")),
    ?assertEqual(<<"inactive">>, said_state(R, "service quagga stop", "frr")),
    %% By itself, and without what systemctl does before it
    ?assertEqual(<<"0">>, said(R, "rm -rf /run/frr; /etc/init.d/frr start >/dev/null 2>&1; echo $?")),
    ?assertEqual(<<"active">>, said_state(R, "true", "frr")),
    ?assertEqual(<<"active">>, said_state(R, "/etc/init.d/bind9 start", "named")),
    ?assertEqual(<<"0">>, said(R, "grep -q '^// .*dnssec-enable' /etc/bind/named.conf; echo $?")),
    ?assertEqual(<<"0">>, said(R, "ps aux | grep -q '[b]gpd'; echo $?")),
    ?assertEqual(<<"0">>, said(R, "python3 -c 'import http.server, scapy'; echo $?")).

%% Apart from the console, on which daemons speak.
said(R, Command) ->
    {ok, _, Said} = evum:cmd(R, Command, #{timeout => 60000}),
    string:trim(Said).

said_state(R, Command, Name) ->
    said(R, Command ++ " >/dev/null 2>&1; systemctl is-active " ++ Name).

enabled_service(Config) ->
    R = machine(Config, #{
        image => debian, mem => 128, files => #{"/var/lib/evum/enabled/dnsmasq" => <<>>}
    }),
    ?assertEqual([<<"enabled">>], sh(R, "systemctl is-enabled dnsmasq")),
    Wait = "i=0; until systemctl -q is-active dnsmasq || [ $i = 300 ]; do sleep 0.1; i=$((i+1)); done",
    ?assertEqual([<<"active">>], sh(R, Wait ++ "; systemctl is-active dnsmasq")).
