%% SPDX-License-Identifier: Apache-2.0
%% @doc Which CPUs of the host a machine runs on.
%%
%% A UML kernel and its programs take turns: on one CPU a switch between them is
%% cheap, across two each is a wake-up of another CPU. So a machine gets one, the
%% least used of those that the BEAM may use. Those of machines that were told
%% theirs count as used.
-module(evum_cpus).

-export([allowed/0, parse/1, place/1]).

-export_type([choice/0]).

%% `auto': one CPU, of evum's choice; `any': all; or these.
-type choice() :: auto | any | [non_neg_integer()].

%% @doc The CPUs that the BEAM may use.
-spec allowed() -> [non_neg_integer(), ...].
allowed() ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [List]} = re:run(Status, "Cpus_allowed_list:\\s*(\\S+)", [{capture, [1], binary}]),
    parse(List).

%% @doc The CPUs in a list of the kernel's, such as `0-2,5'.
-spec parse(binary()) -> [non_neg_integer()].
parse(List) ->
    lists:append([range(R) || R <- binary:split(List, <<",">>, [global])]).

range(Range) ->
    case binary:split(Range, <<"-">>) of
        [First, Last] -> lists:seq(binary_to_integer(First), binary_to_integer(Last));
        [One] -> [binary_to_integer(One)]
    end.

%% @doc The CPUs for the machine that is the calling process, for as long as it
%% lives; none means all.
-spec place(choice()) -> [non_neg_integer()].
place(any) -> [];
place(auto) -> [evum_registry:share(cpu, allowed())];
place(Cpus) -> [evum_registry:share(cpu, [Cpu]) || Cpu <- Cpus].
