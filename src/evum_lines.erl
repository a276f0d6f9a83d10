%% SPDX-License-Identifier: Apache-2.0
%% @doc From console bytes to lines of text: a pure module.
%%
%% Lines end with a newline. Carriage returns, other control characters but
%% the tab, and escape sequences (ECMA-48, 5.3 to 5.6) are taken out. A line
%% that is longer than `?LINE_MAX' bytes comes in pieces of that size. The
%% result does not depend on how the bytes are cut into chunks.
-module(evum_lines).

-export([new/0, feed/2, partial/1, limit/0]).

-export_type([lines/0]).

%% Bytes of the longest line that is kept whole.
-define(LINE_MAX, 4096).

-record(lines, {
    %% text since the last newline
    partial = <<>> :: binary(),
    %% inside an escape sequence, or not
    escape = none :: none | start | intermediate | csi | string | string_escape
}).

-opaque lines() :: #lines{}.

%% @doc A console that has shown nothing.
-spec new() -> lines().
new() ->
    #lines{}.

%% @doc Take a chunk of bytes; gives the lines that it completes.
-spec feed(binary(), lines()) -> {[binary()], lines()}.
feed(Bytes, Lines) ->
    feed(Bytes, Lines, []).

%% @doc What stands on the line that is not yet ended, such as a prompt.
-spec partial(lines()) -> binary().
partial(#lines{partial = Partial}) ->
    Partial.

%% @doc The longest line that is kept whole, in bytes.
-spec limit() -> pos_integer().
limit() ->
    ?LINE_MAX.

feed(<<>>, Lines, Done) ->
    {lists:reverse(Done), Lines};
feed(Bytes, #lines{escape = none, partial = Partial} = Lines, Done) ->
    Plain = plain(Bytes, 0),
    <<Text:Plain/binary, Rest/binary>> = Bytes,
    {Cut, Partial1} = cut(join(Partial, Text), Done),
    Lines1 = Lines#lines{partial = Partial1},
    case Rest of
        <<$\n, Rest1/binary>> ->
            feed(Rest1, Lines1#lines{partial = <<>>}, [Partial1 | Cut]);
        <<$\e, Rest1/binary>> ->
            feed(Rest1, Lines1#lines{escape = start}, Cut);
        <<_, Rest1/binary>> ->
            feed(Rest1, Lines1, Cut);
        <<>> ->
            feed(<<>>, Lines1, Cut)
    end;
feed(<<Byte, Rest/binary>>, #lines{escape = Escape} = Lines, Done) ->
    feed(Rest, Lines#lines{escape = escape(Escape, Byte)}, Done).

%% How many bytes at the front are text.
plain(Bytes, N) ->
    case Bytes of
        <<_:N/binary, Byte, _/binary>> when Byte >= 16#20, Byte =/= 16#7f; Byte =:= $\t ->
            plain(Bytes, N + 1);
        _ ->
            N
    end.

join(<<>>, Text) -> binary:copy(Text);
join(Partial, Text) -> <<Partial/binary, Text/binary>>.

cut(<<Piece:?LINE_MAX/binary, Rest/binary>>, Done) when Rest =/= <<>> ->
    cut(Rest, [Piece | Done]);
cut(Partial, Done) ->
    {Done, Partial}.

%% ESC [ ... final byte; ESC ] ... BEL or ESC \ (also P, X, ^, _); ESC
%% intermediate bytes ... final byte. A newline inside ends any of them: a
%% program that died half-way must not swallow what follows.
escape(_, $\n) -> none;
escape(start, $[) -> csi;
escape(start, Byte) when Byte =:= $]; Byte =:= $P; Byte =:= $X; Byte =:= $^; Byte =:= $_ -> string;
escape(start, Byte) when Byte >= 16#20, Byte =< 16#2f -> intermediate;
escape(start, _) -> none;
escape(intermediate, Byte) when Byte >= 16#20, Byte =< 16#2f -> intermediate;
escape(intermediate, _) -> none;
escape(csi, Byte) when Byte >= 16#40, Byte =< 16#7e -> none;
escape(csi, _) -> csi;
escape(string, 7) -> none;
escape(string, $\e) -> string_escape;
escape(string, _) -> string;
escape(string_escape, $\\) -> none;
escape(string_escape, $\e) -> string_escape;
escape(string_escape, _) -> string.
