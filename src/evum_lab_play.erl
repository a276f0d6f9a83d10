%% SPDX-License-Identifier: Apache-2.0
%% @doc What is to happen in a lab, and when: a process that does it.
-module(evum_lab_play).
-behaviour(gen_server).

-export([check/1, start_link/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([step/0, action/0]).

-include_lib("kernel/include/logger.hrl").

%% ms from the beginning; each so many ms, the first time after that.
-type step() :: {at, Ms :: non_neg_integer(), action()} | {every, Ms :: pos_integer(), action()}.
%% The functions of {@link evum_lab} of these names, or one's own.
-type action() ::
    {partition, evum_lab_cut:partition()}
    | heal
    | {set_link, term(), term(), map()}
    | {connect, term(), term(), map()}
    | {disconnect, term(), term()}
    | {kill | boot | restart | remove, term()}
    | {add, term(), map()}
    | fun((Lab :: pid()) -> term()).

-record(state, {
    lab :: pid(),
    name :: binary()
}).

%% @doc Whether these are steps; the first that is none where not.
-spec check(term()) -> ok | {error, {bad_option, play, term()}}.
check(Steps) when is_list(Steps) ->
    case [Step || Step <- Steps, not is_step(Step)] of
        [] -> ok;
        [Bad | _] -> {error, {bad_option, play, Bad}}
    end;
check(Steps) ->
    {error, {bad_option, play, Steps}}.

is_step({at, Ms, Action}) -> is_integer(Ms) andalso Ms >= 0 andalso is_action(Action);
is_step({every, Ms, Action}) -> is_integer(Ms) andalso Ms > 0 andalso is_action(Action);
is_step(_) -> false.

is_action(heal) -> true;
is_action({partition, _}) -> true;
is_action({set_link, _, _, Options}) -> is_map(Options);
is_action({connect, _, _, Options}) -> is_map(Options);
is_action({disconnect, _, _}) -> true;
is_action({Kind, _}) -> lists:member(Kind, [kill, boot, restart, remove]);
is_action({add, _, Options}) -> is_map(Options);
is_action(Fun) -> is_function(Fun, 1).

%% @doc Do them; linked to the lab. Who watches it gets `{evum_lab, Name, {played,
%% Action, Result}}'.
-spec start_link(pid(), binary(), [step()]) -> gen_server:start_ret().
start_link(Lab, Name, Steps) ->
    gen_server:start_link(?MODULE, {Lab, Name, Steps}, []).

%% @private
-spec init({pid(), binary(), [step()]}) -> {ok, #state{}}.
init({Lab, Name, Steps}) ->
    logger:set_process_metadata(#{domain => [evum], lab => Name}),
    %% A lab that is stopped ends normally, which a link would not tell.
    _ = monitor(process, Lab),
    lists:foreach(
        fun
            ({at, Ms, Action}) -> erlang:start_timer(Ms, self(), {at, Action});
            ({every, Ms, Action}) -> erlang:start_timer(Ms, self(), {every, Ms, Action})
        end,
        Steps
    ),
    {ok, #state{lab = Lab, name = Name}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call(_Request, _From, State) ->
    {reply, {error, bad_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({timeout, _, {at, Action}}, State) ->
    {noreply, done(Action, State)};
handle_info({timeout, _, {every, Ms, Action}}, State) ->
    _ = erlang:start_timer(Ms, self(), {every, Ms, Action}),
    {noreply, done(Action, State)};
handle_info({'DOWN', _, process, Lab, _}, #state{lab = Lab} = State) ->
    {stop, normal, State};
handle_info(_Message, State) ->
    {noreply, State}.

done(Action, #state{lab = Lab} = State) ->
    Result =
        try
            do(Action, Lab)
        catch
            Class:Reason:Stack -> {error, {Class, Reason, Stack}}
        end,
    case Result of
        {error, Why} -> ?LOG_WARNING("~0tp: ~0tp", [Action, Why]);
        _ -> ok
    end,
    ok = gen_server:cast(Lab, {tell, {played, Action, Result}}),
    State.

do(heal, Lab) -> evum_lab:heal(Lab);
do({partition, Groups}, Lab) -> evum_lab:partition(Lab, Groups);
do({set_link, A, B, Options}, Lab) -> evum_lab:set_link(Lab, A, B, Options);
do({connect, A, B, Options}, Lab) -> evum_lab:connect(Lab, A, B, Options);
do({disconnect, A, B}, Lab) -> evum_lab:disconnect(Lab, A, B);
do({kill, Name}, Lab) -> evum_lab:kill(Lab, Name);
do({boot, Name}, Lab) -> evum_lab:boot(Lab, Name);
do({restart, Name}, Lab) -> evum_lab:restart(Lab, Name);
do({remove, Name}, Lab) -> evum_lab:remove(Lab, Name);
do({add, Name, Options}, Lab) -> evum_lab:add(Lab, Name, Options);
do(Fun, Lab) -> Fun(Lab).
