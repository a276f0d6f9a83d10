/* SPDX-License-Identifier: Apache-2.0 */
#include "netport.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

const char *const netport_counter_names[NETPORT_COUNTERS] = {
	[NETPORT_RX_FRAMES] = "rx_frames",
	[NETPORT_RX_BYTES] = "rx_bytes",
	[NETPORT_RX_RUNTS] = "rx_runts",
	[NETPORT_RX_GIANTS] = "rx_giants",
	[NETPORT_RX_BAD] = "rx_bad",
	[NETPORT_RX_FOREIGN] = "rx_foreign",
	[NETPORT_RX_DROPPED] = "rx_dropped",
	[NETPORT_RX_DOWN] = "rx_down",
	[NETPORT_TX_FRAMES] = "tx_frames",
	[NETPORT_TX_BYTES] = "tx_bytes",
	[NETPORT_TX_DROPPED] = "tx_dropped",
	[NETPORT_TX_ERRORS] = "tx_errors",
	[NETPORT_TX_DOWN] = "tx_down",
	[NETPORT_RX_VLAN] = "rx_vlan",
	[NETPORT_RX_ISOLATED] = "rx_isolated",
	[NETPORT_RX_MTU] = "rx_mtu",
	[NETPORT_RX_RESERVED] = "rx_reserved",
	[NETPORT_RX_STORM] = "rx_storm",
	[NETPORT_RX_SPOOFED] = "rx_spoofed",
	[NETPORT_TX_MTU] = "tx_mtu",
	[NETPORT_TX_MIRRORED] = "tx_mirrored",
	[NETPORT_TX_SOCKETS] = "tx_sockets",
	[NETPORT_TX_FRAGMENTS] = "tx_fragments",
};

/* In front of each frame of a backlog. */
struct waiting {
	uint32_t len;
	struct frame_offload offload;
};
_Static_assert(sizeof(struct waiting) == 16, "see NETPORT_BACKLOG_OWN");

static void netport_ready(struct loop_fd *entry, uint32_t events);

static bool netport_takes(const struct net_port *port,
			  const struct frame *frame)
{
	unsigned int needs = frame->n_rest ? NETPORT_TAKES_PIECES : 0;

	if (frame->offload.flags & FRAME_NEEDS_CSUM)
		needs |= NETPORT_TAKES_CSUM;
	if (frame->offload.gso_type == VIRTIO_NET_HDR_GSO_TCPV4)
		needs |= NETPORT_TAKES_TCP4;
	else if (frame->offload.gso_type == VIRTIO_NET_HDR_GSO_TCPV6)
		needs |= NETPORT_TAKES_TCP6;
	else if (frame->offload.gso_type)
		return false;
	return !(needs & ~port->takes);
}

static bool netport_has_waiting(const struct net_port *port)
{
	return buf_len(&port->backlog) || port->unsent;
}

/*
 * A port that wants nothing is taken out of the epoll set, since EPOLLHUP is
 * reported whether it is asked for or not.
 */
static int netport_watch(struct net_port *port)
{
	uint32_t events = port->paused ? 0 : EPOLLIN;

	if (port->ops->watch)
		return port->ops->watch(port, !port->paused,
					netport_has_waiting(port));
	if (netport_has_waiting(port))
		events |= EPOLLOUT;
	if (!events) {
		loop_del(&port->net->loop, &port->io);
		return 0;
	}
	if (port->io.fd < 0)
		return loop_add(&port->net->loop, &port->io, port->fd, events,
				netport_ready);
	return loop_watch(&port->net->loop, &port->io, events);
}

static void netport_count(struct net_port *port, enum netport_counter counter,
			  uint64_t n)
{
	port->counters[counter] += n;
}

/* Take the first frame off a queue. */
static void netport_consume(struct net_port *port, struct buf *queue)
{
	struct waiting waiting;
	size_t bytes;

	memcpy(&waiting, buf_data(queue), sizeof(waiting));
	bytes = sizeof(waiting) + waiting.len;
	buf_consume(queue, bytes);
	port->net->backlogs -= bytes;
	if (!buf_len(queue))
		buf_free(queue);
}

static void netport_drop(struct net_port *port, struct buf *queue,
			 enum netport_counter counter)
{
	while (buf_len(queue)) {
		netport_consume(port, queue);
		netport_count(port, counter, 1);
	}
}

static void netport_pause(struct net_port *port)
{
	port->paused = true;
	TAILQ_INSERT_TAIL(&port->net->paused_ports, port, paused_link);
}

/*
 * Send frames until the peer's queue is full. Returns how many are done with,
 * be it sent or given up; all of them if the port went down over it.
 */
