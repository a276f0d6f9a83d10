%% SPDX-License-Identifier: Apache-2.0
%% @doc The ways out of a switch: the options of `nat', validated whole (pure),
%% and the calls behind {@link evum_switch:uplink/3}. {@link evum_uplink_options}
%% has the options of the others.
%%
%% Options of `nat', a map or a property list. Addresses are tuples of
%% {@link inet} or text.
%% <table>
%% <tr><td>`subnet'</td><td>of the guests, with a prefix of 8 to 27 bits, or
%%   `none'. Its first address is the gateway, its third the resolver, leases
%%   start at its fifteenth. Default: `"192.168.213.0/24"'</td></tr>
%% <tr><td>`subnet6'</td><td>64 bits, announced by router advertisements, or
%%   `none'. Its second address is the gateway, its third the resolver. Default:
%%   `"fd00::/64"'</td></tr>
%% <tr><td>`restrict'</td><td>nothing leaves the switch but answers to what
%%   comes in by a forward. Default: `false'</td></tr>
%% <tr><td>`host_loopback'</td><td>at the gateway's address guests reach what
%%   listens at the host's loopback. Default: `true'</td></tr>
%% <tr><td>`dhcp'</td><td>hand out IPv4 addresses, 4096 at most. Default: `true'</td></tr>
%% <tr><td>`bind'</td><td>addresses of the host that connections to the world
%%   come from, at most one of each family. Default: `[]', the host's
%%   choice</td></tr>
%% <tr><td>`mtu'</td><td>bytes, 1280 to 65521. Default: 1500</td></tr>
%% <tr><td>`domain'</td><td>told by DHCP. Default: `""', none</td></tr>
%% </table>
-module(evum_uplink).

-export([open/3, open_default/1, dhcp_only/0, dhcp/1]).
-export([forward/4, unforward/3, forwards/1]).
-export([nat/1, check/2, check_forward/3, overlap/2, free/1]).

-export_type([kind/0, options/0, address/0, end_point/0, protocol/0, error/0, nat/0]).

-include_lib("kernel/include/logger.hrl").

-type kind() :: nat | tap | pcap | vxlan.
-type options() :: #{atom() => term()} | [atom() | {atom(), term()}].
-type address() :: inet:ip_address() | string() | binary().
-type end_point() :: {address(), inet:port_number()}.
-type protocol() :: tcp | udp.
%% `overlap': the subnet is one that the host is in, by that interface.
%% `uplink' and `forward' name what failed and the host's reason, with what it
%% is about where that is something else: `{eperm, cap_net_admin}', a capability
%% that evum_net lacks, `{enoent, "/dev/net/tun"}', `{einval, mtu}',
%% `{eaddrnotavail, bind}'. `bpf' is what the compiler of a filter says.
-type error() ::
    {bad_option, Key :: term(), Value :: term()}
    | {overlap, Subnet :: string(), Interface :: string()}
    | {uplink, uplink(), Errno :: atom() | {Errno :: atom(), What :: atom() | string()}}
    | {bpf, Message :: binary()}
    | {forward, {protocol(), end_point()}, Errno :: atom()}.
-type uplink() ::
    nat
    | {tap | pcap, Interface :: string()}
    | {vxlan, Local :: {inet:ip_address(), inet:port_number()}}.
%% What evum_net is told, see doc/port-protocol.md.
-type nat() :: tuple().
-type subnet() :: none | {inet:ip_address(), Prefix :: pos_integer()}.

-define(SUBNET, "192.168.213.0/24").
-define(SUBNET6, "fd00::/64").
%% The addresses of a subnet by their place in it. DHCP hands out those
%% from the fifteenth on.
-define(GATEWAY, 1).
%% libslirp is the router fe80::2 whatever it is told, and answers who looks for
%% that if the gateway has the same place.
-define(GATEWAY6, 2).
-define(RESOLVER, 3).
-define(FIRST_LEASE, 15).
%% Of a larger subnet, what DHCP hands out: each lease is kept and looked at.
-define(LEASES_MAX, 4096).
%% IPv6 wants 1280 (RFC 8200); libslirp's IF_MTU_MAX.
-define(MTU, 1500).
-define(MTU_MIN, 1280).
-define(MTU_MAX, 65521).
%% RFC 1035
-define(DOMAIN_MAX, 253).

