%% SPDX-License-Identifier: Apache-2.0
%% Another host, for nodes of evum_apart: a network namespace beside the node's,
%% and what the kernel in there sends and receives.
-module(evum_netns).

-export([new/0, pid/1, sh/1, sh/2, cable/3]).
-export([file/1, upload/3, download/3, in/1]).

-record(netns, {
    %% it lives as long as this port, so as long as who made it
    port :: port(),
    pid :: string()
}).

%% Whatever is waited for comes within that time, ms.
-define(LIMIT, 60000).
%% What goes through TCP, bytes.
-define(SIZE, 4194304).

new() ->
    Args = ["-n", "sh", "-c", "ip link set lo up && echo $$ && exec cat"],
    Port = open_port({spawn_executable, os:find_executable("unshare")}, [{args, Args}, {line, 100}]),
    receive
        {Port, {data, {eol, Pid}}} -> #netns{port = Port, pid = Pid}
    after ?LIMIT -> error(no_namespace)
    end.

pid(#netns{pid = Pid}) -> Pid.

%% Run commands of the shell, which have to succeed: their output.
sh(Command) ->
    Output = os:cmd("(" ++ lists:flatten(Command) ++ ") 2>&1; echo \" status $?\""),
    case string:split(Output, " status ", trailing) of
        [Text, "0\n"] -> Text;
        [Text, _] -> error({Command, Text})
    end.

sh(#netns{pid = Pid}, Command) ->
    sh(["nsenter -n -t ", Pid, " sh -c '", Command, "'"]).

%% A pair of interfaces, Here and There, that are up and have no addresses.
cable(#netns{pid = Pid} = There, HereName, ThereName) ->
    sh(["ip link add ", HereName, " type veth peer name ", ThereName, " netns ", Pid]),
    Up = fun(Name) -> ["ip link set ", Name, " addrgenmode none up"] end,
    sh(Up(HereName)),
    sh(There, Up(ThereName)).

%%% TCP between a guest and the kernel of a namespace (`here': the node's)

%% The file, made the same in the guest; its checksum.
file(Machine) ->
    Make = io_lib:format("seq 1 9999999 | head -c ~b > /tmp/file; cksum < /tmp/file", [?SIZE]),
    [Sum] = evum_test:sh(Machine, Make),
    Sum.

%% From the guest to an address: what arrives.
upload(Machine, Address, Netns) ->
    transfer(Address, Netns, fun(Port) ->
        [] = evum_test:sh(Machine, ["socat -u /tmp/file ", socat(Address, Port)])
    end, fun(Socket) -> receive_all(Socket, 0, []) end).

%% To the guest: the checksum of what arrives.
download(Machine, Address, Netns) ->
    Content = content(),
    transfer(Address, Netns, fun(Port) ->
        [Sum] = evum_test:sh(Machine, ["socat -u ", socat(Address, Port), " - | cksum"]),
        Sum
    end, fun(Socket) -> ok = gen_tcp:send(Socket, Content) end).

socat(Address, Port) ->
    case tuple_size(Address) of
        4 -> ["tcp:", inet:ntoa(Address), ":", integer_to_list(Port)];
        8 -> ["tcp6:[", inet:ntoa(Address), "]:", integer_to_list(Port)]
    end.

content() ->
    Whole = iolist_to_binary([[integer_to_list(N), $\n] || N <- lists:seq(1, ?SIZE div 6)]),
    binary:part(Whole, 0, ?SIZE).

transfer(Address, Netns, InGuest, Serve) ->
    Family =
        case tuple_size(Address) of
            4 -> inet;
            8 -> inet6
        end,
    {ok, Listener} = gen_tcp:listen(
        0, [Family, binary, {ip, Address}, {active, false} | in(Netns)]
    ),
    {ok, Port} = inet:port(Listener),
    Self = self(),
    Server = spawn_link(fun() ->
        {ok, Socket} = gen_tcp:accept(Listener, ?LIMIT),
        Result = Serve(Socket),
        ok = gen_tcp:close(Socket),
        Self ! {self(), Result}
    end),
    InGuestResult = InGuest(Port),
    receive
        {Server, ok} -> InGuestResult;
        {Server, Result} -> Result
    after ?LIMIT -> error(timeout)
    end.

%% Options of a socket in a namespace.
in(here) -> [];
in(#netns{pid = Pid}) -> [{netns, "/proc/" ++ Pid ++ "/ns/net"}].

%% The checksum, as cksum(1) has it.
receive_all(Socket, Size, Parts) ->
    case gen_tcp:recv(Socket, 0, ?LIMIT) of
        {ok, Part} ->
            receive_all(Socket, Size + byte_size(Part), [Part | Parts]);
        {error, closed} ->
            Content = content(),
            case iolist_to_binary(lists:reverse(Parts)) of
                Content -> same;
                _ -> {different, Size}
            end
    end.
