%% SPDX-License-Identifier: Apache-2.0
%% @doc The files `lab.conf' and `lab.dep' of Kathará's and Netkit's labs, line by
%% line: a pure module.
%%
%% The syntax is that of Kathará's manual pages lab.conf(5) and lab.dep(5), and of
%% Netkit's `machines="..."'. All that is wrong is told at once, by line; any bytes
%% are read to their end.
-module(evum_kathara_conf).

-export([conf/2, dep/2, text/1]).

-export_type([statement/0, problem/0, name/0, value/0]).

%% Bytes of a device's name.
-define(NAME_MAX, 30).
%% IFNAMSIZ of linux/if.h, with `eth' before the number: more is no interface.
-define(NUMBER_MAX, 9999).

-type name() :: binary().
-type value() ::
    {image, binary()}
    | {mem, MiB :: pos_integer()}
    | {cpus, float()}
    | {bridged | ipv6 | privileged, boolean()}
    | {port, {Host :: inet:port_number(), Guest :: inet:port_number(), tcp | udp | sctp}}
    | {env | sysctl, {binary(), binary()}}
    | {ulimit, {binary(), Soft :: integer(), Hard :: integer()}}
    | {volume, {HostDir :: binary(), GuestDir :: binary(), ro | rw}}
    | {exec | shell, binary()}
    | {num_terms, non_neg_integer()}
    %% known to Kathará, or to nobody
    | {other, binary()}.
-type statement() ::
    {Line :: pos_integer(), interface, name(), {Number :: non_neg_integer(), Domain :: binary(), Mac :: random | binary()}}
    %% Netkit's way to the host, with the address that the machine has there
    | {Line :: pos_integer(), tap, name(), {Number :: non_neg_integer(), Guest :: binary()}}
    | {Line :: pos_integer(), option, name(), value()}
    | {Line :: pos_integer(), machines, [name()]}
    %% LAB_NAME and its like
    | {Line :: pos_integer(), about, binary(), binary()}.
-type problem() :: {File :: binary(), Line :: non_neg_integer(), What :: binary()}.

%% @doc What the lines of a `lab.conf' say, and what is wrong with the others.
-spec conf(File :: binary(), Bytes :: binary()) -> {[statement()], [problem()]}.
conf(File, Bytes) ->
    each_line(File, Bytes, fun conf_line/1).

