/* SPDX-License-Identifier: Apache-2.0 */
/*
 * impaired - a direction of a port whose way is not perfect: impair.h decides,
 * here frames wait for their time (delayq.h), and go on.
 *
 *   in:   kind -> netport_input() -> impaired -> netport_switch() -> forward
 *   out:  netport_send() -> impaired -> netport_pass() -> kind
 *
 * A direction that is not `on' is perfect, and not touched. What has to wait,
 * or to be changed, is copied; all else passes as if there were no impairment.
 * A frame that is not complete is made so first: it is frames of the wire that
 * are lost.
 *
 * A port that is paused takes nothing in: what is due then waits until it is
 * resumed, within the limit.
 */
#ifndef EVUM_NET_IMPAIRED_H
#define EVUM_NET_IMPAIRED_H

#include "delayq.h"
#include "frame.h"
#include "impair.h"
#include "loop.h"

/*
 * Memory for frames under way, bytes, beside the limit in frames: of one
 * direction of a port, and of all.
 */
#define IMPAIRED_MAX ((size_t)64 << 20)
#define IMPAIRED_POOL ((size_t)256 << 20)

struct net_port;

enum impaired_direction { IMPAIRED_IN, IMPAIRED_OUT, IMPAIRED_DIRECTIONS };

/* What became of frames, beside arriving. */
enum impaired_event {
	IMPAIRED_LOSS,
	IMPAIRED_LIMIT, /* as many, or as much, were under way as may be */
	IMPAIRED_DUPLICATE,
	IMPAIRED_CORRUPT,
	IMPAIRED_REORDER,
	IMPAIRED_EVENTS
};
extern const char
	*const impaired_counter_names[IMPAIRED_DIRECTIONS][IMPAIRED_EVENTS];

struct impaired {
	struct net_port *port;
	enum impaired_direction direction;
	bool on;
	bool ending; /* perfect again, once the last has arrived */
	struct impair impair;
	struct delayq queue;
	struct loop_timer timer; /* armed for the first of the queue */
};

/*
 * How a direction is from now on; NULL: perfect. What is under way arrives at
 * once. The port may go down over it (its id is 0 then).
 */
void impaired_set(struct net_port *port, enum impaired_direction direction,
		  const struct impair_options *options);
/* Perfect, and what is under way has gone. */
void impaired_end(struct impaired *impaired);

/* A frame that can be switched, or sent; copied where it has to wait. */
void impaired_frame(struct impaired *impaired, const struct frame *frame);
/* Let go on what is due. */
void impaired_run(struct impaired *impaired);

#endif
