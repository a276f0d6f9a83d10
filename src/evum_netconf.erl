%% SPDX-License-Identifier: Apache-2.0
%% @doc Name, addresses, routes and resolver of a machine: checked whole, then
%% set through its agent, without any tool in the guest.
%%
%% <table>
%% <tr><td>`hostname'</td><td>the machine's name</td></tr>
%% <tr><td>`resolver'</td><td>a list of name servers, for
%%   `/etc/resolv.conf'</td></tr>
%% <tr><td>`routes'</td><td>a list of `{To, Via}' or `{To, Gateway, Interface}';
%%   To is `default' or a network, `"10.1.0.0/16"'; Via a gateway's address or
%%   an interface, an atom</td></tr>
%% <tr><td>any other key</td><td>an interface: its addresses, as
%%   `"10.0.0.1/24"', or a map of `addresses' and `mtu'. It is brought up; the
%%   addresses are then those given, and no others but link-local ones</td></tr>
%% </table>
%%
%% Routes that are there stay, as long as their interface keeps an address of
%% their family and the one that they have as their source.
-module(evum_netconf).

-export([plan/1, set/3, addresses/2]).

-export_type([config/0, step/0]).

-define(MTU_MIN, 68).
-define(MTU_MAX, 65535).

-type config() :: #{atom() | unicode:chardata() => term()}.
-type step() ::
    {hostname, binary()}
    | {interface, Key :: term(), Name :: binary(), Mtu :: none | pos_integer(),
        keep | [evum_rtnl:address()]}
    | {route, evum_rtnl:address(), Gateway :: none | inet:ip_address(), Interface :: none | binary()}
    | {resolver, binary()}.

%% @doc What is to be done, in its order; the first thing that is wrong is
%% named.
-spec plan(config()) -> {ok, [step()]} | {error, {bad_option, term(), term()}}.
plan(Config) when is_map(Config) ->
    try
        Steps = [step(Key, Value) || {Key, Value} <- maps:to_list(Config)],
        {ok, lists:sort(fun(A, B) -> order(A) =< order(B) end, lists:append(Steps))}
    catch
        throw:{bad_option, _, _} = Bad -> {error, Bad}
    end;
plan(Config) ->
    {error, {bad_option, config, Config}}.

%% @doc Do it, all of it within so many milliseconds; the first step that the
%% guest refuses is named.
-spec set(pid(), [step()], timeout()) ->
    ok | {error, {Key :: term(), Why :: term()} | timeout | no_machine | no_agent | atom()}.
set(Vm, Steps, Timeout) ->
    set_until(evum_deadline:new(Timeout), Vm, Steps).

set_until(_Deadline, _Vm, []) ->
    ok;
set_until(Deadline, Vm, [Step | Steps]) ->
    case do(Vm, Step, Deadline) of
        ok ->
            set_until(Deadline, Vm, Steps);
        {error, Reason} when Reason =:= timeout; Reason =:= no_machine; Reason =:= no_agent ->
            {error, Reason};
        {error, Reason} ->
            {error, {key(Step), Reason}}
    end.

%% @doc The addresses that a machine's interfaces have, whoever set them; of global scope.
-spec addresses(pid(), timeout()) -> {ok, [{Interface :: binary(), evum_rtnl:address()}]} | {error, term()}.
addresses(Vm, Timeout) ->
    Deadline = evum_deadline:new(Timeout),
    case ask(Vm, evum_rtnl:get_links(), Deadline) of
        {ok, Links} ->
            Names = maps:from_list([{Index, Name} || {link, Index, Name} <- Links]),
            case ask(Vm, evum_rtnl:get_addresses(), Deadline) of
                {ok, Replies} ->
                    {ok, [{maps:get(I, Names), Address} || {address, I, Address, _} <- Replies, is_map_key(I, Names)]};
                {error, _} = Error ->
                    Error
            end;
        {error, _} = Error ->
            Error
    end.

order({hostname, _}) -> 1;
order({interface, _, _, _, _}) -> 2;
order({route, _, _, _}) -> 3;
order({resolver, _}) -> 4.

key({interface, Key, _, _, _}) -> Key;
key({route, _, _, _}) -> routes;
key(Step) -> element(1, Step).

%%% Checking ------------------------------------------------------------------

step(hostname, Name) ->
    case re_match(Name, "^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$") of
        {ok, Text} -> [{hostname, Text}];
        error -> bad(hostname, Name)
    end;
step(resolver, Servers) when is_list(Servers) ->
    Lines = [
        case address(Server) of
            {ok, IP} -> ["nameserver ", inet:ntoa(IP), "\n"];
            error -> bad(resolver, Server)
        end
     || Server <- Servers
    ],
    [{resolver, iolist_to_binary(Lines)}];
