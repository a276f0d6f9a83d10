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
#define START_LINKS_MAX 16

struct start_link {
	char *name; /* in the jail's folder */
	char *path; /* on the host */
};

struct start {
	char *kernel;
	char *argv[START_ARGV_MAX + 1];
	int argc;
	char *config;
	size_t config_len;
	struct start_link links[START_LINKS_MAX];
	int n_links;
	uint64_t room_bytes; /* of the jail's tmpfs */
	bool share_net;	     /* stay in the host's network namespace */
	cpu_set_t cpus;	     /* where the guest may run; empty: anywhere */
};

/* Decode the request's argument; -EBADMSG. start_free() in both cases. */
int start_decode(struct start *start, struct term_reader *r);
void start_free(struct start *start);

#endif
