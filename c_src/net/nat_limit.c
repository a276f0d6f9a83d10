/* SPDX-License-Identifier: Apache-2.0 */
#include "nat_limit.h"

#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdbool.h>

#define IPV4_HEADER 20
#define IPV4_FRAGMENT_AT 6
/* All but "do not fragment": libslirp looks for the rest of such a datagram. */
#define IPV4_FRAGMENT 0xbfff
#define IPV4_PROTOCOL_AT 9
#define IPV4_SOURCE_AT 12
#define IPV6_HEADER 40
#define IPV6_NEXT_AT 6
#define IPV6_SOURCE_AT 8
/* Of TCP, UDP and ICMP, what is looked at. */
#define TRANSPORT_HEADER 8
#define TCP_FLAGS_AT 13
#define TCP_SYN 0x02
#define TCP_ACK 0x10
#define ICMP_ID_AT 4
#define ICMP_ECHO 8
#define ICMPV6_ECHO 128

/* What a frame may have opened. */
enum opens {
	OPENS_NOTHING,
	OPENS_STREAM,
	OPENS_DATAGRAM,
	OPENS_EITHER, /* it is a fragment */
};

struct wish {
	enum opens opens;
	uint32_t flow; /* of datagrams */
};

/* An IP packet, as far as it concerns this. */
struct packet {
	const uint8_t *source;
	uint32_t source_len;
	uint8_t protocol;
	uint8_t echo; /* ICMP's type */
	const uint8_t *transport;
	uint32_t len; /* of the transport's header and payload */
};

static uint32_t get_u16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

/* FNV-1a */
static uint32_t hash(uint32_t sum, const uint8_t *at, uint32_t len)
{
	while (len-- > 0)
		sum = (sum ^ *at++) * 16777619u;
	return sum;
}

static struct wish datagram(const struct packet *packet, uint32_t port_at)
{
	uint32_t flow = hash(2166136261u, &packet->protocol, 1);

	flow = hash(flow, packet->source, packet->source_len);
	flow = hash(flow, packet->transport + port_at, 2);
	return (struct wish){OPENS_DATAGRAM, flow ? flow : 1};
}

static struct wish wish_of_packet(const struct packet *packet)
{
	const struct wish nothing = {OPENS_NOTHING, 0};
	const uint8_t *at = packet->transport;

	/* libslirp drops what is shorter than its header. */
	if (packet->len < TRANSPORT_HEADER)
		return nothing;
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return packet->len > TCP_FLAGS_AT &&
				       (at[TCP_FLAGS_AT] &
					(TCP_SYN | TCP_ACK)) == TCP_SYN
			       ? (struct wish){OPENS_STREAM, 0}
			       : nothing;
	case IPPROTO_UDP:
		return datagram(packet, 0);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return at[0] == packet->echo ? datagram(packet, ICMP_ID_AT)
					     : nothing;
	default:
		return nothing;
	}
}

static struct wish wish_of_ipv4(const uint8_t *ip, uint32_t len)
{
	uint32_t header;

	if (len < IPV4_HEADER)
		return (struct wish){OPENS_NOTHING, 0};
	if (get_u16(ip + IPV4_FRAGMENT_AT) & IPV4_FRAGMENT)
		return (struct wish){OPENS_EITHER, 0};
	header = (ip[0] & 15u) * 4;
	if (header < IPV4_HEADER || header > len)
		return (struct wish){OPENS_NOTHING, 0};
	return wish_of_packet(&(struct packet){
		.source = ip + IPV4_SOURCE_AT,
		.source_len = 4,
		.protocol = ip[IPV4_PROTOCOL_AT],
		.echo = ICMP_ECHO,
		.transport = ip + header,
		.len = len - header,
	});
}

