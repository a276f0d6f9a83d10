/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <arpa/inet.h>
#include <string.h>

#define MAC_SIZE 6
#define ETHERTYPE_AT 12
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define ETHERTYPE_IPV6 0x86dd
#define VLAN_TAG 4
#define VLAN_TAGS_MAX 2

#define IPV4_SOURCE 12
#define ARP_SENDER 14 /* of Ethernet and IPv4 */
#define IPV6_HEADER 40
#define IPV6_NEXT 6
#define IPV6_SOURCE 8
#define HOP_BY_HOP 0
#define ROUTING 43
#define DESTINATION_OPTIONS 60
#define EXTENSIONS_MAX 8 /* more are nobody's neighbour discovery */
#define ICMPV6 58
#define NEIGHBOUR_ADVERTISEMENT 136
#define ADVERTISED_TARGET 8

void guard_init(struct guard *guard, const struct in_addr v4[GUARD_V4],
		const struct in6_addr v6[GUARD_V6 - 1])
{
	*guard = (struct guard){.on4 = v4, .on6 = v6};
	if (v4)
		memcpy(guard->v4, v4, sizeof(guard->v4));
	if (v6) {
		memcpy(guard->v6, v6, (GUARD_V6 - 1) * sizeof(*v6));
		inet_pton(AF_INET6, "fe80::2", &guard->v6[GUARD_V6 - 1]);
	}
}

static bool is_v4(const struct guard *guard, const uint8_t *bytes)
{
	for (int i = 0; i < GUARD_V4; i++) {
		if (!memcmp(&guard->v4[i], bytes, sizeof(guard->v4[i])))
			return true;
	}
	return false;
}

static bool is_v6(const struct guard *guard, const uint8_t *bytes)
{
	for (int i = 0; i < GUARD_V6; i++) {
		if (!memcmp(&guard->v6[i], bytes, sizeof(guard->v6[i])))
			return true;
	}
	return false;
}

static bool is_mac(const struct guard *guard, const uint8_t *mac)
{
	if (mac[0] != 0x52)
		return false;
	if (mac[1] == 0x55)
		return guard->on4 && is_v4(guard, mac + 2);
	if (mac[1] != 0x56 || !guard->on6)
		return false;
	for (int i = 0; i < GUARD_V6; i++) {
		if (!memcmp(&guard->v6[i].s6_addr[12], mac + 2, 4))
			return true;
	}
	return false;
}

/* Advertises one of the addresses as its own, whatever is before ICMPv6. */
static bool advertises(const struct guard *guard, const uint8_t *at,
		       const uint8_t *end)
{
	uint8_t next = at[IPV6_NEXT];

	at += IPV6_HEADER;
	for (int i = 0; i < EXTENSIONS_MAX && next != ICMPV6; i++) {
		if ((next != HOP_BY_HOP && next != ROUTING &&
		     next != DESTINATION_OPTIONS) ||
		    end - at < 8)
			return false;
		next = at[0];
		if (end - at <= 8 * (at[1] + 1))
			return false;
		at += 8 * (at[1] + 1);
	}
	return next == ICMPV6 &&
	       end - at >= ADVERTISED_TARGET + (int)sizeof(struct in6_addr) &&
	       at[0] == NEIGHBOUR_ADVERTISEMENT &&
	       is_v6(guard, at + ADVERTISED_TARGET);
}

bool guard_refuses(const struct guard *guard, const struct frame *frame)
{
	const uint8_t *at = frame->bytes + ETHERTYPE_AT;
	const uint8_t *end = frame->bytes + frame_head(frame);
	unsigned int type;

	if (!guard->on4 && !guard->on6)
		return false;
	if (is_mac(guard, frame->bytes + MAC_SIZE))
		return true;
	type = (unsigned int)at[0] << 8 | at[1];
	for (int i = 0; i < VLAN_TAGS_MAX &&
			(type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ);
	     i++) {
		at += VLAN_TAG;
		if (end - at < 2)
			return false;
		type = (unsigned int)at[0] << 8 | at[1];
	}
	at += 2;
	switch (type) {
	case ETHERTYPE_ARP:
		return guard->on4 && end - at >= ARP_SENDER + 4 &&
		       is_v4(guard, at + ARP_SENDER);
	case ETHERTYPE_IPV4:
		return guard->on4 && end - at >= IPV4_SOURCE + 4 &&
		       is_v4(guard, at + IPV4_SOURCE);
	case ETHERTYPE_IPV6:
		return guard->on6 && end - at >= IPV6_HEADER &&
		       (is_v6(guard, at + IPV6_SOURCE) ||
			advertises(guard, at, end));
	default:
		return false;
	}
}
