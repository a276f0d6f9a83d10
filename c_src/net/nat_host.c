/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "nat.h"

/* A listener is the host's own: forwards are counted by themselves. */
enum nat_fd_kind {
	NAT_FD_UNKNOWN,
	NAT_FD_STREAM,
	NAT_FD_LISTENER,
	NAT_FD_DATAGRAM,
};

struct nat_fd {
	struct loop_fd io;
	struct nat *nat;
	enum nat_fd_kind kind;
	uint32_t happened;  /* EPOLL*, not yet told to libslirp */
	uint64_t wanted_in; /* the latest round that wanted it */
	LIST_ENTRY(nat_fd) link;
};

struct nat_timer {
	struct loop_timer timer;
	struct loop_garbage garbage;
	struct nat *nat;
	SlirpTimerCb expired;
	void *arg;
};

/* Descriptors */

static void nat_fd_ready(struct loop_fd *io, uint32_t events)
{
	struct nat_fd *entry = container_of(io, struct nat_fd, io);

	entry->happened |= events;
	nat_wake(entry->nat);
}

/* The entry of a descriptor, made if need be; NULL without memory. */
static struct nat_fd *nat_fd(struct nat *nat, int fd)
{
	struct nat_fd *entry;

	if (fd >= nat->n_fds) {
		int n = fd + 64;
		struct nat_fd **fds =
			realloc(nat->fds, (size_t)n * sizeof(struct nat_fd *));

		if (!fds)
			return NULL;
		memset(fds + nat->n_fds, 0,
		       (size_t)(n - nat->n_fds) * sizeof(struct nat_fd *));
		nat->fds = fds;
		nat->n_fds = n;
	}
	if (nat->fds[fd])
		return nat->fds[fd];
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->nat = nat;
	entry->io.fd = -1;
	LIST_INSERT_HEAD(&nat->known, entry, link);
	return nat->fds[fd] = entry;
}

static void nat_fd_forget(struct nat *nat, struct nat_fd *entry)
{
	entry->happened = 0;
	loop_del(&nat->port.net->loop, &entry->io);
}

static unsigned int *nat_count(struct nat *nat, enum nat_fd_kind kind)
{
	return kind == NAT_FD_STREAM	 ? &nat->limit.streams
	       : kind == NAT_FD_DATAGRAM ? &nat->limit.datagrams
					 : NULL;
}

/* What it is, and count it. */
static void nat_fd_counts(struct nat *nat, struct nat_fd *entry, int fd)
{
	int type = 0, listens = 0;
	socklen_t len = sizeof(type);
	unsigned int *count;

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	len = sizeof(listens);
	getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len);
	entry->kind = type != SOCK_STREAM ? NAT_FD_DATAGRAM
		      : listens		  ? NAT_FD_LISTENER
					  : NAT_FD_STREAM;
	count = nat_count(nat, entry->kind);
	if (count)
		++*count;
}

void nat_host_closes(int fd, void *opaque)
{
	struct nat *nat = opaque;
	struct nat_fd *entry;
	unsigned int *count;

	if (fd < 0 || fd >= nat->n_fds || !nat->fds[fd])
		return;
	entry = nat->fds[fd];
	nat_fd_forget(nat, entry);
	count = nat_count(nat, entry->kind);
	if (count)
		--*count;
	entry->kind = NAT_FD_UNKNOWN;
}

/* Nothing of what was known of that descriptor holds any more. */
void nat_host_opened(int fd, void *opaque)
{
	struct nat *nat = opaque;
	struct nat_fd *entry = nat_fd(nat, fd);

	nat_host_closes(fd, nat);
	if (entry)
		nat_fd_counts(nat, entry, fd);
}

/* Who connects waits in the kernel's queue until there is room. */
static bool nat_fd_has_to_wait(const struct nat *nat,
			       const struct nat_fd *entry)
{
	return entry->kind == NAT_FD_LISTENER &&
	       nat->limit.streams >= nat->limit.streams_max;
}

