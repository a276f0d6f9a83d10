/* SPDX-License-Identifier: Apache-2.0 */
#include "port_fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "port_bess.h"

/* Descriptors in one message; all but the only one are closed. */
#define HANDED_MAX 8

struct handover {
	struct net *net;
	struct loop_fd io;
	struct loop_timer limit;
	int fd;
	struct loop_garbage garbage;
};

static void handover_free(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct handover, garbage));
}

static void handover_close(struct handover *handover)
{
	loop_del(&handover->net->loop, &handover->io);
	loop_timer_cancel(&handover->net->loop, &handover->limit);
	close(handover->fd);
	handover->net->connections--;
	loop_defer(&handover->net->loop, &handover->garbage, handover_free);
}

static void handover_refuse(struct handover *handover, enum net_counter reason)
{
	net_count(handover->net, reason);
	log_limited(&handover->net->peer_log, "handing over closed: %s",
		    net_counter_names[reason]);
	handover_close(handover);
}

/* Packets, of a unix socket that has a peer: what else could it be made to? */
static bool is_packet_socket(int fd)
{
	int type = 0, domain = 0;
	socklen_t len = sizeof(int);
	struct ucred cred;
	socklen_t cred_len = sizeof(cred);

	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) &&
	       type == SOCK_SEQPACKET &&
	       !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
	       domain == AF_UNIX &&
	       !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) &&
	       cred.pid >= 0;
}

/* The descriptors that came, -errno, or 0 where the peer has gone. */
static int receive_fds(int socket, int fds[HANDED_MAX])
{
	union {
		char bytes[CMSG_SPACE(HANDED_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	ssize_t got = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *cmsg;
	size_t n = 0;

	if (got < 0)
		return -errno;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(cmsg), n * sizeof(int));
	}
	return (int)n;
}

static void handover_ready(struct loop_fd *entry, uint32_t events)
{
	struct handover *handover = container_of(entry, struct handover, io);
	int fds[HANDED_MAX] = {0};
	int n = receive_fds(handover->fd, fds);

	(void)events;
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n == 1 && is_packet_socket(fds[0])) {
		bess_handed_over(handover->net, fds[0]);
		handover_close(handover);
		return;
	}
	for (int i = 0; i < n; i++)
		close(fds[i]);
	handover_refuse(handover,
			n > 0 ? NET_BAD_DESCRIPTOR : NET_SHORT_REQUEST);
}

static void handover_late(struct loop_timer *timer)
{
	handover_refuse(container_of(timer, struct handover, limit),
			NET_TIMEOUT);
}

void fd_accepted(struct net *net, int fd)
{
	struct handover *handover = calloc(1, sizeof(*handover));

	if (!handover ||
	    loop_add(&net->loop, &handover->io, fd, EPOLLIN, handover_ready)) {
		net_count(net, NET_REFUSED_DESCRIPTORS);
		free(handover);
		close(fd);
		return;
	}
	handover->net = net;
	handover->fd = fd;
	net->connections++;
	loop_timer_set(&net->loop, &handover->limit, FD_HANDOVER_MS,
		       handover_late);
}
