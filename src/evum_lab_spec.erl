%% SPDX-License-Identifier: Apache-2.0
%% @doc The description of a lab, brought into one form, and all that is wrong
%% with it.
%%
%% A description is a map. Names are atoms, strings or binaries; they come out as
%% binaries.
%%
%% <table>
%% <tr><td>`name'</td><td>of the lab. Its machines are registered as
%%   `Lab.Machine'. Default: one that is free</td></tr>
%% <tr><td>`machines'</td><td>a map of names to options, see below</td></tr>
%% <tr><td>`defaults'</td><td>options of all machines, which their own
%%   override</td></tr>
%% <tr><td>`switches'</td><td>a map of names to maps: options of
%%   {@link evum_switch_options}, `uplink', `{Kind, Options}' as for
%%   `evum_switch:uplink/3', `forwards', a list of `{tcp | udp, Host, Guest}' as
%%   for `evum_switch:forward/4', `subnet' as of a link, and `vlans', a map: of what is
%%   linked to it, `{Machine, Interface}' or another switch, to the VLAN there, such as
%%   10, `{access, 10}' or `{trunk, [10, 20]}' ({@link evum_vlan:config()}). What the
%%   link's own `port' says goes before that</td></tr>
%% <tr><td>`links'</td><td>a list of `{End, End}' or `{End, End, Options}'. An
%%   end is an interface, `{Machine, Interface}', or the name of a
%%   switch. Switches that are joined make no circle, in any VLAN, but of links that
%%   are not up: frames would go round for ever</td></tr>
%% <tr><td>`addressing'</td><td>`{ipv4 | ipv6, "10.0.0.0/8"}', or a list of the
%%   two: each collision domain gets a subnet, and each of its interfaces an
%%   address, where none are given by hand. Default: `none'</td></tr>
%% <tr><td>`routing'</td><td>`static': each machine gets routes to all subnets, along
%%   shortest paths through machines whose `sysctl' has `net.ipv4.ip_forward', or
%%   `net.ipv6.conf.all.forwarding', at 1. Default: `none'</td></tr>
%% <tr><td>`all_or_nothing'</td><td>whether a machine that does not start ends the
%%   lab's start, and all that runs of it. Default: `true'</td></tr>
%% <tr><td>`depends_on'</td><td>what machines wait for that `depends' names: `up', or
%%   `runs', also one of which a command of `startup' failed, as in a folder of
%%   Kathará's. Default: `up'</td></tr>
%% <tr><td>`seed'</td><td>of all that is random in the lab, an integer from 0 to 2^32 - 1:
%%   links with impairments do the same with the same frames in each run, and each time
%%   that a machine starts, whatever starts first. Default: a random one, which {@link
%%   evum_lab:info/1} tells</td></tr>
%% </table>
%%
%% A machine takes the options of {@link evum_machine} but for `name', `owner',
%% `switch' and `mac', and:
%%
%% <table>
%% <tr><td>`interfaces'</td><td>a map of names to `#{mac, addresses, mtu}', or to
%%   addresses alone. Only those need be named that are more than an end of a
%%   link</td></tr>
%% <tr><td>`routes', `resolver'</td><td>as for {@link evum_netconf}</td></tr>
%% <tr><td>`sysctl'</td><td>a map, `#{"net.ipv4.ip_forward" => 1}'</td></tr>
%% <tr><td>`startup'</td><td>a command, or a list of commands, as for `evum:cmd/3',
%%   which are run once the addresses are set. One that does not exit with 0 is a
%%   failure of the machine's start</td></tr>
%% <tr><td>`shutdown'</td><td>the same, before the machine is stopped; what fails
%%   then is only told</td></tr>
%% <tr><td>`env'</td><td>variables for these commands, a map</td></tr>
%% <tr><td>`depends'</td><td>machines that have to be up first, see `depends_on'</td></tr>
%% <tr><td>`boot_timeout'</td><td>ms until the machine's agent answers. Default:
%%   60000</td></tr>
%% <tr><td>`startup_timeout'</td><td>ms that each command of `startup' and
%%   `shutdown' may take. Default: 60000</td></tr>
%% </table>
%%
%% Options of a link: `up' (default: `true'); `subnet', `"10.1.0.0/24"', `none', or
%% `auto', what `addressing' gives (the default); `port', where an end is a switch: options
%% of `evum_switch:set_port/3' for its port, such as VLANs, but for `up'; and
%% impairments, in both directions: those of {@link evum_impair}. `forth' and `back' are
%% maps of impairments from the first end to the second, and from the second to the
%% first: they go before those of both directions, `none' being one that is not there.
-module(evum_lab_spec).

-export([parse/1, parse/2, partly/2, read/1]).

-export_type([lab/0, machine/0, interface/0, switch/0, link/0, link_end/0, name/0]).
-export_type([port_id/0, domain/0, thing/0, problem/0]).

-define(TIMEOUT, 60000).
%% The name of a machine, with that of its lab in front: what evum_machine takes, bytes.
-define(NAME_MAX, 64).
-define(SEED_MAX, 16#ffffffff).

-type name() :: binary().
%% Machine and interface.
-type port_id() :: {name(), name()}.
-type link_end() :: port_id() | name().
-type interface() :: #{
    mac := binary(),
    addresses := [unicode:chardata()],
    mtu => pos_integer()
}.
-type machine() :: #{
    %% for evum_machine
    options := #{atom() => term()},
    interfaces := #{name() => interface()},
    routes := [term()],
    resolver => [term()],
    sysctl := #{unicode:chardata() => term()},
    startup := [command()],
    shutdown := [command()],
    env := #{unicode:chardata() => unicode:chardata()},
    depends := [name()],
    boot_timeout := timeout(),
    startup_timeout := timeout()
}.
-type command() :: unicode:chardata() | [unicode:chardata(), ...].
-type switch() :: #{
    %% for evum_switch
    options := #{atom() => term()},
    subnet := subnet(),
    uplink => {Kind :: atom(), Options :: term()},
    forwards := [{tcp | udp, term(), term()}]
}.
-type subnet() :: auto | none | unicode:chardata().
%% The ends are in the order of Erlang's terms, ports first: they are what makes
%% a link the same in two descriptions.
-type link() :: #{
    ends := {link_end(), link_end()},
    up := boolean(),
    subnet := subnet(),
    port := #{atom() => term()},
    %% impairments from the first end to the second, and the other way
    forth := #{atom() => term()},
    back := #{atom() => term()}
}.
-type lab() :: #{
    name := none | name(),
    machines := #{name() => machine()},
    switches := #{name() => switch()},
    links := [link()],
    addressing := [{ipv4 | ipv6, unicode:chardata()}],
    routing := none | static,
    all_or_nothing := boolean(),
    depends_on := up | runs,
    seed := random | non_neg_integer()
}.
%% A collision domain: the switches that are joined by links, or the two ends of
%% a link between interfaces.
-type domain() :: {switches, [name(), ...]} | {wire, port_id(), port_id()}.
-type thing() ::
    lab
    | {file, file:filename_all()}
    | {machine, term()}
    | {interface, term(), term()}
    | {switch, term()}
    | {link, term()}.
%% What is wrong, and with what.
-type problem() ::
    {thing(),
        %% Key is {Option, Key} of what is in another option: {port, vlan}
        {bad_option, Key :: term(), Value :: term()}
        | {image, evum_image:reason()}
        | bad_name
        | duplicate
        | used_twice
        | {no_machine, term()}
        | {no_switch, term()}
        %% an option of a switch's port, where there is none
        | {no_switch_port, Key :: atom()}
        | {bad_address, term()}
        | {address_twice, Address :: binary(), thing()}
        | {mac_twice, Mac :: binary(), thing()}
        | {cycle, [name()]}
        | {loop, [name()]}
        | {no_room, Pool :: term()}
        | no_link
        | {start, Reason :: term(), Console :: [binary()]}
        | {configure, Reason :: term()}
        | {unreadable, Posix :: atom()}
        | {line, Line :: pos_integer(), Text :: binary()}
        | term()}.

%% @equiv parse(Description, #{})
-spec parse(term()) -> {ok, lab()} | {error, [problem(), ...]}.
parse(Given) ->
    parse(Given, #{}).

%% @doc A description in its one form, or all that can be found wrong with it
%% without asking the host. Planned addresses stay, where they can, what
%% interfaces have had.
-spec parse(term(), evum_lab_address:kept()) -> {ok, lab()} | {error, [problem(), ...]}.
parse(Given, Kept) ->
    case partly(Given, Kept) of
        {Lab, []} -> {ok, Lab};
        {_, Problems} -> {error, Problems}
    end.

%% @doc What is good of a description, in its one form, and all that is wrong with
%% the rest: one that looks for more need not wait until that is put right.
-spec partly(term(), evum_lab_address:kept()) -> {lab(), [problem()]}.
partly(Given, Kept) when is_map(Given) ->
    Keys = [name, machines, defaults, switches, links, addressing, routing, all_or_nothing, depends_on, seed],
    Unknown = [{lab, {bad_option, K, V}} || {K, V} <- maps:to_list(maps:without(Keys, Given))],
    {Name, P1} = lab_name(maps:get(name, Given, none)),
    {Defaults, P2} = defaults(maps:get(defaults, Given, #{})),
    {Machines0, P3} = named(machines, machine, maps:get(machines, Given, #{})),
    {Switches0, P4} = named(switches, switch, maps:get(switches, Given, #{})),
    Both = [{{machine, N}, duplicate} || {N, _} <- Machines0, lists:keymember(N, 1, Switches0)],
    {Machines1, P5} = each(fun(N, O) -> machine(N, O, Defaults) end, Machines0),
    {Switches, P6} = each(fun switch/2, Switches0),
    {Links0, P7} = evum_lab_link:parse(maps:get(links, Given, []), Machines1, Switches),
    {Links, P8} = evum_lab_vlan:into_links(Switches0, Links0),
    Loops = [{lab, {loop, Names}} || Names <- evum_lab_domain:loops(Links)],
    Machines = with_linked(Machines1, Links),
    Long = [
        {{machine, N}, bad_name}
     || Name =/= none, N <- maps:keys(Machines), byte_size(Name) + 1 + byte_size(N) > ?NAME_MAX
    ],
    {Addressing, P9} = addressing(maps:get(addressing, Given, none)),
    P10 = [
        {lab, {bad_option, K, V}}
     || {K, V} <- maps:to_list(maps:with([routing, all_or_nothing, depends_on, seed], Given)), not is_good(K, V)
    ],
    Chosen = maps:filter(fun is_good/2, maps:with([routing, all_or_nothing, depends_on, seed], Given)),
    Builtin = #{routing => none, all_or_nothing => true, depends_on => up, seed => random},
    Lab = maps:merge(maps:merge(Builtin, Chosen), #{
        name =>
            case Long of
                [] -> Name;
                %% evum_machine would refuse them once more
                _ -> none
            end,
        machines => Machines,
        switches => Switches,
        links => Links,
        addressing => Addressing
    }),
    {Planned, P11} = addresses(Lab, Kept),
    Problems =
        Unknown ++ P1 ++ P2 ++ P3 ++ P4 ++ Both ++ P5 ++ P6 ++ P7 ++ P8 ++ Loops ++ Long ++ P9 ++ P10 ++
            depends(Machines) ++ P11,
    {Planned, Problems};
partly(Given, Kept) ->
    {Lab, _} = partly(#{}, Kept),
    {Lab, [{lab, {bad_option, lab, Given}}]}.

%% Planned addresses, and then what interfaces have in common that they must not.
addresses(Lab, Kept) ->
    {Planned, P1} =
        case evum_lab_address:plan(Lab, Kept) of
            {ok, All} -> {All, []};
            {error, NoRoom} -> {Lab, NoRoom}
        end,
    case P1 ++ evum_lab_domain:twice(Planned) of
        [] -> {evum_lab_routes:plan(Planned), []};
        Problems -> {Planned, Problems}
    end.

%% @doc A description from a file of Erlang terms: one map, or the entries of
%% one, `{machines, #{...}}.'
-spec read(file:filename_all()) -> {ok, map()} | {error, [problem(), ...]}.
read(Path) ->
    case file:consult(Path) of
        {ok, [Map]} when is_map(Map) ->
            {ok, Map};
        {ok, Terms} ->
            case [Term || Term <- Terms, not is_entry(Term)] of
                [] -> from_entries(Path, Terms);
                [Bad | _] -> {error, [{{file, Path}, {bad_option, lab, Bad}}]}
            end;
        {error, {Line, Module, Reason}} ->
            Text = unicode:characters_to_binary(Module:format_error(Reason)),
            {error, [{{file, Path}, {line, Line, Text}}]};
        {error, Posix} ->
            {error, [{{file, Path}, {unreadable, Posix}}]}
    end.

is_entry({Key, _}) -> is_atom(Key);
is_entry(_) -> false.

from_entries(Path, Terms) ->
    Keys = [Key || {Key, _} <- Terms],
    case Keys -- lists:usort(Keys) of
        [] -> {ok, maps:from_list(Terms)};
        Twice -> {error, [{{file, Path}, {bad_option, K, twice}} || K <- lists:usort(Twice)]}
    end.

%%% The lab -------------------------------------------------------------------

lab_name(none) ->
    {none, []};
lab_name(Given) ->
    case evum_lab_name:host(Given) of
        {ok, Name} -> {Name, []};
        error -> {none, [{lab, {bad_option, name, Given}}]}
    end.

is_good(routing, Value) -> Value =:= none orelse Value =:= static;
is_good(all_or_nothing, Value) -> is_boolean(Value);
is_good(depends_on, Value) -> Value =:= up orelse Value =:= runs;
is_good(seed, random) -> true;
is_good(seed, Seed) -> is_integer(Seed) andalso Seed >= 0 andalso Seed =< ?SEED_MAX.

defaults(Given) when is_map(Given) ->
    Own = [interfaces, depends],
    {maps:without(Own, Given), [{lab, {bad_option, defaults, K}} || K <- Own, is_map_key(K, Given)]};
defaults(Given) ->
    {#{}, [{lab, {bad_option, defaults, Given}}]}.

addressing(none) ->
    {[], []};
addressing(Given) when is_list(Given) ->
    {Good, Bad} = lists:partition(fun is_pool/1, Given),
    Families = [Family || {Family, _} <- Good],
    case Families -- lists:usort(Families) of
        [] -> {Good, [{lab, {bad_option, addressing, One}} || One <- Bad]};
        _ -> {[], [{lab, {bad_option, addressing, Given}}]}
    end;
addressing(Given) ->
    addressing([Given]).

is_pool({Family, Text}) when Family =:= ipv4; Family =:= ipv6 ->
    case evum_lab_address:subnet(Text) of
        {ok, Family, _} -> true;
        _ -> false
    end;
is_pool(_) ->
    false.

%% A map, or a list of pairs in which a name may be twice.
named(_Key, Kind, Given) when is_map(Given) ->
    named_list(Kind, lists:sort(maps:to_list(Given)), [], []);
named(Key, Kind, Given) when is_list(Given) ->
    case lists:all(fun(E) -> is_tuple(E) andalso tuple_size(E) =:= 2 end, Given) of
        true -> named_list(Kind, Given, [], []);
        false -> {[], [{lab, {bad_option, Key, Given}}]}
    end;
named(Key, _Kind, Given) ->
    {[], [{lab, {bad_option, Key, Given}}]}.

named_list(_Kind, [], Named, Problems) ->
    {lists:reverse(Named), lists:reverse(Problems)};
named_list(Kind, [{Given, Options} | Rest], Named, Problems) ->
    case evum_lab_name:host(Given) of
        {ok, Name} ->
            case lists:keymember(Name, 1, Named) of
                false -> named_list(Kind, Rest, [{Name, Options} | Named], Problems);
                true -> named_list(Kind, Rest, Named, [{{Kind, Name}, duplicate} | Problems])
            end;
        error ->
            named_list(Kind, Rest, Named, [{{Kind, Given}, bad_name} | Problems])
    end.

each(Fun, Named) ->
    {Made, Problems} = lists:unzip([
        begin
            {One, Wrong} = Fun(Name, Options),
            {{Name, One}, Wrong}
        end
     || {Name, Options} <- Named
    ]),
    {maps:from_list(Made), lists:append(Problems)}.

%%% Machines ------------------------------------------------------------------

-define(MACHINE_KEYS, [
    interfaces,
    routes,
    resolver,
    sysctl,
    startup,
    shutdown,
    env,
    depends,
    boot_timeout,
    startup_timeout
]).

machine(Name, Given, Defaults) when is_map(Given) ->
    All = maps:merge(Defaults, Given),
    Options = maps:without(?MACHINE_KEYS, All),
    Allowed = maps:keys(evum_machine:defaults()) -- [name, owner, switch, mac],
    Unknown = [
        {{machine, Name}, {bad_option, K, V}}
     || {K, V} <- maps:to_list(maps:without(Allowed, Options))
    ],
    {Interfaces, P1} = evum_lab_interface:parse(Name, maps:get(interfaces, All, #{})),
    {Own, P2} = own(Name, maps:with(?MACHINE_KEYS -- [interfaces], All)),
    {Own#{options => maps:with(Allowed, Options), interfaces => Interfaces}, Unknown ++ P1 ++ P2};
machine(Name, Given, Defaults) ->
    {Machine, _} = machine(Name, #{}, Defaults),
    {Machine, [{{machine, Name}, {bad_option, options, Given}}]}.

own(Name, Given) ->
    Builtin = #{
        routes => [],
        sysctl => #{},
        startup => [],
        shutdown => [],
        env => #{},
        depends => [],
        boot_timeout => ?TIMEOUT,
        startup_timeout => ?TIMEOUT
    },
    maps:fold(
        fun(Key, Value, {Own, Problems}) ->
            case own_value(Key, Value) of
                {ok, Good} -> {Own#{Key => Good}, Problems};
                error -> {Own, [{{machine, Name}, {bad_option, Key, Value}} | Problems]}
            end
        end,
        {Builtin, []},
        Given
    ).

own_value(Key, Value) when Key =:= routes; Key =:= resolver ->
    case evum_netconf:plan(#{Key => Value}) of
        {ok, _} -> {ok, Value};
        {error, _} -> error
    end;
own_value(Key, Value) when Key =:= startup; Key =:= shutdown ->
    commands(Value);
own_value(env, Env) when is_map(Env) ->
    good(lists:all(fun({K, V}) -> is_word(K) andalso is_text(V) end, maps:to_list(Env)), Env);
own_value(sysctl, Settings) when is_map(Settings) ->
    good(lists:all(fun is_setting/1, maps:to_list(Settings)), Settings);
own_value(depends, Names) when is_list(Names) ->
    Found = [Name || Given <- Names, {ok, Name} <- [evum_lab_name:host(Given)]],
    good(length(Found) =:= length(Names), lists:usort(Found));
own_value(Key, Ms) when Key =:= boot_timeout; Key =:= startup_timeout ->
    good(Ms =:= infinity orelse (is_integer(Ms) andalso Ms > 0), Ms);
own_value(_, _) ->
    error.

good(true, Value) -> {ok, Value};
good(false, _Value) -> error.

%% One command as a string, or several.
commands(Given) ->
    case is_text(Given) andalso Given =/= [] of
        true -> {ok, [Given]};
        false when is_list(Given) -> good(lists:all(fun is_command/1, Given), Given);
        false -> error
    end.

is_command([First | _] = Argv) when not is_integer(First) -> lists:all(fun is_text/1, Argv);
is_command(Command) -> is_word(Command).

is_text(Text) when is_binary(Text); is_list(Text) ->
    try unicode:characters_to_binary(Text) of
        Bytes when is_binary(Bytes) -> binary:match(Bytes, <<0>>) =:= nomatch andalso is_flat(Text);
        _ -> false
    catch
        error:badarg -> false
    end;
is_text(_) ->
    false.

%% A list of strings is a command with arguments, or several commands.
is_flat(Text) -> is_binary(Text) orelse lists:all(fun is_integer/1, Text).

is_word(Text) -> is_text(Text) andalso iolist_size(unicode:characters_to_binary(Text)) > 0.

is_setting({Key, Value}) ->
    is_text(Key) andalso
        re:run(Key, "^[A-Za-z0-9_.*/-]+$", [{capture, none}, dollar_endonly]) =:= match andalso
        (is_integer(Value) orelse is_text(Value)).

%% Interfaces that only links name.
with_linked(Machines, Links) ->
    Ports = [Port || #{ends := {A, B}} <- Links, Port <- [A, B], is_tuple(Port)],
    lists:foldl(
        fun({M, I}, Acc) ->
            #{M := #{interfaces := Interfaces} = Machine} = Acc,
            case Interfaces of
                #{I := _} -> Acc;
                #{} -> Acc#{M := Machine#{interfaces := Interfaces#{I => evum_lab_interface:default(M, I)}}}
            end
        end,
        Machines,
        Ports
    ).

depends(Machines) ->
    Nowhere = [
        {{machine, N}, {no_machine, On}}
     || {N, #{depends := Depends}} <- maps:to_list(Machines), On <- Depends, not is_map_key(On, Machines)
    ],
    Edges = maps:map(fun(_, #{depends := Depends}) -> Depends end, Machines),
    Nowhere ++ [{lab, {cycle, Cycle}} || Cycle <- cycles(Edges)].

%% What is left when all that depends on nothing is taken away, again and again,
%% holds a cycle where it is not empty: from any of it, follow what is left. Without
%% that cycle there may be more.
cycles(Edges) ->
    Free = [N || {N, Depends} <- maps:to_list(Edges), [D || D <- Depends, is_map_key(D, Edges)] =:= []],
    case {Free, maps:size(Edges)} of
        {_, 0} ->
            [];
        {[], _} ->
            Cycle = follow(hd(maps:keys(Edges)), Edges, []),
            [Cycle | cycles(maps:without(Cycle, Edges))];
        {_, _} ->
            cycles(maps:without(Free, Edges))
    end.

follow(Name, Edges, Seen) ->
    case lists:member(Name, Seen) of
        true ->
            {Before, _} = lists:splitwith(fun(N) -> N =/= Name end, Seen),
            [Name | lists:reverse(Before)] ++ [Name];
        false ->
            Next = hd([D || D <- maps:get(Name, Edges), is_map_key(D, Edges)]),
            follow(Next, Edges, [Name | Seen])
    end.

%%% Switches ------------------------------------------------------------------

switch(Name, Given) when is_map(Given) ->
    Options = maps:without([uplink, forwards, subnet, vlans], Given),
    {Good, P1} =
        case evum_switch_options:switch(Options) of
            {ok, _} when not is_map_key(name, Options) -> {Options, []};
            {ok, #{name := N}} -> {#{}, [{{switch, Name}, {bad_option, name, N}}]};
            {error, Bad} -> {#{}, [{{switch, Name}, Bad}]}
        end,
    Own = maps:map(fun switch_value/2, maps:with([uplink, forwards, subnet], Given)),
    P2 = [{{switch, Name}, Bad} || {_, Wrong} <- lists:sort(maps:to_list(Own)), Bad <- Wrong],
    Right = maps:with([K || {K, []} <- maps:to_list(Own)], Given),
    {maps:merge(#{options => Good, subnet => auto, forwards => []}, Right), P1 ++ P2};
switch(Name, Given) ->
    {Switch, _} = switch(Name, #{}),
    {Switch, [{{switch, Name}, {bad_option, options, Given}}]}.

%% What is wrong with one.
switch_value(uplink, {Kind, Options}) when is_atom(Kind), is_map(Options) ->
    evum_lab_problem:within(uplink, evum_uplink:check(Kind, Options));
switch_value(forwards, Forwards) when is_list(Forwards) ->
    [{bad_option, forwards, Forward} || Forward <- Forwards, not is_forward(Forward)];
switch_value(subnet, Subnet) ->
    [{bad_option, subnet, Subnet} || not evum_lab_address:is_subnet(Subnet)];
switch_value(Key, Value) ->
    [{bad_option, Key, Value}].

is_forward({Protocol, Host, Guest}) -> element(1, evum_uplink:check_forward(Protocol, Host, Guest)) =:= ok;
is_forward(_) -> false.
