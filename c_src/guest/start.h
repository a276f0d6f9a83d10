/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start - what a machine is to be: the start request of evum_vm, decoded.
 */
#ifndef EVUM_START_H
#define EVUM_START_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "term.h"

#define START_ARGV_MAX 256
#define START_PATHS_MAX 64
#define START_SOCKETS_MAX 16

/* What a jail is to show of the host. */
struct start_path {
	char *name; /* in the jail's folder; NULL: at its own path */
	char *path; /* on the host */
	bool share; /* a mount in every jail, in an open one too */
	bool writable;
};

struct start {
	char *kernel;
	char *argv[START_ARGV_MAX + 1];
	int argc;
	char *config;
	size_t config_len;
	struct start_path paths[START_PATHS_MAX];
	int n_paths;
	char *sockets[START_SOCKETS_MAX]; /* of switches, see handover.h */
	int n_sockets;
	char *disk;  /* a file of the host that is the guest's to write, or NULL
		      */
	char *files; /* what evum_init puts into the root, or NULL */
	size_t files_len;
	bool closed;	     /* the jail shows its paths, and no others */
	uint64_t room_bytes; /* of the jail's tmpfs */
	bool share_net;	     /* stay in the host's network namespace */
	cpu_set_t cpus;	     /* where the guest may run; empty: anywhere */
};

/* Decode the request's argument; -EBADMSG. start_free() in both cases. */
int start_decode(struct start *start, struct term_reader *r);
void start_free(struct start *start);

#endif
