%% SPDX-License-Identifier: Apache-2.0
%% @doc The last bytes of a stream, each known by its offset: a pure module.
-module(evum_window).

-export([new/1, add/2, total/1, since/2]).

-export_type([window/0]).

%% Chunks smaller than that are joined, so that a stream of single bytes does
%% not take many times its size.
-define(JOIN, 1024).

-record(window, {
    max :: non_neg_integer(),
    chunks = queue:new() :: queue:queue(binary()),
    %% bytes in the chunks
    size = 0 :: non_neg_integer(),
    %% bytes that have ever been added
    total = 0 :: non_neg_integer()
}).

-opaque window() :: #window{}.

%% @doc A window that keeps at least so many bytes, and at most a chunk more.
-spec new(non_neg_integer()) -> window().
new(Max) ->
    #window{max = Max}.

%% @doc Add a chunk.
-spec add(binary(), window()) -> window().
add(Bytes, #window{chunks = Chunks, size = Size, total = Total} = Window) ->
    trim(Window#window{
        chunks = join(Bytes, Chunks),
        size = Size + byte_size(Bytes),
        total = Total + byte_size(Bytes)
    }).

join(Bytes, Chunks) ->
    case queue:peek_r(Chunks) of
        {value, Last} when byte_size(Last) + byte_size(Bytes) =< ?JOIN ->
            queue:in(<<Last/binary, Bytes/binary>>, queue:drop_r(Chunks));
        _ ->
            queue:in(Bytes, Chunks)
    end.

trim(#window{max = Max, chunks = Chunks, size = Size} = Window) ->
    case queue:peek(Chunks) of
        {value, Oldest} when Size - byte_size(Oldest) >= Max ->
            trim(Window#window{
                chunks = queue:drop(Chunks), size = Size - byte_size(Oldest)
            });
        _ ->
            Window
    end.

%% @doc How many bytes have passed: the offset of the next one.
-spec total(window()) -> non_neg_integer().
total(#window{total = Total}) ->
    Total.

%% @doc All bytes from an offset on, or from the oldest that is kept where that
%% is a later one; with the offset of the first.
-spec since(non_neg_integer(), window()) -> {non_neg_integer(), binary()}.
since(Offset, #window{chunks = Chunks, size = Size, total = Total}) ->
    Start = Total - Size,
    Bytes = iolist_to_binary(queue:to_list(Chunks)),
    Skip = min(max(0, Offset - Start), Size),
    {Start + Skip, binary:part(Bytes, Skip, Size - Skip)}.
