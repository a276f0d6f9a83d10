%% SPDX-License-Identifier: Apache-2.0
-module(evum_image_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

squashfs(Used) ->
    <<"hsqs", 0:128, 6:16/little, 0:48, 4:16/little, 0:80, Used:64/little, 0:(2000 * 8)>>.

%% Blocks of 1 KiB.
ext4(Blocks) ->
    <<0:(1028 * 8), Blocks:32/little, 0:(16 * 8), 0:32, 0:(28 * 8), 16#ef53:16/little, 0:(38 * 8),
        16#80:32/little, 0:(236 * 8), 0:32, 0:(700 * 8)>>.

probe_test_() ->
    [
        ?_assertEqual(
            {ok, #{type => squashfs, compression => <<"zstd">>}}, evum_image:probe(squashfs(5000), 5000)
        ),
        ?_assertEqual({error, {truncated, 5000}}, evum_image:probe(squashfs(5000), 4999)),
        ?_assertEqual({error, {truncated, 96}}, evum_image:probe(<<"hsqs">>, 4)),
        ?_assertEqual({ok, #{type => ext4}}, evum_image:probe(ext4(8), 8192)),
        ?_assertEqual({error, {truncated, 8192}}, evum_image:probe(ext4(8), 8191)),
        ?_assertEqual({error, not_an_image}, evum_image:probe(<<>>, 0)),
        ?_assertEqual({error, not_an_image}, evum_image:probe(binary:copy(<<0>>, 2048), 2048))
    ].

%% Whatever a file holds, it is one of the answers.
probe_test() ->
    ?assert(
        proper:quickcheck(
            ?FORALL(
                {Head, Size},
                {oneof([binary(), ?LET(B, binary(), <<"hsqs", B/binary>>)]), non_neg_integer()},
                case evum_image:probe(Head, Size) of
                    {ok, #{type := _}} -> true;
                    {error, not_an_image} -> true;
                    {error, {truncated, Wanted}} -> Wanted > Size
                end
            ),
            [{numtests, 500}, {to_file, user}]
        )
    ).

names_test_() ->
    [
        ?_assertMatch({ok, #{type := host}}, evum_image:info("host")),
        ?_assertMatch({ok, #{type := tiny}}, evum_image:info(tiny)),
        ?_assertMatch({ok, #{type := folder, path := <<"/usr">>}}, evum_image:info("/usr")),
        ?_assertMatch({error, {no_image, <<"moon">>, _}}, evum_image:info(moon)),
        ?_assertEqual({error, {<<"/no/such">>, enoent}}, evum_image:info("/no/such")),
        ?_assertEqual({error, {not_an_image, <<"/etc/passwd">>}}, evum_image:info("/etc/passwd")),
        ?_assertMatch({error, {no_image, <<"caf", 233>>, _}}, evum_image:info(<<"caf", 233>>))
    ].
