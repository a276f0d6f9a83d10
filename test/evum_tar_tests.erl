%% SPDX-License-Identifier: Apache-2.0
-module(evum_tar_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

-export([archive/1, entry/2, entry/3]).

%% Archives as terms, for other tests too: {Entry, Content}.
archive(Items) ->
    iolist_to_binary(
        [
            [evum_tar:header(E#{size := byte_size(C)}), C, evum_tar:padding(byte_size(C))]
         || {E, C} <- Items
        ] ++ [evum_tar:finish()]
    ).

entry(Name, Type) -> entry(Name, Type, <<>>).

entry(Name, Type, Link) ->
    #{
        name => Name, type => Type, link => Link, mode => 8#755, uid => 0, gid => 0,
        mtime => 1, size => 0, offset => 0
    }.

index(Bytes) ->
    evum_tar:index(fun
        (Offset, _) when Offset >= byte_size(Bytes) -> <<>>;
        (Offset, Length) -> binary:part(Bytes, Offset, min(Length, byte_size(Bytes) - Offset))
    end).

part() -> ?LET(N, range(1, 130), vector(N, range($a, $z))).

name() -> ?LET(Parts, ?LET(N, range(1, 4), vector(N, part())), list_to_binary(lists:join("/", Parts))).

item() ->
    ?LET(
        {Name, Type, Link, Mode, Id, Content},
        {name(), oneof([file, symlink, directory, fifo, hard]), name(), range(0, 8#7777),
            range(0, 3000000), binary()},
        case Type of
            file -> {(entry(Name, file))#{mode := Mode, uid := Id}, Content};
            _ when Type =:= symlink; Type =:= hard -> {entry(Name, Type, Link), <<>>};
            _ -> {(entry(Name, Type))#{gid := Id}, <<>>}
        end
    ).

%% What is written is what is read, and so is its content's place.
round_trip_test() ->
    ?assert(
        proper:quickcheck(
            ?FORALL(Items, list(item()), begin
                Bytes = archive(Items),
                {ok, Entries} = index(Bytes),
                Same = [
                    maps:without([size, offset], E) =:= maps:without([size, offset], Read) andalso
                        binary:part(Bytes, maps:get(offset, Read), maps:get(size, Read)) =:= Content
                 || {{E, Content}, Read} <- lists:zip(Items, Entries)
                ],
                lists:all(fun(X) -> X end, Same)
            end),
            [{numtests, 200}, {to_file, user}]
        )
    ).

%% Other programs read it as well.
gnu_tar_test() ->
    Long = list_to_binary(lists:duplicate(150, $n)),
    Path = string:trim(os:cmd("mktemp")),
    ok = file:write_file(
        Path,
        archive([{entry(<<"d">>, directory), <<>>}, {entry(<<"d/", Long/binary>>, file), <<"text">>}])
    ),
    ?assertEqual("d\nd/" ++ binary_to_list(Long) ++ "\n", os:cmd("tar tf " ++ Path)),
    ok = file:delete(Path).

%% Whatever is broken in an archive, it is an answer, and no entry lies outside.
broken_test() ->
    ?assert(
        proper:quickcheck(
            ?FORALL({Items, Cut, At, Byte}, {list(item()), non_neg_integer(), non_neg_integer(), byte()}, begin
                Whole = archive(Items),
                At1 = At rem byte_size(Whole),
                <<Before:At1/binary, _, After/binary>> = Whole,
                Changed = <<Before/binary, Byte, After/binary>>,
                Bytes = binary:part(Changed, 0, byte_size(Changed) - Cut rem byte_size(Changed)),
                case index(Bytes) of
                    {ok, Entries} ->
                        lists:all(
                            fun(#{type := Type, offset := O, size := S}) ->
                                Type =/= file orelse O + S =< byte_size(Bytes)
                            end,
                            Entries
                        );
                    {error, {malformed, _}} -> true;
                    {error, {unsafe, _}} -> true
                end
            end),
            [{numtests, 500}, {to_file, user}]
        )
    ).

unsafe_test_() ->
    [
        ?_assertEqual({error, {unsafe, Name}}, index(archive([{entry(Name, file), <<>>}])))
     || Name <- [<<"..">>, <<"../a">>, <<"a/../../b">>, <<"/a/..">>]
    ] ++
        [
            ?_assertEqual(
                {error, {unsafe, <<"../../etc/passwd">>}},
                index(archive([{entry(<<"a">>, hard, <<"../../etc/passwd">>), <<>>}]))
            ),
            %% A symbolic link is read in the guest, where it can lead to nothing else
            ?_assertMatch({ok, [_]}, index(archive([{entry(<<"a">>, symlink, <<"../../x">>), <<>>}]))),
            ?_assertMatch({ok, [#{name := <<"a/b">>}]}, index(archive([{entry(<<"/a//./b/">>, directory), <<>>}])))
        ].
