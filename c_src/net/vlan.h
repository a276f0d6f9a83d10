/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vlan - tags of IEEE 802.1Q: the VLANs that a port is in, the VLAN of a frame
 * that came in there, and the frame with its tag and without.
 *
 * A port without VLANs is aware of none: its frames pass as they are, tags of
 * the guests' own included. At any other port each frame belongs to a VLAN, by
 * its tag or, where it has none, by what the port is set to (its untagged
 * VLAN). A tag of the VLAN 0 tells a priority alone, which is kept.
 *
 * Within the switch such a frame is what came in, and its tag control
 * information (TCI: priority, drop eligibility, VLAN). Which ports want it with
 * a tag shows one by one; the form that came in is passed on as it is, and the
 * other is made once, when first wanted. Of a long frame in pieces only the
 * head is copied for that.
 */
#ifndef EVUM_NET_VLAN_H
#define EVUM_NET_VLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

#define VLANS 4096
#define VLAN_ID 0x0fff /* of a TCI */
#define VLAN_SET_BYTES (VLANS / 8)
/* Room for both forms of the longest frame; of usual ones for a burst. */
#define VLAN_SLAB ((size_t)2 * (FRAME_MAX + FRAME_TAG))

/* Of a port. */
struct vlan_set {
	uint16_t untagged; /* the VLAN of frames without a tag, or 0 */
	bool aware;
	uint8_t tagged[VLAN_SET_BYTES]; /* a bit each, the first is 0x80 */
};

struct vlan_forms {
	uint16_t tci;
	bool came_tagged;
	const struct frame *received;
	const struct frame *forms[2]; /* without the tag, and with it */
	struct frame made[2];
	size_t used;
	uint8_t slab[VLAN_SLAB];
};

/* tagged has VLAN_SET_BYTES bytes, or is NULL. */
void vlan_set_init(struct vlan_set *set, uint16_t untagged,
		   const uint8_t *tagged);
bool vlan_is_member(const struct vlan_set *set, uint16_t vlan);

/* The TCI of a frame that has come in; false where it may not. */
bool vlan_admit(const struct vlan_set *set, const struct frame *frame,
		uint16_t *tci, bool *has_tag);
/* Is a frame with that TCI to go out with its tag? */
static inline bool vlan_is_tagged(const struct vlan_set *set, uint16_t tci)
{
	return set->aware && (tci & VLAN_ID) != set->untagged;
}

/*
 * The frame whose forms are wanted from now on; it has to stay where it is, and
 * has_tag what vlan_admit() said, or false where its first bytes are no tag of
 * this switch's. False where there is no room: whoever refers to forms of
 * earlier frames is to be done with them, and then vlan_reset() called.
 */
bool vlan_begin(struct vlan_forms *forms, const struct frame *frame,
		uint16_t tci, bool has_tag);
/* NULL where it would be longer than FRAME_MAX. */
const struct frame *vlan_form(struct vlan_forms *forms, bool tagged);
/* Nobody refers to a form any more. */
static inline void vlan_reset(struct vlan_forms *forms)
{
	forms->used = 0;
}

#endif
