/* SPDX-License-Identifier: Apache-2.0 */
/* offload_guess_test - frames with and without something left to be done. */
#include "offload_guess.h"

#include <linux/virtio_net.h>

#include "offload.h"
#include "unit.h"

#define MTU 1450u

static uint8_t bytes[FRAME_MAX];

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

struct packet {
	bool v6, udp;
	uint32_t tags, payload;
};

static uint32_t network_of(const struct packet *p)
{
	return 14 + 4 * p->tags;
}

static uint32_t transport_of(const struct packet *p)
{
	return network_of(p) + (p->v6 ? 40 : 20);
}

static uint8_t *csum_of(const struct packet *p)
{
	return bytes + transport_of(p) + (p->udp ? 6 : 16);
}

/* As Linux would hand it to a card: the pseudo header's sum is there. */
static struct frame unfinished(const struct packet *p)
{
	uint32_t header = p->udp ? 8 : 20, len = header + p->payload;
	uint8_t *ip = bytes + network_of(p), protocol = p->udp ? 17 : 6;
	uint32_t sum = protocol + len;

	memset(bytes, 0, sizeof(bytes));
	for (uint32_t i = 0; i < p->tags; i++)
		put16(bytes + 12 + (size_t)4 * i, 0x8100);
	put16(ip - 2, p->v6 ? 0x86dd : 0x0800);
	if (p->v6) {
		ip[0] = 0x60;
		put16(ip + 4, len);
		ip[6] = protocol;
		ip[23] = 1; /* of the source */
	} else {
		ip[0] = 0x45;
		put16(ip + 2, 20 + len);
		ip[9] = protocol;
		ip[15] = 1;
	}
	if (!p->udp)
		bytes[transport_of(p) + 12] = 0x50;
	put16(csum_of(p), sum + 1);
	return (struct frame){.bytes = bytes, .len = transport_of(p) + len};
}

static void what_is_left_is_told(void)
{
	for (unsigned int i = 0; i < 24; i++) {
		struct packet p = {.v6 = i % 2,
				   .udp = i / 2 % 2,
				   .tags = i / 4 % 3,
				   .payload = i / 12 ? 5000 : 100};
		struct frame frame = unfinished(&p);
		bool cut = !p.udp && p.payload == 5000;

		offload_guess(&frame, MTU);
		CHECK(frame.offload.flags == FRAME_NEEDS_CSUM);
		CHECK(frame.offload.csum_start == transport_of(&p));
		CHECK(frame.offload.csum_offset == (p.udp ? 6 : 16));
		CHECK(frame.offload.gso_type ==
		      (!cut   ? VIRTIO_NET_HDR_GSO_NONE
		       : p.v6 ? VIRTIO_NET_HDR_GSO_TCPV6
			      : VIRTIO_NET_HDR_GSO_TCPV4));
		CHECK(frame.offload.gso_size ==
		      (cut ? MTU - 20 - (p.v6 ? 40 : 20) : 0));
		CHECK(!offload_check(&frame));
	}
}

static void finished_frames_stay_as_they_are(void)
{
	struct packet p = {.payload = 100};
	struct frame frame;
	uint32_t before;

#define STAYS(change)                                                    \
	do {                                                             \
		frame = unfinished(&p);                                  \
		change;                                                  \
		before = frame.len;                                      \
		offload_guess(&frame, MTU);                              \
		CHECK(frame.len == before && !frame_is_partial(&frame)); \
	} while (0)
	STAYS(csum_of(&p)[0] ^= 1);
	STAYS(put16(csum_of(&p), 0));
	STAYS(put16(bytes + 12, 0x0806));
	STAYS(bytes[14] = 0x65);
	STAYS(bytes[14] = 0x44);
	STAYS(bytes[20] = 0x20); /* a fragment */
	STAYS(bytes[21] = 1);
	STAYS(bytes[23] = 1);
	STAYS(put16(bytes + 16, 20 + 19));
	STAYS(frame.len--);
	for (uint32_t len = 0; len < 60; len++)
		STAYS(frame.len = len);
	p.v6 = true;
	STAYS(bytes[14] = 0x45);
	STAYS(frame.len = 53);
	STAYS(bytes[20] = 44);
}

/* A frame has 60 bytes at least on a wire: what follows is not summed. */
static void padding_is_left_off(void)
{
	struct packet p = {.udp = true, .payload = 4};
	struct frame frame = unfinished(&p);

	frame.len = 60;
	offload_guess(&frame, MTU);
	CHECK(frame.offload.flags == FRAME_NEEDS_CSUM && frame.len == 46);
}

/* The checksum that is right and looks unfinished is written as it is. */
static void a_good_frame_comes_out_the_same(void)
{
	struct packet p = {.udp = true, .payload = 2};
	struct frame frame = unfinished(&p);
	static uint8_t got[FRAME_MAX];
	struct offload_cut cut;
	uint32_t sum = 0;

	/* Ports, length and payload have to add up to the pseudo header's
	 * sum's complement twice over. */
	for (uint32_t i = transport_of(&p); i < frame.len; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	sum += 17 + 10 + 1;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	/* The length of UDP is not set: 0 as the ports. */
	put16(bytes + frame.len - 2, ~sum);
	offload_guess(&frame, MTU);
	CHECK(frame.offload.flags == FRAME_NEEDS_CSUM);
	offload_begin(&cut, &frame, got);
	CHECK(offload_next(&cut, got) == frame.len);
	CHECK(!memcmp(got, bytes, frame.len));
}

int main(void)
{
	RUN(what_is_left_is_told);
	RUN(finished_frames_stay_as_they_are);
	RUN(padding_is_left_off);
	RUN(a_good_frame_comes_out_the_same);
	UNIT_DONE();
}
