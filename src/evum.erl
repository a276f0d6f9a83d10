%% SPDX-License-Identifier: Apache-2.0
%% @doc Linux machines as Erlang processes: the API for a shell, a script or a
%% supervision tree.
%%
%% A machine is a pid, or the name it was started with. Its console lines come
%% to its owner, the process that started it, as plain binaries, one a line,
%% without the newline, carriage returns or escape sequences; a line of more
%% than 4096 bytes comes in pieces. An owner that does not read them makes the
%% console wait once some 256 KB are unread; nothing is lost.
%%
%% A machine is started by {@link start/1}, lives on when its owner dies (its
%% lines then go nowhere) and ends with {@link stop/1} or by itself; as a child
%% of your own supervisor use {@link start_link/1}. Functions that take a
%% machine return `{error, no_machine}' where it does not run.
-module(evum).

-export([start/0, start/1, start/2, start_link/0, start_link/1, start_link/2, stop/1]).
-export([send/2, send/3, puts/2, system/2, reboot/1]).
-export([expect/3, script/2, transcript/1, attach/1]).
-export([subscribe/1, unsubscribe/1, controlling_process/2]).
-export([ifconfig/2, ping/2, sniff/1]).
-export([await/2, await/3, cmd/2, cmd/3, put/3, put/4, get/2, get/3, config/2, config/3]).
-export([stat/1, stat/2, shutdown/1, shutdown/2]).
-export([defaults/0, info/1, list/0]).

-export_type([machine/0, start_error/0]).

%% A line that send/2 waits for, ms. It includes the boot where that is not
%% over yet.
-define(SEND_TIMEOUT, 30000).
%% MCONSOLE_DATA_MAX of c_src/guest/mconsole_packet.h: evum_guest would not
%% survive what is far longer.
-define(MCONSOLE_MAX, 512).
%% A machine that is asked to power off takes no longer than that, ms.
-define(SHUTDOWN_TIMEOUT, 10000).

-type machine() :: pid() | atom() | binary() | string().
-type start_error() ::
    evum_machine:error()
    | evum_kernel:reason()
    | evum_disk:reason()
    | evum_machine_start:failure()
    | {no_program, file:filename()}
    | {switch, term()}.

%% @equiv start(#{})
-spec start() -> {ok, pid()} | {error, start_error()}.
start() ->
    start(#{}).

%% @doc Start a machine; its lines come to the caller. It returns once the
%% machine exists, not once it has booted. {@link evum_machine} lists the
%% options. Where no switch runs yet, one is started with its control server.
-spec start(evum_machine:options()) -> {ok, pid()} | {error, start_error()}.
start(Options) ->
    start(self(), Options).

%% @doc Start a machine whose lines come to another process of this node.
-spec start(pid(), evum_machine:options()) -> {ok, pid()} | {error, start_error()}.
start(Owner, Options) ->
    start(Owner, Options, fun(Spec) -> supervisor:start_child(evum_vm_sup, [Spec]) end).

%% @equiv start_link(#{})
-spec start_link() -> {ok, pid()} | {error, start_error()}.
start_link() ->
    start_link(#{}).

%% @doc Start a machine that is linked to the caller.
-spec start_link(evum_machine:options()) -> {ok, pid()} | {error, start_error()}.
start_link(Options) ->
    start_link(self(), Options).

%% @doc Start a machine that is linked to the caller, whose lines come to
%% another process of this node: for a child of a supervisor.
-spec start_link(pid(), evum_machine:options()) -> {ok, pid()} | {error, start_error()}.
start_link(Owner, Options) ->
    start(Owner, Options, fun evum_vm:start_link/1).

%% @doc End a machine at once, as if its power were cut. Nothing of it is left
%% when this returns.
-spec stop(machine()) -> ok | {error, no_machine}.
stop(Machine) ->
    with(Machine, fun evum_vm:stop/1).

%% @equiv send(Machine, Line, 30000)
-spec send(machine(), iodata()) -> binary() | timeout | {error, no_machine | full | stopped}.
send(Machine, Line) ->
    send(Machine, Line, ?SEND_TIMEOUT).

%% @doc Type a line (without its newline) and return the next line that the
%% console shows: the line's echo behind the shell's prompt. It is typed once
%% the shell shows a prompt, or 1 s later. `timeout' when no line comes within
%% so many milliseconds; the line is typed all the same.
-spec send(machine(), iodata(), timeout()) ->
    binary() | timeout | {error, no_machine | full | stopped}.
