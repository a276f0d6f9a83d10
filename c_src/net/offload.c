/* SPDX-License-Identifier: Apache-2.0 */
#include "offload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

/* Tags of the guest's own; and the switch may have added one. */
#define VLAN_TAGS_MAX 2u
#define VLAN_TAGS (VLAN_TAGS_MAX + 1)
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define IPV4_LENGTH_AT 2
#define IPV4_ID_AT 4
#define IPV4_PROTOCOL_AT 9
#define IPV4_CSUM_AT 10
#define IPV4_ADDRESSES_AT 12
#define IPV6_LENGTH_AT 4
#define IPV6_ADDRESSES_AT 8
#define UDP_HEADER 8
#define UDP_LENGTH_AT 4
#define UDP_CSUM_AT 6
#define TCP_HEADER 20
#define TCP_SEQ_AT 4
#define TCP_DATA_OFFSET_AT 12
#define TCP_FLAGS_AT 13
#define TCP_CSUM_AT 16
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

/* An IPv6 or IPv4 packet has at most so many bytes behind its header field. */
#define IP_LENGTH_MAX 65535

static uint16_t get_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put_u16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t get_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return ntohl(value);
}

static void put_u32(uint8_t *at, uint32_t value)
{
	value = htonl(value);
	memcpy(at, &value, sizeof(value));
}

/* --- Checksums (RFC 1071) --------------------------------------------- */

/*
 * The sum is kept in the host's byte order of 16 bit words in memory: it comes
 * out right when it is written back the same way.
 */
static uint64_t sum_bytes(uint64_t sum, const uint8_t *at, size_t len)
{
	for (; len >= 4; at += 4, len -= 4) {
		uint32_t word;

		memcpy(&word, at, sizeof(word));
		sum += word;
	}
	if (len) {
		uint8_t tail[4] = {0};

		memcpy(tail, at, len);
		return sum_bytes(sum, tail, sizeof(tail));
	}
	return sum;
}

static uint16_t sum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_csum(uint8_t *at, uint16_t csum)
{
	memcpy(at, &csum, sizeof(csum));
}

/* What is to be cut, whether or not congestion is told (ECN). */
static unsigned int gso_of(const struct frame *frame)
{
	return frame->offload.gso_type & ~(unsigned int)VIRTIO_NET_HDR_GSO_ECN;
}

static bool is_udp(const struct frame *frame)
{
	return gso_of(frame) == OFFLOAD_GSO_UDP_L4;
}

static uint8_t protocol_of(const struct frame *frame)
{
	return is_udp(frame) ? IPPROTO_UDP : IPPROTO_TCP;
}

/* The packet of a frame that passed the check: that there is a version. */
static bool is_ipv4(const uint8_t *ip)
{
	return ip[0] >> 4 == 4;
}

/* Of addresses, length and protocol; the addresses are in the packet. */
static uint64_t sum_pseudo(const uint8_t *ip, uint8_t protocol, uint32_t len)
{
	bool v4 = is_ipv4(ip);
	uint8_t tail[8] = {0};

	put_u32(tail, len);
	tail[7] = protocol;
	return v4 ? sum_bytes(sum_bytes(0, ip + IPV4_ADDRESSES_AT, 8), tail, 8)
		  : sum_bytes(sum_bytes(0, ip + IPV6_ADDRESSES_AT, 32), tail,
			      8);
}

/* --- What a header may say -------------------------------------------- */

/* Where the network header is, behind VLAN tags, and what it is of. */
static uint32_t find_network(const struct frame *frame, unsigned int max_tags,
			     uint16_t *ethertype)
{
	uint32_t at = 2 * ETH_ALEN;

	for (unsigned int tags = 0; tags <= max_tags; tags++) {
		if (at + 2 > frame_head(frame))
			break;
		*ethertype = get_u16(frame->bytes + at);
		if (*ethertype != ETHERTYPE_VLAN && *ethertype != 0x88a8)
			return at + 2;
		at += FRAME_TAG;
	}
	*ethertype = 0;
	return 0;
}

