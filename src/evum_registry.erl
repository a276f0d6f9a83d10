%% SPDX-License-Identifier: Apache-2.0
%% @doc Who holds which name, MAC address or control socket.
%%
%% A key is claimed by the calling process and is free again when that process
%% has died.
-module(evum_registry).
-behaviour(gen_server).

-export([start_link/0, claim/1, share/2, whereis/1, with_mac/1, list/0]).
-export([switches/0, machines/0, machine/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([key/0]).

-type key() ::
    {name, term()}
    | {lab, Name :: binary()}
    | {mac, Network :: term(), binary()}
    | {control, Path :: binary()}
    | {control_of | dhcp_of, Switch :: pid()}
    | {switch, pid()}
    | {os_pid, pos_integer()}
    | {machine, pid()}
    | {Kind :: atom(), Thing :: term(), Sharer :: pid()}.

-record(state, {monitors = #{} :: #{pid() => {reference(), [key()]}}}).

%% @private
-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Take a key for the calling process; `{error, Pid}' names its holder.
-spec claim(key()) -> ok | {error, pid()}.
claim(Key) ->
    gen_server:call(?MODULE, {claim, Key, self()}).

%% @doc Take the one of some things of a kind that the fewest processes share,
%% the first of those, for the calling process.
-spec share(Kind :: atom(), [Thing, ...]) -> Thing.
share(Kind, Things) ->
    gen_server:call(?MODULE, {share, Kind, Things, self()}).

%% @doc The holder of a key.
-spec whereis(key()) -> pid() | undefined.
whereis(Key) ->
    try ets:lookup(?MODULE, Key) of
        [{_, Pid}] -> Pid;
        [] -> undefined
    catch
        %% the application is not running
        error:badarg -> undefined
    end.

%% @doc Whose interfaces have a MAC address, on whatever network.
-spec with_mac(binary()) -> [pid()].
with_mac(Mac) ->
    lists:usort(lists:append(ets:match(?MODULE, {{mac, '_', Mac}, '$1'}))).

%% @doc All names that are held, with their holders.
-spec list() -> [{term(), pid()}].
list() ->
    [{Name, Pid} || [Name, Pid] <- ets:match(?MODULE, {{name, '$1'}, '$2'})].

%% @doc All switches.
-spec switches() -> [pid()].
switches() ->
    lists:sort([Pid || [Pid] <- ets:match(?MODULE, {{switch, '$1'}, '_'})]).

%% @doc All machines; none where the application does not run.
-spec machines() -> [pid()].
machines() ->
    try
        lists:sort([Pid || [Pid] <- ets:match(?MODULE, {{machine, '$1'}, '_'})])
    catch
        error:badarg -> []
    end.

%% @doc The machine whose kernel is a process of the host, and what to call it:
%% its name or, where it has none, its pid.
-spec machine(OsPid :: non_neg_integer()) -> {ok, pid(), Called :: binary()} | none.
machine(OsPid) ->
    case ?MODULE:whereis({os_pid, OsPid}) of
        undefined ->
            none;
        Pid ->
            case ets:match(?MODULE, {{name, '$1'}, Pid}) of
                [[Name] | _] when is_atom(Name) -> {ok, Pid, atom_to_binary(Name)};
                [[Name] | _] -> {ok, Pid, Name};
                [] -> {ok, Pid, list_to_binary(pid_to_list(Pid))}
            end
    end.

%% @private
-spec init([]) -> {ok, #state{}}.
init([]) ->
    _ = ets:new(?MODULE, [named_table, protected, {read_concurrency, true}]),
    {ok, #state{}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({share, Kind, Things, Pid}, _From, State) ->
    {_, _, Thing} = lists:min([
        {sharers(Kind, Thing), N, Thing}
     || {N, Thing} <- lists:enumerate(Things)
    ]),
    Key = {Kind, Thing, Pid},
    true = ets:insert(?MODULE, {Key, Pid}),
    {reply, Thing, hold(Key, Pid, State)};
handle_call({claim, Key, Pid}, _From, State) ->
    case ets:lookup(?MODULE, Key) of
        [] ->
            true = ets:insert(?MODULE, {Key, Pid}),
            {reply, ok, hold(Key, Pid, State)};
        %% A holder that has died, and whose end has not been told yet.
        [{_, Holder}] when Holder =/= Pid ->
            case is_process_alive(Holder) of
                true ->
                    {reply, {error, Holder}, State};
                false ->
                    State1 = release(Holder, State),
                    handle_call({claim, Key, Pid}, _From, State1)
            end;
        [{_, Pid}] ->
            {reply, ok, State}
    end.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({'DOWN', _, process, Pid, _}, State) ->
    {noreply, release(Pid, State)};
handle_info(_Message, State) ->
    {noreply, State}.

sharers(Kind, Thing) ->
    ets:select_count(?MODULE, [{{{Kind, Thing, '_'}, '_'}, [], [true]}]).

hold(Key, Pid, #state{monitors = Monitors} = State) ->
    {Ref, Keys} =
        case Monitors of
            #{Pid := Held} -> Held;
            #{} -> {monitor(process, Pid), []}
        end,
    State#state{monitors = Monitors#{Pid => {Ref, [Key | Keys]}}}.

release(Pid, #state{monitors = Monitors} = State) ->
    case maps:take(Pid, Monitors) of
        {{Ref, Keys}, Rest} ->
            demonitor(Ref, [flush]),
            lists:foreach(fun(Key) -> ets:delete(?MODULE, Key) end, Keys),
            State#state{monitors = Rest};
        error ->
            State
    end.
