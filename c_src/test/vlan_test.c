/* SPDX-License-Identifier: Apache-2.0 */
#include "vlan.h"

#include <linux/virtio_net.h>
#include <string.h>

#include "offload.h"
#include "unit.h"

static struct vlan_forms forms;
static uint8_t tagged_set[VLAN_SET_BYTES];

/* In the VLANs 10 and 4094; without a tag, that which is given. */
static struct vlan_set trunk(uint16_t untagged)
{
	struct vlan_set set;

	tagged_set[10 / 8] = 0x80 >> 10 % 8;
	tagged_set[4094 / 8] = 0x80 >> 4094 % 8;
	vlan_set_init(&set, untagged, tagged_set);
	return set;
}

static struct vlan_set access_to(uint16_t vlan)
{
	struct vlan_set set;

	vlan_set_init(&set, vlan, NULL);
	return set;
}

/* On the heap and no longer than it is, so that ASan sees past it. */
static struct frame frame_of(const void *bytes, uint32_t len)
{
	uint8_t *copy = malloc(len);

	memcpy(copy, bytes, len);
	return (struct frame){.bytes = copy, .len = len};
}

static void done(const struct frame *frame)
{
	free((void *)(uintptr_t)frame->bytes);
}

#define PLAIN "ABCDEFabcdef\x08\x00payload"
#define TAGGED(tci) "ABCDEFabcdef\x81\x00" tci "\x08\x00payload"

static bool is(const struct frame *frame, const char *bytes, size_t len)
{
	return frame && frame->len == len && frame_head(frame) == len &&
	       !memcmp(frame->bytes, bytes, len);
}

#define IS(frame, text) is(frame, text, sizeof(text) - 1)
#define FRAME(text) frame_of(text, sizeof(text) - 1)

static int admit(struct vlan_set set, struct frame frame)
{
	uint16_t tci = 0;
	bool has_tag;
	bool may = vlan_admit(&set, &frame, &tci, &has_tag);

	done(&frame);
	return may ? tci : -1;
}

static void frames_belong_to_vlans(void)
{
	CHECK(admit(access_to(7), FRAME(PLAIN)) == 7);
	CHECK(admit(access_to(7), FRAME(TAGGED("\x00\x07"))) == 7);
	CHECK(admit(access_to(7), FRAME(TAGGED("\x00\x08"))) == -1);
	/* A priority alone, with drop eligibility. */
	CHECK(admit(access_to(7), FRAME(TAGGED("\xb0\x00"))) == 0xb007);
	CHECK(admit(trunk(0), FRAME(PLAIN)) == -1);
	CHECK(admit(trunk(0), FRAME(TAGGED("\xb0\x00"))) == -1);
	CHECK(admit(trunk(0), FRAME(TAGGED("\xa0\x0a"))) == 0xa00a);
	CHECK(admit(trunk(0), FRAME(TAGGED("\x0f\xfe"))) == 4094);
	CHECK(admit(trunk(0), FRAME(TAGGED("\x0f\xff"))) == -1);
	CHECK(admit(trunk(0), FRAME(TAGGED("\x00\x0b"))) == -1);
	CHECK(admit(trunk(5), FRAME(PLAIN)) == 5);
	CHECK(admit(trunk(5), FRAME(TAGGED("\x20\x00"))) == 0x2005);
	CHECK(admit(trunk(5), FRAME(TAGGED("\x00\x05"))) == 5);
	/* A tag of a provider is none of ours. */
	CHECK(admit(access_to(7),
		    FRAME("ABCDEFabcdef\x88\xa8\x00\x08\x08\x00")) == 7);
}

static void half_a_tag_is_refused(void)
{
	for (uint32_t len = FRAME_MIN; len < FRAME_MIN + FRAME_TAG; len++)
		CHECK(admit(access_to(7), frame_of(TAGGED("\x00\x07"), len)) ==
		      -1);
	CHECK(admit(access_to(7), frame_of(TAGGED("\x00\x07"), 18)) == 7);
}

/* A checksum that would be put where the addresses are without the tag. */
static void work_left_in_the_tag_is_refused(void)
{
	struct vlan_set set = access_to(7);
	struct frame frame = FRAME(TAGGED("\x00\x07"));
	uint16_t tci;
	bool has_tag;

	frame.offload.flags = FRAME_NEEDS_CSUM;
	frame.offload.csum_start = FRAME_MIN + FRAME_TAG;
	CHECK(vlan_admit(&set, &frame, &tci, &has_tag));
	frame.offload.csum_start--;
	CHECK(!vlan_admit(&set, &frame, &tci, &has_tag));
	done(&frame);
}

static void forms_are_made_once(void)
{
	struct frame plain = FRAME(PLAIN), tagged = FRAME(TAGGED("\xa0\x0a"));
	struct frame priority = FRAME(TAGGED("\xa0\x00"));

	CHECK(vlan_begin(&forms, &plain, 0xa00a, false));
	CHECK(vlan_form(&forms, false) == &plain);
	CHECK(IS(vlan_form(&forms, true), TAGGED("\xa0\x0a")));
	CHECK(vlan_form(&forms, true) == vlan_form(&forms, true));
	CHECK(forms.used == tagged.len);
	CHECK(vlan_begin(&forms, &tagged, 0xa00a, true));
	CHECK(vlan_form(&forms, true) == &tagged);
	CHECK(IS(vlan_form(&forms, false), PLAIN));
	/* Of a priority tag neither is what came. */
	CHECK(vlan_begin(&forms, &priority, 0xa007, true));
	CHECK(IS(vlan_form(&forms, false), PLAIN));
	CHECK(IS(vlan_form(&forms, true), TAGGED("\xa0\x07")));
	/* A tag of the guest's own, behind that of the switch. */
	CHECK(vlan_begin(&forms, &tagged, 5, false));
	CHECK(vlan_form(&forms, false) == &tagged);
	CHECK(IS(
		vlan_form(&forms, true),
		"ABCDEFabcdef\x81\x00\x00\x05\x81\x00\xa0\x0a\x08\x00payload"));
	vlan_reset(&forms);
	done(&plain), done(&tagged), done(&priority);
}

