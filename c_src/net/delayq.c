/* SPDX-License-Identifier: Apache-2.0 */
#include "delayq.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define ROOM_MIN 16

struct delayed *delayed_copy(const struct frame *frame)
{
	struct delayed *copy = malloc(sizeof(*copy) + frame->len);

	if (!copy)
		return NULL;
	copy->len = frame->len;
	frame_copy(frame, copy->bytes);
	return copy;
}

void delayq_free(struct delayq *queue)
{
	for (uint32_t i = 0; i < queue->n; i++)
		free(queue->heap[i]);
	free(queue->heap);
	*queue = (struct delayq){.n = 0};
}

static bool before(const struct delayed *a, const struct delayed *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns
				      : a->number < b->number;
}

static int grow(struct delayq *queue)
{
	uint32_t room = queue->room ? 2 * queue->room : ROOM_MIN;
	struct delayed **heap =
		reallocarray(queue->heap, room, sizeof(struct delayed *));

	if (!heap)
		return -ENOMEM;
	queue->heap = heap;
	queue->room = room;
	return 0;
}

int delayq_put(struct delayq *queue, struct delayed *frame, int64_t due_ns)
{
	if (queue->n == queue->room && grow(queue))
		return -ENOMEM;
	frame->due_ns = due_ns;
	frame->number = ++queue->last_number;
	delayq_put_back(queue, frame);
	return 0;
}

void delayq_put_back(struct delayq *queue, struct delayed *frame)
{
	uint32_t at = queue->n++;

	queue->bytes += delayed_size(frame->len);
	while (at && before(frame, queue->heap[(at - 1) / 2])) {
		queue->heap[at] = queue->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	queue->heap[at] = frame;
}

/* Let a frame sink from the top to where it belongs. */
static void sink(struct delayq *queue, struct delayed *frame)
{
	uint32_t at = 0, child;

	while ((child = 2 * at + 1) < queue->n) {
		if (child + 1 < queue->n &&
		    before(queue->heap[child + 1], queue->heap[child]))
			child++;
		if (!before(queue->heap[child], frame))
			break;
		queue->heap[at] = queue->heap[child];
		at = child;
	}
	queue->heap[at] = frame;
}

struct delayed *delayq_pop(struct delayq *queue)
{
	struct delayed *first;

	if (!queue->n)
		return NULL;
	first = queue->heap[0];
	queue->bytes -= delayed_size(first->len);
	if (--queue->n)
		sink(queue, queue->heap[queue->n]);
	return first;
}

static int by_arrival(const void *a, const void *b)
{
	const struct delayed *const *first = a, *const *second = b;

	return before(*first, *second) ? -1 : 1;
}

void delayq_hurry(struct delayq *queue, int64_t due_ns)
{
	if (!queue->n)
		return;
	/* What is sorted is a heap. */
	qsort(queue->heap, queue->n, sizeof(struct delayed *), by_arrival);
	for (uint32_t i = 0; i < queue->n; i++) {
		queue->heap[i]->due_ns = due_ns;
		queue->heap[i]->number = ++queue->last_number;
	}
}
