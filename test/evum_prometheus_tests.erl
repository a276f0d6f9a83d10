%% SPDX-License-Identifier: Apache-2.0
-module(evum_prometheus_tests).

-include_lib("eunit/include/eunit.hrl").

text_test() ->
    ?assertEqual(
        <<
            "# HELP evum_x_total What it is.\n"
            "# TYPE evum_x_total counter\n"
            "evum_x_total{switch=\"a\",port=\"1\"} 7\n"
            "evum_x_total{switch=\"b\",port=\"2\"} 8\n"
            "# HELP evum_y Another.\n"
            "# TYPE evum_y gauge\n"
            "evum_y 0.5\n"
        >>,
        evum_prometheus:format([
            {"evum_x_total", counter, "What it is.", [{[{switch, <<"a">>}, {port, 1}], 7}, {[{switch, b}, {port, 2}], 8}]},
            {"evum_none", gauge, "Nothing.", []},
            {"evum_y", gauge, "Another.", [{[], 0.5}]}
        ])
    ).

escapes_test() ->
    ?assertEqual(
        <<"# HELP x a\\\\b\\nc\"d\n# TYPE x gauge\nx{l=\"a\\\\b\\nc\\\"d\",u=\"ü\"} 1\n"/utf8>>,
        evum_prometheus:format([{"x", gauge, "a\\b\nc\"d", [{[{l, <<"a\\b\nc\"d">>}, {u, <<"ü"/utf8>>}], 1}]}])
    ).
