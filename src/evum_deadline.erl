%% SPDX-License-Identifier: Apache-2.0
%% @doc The moment at which a time limit is over, for what waits more than once.
-module(evum_deadline).

-export([new/1, left/1]).

-export_type([deadline/0]).

%% ms of the monotonic clock
-type deadline() :: infinity | integer().

%% @doc From now on, so many milliseconds.
-spec new(timeout()) -> deadline().
new(infinity) -> infinity;
new(Ms) -> erlang:monotonic_time(millisecond) + Ms.

%% @doc What is left of it, ms.
-spec left(deadline()) -> timeout().
left(infinity) -> infinity;
left(Deadline) -> max(0, Deadline - erlang:monotonic_time(millisecond)).
