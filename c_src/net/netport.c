/* SPDX-License-Identifier: Apache-2.0 */
#include "netport.h"

#include <errno.h>
#include <string.h>

#include "frames.h"
#include "net.h"

const char *const netport_counter_names[NETPORT_COUNTERS] = {
	[NETPORT_RX_FRAMES] = "rx_frames",   [NETPORT_RX_BYTES] = "rx_bytes",
	[NETPORT_RX_RUNTS] = "rx_runts",     [NETPORT_RX_GIANTS] = "rx_giants",
	[NETPORT_TX_FRAMES] = "tx_frames",   [NETPORT_TX_BYTES] = "tx_bytes",
	[NETPORT_TX_DROPPED] = "tx_dropped", [NETPORT_TX_ERRORS] = "tx_errors",
};

static void netport_ready(struct loop_fd *entry, uint32_t events);

/*
 * A port that wants nothing is taken out of the epoll set, since EPOLLHUP is
 * reported whether it is asked for or not.
 */
static int netport_watch(struct net_port *port)
{
	uint32_t events = port->paused ? 0 : EPOLLIN;

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

static void netport_consume(struct net_port *port, size_t bytes)
{
	buf_consume(&port->backlog, bytes);
	port->net->backlogs -= bytes;
	if (!buf_len(&port->backlog))
		buf_free(&port->backlog);
}

static void netport_drop_backlog(struct net_port *port)
{
	while (buf_len(&port->backlog)) {
		uint32_t len;

		memcpy(&len, buf_data(&port->backlog), sizeof(len));
		netport_consume(port, sizeof(len) + len);
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
				     struct iovec *frames, unsigned int n)
{
	unsigned int done = 0;

	while (done < n) {
		int sent = port->ops->send(port, &port->net->burst,
					   frames + done, n - done);

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
				      frames[done++].iov_len);
	}
	return done;
}

static bool netport_has_room(const struct net_port *port, size_t bytes)
{
	return buf_len(&port->backlog) + bytes <= NETPORT_BACKLOG_OWN ||
	       port->net->backlogs + bytes <= NETPORT_BACKLOG_POOL;
}

static void netport_to_backlog(struct net_port *port,
			       const struct iovec *frames, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		uint32_t len = (uint32_t)frames[i].iov_len;
		uint8_t *at;

		if (!netport_has_room(port, sizeof(len) + len) ||
		    buf_reserve(&port->backlog, sizeof(len) + len, &at)) {
			netport_count(port, NETPORT_TX_DROPPED, 1);
			continue;
		}
		memcpy(at, &len, sizeof(len));
		memcpy(at + sizeof(len), frames[i].iov_base, len);
		buf_produced(&port->backlog, sizeof(len) + len);
		port->net->backlogs += sizeof(len) + len;
	}
}

/* The peer has room again. */
static void netport_drain(struct net_port *port)
{
	struct iovec frames[BURST_FRAMES];
	unsigned int n, done;

	do {
		uint8_t *at = buf_data(&port->backlog);
		uint8_t *end = at + buf_len(&port->backlog);
		size_t bytes = 0;

		for (n = 0; n < BURST_FRAMES && at < end; n++) {
			uint32_t len;

			memcpy(&len, at, sizeof(len));
			frames[n].iov_base = at + sizeof(len);
			frames[n].iov_len = len;
			at += sizeof(len) + len;
		}
		done = netport_transmit(port, frames, n);
		if (!port->id)
			return;
		for (unsigned int i = 0; i < done; i++)
			bytes += sizeof(uint32_t) + frames[i].iov_len;
		netport_consume(port, bytes);
	} while (done == n && buf_len(&port->backlog));
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
	for (unsigned int i = 0; i < burst->count; i++) {
		uint32_t len = burst_len(burst, i);

		if (len < FRAME_MIN) {
			netport_count(port, NETPORT_RX_RUNTS, 1);
		} else if (len > FRAME_MAX) {
			netport_count(port, NETPORT_RX_GIANTS, 1);
		} else {
			netport_count(port, NETPORT_RX_FRAMES, 1);
			netport_count(port, NETPORT_RX_BYTES, len);
			net_frame_up(port->net, port->id, burst_frame(burst, i),
				     len);
		}
	}
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
	if (!getsockopt(peer_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
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

void netport_send(struct net_port *port, const uint8_t *frame, uint32_t len)
{
	if (port->n_pending == BURST_FRAMES)
		netport_flush(port);
	if (!port->id)
		return;
	if (!port->n_pending)
		LIST_INSERT_HEAD(&port->net->dirty_ports, port, dirty_link);
	/* sendmmsg() only reads; struct iovec knows no const. */
	port->pending[port->n_pending++] = (struct iovec){
		.iov_base = (void *)(uintptr_t)frame, .iov_len = len};
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
