%% SPDX-License-Identifier: Apache-2.0
%% @doc Messages of rtnetlink(7), as bytes: a pure module. What needs a tool in
%% other systems is asked of a guest's kernel directly: {@link evum_netconf}
%% makes them, the agent carries them.
%%
%% Numbers are in the byte order of the guest, which is the host's. What a
%% guest answers is checked: {@link decode/1} returns `error' for what is no
%% sequence of messages.
-module(evum_rtnl).

-export([set_link/3, get_link/1, get_links/0, add_address/3, delete_address/3, get_addresses/0, add_route/3]).
-export([decode/1]).

-export_type([address/0, reply/0]).

%% linux/netlink.h
-define(REQUEST, 16#1).
-define(ACK, 16#4).
-define(DUMP, 16#300).
-define(REPLACE, 16#100).
-define(CREATE, 16#400).
-define(NLMSG_ERROR, 2).
-define(NLMSG_DONE, 3).
%% linux/rtnetlink.h
-define(NEWLINK, 16).
-define(GETLINK, 18).
-define(SETLINK, 19).
-define(NEWADDR, 20).
-define(DELADDR, 21).
-define(GETADDR, 22).
-define(NEWROUTE, 24).
-define(RTA_DST, 1).
-define(RTA_OIF, 4).
-define(RTA_GATEWAY, 5).
-define(TABLE_MAIN, 254).
-define(PROTO_STATIC, 4).
-define(SCOPE_UNIVERSE, 0).
-define(SCOPE_LINK, 253).
-define(UNICAST, 1).
%% linux/if_link.h, linux/if.h
-define(IFLA_IFNAME, 3).
-define(IFLA_MTU, 4).
-define(IFF_UP, 1).
%% linux/if_addr.h
-define(IFA_ADDRESS, 1).
-define(IFA_LOCAL, 2).
-define(IFA_BROADCAST, 4).
-define(IFA_FLAGS, 8).
-define(IFA_F_NODAD, 16#2).
-define(IFA_F_PERMANENT, 16#80).

-type address() :: {inet:ip_address(), PrefixLength :: 0..128}.
-type reply() ::
    {link, Index :: integer(), Name :: binary()}
    %% global ones; `dynamic': that DHCP or a router's advertisement set
    | {address, Index :: integer(), address(), permanent | dynamic}
    | done
    | {error, Errno :: non_neg_integer()}
    | other.

%% @doc Bring an interface up, with an MTU where one is given.
-spec set_link(binary(), none | pos_integer(), Seq :: non_neg_integer()) -> binary().
set_link(Name, Mtu, Seq) ->
    message(?SETLINK, ?REQUEST bor ?ACK, Seq, [
        ifinfo(?IFF_UP, ?IFF_UP),
        attribute(?IFLA_IFNAME, <<Name/binary, 0>>),
        [attribute(?IFLA_MTU, <<Mtu:32/native>>) || Mtu =/= none]
    ]).

%% @doc Ask for an interface by its name.
-spec get_link(binary()) -> binary().
get_link(Name) ->
    message(?GETLINK, ?REQUEST bor ?ACK, 0, [
        ifinfo(0, 0), attribute(?IFLA_IFNAME, <<Name/binary, 0>>)
    ]).

%% @doc Ask for all interfaces.
-spec get_links() -> binary().
get_links() ->
    message(?GETLINK, ?REQUEST bor ?DUMP, 0, ifinfo(0, 0)).

%% @doc Give an interface an address; it can be used at once, whoever else may
%% have it.
-spec add_address(integer(), address(), Seq :: non_neg_integer()) -> binary().
add_address(Index, {IP, Prefix} = Address, Seq) ->
    message(?NEWADDR, ?REQUEST bor ?ACK bor ?CREATE bor ?REPLACE, Seq, [
        ifaddr(Index, Address),
        attribute(?IFA_LOCAL, bytes(IP)),
        attribute(?IFA_ADDRESS, bytes(IP)),
        [attribute(?IFA_BROADCAST, broadcast(bytes(IP), Prefix)) || tuple_size(IP) =:= 4, Prefix < 31],
        [attribute(?IFA_FLAGS, <<?IFA_F_NODAD:32/native>>) || tuple_size(IP) =:= 8]
    ]).

%% @doc Take an address away from an interface.
-spec delete_address(integer(), address(), Seq :: non_neg_integer()) -> binary().
delete_address(Index, {IP, _} = Address, Seq) ->
    message(?DELADDR, ?REQUEST bor ?ACK, Seq, [
        ifaddr(Index, Address), attribute(?IFA_LOCAL, bytes(IP)), attribute(?IFA_ADDRESS, bytes(IP))
    ]).

%% @doc Ask for the addresses of all interfaces.
-spec get_addresses() -> binary().
get_addresses() ->
    message(?GETADDR, ?REQUEST bor ?DUMP, 0, <<0:64>>).

