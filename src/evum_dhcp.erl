%% SPDX-License-Identifier: Apache-2.0
%% @doc DHCP as it is on the wire, for a server: Ethernet frames of clients in,
%% frames of answers out. A pure module. RFC 2131 has the format, RFC 2132 the
%% options.
-module(evum_dhcp).

-export([decode/1, encode/1]).

-export_type([request/0, reply/0, kind/0]).

-define(IPV4, 16#0800).
-define(UDP, 17).
-define(SERVER_PORT, 67).
-define(CLIENT_PORT, 68).
-define(ETHERNET, 1).
-define(COOKIE, 16#63825363).
-define(BROADCAST, <<255, 255, 255, 255>>).
-define(TTL, 64).
%% RFC 2131, 2: what every client takes. BOOTP's size, which some insist on.
-define(MESSAGE_MIN, 300).
%% An option's length is a byte.
-define(TEXT_MAX, 255).

-type ip() :: <<_:32>>.
-type mac() :: <<_:48>>.
-type kind() :: discover | offer | request | decline | ack | nak | release | inform.
-type request() :: #{
    kind := kind(),
    %% of the frame, and of the client as it says
    from := mac(),
    mac := mac(),
    xid := non_neg_integer(),
    broadcast := boolean(),
    %% the client's address where it has one already
    client := ip(),
    relay := ip(),
    requested => ip(),
    server => ip(),
    hostname => binary()
}.
-type reply() :: #{
    kind := offer | ack | nak,
    to := request(),
    server := {ip(), mac()},
    %% none in a nak, and zero in the answer to an inform
    address => ip(),
    %% seconds
    lease => pos_integer(),
    mask => ip(),
    router => ip(),
    resolver => ip(),
    mtu => pos_integer(),
    domain => binary(),
    hostname => binary()
}.

%% @doc A client's message to a server. `error' where it is none, or broken.
-spec decode(binary()) -> {ok, request()} | error.
decode(<<_To:6/binary, From:6/binary, ?IPV4:16, 4:4, Ihl:4, _Tos:8, Size:16, _Id:16, Frag:16, _Ttl:8, ?UDP:8,
    Rest/binary>>) when Ihl >= 5, Frag band 16#3fff =:= 0 ->
    %% checksum, source and destination, then options
    Skip = 10 + (Ihl - 5) * 4,
    Payload = Size - Ihl * 4 - 8,
    case Rest of
        <<_:Skip/binary, _:16, ?SERVER_PORT:16, Length:16, _Sum:16, Message:Payload/binary, _Pad/binary>> when
            Length =:= Payload + 8
        ->
            message(Message, From);
        _ ->
            error
    end;
decode(_) ->
    error.

message(
    <<1:8, ?ETHERNET:8, 6:8, _Hops:8, Xid:32, _Secs:16, Broadcast:1, _:15, Client:4/binary, _Your:4/binary,
        _Next:4/binary, Relay:4/binary, Mac:6/binary, _:10/binary, _Sname:64/binary, _File:128/binary,
        ?COOKIE:32, Options/binary>>,
    From
) ->
    case options(Options, #{}) of
        #{53 := <<Kind>>} = Found when is_map_key(Kind, #{1 => 1, 3 => 1, 4 => 1, 7 => 1, 8 => 1}) ->
            Base = #{
                kind => kind(Kind),
                from => From,
                mac => Mac,
                xid => Xid,
                broadcast => Broadcast =:= 1,
                client => Client,
                relay => Relay
            },
            Taken = [
                {Key, Value}
             || {Code, Key, Size} <- [{50, requested, 4}, {54, server, 4}, {12, hostname, any}],
                {ok, Value} <- [maps:find(Code, Found)],
                Size =:= any orelse byte_size(Value) =:= Size
            ],
            {ok, maps:merge(Base, maps:from_list(Taken))};
        _ ->
            error
    end;
message(_, _) ->
    error.

kind(1) -> discover;
kind(3) -> request;
kind(4) -> decline;
kind(7) -> release;
kind(8) -> inform.

