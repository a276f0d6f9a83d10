/* SPDX-License-Identifier: Apache-2.0 */
#include "listener.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net.h"
#include "port_bess.h"
#include "port_daemon.h"
#include "port_fd.h"
#include "port_stream.h"
#include "port_vhost.h"

static const struct {
	const char *suffix;
	int type;
	void (*accepted)(struct net *net, int fd);
} doors[LISTENER_SOCKETS] = {
	{"", SOCK_STREAM, daemon_accepted},
	{LISTENER_BESS_SUFFIX, SOCK_SEQPACKET, bess_accepted},
	{LISTENER_VHOST_SUFFIX, SOCK_STREAM, vhost_accepted},
	{LISTENER_FD_SUFFIX, SOCK_STREAM, fd_accepted},
};

static void listen_ready(struct loop_fd *entry, uint32_t events);

static bool is_unix(const struct address *address)
{
	return address->any.sa_family == AF_UNIX;
}

/* Is there a socket file at the address that nobody listens at? */
static bool is_stale(const struct address *address, int type)
{
	struct stat st;
	bool refused;
	int fd;

	/* connect() says ECONNREFUSED of files that are no sockets, too. */
	if (!is_unix(address) || lstat(address->local.sun_path, &st) < 0 ||
	    !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	refused = connect(fd, &address->any, address->len) < 0 &&
		  errno == ECONNREFUSED;
	close(fd);
	return refused;
}

static int bind_address(int fd, const struct address *address, int type)
{
	if (!bind(fd, &address->any, address->len))
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (!is_stale(address, type))
		return -EADDRINUSE;
	if (unlink(address->local.sun_path) < 0 && errno != ENOENT)
		return -errno;
	return bind(fd, &address->any, address->len) < 0 ? -errno : 0;
}

static void listen_socket_close(struct listen_socket *sock)
{
	struct stat st;

	if (sock->fd < 0)
		return;
	loop_del(&sock->listener->net->loop, &sock->io);
	close(sock->fd);
	sock->fd = -1;
	if (is_unix(&sock->address) &&
	    !lstat(sock->address.local.sun_path, &st) &&
	    st.st_dev == sock->dev && st.st_ino == sock->ino)
		unlink(sock->address.local.sun_path);
}

static int listen_socket_open(struct listen_socket *sock, int type,
			      const char **step)
{
	int yes = 1, err;
	struct stat st;

	*step = "bind";
	sock->fd = socket(sock->address.any.sa_family,
			  type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock->fd < 0)
		return -errno;
	setsockopt(sock->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	err = bind_address(sock->fd, &sock->address, type);
	if (err) {
		close(sock->fd);
		sock->fd = -1;
		return err;
	}
	if (is_unix(&sock->address) &&
	    !lstat(sock->address.local.sun_path, &st)) {
		sock->dev = st.st_dev;
		sock->ino = st.st_ino;
	}
	*step = "listen";
	if (listen(sock->fd, SOMAXCONN) < 0)
		err = -errno;
	if (!err)
		err = loop_add(&sock->listener->net->loop, &sock->io, sock->fd,
			       EPOLLIN, listen_ready);
	if (err)
		listen_socket_close(sock);
	return err;
}

static int listen_address(struct listen_socket *sock, const char *path,
			  const char *suffix)
{
	struct sockaddr_un *local = &sock->address.local;
	size_t room = sizeof(local->sun_path);
	int n;

	local->sun_family = AF_UNIX;
	sock->address.len = sizeof(*local);
	n = snprintf(local->sun_path, room, "%s%s", path, suffix);
	return n <= 0 || (size_t)n >= room ? -ENAMETOOLONG : 0;
}

static void listener_free(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct listener, garbage));
}

/* Nothing is bound before it is known that all names fit. */
static int listener_bind(struct listener *listener, const char *path,
			 const char **step)
{
	int err = 0;

	*step = "path";
	for (size_t i = 0; i < LISTENER_SOCKETS && !err; i++)
		err = listen_address(&listener->sockets[i], path,
				     doors[i].suffix);
	for (size_t i = 0; i < LISTENER_SOCKETS && !err; i++)
		err = listen_socket_open(&listener->sockets[i], doors[i].type,
					 step);
	return err;
}

static struct listener *listener_new(struct net *net, unsigned int n)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return NULL;
	listener->net = net;
	listener->n_sockets = n;
	for (size_t i = 0; i < n; i++)
		listener->sockets[i] =
			(struct listen_socket){.listener = listener,
					       .accepted = doors[i].accepted,
					       .fd = -1,
					       .io.fd = -1};
	return listener;
}

