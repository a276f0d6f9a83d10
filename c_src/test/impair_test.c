/* SPDX-License-Identifier: Apache-2.0 */
/*
 * impair_test - the fates of many frames, from fixed seeds, against what
 * probability says of them; bounds are five standard deviations or more.
 */
#include "impair.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "unit.h"

#define FRAMES 100000
#define LEN 1000u
#define MS INT64_C(1000000)
#define PART(p) ((uint64_t)((p) * (double)RNG_CERTAIN))

static struct impair impair;

static void begin(struct impair_options options)
{
	options.seed = options.seed ? options.seed : 1;
	options.gap = options.gap ? options.gap : 1;
	impair_init(&impair, &options);
}

/* n successes of so many tries, each with p. */
static bool binomial(unsigned int n, unsigned int tries, double p)
{
	return fabs(n - tries * p) <= 5 * sqrt(tries * p * (1 - p));
}

static bool near(double value, double wanted, double part)
{
	return fabs(value - wanted) <= part * fabs(wanted);
}

static struct impair_fate next(void)
{
	struct impair_fate fate;

	impair_decide(&impair, LEN, &fate);
	return fate;
}

/* The generator's own numbers, from its authors' code. */
static void numbers_are_those_of_xoshiro(void)
{
	struct rng rng = {.s = {1, 2, 3, 4}};

	CHECK(rng_next(&rng) == 11520);
	CHECK(rng_next(&rng) == 0);
	CHECK(rng_next(&rng) == 1509978240);
	CHECK(rng_next(&rng) == 1215971899390074240);
	rng_init(&rng, 1234567);
	CHECK(rng.s[0] == UINT64_C(6457827717110365317));
	CHECK(rng.s[1] == UINT64_C(3203168211198807973));
}

static void perfect_is_perfect(void)
{
	begin((struct impair_options){.seed = 1});
	for (int i = 0; i < 1000; i++) {
		struct impair_fate fate = next();

		CHECK(fate.n == 1 && !fate.copies[0].delay_ns);
		CHECK(fate.copies[0].bit == IMPAIR_INTACT);
		CHECK(!fate.copies[0].reordered);
		CHECK(impair_depart(&impair, i, LEN) == i);
	}
}

static void certain_is_certain(void)
{
	begin((struct impair_options){.duplicate = RNG_CERTAIN,
				      .corrupt = RNG_CERTAIN});
	for (int i = 0; i < 1000; i++) {
		struct impair_fate fate = next();

		CHECK(fate.n == 2);
		CHECK(fate.copies[0].bit < LEN * 8);
		CHECK(fate.copies[1].bit < LEN * 8);
	}
	begin((struct impair_options){.lost_good = RNG_CERTAIN});
	for (int i = 0; i < 1000; i++)
		CHECK(next().n == 0);
}

static void same_seed_same_fates(void)
{
	const struct impair_options options = {
		.seed = 5,
		.delay_ns = 10 * MS,
		.jitter_ns = MS,
		.distribution = IMPAIR_NORMAL,
		.correlation = PART(0.3),
		.go_bad = PART(0.1),
		.go_good = PART(0.2),
		.lost_bad = PART(0.5),
		.duplicate = PART(0.1),
		.corrupt = PART(0.1),
		.reorder = PART(0.1),
		.gap = 3,
		.rate = 1000000,
	};
	struct impair other;
	int differ = 0;

	impair_init(&impair, &options);
	impair_init(&other, &options);
	for (int i = 0; i < 1000; i++) {
		struct impair_fate a = {.n = 0}, b = {.n = 0};

		impair_decide(&impair, LEN, &a);
		impair_decide(&other, LEN, &b);
		/* When they come makes no difference. */
		impair_depart(&impair, i * MS, LEN);
		impair_depart(&other, i, LEN);
		CHECK(a.n == b.n);
		for (unsigned int c = 0; c < a.n; c++) {
			CHECK(a.copies[c].delay_ns == b.copies[c].delay_ns);
			CHECK(a.copies[c].bit == b.copies[c].bit);
		}
	}
	begin((struct impair_options){.seed = 6, .lost_good = PART(0.5)});
	impair_init(&other, &(struct impair_options){.seed = 7,
						     .lost_good = PART(0.5)});
	for (int i = 0; i < 1000; i++) {
		struct impair_fate fate;

		impair_decide(&other, LEN, &fate);
		differ += fate.n != next().n;
	}
	CHECK(binomial((unsigned int)differ, 1000, 0.5));
}

static void loses_so_many(void)
{
	static const double p[] = {0.001, 0.01, 0.3, 0.9};

	for (unsigned int i = 0; i < sizeof(p) / sizeof(*p); i++) {
		unsigned int lost = 0, pairs = 0;
		bool last = false;

		begin((struct impair_options){.seed = i + 1,
					      .lost_good = PART(p[i])});
		for (int frame = 0; frame < FRAMES; frame++) {
			bool is_lost = next().n == 0;

			lost += is_lost;
			pairs += is_lost && last;
			last = is_lost;
		}
		CHECK(binomial(lost, FRAMES, p[i]));
		/* One tells nothing of the next. */
		CHECK(binomial(pairs, FRAMES, p[i] * p[i]));
	}
}