%%% Calls

%% @doc Open an uplink. Returns the id of its port.
-spec open(pid(), kind(), options()) -> {ok, evum_fdb:port_id()} | {error, error()}.
open(Switch, nat, Options) ->
    {ok, Interfaces} = inet:getifaddrs(),
    case nat(Options) of
        {ok, Nat} ->
            case overlap(subnets(Options), Interfaces) of
                ok -> opened(Switch, dhcp(Options), evum_switch:ask(Switch, nat, Nat));
                {error, _} = Error -> Error
            end;
        {error, _} = Error ->
            Error
    end;
open(Switch, tap, Options) ->
    bridge(Switch, tap, evum_uplink_options:tap(Options));
open(Switch, pcap, Options) ->
    bridge(Switch, pcap, evum_uplink_options:pcap(Options));
open(Switch, vxlan, Options) ->
    bridge(Switch, vxlan, evum_uplink_options:vxlan(Options));
open(_Switch, Kind, _Options) ->
    {error, {bad_option, kind, Kind}}.

bridge(Switch, Kind, {ok, Request}) ->
    case evum_switch:ask(Switch, Kind, Request) of
        {ok, _} = Ok -> Ok;
        {error, {bpf, _}} = Error -> Error;
        {error, {Step, Errno}} -> {error, {uplink, {Kind, name(Request)}, reason(Kind, Step, Errno)}}
    end;
bridge(_Switch, _Kind, {error, _} = Error) ->
    Error.

name({Interface, _}) -> unicode:characters_to_list(Interface);
name({_Vni, {inet, Ip, Port}, _Remotes}) -> {tuple(Ip), Port}.

reason(_, device, Errno) -> {Errno, "/dev/net/tun"};
reason(_, mtu, Errno) -> {Errno, mtu};
reason(tap, interface, eperm) -> {eperm, cap_net_admin};
reason(pcap, socket, eperm) -> {eperm, cap_net_raw};
reason(_, _, Errno) -> Errno.

opened(_Switch, none, {ok, _} = Ok) ->
    Ok;
opened(Switch, Dhcp, {ok, _} = Ok) ->
    ok = evum_dhcp_server:start(Switch, Dhcp),
    Ok;
opened(_Switch, _Dhcp, {error, {bind, Errno}}) ->
    {error, {uplink, nat, {Errno, bind}}};
opened(_Switch, _Dhcp, {error, {nat, Errno}}) ->
    {error, {uplink, nat, Errno}}.

%% @doc The uplink of the switch that is started where none runs: `uplink' in
%% the application's environment, `{nat, Options}' or `none'. A default subnet
%% that the host is in itself is left out. Without an uplink the switch works all
%% the same, so a failure is only told of.
-spec open_default(pid()) -> ok.
open_default(Switch) ->
    case application:get_env(evum, uplink, default) of
        none ->
            ok;
        default ->
            {ok, Interfaces} = inet:getifaddrs(),
            told(open(Switch, nat, free(Interfaces)));
        {Kind, Options} ->
            told(open(Switch, Kind, Options))
    end.

told({ok, _}) -> ok;
told({error, Reason}) -> ?LOG_WARNING("evum: the default switch has no uplink: ~p", [Reason]).

%% @doc Options of `nat' that leave out the default subnets that the host, with
%% these interfaces, is in.
-spec free([{Interface :: string(), [tuple()]}]) -> #{subnet => none, subnet6 => none}.
free(Interfaces) ->
    maps:from_list([
        {Key, none}
     || Key <- [subnet, subnet6], overlap([maps:get(Key, defaults())], Interfaces) =/= ok
    ]).

%% @doc Options of the `nat' of a switch that has no uplink but DHCP.
-spec dhcp_only() -> options().
dhcp_only() ->
    #{restrict => true, subnet6 => none}.

