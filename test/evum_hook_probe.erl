%% SPDX-License-Identifier: Apache-2.0
%% A hook that is a module, for evum_hook_SUITE, which compiles it once more
%% with another verdict.
-module(evum_hook_probe).
-behaviour(evum_hook).

-export([handle_frame/2]).

handle_frame(_Frame, _Info) -> drop.
