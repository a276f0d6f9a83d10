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

%% Some are no UTF-8.
part() -> ?LET(N, range(1, 130), vector(N, oneof([range($a, $z), range(128, 255)]))).

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
            ?FORALL(Bytes, broken(), is_answer(Bytes)),
            [{numtests, 1000}, {to_file, user}]
        )
    ).

%% A byte somewhere is another, and the end may be missing.
broken() ->
    ?LET(
        Whole,
        ?LET(Items, list(item()), archive(Items)),
        ?LET(
            {At, Byte, Size},
            {range(0, byte_size(Whole) - 1), byte(), oneof([byte_size(Whole), range(1, byte_size(Whole))])},
            begin
                <<Before:At/binary, _, After/binary>> = Whole,
                binary:part(<<Before/binary, Byte, After/binary>>, 0, Size)
            end
        )
    ).

is_answer(Bytes) ->
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
    end.

%% So is whatever stands in a header whose sum is right.
fields_test() ->
    Field = {range(0, 400), binary(8)},
    ?assert(
        proper:quickcheck(
            ?FORALL({Item, Fields, After}, {item(), list(Field), binary()}, begin
                <<Header:512/binary, _/binary>> = archive([Item]),
                is_answer(<<(with_sum(lists:foldl(fun put/2, Header, Fields)))/binary, After/binary>>)
            end),
            [{numtests, 1000}, {to_file, user}]
        )
    ).

put({At, Bytes}, Header) ->
    <<Before:At/binary, _:8/binary, After/binary>> = Header,
    <<Before/binary, Bytes/binary, After/binary>>.

with_sum(<<Before:148/binary, _:8/binary, After/binary>>) ->
    Sum = lists:sum([C || <<C>> <= <<Before/binary, "        ", After/binary>>]),
    <<Before/binary, (list_to_binary(io_lib:format("~6.8.0b", [Sum])))/binary, 0, " ", After/binary>>.

%% And what is no archive at all.
any_test() ->
    ?assert(
        proper:quickcheck(
            ?FORALL(Bytes, ?SIZED(N, binary(N * 64)), is_answer(Bytes)),
            [{numtests, 200}, {to_file, user}]
        )
    ).

%% Of old archives: blanks before a number, or in place of it.
blanks_test() ->
    <<Before:100/binary, _:24/binary, After/binary>> = archive([{entry(<<"a">>, file), <<>>}]),
    Index = fun(Numbers) ->
        <<Header:512/binary, Rest/binary>> = <<Before/binary, Numbers:24/binary, After/binary>>,
        index(<<(with_sum(Header))/binary, Rest/binary>>)
    end,
    ?assertMatch({ok, [#{mode := 8#644, uid := 0, gid := 8#17}]}, Index(<<"   644 ", 0, "        ", "17      ">>)),
    ?assertEqual({error, {malformed, 0}}, Index(<<"   644 ", 0, "  1 1   ", "17      ">>)).

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