%% @doc What {@link evum_dhcp_server} is to be told for these options, which are
%% good. A guest that nothing leads out for is not told of a router.
-spec dhcp(options()) -> none | map().
dhcp(Options) ->
    case maps:merge(defaults(), maps:map(fun option/2, evum_uplink_options:to_map(Options))) of
        #{dhcp := true, subnet := {Network, Prefix}} = Nat -> dhcp(Network, Prefix, Nat);
        #{} -> none
    end.

dhcp(Network, Prefix, #{restrict := Restrict, mtu := Mtu, domain := Domain}) ->
    <<Number:32>> = bytes(Network),
    Mask = 16#ffffffff bxor ((1 bsl (32 - Prefix)) - 1),
    Gateway = <<(Number + ?GATEWAY):32>>,
    Broadcast = Number bor (Mask bxor 16#ffffffff),
    Out = #{router => Gateway, resolver => <<(Number + ?RESOLVER):32>>},
    maps:merge(
        #{
            first => <<(Number + ?FIRST_LEASE):32>>,
            last => <<(min(Broadcast - 1, Number + ?FIRST_LEASE + ?LEASES_MAX - 1)):32>>,
            server => {Gateway, gateway_mac(Gateway)},
            mask => <<Mask:32>>
        },
        maps:merge(
            maps:from_list([{mtu, Mtu} || Mtu =/= ?MTU] ++ [{domain, Domain} || Domain =/= <<>>]),
            case Restrict of
                true -> #{};
                false -> Out
            end
        )
    ).

%% As libslirp makes it.
gateway_mac(Address) -> <<16#52, 16#55, Address/binary>>.

%% @doc See {@link evum_switch:forward/4}.
-spec forward(pid(), protocol(), end_point(), end_point()) -> ok | {error, error()}.
forward(Switch, Protocol, Host, Guest) ->
    case check_forward(Protocol, Host, Guest) of
        {ok, Arg} -> forwarded(Protocol, Host, evum_switch:ask(Switch, forward, Arg));
        {error, _} = Error -> Error
    end.

%% @doc What evum_net is to be told of a forward.
-spec check_forward(term(), term(), term()) -> {ok, tuple()} | {error, error()}.
check_forward(Protocol, Host, Guest) ->
    try {is_udp(Protocol), end_point(host, Host), end_point(guest, Guest)} of
        {_, {HostBytes, _}, {GuestBytes, _}} when byte_size(HostBytes) =/= byte_size(GuestBytes) ->
            {error, {bad_option, guest, Guest}};
        Arg ->
            {ok, Arg}
    catch
        throw:{bad_option, _, _} = Error -> {error, Error}
    end.

%% @doc See {@link evum_switch:unforward/3}.
-spec unforward(pid(), protocol(), end_point()) -> ok | {error, error()}.
unforward(Switch, Protocol, Host) ->
    try {is_udp(Protocol), end_point(host, Host)} of
        Arg -> forwarded(Protocol, Host, evum_switch:ask(Switch, unforward, Arg))
    catch
        throw:{bad_option, _, _} = Error -> {error, Error}
    end.

forwarded(_, _, ok) -> ok;
forwarded(Protocol, Host, {error, {_, Errno}}) -> {error, {forward, {Protocol, Host}, Errno}}.

%% @doc See {@link evum_switch:forwards/1}.
-spec forwards(pid()) -> [{protocol(), Host, Guest}] when
    Host :: {inet:ip_address(), inet:port_number()},
    Guest :: {inet:ip_address(), inet:port_number()}.
forwards(Switch) ->
    {ok, Forwards} = evum_switch:ask(Switch, forwards, none),
    lists:sort([
        {protocol(IsUdp), {tuple(Host), HostPort}, {tuple(Guest), GuestPort}}
     || {IsUdp, {Host, HostPort}, {Guest, GuestPort}} <- Forwards
    ]).

protocol(true) -> udp;
protocol(false) -> tcp.

is_udp(tcp) -> false;
is_udp(udp) -> true;
is_udp(Other) -> throw({bad_option, protocol, Other}).

end_point(Key, {Text, Port} = Given) ->
    case address(Text) of
        {ok, Address} when is_integer(Port), Port >= 1, Port =< 65535 -> {bytes(Address), Port};
        _ -> throw({bad_option, Key, Given})
    end;
end_point(Key, Given) ->
    throw({bad_option, Key, Given}).

%%% Options

%% @doc What evum_net is to be told for an uplink's options, as far as one can tell
%% without the host.
-spec check(atom(), options()) -> {ok, tuple()} | {error, error()}.
check(nat, Options) -> nat(Options);
check(tap, Options) -> evum_uplink_options:tap(Options);
check(pcap, Options) -> evum_uplink_options:pcap(Options);
check(vxlan, Options) -> evum_uplink_options:vxlan(Options);
check(Kind, _Options) -> {error, {bad_option, kind, Kind}}.

%% @doc What evum_net is to be told for these options.
-spec nat(options()) -> {ok, nat()} | {error, error()}.
nat(Options) ->
    try
        Given = maps:map(fun option/2, evum_uplink_options:to_map(Options)),
        {ok, request(maps:merge(defaults(), Given))}
    catch
        throw:{bad_option, _, _} = Error -> {error, Error}
    end.

defaults() ->
    maps:map(fun option/2, #{
        subnet => ?SUBNET,
        subnet6 => ?SUBNET6,
        restrict => false,
        host_loopback => true,
        dhcp => true,
        bind => [],
        mtu => ?MTU,
        domain => ""
    }).

