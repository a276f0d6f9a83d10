/* SPDX-License-Identifier: Apache-2.0 */
#include "delayq.h"

#include <errno.h>

#include "rng.h"
#include "unit.h"

static struct delayq queue;

static void put(int64_t due_ns, uint32_t mark)
{
	uint8_t bytes[4];
	struct frame frame = {.bytes = bytes, .len = sizeof(bytes)};

	memcpy(bytes, &mark, sizeof(mark));
	CHECK(!delayq_put(&queue, delayed_copy(&frame), due_ns));
}

/* The mark of the first; UINT32_MAX where there is none. */
static uint32_t pop(void)
{
	struct delayed *delayed = delayq_pop(&queue);
	uint32_t mark = UINT32_MAX;

	if (delayed && delayed->len == sizeof(mark))
		memcpy(&mark, delayed->bytes, sizeof(mark));
	free(delayed);
	return mark;
}

static void in_the_order_of_time(void)
{
	struct rng rng;
	int64_t last = -1;

	rng_init(&rng, 3);
	for (uint32_t i = 0; i < 10000; i++)
		put(rng_below(&rng, 1000), i);
	CHECK(queue.bytes == 10000 * delayed_size(4));
	for (uint32_t i = 0, mark = 0; i < 10000; i++) {
		int64_t due = delayq_due(&queue);
		uint32_t next = pop();

		CHECK(due >= last);
		/* At the same time: as they came. */
		CHECK(due > last || next > mark);
		last = due;
		mark = next;
	}
	CHECK(!queue.n && !queue.bytes);
	CHECK(delayq_due(&queue) == DELAYQ_NEVER);
	CHECK(!delayq_pop(&queue));
	delayq_free(&queue);
}

static void who_is_put_back_keeps_its_place(void)
{
	struct delayed *first, *second;

	put(5, 1);
	put(5, 2);
	put(5, 3);
	first = delayq_pop(&queue);
	second = delayq_pop(&queue);
	delayq_put_back(&queue, second);
	delayq_put_back(&queue, first);
	for (uint32_t mark = 1; mark <= 3; mark++)
		CHECK(pop() == mark);
	delayq_free(&queue);
}

static void hurry_keeps_the_order(void)
{
	for (uint32_t i = 0; i < 100; i++)
		put(1000 - i % 10 * 100, i);
	delayq_hurry(&queue, 7);
	/* One that comes after it is behind. */
	put(7, 100);
	for (uint32_t ten = 9; ten < 10; ten--)
		for (uint32_t i = ten; i < 100; i += 10) {
			CHECK(delayq_due(&queue) == 7);
			CHECK(pop() == i);
		}
	CHECK(pop() == 100);
	delayq_hurry(&queue, 8);
	delayq_free(&queue);
}

static void a_frame_in_pieces_is_one(void)
{
	struct iovec rest[2] = {{.iov_base = "cd", .iov_len = 2},
				{.iov_base = "e", .iov_len = 1}};
	struct frame frame = {.bytes = (const uint8_t *)"ab",
			      .len = 5,
			      .rest_len = 3,
			      .rest = rest,
			      .n_rest = 2};
	struct delayed *copy = delayed_copy(&frame);

	CHECK(copy && copy->len == 5 && !memcmp(copy->bytes, "abcde", 5));
	CHECK(!delayq_put(&queue, copy, 1));
	delayq_free(&queue);
	CHECK(!queue.n);
}

int main(void)
{
	RUN(in_the_order_of_time);
	RUN(who_is_put_back_keeps_its_place);
	RUN(hurry_keeps_the_order);
	RUN(a_frame_in_pieces_is_one);
	UNIT_DONE();
}
