%% SPDX-License-Identifier: Apache-2.0
%% @doc Tar archives, as whoever wrote them: a pure module, but for a function
%% that reads.
%%
%% Understood are the formats of POSIX (ustar, pax) and GNU's long names. A name
%% that climbs out of the archive's root is an error, and so is anything that is
%% not whole. Nothing is ever unpacked here: an entry tells where its content is.
-module(evum_tar).

-export([index/1, index/2, header/1, padding/1, finish/0, path/1]).

-export_type([entry/0, reader/0, reason/0]).

-define(BLOCK, 512).
%% Entries of one archive, and bytes of what describes one of them.
-define(ENTRIES_MAX, 2000000).
-define(RECORD_MAX, 65536).
%% Field widths of ustar: what does not fit goes into a pax record.
-define(NAME_MAX, 100).
-define(SIZE_MAX, 8#77777777777).
-define(ID_MAX, 8#7777777).

-type type() :: file | hard | symlink | directory | fifo | device.
-type entry() :: #{
    %% without leading or trailing slashes; the root itself is empty
    name := binary(),
    type := type(),
    link := binary(),
    mode := non_neg_integer(),
    uid := non_neg_integer(),
    gid := non_neg_integer(),
    mtime := non_neg_integer(),
    size := non_neg_integer(),
    %% of its content in the archive
    offset := non_neg_integer()
}.
%% So many bytes from an offset, or fewer at the end.
-type reader() :: fun((Offset :: non_neg_integer(), Length :: pos_integer()) -> binary()).
-type reason() ::
    {unsafe, Name :: binary()}
    | {malformed, Offset :: non_neg_integer()}
    | too_many_entries.

%% @doc The entries of an archive, in their order.
-spec index(reader()) -> {ok, [entry()]} | {error, reason()}.
index(Read) ->
    index(Read, 0).

%% @doc The same of an archive that begins at an offset.
-spec index(reader(), non_neg_integer()) -> {ok, [entry()]} | {error, reason()}.
index(Read, Offset) ->
    try
        {ok, entries(Read, Offset, #{}, [], 0)}
    catch
        throw:Reason -> {error, Reason}
    end.

entries(_Read, _Offset, _Extra, _Acc, ?ENTRIES_MAX) ->
    throw(too_many_entries);
entries(Read, Offset, Extra, Acc, N) ->
    case Read(Offset, ?BLOCK) of
        %% The end is two blocks of zeroes, and one will do
        <<0:(?BLOCK * 8)>> -> lists:reverse(Acc);
        <<>> -> lists:reverse(Acc);
        <<Block:?BLOCK/binary>> -> entry(Block, Read, Offset, Extra, Acc, N);
        _ -> throw({malformed, Offset})
    end.

entry(Block, Read, Offset, Extra, Acc, N) ->
    is_header(Block) orelse throw({malformed, Offset}),
    <<Name:100/binary, Mode:8/binary, Uid:8/binary, Gid:8/binary, Size0:12/binary, Mtime:12/binary,
        _:8/binary, Type, Link:100/binary, Magic:6/binary, _:82/binary, Prefix:155/binary, _/binary>> =
        Block,
    Size = maps:get(size, Extra, number(Size0, Offset)),
    Content = Offset + ?BLOCK,
    Next = Content + Size + padding_bytes(Size),
    case Type of
        $x ->
            entries(Read, Next, pax(record(Read, Content, Size), Extra, Offset), Acc, N + 1);
        $g ->
            entries(Read, Next, Extra, Acc, N + 1);
        $L ->
            entries(Read, Next, Extra#{name => text(record(Read, Content, Size))}, Acc, N + 1);
        $K ->
            entries(Read, Next, Extra#{link => text(record(Read, Content, Size))}, Acc, N + 1);
        _ ->
            Entry = #{
                name => path(maps:get(name, Extra, full_name(Magic, text(Prefix), text(Name)))),
                type => type(Type, Offset),
                link => maps:get(link, Extra, text(Link)),
                mode => number(Mode, Offset) band 8#7777,
                uid => maps:get(uid, Extra, number(Uid, Offset)),
                gid => maps:get(gid, Extra, number(Gid, Offset)),
                mtime => number(Mtime, Offset),
                size => Size,
                offset => Content
            },
            check_content(Entry, Read),
            entries(Read, after_content(Entry, Content, Next), #{}, [link_path(Entry) | Acc], N + 1)
    end.

%% Links and folders have none, whatever their size says.
after_content(#{type := file}, _Content, Next) -> Next;
after_content(_, Content, _Next) -> Content.

check_content(#{type := file, size := Size, offset := Offset}, Read) when Size > 0 ->
    <<_>> = end_of(Read(Offset + Size - 1, 1), Offset),
    ok;
check_content(_, _) ->
    ok.

end_of(<<_>> = Byte, _Offset) -> Byte;
end_of(_, Offset) -> throw({malformed, Offset}).

%% What a hard link leads to is in the archive.
link_path(#{type := hard, link := Link} = Entry) -> Entry#{link := path(Link)};
link_path(Entry) -> Entry.

%% The sum of all bytes, with blanks in place of the sum itself.
is_header(<<Before:148/binary, Sum:8/binary, After/binary>>) ->
    Bytes = binary_to_list(Before) ++ "        " ++ binary_to_list(After),
    case octal(text(Sum)) of
        {ok, Wanted} -> lists:sum(Bytes) =:= Wanted;
        error -> false
    end.

record(_Read, Offset, Size) when Size > ?RECORD_MAX -> throw({malformed, Offset});
record(_Read, _Offset, 0) ->
    <<>>;
record(Read, Offset, Size) ->
    case Read(Offset, Size) of
        <<Record:Size/binary>> -> Record;
        _ -> throw({malformed, Offset})
    end.

%% "LENGTH KEY=VALUE\n", where the length counts itself.
pax(<<>>, Extra, _Offset) ->
    Extra;
pax(Text, Extra, Offset) ->
    try
        [Digits, _] = binary:split(Text, <<" ">>),
        Length = binary_to_integer(Digits),
        Skip = byte_size(Digits) + 1,
        Size = Length - Skip - 1,
        <<_:Skip/binary, Pair:Size/binary, "\n", Rest/binary>> = Text,
        [Key, Value] = binary:split(Pair, <<"=">>),
        pax(Rest, pax_pair(Key, Value, Extra), Offset)
    catch
        error:_ -> throw({malformed, Offset})
    end.

pax_pair(<<"path">>, Value, Extra) -> Extra#{name => Value};
pax_pair(<<"linkpath">>, Value, Extra) -> Extra#{link => Value};
pax_pair(<<"size">>, Value, Extra) -> Extra#{size => natural(Value)};
pax_pair(<<"uid">>, Value, Extra) -> Extra#{uid => natural(Value)};
pax_pair(<<"gid">>, Value, Extra) -> Extra#{gid => natural(Value)};
pax_pair(_, _, Extra) -> Extra.

natural(Text) ->
    N = binary_to_integer(Text),
    true = N >= 0,
    N.

full_name(<<"ustar", 0>>, Prefix, Name) when Prefix =/= <<>> -> <<Prefix/binary, "/", Name/binary>>;
full_name(_Magic, _Prefix, Name) -> Name.

text(Field) ->
    hd(binary:split(Field, <<0>>)).

%% Octal digits, or, with the highest bit set, a binary number of GNU's.
number(<<1:1, Number/bitstring>> = Field, _Offset) ->
    Bits = bit_size(Field) - 1,
    <<N:Bits>> = Number,
    N;
number(Field, Offset) ->
    case octal(text(Field)) of
        {ok, N} -> N;
        error -> throw({malformed, Offset})
    end.

octal(Text) ->
    case re:run(Text, "^ *([0-7]*) *$", [dollar_endonly, {capture, [1], binary}]) of
        {match, [<<>>]} -> {ok, 0};
        {match, [Digits]} -> {ok, binary_to_integer(Digits, 8)};
        nomatch -> error
    end.

type(C, _) when C =:= $0; C =:= 0; C =:= $7 -> file;
type($1, _) -> hard;
type($2, _) -> symlink;
type(C, _) when C =:= $3; C =:= $4 -> device;
type($5, _) -> directory;
type($6, _) -> fifo;
type(_, Offset) -> throw({malformed, Offset}).

%% @doc A name without what says nothing. One that climbs is thrown as
%% `{unsafe, Name}'.
-spec path(binary()) -> binary().
path(Name) ->
    Parts = [P || P <- binary:split(Name, <<"/">>, [global]), P =/= <<>>, P =/= <<".">>],
    lists:member(<<"..">>, Parts) andalso throw({unsafe, Name}),
    binary:match(Name, <<0>>) =:= nomatch orelse throw({unsafe, Name}),
    iolist_to_binary(lists:join($/, Parts)).

%% @doc What stands before an entry's content. Devices have no place in what is
%% written.
-spec header(entry()) -> iodata().
header(#{name := Name, link := Link, size := Size, uid := Uid, gid := Gid} = Entry) ->
    Pax =
        [pax_record(<<"path">>, Name) || byte_size(Name) > ?NAME_MAX] ++
            [pax_record(<<"linkpath">>, Link) || byte_size(Link) > ?NAME_MAX] ++
            [pax_record(<<"size">>, integer_to_binary(Size)) || Size > ?SIZE_MAX] ++
            [pax_record(<<"uid">>, integer_to_binary(Uid)) || Uid > ?ID_MAX] ++
            [pax_record(<<"gid">>, integer_to_binary(Gid)) || Gid > ?ID_MAX],
    Extra =
        case iolist_to_binary(Pax) of
            <<>> ->
                [];
            Record ->
                Length = byte_size(Record),
                [block(Entry#{name := <<"pax">>, link := <<>>, size := Length}, $x), Record, padding(Length)]
        end,
    [Extra, block(Entry, letter(Entry))].

pax_record(Key, Value) ->
    Rest = <<" ", Key/binary, "=", Value/binary, "\n">>,
    Digits = length(integer_to_list(byte_size(Rest))),
    Length = byte_size(Rest) + Digits,
    %% The length's own digits may make it one longer
    [integer_to_binary(Length + length(integer_to_list(Length)) - Digits), Rest].

letter(#{type := file}) -> $0;
letter(#{type := hard}) -> $1;
letter(#{type := symlink}) -> $2;
letter(#{type := directory}) -> $5;
letter(#{type := fifo}) -> $6.

block(#{name := Name, link := Link, mode := Mode, mtime := Mtime} = Entry, Letter) ->
    #{size := Size, uid := Uid, gid := Gid} = Entry,
    Before = iolist_to_binary([
        field(Name, 100),
        octal(Mode, 8),
        octal(min(Uid, ?ID_MAX), 8),
        octal(min(Gid, ?ID_MAX), 8),
        octal(min(Size, ?SIZE_MAX), 12),
        octal(min(Mtime, ?SIZE_MAX), 12)
    ]),
    After = iolist_to_binary([Letter, field(Link, 100), "ustar", 0, "00", <<0:(247 * 8)>>]),
    Sum = lists:sum(binary_to_list(Before)) + 8 * $\s + lists:sum(binary_to_list(After)),
    [Before, octal(Sum, 7), " ", After].

field(Text, Width) ->
    Kept = binary:part(Text, 0, min(Width, byte_size(Text))),
    [Kept, binary:copy(<<0>>, Width - byte_size(Kept))].

octal(N, Width) ->
    [string:pad(integer_to_list(N, 8), Width - 1, leading, $0), 0].

%% @doc What stands after so many bytes of content.
-spec padding(non_neg_integer()) -> binary().
padding(Size) ->
    <<0:(padding_bytes(Size) * 8)>>.

padding_bytes(Size) ->
    (?BLOCK - Size rem ?BLOCK) rem ?BLOCK.

%% @doc The end of an archive.
-spec finish() -> binary().
finish() ->
    <<0:(2 * ?BLOCK * 8)>>.
