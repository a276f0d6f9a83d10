%% SPDX-License-Identifier: Apache-2.0
%% @doc A module that looks at the frames of a switch, see
%% {@link evum_switch:hook/3}.
%%
%% The function is called in the switch's own process, so it has to be quick: as
%% long as it runs, no other frame is decided on. Frames that `evum_net' passes
%% by itself go on meanwhile.
-module(evum_hook).

-export_type([info/0, verdict/0]).

%% Which switch it is, at which port the frame came in, its VLAN (0: none), and
%% whether it is looked at on its way in, or on its way out at a port.
-type info() :: #{
    switch := pid(),
    port := evum_fdb:port_id(),
    vlan := evum_fdb:vlan(),
    direction := in | {out, evum_fdb:port_id()}
}.
%% `forward': as if there were no hook. `{rewrite, Frame}': the same, with
%% another frame. `{to, Ports}': to those ports and no others.
-type verdict() :: forward | drop | {rewrite, Frame :: binary()} | {to, [evum_fdb:port_id()]}.

-callback handle_frame(Frame :: binary(), info()) -> verdict().
