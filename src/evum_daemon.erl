%% SPDX-License-Identifier: Apache-2.0
%% @doc A node for the command `evum' alone, where none of the user's runs: it
%% ends when nothing runs in it any more.
-module(evum_daemon).
-behaviour(gen_server).

-export([start/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% How often it looks, ms; with nothing there twice in a row, it ends.
-define(LOOK_EVERY, 2000).

%% @private
%% @doc The entry of the BEAM.
-spec start() -> ok.
start() ->
    {ok, _} = application:ensure_all_started(evum),
    {ok, _} = gen_server:start(?MODULE, [], []),
    ok.

%% @private
-spec init([]) -> {ok, Idle :: non_neg_integer()}.
init([]) ->
    look_again(),
    {ok, 0}.

look_again() ->
    _ = erlang:send_after(?LOOK_EVERY, self(), look),
    ok.

%% @private
-spec handle_call(term(), gen_server:from(), Idle) -> {reply, ok, Idle}.
handle_call(_Request, _From, Idle) ->
    {reply, ok, Idle}.

%% @private
-spec handle_cast(term(), Idle) -> {noreply, Idle}.
handle_cast(_Message, Idle) ->
    {noreply, Idle}.

%% @private
-spec handle_info(term(), Idle :: non_neg_integer()) -> {noreply, Idle :: non_neg_integer()}.
handle_info(look, Idle) ->
    case evum:list() =:= [] andalso evum_door:clients() =:= 0 of
        true when Idle > 0 ->
            init:stop(),
            {noreply, Idle};
        true ->
            look_again(),
            {noreply, Idle + 1};
        false ->
            look_again(),
            {noreply, 0}
    end;
handle_info(_Message, Idle) ->
    {noreply, Idle}.
