%% SPDX-License-Identifier: Apache-2.0
%% @doc Labs: whole networks from one description.
%%
%% A description is a map (see {@link evum_lab_spec}), the path of a file of
%% Erlang terms that make one, or a folder of Kathará's or Netkit's (see {@link
%% evum_kathara}). A running lab is a pid, or its name. Its machines
%% are those of {@link evum}, by the pid that {@link machine/2} tells, or by the name
%% `<<"Lab.Machine">>'.
%%
%% All that is wrong comes as a list of problems, each with the thing that it is
%% wrong with; {@link evum_lab_problem:format/1} makes a line of text of one. Functions
%% that take a lab return `{error, no_lab}' where it does not run.
-module(evum_lab).

-export([check/1, notes/1, read/1, load/1]).
-export([start/1, start/2, stop/1, list/0, info/1, machine/2, links/1, watch/1]).
-export([apply/2, add/3, add_switch/3, remove/2, connect/3, connect/4, disconnect/3, set_link/4]).
-export([kill/2, boot/2, restart/2]).
-export([partition/2, heal/1, play/2, ping_all/1]).
-export([ports/1, graph/2, graph/3]).
-export([linear/2, ring/1, star/1, tree/2, mesh/1, fat_tree/1, random/3]).
-export([export/2]).

-export_type([description/0, lab/0, start_options/0, error/0]).

-type description() :: map() | file:filename_all().
-type lab() :: pid() | atom() | binary() | string().
-type machine_name() :: atom() | unicode:chardata().
%% Who gets `{evum_lab, Name, What}' with each step of the lab's: What is `{seed,
%% Seed}' first, `{machine, Machine, starting | booting | configuring | commands | up | {failed,
%% Reason} | down | removed}', `{step, Step}' of a change, `{problem, Which, Reason}' and
%% `{switch_died, Which, Reason}', where Which is `{switch, Name}' or `{wire, End, End}',
%% `settled' once the start is over. `line': a line on the shell's terminal shows how many
%% machines are up, below the seed.
-type start_options() :: #{progress => none | line | pid()}.
-type error() :: {error, no_lab | stopping | [evum_lab_spec:problem(), ...]}.

%% @doc All that is wrong with a description, before anything is started.
-spec check(description()) -> ok | {error, [evum_lab_spec:problem(), ...]}.
check(Description) ->
    case read(Description) of
        {ok, _} -> ok;
        {error, _} = Error -> Error
    end.

%% @doc What a folder of Kathará's says that is of no effect here, as lines of text.
-spec notes(description()) -> [unicode:chardata()].
notes(Description) ->
    case is_folder(Description) andalso evum_kathara:noted(Description) of
        {ok, _, Notes} -> Notes;
        _ -> []
    end.

