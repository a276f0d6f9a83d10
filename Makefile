# SPDX-License-Identifier: Apache-2.0
# What a person types. The C parts are built by c_src/Makefile, through a hook
# of rebar3; the kernel by kernel/build.

REBAR3 ?= rebar3
PREFIX ?= /usr/local
DESTDIR ?=
LIBDIR = $(DESTDIR)$(PREFIX)/lib/erlang/lib/evum-$(VERSION)
VERSION := $(shell sed -n 's/.*{vsn, "\(.*\)"}.*/\1/p' src/evum.app.src)

.PHONY: all compile deps demo shell test check doc clean install
.PHONY: images image-tiny image-debian image-erlang
.PHONY: fuzz kernel kernel-smp bench-boot bench-console bench-switch bench-capture bench-nat bench-impair bench-lab

all: compile

compile:
	@$(REBAR3) compile

# Installs what is missing, with apt, through sudo where not root.
deps:
	@scripts/deps run

# Two machines that ping each other; fails unless the replies came.
demo:
	@scripts/deps run
	@$(REBAR3) compile
	@scripts/demo

shell: compile
	@$(REBAR3) shell

# On the fast kernels, which are built once (from then on they are in a cache),
# and on Debian's; on Debian's alone where there is nothing to build them from,
# which is status 3.
test:
	@scripts/deps run test kernel image
	@$(REBAR3) compile
	@kernel/build || [ $$? = 3 ]
	@rootfs/build debian erlang || [ $$? = 3 ]
	@kernel/build --flavour smp || [ $$? = 3 ]
	@scripts/test

check:
	@scripts/deps run test check
	@scripts/check

fuzz:
	@$(MAKE) --no-print-directory -C c_src fuzz

# The fast kernel, into priv/kernel; once, from then on it is in a cache.
kernel:
	@scripts/deps kernel
	@kernel/build

# The same with SMP, for machines of several CPUs.
kernel-smp:
	@scripts/deps kernel
	@kernel/build --flavour smp

# The images of machines, into priv/images; once, from then on they are in a
# cache. tiny is made by every compilation.
images: image-tiny image-debian image-erlang

image-tiny: compile

image-debian image-erlang: image-%:
	@scripts/deps image
	@rootfs/build $*

# Beside bare kernels and Debian's; the tables of doc/performance.md.
bench-boot: compile
	@bench/boot

# From the guest to the owner, beside a C program.
bench-console: compile
	@bench/console

# Beside uml_switch, vde_switch and a bridge, in a network namespace of its own,
# where the queues of datagram sockets may be longer, and taps can be made.
ROUNDS ?= 10
bench-switch:
	@scripts/deps run bench
	@$(REBAR3) compile
	@$(MAKE) --no-print-directory -C c_src load
	@unshare $$([ $$(id -u) = 0 ] || echo -r) -n sh -c \
		'bench/switch $(ROUNDS) && bench/guests $(ROUNDS)'

# The way out, beside slirp4netns and passt, in namespaces of its own.
bench-nat:
	@scripts/deps run kernel bench
	@$(REBAR3) compile
	@kernel/build
	@unshare -rn bench/nat

# Beside Linux' netem, on a veth pair in a machine of the fast kernel.
bench-impair:
	@scripts/deps run
	@$(REBAR3) compile
	@$(MAKE) --no-print-directory -C c_src ../build/impair_load
	@bench/impair

# Routers to their routes and a fat tree, beside Mininet, which needs root.
bench-lab:
	@scripts/deps run kernel image labs
	@$(REBAR3) compile
	@kernel/build
	@rootfs/build debian
	@unshare -n bench/lab $(ROUNDS)

# A million frames with and without a capture.
bench-capture: compile
	@bench/capture

doc: compile
	@$(REBAR3) edoc

clean:
	@$(REBAR3) clean
	@rm -rf _build build

install: compile
	install -d $(LIBDIR)/ebin $(LIBDIR)/priv $(DESTDIR)$(PREFIX)/bin
	install -m 755 bin/evum $(DESTDIR)$(PREFIX)/bin
	install -m 644 _build/default/lib/evum/ebin/* $(LIBDIR)/ebin
	cp -a --no-preserve=ownership priv/. $(LIBDIR)/priv