static int nat_want(int fd, int events, void *opaque)
{
	struct nat *nat = opaque;
	struct nat_fd *entry = nat_fd(nat, fd);
	uint32_t wanted = 0;
	int err;

	if (!entry)
		return -1;
	if (entry->kind == NAT_FD_UNKNOWN)
		nat_fd_counts(nat, entry, fd);
	if (nat_fd_has_to_wait(nat, entry))
		return fd;
	if (events & SLIRP_POLL_IN)
		wanted |= EPOLLIN;
	if (events & SLIRP_POLL_OUT)
		wanted |= EPOLLOUT;
	if (events & SLIRP_POLL_PRI)
		wanted |= EPOLLPRI;
	if (entry->io.fd < 0)
		err = loop_add(&nat->port.net->loop, &entry->io, fd, wanted,
			       nat_fd_ready);
	else
		err = loop_watch(&nat->port.net->loop, &entry->io, wanted);
	if (err)
		return -1;
	entry->wanted_in = nat->rounds;
	return fd;
}

static int nat_happened(int fd, void *opaque)
{
	struct nat *nat = opaque;
	struct nat_fd *entry = nat->fds[fd];
	uint32_t happened = entry->happened;
	int events = 0;

	entry->happened = 0;
	if (happened & EPOLLIN)
		events |= SLIRP_POLL_IN;
	if (happened & EPOLLOUT)
		events |= SLIRP_POLL_OUT;
	if (happened & EPOLLPRI)
		events |= SLIRP_POLL_PRI;
	if (happened & EPOLLERR)
		events |= SLIRP_POLL_ERR;
	if (happened & EPOLLHUP)
		events |= SLIRP_POLL_HUP;
	return events;
}

void nat_host_tell(struct nat *nat)
{
	slirp_pollfds_poll(nat->slirp, 0, nat_happened, nat);
}

void nat_host_unwatch(struct nat *nat)
{
	struct nat_fd *entry;

	LIST_FOREACH(entry, &nat->known, link)
	nat_fd_forget(nat, entry);
}

static void nat_timeout(struct loop_timer *timer)
{
	nat_wake(container_of(timer, struct nat, timeout));
}

void nat_host_watch(struct nat *nat)
{
	uint32_t timeout_ms = UINT32_MAX;
	struct nat_fd *entry;

	nat->rounds++;
	slirp_pollfds_fill(nat->slirp, &timeout_ms, nat_want, nat);
	LIST_FOREACH(entry, &nat->known, link)
	if (entry->wanted_in != nat->rounds)
		nat_fd_forget(nat, entry);
	if (timeout_ms == UINT32_MAX)
		loop_timer_cancel(&nat->port.net->loop, &nat->timeout);
	else
		loop_timer_set(&nat->port.net->loop, &nat->timeout, timeout_ms,
			       nat_timeout);
}

/* Timers */

static void nat_timer_expired(struct loop_timer *loop_timer)
{
	struct nat_timer *timer =
		container_of(loop_timer, struct nat_timer, timer);

	timer->expired(timer->arg);
}

/* Where there is no memory it never expires: no router advertisements. */
void *nat_host_timer_new(SlirpTimerCb expired, void *arg, void *opaque)
{
	struct nat_timer *timer = calloc(1, sizeof(*timer));

	if (timer)
		*timer = (struct nat_timer){
			.nat = opaque, .expired = expired, .arg = arg};
	return timer;
}

static void nat_timer_release(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct nat_timer, garbage));
}

void nat_host_timer_free(void *of, void *opaque)
{
	struct nat_timer *timer = of;
	struct nat *nat = opaque;

	if (!timer)
		return;
	loop_timer_cancel(&nat->port.net->loop, &timer->timer);
	loop_defer(&nat->port.net->loop, &timer->garbage, nat_timer_release);
}

int64_t nat_host_clock_ns(void *opaque)
{
	struct timespec ts;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void nat_host_timer_mod(void *of, int64_t due_ms, void *opaque)
{
	struct nat_timer *timer = of;
	struct nat *nat = opaque;
	int64_t left = due_ms - loop_now_ms();

	if (timer)
		loop_timer_set(&nat->port.net->loop, &timer->timer,
			       left > 0 ? left : 0, nat_timer_expired);
}

void nat_host_free(struct nat *nat)
{
	struct nat_fd *entry;

	while ((entry = LIST_FIRST(&nat->known))) {
		LIST_REMOVE(entry, link);
		free(entry);
	}
	free(nat->fds);
}
