/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delayq - frames that are under way, by the time when they arrive: a binary
 * heap. Those that arrive at the same time do so in the order in which they
 * were put in.
 */
#ifndef EVUM_NET_DELAYQ_H
#define EVUM_NET_DELAYQ_H

#include <stdint.h>

#include "frame.h"

struct delayed {
	int64_t due_ns;
	uint64_t number; /* in the order of coming */
	uint32_t len;
	uint8_t bytes[];
};

struct delayq {
	struct delayed **heap;
	uint32_t n, room;
	uint64_t last_number;
	size_t bytes; /* of all, with what they are kept in */
};

#define DELAYQ_NEVER INT64_MAX

static inline size_t delayed_size(uint32_t len)
{
	return sizeof(struct delayed) + sizeof(struct delayed *) + len;
}

/* A copy of a frame, in one piece; NULL without memory. */
struct delayed *delayed_copy(const struct frame *frame);

void delayq_free(struct delayq *queue);
/* The queue owns the frame from then on. 0, or -ENOMEM, and then not. */
int delayq_put(struct delayq *queue, struct delayed *frame, int64_t due_ns);
/* One that was popped has not gone: it keeps its place. Never fails. */
void delayq_put_back(struct delayq *queue, struct delayed *frame);
/* The first, which is the caller's to free() or to put back; NULL if empty. */
struct delayed *delayq_pop(struct delayq *queue);
/* All of them arrive at that time, in the order in which they would have. */
void delayq_hurry(struct delayq *queue, int64_t due_ns);

/* When the first arrives. */
static inline int64_t delayq_due(const struct delayq *queue)
{
	return queue->n ? queue->heap[0]->due_ns : DELAYQ_NEVER;
}

#endif
