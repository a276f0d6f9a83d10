/* SPDX-License-Identifier: Apache-2.0 */
#include "offload.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <string.h>

#include "unit.h"

/* What is wanted, built field by field, and compared byte for byte. */
struct packet {
	unsigned int tags; /* VLAN tags */
	bool v6, udp;
	unsigned int options; /* bytes of TCP options */
	uint16_t id;
	uint32_t seq;
	uint8_t flags;
	uint32_t from, payload; /* bytes of the pattern */
};

static uint8_t pattern(uint32_t i)
{
	return (uint8_t)(i * 7 + i / 256);
}

/* Big-endian words, an odd byte is the upper half: not how offload.c does. */
static uint32_t add(uint32_t sum, const uint8_t *at, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* Headers as they begin, where nothing depends on the packet. */
static const uint8_t addresses[] = {0x52, 0x54, 0, 0, 0, 2,
				    0x52, 0x54, 0, 0, 0, 1};
static const uint8_t inner_tag[] = {0x81, 0x00, 0x60, 0x07};
static const uint8_t outer_tag[] = {0x88, 0xa8, 0x00, 0x05};
static const uint8_t ipv4[] = {0x45, 0, 0,  0, 0, 0, 0x40, 0, 0x40, 6,
			       0,    0, 10, 0, 0, 1, 10,   0, 0,    2};
static const uint8_t ipv6[] = {0x60, 0, 0, 0, 0, 0, 6, 0x40};
static const uint8_t tcp_start[] = {0x13, 0x88, 0x9c, 0x40, 0, 0, 0, 0, 1, 2,
				    3,	  4,	0,    0,    2, 0, 0, 0, 0, 0};

static uint32_t put_ethernet(uint8_t *at, const struct packet *p)
{
	uint32_t n = sizeof(addresses);

	memcpy(at, addresses, sizeof(addresses));
	for (unsigned int i = 0; i < p->tags; i++, n += 4)
		memcpy(at + n, i || p->tags == 1 ? inner_tag : outer_tag, 4);
	put16(at + n, p->v6 ? 0x86dd : 0x0800);
	return n + 2;
}

static uint8_t protocol_of(const struct packet *p)
{
	return p->udp ? 17 : 6;
}

static uint32_t put_ip(uint8_t *at, const struct packet *p, uint32_t len)
{
	if (p->v6) {
		memcpy(at, ipv6, sizeof(ipv6));
		at[6] = protocol_of(p);
		put16(at + 4, len);
		memset(at + 8, 0xfe, 16);
		memset(at + 24, 0x3d, 16);
		return 40;
	}
	memcpy(at, ipv4, sizeof(ipv4));
	at[9] = protocol_of(p);
	put16(at + 2, len + 20);
	put16(at + 4, p->id);
	put16(at + 10, ~add(0, at, 20));
	return 20;
}

static uint32_t pseudo(const uint8_t *ip, const struct packet *p, uint32_t len)
{
	uint32_t sum = p->v6 ? add(0, ip + 8, 32) : add(0, ip + 12, 8);

	return sum + protocol_of(p) + len;
}

static uint32_t header_of(const struct packet *p)
{
	return p->udp ? 8 : 20 + p->options;
}

static uint32_t csum_offset(const struct packet *p)
{
	return p->udp ? 6 : 16;
}

static void put_tcp(uint8_t *tcp, const struct packet *p)
{
	memcpy(tcp, tcp_start, sizeof(tcp_start));
	put16(tcp + 4, p->seq >> 16);
	put16(tcp + 6, p->seq);
	tcp[12] = (uint8_t)((20 + p->options) / 4 << 4);
	tcp[13] = p->flags;
	memset(tcp + 20, 1, p->options);
}

static void put_udp(uint8_t *udp, uint32_t len)
{
	memcpy(udp, tcp_start, 4);
	put16(udp + 4, len);
	put16(udp + 6, 0);
}

/* The packet as the wire should have it; returns its length. */
static uint32_t build(uint8_t *at, const struct packet *p)
{
	uint32_t len = header_of(p) + p->payload;
	uint32_t network = put_ethernet(at, p), n;
	uint8_t *transport;

	n = network + put_ip(at + network, p, len);
	transport = at + n;
	if (p->udp)
		put_udp(transport, len);
	else
		put_tcp(transport, p);
	for (uint32_t i = 0; i < p->payload; i++)
		transport[header_of(p) + i] = pattern(p->from + i);
	put16(transport + csum_offset(p),
	      ~add(pseudo(at + network, p, len), transport, len));
	return n + len;
}

static uint32_t transport_of(const struct packet *p)
{
	return 14 + 4 * p->tags + (p->v6 ? 40 : 20);
}

/* As a guest hands it over: a pseudo header's sum in place of the checksum. */
static struct frame unfinished(uint8_t *at, const struct packet *p,
			       uint16_t gso_size)
{
	uint32_t len = build(at, p), transport = transport_of(p);
	uint32_t network = 14 + 4 * p->tags;
	uint8_t gso =
		p->v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;

	if (p->udp)
		gso = OFFLOAD_GSO_UDP_L4;
	put16(at + transport + csum_offset(p),
	      add(pseudo(at + network, p, len - transport), NULL, 0));
	return (struct frame){
		.bytes = at,
		.len = len,
		.offload = {.flags = FRAME_NEEDS_CSUM,
			    .gso_type = gso_size ? gso : 0,
			    .hdr_len = 0, /* a hint that nobody needs */
			    .gso_size = gso_size,
			    .csum_start = (uint16_t)transport,
			    .csum_offset = (uint16_t)csum_offset(p)},
	};
}

/* The same frame with all behind its head in pieces of odd lengths. */
static void scatter(struct frame *frame, struct iovec *pieces)
{
	uint32_t at = FRAME_HEAD, size = 701;

	if (frame->len <= FRAME_HEAD)
		return;
	frame->rest_len = frame->len - at;
	frame->rest = pieces;
	for (; at < frame->len; at += size, frame->n_rest++) {
		if (size > frame->len - at)
			size = frame->len - at;
		pieces[frame->n_rest] = (struct iovec){
			(void *)(uintptr_t)(frame->bytes + at), size};
	}
}

static void expect_segments(const struct packet *p, uint16_t gso_size,
			    bool in_pieces)
{
	static uint8_t bytes[FRAME_MAX], room[FRAME_MAX], wanted[FRAME_MAX],
		got[FRAME_MAX];
	struct frame frame = unfinished(bytes, p, gso_size);
	struct iovec pieces[100];
	struct offload_cut cut;
	uint32_t done = 0, n = 0;

	if (in_pieces)
		scatter(&frame, pieces);
	CHECK(!offload_check(&frame));
	offload_begin(&cut, &frame, room);
	do {
		struct packet part = *p;
		uint32_t len;

		part.id = (uint16_t)(p->id + n);
		part.seq = p->seq + done;
		part.from = done;
		part.payload = p->payload - done;
		if (part.payload > gso_size) {
			part.payload = gso_size;
			part.flags &= (uint8_t)~0x09;
		}
		if (n)
			part.flags &= 0x7f;
		len = build(wanted, &part);
		CHECK(offload_next(&cut, got) == len);
		CHECK(!memcmp(got, wanted, len));
		if (!n)
			CHECK(offload_payload(&frame) ==
			      len - 14 - 4 * p->tags);
		done += part.payload;
		n++;
	} while (done < p->payload);
	CHECK(offload_segments(&frame) == n);
	CHECK(offload_next(&cut, got) == 0);
}

static void tcp_is_cut_as_a_card_would(void)
{
	static const uint32_t payloads[] = {0,	  1,	1447, 1448,
					    1449, 2896, 9001, 65000};

	for (unsigned int i = 0; i < 8 * 12; i++) {
		struct packet p = {
			.tags = i % 3,
			.v6 = i / 3 % 2,
			.options = i / 6 % 2 * 12,
			.id = 0xfffe, /* wraps */
			.seq = 0xfffffa00,
			.flags = 0x99, /* ACK, PSH, FIN, CWR */
			.payload = payloads[i / 12],
		};

		expect_segments(&p, 1448, false);
		expect_segments(&p, 1448, true);
	}
}

static void a_large_packet_stays_one(void)
{
	static uint8_t bytes[FRAME_MAX], wanted[FRAME_MAX], got[FRAME_MAX];

	for (unsigned int i = 0; i < 12; i++) {
		struct packet p = {
			.tags = i % 3,
			.v6 = i / 3 % 2,
			.options = 12,
			.id = 0xfffe,
			.seq = 0xfffffa00,
			.flags = 0x99,
			.payload = i / 6 ? 65001 : 1,
		};
		struct frame frame = unfinished(bytes, &p, 1448);
		struct iovec pieces[100];
		uint32_t len = build(wanted, &p);

		/* Its length is nobody's to rely on. */
		put16(bytes + 14 + 4 * p.tags + (p.v6 ? 4 : 2), 77);
		scatter(&frame, pieces);
		CHECK(!offload_check(&frame));
		offload_whole(&frame, got);
		CHECK(len == frame.len && !memcmp(got, wanted, len));
	}
}

/* A datagram each, the last one as short as it is. */
static void udp_is_cut_into_datagrams(void)
{
	static const uint32_t payloads[] = {0, 1, 1199, 1200, 1201, 60000};

	for (unsigned int i = 0; i < 6 * 6; i++) {
		struct packet p = {
			.tags = i % 3,
			.v6 = i / 3 % 2,
			.udp = true,
			.id = 0xfffe,
			.payload = payloads[i / 6],
		};

		expect_segments(&p, 1200, false);
		expect_segments(&p, 1200, true);
	}
}

static void the_smallest_segments_are_cut(void)
{
	struct packet p = {.flags = 0x18, .payload = 60000, .v6 = true};

	expect_segments(&p, OFFLOAD_GSO_SIZE_MIN, true);
}

/* What tcpdump -v would show for a packet from somewhere else. */
static void a_segment_from_a_capture(void)
{
	static const uint8_t partial[] =
		"\x52\x54\0\0\0\2\x52\x54\0\0\0\1\x08\0"
		"\x45\0\0\x8c\xab\xcd\x40\0\x40\6\0\0\x0a\0\0\1\x0a\0\0\2"
		"\x13\x88\x9c\x40\0\0\0\1\0\0\0\2\x50\x18\x02\0\0\0\0\0"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
	/* Ids, lengths and checksums, by an independent program. */
	static const uint8_t first[] = {0x00, 0x5a, 0xab, 0xcd, 0x40,
					0x00, 0x40, 0x06, 0x7a, 0xce};
	static const uint8_t second[] = {0x00, 0x5a, 0xab, 0xce, 0x40,
					 0x00, 0x40, 0x06, 0x7a, 0xcd};
	struct frame frame = {
		.bytes = partial,
		.len = sizeof(partial) - 1,
		.offload = {.flags = FRAME_NEEDS_CSUM,
			    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			    .gso_size = 50,
			    .csum_start = 34,
			    .csum_offset = 16},
	};
	uint8_t room[256], at[256];
	struct offload_cut cut;

	CHECK(!offload_check(&frame));
	offload_begin(&cut, &frame, room);
	CHECK(offload_next(&cut, at) == 104);
	CHECK(!memcmp(at + 16, first, sizeof(first)));
	CHECK(!memcmp(at + 46, "\x50\x10", 2));
	CHECK(!memcmp(at + 50, "\x67\x52", 2));
	CHECK(offload_next(&cut, at) == 104);
	CHECK(!memcmp(at + 16, second, sizeof(second)));
	CHECK(!memcmp(at + 46, "\x50\x18", 2));
	CHECK(!memcmp(at + 50, "\x4d\xff", 2));
	CHECK(offload_next(&cut, at) == 0);
}

static void a_checksum_is_completed(void)
{
	static uint8_t bytes[FRAME_MAX], wanted[FRAME_MAX], got[FRAME_MAX];

	for (uint32_t payload = 0; payload < 1460; payload += 73) {
		for (int v6 = 0; v6 < 2; v6++) {
			struct packet p = {.v6 = v6, .payload = payload};
			struct frame frame = unfinished(bytes, &p, 0);
			uint32_t len = build(wanted, &p);
			struct iovec pieces[4];
			struct offload_cut cut;

			scatter(&frame, pieces);
			CHECK(!offload_check(&frame));
			offload_begin(&cut, &frame, got);
			CHECK(offload_next(&cut, got) == len);
			CHECK(!memcmp(got, wanted, len));
			CHECK(offload_next(&cut, got) == 0);
		}
	}
}

static void udp_knows_no_checksum_of_zero(void)
{
	uint8_t bytes[60] = {0}, got[60];
	struct frame frame = {.bytes = bytes,
			      .len = 60,
			      .offload = {.flags = FRAME_NEEDS_CSUM,
					  .csum_start = 34,
					  .csum_offset = 6}};
	struct offload_cut cut;

	bytes[40] = bytes[41] = 0xff; /* sums up to what becomes 0 */
	CHECK(!offload_check(&frame));
	offload_begin(&cut, &frame, got);
	CHECK(offload_next(&cut, got) == 60);
	CHECK(got[40] == 0xff && got[41] == 0xff);
}

static void a_complete_frame_stays_as_it_is(void)
{
	uint8_t bytes[60], got[60];
	struct frame frame = {.bytes = bytes, .len = 60};
	struct offload_cut cut;

	memset(bytes, 0x5a, sizeof(bytes));
	CHECK(!offload_check(&frame) && offload_segments(&frame) == 1);
	offload_begin(&cut, &frame, got);
	CHECK(offload_next(&cut, got) == 60 && !memcmp(got, bytes, 60));
	CHECK(offload_next(&cut, got) == 0);
}

static void headers_that_do_not_fit_are_refused(void)
{
	static uint8_t bytes[FRAME_MAX];
	struct packet p = {.payload = 5000};
	struct frame good = unfinished(bytes, &p, 1448), bad;

#define BAD(change)                                     \
	do {                                            \
		bad = good;                             \
		change;                                 \
		CHECK(offload_check(&bad) == -EBADMSG); \
	} while (0)
	CHECK(!offload_check(&good));
	BAD(bad.offload.flags = 0);
	BAD(bad.offload.flags |= 2);
	BAD(bad.offload.gso_type = VIRTIO_NET_HDR_GSO_TCPV6);
	BAD(bad.offload.gso_type = VIRTIO_NET_HDR_GSO_UDP);
	BAD(bad.offload.gso_type = 77);
	BAD(bad.offload.gso_size = 0);
	BAD(bad.offload.gso_size = OFFLOAD_GSO_SIZE_MIN - 1);
	BAD(bad.offload.gso_size = UINT16_MAX);
	BAD(bad.offload.csum_start = 33);
	BAD(bad.offload.csum_start = 13);
	BAD(bad.offload.csum_start = UINT16_MAX);
	BAD(bad.offload.csum_offset = 6);
	BAD(bad.len = 53);
	BAD(bad.len = 14);
	bytes[46] = 0x40; /* TCP's data offset: below its least */
	BAD((void)0);
	bytes[46] = 0x50;
	bytes[23] = 17;
	BAD((void)0);
	bytes[23] = 6;
	bytes[14] = 0x46;
	BAD((void)0);
	bytes[14] = 0x45;
	bytes[12] = 0x86;
	BAD((void)0);
	bytes[12] = 8;
	CHECK(!offload_check(&good));
	BAD(bad.offload.gso_type = OFFLOAD_GSO_UDP_L4);
	BAD(bad.offload.gso_type = OFFLOAD_GSO_UDP_L4;
	    bad.offload.csum_offset = 6);
	good.offload.gso_type = 0;
	BAD(bad.offload.csum_start = 13);
	BAD(bad.offload.csum_start = (uint16_t)(good.len - 17));
	BAD(bad.offload.csum_offset = UINT16_MAX);
	BAD(bad.offload.flags = 4);
	/* In what the guest can still change, nothing is written. */
	BAD(bad.rest_len = good.len - 50);
}

int main(void)
{
	RUN(tcp_is_cut_as_a_card_would);
	RUN(a_large_packet_stays_one);
	RUN(udp_is_cut_into_datagrams);
	RUN(the_smallest_segments_are_cut);
	RUN(a_segment_from_a_capture);
	RUN(a_checksum_is_completed);
	RUN(udp_knows_no_checksum_of_zero);
	RUN(a_complete_frame_stays_as_it_is);
	RUN(headers_that_do_not_fit_are_refused);
	UNIT_DONE();
}
