/* SPDX-License-Identifier: Apache-2.0 */
#include "stations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define MIN_SLOTS 64u

int stations_init(struct stations *table, uint32_t limit, uint32_t ageing_ms)
{
	struct stations new = {.limit = limit, .ageing_ms = ageing_ms};
	size_t slots = MIN_SLOTS;

	/* At most half full. */
	while (slots < 2 * (size_t)limit)
		slots *= 2;
	new.mask = (uint32_t)(slots - 1);
	if (getrandom(new.seed, sizeof(new.seed), 0) != sizeof(new.seed))
		return -ENOMEM;
	new.slots = calloc(slots, sizeof(*new.slots));
	new.told = calloc(slots, sizeof(*new.told));
	new.static_bits = calloc(slots / 64, sizeof(*new.static_bits));
	if (!new.slots || !new.told || !new.static_bits) {
		stations_free(&new);
		return -ENOMEM;
	}
	stations_free(table);
	*table = new;
	return 0;
}

void stations_free(struct stations *table)
{
	free(table->slots);
	free(table->told);
	free(table->static_bits);
	*table = (struct stations){.slots = NULL};
}

/* Two rounds of multiply and fold, each with a secret of its own. */
uint32_t stations_hash(const struct stations *table, station_key key)
{
	uint64_t h = (key ^ table->seed[0]) * 0x9e3779b97f4a7c15u;

	h ^= h >> 32;
	h = (h ^ table->seed[1]) * 0xd6e8feb86659fd93u;
	return (uint32_t)(h >> 32);
}

static uint32_t home(const struct stations *table, station_key key)
{
	return stations_hash(table, key) & table->mask;
}

static bool is_static(const struct stations *table, uint32_t at)
{
	return table->static_bits[at / 64] >> (at % 64) & 1;
}

static void set_static(struct stations *table, uint32_t at, bool value)
{
	uint64_t bit = (uint64_t)1 << (at % 64);

	if (value)
		table->static_bits[at / 64] |= bit;
	else
		table->static_bits[at / 64] &= ~bit;
}

/* Where the key is, or may go; -1 where its chain is too long. */
static int64_t probe(const struct stations *table, station_key key)
{
	uint32_t at = home(table, key);

	for (uint32_t i = 0; i < STATIONS_PROBES; i++) {
		station_key there = table->slots[at].key;

		if (there == key || !there)
			return at;
		at = (at + 1) & table->mask;
	}
	return -1;
}

struct station *stations_find(struct stations *table, station_key key,
			      uint32_t now)
{
	int64_t at = probe(table, key);
	struct station *station;

	if (at < 0)
		return NULL;
	station = &table->slots[at];
	if (station->key != key)
		return NULL;
	if (now - station->seen >= table->ageing_ms &&
	    !is_static(table, (uint32_t)at))
		return NULL;
	return station;
}

static void move(struct stations *table, uint32_t to, uint32_t from)
{
	table->slots[to] = table->slots[from];
	table->told[to] = table->told[from];
	set_static(table, to, is_static(table, from));
}

/* Close the gap, so that no chain that leads over it ends there. */
static void vacate(struct stations *table, uint32_t gap)
{
	uint32_t at = gap;

	for (;;) {
		at = (at + 1) & table->mask;
		if (!table->slots[at].key)
			break;
		/* May it go nearer to its home, as far as the gap? */
		if (((at - home(table, table->slots[at].key)) & table->mask) >=
		    ((at - gap) & table->mask)) {
			move(table, gap, at);
			gap = at;
		}
	}
	table->slots[gap].key = 0;
	set_static(table, gap, false);
	table->count--;
}

void stations_forget(struct stations *table, station_key key)
{
	int64_t at = probe(table, key);

	if (at >= 0 && table->slots[at].key == key)
		vacate(table, (uint32_t)at);
}

/* Any station, from where this one belongs on. */
static void make_room(struct stations *table, station_key key)
{
	uint32_t at = home(table, key);

	while (!table->slots[at].key)
		at = (at + 1) & table->mask;
	vacate(table, at);
}

void stations_put(struct stations *table, station_key key, uint32_t port,
		  uint32_t seen, bool static_entry)
{
	int64_t at = probe(table, key);

	if (at < 0 || (!table->slots[at].key && table->count >= table->limit)) {
		make_room(table, key);
		at = probe(table, key);
		if (at < 0)
			return;
	}
	if (!table->slots[at].key)
		table->count++;
	table->slots[at] = (struct station){key, port, seen};
	table->told[at] = seen;
	set_static(table, (uint32_t)at, static_entry);
}

void stations_flush(struct stations *table)
{
	memset(table->slots, 0, (table->mask + 1u) * sizeof(*table->slots));
	memset(table->static_bits, 0,
	       (table->mask + 1u) / 64 * sizeof(*table->static_bits));
	table->count = 0;
}

void stations_collect(struct stations *table, uint32_t now, uint32_t every_ms,
		      void (*tell)(void *arg, const struct station *station),
		      void *arg)
{
	for (uint32_t at = 0; at <= table->mask; at++) {
		struct station *station = &table->slots[at];

		if (!station->key || station->port == STATION_UNKNOWN ||
		    station->seen == table->told[at] ||
		    now - table->told[at] < every_ms)
			continue;
		table->told[at] = station->seen;
		tell(arg, station);
	}
}
