/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_nat - a port behind which is the world, without a privilege: libslirp
 * ends the guests' connections and opens sockets of its own for them. It also
 * answers for the gateway and the resolver, announces itself (router
 * advertisements), and listens at ports of the host that are forwarded.
 *
 *   guests -> netport -> slirp_input()             sockets of libslirp
 *                            |                            ^
 *   guests <- netport <- `arriving' <- send_packet()      v
 *                            one task of the loop: slirp_pollfds_*()
 *
 * libslirp wants to be told, at once, which of all its descriptors are ready.
 * They are entries of the one loop; whatever happens to any of them notes it
 * and queues a task, which lets libslirp do its work in the next turn and then
 * brings the entries into line with what it waits for: a system call for each
 * that changed. Its time-outs are timers of the loop.
 *
 * What libslirp sends waits in `arriving' until the task hands it on in
 * bursts: it may send from within slirp_input(), while frames of others are
 * being handed on, and its buffer is gone when it returns.
 *
 * What a guest may have libslirp open, and keep of fragments, is bounded
 * (nat_limit.h): a frame beyond that is dropped, and counted as tx_sockets or
 * tx_fragments.
 */
#ifndef EVUM_NET_PORT_NAT_H
#define EVUM_NET_PORT_NAT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Frames from libslirp that wait for the switch, bytes; more are dropped. */
#define NAT_ARRIVING_MAX (1u << 20)
/* Ports of the host that may be forwarded at once. */
#define NAT_FORWARDS_MAX 1024u

struct net;
struct nat;

struct nat_config {
	bool restricted; /* nothing out but by a forward */
	bool loopback;	 /* the gateway's address is the host's 127.0.0.1 */
	bool in4, in6;
	uint8_t prefix4, prefix6;
	struct in_addr network4, host4, dns4, bind4;
	struct in6_addr network6, host6, dns6, bind6;
	uint32_t mtu;
};

struct nat_address {
	union {
		struct sockaddr any;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	};
};

static inline socklen_t nat_address_len(const struct nat_address *address)
{
	return address->any.sa_family == AF_INET6 ? sizeof(address->in6)
						  : sizeof(address->in4);
}

/* Has the host the addresses that connections shall come from? 0 or -errno. */
int nat_check_bind(const struct nat_config *config);
/* Make the port of a switch. 0 and its id, or -errno: -EEXIST for a second. */
int nat_open(struct net *net, const struct nat_config *config, uint32_t *id);

/*
 * Hand connections, or datagrams, to an address of the host on to one of a
 * guest. 0 or -errno: -ENOTCONN where the switch has no such port, -ENOBUFS
 * beyond NAT_FORWARDS_MAX, -EOPNOTSUPP for datagrams where the port is
 * restricted, -ENETUNREACH to what is in no subnet of guests, -EADDRINUSE;
 * -ENOENT where there is none to remove.
 */
int nat_forward(struct net *net, bool udp, const struct nat_address *host,
		const struct nat_address *guest);
int nat_unforward(struct net *net, bool udp, const struct nat_address *host);

/* Call each() with every forward, the latest first. */
void nat_forwards(struct net *net,
		  void (*each)(bool udp, const struct nat_address *host,
			       const struct nat_address *guest, void *arg),
		  void *arg);

#endif
