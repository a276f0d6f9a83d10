/* SPDX-License-Identifier: Apache-2.0 */
#include "vlan.h"

#include <net/ethernet.h>

#define ADDRESSES ((uint32_t)2 * ETH_ALEN)
/* Less priority and drop eligibility than that, there is no VLAN 4095. */
#define VLAN_MAX 4094

static uint16_t get_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put_u16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

void vlan_set_init(struct vlan_set *set, uint16_t untagged,
		   const uint8_t *tagged)
{
	*set = (struct vlan_set){.untagged = untagged,
				 .aware = untagged || tagged};
	if (tagged)
		memcpy(set->tagged, tagged, VLAN_SET_BYTES);
}

bool vlan_is_member(const struct vlan_set *set, uint16_t vlan)
{
	if (!vlan || vlan > VLAN_MAX)
		return false;
	return vlan == set->untagged ||
	       set->tagged[vlan / 8] & 0x80 >> vlan % 8;
}

bool vlan_admit(const struct vlan_set *set, const struct frame *frame,
		uint16_t *tci, bool *has_tag)
{
	const uint8_t *type = frame->bytes + ADDRESSES;

	*tci = set->untagged;
	*has_tag = get_u16(type) == ETHERTYPE_VLAN;
	if (!*has_tag)
		return set->untagged;
	/* A type has to follow; what is left to be done must be behind it. */
	if (frame_head(frame) < FRAME_MIN + FRAME_TAG ||
	    (frame->offload.flags & FRAME_NEEDS_CSUM &&
	     frame->offload.csum_start < FRAME_MIN + FRAME_TAG))
		return false;
	*tci = get_u16(type + 2);
	if (*tci & VLAN_ID)
		return vlan_is_member(set, *tci & VLAN_ID);
	*tci |= set->untagged;
	return set->untagged;
}

bool vlan_begin(struct vlan_forms *forms, const struct frame *frame,
		uint16_t tci, bool has_tag)
{
	forms->received = frame;
	forms->tci = tci;
	forms->came_tagged = has_tag;
	forms->forms[false] = has_tag ? NULL : frame;
	forms->forms[true] = NULL;
	/* But for a priority tag, which has no VLAN yet. */
	if (has_tag && get_u16(frame->bytes + ADDRESSES + 2) == tci)
		forms->forms[true] = frame;
	return forms->used + (size_t)2 * (frame_head(frame) + FRAME_TAG) <=
	       VLAN_SLAB;
}

/* What it says of places in the frame holds for it longer, or shorter, too. */
static void shift(struct frame *frame, int bytes)
{
	struct frame_offload *offload = &frame->offload;

	frame->len = (uint32_t)((int)frame->len + bytes);
	if (offload->flags & FRAME_NEEDS_CSUM)
		offload->csum_start =
			(uint16_t)((int)offload->csum_start + bytes);
	if (offload->hdr_len >= FRAME_MIN + FRAME_TAG)
		offload->hdr_len = (uint16_t)((int)offload->hdr_len + bytes);
}

static void make(struct vlan_forms *forms, bool tagged)
{
	const struct frame *from = forms->received;
	uint8_t *at = forms->slab + forms->used;
	uint32_t behind = ADDRESSES + (forms->came_tagged ? FRAME_TAG : 0);
	struct frame *to = &forms->made[tagged];

	*to = *from;
	to->bytes = at;
	memcpy(at, from->bytes, ADDRESSES);
	at += ADDRESSES;
	if (tagged) {
		put_u16(at, ETHERTYPE_VLAN);
		put_u16(at + 2, forms->tci);
		at += FRAME_TAG;
	}
	memcpy(at, from->bytes + behind, frame_head(from) - behind);
	shift(to, FRAME_TAG * (tagged - forms->came_tagged));
	forms->used += frame_head(to);
}

const struct frame *vlan_form(struct vlan_forms *forms, bool tagged)
{
	if (!forms->forms[tagged]) {
		if (tagged && !forms->came_tagged &&
		    forms->received->len > FRAME_MAX - FRAME_TAG)
			return NULL;
		make(forms, tagged);
		forms->forms[tagged] = &forms->made[tagged];
	}
	return forms->forms[tagged];
}