options(<<0, Rest/binary>>, Found) -> options(Rest, Found);
options(<<255, _/binary>>, Found) -> Found;
options(<<Code, Size, Value:Size/binary, Rest/binary>>, Found) -> options(Rest, Found#{Code => Value});
options(_, Found) -> Found.

%% @doc The frame of an answer, for the port that the request came from.
-spec encode(reply()) -> binary().
encode(#{to := To, server := {Server, ServerMac}} = Reply) ->
    #{mac := Mac, xid := Xid, broadcast := Broadcast, client := Client} = To,
    Address = maps:get(address, Reply, <<0:32>>),
    Options = options(Reply),
    Message0 =
        <<2:8, ?ETHERNET:8, 6:8, 0:8, Xid:32, 0:16, (bit(Broadcast)):1, 0:15, Client:4/binary,
            Address:4/binary, 0:32, 0:32, Mac:6/binary, 0:80, 0:512, 0:1024, ?COOKIE:32, Options/binary>>,
    Pad = max(0, ?MESSAGE_MIN - byte_size(Message0)),
    Message = <<Message0/binary, 0:Pad/unit:8>>,
    {ToMac, ToIp} = destination(Reply),
    Udp = udp(Server, ToIp, Message),
    Ip = ip(Server, ToIp, byte_size(Udp)),
    <<ToMac/binary, ServerMac/binary, ?IPV4:16, Ip/binary, Udp/binary>>.

bit(true) -> 1;
bit(false) -> 0.

%% RFC 2131, 4.1: a client without an address may want a broadcast, and so it is
%% for each nak.
destination(#{kind := nak}) ->
    {<<-1:48>>, ?BROADCAST};
destination(#{to := #{client := Client, from := From}}) when Client =/= <<0:32>> ->
    {From, Client};
destination(#{to := #{broadcast := true}}) ->
    {<<-1:48>>, ?BROADCAST};
destination(#{to := #{mac := Mac}, address := Address}) ->
    {Mac, Address}.

options(#{kind := Kind, server := {Server, _}} = Reply) ->
    Given = [
        option(Code, Reply, Key)
     || {Code, Key} <- [
            {51, lease}, {1, mask}, {3, router}, {6, resolver}, {26, mtu}, {15, domain}, {12, hostname}
        ],
        is_map_key(Key, Reply)
    ],
    iolist_to_binary([<<53, 1, (code(Kind))>>, <<54, 4, Server/binary>>, Given, 255]).

code(offer) -> 2;
code(ack) -> 5;
code(nak) -> 6.

option(51, #{lease := Seconds}, lease) ->
    <<51, 4, Seconds:32>>;
option(26, #{mtu := Mtu}, mtu) ->
    <<26, 2, Mtu:16>>;
option(Code, Reply, Key) ->
    Value = maps:get(Key, Reply),
    Size = min(byte_size(Value), ?TEXT_MAX),
    <<Code, Size, Value:Size/binary>>.

ip(From, To, Size) ->
    Head = <<4:4, 5:4, 0:8, (20 + Size):16, 0:16, 0:16, ?TTL:8, ?UDP:8>>,
    Sum = checksum(<<Head/binary, From/binary, To/binary>>),
    <<Head/binary, Sum:16, From/binary, To/binary>>.

udp(From, To, Message) ->
    Size = 8 + byte_size(Message),
    Head = <<?SERVER_PORT:16, ?CLIENT_PORT:16, Size:16>>,
    Pseudo = <<From/binary, To/binary, 0, ?UDP, Size:16>>,
    Sum =
        case checksum(<<Pseudo/binary, Head/binary, Message/binary>>) of
            %% RFC 768: zero means that there is none
            0 -> 16#ffff;
            Other -> Other
        end,
    <<Head/binary, Sum:16, Message/binary>>.

%% RFC 1071.
checksum(Bytes) when byte_size(Bytes) rem 2 =:= 1 ->
    checksum(<<Bytes/binary, 0>>);
checksum(Bytes) ->
    folded(lists:sum([Word || <<Word:16>> <= Bytes])) bxor 16#ffff.

folded(Sum) when Sum > 16#ffff -> folded((Sum band 16#ffff) + (Sum bsr 16));
folded(Sum) -> Sum.
