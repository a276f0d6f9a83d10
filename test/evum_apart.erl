%% SPDX-License-Identifier: Apache-2.0
%% A node of its own in a network namespace of its own, with nothing but a
%% loopback in it: whatever a test lets out does not leave this machine. Its
%% resolver is 127.0.0.1, its mounts are its own.
-module(evum_apart).

-export([possible/0, start/0, start/1, stop/1, call/3]).

%% A test in there ends within that time, ms.
-define(LIMIT, 240000).

-define(PREPARE,
    "ip link set lo up && mount -t tmpfs none /mnt &&"
    " echo nameserver 127.0.0.1 >/mnt/resolv.conf &&"
    " mount --bind /mnt/resolv.conf \"$(readlink -f /etc/resolv.conf)\" && exec \"$@\""
).

%% What init_per_suite is to return where it cannot be had, `true' elsewhere.
possible() ->
    case evum_command:run("unshare", unshare(["true"]), #{}) of
        {ok, _} -> true;
        {error, Why} -> {skip, lists:flatten(io_lib:format("no namespaces here: ~0p", [Why]))}
    end.

start() ->
    start([]).

%% The node by way of a command that takes another, such as setpriv.
start(Command) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    {ok, Peer, _} = peer:start(#{
        connection => standard_io,
        exec => {os:find_executable("unshare"), unshare(Command ++ [Erl])},
        args => ["-pa" | [Path || Path <- code:get_path(), filename:pathtype(Path) =:= absolute]],
        wait_boot => 60000
    }),
    Peer.

%% Without root a user namespace gives what is needed, where it is allowed.
unshare(Command) ->
    Own =
        case os:cmd("id -u") of
            "0\n" -> "-nm";
            _ -> "-Urnm"
        end,
    [Own, "sh", "-c", ?PREPARE, "sh" | Command].

stop(Peer) ->
    peer:stop(Peer).

%% Call a function there, in a process of its own.
call(Peer, Module, Function) ->
    peer:call(Peer, Module, Function, [], ?LIMIT).