send(Machine, Line, Timeout) ->
    Typed = unicode:characters_to_binary(Line),
    with(Machine, fun(Pid) -> evum_vm:send(Pid, Typed, Timeout) end).

%% @doc Type bytes, as they are and at once (or as soon as the shell is up). The
%% guest gets them as its programs read; up to 4 MiB wait here, and more is
%% `{error, full}'. On a kernel without an agent, nobody knows what is read: it
%% gets 1536 bytes each 100 ms, and what its programs leave unread of more than
%% 4 KB closes the console's input for good.
-spec puts(machine(), iodata()) -> ok | {error, no_machine | full | stopped}.
puts(Machine, Data) ->
    Bytes = iolist_to_binary(Data),
    with(Machine, fun(Pid) -> evum_vm:puts(Pid, Bytes) end).

%% @doc Wait until the console shows something: the first of a list of
%% patterns, or the only one. A pattern is a string, an expression as `{re, RE}'
%% (or one that `re:compile/2' made), or `{prompt}', a line that is not ended and
%% looks like a prompt. {@link evum_expect} says what counts as first.
%%
%% What has been shown is text, without carriage returns and escape sequences;
%% it is looked at from where the last call found something, or at most 64 KB
%% back. `groups' are those of an expression, `index' tells which pattern it was.
%% Lines go to the owner all the same; if it is the one that waits here, those
%% that find 256 KB and a thousand messages in its queue are discarded.
%%
%% `{timeout, Seen}' tells the last 64 KB of what was shown in vain, and so does
%% `{ended, Reason, Seen}', with what the machine ended of.
-spec expect(machine(), evum_expect:pattern() | [evum_expect:pattern()], timeout()) ->
    {ok, evum_expect:found()} | {error, evum_script:error()}.
expect(Machine, Patterns, Timeout) ->
    with(Machine, fun(Pid) -> evum_script:expect(Pid, Patterns, Timeout) end).

%% @doc Expect and send in turn; what has been found. A step is `{expect,
%% Patterns}' (for at most 30 s) or `{expect, Patterns, Timeout}', `{send, Line}'
%% or `{puts, Bytes}'. An error names the step: `{step, Number, Step, Reason}'.
-spec script(machine(), [evum_script:step()]) ->
    {ok, [evum_expect:found()]} | {error, no_machine | {step, pos_integer(), term(), term()}}.
script(Machine, Steps) ->
    with(Machine, fun(Pid) -> evum_script:run(Pid, Steps) end).

%% @doc The last of what the console has shown, as text: up to 64 KB, or what
%% the option `transcript' says.
-spec transcript(machine()) -> binary() | {error, no_machine | stopped}.
transcript(Machine) ->
    case with(Machine, fun evum_vm:transcript/1) of
        Bytes when is_binary(Bytes) -> element(1, evum_lines:text(Bytes, none));
        {error, _} = Error -> Error
    end.

%% @doc Show the machine's console on this shell's terminal, and type to it:
%% every key goes to the machine, Ctrl-C among them, but for `Ctrl-]', which
%% leaves. Lines go to the owner all the same; if it is the one that is attached, what has no room in
%% its queue is discarded.
%%
%% `{error, no_terminal}' where the shell has none, or is of Erlang/OTP 26 or
%% later: there is `evum console NAME' for the command line.
-spec attach(machine()) -> ok | {error, evum_attach:error()}.
attach(Machine) ->
    with(Machine, fun evum_attach:shell/1).

%% @doc Get the console's lines, too, each as `{evum, Pid, {line, Line}}'; the
%% owner's go on. The guest waits for a subscriber as it does for the owner, but
%% no longer than some 5 s for one that reads nothing: it gets `{evum, Pid,
%% dropped}', and has to subscribe anew.
-spec subscribe(machine()) -> ok | {error, no_machine | not_local | stopped}.
subscribe(Machine) ->
    with(Machine, fun evum_vm:subscribe/1).

%% @doc End what {@link subscribe/1} began.
-spec unsubscribe(machine()) -> ok | {error, no_machine | stopped}.
unsubscribe(Machine) ->
    with(Machine, fun evum_vm:unsubscribe/1).

%% @doc Give the console's lines to another process of the machine's node. The
%% owner may do that, or anybody once it has died. Lines that the owner has in
%% its queue stay there.
-spec controlling_process(machine(), pid()) ->
    ok | {error, no_machine | not_owner | not_local | stopped}.
controlling_process(Machine, Owner) when is_pid(Owner) ->
    with(Machine, fun(Pid) -> evum_vm:control(Pid, Owner) end).

%% @doc Send a command to the machine's management console, see
%% {@link evum_mcons}. One of 512 bytes or more is `{error, {mconsole, e2big}}'.
-spec system(machine(), iodata()) -> {ok, binary()} | {error, term()}.
system(Machine, Command) ->
    case iolist_to_binary(Command) of
        Bytes when byte_size(Bytes) >= ?MCONSOLE_MAX -> {error, {mconsole, e2big}};
        Bytes -> with(Machine, fun(Pid) -> evum_vm:mconsole(Pid, Bytes) end)
    end.

