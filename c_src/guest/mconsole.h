/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mconsole - requests to the guest's management console, and its notices.
 *
 * A request is one datagram, of at most 511 characters, the reply comes in
 * pieces. Requests are sent one after the other, each from a socket of its own:
 * a reply that comes after its time limit then finds nobody, and is not taken
 * for the next one's.
 *
 * The guest's kernel is at the other end: lengths are checked, output is
 * bounded, and every request has a time limit.
 */
#ifndef EVUM_MCONSOLE_H
#define EVUM_MCONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "buf.h"
#include "loop.h"
#include "mconsole_packet.h"

#define MCONSOLE_TIMEOUT_MS 5000
/* Output beyond that is cut off, bytes. */
#define MCONSOLE_OUTPUT_MAX (1u << 20)
/* Requests waiting for their turn. */
#define MCONSOLE_QUEUE_MAX 64
/* Notices of programs in the guest that are passed on, for each boot. */
#define MCONSOLE_NOTICES_MAX 16

struct mconsole;

struct mconsole_ops {
	/* err: 0, -EREMOTEIO when the guest refused, or what went wrong. */
	void (*answer)(struct mconsole *mc, uint64_t id, int err,
		       const void *output, size_t len);
	void (*booted)(struct mconsole *mc);
	void (*panicked)(struct mconsole *mc, const void *text, size_t len);
	void (*notified)(struct mconsole *mc, const void *text, size_t len);
};

struct mconsole_request {
	struct mconsole_request *next;
	uint64_t id;
	size_t len;
	char command[MCONSOLE_DATA_MAX];
};

struct mconsole {
	struct loop *loop;
	const struct mconsole_ops *ops;
	struct loop_fd notices;
	unsigned int user_notices;
	struct sockaddr_un guest;	/* family 0: not yet known */
	struct mconsole_request *queue; /* the first one is under way */
	int queued;
	struct loop_fd reply;
	struct loop_timer limit;
	struct buf output;
};

/* Open the notify socket in the jail's folder. 0 or -errno. */
int mconsole_init(struct mconsole *mc, struct loop *loop,
		  const struct mconsole_ops *ops);

/* -E2BIG, -ENOTCONN before the guest has booted that far, -EBUSY, -ENOMEM. */
int mconsole_request(struct mconsole *mc, uint64_t id, const char *command,
		     size_t len);

void mconsole_close(struct mconsole *mc);

#endif
