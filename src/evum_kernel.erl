%% SPDX-License-Identifier: Apache-2.0
%% @doc Finds a User Mode Linux kernel and asks it what it can do.
%%
%% Looked for in this order: the option `kernel', the environment variable
%% `EVUM_KERNEL', the kernel that `make kernel' has put into `priv', and
%% `linux.uml' in `PATH' (Debian's package user-mode-linux). The answer of a
%% kernel is remembered until its file changes.
-module(evum_kernel).

-export([find/1, info/0, info/1, has/2, transports/1, has_seccomp_mode/1, has_serial/1]).

-export_type([kernel/0, transport/0, reason/0]).

%% A kernel tells its configuration within that time, ms ...
-define(ASK_TIMEOUT, 10000).
%% ... in no more than so many bytes.
-define(ANSWER_MAX, (4 bsl 20)).

%% Of x86-64 (System V ABI, AMD64 supplement).
-define(LOADER, "/lib64/ld-linux-x86-64.so.2").

-type kernel() :: #{
    path := file:filename(),
    %% size and time of change of its file
    stamp := {non_neg_integer(), integer()},
    version := binary(),
    flavour := time_travel | smp | generic,
    origin := option | environment | priv | path,
    %% the package or tree that it was built from, where `make kernel' built it
    source := binary() | unknown,
    %% names without CONFIG_, of what is built in or a module
    features := #{binary() => y | m},
    %% the folder of its modules on the host, if it has any
    modules := file:filename() | none,
    %% the files that its program is linked with
    libraries := [file:filename()],
    %% its delay loop on this host, see {@link evum_lpj}
    lpj => {ok, pos_integer()} | unknown
}.
-type transport() :: vhost | daemon | bess | fd.
-type reason() ::
    {no_kernel, [string()]}
    | {not_executable, file:filename()}
    | {not_uml, file:filename()}
    | {lacks, file:filename(), string()}.

%% What a machine cannot do without, as Kconfig calls it.
-define(NEEDED, [
    <<"HOSTFS">>,
    <<"BLK_DEV_INITRD">>,
    <<"MCONSOLE">>,
    <<"PROC_FS">>,
    <<"SYSFS">>,
    <<"TMPFS">>,
    <<"DEVTMPFS">>,
    <<"UNIX98_PTYS">>
]).

%% @doc The kernel that a machine without the option `kernel' gets.
-spec info() -> {ok, kernel()} | {error, reason()}.
info() ->
    find(default).

%% @doc What evum knows of the kernel at a path.
-spec info(file:filename_all()) -> {ok, kernel()} | {error, reason()}.
info(Path) ->
    find(Path).

%% @doc The kernel at a path, or the first one that is found; `smp' is for
%% machines of several CPUs: that of `EVUM_KERNEL' where it has SMP, or the flavour
%% that `make kernel-smp' has put into `priv'.
-spec find(default | smp | file:filename_all()) -> {ok, kernel()} | {error, reason()}.
find(smp) ->
    case candidate(environment) of
        {true, {environment, Path}} ->
            case ask(environment, Path) of
                {ok, #{flavour := Flavour}} when Flavour =/= smp -> built_smp();
                Answer -> Answer
            end;
        false ->
            built_smp()
    end;
find(default) ->
    case lists:filtermap(fun candidate/1, [environment, priv, path]) of
        [{Origin, Path} | _] ->
            ask(Origin, Path);
        [] ->
            {error,
                {no_kernel, [
                    "EVUM_KERNEL",
                    "priv/kernel/linux (make kernel)",
                    "linux.uml in PATH (apt-get install user-mode-linux)"
                ]}}
    end;
find(Path) ->
    ask(option, absolute(Path)).

%% @doc Whether the kernel has a feature, built in or as a module.
-spec has(string() | binary(), kernel()) -> boolean().
has(Feature, #{features := Features}) ->
    maps:is_key(iolist_to_binary(Feature), Features).

%% @doc The ways its interface can take to a switch, best first. `vhost' needs
%% its drivers built in, since the card has to be there before any module can be
%% loaded. `daemon' is gone from Linux 6.16 on, which ignores `eth0=' without a
%% word.
-spec transports(kernel()) -> [transport()].
transports(#{features := Features} = Kernel) ->
    BuiltIn = maps:with([<<"VIRTIO_UML">>, <<"VIRTIO_NET">>], Features),
    [vhost || maps:values(BuiltIn) =:= [y, y]] ++
        [daemon || has("UML_NET_DAEMON", Kernel)] ++
        [Vector || has("UML_NET_VECTOR", Kernel), Vector <- [bess, fd]].

%% @doc Whether its user processes can run under seccomp in place of ptrace.
-spec has_seccomp_mode(kernel()) -> boolean().
has_seccomp_mode(#{version := Version}) ->
    case re:run(Version, "^([0-9]+)\\.([0-9]+)", [{capture, [1, 2], list}]) of
        {match, [Major, Minor]} -> {list_to_integer(Major), list_to_integer(Minor)} >= {6, 16};
        nomatch -> false
    end.

%% @doc Whether a machine on it can have an agent: a virtio console, built in or
%% as a module that is there.
-spec has_serial(kernel()) -> boolean().
has_serial(#{features := #{<<"VIRTIO_UML">> := y} = Features} = Kernel) ->
    case Features of
        #{<<"VIRTIO_CONSOLE">> := y} -> true;
        #{<<"VIRTIO_CONSOLE">> := m} -> maps:get(modules, Kernel) =/= none;
        #{} -> false
    end;
has_serial(_) ->
    false.

built_smp() ->
    case built_path("linux-smp") of
        {true, Path} -> ask(priv, Path);
        false -> {error, {no_kernel, ["priv/kernel/linux-smp (make kernel-smp)"]}}
    end.

candidate(environment) ->
    case os:getenv("EVUM_KERNEL") of
        Unset when Unset =:= false; Unset =:= "" -> false;
        Path -> {true, {environment, absolute(Path)}}
    end;
candidate(priv) ->
    case built_path("linux") of
        {true, Path} -> {true, {priv, Path}};
        false -> false
    end;
candidate(path) ->
    case os:find_executable("linux.uml") of
        false -> false;
        Path -> {true, {path, Path}}
    end.

built_path(Name) ->
    Path = filename:absname(filename:join([code:priv_dir(evum), "kernel", Name])),
    filelib:is_regular(Path) andalso {true, Path}.

absolute(Path) ->
    filename:absname(unicode:characters_to_list(Path)).

ask(Origin, Path) ->
    case stamp(Path) of
        {ok, Stamp} ->
            Key = {?MODULE, Path},
            case persistent_term:get(Key, none) of
                {Stamp, Kernel} ->
                    {ok, Kernel#{origin => Origin}};
                _ ->
                    remember(Key, Stamp, examine(Origin, Path, Stamp))
            end;
        {error, _} = Error ->
            Error
    end.

remember(Key, Stamp, {ok, Kernel} = Found) ->
    persistent_term:put(Key, {Stamp, Kernel}),
    Found;
remember(_Key, _Stamp, Error) ->
    Error.

%% Size and time of change tell a file from the one that was there before.
stamp(Path) ->
    case file:read_file_info(Path, [{time, posix}]) of
        {ok, Info} when element(3, Info) =:= regular ->
            case element(8, Info) band 8#111 of
                0 -> {error, {not_executable, Path}};
                _ -> {ok, {element(2, Info), element(6, Info)}}
            end;
        {ok, _} ->
            {error, {not_executable, Path}};
        {error, _} ->
            {error, {no_kernel, [Path]}}
    end.

examine(Origin, Path, Stamp) ->
    case {run(Path, ["--showconfig"]), run(Path, ["--version"])} of
        {{ok, Config}, {ok, Version}} ->
            Features = features(Config),
            Kernel = #{
                path => Path,
                stamp => Stamp,
                version => string:trim(Version),
                flavour => flavour(Features),
                origin => Origin,
                source => source(Path),
                features => Features,
                modules => modules(Path, string:trim(Version), Features),
                libraries => libraries(Path)
            },
            check(Kernel);
        _ ->
            {error, {not_uml, Path}}
    end.

check(#{path := Path, features := #{<<"UML">> := y} = Features} = Kernel) ->
    Missing = [F || F <- ?NEEDED, maps:get(F, Features, n) =/= y],
    Overlay = [<<"OVERLAY_FS">> || not overlay(Kernel)],
    Net = [<<"UML_NET_VECTOR">> || transports(Kernel) =:= []],
    case Missing ++ Overlay ++ Net of
        [] -> {ok, Kernel};
        [First | _] -> {error, {lacks, Path, "CONFIG_" ++ binary_to_list(First)}}
    end;
check(#{path := Path}) ->
    {error, {not_uml, Path}}.

overlay(#{features := #{<<"OVERLAY_FS">> := y}}) -> true;
overlay(#{features := #{<<"OVERLAY_FS">> := m}, modules := Modules}) -> Modules =/= none;
overlay(_) -> false.

flavour(#{<<"SMP">> := y}) -> smp;
flavour(#{<<"UML_TIME_TRAVEL_SUPPORT">> := y}) -> time_travel;
flavour(_) -> generic.

%% kernel/build leaves a file of key=value lines beside a kernel.
source(Path) ->
    case file:read_file(Path ++ ".info") of
        {ok, Text} ->
            case re:run(Text, "^source=(.*)$", [multiline, {capture, [1], binary}]) of
                {match, [Source]} -> Source;
                nomatch -> unknown
            end;
        {error, _} ->
            unknown
    end.

features(Config) ->
    maps:from_list([
        {Name, binary_to_atom(Value)}
     || <<"CONFIG_", Line/binary>> <- binary:split(Config, <<"\n">>, [global]),
        [Name, Value] <- [binary:split(Line, <<"=">>)],
        Value =:= <<"y">> orelse Value =:= <<"m">>
    ]).

modules(Path, Version, #{<<"MODULES">> := y}) ->
    Folders = [
        filename:join([Base, binary_to_list(Version)])
     || Base <- [
            filename:join(filename:dirname(Path), "modules"),
            "/usr/lib/uml/modules",
            "/lib/modules"
        ]
    ],
    case lists:filter(fun filelib:is_dir/1, Folders) of
        [Folder | _] -> Folder;
        [] -> none
    end;
modules(_Path, _Version, _Features) ->
    none.

%% What ld.so(8) would load for it; it says no more than that of a static one.
libraries(Path) ->
    case run(?LOADER, ["--list", Path]) of
        {ok, Text} ->
            {match, Found} = re:run(Text, "(?:=> |^\\s+)(/\\S+) \\(0x", [
                global, multiline, {capture, [1], list}
            ]),
            Libraries = [Library || [Library] <- Found],
            Libraries ++ [L || L <- lists:map(fun beside/1, Libraries), filelib:is_regular(L)];
        {error, _} ->
            []
    end.

%% What libc.so.6 loads when a thread is cancelled, as UML does to reboot.
beside(Library) ->
    case filename:basename(Library) of
        "libc.so.6" -> filename:join(filename:dirname(Library), "libgcc_s.so.1");
        _ -> ""
    end.

%% What the program prints; it may be anything that somebody named.
run(Path, Arguments) ->
    try
        erlang:open_port({spawn_executable, Path}, [
            {args, Arguments}, binary, exit_status, use_stdio, stderr_to_stdout
        ])
    of
        Port ->
            Timer = erlang:start_timer(?ASK_TIMEOUT, self(), Port),
            Answer = collect(Port, Timer, 0, []),
            _ = erlang:cancel_timer(Timer),
            Answer
    catch
        error:Reason -> {error, Reason}
    end.

collect(Port, Timer, Size, Acc) when Size =< ?ANSWER_MAX ->
    receive
        {Port, {data, Data}} ->
            collect(Port, Timer, Size + byte_size(Data), [Data | Acc]);
        {Port, {exit_status, 0}} ->
            {ok, iolist_to_binary(lists:reverse(Acc))};
        {Port, {exit_status, Status}} ->
            {error, {exit_status, Status}};
        {timeout, Timer, Port} ->
            abandon(Port),
            {error, timeout}
    end;
collect(Port, _Timer, _Size, _Acc) ->
    abandon(Port),
    {error, too_much}.

%% Closing the port is not enough for a program that neither reads nor writes.
abandon(Port) ->
    _ =
        case erlang:port_info(Port, os_pid) of
            {os_pid, Pid} -> os:cmd("kill -9 " ++ integer_to_list(Pid));
            undefined -> ""
        end,
    evum_port:close(Port),
    flush(Port).

flush(Port) ->
    receive
        {Port, _} -> flush(Port)
    after 0 -> ok
    end.