/*
 * Runs in the bad state are 1/r long on average, and p/(p+r) of the time is
 * spent there. The deviation of the loss is that of as many fewer frames as
 * they hang together.
 */
static void loses_in_bursts(void)
{
	const double p = 0.01, r = 0.2, bad = p / (p + r);
	unsigned int lost = 0, runs = 0;
	bool last = false;

	begin((struct impair_options){.go_bad = PART(p),
				      .go_good = PART(r),
				      .lost_bad = RNG_CERTAIN});
	for (int i = 0; i < FRAMES; i++) {
		bool is_lost = next().n == 0;

		lost += is_lost;
		runs += is_lost && !last;
		last = is_lost;
	}
	CHECK(near(lost, FRAMES * bad, 0.15));
	CHECK(near((double)lost / runs, 1 / r, 0.1));
	lost = 0;
	begin((struct impair_options){.go_bad = PART(p),
				      .go_good = PART(r),
				      .lost_bad = PART(0.5),
				      .lost_good = PART(0.1)});
	for (int i = 0; i < FRAMES; i++)
		lost += next().n == 0;
	CHECK(near(lost, FRAMES * (bad * 0.5 + (1 - bad) * 0.1), 0.05));
}

static void duplicates_and_corrupts_so_many(void)
{
	unsigned int twice = 0, corrupt = 0, copies = 0, eighths[8] = {0};

	begin((struct impair_options){.duplicate = PART(0.05),
				      .corrupt = PART(0.2)});
	for (int i = 0; i < FRAMES; i++) {
		struct impair_fate fate = next();

		twice += fate.n == 2;
		for (unsigned int c = 0; c < fate.n; c++, copies++) {
			if (fate.copies[c].bit >= LEN * 8) {
				CHECK(fate.copies[c].bit == IMPAIR_INTACT);
				continue;
			}
			corrupt++;
			eighths[fate.copies[c].bit / LEN]++;
		}
	}
	CHECK(binomial(twice, FRAMES, 0.05));
	CHECK(binomial(corrupt, copies, 0.2));
	for (int i = 0; i < 8; i++)
		CHECK(binomial(eighths[i], corrupt, 1.0 / 8));
}

struct sample {
	double mean, deviation, correlation, median;
	double least, most;
};

static double values[FRAMES];

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static struct sample sample(void)
{
	struct sample s = {.mean = 0};
	double squares = 0, products = 0;

	for (int i = 0; i < FRAMES; i++)
		values[i] = (double)next().copies[0].delay_ns / (double)MS;
	for (int i = 0; i < FRAMES; i++)
		s.mean += values[i] / FRAMES;
	for (int i = 0; i < FRAMES; i++) {
		squares += (values[i] - s.mean) * (values[i] - s.mean);
		if (i)
			products +=
				(values[i] - s.mean) * (values[i - 1] - s.mean);
	}
	s.deviation = sqrt(squares / FRAMES);
	s.correlation = squares > 0 ? products / squares : 0;
	qsort(values, FRAMES, sizeof(*values), ascending);
	s.median = values[FRAMES / 2];
	s.least = values[0];
	s.most = values[FRAMES - 1];
	return s;
}

static struct sample jittered(enum impair_distribution distribution, double rho)
{
	begin((struct impair_options){.delay_ns = 100 * MS,
				      .jitter_ns = 10 * MS,
				      .distribution = distribution,
				      .correlation = PART(rho)});
	return sample();
}

static void delays_so_long(void)
{
	struct sample s;

	begin((struct impair_options){.delay_ns = 10 * MS});
	s = sample();
	CHECK(s.least >= 10 && s.most <= 10);
	for (int correlated = 0; correlated < 2; correlated++) {
		double rho = correlated * 0.6;

		s = jittered(IMPAIR_UNIFORM, rho);
		CHECK(near(s.mean, 100, 0.005));
		CHECK(near(s.deviation, 10 / sqrt(3), 0.02));
		CHECK(s.least >= 90 && s.least < 90.1);
		CHECK(s.most <= 110 && s.most > 109.9);
		CHECK(fabs(s.correlation - rho) < 0.03);

		s = jittered(IMPAIR_NORMAL, rho);
		CHECK(near(s.mean, 100, 0.005));
		CHECK(near(s.deviation, 10, 0.02));
		CHECK(near(s.median, 100, 0.005));
		CHECK(fabs(s.correlation - rho) < 0.02);
		/* Three deviations to either side: 1 - 0.9973. */
		for (int i = 0; i < FRAMES; i++)
			if (values[i] > 70) {
				CHECK(i > 50 && i < 250);
				break;
			}

		/* 2^(1/3) is the median of shape 3. */
		s = jittered(IMPAIR_PARETO, rho);
		CHECK(near(s.mean, 100, 0.01));
		CHECK(near(s.deviation, 10, 0.3));
		CHECK(near(s.median - 100, 10 * (cbrt(2) - 1.5) / sqrt(0.75),
			   0.03));
		CHECK(s.least >= 100 - 10 * 0.5 / sqrt(0.75) - 0.001);
	}
}

