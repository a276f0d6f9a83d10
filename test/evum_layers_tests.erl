%% SPDX-License-Identifier: Apache-2.0
-module(evum_layers_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(evum_tar_tests, [entry/2, entry/3]).

file(Name) -> file(Name, 1).

%% Its offset tells which one it is.
file(Name, Offset) -> (entry(Name, file))#{offset := Offset, size := 1}.

dir(Name) -> entry(Name, directory).

names(Layers) ->
    case evum_layers:merge(Layers) of
        {ok, Items} -> [{N, Name} || {N, #{name := Name}} <- Items];
        {error, _} = Error -> Error
    end.

merge_test_() ->
    Base = [dir(<<"d">>), file(<<"d/a">>, 1), file(<<"d/b">>, 2), file(<<"d-e">>, 3)],
    [
        ?_assertEqual([{1, <<"d">>}, {1, <<"d-e">>}, {1, <<"d/a">>}, {1, <<"d/b">>}], names([Base])),
        %% a file that is there again is that of the upper layer
        ?_assertEqual(
            [{1, <<"d">>}, {1, <<"d-e">>}, {2, <<"d/a">>}, {1, <<"d/b">>}],
            names([Base, [file(<<"d/a">>)]])
        ),
        ?_assertEqual(
            [{1, <<"d">>}, {1, <<"d-e">>}, {1, <<"d/b">>}], names([Base, [file(<<"d/.wh.a">>)]])
        ),
        ?_assertEqual([{1, <<"d-e">>}], names([Base, [file(<<".wh.d">>)]])),
        %% what is below, but not what the same layer brings, whichever comes first
        ?_assertEqual(
            [{1, <<"d">>}, {1, <<"d-e">>}, {2, <<"d/c">>}],
            names([Base, [file(<<"d/c">>), file(<<"d/.wh..wh..opq">>)]])
        ),
        %% a folder that a file takes the place of
        ?_assertEqual([{2, <<"d">>}, {1, <<"d-e">>}], names([Base, [file(<<"d">>)]])),
        ?_assertEqual([], names([[(entry(<<"null">>, device))]])),
        %% names that are no UTF-8
        ?_assertEqual(
            [{1, <<"d">>}, {2, <<233, "/a">>}],
            names([[dir(<<"d">>), file(<<"d/", 233>>)], [file(<<"d/.wh.", 233>>), file(<<233, "/a">>)]])
        )
    ].

unsafe_test_() ->
    [
        ?_assertEqual({error, {unsafe, Name}}, names(Layers))
     || {Name, Layers} <- [
            {<<"l/passwd">>, [[entry(<<"l">>, symlink, <<"/etc">>), file(<<"l/passwd">>)]]},
            {<<"l/a/b">>, [[entry(<<"l">>, symlink, <<"/etc">>)], [file(<<"l/a/b">>)]]},
            {<<"h">>, [[entry(<<"h">>, hard, <<"nothing">>)]]},
            {<<"h">>, [[dir(<<"d">>), entry(<<"h">>, hard, <<"d">>)]]}
        ]
    ].

%% Names of one file stay so; the content is with the first that is left.
hard_links_test_() ->
    Layer = [file(<<"b">>, 7), entry(<<"a">>, hard, <<"b">>), entry(<<"c">>, hard, <<"a">>)],
    Types = fun(Layers) ->
        {ok, Items} = evum_layers:merge(Layers),
        [{Name, Type, Link} || {_, #{name := Name, type := Type, link := Link}} <- Items]
    end,
    [
        ?_assertEqual(
            [{<<"a">>, file, <<>>}, {<<"b">>, hard, <<"a">>}, {<<"c">>, hard, <<"a">>}],
            Types([Layer])
        ),
        %% the other keeps the old content
        ?_assertEqual(
            [{<<"a">>, file, <<>>}, {<<"b">>, file, <<>>}, {<<"c">>, hard, <<"a">>}],
            Types([Layer, [file(<<"b">>, 9)]])
        )
    ].

resolve_test_() ->
    {ok, Items} = evum_layers:merge([
        [
            entry(<<"bin">>, symlink, <<"usr/bin">>),
            dir(<<"usr">>),
            dir(<<"usr/bin">>),
            entry(<<"usr/bin/sh">>, symlink, <<"/bin/../bin/dash">>),
            file(<<"usr/bin/dash">>),
            entry(<<"loop">>, symlink, <<"loop">>)
        ]
    ]),
    [
        ?_assertMatch({ok, {1, #{name := <<"usr/bin/dash">>}}}, evum_layers:resolve(<<"bin/sh">>, Items)),
        ?_assertEqual(error, evum_layers:resolve(<<"bin/bash">>, Items)),
        ?_assertEqual(error, evum_layers:resolve(<<"loop">>, Items)),
        ?_assertEqual(error, evum_layers:resolve(<<"usr">>, Items))
    ].

part() -> elements([<<"a">>, <<"b">>, <<"caf", 233>>, <<".wh.caf", 233>>, <<".wh.a">>, <<".wh..wh..opq">>, <<"c">>]).

name() -> ?LET(Parts, ?LET(N, range(1, 3), vector(N, part())), iolist_to_binary(lists:join("/", Parts))).

item() ->
    ?LET(
        {Name, Type, Link},
        {name(), oneof([file, symlink, directory, hard, device]), name()},
        (entry(Name, Type, Link))#{size := 1, offset := 5}
    ).

%% Whatever the layers are: no whiteout is left, each name is there once, and
%% what is above one is a folder.
merge_test() ->
    ?assert(
        proper:quickcheck(
            ?FORALL(Layers, list(list(item())), begin
                case evum_layers:merge(Layers) of
                    {error, {unsafe, _}} ->
                        true;
                    {ok, Items} ->
                        Types = maps:from_list([{N, T} || {_, #{name := N, type := T}} <- Items]),
                        map_size(Types) =:= length(Items) andalso
                            maps:fold(fun(N, _, Ok) -> Ok andalso sound(N, Types) end, true, Types)
                end
            end),
            [{numtests, 1000}, {to_file, user}]
        )
    ).

sound(Name, Types) ->
    nomatch =:= binary:match(Name, <<".wh.">>) andalso
        case filename:dirname(Name) of
            <<".">> -> true;
            Above -> lists:member(maps:get(Above, Types, directory), [directory])
        end.
