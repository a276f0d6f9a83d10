%% SPDX-License-Identifier: Apache-2.0
-module(evum_watch_tests).

-include_lib("eunit/include/eunit.hrl").

rate(N) ->
    #{rx_frames => float(N), rx_bytes => 60.0 * N, tx_frames => 0.0, tx_bytes => 0.0, drops => 1.0}.

rates(N) ->
    #{second => rate(N), minute => rate(N div 60)}.

table_test() ->
    Port = fun(Id, N, More) -> maps:merge(maps:merge(rates(N), #{id => Id, kind => vhost}), More) end,
    Table = unicode:characters_to_list(
        evum_watch:table(#{
            name => <<"lan">>,
            ports => [Port(1, 600, #{machine => <<"r1">>}), Port(2, 123456789, #{machine => <<"a very long name, longer">>}), Port(3, 0, #{})],
            total => rates(123457389)
        })
    ),
    [Title, Head, One, Two, Three, All] = string:lexemes(Table, "\n"),
    ?assertEqual("lan, a second, over the last second and minute", Title),
    ?assertEqual(["port", "machine", "rx", "frames", "rx", "bytes"], lists:sublist(string:lexemes(Head, " "), 6)),
    ?assertEqual(["1", "vhost", "r1", "600", "36.0k", "0", "0", "1", "|", "600", "0"], string:lexemes(One, " ")),
    ?assertMatch({match, _}, re:run(Two, "^2 vhost +a very long name +123.5M +7.4G ")),
    ?assertEqual(["3", "vhost", "0", "0", "0", "0", "1", "|", "0", "0"], string:lexemes(Three, " ")),
    ?assertEqual(["all", "123.5M"], lists:sublist(string:lexemes(All, " "), 2)),
    %% columns
    ?assertEqual(1, length(lists:usort([string:length(L) || L <- [Head, One, Two, Three, All]]))).

%% No figure is wider than its column.
figures_test() ->
    [
        begin
            T = evum_watch:table(#{name => <<"x">>, ports => [], total => #{second => rate(N), minute => rate(N)}}),
            Lines = string:lexemes(unicode:characters_to_list(T), "\n"),
            ?assertEqual(string:length(lists:nth(2, Lines)), string:length(lists:nth(3, Lines)))
        end
     || E <- lists:seq(0, 21), N <- [trunc(math:pow(10, E)), trunc(9.996 * math:pow(10, E))]
    ].
