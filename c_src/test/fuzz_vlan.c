/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_vlan - a guest's frame at a port with VLANs, whole or in pieces, with
 * work left to be done: what the switch makes of it, and back, is that frame.
 */
#include <stdlib.h>

#include "vlan.h"

#define EXPECT(what)             \
	do {                     \
		if (!(what))     \
			abort(); \
	} while (0)

static struct vlan_forms forms, back;

struct input {
	uint16_t untagged, csum_start, hdr_len;
	uint8_t flags, tagged, rest;
};

static void check(const struct vlan_set *set, const struct frame *frame)
{
	const struct frame *plain, *tagged, *again;
	uint16_t tci;
	bool has_tag;

	if (!vlan_admit(set, frame, &tci, &has_tag))
		return;
	EXPECT(vlan_is_member(set, tci & VLAN_ID));
	vlan_reset(&forms);
	vlan_reset(&back);
	EXPECT(vlan_begin(&forms, frame, tci, has_tag));
	plain = vlan_form(&forms, false);
	EXPECT(plain->len == frame->len - (has_tag ? FRAME_TAG : 0));
	EXPECT(frame_head(plain) >= FRAME_MIN);
	tagged = vlan_form(&forms, true);
	EXPECT(tagged && tagged->len == plain->len + FRAME_TAG);
	EXPECT(tagged->rest == frame->rest);
	EXPECT(!memcmp(tagged->bytes, plain->bytes, 12));
	EXPECT(!memcmp(tagged->bytes + 16, plain->bytes + 12,
		       frame_head(plain) - 12));
	EXPECT(vlan_begin(&back, tagged, tci, true));
	again = vlan_form(&back, false);
	EXPECT(again->len == plain->len &&
	       !memcmp(again->bytes, plain->bytes, frame_head(plain)));
	if (frame->offload.flags & FRAME_NEEDS_CSUM) {
		EXPECT(plain->offload.csum_start >= FRAME_MIN);
		EXPECT(again->offload.csum_start == plain->offload.csum_start);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t tagged[VLAN_SET_BYTES];
	struct input in;
	struct vlan_set set;
	struct frame frame;
	struct iovec rest = {(char[256]){0}, 0};
	uint8_t *bytes;

	if (size < sizeof(in) + FRAME_MIN)
		return 0;
	memcpy(&in, data, sizeof(in));
	data += sizeof(in);
	size -= sizeof(in);
	memset(tagged, in.tagged, sizeof(tagged));
	vlan_set_init(&set, in.untagged % (VLANS - 1), tagged);
	/* On the heap and no longer than it is, so that ASan sees past it. */
	bytes = malloc(size);
	EXPECT(bytes);
	memcpy(bytes, data, size);
	rest.iov_len = in.rest;
	frame = (struct frame){.bytes = bytes,
			       .len = (uint32_t)size + in.rest,
			       .rest_len = in.rest,
			       .rest = &rest,
			       .n_rest = in.rest > 0,
			       .offload = {.flags = in.flags & FRAME_NEEDS_CSUM,
					   .csum_start = in.csum_start,
					   .hdr_len = in.hdr_len}};
	/* As offload_check() has it. */
	if (frame.offload.csum_start >= FRAME_MIN)
		check(&set, &frame);
	free(bytes);
	return 0;
}
