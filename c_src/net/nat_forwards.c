/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nat.h"

struct nat_forward {
	bool udp;
	struct nat_address host, guest;
	LIST_ENTRY(nat_forward) link;
};

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

static bool same_bits(const void *a, const void *b, unsigned int bits)
{
	const uint8_t *at = a, *bt = b;
	uint8_t mask = (uint8_t)(0xff00u >> bits % 8);

	return !memcmp(at, bt, bits / 8) &&
	       !(bits % 8 && (at[bits / 8] ^ bt[bits / 8]) & mask);
}

/* Is it in the guests' subnet? */
static bool is_guest(const struct nat_config *config,
		     const struct nat_address *guest)
{
	if (guest->any.sa_family == AF_INET6)
		return config->in6 &&
		       same_bits(&guest->in6.sin6_addr, &config->network6,
				 config->prefix6);
	return config->in4 && same_bits(&guest->in4.sin_addr, &config->network4,
					config->prefix4);
}

int nat_forward(struct net *net, bool udp, const struct nat_address *host,
		const struct nat_address *guest)
{
	struct nat *nat = net->nat;
	struct nat_forward *forward;

	if (!nat)
		return -ENOTCONN;
	/* libslirp drops what a guest would answer. */
	if (udp && nat->config.restricted)
		return -EOPNOTSUPP;
	if (!is_guest(&nat->config, guest))
		return -ENETUNREACH;
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

void nat_forwards_free(struct nat *nat)
{
	struct nat_forward *forward;

	while ((forward = LIST_FIRST(&nat->forwards))) {
		LIST_REMOVE(forward, link);
		free(forward);
	}
}
