%% SPDX-License-Identifier: Apache-2.0
%% @doc The description of a machine: options, validated whole before anything
%% is started.
%%
%% <table>
%% <tr><td>`name'</td><td>a name for the machine, an atom, string or binary;
%%   also its host name. Default: none</td></tr>
%% <tr><td>`hostname'</td><td>the host name, where it is not to be the name.
%%   Default: the name</td></tr>
%% <tr><td>`owner'</td><td>the local process that gets the console's lines.
%%   Default: the caller</td></tr>
%% <tr><td>`mem'</td><td>memory in MiB, or a string such as `"64M"'.
%%   Default: 64</td></tr>
%% <tr><td>`kernel'</td><td>path of a UML kernel, or `default', see
%%   {@link evum_kernel}</td></tr>
%% <tr><td>`root'</td><td>folder of the host that is the machine's root, read
%%   only under an overlay in its memory.
%%   Where an image is given this is no option. Default: `"/"'</td></tr>
%% <tr><td>`image'</td><td>the machine's files: `host', those of `root'; the name
%%   of an image or its path, see {@link evum_image}. Default: `host'</td></tr>
%% <tr><td>`disk'</td><td>where what the machine writes is kept:
%%   `{tmpfs, Size}', in its memory until it stops or reboots; `{file, Path,
%%   Size}', in a file of the host's that is made where there is none, and
%%   stays. A size is in MiB, or a string such as `"64M"'; of a tmpfs also
%%   `half', half of the memory. Default: `{tmpfs, half}'</td></tr>
%% <tr><td>`files'</td><td>what is put into the root before anything runs there,
%%   a map: the absolute path in the machine, and either a binary or
%%   `{file, Path}', a file of the host's. Modes are 0644, or 0755 where the
%%   host's file is executable; at most 8 MiB in all. Default: none</td></tr>
%% <tr><td>`share'</td><td>folders of the host's that the machine sees, a list of
%%   `{HostDir, GuestDir, ro | rw}'; at most 16. Default: none</td></tr>
%% <tr><td>`init'</td><td>the program on the console, a path, or a list of
%%   path and arguments. Default: `"/bin/bash"', or `"/bin/sh"' where an image
%%   has none</td></tr>
%% <tr><td>`mac'</td><td>address of `eth0', `"02:00:00:00:00:01"' or six
%%   bytes. Default: a random, locally administered one</td></tr>
%% <tr><td>`switch'</td><td>where `eth0' leads: `default' (started when none
%%   runs), a switch, a control server, the path of a control socket, or
%%   `none', no interface at all</td></tr>
%% <tr><td>`interfaces'</td><td>for a machine of several, in place of `switch'
%%   and `mac': a list of maps of these two, for `eth0', `eth1' and so on, or a
%%   map of names to such maps; at most 16. Default: one, `eth0'</td></tr>
%% <tr><td>`cpu'</td><td>the host's CPUs that the machine runs on: `auto', one,
%%   the least used; `any'; a number; or a list. Default: `auto'</td></tr>
%% <tr><td>`cpus'</td><td>how many CPUs the machine has. More than one need a
%%   kernel with SMP (`make kernel-smp'), and `isolation' that is `fast'. Default: 1</td></tr>
%% <tr><td>`isolation'</td><td>`fast': programs in the machine may read and write
%%   all of its memory, where the kernel has seccomp mode; `strict': they may not.
%%   Default: `fast'</td></tr>
%% <tr><td>`transport'</td><td>how interfaces reach their switches: `vhost',
%%   `daemon', `bess', `fd' (a socketpair; the machine's kernel closes it when the
%%   interface is set down, for good), or `auto', the best that the kernel has.
%%   Default: `auto'</td></tr>
%% <tr><td>`transcript'</td><td>how many bytes of the console
%%   `evum:transcript/1' tells; or `{file, Path}', a file that each line is
%%   written to as well, with its time. Default: 65536</td></tr>
%% <tr><td>`verbose'</td><td>whether boot messages are shown. Default:
%%   `true'</td></tr>
%% </table>
%%
%% The seed's property lists are taken too: `net', `{net, Boolean}',
%% `{rootflags, Folder}', `{rootfstype, "hostfs"}', `write'.
-module(evum_machine).

-export([describe/1, defaults/0, with_kernel/2]).

-export_type([options/0, machine/0, interface/0, error/0]).

%% INIT_ARGS_MAX of c_src/init/init.h.
-define(INIT_ARGS_MAX, 64).
%% CONFIG_NR_CPUS of kernel/smp.config.
-define(CPUS_MAX, 64).
%% All of `files' together, bytes: they go in one packet to evum_guest.
-define(FILES_MAX, (8 bsl 20)).
%% INIT_SHARES_MAX of c_src/init/init.h.
-define(SHARES_MAX, 16).
%% INIT_INTERFACES_MAX of c_src/init/init.h.
-define(INTERFACES_MAX, 16).
%% What ext4 needs to be one, MiB.
-define(DISK_MIN, 8).
%% PATH_MAX of Linux, bytes with the NUL.
-define(PATH_MAX, 4096).
%% UML's own memory is above that, MiB.
-define(MEM_MIN, 8).
%% Bytes of a transcript in the BEAM's memory.
-define(TRANSCRIPT, 65536).
-define(TRANSCRIPT_MAX, (64 bsl 20)).

