/* SPDX-License-Identifier: Apache-2.0 */
#include "port_bess.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "net.h"

struct bess {
	struct net_port port;
	struct loop_garbage garbage;
};

/*
 * At the end of a connection recvmmsg() yields as many empty packets as it is
 * asked for, and a peer may send empty packets. Once the peer is known to
 * have gone, the first empty one is the end.
 */
static int bess_receive(struct net_port *port, struct burst *burst)
{
	struct pollfd pfd = {.fd = port->fd, .events = POLLRDHUP};
	int err = burst_receive(burst, port->fd);

	if (err)
		return err;
	for (unsigned int i = 0; i < burst->count; i++) {
		if (burst->frames[i].len)
			continue;
		if (poll(&pfd, 1, 0) == 1) {
			burst->count = i;
			burst->ended = true;
		}
		break;
	}
	return 0;
}

static int bess_send(struct net_port *port, const struct frame *frames,
		     unsigned int n)
{
	return burst_send(&port->net->burst, port->fd, frames, n);
}

static void bess_free(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct bess, garbage));
}

static void bess_close(struct net_port *port)
{
	struct bess *bess = container_of(port, struct bess, port);

	close(port->fd);
	port->net->connections--;
	loop_defer(&port->net->loop, &bess->garbage, bess_free);
}

static const struct port_kind_ops bess_ops = {
	.kind = "bess",
	.receive = bess_receive,
	.send = bess_send,
	.close = bess_close,
};

static const struct port_kind_ops fd_ops = {
	.kind = "fd",
	.receive = bess_receive,
	.send = bess_send,
	.close = bess_close,
};

static void bess_up(struct net *net, int fd, const struct port_kind_ops *kind)
{
	struct bess *bess = calloc(1, sizeof(*bess));

	if (bess) {
		netport_init(&bess->port, net, kind, fd);
		net->connections++;
		if (!netport_up(&bess->port, fd))
			return;
		net->connections--;
	}
	net_count(net, NET_REFUSED_DESCRIPTORS);
	free(bess);
	close(fd);
}

void bess_accepted(struct net *net, int fd)
{
	bess_up(net, fd, &bess_ops);
}

void bess_handed_over(struct net *net, int fd)
{
	bess_up(net, fd, &fd_ops);
}