/* Does the IP header at that place end where the next is said to begin? */
static bool check_ip(const struct frame *frame, uint32_t network,
		     uint16_t ethertype)
{
	unsigned int gso = gso_of(frame);
	uint32_t transport = frame->offload.csum_start;
	const uint8_t *ip = frame->bytes + network;

	if (ethertype == ETHERTYPE_IP)
		return gso != VIRTIO_NET_HDR_GSO_TCPV6 &&
		       transport >= network + IPV4_HEADER && is_ipv4(ip) &&
		       transport == network + (ip[0] & 15u) * 4 &&
		       ip[IPV4_PROTOCOL_AT] == protocol_of(frame);
	/* Extension headers may be in between: they are repeated as they are */
	return gso != VIRTIO_NET_HDR_GSO_TCPV4 && ethertype == ETHERTYPE_IPV6 &&
	       transport >= network + IPV6_HEADER && ip[0] >> 4 == 6;
}

/* The length of the TCP header at that place, 0 where there is none. */
static uint32_t tcp_header(const struct frame *frame, uint32_t transport)
{
	uint32_t len;

	if (transport + TCP_HEADER > frame_head(frame))
		return 0;
	len = (frame->bytes[transport + TCP_DATA_OFFSET_AT] >> 4) * 4u;
	return len < TCP_HEADER ? 0 : len;
}

static bool is_cut_here(unsigned int gso)
{
	return gso == VIRTIO_NET_HDR_GSO_TCPV4 ||
	       gso == VIRTIO_NET_HDR_GSO_TCPV6 || gso == OFFLOAD_GSO_UDP_L4;
}

/*
 * The length of all headers of a frame that is to be cut; 0: it cannot be.
 * Where less than VLAN_TAGS are taken, there is to be room for those that may
 * come.
 */
static uint32_t find_headers(const struct frame *frame, unsigned int max_tags,
			     uint32_t *network)
{
	const struct frame_offload *offload = &frame->offload;
	uint32_t transport = offload->csum_start, headers;
	uint16_t ethertype;

	*network = find_network(frame, max_tags, &ethertype);
	headers = is_udp(frame) ? UDP_HEADER : tcp_header(frame, transport);
	if (!is_cut_here(gso_of(frame)) || !headers ||
	    transport + headers > frame_head(frame) ||
	    !(offload->flags & FRAME_NEEDS_CSUM) ||
	    offload->csum_offset !=
		    (is_udp(frame) ? UDP_CSUM_AT : TCP_CSUM_AT) ||
	    offload->gso_size < OFFLOAD_GSO_SIZE_MIN ||
	    !check_ip(frame, *network, ethertype) ||
	    headers + offload->gso_size + (VLAN_TAGS - max_tags) * FRAME_TAG >
		    IP_LENGTH_MAX - transport)
		return 0;
	return transport + headers;
}

int offload_check(const struct frame *frame)
{
	const struct frame_offload *offload = &frame->offload;
	uint32_t csum_at = (uint32_t)offload->csum_start + offload->csum_offset;
	uint32_t network;

	if (offload->flags & ~FRAME_NEEDS_CSUM)
		return -EBADMSG;
	if (offload->gso_type)
		return find_headers(frame, VLAN_TAGS_MAX, &network) ? 0
								    : -EBADMSG;
	if (offload->flags & FRAME_NEEDS_CSUM &&
	    (offload->csum_start < ETH_HLEN || csum_at + 2 > frame_head(frame)))
		return -EBADMSG;
	return 0;
}

static unsigned int count_segments(const struct frame *frame, uint32_t headers)
{
	uint32_t payload = frame->len - headers;
	uint32_t size = frame->offload.gso_size;

	/* Headers with nothing behind them are one segment all the same. */
	return payload ? (payload + size - 1) / size : 1;
}

unsigned int offload_segments(const struct frame *frame)
{
	uint32_t network;

	return frame->offload.gso_type
		       ? count_segments(frame, find_headers(frame, VLAN_TAGS,
							    &network))
		       : 1;
}

uint32_t offload_payload(const struct frame *frame)
{
	uint32_t len = frame->len, segment, network;
	uint16_t ethertype;

	if (frame->offload.gso_type) {
		segment = find_headers(frame, VLAN_TAGS, &network) +
			  frame->offload.gso_size;
		if (len > segment)
			len = segment;
	}
	network = find_network(frame, VLAN_TAGS, &ethertype);
	return len - (network ? network : ETH_HLEN);
}

/* --- Cutting ---------------------------------------------------------- */

