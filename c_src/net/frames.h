/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames - the layout of the frame batches between evum_net and the BEAM.
 *
 *   up    +----------+----------+-------+
 *         | port: 32 | len: 32  | frame |  ...
 *         +----------+----------+-------+
 *
 *   down  +-----------+----------+--------------+-------+
 *         | ports: 32 | len: 32  | port: 32 ... | frame |  ...
 *         +-----------+----------+--------------+-------+
 *
 * All numbers are big-endian. Here are only the bytes; net.c decides when a
 * batch goes up, and to whom a frame that came down is sent.
 */
#ifndef EVUM_NET_FRAMES_H
#define EVUM_NET_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "frame.h"

#define FRAMES_UP_HEADER 8

/* Write one frame to at, which has room for FRAMES_UP_HEADER + frame->len. */
void frames_put(uint8_t *at, uint32_t port, const struct frame *frame);

/* A walk over a batch that came down; at and end are the caller's to set. */
struct frames_cursor {
	const uint8_t *at, *end;
};

struct frames_down {
	const uint8_t *ports; /* frames_port() reads the i-th */
	uint32_t n_ports;
	const uint8_t *frame;
	uint32_t len;
};

/* 1 and the next frame, 0 at the end, -EBADMSG where lengths do not fit. */
int frames_next(struct frames_cursor *cursor, struct frames_down *down);
uint32_t frames_port(const struct frames_down *down, uint32_t i);

#endif
