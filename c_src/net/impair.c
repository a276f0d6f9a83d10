/* SPDX-License-Identifier: Apache-2.0 */
#include "impair.h"

#include <math.h>

#define NS_PER_S UINT64_C(1000000000)
#define BITS 8

/* Of the shape 3, which has a variance, and from 1 on. */
#define PARETO_MEAN 1.5
#define PARETO_DEVIATION 0.8660254037844386 /* sqrt(3) / 2 */

/* Box and Muller's way, one half of it. */
static double gaussian(struct rng *rng)
{
	double r = sqrt(-2 * log(rng_unit(rng)));

	return r * cos(2 * M_PI * rng_unit(rng));
}

void impair_init(struct impair *impair, const struct impair_options *options)
{
	*impair = (struct impair){.options = *options};
	rng_init(&impair->rng, options->seed);
	/* As if there had been frames before the first. */
	impair->deviate = gaussian(&impair->rng);
}

static bool impair_loses(struct impair *impair)
{
	const struct impair_options *options = &impair->options;
	uint64_t p = impair->bad ? options->lost_bad : options->lost_good;
	uint64_t change = impair->bad ? options->go_good : options->go_bad;
	bool lost = p && rng_chance(&impair->rng, p);

	if (change && rng_chance(&impair->rng, change))
		impair->bad = !impair->bad;
	return lost;
}

/*
 * The next of a sequence of normal deviates, each with that correlation to the
 * one before it. Made from these, any distribution keeps its shape whatever the
 * correlation.
 */
static double deviate(struct impair *impair)
{
	double rho = (double)impair->options.correlation / (double)RNG_CERTAIN;

	impair->deviate = rho * impair->deviate +
			  sqrt(1 - rho * rho) * gaussian(&impair->rng);
	return impair->deviate;
}

/* By how many times the jitter the delay is another. */
static double deviation(struct impair *impair)
{
	double z = deviate(impair), above = erfc(z * M_SQRT1_2) / 2;

	switch (impair->options.distribution) {
	case IMPAIR_UNIFORM:
		return 1 - 2 * above;
	case IMPAIR_NORMAL:
		return z;
	case IMPAIR_PARETO:
		return (1 / cbrt(above) - PARETO_MEAN) / PARETO_DEVIATION;
	}
	return 0;
}

static uint64_t delay_of_next(struct impair *impair)
{
	const struct impair_options *options = &impair->options;
	double ns = (double)options->delay_ns;

	if (!options->jitter_ns)
		return options->delay_ns;
	ns += (double)options->jitter_ns * deviation(impair);
	if (ns <= 0)
		return 0;
	return ns < (double)IMPAIR_DELAY_MAX_NS ? (uint64_t)ns
						: IMPAIR_DELAY_MAX_NS;
}

static bool impair_reorders(struct impair *impair)
{
	const struct impair_options *options = &impair->options;

	if (!options->reorder)
		return false;
	if (impair->since_reordered + 1 < options->gap ||
	    !rng_chance(&impair->rng, options->reorder)) {
		if (impair->since_reordered < options->gap)
			impair->since_reordered++;
		return false;
	}
	impair->since_reordered = 0;
	return true;
}

void impair_decide(struct impair *impair, uint32_t len,
		   struct impair_fate *fate)
{
	const struct impair_options *options = &impair->options;
	struct rng *rng = &impair->rng;

	fate->n = impair_loses(impair) ? 0 : 1;
	if (fate->n && options->duplicate &&
	    rng_chance(rng, options->duplicate))
		fate->n++;
	for (unsigned int i = 0; i < fate->n; i++) {
		struct impair_copy *copy = &fate->copies[i];

		copy->bit = IMPAIR_INTACT;
		if (options->corrupt && rng_chance(rng, options->corrupt))
			copy->bit = rng_below(rng, len * BITS);
		copy->reordered = impair_reorders(impair);
		copy->delay_ns = copy->reordered ? 0 : delay_of_next(impair);
	}
}

int64_t impair_depart(struct impair *impair, int64_t now_ns, uint32_t len)
{
	const struct impair_options *options = &impair->options;
	uint64_t cost, slack;
	int64_t at;

	if (!options->rate)
		return now_ns;
	if (impair->full_ns < now_ns) {
		impair->full_ns = now_ns;
		impair->rest = 0;
	}
	/* What is lost by rounding would be 1 % of a small frame at 1 Gbit/s.
	 */
	cost = len * BITS * NS_PER_S + impair->rest;
	impair->full_ns += (int64_t)(cost / options->rate);
	impair->rest = cost % options->rate;
	slack = options->burst * BITS * NS_PER_S / options->rate;
	at = impair->full_ns - (int64_t)slack;
	return at > now_ns ? at : now_ns;
}
