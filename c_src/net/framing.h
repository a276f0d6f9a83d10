/* SPDX-License-Identifier: Apache-2.0 */
/*
 * framing - frames out of a stream of bytes, each with its length in front of
 * it, 4 bytes, big-endian.
 *
 *   framing_room() -> bytes are put there -> framing_produced()
 *                                         -> framing_next(), until there is
 * none
 *
 * However the bytes are cut into pieces, the frames are the same. They lie in
 * the buffer, where they stay until framing_room() is called.
 */
#ifndef EVUM_NET_FRAMING_H
#define EVUM_NET_FRAMING_H

#include <stddef.h>
#include <stdint.h>

#include "frame.h"

#define FRAMING_LENGTH 4
/* Held of frames, bytes: one of any size, and many of the usual one. */
#define FRAMING_BUFFER (256u << 10)

struct framing {
	uint8_t *buffer;
	size_t taken, got; /* of it: done with, and filled */
};

/* 0 or -ENOMEM. */
int framing_init(struct framing *framing);
void framing_free(struct framing *framing);

/*
 * Where the next bytes go, and how many there may be: at least one, once
 * framing_next() has said that there is no whole frame.
 */
size_t framing_room(struct framing *framing, uint8_t **at);
void framing_produced(struct framing *framing, size_t n);

/*
 * The next frame: 1; 0 where none is whole; -EPROTO for a length above
 * FRAME_MAX, behind which nothing can be found any more.
 */
int framing_next(struct framing *framing, struct frame *frame);

#endif
