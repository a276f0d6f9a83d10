/* SPDX-License-Identifier: Apache-2.0 */
#include "burst.h"

#include <errno.h>
#include <stdlib.h>

#define SLOT_SIZE (FRAME_MAX + 1)
/*
 * Slots at a multiple of the page size would share the same few sets of the
 * cache: two lines more spread the heads of a burst over all of them.
 */
#define SLOT_STRIDE (SLOT_SIZE + 128)
_Static_assert(BURST_HEADROOM <= SLOT_STRIDE - SLOT_SIZE, "slots overlap");

int burst_init(struct burst *burst)
{
	*burst = (struct burst){.memory = NULL};
	burst->memory = malloc((size_t)BURST_SLOTS * SLOT_STRIDE);
	if (!burst->memory)
		return -ENOMEM;
	burst_restart(burst);
	for (size_t i = 0; i < BURST_SLOTS; i++) {
		burst->slots[i].iov_base =
			burst->memory + i * SLOT_STRIDE + BURST_HEADROOM;
		burst->slots[i].iov_len = SLOT_SIZE;
		burst->rx[i].msg_hdr.msg_iov = &burst->slots[i];
		burst->rx[i].msg_hdr.msg_iovlen = 1;
	}
	for (size_t i = 0; i < BURST_FRAMES; i++) {
		burst->tx[i].msg_hdr.msg_iov = &burst->out[i];
		burst->tx[i].msg_hdr.msg_iovlen = 1;
	}
	return 0;
}

void burst_free(struct burst *burst)
{
	free(burst->memory);
	burst->memory = NULL;
}

bool burst_is_full(const struct burst *burst)
{
	return burst->next > BURST_SLOTS - BURST_FRAMES;
}

void burst_restart(struct burst *burst)
{
	burst->next = BURST_FRAMES;
}

int burst_receive(struct burst *burst, int fd)
{
	struct mmsghdr *rx = burst->rx + burst->next;
	int n;

	burst->count = 0;
	burst->ended = false;
	burst->more = false;
	burst->gathers = true;
	n = recvmmsg(fd, rx, BURST_FRAMES, MSG_DONTWAIT, NULL);
	if (n < 0)
		return -errno;
	burst->count = (unsigned int)n;
	burst->next += (unsigned int)n;
	for (int i = 0; i < n; i++)
		burst->frames[i] =
			(struct frame){.bytes = rx[i].msg_hdr.msg_iov->iov_base,
				       .len = rx[i].msg_len};
	return 0;
}

int burst_send(struct burst *burst, int fd, const struct frame *frames,
	       unsigned int n)
{
	int sent;

	/* sendmmsg() only reads; struct iovec knows no const. */
	for (unsigned int i = 0; i < n; i++)
		burst->out[i] = (struct iovec){
			.iov_base = (void *)(uintptr_t)frames[i].bytes,
			.iov_len = frames[i].len};
	sent = sendmmsg(fd, burst->tx, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 ? -errno : sent;
}
