/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring - a queue of bytes from one thread to another one, without a lock.
 *
 * Its memory is mapped twice, one behind the other, so that what is put in or
 * taken out is in one piece wherever it starts.
 */
#ifndef EVUM_NET_RING_H
#define EVUM_NET_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
	uint8_t *bytes;
	size_t size;
	/* Bytes ever put in and taken out; each has one thread that writes it.
	 */
	_Atomic uint64_t in, out;
};

/* size is a multiple of the page's. 0 or -errno. */
int ring_init(struct ring *ring, size_t size);
void ring_free(struct ring *ring);

/* For who puts in: where n bytes have room, or NULL; and that they are there.
 */
uint8_t *ring_room(struct ring *ring, size_t n);
void ring_put(struct ring *ring, size_t n);

/* For who takes out: how many bytes there are at *at; and that n were taken. */
size_t ring_filled(struct ring *ring, const uint8_t **at);
void ring_take(struct ring *ring, size_t n);

#endif
