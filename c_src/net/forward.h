/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward - what becomes of a frame that has come in: a decision of
 * evum_switch that is held here, or else the frame goes up for one.
 *
 * What is held: where stations are (stations.h), and for each VLAN which ports
 * a flood goes to. It is a cache. evum_switch is the only one that decides,
 * and these rules keep the cache from ever saying what evum_switch would not:
 *
 * - What contradicts the cache makes it forget: a source at another port than
 *   its own, a port that has come or gone.
 * - Frames go up in the order in which they came, and are answered in that
 *   order. Bytes that went up are counted, and an answer says how many of them
 *   were decided on when it was made. A decision about a station that has
 *   spoken up since, and one about floods from before the latest port, are
 *   not taken: the frame that is on its way up will bring a newer one.
 * - As long as frames of a sender are on their way up, no later one of it may
 *   overtake them through the cache: its port waits until they are answered.
 */
#ifndef EVUM_NET_FORWARD_H
#define EVUM_NET_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"
#include "frames.h"
#include "hooks.h"
#include "stations.h"
#include "vlan.h"

/* A power of two. Who collides asks once more than he would have to. */
#define FORWARD_DOUBTS 65536u
/* Slots for the senders of a port: who collides waits for the other. */
#define FORWARD_SENDERS 64u

struct net;
struct net_port;

struct flood {
	uint32_t n;
	uint32_t ports[]; /* ids */
};

struct forward {
	bool relay;	      /* hold nothing: each frame goes up */
	bool no_reserved;     /* frames to 01:80:c2:00:00:0x do not pass */
	uint32_t storm_limit; /* frames a second of a port, or 0 */
	struct stations stations;
	struct hooks hooks;
	struct flood *floods[VLANS];
	uint32_t ups; /* ports that came, ever */
	/* Bytes: gone up; answered when this batch is through; before it. */
	uint64_t sent, answering, answered;
	/* By the hash of a station, the last byte of its last frame that went
	 * up and was news. */
	uint64_t *doubts;
};

enum forward_verdict {
	FORWARD_TAKEN,
	FORWARD_WAIT, /* not now: net_port.wait_for says until when */
};

/* 0 or -ENOMEM. */
int forward_init(struct forward *forward);
void forward_free(struct forward *forward);
/* Forgets all. 0 or -ENOMEM, and then nothing has changed. */
int forward_configure(struct forward *forward, bool relay, uint32_t stations,
		      uint32_t ageing_ms);
void forward_flush(struct forward *forward);
/* A port has come: floods go to it as well. */
void forward_port_up(struct forward *forward);

/*
 * May one more frame of the port be flooded? Counts it: for frames that
 * evum_switch has decided on, to stations that nobody knows.
 */
bool forward_may_flood(struct net *net, struct net_port *port);
/* Is there a frame of the port on its way up? */
bool forward_is_waiting(const struct forward *forward,
			const struct net_port *port);
/* may_go_up: there is credit for it. */
enum forward_verdict forward_frame(struct net *net, struct net_port *port,
				   const struct frame *frame, bool may_go_up);

/* A record other than DOWN_FRAME. */
void forward_record(struct net *net, const struct frames_down *down);

#endif
