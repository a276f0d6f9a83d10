%% SPDX-License-Identifier: Apache-2.0
%% @doc Where the command `evum' finds this BEAM: a local socket for its user.
%%
%% The socket has an abstract name, `evum-UID-PID-...', so that no file is left of
%% it whatever dies, and no port, daemon or cookie is needed. Anybody on the host
%% may connect to such a name, and so the kernel is asked who does: only processes
%% of the same user are served, and `evum_attach' asks the same of this end.
%%
%% A client sends one request, framed as by a port program: `{Id, console, Name}',
%% which is answered with `{reply, Id, {ok | error, Text}}', and then the console
%% follows, see {@link evum_attach}; or `{Id, run, Words}', for {@link evum_client}.
-module(evum_door).
-behaviour(gen_server).

-export([start_link/0, name/0, clients/0, is_own_user/1]).
-export([accept/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-include_lib("kernel/include/file.hrl").
-include_lib("kernel/include/logger.hrl").

%% Clients at once; more wait in the socket's backlog.
-define(CLIENTS, 64).
%% A client says what it wants within that time, ms.
-define(REQUEST_TIMEOUT, 5000).
%% The longest packet of a client, bytes.
-define(PACKET_MAX, 65536).
%% A client that takes nothing for that long is closed, ms.
-define(SEND_TIMEOUT, 10000).
%% unix(7), struct ucred: pid, uid, gid.
-define(SOL_SOCKET, 1).
-define(SO_PEERCRED, 17).
-define(UCRED_SIZE, 12).

-record(state, {
    name :: binary(),
    listener :: gen_tcp:socket(),
    acceptor :: pid() | none,
    clients = [] :: [pid()]
}).

%% @private
-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc The socket's abstract name, without the zero byte in front.
-spec name() -> binary().
name() ->
    gen_server:call(?MODULE, name).

%% @doc How many commands are under way here, consoles among them.
-spec clients() -> non_neg_integer().
clients() ->
    gen_server:call(?MODULE, clients).

%% @private
-spec init([]) -> {ok, #state{}} | ignore.
init([]) ->
    process_flag(trap_exit, true),
    logger:set_process_metadata(#{domain => [evum]}),
    Name = iolist_to_binary(
        io_lib:format("evum-~b-~ts-~8.16.0b", [own_uid(), os:getpid(), rand:uniform(1 bsl 32) - 1])
    ),
    Options = [
        {ifaddr, {local, <<0, Name/binary>>}},
        binary,
        {packet, 4},
        {packet_size, ?PACKET_MAX},
        {active, false},
        {send_timeout, ?SEND_TIMEOUT},
        {send_timeout_close, true}
    ],
    case gen_tcp:listen(0, Options) of
        {ok, Listener} ->
            {ok, open(#state{name = Name, listener = Listener, acceptor = none})};
        {error, Reason} ->
            %% Machines do not need it.
            ?LOG_WARNING("evum: no socket for the command evum: ~p", [Reason]),
            ignore
    end.

%% A process owns its folder in /proc.
own_uid() ->
    {ok, #file_info{uid = Uid}} = file:read_file_info("/proc/self"),
    Uid.

open(#state{acceptor = none, listener = Listener, clients = Clients} = State) when
    length(Clients) < ?CLIENTS
->
    State#state{acceptor = proc_lib:spawn_link(?MODULE, accept, [self(), Listener])};
open(State) ->
    State.

%% @private
-spec handle_call(name | clients, gen_server:from(), #state{}) ->
    {reply, binary() | non_neg_integer(), #state{}}.
handle_call(name, _From, #state{name = Name} = State) ->
    {reply, Name, State};
handle_call(clients, _From, #state{clients = Clients} = State) ->
    {reply, length(Clients), State}.

%% @private
-spec handle_cast({accepted, pid()}, #state{}) -> {noreply, #state{}}.
handle_cast({accepted, Pid}, #state{acceptor = Pid, clients = Clients} = State) ->
    {noreply, open(State#state{acceptor = none, clients = [Pid | Clients]})}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({'EXIT', Pid, Reason}, #state{acceptor = Pid} = State) ->
    {stop, Reason, State#state{acceptor = none}};
handle_info({'EXIT', Pid, _}, #state{clients = Clients} = State) ->
    {noreply, open(State#state{clients = lists:delete(Pid, Clients)})};
handle_info(_Message, State) ->
    {noreply, State}.

%%% A client, in a process of its own ---------------------------------------------

%% @private
-spec accept(pid(), gen_tcp:socket()) -> ok.
accept(Door, Listener) ->
    case gen_tcp:accept(Listener) of
        {ok, Socket} ->
            ok = gen_server:cast(Door, {accepted, self()}),
            serve(Socket);
        {error, closed} ->
            ok
    end.

serve(Socket) ->
    case is_own_user(Socket) andalso gen_tcp:recv(Socket, 0, ?REQUEST_TIMEOUT) of
        {ok, Packet} -> request(decode(Packet), Socket);
        _ -> ok
    end,
    gen_tcp:close(Socket).

%% @doc Does a process of the user of this one hold the other end of a local
%% socket?
-spec is_own_user(gen_tcp:socket()) -> boolean().
is_own_user(Socket) ->
    peer_uid(Socket) =:= own_uid().

peer_uid(Socket) ->
    case inet:getopts(Socket, [{raw, ?SOL_SOCKET, ?SO_PEERCRED, ?UCRED_SIZE}]) of
        {ok, [{raw, _, _, <<_Pid:32/native, Uid:32/native, _Gid:32/native>>}]} -> Uid;
        _ -> unknown
    end.

decode(Packet) ->
    try
        binary_to_term(Packet, [safe])
    catch
        error:badarg -> malformed
    end.

request({Id, run, Words}, Socket) when is_integer(Id), Id >= 0, is_binary(Words) ->
    evum_client:serve(Socket, Id, Words);
request({Id, console, Name}, Socket) when is_integer(Id), Id >= 0, is_binary(Name) ->
    case evum_cli_machines:find(unicode:characters_to_list(Name)) of
        {ok, Machine} ->
            _ = evum_attach:socket(Machine, Socket),
            ok;
        error ->
            evum_port:reply({socket, Socket}, Id, {error, <<"no_machine">>})
    end;
request({Id, _, _}, Socket) when is_integer(Id), Id >= 0 ->
    evum_port:reply({socket, Socket}, Id, {error, <<"this evum does not know that request">>});
request(_, _Socket) ->
    ok.