option(subnet, none) ->
    none;
option(subnet, Text) ->
    case subnet(Text) of
        {ok, {{_, _, _, _}, Prefix} = Subnet} when Prefix >= 8, Prefix =< 27 -> Subnet;
        _ -> throw({bad_option, subnet, Text})
    end;
option(subnet6, none) ->
    none;
option(subnet6, Text) ->
    case subnet(Text) of
        {ok, {{_, _, _, _, _, _, _, _}, 64} = Subnet} -> Subnet;
        _ -> throw({bad_option, subnet6, Text})
    end;
option(Key, Value) when
    is_boolean(Value), Key =:= restrict orelse Key =:= host_loopback orelse Key =:= dhcp
->
    Value;
option(bind, Addresses) when is_list(Addresses), length(Addresses) =< 2 ->
    Parsed = [address(Address) || Address <- Addresses],
    Families = [tuple_size(Address) || {ok, Address} <- Parsed],
    length(lists:usort(Families)) =:= length(Parsed) orelse throw({bad_option, bind, Addresses}),
    [Address || {ok, Address} <- Parsed];
option(mtu, Mtu) when is_integer(Mtu), Mtu >= ?MTU_MIN, Mtu =< ?MTU_MAX ->
    Mtu;
option(domain, Domain) ->
    try iolist_to_binary(Domain) of
        Name when byte_size(Name) =< ?DOMAIN_MAX ->
            case re:run(Name, "^[A-Za-z0-9.-]*$", [{capture, none}, dollar_endonly]) of
                match -> Name;
                nomatch -> throw({bad_option, domain, Domain})
            end;
        _ ->
            throw({bad_option, domain, Domain})
    catch
        error:badarg -> throw({bad_option, domain, Domain})
    end;
option(Key, Value) ->
    throw({bad_option, Key, Value}).