static void there_is_room_for_both_or_it_says_so(void)
{
	static uint8_t bytes[FRAME_MAX];
	struct frame longest = frame_of(bytes, FRAME_MAX);
	struct frame taggable = frame_of(bytes, FRAME_MAX - FRAME_TAG);

	CHECK(vlan_begin(&forms, &longest, 7, false));
	CHECK(!vlan_form(&forms, true));
	CHECK(vlan_begin(&forms, &taggable, 7, false));
	CHECK(vlan_form(&forms, true)->len == FRAME_MAX);
	CHECK(!vlan_begin(&forms, &longest, 7, false));
	vlan_reset(&forms);
	CHECK(vlan_begin(&forms, &longest, 7, true));
	CHECK(vlan_form(&forms, true)->len == FRAME_MAX);
	CHECK(vlan_form(&forms, false)->len == FRAME_MAX - FRAME_TAG);
	CHECK(forms.used <= VLAN_SLAB);
	vlan_reset(&forms);
	done(&longest), done(&taggable);
}

static void pieces_stay_where_they_are(void)
{
	struct iovec rest = {(char[]){"pieces"}, 6};
	struct frame frame = FRAME(PLAIN);
	const struct frame *tagged;

	frame.rest = &rest;
	frame.n_rest = 1;
	frame.rest_len = 6;
	frame.len += 6;
	CHECK(vlan_begin(&forms, &frame, 7, false));
	tagged = vlan_form(&forms, true);
	CHECK(tagged->rest == &rest && tagged->n_rest == 1);
	CHECK(tagged->len == frame.len + FRAME_TAG);
	CHECK(frame_head(tagged) == frame_head(&frame) + FRAME_TAG);
	vlan_reset(&forms);
	done(&frame);
}

/* TCP over IPv4 behind that many tags of the guest's own, 3 segments. */
static struct frame to_be_cut(int tags)
{
	uint8_t bytes[256] = {0};
	uint8_t *at = bytes + 12;

	while (tags--) {
		memcpy(at, "\x81\x00\x00\x63", 4);
		at += 4;
	}
	memcpy(at, "\x08\x00\x45", 3);
	at[2 + 9] = 6;
	at += 2 + 20;
	at[12] = 0x50;
	return frame_of(bytes, (uint32_t)(at - bytes) + 20 + 130);
}

static unsigned int cut(const struct frame *frame, uint32_t tci)
{
	static uint8_t room[FRAME_MAX], segment[FRAME_MAX];
	struct offload_cut state;
	unsigned int n = 0;
	uint32_t len;

	offload_begin(&state, frame, room);
	while ((len = offload_next(&state, segment)) > 0) {
		uint32_t payload = n < 2 ? 50 : 30;

		CHECK(len == state.headers + payload);
		if (tci)
			CHECK(!memcmp(segment + 12,
				      ((uint8_t[]){0x81, 0, (uint8_t)(tci >> 8),
						   (uint8_t)tci}),
				      4));
		n++;
	}
	return n;
}

/* Each segment has the tag, and those that the guest put behind it. */
static void what_is_cut_keeps_its_tag(void)
{
	for (int tags = 0; tags <= 2; tags++) {
		struct frame frame = to_be_cut(tags);
		const struct frame *tagged;

		frame.offload = (struct frame_offload){
			.flags = FRAME_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			.gso_size = 50,
			.hdr_len = (uint16_t)(54 + 4 * tags),
			.csum_start = (uint16_t)(34 + 4 * tags),
			.csum_offset = 16};
		CHECK(!offload_check(&frame));
		CHECK(cut(&frame, 0) == 3);
		CHECK(vlan_begin(&forms, &frame, 0x6007, false));
		tagged = vlan_form(&forms, true);
		CHECK(tagged->offload.csum_start == 38 + 4 * tags);
		CHECK(tagged->offload.hdr_len == 58 + 4 * tags);
		CHECK(cut(tagged, 0x6007) == 3);
		vlan_reset(&forms);
		done(&frame);
	}
}

/* The switch's tag makes it longer: no segment may come to 64 KB by that. */
static void there_is_room_for_the_tag_of_what_is_cut(void)
{
	struct frame frame = to_be_cut(0);

	frame.offload =
		(struct frame_offload){.flags = FRAME_NEEDS_CSUM,
				       .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				       .gso_size = 65535 - 4 - 34 - 20,
				       .csum_start = 34,
				       .csum_offset = 16};
	CHECK(!offload_check(&frame));
	CHECK(vlan_begin(&forms, &frame, 7, false));
	CHECK(offload_segments(vlan_form(&forms, true)) == 1);
	vlan_reset(&forms);
	frame.offload.gso_size++;
	CHECK(offload_check(&frame));
	done(&frame);
}

int main(void)
{
	RUN(frames_belong_to_vlans);
	RUN(half_a_tag_is_refused);
	RUN(work_left_in_the_tag_is_refused);
	RUN(forms_are_made_once);
	RUN(there_is_room_for_both_or_it_says_so);
	RUN(pieces_stay_where_they_are);
	RUN(what_is_cut_keeps_its_tag);
	RUN(there_is_room_for_the_tag_of_what_is_cut);
	UNIT_DONE();
}