static unsigned int netport_transmit(struct net_port *port,
				     const struct frame *frames, unsigned int n)
{
	unsigned int done = 0;

	while (done < n) {
		int sent = port->ops->send(port, frames + done, n - done);

		if (sent == -EAGAIN)
			return done;
		if (sent == -ECONNREFUSED) {
			netport_down(port, "closed");
			return n;
		}
		if (sent < 0) {
			netport_count(port,
				      sent == -ENOBUFS || sent == -ENOMEM
					      ? NETPORT_TX_DROPPED
					      : NETPORT_TX_ERRORS,
				      1);
			done++;
			continue;
		}
		netport_count(port, NETPORT_TX_FRAMES, (uint64_t)sent);
		for (; sent > 0; sent--) {
			if (!LIST_EMPTY(&port->taps))
				capture_frame(port, PCAPNG_OUTBOUND,
					      &frames[done]);
			netport_count(port, NETPORT_TX_BYTES,
				      frames[done++].len);
		}
	}
	return done;
}

/*
 * Copy frames to the end of a queue that may have so many bytes in any case.
 * Those that there is no room for are dropped.
 */
static void netport_enqueue(struct net_port *port, struct buf *queue,
			    size_t own, enum netport_counter dropped,
			    const struct frame *frames, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct waiting waiting = {.len = frames[i].len,
					  .offload = frames[i].offload};
		size_t bytes = sizeof(waiting) + waiting.len;
		uint8_t *at;

		if ((buf_len(queue) + bytes > own &&
		     port->net->backlogs + bytes > NETPORT_BACKLOG_POOL) ||
		    buf_reserve(queue, bytes, &at)) {
			netport_count(port, dropped, 1);
			continue;
		}
		memcpy(at, &waiting, sizeof(waiting));
		frame_copy(&frames[i], at + sizeof(waiting));
		buf_produced(queue, bytes);
		port->net->backlogs += bytes;
	}
}

/* The first frames of a queue, at most BURST_FRAMES: how many. */
static unsigned int netport_waiting(const struct buf *queue,
				    struct frame *frames)
{
	const uint8_t *at = buf_data(queue);
	const uint8_t *end = at + buf_len(queue);
	unsigned int n = 0;

	for (; n < BURST_FRAMES && at < end; n++) {
		struct waiting waiting;

		memcpy(&waiting, at, sizeof(waiting));
		at += sizeof(waiting);
		frames[n] = (struct frame){.bytes = at,
					   .len = waiting.len,
					   .offload = waiting.offload};
		at += waiting.len;
	}
	return n;
}

static void netport_drain(struct net_port *port)
{
	struct frame frames[BURST_FRAMES];
	unsigned int n, done;

	if (port->unsent && port->ops->send(port, NULL, 0) < 0)
		return;
	do {
		n = netport_waiting(&port->backlog, frames);
		done = netport_transmit(port, frames, n);
		if (!port->id)
			return;
		for (unsigned int i = 0; i < done; i++)
			netport_consume(port, &port->backlog);
	} while (done == n && buf_len(&port->backlog));
}

void netport_writable(struct net_port *port)
{
	if (netport_has_waiting(port))
		netport_drain(port);
	if (port->id && netport_watch(port))
		netport_down(port, "enomem");
}

/* Is the frame one that can be switched? */
static bool netport_admits(struct net_port *port, const struct frame *frame)
{
	if (frame->len >= FRAME_MIN && frame->len <= FRAME_MAX)
		return true;
	netport_count(port,
		      frame->len < FRAME_MIN ? NETPORT_RX_RUNTS
					     : NETPORT_RX_GIANTS,
		      1);
	return false;
}

/* False where the port is paused now, and the frame has to come again. */
static bool netport_decide(struct net_port *port, const struct frame *frame,
			   bool may_go_up)
{
	enum forward_verdict verdict;

	if (port->disabled) {
		netport_count(port, NETPORT_RX_DOWN, 1);
		return true;
	}
	if (!netport_admits(port, frame))
		return true;
	if (port != port->net->guarded &&
	    guard_refuses(&port->net->guard, frame)) {
		netport_count(port, NETPORT_RX_SPOOFED, 1);
		return true;
	}
	verdict = port->policy
			  ? policy_input(port, frame, may_go_up)
			  : forward_frame(port->net, port, frame, may_go_up);
	if (verdict == FORWARD_WAIT) {
		netport_pause(port);
		return false;
	}
	netport_count(port, NETPORT_RX_FRAMES, 1);
	netport_count(port, NETPORT_RX_BYTES, frame->len);
	if (!LIST_EMPTY(&port->taps))
		capture_frame(port, PCAPNG_INBOUND, frame);
	return true;
}

bool netport_switch_one(struct net_port *port, const struct frame *frame)
{
	return netport_decide(port, frame, net_takes_frames(port->net));
}

