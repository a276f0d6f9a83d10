%% SPDX-License-Identifier: Apache-2.0
%% @doc A hook of Common Test's: a lab for a suite, or a new one for each case. What
%% tells why a case failed is kept: captures of all switches, the consoles, the lab's
%% seed.
%%
%% ```
%% suite() -> [{ct_hooks, [{evum_ct, #{lab => "labs/net.lab", each => testcase}}]}].
%% a_case(Config) -> {ok, Pc1} = evum_lab:machine(proplists:get_value(lab, Config), pc1), ...
%% '''
%%
%% <table>
%% <tr><td>`lab'</td><td>a description, as for `evum_lab:start/1', or a function of the
%%   test's configuration that returns one</td></tr>
%% <tr><td>`each'</td><td>`suite' or `testcase': when it is started anew. Default:
%%   `suite'</td></tr>
%% <tr><td>`capture'</td><td>whether frames are captured. Default: `true'</td></tr>
%% </table>
%%
%% The lab is `lab' of the configuration. What is kept is in a folder of the
%% configuration's `priv_dir' that has the case's name, `SWITCH.pcapng', `MACHINE.console' and
%% `lab.term'; the log says where. With one lab for the suite, captures are of all
%% the suite, and kept where any case failed. The same is kept where `init_per_suite' or
%% `init_per_testcase' fails.
-module(evum_ct).

-export([id/1, init/2]).
-export([pre_init_per_suite/3, post_init_per_suite/4, post_end_per_suite/4]).
-export([pre_init_per_testcase/4, post_init_per_testcase/5, post_end_per_testcase/5]).
-export([terminate/1]).

-record(state, {
    lab :: evum_lab:description() | fun((list()) -> evum_lab:description()),
    each :: suite | testcase,
    capture :: boolean(),
    running = none :: none | pid(),
    %% where captures go, and what else is kept
    folder = none :: none | file:filename_all(),
    captures = [] :: [evum_capture:capture()],
    failed = false :: boolean()
}).

%% @private
-spec id(map()) -> term().
id(Options) -> {?MODULE, Options}.

%% @private
-spec init(term(), map()) -> {ok, #state{}}.
init(_Id, #{lab := Lab} = Options) ->
    {ok, #state{
        lab = Lab,
        each = maps:get(each, Options, suite),
        capture = maps:get(capture, Options, true)
    }}.

%% @private
-spec pre_init_per_suite(atom(), list(), #state{}) -> {list() | {fail, term()}, #state{}}.
pre_init_per_suite(Suite, Config, #state{each = suite} = State) ->
    start(atom_to_list(Suite), Config, State);
pre_init_per_suite(_Suite, Config, State) ->
    {Config, State}.

%% @private
-spec post_init_per_suite(atom(), list(), term(), #state{}) -> {term(), #state{}}.
post_init_per_suite(_Suite, _Config, Return, State) ->
    {Return, begun(Return, State)}.

%% @private
-spec post_end_per_suite(atom(), list(), term(), #state{}) -> {term(), #state{}}.
post_end_per_suite(_Suite, _Config, Return, State) ->
    {Return, tidy(stop(State))}.

%% @private
-spec pre_init_per_testcase(atom(), atom(), list(), #state{}) -> {list() | {fail, term()}, #state{}}.
pre_init_per_testcase(_Suite, Case, Config, #state{each = testcase} = State) ->
    start(atom_to_list(Case), Config, State);
pre_init_per_testcase(_Suite, _Case, Config, State) ->
    {Config, State}.

%% @private
-spec post_init_per_testcase(atom(), atom(), list(), term(), #state{}) -> {term(), #state{}}.
post_init_per_testcase(_Suite, _Case, _Config, Return, #state{each = testcase} = State) ->
    {Return, begun(Return, State)};
post_init_per_testcase(_Suite, Case, _Config, Return, State) ->
    case outcome(Return) of
        failed -> {Return, kept(own_folder(Case, State), State)};
        _ -> {Return, State}
    end.

%% @private
-spec post_end_per_testcase(atom(), atom(), list(), term(), #state{}) -> {term(), #state{}}.
post_end_per_testcase(_Suite, Case, Config, Return, #state{each = Each} = State) ->
    State1 =
        case proplists:get_value(tc_status, Config, ok) of
            {failed, _} -> kept(own_folder(Case, State), State);
            _ -> State
        end,
    case Each of
        suite -> {Return, State1};
        testcase -> {Return, tidy(stop(State1))}
    end.

%% @private
%% One runs still where a function above failed.
-spec terminate(#state{}) -> ok.
terminate(State) ->
    _ = stop(State),
    ok.

%%% ---------------------------------------------------------------------------

%% Common Test calls no end function where that of init failed.
begun(Return, #state{folder = Folder} = State) ->
    case outcome(Return) of
        good -> State;
        skipped -> tidy(stop(State));
        failed -> tidy(stop(kept(Folder, State)))
    end.

outcome({skip, {failed, _}}) -> failed;
outcome({Skip, _}) when Skip =:= skip; Skip =:= skip_and_save -> skipped;
outcome(Return) when is_tuple(Return) -> failed;
outcome(_) -> good.

%% With one lab for the suite, each case that failed has a folder in that of the suite.
own_folder(_Case, #state{folder = none}) -> none;
own_folder(Case, #state{each = suite, folder = Folder}) -> filename:join(Folder, atom_to_list(Case));
own_folder(_Case, #state{folder = Folder}) -> Folder.

kept(_Own, #state{running = none} = State) ->
    State;
kept(Own, #state{folder = Folder} = State) ->
    collect(Own, State),
    io:format("the lab's captures, consoles and seed are in ~ts~n", [Folder]),
    State#state{failed = true}.

start(Name, Config, Before) ->
    #state{lab = Lab} = State = stop(Before),
    Description =
        case is_function(Lab, 1) of
            true -> Lab(Config);
            false -> Lab
        end,
    case evum_lab:start(Description) of
        {ok, Pid} ->
            Folder = filename:join(proplists:get_value(priv_dir, Config), "evum-" ++ Name),
            ok = filelib:ensure_dir(filename:join(Folder, "x")),
            State1 = State#state{running = Pid, folder = Folder, failed = false},
            {[{lab, Pid} | Config], capture(State1)};
        {error, Problems} ->
            Text = unicode:characters_to_binary(lists:join("\n", [evum_lab_problem:format(P) || P <- Problems])),
            {{fail, {lab, Text}}, State#state{running = none, folder = none}}
    end.

capture(#state{capture = false} = State) ->
    State;
capture(#state{running = Lab, folder = Folder} = State) ->
    {ok, Ports} = evum_lab:ports(Lab),
    Switches = lists:usort([Switch || {Switch, _} <- maps:values(Ports)]),
    State#state{
        captures = [
            Capture
         || Switch <- Switches,
            {ok, Capture} <- [evum_switch:capture(Switch, #{file => capture_file(Folder, evum_switch:name(Switch))})]
        ]
    }.

%% A wire is called after its ends: "net.r1:eth0-r2:eth0".
capture_file(Folder, Name) ->
    filename:join(Folder, <<(binary:replace(Name, [<<":">>, <<"/">>], <<"_">>, [global]))/binary, ".pcapng">>).

%% Consoles and the seed.
collect(Folder, #state{running = Lab}) ->
    ok = filelib:ensure_dir(filename:join(Folder, "x")),
    case evum_lab:info(Lab) of
        #{seed := Seed, name := Name, machines := Machines} ->
            Term = io_lib:format("~tp.~n", [#{name => Name, seed => Seed, machines => Machines}]),
            ok = file:write_file(filename:join(Folder, "lab.term"), unicode:characters_to_binary(Term)),
            maps:foreach(fun(Machine, About) -> console(Folder, Machine, About) end, Machines);
        {error, no_lab} ->
            ok
    end.

console(Folder, Machine, About) ->
    Lines = iolist_to_binary([[Line, $\n] || Line <- maps:get(console, About, [])]),
    Text =
        case About of
            #{vm := Vm} ->
                case evum:transcript(Vm) of
                    Shown when is_binary(Shown) -> Shown;
                    {error, _} -> Lines
                end;
            #{} ->
                Lines
        end,
    ok = file:write_file(filename:join(Folder, <<Machine/binary, ".console">>), Text).

stop(#state{running = none} = State) ->
    State;
stop(#state{running = Lab, captures = Captures} = State) ->
    lists:foreach(fun evum_switch:stop_capture/1, Captures),
    _ = evum_lab:stop(Lab),
    State#state{running = none, captures = []}.

%% Nobody needs what is known of a success.
tidy(#state{folder = none} = State) ->
    State;
tidy(#state{folder = Folder, failed = Failed} = State) ->
    _ = Failed orelse file:del_dir_r(Folder),
    State#state{folder = none, failed = false}.
