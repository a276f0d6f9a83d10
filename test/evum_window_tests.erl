%% SPDX-License-Identifier: Apache-2.0
-module(evum_window_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

properties_test_() ->
    {timeout, 60, ?_assert(proper:quickcheck(prop_last(), [{to_file, user}, {numtests, 500}]))}.

%% What is kept is the end of what was added, and enough of it.
prop_last() ->
    ?FORALL(
        {Max, Chunks, Offset},
        {range(0, 5000), list(chunk()), range(0, 20000)},
        begin
            All = iolist_to_binary(Chunks),
            Window = lists:foldl(fun evum_window:add/2, evum_window:new(Max), Chunks),
            {Start, Kept} = evum_window:since(0, Window),
            {From, Some} = evum_window:since(Offset, Window),
            evum_window:total(Window) =:= byte_size(All) andalso
                Kept =:= binary:part(All, Start, byte_size(All) - Start) andalso
                byte_size(Kept) >= min(Max, byte_size(All)) andalso
                byte_size(Kept) =< Max + lists:max([1024 | [byte_size(C) || C <- Chunks]]) andalso
                From =:= max(Start, min(Offset, byte_size(All))) andalso
                Some =:= binary:part(All, From, byte_size(All) - From)
        end
    ).

chunk() ->
    oneof([binary(), ?LET(N, range(0, 3000), crypto:strong_rand_bytes(N))]).
