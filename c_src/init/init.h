/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evum_init - process 1 of a guest.
 *
 *   main.c     the order of things: root, network, console, then reap
 *   config.c   what evum_guest left for us in the jail's folder
 *   root.c     the guest's root: overlay over the host's files, and mounts
 *   netdev.c   loopback up, the first interface called eth0
 *   console.c  the program on the console: session, restart
 *
 * A step that cannot be done ends the machine: init_fail() tells the console
 * and, through mconsole, evum.
 */
#ifndef EVUM_INIT_H
#define EVUM_INIT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The jail's folder as the UML process sees it, see c_src/guest/jail.h. */
#define INIT_JAIL "/dev/shm/evum"
#define INIT_CONFIG_MAX (64u << 10)
#define INIT_ARGS_MAX 64
/* Where busybox's applets are, behind everything else in PATH. */
#define INIT_APPLETS "/run/evum/bin"

struct config {
	char root[PATH_MAX];	/* on the host */
	char applets[PATH_MAX]; /* on the host, "" when there are none */
	char modules[PATH_MAX]; /* on the host, "" when there are none */
	char hostname[65];	/* "" leaves the kernel's own */
	int argc;
	char *argv[INIT_ARGS_MAX + 1]; /* the console's program */
	char text[INIT_CONFIG_MAX];    /* what the pointers above point into */
};

/* Split len bytes at config->text. 0, or -EINVAL for what is no config. */
int config_parse(struct config *config, size_t len);
void config_load(struct config *config);

void root_mount_early(void);
void root_enter(const struct config *config);

void netdev_setup(void);

/*
 * Start the console's program; its process id, or -1 when there is no room for
 * a process now: that is no reason for a machine to end.
 */
pid_t console_start(const struct config *config);

/* Tell evum, by way of mconsole's notify socket. */
void init_notify(const char *text);
/* Say what failed, errno with it, and power off. */
_Noreturn void init_fail(const char *step, const char *what);

#endif
