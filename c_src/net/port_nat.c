/* SPDX-License-Identifier: Apache-2.0 */
#include "port_nat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "nat.h"

static void nat_round(struct loop_task *task);

void nat_wake(struct nat *nat)
{
	loop_task_add(&nat->port.net->loop, &nat->round, nat_round);
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

static void nat_round(struct loop_task *task)
{
	struct nat *nat = container_of(task, struct nat, round);

	nat_deliver(nat);
	if (!nat->port.id)
		return;
	if (!nat->port.paused) {
		nat_host_tell(nat);
		nat_host_watch(nat);
		nat_deliver(nat);
	}
	/* What is not to be read is not watched: it would keep us awake. */
	if (nat->port.id && nat->port.paused)
		nat_host_unwatch(nat);
}

static int nat_send(struct net_port *port, const struct frame *frames,
		    unsigned int n)
{
	struct nat *nat = container_of(port, struct nat, port);
	enum nat_verdict verdict = NAT_ADMITTED;
	int64_t now_ms = loop_now_ms();
	unsigned int done = 0;

	for (; done < n; done++) {
		verdict = nat_limit_judge(&nat->limit, frames[done].bytes,
					  frames[done].len, now_ms);
		if (verdict != NAT_ADMITTED)
			break;
		slirp_input(nat->slirp, frames[done].bytes,
			    (int)frames[done].len);
	}
	if (!done) {
		port->counters[verdict == NAT_NO_SOCKET
				       ? NETPORT_TX_SOCKETS
				       : NETPORT_TX_FRAGMENTS]++;
		return -ENOBUFS;
	}
	nat_wake(nat);
	return (int)done;
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
	.clock_get_ns = nat_host_clock_ns,
	.timer_new = nat_host_timer_new,
	.timer_free = nat_host_timer_free,
	.timer_mod = nat_host_timer_mod,
	.register_poll_fd = nat_host_opened,
	.unregister_poll_fd = nat_host_closes,
	.notify = nat_notify,
};

/* From the beginning to the end */

static void nat_free(struct loop_garbage *garbage)
{
	struct nat *nat = container_of(garbage, struct nat, garbage);

	nat_host_free(nat);
	nat_forwards_free(nat);
	buf_free(&nat->arriving);
	buf_free(&nat->delivering);
	free(nat);
}

static void nat_close(struct net_port *port)
{
	struct nat *nat = container_of(port, struct nat, port);
	struct loop *loop = &port->net->loop;

	nat_host_unwatch(nat);
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

/*
 * libslirp goes on without an address that it cannot have, so that guests come
 * from another than was asked for.
 */
static int nat_may_bind(const struct sockaddr *address, socklen_t len)
{
	int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = bind(fd, address, len) < 0 ? -errno : 0;
	close(fd);
	return err;
}

int nat_check_bind(const struct nat_config *config)
{
	const struct sockaddr_in in4 = {.sin_family = AF_INET,
					.sin_addr = config->bind4};
	const struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
					 .sin6_addr = config->bind6};
	int err = 0;

	if (in4.sin_addr.s_addr != htonl(INADDR_ANY))
		err = nat_may_bind((const void *)&in4, sizeof(in4));
	if (!err && !IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr))
		err = nat_may_bind((const void *)&in6, sizeof(in6));
	return err;
}

static rlim_t descriptors(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 0 : limit.rlim_cur;
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
	nat->config = *config;
	nat_limit_init(&nat->limit, descriptors(), config->mtu);
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
