/* SPDX-License-Identifier: Apache-2.0 */
#include "stations.h"

#include <string.h>

#include "unit.h"

#define AGEING 1000
#define MANY 65536

static struct stations table;

static uint32_t port_of(station_key key, uint32_t now)
{
	struct station *station = stations_find(&table, key, now);

	return station ? station->port : UINT32_MAX;
}

static void finds_what_was_put(void)
{
	CHECK(!stations_init(&table, MANY, AGEING));
	for (uint32_t i = 1; i <= MANY; i++)
		stations_put(&table, i, i + 7, 5, false);
	CHECK(table.count == MANY);
	for (uint32_t i = 1; i <= MANY; i++)
		CHECK(port_of(i, 5) == i + 7);
	CHECK(port_of(MANY + 1, 5) == UINT32_MAX);
	stations_put(&table, 9, 1, 6, false);
	CHECK(table.count == MANY && port_of(9, 6) == 1);
	stations_flush(&table);
	CHECK(table.count == 0 && port_of(9, 6) == UINT32_MAX);
	stations_free(&table);
}

/* Numbers that are as good as random here: Numerical Recipes' generator. */
static uint32_t any(uint32_t below)
{
	static uint32_t state = 1;

	state = state * 1664525u + 1013904223u;
	return (state >> 8) % below;
}

/* Against an array: in a small table chains of collisions form and break. */
static void forgets_only_what_it_is_told_to(void)
{
	enum { KEYS = 200 };
	uint32_t model[KEYS + 1] = {0};

	CHECK(!stations_init(&table, KEYS, AGEING));
	for (int step = 0; step < 20000; step++) {
		uint32_t key = any(KEYS) + 1;

		if (any(2)) {
			model[key] = any(1000) + 1;
			stations_put(&table, key, model[key], 0, any(2));
		} else {
			model[key] = 0;
			stations_forget(&table, key);
		}
		for (uint32_t i = 1; i <= KEYS; i++)
			if (model[i])
				CHECK(port_of(i, 0) == model[i]);
			else
				CHECK(port_of(i, 0) == UINT32_MAX);
	}
	stations_free(&table);
}

static void full_table_takes_new_ones_all_the_same(void)
{
	CHECK(!stations_init(&table, 10, AGEING));
	for (uint32_t i = 1; i <= 1000; i++) {
		stations_put(&table, i, i, 0, false);
		CHECK(port_of(i, 0) == i);
		CHECK(table.count <= 10);
	}
	stations_free(&table);
}

static void ages_on_the_millisecond(void)
{
	uint32_t late = UINT32_MAX - 10; /* the clock wraps */

	CHECK(!stations_init(&table, 10, AGEING));
	stations_put(&table, 1, 1, late, false);
	stations_put(&table, 2, 2, late, true);
	CHECK(port_of(1, late + AGEING - 1) == 1);
	CHECK(port_of(1, late + AGEING) == UINT32_MAX);
	CHECK(port_of(2, late + AGEING) == 2);
	stations_forget(&table, 2);
	stations_put(&table, 2, 2, late, false);
	CHECK(port_of(2, late + AGEING) == UINT32_MAX);
	stations_free(&table);
}

static void tell(void *arg, const struct station *station)
{
	uint32_t *sum = arg;

	*sum += station->port;
}

static uint32_t collect(uint32_t now, uint32_t every)
{
	uint32_t sum = 0;

	stations_collect(&table, now, every, tell, &sum);
	return sum;
}

static void tells_who_was_seen(void)
{
	CHECK(!stations_init(&table, 10, AGEING));
	stations_put(&table, 1, 1, 0, false);
	stations_put(&table, 2, 2, 0, false);
	stations_put(&table, 3, STATION_UNKNOWN, 0, false);
	CHECK(collect(5, 0) == 0);
	stations_find(&table, 1, 5)->seen = 5;
	CHECK(collect(6, 0) == 1);
	CHECK(collect(7, 0) == 0);
	/* One who talks all the time is told of now and then. */
	stations_find(&table, 1, 8)->seen = 8;
	CHECK(collect(9, 100) == 0);
	CHECK(collect(105, 100) == 1);
	CHECK(collect(106, 0) == 0);
	stations_free(&table);
}

int main(void)
{
	RUN(finds_what_was_put);
	RUN(forgets_only_what_it_is_told_to);
	RUN(full_table_takes_new_ones_all_the_same);
	RUN(ages_on_the_millisecond);
	RUN(tells_who_was_seen);
	UNIT_DONE();
}
