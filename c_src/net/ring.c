/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <errno.h>
#include <sys/mman.h>

int ring_init(struct ring *ring, size_t size)
{
	uint8_t *place = mmap(NULL, 2 * size, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	*ring = (struct ring){.size = size};
	if (place == MAP_FAILED)
		return -errno;
	/* An old size of 0 maps what is shared a second time: mremap(2). */
	if (mmap(place, size, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
	    mremap(place, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED,
		   place + size) == MAP_FAILED) {
		err = -errno;
		munmap(place, 2 * size);
		return err;
	}
	ring->bytes = place;
	return 0;
}

void ring_free(struct ring *ring)
{
	if (ring->bytes)
		munmap(ring->bytes, 2 * ring->size);
	ring->bytes = NULL;
}

uint8_t *ring_room(struct ring *ring, size_t n)
{
	uint64_t in = atomic_load_explicit(&ring->in, memory_order_relaxed);
	uint64_t out = atomic_load_explicit(&ring->out, memory_order_acquire);

	if (n > ring->size - (in - out))
		return NULL;
	return ring->bytes + in % ring->size;
}

void ring_put(struct ring *ring, size_t n)
{
	uint64_t in = atomic_load_explicit(&ring->in, memory_order_relaxed);

	atomic_store_explicit(&ring->in, in + n, memory_order_release);
}

size_t ring_filled(struct ring *ring, const uint8_t **at)
{
	uint64_t out = atomic_load_explicit(&ring->out, memory_order_relaxed);
	uint64_t in = atomic_load_explicit(&ring->in, memory_order_acquire);

	*at = ring->bytes + out % ring->size;
	return (size_t)(in - out);
}

void ring_take(struct ring *ring, size_t n)
{
	uint64_t out = atomic_load_explicit(&ring->out, memory_order_relaxed);

	atomic_store_explicit(&ring->out, out + n, memory_order_release);
}