%% @doc A description in its one form.
-spec read(description()) -> {ok, evum_lab_spec:lab()} | {error, [evum_lab_spec:problem(), ...]}.
read(Description) ->
    case load(Description) of
        {ok, Map} -> parse(Map, #{});
        {error, _} = Error -> Error
    end.

%% @doc A description as it is written, a map; that of a file or folder is read.
-spec load(description()) -> {ok, term()} | {error, [evum_lab_spec:problem(), ...]}.
load(Path) when is_list(Path), Path =/= []; is_binary(Path) ->
    case is_folder(Path) of
        true -> evum_kathara:read(Path);
        false -> evum_lab_spec:read(Path)
    end;
load(Description) ->
    {ok, Description}.

is_folder(Description) -> not is_map(Description) andalso filelib:is_dir(Description).

parse(Map, Kept) ->
    {Lab, Problems} = evum_lab_spec:partly(Map, Kept),
    case Problems ++ evum_lab_machine:problems(Lab) of
        [] -> {ok, Lab};
        All -> {error, All}
    end.

%% @doc Write a description in another format: `{kathara, Folder}', a folder of
%% Kathará's, or `{containerlab, Folder}', `topology.clab.yml' and what it binds. The
%% notes tell what the format has no words for; see {@link evum_lab_export}.
-spec export(description(), {kathara | containerlab, file:filename_all()}) ->
    {ok, [evum_lab_export:note()]} | {error, [evum_lab_spec:problem(), ...]}.
export(Description, {Format, Folder}) when Format =:= kathara; Format =:= containerlab ->
    case load(Description) of
        {ok, Map} ->
            case evum_lab_spec:parse(Map) of
                {ok, Lab} -> written(Folder, evum_lab_export:Format(Lab, images(Description)));
                {error, _} = Error -> Error
            end;
        {error, _} = Error ->
            Error
    end;
export(_Description, Format) ->
    {error, [{lab, {bad_option, format, Format}}]}.

images(Description) ->
    case is_folder(Description) of
        true -> evum_kathara:images_of(Description);
        false -> #{}
    end.

written(Folder, {ok, Files, Notes}) ->
    case evum_lab_export:write(Folder, Files) of
        ok -> {ok, Notes};
        {error, {Path, Posix}} -> {error, [{{file, Path}, iolist_to_binary(["cannot be written: ", file:format_error(Posix)])}]}
    end;
written(_Folder, {error, _} = Error) ->
    Error.

%% @equiv start(Description, #{})
-spec start(description()) -> {ok, pid()} | {error, [evum_lab_spec:problem(), ...]}.
start(Description) ->
    start(Description, #{}).

%% @doc Start a lab. It returns once all machines are up, or have failed: those
%% problems are `{{machine, Name}, {start, Reason, Lines}}', with the last lines of
%% the machine's console, and Reason `{startup, Command, Status, Output}' where a
%% command of its own failed or took too long; or `{{switch, Name}, {start, Reason,
%% []}}'. Nothing of the lab is left then, but with `all_or_nothing => false': there the
%% others run, and {@link info/1} tells. Nor is it where the process that called this
%% ends while it waits; afterwards the lab lives on without it.
-spec start(description(), start_options()) -> {ok, pid()} | {error, [evum_lab_spec:problem(), ...]}.
start(Description, Options) ->
    {ok, _} = application:ensure_all_started(evum),
    case {maps:get(progress, Options, none), load(Description)} of
        {Progress, _} when Progress =/= none, Progress =/= line, not is_pid(Progress) ->
            {error, [{lab, {bad_option, progress, Progress}}]};
        {Progress, {ok, Map}} ->
            case parse(Map, #{}) of
                {ok, Lab} -> launch(Map, Lab, Progress);
                {error, _} = Error -> Error
            end;
        {_, {error, _} = Error} ->
            Error
    end.

launch(Map, #{machines := Machines} = Lab, Progress) ->
    Ref = make_ref(),
    Spec = #{
        description => evum_lab_edit:canonical(Map),
        lab => Lab,
        progress =>
            case Progress of
                line -> self();
                _ -> Progress
            end,
        starter => {self(), Ref}
    },
    case supervisor:start_child(evum_lab_sup, [Spec]) of
        {ok, Pid} ->
            Monitor = monitor(process, Pid),
            Count = {0, map_size(Machines)},
            Result = started(Pid, Ref, Monitor, Lab, Progress =:= line andalso Count),
            demonitor(Monitor, [flush]),
            Result;
        {error, {shutdown, Problems}} ->
            {error, Problems}
    end.

started(Pid, Ref, Monitor, #{all_or_nothing := All} = Lab, Line) ->
    receive
        {Ref, ok} ->
            ended(Line),
            {ok, Pid};
        {Ref, {error, _}} when not All ->
            ended(Line),
            {ok, Pid};
        {Ref, {error, stopped}} ->
            ended(Line),
            {error, [{lab, stopped}]};
        {Ref, {error, Problems}} ->
            ended(Line),
            {error, Problems};
        {'DOWN', Monitor, process, Pid, Reason} ->
            {error, [{lab, {crash, Reason}}]};
        {evum_lab, _, What} when Line =/= false ->
            started(Pid, Ref, Monitor, Lab, progress(What, Line))
    end.

progress({machine, _, up}, {N, All}) ->
    io:format("\r~b of ~b machines are up", [N + 1, All]),
    {N + 1, All};
progress({machine, Name, {failed, Reason}}, Count) ->
    io:format("\r~ts~n", [evum_lab_problem:format({{machine, Name}, {start, Reason, []}})]),
    Count;
progress({seed, Seed}, Count) ->
    io:format("seed ~b~n", [Seed]),
    Count;
progress({problem, Segment, Reason}, Count) ->
    io:format("\r~ts~n", [evum_lab_problem:format(evum_lab_faults:problem(Segment, Reason))]),
    Count;
progress(_What, Count) ->
    Count.

ended(false) -> ok;
ended(_) -> io:nl().

%% @doc Stop a lab: its machines run their shutdown commands, and are then cut off.
%% Nothing of it is left when this returns.
-spec stop(lab()) -> ok | {error, no_lab}.
stop(Lab) ->
    call(Lab, stop).

%% @doc The labs of this node.
-spec list() -> [pid()].
list() ->
    try supervisor:which_children(evum_lab_sup) of
        Children -> [Pid || {_, Pid, _, _} <- Children, is_pid(Pid)]
    catch
        exit:{noproc, _} -> []
    end.

%% @doc How a lab fares: `name', `phase' (`starting', `running', `stopping'),
%% `seed', `switches', how many run, `problems', those of switches and wires that could
%% not be started or set, and `machines', each a map of `status'
%% (`waiting', `starting', `up', `failed', `stopping', `down'), `vm' where it runs,
%% and where it failed or ended `reason' and `console', the last lines. Machines at a
%% switch that is not there fail with `{switch, Name, Reason}'; {@link boot/2} tries both
%% again.
-spec info(lab()) -> map() | {error, no_lab}.
info(Lab) ->
    call(Lab, info).

%% @doc The machine of that name, for {@link evum}.
-spec machine(lab(), machine_name()) ->
    {ok, pid()} | {error, no_lab | stopping | {no_machine | not_running, evum_lab_spec:name()}}.
machine(Lab, Name) ->
    call(Lab, {machine, name(Name)}).

%% @doc The links of a lab, each as its two ends.
-spec links(lab()) -> [{evum_lab_spec:link_end(), evum_lab_spec:link_end()}] | {error, no_lab}.
links(Lab) ->
    case call(Lab, description) of
        {ok, _, #{links := Links}} -> [Ends || #{ends := Ends} <- Links];
        {error, _} = Error -> Error
    end.

%% @doc Get each step of a lab's as a message, see {@link start_options()}.
-spec watch(lab()) -> ok | {error, no_lab}.
watch(Lab) ->
    case resolve(Lab) of
        undefined -> {error, no_lab};
        Pid -> gen_server:cast(Pid, {watch, self()})
    end.

%%% Change --------------------------------------------------------------------

%% @doc Make a running lab what another description says, with the fewest steps:
%% what is the same in both is not touched, nor what scripts, DHCP or daemons have set
%% in a machine, but for interfaces whose addresses in the description change. It returns
%% once machines that had to start are up, and others are set to what is new of them; or
%% the problems of those where that failed, `{{machine, Name}, {start, Reason, Lines}}' or
%% `{{machine, Name}, {configure, Reason}}'. A machine that is still starting gets the
%% change when it is up. Planned addresses stay what they are.
%%
%% A machine has to start anew where what it was started with has changed, or where
%% an interface leads to another switch or wire.
-spec apply(lab(), description()) -> ok | error().
apply(Lab, Description) ->
    case load(Description) of
        {ok, Map} -> change(Lab, fun(_) -> {ok, Map} end);
        {error, _} = Error -> Error
    end.

%% @doc Add a machine, and wait until it is up.
-spec add(lab(), machine_name(), map()) -> ok | error().
add(Lab, Name, Options) ->
    change(Lab, fun(D) -> evum_lab_edit:add_machine(Name, Options, D) end).

%% @doc Add a switch.
-spec add_switch(lab(), machine_name(), map()) -> ok | error().
add_switch(Lab, Name, Options) ->
    change(Lab, fun(D) -> evum_lab_edit:add_switch(Name, Options, D) end).

%% @doc Remove a machine or a switch, with its links.
-spec remove(lab(), machine_name()) -> ok | error().
remove(Lab, Name) ->
    change(Lab, fun(D) -> evum_lab_edit:remove(Name, D) end).

%% @equiv connect(Lab, A, B, #{})
-spec connect(lab(), term(), term()) -> ok | error().
connect(Lab, A, B) ->
    connect(Lab, A, B, #{}).

%% @doc Add a link, with ends and options as in a description.
-spec connect(lab(), term(), term(), map()) -> ok | error().
connect(Lab, A, B, Options) ->
    change(Lab, fun(D) -> evum_lab_edit:connect(A, B, Options, D) end).

%% @doc Remove the link between two ends.
-spec disconnect(lab(), term(), term()) -> ok | error().
disconnect(Lab, A, B) ->
    change(Lab, fun(D) -> evum_lab_edit:disconnect(A, B, D) end).

%% @doc Change options of the link between two ends, such as `up' or `delay'; those
%% that are not named stay, those that are `none' go. `forth' is the direction from A to
%% B, `back' the other one, whichever is first in the description.
-spec set_link(lab(), term(), term(), map()) -> ok | error().
set_link(Lab, A, B, Options) ->
    change(Lab, fun(D) -> evum_lab_edit:set_link(A, B, Options, D) end).

%% Who is overtaken by another change begins anew with what that has left.
change(Lab, Edit) ->
    case call(Lab, description) of
        {ok, Old, Running} -> change(Lab, Edit, Old, Running);
        {error, _} = Error -> Error
    end.

change(Lab, Edit, Old, Running) ->
    case Edit(Old) of
        {ok, New} ->
            case parse(New, evum_lab_address:kept(Running)) of
                {ok, Spec} ->
                    case call(Lab, {change, Old, evum_lab_edit:canonical(New), Spec}) of
                        {error, overtaken} -> change(Lab, Edit);
                        Result -> Result
                    end;
                {error, _} = Error ->
                    Error
            end;
        {error, _} = Error ->
            Error
    end.

%% @doc Cut a machine's power. Its links are there when it is {@link boot/2}ed again.
-spec kill(lab(), machine_name()) -> ok | {error, no_lab | stopping | {no_machine, evum_lab_spec:name()}}.
kill(Lab, Name) ->
    call(Lab, {halt, name(Name), kill}).

%% @doc Start a machine that is down or has failed, and wait until it is up.
-spec boot(lab(), machine_name()) -> ok | error() | {error, {no_machine, evum_lab_spec:name()}}.
boot(Lab, Name) ->
    call(Lab, {boot, name(Name), boot}).

%% @doc Stop a machine after its shutdown commands, start it anew, and wait until it
%% is up.
-spec restart(lab(), machine_name()) -> ok | error() | {error, {no_machine, evum_lab_spec:name()}}.
restart(Lab, Name) ->
    call(Lab, {boot, name(Name), shutdown}).

%% @doc Part machines: `[[a, b], [c]]', groups that do not reach one another, or
%% `{one_way, [a], [b]}', frames of the first do not reach the second. It takes the place
%% of an earlier partition. Machines that are in no group reach all.
%%
%% Where two have ports at the same switch or wire, no frame passes; on longer ways,
%% by routers or through other switches, none of IP or ARP, from and to their addresses:
%% those of the description, and those that the machines have when they are parted, or
%% when they come up later.
-spec partition(lab(), evum_lab_cut:partition()) ->
    ok | {error, no_lab | stopping | {no_machine, term()} | {bad_option, partition, term()}}.
partition(Lab, Partition) ->
    case running(Lab) of
        {ok, Vms, #{machines := Machines} = Spec} ->
            case evum_lab_cut:cuts(Partition, maps:keys(Machines)) of
                {ok, Cuts} ->
                    Named = lists:append([From ++ To || {From, To} <- Cuts]),
                    call(Lab, {partition, Partition, evum_lab_ask:addresses(maps:with(Named, Vms), Spec)});
                {error, _} = Error ->
                    Error
            end;
        {error, _} = Error ->
            Error
    end.

%% @doc End a partition.
-spec heal(lab()) -> ok | {error, no_lab | stopping}.
heal(Lab) ->
    call(Lab, {partition, [], #{}}).

%% @doc Have things happen at their time: `[{at, 5000, {partition, [[a], [b]]}},
%% {at, 9000, heal}, {every, 1000, fun(Lab) -> ... end}]', times in ms from now. The
%% actions are those of {@link evum_lab_play:action()}; one that takes long delays those
%% that come later. The process that is returned does it: `gen_server:stop/1' ends it, and
%% so does the end of the lab.
-spec play(lab(), [evum_lab_play:step()]) ->
    {ok, pid()} | {error, no_lab | stopping | {bad_option, play, term()}}.
play(Lab, Steps) ->
    case evum_lab_play:check(Steps) of
        ok -> call(Lab, {play, Steps});
        {error, _} = Error -> Error
    end.

%% @doc Which machine reaches which: each that runs pings an address of each other's; what
%% was reached, as `#{From => #{To => boolean()}}'. It tries twice, 2 s each. The machines
%% are asked for their addresses; those without one are pinged by nobody, and where none
%% is left there is `nothing_to_ping'.
-spec ping_all(lab()) ->
    {ok, #{evum_lab_spec:name() => #{evum_lab_spec:name() => boolean()}}}
    | {error, no_lab | stopping | nothing_to_ping}.
ping_all(Lab) ->
    case running(Lab) of
        {ok, Vms, Spec} -> evum_lab_ping:all(Vms, evum_lab_ask:addresses(Vms, Spec));
        {error, _} = Error -> Error
    end.

%% The machines that run, those too of which a command failed, and the description.
running(Lab) ->
    case {call(Lab, info), call(Lab, description)} of
        {#{machines := Machines}, {ok, _, Spec}} ->
            {ok, maps:from_list([{Name, Vm} || {Name, #{vm := Vm, status := S}} <- maps:to_list(Machines), S =:= up orelse S =:= failed]), Spec};
        {{error, _} = Error, _} ->
            Error;
        {_, {error, _} = Error} ->
            Error
    end.

%% @doc Where the interfaces of machines that run are plugged in, for {@link
%% evum_switch}, such as to capture there. What is set with
%% `evum_switch:set_port/3' and so on, lasts until the lab sets the port again.
-spec ports(lab()) ->
    {ok, #{evum_lab_spec:port_id() => {Switch :: pid(), evum_fdb:port_id()}}} | {error, no_lab | stopping}.
ports(Lab) ->
    case call(Lab, ports) of
        {ok, Ports} -> {ok, maps:from_list([{Id, {Switch, Port}} || {Id, Switch, Port} <- Ports])};
        {error, _} = Error -> Error
    end.

%% @equiv graph(Lab, Format, #{})
-spec graph(lab() | description(), evum_lab_graph:format()) -> {ok, binary()} | error().
graph(Lab, Format) ->
    graph(Lab, Format, #{}).

%% @doc Draw a lab, one that runs or a description: machines with their addresses, for
%% which those that run are asked, switches, and links with their impairments; machines
%% that do not run are grey.
%% With `rates => true' it takes a second more, in which what passes is measured.
-spec graph(lab() | description(), evum_lab_graph:format(), #{rates => boolean()}) -> {ok, binary()} | error().
graph(Lab, Format, Options) when Format =:= dot; Format =:= svg ->
    case is_map(Lab) orelse {is_pid(Lab), call(Lab, description)} of
        {_, {ok, _, Spec}} ->
            {ok, evum_lab_graph:draw(Format, Spec, seen(Lab, Spec, Options))};
        {true, {error, _} = Error} ->
            Error;
        _ ->
            case read(Lab) of
                {ok, Spec} -> {ok, evum_lab_graph:draw(Format, Spec, #{})};
                {error, _} = Error -> Error
            end
    end.

seen(Lab, #{machines := Machines} = Spec, Options) ->
    Seen =
        case running(Lab) of
            {ok, Vms, _} ->
                #{down => maps:keys(Machines) -- maps:keys(Vms), addresses => evum_lab_ask:addresses(Vms, Spec)};
            {error, _} ->
                #{}
        end,
    case {maps:get(rates, Options, false), ports(Lab)} of
        {true, {ok, Ports}} -> Seen#{rates => evum_lab_rates:measure(Ports, Spec)};
        _ -> Seen
    end.

%%% Shapes: descriptions for start/1 -------------------------------------------

%% @equiv evum_lab_topology:linear(Switches, Hosts)
-spec linear(pos_integer(), pos_integer()) -> map().
linear(Switches, Hosts) -> evum_lab_topology:linear(Switches, Hosts).

%% @equiv evum_lab_topology:ring(Routers)
-spec ring(pos_integer()) -> map().
ring(Routers) -> evum_lab_topology:ring(Routers).

%% @equiv evum_lab_topology:star(Hosts)
-spec star(pos_integer()) -> map().
star(Hosts) -> evum_lab_topology:star(Hosts).

%% @equiv evum_lab_topology:tree(Depth, Fanout)
-spec tree(pos_integer(), pos_integer()) -> map().
tree(Depth, Fanout) -> evum_lab_topology:tree(Depth, Fanout).

%% @equiv evum_lab_topology:mesh(Routers)
-spec mesh(pos_integer()) -> map().
mesh(Routers) -> evum_lab_topology:mesh(Routers).

%% @equiv evum_lab_topology:fat_tree(K)
-spec fat_tree(pos_integer()) -> map().
fat_tree(K) -> evum_lab_topology:fat_tree(K).

%% @equiv evum_lab_topology:random(Routers, Wires, Seed)
-spec random(pos_integer(), non_neg_integer(), integer()) -> map().
random(Routers, Wires, Seed) -> evum_lab_topology:random(Routers, Wires, Seed).

%%% ---------------------------------------------------------------------------

call(Lab, Request) ->
    case resolve(Lab) of
        undefined ->
            {error, no_lab};
        Pid ->
            try
                gen_server:call(Pid, Request, infinity)
            catch
                exit:{_, {gen_server, call, _}} -> {error, no_lab}
            end
    end.

resolve(Pid) when is_pid(Pid) -> Pid;
resolve(Name) -> evum_registry:whereis({lab, name(Name)}).

name(Name) -> evum_lab_edit:name(Name).
