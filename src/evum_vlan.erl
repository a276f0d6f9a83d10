%% SPDX-License-Identifier: Apache-2.0
%% @doc Which VLANs (IEEE 802.1Q) a port is in (pure).
%%
%% A port is aware of no VLANs (`none'): its frames pass as they are, guests'
%% own tags included, among all such ports. Else each frame is of one VLAN: at
%% `{access, Vlan}' that one, without a tag; at a trunk the one of its tag, or
%% that which frames without a tag belong to (its native one), if any.
-module(evum_vlan).

-export([validate/1, is_member/2, wire/1]).

-export_type([id/0, config/0]).

-type id() :: 1..4094.
-type config() ::
    none
    | {access, id()}
    | {trunk, all | [id(), ...], Native :: id() | none}.

-define(MAX, 4094).

%% @doc What is said of a port, in full: a trunk without a native VLAN may be
%% given as `{trunk, Vlans}', and its VLANs in any order.
-spec validate(term()) -> {ok, config()} | error.
validate(none) ->
    {ok, none};
validate({access, Vlan}) ->
    accept(is_id(Vlan), {access, Vlan});
validate({trunk, Vlans}) ->
    validate({trunk, Vlans, none});
validate({trunk, all, Native}) ->
    accept(is_native(Native), {trunk, all, Native});
validate({trunk, [_ | _] = Vlans, Native}) when length(Vlans) >= 0 ->
    accept(
        is_native(Native) andalso lists:all(fun is_id/1, Vlans),
        {trunk, lists:usort(Vlans), Native}
    );
validate(_) ->
    error.

accept(true, Config) -> {ok, Config};
accept(false, _) -> error.

is_native(Native) -> Native =:= none orelse is_id(Native).

is_id(Vlan) -> is_integer(Vlan) andalso Vlan >= 1 andalso Vlan =< ?MAX.

%% @doc Is a port in a VLAN? 0 are the ports that are aware of none.
-spec is_member(evum_fdb:vlan(), config()) -> boolean().
is_member(Vlan, none) -> Vlan =:= 0;
is_member(Vlan, {access, Access}) -> Vlan =:= Access;
is_member(Vlan, {trunk, _, Vlan}) -> true;
is_member(Vlan, {trunk, all, _}) -> is_id(Vlan);
is_member(Vlan, {trunk, Vlans, _}) -> lists:member(Vlan, Vlans).

%% @doc The same for evum_net: the VLAN of frames without a tag, or 0, and those
%% of frames with one, a bit each.
-spec wire(config()) -> {Untagged :: evum_fdb:vlan(), Tagged :: binary()}.
wire(none) -> {0, <<>>};
wire({access, Vlan}) -> {Vlan, <<>>};
wire({trunk, Vlans, none}) -> {0, set(Vlans)};
wire({trunk, Vlans, Native}) -> {Native, set(Vlans)}.

set(all) ->
    set(lists:seq(1, ?MAX));
set(Vlans) ->
    set(0, Vlans).

set(From, [Vlan | Vlans]) ->
    <<0:(Vlan - From), 1:1, (set(Vlan + 1, Vlans))/bitstring>>;
set(From, []) ->
    <<0:(?MAX + 2 - From)>>.
