%% SPDX-License-Identifier: Apache-2.0
%% @doc What this host has of what evum can use, and what is lost without it.
-module(evum_doctor).

-export([look/0]).

-export_type([finding/0]).

%% `bad': machines cannot run, or not as they should; `lacks': something else
%% cannot.
-type finding() :: {ok | lacks | bad, What :: string(), Text :: iodata()}.

%% The smallest pool for machines' memory that is worth having, bytes.
-define(ROOM, (256 bsl 20)).

%% @doc Look at everything, and change nothing.
-spec look() -> [finding()].
look() ->
    [system(), namespaces()] ++ kernels() ++ [memory(), images()] ++ programs().

system() ->
    Otp = erlang:system_info(otp_release),
    Architecture = erlang:system_info(system_architecture),
    case {os:type(), Architecture} of
        {{unix, linux}, "x86_64" ++ _} ->
            {ok, "system", ["Linux on x86-64, Erlang/OTP ", Otp]};
        _ ->
            {bad, "system", [Architecture, ": machines need Linux on x86-64"]}
    end.

%% The jail of a machine is made of namespaces; evum_guest says why it cannot.
namespaces() ->
    case os:find_executable("unshare") of
        false ->
            {lacks, "namespaces", "cannot be tried without unshare (util-linux)"};
        Unshare ->
            case run(Unshare, ["-r", "-p", "-m", "-n", "-i", "-f", "true"]) of
                {0, _} ->
                    {ok, "namespaces", "users may make them: machines run in a jail, without root"};
                {_, Text} ->
                    {bad, "namespaces", [
                        "refused (", string:trim(Text), "): see kernel.unprivileged_userns_clone,",
                        " user.max_user_namespaces"
                    ]}
            end
    end.

kernels() ->
    [kernel("kernel", default, bad), kernel("kernel, smp", smp, lacks)].

kernel(What, Which, Missing) ->
    case evum_kernel:find(Which) of
        {ok, #{path := Path, version := Version, flavour := Flavour} = Kernel} ->
            Text = ["Linux ", Version, ", ", path(Path)],
            case Flavour of
                generic -> {lacks, What, [Text, ": a boot takes 1.2 s in place of 30 ms: make kernel"]};
                _ -> {ok, What, [Text, transports(Kernel)]}
            end;
        {error, {no_kernel, _}} when Which =:= smp ->
            {Missing, What, "none: no machines of several CPUs (option cpus): make kernel-smp"};
        {error, Reason} ->
            {Missing, What, io_lib:format("~tp: make deps, make kernel", [Reason])}
    end.

transports(Kernel) ->
    [" (", lists:join(", ", [atom_to_list(T) || T <- evum_kernel:transports(Kernel)]), ")"].

path(Path) -> unicode:characters_to_binary(Path).

%% The memory of machines is files there.
memory() ->
    {Name, Dir} =
        case os:getenv("TMPDIR") of
            false -> {"/dev/shm", "/dev/shm"};
            Set -> {"TMPDIR", Set}
        end,
    case run("/bin/df", ["--output=avail", "-B1", Dir]) of
        {0, Text} ->
            [_, Free | _] = string:lexemes(Text, " \n"),
            Bytes = list_to_integer(Free),
            Words = io_lib:format("~b MB free in ~ts", [Bytes bsr 20, Name]),
            case Bytes >= ?ROOM of
                true -> {ok, "memory", Words};
                false -> {bad, "memory", [Words, ": machines would end in SIGBUS when it is full"]}
            end;
        {_, Text} ->
            {bad, "memory", string:trim(Text)}
    end.

images() ->
    Names = [Name || #{name := Name} <- evum_image:list()],
    Words = lists:join(", ", [io_lib:format("~ts", [Name]) || Name <- Names]),
    case [Name || Name <- [<<"debian">>, <<"erlang">>], not lists:member(Name, Names)] of
        [] -> {ok, "images", Words};
        Missing -> {lacks, "images", [Words, "; without ", lists:join(" and ", Missing), ": make images"]}
    end.

programs() ->
    [program(Name, For) || {Name, For} <- [{"tshark", "reading captures"}, {"dot", "evum graph as an image"}]].

program(Name, For) ->
    case os:find_executable(Name) of
        false -> {lacks, Name, ["not here: for ", For]};
        Path -> {ok, Name, path(Path)}
    end.

run(Program, Args) ->
    Port = erlang:open_port({spawn_executable, Program}, [
        exit_status, stderr_to_stdout, {args, Args}
    ]),
    output(Port, []).

output(Port, Text) ->
    receive
        {Port, {data, More}} -> output(Port, [Text | More]);
        {Port, {exit_status, Status}} -> {Status, lists:flatten(Text)}
    end.
