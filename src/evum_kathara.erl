%% SPDX-License-Identifier: Apache-2.0
%% @doc Labs of Kathará's and Netkit's as descriptions of {@link evum_lab_spec}: a
%% pure module, but for {@link read/1}, see {@link evum_kathara_folder}.
%%
%% What Docker does for such a lab, the description says: machines forward
%% packets; IPv6 is on, unless `ipv6' says no; `bridged' and `port' give a machine
%% one more interface, behind its last, on a switch with an uplink; `NAME/' is put
%% over the machine's root, `shared/' is at `/shared', a folder of the machine's own
%% where the lab has none; scripts are run by bash from `/hostlab', and what they say is
%% in `/var/log/shared.log' and `/var/log/startup.log'.
%%
%% `port' alone leads in, and not out: no route leads to the uplink, as a script's own
%% would be in its way. Netkit's `tap' is an interface on that same switch.
%%
%% `mem' and `cpus' are upper limits there. Here a machine has at least 128 MiB, for
%% a kernel and Debian's daemons, and whole CPUs.
%%
%% An image is looked for in the application environment of evum first,
%% `{kathara_images, #{"kathara/p4" => my_image}}', then among those that `debian'
%% stands for. What is in neither is refused.
-module(evum_kathara).

-export([read/1, noted/1, describe/2, images/0]).
%% For evum_lab_export, which goes the other way.
-export([images_of/1, sysctl/2, commands/4, limit_of/1]).

-export_type([folder/0, note/0]).

%% MiB of a machine that names no more.
-define(MEM_MIN, 128).
%% What the switch with the uplink is called, and its guests' subnet.
-define(UPLINK, <<"uplink">>).
-define(UPLINK_SUBNET, "192.168.214.0/24").
-define(UPLINK_SUBNET6, "fd6b:6174:6861::/64").
-define(UPLINK_GATEWAY, <<"192.168.214.1">>).
-define(UPLINK_RESOLVER, <<"192.168.214.3">>).
%% Guests have addresses of that subnet from here on, by hand.
-define(UPLINK_FIRST, 101).
-define(UPLINK_MAX, 150).

%% ms that all scripts of a machine may take together: each may wait for daemons.
-define(SCRIPT_TIMEOUT, 120000).
%% Lines of a script's log that are shown where it fails.
-define(LOG_LINES, 20).

-type name() :: evum_kathara_conf:name().
%% What is in a lab's folder.
-type folder() :: #{
    path := binary(),
    %% lab.conf and lab.dep
    conf => binary(),
    dep => binary(),
    %% is there a lab.ext?
    ext => boolean(),
    scripts := #{{startup | shutdown, shared | name()} => binary()},
    %% by the path in the machine
    files := #{name() => #{binary() => binary() | {file, binary()}}},
    shared := boolean()
}.
%% Something that is of no effect here, or another; line 0 where it is of no line.
-type note() :: {File :: binary(), Line :: non_neg_integer(), What :: binary()}.

