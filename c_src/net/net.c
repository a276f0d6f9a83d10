/* SPDX-License-Identifier: Apache-2.0 */
#include "net.h"

#include <errno.h>
#include <stdlib.h>

#include "frames.h"

const char *const net_counter_names[NET_COUNTERS] = {
	[NET_ACCEPTED] = "accepted",
	[NET_REFUSED_LIMIT] = "refused_limit",
	[NET_REFUSED_DESCRIPTORS] = "refused_descriptors",
	[NET_BAD_MAGIC] = "bad_magic",
	[NET_BAD_VERSION] = "bad_version",
	[NET_BAD_TYPE] = "bad_type",
	[NET_BAD_ADDRESS] = "bad_address",
	[NET_SHORT_REQUEST] = "short_request",
	[NET_SURPLUS_BYTES] = "surplus_bytes",
	[NET_TIMEOUT] = "timeout",
	[NET_BAD_DESCRIPTOR] = "bad_descriptor",
	[NET_FRAMES_UP] = "frames_up",
	[NET_COPIES_MISSED] = "copies_missed",
	[NET_BROKEN_VHOST] = "broken_vhost",
};

int net_init(struct net *net, const struct port_ops *ops, int in_fd, int out_fd)
{
	int err;

	*net = (struct net){.batch = malloc(NET_BATCH_MAX),
			    .complete = calloc(1, sizeof(*net->complete)),
			    .forms = calloc(1, sizeof(*net->forms))};
	if (!net->batch || !net->complete || !net->forms)
		return -ENOMEM;
	TAILQ_INIT(&net->paused_ports);
	err = burst_init(&net->burst);
	if (!err)
		err = forward_init(&net->forward);
	if (!err)
		err = loop_init(&net->loop);
	if (!err)
		err = port_init(&net->beam, &net->loop, ops, in_fd, out_fd);
	return err;
}

void net_close(struct net *net)
{
	while (!LIST_EMPTY(&net->listeners))
		listener_close(LIST_FIRST(&net->listeners));
	for (size_t i = 0; i < NET_ID_BUCKETS; i++)
		while (!LIST_EMPTY(&net->by_id[i]))
			netport_down(LIST_FIRST(&net->by_id[i]), "closed");
	captures_close(net);
	port_close(&net->beam);
	loop_close(&net->loop);
	burst_free(&net->burst);
	forward_free(&net->forward);
	free(net->batch);
	free(net->complete);
	free(net->forms);
	free(net->vhost);
}

const char *net_errno_name(struct net *net, int err)
{
	term_errno_name(err, net->errno_name);
	return net->errno_name;
}

bool net_takes_frames(const struct net *net)
{
	return port_credit(&net->beam) > net->batch_len &&
	       !port_congested(&net->beam);
}

static void net_flush(struct net *net)
{
	if (!net->batch_len)
		return;
	port_send_data(&net->beam, net->batch, net->batch_len);
	net->batch_len = 0;
}

static void net_turn_end(struct loop_garbage *turn_end)
{
	struct net *net = container_of(turn_end, struct net, turn_end);

	net_flush_ports(net);
	net_flush(net);
	turn_end->release = NULL;
}

void net_flush_later(struct net *net)
{
	/* What is freed at the end of a turn is also what runs there. */
	if (!net->turn_end.release)
		loop_defer(&net->loop, &net->turn_end, net_turn_end);
}

static void net_put_up(struct net *net, const struct frames_up *up,
		       const struct frame *frame)
{
	size_t len = FRAMES_UP_HEADER + frame->len;

	if (net->batch_len + len > NET_BATCH_MAX)
		net_flush(net);
	if (!net->batch_len) {
		frames_begin(net->batch, (uint64_t)net->loop.now_ms);
		net->batch_len = FRAMES_UP_TIME;
		net->forward.sent += FRAMES_UP_TIME;
	}
	frames_put(net->batch + net->batch_len, up, frame);
	net->batch_len += len;
	net->forward.sent += len;
	net_count(net, NET_FRAMES_UP);
	net_flush_later(net);
}

void net_frame_up(struct net *net, const struct frames_up *up,
		  const struct frame *frame)
{
	struct complete *complete = net->complete;
	struct frame frames[BURST_FRAMES];
	struct offload_cut cut;
	unsigned int n;

	if (!frame_is_partial(frame)) {
		net_put_up(net, up, frame);
		return;
	}
	offload_begin(&cut, frame, complete->whole);
	while ((n = complete_next(complete, &cut, frames)) > 0)
		for (unsigned int i = 0; i < n; i++)
			net_put_up(net, up, &frames[i]);
}

void net_flush_ports(struct net *net)
{
	while (!LIST_EMPTY(&net->dirty_ports))
		netport_flush(LIST_FIRST(&net->dirty_ports));
	complete_reset(net->complete);
	vlan_reset(net->forms);
}