request(#{subnet := Subnet, subnet6 := Subnet6, bind := Bind} = Nat) ->
    #{restrict := Restrict, host_loopback := Loopback, mtu := Mtu} = Nat,
    {
        {Restrict, Loopback},
        family(Subnet, [?GATEWAY, ?RESOLVER], bound(4, Bind), 4),
        family(Subnet6, [?GATEWAY6, ?RESOLVER], bound(8, Bind), 16),
        Mtu
    }.

%% Without the family evum_net looks at nothing but the first element.
family(none, Places, Bind, Size) ->
    Zero = binary:copy(<<0>>, Size),
    list_to_tuple([false, 1, Zero | [Zero || _ <- Places]] ++ [any(Bind, Zero)]);
family({Network, Prefix}, Places, Bind, Size) ->
    Bits = Size * 8,
    <<Number:Bits>> = Bytes = bytes(Network),
    Addresses = [<<(Number + Place):Bits>> || Place <- Places],
    Any = any(Bind, binary:copy(<<0>>, Size)),
    list_to_tuple([true, Prefix, Bytes | Addresses] ++ [Any]).

any(none, Zero) -> Zero;
any(Address, _) -> bytes(Address).

bound(Arity, Addresses) ->
    case [Address || Address <- Addresses, tuple_size(Address) =:= Arity] of
        [Address] -> Address;
        [] -> none
    end.

%%% Subnets

subnets(Options) ->
    #{subnet := Subnet, subnet6 := Subnet6} = maps:merge(
        defaults(), maps:map(fun option/2, evum_uplink_options:to_map(Options))
    ),
    [Subnet, Subnet6].

%% @doc Does the host have an address in one of these subnets, or is its own
%% subnet in one of them? Guests could not reach what is there.
-spec overlap([subnet()], [{Interface :: string(), [tuple()]}]) -> ok | {error, error()}.
overlap(Subnets, Interfaces) ->
    Found = [
        {overlap, text(Subnet), Name}
     || {_, _} = Subnet <- Subnets,
        {Name, Properties} <- Interfaces,
        Own <- addresses(Properties),
        overlaps(Subnet, Own)
    ],
    case Found of
        [] -> ok;
        [First | _] -> {error, First}
    end.

%% An address is followed by its mask.
addresses([{addr, Address}, {netmask, Mask} | Rest]) ->
    [{Address, ones(bytes(Mask))} | addresses(Rest)];
addresses([_ | Rest]) ->
    addresses(Rest);
addresses([]) ->
    [].

ones(Mask) ->
    length([1 || <<1:1>> <= Mask]).

overlaps({A, PrefixA}, {B, PrefixB}) when tuple_size(A) =:= tuple_size(B) ->
    Common = min(PrefixA, PrefixB),
    <<HeadA:Common/bitstring, _/bitstring>> = bytes(A),
    <<HeadB:Common/bitstring, _/bitstring>> = bytes(B),
    HeadA =:= HeadB;
overlaps(_, _) ->
    false.

%% The network of "address/prefix", without bits behind the prefix.
subnet(Text) when is_list(Text); is_binary(Text) ->
    try
        [Address, Digits] = string:split(unicode:characters_to_list(Text), "/"),
        Prefix = list_to_integer(Digits),
        {ok, Network} = address(Address),
        Bytes = bytes(Network),
        Behind = bit_size(Bytes) - Prefix,
        <<_:Prefix/bitstring, 0:Behind>> = Bytes,
        {ok, {Network, Prefix}}
    catch
        error:_ -> error
    end;
subnet(_) ->
    error.

text({Network, Prefix}) ->
    inet:ntoa(Network) ++ "/" ++ integer_to_list(Prefix).

address(Text) when is_binary(Text) ->
    address(binary_to_list(Text));
address(Text) when is_list(Text) ->
    try
        inet:parse_strict_address(Text)
    catch
        error:_ -> error
    end;
address(Address) when is_tuple(Address) ->
    case inet:is_ip_address(Address) of
        true -> {ok, Address};
        false -> error
    end;
address(_) ->
    error.

bytes({A, B, C, D}) -> <<A, B, C, D>>;
bytes({A, B, C, D, E, F, G, H}) -> <<A:16, B:16, C:16, D:16, E:16, F:16, G:16, H:16>>.

tuple(<<A, B, C, D>>) -> {A, B, C, D};
tuple(<<A:16, B:16, C:16, D:16, E:16, F:16, G:16, H:16>>) -> {A, B, C, D, E, F, G, H}.
