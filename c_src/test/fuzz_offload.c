/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_offload - any offload header on any frame: what passes the check is
 * completed within its bounds, and the segments hold all of the payload.
 */
#include <stdlib.h>
#include <string.h>

#include "offload.h"
#include "vlan.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct frame_offload header_of(const uint8_t *bytes)
{
	return (struct frame_offload){
		.flags = bytes[0],
		.gso_type = bytes[1] % 8 == 7 ? bytes[2] : bytes[1] % 6,
		.hdr_len = bytes[3],
		.gso_size = (uint16_t)(bytes[4] << 8 | bytes[5]),
		.csum_start = (uint16_t)(bytes[6] << 8 | bytes[7]),
		.csum_offset = bytes[8] % 2 ? 16 : bytes[9],
	};
}

static struct vlan_forms forms;

/* Headers of TCP or UDP with one byte changed, if any: few inputs come so far.
 */
static void nearly_good(struct frame *frame, uint8_t *bytes, uint8_t how)
{
	static const uint8_t ipv4[] = {0x08, 0x00, 0x45};
	static const uint8_t ipv6[] = {0x86, 0xdd, 0x60};
	bool v6 = how & 2, udp = frame->offload.gso_type == OFFLOAD_GSO_UDP_L4;
	uint32_t transport = v6 ? 54 : 34;

	if (frame->len < transport + 20)
		return;
	memcpy(bytes + 12, v6 ? ipv6 : ipv4, 3);
	bytes[23] = udp ? 17 : 6;
	bytes[transport + 12] = (uint8_t)(how << 2 | 0x50);
	bytes[how % 64 % frame->len] ^= how >> 6;
	frame->offload.flags = FRAME_NEEDS_CSUM;
	if (!udp)
		frame->offload.gso_type = v6 ? 4 : 1;
	frame->offload.csum_start = (uint16_t)transport;
	frame->offload.csum_offset = udp ? 6 : 16;
}

/* No longer than is said to be needed, so that ASan sees past it. */
static void check_cut(const struct frame *frame)
{
	uint32_t got, sum = 0, headers = 0, most = frame->len;
	unsigned int n = 0, segments = offload_segments(frame);
	struct offload_cut cut;
	uint8_t *room, *at;

	if (frame->offload.gso_type &&
	    most > FRAME_HEAD + frame->offload.gso_size)
		most = FRAME_HEAD + frame->offload.gso_size;
	room = malloc(frame->len);
	at = malloc(most);
	if (!room || !at)
		abort();
	offload_begin(&cut, frame, room);
	while ((got = offload_next(&cut, at)) > 0) {
		headers = cut.headers;
		if (got < headers || got > most || ++n > segments)
			abort();
		sum += got - headers;
	}
	if (n != segments || sum + headers != frame->len ||
	    (frame->offload.gso_type && !headers))
		abort();
	if (frame->offload.gso_type)
		offload_whole(frame, room);
	free(room);
	free(at);
}

/* With the switch's tag, which comes once it has passed the check. */
static void check_tagged(const struct frame *frame)
{
	const struct frame *tagged;

	vlan_reset(&forms);
	if (!vlan_begin(&forms, frame, 7, false))
		abort();
	tagged = vlan_form(&forms, true);
	if (tagged)
		check_cut(tagged);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct frame frame = {.bytes = NULL};
	struct iovec rest;
	uint8_t *own;

	if (len < 10 + FRAME_MIN || len - 10 > FRAME_MAX)
		return 0;
	frame.len = (uint32_t)len - 10;
	frame.offload = header_of(bytes);
	own = malloc(frame.len);
	if (!own)
		abort();
	memcpy(own, bytes + 10, frame.len);
	frame.bytes = own;
	if (bytes[3] & 1)
		nearly_good(&frame, own, bytes[3]);
	if (bytes[0] & 2 && frame.len > FRAME_HEAD) {
		frame.offload.flags &= (uint8_t)~2;
		frame.rest_len = frame.len - FRAME_HEAD;
		rest = (struct iovec){
			(void *)(uintptr_t)(frame.bytes + FRAME_HEAD),
			frame.rest_len};
		frame.rest = &rest;
		frame.n_rest = 1;
	}
	if (!offload_check(&frame)) {
		check_cut(&frame);
		check_tagged(&frame);
	}
	free(own);
	return 0;
}
