%% SPDX-License-Identifier: Apache-2.0
%% @doc Writes what a console shows to a file, a line with its time each.
%%
%% A process of its own, so that a slow disk keeps nobody waiting: what it has
%% no room for is lost, which {@link evum_console} counts and the file tells. It
%% ends after its machine, when all has been written, or when writing fails.
-module(evum_transcript).
-behaviour(gen_server).

-export([start/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-include_lib("kernel/include/logger.hrl").

-record(state, {
    machine :: pid(),
    monitor :: reference(),
    stream :: reference(),
    path :: file:filename_all(),
    file :: file:fd(),
    lines = evum_lines:new() :: evum_lines:lines()
}).

%% @doc Write the caller's stream of that reference to a file, behind what is in
%% there already.
-spec start(file:filename_all(), reference()) -> {ok, pid()} | {error, term()}.
start(Path, Stream) ->
    gen_server:start(?MODULE, {self(), Path, Stream}, []).

%% @private
-spec init({pid(), file:filename_all(), reference()}) -> {ok, #state{}} | {stop, term()}.
init({Machine, Path, Stream}) ->
    logger:set_process_metadata(#{domain => [evum]}),
    case file:open(Path, [append, raw, binary]) of
        {ok, File} ->
            {ok, #state{
                machine = Machine,
                monitor = monitor(process, Machine),
                stream = Stream,
                path = Path,
                file = File
            }};
        {error, Reason} ->
            {stop, {shutdown, Reason}}
    end.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, ok, #state{}}.
handle_call(_Request, _From, State) ->
    {reply, ok, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({Stream, {text, Bytes}}, #state{stream = Stream, lines = Lines} = State) ->
    {Ended, Lines1} = evum_lines:feed(Bytes, Lines),
    ok = evum_vm:read(State#state.machine, Stream, byte_size(Bytes)),
    write(Ended, State#state{lines = Lines1});
handle_info({Stream, {lost, Bytes}}, #state{stream = Stream} = State) ->
    write([<<"[", (integer_to_binary(Bytes))/binary, " bytes lost]">>], State);
handle_info({'DOWN', Ref, process, _, _}, #state{monitor = Ref, lines = Lines} = State) ->
    Rest = evum_lines:partial(Lines),
    _ = Rest =:= <<>> orelse write([Rest], State),
    {stop, normal, State};
handle_info(_Message, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{file = File}) ->
    _ = file:close(File),
    ok.

write([], State) ->
    {noreply, State};
write(Lines, #state{file = File, path = Path} = State) ->
    Now = calendar:system_time_to_rfc3339(
        erlang:system_time(millisecond), [{unit, millisecond}, {offset, "Z"}]
    ),
    case file:write(File, [[Now, $\s, Line, $\n] || Line <- Lines]) of
        ok ->
            {noreply, State};
        {error, Reason} ->
            ?LOG_WARNING("evum: transcript ~ts ends: ~p", [Path, Reason]),
            {stop, normal, State}
    end.
