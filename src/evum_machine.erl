%% SPDX-License-Identifier: Apache-2.0
%% @doc The description of a machine: options, validated whole before anything
%% is started, and what follows from them for the kernel's command line.
%%
%% <table>
%% <tr><td>`name'</td><td>a name for the machine, an atom, string or binary;
%%   also its host name. Default: none</td></tr>
%% <tr><td>`owner'</td><td>the local process that gets the console's lines.
%%   Default: the caller</td></tr>
%% <tr><td>`mem'</td><td>memory in MiB, or a string such as `"64M"'.
%%   Default: 64</td></tr>
%% <tr><td>`kernel'</td><td>path of a UML kernel, or `default', see
%%   {@link evum_kernel}</td></tr>
%% <tr><td>`root'</td><td>folder of the host that is the machine's root, read
%%   only under an overlay in its memory. Default: `"/"'</td></tr>
%% <tr><td>`init'</td><td>the program on the console, a path, or a list of
%%   path and arguments. Default: `"/bin/bash"'</td></tr>
%% <tr><td>`mac'</td><td>address of `eth0', `"02:00:00:00:00:01"' or six
%%   bytes. Default: a random, locally administered one</td></tr>
%% <tr><td>`switch'</td><td>where `eth0' leads: `default' (started when none
%%   runs), a switch, a control server, the path of a control socket, or
%%   `none'</td></tr>
%% <tr><td>`cpu'</td><td>the host's CPUs that the machine runs on: `auto', one,
%%   the least used; `any'; a number; or a list. Default: `auto'</td></tr>
%% <tr><td>`cpus'</td><td>how many CPUs the machine has. More than one need a
%%   kernel with SMP (`make kernel-smp'). Default: 1</td></tr>
%% <tr><td>`isolation'</td><td>`fast': programs in the machine may read and write
%%   all of its memory, where the kernel has seccomp mode; `strict': they may not.
%%   Default: `fast'</td></tr>
%% <tr><td>`transport'</td><td>`auto', `daemon' or `bess'. Default:
%%   `auto'</td></tr>
%% <tr><td>`verbose'</td><td>whether boot messages are shown. Default:
%%   `true'</td></tr>
%% </table>
%%
%% The seed's property lists are taken too: `net', `{net, Boolean}',
%% `{rootflags, Folder}', `{rootfstype, "hostfs"}', `write'.
-module(evum_machine).

-export([describe/1, defaults/0, with_kernel/2, start_request/3]).

-export_type([options/0, machine/0, error/0]).

-define(JAIL, "/dev/shm/evum").
%% What the jail's tmpfs holds beside the machine's memory, bytes.
-define(ROOM_BESIDE, (4 bsl 20)).
%% INIT_ARGS_MAX of c_src/init/init.h.
-define(INIT_ARGS_MAX, 64).
%% CONFIG_NR_CPUS of kernel/smp.config.
-define(CPUS_MAX, 64).
%% UML's own memory is above that, MiB.
-define(MEM_MIN, 8).

-type options() :: #{atom() => term()} | [atom() | {atom(), term()}].
-type machine() :: #{
    name := none | atom() | binary(),
    owner := pid(),
    mem := pos_integer(),
    kernel := default | file:filename(),
    root := binary(),
    init := [binary(), ...],
    mac := random | <<_:48>>,
    switch := default | none | pid() | binary(),
    transport := auto | daemon | bess,
    cpu := evum_cpus:choice(),
    cpus := pos_integer(),
    isolation := fast | strict,
    verbose := boolean()
}.
-type error() :: {bad_option, Key :: term(), Value :: term()}.

%% @doc The options of a machine that none are given for. The application
%% environment of evum overrides them, and a call's options override both.
-spec defaults() -> #{atom() => term()}.
defaults() ->
    Builtin = #{
        name => none,
        mem => 64,
        kernel => default,
        root => "/",
        init => "/bin/bash",
        mac => random,
        switch => default,
        transport => auto,
        cpu => auto,
        cpus => 1,
        isolation => fast,
        verbose => true
    },
    maps:map(fun(Key, Value) -> application:get_env(evum, Key, Value) end, Builtin).

%% @doc Validate options. The first bad one is named, with its value.
-spec describe(options()) -> {ok, machine()} | {error, error()}.
describe(Options) ->
    try
        Given = maps:merge(maps:put(owner, self(), defaults()), to_map(Options)),
        {ok, maps:map(fun option/2, Given)}
    catch
        throw:{bad_option, _, _} = Error -> {error, Error}
    end.

to_map(Options) when is_map(Options) -> Options;
to_map(Options) when is_list(Options) -> seed(Options, #{});
to_map(Options) -> throw({bad_option, options, Options}).

%% The seed's property lists; the first of a key counts, as in proplists.
seed([], Map) -> Map;
seed([{rootflags, Folder} | Rest], Map) -> seed(Rest, Map#{root => Folder});
seed([{root, "/dev/root"} | Rest], Map) -> seed(Rest, Map);
seed([{rootfstype, "hostfs"} | Rest], Map) -> seed(Rest, Map);
seed([write | Rest], Map) -> seed(Rest, Map);
seed([net | Rest], Map) -> seed(Rest, Map);
seed([{net, true} | Rest], Map) -> seed(Rest, Map);
seed([{net, false} | Rest], Map) -> seed(Rest, Map#{switch => none});
seed([{Key, Value} | Rest], Map) -> seed(Rest, maps:merge(#{Key => Value}, Map));
seed([Key | Rest], Map) when is_atom(Key) -> seed(Rest, maps:merge(#{Key => true}, Map));
seed(Other, _Map) -> throw({bad_option, options, Other}).

option(name, none) -> none;
option(name, Name) when is_atom(Name) -> host_name(Name, atom_to_binary(Name), Name);
option(name, Name) ->
    Text = text(name, Name),
    host_name(Name, Text, Text);
option(owner, Pid) when is_pid(Pid), node(Pid) =:= node() -> Pid;
option(mem, Mem) -> mem(Mem, Mem);
option(kernel, default) -> default;
option(kernel, Path) -> unicode:characters_to_list(text(kernel, Path));
option(root, Folder) -> folder(Folder);
option(init, [First | Args] = Argv) when not is_integer(First) ->
    length(Argv) =< ?INIT_ARGS_MAX orelse throw({bad_option, init, Argv}),
    [text(init, First, Argv) | [argument(Arg, Argv) || Arg <- Args]];
option(init, Path) -> [text(init, Path)];
option(mac, random) -> random;
option(mac, Mac) -> mac(Mac);
option(switch, Switch) when Switch =:= default; Switch =:= none; is_pid(Switch) -> Switch;
option(switch, Path) -> text(switch, Path);
option(transport, Value) when Value =:= auto; Value =:= daemon; Value =:= bess -> Value;
option(cpu, Value) when Value =:= auto; Value =:= any -> Value;
option(cpu, Value) -> cpu(Value);
option(cpus, N) when is_integer(N), N >= 1, N =< ?CPUS_MAX -> N;
option(isolation, Value) when Value =:= fast; Value =:= strict -> Value;
option(verbose, Value) when is_boolean(Value) -> Value;
option(Key, Value) -> throw({bad_option, Key, Value}).

argument(Empty, _Argv) when Empty =:= ""; Empty =:= <<>> -> <<>>;
argument(Arg, Argv) -> text(init, Arg, Argv).

text(Key, Value) ->
    text(Key, Value, Value).

%% A string or binary that is not empty and holds no NUL, as UTF-8.
text(Key, Value, Given) when is_list(Value); is_binary(Value) ->
    try unicode:characters_to_binary(Value) of
        Text when is_binary(Text), Text =/= <<>> ->
            case binary:match(Text, <<0>>) of
                nomatch -> Text;
                _ -> throw({bad_option, Key, Given})
            end;
        _ ->
            throw({bad_option, Key, Given})
    catch
        error:badarg -> throw({bad_option, Key, Given})
    end;
text(Key, _Value, Given) ->
    throw({bad_option, Key, Given}).

%% RFC 1123, section 2.1; Linux takes 64 bytes.
host_name(Given, Text, Name) ->
    case re:run(Text, "^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$", [{capture, none}]) of
        match -> Name;
        nomatch -> throw({bad_option, name, Given})
    end.

mem(MiB, Given) when is_integer(MiB), MiB >= ?MEM_MIN ->
    MiB =< host_memory() orelse throw({bad_option, mem, Given}),
    MiB;
mem(Text, Given) when is_list(Text); is_binary(Text) ->
    case re:run(Text, "^([0-9]{1,9})([mMgG]?)$", [{capture, [1, 2], list}]) of
        {match, [Number, Unit]} when Unit =:= "g"; Unit =:= "G" ->
            mem(list_to_integer(Number) * 1024, Given);
        {match, [Number, _]} ->
            mem(list_to_integer(Number), Given);
        nomatch ->
            throw({bad_option, mem, Given})
    end;
mem(_, Given) ->
    throw({bad_option, mem, Given}).

%% MiB; proc(5), meminfo.
host_memory() ->
    {ok, Text} = file:read_file("/proc/meminfo"),
    {match, [KiB]} = re:run(Text, "^MemTotal: +([0-9]+) kB", [multiline, {capture, [1], list}]),
    list_to_integer(KiB) div 1024.

%% A CPU or a list of them, all of which the BEAM may use.
cpu(Given) ->
    Cpus =
        case Given of
            [_ | _] -> Given;
            One -> [One]
        end,
    case is_list(Cpus) andalso Cpus -- evum_cpus:allowed() of
        [] -> Cpus;
        _ -> throw({bad_option, cpu, Given})
    end.

folder(Given) ->
    Path = filename:absname(text(root, Given)),
    case filelib:is_dir(Path) of
        true -> Path;
        false -> throw({bad_option, root, Given})
    end.

%% IEEE 802: the lowest bit of the first byte marks a group of stations.
mac(<<First, _:5/binary>> = Mac) when First band 1 =:= 0, Mac =/= <<0:48>> ->
    Mac;
mac(Text) when is_list(Text); is_binary(Text) ->
    Pattern = "^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$",
    try re:run(Text, Pattern, [{capture, none}]) of
        match ->
            Hex = binary:replace(iolist_to_binary(Text), <<":">>, <<>>, [global]),
            case <<(binary_to_integer(Hex, 16)):48>> of
                <<First, _/binary>> = Mac when First band 1 =:= 0, Mac =/= <<0:48>> -> Mac;
                _ -> throw({bad_option, mac, Text})
            end;
        nomatch ->
            throw({bad_option, mac, Text})
    catch
        error:badarg -> throw({bad_option, mac, Text})
    end;
mac(Given) ->
    throw({bad_option, mac, Given}).

%% @doc Settle what depends on the kernel: the transport, whether it has SMP.
-spec with_kernel(machine(), evum_kernel:kernel()) -> {ok, machine()} | {error, error()}.
with_kernel(#{transport := Transport, cpus := Cpus} = Machine, Kernel) ->
    Transports = evum_kernel:transports(Kernel),
    case Cpus =:= 1 orelse evum_kernel:has("SMP", Kernel) of
        false -> {error, {bad_option, cpus, Cpus}};
        true when Transport =:= auto -> {ok, Machine#{transport := hd(Transports)}};
        true ->
            case lists:member(Transport, Transports) of
                true -> {ok, Machine};
                false -> {error, {bad_option, transport, Transport}}
            end
    end.

%% @doc What `evum_guest' is told to start (`doc/port-protocol.md'). The path
%% is that of the switch's control socket; the machine's `cpu' is a list by now,
%% empty for all. Paths of the host go through links
%% in the jail's folder, so none of them has to survive the kernel's command
%% line, which splits at blanks and commas.
-spec start_request(machine(), evum_kernel:kernel(), none | binary()) ->
    [{atom(), term()}].
start_request(#{mem := Mem} = Machine, Kernel, SwitchPath) ->
    %% Also as the first argument: UML executes that again to reboot.
    Path = unicode:characters_to_binary(filename:absname(maps:get(path, Kernel))),
    [
        {kernel, Path},
        {argv, [Path | arguments(Machine, Kernel, SwitchPath)]},
        {config, config(Machine)},
        {links, links(Machine, Kernel, SwitchPath)},
        {room, (Mem bsl 20) + ?ROOM_BESIDE},
        {cpus, list_to_tuple(maps:get(cpu, Machine))},
        %% The data sockets of `daemon' have abstract addresses, which belong
        %% to a network namespace.
        {net, SwitchPath =/= none andalso maps:get(transport, Machine) =:= daemon}
    ].

