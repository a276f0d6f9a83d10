%% SPDX-License-Identifier: Apache-2.0
%% @doc The options of the uplinks that join a switch with another Ethernet,
%% validated whole (pure). They are a map or a property list; addresses are
%% tuples of {@link inet} or text.
%%
%% Of `tap', an interface of the host that leads to its kernel, for which
%% evum_net needs CAP_NET_ADMIN where it is not a tap of its user's:
%% <table>
%% <tr><td>`interface'</td><td>its name, 1 to 15 bytes. Where there is none of
%%   that name it is made, set up, and goes with the port</td></tr>
%% <tr><td>`mtu'</td><td>bytes, 68 to 65521. Default: as it is, which is 1500 for
%%   one that is made</td></tr>
%% </table>
%% Of `pcap', the wire of a real interface of the host's, for which evum_net
%% needs CAP_NET_RAW:
%% <table>
%% <tr><td>`interface'</td><td>its name. It has to be an Ethernet, and up</td></tr>
%% <tr><td>`filter'</td><td>what comes in, in the language of pcap-filter(7).
%%   Default: `""', all</td></tr>
%% </table>
%% Of `vxlan', switches on other hosts (RFC 7348):
%% <table>
%% <tr><td>`vni'</td><td>the number of the network, 0 to 16777215</td></tr>
%% <tr><td>`remotes'</td><td>1 to 64 addresses, of one family, or such with a
%%   UDP port, `{Address, Port}'. A frame for all, or for a station that was not
%%   heard of, goes to each of them</td></tr>
%% <tr><td>`port'</td><td>the UDP port, here, and there where none is given.
%%   Default: 4789</td></tr>
%% <tr><td>`local'</td><td>the address here. Default: any of that family</td></tr>
%% </table>
-module(evum_uplink_options).

-export([tap/1, pcap/1, vxlan/1, to_map/1]).

-export_type([options/0, error/0, wire_address/0]).

-type options() :: #{atom() => term()} | [atom() | {atom(), term()}].
-type error() :: {bad_option, Key :: term(), Value :: term()}.
%% As evum_net is told.
-type wire_address() :: evum_switch_options:wire_address().

%% if.h: IFNAMSIZ, with a NUL
-define(INTERFACE_MAX, 15).
%% if_ether.h: ETH_MIN_MTU; what fits a frame of 65535 bytes
-define(MTU_MIN, 68).
-define(MTU_MAX, 65521).
%% RFC 7348
-define(VNI_MAX, 16#ffffff).
-define(VXLAN_PORT, 4789).
%% REMOTES_MAX of evum_net
-define(REMOTES_MAX, 64).

%% @doc What evum_net is told of a tap; the MTU 0 is none.
-spec tap(options()) -> {ok, {Interface :: binary(), non_neg_integer()}} | {error, error()}.
tap(Options) ->
    read(fun(#{interface := Interface, mtu := Mtu}) -> {Interface, Mtu} end, tap, Options, #{
        interface => none, mtu => 0
    }).

%% @doc What evum_net is told of a real interface.
-spec pcap(options()) -> {ok, {Interface :: binary(), Filter :: binary()}} | {error, error()}.
pcap(Options) ->
    read(fun(#{interface := Interface, filter := Filter}) -> {Interface, Filter} end, pcap, Options, #{
        interface => none, filter => <<>>
    }).

%% @doc What evum_net is told of a VXLAN.
-spec vxlan(options()) ->
    {ok, {Vni :: non_neg_integer(), Local :: wire_address(), [wire_address(), ...]}}
    | {error, error()}.
vxlan(Options) ->
    read(fun vxlan_request/1, vxlan, Options, #{
        vni => none, remotes => none, port => ?VXLAN_PORT, local => any
    }).

vxlan_request(#{vni := Vni, remotes := Remotes, port := Port, local := Local}) ->
    Wire = [remote(Remote, Port, Remotes) || Remote <- Remotes],
    case lists:usort([byte_size(Ip) || {inet, Ip, _} <- Wire]) of
        [Size] -> {Vni, local(Local, Size, Port), Wire};
        _ -> bad(remotes, Remotes)
    end.

remote({Ip, Port}, _Default, Remotes) ->
    remote(Ip, Port, Remotes);
remote(Ip, Port, Remotes) ->
    case address(Ip, Port) of
        {inet, Bytes, _} = Address when Port > 0 ->
            is_host(Bytes) orelse bad(remotes, Remotes),
            Address;
        _ ->
            bad(remotes, Remotes)
    end.

local(any, Size, Port) ->
    {inet, binary:copy(<<0>>, Size), Port};
local(Ip, Size, Port) ->
    case address(Ip, Port) of
        {inet, Bytes, _} = Address when byte_size(Bytes) =:= Size -> Address;
        _ -> bad(local, Ip)
    end.

address(Ip, Port) ->
    case evum_switch_options:address(udp, {udp, text(Ip), Port}) of
        {ok, Address} -> Address;
        error -> error
    end.

text(Ip) when is_binary(Ip) -> binary_to_list(Ip);
text(Ip) -> Ip.

%% Datagrams go to one host: not to a group, all hosts, or none.
is_host(<<0:32>>) -> false;
is_host(<<High:4, _:28>>) -> High < 14;
is_host(<<0:128>>) -> false;
is_host(<<16#ff, _:120>>) -> false;
is_host(<<_:128>>) -> true.

%%% Any of them

read(Request, Kind, Options, Defaults) ->
    try
        Given = maps:merge(Defaults, to_map(Options)),
        {ok, Request(maps:map(fun(Key, Value) -> option(Kind, Key, Value) end, Given))}
    catch
        throw:{bad_option, _, _} = Error -> {error, Error}
    end.

%% @doc Options as a map; of a list the first counts. Throws an error.
-spec to_map(term()) -> #{atom() => term()}.
to_map(Options) when is_map(Options) ->
    Options;
to_map(Options) when is_list(Options) ->
    try
        maps:from_list(lists:reverse(proplists:unfold(Options)))
    catch
        error:badarg -> bad(options, Options)
    end;
to_map(Options) ->
    bad(options, Options).

option(Kind, interface, Name) when Kind =:= tap; Kind =:= pcap ->
    interface(Name);
option(tap, mtu, 0) ->
    0;
option(tap, mtu, Mtu) when is_integer(Mtu), Mtu >= ?MTU_MIN, Mtu =< ?MTU_MAX ->
    Mtu;
option(pcap, filter, Filter) ->
    filter(Filter);
option(vxlan, vni, Vni) when is_integer(Vni), Vni >= 0, Vni =< ?VNI_MAX ->
    Vni;
option(vxlan, port, Port) when is_integer(Port), Port >= 1, Port =< 65535 ->
    Port;
option(vxlan, remotes, [_ | _] = Remotes) ->
    try length(Remotes) of
        N when N =< ?REMOTES_MAX -> Remotes;
        _ -> bad(remotes, Remotes)
    catch
        error:badarg -> bad(remotes, Remotes)
    end;
option(vxlan, local, Local) ->
    Local;
option(_, Key, Value) ->
    bad(Key, Value).

%% What the kernel takes for a name of its own choice, or for none at all
%% (dev_valid_name()), names no interface.
interface(Given) ->
    try iolist_to_binary(Given) of
        Name when Name =/= <<>>, Name =/= <<".">>, Name =/= <<"..">>, byte_size(Name) =< ?INTERFACE_MAX ->
            case re:run(Name, "[[:space:][:cntrl:]/:%]", [{capture, none}]) of
                nomatch -> Name;
                match -> bad(interface, Given)
            end;
        _ ->
            bad(interface, Given)
    catch
        error:badarg -> bad(interface, Given)
    end.

filter(Given) ->
    try unicode:characters_to_binary(Given) of
        Filter when is_binary(Filter) ->
            binary:match(Filter, <<0>>) =:= nomatch orelse bad(filter, Given),
            Filter;
        _ ->
            bad(filter, Given)
    catch
        error:badarg -> bad(filter, Given)
    end.

-spec bad(term(), term()) -> no_return().
bad(Key, Value) ->
    throw({bad_option, Key, Value}).
