/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storm - how many frames of a port may be flooded: so many a second, and as
 * many at once after a second of silence (a token bucket).
 */
#ifndef EVUM_NET_STORM_H
#define EVUM_NET_STORM_H

#include <stdbool.h>
#include <stdint.h>

/* Of a port. All zero: full. */
struct storm {
	int64_t filled_ms; /* when; by the loop's clock */
	uint64_t tokens;   /* thousandths of a frame */
};

/* May one more be flooded at this time? per_second is not 0. */
bool storm_admits(struct storm *storm, uint32_t per_second, int64_t now_ms);
/* One was; after storm_admits() only. */
static inline void storm_count(struct storm *storm)
{
	storm->tokens -= 1000;
}

#endif
