/* SPDX-License-Identifier: Apache-2.0 */
#include "port_daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "request_v3.h"

enum daemon_state { DAEMON_ASKING, DAEMON_UP, DAEMON_CLOSED };

struct daemon {
	struct net_port port; /* from DAEMON_UP on */
	struct net *net;
	enum daemon_state state;
	int control_fd;
	struct loop_fd control;
	struct loop_timer limit;
	struct loop_garbage garbage;
	size_t got;
	uint8_t request[REQUEST_V3_SIZE + 1]; /* one more shows surplus */
};

static void daemon_free(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct daemon, garbage));
}

static void daemon_close(struct daemon *daemon)
{
	daemon->state = DAEMON_CLOSED;
	loop_timer_cancel(&daemon->net->loop, &daemon->limit);
	loop_del(&daemon->net->loop, &daemon->control);
	close(daemon->control_fd);
	daemon->net->connections--;
	loop_defer(&daemon->net->loop, &daemon->garbage, daemon_free);
}

/* Close a connection that has no port yet, for this reason. */
static void daemon_refuse(struct daemon *daemon, enum net_counter reason)
{
	net_count(daemon->net, reason);
	log_limited(&daemon->net->peer_log, "control connection closed: %s",
		    net_counter_names[reason]);
	daemon_close(daemon);
}

static int daemon_receive(struct net_port *port, struct burst *burst)
{
	return burst_receive(burst, port->fd);
}

static int daemon_send(struct net_port *port, const struct frame *frames,
		       unsigned int n)
{
	return burst_send(&port->net->burst, port->fd, frames, n);
}

static void daemon_port_close(struct net_port *port)
{
	close(port->fd);
	daemon_close(container_of(port, struct daemon, port));
}

static const struct port_kind_ops daemon_ops = {
	.kind = "daemon",
	.receive = daemon_receive,
	.send = daemon_send,
	.close = daemon_port_close,
};

static struct sockaddr *generic(struct sockaddr_un *address)
{
	return (struct sockaddr *)(void *)address;
}

static int daemon_bind(int fd, struct sockaddr_un *own)
{
	uint64_t random[2];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	*own = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(own->sun_path + 1, sizeof(own->sun_path) - 1,
		 "evum-%016" PRIx64 "%016" PRIx64, random[0], random[1]);
	return bind(fd, generic(own), sizeof(*own)) < 0 ? -errno : 0;
}

/* The port's own datagram socket and its address, or -errno. */
static int daemon_socket(struct request_v3 *request, struct sockaddr_un *own)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, generic(&request->peer), request->peer_len) < 0)
		err = -errno;
	if (!err)
		err = daemon_bind(fd, own);
	if (err)
		close(fd);
	return err ? err : fd;
}

static bool out_of_resources(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM ||
	       err == -ENOBUFS;
}

static void daemon_up(struct daemon *daemon, struct request_v3 *request)
{
	struct sockaddr_un own;
	int fd = daemon_socket(request, &own);

	if (fd < 0) {
		daemon_refuse(daemon, out_of_resources(fd)
					      ? NET_REFUSED_DESCRIPTORS
					      : NET_BAD_ADDRESS);
		return;
	}
	loop_timer_cancel(&daemon->net->loop, &daemon->limit);
	netport_init(&daemon->port, daemon->net, &daemon_ops, fd);
	if (netport_up(&daemon->port, daemon->control_fd)) {
		close(fd);
		daemon_refuse(daemon, NET_REFUSED_DESCRIPTORS);
		return;
	}
	daemon->state = DAEMON_UP;
	/* The first bytes on this socket: there is room for all of them. */
	if (send(daemon->control_fd, &own, sizeof(own),
		 MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(own))
		netport_down(&daemon->port, "closed");
}

static void daemon_ask(struct daemon *daemon)
{
	static const enum net_counter reasons[] = {
		[REQUEST_SURPLUS] = NET_SURPLUS_BYTES,
		[REQUEST_BAD_MAGIC] = NET_BAD_MAGIC,
		[REQUEST_BAD_VERSION] = NET_BAD_VERSION,
		[REQUEST_BAD_TYPE] = NET_BAD_TYPE,
		[REQUEST_BAD_ADDRESS] = NET_BAD_ADDRESS,
	};
	struct request_v3 request;
	enum request_verdict verdict;
	ssize_t n = recv(daemon->control_fd, daemon->request + daemon->got,
			 sizeof(daemon->request) - daemon->got, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		daemon_refuse(daemon, NET_SHORT_REQUEST);
		return;
	}
	daemon->got += (size_t)n;
	verdict = request_v3_parse(daemon->request, daemon->got, &request);
	if (verdict == REQUEST_OK)
		daemon_up(daemon, &request);
	else if (verdict != REQUEST_SHORT)
		daemon_refuse(daemon, reasons[verdict]);
}

/* Once there is a port, all that may come is the end. */
static void daemon_listen_for_end(struct daemon *daemon)
{
	char byte;
	ssize_t n = recv(daemon->control_fd, &byte, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		net_count(daemon->net, NET_SURPLUS_BYTES);
		log_limited(&daemon->net->peer_log,
			    "port %u closed: bytes behind its request",
			    daemon->port.id);
	}
	netport_down(&daemon->port, n > 0 ? "protocol" : "closed");
}

static void daemon_control_ready(struct loop_fd *entry, uint32_t events)
{
	struct daemon *daemon = container_of(entry, struct daemon, control);

	(void)events;
	switch (daemon->state) {
	case DAEMON_ASKING:
		daemon_ask(daemon);
		break;
	case DAEMON_UP:
		daemon_listen_for_end(daemon);
		break;
	case DAEMON_CLOSED:
		break;
	}
}

static void daemon_late(struct loop_timer *timer)
{
	daemon_refuse(container_of(timer, struct daemon, limit), NET_TIMEOUT);
}

void daemon_accepted(struct net *net, int fd)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));

	if (!daemon || loop_add(&net->loop, &daemon->control, fd, EPOLLIN,
				daemon_control_ready)) {
		net_count(net, NET_REFUSED_DESCRIPTORS);
		free(daemon);
		close(fd);
		return;
	}
	daemon->net = net;
	daemon->control_fd = fd;
	net->connections++;
	loop_timer_set(&net->loop, &daemon->limit, DAEMON_REQUEST_MS,
		       daemon_late);
}