%% @doc The description of the lab in a folder, or all that is wrong with it. What
%% is of no effect here is logged.
-spec read(file:filename_all()) -> {ok, map()} | {error, [evum_lab_spec:problem(), ...]}.
read(Path) ->
    case noted(Path) of
        {ok, Lab, Notes} ->
            lists:foreach(fun(Note) -> logger:notice("evum: ~ts", [Note], #{domain => [evum]}) end, Notes),
            {ok, Lab};
        {error, _} = Error ->
            Error
    end.

%% @doc The same, with what is of no effect here as lines of text.
-spec noted(file:filename_all()) ->
    {ok, map(), [unicode:chardata()]} | {error, [evum_lab_spec:problem(), ...]}.
noted(Path) ->
    case evum_kathara_folder:read(Path) of
        {ok, Folder} ->
            case describe(Folder, images()) of
                {ok, Lab, Notes} -> {ok, Lab, [[where(File, Line), ": ", What] || {File, Line, What} <- Notes]};
                {error, _} = Error -> Error
            end;
        {error, _} = Error ->
            Error
    end.

where(File, 0) -> File;
where(File, Line) -> [File, $:, integer_to_list(Line)].

%% @doc The images that names of Docker's stand for.
-spec images() -> #{binary() => evum_image:name()}.
images() ->
    Builtin = maps:from_list(
        [{<<"kathara/", Name/binary>>, debian} || Name <- [<<"base">>, <<"quagga">>, <<"frr">>, <<"bind">>, <<"sdn">>]] ++
            [
                {<<"debian">>, debian},
                {<<"erlang">>, erlang},
                {<<"tiny">>, tiny},
                %% A page to look at captures; there is tcpdump.
                {<<"lscr.io/linuxserver/wireshark">>, debian}
            ]
    ),
    Own = application:get_env(evum, kathara_images, #{}),
    maps:merge(
        Builtin, maps:from_list([{unicode:characters_to_binary(K), V} || {K, V} <- maps:to_list(Own)])
    ).

%% @private The images that a folder's lab.conf names, as it names them.
-spec images_of(file:filename_all()) -> #{name() => binary()}.
images_of(Path) ->
    {ok, Folder} = evum_kathara_folder:read(Path),
    {Statements, _} = evum_kathara_conf:conf(<<"lab.conf">>, maps:get(conf, Folder, <<>>)),
    maps:from_list([{Name, Image} || {_, option, Name, {image, Image}} <- Statements]).

%% @doc The description of a lab of which the folder's content is given.
-spec describe(folder(), #{binary() => evum_image:name()}) ->
    {ok, Lab :: map(), [note()]} | {error, [evum_lab_spec:problem(), ...]}.
describe(#{path := Path} = Folder, Images) ->
    Conf = filename:join(Path, <<"lab.conf">>),
    {All, P1} = evum_kathara_conf:conf(Conf, maps:get(conf, Folder, <<>>)),
    Dep = filename:join(Path, <<"lab.dep">>),
    {Before, P2} = evum_kathara_conf:dep(Dep, maps:get(dep, Folder, <<>>)),
    {Names, N1} = names(All, Folder),
    LeftOut = told(All) -- Names,
    Statements = [S || S <- All, not lists:member(element(3, S), LeftOut)],
    Depends = [
        {Line, Device, Others -- LeftOut}
     || {Line, Device, Others} <- Before, not lists:member(Device, LeftOut)
    ],
    P3 = [{Conf, Line, What} || {Line, What} <- interfaces_twice(Statements)],
    P4 = [
        {Dep, Line, <<"there is no device '", Name/binary, "'">>}
     || {Line, Device, Others} <- Depends, Name <- [Device | Others], not lists:member(Name, Names)
    ],
    Bridged = [Name || Name <- Names, is_bridged(Name, Statements)],
    P5 = [{Conf, 0, <<"too many devices that are bridged">>} || length(Bridged) > ?UPLINK_MAX],
    {Found, P6} = image_names(Conf, Statements, Images),
    P7 = [{Conf, 0, <<"no device in this lab">>} || Names =:= [], P1 =:= []],
    P8 = [
        {filename:join(Path, Name), 0, <<"no name of a device here: it ends in neither letter nor digit">>}
     || Name <- Names, evum_lab_name:host(Name) =:= error
    ],
    P9 = [
        {Conf, Line, <<"a second tap of '", Name/binary, "'">>}
     || {Line, tap, Name, {N, _}} <- Statements, N =/= hd(taps(Name, Statements))
    ],
    case P1 ++ P2 ++ P3 ++ P4 ++ P5 ++ P6 ++ P7 ++ P8 ++ P9 of
        [] ->
            Context = #{
                folder => Folder,
                statements => Statements,
                depends => Depends,
                images => Found,
                uplink => lists:zip(Bridged, lists:seq(?UPLINK_FIRST, ?UPLINK_FIRST + length(Bridged) - 1)),
                domains => domains(Statements, Names)
            },
            N2 = [{Conf, 0, iolist_to_binary(["'machines' leaves out '", Name, "'"])} || Name <- LeftOut],
            N3 = [
                {filename:join(Path, <<"lab.ext">>), 0, <<"links to the host's interfaces have no effect here">>}
             || maps:get(ext, Folder, false)
            ],
            {ok, lab(Names, Context), N1 ++ N2 ++ N3 ++ lists:append([noted(Conf, S, Statements) || S <- Statements])};
        Problems ->
            {error, [problem(P) || P <- Problems]}
    end.

problem({File, 0, What}) -> {{file, File}, What};
problem({File, Line, What}) -> {{file, File}, {line, Line, What}}.

%%% Who is there --------------------------------------------------------------

%% Devices are those that lab.conf tells of, and those with a script of their own.
%% A folder alone makes one where lab.conf tells of none, as Netkit has it: beside
%% a lab.conf it may as well be documentation. `machines' of Netkit's is the last
%% word.
names(Statements, #{path := Path, scripts := Scripts, files := Files}) ->
    Told = told(Statements),
    WithScript = [Name || {_, Name} <- maps:keys(Scripts), Name =/= shared],
    Folders = maps:keys(Files),
    case [Names || {_, machines, Names} <- Statements] of
        [] when Told =:= [] -> {lists:usort(WithScript ++ Folders), []};
        [] -> aside(Path, lists:usort(Told ++ WithScript), Folders);
        Lists -> {lists:usort(lists:append(Lists)), []}
    end.

told(Statements) ->
    lists:usort([Name || {_, Kind, Name, _} <- Statements, Kind =/= about]).

aside(Path, Names, Folders) ->
    {Names, [
        {filename:join(Path, Folder), 0, <<"a folder that belongs to no device">>}
     || Folder <- Folders -- Names
    ]}.

interfaces_twice(Statements) ->
    Interfaces = [
        {{Name, element(1, What)}, Line}
     || {Line, Kind, Name, What} <- Statements, Kind =:= interface orelse Kind =:= tap
    ],
    [
        {Line, iolist_to_binary(["interface ", integer_to_list(N), " of '", Name, "' for the second time"])}
     || {{Name, N} = Key, Line} <- Interfaces, Line =/= element(2, lists:keyfind(Key, 1, Interfaces))
    ].

%% Has it an interface at the switch with the uplink?
is_bridged(Name, Statements) ->
    leads_out(Name, Statements) orelse ports(Name, Statements) =/= [].

%% And does the machine know of that way out?
leads_out(Name, Statements) ->
    set(bridged, Name, Statements, false) orelse taps(Name, Statements) =/= [].

taps(Name, Statements) ->
    [N || {_, tap, Device, {N, _}} <- Statements, Device =:= Name].

ports(Name, Statements) ->
    [Port || {_, _, Protocol} = Port <- all(port, Name, Statements), Protocol =/= sctp].

%% Collision domains become switches. Switches and machines share their names in
%% a description, and a name begins and ends with a letter or digit.
domains(Statements, Names) ->
    Domains = lists:usort([Domain || {_, interface, _, {_, Domain, _}} <- Statements]),
    Taken = [?UPLINK | Names],
    maps:from_list([{Domain, switch_name(Domain, Taken, Domains)} || Domain <- Domains]).

switch_name(Domain, Taken, Domains) ->
    case re:run(Domain, "^[A-Za-z0-9](.{0,62}[A-Za-z0-9])?$", [{capture, none}]) of
        match ->
            case lists:member(Domain, Taken) of
                false -> Domain;
                true -> free(<<"domain-", Domain/binary>>, Domains)
            end;
        nomatch ->
            free(iolist_to_binary(["domain-", binary:encode_hex(binary:part(Domain, 0, min(20, byte_size(Domain))))]), Domains)
    end.

free(Name, Domains) ->
    case lists:member(Name, Domains) of
        false -> Name;
        true -> free(<<Name/binary, "0">>, Domains)
    end.

image_names(Conf, Statements, Images) ->
    Named = [{Line, Name, Image} || {Line, option, Name, {image, Image}} <- Statements],
    {
        maps:from_list([{Name, maps:get(untagged(Image), Images, none)} || {_, Name, Image} <- Named]),
        [
            {Conf, Line, <<"there is no counterpart to the image '", Image/binary, "'">>}
         || {Line, _, Image} <- Named, not is_map_key(untagged(Image), Images)
        ]
    }.

%% docker.io/NAME:TAG
untagged(Image) ->
    [Name | _] = binary:split(Image, [<<":">>, <<"@">>]),
    case Name of
        <<"docker.io/", Rest/binary>> -> Rest;
        _ -> Name
    end.

%% What a line does not do here, or not so.
noted(Conf, {Line, option, Name, {port, {_, _, sctp}}}, _Statements) ->
    [{Conf, Line, iolist_to_binary(["a port of '", Name, "' is not forwarded: tcp and udp can be, sctp cannot"])}];
noted(Conf, {Line, option, Name, {port, _}}, Statements) ->
    [
        {Conf, Line, iolist_to_binary(["a port of '", Name, "' is forwarded; Kathara would not: it is not 'bridged'"])}
     || not leads_out(Name, Statements)
    ];
noted(Conf, {Line, option, Name, Value}, _Statements) ->
    [{Conf, Line, iolist_to_binary(["'", Key, "' of '", Name, "' has no effect here"])} || Key <- no_effect(Value)];
noted(Conf, {Line, tap, Name, {N, Guest}}, _Statements) ->
    [
        {Conf, Line,
            iolist_to_binary([
                interface(N), " of '", Name, "' leads to the uplink, with an address of ", ?UPLINK_SUBNET,
                " instead of ", Guest
            ])}
    ];
noted(_Conf, _Statement, _Statements) ->
    [].

no_effect({other, Key}) -> [Key];
no_effect({privileged, true}) -> [<<"privileged">>];
no_effect(_) -> [].

%%% The description -----------------------------------------------------------

lab(Names, #{statements := Statements, domains := Domains, uplink := Uplink} = Context) ->
    Links = [
        {{Name, interface(N)}, maps:get(Domain, Domains)}
     || {_, interface, Name, {N, Domain, _}} <- Statements
    ],
    Switches = maps:from_list([{Switch, #{}} || Switch <- maps:values(Domains)]),
    with_uplink(
        Uplink,
        Context,
        #{
            machines => maps:from_list([{Name, machine(Name, Context)} || Name <- Names]),
            switches => Switches,
            links => lists:usort(Links),
            %% A script that fails is no reason to do without the others, nor without those
            %% that start later: lab.dep tells of an order only.
            all_or_nothing => false,
            depends_on => runs
        }
    ).

with_uplink([], _Context, Lab) ->
    Lab;
with_uplink(Uplink, #{statements := Statements}, #{switches := Switches, links := Links} = Lab) ->
    Switch = #{
        uplink => {nat, #{subnet => ?UPLINK_SUBNET, subnet6 => ?UPLINK_SUBNET6}},
        forwards => [
            {Protocol, {"127.0.0.1", Host}, {uplink_address(N), Guest}}
         || {Name, N} <- Uplink, {Host, Guest, Protocol} <- ports(Name, Statements)
        ]
    },
    Lab#{
        switches := Switches#{?UPLINK => Switch},
        links := Links ++ [{{Name, uplink_interface(Name, Statements)}, ?UPLINK} || {Name, _} <- Uplink]
    }.

uplink_address(N) ->
    iolist_to_binary(["192.168.214.", integer_to_list(N)]).

uplink_interface(Name, Statements) ->
    case taps(Name, Statements) of
        [N | _] -> interface(N);
        [] -> interface(lists:max([-1 | [N || {_, interface, Device, {N, _, _}} <- Statements, Device =:= Name]]) + 1)
    end.

interface(N) ->
    <<"eth", (integer_to_binary(N))/binary>>.

machine(Name, #{statements := Statements, folder := Folder, depends := Depends, images := Images} = Context) ->
    Image = maps:get(Name, Images, debian),
    Interfaces = interfaces(Name, Context),
    Files = maps:merge(
        maps:get(Name, maps:get(files, Folder), #{}),
        maps:from_list(scripts(Name, Statements, Folder))
    ),
    maps:filter(
        fun(_, Value) -> Value =/= [] andalso Value =/= #{} end,
        maps:merge(
            uplink_of(Name, Context),
            #{
                image => Image,
                mem => max(?MEM_MIN, set(mem, Name, Statements, ?MEM_MIN)),
                cpus => ceil(set(cpus, Name, Statements, 1.0)),
                init => [set(shell, Name, Statements, <<>>)] -- [<<>>],
                interfaces => Interfaces,
                files => Files,
                share => shares(Name, Context),
                sysctl => maps:merge(
                    sysctl(set(ipv6, Name, Statements, default), maps:keys(Interfaces)),
                    maps:from_list(all(sysctl, Name, Statements))
                ),
                env => maps:from_list(all(env, Name, Statements)),
                depends => lists:usort(lists:append([Others || {_, Device, Others} <- Depends, Device =:= Name])),
                startup => [limit(Limit) || Limit <- all(ulimit, Name, Statements)] ++
                    commands(startup, Name, Image, Files),
                shutdown => commands(shutdown, Name, Image, Files),
                startup_timeout => ?SCRIPT_TIMEOUT
            }
        )
    ).

interfaces(Name, #{statements := Statements, uplink := Uplink}) ->
    maps:from_list(
        [{interface(N), with_mac(Mac)} || {_, interface, Device, {N, _, Mac}} <- Statements, Device =:= Name] ++
            [
                {uplink_interface(Name, Statements), #{addresses => [<<(uplink_address(N))/binary, "/24">>]}}
             || {Device, N} <- Uplink, Device =:= Name
            ]
    ).

with_mac(random) -> #{};
with_mac(Mac) -> #{mac => Mac}.

uplink_of(Name, #{statements := Statements, folder := #{files := Files}}) ->
    case {leads_out(Name, Statements), maps:get(Name, Files, #{})} of
        {false, _} -> #{};
        {true, #{<<"/etc/resolv.conf">> := _}} -> #{routes => [{default, ?UPLINK_GATEWAY}]};
        {true, _} -> #{routes => [{default, ?UPLINK_GATEWAY}], resolver => [?UPLINK_RESOLVER]}
    end.

%% The order is that of Kathará: what all share first, and last at the end.
order(startup, Name) ->
    [
        {shared, <<"shared.startup">>, <<"shared">>},
        {Name, <<Name/binary, ".startup">>, <<"startup">>},
        {exec, <<Name/binary, ".exec">>, <<"startup">>}
    ];
order(shutdown, Name) ->
    [{Name, <<Name/binary, ".shutdown">>, <<"shutdown">>}, {shared, <<"shared.shutdown">>, <<"shared">>}].

scripts(Name, Statements, #{scripts := Scripts}) ->
    Commands = [[Command, $\n] || Command <- all(exec, Name, Statements)],
    All = maps:merge(Scripts, maps:from_list([{{startup, exec}, iolist_to_binary(Commands)} || Commands =/= []])),
    [
        {path(File), maps:get({Kind, Of}, All)}
     || Kind <- [startup, shutdown], {Of, File, _} <- order(Kind, Name), is_map_key({Kind, Of}, All)
    ].

%% @private The commands that run those scripts that are among a machine's files, and
%% make `/shared', which each machine has.
-spec commands(startup | shutdown, name(), evum_image:name(), #{term() => term()}) -> [binary()].
commands(Kind, Name, Image, Files) ->
    case [{File, Log} || {_, File, Log} <- order(Kind, Name), is_map_key(path(File), Files)] of
        [] -> [<<"mkdir -p /shared">> || Kind =:= startup];
        Scripts -> [run(Image, Scripts)]
    end.

path(File) -> <<"/hostlab/", File/binary>>.

%% All of them, whichever fails, and then that one did. A daemon that a script leaves
%% behind keeps the log open, so it is no pipe.
run(Image, Scripts) ->
    Shell =
        case Image of
            tiny -> "sh";
            _ -> "bash"
        end,
    iolist_to_binary([
        "r=0\nmkdir -p /var/log /shared\n",
        [
            io_lib:format(
                "~s -x ~s >>/var/log/~s.log 2>&1 || { r=$?; tail -n ~b /var/log/~s.log; }~n",
                [Shell, path(File), Log, ?LOG_LINES, Log]
            )
         || {File, Log} <- Scripts
        ],
        "exit $r"
    ]).

%% For all that the machine's agent and process 1 start from then on.
limit({Name, Soft, Hard}) ->
    iolist_to_binary(
        io_lib:format("for p in 1 $PPID; do prlimit --pid $p --~s=~s:~s || exit; done", [
            Name, limit_text(Soft), limit_text(Hard)
        ])
    ).

%% @private The value of `ulimit' that such a command comes from.
-spec limit_of(binary()) -> {ok, binary()} | error.
limit_of(Command) ->
    Pattern = "^for p in 1 \\$PPID; do prlimit --pid \\$p --(\\w+)=(\\w+):(\\w+) \\|\\| exit; done$",
    case re:run(Command, Pattern, [{capture, all_but_first, binary}]) of
        {match, [Name | Limits]} ->
            [Soft, Hard] = [binary:replace(Limit, <<"unlimited">>, <<"-1">>) || Limit <- Limits],
            {ok, <<Name/binary, "=", Soft/binary, ":", Hard/binary>>};
        nomatch ->
            error
    end.

limit_text(-1) -> "unlimited";
limit_text(N) -> integer_to_list(N).

shares(Name, #{statements := Statements, folder := #{path := Path, shared := Shared}}) ->
    [{filename:join(Path, <<"shared">>), <<"/shared">>, rw} || Shared] ++
        [
            {filename:join(Path, Host), Guest, Mode}
         || {Host, Guest, Mode} <- all(volume, Name, Statements)
        ].

%% @private What a machine has that says no more of it than `ipv6'.
-spec sysctl(boolean() | default, Interfaces :: [binary()]) -> #{binary() => binary()}.
sysctl(Ipv6, Interfaces) ->
    maps:merge(
        #{<<"net.ipv4.ip_forward">> => <<"1">>, <<"net.ipv4.icmp_ratelimit">> => <<"0">>},
        ipv6(Ipv6, Interfaces)
    ).

%% Where a lab says that it wants IPv6, its machines are routers, as in Kathará;
%% where it says nothing, they take what routers announce, too, as in Netkit.
ipv6(false, _) ->
    #{
        <<"net.ipv6.conf.all.disable_ipv6">> => <<"1">>,
        <<"net.ipv6.conf.default.disable_ipv6">> => <<"1">>
    };
ipv6(true, _) ->
    #{<<"net.ipv6.conf.all.forwarding">> => <<"1">>, <<"net.ipv6.icmp.ratelimit">> => <<"0">>};
ipv6(default, Interfaces) ->
    maps:merge(
        ipv6(true, Interfaces),
        maps:from_list([{<<"net.ipv6.conf.", I/binary, ".accept_ra">>, <<"2">>} || I <- Interfaces])
    ).

%% Of an option that is there twice the last counts.
set(Key, Name, Statements, Default) ->
    lists:last([Default | all(Key, Name, Statements)]).

all(Key, Name, Statements) ->
    [Value || {_, option, Device, {K, Value}} <- Statements, K =:= Key, Device =:= Name].