void offload_begin(struct offload_cut *cut, const struct frame *frame,
		   uint8_t *room)
{
	*cut = (struct offload_cut){.frame = frame, .segments = 1};
	if (!frame->offload.gso_type)
		return;
	cut->headers = find_headers(frame, VLAN_TAGS, &cut->network);
	cut->segments = count_segments(frame, cut->headers);
	if (frame->n_rest) {
		frame_copy(frame, room);
		cut->whole = room;
	} else {
		cut->whole = frame->bytes;
	}
}

/* In one piece, with its checksum where it needs one. */
static uint32_t complete(const struct frame *frame, uint8_t *at)
{
	const struct frame_offload *offload = &frame->offload;
	uint16_t csum;

	frame_copy(frame, at);
	if (!(offload->flags & FRAME_NEEDS_CSUM))
		return frame->len;
	csum = sum_fold(sum_bytes(0, at + offload->csum_start,
				  frame->len - offload->csum_start));
	/* 0 means in UDP that there is none, and is the same number. */
	put_csum(at + offload->csum_start + offload->csum_offset,
		 csum ? csum : 0xffff);
	return frame->len;
}

static void fix_ip(const struct offload_cut *cut, uint8_t *at, uint32_t len)
{
	uint8_t *ip = at + cut->network;
	uint32_t ip_len = len - cut->network;

	if (!is_ipv4(ip)) {
		put_u16(ip + IPV6_LENGTH_AT, ip_len - IPV6_HEADER);
		return;
	}
	put_u16(ip + IPV4_LENGTH_AT, ip_len);
	put_u16(ip + IPV4_ID_AT, get_u16(ip + IPV4_ID_AT) + cut->next);
	put_u16(ip + IPV4_CSUM_AT, 0);
	put_csum(ip + IPV4_CSUM_AT,
		 sum_fold(sum_bytes(0, ip, (ip[0] & 15u) * 4)));
}

static void fix_tcp(const struct offload_cut *cut, uint8_t *tcp)
{
	put_u32(tcp + TCP_SEQ_AT, get_u32(tcp + TCP_SEQ_AT) + cut->done);
	if (cut->next)
		tcp[TCP_FLAGS_AT] &= (uint8_t)~TCP_CWR;
	if (cut->next + 1 < cut->segments)
		tcp[TCP_FLAGS_AT] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
}

static void fix_transport(const struct offload_cut *cut, uint8_t *at,
			  uint32_t len)
{
	const struct frame_offload *offload = &cut->frame->offload;
	uint8_t *transport = at + offload->csum_start;
	uint32_t size = len - offload->csum_start;
	uint16_t csum;

	if (is_udp(cut->frame))
		put_u16(transport + UDP_LENGTH_AT, size);
	else
		fix_tcp(cut, transport);
	put_u16(transport + offload->csum_offset, 0);
	csum = sum_fold(sum_bytes(
		sum_pseudo(at + cut->network, protocol_of(cut->frame), size),
		transport, size));
	put_csum(transport + offload->csum_offset, csum ? csum : 0xffff);
}

uint32_t offload_next(struct offload_cut *cut, uint8_t *at)
{
	uint32_t payload, len;

	if (cut->next == cut->segments)
		return 0;
	if (!cut->whole) {
		cut->next++;
		return complete(cut->frame, at);
	}
	payload = cut->frame->len - cut->headers - cut->done;
	if (payload > cut->frame->offload.gso_size)
		payload = cut->frame->offload.gso_size;
	len = cut->headers + payload;
	/* The head as it was checked, not as it was copied afterwards. */
	memcpy(at, cut->frame->bytes, cut->headers);
	memcpy(at + cut->headers, cut->whole + cut->headers + cut->done,
	       payload);
	fix_ip(cut, at, len);
	fix_transport(cut, at, len);
	cut->done += payload;
	cut->next++;
	return len;
}

void offload_whole(const struct frame *frame, uint8_t *at)
{
	/* Its only segment. */
	struct offload_cut cut = {.frame = frame, .segments = 1};

	cut.headers = find_headers(frame, VLAN_TAGS, &cut.network);
	frame_copy(frame, at);
	fix_ip(&cut, at, frame->len);
	fix_transport(&cut, at, frame->len);
}
