/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remotes - the other ends of a VXLAN port, and which of them a station is
 * behind, which is learned from the frames that come from there (RFC 7348,
 * section 4.1).
 *
 * It may forget a station at any time: a frame for it then goes to all of
 * them, as one that is for all stations does.
 */
#ifndef EVUM_NET_REMOTES_H
#define EVUM_NET_REMOTES_H

#include <stdint.h>

#include "address.h"
#include "frame.h"
#include "stations.h"

#define REMOTES_MAX 64u
/* What is remembered: so many stations, for so long, ms, as the switch does. */
#define REMOTES_STATIONS 65536u
#define REMOTES_AGEING_MS 300000u

#define REMOTE_NONE UINT32_MAX

struct remotes {
	uint32_t n;
	struct address at[REMOTES_MAX];
	struct stations stations;
};

/* The addresses are there, of one family. 0 or -ENOMEM. */
int remotes_init(struct remotes *remotes);
void remotes_free(struct remotes *remotes);

/*
 * Who has sent from that address: its index, or REMOTE_NONE. Senders may use
 * any UDP port, so it counts only where that tells two remotes apart.
 */
uint32_t remotes_sender(const struct remotes *remotes,
			const struct sockaddr_storage *from);

/* A frame has come from a remote. */
void remotes_learn(struct remotes *remotes, const struct frame *frame,
		   uint32_t remote, uint32_t now_ms);
/* The one that a frame is for, or REMOTE_NONE: all of them. */
uint32_t remotes_find(struct remotes *remotes, const struct frame *frame,
		      uint32_t now_ms);

#endif
