/* SPDX-License-Identifier: Apache-2.0 */
#include "port_nat.h"

#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "net.h"

struct nat_fd {
	struct loop_fd io;
	struct nat *nat;
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

struct nat_forward {
	bool udp;
	struct nat_address host, guest;
	LIST_ENTRY(nat_forward) link;
};

struct nat {
	struct net_port port;
	struct loop_garbage garbage;
	struct loop_task round;
	struct loop_timer timeout; /* until a round is due in any case */
	uint64_t rounds;
	bool restricted;
	Slirp *slirp;
	struct nat_fd **fds; /* by descriptor */
	int n_fds;
	LIST_HEAD(, nat_fd) known;
	struct buf arriving, delivering;
	LIST_HEAD(, nat_forward) forwards;
	unsigned int n_forwards;
	/* libslirp keeps pointers to these. */
	struct sockaddr_in bind4;
	struct sockaddr_in6 bind6;
};

static void nat_round(struct loop_task *task);

static void nat_wake(struct nat *nat)
{
	loop_task_add(&nat->port.net->loop, &nat->round, nat_round);
}

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

/* A descriptor is new, or is about to be closed: nothing is known of it. */
static void nat_fd_changes(int fd, void *opaque)
{
	struct nat *nat = opaque;

	if (fd >= 0 && fd < nat->n_fds && nat->fds[fd])
		nat_fd_forget(nat, nat->fds[fd]);
}

static int nat_want(int fd, int events, void *opaque)
{
	struct nat *nat = opaque;
	struct nat_fd *entry = nat_fd(nat, fd);
	uint32_t wanted = 0;
	int err;

	if (!entry)
		return -1;
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

/* Timers */

static void nat_timeout(struct loop_timer *timer)
{
	nat_wake(container_of(timer, struct nat, timeout));
}

static void nat_timer_expired(struct loop_timer *loop_timer)
{
	struct nat_timer *timer =
		container_of(loop_timer, struct nat_timer, timer);

	timer->expired(timer->arg);
}

/* Where there is no memory it never expires: no router advertisements. */
static void *nat_timer_new(SlirpTimerCb expired, void *arg, void *opaque)
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

static void nat_timer_free(void *of, void *opaque)
{
	struct nat_timer *timer = of;
	struct nat *nat = opaque;

	if (!timer)
		return;
	loop_timer_cancel(&nat->port.net->loop, &timer->timer);
	loop_defer(&nat->port.net->loop, &timer->garbage, nat_timer_release);
}

static int64_t nat_clock_ns(void *opaque)
{
	struct timespec ts;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void nat_timer_mod(void *of, int64_t due_ms, void *opaque)
{
	struct nat_timer *timer = of;
	struct nat *nat = opaque;
	int64_t left = due_ms - loop_now_ms();

	if (timer)
		loop_timer_set(&nat->port.net->loop, &timer->timer,
			       left > 0 ? left : 0, nat_timer_expired);
}

/* Frames */

static ssize_t nat_arrived(const void *bytes, size_t size, void *opaque)
{
	struct nat *nat = opaque;
	uint32_t len = (uint32_t)size;
	uint8_t *at;

	if (!nat->port.id)
		return (ssize_t)size;
	if (size > FRAME_MAX ||
	    buf_reserve(&nat->arriving, sizeof(len) + size, &at)) {
		nat->port.counters[NETPORT_RX_DROPPED]++;
		return (ssize_t)size;
	}
	memcpy(at, &len, sizeof(len));
	memcpy(at + sizeof(len), bytes, size);
	buf_produced(&nat->arriving, sizeof(len) + size);
	nat_wake(nat);
	return (ssize_t)size;
}

/* The first frames of `delivering', at most a burst: how many. */
static unsigned int nat_next_burst(const struct nat *nat, struct frame *frames)
{
	const uint8_t *at = buf_data(&nat->delivering);
	const uint8_t *end = at + buf_len(&nat->delivering);
	unsigned int n = 0;

	for (; n < BURST_FRAMES && at < end; n++) {
		uint32_t len;

		memcpy(&len, at, sizeof(len));
		at += sizeof(len);
		frames[n] = (struct frame){.bytes = at, .len = len};
		at += len;
	}
	return n;
}

/*
 * While frames are handed on more of them may arrive, so what is handed on is
 * in a buffer that does not move.
 */
static void nat_deliver(struct nat *nat)
{
	struct frame frames[BURST_FRAMES];
	unsigned int n, taken;

	/* A port that is paused must not be offered more. */
	if (nat->port.paused)
		return;
	do {
		if (!buf_len(&nat->delivering)) {
			struct buf empty = nat->delivering;

			nat->delivering = nat->arriving;
			nat->arriving = empty;
		}
		n = nat_next_burst(nat, frames);
		if (!n)
			return;
		taken = netport_input(&nat->port, frames, n);
		if (!nat->port.id)
			return;
		for (unsigned int i = 0; i < taken; i++)
			buf_consume(&nat->delivering,
				    sizeof(uint32_t) + frames[i].len);
	} while (taken == n);
}

static void nat_forget_fds(struct nat *nat)
{
	struct nat_fd *entry;

	LIST_FOREACH(entry, &nat->known, link)
	nat_fd_forget(nat, entry);
}

static void nat_watch_fds(struct nat *nat)
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

static void nat_round(struct loop_task *task)
{
	struct nat *nat = container_of(task, struct nat, round);

	nat_deliver(nat);
	if (!nat->port.id)
		return;
	if (!nat->port.paused) {
		slirp_pollfds_poll(nat->slirp, 0, nat_happened, nat);
		nat_watch_fds(nat);
		nat_deliver(nat);
	}
	/* What is not to be read is not watched: it would keep us awake. */
	if (nat->port.id && nat->port.paused)
		nat_forget_fds(nat);
}

static int nat_send(struct net_port *port, const struct frame *frames,
		    unsigned int n)
{
	struct nat *nat = container_of(port, struct nat, port);

	for (unsigned int i = 0; i < n; i++)
		slirp_input(nat->slirp, frames[i].bytes, (int)frames[i].len);
	nat_wake(nat);
	return (int)n;
}

static int nat_watch(struct net_port *port, bool input, bool room)
{
	(void)room; /* there always is */
	if (input)
		nat_wake(container_of(port, struct nat, port));
	return 0;
}

static void nat_guest_error(const char *text, void *opaque)
{
	struct nat *nat = opaque;

	log_limited(&nat->port.net->peer_log, "nat: %s", text);
}

static void nat_notify(void *opaque)
{
	nat_wake(opaque);
}

static const SlirpCb nat_callbacks = {
	.send_packet = nat_arrived,
	.guest_error = nat_guest_error,
	.clock_get_ns = nat_clock_ns,
	.timer_new = nat_timer_new,
	.timer_free = nat_timer_free,
	.timer_mod = nat_timer_mod,
	.register_poll_fd = nat_fd_changes,
	.unregister_poll_fd = nat_fd_changes,
	.notify = nat_notify,
};

/* From the beginning to the end */

static void nat_free(struct loop_garbage *garbage)
{
	struct nat *nat = container_of(garbage, struct nat, garbage);
	struct nat_fd *entry;
	struct nat_forward *forward;

	while ((entry = LIST_FIRST(&nat->known))) {
		LIST_REMOVE(entry, link);
		free(entry);
	}
	while ((forward = LIST_FIRST(&nat->forwards))) {
		LIST_REMOVE(forward, link);
		free(forward);
	}
	buf_free(&nat->arriving);
	buf_free(&nat->delivering);
	free(nat->fds);
	free(nat);
}

static void nat_close(struct net_port *port)
{
	struct nat *nat = container_of(port, struct nat, port);
	struct loop *loop = &port->net->loop;

	nat_forget_fds(nat);
	slirp_cleanup(nat->slirp);
	loop_timer_cancel(loop, &nat->timeout);
	loop_task_cancel(loop, &nat->round);
	port->net->nat = NULL;
	port->net->guarded = NULL;
	guard_init(&port->net->guard, NULL, NULL);
	loop_defer(loop, &nat->garbage, nat_free);
}

static const struct port_kind_ops nat_ops = {
	.kind = "nat",
	.send = nat_send,
	.watch = nat_watch,
	.close = nat_close,
};

static Slirp *nat_slirp(struct nat *nat, const struct nat_config *config)
{
	SlirpConfig slirp = {
		.version = 4,
		.restricted = config->restricted,
		.in_enabled = config->in4,
		.vnetwork = config->network4,
		.vnetmask.s_addr =
			htonl(~(uint32_t)0 << (32 - config->prefix4)),
		.vhost = config->host4,
		.in6_enabled = config->in6,
		.vprefix_addr6 = config->network6,
		.vprefix_len = config->prefix6,
		.vhost6 = config->host6,
		.vnameserver = config->dns4,
		.vnameserver6 = config->dns6,
		.if_mtu = config->mtu,
		.if_mru = config->mtu,
		.disable_host_loopback = !config->loopback,
		/* src/evum_dhcp_server.erl knows the machines. */
		.disable_dhcp = true,
	};

	nat->bind4 = (struct sockaddr_in){.sin_family = AF_INET,
					  .sin_addr = config->bind4};
	nat->bind6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
					   .sin6_addr = config->bind6};
	if (config->bind4.s_addr != htonl(INADDR_ANY))
		slirp.outbound_addr = &nat->bind4;
	if (!IN6_IS_ADDR_UNSPECIFIED(&config->bind6))
		slirp.outbound_addr6 = &nat->bind6;
	return slirp_new(&slirp, &nat_callbacks, nat);
}

static void nat_guard(struct nat *nat, const struct nat_config *config)
{
	const struct in_addr v4[GUARD_V4] = {config->host4, config->dns4};
	const struct in6_addr v6[] = {config->host6, config->dns6};

	guard_init(&nat->port.net->guard, config->in4 ? v4 : NULL,
		   config->in6 ? v6 : NULL);
	nat->port.net->guarded = &nat->port;
}

int nat_open(struct net *net, const struct nat_config *config, uint32_t *id)
{
	struct nat *nat;
	int err;

	if (net->nat)
		return -EEXIST;
	nat = calloc(1, sizeof(*nat));
	if (!nat)
		return -ENOMEM;
	LIST_INIT(&nat->known);
	LIST_INIT(&nat->forwards);
	buf_init(&nat->arriving, NAT_ARRIVING_MAX);
	buf_init(&nat->delivering, NAT_ARRIVING_MAX);
	netport_init(&nat->port, net, &nat_ops, -1);
	/* libslirp takes what IP can hold, but by IPv6 no more than the MTU;
	 * a segment costs it a system call, however long it is. */
	nat->port.takes = NETPORT_TAKES_LARGE4;
	nat->restricted = config->restricted;
	nat->slirp = nat_slirp(nat, config);
	if (!nat->slirp) {
		free(nat);
		return -EINVAL;
	}
	err = netport_up(&nat->port, -1);
	if (err) {
		slirp_cleanup(nat->slirp);
		free(nat);
		return err;
	}
	net->nat = nat;
	nat_guard(nat, config);
	*id = nat->port.id;
	return 0;
}

/* Forwards */

static bool same_address(const struct nat_address *a,
			 const struct nat_address *b)
{
	return a->any.sa_family == b->any.sa_family &&
	       !memcmp(&a->any, &b->any, nat_address_len(a));
}

static struct nat_forward *nat_forward_at(struct nat *nat, bool udp,
					  const struct nat_address *host)
{
	struct nat_forward *forward;

	LIST_FOREACH(forward, &nat->forwards, link)
	if (forward->udp == udp && same_address(&forward->host, host))
		return forward;
	return NULL;
}

static int forward_flags(bool udp, const struct nat_address *host)
{
	int flags = udp ? SLIRP_HOSTFWD_UDP : 0;

	if (host->any.sa_family == AF_INET6)
		flags |= SLIRP_HOSTFWD_V6ONLY;
	return flags;
}

int nat_forward(struct net *net, bool udp, const struct nat_address *host,
		const struct nat_address *guest)
{
	struct nat *nat = net->nat;
	struct nat_forward *forward;

	if (!nat)
		return -ENOTCONN;
	/* libslirp drops what a guest would answer. */
	if (udp && nat->restricted)
		return -EOPNOTSUPP;
	if (nat_forward_at(nat, udp, host))
		return -EADDRINUSE;
	if (nat->n_forwards == NAT_FORWARDS_MAX)
		return -ENOBUFS;
	forward = malloc(sizeof(*forward));
	if (!forward)
		return -ENOMEM;
	errno = 0;
	if (slirp_add_hostxfwd(nat->slirp, &host->any, nat_address_len(host),
			       &guest->any, nat_address_len(guest),
			       forward_flags(udp, host)) < 0) {
		free(forward);
		return errno ? -errno : -EINVAL;
	}
	*forward = (struct nat_forward){
		.udp = udp, .host = *host, .guest = *guest};
	LIST_INSERT_HEAD(&nat->forwards, forward, link);
	nat->n_forwards++;
	nat_wake(nat);
	return 0;
}

int nat_unforward(struct net *net, bool udp, const struct nat_address *host)
{
	struct nat *nat = net->nat;
	struct nat_forward *forward;

	if (!nat)
		return -ENOTCONN;
	forward = nat_forward_at(nat, udp, host);
	if (!forward)
		return -ENOENT;
	slirp_remove_hostxfwd(nat->slirp, &host->any, nat_address_len(host),
			      forward_flags(udp, host));
	LIST_REMOVE(forward, link);
	nat->n_forwards--;
	free(forward);
	nat_wake(nat);
	return 0;
}

void nat_forwards(struct net *net,
		  void (*each)(bool udp, const struct nat_address *host,
			       const struct nat_address *guest, void *arg),
		  void *arg)
{
	struct nat_forward *forward;

	if (!net->nat)
		return;
	LIST_FOREACH(forward, &net->nat->forwards, link)
	each(forward->udp, &forward->host, &forward->guest, arg);
}