static void no_delay_is_below_nothing(void)
{
	unsigned int none = 0;

	begin((struct impair_options){.jitter_ns = 10 * MS,
				      .distribution = IMPAIR_NORMAL});
	for (int i = 0; i < FRAMES; i++) {
		struct impair_fate fate = next();

		CHECK(fate.copies[0].delay_ns <= IMPAIR_DELAY_MAX_NS);
		none += fate.copies[0].delay_ns == 0;
	}
	CHECK(binomial(none, FRAMES, 0.5));
	begin((struct impair_options){.delay_ns = IMPAIR_DELAY_MAX_NS,
				      .jitter_ns = IMPAIR_DELAY_MAX_NS,
				      .distribution = IMPAIR_PARETO});
	for (int i = 0; i < FRAMES; i++)
		CHECK(next().copies[0].delay_ns <= IMPAIR_DELAY_MAX_NS);
}

static void reorders_so_many(void)
{
	unsigned int first = 0;

	begin((struct impair_options){.delay_ns = MS, .reorder = PART(0.25)});
	for (int i = 0; i < FRAMES; i++) {
		struct impair_fate fate = next();

		CHECK(fate.copies[0].delay_ns ==
		      (fate.copies[0].reordered ? 0 : MS));
		first += fate.copies[0].reordered;
	}
	CHECK(binomial(first, FRAMES, 0.25));
	begin((struct impair_options){
		.delay_ns = MS, .reorder = RNG_CERTAIN, .gap = 5});
	for (int i = 1; i <= 1000; i++)
		CHECK(next().copies[0].reordered == (i % 5 == 0));
	/* Four that are not, then some with 0.5 until one is: 6 on average. */
	begin((struct impair_options){
		.delay_ns = MS, .reorder = PART(0.5), .gap = 5});
	first = 0;
	for (int i = 0; i < FRAMES; i++)
		first += next().copies[0].reordered;
	CHECK(near(first, FRAMES / 6.0, 0.02));
}

/* At 8 Mbit/s a byte takes a microsecond. */
static void rate_is_kept(void)
{
	int64_t at = 0;

	begin((struct impair_options){.rate = 8000000});
	for (int i = 1; i <= 1000; i++) {
		at = impair_depart(&impair, 0, LEN);
		CHECK(at == i * MS);
	}
	/* Silence is not saved up. */
	CHECK(impair_depart(&impair, 2000 * MS, LEN) == 2001 * MS);
	CHECK(impair_depart(&impair, 3000 * MS, 500) == 3000 * MS + MS / 2);
}

static void burst_passes_at_once(void)
{
	begin((struct impair_options){.rate = 8000000, .burst = 3 * LEN});
	for (int round = 0; round < 3; round++) {
		int64_t now = round * 1000 * MS;

		for (int i = 0; i < 3; i++)
			CHECK(impair_depart(&impair, now, LEN) == now);
		for (int i = 1; i <= 10; i++)
			CHECK(impair_depart(&impair, now, LEN) == now + i * MS);
	}
	/* Half a bucket is half a burst. */
	begin((struct impair_options){.rate = 8000000, .burst = 4 * LEN});
	for (int i = 0; i < 4; i++)
		CHECK(impair_depart(&impair, 0, LEN) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(impair_depart(&impair, 2 * MS, LEN) == 2 * MS);
	CHECK(impair_depart(&impair, 2 * MS, LEN) == 3 * MS);
}

/* 60 bytes at 7 Gbit/s take 68.57 ns. */
static void rounding_adds_up_to_nothing(void)
{
	int64_t at = 0;

	begin((struct impair_options){.rate = UINT64_C(7000000000)});
	for (int i = 0; i < 7000000; i++)
		at = impair_depart(&impair, 0, 60);
	CHECK(at == 480 * MS);
}

int main(void)
{
	RUN(numbers_are_those_of_xoshiro);
	RUN(perfect_is_perfect);
	RUN(certain_is_certain);
	RUN(same_seed_same_fates);
	RUN(loses_so_many);
	RUN(loses_in_bursts);
	RUN(duplicates_and_corrupts_so_many);
	RUN(delays_so_long);
	RUN(no_delay_is_below_nothing);
	RUN(reorders_so_many);
	RUN(rate_is_kept);
	RUN(burst_passes_at_once);
	RUN(rounding_adds_up_to_nothing);
	UNIT_DONE();
}