/* libslirp knows no extension headers. */
static struct wish wish_of_ipv6(const uint8_t *ip, uint32_t len)
{
	if (len < IPV6_HEADER)
		return (struct wish){OPENS_NOTHING, 0};
	return wish_of_packet(&(struct packet){
		.source = ip + IPV6_SOURCE_AT,
		.source_len = 16,
		.protocol = ip[IPV6_NEXT_AT],
		.echo = ICMPV6_ECHO,
		.transport = ip + IPV6_HEADER,
		.len = len - IPV6_HEADER,
	});
}

static struct wish wish_of(const uint8_t *frame, uint32_t len)
{
	if (len >= ETH_HLEN) {
		switch (get_u16(frame + 2 * ETH_ALEN)) {
		case ETHERTYPE_IP:
			return wish_of_ipv4(frame + ETH_HLEN, len - ETH_HLEN);
		case ETHERTYPE_IPV6:
			return wish_of_ipv6(frame + ETH_HLEN, len - ETH_HLEN);
		default:
			break;
		}
	}
	return (struct wish){OPENS_NOTHING, 0};
}

static unsigned int at_most(unsigned int max, uint64_t descriptors)
{
	return descriptors / 4 < max ? (unsigned int)(descriptors / 4) : max;
}

void nat_limit_init(struct nat_limit *limit, uint64_t descriptors, uint32_t mtu)
{
	*limit = (struct nat_limit){
		.streams_max = at_most(NAT_STREAMS_MAX, descriptors),
		.datagrams_max = at_most(NAT_DATAGRAMS_MAX, descriptors),
		.mtu = mtu,
	};
}

static bool admits_datagram(struct nat_limit *limit, uint32_t flow)
{
	uint32_t *known = &limit->flows[flow % NAT_FLOWS];

	if (limit->datagrams >= limit->datagrams_max &&
	    (*known != flow || limit->datagrams >= 2 * limit->datagrams_max))
		return false;
	*known = flow;
	return true;
}

static void forget_fragments(struct nat_limit *limit, int64_t now_ms)
{
	while (limit->n_fragments) {
		const struct nat_fragment *oldest =
			&limit->fragments[limit->first_fragment];

		if (now_ms - oldest->at_ms < NAT_FRAGMENT_MS)
			return;
		limit->fragment_bytes -= oldest->bytes;
		limit->first_fragment =
			(limit->first_fragment + 1) % NAT_FRAGMENTS_MAX;
		limit->n_fragments--;
	}
}

static bool admits_fragment(struct nat_limit *limit, uint32_t len,
			    int64_t now_ms)
{
	/* In a buffer of the MTU at least; its datagram has another. */
	uint32_t bytes = 2 * (len > limit->mtu ? len : limit->mtu), last;

	forget_fragments(limit, now_ms);
	if (limit->n_fragments == NAT_FRAGMENTS_MAX ||
	    bytes > NAT_FRAGMENT_BYTES_MAX - limit->fragment_bytes)
		return false;
	last = (limit->first_fragment + limit->n_fragments++) %
	       NAT_FRAGMENTS_MAX;
	limit->fragments[last] = (struct nat_fragment){now_ms, bytes};
	limit->fragment_bytes += bytes;
	return true;
}

static bool has_sockets(struct nat_limit *limit, const struct wish *wish)
{
	switch (wish->opens) {
	case OPENS_STREAM:
		return limit->streams < limit->streams_max;
	case OPENS_DATAGRAM:
		return admits_datagram(limit, wish->flow);
	case OPENS_EITHER:
		return limit->streams < limit->streams_max &&
		       limit->datagrams < limit->datagrams_max;
	case OPENS_NOTHING:
		break;
	}
	return true;
}

enum nat_verdict nat_limit_judge(struct nat_limit *limit, const uint8_t *frame,
				 uint32_t len, int64_t now_ms)
{
	struct wish wish = wish_of(frame, len);

	if (!has_sockets(limit, &wish))
		return NAT_NO_SOCKET;
	if (wish.opens == OPENS_EITHER && !admits_fragment(limit, len, now_ms))
		return NAT_NO_FRAGMENT;
	return NAT_ADMITTED;
}
