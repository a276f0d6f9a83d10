/* SPDX-License-Identifier: Apache-2.0 */
#include "offload_guess.h"

#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <netinet/in.h>

#include "offload.h"

#define TAGS_MAX 2
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define UDP_HEADER 8
#define TCP_HEADER 20

/* A packet of TCP or UDP that is not a fragment, by places in the frame. */
struct packet {
	const uint8_t *bytes;
	uint32_t network, transport, end;
	bool v4;
	uint8_t protocol;
};

static uint32_t get_u16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static bool find_ipv4(struct packet *packet, uint32_t len)
{
	const uint8_t *ip = packet->bytes + packet->network;

	if (len < packet->network + IPV4_HEADER || ip[0] >> 4 != 4 ||
	    get_u16(ip + 6) & 0x3fff)
		return false;
	packet->v4 = true;
	packet->transport = packet->network + (ip[0] & 15u) * 4;
	packet->end = packet->network + get_u16(ip + 2);
	packet->protocol = ip[9];
	return packet->transport >= packet->network + IPV4_HEADER;
}

static bool find_ipv6(struct packet *packet, uint32_t len)
{
	const uint8_t *ip = packet->bytes + packet->network;

	if (len < packet->network + IPV6_HEADER || ip[0] >> 4 != 6)
		return false;
	packet->transport = packet->network + IPV6_HEADER;
	packet->end = packet->transport + get_u16(ip + 4);
	packet->protocol = ip[6];
	return true;
}

static bool find_packet(struct packet *packet, const struct frame *frame)
{
	uint32_t at = 2 * ETH_ALEN, type = 0, header;

	*packet = (struct packet){.bytes = frame->bytes};
	for (int tags = 0; tags <= TAGS_MAX; tags++, at += FRAME_TAG) {
		if (at + 2 > frame->len)
			return false;
		type = get_u16(frame->bytes + at);
		if (type != ETHERTYPE_VLAN && type != 0x88a8)
			break;
	}
	packet->network = at + 2;
	if (!(type == ETHERTYPE_IP && find_ipv4(packet, frame->len)) &&
	    !(type == ETHERTYPE_IPV6 && find_ipv6(packet, frame->len)))
		return false;
	if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP)
		return false;
	header = packet->protocol == IPPROTO_TCP ? TCP_HEADER : UDP_HEADER;
	/* There may be padding behind it. */
	return packet->end <= frame->len &&
	       packet->transport + header <= packet->end;
}

/* RFC 1071; of addresses, length and protocol. */
static uint32_t sum_pseudo(const struct packet *packet)
{
	const uint8_t *ip = packet->bytes + packet->network;
	uint32_t from = packet->v4 ? 12 : 8, to = packet->v4 ? 20 : 40;
	uint32_t sum = packet->protocol + packet->end - packet->transport;

	for (; from < to; from += 2)
		sum += get_u16(ip + from);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The payload of a segment whose packet has mtu bytes; 0 where there is none */
static uint16_t segment_size(const struct packet *packet, uint32_t mtu)
{
	uint32_t headers = packet->transport - packet->network +
			   (packet->bytes[packet->transport + 12] >> 4) * 4u;

	return mtu < headers + OFFLOAD_GSO_SIZE_MIN ||
			       mtu - headers > UINT16_MAX
		       ? 0
		       : (uint16_t)(mtu - headers);
}

void offload_guess(struct frame *frame, uint32_t mtu)
{
	struct packet packet;
	struct frame guess = *frame;
	uint16_t csum_offset, size;

	if (!find_packet(&packet, frame))
		return;
	csum_offset = packet.protocol == IPPROTO_TCP ? 16 : 6;
	if (get_u16(packet.bytes + packet.transport + csum_offset) !=
	    sum_pseudo(&packet))
		return;
	guess.offload =
		(struct frame_offload){.flags = FRAME_NEEDS_CSUM,
				       .csum_start = (uint16_t)packet.transport,
				       .csum_offset = csum_offset};
	size = segment_size(&packet, mtu);
	if (packet.protocol == IPPROTO_TCP && size &&
	    packet.end - packet.network > mtu) {
		guess.offload.gso_type = packet.v4 ? VIRTIO_NET_HDR_GSO_TCPV4
						   : VIRTIO_NET_HDR_GSO_TCPV6;
		guess.offload.gso_size = size;
	}
	/* What is behind the packet is no part of what is summed. */
	guess.len = packet.end;
	if (guess.len >= FRAME_MIN && !offload_check(&guess))
		*frame = guess;
}
