%% SPDX-License-Identifier: Apache-2.0
%% Peers of a switch that are no machines: this end of a port of either kind,
%% made of plain sockets, which may also misbehave.
-module(evum_peer).

-export([handed_over/2, hand_over_bad/3, of_stream/1, send_raw/2, port/1]).
-export([bess/1, daemon/1, vhost/1, stream/1, dgram/2, misdeed/2]).
-export([control/1, request/1, request/2]).
-export([tagged/2]).
-export([os_pid/1, send/2, send/3, recv/1, recv/2, switch/1, close/1, mac/1, frame/3, frame/2]).

-record(peer, {
    kind :: bess | daemon | vhost | stream | dgram,
    frames :: socket:socket() | port(),
    control :: undefined | socket:socket(),
    %% where frames go, for the kind daemon
    switch :: undefined | socket:sockaddr()
}).

%% Whatever is waited for comes within that time, ms.
-define(LIMIT, 10000).
-define(MAGIC, 16#feedface).

%% A vector guest: a connection, a frame a packet.
bess(Path) ->
    {ok, Socket} = socket:open(local, seqpacket, default),
    ok = socket:connect(Socket, local([Path, ".bess"])),
    #peer{kind = bess, frames = Socket}.

%% A guest with the daemon transport, bound as arch/um/drivers/daemon_user.c
%% does it: to an abstract address of full length.
daemon(Path) ->
    {ok, Frames} = socket:open(local, dgram, default),
    Name = <<0, "evum-peer-", (random_name())/binary>>,
    Own = <<Name/binary, 0:((108 - byte_size(Name)) * 8)>>,
    ok = socket:bind(Frames, local(Own)),
    Control = control(Path),
    ok = socket:send(Control, request(Own)),
    {ok, <<1:16/native, Data:108/binary>>} = socket:recv(Control, 110, ?LIMIT),
    #peer{kind = daemon, frames = Frames, control = Control, switch = local(Data)}.

%% A stream with lengths, as QEMU and passt have it, to a unix or TCP address.
stream(#{family := Family} = Address) ->
    {ok, Socket} = socket:open(Family, stream, default),
    ok = socket:connect(Socket, Address),
    #peer{kind = stream, frames = Socket};
stream(Path) ->
    stream(local(Path)).

of_stream(Socket) ->
    #peer{kind = stream, frames = Socket}.

%% Bytes as they are.
send_raw(#peer{kind = stream, frames = Socket}, Bytes) ->
    socket:send(Socket, Bytes, ?LIMIT).

%% The UDP port of a peer.
port(#peer{frames = Socket}) ->
    {ok, #{port := Port}} = socket:sockname(Socket),
    Port.

%% One end of a pair of packet sockets, made by way of a path that is free, goes
%% to the switch.
handed_over(Door, Path) ->
    {Ours, Theirs} = pair(seqpacket, Path),
    ok = hand_over(Door, [Theirs]),
    ok = socket:close(Theirs),
    #peer{kind = bess, frames = Ours}.

%% What is no packet socket.
hand_over_bad(Kind, Door, Path) ->
    {Ours, Theirs} = pair(
        case Kind of
            many -> seqpacket;
            stream -> stream
        end,
        Path
    ),
    ok = hand_over(
        Door,
        case Kind of
            many -> [Theirs, Ours, Theirs];
            stream -> [Theirs]
        end
    ),
    ok = socket:close(Ours),
    socket:close(Theirs).

pair(Type, Path) ->
    {ok, Listener} = socket:open(local, Type, default),
    ok = socket:bind(Listener, local(Path)),
    ok = socket:listen(Listener),
    {ok, Ours} = socket:open(local, Type, default),
    ok = socket:connect(Ours, local(Path)),
    {ok, Theirs} = socket:accept(Listener),
    ok = socket:close(Listener),
    ok = file:delete(Path),
    {Ours, Theirs}.

hand_over(Door, Sockets) ->
    {ok, Socket} = socket:open(local, stream, default),
    ok = socket:connect(Socket, local(Door)),
    Fds = [
        begin
            {ok, Fd} = socket:getopt(S, {otp, fd}),
            <<Fd:32/native>>
        end
     || S <- Sockets
    ],
    Rights = #{level => socket, type => rights, data => iolist_to_binary(Fds)},
    ok = socket:sendmsg(Socket, #{iov => [<<0>>], ctrl => [Rights]}),
    %% It is closed once that was taken.
    _ = socket:recv(Socket, 0, ?LIMIT),
    socket:close(Socket).

%% A datagram socket between two addresses.
dgram(#{family := Family} = Own, Switch) ->
    {ok, Socket} = socket:open(Family, dgram, default),
    ok = socket:bind(Socket, Own),
    #peer{kind = dgram, frames = Socket, switch = Switch}.

random_name() ->
    binary:encode_hex(<<(rand:uniform(1 bsl 128) - 1):128>>).

%% A virtio card, whose memory is shared: by a program of its own, which takes
%% and gives frames here (c_src/test/vhost_peer.c).
vhost(Path) ->
    #peer{kind = vhost, frames = vhost_peer(Path, "relay", [{packet, 4}])}.

%% A card that does wrong in a way that the program knows: a port of the BEAM,
%% which tells its exit status, 0 once the switch has closed the connection. What
%% a misdeed that lasts does ends with the port.
misdeed(Path, Name) ->
    vhost_peer(Path, Name, [exit_status]).

vhost_peer(Path, Mode, Options) ->
    Top = evum_test:top(),
    Built = os:cmd("make -s -C '" ++ filename:join(Top, "c_src") ++ "' peers"),
    Program = filename:join([Top, "build", "vhost_peer"]),
    filelib:is_regular(Program) orelse error({make, Built}),
    Args = [[Path, ".vhost"], Mode],
    open_port({spawn_executable, Program}, [{args, [iolist_to_binary(A) || A <- Args]}, binary | Options]).

%% A control connection that has not asked for anything.
control(Path) ->
    {ok, Control} = socket:open(local, stream, default),
    ok = socket:connect(Control, local(Path)),
    Control.

%% A request for a port, 124 bytes, with fields replaced.
request(Address) ->
    request(Address, #{}).

request(Address, Fields) ->
    Path = iolist_to_binary(Address),
    <<
        (maps:get(magic, Fields, ?MAGIC)):32/native,
        (maps:get(version, Fields, 3)):32/native,
        (maps:get(type, Fields, 0)):32/native,
        (maps:get(family, Fields, 1)):16/native,
        Path/binary,
        0:((108 - byte_size(Path)) * 8),
        0:16
    >>.

%% The process that a switch sees behind the port.
os_pid(#peer{kind = vhost, frames = Port}) ->
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    Pid;
os_pid(_) ->
    list_to_integer(os:getpid()).

send(Peer, Frame) ->
    send(Peer, Frame, ?LIMIT).

send(#peer{kind = bess, frames = Socket}, Frame, Timeout) ->
    socket:send(Socket, Frame, Timeout);
send(#peer{kind = stream, frames = Socket}, Frame, Timeout) ->
    socket:send(Socket, [<<(byte_size(Frame)):32>>, Frame], Timeout);
send(#peer{kind = dgram, frames = Socket, switch = Switch}, Frame, Timeout) ->
    socket:sendto(Socket, Frame, Switch, Timeout);
send(#peer{kind = daemon, frames = Socket, switch = Switch}, Frame, Timeout) ->
    socket:sendto(Socket, Frame, Switch, Timeout);
send(#peer{kind = vhost, frames = Port}, Frame, _Timeout) ->
    true = port_command(Port, Frame),
    ok.

%% Where a peer of the kind daemon sends its frames.
switch(#peer{switch = Switch}) ->
    Switch.

%% The next frame, or an error; peers of the test always expect one.
recv(Peer) ->
    {ok, Frame} = recv(Peer, ?LIMIT),
    Frame.

recv(#peer{kind = vhost, frames = Port}, Timeout) ->
    receive
        {Port, {data, Frame}} -> {ok, Frame}
    after Timeout -> {error, timeout}
    end;
recv(#peer{kind = stream, frames = Socket}, Timeout) ->
    case socket:recv(Socket, 4, Timeout) of
        {ok, <<Size:32>>} -> socket:recv(Socket, Size, ?LIMIT);
        {error, {timeout, _}} -> {error, timeout};
        {error, _} = Error -> Error
    end;
recv(#peer{frames = Socket}, Timeout) ->
    socket:recv(Socket, 65536, [], Timeout).

close(#peer{kind = vhost, frames = Port}) ->
    true = port_close(Port),
    ok;
close(#peer{frames = Frames, control = Control}) ->
    ok = socket:close(Frames),
    Control =:= undefined orelse socket:close(Control),
    ok.

%% The N-th station.
mac(broadcast) -> <<16#ffffffffffff:48>>;
mac(N) when is_integer(N) -> <<2, N:40>>.

%% From Source to Destination; the payload is a term or of a size.
frame(Destination, Source) ->
    frame(Destination, Source, make_ref()).

frame(Destination, Source, {size, Size}) ->
    Payload = binary:copy(<<Source>>, Size - 14),
    <<(mac(Destination))/binary, (mac(Source))/binary, 16#88b5:16, Payload/binary>>;
frame(Destination, Source, Term) ->
    <<
        (mac(Destination))/binary,
        (mac(Source))/binary,
        %% IEEE 802, local experiment 1
        16#88b5:16,
        (term_to_binary(Term))/binary
    >>.

%% The frame with a tag of 802.1Q: its priority, drop eligibility and VLAN, or
%% the VLAN alone.
tagged({Priority, Eligible, Vlan}, <<Addresses:12/binary, Rest/binary>>) ->
    <<Addresses/binary, 16#8100:16, Priority:3, Eligible:1, Vlan:12, Rest/binary>>;
tagged(Vlan, Frame) ->
    tagged({0, 0, Vlan}, Frame).

local(Path) ->
    #{family => local, path => iolist_to_binary(Path)}.