/* Enter it, or take back what was opened of it. */
static int listener_opened(struct listener *listener, int err)
{
	if (err) {
		for (size_t i = 0; i < listener->n_sockets; i++)
			listen_socket_close(&listener->sockets[i]);
		free(listener);
		return err;
	}
	listener->id = ++listener->net->last_listener_id;
	LIST_INSERT_HEAD(&listener->net->listeners, listener, link);
	return 0;
}

int listener_open(struct net *net, const char *path, bool own_dir, uint32_t *id,
		  const char **step)
{
	struct listener *listener = listener_new(net, LISTENER_SOCKETS);
	int err;

	*step = "listen";
	if (!listener)
		return -ENOMEM;
	listener->own_dir = own_dir;
	err = listener_bind(listener, path, step);
	err = listener_opened(listener, err);
	if (!err)
		*id = listener->id;
	return err;
}

int listener_open_stream(struct net *net, const struct address *address,
			 bool trunk, struct listener **opened,
			 const char **step)
{
	struct listener *listener = listener_new(net, 1);
	int err;

	*step = "listen";
	if (!listener)
		return -ENOMEM;
	listener->sockets[0].accepted =
		trunk ? trunk_accepted : stream_accepted;
	listener->sockets[0].address = *address;
	err = listen_socket_open(&listener->sockets[0], SOCK_STREAM, step);
	err = listener_opened(listener, err);
	if (!err)
		*opened = listener;
	return err;
}

void listener_close(struct listener *listener)
{
	for (size_t i = 0; i < listener->n_sockets; i++)
		listen_socket_close(&listener->sockets[i]);
	/* Somebody else's files may be there by now: then it stays. */
	if (listener->own_dir)
		rmdir(dirname(listener->sockets[0].address.local.sun_path));
	loop_timer_cancel(&listener->net->loop, &listener->retry);
	LIST_REMOVE(listener, link);
	loop_defer(&listener->net->loop, &listener->garbage, listener_free);
}

struct listener *listener_by_id(struct net *net, uint32_t id)
{
	struct listener *listener;

	LIST_FOREACH(listener, &net->listeners, link)
	if (listener->id == id)
		return listener;
	return NULL;
}

static void listener_pause(struct listener *listener)
{
	for (size_t i = 0; i < listener->n_sockets; i++)
		loop_del(&listener->net->loop, &listener->sockets[i].io);
}

static void listener_retry(struct loop_timer *timer)
{
	listener_resume(container_of(timer, struct listener, retry));
}

static void listener_retry_later(struct listener *listener)
{
	loop_timer_set(&listener->net->loop, &listener->retry,
		       LISTENER_RETRY_MS, listener_retry);
}

void listener_resume(struct listener *listener)
{
	struct loop *loop = &listener->net->loop;

	for (size_t i = 0; i < listener->n_sockets; i++) {
		struct listen_socket *sock = &listener->sockets[i];

		if (sock->io.fd < 0 &&
		    loop_add(loop, &sock->io, sock->fd, EPOLLIN, listen_ready))
			listener_retry_later(listener);
	}
}

/* Accept one. 0, -EAGAIN when none waits, or what made it fail. */
static int listen_accept(struct listen_socket *sock)
{
	struct net *net = sock->listener->net;
	int fd = accept4(sock->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (net->connections >= NET_CONNECTIONS_MAX) {
		close(fd);
		net_count(net, NET_REFUSED_LIMIT);
		log_limited(&net->resource_log,
			    "connection refused: there are %u already",
			    net->connections);
		return 0;
	}
	net_count(net, NET_ACCEPTED);
	sock->accepted(net, fd);
	return 0;
}

static void listen_ready(struct loop_fd *entry, uint32_t events)
{
	struct listen_socket *sock =
		container_of(entry, struct listen_socket, io);
	struct net *net = sock->listener->net;
	int err = 0;

	(void)events;
	for (int i = 0; i < LISTENER_BURST && !err; i++) {
		if (port_congested(&net->beam)) {
			listener_pause(sock->listener);
			return;
		}
		err = listen_accept(sock);
		if (err == -EINTR || err == -ECONNABORTED)
			err = 0;
	}
	if (!err || err == -EAGAIN)
		return;
	net_count(net, NET_REFUSED_DESCRIPTORS);
	log_limited(&net->resource_log, "accept at %s: %s",
		    is_unix(&sock->address) ? sock->address.local.sun_path
					    : "a TCP port",
		    strerror(-err));
	listener_pause(sock->listener);
	listener_retry_later(sock->listener);
}