%% @doc Lead packets for a network to a gateway, by an interface, or both.
-spec add_route(address(), none | inet:ip_address(), none | integer()) -> binary().
add_route({IP, Prefix}, Gateway, Index) ->
    Scope =
        case Gateway of
            none -> ?SCOPE_LINK;
            _ -> ?SCOPE_UNIVERSE
        end,
    message(?NEWROUTE, ?REQUEST bor ?ACK bor ?CREATE bor ?REPLACE, 0, [
        <<(family(IP)), Prefix, 0, 0, ?TABLE_MAIN, ?PROTO_STATIC, Scope, ?UNICAST, 0:32>>,
        [attribute(?RTA_DST, bytes(IP)) || Prefix > 0],
        [attribute(?RTA_GATEWAY, bytes(Gateway)) || Gateway =/= none],
        [attribute(?RTA_OIF, <<Index:32/native>>) || Index =/= none]
    ]).

%% @doc The kernel's answers.
-spec decode(binary()) -> {ok, [reply()]} | error.
decode(Bytes) ->
    decode(Bytes, []).

decode(<<>>, Replies) ->
    {ok, lists:reverse(Replies)};
decode(<<Length:32/native, Type:16/native, _:80, Rest/binary>>, Replies) when
    Length >= 16, byte_size(Rest) >= Length - 16
->
    <<Body:(Length - 16)/binary, More/binary>> = Rest,
    decode(skip(padding(Length), More), [reply(Type, Body) | Replies]);
decode(_, _) ->
    error.

reply(?NLMSG_ERROR, <<0:32, _/binary>>) ->
    done;
reply(?NLMSG_ERROR, <<Error:32/native-signed, _/binary>>) ->
    {error, abs(Error)};
reply(?NLMSG_DONE, _) ->
    done;
reply(?NEWLINK, <<_:32, Index:32/native-signed, _:64, Attributes/binary>>) ->
    [Name | _] = binary:split(maps:get(?IFLA_IFNAME, attributes(Attributes, #{}), <<>>), <<0>>),
    {link, Index, Name};
reply(?NEWADDR, <<Family, Prefix, Flags, ?SCOPE_UNIVERSE, Index:32/native, Attributes/binary>>) ->
    Found = attributes(Attributes, #{}),
    Lasts =
        case Flags band ?IFA_F_PERMANENT of
            0 -> dynamic;
            _ -> permanent
        end,
    case {Family, maps:get(?IFA_LOCAL, Found, maps:get(?IFA_ADDRESS, Found, none))} of
        {2, <<A, B, C, D>>} when Prefix =< 32 ->
            {address, Index, {{A, B, C, D}, Prefix}, Lasts};
        {10, <<_:128>> = IP} when Prefix =< 128 ->
            {address, Index, {list_to_tuple([N || <<N:16>> <= IP]), Prefix}, Lasts};
        _ ->
            other
    end;
reply(_, _) ->
    other.

attributes(<<Length:16/native, Type:16/native, Rest/binary>>, Found) when
    Length >= 4, byte_size(Rest) >= Length - 4
->
    <<Value:(Length - 4)/binary, More/binary>> = Rest,
    attributes(skip(padding(Length), More), Found#{Type => Value});
attributes(_, Found) ->
    Found.

message(Type, Flags, Seq, Body) ->
    Bytes = iolist_to_binary(Body),
    <<(16 + byte_size(Bytes)):32/native, Type:16/native, Flags:16/native, Seq:32/native, 0:32,
        Bytes/binary>>.

ifinfo(Flags, Change) ->
    <<0:32, 0:32, Flags:32/native, Change:32/native>>.

ifaddr(Index, {IP, Prefix}) ->
    <<(family(IP)), Prefix, ?IFA_F_PERMANENT, ?SCOPE_UNIVERSE, Index:32/native>>.

attribute(Type, Value) ->
    Length = 4 + byte_size(Value),
    [<<Length:16/native, Type:16/native, Value/binary>>, <<0:(padding(Length) * 8)>>].

%% All begin at multiples of four bytes.
padding(Length) -> -Length band 3.

skip(N, Bytes) when byte_size(Bytes) >= N ->
    <<_:N/binary, Rest/binary>> = Bytes,
    Rest;
skip(_, _) ->
    <<>>.

family(IP) when tuple_size(IP) =:= 4 -> 2;
family(IP) when tuple_size(IP) =:= 8 -> 10.

bytes({A, B, C, D}) -> <<A, B, C, D>>;
bytes(IP) -> <<<<N:16>> || N <- tuple_to_list(IP)>>.

broadcast(<<IP:32>>, Prefix) ->
    <<(IP bor ((1 bsl (32 - Prefix)) - 1)):32>>.
