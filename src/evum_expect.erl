%% SPDX-License-Identifier: Apache-2.0
%% @doc Waiting for something in the text of a console: a pure module.
%%
%% The text is what {@link evum_lines:text/2} makes of the console's bytes, so
%% that patterns need not know of carriage returns and escape sequences; a line
%% that is not ended, such as a prompt, is part of it.
%%
%% What is found does not depend on how the bytes came in chunks. Of several
%% patterns the one counts that can be decided at the earliest place, and of
%% those at one place the first in the list:
%% <ul>
%% <li>a string, at its last byte;</li>
%% <li>`{re, RE}', at the end of the first line with which the text matches it,
%%   so that what is greedy gets all of its line. A newline is an ordinary
%%   character, `^' and `$' match at each line;</li>
%% <li>`{prompt}', and an expression on a line that is not ended, once the
%%   console has {@link settle/1. settled}: how long nothing has to come for
%%   that, is for the caller to say.</li>
%% </ul>
-module(evum_expect).

-export([compile/1, new/2, feed/2, pending/1, look/1, settle/1, seen/1]).
-export([position/1, offset/1, limit/0]).

-export_type([pattern/0, compiled/0, patterns/0, expect/0, position/0, found/0, bad_pattern/0]).

%% Text that is kept: what came before is cut to that many bytes, and a match
%% may be as long.
-define(TEXT_MAX, 65536).
%% Text is given up in pieces of that size or more.
-define(TEXT_SLACK, 65536).
%% A place to which a position can refer, once in so many bytes.
-define(MARK_EACH, 1024).

%% What re:compile/2 makes.
-type compiled() :: tuple().
-type pattern() :: iodata() | {re, iodata() | compiled()} | {prompt}.
-type bad_pattern() :: {bad_pattern, term()}.
-type found() :: #{
    before := binary(), match := binary(), groups := [binary()], index := pos_integer()
}.

-opaque position() ::
    {Offset :: non_neg_integer(), evum_lines:escape(), Skip :: non_neg_integer()}.

-opaque patterns() :: [{pos_integer(), {text, binary()} | {re, compiled()} | prompt}].

-record(expect, {
    patterns :: patterns(),
    text = <<>> :: binary(),
    %% bytes of text that have been given up before it
    gone = 0 :: non_neg_integer(),
    %% bytes of text that the patterns have been looked for in
    looked = 0 :: non_neg_integer(),
    %% where in the text the last unfinished line starts
    line = 0 :: non_neg_integer(),
    escape :: evum_lines:escape(),
    %% bytes of text that somebody has had already
    skip :: non_neg_integer(),
    %% offset of the next byte
    offset :: non_neg_integer(),
    %% {length of the text so far, position}, the newest first
    marks :: [{non_neg_integer(), position()}, ...]
}).

-opaque expect() :: #expect{}.

%% @doc Make patterns ready for use: one, or a list of them.
-spec compile(pattern() | [pattern()]) -> {ok, patterns()} | {error, bad_pattern()}.
compile(Patterns) ->
    try
        {ok, lists:enumerate([pattern(P) || P <- alternatives(Patterns)])}
    catch
        throw:{bad_pattern, _} = Error -> {error, Error}
    end.

%% A string is a list, too, and so is other iodata.
alternatives([First | _] = Patterns) when not is_integer(First) ->
    case lists:all(fun is_pattern/1, Patterns) of
        true -> Patterns;
        false -> [Patterns]
    end;
alternatives(Pattern) ->
    [Pattern].

is_pattern(Pattern) -> is_list(Pattern) orelse is_binary(Pattern) orelse is_tuple(Pattern).

pattern({prompt}) ->
    prompt;
pattern({re, RE} = Given) when is_tuple(RE) ->
    %% only re:run/2 can tell what is no compiled expression
    try re:run(<<>>, RE, [{capture, none}]) of
        _ -> {re, RE}
    catch
        error:badarg -> throw({bad_pattern, Given})
    end;
pattern({re, RE} = Given) ->
    case re:compile(text(RE, Given), [multiline]) of
        {ok, MP} -> {re, MP};
        {error, _} -> throw({bad_pattern, Given})
    end;
pattern(Text) ->
    {text, text(Text, Text)}.

text(Text, Given) when is_list(Text); is_binary(Text) ->
    try unicode:characters_to_binary(Text) of
        Bytes when is_binary(Bytes), Bytes =/= <<>>, byte_size(Bytes) =< ?TEXT_MAX -> Bytes;
        _ -> throw({bad_pattern, Given})
    catch
        error:badarg -> throw({bad_pattern, Given})
    end;
text(_, Given) ->
    throw({bad_pattern, Given}).

%% @doc Wait for patterns from a position on.
-spec new(patterns(), position()) -> expect().
new(Patterns, {Offset, Escape, Skip} = Position) ->
    #expect{
        patterns = Patterns,
        escape = Escape,
        skip = Skip,
        offset = Offset,
        marks = [{0, Position}]
    }.

%% @doc The position of a byte of the console.
-spec position(Offset :: non_neg_integer()) -> position().
position(Offset) ->
    {Offset, none, 0}.

%% @doc The first byte of the console that a position needs.
-spec offset(position()) -> non_neg_integer().
offset({Offset, _, _}) ->
    Offset.

%% @doc The most bytes that are kept of what came before a match.
-spec limit() -> pos_integer().
limit() ->
    ?TEXT_MAX.

%% @doc All text since the position that is kept.
-spec seen(expect()) -> binary().
seen(#expect{text = Text}) ->
    last(?TEXT_MAX, Text).

%% @doc The console has shown bytes.
-spec feed(binary(), expect()) -> expect().
feed(Bytes, Expect) ->
    add(Bytes, Expect).

%% @doc Bytes of text that have not been looked at.
-spec pending(expect()) -> non_neg_integer().
pending(#expect{text = Text, looked = Looked}) ->
    byte_size(Text) - Looked.

%% @doc Look for the patterns in what has been shown. When this is done makes no
%% difference for what is found: seldom is cheaper.
-spec look(expect()) -> {found, found(), position()} | {more, expect()}.
look(#expect{patterns = Patterns, text = Text, line = Line, looked = Looked} = Expect) ->
    Literal = first_literal(Looked, Patterns, Text),
    Ends = line_ends(Line, Text, Literal),
    case earliest(Literal, first_line(Ends, Patterns, Text)) of
        none when Ends =:= [] -> {more, trim(Expect#expect{looked = byte_size(Text)})};
        none -> {more, trim(Expect#expect{looked = byte_size(Text), line = lists:last(Ends)})};
        Found -> found(Found, Expect)
    end.

%% @doc Nothing has come for a while, and all has been looked at.
-spec settle(expect()) -> {found, found(), position()} | {more, expect()}.
settle(#expect{text = Text, line = Line} = Expect) when byte_size(Text) > Line ->
    <<_:Line/binary, Last/binary>> = Text,
    Prompt = evum_typist:is_prompt(Last),
    Found = [
        {byte_size(Text), Index, Match}
     || {Index, Pattern} <- Expect#expect.patterns,
        Match <-
            case Pattern of
                {re, MP} -> match(Text, MP);
                prompt when Prompt -> [[{Line, byte_size(Last)}]];
                _ -> []
            end
    ],
    case Found of
        [First | _] -> found(First, Expect);
        [] -> {more, Expect}
    end;
settle(Expect) ->
    {more, Expect}.

%%% Places in the text: {where it is decided, index of the pattern, captured}

%% A string may have begun in what was looked at before.
first_literal(Looked, Patterns, Text) ->
    lists:foldl(
        fun
            ({Index, {text, Pattern}}, Best) ->
                From = max(0, Looked - byte_size(Pattern) + 1),
                case binary:match(Text, Pattern, [{scope, {From, byte_size(Text) - From}}]) of
                    {At, Size} -> earliest(Best, {At + Size, Index, [{At, Size}]});
                    nomatch -> Best
                end;
            (_, Best) ->
                Best
        end,
        none,
        Patterns
    ).

earliest(none, B) -> B;
earliest(A, none) -> A;
earliest(A, B) -> min(A, B).

%% Where lines end, as far as it matters.
line_ends(From, Text, Literal) ->
    Size = byte_size(Text) - From,
    Ends = [At + 1 || {At, 1} <- binary:matches(Text, <<"\n">>, [{scope, {From, Size}}])],
    case Literal of
        none -> Ends;
        {Last, _, _} -> [End || End <- Ends, End =< Last]
    end.

%% The first end of a line up to which the text matches. That it matches no
%% more when there is more of it, is taken for impossible: so most chunks cost
%% one look.
first_line([], _Patterns, _Text) ->
    none;
first_line(Ends, Patterns, Text) ->
    case [Pattern || {_, {re, _}} = Pattern <- Patterns] of
        [] -> none;
        Expressions -> bisect(list_to_tuple(Ends), Expressions, Text)
    end.

bisect(Ends, Expressions, Text) ->
    Last = tuple_size(Ends),
    case matches(element(Last, Ends), Expressions, Text) of
        none -> none;
        Found -> bisect(Ends, 0, Last, Found, Expressions, Text)
    end.

%% Up to the end Low it does not match, up to High it does.
bisect(_Ends, Low, High, Found, _Expressions, _Text) when High - Low =:= 1 ->
    Found;
bisect(Ends, Low, High, Found, Expressions, Text) ->
    Middle = (Low + High) div 2,
    case matches(element(Middle, Ends), Expressions, Text) of
        none -> bisect(Ends, Middle, High, Found, Expressions, Text);
        Earlier -> bisect(Ends, Low, Middle, Earlier, Expressions, Text)
    end.

matches(End, Expressions, Text) ->
    Part = binary:part(Text, 0, End),
    Found = [{End, Index, M} || {Index, {re, MP}} <- Expressions, M <- match(Part, MP)],
    case Found of
        [First | _] -> First;
        [] -> none
    end.

match(Text, MP) ->
    case re:run(Text, MP, [{capture, all, index}]) of
        {match, Captured} -> [Captured];
        nomatch -> []
    end.

%%% The text ----------------------------------------------------------------------

add(Bytes, #expect{text = Before, gone = Gone, skip = Skip, escape = Escape} = Expect) ->
    #expect{offset = Offset, marks = [{Marked, _} | _] = Marks} = Expect,
    Here = Gone + byte_size(Before),
    Marks1 =
        case Skip =:= 0 andalso Here - Marked >= ?MARK_EACH of
            true -> [{Here, {Offset, Escape, 0}} | Marks];
            false -> Marks
        end,
    {Shown, Escape1} = evum_lines:text(Bytes, Escape),
    Had = min(Skip, byte_size(Shown)),
    <<_:Had/binary, New/binary>> = Shown,
    Expect#expect{
        text = <<Before/binary, New/binary>>,
        skip = Skip - Had,
        escape = Escape1,
        offset = Offset + byte_size(Bytes),
        marks = Marks1
    }.

trim(#expect{text = Text, gone = Gone, line = Line, marks = Marks} = Expect) when
    byte_size(Text) > ?TEXT_MAX + ?TEXT_SLACK
->
    Cut = byte_size(Text) - ?TEXT_MAX,
    Gone1 = Gone + Cut,
    {Later, [Last | _]} = lists:splitwith(fun({At, _}) -> At > Gone1 end, Marks),
    Expect#expect{
        text = binary:copy(last(?TEXT_MAX, Text)),
        gone = Gone1,
        looked = ?TEXT_MAX,
        line = max(0, Line - Cut),
        marks = Later ++ [Last]
    };
trim(Expect) ->
    Expect.

found({_, Index, [{At, Size} | _] = Captured}, #expect{text = Text} = Expect) ->
    [Match | Groups] = [capture(C, Text) || C <- Captured],
    Found = #{
        before => last(?TEXT_MAX, binary:part(Text, 0, At)),
        match => Match,
        groups => Groups,
        index => Index
    },
    {found, Found, behind(Expect#expect.gone + At + Size, Expect)}.

%% A group that took no part.
capture({-1, 0}, _Text) -> <<>>;
capture({At, Size}, Text) -> binary:part(Text, At, Size).

behind(End, #expect{marks = Marks}) ->
    [{At, {Offset, Escape, Skip}} | _] = lists:dropwhile(fun({At, _}) -> At > End end, Marks),
    {Offset, Escape, Skip + End - At}.

last(Max, Text) when byte_size(Text) =< Max -> Text;
last(Max, Text) -> binary:part(Text, byte_size(Text) - Max, Max).
