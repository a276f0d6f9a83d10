/* SPDX-License-Identifier: Apache-2.0 */
#include "impaired.h"

#include <stdlib.h>
#include <sys/prctl.h>

#include "net.h"

/* ns; the default, 50 us, is half of what delays may be wrong by. */
#define TIMER_SLACK_NS 1UL

const char *const impaired_counter_names[IMPAIRED_DIRECTIONS][IMPAIRED_EVENTS] =
	{
		[IMPAIRED_IN] =
			{
				[IMPAIRED_LOSS] = "rx_impaired_loss",
				[IMPAIRED_LIMIT] = "rx_impaired_limit",
				[IMPAIRED_DUPLICATE] = "rx_impaired_duplicate",
				[IMPAIRED_CORRUPT] = "rx_impaired_corrupt",
				[IMPAIRED_REORDER] = "rx_impaired_reorder",
			},
		[IMPAIRED_OUT] =
			{
				[IMPAIRED_LOSS] = "tx_impaired_loss",
				[IMPAIRED_LIMIT] = "tx_impaired_limit",
				[IMPAIRED_DUPLICATE] = "tx_impaired_duplicate",
				[IMPAIRED_CORRUPT] = "tx_impaired_corrupt",
				[IMPAIRED_REORDER] = "tx_impaired_reorder",
			},
};

static void impaired_due(struct loop_timer *timer);

static struct net *net_of(struct impaired *impaired)
{
	return impaired->port->net;
}

static void impaired_count(struct impaired *impaired, enum impaired_event event)
{
	impaired->port->impaired_counters[impaired->direction][event]++;
}

static bool impaired_has_to_wait(const struct impaired *impaired)
{
	return impaired->direction == IMPAIRED_IN && impaired->port->paused;
}

/* Wake up for the first; a port that is paused wakes this up itself. */
static void impaired_arm(struct impaired *impaired)
{
	struct loop *loop = &net_of(impaired)->loop;
	int64_t due = delayq_due(&impaired->queue);

	if (due == DELAYQ_NEVER || impaired_has_to_wait(impaired))
		loop_timer_cancel(loop, &impaired->timer);
	else if (!impaired->timer.armed || impaired->timer.due_ns != due)
		loop_timer_at(loop, &impaired->timer, due, impaired_due);
}

void impaired_end(struct impaired *impaired)
{
	if (!impaired->on)
		return;
	impaired->on = false;
	loop_timer_cancel(&net_of(impaired)->loop, &impaired->timer);
	net_of(impaired)->impaired_bytes -= impaired->queue.bytes;
	delayq_free(&impaired->queue);
}

/* How many of the frames could go on. */
static unsigned int deliver(struct impaired *impaired,
			    const struct frame *frames, unsigned int n)
{
	struct net_port *port = impaired->port;

	if (impaired->direction == IMPAIRED_IN)
		return netport_switch(port, frames, n);
	for (unsigned int i = 0; i < n && port->id; i++)
		netport_pass(port, &frames[i]);
	if (port->id)
		netport_flush(port);
	return n;
}

/* The first frames that are due, at most a burst; false where that is all. */
static bool deliver_burst(struct impaired *impaired, int64_t now_ns)
{
	struct net_port *port = impaired->port;
	struct net *net = port->net;
	struct delayed *due[BURST_FRAMES];
	struct frame frames[BURST_FRAMES];
	unsigned int n = 0, taken;

	while (n < BURST_FRAMES && delayq_due(&impaired->queue) <= now_ns) {
		due[n] = delayq_pop(&impaired->queue);
		net->impaired_bytes -= delayed_size(due[n]->len);
		frames[n] = (struct frame){.bytes = due[n]->bytes,
					   .len = due[n]->len};
		n++;
	}
	if (!n)
		return false;
	taken = deliver(impaired, frames, n);
	for (unsigned int i = 0; i < n; i++) {
		if (!port->id || i < taken) {
			free(due[i]);
			continue;
		}
		net->impaired_bytes += delayed_size(due[i]->len);
		delayq_put_back(&impaired->queue, due[i]);
	}
	return port->id && taken == n;
}

void impaired_run(struct impaired *impaired)
{
	struct net_port *port = impaired->port;
	int64_t now_ns = loop_now_ns();

	if (impaired_has_to_wait(impaired))
		return;
	while (deliver_burst(impaired, now_ns))
		;
	if (!port->id)
		return;
	if (impaired->ending && !impaired->queue.n)
		impaired_end(impaired);
	else
		impaired_arm(impaired);
}

