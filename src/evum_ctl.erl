%% SPDX-License-Identifier: Apache-2.0
%% @doc A control socket of a switch: where machines plug in.
%%
%% At its path, `evum_net' serves the uml_switch control protocol; at the same
%% path with `.bess' behind it, the vector transport of that name, and with
%% `.vhost', virtio network cards (vhost-user). The process stands for these
%% sockets: they are removed when it ends, and it ends with its switch. Ports that
%% are up stay up without it.
%%
%% There is one default path in a BEAM, the file `evum.ctl' in the run
%% directory. That is, in this order:
%% <ol>
%% <li>`run_dir' in the application's environment,</li>
%% <li>`$XDG_RUNTIME_DIR/evum-PID', PID the BEAM's process id, where
%%   `$XDG_RUNTIME_DIR' is a folder that can be written to,</li>
%% <li>`/tmp/evum-UID-PID'.</li>
%% </ol>
%% It is made if need be, with mode 0700, and then removed with the socket. It
%% has to belong to this user and must not be writable by others.
%%
%% Errors: `{bad_option, path, Path}' where a path is none or too long for a
%% socket, `{bad_option, run_dir, Folder}' where the run directory cannot be
%% made or is not safe, `{bad_option, switch, Switch}' where that is no process,
%% `{already_started, Pid}', `{listen, Path, Reason}' where
%% Reason is `eaddrinuse' if another program listens there, `enoent', `eacces',
%% or another of POSIX, `{switch, Reason}' where the switch is gone.
-module(evum_ctl).
-behaviour(gen_server).

-export([start/1, start/2, start_link/1, start_link/2, stop/1]).
-export([socket/0, socket/1, default/0, ensure/0, serving/1, switch_at/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([error/0]).

-include_lib("kernel/include/file.hrl").

%% unix(7): sun_path takes 108 bytes, and clients want a NUL at its end.
-define(PATH_MAX, 107 - length(".vhost")).

-type error() ::
    {bad_option, path | run_dir | switch, term()}
    | {already_started, pid()}
    | {listen, string(), Reason :: atom()}
    | {switch, Reason :: term()}.

-record(state, {
    switch :: pid(),
    switch_ref :: reference(),
    listener :: pos_integer(),
    path :: binary()
}).

%% @doc Open the default control socket for a switch. It lives until it is
%% stopped or the switch ends.
-spec start(pid()) -> {ok, pid()} | {error, error()}.
start(Switch) ->
    start(Switch, default).

%% @doc Open a control socket at a path, whose folder has to exist, or, as
%% `private', at a path of its own in the run directory.
-spec start(pid(), default | private | file:name_all()) -> {ok, pid()} | {error, error()}.
start(Switch, Path) ->
    {ok, _} = application:ensure_all_started(evum),
    started(supervisor:start_child(evum_ctl_sup, [Switch, Path])).

%% @equiv start_link(Switch, default)
-spec start_link(pid()) -> {ok, pid()} | {error, error()}.
start_link(Switch) ->
    start_link(Switch, default).

%% @doc Open a control socket and link it to the caller. Evum has to run.
-spec start_link(pid(), default | private | file:name_all()) -> {ok, pid()} | {error, error()}.
start_link(Switch, _Path) when not is_pid(Switch) ->
    {error, {bad_option, switch, Switch}};
start_link(Switch, Path) ->
    case place(Path) of
        {ok, default, Place} ->
            Name = {local, ?MODULE},
            started(gen_server:start_link(Name, ?MODULE, {Switch, default, Place}, []));
        {ok, Kind, Place} ->
            started(gen_server:start_link(?MODULE, {Switch, Kind, Place}, []));
        {error, _} = Error ->
            Error
    end.

