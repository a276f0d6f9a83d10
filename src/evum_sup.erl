%% SPDX-License-Identifier: Apache-2.0
%% @private
%% The supervision tree: the registry, a pool each for switches, their DHCP, control
%% sockets, machines, attached terminals and labs, the door for the command `evum', and
%% what watches all of that. Members of a pool are temporary: whoever started one
%% knows what it was for, and starts it again or not.
-module(evum_sup).
-behaviour(supervisor).

-export([start_link/0, init/1]).

-spec start_link() -> supervisor:startlink_ret().
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, top).

-spec init(top | {pool, module()}) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(top) ->
    {ok,
        {#{strategy => rest_for_one}, [
            #{id => evum_registry, start => {evum_registry, start_link, []}},
            pool(evum_switch_sup, evum_switch),
            pool(evum_ctl_sup, evum_ctl),
            pool(evum_dhcp_sup, evum_dhcp_server),
            pool(evum_vm_sup, evum_vm),
            pool(evum_attach_sup, evum_attach),
            pool(evum_lab_sup, evum_lab_server),
            #{id => evum_door, start => {evum_door, start_link, []}},
            #{id => evum_telemetry, start => {evum_telemetry, start_link, []}},
            #{id => evum_sampler, start => {evum_sampler, start_link, []}}
            | evum_metrics:child_specs()
        ]}};
init({pool, Module}) ->
    {ok,
        {#{strategy => simple_one_for_one}, [
            #{
                id => Module,
                start => {Module, start_link, []},
                restart => temporary,
                shutdown => 5000
            }
        ]}}.

pool(Name, Module) ->
    #{
        id => Name,
        type => supervisor,
        start => {supervisor, start_link, [{local, Name}, ?MODULE, {pool, Module}]}
    }.
