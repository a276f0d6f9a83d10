%% SPDX-License-Identifier: Apache-2.0
-module(evum_lab_name_tests).

-include_lib("eunit/include/eunit.hrl").

of_path_test() ->
    [
        ?assertEqual({Path, Name}, {Path, evum_lab_name:of_path(Path)})
     || {Path, Name} <- [
            {"/labs/ospf", <<"ospf">>},
            {"/labs/net.lab", <<"net">>},
            {"/labs/ospf/.", <<"ospf">>},
            {"/labs/ospf/./", <<"ospf">>},
            {"/labs/ospf/_test/..", <<"ospf">>},
            {"/labs/My Lab", <<"My-Lab">>},
            {"/labs/ (old) _lab_", <<"old-_lab">>},
            {"/labs/" ++ [16#4e2d, 16#6587], <<"lab">>},
            {"/labs/" ++ [16#dc] ++ "bung 1", <<"bung-1">>},
            {"/", <<"lab">>},
            {"/../..", <<"lab">>}
        ]
    ].

%% One that is legal stays whole, one that is made leaves room for machines' names.
of_long_path_test() ->
    Long = lists:duplicate(40, $x),
    ?assertEqual(list_to_binary(Long), evum_lab_name:of_path("/" ++ Long)),
    ?assertEqual(<<(binary:copy(<<"x">>, 31))/binary, "-x">>, evum_lab_name:of_path("/" ++ lists:duplicate(31, $x) ++ "-x")),
    ?assertEqual(binary:copy(<<"x">>, 31), evum_lab_name:of_path("/" ++ lists:duplicate(31, $x) ++ " " ++ Long)).

any_path_test() ->
    [{ok, _} = evum_lab_name:host(evum_lab_name:of_path([$/, A, B])) || A <- "a.-_ /\n", B <- "a.-_ /\n"].
