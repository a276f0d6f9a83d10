%% SPDX-License-Identifier: Apache-2.0
%% @doc What a kernel has found its delay loop to be on this host.
%%
%% Finding it out is most of a boot; the option `lpj=' of the kernel tells it.
%% The first boot of a kernel prints the figure, which is kept under
%% `$XDG_CACHE_HOME/evum/lpj' (`~/.cache'), by kernel file and CPU model. It
%% scales the kernel's busy-waits and nothing else, so an old one does no harm.
-module(evum_lpj).

-export([recall/1, learn/2, find/1]).

%% @doc The figure of a kernel on this host, if it has booted here.
-spec recall(evum_kernel:kernel()) -> {ok, pos_integer()} | unknown.
recall(Kernel) ->
    Key = key(Kernel),
    case persistent_term:get({?MODULE, Key}, unknown) of
        unknown -> recall_file(Key);
        Lpj -> {ok, Lpj}
    end.

recall_file(Key) ->
    try
        {ok, Text} = file:read_file(path(Key)),
        Lpj = binary_to_integer(string:trim(Text)),
        true = Lpj > 0,
        persistent_term:put({?MODULE, Key}, Lpj),
        {ok, Lpj}
    catch
        error:_ -> unknown
    end.

%% @doc Remember the figure that a kernel has printed. Where the cache cannot be
%% written, this BEAM alone remembers.
-spec learn(evum_kernel:kernel(), pos_integer()) -> ok.
learn(Kernel, Lpj) ->
    Key = key(Kernel),
    persistent_term:put({?MODULE, Key}, Lpj),
    Path = path(Key),
    %% Whole or not at all, whoever else writes it at the same time.
    New = Path ++ "." ++ os:getpid(),
    _ = filelib:ensure_dir(Path),
    _ = file:write_file(New, integer_to_binary(Lpj)),
    _ = file:rename(New, Path),
    ok.

%% @doc The figure in a boot message (`init/calibrate.c'), if it is one.
-spec find(binary()) -> {ok, pos_integer()} | none.
find(Line) ->
    case re:run(Line, "BogoMIPS \\(lpj=([0-9]{1,15})\\)", [{capture, [1], binary}]) of
        {match, [Lpj]} -> {ok, binary_to_integer(Lpj)};
        nomatch -> none
    end.

key(#{path := Path, stamp := Stamp}) ->
    erlang:phash2({Path, Stamp, cpu_model()}, 1 bsl 32).

cpu_model() ->
    case persistent_term:get({?MODULE, cpu_model}, none) of
        none ->
            {ok, Text} = file:read_file("/proc/cpuinfo"),
            Model =
                case re:run(Text, "model name\\s*: (.*)", [{capture, [1], binary}]) of
                    {match, [Name]} -> Name;
                    nomatch -> <<>>
                end,
            persistent_term:put({?MODULE, cpu_model}, Model),
            Model;
        Model ->
            Model
    end.

path(Key) ->
    filename:join([cache(), "evum", "lpj", integer_to_list(Key, 16)]).

cache() ->
    case {os:getenv("XDG_CACHE_HOME", ""), os:getenv("HOME", "")} of
        {"", ""} -> "/nonexistent";
        {"", Home} -> filename:join(Home, ".cache");
        {Cache, _} -> Cache
    end.
