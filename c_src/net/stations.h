/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stations - where the stations are, as evum_switch has told: a cache of its
 * decisions, in a hash table of a fixed size.
 *
 * It may forget any station at any time; whoever misses one asks again. So
 * where the table is full, or a chain of collisions too long, a new station
 * takes the place of another. The hash is keyed: guests choose addresses.
 *
 * A station that was not seen for the ageing time is as good as forgotten, on
 * the millisecond, since nobody can be asked in time. How lately stations were
 * seen is known here alone while their frames do not go up, and is collected
 * with stations_collect().
 */
#ifndef EVUM_NET_STATIONS_H
#define EVUM_NET_STATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* VLAN (12 bits) and address (48 bits); no station has the key 0. */
typedef uint64_t station_key;

/* A frame to it is flooded: evum_switch does not know where it is either. */
#define STATION_UNKNOWN 0u
/* Longer chains of collisions than this are cut. */
#define STATIONS_PROBES 64u

struct station {
	station_key key; /* 0: free */
	uint32_t port;	 /* its id, or STATION_UNKNOWN */
	uint32_t seen;	 /* ms of the loop's clock, which may wrap */
};

struct stations {
	struct station *slots;
	uint32_t *told; /* what seen was when it was last collected */
	uint64_t *static_bits;
	uint32_t mask, count, limit;
	uint32_t ageing_ms;
	uint64_t seed[2];
};

/* Room for limit stations. 0 or -ENOMEM; the old ones are kept on failure. */
int stations_init(struct stations *table, uint32_t limit, uint32_t ageing_ms);
void stations_free(struct stations *table);

/* A keyed hash of 32 bits. */
uint32_t stations_hash(const struct stations *table, station_key key);
/* NULL where it is not known, or aged. */
struct station *stations_find(struct stations *table, station_key key,
			      uint32_t now);
/* Enter or replace. A static one does not age. */
void stations_put(struct stations *table, station_key key, uint32_t port,
		  uint32_t seen, bool is_static);
void stations_forget(struct stations *table, station_key key);
void stations_flush(struct stations *table);

/*
 * Call back for each station that was seen since it was last collected, but
 * for those collected less than every_ms ago: they wait for the next time.
 */
void stations_collect(struct stations *table, uint32_t now, uint32_t every_ms,
		      void (*tell)(void *arg, const struct station *station),
		      void *arg);

#endif