void net_begin_forms(struct net *net, const struct frame *frame, uint16_t tci,
		     bool has_tag)
{
	if (vlan_begin(net->forms, frame, tci, has_tag))
		return;
	net_flush_ports(net);
	vlan_begin(net->forms, frame, tci, has_tag);
}

static void net_frame_down(struct net *net, const struct frames_down *down)
{
	struct frame frame = {.bytes = down->frame, .len = down->len};
	uint32_t first = 0;

	if (down->flags & DOWN_FLOODED && down->n_ports) {
		struct net_port *in = net_port_by_id(net, frames_port(down, 0));

		if (in && !forward_may_flood(net, in))
			return;
		first = 1;
	}
	if (down->vlan)
		net_begin_forms(net, &frame, down->vlan, false);
	for (uint32_t i = first; i < down->n_ports; i++) {
		struct net_port *port =
			net_port_by_id(net, frames_port(down, i));

		if (!port)
			continue;
		if (down->vlan)
			policy_send(port, net->forms);
		else
			netport_send(port, &frame);
	}
}

int net_frames_down(struct net *net, const uint8_t *bytes, size_t len)
{
	struct frames_cursor cursor = {.at = bytes, .end = bytes + len};
	struct frames_down down;
	int more;

	while ((more = frames_next(&cursor, &down)) > 0) {
		if (down.op == DOWN_FRAME)
			net_frame_down(net, &down);
		else
			forward_record(net, &down);
	}
	net_flush_ports(net);
	/* From here on nothing overtakes what was answered. */
	if (net->forward.answered != net->forward.answering) {
		net->forward.answered = net->forward.answering;
		net_resume(net);
	}
	return more;
}

static bool net_may_resume(const struct net *net, const struct net_port *port)
{
	if (port->wait_for)
		return port->wait_for <= net->forward.answered;
	return net_takes_frames(net);
}

/* Once through the queue, to whose end some may come back. */
static void net_resume_ports(struct net *net)
{
	struct net_port *port;
	unsigned int n = 0;

	TAILQ_FOREACH(port, &net->paused_ports, paused_link)
	n++;
	while (n-- > 0 && (port = TAILQ_FIRST(&net->paused_ports))) {
		if (net_may_resume(net, port)) {
			netport_resume(port);
		} else {
			TAILQ_REMOVE(&net->paused_ports, port, paused_link);
			TAILQ_INSERT_TAIL(&net->paused_ports, port,
					  paused_link);
		}
	}
}

void net_resume(struct net *net)
{
	struct listener *listener;

	if (port_congested(&net->beam))
		return;
	LIST_FOREACH(listener, &net->listeners, link)
	listener_resume(listener);
	net_resume_ports(net);
}

void net_send_term(struct net *net, ei_x_buff *x)
{
	net_flush(net);
	port_send_term(&net->beam, x);
}

void net_put_port(ei_x_buff *x, const char *where, int err, uint32_t id)
{
	if (err) {
		term_put_error(x, where, err);
		return;
	}
	ei_x_encode_tuple_header(x, 2);
	ei_x_encode_atom(x, "ok");
	ei_x_encode_ulong(x, id);
}

void net_answer_port(struct net *net, uint64_t request,
		     const struct net_port *port, int err)
{
	ei_x_buff x;

	term_reply(&x, request);
	net_put_port(&x, "connect", err, err ? 0 : port->id);
	net_send_term(net, &x);
}

static struct net_port_list *bucket(struct net *net, uint32_t id)
{
	return &net->by_id[id % NET_ID_BUCKETS];
}

struct net_port *net_port_by_id(struct net *net, uint32_t id)
{
	struct net_port *port;

	LIST_FOREACH(port, bucket(net, id), id_link)
	if (port->id == id)
		return port;
	return NULL;
}

void net_port_up(struct net *net, struct net_port *port)
{
	ei_x_buff x;

	/* After four thousand million ports the ids start again. */
	do
		net->last_port_id++;
	while (!net->last_port_id || net_port_by_id(net, net->last_port_id));
	port->id = net->last_port_id;
	LIST_INSERT_HEAD(bucket(net, port->id), port, id_link);
	forward_port_up(&net->forward);
	captures_port_up(port);
	term_event(&x, "port_up");
	ei_x_encode_tuple_header(&x, 3);
	ei_x_encode_ulong(&x, port->id);
	ei_x_encode_atom(&x, port->ops->kind);
	ei_x_encode_long(&x, port->peer_pid);
	net_send_term(net, &x);
}

void net_port_down(struct net *net, struct net_port *port, const char *reason)
{
	ei_x_buff x;

	LIST_REMOVE(port, id_link);
	captures_port_down(port);
	term_event(&x, "port_down");
	ei_x_encode_tuple_header(&x, 2);
	ei_x_encode_ulong(&x, port->id);
	ei_x_encode_atom(&x, reason);
	net_send_term(net, &x);
}
