/* SPDX-License-Identifier: Apache-2.0 */
#include "netport.h"

#include <errno.h>
#include <string.h>

#include "net.h"

const char *const netport_counter_names[NETPORT_COUNTERS] = {
	[NETPORT_RX_FRAMES] = "rx_frames",   [NETPORT_RX_BYTES] = "rx_bytes",
	[NETPORT_RX_RUNTS] = "rx_runts",     [NETPORT_RX_GIANTS] = "rx_giants",
	[NETPORT_TX_FRAMES] = "tx_frames",   [NETPORT_TX_BYTES] = "tx_bytes",
	[NETPORT_TX_DROPPED] = "tx_dropped", [NETPORT_TX_ERRORS] = "tx_errors",
};

/* In front of each frame of a backlog. */
struct waiting {
	uint32_t len;
	struct frame_offload offload;
};
_Static_assert(sizeof(struct waiting) == 16, "see NETPORT_BACKLOG_OWN");

static void netport_ready(struct loop_fd *entry, uint32_t events);

/*
 * A port that wants nothing is taken out of the epoll set, since EPOLLHUP is
 * reported whether it is asked for or not.
 */
static int netport_watch(struct net_port *port)
{
	uint32_t events = port->paused ? 0 : EPOLLIN;

	if (port->ops->watch)
		return port->ops->watch(port, !port->paused,
					buf_len(&port->backlog) > 0);
	if (buf_len(&port->backlog))
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

/* Take the first frame off the backlog. */
static void netport_consume(struct net_port *port)
{
	struct waiting waiting;
	size_t bytes;

	memcpy(&waiting, buf_data(&port->backlog), sizeof(waiting));
	bytes = sizeof(waiting) + waiting.len;
	buf_consume(&port->backlog, bytes);
	port->net->backlogs -= bytes;
	if (!buf_len(&port->backlog))
		buf_free(&port->backlog);
}

static void netport_drop_backlog(struct net_port *port)
{
	while (buf_len(&port->backlog)) {
		netport_consume(port);
		netport_count(port, NETPORT_TX_DROPPED, 1);
	}
}

static void netport_pause(struct net_port *port)
{
	port->paused = true;
	LIST_INSERT_HEAD(&port->net->paused_ports, port, paused_link);
}

void netport_resume(struct net_port *port)
{
	int err;

	LIST_REMOVE(port, paused_link);
	port->paused = false;
	err = netport_watch(port);
	if (err)
		netport_down(port, net_errno_name(port->net, err));
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
		for (; sent > 0; sent--)
			netport_count(port, NETPORT_TX_BYTES,
				      frames[done++].len);
	}
	return done;
}

static bool netport_has_room(const struct net_port *port, size_t bytes)
{
	return buf_len(&port->backlog) + bytes <= NETPORT_BACKLOG_OWN ||
	       port->net->backlogs + bytes <= NETPORT_BACKLOG_POOL;
}

static void netport_to_backlog(struct net_port *port,
			       const struct frame *frames, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct waiting waiting = {.len = frames[i].len,
					  .offload = frames[i].offload};
		size_t bytes = sizeof(waiting) + waiting.len;
		uint8_t *at;

		if (!netport_has_room(port, bytes) ||
		    buf_reserve(&port->backlog, bytes, &at)) {
			netport_count(port, NETPORT_TX_DROPPED, 1);
			continue;
		}
		memcpy(at, &waiting, sizeof(waiting));
		frame_copy(&frames[i], at + sizeof(waiting));
		buf_produced(&port->backlog, bytes);
		port->net->backlogs += bytes;
	}
}

/* The first frames of the backlog, at most BURST_FRAMES: how many. */
static unsigned int netport_waiting(const struct net_port *port,
				    struct frame *frames)
{
	const uint8_t *at = buf_data(&port->backlog);
	const uint8_t *end = at + buf_len(&port->backlog);
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

	do {
		n = netport_waiting(port, frames);
		done = netport_transmit(port, frames, n);
		if (!port->id)
			return;
		for (unsigned int i = 0; i < done; i++)
			netport_consume(port);
	} while (done == n && buf_len(&port->backlog));
}

void netport_writable(struct net_port *port)
{
	if (buf_len(&port->backlog))
		netport_drain(port);
	if (port->id && netport_watch(port))
		netport_down(port, "enomem");
}

unsigned int netport_input(struct net_port *port, const struct frame *frames,
			   unsigned int n)
{
	if (!net_takes_frames(port->net)) {
		netport_pause(port);
		return 0;
	}
	for (unsigned int i = 0; i < n; i++) {
		uint32_t len = frames[i].len;

		if (len < FRAME_MIN) {
			netport_count(port, NETPORT_RX_RUNTS, 1);
		} else if (len > FRAME_MAX) {
			netport_count(port, NETPORT_RX_GIANTS, 1);
		} else {
			netport_count(port, NETPORT_RX_FRAMES, 1);
			netport_count(port, NETPORT_RX_BYTES, len);
			net_frame_up(port->net, port->id, &frames[i]);
		}
	}
	return n;
}

static void netport_receive(struct net_port *port)
{
	struct burst *burst = &port->net->burst;
	int err = port->ops->receive(port, burst);

	/* -ECONNRESET tells of the peer's other end, once; reading goes on. */
	if (err == -EAGAIN || err == -EINTR || err == -ECONNRESET)
		return;
	if (err) {
		netport_down(port, net_errno_name(port->net, err));
		return;
	}
	netport_input(port, burst->frames, burst->count);
	if (burst->ended)
		netport_down(port, "closed");
}

static void netport_ready(struct loop_fd *entry, uint32_t events)
{
	struct net_port *port = container_of(entry, struct net_port, io);

	if (events & EPOLLOUT && buf_len(&port->backlog))
		netport_drain(port);
	if (!port->id)
		return;
	if (!port->paused && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		if (net_takes_frames(port->net))
			netport_receive(port);
		else
			netport_pause(port);
		if (!port->id)
			return;
	} else if (port->paused && events & (EPOLLHUP | EPOLLERR)) {
		/* Gone, but its last frames have to wait: sleep until then. */
		netport_drop_backlog(port);
	}
	if (netport_watch(port))
		netport_down(port, "enomem");
}

void netport_init(struct net_port *port, struct net *net,
		  const struct port_kind_ops *ops, int fd)
{
	*port = (struct net_port){.net = net, .ops = ops, .fd = fd};
	port->io.fd = -1;
	buf_init(&port->backlog, NETPORT_BACKLOG_MAX);
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
		LIST_REMOVE(port, paused_link);
	if (port->n_pending)
		LIST_REMOVE(port, dirty_link);
	loop_del(&port->net->loop, &port->io);
	netport_drop_backlog(port);
	net_port_down(port->net, port, reason);
	port->id = 0;
	port->ops->close(port);
}

void netport_send(struct net_port *port, const struct frame *frame)
{
	if (port->n_pending == BURST_FRAMES)
		netport_flush(port);
	if (!port->id)
		return;
	if (!port->n_pending)
		LIST_INSERT_HEAD(&port->net->dirty_ports, port, dirty_link);
	port->pending[port->n_pending++] = *frame;
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
	if (!port->id || done == n)
		return;
	netport_to_backlog(port, port->pending + done, n - done);
	if (netport_watch(port))
		netport_down(port, "enomem");
}
