%% SPDX-License-Identifier: Apache-2.0
%% @doc The options of a switch and of its ports, validated whole (pure).
%%
%% Of a switch:
%% <table>
%% <tr><td>`name'</td><td>a label for people: an atom, string or binary.
%%   Default: `"switch-N"'</td></tr>
%% <tr><td>`ageing'</td><td>milliseconds after which a station that was not
%%   heard of is forgotten. Default: 300 000</td></tr>
%% <tr><td>`fdb_size'</td><td>how many stations are remembered; the oldest
%%   goes first. Default: 65536</td></tr>
%% <tr><td>`forward'</td><td>`cache': decisions are kept in `evum_net', and a
%%   frame like one that was decided on passes there. `relay': each frame comes
%%   up to be decided on. Default: `cache'</td></tr>
%% <tr><td>`dhcp'</td><td>whether guests get addresses though there is no uplink:
%%   from a `nat' ({@link evum_uplink}) that lets nothing out. That is the one which a
%%   switch may have, so that {@link evum_switch:uplink/3} answers `eexist' for
%%   another; its subnet is the default one, whether or not the host is in that. For
%%   one of your choice open an uplink with `restrict' instead. Default:
%%   `false'</td></tr>
%% <tr><td>`poll'</td><td>microseconds, at most 100, that `evum_net' looks for more
%%   frames before it sleeps, as long as some come so soon: they wait less, and
%%   it takes a CPU while they come. Only where CPUs are idle: guests that have
%%   all of them lose by it. Default: 0</td></tr>
%% <tr><td>`seed'</td><td>what the chances of impairments come of, where those have no
%%   seed of their own ({@link evum_impair}): 0 to 2^64 - 1. Default: at
%%   random</td></tr>
%% <tr><td>`bpdu'</td><td>whether frames to the addresses 01:80:c2:00:00:00 to 0f
%%   pass, those of STP, LACP, LLDP and so on: switches that guests are speak them
%%   with one another. Default: `true'</td></tr>
%% <tr><td>`storm_limit'</td><td>frames a second of each port that may go to groups
%%   or to stations that nobody knows, and as many at once after a second without;
%%   or `infinity'. Default: `infinity'</td></tr>
%% </table>
%% The application's environment overrides the defaults of all but `name' and `seed'.
-module(evum_switch_options).

-export([switch/1, port/2, port_defaults/0, port_request/2, address/2, addresses/1]).

-export_type([switch/0, options/0, port_config/0, error/0, address/0, wire_address/0]).

-type options() :: #{atom() => term()} | [atom() | {atom(), term()}].
-type error() :: {bad_option, Key :: term(), Value :: term()}.
%% Where a stream or datagram socket is. An IP address is a tuple or text.
-type address() ::
    {unix, file:name_all()}
    | {tcp | udp, inet:ip_address() | string(), inet:port_number()}.
%% The same as evum_net is told.
-type wire_address() :: {unix, binary()} | {inet, binary(), inet:port_number()}.
-type switch() :: #{
    name := binary(),
    ageing := pos_integer(),
    fdb_size := pos_integer(),
    forward := cache | relay,
    dhcp := boolean(),
    poll := 0..100,
    seed := evum_impair:seed(),
    bpdu := boolean(),
    storm_limit := infinity | pos_integer()
}.
-type port_config() :: #{
    isolated := boolean(),
    learning := boolean(),
    mac_limit := infinity | non_neg_integer(),
    mirror := none | evum_fdb:port_id(),
    mtu := infinity | 68..65521,
    up := boolean(),
    vlan := evum_vlan:config()
}.

%% evum_net counts milliseconds in 32 bits that wrap: half of that, some 24
%% days.
-define(AGEING_MAX, 16#7fffffff).
%% 16 million stations are 0.8 GB of memory.
-define(FDB_SIZE_MAX, 1 bsl 24).
%% unix(7): sun_path takes 108 bytes, and a NUL.
-define(UNIX_PATH_MAX, 107).
-define(SEED_MAX, 16#ffffffffffffffff).
%% us; evum_net's NET_POLL_MAX_US
-define(POLL_MAX_US, 100).
%% Frames a second, in 32 bits.
-define(STORM_LIMIT_MAX, 16#ffffffff).
%% Bytes: the least that IPv4 goes by (RFC 791), and evum_net's FRAME_MAX less
%% an Ethernet header.
-define(MTU_MIN, 68).
-define(MTU_MAX, 65521).

%% @doc The description of a switch.
-spec switch(options()) -> {ok, switch()} | {error, error()}.
switch(Options) when is_list(Options) ->
    try
        switch(maps:from_list(lists:reverse(proplists:unfold(Options))))
    catch
        error:badarg -> {error, {bad_option, options, Options}}
    end;
switch(Options) when is_map(Options) ->
    Defaults = defaults(),
    Environment = maps:from_list([
        {Key, Value}
     || Key <- maps:keys(Defaults), {ok, Value} <- [environment(Key)]
    ]),
    Given = maps:merge(maps:merge(Defaults, Environment), Options),
    try
        Own = #{name => default_name(), seed => random_seed()},
        {ok, maps:merge(Own, maps:map(fun option/2, Given))}
    catch
        throw:{bad_option, _, _} = Error -> {error, Error}
    end;
switch(Options) ->
    {error, {bad_option, options, Options}}.

defaults() ->
    #{ageing => 300_000, fdb_size => 65536, forward => cache, dhcp => false, poll => 0,
        bpdu => true, storm_limit => infinity}.

environment(Key) ->
    case application:get_env(evum, Key) of
        undefined -> none;
        {ok, Value} -> {ok, Value}
    end.

option(name, Name) when is_atom(Name) -> atom_to_binary(Name);
option(name, Name) -> label(Name);
option(ageing, Ms) when is_integer(Ms), Ms > 0, Ms =< ?AGEING_MAX -> Ms;
option(fdb_size, N) when is_integer(N), N > 0, N =< ?FDB_SIZE_MAX -> N;
option(seed, Seed) when is_integer(Seed), Seed >= 0, Seed =< ?SEED_MAX -> Seed;
option(poll, Us) when is_integer(Us), Us >= 0, Us =< ?POLL_MAX_US -> Us;
option(dhcp, Dhcp) when is_boolean(Dhcp) -> Dhcp;
option(bpdu, Bpdu) when is_boolean(Bpdu) -> Bpdu;
option(storm_limit, infinity) -> infinity;
option(storm_limit, N) when is_integer(N), N > 0, N =< ?STORM_LIMIT_MAX -> N;
option(forward, Forward) when Forward =:= cache; Forward =:= relay -> Forward;
option(Key, Value) -> throw({bad_option, Key, Value}).

label(Name) ->
    try unicode:characters_to_binary(Name) of
        Label when is_binary(Label), Label =/= <<>> -> Label;
        _ -> throw({bad_option, name, Name})
    catch
        error:badarg -> throw({bad_option, name, Name})
    end.

default_name() ->
    N = erlang:unique_integer([positive, monotonic]),
    <<"switch-", (integer_to_binary(N))/binary>>.

random_seed() ->
    rand:uniform(?SEED_MAX + 1) - 1.

%% @doc How a port is before anybody says something else.
-spec port_defaults() -> port_config().
port_defaults() ->
    #{isolated => false, learning => true, mac_limit => infinity, mirror => none,
        mtu => infinity, up => true, vlan => none}.

%% @doc A port's description with some of it changed.
%% <table>
%% <tr><td>`isolated'</td><td>isolated ports do not reach one another. Default:
%%   `false'</td></tr>
%% <tr><td>`learning'</td><td>whether stations are learned here. Default:
%%   `true'</td></tr>
%% <tr><td>`mac_limit'</td><td>how many stations may be learned here; frames of
%%   others are dropped. Default: `infinity'</td></tr>
%% <tr><td>`mirror'</td><td>the id of another port that gets copies of what comes
%%   in and goes out here, or `none'. Default: `none'</td></tr>
%% <tr><td>`mtu'</td><td>bytes, 68 to 65521, behind the Ethernet header and VLAN
%%   tags: longer frames do not come in or go out. Those that a guest leaves to be
%%   cut count as their segments. Default: `infinity'</td></tr>
%% <tr><td>`up'</td><td>`false': no frame goes in or out. Default: `true'</td></tr>
%% <tr><td>`vlan'</td><td>`{access, Vlan}', `{trunk, Vlans | all}' or `{trunk,
%%   Vlans | all, Native}', with the VLAN of frames that have no tag; see {@link
%%   evum_vlan}. Default: `none'</td></tr>
%% </table>
-spec port(term(), port_config()) -> {ok, port_config()} | {error, error()}.
port(Changes, Config) when is_map(Changes) ->
    try
        {ok, maps:merge(Config, maps:map(fun port_option/2, Changes))}
    catch
        throw:{bad_option, _, _} = Error -> {error, Error}
    end;
