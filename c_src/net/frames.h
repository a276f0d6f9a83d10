/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames - the layout of the data between evum_net and the BEAM: frames that
 * go up to be decided on, and the records that come down.
 *
 *   up    +---------+
 *         | now: 64 |  once, then for each frame
 *         +----------+---------+----------+---------+--------+---------+
 *         | port: 32 | len: 32 | tci: 16  | flags:8 | 0: 8   | age: 32 |
 *         +----------+---------+----------+---------+--------+---------+
 *         | hooks: 32 | frame, len bytes                               |  ...
 *         +------------------------------------------------------------+
 *
 *   down  +------+----------+----------+
 *         | 0: 8 | flags: 8 | tci: 16  |  a frame, to so many ports
 *         +------+----------+----------+-------------------------+
 *         | ports: 32 | len: 32 | port: 32 ... | frame           |
 *         +------------------------------------------------------+
 *         | 1: 8 | flags: 8 | 0: 16 | station: 64 | port: 32 | seen: 32 |
 *         | 2: 8 | 0: 24 | station: 64 |              forget it
 *         | 3: 8 | 0: 8 | vlan: 16 | ups: 32 | ports: 32 | port: 32 ... |
 *         | 4: 8 | 0: 24 | bytes: 32 |                what follows answers them
 *
 * The TCI is 802.1Q's tag of a frame, which itself is without (vlan.h).
 * All numbers are big-endian. The time is evum_net's own, in milliseconds. Here
 * are only the bytes; forward.c says what the records mean, net.c to whom a
 * frame that came down is sent.
 */
#ifndef EVUM_NET_FRAMES_H
#define EVUM_NET_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "frame.h"

#define FRAMES_UP_TIME 8
#define FRAMES_UP_HEADER 20

/* Flags of a frame that goes up. */
#define UP_SOURCE_KNOWN 1 /* at this port, in the cache */
#define UP_COPY 2	  /* for observers; the frame itself has gone on */
/* Its age where the cache does not know the destination. */
#define UP_NO_AGE UINT32_MAX

struct frames_up {
	uint32_t port;
	uint16_t vlan;
	uint8_t flags;
	uint32_t age;	/* ms since the destination was seen, or UP_NO_AGE */
	uint32_t hooks; /* those that match */
};

/* Begin a batch at at, which has room for FRAMES_UP_TIME bytes. */
void frames_begin(uint8_t *at, uint64_t now_ms);
/* Write one frame to at, which has room for FRAMES_UP_HEADER + frame->len. */
void frames_put(uint8_t *at, const struct frames_up *up,
		const struct frame *frame);

/* A walk over what came down; at and end are the caller's to set. */
struct frames_cursor {
	const uint8_t *at, *end;
};

enum down_op {
	DOWN_FRAME,
	DOWN_STATION,
	DOWN_FORGET,
	DOWN_FLOOD,
	DOWN_ANSWERS,
	DOWN_OPS
};

/* Flags of a station. */
#define DOWN_STATIC 1
/*
 * Flags of a frame. Nobody knows where its destination is: the first of its
 * ports is the one it came from, on whose storm limit it counts.
 */
#define DOWN_FLOODED 1

struct frames_down {
	enum down_op op;
	uint8_t flags;
	uint16_t vlan;
	uint64_t station;
	uint32_t port, seen, ups, bytes;
	const uint8_t *ports; /* frames_port() reads the i-th */
	uint32_t n_ports;
	const uint8_t *frame;
	uint32_t len;
};

/* 1 and the next record, 0 at the end, -EBADMSG where lengths do not fit. */
int frames_next(struct frames_cursor *cursor, struct frames_down *down);
uint32_t frames_port(const struct frames_down *down, uint32_t i);

#endif
