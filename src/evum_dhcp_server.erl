%% SPDX-License-Identifier: Apache-2.0
%% @private
%% @doc Hands out the addresses of a switch's `nat' by DHCP: a process that gets
%% copies of the clients' frames as an observer of the switch, and sends answers
%% out at the ports that they came from.
%%
%% {@link evum_dhcp} has the frames, {@link evum_dhcp_leases} who gets what. A
%% machine with a name is known by that, and by which of its interfaces asks; so
%% it has its address again after a restart, though its MAC is another. Anybody
%% else is known by the MAC.
-module(evum_dhcp_server).
-behaviour(gen_server).

-export([start/2, start_link/1, stop/1, leases/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2]).

-include_lib("kernel/include/logger.hrl").

%% How long a lease is, s. Clients renew it after half of that.
-define(LEASE, 3600).
-define(FILTER, "udp dst port 67").

-type config() :: #{
    first := <<_:32>>,
    last := <<_:32>>,
    server := {<<_:32>>, Mac :: <<_:48>>},
    %% what an answer tells, of evum_dhcp:reply()
    mask := <<_:32>>,
    router => <<_:32>>,
    resolver => <<_:32>>,
    mtu => pos_integer(),
    domain => binary()
}.

-record(state, {
    switch :: pid(),
    config :: config(),
    leases :: evum_dhcp_leases:leases()
}).

%% @doc Serve a switch until it ends, or its nat does.
-spec start(pid(), config()) -> ok.
start(Switch, Config) ->
    {ok, _} = supervisor:start_child(evum_dhcp_sup, [{Switch, Config}]),
    ok.

-spec start_link({pid(), config()}) -> gen_server:start_ret().
start_link(Args) ->
    gen_server:start_link(?MODULE, Args, []).

%% @doc The nat of a switch has gone.
-spec stop(pid()) -> ok.
stop(Switch) ->
    case evum_registry:whereis({dhcp_of, Switch}) of
        undefined -> ok;
        Pid -> gen_server:cast(Pid, stop)
    end.

%% @doc The leases that were taken.
-spec leases(pid()) -> [evum_switch:lease()].
leases(Switch) ->
    case evum_registry:whereis({dhcp_of, Switch}) of
        undefined -> [];
        Pid ->
            try
                gen_server:call(Pid, leases)
            catch
                exit:_ -> []
            end
    end.