static unsigned int netport_decide_all(struct net_port *port,
				       const struct frame *frames,
				       unsigned int n)
{
	/* A burst that was begun may run into debt. */
	bool may_go_up = net_takes_frames(port->net);
	unsigned int i;

	for (i = 0; i < n && port->id; i++)
		if (!netport_decide(port, &frames[i], may_go_up))
			break;
	return i;
}

unsigned int netport_switch(struct net_port *port, const struct frame *frames,
			    unsigned int n)
{
	unsigned int taken = netport_decide_all(port, frames, n);

	net_flush_ports(port->net);
	return taken;
}

/* The frames' bytes last until net_flush_ports(), which is the caller's. */
static unsigned int netport_gather(struct net_port *port,
				   const struct frame *frames, unsigned int n)
{
	if (!port->impaired[IMPAIRED_IN].on)
		return netport_decide_all(port, frames, n);
	for (unsigned int i = 0; i < n && port->id; i++)
		if (netport_admits(port, &frames[i]))
			impaired_frame(&port->impaired[IMPAIRED_IN],
				       &frames[i]);
	return n;
}

unsigned int netport_input(struct net_port *port, const struct frame *frames,
			   unsigned int n)
{
	unsigned int taken = netport_gather(port, frames, n);

	net_flush_ports(port->net);
	return taken;
}

void netport_resume(struct net_port *port)
{
	struct frame frames[BURST_FRAMES];

	TAILQ_REMOVE(&port->net->paused_ports, port, paused_link);
	port->paused = false;
	while (buf_len(&port->held)) {
		unsigned int n = netport_waiting(&port->held, frames);
		unsigned int taken = netport_switch(port, frames, n);

		for (unsigned int i = 0; port->id && i < taken; i++)
			netport_consume(port, &port->held);
		if (!port->id || port->paused)
			return;
	}
	if (port->impaired[IMPAIRED_IN].on) {
		impaired_run(&port->impaired[IMPAIRED_IN]);
		if (!port->id || port->paused)
			return;
	}
	if (port->ended)
		netport_down(port, "closed");
	else if (netport_watch(port))
		netport_down(port, "enomem");
}

/* What has come, as far as it may go on; the rest is held. */
static void netport_take(struct net_port *port, const struct burst *burst)
{
	unsigned int taken = 0;

	if (!port->paused || port->impaired[IMPAIRED_IN].on)
		taken = netport_gather(port, burst->frames, burst->count);
	if (burst->gathers)
		net_flush_later(port->net);
	else
		net_flush_ports(port->net);
	if (port->id && taken < burst->count)
		netport_enqueue(port, &port->held, NETPORT_HELD_OWN,
				NETPORT_RX_DROPPED, burst->frames + taken,
				burst->count - taken);
}

/* Frames for others wait in the burst for the turn's end, while it has room. */
static void netport_begin_burst(struct net *net)
{
	if (burst_is_full(&net->burst))
		net_flush_ports(net);
	if (LIST_EMPTY(&net->dirty_ports))
		burst_restart(&net->burst);
	net->burst.gathers = false;
}

static void netport_receive(struct net_port *port)
{
	struct burst *burst = &port->net->burst;

	burst->more = false;
	do {
		int err;

		netport_begin_burst(port->net);
		if (!port->id)
			return;
		err = port->ops->receive(port, burst);
		/* -ECONNRESET of a datagram socket tells of the peer's other
		 * end, once; reading goes on. */
		if (err == -EAGAIN || err == -EINTR || err == -ECONNRESET)
			return;
		if (err) {
			netport_down(port, net_errno_name(port->net, err));
			return;
		}
		netport_take(port, burst);
	} while (burst->more && port->id);
	if (burst->ended && port->id && port->paused)
		port->ended = true;
	else if (burst->ended && port->id)
		netport_down(port, "closed");
}

static void netport_ready(struct loop_fd *entry, uint32_t events)
{
	struct net_port *port = container_of(entry, struct net_port, io);

	if (events & EPOLLOUT && netport_has_waiting(port))
		netport_drain(port);
	if (!port->id)
		return;
	if (!port->paused && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		if (port->missed && !net_takes_frames(port->net)) {
			port->wait_for = 0;
			netport_pause(port);
		} else {
			netport_receive(port);
		}
		if (!port->id)
			return;
	} else if (port->paused && events & (EPOLLHUP | EPOLLERR)) {
		/* Gone, but its last frames have to wait: sleep until then. */
		netport_drop(port, &port->backlog, NETPORT_TX_DROPPED);
	}
	if (netport_watch(port))
		netport_down(port, "enomem");
}

