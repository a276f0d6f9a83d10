%% SPDX-License-Identifier: Apache-2.0
%% @doc What `evum_guest' is told to start a machine (pure): the kernel's command
%% line, what `evum_init' is told, and which of the host's files are there for
%% them; and what its answer means where it could not.
-module(evum_machine_start).

-export([request/2, failure/4]).

-export_type([failure/0]).

-define(JAIL, "/dev/shm/evum").
%% What the jail's tmpfs holds beside the machine's memory, bytes.
-define(ROOM_BESIDE, (4 bsl 20)).
%% The platform device of the first interface's card; those of other virtio
%% devices count from 0.
-define(CARD_ID, 100).
%% HANDOVER_FD of c_src/guest/handover.h.
-define(HANDOVER_FD, 6).
%% linux/virtio_ids.h
-define(VIRTIO_ID_CONSOLE, "3").

-type failure() ::
    {kernel | disk | image | share, Path :: file:filename_all(), Posix :: atom()}
    | {namespaces, Posix :: atom(), Hint :: string()}
    | {Step :: atom(), Posix :: atom()}.

%% @doc The request, as `doc/port-protocol.md' has it. By now the switches of
%% the machine's interfaces are paths of control sockets, and its `cpu' is a list,
%% empty for all. Paths of the host go through links in the jail's folder, so none
%% of them has to survive the kernel's command line, which splits at blanks and
%% commas.
-spec request(evum_machine:machine(), evum_kernel:kernel()) -> [{atom(), term()}].
request(#{mem := Mem, interfaces := Interfaces} = Machine, Kernel) ->
    %% Also as the first argument: UML executes that again to reboot.
    Path = unicode:characters_to_binary(filename:absname(maps:get(path, Kernel))),
    Files = files(Machine),
    [
        {kernel, Path},
        {argv, [Path | arguments(Machine, Kernel)]},
        {config, config(Machine, Kernel)},
        {links, links(Machine, Kernel)},
        {shares, shares(Machine)},
        {closed, is_closed(Machine)},
        {shown, [unicode:characters_to_binary(P) || P <- [Path | maps:get(libraries, Kernel)]]},
        {room, (Mem bsl 20) + ?ROOM_BESIDE + byte_size(Files)},
        {cpus, list_to_tuple(maps:get(cpu, Machine))},
        %% The data sockets of `daemon' have abstract addresses, which belong
        %% to a network namespace.
        {net, Interfaces =/= [] andalso maps:get(transport, Machine) =:= daemon}
    ] ++
        [{sockets, [switch_socket(Interface, fd) || Interface <- Interfaces]} || #{transport := fd} <- [Machine]] ++
        [{files, Files} || Files =/= <<>>] ++
        [{disk, Disk} || #{disk := {file, Disk, _}} <- [Machine]].

%% With an image of its own, a machine has no business with the host's files.
is_closed(#{image := #{type := Type}}) -> Type =/= host.

shares(#{share := Shares}) ->
    [
        {<<"share", (integer_to_binary(N))/binary>>, HostDir, Mode =:= rw}
     || {N, {HostDir, _, Mode}} <- lists:zip(lists:seq(0, length(Shares) - 1), Shares)
    ].

%% @doc Why there is no machine, by the step that failed.
-spec failure(atom(), atom(), evum_machine:machine(), evum_kernel:kernel()) -> failure().
failure(exec, Errno, _Machine, #{path := Path}) ->
    {kernel, Path, Errno};
%% What the host denies to all who are not root, on some distributions.
failure(namespaces, Errno, _Machine, _Kernel) ->
    {namespaces, Errno, "user namespaces: see doc/guide.md, Trouble"};
failure(disk, Errno, #{disk := {file, Path, _}}, _Kernel) ->
    {disk, Path, Errno};
failure(image, Errno, #{image := #{path := Path}}, _Kernel) ->
    {image, Path, Errno};
failure(Step, Errno, Machine, _Kernel) ->
    case lists:keyfind(atom_to_binary(Step), 1, shares(Machine)) of
        {_, HostDir, _} -> {share, HostDir, Errno};
        false -> {Step, Errno}
    end.

%% c_src/init/files.c draws it.
files(#{files := Files}) ->
    <<
        <<(byte_size(Path) + 1):32, Mode:32, (byte_size(Bytes)):32, Path/binary, 0, Bytes/binary>>
     || {Path, Mode, Bytes} <- Files
    >>.

arguments(#{mem := Mem, verbose := Verbose, transport := Transport} = Machine, Kernel) ->
    [
        <<"mem=", (integer_to_binary(Mem))/binary, "M">>,
        <<"initrd=", ?JAIL, "/initrd">>,
        <<"uml_dir=", ?JAIL>>,
        <<"umid=vm">>,
        <<"mconsole=notify:", ?JAIL, "/notify">>,
        <<"con=null">>,
        <<"con0=fd:0,fd:1">>,
        <<"ssl=null">>
    ] ++
        [<<"quiet">> || not Verbose] ++
        [
            <<"lpj=", (integer_to_binary(Lpj))/binary>>
         || #{lpj := {ok, Lpj}} <- [Kernel]
        ] ++
        isolation(Machine, Kernel) ++
        %% d: data, whatever it looks like; a guest could write a header of UML's
        %% copy-on-write format, which names another file of the host's.
        [<<"ubd0rd=", ?JAIL, "/image">> || is_file(Machine)] ++
        [<<"ubd1d=", ?JAIL, "/disk">> || #{disk := {file, _, _}} <- [Machine]] ++
        [
            <<"virtio_uml.device=", ?JAIL, "/serial:", ?VIRTIO_ID_CONSOLE>>
         || evum_kernel:has_serial(Kernel)
        ] ++
        [<<"ncpus=", (integer_to_binary(N))/binary>> || #{cpus := N} <- [Machine], N > 1] ++
        [device(Transport, N, Mac) || {N, #{mac := Mac}} <- numbered(Machine)].

%% arch/um/os-Linux/start_up.c, from 6.16 on; other kernels know ptrace alone.
isolation(#{isolation := Isolation}, Kernel) ->
    case evum_kernel:has_seccomp_mode(Kernel) of
        true when Isolation =:= fast -> [<<"seccomp=auto">>];
        true -> [<<"seccomp=off">>];
        false -> []
    end.

numbered(#{interfaces := Interfaces}) ->
    lists:enumerate(0, Interfaces).

%% arch/um/drivers/virtio_uml.c, vu_cmdline_set_device() (1 is the device id of a
%% network card), arch/um/drivers/daemon_kern.c, daemon_setup() (up to Linux 6.15),
%% and Documentation/virt/uml/user_mode_linux_howto_v2.rst, BESS socket transport
%% and file descriptor transport.
device(vhost, N, _Mac) ->
    iolist_to_binary(["virtio_uml.device=", ?JAIL, $/, socket(N), ":1:", integer_to_list(?CARD_ID + N)]);
device(daemon, N, Mac) ->
    iolist_to_binary([born(daemon, N), "=daemon,", format(Mac), ",unix,", ?JAIL, $/, socket(N)]);
device(bess, N, Mac) ->
    Where = [":transport=bess,dst=", ?JAIL, $/, socket(N)],
    iolist_to_binary([born(bess, N), Where, ",mac=", format(Mac)]);
device(fd, N, Mac) ->
    Which = [":transport=fd,fd=", integer_to_list(?HANDOVER_FD + N)],
    iolist_to_binary([born(fd, N), Which, ",mac=", format(Mac)]).

%% How the guest's kernel calls it, for evum_init to find it.
born(vhost, N) -> ["virtio-uml.", integer_to_list(?CARD_ID + N)];
born(daemon, N) -> ["eth", integer_to_list(N)];
born(Vector, N) when Vector =:= bess; Vector =:= fd -> ["vec", integer_to_list(N)].

socket(N) ->
    <<"net", (integer_to_binary(N))/binary>>.

%% An image that is a disk of the machine's.
is_file(#{image := #{type := Type}}) -> Type =:= squashfs orelse Type =:= ext4.

%% Among others what interfaces are to be called, and their addresses: for a
%% virtio card the kernel's command line has no place.
config(#{transport := Transport} = Machine, Kernel) ->
    #{init := Init, disk := Disk, files := Files, share := Shares} = Machine,
    Pairs =
        [[<<"hostname=">>, Name] || Name <- host_name_of(Machine)] ++
            [<<"agent=true">> || evum_kernel:has_serial(Kernel)] ++
            [
                [<<"interface=">>, born(Transport, N), $,, Interface, $,, format(Mac)]
             || {N, #{name := Interface, mac := Mac}} <- numbered(Machine)
            ] ++
            [[<<"image=">>, atom_to_binary(Type)] || #{image := #{type := Type}} <- [Machine], Type =/= host] ++
            [[<<"room=">>, integer_to_binary(Size bsl 20)] || {tmpfs, Size} <- [Disk], Size =/= half] ++
            [<<"disk=">> || {file, _, _} <- [Disk]] ++
            [<<"files=">> || Files =/= []] ++
            [[<<"share=">>, atom_to_binary(Mode), $:, Dir] || {_, Dir, Mode} <- Shares] ++
            init(Init),
    iolist_to_binary([[Pair, 0] || Pair <- Pairs]).

init(default) -> [<<"init=/bin/bash">>, <<"instead=/bin/sh">>];
init(Argv) -> [[<<"init=">>, Arg] || Arg <- Argv].

host_name_of(#{hostname := none, name := none}) -> [];
host_name_of(#{hostname := none, name := Name}) -> host_name_of(#{hostname => Name});
host_name_of(#{hostname := Name}) when is_atom(Name) -> [atom_to_binary(Name)];
host_name_of(#{hostname := Name}) -> [Name].

links(#{image := Image, transport := Transport} = Machine, #{modules := Modules}) ->
    image_links(Image, Machine) ++
        [{<<"applets">>, priv("applets")} || filelib:is_dir(priv("applets"))] ++
        [{<<"modules">>, unicode:characters_to_binary(Modules)} || Modules =/= none] ++
        [
            {socket(N), switch_socket(Interface, Transport)}
         || {N, Interface} <- numbered(Machine), Transport =/= fd
        ].

switch_socket(#{switch := Path}, Transport) ->
    <<Path/binary, (suffix(Transport))/binary>>.

%% Behind the path of a control socket, see evum_ctl.
suffix(daemon) -> <<>>;
suffix(bess) -> <<".bess">>;
suffix(fd) -> <<".fd">>;
suffix(vhost) -> <<".vhost">>.

image_links(#{type := tiny, path := Path}, _Machine) ->
    [{<<"initrd">>, Path}];
image_links(Image, Machine) ->
    [{<<"initrd">>, priv("initramfs.cpio")}] ++
        case Image of
            #{type := host} -> [{<<"root">>, maps:get(root, Machine)}];
            #{type := folder, path := Path} -> [{<<"root">>, Path}];
            #{path := Path} -> [{<<"image">>, Path}]
        end.

priv(Name) ->
    unicode:characters_to_binary(filename:absname(evum_port:find_program(Name))).

format(<<Mac:48>>) ->
    evum_mac:format(Mac).