%% @doc The lines of a `lab.dep': who is started after whom.
-spec dep(File :: binary(), Bytes :: binary()) -> {[{Line, name(), [name()]}], [problem()]} when
    Line :: pos_integer().
dep(File, Bytes) ->
    each_line(File, Bytes, fun dep_line/1).

each_line(File, Bytes, Parse) ->
    Lines = binary:split(text(Bytes), <<"\n">>, [global]),
    Parsed = [{N, parse(Parse, trim(Line))} || {N, Line} <- lists:enumerate(Lines)],
    {
        [erlang:insert_element(1, Said, N) || {N, {ok, Said}} <- Parsed],
        [{File, N, What} || {N, {error, What}} <- Parsed]
    }.

parse(_Parse, <<>>) ->
    empty;
parse(_Parse, <<"#", _/binary>>) ->
    empty;
parse(Parse, Line) ->
    try
        {ok, Parse(Line)}
    catch
        throw:What -> {error, iolist_to_binary(What)}
    end.

%% @doc A text as files of Linux have it: what Windows adds is taken away.
-spec text(binary()) -> binary().
text(<<16#ef, 16#bb, 16#bf, Text/binary>>) -> text(Text);
text(Text) -> binary:replace(Text, <<"\r\n">>, <<"\n">>, [global]).

trim(Line) ->
    re:replace(Line, "^\\s+|\\s+$", "", [global, {return, binary}]).

%%% lab.conf

conf_line(<<"LAB_", _/binary>> = Line) ->
    case re:run(Line, "^(LAB_[A-Z_]+)=(.*)$", [{capture, all_but_first, binary}]) of
        {match, [Key, Value]} -> {about, Key, unquoted(Value)};
        nomatch -> throw("no assignment: NAME=VALUE")
    end;
conf_line(<<"machines=", Value/binary>>) ->
    {machines, [name(Name) || Name <- binary:split(value(Value), [<<" ">>, <<"\t">>], [global, trim_all])]};
conf_line(Line) ->
    case re:run(Line, "^([^\\[\\]=\\s]+)\\[(\\w+)\\]=(.*)$", [{capture, all_but_first, binary}]) of
        {match, [Name, Key, Value]} -> assignment(name(Name), Key, value(Value));
        nomatch -> throw("neither NAME[KEY]=VALUE nor LAB_...=VALUE")
    end.

name(Reserved) when Reserved =:= <<"shared">>; Reserved =:= <<"_test">> ->
    throw(["'", Reserved, "' is reserved, and no name of a device"]);
name(Name) ->
    case {re:run(Name, "^[A-Za-z0-9][A-Za-z0-9_-]*$", [{capture, none}, dollar_endonly]), evum_lab_name:host(Name)} of
        {match, {ok, _}} when byte_size(Name) =< ?NAME_MAX -> Name;
        {match, error} -> throw([quoted(Name), " is no name of a device here: it ends in neither letter nor digit"]);
        _ -> throw([quoted(Name), " is no name of a device"])
    end.

%% Whole in quotes, or without any; a comment may follow.
value(Text) ->
    Pattern = "^(?:\"([^\"]*)\"|'([^']*)'|([^\"'#\\s](?:[^\"'#]|(?<!\\s)#)*?)?)(?:\\s+#.*)?$",
    case re:run(Text, Pattern, [{capture, all_but_first, binary}]) of
        {match, Groups} ->
            case trim(iolist_to_binary(Groups)) of
                <<>> -> throw("no value");
                Value -> Value
            end;
        nomatch ->
            throw("quotes that do not match, or something behind the value")
    end.

%% Descriptions are for people: whatever is there is taken.
unquoted(Text) ->
    case binary:replace(trim(Text), [<<"\"">>, <<"'">>], <<>>, [global]) of
        Value ->
            case unicode:characters_to_binary(Value) of
                Value -> Value;
                _ -> unicode:characters_to_binary(Value, latin1)
            end
    end.

assignment(Name, Key, Value) ->
    case re:run(Key, "^[0-9]{1,9}$", [{capture, none}]) of
        match -> interface(Name, binary_to_integer(Key), Value);
        nomatch -> {option, Name, option(Key, Value)}
    end.

interface(_Name, Number, _) when Number > ?NUMBER_MAX ->
    throw("there is no interface of that number");
interface(Name, Number, <<"tap,", Addresses/binary>>) ->
    {tap, Name, {Number, tap(binary:split(Addresses, <<",">>, [global]))}};
interface(Name, Number, Value) ->
    case binary:split(Value, <<"/">>, [global]) of
        [Domain] -> {interface, Name, {Number, domain(Domain), random}};
        [Domain, Mac] -> {interface, Name, {Number, domain(Domain), mac(Mac)}};
        _ -> throw([quoted(Value), " is neither DOMAIN nor DOMAIN/MAC"])
    end.

tap(Addresses) ->
    case [A || A <- Addresses, {ok, _} <- [inet:parse_ipv4strict_address(binary_to_list(A))]] of
        [_, Guest] = Addresses -> Guest;
        _ -> throw("not of the form tap,ADDRESS,ADDRESS")
    end.

domain(Domain) ->
    case re:run(Domain, "^[\\w-]+$", [{capture, none}, dollar_endonly]) of
        match -> Domain;
        nomatch -> throw([quoted(Domain), " is no name of a collision domain"])
    end.

%% IEEE 802: the lowest bit of the first byte marks a group of stations.
mac(Mac) ->
    case re:run(Mac, "^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$", [{capture, none}, dollar_endonly]) of
        match when Mac =/= <<"00:00:00:00:00:00">> -> string:lowercase(Mac);
        _ -> throw([quoted(Mac), " is no address of a station"])
    end.

%%% Options

option(<<"image">>, Value) -> {image, Value};
option(<<"mem">>, Value) -> {mem, memory(Value)};
option(<<"cpus">>, Value) -> {cpus, cpus(Value)};
option(<<"bridged">>, Value) -> {bridged, boolean(Value)};
option(<<"ipv6">>, Value) -> {ipv6, boolean(Value)};
option(<<"privileged">>, Value) -> {privileged, boolean(Value)};
option(<<"port">>, Value) -> {port, port(Value)};
option(<<"env">>, Value) -> {env, pair(Value, "^(\\w+)=(.*)$", "NAME=VALUE")};
option(<<"sysctl">>, Value) -> {sysctl, pair(Value, "^([\\w/-]+(?:\\.[\\w/-]+)+)\\s*=\\s*([^=]*)$", "a.b.c=VALUE")};
option(<<"ulimit">>, Value) -> {ulimit, ulimit(Value)};
option(<<"volume">>, Value) -> {volume, volume(Value)};
option(<<"exec">>, Value) -> {exec, Value};
option(<<"shell">>, Value) -> {shell, Value};
option(<<"num_terms">>, Value) -> {num_terms, number(Value, 0, 1000)};
option(Key, _Value) -> {other, Key}.

%% In MiB, rounded up; a number alone is in MiB.
memory(Value) ->
    case re:run(Value, "^([0-9]{1,15})([bkmgBKMG]?)$", [{capture, all_but_first, binary}]) of
        {match, [Digits, Unit]} ->
            Bytes = binary_to_integer(Digits) * unit(string:lowercase(Unit)),
            Bytes > 0 orelse throw("no memory at all"),
            (Bytes + (1 bsl 20) - 1) bsr 20;
        nomatch ->
            throw([quoted(Value), " is no size of memory, such as 128m"])
    end.

unit(<<"b">>) -> 1;
unit(<<"k">>) -> 1 bsl 10;
unit(<<"g">>) -> 1 bsl 30;
unit(_) -> 1 bsl 20.

cpus(Value) ->
    case re:run(Value, "^([0-9]{1,4})(?:\\.([0-9]{1,9}))?$", [{capture, all_but_first, binary}]) of
        {match, [Whole]} -> positive(float(binary_to_integer(Whole)));
        {match, [Whole, Part]} -> positive(binary_to_float(<<Whole/binary, ".", Part/binary>>));
        nomatch -> throw([quoted(Value), " is no number of CPUs"])
    end.

positive(Number) when Number > 0 -> Number;
positive(_) -> throw("no CPU at all").

boolean(Value) ->
    Word = string:lowercase(unquoted(Value)),
    case {lists:member(Word, words(true)), lists:member(Word, words(false))} of
        {true, _} -> true;
        {_, true} -> false;
        _ -> throw([quoted(Value), " is neither true nor false"])
    end.

words(true) -> [<<"y">>, <<"yes">>, <<"t">>, <<"true">>, <<"on">>, <<"1">>];
words(false) -> [<<"n">>, <<"no">>, <<"f">>, <<"false">>, <<"off">>, <<"0">>].

%% [HOST:]GUEST[/PROTOCOL], of which the host's port is 3000 if none is named
port(Value) ->
    case re:run(Value, "^(?:([0-9]{1,5}):)?([0-9]{1,5})(?:/(\\w+))?$", [{capture, all_but_first, binary}]) of
        {match, [Host, Guest | Protocol]} ->
            {
                case Host of
                    <<>> -> 3000;
                    _ -> number(Host, 1, 65535)
                end,
                number(Guest, 1, 65535),
                protocol([string:lowercase(Each) || Each <- Protocol])
            };
        nomatch ->
            throw([quoted(Value), " is not of the form HOST:GUEST/PROTOCOL"])
    end.

protocol([]) -> tcp;
protocol([<<"tcp">>]) -> tcp;
protocol([<<"udp">>]) -> udp;
protocol([<<"sctp">>]) -> sctp;
protocol([Other]) -> throw([quoted(Other), " is neither tcp, udp nor sctp"]).

pair(Value, Pattern, Form) ->
    case re:run(Value, Pattern, [{capture, all_but_first, binary}, dotall]) of
        {match, [Key, Set]} -> {Key, trim(Set)};
        nomatch -> throw([quoted(Value), " is not of the form ", Form])
    end.

ulimit(Value) ->
    case re:run(Value, "^(\\w+)=(-1|[0-9]{1,18})(?::(-1|[0-9]{1,18}))?$", [{capture, all_but_first, binary}]) of
        {match, [Name, Both]} -> limits(Name, binary_to_integer(Both), binary_to_integer(Both));
        {match, [Name, Soft, Hard]} -> limits(Name, binary_to_integer(Soft), binary_to_integer(Hard));
        nomatch -> throw([quoted(Value), " is not of the form NAME=SOFT:HARD"])
    end.

%% -1 is no limit; a soft one is never above the hard one.
limits(Name, Soft, Hard) ->
    %% prlimit(1) knows these
    Known = [
        <<"as">>,
        <<"core">>,
        <<"cpu">>,
        <<"data">>,
        <<"fsize">>,
        <<"locks">>,
        <<"memlock">>,
        <<"msgqueue">>,
        <<"nice">>,
        <<"nofile">>,
        <<"nproc">>,
        <<"rss">>,
        <<"rtprio">>,
        <<"rttime">>,
        <<"sigpending">>,
        <<"stack">>
    ],
    lists:member(Name, Known) orelse throw([quoted(Name), " is no limit of setrlimit(2)"]),
    (Soft =:= -1 andalso Hard =/= -1) andalso throw("a soft limit above the hard one"),
    case Hard of
        -1 -> {Name, Soft, Hard};
        _ -> {Name, min(Soft, Hard), Hard}
    end.

volume(Value) ->
    case binary:split(Value, <<"|">>, [global]) of
        [Host, <<"/", _/binary>> = Guest] when Host =/= <<>> -> {Host, Guest, ro};
        [Host, <<"/", _/binary>> = Guest, <<"ro">>] when Host =/= <<>> -> {Host, Guest, ro};
        [Host, <<"/", _/binary>> = Guest, <<"rw">>] when Host =/= <<>> -> {Host, Guest, rw};
        _ -> throw([quoted(Value), " is not of the form HOST|/GUEST|ro or rw"])
    end.

number(Digits, Low, High) ->
    case re:run(Digits, "^[0-9]{1,9}$", [{capture, none}, dollar_endonly]) of
        match ->
            case binary_to_integer(Digits) of
                N when N >= Low, N =< High -> N;
                _ -> throw([quoted(Digits), " is out of range"])
            end;
        nomatch ->
            throw([quoted(Digits), " is no number"])
    end.

%%% lab.dep

dep_line(Line) ->
    case re:run(Line, "^([^:\\s]+)\\s*:\\s*([^#]*)(?:#.*)?$", [{capture, all_but_first, binary}]) of
        {match, [Name, Others]} ->
            case binary:split(Others, [<<" ">>, <<"\t">>], [global, trim_all]) of
                [] -> throw("after which devices?");
                Names -> {name(Name), [name(Other) || Other <- Names]}
            end;
        nomatch ->
            throw("not of the form DEVICE: DEVICE...")
    end.

%% For a message: printable, and not too long.
quoted(Text) ->
    Shown = [C || <<C>> <= Text, C >= $\s, C < 127],
    ["'", lists:sublist(Shown, 60), "'"].
