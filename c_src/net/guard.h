/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard - keeps guests from passing for the gateway and the resolver of a nat:
 * a frame from another port than its own that claims one of their addresses,
 * as its source or in ARP (RFC 826) or neighbour discovery (RFC 4861).
 *
 * Pure: a frame's head in, yes or no out. The addresses are those that libslirp
 * answers for, and the MAC addresses it makes of them: 52:55 and an IPv4
 * address, 52:56 and the last four bytes of an IPv6 address.
 *
 * Routers and DHCP servers of the guests' own are none of its business.
 */
#ifndef EVUM_GUARD_H
#define EVUM_GUARD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

#define GUARD_V4 2
#define GUARD_V6 3 /* the third: libslirp's link-local address, fe80::2 */

struct guard {
	bool on4, on6;
	struct in_addr v4[GUARD_V4];
	struct in6_addr v6[GUARD_V6];
};

/* All zero is a guard that refuses nothing. NULL: without that family. */
void guard_init(struct guard *guard, const struct in_addr v4[GUARD_V4],
		const struct in6_addr v6[GUARD_V6 - 1]);
bool guard_refuses(const struct guard *guard, const struct frame *frame);

#endif
