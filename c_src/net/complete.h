/* SPDX-License-Identifier: Apache-2.0 */
/*
 * complete - makes frames whole (offload.h) on their way to who cannot take
 * them as a guest has left them: ports of other kinds, and the BEAM.
 *
 * A frame that stays one frame goes into a slab, so that a burst of them is
 * still sent as a burst. One that is cut is sent off piece by piece: its
 * segments may be many times the slab.
 */
#ifndef EVUM_NET_COMPLETE_H
#define EVUM_NET_COMPLETE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "burst.h"
#include "frame.h"
#include "offload.h"

/* A burst of frames of the usual size, bytes. */
#define COMPLETE_SLAB ((size_t)BURST_FRAMES * 2048)

struct complete {
	uint8_t slab[COMPLETE_SLAB];
	size_t used;
	uint8_t whole[FRAME_MAX];
	/* A burst of segments, each with the headers, to which the switch may
	 * have added a tag. */
	uint8_t segments[FRAME_MAX +
			 (size_t)BURST_FRAMES * (FRAME_HEAD + FRAME_TAG)];
};

/* Nobody refers to frames in the slab any more. */
static inline void complete_reset(struct complete *complete)
{
	complete->used = 0;
}

/*
 * Room in the slab for a frame that stays one, or NULL: then it has to go
 * through `segments', and be sent before the next.
 */
uint8_t *complete_room(struct complete *complete, const struct frame *frame);

/*
 * The next segments, at most BURST_FRAMES, as frames in `segments'. How many;
 * 0 at the end.
 */
unsigned int complete_next(struct complete *complete, struct offload_cut *cut,
			   struct frame *frames);

#endif