%% @doc Boot the machine again: its process, its name, its address stay; its
%% files are as new.
-spec reboot(machine()) -> {ok, binary()} | {error, term()}.
reboot(Machine) ->
    system(Machine, "reboot").

%% @doc Type what gives `eth0' an address, and a default gateway where one is
%% given. IPv4 takes a netmask, `"255.255.255.0"'; IPv6 the length of a prefix,
%% `64'.
-spec ifconfig(machine(), {IP, Mask, Gateway} | {IP, Mask}) ->
    ok | {error, timeout | {bad_address, term()} | no_machine | full | stopped}
when
    IP :: string(), Mask :: string() | 0..128, Gateway :: string().
ifconfig(Machine, Addresses) ->
    case ifconfig_lines(Addresses) of
        {error, _} = Error -> Error;
        Lines -> type(Machine, Lines)
    end.

%% @doc Type `ping -w 5 -c 1' and return its echo; the answers are lines for
%% the owner. The host is an address as a tuple or string, or a name that the
%% machine resolves.
-spec ping(machine(), inet:ip_address() | string() | binary() | atom()) ->
    binary() | timeout | {error, {bad_address, term()} | no_machine | full | stopped}.
ping(Machine, Host) ->
    case host(Host) of
        {ok, Text} -> send(Machine, ["ping -w 5 -c 1 ", Text]);
        error -> {error, {bad_address, Host}}
    end.

%% @doc Type what captures the frames of `eth0' into `/tmp/sniff.out' of the
%% machine, with tcpdump in the background.
-spec sniff(machine()) -> binary() | timeout | {error, no_machine | full | stopped}.
sniff(Machine) ->
    send(Machine, "tcpdump -s 0 -w /tmp/sniff.out -i eth0 > /dev/null 2>&1 &").

%% @equiv await(Machine, ready, 30000)
-spec await(machine(), ready) -> ok | {error, no_machine | no_agent | timeout | evum_agent:reason()}.
await(Machine, What) ->
    await(Machine, What, evum_request:default_timeout()).

%% @doc Wait, no longer than so many milliseconds, until the machine's agent
%% answers. `{error, no_agent}' on a kernel without a virtio console; `bad_agent'
%% or `{agent_version, Version}' as soon as it turns out to be no agent of evum's,
%% or another version's.
-spec await(machine(), ready, timeout()) ->
    ok | {error, no_machine | no_agent | timeout | evum_agent:reason()}.
await(Machine, ready, Timeout) ->
    with(Machine, fun(Pid) -> evum_vm:ready(Pid, Timeout) end).

%% @equiv cmd(Machine, Command, #{})
-spec cmd(machine(), Command) -> {ok, Status, binary()} | evum_request:error() when
    Command :: unicode:chardata() | [unicode:chardata(), ...],
    Status :: non_neg_integer() | {signal, pos_integer()}.
cmd(Machine, Command) ->
    cmd(Machine, Command, #{}).

%% @doc Run a command in a machine, as root, apart from its console: a string for
%% `/bin/sh -c', or a program and its arguments. Its exit status, or the signal
%% that ended it, and all that it wrote to stdout and stderr. One that does not
%% exist has status 127 and says so. Options:
%%
%% <table>
%% <tr><td>`timeout'</td><td>ms. When it is over, all processes of the command's
%%   session are killed: `{error, timeout}'. Default: 30000</td></tr>
%% <tr><td>`env'</td><td>a map of variables, beside the console's</td></tr>
%% <tr><td>`dir'</td><td>the working directory. Default: `"/"'</td></tr>
%% <tr><td>`input'</td><td>what the command reads. Default: nothing</td></tr>
%% <tr><td>`limit'</td><td>bytes of output. More of it ends the command:
%%   `{error, {output_limit, Limit}}'. Default: 64 MiB</td></tr>
%% <tr><td>`stream'</td><td>`{Pid, Tag}': output goes to that local process as
%%   messages `{Tag, Bytes}' as it comes, without a limit, and the command waits
%%   while the process does not read</td></tr>
%% </table>
%%
%% The command is over when its process has ended; what a daemon that it leaves
%% behind writes later is lost.
%%
%% Command, environment and directory have room in 64 KB; what is longer, or of
%% more than 1024 arguments or variables, is `{error, e2big}' and never gets to
%% the machine. A script that is longer may come as `input'.
%%
%% In a machine run 48 of them at a time; more, up to 1024, wait for one of these
%% to end, and their time limits go on. What is beyond that is `{error, full}'.
-spec cmd(machine(), Command, evum_request:options()) ->
    {ok, Status, binary()} | evum_request:error()