arguments(#{mem := Mem, verbose := Verbose} = Machine, Kernel, SwitchPath) ->
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
        [<<"ncpus=", (integer_to_binary(N))/binary>> || #{cpus := N} <- [Machine], N > 1] ++
        [device(Machine) || SwitchPath =/= none].

%% arch/um/os-Linux/start_up.c, from 6.16 on; other kernels know ptrace alone.
isolation(#{isolation := Isolation}, Kernel) ->
    case evum_kernel:has_seccomp_mode(Kernel) of
        true when Isolation =:= fast -> [<<"seccomp=auto">>];
        true -> [<<"seccomp=off">>];
        false -> []
    end.

%% arch/um/drivers/daemon_kern.c, daemon_setup() (up to Linux 6.15), and
%% Documentation/virt/uml/user_mode_linux_howto_v2.rst, BESS socket transport.
device(#{transport := daemon, mac := Mac}) ->
    <<"eth0=daemon,", (format_mac(Mac))/binary, ",unix,", ?JAIL, "/switch">>;
device(#{transport := bess, mac := Mac}) ->
    <<"vec0:transport=bess,dst=", ?JAIL, "/switch.bess,mac=", (format_mac(Mac))/binary>>.

format_mac(Mac) ->
    iolist_to_binary(lists:join($:, [io_lib:format("~2.16.0b", [B]) || <<B>> <= Mac])).

config(#{name := Name, init := Init}) ->
    Pairs =
        [[<<"hostname=">>, host_name_of(Name)] || Name =/= none] ++
            [[<<"init=">>, Arg] || Arg <- Init],
    iolist_to_binary([[Pair, 0] || Pair <- Pairs]).

host_name_of(Name) when is_atom(Name) -> atom_to_binary(Name);
host_name_of(Name) -> Name.

links(#{root := Root}, #{modules := Modules}, SwitchPath) ->
    [{<<"initrd">>, priv("initramfs.cpio")}, {<<"root">>, Root}] ++
        [{<<"applets">>, priv("applets")} || filelib:is_dir(priv("applets"))] ++
        [{<<"modules">>, unicode:characters_to_binary(Modules)} || Modules =/= none] ++
        [
            {Name, Path}
         || SwitchPath =/= none,
            {Name, Path} <- [
                {<<"switch">>, SwitchPath},
                {<<"switch.bess">>, <<SwitchPath/binary, ".bess">>}
            ]
        ].

priv(Name) ->
    unicode:characters_to_binary(filename:absname(evum_port:find_program(Name))).