port(Changes, _Config) ->
    {error, {bad_option, options, Changes}}.

port_option(Key, Value) when
    is_boolean(Value), Key =:= isolated orelse Key =:= learning orelse Key =:= up
->
    Value;
port_option(mac_limit, infinity) ->
    infinity;
port_option(mac_limit, N) when is_integer(N), N >= 0 ->
    N;
port_option(mirror, none) ->
    none;
port_option(mirror, Port) when is_integer(Port), Port > 0 ->
    Port;
port_option(mtu, infinity) ->
    infinity;
port_option(mtu, Mtu) when is_integer(Mtu), Mtu >= ?MTU_MIN, Mtu =< ?MTU_MAX ->
    Mtu;
port_option(vlan, Value) ->
    case evum_vlan:validate(Value) of
        {ok, Config} -> Config;
        error -> throw({bad_option, vlan, Value})
    end;
port_option(Key, Value) ->
    throw({bad_option, Key, Value}).

%% @doc A port's description as evum_net is told it; the rest is decided here.
-spec port_request(evum_fdb:port_id(), port_config()) -> tuple().
port_request(Id, #{up := Up, isolated := Isolated, vlan := Vlan, mtu := Mtu, mirror := Mirror}) ->
    {Untagged, Tagged} = evum_vlan:wire(Vlan),
    {Id, Up, Isolated, Untagged, Tagged, or_0(Mtu), or_0(Mirror)}.

or_0(N) when is_integer(N) -> N;
or_0(_) -> 0.

%% @doc An address, as evum_net takes it, of a protocol: `tcp' or `udp', where it
%% is no unix socket.
-spec address(tcp | udp, term()) -> {ok, wire_address()} | error.
address(_Protocol, {unix, Path}) ->
    try unicode:characters_to_binary(Path, unicode, file:native_name_encoding()) of
        <<_, _/binary>> = Bytes ->
            case binary:match(Bytes, <<0>>) of
                nomatch when byte_size(Bytes) =< ?UNIX_PATH_MAX ->
                    {ok, {unix, filename:absname(Bytes)}};
                _ ->
                    error
            end;
        _ ->
            error
    catch
        error:badarg -> error
    end;
address(Protocol, {Protocol, Ip, Port}) when is_integer(Port), Port >= 0, Port =< 65535 ->
    case inet:parse_strict_address(text(Ip)) of
        {ok, {A, B, C, D}} ->
            {ok, {inet, <<A, B, C, D>>, Port}};
        {ok, Words} ->
            {ok, {inet, <<<<Word:16>> || Word <- tuple_to_list(Words)>>, Port}};
        {error, einval} ->
            error
    end;
address(_, _) ->
    error.

text(Ip) when is_tuple(Ip) ->
    case inet:ntoa(Ip) of
        {error, einval} -> "";
        Text -> Text
    end;
text(Ip) when is_list(Ip) -> Ip;
text(_) -> "".

%% @doc The two ends of a datagram port, of one family.
-spec addresses(term()) -> {ok, {Local :: wire_address(), Peer :: wire_address()}} | error.
addresses({Local, Peer}) ->
    case {address(udp, Local), address(udp, Peer)} of
        {{ok, L}, {ok, P}} when element(1, L) =:= unix, element(1, P) =:= unix -> {ok, {L, P}};
        {{ok, {inet, LIp, _} = L}, {ok, {inet, PIp, _} = P}} when byte_size(LIp) =:= byte_size(PIp) ->
            {ok, {L, P}};
        _ -> error
    end;
addresses(_) ->
    error.
