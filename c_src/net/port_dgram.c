/* SPDX-License-Identifier: Apache-2.0 */
#include "port_dgram.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net.h"

struct dgram {
	struct net_port port;
	struct address local;
	bool bound;
	struct loop_garbage garbage;
};

static bool is_unix(const struct net_port *port)
{
	return container_of(port, struct dgram, port)->local.any.sa_family ==
	       AF_UNIX;
}

static int dgram_receive(struct net_port *port, struct burst *burst)
{
	int err = burst_receive(burst, port->fd);

	/* What an earlier frame has met with. */
	return err == -ECONNREFUSED ? -EAGAIN : err;
}

static int dgram_send(struct net_port *port, const struct frame *frames,
		      unsigned int n)
{
	int sent = burst_send(&port->net->burst, port->fd, frames, n);

	return sent == -ECONNREFUSED && !is_unix(port) ? -ENOBUFS : sent;
}

static void dgram_free(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct dgram, garbage));
}

static void dgram_close(struct net_port *port)
{
	struct dgram *dgram = container_of(port, struct dgram, port);

	if (dgram->bound && is_unix(port))
		unlink(dgram->local.local.sun_path);
	close(port->fd);
	port->net->connections--;
	loop_defer(&port->net->loop, &dgram->garbage, dgram_free);
}

static const struct port_kind_ops dgram_ops = {
	.kind = "dgram",
	.receive = dgram_receive,
	.send = dgram_send,
	.close = dgram_close,
};

static int dgram_open(struct dgram *dgram, const struct address *peer)
{
	if (bind(dgram->port.fd, &dgram->local.any, dgram->local.len) < 0)
		return -errno;
	dgram->bound = true;
	if (connect(dgram->port.fd, &peer->any, peer->len) < 0)
		return -errno;
	return netport_up(&dgram->port, -1);
}

void dgram_connect(struct net *net, uint64_t id, const struct address *local,
		   const struct address *peer)
{
	struct dgram *dgram = calloc(1, sizeof(*dgram));
	int fd = socket(local->any.sa_family,
			SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (!dgram || fd < 0) {
		err = fd < 0 ? -errno : -ENOMEM;
		net_count(net, NET_REFUSED_DESCRIPTORS);
		if (fd >= 0)
			close(fd);
		free(dgram);
		net_answer_port(net, id, NULL, err);
		return;
	}
	dgram->local = *local;
	netport_init(&dgram->port, net, &dgram_ops, fd);
	net->connections++;
	err = dgram_open(dgram, peer);
	net_answer_port(net, id, &dgram->port, err);
	if (err)
		dgram_close(&dgram->port);
}
