/* SPDX-License-Identifier: Apache-2.0 */
#include "complete.h"

uint8_t *complete_room(struct complete *complete, const struct frame *frame)
{
	uint8_t *at = complete->slab + complete->used;

	if (frame->offload.gso_type ||
	    frame->len > COMPLETE_SLAB - complete->used)
		return NULL;
	complete->used += frame->len;
	return at;
}

unsigned int complete_next(struct complete *complete, struct offload_cut *cut,
			   struct frame *frames)
{
	uint8_t *at = complete->segments;
	unsigned int n = 0;
	uint32_t len;

	while (n < BURST_FRAMES && (len = offload_next(cut, at)) > 0) {
		frames[n++] = (struct frame){.bytes = at, .len = len};
		at += len;
	}
	return n;
}
