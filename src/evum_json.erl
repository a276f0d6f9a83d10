%% SPDX-License-Identifier: Apache-2.0
%% @doc JSON texts (RFC 8259) as terms, as far as evum reads some: a pure module.
%%
%% Objects are maps with binary keys, of a key that comes twice the last;
%% strings are binaries, null is `null'.
-module(evum_json).

-export([decode/1]).

-export_type([json/0]).

%% Arrays and objects within one another.
-define(DEPTH_MAX, 64).

-type json() :: null | boolean() | number() | binary() | [json()] | #{binary() => json()}.

%% @doc The value that a text is, with nothing but blanks around it.
-spec decode(binary()) -> {ok, json()} | error.
decode(Text) ->
    try
        {Value, Rest} = value(blanks(Text), ?DEPTH_MAX),
        <<>> = blanks(Rest),
        {ok, Value}
    catch
        throw:bad -> error;
        error:{badmatch, _} -> error
    end.

value(<<"null", Rest/binary>>, _) -> {null, Rest};
value(<<"true", Rest/binary>>, _) -> {true, Rest};
value(<<"false", Rest/binary>>, _) -> {false, Rest};
value(<<$", Rest/binary>>, _) -> string(Rest, <<>>);
value(<<$[, Rest/binary>>, Depth) when Depth > 0 -> array(blanks(Rest), Depth - 1);
value(<<${, Rest/binary>>, Depth) when Depth > 0 -> object(blanks(Rest), Depth - 1);
value(Text, _) -> number(Text).

array(<<$], Rest/binary>>, _) -> {[], Rest};
array(Text, Depth) -> elements(Text, Depth, []).

elements(Text, Depth, Acc) ->
    {Value, Rest} = value(Text, Depth),
    case blanks(Rest) of
        <<$,, More/binary>> -> elements(blanks(More), Depth, [Value | Acc]);
        <<$], More/binary>> -> {lists:reverse([Value | Acc]), More};
        _ -> throw(bad)
    end.

object(<<$}, Rest/binary>>, _) -> {#{}, Rest};
object(Text, Depth) -> members(Text, Depth, #{}).

members(<<$", Text/binary>>, Depth, Map) ->
    {Key, Rest} = string(Text, <<>>),
    <<$:, Rest1/binary>> = blanks(Rest),
    {Value, Rest2} = value(blanks(Rest1), Depth),
    case blanks(Rest2) of
        <<$,, More/binary>> -> members(blanks(More), Depth, Map#{Key => Value});
        <<$}, More/binary>> -> {Map#{Key => Value}, More};
        _ -> throw(bad)
    end;
members(_, _, _) ->
    throw(bad).

string(<<$", Rest/binary>>, Acc) ->
    {Acc, Rest};
string(<<"\\u", Hex:4/binary, Rest/binary>>, Acc) ->
    escaped(hex(Hex), Rest, Acc);
string(<<$\\, C, Rest/binary>>, Acc) ->
    string(Rest, <<Acc/binary, (escape(C))>>);
string(<<C/utf8, Rest/binary>>, Acc) when C >= 32 ->
    string(Rest, <<Acc/binary, C/utf8>>);
string(_, _) ->
    throw(bad).

%% Two escapes for what is beyond 16 bits.
escaped(High, <<"\\u", Hex:4/binary, Rest/binary>>, Acc) when High >= 16#d800, High < 16#dc00 ->
    case hex(Hex) of
        Low when Low >= 16#dc00, Low < 16#e000 ->
            C = 16#10000 + ((High - 16#d800) bsl 10) + (Low - 16#dc00),
            string(Rest, <<Acc/binary, C/utf8>>);
        _ ->
            throw(bad)
    end;
escaped(C, _Rest, _Acc) when C >= 16#d800, C < 16#e000 ->
    throw(bad);
escaped(C, Rest, Acc) ->
    string(Rest, <<Acc/binary, C/utf8>>).

%% No sign, as binary_to_integer/2 takes one.
hex(Digits) ->
    case re:run(Digits, "^[0-9A-Fa-f]{4}$", [{capture, none}]) of
        match -> binary_to_integer(Digits, 16);
        nomatch -> throw(bad)
    end.

escape($n) -> $\n;
escape($t) -> $\t;
escape($r) -> $\r;
escape($b) -> $\b;
escape($f) -> $\f;
escape(C) when C =:= $"; C =:= $\\; C =:= $/ -> C;
escape(_) -> throw(bad).

number(Text) ->
    case re:run(Text, "^(-?(?:0|[1-9][0-9]{0,30}))(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", [
        {capture, all, binary}
    ]) of
        {match, [All, All]} -> {binary_to_integer(All), rest(All, Text)};
        {match, [All, Whole, Part]} -> {float(Whole, Part, <<>>), rest(All, Text)};
        {match, [All, Whole, Part, Exp]} -> {float(Whole, Part, Exp), rest(All, Text)};
        nomatch -> throw(bad)
    end.

rest(Matched, Text) ->
    binary:part(Text, byte_size(Matched), byte_size(Text) - byte_size(Matched)).

float(Whole, <<>>, Exp) ->
    float(Whole, <<".0">>, Exp);
float(Whole, Part, Exp) ->
    try
        binary_to_float(<<Whole/binary, Part/binary, Exp/binary>>)
    catch
        error:badarg -> throw(bad)
    end.

blanks(<<C, Rest/binary>>) when C =:= $\s; C =:= $\t; C =:= $\n; C =:= $\r -> blanks(Rest);
blanks(Text) -> Text.
