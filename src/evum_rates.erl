%% SPDX-License-Identifier: Apache-2.0
%% @doc How fast the counters of a switch's ports grow: samples go in, rates over
%% the last second and the last minute come out (pure).
%%
%% A sample is all counters at a time. Kept are the two latest ones, for the last
%% second, and of older ones one in five seconds, for the minute.
-module(evum_rates).

-export([new/0, add/3, ports/1, total/1, drops/1]).

-export_type([rates/0, rate/0, port_rates/0]).

%% Samples for the minute are that far apart, at least, and go back that far, ms.
-define(SPACING, 5_000).
-define(MINUTE, 60_000).

%% Counters that tell of frames which went on all the same, or that another one
%% counts, too.
-define(NO_DROPS, [
    rx_frames,
    rx_bytes,
    tx_frames,
    tx_bytes,
    tx_mirrored,
    tx_sockets,
    tx_fragments,
    rx_impaired_duplicate,
    tx_impaired_duplicate,
    rx_impaired_corrupt,
    tx_impaired_corrupt,
    rx_impaired_reorder,
    tx_impaired_reorder
]).

%% A second. `drops' are frames that were lost, of whatever direction and reason.
-type rate() :: #{
    rx_frames := float(),
    rx_bytes := float(),
    tx_frames := float(),
    tx_bytes := float(),
    drops := float()
}.
-type port_rates() :: #{second := rate(), minute := rate()}.
-type counts() :: {
    RxFrames :: non_neg_integer(),
    RxBytes :: non_neg_integer(),
    TxFrames :: non_neg_integer(),
    TxBytes :: non_neg_integer(),
    Drops :: non_neg_integer()
}.
-type sample() :: {Ms :: integer(), #{evum_fdb:port_id() => counts()}}.

-record(rates, {
    latest = none :: sample() | none,
    previous = none :: sample() | none,
    %% the newest first
    older = [] :: [sample()]
}).

-opaque rates() :: #rates{}.

%% @doc Nothing is known.
-spec new() -> rates().
new() ->
    #rates{}.

%% @doc The ports have these counters now, in milliseconds of a clock that never
%% goes back.
-spec add(integer(), [evum_switch:port_info()], rates()) -> rates().
add(Now, Ports, #rates{latest = Latest, older = Older}) ->
    Sample = {Now, maps:from_list([{Id, counts(Port)} || #{id := Id} = Port <- Ports])},
    #rates{latest = Sample, previous = Latest, older = trim(Now, push(Sample, Older))}.

push(Sample, []) -> [Sample];
push({Now, _} = Sample, [{Last, _} | _] = Older) when Now - Last >= ?SPACING -> [Sample | Older];
push(_, Older) -> Older.

%% All of the last minute, and the one before that.
trim(Now, Older) ->
    {Young, Old} = lists:splitwith(fun({Time, _}) -> Now - Time < ?MINUTE end, Older),
    Young ++ lists:sublist(Old, 1).

counts(#{rx_frames := RxF, rx_bytes := RxB, tx_frames := TxF, tx_bytes := TxB} = Port) ->
    {RxF, RxB, TxF, TxB, drops(Port)}.

%% @doc How many frames of a port were lost, for whatever reason.
-spec drops(#{atom() => term()}) -> non_neg_integer().
drops(Port) ->
    maps:fold(
        fun(Key, Value, Sum) ->
            case is_integer(Value) andalso is_drop(Key) of
                true -> Sum + Value;
                false -> Sum
            end
        end,
        0,
        Port
    ).

is_drop(Key) ->
    not lists:member(Key, ?NO_DROPS) andalso
        case atom_to_list(Key) of
            "rx_" ++ _ -> true;
            "tx_" ++ _ -> true;
            _ -> false
        end.

%% @doc The rates of each port that is there. Of one that came meanwhile the time
%% before it counts, too: it did nothing then.
-spec ports(rates()) -> #{evum_fdb:port_id() => port_rates()}.
ports(#rates{latest = none}) ->
    #{};
ports(#rates{latest = {_, Ports} = Latest, previous = Previous, older = Older}) ->
    Oldest = lists:last(Older),
    maps:map(
        fun(Id, Counts) ->
            #{
                second => rate(Id, Counts, Latest, Previous),
                minute => rate(Id, Counts, Latest, Oldest)
            }
        end,
        Ports
    ).

rate(_, _, _, none) ->
    zero();
rate(_, _, {Now, _}, {Now, _}) ->
    zero();
rate(Id, {RxF, RxB, TxF, TxB, D}, {Now, _}, {Then, Before}) ->
    {RxF0, RxB0, TxF0, TxB0, D0} = maps:get(Id, Before, {0, 0, 0, 0, 0}),
    Rate = fun(Count) -> Count * 1000 / (Now - Then) end,
    #{
        rx_frames => Rate(RxF - RxF0),
        rx_bytes => Rate(RxB - RxB0),
        tx_frames => Rate(TxF - TxF0),
        tx_bytes => Rate(TxB - TxB0),
        drops => Rate(D - D0)
    }.

zero() ->
    #{rx_frames => 0.0, rx_bytes => 0.0, tx_frames => 0.0, tx_bytes => 0.0, drops => 0.0}.

%% @doc The sums of the rates of ports.
-spec total([port_rates()]) -> port_rates().
total(Ports) ->
    lists:foldl(
        fun(#{second := S, minute := M}, #{second := Seconds, minute := Minutes}) ->
            #{second => add(S, Seconds), minute => add(M, Minutes)}
        end,
        #{second => zero(), minute => zero()},
        Ports
    ).

add(A, B) ->
    maps:map(fun(Key, Rate) -> Rate + maps:get(Key, B) end, A).
