%% SPDX-License-Identifier: Apache-2.0
%% @doc From console bytes to lines of text: a pure module.
%%
%% Lines end with a newline. Carriage returns, other control characters but
%% the tab, and escape sequences (ECMA-48, 5.3 to 5.6) are taken out. A line
%% that is longer than `?LINE_MAX' bytes comes in pieces of that size. The
%% result does not depend on how the bytes are cut into chunks.
%%
%% {@link text/2} does the same to text that is not cut into lines.
-module(evum_lines).

-export([new/0, feed/2, partial/1, limit/0, text/2]).

-export_type([lines/0, escape/0]).

%% Bytes of the longest line that is kept whole.
-define(LINE_MAX, 4096).

%% Inside an escape sequence, or not.
-type escape() :: none | start | intermediate | csi | string | string_escape.

-record(lines, {
    %% text since the last newline
    partial = <<>> :: binary(),
    escape = none :: escape()
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

%% @doc Take out of a chunk what is no text, and keep the newlines: the text,
%% and where in an escape sequence the chunk ends, for the next one.
-spec text(binary(), escape()) -> {binary(), escape()}.
text(Bytes, Escape) ->
    text(Bytes, Escape, []).

text(<<>>, Escape, Done) ->
    {iolist_to_binary(lists:reverse(Done)), Escape};
text(Bytes, none, Done) ->
    Plain = plain(Bytes, 0),
    <<Text:Plain/binary, Rest/binary>> = Bytes,
    case Rest of
        <<$\r, $\n, Rest1/binary>> -> text(Rest1, none, [$\n, Text | Done]);
        <<$\n, Rest1/binary>> -> text(Rest1, none, [$\n, Text | Done]);
        <<$\e, Rest1/binary>> -> text(Rest1, start, [Text | Done]);
        <<_, Rest1/binary>> -> text(Rest1, none, [Text | Done]);
        <<>> -> text(<<>>, none, [Text | Done])
    end;
text(<<Byte, Rest/binary>>, Escape, Done) ->
    text(Rest, escape(Escape, Byte), Done).

feed(<<>>, Lines, Done) ->
    {lists:reverse(Done), Lines};
feed(Bytes, #lines{escape = none, partial = Partial} = Lines, Done) ->
    Plain = plain(Bytes, 0),
    <<Text:Plain/binary, Rest/binary>> = Bytes,
    {Cut, Partial1} = cut(join(Partial, Text), Done),
    Lines1 = Lines#lines{partial = Partial1},
    case Rest of
        <<$\r, $\n, Rest1/binary>> ->
            feed(Rest1, Lines1#lines{partial = <<>>}, [Partial1 | Cut]);
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

%% How many bytes at the front are text. Most of a console's bytes pass here
%% and nowhere else.
plain(<<Byte, Rest/binary>>, N) when Byte >= 16#20, Byte =/= 16#7f; Byte =:= $\t ->
    plain(Rest, N + 1);
plain(_, N) ->
    N.

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
