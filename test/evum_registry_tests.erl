%% SPDX-License-Identifier: Apache-2.0
-module(evum_registry_tests).

-include_lib("eunit/include/eunit.hrl").

registry_test_() ->
    {setup,
        fun() ->
            {ok, Pid} = evum_registry:start_link(),
            unlink(Pid),
            Pid
        end,
        fun(Pid) -> gen_server:stop(Pid) end, [fun claims/0, fun free_again/0]}.

claims() ->
    ok = evum_registry:claim({name, a}),
    ok = evum_registry:claim({name, a}),
    Self = self(),
    ?assertEqual(Self, evum_registry:whereis({name, a})),
    ?assertEqual({error, Self}, in_process(fun() -> evum_registry:claim({name, a}) end)),
    ?assertEqual([{a, Self}], evum_registry:list()),
    ?assertEqual(undefined, evum_registry:whereis({name, b})).

%% At once: a name is free for the one who has seen its holder die.
free_again() ->
    Key = {mac, net, <<2, 0, 0, 0, 0, 1>>},
    ok = in_process(fun() -> evum_registry:claim(Key) end),
    ok = in_process(fun() -> evum_registry:claim(Key) end),
    ok = evum_registry:claim(Key).

in_process(Fun) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({result, Fun()}) end),
    receive
        {'DOWN', Ref, process, Pid, {result, Result}} -> Result
    end.
