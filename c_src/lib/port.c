/* SPDX-License-Identifier: Apache-2.0 */
#include "port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define PORT_HEADER 4
#define PORT_READ_CHUNK (64u << 10)

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static void port_add_credit(struct port *port, int64_t *credit,
			    const uint8_t *packet, size_t len)
{
	uint32_t more;

	if (len != 1 + sizeof(more))
		die("credit packet of %zu bytes", len);
	memcpy(&more, packet + 1, sizeof(more));
	*credit += ntohl(more);
	port->ops->writable(port);
}

static void port_packet(struct port *port, const uint8_t *packet, size_t len)
{
	uint8_t kind = packet[0];

	if (kind >= PORT_KIND_SECOND && kind <= PORT_KIND_SECOND_CREDIT &&
	    !port->ops->second)
		kind = 0;
	switch (kind) {
	case PORT_KIND_TERM:
		port->ops->term(port, (const char *)packet, len);
		break;
	case PORT_KIND_DATA:
		port->ops->data(port, packet + 1, len - 1);
		break;
	case PORT_KIND_CREDIT:
		port_add_credit(port, &port->credit, packet, len);
		break;
	case PORT_KIND_SECOND:
		port->ops->second(port, packet + 1, len - 1);
		break;
	case PORT_KIND_SECOND_CREDIT:
		port_add_credit(port, &port->second_credit, packet, len);
		break;
	default:
		die("packet of unknown kind %d", packet[0]);
	}
}

/* Take whole packets off rx. */
static void port_parse(struct port *port)
{
	while (buf_len(&port->rx) >= PORT_HEADER) {
		uint32_t len;

		memcpy(&len, buf_data(&port->rx), sizeof(len));
		len = ntohl(len);
		if (len == 0 || len > PORT_PACKET_MAX)
			die("packet of %u bytes, at most %u are taken", len,
			    PORT_PACKET_MAX);
		if (buf_len(&port->rx) - PORT_HEADER < len)
			return;
		port_packet(port, buf_data(&port->rx) + PORT_HEADER, len);
		buf_consume(&port->rx, PORT_HEADER + len);
	}
}

static void port_in_ready(struct loop_fd *entry, uint32_t events)
{
	struct port *port = container_of(entry, struct port, in);
	uint8_t *at;
	ssize_t n;
	int err;

	(void)events;
	err = buf_reserve(&port->rx, PORT_READ_CHUNK, &at);
	if (err)
		die("reading from the BEAM: %s", strerror(-err));
	n = read(entry->fd, at, PORT_READ_CHUNK);
	if (n > 0) {
		buf_produced(&port->rx, (size_t)n);
		port_parse(port);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		loop_del(port->loop, &port->in);
		port->ops->closed(port);
	}
}

/* 0 when all is out, -EAGAIN when the pipe is full, or another -errno. */
static int port_write(struct port *port)
{
	while (buf_len(&port->tx)) {
		ssize_t n = write(port->out.fd, buf_data(&port->tx),
				  buf_len(&port->tx));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			buf_consume(&port->tx, (size_t)n);
	}
	return 0;
}

/* Also when all is out, as long as somebody is to be told so. */
static void port_watch_out(struct port *port)
{
	loop_watch(port->loop, &port->out,
		   buf_len(&port->tx) || port->stalled ? EPOLLOUT : 0);
}

static void port_push(struct port *port)
{
	int err = port_write(port);

	/* A BEAM that has gone is noticed by the end of stdin. */
	if (err && err != -EAGAIN)
		buf_consume(&port->tx, buf_len(&port->tx));
	if (port_congested(port))
		port->stalled = true;
	port_watch_out(port);
}

static void port_out_ready(struct loop_fd *entry, uint32_t events)
{
	struct port *port = container_of(entry, struct port, out);

	if (events & (EPOLLERR | EPOLLHUP)) {
		loop_del(port->loop, &port->out);
		port->ops->closed(port);
		return;
	}
	port_push(port);
	if (port->stalled && !port_congested(port)) {
		port->stalled = false;
		port_watch_out(port);
		port->ops->writable(port);
	}
}

int port_init(struct port *port, struct loop *loop, const struct port_ops *ops,
	      int in_fd, int out_fd)
{
	int err;

	*port = (struct port){.loop = loop, .ops = ops};
	buf_init(&port->rx, PORT_PACKET_MAX + PORT_READ_CHUNK + PORT_HEADER);
	buf_init(&port->tx, PORT_OUT_MAX);
	err = set_nonblocking(in_fd);
	if (!err)
		err = set_nonblocking(out_fd);
	if (!err)
		err = loop_add(loop, &port->in, in_fd, EPOLLIN, port_in_ready);
	if (!err)
		err = loop_add(loop, &port->out, out_fd, 0, port_out_ready);
	return err;
}

void port_grant(struct port *port, uint32_t bytes)
{
	port->credit += bytes;
}

uint64_t port_credit(const struct port *port)
{
	return port->credit > 0 ? (uint64_t)port->credit : 0;
}

uint64_t port_second_credit(const struct port *port)
{
	return port->second_credit > 0 ? (uint64_t)port->second_credit : 0;
}

bool port_congested(const struct port *port)
{
	return buf_len(&port->tx) > PORT_OUT_HIGH;
}

static void port_queue(struct port *port, const uint8_t *kind,
		       const void *bytes, size_t len)
{
	size_t total = len + (kind ? 1 : 0);
	uint32_t header = htonl((uint32_t)total);
	int err = buf_append(&port->tx, &header, sizeof(header));

	if (!err && kind)
		err = buf_append(&port->tx, kind, 1);
	if (!err)
		err = buf_append(&port->tx, bytes, len);
	if (err)
		die("%zu bytes wait for a BEAM that does not read: %s",
		    buf_len(&port->tx), strerror(-err));
	if (port->out.fd >= 0)
		port_push(port);
}

void port_send_data(struct port *port, const void *bytes, size_t len)
{
	static const uint8_t kind = PORT_KIND_DATA;

	port->credit -= (int64_t)len;
	port_queue(port, &kind, bytes, len);
}

void port_send_second(struct port *port, const void *bytes, size_t len)
{
	static const uint8_t kind = PORT_KIND_SECOND;

	port->second_credit -= (int64_t)len;
	port_queue(port, &kind, bytes, len);
}

void port_send_term(struct port *port, ei_x_buff *x)
{
	port_queue(port, NULL, x->buff, (size_t)x->index);
	ei_x_free(x);
}

int port_flush(struct port *port)
{
	int err;

	while ((err = port_write(port)) == -EAGAIN) {
		struct pollfd pfd = {.fd = port->out.fd, .events = POLLOUT};

		if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
			return -errno;
		if (pfd.revents & (POLLERR | POLLHUP))
			return -EPIPE;
	}
	return err;
}

void port_close(struct port *port)
{
	loop_del(port->loop, &port->in);
	loop_del(port->loop, &port->out);
	buf_free(&port->rx);
	buf_free(&port->tx);
}