-type options() :: #{atom() => term()} | [atom() | {atom(), term()}].
-type machine() :: #{
    name := none | atom() | binary(),
    hostname := none | atom() | binary(),
    owner := pid(),
    mem := pos_integer(),
    kernel := default | file:filename(),
    root := binary(),
    image := evum_image:image(),
    disk := {tmpfs, half | pos_integer()} | {file, binary(), pos_integer()},
    files := [{Path :: binary(), Mode :: non_neg_integer(), Bytes :: binary()}],
    share := [{HostDir :: binary(), GuestDir :: binary(), ro | rw}],
    init := default | [binary(), ...],
    interfaces := [interface()],
    transport := auto | evum_kernel:transport(),
    cpu := evum_cpus:choice(),
    cpus := pos_integer(),
    isolation := fast | strict,
    transcript := #{bytes := non_neg_integer(), file := none | binary()},
    verbose := boolean()
}.
%% Its switch is the path of a control socket once that is settled.
-type interface() :: #{
    name := binary(),
    mac := random | <<_:48>>,
    switch := default | pid() | binary()
}.
-type error() :: {bad_option, Key :: term(), Value :: term()}.

%% @doc The options of a machine that none are given for. The application
%% environment of evum overrides them, and a call's options override both.
-spec defaults() -> #{atom() => term()}.
defaults() ->
    Builtin = #{
        name => none,
        hostname => none,
        mem => 64,
        kernel => default,
        root => "/",
        image => host,
        disk => {tmpfs, half},
        files => #{},
        share => [],
        init => "/bin/bash",
        mac => random,
        switch => default,
        interfaces => default,
        transport => auto,
        cpu => auto,
        cpus => 1,
        isolation => fast,
        transcript => ?TRANSCRIPT,
        verbose => true
    },
    maps:map(fun(Key, Value) -> application:get_env(evum, Key, Value) end, Builtin).

