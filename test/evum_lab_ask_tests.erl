%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_ask_tests).

-include_lib("eunit/include/eunit.hrl").

lab() ->
    Interfaces = #{eth0 => ["10.0.0.1/24"], eth10 => ["10.0.10.1/24"], eth2 => ["10.0.2.1/24", "fd00::1/64"]},
    {ok, Lab} = evum_lab_spec:parse(#{machines => #{a => #{interfaces => Interfaces}, b => #{}}}),
    Lab.

described() ->
    [{<<"eth0">>, "10.0.0.1/24"}, {<<"eth2">>, "10.0.2.1/24"}, {<<"eth2">>, "fd00::1/64"}, {<<"eth10">>, "10.0.10.1/24"}].

%% A message of rtnetlink's, with one attribute.
message(Type, Header, Attribute, Value) ->
    Body = <<Header/binary, (4 + byte_size(Value)):16/little, Attribute:16/little, Value/binary, 0:(-byte_size(Value) band 3 * 8)>>,
    <<(16 + byte_size(Body)):32/little, Type:16/little, 0:80, Body/binary>>.

link(Index, Name) -> message(16, <<0:32, Index:32/little, 0:64>>, 3, <<Name/binary, 0>>).
ipv4(Index, IP) -> message(20, <<2, 24, 0, 0, Index:32/little>>, 1, IP).
ipv6(Index, IP) -> message(20, <<10, 64, 0, 0, Index:32/little>>, 1, IP).

addresses(Vm) ->
    evum_lab_ask:addresses(#{<<"a">> => Vm}, lab()).

%% In the order of the interfaces; what a machine says goes before what is written.
addresses_test() ->
    Links = [link(1, <<"lo">>), link(2, <<"eth10">>), link(3, <<"eth2">>), link(4, <<"\e[2J">>), link(5, <<>>)],
    Found = [
        ipv4(1, <<10, 255, 0, 1>>),
        ipv4(2, <<10, 0, 10, 9>>),
        ipv6(3, <<16#fd00:16, 0:96, 9:16>>),
        ipv4(3, <<10, 0, 2, 9>>),
        ipv4(4, <<10, 6, 6, 6>>),
        ipv4(5, <<10, 6, 6, 7>>)
    ],
    ?assertEqual(
        #{
            <<"a">> => [
                {<<"eth2">>, <<"10.0.2.9/24">>},
                {<<"eth2">>, <<"fd00::9/64">>},
                {<<"eth10">>, <<"10.0.10.9/24">>},
                {<<"lo">>, <<"10.255.0.1/24">>}
            ],
            <<"b">> => []
        },
        addresses(evum_test:answering([Links, Found]))
    ).

%% One that is gone, answers rubbish, or invents addresses.
no_answer_test_() ->
    Many = [ipv4(1, <<10, 1, N:16>>) || N <- lists:seq(1, 1000)],
    [
        ?_assertEqual(#{<<"a">> => described(), <<"b">> => []}, evum_lab_ask:addresses(#{}, lab())),
        ?_assertEqual(#{<<"a">> => described(), <<"b">> => []}, addresses(spawn(fun() -> ok end))),
        ?_assertEqual(#{<<"a">> => described(), <<"b">> => []}, addresses(evum_test:answering([[<<"rubbish">>]]))),
        ?_test(begin
            #{<<"a">> := Some} = addresses(evum_test:answering([[link(1, <<"eth0">>)], Many])),
            ?assertEqual(32, length(Some))
        end)
    ].
