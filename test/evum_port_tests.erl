%% SPDX-License-Identifier: Apache-2.0
-module(evum_port_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

decode_test_() ->
    [
        ?_assertEqual({data, <<"x">>}, evum_port:decode(<<1, "x">>)),
        ?_assertEqual({data, <<>>}, evum_port:decode(<<1>>)),
        ?_assertEqual({error, malformed}, evum_port:decode(<<>>)),
        ?_assertEqual({error, malformed}, evum_port:decode(<<2, 0, 0, 0, 1>>)),
        ?_assertEqual({error, malformed}, evum_port:decode(<<131, 1, 2, 3>>)),
        ?_assertEqual({error, malformed}, evum_port:decode(term_to_binary(hello)))
    ].

round_trip_test_() ->
    ?_assert(
        proper:quickcheck(
            ?FORALL(
                Message,
                oneof([
                    {reply, non_neg_integer(), term()},
                    {event, oneof([booted, exited, port_up]), term()}
                ]),
                evum_port:decode(term_to_binary(Message)) =:= Message
            ),
            [{to_file, user}, {numtests, 200}]
        )
    ).

%% Whatever comes, it is told apart and does not crash the decoder.
garbage_test_() ->
    ?_assert(
        proper:quickcheck(
            ?FORALL(Bytes, binary(), is_tuple(evum_port:decode(Bytes))),
            [{to_file, user}, {numtests, 1000}]
        )
    ).

no_program_test() ->
    ?assertMatch({error, {no_program, _}}, evum_port:open("no_such_program")).