when
    Command :: unicode:chardata() | [unicode:chardata(), ...],
    Status :: non_neg_integer() | {signal, pos_integer()}.
cmd(Machine, Command, Options) ->
    with(Machine, fun(Pid) -> evum_request:run(Pid, Command, Options) end).

%% @equiv put(Machine, Path, Data, #{})
-spec put(machine(), unicode:chardata(), iodata()) -> ok | evum_request:error().
put(Machine, Path, Data) ->
    put(Machine, Path, Data, #{}).

%% @doc Make a file in a machine: all of it, or nothing; a file that was there is
%% replaced. A setting under `/proc' or `/sys' is written in place. Options:
%% `mode', 8#644 by default; `timeout', ms, 30000 by default. A path that is too
%% long is `{error, enametoolong}'.
-spec put(machine(), unicode:chardata(), iodata(), evum_request:options()) ->
    ok | evum_request:error().
put(Machine, Path, Data, Options) ->
    with(Machine, fun(Pid) -> evum_request:put(Pid, Path, Data, Options) end).

%% @equiv get(Machine, Path, #{})
-spec get(machine(), unicode:chardata()) -> {ok, binary()} | evum_request:error().
get(Machine, Path) ->
    get(Machine, Path, #{}).

%% @doc Read a file of a machine. Options: `limit', bytes, beyond which it is
%% `{error, {output_limit, Limit}}', 64 MiB by default; `timeout', ms, 30000 by
%% default.
-spec get(machine(), unicode:chardata(), evum_request:options()) ->
    {ok, binary()} | evum_request:error().
get(Machine, Path, Options) ->
    with(Machine, fun(Pid) -> evum_request:get(Pid, Path, Options) end).

%% @equiv config(Machine, Config, 30000)
-spec config(machine(), evum_netconf:config()) -> ok | {error, term()}.
config(Machine, Config) ->
    config(Machine, Config, evum_request:default_timeout()).

%% @doc Set a machine's name, addresses, routes, resolver and MTU, without any
%% tool in it, within so many milliseconds; see {@link evum_netconf}. What is
%% wrong is `{error, {bad_option, Key, Value}}' before anything is done; what the
%% guest refuses, `{error, {Key, Posix}}'.
-spec config(machine(), evum_netconf:config(), timeout()) -> ok | {error, term()}.
config(Machine, Config, Timeout) ->
    case evum_netconf:plan(Config) of
        {ok, Steps} -> with(Machine, fun(Pid) -> evum_netconf:set(Pid, Steps, Timeout) end);
        {error, _} = Error -> Error
    end.

%% @equiv stat(Machine, 30000)
-spec stat(machine()) -> {ok, evum_stat:stat()} | evum_request:error().
stat(Machine) ->
    stat(Machine, evum_request:default_timeout()).

%% @doc Load averages over 1, 5 and 15 minutes; seconds since it booted; bytes of
%% memory in all and to be had; and how many processes there are. It asks for no
%% longer than so many milliseconds.
-spec stat(machine(), timeout()) -> {ok, evum_stat:stat()} | evum_request:error().
stat(Machine, Timeout) ->
    with(Machine, fun(Pid) -> evum_stat:read(Pid, Timeout) end).

%% @equiv shutdown(Machine, 10000)
-spec shutdown(machine()) -> ok | evum_request:error().
shutdown(Machine) ->
    shutdown(Machine, ?SHUTDOWN_TIMEOUT).

%% @doc Have a machine power itself off, in order: its processes are asked to
%% end, then made to, and what they wrote is kept. `{error, timeout}' where it
%% still runs after so many milliseconds, though it may end later; {@link stop/1}
%% does not ask.
-spec shutdown(machine(), timeout()) -> ok | evum_request:error().
shutdown(Machine, Timeout) ->
    with(Machine, fun(Pid) -> power_off(Pid, Timeout) end).

%% @doc The options of a machine that none are given for.
-spec defaults() -> #{atom() => term()}.
defaults() ->
    evum_machine:defaults().

%% @doc What a machine is: its options as they came out, its kernel, its phase
%% (`starting', `running', `exited' or `stopping'), the kernel's process id on the host,
%% and how much its console has shown.
-spec info(machine()) -> map() | {error, no_machine}.
info(Machine) ->
    with(Machine, fun evum_vm:info/1).

%% @doc All machines of this node, whoever has started them.
-spec list() -> [pid()].
list() ->
    evum_registry:machines().

%%% ---------------------------------------------------------------------------

start(Owner, Options, Start) ->
    maybe_start(
        [
            fun(none) ->
                {ok, _} = application:ensure_all_started(evum),
                evum_machine:describe(with_owner(Owner, Options))
            end,
            fun(#{kernel := Path} = Machine) ->
                case evum_kernel:find(flavour(Machine)) of
                    {ok, Kernel} -> {ok, {Machine, Kernel}};
                    {error, Reason} -> kernel_error(Path, Reason)
                end
            end,
            fun({Machine, Kernel}) ->
                case evum_machine:with_kernel(Machine, Kernel) of
                    {ok, Machine1} -> {ok, {Machine1, Kernel}};
                    {error, _} = Error -> Error
                end
            end,
            fun({Machine, Kernel}) ->
                case evum_disk:ensure(Machine) of
                    ok -> {ok, {Machine, Kernel}};
                    {error, _} = Error -> Error
                end
            end,
            fun({#{interfaces := Interfaces} = Machine, Kernel}) ->
                case with_paths(Interfaces, []) of
                    {ok, WithPaths} -> {ok, {Machine#{interfaces := WithPaths}, Kernel}};
                    {error, _} = Error -> Error
                end
            end,
            fun(Spec) -> launch(Start(Spec)) end
        ],
        none
    ).

flavour(#{kernel := default, cpus := Cpus}) when Cpus > 1 -> smp;
flavour(#{kernel := Path}) -> Path.

%% Each step takes what the one before it made.
maybe_start([], Made) ->
    {ok, Made};
maybe_start([Step | Steps], Made) ->
    case Step(Made) of
        {ok, Next} -> maybe_start(Steps, Next);
        {error, _} = Error -> Error
    end.

launch({ok, Pid}) ->
    case evum_vm:await(Pid) of
        ok -> {ok, Pid};
        {error, _} = Error -> Error
    end;
launch({error, _} = Error) ->
    Error.

with_owner(Owner, Options) when is_map(Options) -> Options#{owner => Owner};
with_owner(Owner, Options) when is_list(Options) -> [{owner, Owner} | Options];
with_owner(_Owner, Options) -> Options.

%% A kernel that was asked for by path is a bad option; why, is said in the
%% log, so that the error keeps the one shape that all bad options have.
kernel_error(default, Reason) ->
    {error, Reason};
kernel_error(Path, Reason) ->
    logger:warning("evum: option kernel: ~p", [Reason], #{domain => [evum]}),
    {error, {bad_option, kernel, Path}}.

with_paths([], Done) ->
    {ok, lists:reverse(Done)};
with_paths([#{switch := Switch} = Interface | Rest], Done) ->
    case switch_path(Switch) of
        {ok, Path} -> with_paths(Rest, [Interface#{switch := Path} | Done]);
        {error, _} = Error -> Error
    end.

switch_path(Path) when is_binary(Path) ->
    {ok, Path};
switch_path(default) ->
    case evum_ctl:ensure() of
        {ok, Ctl} -> {ok, unicode:characters_to_binary(evum_ctl:socket(Ctl))};
        {error, {bad_option, _, _}} = Error -> Error;
        {error, Reason} -> {error, {switch, Reason}}
    end;
switch_path(Pid) when is_pid(Pid) ->
    case evum_ctl:serving(Pid) of
        {ok, Ctl} -> {ok, unicode:characters_to_binary(evum_ctl:socket(Ctl))};
        {error, _} -> {error, {bad_option, switch, Pid}}
    end.

with(Machine, Fun) ->
    case resolve(Machine) of
        undefined ->
            {error, no_machine};
        Pid ->
            try
                Fun(Pid)
            catch
                exit:{_, {gen_server, call, _}} -> {error, no_machine}
            end
    end.

power_off(Pid, Timeout) ->
    Deadline = evum_deadline:new(Timeout),
    Ref = monitor(process, Pid),
    Asked = evum_request:power(Pid, off, Timeout),
    %% The agent may be gone before it has answered, and the machine, too.
    Ends = Asked =:= ok orelse Asked =:= {error, agent_died} orelse Asked =:= {error, no_machine},
    Limit =
        case Ends of
            true -> evum_deadline:left(Deadline);
            false -> 0
        end,
    receive
        {'DOWN', Ref, process, Pid, noproc} -> {error, no_machine};
        {'DOWN', Ref, process, Pid, _} -> ok
    after Limit ->
        demonitor(Ref, [flush]),
        case Asked of
            ok -> {error, timeout};
            Error -> Error
        end
    end.

resolve(Pid) when is_pid(Pid) -> Pid;
resolve(Name) when is_list(Name) -> resolve(unicode:characters_to_binary(Name));
resolve(Name) -> evum_registry:whereis({name, Name}).

type(_Machine, []) ->
    ok;
type(Machine, [Line | Lines]) ->
    case send(Machine, Line) of
        Echo when is_binary(Echo) -> type(Machine, Lines);
        timeout -> {error, timeout};
        {error, _} = Error -> Error
    end.

%% Tools take IPv6 as `address/length', and the interface has to be up before.
ifconfig_lines({IP, Prefix, Gateway}) when is_integer(Prefix) ->
    with_gateway({IP, Prefix}, ipv6, Gateway, ["route -A inet6 add default gw ", Gateway, " dev eth0"]);
ifconfig_lines({IP, Netmask, Gateway}) ->
    with_gateway({IP, Netmask}, ipv4, Gateway, ["route add default gw ", Gateway]);
ifconfig_lines({IP, Prefix}) when is_integer(Prefix) ->
    case is_address(ipv6, IP) of
        true when Prefix >= 0, Prefix =< 128 ->
            ["ifconfig eth0 up", ["ifconfig eth0 add ", IP, "/", integer_to_list(Prefix)]];
        true ->
            {error, {bad_address, Prefix}};
        false ->
            {error, {bad_address, IP}}
    end;
ifconfig_lines({IP, Netmask}) ->
    case [Address || Address <- [IP, Netmask], not is_address(ipv4, Address)] of
        [] -> [["ifconfig eth0 ", IP, " netmask ", Netmask, " up"]];
        [Bad | _] -> {error, {bad_address, Bad}}
    end;
ifconfig_lines(Other) ->
    {error, {bad_address, Other}}.

with_gateway(Address, Family, Gateway, Line) ->
    case {ifconfig_lines(Address), is_address(Family, Gateway)} of
        {{error, _} = Error, _} -> Error;
        {_, false} -> {error, {bad_address, Gateway}};
        {Lines, true} -> Lines ++ [Line]
    end.

is_address(Family, Address) when is_list(Address) ->
    Parsed =
        case Family of
            ipv4 -> inet:parse_ipv4strict_address(Address);
            ipv6 -> inet:parse_ipv6strict_address(Address)
        end,
    case Parsed of
        {ok, _} -> true;
        {error, _} -> false
    end;
is_address(_Family, _) ->
    false.

host(Address) when is_tuple(Address) ->
    case inet:ntoa(Address) of
        {error, einval} -> error;
        Text -> {ok, Text}
    end;
host(Name) when is_atom(Name) ->
    host(atom_to_binary(Name));
host(Name) when is_list(Name); is_binary(Name) ->
    %% What names and addresses are made of, so that nothing else is typed, and
    %% no option of ping's
    try re:run(Name, "^[A-Za-z0-9_.:][A-Za-z0-9_.:%-]*$", [{capture, none}, dollar_endonly]) of
        match -> {ok, Name};
        nomatch -> error
    catch
        error:badarg -> error
    end;
host(_) ->
    error.