%% @private
-spec init({pid(), config()}) -> {ok, #state{}, {continue, observe}}.
init({Switch, #{first := First, last := Last} = Config}) ->
    logger:set_process_metadata(#{domain => [evum]}),
    _ = monitor(process, Switch),
    ok = claim(Switch),
    Leases = evum_dhcp_leases:new(number(First), number(Last), ?LEASE * 1000),
    {ok, #state{switch = Switch, config = Config, leases = Leases}, {continue, observe}}.

%% The one of a nat that has just gone is about to end.
claim(Switch) ->
    case evum_registry:claim({dhcp_of, Switch}) of
        ok ->
            ok;
        {error, Before} ->
            Ref = monitor(process, Before),
            receive
                {'DOWN', Ref, process, Before, _} -> claim(Switch)
            end
    end.

%% The switch itself may be the one that has started this.
%% @private
-spec handle_continue(observe, #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_continue(observe, #state{switch = Switch} = State) ->
    try evum_switch:hook(Switch, {bpf, ?FILTER}, {observer, self()}) of
        {ok, _} ->
            _ = evum_switch:subscribe(Switch),
            {noreply, State};
        {error, Reason} ->
            ?LOG_WARNING("no DHCP on switch ~p: ~p", [Switch, Reason]),
            {stop, normal, State}
    catch
        exit:_ -> {stop, normal, State}
    end.

%% @private
-spec handle_call(leases, gen_server:from(), #state{}) -> {reply, [evum_switch:lease()], #state{}}.
handle_call(leases, _From, #state{leases = Leases} = State) ->
    List = [
        maps:merge(client(Client), #{
            address => list_to_tuple(binary_to_list(<<Address:32>>)), port => Port, left => Left
        })
     || {Address, Client, Port, Left} <- evum_dhcp_leases:list(now_ms(), Leases)
    ],
    {reply, List, State}.

client({machine, Name, Interface}) -> #{machine => Name, interface => Interface};
client({mac, Mac}) -> #{mac => Mac}.

%% @private
-spec handle_cast(stop, #state{}) -> {stop, normal, #state{}}.
handle_cast(stop, State) ->
    {stop, normal, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({evum_frame, Info, Frame}, State) ->
    case evum_dhcp:decode(Frame) of
        %% Relays are for networks that are larger than a switch.
        {ok, #{relay := <<0:32>>} = Request} -> {noreply, request(Request, Info, State)};
        _ -> {noreply, State}
    end;
handle_info({evum_switch, _, {port_down, Port}}, #state{leases = Leases} = State) ->
    {noreply, State#state{leases = evum_dhcp_leases:port_down(Port, Leases)}};
handle_info({'DOWN', _, process, Switch, _}, #state{switch = Switch} = State) ->
    {stop, normal, State};
handle_info(_Message, State) ->
    {noreply, State}.

%%% RFC 2131, 4.3

%% For another server.
request(#{server := Chosen}, _, #state{config = #{server := {Server, _}}} = State) when
    Chosen =/= Server
->
    State;
request(#{kind := discover, mac := Mac} = Request, #{port := Port} = Info, State) ->
    Client = known(Mac),
    Wish = number(maps:get(requested, Request, none)),
    case evum_dhcp_leases:offer(Client, Port, Wish, now_ms(), State#state.leases) of
        {ok, Address, Leases} ->
            answer(offer, Address, Client, Request, Info, State#state{leases = Leases});
        {error, Reason} ->
            refused(Reason, Info, State)
    end;
request(#{kind := request, mac := Mac, client := Own} = Request, #{port := Port} = Info, State) ->
    Client = known(Mac),
    Address = number(maps:get(requested, Request, Own)),
    case evum_dhcp_leases:take(Client, Port, Address, now_ms(), State#state.leases) of
        {ok, _, Leases} ->
            answer(ack, Address, Client, Request, Info, State#state{leases = Leases});
        {error, not_yours} ->
            reply(#{kind => nak, to => Request, server => server(State)}, Info, State);
        {error, port_limit} ->
            refused(port_limit, Info, State)
    end;
request(#{kind := decline, mac := Mac, requested := Address}, #{port := Port} = Info, State) ->
    given_up(
        evum_dhcp_leases:decline(known(Mac), Port, number(Address), now_ms(), State#state.leases),
        Info,
        State
    );
request(#{kind := release, mac := Mac}, #{port := Port} = Info, State) ->
    given_up(evum_dhcp_leases:release(known(Mac), Port, now_ms(), State#state.leases), Info, State);
request(#{kind := inform, client := Own} = Request, Info, State) when Own =/= <<0:32>> ->
    Told = maps:with([mask, router, resolver, mtu, domain], State#state.config),
    reply(Told#{kind => ack, to => Request, server => server(State)}, Info, State);
request(_, _, State) ->
    State.

server(#state{config = #{server := Server}}) -> Server.

answer(Kind, Address, Client, Request, Info, #state{config = Config} = State) ->
    Told = maps:with([mask, router, resolver, mtu, domain], Config),
    Reply = Told#{
        kind => Kind,
        to => Request,
        server => server(State),
        address => <<Address:32>>,
        lease => ?LEASE
    },
    reply(named(Client, Reply), Info, State).

named({machine, Name, _}, Reply) -> Reply#{hostname => Name};
named(_, Reply) -> Reply.

reply(Reply, #{port := Port, vlan := Vlan}, #state{switch = Switch} = State) ->
    ok = evum_switch:inject(Switch, Port, Vlan, evum_dhcp:encode(Reply)),
    State.

given_up({ok, Leases}, _, State) -> State#state{leases = Leases};
given_up({error, Reason}, Info, State) -> refused(Reason, Info, State).

refused(full, _, State) ->
    State;
refused(_, #{port := Port}, #state{switch = Switch} = State) ->
    ok = evum_switch:count(Switch, Port, dhcp_refused),
    State.

%% The machine with that address, and which of its interfaces it is.
known(Mac) ->
    case [Client || Pid <- evum_registry:with_mac(Mac), {ok, Client} <- [machine(Pid, Mac)]] of
        [Client] -> Client;
        _ -> {mac, Mac}
    end.

machine(Pid, Mac) ->
    case evum:info(Pid) of
        #{name := Name, interfaces := Interfaces} when Name =/= none ->
            [N | _] = [N || {N, #{mac := M}} <- lists:enumerate(0, Interfaces), M =:= Mac],
            {ok, {machine, text(Name), N}};
        _ ->
            error
    end.

text(Name) when is_atom(Name) -> atom_to_binary(Name);
text(Name) -> Name.

number(none) -> none;
number(<<Number:32>>) -> Number.

now_ms() -> erlang:monotonic_time(millisecond).