%% An error is no crash, and shall not be logged as one: hence `shutdown'.
started({ok, Pid}) when is_pid(Pid) -> {ok, Pid};
started({error, {shutdown, Reason}}) -> {error, Reason};
started({error, Reason}) -> {error, Reason}.

%% @doc Close a control socket and remove it from the file system.
-spec stop(pid()) -> ok.
stop(Ctl) ->
    gen_server:stop(Ctl).

%% @doc The default path, whether or not it is served.
-spec socket() -> string().
socket() ->
    text(default_path()).

%% @doc The path of a control socket.
-spec socket(pid()) -> string().
socket(Ctl) ->
    text(gen_server:call(Ctl, socket)).

%% @doc The control socket at the default path, if there is one.
-spec default() -> {ok, pid()} | none.
default() ->
    case whereis(?MODULE) of
        undefined -> none;
        Pid -> {ok, Pid}
    end.

%% @doc The control socket at the default path; where there is none, it is
%% started, with a switch behind it that has a way out ({@link
%% evum_uplink:open_default/1}).
-spec ensure() -> {ok, pid()} | {error, error() | evum_switch:error()}.
ensure() ->
    case default() of
        {ok, Ctl} -> {ok, Ctl};
        none -> start_default(evum_switch:start(#{name => default}))
    end.

start_default({ok, Switch}) ->
    case start(Switch) of
        {ok, Ctl} ->
            ok = evum_uplink:open_default(Switch),
            {ok, Ctl};
        {error, Reason} ->
            evum_switch:stop(Switch),
            case Reason of
                %% by somebody else, at the same time
                {already_started, Ctl} -> {ok, Ctl};
                _ -> {error, Reason}
            end
    end;
start_default({error, _} = Error) ->
    Error.

%% @doc A control socket of a switch, or the one that is given itself. A switch
%% that has none gets one in the run directory.
-spec serving(pid()) -> {ok, pid()} | {error, error() | no_switch}.
serving(Pid) ->
    case proc_lib:translate_initial_call(Pid) of
        {?MODULE, init, 1} ->
            {ok, Pid};
        {evum_switch_server, init, 1} ->
            case evum_registry:whereis({control_of, Pid}) of
                undefined -> start(Pid, private);
                Ctl -> {ok, Ctl}
            end;
        _ ->
            {error, no_switch}
    end.

%% @private
%% @doc The switch behind a path that is served here.
-spec switch_at(file:name_all()) -> {ok, pid()} | {error, no_switch}.
switch_at(Path) ->
    case evum_registry:whereis({control, Path}) of
        undefined ->
            {error, no_switch};
        Ctl ->
            try
                {ok, gen_server:call(Ctl, switch)}
            catch
                exit:_ -> {error, no_switch}
            end
    end.

%%% Paths. They are kept as the bytes that the file system has.

place(default) ->
    place(default_path());
place(private) ->
    N = integer_to_binary(erlang:unique_integer([positive])),
    Name = <<"switch-", N/binary, ".ctl">>,
    case place(filename:join(filename:dirname(default_path()), Name)) of
        {ok, other, Path} -> {ok, private, Path};
        {error, _} = Error -> Error
    end;
place(Path) ->
    case bytes(Path) of
        {ok, Bytes} when byte_size(Bytes) =< ?PATH_MAX ->
            case default_path() of
                Bytes -> {ok, default, Bytes};
                _ -> {ok, other, Bytes}
            end;
        _ ->
            {error, {bad_option, path, Path}}
    end.

bytes(Path) when is_list(Path), Path =/= []; is_binary(Path), Path =/= <<>> ->
    try
        Raw =
            case is_binary(Path) of
                true -> Path;
                false -> unicode:characters_to_binary(Path, unicode, file:native_name_encoding())
            end,
        nomatch = binary:match(Raw, <<0>>),
        {ok, filename:absname(Raw)}
    catch
        error:_ -> error
    end;
bytes(_) ->
    error.

text(Path) ->
    case unicode:characters_to_list(Path, file:native_name_encoding()) of
        Text when is_list(Text) -> Text;
        _ -> binary_to_list(Path)
    end.

default_path() ->
    {ok, Dir} = bytes(run_dir()),
    filename:join(Dir, <<"evum.ctl">>).

run_dir() ->
    case application:get_env(evum, run_dir) of
        {ok, Dir} -> Dir;
        undefined -> default_run_dir(os:getenv("XDG_RUNTIME_DIR", ""))
    end.

default_run_dir(Runtime) ->
    case file:read_file_info(Runtime) of
        {ok, #file_info{type = directory, access = read_write}} ->
            filename:join(Runtime, "evum-" ++ os:getpid());
        _ ->
            Uid = integer_to_list(own_uid()),
            "/tmp/evum-" ++ Uid ++ "-" ++ os:getpid()
    end.

%% A process owns its folder in /proc.
own_uid() ->
    {ok, #file_info{uid = Uid}} = file:read_file_info("/proc/self"),
    Uid.

%% Make the run directory unless it is there; whether it goes with the last
%% socket in it, which all do but those that somebody has chosen and made.
make_run_dir(Dir) ->
    case file:make_dir(Dir) of
        ok ->
            case file:change_mode(Dir, 8#700) of
                ok -> {ok, true};
                {error, _} -> error
            end;
        {error, eexist} ->
            case is_safe(Dir) of
                true -> {ok, application:get_env(evum, run_dir) =:= undefined};
                false -> error
            end;
        {error, _} ->
            error
    end.

%% A folder that nobody but this user can put something into. It may be behind
%% a symbolic link only where the user has said so.
is_safe(Dir) ->
    Info =
        case application:get_env(evum, run_dir) of
            {ok, _} -> file:read_file_info(Dir);
            undefined -> file:read_link_info(Dir)
        end,
    Uid = own_uid(),
    case Info of
        {ok, #file_info{type = directory, uid = Uid, mode = Mode, access = read_write}} ->
            Mode band 8#022 =:= 0;
        _ ->
            false
    end.

%%% The process

%% @private
-spec init({pid(), default | private | other, binary()}) ->
    {ok, #state{}} | {stop, {shutdown, error()}}.
init({Switch, Kind, Path}) ->
    %% for terminate/2, when a supervisor says so
    process_flag(trap_exit, true),
    logger:set_process_metadata(#{domain => [evum]}),
    Opened =
        case evum_registry:claim({control, Path}) of
            ok -> open(Switch, Kind, Path);
            {error, Holder} -> {error, {already_started, Holder}}
        end,
    case Opened of
        {ok, _} -> Opened;
        {error, Reason} -> {stop, {shutdown, Reason}}
    end.

open(Switch, other, Path) ->
    listen(Switch, Path, false);
open(Switch, _, Path) ->
    Dir = filename:dirname(Path),
    case make_run_dir(Dir) of
        {ok, OwnDir} ->
            Listening = listen(Switch, Path, OwnDir),
            _ = OwnDir andalso element(1, Listening) =:= error andalso file:del_dir(Dir),
            Listening;
        error ->
            {error, {bad_option, run_dir, text(Dir)}}
    end.

listen(Switch, Path, OwnDir) ->
    Ref = monitor(process, Switch),
    try evum_switch:serve(Switch, Path, OwnDir) of
        {ok, Id} ->
            %% The first one is the one that machines of this switch are given.
            _ = evum_registry:claim({control_of, Switch}),
            {ok, #state{switch = Switch, switch_ref = Ref, listener = Id, path = Path}};
        {error, {_Step, Errno}} ->
            {error, {listen, text(Path), Errno}}
    catch
        exit:{Reason, _} -> {error, {switch, Reason}}
    end.

%% @private
-spec handle_call(socket | switch, gen_server:from(), #state{}) ->
    {reply, binary() | pid(), #state{}}.
handle_call(switch, _From, #state{switch = Switch} = State) ->
    {reply, Switch, State};
handle_call(socket, _From, #state{path = Path} = State) ->
    {reply, Path, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({'DOWN', Ref, process, _, _}, #state{switch_ref = Ref} = State) ->
    {stop, normal, State};
handle_info(_Message, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{switch = Switch, listener = Id}) ->
    try evum_switch:unlisten(Switch, Id) of
        _ -> ok
    catch
        %% the switch is gone, and its sockets with it
        exit:_ -> ok
    end.
