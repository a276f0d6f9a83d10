%% SPDX-License-Identifier: Apache-2.0
%% @doc How a way of frames is worse than perfect, in the words of Linux' netem:
%% the options, validated whole (pure). What happens to each frame is decided in
%% `evum_net' (`c_src/net/impair.h').
%%
%% An impairment is a map; nothing in it, or `none' in its place, means a perfect
%% way. It is given to {@link evum_switch:impair/4}, and to links of labs.
%%
%% <table>
%% <tr><td>`delay'</td><td>how long each frame takes: `{10, ms}'; units `s', `ms',
%%   `us', `ns', at most an hour</td></tr>
%% <tr><td>`jitter'</td><td>how much that varies: `{2, ms}'. No frame takes less than no
%%   time. Frames may overtake one another by it</td></tr>
%% <tr><td>`distribution'</td><td>of the jitter: `uniform', within so much of the delay
%%   (the default), `normal' or `pareto', of which it is the standard deviation.
%%   Only with jitter</td></tr>
%% <tr><td>`correlation'</td><td>of a frame's delay with that of the one before, from 0
%%   to 1. Default: 0. Only with jitter</td></tr>
%% <tr><td>`loss'</td><td>how many frames are lost: a probability such as 0.01, or by
%%   the model of Gilbert and Elliott `{gilbert, P, R}', `{gilbert, P, R, H}' or `{gilbert,
%%   P, R, H, K}': the probability to go from the good state to the bad one, and back,
%%   and to be lost in the bad state (netem's 1-h; default: 1) and in the good one
%%   (netem's 1-k; default: 0)</td></tr>
%% <tr><td>`duplicate'</td><td>the probability to arrive twice</td></tr>
%% <tr><td>`corrupt'</td><td>the probability that one bit, any of the frame's, is
%%   the other one</td></tr>
%% <tr><td>`reorder'</td><td>the probability to skip the delay: `0.25'; `{0.25, 5}':
%%   after four frames at least that did not (netem's gap). Only with a delay</td></tr>
%% <tr><td>`rate'</td><td>bits a second: `{5, mbit}'; units `bit', `kbit', `mbit',
%%   `gbit', each a thousand of the one before; from 1 kbit to 100 gbit. Counted are
%%   the bytes of the frame, from its addresses to the end of its data</td></tr>
%% <tr><td>`burst'</td><td>bytes that may pass at once after a time of silence (the
%%   size of the token bucket). Default: 0, a frame takes as long as a wire of that
%%   rate needs for it. Only with a rate</td></tr>
%% <tr><td>`limit'</td><td>frames that are under way at most; more are dropped.
%%   Default: 1000, at most a million. They have 64 MB of memory at most</td></tr>
%% <tr><td>`seed'</td><td>what all chance comes of: 0 to 2^64 - 1. Default: of the
%%   switch's option `seed' and the port</td></tr>
%% </table>
%%
%% Frames with the same seed that come in the same order have the same fates: which
%% are lost, duplicated and corrupted, and how long each is delayed. The two
%% directions of a port have chances of their own, of the same seed.
-module(evum_impair).

-export([options/1, keys/0, seed/2]).
-export([new/1, set/4, forget/2, of_port/2]).

-export_type([options/0, impairment/0, time/0, rate/0, probability/0, seed/0]).
-export_type([table/0, wire/0]).

-type time() :: {number(), s | ms | us | ns}.
-type rate() :: {number(), bit | kbit | mbit | gbit}.
%% From 0 to 1.
-type probability() :: number().
-type seed() :: 0..16#ffffffffffffffff.
-type options() ::
    none
    | #{
        delay => time(),
        jitter => time(),
        distribution => uniform | normal | pareto,
        correlation => probability(),
        loss =>
            probability()
            | {gilbert, P :: probability(), R :: probability()}
            | {gilbert, P :: probability(), R :: probability(), OneMinusH :: probability()}
            | {gilbert, P :: probability(), R :: probability(), OneMinusH :: probability(),
                OneMinusK :: probability()},
        duplicate => probability(),
        corrupt => probability(),
        reorder => probability() | {probability(), Gap :: pos_integer()},
        rate => rate(),
        burst => non_neg_integer(),
        limit => pos_integer(),
        seed => seed()
    }.
%% Options that were found good, with their defaults.
-type impairment() :: none | #{atom() => term()}.
%% Those of the ports of a switch.
-opaque table() :: #{
    seed := seed(),
    {evum_fdb:port_id(), in | out} => impairment()
}.
%% As evum_net is told (c_src/net/impair_request.c reads it).
-type wire() :: keep | none | tuple().