static void impaired_due(struct loop_timer *timer)
{
	impaired_run(container_of(timer, struct impaired, timer));
}

static void hold(struct impaired *impaired, const struct frame *frame,
		 const struct impair_copy *copy, int64_t due_ns)
{
	struct net *net = net_of(impaired);
	struct delayed *delayed = delayed_copy(frame);

	if (!delayed || delayq_put(&impaired->queue, delayed, due_ns)) {
		free(delayed);
		impaired_count(impaired, IMPAIRED_LIMIT);
		return;
	}
	if (copy->bit != IMPAIR_INTACT)
		delayed->bytes[copy->bit / 8] ^= (uint8_t)(1 << copy->bit % 8);
	net->impaired_bytes += delayed_size(frame->len);
	impaired_arm(impaired);
}

static bool has_room(struct impaired *impaired, uint32_t len)
{
	size_t size = delayed_size(len);

	return impaired->queue.n < impaired->impair.options.limit &&
	       impaired->queue.bytes + size <= IMPAIRED_MAX &&
	       net_of(impaired)->impaired_bytes + size <= IMPAIRED_POOL;
}

/* Whether it has gone on. */
static bool pass(struct impaired *impaired, const struct frame *frame)
{
	if (impaired->direction == IMPAIRED_IN)
		return netport_switch_one(impaired->port, frame);
	netport_pass(impaired->port, frame);
	return true;
}

static void impaired_copy(struct impaired *impaired, const struct frame *frame,
			  const struct impair_copy *copy, bool lasts)
{
	int64_t now_ns = loop_now_ns(), due_ns;

	if (!has_room(impaired, frame->len)) {
		impaired_count(impaired, IMPAIRED_LIMIT);
		return;
	}
	if (copy->bit != IMPAIR_INTACT)
		impaired_count(impaired, IMPAIRED_CORRUPT);
	if (copy->reordered)
		impaired_count(impaired, IMPAIRED_REORDER);
	due_ns = impair_depart(&impaired->impair, now_ns, frame->len) +
		 (int64_t)copy->delay_ns;
	/* Behind what is due there is no overtaking. */
	if (lasts && due_ns <= now_ns && copy->bit == IMPAIR_INTACT &&
	    delayq_due(&impaired->queue) > now_ns &&
	    !impaired_has_to_wait(impaired) && pass(impaired, frame))
		return;
	if (impaired->port->id)
		hold(impaired, frame, copy, due_ns);
}

/* One of the wire; lasts: its bytes stay where they are until a flush. */
static void impaired_one(struct impaired *impaired, const struct frame *frame,
			 bool lasts)
{
	struct net_port *port = impaired->port;
	struct impair_fate fate;

	impair_decide(&impaired->impair, frame->len, &fate);
	if (!fate.n)
		impaired_count(impaired, IMPAIRED_LOSS);
	if (fate.n > 1)
		impaired_count(impaired, IMPAIRED_DUPLICATE);
	for (unsigned int i = 0; i < fate.n && port->id; i++)
		impaired_copy(impaired, frame, &fate.copies[i], lasts);
}

void impaired_frame(struct impaired *impaired, const struct frame *frame)
{
	struct net_port *port = impaired->port;
	struct complete *complete = port->net->complete;
	struct frame frames[BURST_FRAMES];
	struct offload_cut cut;
	unsigned int n;

	if (!frame_is_partial(frame)) {
		impaired_one(impaired, frame, true);
		return;
	}
	offload_begin(&cut, frame, complete->whole);
	while (port->id && (n = complete_next(complete, &cut, frames)) > 0)
		for (unsigned int i = 0; i < n && port->id; i++)
			impaired_one(impaired, &frames[i], false);
}

void impaired_set(struct net_port *port, enum impaired_direction direction,
		  const struct impair_options *options)
{
	static const struct impair_options perfect = {.limit =
							      IMPAIR_LIMIT_MAX};
	struct impaired *impaired = &port->impaired[direction];

	if (!impaired->on && !options)
		return;
	if (!impaired->on) {
		*impaired = (struct impaired){
			.port = port, .direction = direction, .on = true};
		prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
	}
	impaired->ending = !options;
	impair_init(&impaired->impair, options ? options : &perfect);
	delayq_hurry(&impaired->queue, loop_now_ns());
	impaired_run(impaired);
}
