/* SPDX-License-Identifier: Apache-2.0 */
#include "port_stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "framing.h"
#include "net.h"

struct stream {
	struct net_port port;
	struct net *net;
	struct loop_fd connecting;
	struct loop_timer limit;
	uint64_t request; /* to be answered once connected */
	struct loop_garbage garbage;
	struct framing framing;
	struct buf rest; /* of a frame that was sent in part */
};

/* The whole frames in the buffer, as many as a burst holds. */
static int stream_fill(struct stream *stream, struct burst *burst)
{
	int more = 1;

	burst->count = 0;
	while (burst->count < BURST_FRAMES &&
	       (more = framing_next(&stream->framing,
				    &burst->frames[burst->count])) > 0)
		burst->count++;
	burst->more = more > 0;
	return more < 0 ? more : 0;
}

static int stream_receive(struct net_port *port, struct burst *burst)
{
	struct stream *stream = container_of(port, struct stream, port);
	uint8_t *at;
	size_t room;
	ssize_t n;

	burst->ended = false;
	if (burst->more)
		return stream_fill(stream, burst);
	room = framing_room(&stream->framing, &at);
	n = recv(port->fd, at, room, MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	burst->ended = n == 0;
	framing_produced(&stream->framing, (size_t)n);
	return stream_fill(stream, burst);
}

/* What is left of the frame before: 0 once it is out. */
static int stream_send_rest(struct stream *stream)
{
	while (buf_len(&stream->rest)) {
		ssize_t n = send(stream->port.fd, buf_data(&stream->rest),
				 buf_len(&stream->rest),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		buf_consume(&stream->rest, (size_t)n);
	}
	stream->port.unsent = false;
	return 0;
}

/* All of the first frames went out, and perhaps part of one: keep the rest. */
static int stream_keep_rest(struct stream *stream, const struct iovec *iov,
			    size_t sent, unsigned int n)
{
	unsigned int i = 0;

	while (i < 2 * n && sent >= iov[i].iov_len)
		sent -= iov[i++].iov_len;
	if (i % 2 == 0 && !sent)
		return (int)(i / 2);
	for (unsigned int part = i; part < (i | 1) + 1; part++) {
		int err = buf_append(&stream->rest,
				     (const uint8_t *)iov[part].iov_base + sent,
				     iov[part].iov_len - sent);

		if (err)
			return err;
		sent = 0;
	}
	stream->port.unsent = true;
	return (int)(i / 2) + 1;
}

static int stream_send(struct net_port *port, const struct frame *frames,
		       unsigned int n)
{
	struct stream *stream = container_of(port, struct stream, port);
	struct iovec iov[2 * BURST_FRAMES];
	uint32_t lengths[BURST_FRAMES];
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2 * (size_t)n};
	int err = stream_send_rest(stream);
	ssize_t sent;

	if (err || !n)
		return err;
	for (unsigned int i = 0; i < n; i++) {
		lengths[i] = htonl(frames[i].len);
		iov[2 * i] = (struct iovec){&lengths[i], FRAMING_LENGTH};
		/* sendmsg() only reads; struct iovec knows no const. */
		iov[2 * i + 1] = (struct iovec){
			(void *)(uintptr_t)frames[i].bytes, frames[i].len};
	}
	sent = sendmsg(port->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0)
		return errno == EPIPE || errno == ECONNRESET ? -ECONNREFUSED
							     : -errno;
	err = stream_keep_rest(stream, iov, (size_t)sent, n);
	/* Half a frame that cannot be finished: there is no way on. */
	return err < 0 ? -ECONNREFUSED : err;
}

static void stream_free(struct loop_garbage *garbage)
{
	struct stream *stream = container_of(garbage, struct stream, garbage);

	buf_free(&stream->rest);
	framing_free(&stream->framing);
	free(stream);
}

static void stream_close(struct net_port *port)
{
	struct stream *stream = container_of(port, struct stream, port);

	loop_del(&port->net->loop, &stream->connecting);
	loop_timer_cancel(&port->net->loop, &stream->limit);
	close(port->fd);
	port->net->connections--;
	loop_defer(&port->net->loop, &stream->garbage, stream_free);
}

static const struct port_kind_ops stream_ops = {
	.kind = "stream",
	.receive = stream_receive,
	.send = stream_send,
	.close = stream_close,
};

static const struct port_kind_ops trunk_ops = {
	.kind = "trunk",
	.receive = stream_receive,
	.send = stream_send,
	.close = stream_close,
};

/* Takes the socket over; NULL, and it is closed, without memory. */
static struct stream *stream_new(struct net *net, int fd,
				 const struct port_kind_ops *ops)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	int yes = 1;

	if (!stream || framing_init(&stream->framing)) {
		free(stream);
		close(fd);
		net_count(net, NET_REFUSED_DESCRIPTORS);
		return NULL;
	}
	/* Fails for unix sockets, which have no use for either. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes));
	buf_init(&stream->rest, FRAMING_LENGTH + FRAME_MAX);
	stream->net = net;
	stream->connecting.fd = -1;
	netport_init(&stream->port, net, ops, fd);
	net->connections++;
	return stream;
}

static void stream_up(struct net *net, int fd, const struct port_kind_ops *ops)
{
	struct stream *stream = stream_new(net, fd, ops);

	if (stream && netport_up(&stream->port, fd)) {
		net_count(net, NET_REFUSED_DESCRIPTORS);
		stream_close(&stream->port);
	}
}

void stream_accepted(struct net *net, int fd)
{
	stream_up(net, fd, &stream_ops);
}

void trunk_accepted(struct net *net, int fd)
{
	stream_up(net, fd, &trunk_ops);
}

static void stream_connected(struct stream *stream, int err)
{
	loop_del(&stream->net->loop, &stream->connecting);
	loop_timer_cancel(&stream->net->loop, &stream->limit);
	if (!err)
		err = netport_up(&stream->port, stream->port.fd);
	net_answer_port(stream->net, stream->request, &stream->port, err);
	if (err)
		stream_close(&stream->port);
}

static void stream_ready(struct loop_fd *entry, uint32_t events)
{
	struct stream *stream = container_of(entry, struct stream, connecting);
	socklen_t len = sizeof(int);
	int err = 0;

	(void)events;
	if (getsockopt(stream->port.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	stream_connected(stream, -err);
}

static void stream_late(struct loop_timer *timer)
{
	stream_connected(container_of(timer, struct stream, limit), -ETIMEDOUT);
}

void stream_connect(struct net *net, uint64_t id, const struct address *address,
		    bool trunk)
{
	int fd = socket(address->any.sa_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stream *stream = NULL;
	int err = fd < 0 ? -errno : 0;

	if (!err) {
		stream = stream_new(net, fd, trunk ? &trunk_ops : &stream_ops);
		if (!stream)
			err = -ENOMEM;
	}
	if (err) {
		net_answer_port(net, id, NULL, err);
		return;
	}
	stream->request = id;
	if (connect(fd, &address->any, address->len) < 0)
		err = -errno;
	if (err != -EINPROGRESS) {
		stream_connected(stream, err);
		return;
	}
	err = loop_add(&net->loop, &stream->connecting, fd, EPOLLOUT,
		       stream_ready);
	if (err)
		stream_connected(stream, err);
	else
		loop_timer_set(&net->loop, &stream->limit, STREAM_CONNECT_MS,
			       stream_late);
}