%% @doc Validate options. The first bad one is named, with its value.
-spec describe(options()) -> {ok, machine()} | {error, error()}.
describe(Options) ->
    try
        Map = to_map(Options),
        Given = maps:merge(maps:put(owner, self(), defaults()), Map),
        Machine = interfaces(together(maps:map(fun option/2, Given), Given), Map),
        case Machine of
            #{image := #{type := Type}} when Type =/= host, not is_map_key(init, Map) ->
                {ok, Machine#{init := default}};
            _ ->
                {ok, Machine}
        end
    catch
        throw:{bad_option, _, _} = Error -> {error, Error}
    end.

%% `switch' and `mac' are the short form for one interface; given, they win over
%% `interfaces' of the application's environment.
interfaces(#{interfaces := Given} = Machine, Options) ->
    Interfaces =
        case {is_short(Given, Options), Machine} of
            {true, #{switch := none}} -> [];
            {true, #{switch := Switch, mac := Mac}} -> [#{name => <<"eth0">>, switch => Switch, mac => Mac}];
            {false, _} -> Given
        end,
    maps:without([switch, mac], Machine#{interfaces := Interfaces}).

is_short(default, _Options) ->
    true;
is_short(_Given, Options) ->
    case {maps:with([switch, mac], Options), Options} of
        {Short, _} when Short =:= #{} -> false;
        {Short, #{interfaces := _}} -> both(hd(maps:to_list(Short)));
        _ -> true
    end.

-spec both({atom(), term()}) -> no_return().
both({Key, Value}) ->
    throw({bad_option, Key, Value}).

%% What options say about one another.
together(#{image := #{type := Type}}, #{root := Root}) when Type =/= host, Root =/= "/" ->
    throw({bad_option, root, Root});
%% arch/um/os-Linux/start_up.c: several CPUs need seccomp.
together(#{cpus := Cpus, isolation := strict}, _Given) when Cpus > 1 ->
    throw({bad_option, isolation, strict});
together(#{disk := {tmpfs, Size}, mem := Mem}, #{disk := Given}) when is_integer(Size), Size > Mem ->
    throw({bad_option, disk, Given});
together(#{disk := Disk, mem := Mem, files := Files} = Machine, _Given) ->
    Room =
        case Disk of
            {tmpfs, half} -> Mem bsl 19;
            {tmpfs, MiB} -> MiB bsl 20;
            {file, _, MiB} -> MiB bsl 20
        end,
    fits(Files, min(Room, ?FILES_MAX)),
    Machine.

%% The first file that there is no room for is named.
fits([], _Room) ->
    ok;
fits([{Path, _Mode, Bytes} | Files], Room) ->
    byte_size(Bytes) =< Room orelse throw({bad_option, files, Path}),
    fits(Files, Room - byte_size(Bytes)).

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

option(Key, none) when Key =:= name; Key =:= hostname -> none;
option(Key, Name) when is_atom(Name), Key =:= name orelse Key =:= hostname ->
    host_name(Key, Name, atom_to_binary(Name), Name);
option(Key, Name) when Key =:= name; Key =:= hostname ->
    Text = text(Key, Name),
    host_name(Key, Name, Text, Text);
option(owner, Pid) when is_pid(Pid), node(Pid) =:= node() -> Pid;
option(mem, Mem) -> mem(Mem, Mem);
option(kernel, default) -> default;
option(kernel, Path) -> unicode:characters_to_list(text(kernel, Path));
option(root, Folder) -> folder(Folder);
option(init, [First | Args] = Argv) when not is_integer(First) ->
    length(Argv) =< ?INIT_ARGS_MAX orelse throw({bad_option, init, Argv}),
    [text(init, First, Argv) | [argument(Arg, Argv) || Arg <- Args]];
option(init, Path) -> [text(init, Path)];
option(image, Image) -> image(Image);
option(disk, {tmpfs, half}) -> {tmpfs, half};
option(disk, {tmpfs, Size} = Given) -> {tmpfs, mebibytes(Size, disk, Given)};
option(disk, {file, Path, Size} = Given) -> disk(text(disk, Path, Given), Size, Given);
option(files, Files) when is_map(Files) -> [file(Entry) || Entry <- lists:sort(maps:to_list(Files))];
option(share, Shares) when is_list(Shares) ->
    length(Shares) =< ?SHARES_MAX orelse throw({bad_option, share, Shares}),
    [share(Share) || Share <- Shares];
option(mac, random) -> random;
option(mac, Mac) -> mac(Mac);
option(switch, Switch) when Switch =:= default; Switch =:= none; is_pid(Switch) -> Switch;
option(switch, Path) -> text(switch, Path);
option(interfaces, default) ->
    default;
option(interfaces, Given) when is_list(Given), length(Given) =< ?INTERFACES_MAX ->
    Names = ["eth" ++ integer_to_list(N) || N <- lists:seq(0, length(Given) - 1)],
    [interface(Name, Each) || {Name, Each} <- lists:zip(Names, Given)];
option(interfaces, Given) when is_map(Given), map_size(Given) =< ?INTERFACES_MAX ->
    Interfaces = [interface(Name, Each) || {Name, Each} <- maps:to_list(Given)],
    Names = [Name || #{name := Name} <- Interfaces],
    %% An atom and a string may come to the same name.
    Names -- lists:usort(Names) =:= [] orelse throw({bad_option, interfaces, Given}),
    lists:sort(fun(#{name := A}, #{name := B}) -> {byte_size(A), A} =< {byte_size(B), B} end, Interfaces);
option(transport, Value) when
    Value =:= auto; Value =:= vhost; Value =:= daemon; Value =:= bess; Value =:= fd
->
    Value;
option(cpu, Value) when Value =:= auto; Value =:= any -> Value;
option(cpu, Value) -> cpu(Value);
option(cpus, N) when is_integer(N), N >= 1, N =< ?CPUS_MAX -> N;
option(isolation, Value) when Value =:= fast; Value =:= strict -> Value;
option(transcript, Bytes) when is_integer(Bytes), Bytes >= 0, Bytes =< ?TRANSCRIPT_MAX ->
    #{bytes => Bytes, file => none};
option(transcript, {file, Path} = Given) ->
    #{bytes => ?TRANSCRIPT, file => filename:absname(text(transcript, Path, Given))};
option(verbose, Value) when is_boolean(Value) -> Value;
option(Key, Value) -> throw({bad_option, Key, Value}).

interface(Name, #{switch := Switch} = Given) when Switch =/= none ->
    maps:without([switch, mac], Given) =:= #{} orelse throw({bad_option, interfaces, Given}),
    #{
        name => interface_name(Name),
        switch => option(switch, Switch),
        mac => option(mac, maps:get(mac, Given, random))
    };
interface(_Name, Given) ->
    throw({bad_option, interfaces, Given}).

%% IFNAMSIZ of linux/if.h is 16, with a NUL; `lo' is taken.
interface_name(Name) when is_atom(Name) ->
    interface_name(atom_to_binary(Name));
interface_name(Name) ->
    Text = text(interfaces, Name),
    case re:run(Text, "^(?!lo$)[a-z][a-z0-9._-]{0,14}$", [{capture, none}, dollar_endonly]) of
        match -> Text;
        nomatch -> throw({bad_option, interfaces, Name})
    end.

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
host_name(Key, Given, Text, Name) ->
    case re:run(Text, "^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$", [{capture, none}, dollar_endonly]) of
        match -> Name;
        nomatch -> throw({bad_option, Key, Given})
    end.

mem(Mem, Given) ->
    MiB = mebibytes(Mem, mem, Given),
    (MiB >= ?MEM_MIN andalso MiB =< host_memory()) orelse throw({bad_option, mem, Given}),
    MiB.

mebibytes(MiB, _Key, _Given) when is_integer(MiB), MiB > 0 ->
    MiB;
mebibytes(Text, Key, Given) when is_list(Text); is_binary(Text) ->
    try re:run(Text, "^([0-9]{1,9})([mMgG]?)$", [{capture, [1, 2], list}, dollar_endonly]) of
        {match, [Number, Unit]} when Unit =:= "g"; Unit =:= "G" ->
            mebibytes(list_to_integer(Number) * 1024, Key, Given);
        {match, [Number, _]} ->
            mebibytes(list_to_integer(Number), Key, Given);
        nomatch ->
            throw({bad_option, Key, Given})
    catch
        error:badarg -> throw({bad_option, Key, Given})
    end;
mebibytes(_, Key, Given) ->
    throw({bad_option, Key, Given}).

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

%% Why it is none is said in the log, so that the error keeps its one shape.
image(Given) when is_atom(Given); is_list(Given); is_binary(Given) ->
    Text =
        case is_atom(Given) of
            true -> Given;
            false -> text(image, Given)
        end,
    case evum_image:info(Text) of
        {ok, Image} ->
            Image;
        {error, Reason} ->
            logger:warning("evum: option image: ~p", [Reason], #{domain => [evum]}),
            throw({bad_option, image, Given})
    end;
image(Given) ->
    throw({bad_option, image, Given}).

%% Its content is looked at by evum_disk, which makes it where it is not there.
disk(Path, Size, Given) ->
    MiB = mebibytes(Size, disk, Given),
    Absolute = filename:absname(Path),
    Folder = filelib:is_dir(filename:dirname(Absolute)) andalso not filelib:is_dir(Absolute),
    (MiB >= ?DISK_MIN andalso Folder) orelse throw({bad_option, disk, Given}),
    {file, Absolute, MiB}.

file({Path, Bytes}) when is_binary(Bytes) ->
    {guest_path(files, Path, Path), 8#644, Bytes};
file({Path, {file, Source}}) ->
    Inside = guest_path(files, Path, Path),
    Outside = text(files, Source, Path),
    %% Not read before its size is known
    case file:read_file_info(Outside) of
        {ok, Info} when element(3, Info) =:= regular, element(2, Info) =< ?FILES_MAX ->
            case file:read_file(Outside) of
                {ok, Bytes} when element(8, Info) band 8#111 =/= 0 -> {Inside, 8#755, Bytes};
                {ok, Bytes} -> {Inside, 8#644, Bytes};
                {error, _} -> throw({bad_option, files, Path})
            end;
        _ ->
            throw({bad_option, files, Path})
    end;
file({Path, _}) ->
    throw({bad_option, files, Path}).

share({HostDir, GuestDir, Mode} = Given) when Mode =:= ro; Mode =:= rw ->
    Outside = filename:absname(text(share, HostDir, Given)),
    Inside = guest_path(share, GuestDir, Given),
    Climbs = lists:member(<<"..">>, filename:split(Outside)),
    (filelib:is_dir(Outside) andalso not Climbs andalso Inside =/= <<"/">>) orelse
        throw({bad_option, share, Given}),
    {Outside, Inside, Mode};
share(Given) ->
    throw({bad_option, share, Given}).

%% Absolute, and where it says it is.
guest_path(Key, Path, Given) ->
    Text = text(Key, Path, Given),
    case filename:split(Text) of
        [<<"/">> | Parts] when byte_size(Text) < ?PATH_MAX, Key =:= share orelse Parts =/= [] ->
            [] = [throw({bad_option, Key, Given}) || <<"..">> <- Parts],
            filename:join([<<"/">> | Parts]);
        _ ->
            throw({bad_option, Key, Given})
    end.

mac(Given) ->
    case evum_mac:parse_station(Given) of
        {ok, Mac} -> <<Mac:48>>;
        error -> throw({bad_option, mac, Given})
    end.

%% @doc Settle what depends on the kernel: the transport, whether it has SMP.
-spec with_kernel(machine(), evum_kernel:kernel()) ->
    {ok, machine()} | {error, error() | evum_kernel:reason()}.
with_kernel(#{transport := Transport, cpus := Cpus, image := Image} = Machine, Kernel) ->
    Transports = evum_kernel:transports(Kernel),
    Lacks = [F || F <- evum_image:needs(Image), not evum_kernel:has(F, Kernel)],
    case Cpus =:= 1 orelse evum_kernel:has("SMP", Kernel) of
        false ->
            {error, {bad_option, cpus, Cpus}};
        true when Lacks =/= [] ->
            #{path := Path} = Kernel,
            {error, {lacks, Path, "CONFIG_" ++ binary_to_list(hd(Lacks))}};
        true when Transport =:= auto ->
            {ok, Machine#{transport := hd(Transports)}};
        true ->
            case lists:member(Transport, Transports) of
                true -> {ok, Machine};
                false -> {error, {bad_option, transport, Transport}}
            end
    end.