void netport_init(struct net_port *port, struct net *net,
		  const struct port_kind_ops *ops, int fd)
{
	*port = (struct net_port){
		.net = net, .ops = ops, .fd = fd, .missed = true};
	port->io.fd = -1;
	buf_init(&port->backlog, NETPORT_BACKLOG_MAX);
	buf_init(&port->held, NETPORT_HELD_MAX);
}

int netport_up(struct net_port *port, int peer_fd)
{
	struct ucred cred = {.pid = 0};
	socklen_t len = sizeof(cred);
	int err = netport_watch(port);

	if (err)
		return err;
	/* 0 also for a process that this PID namespace does not see. */
	if (peer_fd >= 0 &&
	    !getsockopt(peer_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		port->peer_pid = cred.pid;
	net_port_up(port->net, port);
	return 0;
}

void netport_down(struct net_port *port, const char *reason)
{
	if (port->paused)
		TAILQ_REMOVE(&port->net->paused_ports, port, paused_link);
	if (port->n_pending)
		LIST_REMOVE(port, dirty_link);
	loop_del(&port->net->loop, &port->io);
	netport_drop(port, &port->backlog, NETPORT_TX_DROPPED);
	netport_drop(port, &port->held, NETPORT_RX_DROPPED);
	for (int i = 0; i < IMPAIRED_DIRECTIONS; i++)
		impaired_end(&port->impaired[i]);
	net_port_down(port->net, port, reason);
	port->id = 0;
	policy_free(port);
	free(port->blocked);
	port->ops->close(port);
}

static void netport_note(struct net_port *port, const struct frame *frame)
{
	if (port->n_pending == BURST_FRAMES)
		netport_flush(port);
	if (!port->id)
		return;
	if (!port->n_pending)
		LIST_INSERT_HEAD(&port->net->dirty_ports, port, dirty_link);
	port->pending[port->n_pending++] = *frame;
}

static void netport_send_complete(struct net_port *port,
				  const struct frame *frame)
{
	struct complete *complete = port->net->complete;
	struct frame frames[BURST_FRAMES];
	uint8_t *room = complete_room(complete, frame);
	struct offload_cut cut;
	unsigned int n;

	if (room) {
		offload_begin(&cut, frame, room);
		frames[0] = (struct frame){.bytes = room,
					   .len = offload_next(&cut, room)};
		netport_note(port, frames);
		return;
	}
	offload_begin(&cut, frame, complete->whole);
	while ((n = complete_next(complete, &cut, frames)) > 0) {
		for (unsigned int i = 0; i < n; i++)
			netport_note(port, &frames[i]);
		/* The segments' place is wanted again. */
		netport_flush(port);
	}
}

static bool netport_takes_large(const struct net_port *port,
				const struct frame *frame)
{
	return port->takes & NETPORT_TAKES_LARGE4 &&
	       frame->offload.gso_type == VIRTIO_NET_HDR_GSO_TCPV4;
}

static void netport_send_large(struct net_port *port, const struct frame *frame)
{
	struct complete *complete = port->net->complete;
	struct frame large = {.bytes = complete->whole, .len = frame->len};

	offload_whole(frame, complete->whole);
	netport_note(port, &large);
	/* Its place is wanted again. */
	netport_flush(port);
}

void netport_pass(struct net_port *port, const struct frame *frame)
{
	if (port->disabled)
		netport_count(port, NETPORT_TX_DOWN, 1);
	else if (netport_takes(port, frame))
		netport_note(port, frame);
	else if (netport_takes_large(port, frame))
		netport_send_large(port, frame);
	else
		netport_send_complete(port, frame);
}

static void netport_put(struct net_port *port, const struct frame *frame)
{
	if (port->impaired[IMPAIRED_OUT].on)
		impaired_frame(&port->impaired[IMPAIRED_OUT], frame);
	else
		netport_pass(port, frame);
}

void netport_send(struct net_port *port, const struct frame *frame)
{
	if (!port->policy || port->disabled || policy_output(port, frame))
		netport_put(port, frame);
}

void netport_mirror(struct net_port *port, const struct frame *frame)
{
	netport_count(port, NETPORT_TX_MIRRORED, 1);
	netport_put(port, frame);
}

void netport_flush(struct net_port *port)
{
	unsigned int n = port->n_pending, done = 0;

	if (!n)
		return;
	LIST_REMOVE(port, dirty_link);
	port->n_pending = 0;
	/* Behind a backlog there is no overtaking. */
	if (!buf_len(&port->backlog))
		done = netport_transmit(port, port->pending, n);
	if (!port->id || (done == n && !port->unsent))
		return;
	netport_enqueue(port, &port->backlog, NETPORT_BACKLOG_OWN,
			NETPORT_TX_DROPPED, port->pending + done, n - done);
	if (netport_watch(port))
		netport_down(port, "enomem");
}
