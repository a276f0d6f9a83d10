/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

static void keeps_order_across_moves(void)
{
	struct buf buf;
	uint8_t expect = 0, next = 0;

	buf_init(&buf, 64 << 10);
	for (int round = 0; round < 5000; round++) {
		uint8_t some[7];

		for (size_t i = 0; i < sizeof(some); i++)
			some[i] = next++;
		CHECK(!buf_append(&buf, some, sizeof(some)));
		/* Five out of seven leave: what is left grows and moves. */
		for (size_t i = 0; i < 5; i++)
			CHECK(buf_data(&buf)[i] == expect++);
		buf_consume(&buf, 5);
	}
	CHECK(buf_len(&buf) == 2 * 5000);
	buf_free(&buf);
	CHECK(buf_len(&buf) == 0);
}

static void refuses_beyond_its_limit(void)
{
	char bytes[100] = {0};
	struct buf buf;

	buf_init(&buf, 150);
	CHECK(!buf_append(&buf, bytes, sizeof(bytes)));
	CHECK(buf_append(&buf, bytes, 51) == -ENOBUFS);
	CHECK(buf_len(&buf) == 100);
	CHECK(!buf_append(&buf, bytes, 50));
	buf_consume(&buf, 100);
	CHECK(!buf_append(&buf, bytes, 100));
	CHECK(buf_append(&buf, bytes, 1) == -ENOBUFS);
	CHECK(buf_append(&buf, bytes, (size_t)-1) == -ENOBUFS);
	buf_free(&buf);
}

static void reserve_gives_writable_room(void)
{
	struct buf buf;
	uint8_t *at;

	buf_init(&buf, 1 << 20);
	CHECK(!buf_append(&buf, "ab", 2));
	CHECK(!buf_reserve(&buf, 100000, &at));
	memset(at, 'c', 100000);
	buf_produced(&buf, 1);
	CHECK(buf_len(&buf) == 3);
	CHECK(!memcmp(buf_data(&buf), "abc", 3));
	CHECK(!buf_append(&buf, NULL, 0));
	buf_free(&buf);
}

int main(void)
{
	RUN(keeps_order_across_moves);
	RUN(refuses_beyond_its_limit);
	RUN(reserve_gives_writable_room);
	UNIT_DONE();
}