step(routes, Routes) when is_list(Routes) ->
    [route(Route) || Route <- Routes];
step(Key, Value) when Key =:= resolver; Key =:= routes ->
    bad(Key, Value);
step(Key, Value) ->
    %% IFNAMSIZ of linux/if.h is 16, with a NUL
    case re_match(Key, "^[^/\\s\\x00:]{1,15}$") of
        {ok, Name} -> [interface(Key, Name, Value)];
        error -> bad(Key, Value)
    end.

interface(Key, Name, #{} = Given) ->
    Mtu = maps:get(mtu, Given, none),
    Mtu =:= none orelse (is_integer(Mtu) andalso Mtu >= ?MTU_MIN andalso Mtu =< ?MTU_MAX) orelse
        bad(Key, Given),
    maps:without([mtu, addresses], Given) =:= #{} orelse bad(Key, Given),
    Addresses =
        case Given of
            #{addresses := List} when is_list(List) -> [interface_address(Key, A) || A <- List];
            #{addresses := _} -> bad(Key, Given);
            #{} -> keep
        end,
    {interface, Key, Name, Mtu, Addresses};
interface(Key, Name, Addresses) when is_list(Addresses) ->
    interface(Key, Name, #{addresses => Addresses});
interface(Key, _Name, Value) ->
    bad(Key, Value).

interface_address(Key, Text) ->
    case network(Text) of
        {ok, Address} -> Address;
        error -> bad(Key, Text)
    end.

route({To, Via} = Route) ->
    case {address(Via), is_atom(Via) andalso interface_name(Via)} of
        {{ok, Gateway}, _} -> route(To, Gateway, none, Route);
        {error, {ok, Name}} -> route(To, none, Name, Route);
        _ -> bad(routes, Route)
    end;
route({To, Via, Interface} = Route) ->
    case {address(Via), interface_name(Interface)} of
        {{ok, Gateway}, {ok, Name}} -> route(To, Gateway, Name, Route);
        _ -> bad(routes, Route)
    end;
route(Route) ->
    bad(routes, Route).

route(default, Gateway, Interface, _Route) when tuple_size(Gateway) =:= 8 ->
    {route, {{0, 0, 0, 0, 0, 0, 0, 0}, 0}, Gateway, Interface};
route(default, Gateway, Interface, _Route) ->
    {route, {{0, 0, 0, 0}, 0}, Gateway, Interface};
route(To, Gateway, Interface, Route) ->
    case network(To) of
        {ok, {IP, Prefix}} when Gateway =:= none; tuple_size(Gateway) =:= tuple_size(IP) ->
            {route, {masked(IP, Prefix), Prefix}, Gateway, Interface};
        _ ->
            bad(routes, Route)
    end.

interface_name(Name) ->
    re_match(Name, "^[^/\\s\\x00:]{1,15}$").

%% Without the bits of a host, which the kernel does not take.
masked(IP, Prefix) ->
    {Width, Size} =
        case tuple_size(IP) of
            4 -> {8, 32};
            8 -> {16, 128}
        end,
    Bits = <<<<N:Width>> || N <- tuple_to_list(IP)>>,
    <<Net:Prefix/bitstring, _/bitstring>> = Bits,
    list_to_tuple([N || <<N:Width>> <= <<Net/bitstring, 0:(Size - Prefix)>>]).

network(Text) ->
    try string:split(unicode:characters_to_list(Text), "/") of
        [Address, Length] ->
            case {address(Address), string:to_integer(Length)} of
                {{ok, IP}, {N, []}} when N >= 0, N =< 8 * tuple_size(IP), tuple_size(IP) =:= 4 ->
                    {ok, {IP, N}};
                {{ok, IP}, {N, []}} when N >= 0, N =< 128, tuple_size(IP) =:= 8 ->
                    {ok, {IP, N}};
                _ ->
                    error
            end;
        _ ->
            error
    catch
        error:_ -> error
    end.

address(IP) when is_tuple(IP) ->
    case inet:ntoa(IP) of
        {error, einval} -> error;
        _ -> {ok, IP}
    end;
address(Text) when is_list(Text); is_binary(Text) ->
    try inet:parse_strict_address(unicode:characters_to_list(Text)) of
        {ok, IP} -> {ok, IP};
        {error, einval} -> error
    catch
        error:_ -> error
    end;
address(_) ->
    error.

re_match(Name, Regex) when is_atom(Name) ->
    re_match(atom_to_binary(Name), Regex);
re_match(Name, Regex) ->
    try
        Text = unicode:characters_to_binary(Name),
        match = re:run(Text, Regex, [{capture, none}, dollar_endonly]),
        {ok, Text}
    catch
        error:_ -> error
    end.

-spec bad(term(), term()) -> no_return().
bad(Key, Value) ->
    throw({bad_option, Key, Value}).

%%% Doing ---------------------------------------------------------------------

do(Vm, {hostname, Name}, Deadline) ->
    evum_request:put(Vm, "/proc/sys/kernel/hostname", Name, #{timeout => evum_deadline:left(Deadline)});
do(Vm, {resolver, Content}, Deadline) ->
    evum_request:put(Vm, "/etc/resolv.conf", Content, #{timeout => evum_deadline:left(Deadline)});
do(Vm, {interface, _Key, Name, Mtu, Addresses}, Deadline) ->
    case ask(Vm, evum_rtnl:set_link(Name, Mtu, 0), Deadline) of
        {ok, _} when Addresses =:= keep ->
            ok;
        {ok, _} ->
            case index(Vm, Name, Deadline) of
                {ok, Index} -> set_addresses(Vm, Index, Addresses, Deadline);
                {error, _} = Error -> Error
            end;
        {error, _} = Error ->
            Error
    end;
do(Vm, {route, To, Gateway, none}, Deadline) ->
    done(ask(Vm, evum_rtnl:add_route(To, Gateway, none), Deadline));
do(Vm, {route, To, Gateway, Name}, Deadline) ->
    case index(Vm, Name, Deadline) of
        {ok, Index} -> done(ask(Vm, evum_rtnl:add_route(To, Gateway, Index), Deadline));
        {error, _} = Error -> Error
    end.

set_addresses(Vm, Index, Wanted, Deadline) ->
    case ask(Vm, evum_rtnl:get_addresses(), Deadline) of
        {ok, Replies} ->
            Present = [Address || {address, I, Address, permanent} <- Replies, I =:= Index],
            ask_all(Vm, [change_address(Index, Change) || Change <- changes(Present, Wanted)], Deadline);
        {error, _} = Error ->
            Error
    end.

change_address(Index, {add, Address}) -> evum_rtnl:add_address(Index, Address, 0);
change_address(Index, {delete, Address}) -> evum_rtnl:delete_address(Index, Address, 0).

%% With the first IPv4 address of a subnet Linux deletes the others, unless it
%% is set to promote them; with an interface's last one, all routes; with the
%% last one that has this IP, routes that have it as their source
%% (net/ipv4/devinet.c, fib_frontend.c). So those that are to be there are held
%% meanwhile, with a prefix that is no subnet's, and set again. The latter of
%% those present are deleted first: the first of a subnet is listed before the
%% others.
changes(Present, Wanted) ->
    Unwanted = [A || A <- lists:reverse(Present -- Wanted), not is_link_local(A)],
    Held =
        case lists:any(fun is_ipv4/1, Unwanted) of
            true -> lists:usort([{IP, 32} || {IP, _} = A <- Wanted, is_ipv4(A)]);
            false -> []
        end,
    Missing =
        case Held of
            [] -> Wanted -- Present;
            _ -> Wanted
        end,
    [{add, A} || A <- Held] ++ [{delete, A} || A <- Unwanted -- Held] ++
        [{add, A} || A <- Missing] ++ [{delete, A} || A <- Held -- Wanted].

is_ipv4({IP, _}) -> tuple_size(IP) =:= 4.

%% Each interface has one of those by itself (RFC 4291, section 2.1).
is_link_local({{A, _, _, _, _, _, _, _}, _}) -> A band 16#ffc0 =:= 16#fe80;
is_link_local(_) -> false.

index(Vm, Name, Deadline) ->
    case ask(Vm, evum_rtnl:get_link(Name), Deadline) of
        {ok, [{link, Index, _} | _]} -> {ok, Index};
        {ok, _} -> {error, bad_agent};
        {error, _} = Error -> Error
    end.

ask_all(_Vm, [], _Deadline) ->
    ok;
ask_all(Vm, [Message | Messages], Deadline) ->
    case ask(Vm, Message, Deadline) of
        {ok, _} -> ask_all(Vm, Messages, Deadline);
        {error, _} = Error -> Error
    end.

done({ok, _}) -> ok;
done({error, _} = Error) -> Error.

ask(Vm, Message, Deadline) ->
    case evum_request:netlink(Vm, Message, evum_deadline:left(Deadline)) of
        {ok, Bytes} ->
            case evum_rtnl:decode(Bytes) of
                {ok, Replies} ->
                    case [Errno || {error, Errno} <- Replies] of
                        [] -> {ok, Replies};
                        [Errno | _] -> {error, evum_agent:errno(Errno)}
                    end;
                error ->
                    {error, bad_agent}
            end;
        {error, _} = Error ->
            Error
    end.
