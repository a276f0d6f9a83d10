/* SPDX-License-Identifier: Apache-2.0 */
/*
 * impair - what becomes of a frame on a way that is not perfect: lost, how many
 * of it arrive, when, and with which bit turned. Words and meanings are those
 * of Linux' netem (tc-netem(8)); src/evum_impair.erl tells users of them.
 *
 * Pure: lengths go in, fates come out. impaired.c holds the frames. All chance
 * is of the seed, and the fate of a frame depends on the options and on the
 * frames before it, not on the time: the same frames have the same fates. Only
 * how long they wait for the rate depends on when they come.
 *
 *   frame -> lost? -> twice? -> each: which bit?, how long is the delay?
 *
 * A frame first waits for its turn on a wire of that rate, then travels for the
 * delay; so jitter may let frames overtake one another behind a rate, too. The
 * rate is a token bucket kept as a time: when the bucket is full again.
 */
#ifndef EVUM_NET_IMPAIR_H
#define EVUM_NET_IMPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "rng.h"

/* So that times fit in 63 bits whatever waits; evum_impair.erl has the same. */
#define IMPAIR_DELAY_MAX_NS (UINT64_C(3600) * 1000000000)
#define IMPAIR_RATE_MIN UINT64_C(1000)
#define IMPAIR_RATE_MAX UINT64_C(100000000000)
#define IMPAIR_BURST_MAX UINT64_C(1000000000)
#define IMPAIR_LIMIT_MAX 1000000u

enum impair_distribution {
	IMPAIR_UNIFORM, /* jitter is the most */
	IMPAIR_NORMAL,	/* jitter is the standard deviation */
	IMPAIR_PARETO,	/* the same, shape 3 */
};

/* Probabilities are parts of RNG_CERTAIN. */
struct impair_options {
	uint64_t seed;
	uint64_t delay_ns, jitter_ns;
	enum impair_distribution distribution;
	uint64_t correlation; /* of a frame's jitter with the last one's */
	/* Gilbert and Elliott: to the bad state, back; lost in the bad state,
	 * in the good one. */
	uint64_t go_bad, go_good, lost_bad, lost_good;
	uint64_t duplicate, corrupt;
	uint64_t
		reorder; /* without the delay, but for gap - 1 frames between */
	uint32_t gap;
	uint64_t rate;	/* bits a second; 0: no limit */
	uint64_t burst; /* bytes */
	uint32_t limit; /* frames under way; impaired.c holds them to it */
};

#define IMPAIR_COPIES_MAX 2
#define IMPAIR_INTACT UINT32_MAX

struct impair_copy {
	uint64_t delay_ns;
	uint32_t bit; /* the one to turn, or IMPAIR_INTACT */
	bool reordered;
};

struct impair_fate {
	unsigned int n; /* 0: lost */
	struct impair_copy copies[IMPAIR_COPIES_MAX];
};

struct impair {
	struct impair_options options;
	struct rng rng;
	bool bad;	/* the state of Gilbert and Elliott */
	double deviate; /* the last one, of a normal distribution */
	uint32_t since_reordered;
	int64_t full_ns;
	uint64_t rest; /* of dividing by the rate */
};

void impair_init(struct impair *impair, const struct impair_options *options);
/* The fate of the next frame, of len bytes, above 0. */
void impair_decide(struct impair *impair, uint32_t len,
		   struct impair_fate *fate);
/* When the rate lets one go that comes at now_ns; it takes its share of it. */
int64_t impair_depart(struct impair *impair, int64_t now_ns, uint32_t len);

#endif
