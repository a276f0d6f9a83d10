/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rng - random numbers that are the same for the same seed: xoshiro256** of
 * Blackman and Vigna, its state filled by splitmix64 (both public domain,
 * prng.di.unimi.it). Not for secrets.
 */
#ifndef EVUM_NET_RNG_H
#define EVUM_NET_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t s[4];
};

/* Probabilities are parts of so many. */
#define RNG_CERTAIN (UINT64_C(1) << 32)

static inline void rng_init(struct rng *rng, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		rng->s[i] = z ^ z >> 31;
	}
}

static inline uint64_t rng_rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t *s = rng->s;
	uint64_t result = rng_rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rng_rotl(s[3], 45);
	return result;
}

/* True so many times of RNG_CERTAIN. */
static inline bool rng_chance(struct rng *rng, uint64_t p)
{
	return rng_next(rng) >> 32 < p;
}

/* Between 0 and 1, and neither of them. */
static inline double rng_unit(struct rng *rng)
{
	return ((double)(rng_next(rng) >> 11) + 0.5) * 0x1p-53;
}

/* Below n, which is not 0 (D. Lemire's multiplication; its bias is n / 2^32).
 */
static inline uint32_t rng_below(struct rng *rng, uint32_t n)
{
	return (uint32_t)((rng_next(rng) >> 32) * n >> 32);
}

#endif
