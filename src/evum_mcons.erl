%% SPDX-License-Identifier: Apache-2.0
%% @doc The management console of a machine's kernel, by its commands
%% (`arch/um/drivers/mconsole_kern.c').
%%
%% Each returns `{ok, Output}', `{error, {guest, Output}}' when the kernel
%% refuses, or `{error, {mconsole, etimedout}}' after 5 s.
%%
%% Traps: {@link cad/1} reboots the machine; {@link stop/1} does not stop its
%% clock, which jumps at {@link go/1}; removing a disk that was never opened
%% makes the kernel panic.
-module(evum_mcons).

-export([version/1, help/1, halt/1, reboot/1, cad/1, stop/1, go/1]).
-export([config/2, config/3, remove/2, sysrq/2, log/2, proc/2]).

-type answer() :: {ok, binary()} | {error, term()}.

%% @doc The kernel's version, as `uname -a' has it.
-spec version(evum:machine()) -> answer().
version(Machine) -> evum:system(Machine, "version").

%% @doc The commands that the kernel knows.
-spec help(evum:machine()) -> answer().
help(Machine) -> evum:system(Machine, "help").

%% @doc Power the machine off.
-spec halt(evum:machine()) -> answer().
halt(Machine) -> evum:system(Machine, "halt").

%% @doc Boot the machine again.
-spec reboot(evum:machine()) -> answer().
reboot(Machine) -> evum:system(Machine, "reboot").

%% @doc Press Ctrl-Alt-Del.
-spec cad(evum:machine()) -> answer().
cad(Machine) -> evum:system(Machine, "cad").

%% @doc Pause the machine until {@link go/1}.
-spec stop(evum:machine()) -> answer().
stop(Machine) -> evum:system(Machine, "stop").

%% @doc Let a paused machine run.
-spec go(evum:machine()) -> answer().
go(Machine) -> evum:system(Machine, "go").

%% @doc The configuration of a device, such as `con0' or `mem'.
-spec config(evum:machine(), iodata()) -> answer().
config(Machine, Device) -> evum:system(Machine, ["config ", Device]).

%% @doc Configure a device, in the words of the kernel's command line.
-spec config(evum:machine(), iodata(), iodata()) -> answer().
config(Machine, Device, Value) -> evum:system(Machine, ["config ", Device, "=", Value]).

%% @doc Remove a device.
-spec remove(evum:machine(), iodata()) -> answer().
remove(Machine, Device) -> evum:system(Machine, ["remove ", Device]).

%% @doc Press a SysRq key.
-spec sysrq(evum:machine(), iodata()) -> answer().
sysrq(Machine, Key) -> evum:system(Machine, ["sysrq ", Key]).

%% @doc Write a line into the kernel's log.
-spec log(evum:machine(), iodata()) -> answer().
log(Machine, Line) ->
    %% Without the newline, printk() keeps it back for more to come.
    evum:system(Machine, ["log ", Line, "\n"]).

%% @doc Read a file of the machine's `/proc', named relative to it.
-spec proc(evum:machine(), iodata()) -> answer().
proc(Machine, File) -> evum:system(Machine, ["proc ", File]).