-define(DELAY_MAX_NS, 3_600_000_000_000).
-define(RATE_MIN, 1_000).
-define(RATE_MAX, 100_000_000_000).
-define(BURST_MAX, 1_000_000_000).
-define(LIMIT, 1000).
-define(LIMIT_MAX, 1_000_000).
-define(SEED_MAX, 16#ffffffffffffffff).
%% evum_net has probabilities as parts of so many.
-define(CERTAIN, 16#100000000).

%% @doc Whether these are options of an impairment; the first bad one where not.
-spec options(options() | term()) ->
    {ok, impairment()} | {error, {bad_option, Key :: term(), Value :: term()}}.
options(none) ->
    {ok, none};
options(Options) when is_map(Options), map_size(Options) =:= 0 ->
    {ok, none};
options(Options) when is_map(Options) ->
    case [{Key, Value} || {Key, Value} <- maps:to_list(Options), not is_good(Key, Value)] of
        [] -> together(Options);
        [{Key, Value} | _] -> {error, {bad_option, Key, Value}}
    end;
options(Options) ->
    {error, {bad_option, impair, Options}}.

%% @doc What may be in the map.
-spec keys() -> [atom()].
keys() ->
    [delay, jitter, distribution, correlation, loss, duplicate, corrupt, reorder, rate, burst, limit, seed].

%% What has no meaning without another.
together(#{reorder := Value} = Options) when
    not is_map_key(delay, Options), not is_map_key(jitter, Options)
->
    {error, {bad_option, reorder, Value}};
together(#{distribution := Value} = Options) when not is_map_key(jitter, Options) ->
    {error, {bad_option, distribution, Value}};
together(#{correlation := Value} = Options) when not is_map_key(jitter, Options) ->
    {error, {bad_option, correlation, Value}};
together(#{burst := Value} = Options) when not is_map_key(rate, Options) ->
    {error, {bad_option, burst, Value}};
together(Options) ->
    {ok, maps:merge(#{limit => ?LIMIT}, Options)}.

is_good(Key, Time) when Key =:= delay; Key =:= jitter ->
    is_time(Time);
is_good(distribution, Name) ->
    lists:member(Name, [uniform, normal, pareto]);
is_good(loss, Loss) when is_tuple(Loss), tuple_size(Loss) >= 3, tuple_size(Loss) =< 5 ->
    [Model | Probabilities] = tuple_to_list(Loss),
    Model =:= gilbert andalso lists:all(fun is_probability/1, Probabilities);
is_good(reorder, {P, Gap}) ->
    is_probability(P) andalso is_integer(Gap) andalso Gap > 0 andalso Gap =< ?LIMIT_MAX;
is_good(Key, P) when
    Key =:= loss; Key =:= duplicate; Key =:= corrupt; Key =:= reorder; Key =:= correlation
->
    is_probability(P);
is_good(rate, Rate) ->
    is_rate(Rate);
is_good(burst, Bytes) ->
    is_integer(Bytes) andalso Bytes >= 0 andalso Bytes =< ?BURST_MAX;
is_good(limit, Frames) ->
    is_integer(Frames) andalso Frames > 0 andalso Frames =< ?LIMIT_MAX;
is_good(seed, Seed) ->
    is_integer(Seed) andalso Seed >= 0 andalso Seed =< ?SEED_MAX;
is_good(_, _) ->
    false.

is_probability(P) ->
    is_number(P) andalso P >= 0 andalso P =< 1.

is_time({N, Unit}) when is_number(N), N >= 0, N =< ?DELAY_MAX_NS ->
    case ns_of(Unit) of
        error -> false;
        Ns -> N * Ns =< ?DELAY_MAX_NS
    end;
is_time(_) ->
    false.

is_rate({N, Unit}) when is_number(N), N =< ?RATE_MAX ->
    case bits_of(Unit) of
        error -> false;
        Bits -> N * Bits >= ?RATE_MIN andalso N * Bits =< ?RATE_MAX
    end;
is_rate(_) ->
    false.

ns_of(s) -> 1_000_000_000;
ns_of(ms) -> 1_000_000;
ns_of(us) -> 1_000;
ns_of(ns) -> 1;
ns_of(_) -> error.

bits_of(bit) -> 1;
bits_of(kbit) -> 1_000;
bits_of(mbit) -> 1_000_000;
bits_of(gbit) -> 1_000_000_000;
bits_of(_) -> error.

%% @doc A seed that comes of another and of what it is for: any term, such as a
%% link's name. The same on each node and version.
-spec seed(seed(), For :: term()) -> seed().
seed(Seed, For) ->
    Bytes = term_to_binary({Seed, For}, [{minor_version, 2}, deterministic]),
    <<Derived:64, _/binary>> = erlang:md5(Bytes),
    Derived.

%%% The ports of a switch

%% @private
%% @doc All ways are perfect.
-spec new(seed()) -> table().
new(Seed) ->
    #{seed => Seed}.

%% @private
%% @doc Directions of a port are to be so from now on: what evum_net is to be told of
%% the way in and the way out. `derived' where the seed came of the switch's.
-spec set(evum_fdb:port_id(), in | out | both, options() | term(), table()) ->
    {ok, {In :: wire(), Out :: wire()}, {derived | given, seed()} | none, table()}
    | {error, {bad_option, Key :: term(), Value :: term()}}.
set(Port, Where, Options, Table) when Where =:= in; Where =:= out; Where =:= both ->
    case options(Options) of
        {ok, none} ->
            set_all(Port, Where, none, none, Table);
        {ok, #{seed := Seed} = Impairment} ->
            set_all(Port, Where, Impairment, {given, Seed}, Table);
        {ok, Impairment} ->
            #{seed := OfSwitch} = Table,
            Seed = seed(OfSwitch, Port),
            set_all(Port, Where, Impairment#{seed => Seed}, {derived, Seed}, Table);
        {error, _} = Error ->
            Error
    end;
set(_Port, Where, _Options, _Table) ->
    {error, {bad_option, direction, Where}}.

set_all(Port, Where, Impairment, Seed, Table) ->
    [In, Out] = Wires = [
        case Where =:= Direction orelse Where =:= both of
            true -> wire(Direction, Impairment);
            false -> keep
        end
     || Direction <- [in, out]
    ],
    New = [
        {{Port, Direction}, Impairment}
     || {Direction, Wire} <- lists:zip([in, out], Wires), Wire =/= keep
    ],
    {ok, {In, Out}, Seed, maps:merge(Table, maps:from_list(New))}.

%% @private
%% @doc A port has gone.
-spec forget(evum_fdb:port_id(), table()) -> table().
forget(Port, Table) ->
    maps:without([{Port, in}, {Port, out}], Table).

%% @private
%% @doc How the directions of a port are.
-spec of_port(evum_fdb:port_id(), table()) -> #{in := impairment(), out := impairment()}.
of_port(Port, Table) ->
    maps:from_list([
        {Direction, maps:get({Port, Direction}, Table, none)}
     || Direction <- [in, out]
    ]).

%%% As evum_net is told

wire(_Direction, none) ->
    none;
wire(Direction, #{limit := Limit, seed := Seed} = Impairment) ->
    {Reorder, Gap} = reorder(maps:get(reorder, Impairment, 0)),
    {
        seed(Seed, Direction),
        {
            ns(maps:get(delay, Impairment, {0, ns})),
            ns(maps:get(jitter, Impairment, {0, ns})),
            maps:get(distribution, Impairment, uniform),
            chance(maps:get(correlation, Impairment, 0))
        },
        loss(maps:get(loss, Impairment, 0)),
        chance(maps:get(duplicate, Impairment, 0)),
        chance(maps:get(corrupt, Impairment, 0)),
        {chance(Reorder), Gap},
        {rate(maps:get(rate, Impairment, none)), maps:get(burst, Impairment, 0)},
        Limit
    }.

%% Plain loss is that of a good state that is never left.
loss({gilbert, P, R}) -> loss({gilbert, P, R, 1, 0});
loss({gilbert, P, R, H}) -> loss({gilbert, P, R, H, 0});
loss({gilbert, P, R, H, K}) -> {chance(P), chance(R), chance(H), chance(K)};
loss(P) -> {0, 0, 0, chance(P)}.

reorder({P, Gap}) -> {P, Gap};
reorder(P) -> {P, 1}.

ns({N, Unit}) -> round(N * ns_of(Unit)).

rate(none) -> 0;
rate({N, Unit}) -> round(N * bits_of(Unit)).

chance(P) -> round(P * ?CERTAIN).
