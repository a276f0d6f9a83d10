/* SPDX-License-Identifier: Apache-2.0 */
#include "frames.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

static int next(const void *bytes, size_t len, struct frames_down *down)
{
	/* On the heap and no longer than it is, so that ASan sees past it. */
	uint8_t *copy = malloc(len ? len : 1);
	struct frames_cursor cursor = {.at = copy, .end = copy + len};
	int more;

	if (len)
		memcpy(copy, bytes, len);
	while ((more = frames_next(&cursor, down)) > 0) {
		CHECK(cursor.at <= cursor.end);
		if (down->op == DOWN_FRAME)
			CHECK(down->frame + down->len <= cursor.end);
	}
	free(copy);
	return more;
}

static void a_frame_goes_up_as_drawn(void)
{
	struct frame frame = {.bytes = (const uint8_t *)"frame", .len = 5};
	struct frames_up up = {.port = 0x01020304,
			       .vlan = 0x0506,
			       .flags = UP_SOURCE_KNOWN,
			       .age = 7,
			       .hooks = 9};
	uint8_t bytes[FRAMES_UP_HEADER + 5];

	frames_begin(bytes, 0x0102030405060708);
	CHECK(!memcmp(bytes, "\1\2\3\4\5\6\7\10", FRAMES_UP_TIME));
	frames_put(bytes, &up, &frame);
	CHECK(!memcmp(bytes, "\1\2\3\4\0\0\0\5\5\6\1\0\0\0\0\7\0\0\0\11frame",
		      sizeof(bytes)));
}

static void a_frame_in_pieces_goes_up_as_one(void)
{
	struct iovec rest[] = {{(char[]){"ra"}, 2}, {(char[]){"me"}, 2}};
	struct frame frame = {.bytes = (const uint8_t *)"f",
			      .len = 5,
			      .rest_len = 4,
			      .rest = rest,
			      .n_rest = 2};
	struct frames_up up = {.port = 7};
	uint8_t bytes[FRAMES_UP_HEADER + 5];

	frames_put(bytes, &up, &frame);
	CHECK(!memcmp(bytes, "\0\0\0\7\0\0\0\5\0\0\0\0\0\0\0\0\0\0\0\0frame",
		      sizeof(bytes)));
}

static void frames_come_down_with_their_ports(void)
{
	static const char batch[] =
		"\0\0\1\2\0\0\0\2\0\0\0\3\0\0\0\7\1\0\0\0abc"
		"\0\0\0\0\0\0\0\0\0\0\0\1x"
		"\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\5";
	struct frames_cursor cursor = {
		.at = (const uint8_t *)batch,
		.end = (const uint8_t *)batch + sizeof(batch) - 1,
	};
	struct frames_down down;

	CHECK(frames_next(&cursor, &down) == 1);
	CHECK(down.op == DOWN_FRAME && down.vlan == 0x0102);
	CHECK(down.n_ports == 2 && down.len == 3);
	CHECK(frames_port(&down, 0) == 7);
	CHECK(frames_port(&down, 1) == 0x01000000);
	CHECK(!memcmp(down.frame, "abc", 3));
	CHECK(frames_next(&cursor, &down) == 1);
	CHECK(down.n_ports == 0 && down.len == 1 && *down.frame == 'x');
	CHECK(frames_next(&cursor, &down) == 1);
	CHECK(down.n_ports == 1 && down.len == 0);
	CHECK(frames_next(&cursor, &down) == 0);
}

static void decisions_come_down(void)
{
	static const char batch[] = "\1\1\0\0\0\5\2\0\0\0\0\12\0\0\0\7\0\0\0\11"
				    "\2\0\0\0\0\0\2\0\0\0\0\12"
				    "\3\0\0\5\0\0\0\3\0\0\0\2\0\0\0\7\0\0\0\10"
				    "\4\0\0\0\0\0\1\0";
	struct frames_cursor cursor = {
		.at = (const uint8_t *)batch,
		.end = (const uint8_t *)batch + sizeof(batch) - 1,
	};
	struct frames_down down;

	CHECK(frames_next(&cursor, &down) == 1);
	CHECK(down.op == DOWN_STATION && down.flags == DOWN_STATIC);
	CHECK(down.station == 0x000502000000000a);
	CHECK(down.port == 7 && down.seen == 9);
	CHECK(frames_next(&cursor, &down) == 1);
	CHECK(down.op == DOWN_FORGET && down.station == 0x02000000000a);
	CHECK(frames_next(&cursor, &down) == 1);
	CHECK(down.op == DOWN_FLOOD && down.vlan == 5 && down.ups == 3);
	CHECK(down.n_ports == 2 && frames_port(&down, 1) == 8);
	CHECK(frames_next(&cursor, &down) == 1);
	CHECK(down.op == DOWN_ANSWERS && down.bytes == 256);
	CHECK(frames_next(&cursor, &down) == 0);
}

static void lengths_that_do_not_fit_are_refused(void)
{
	static const uint8_t one[] = {0, 0, 0, 0, 0, 0, 0,   1,	  0,  0,
				      0, 3, 0, 0, 0, 7, 'a', 'b', 'c'};
	static const uint8_t wrap_ports[] = {0, 0, 0, 0, 0x40, 0, 0, 1,
					     0, 0, 0, 1, 9,    9, 9, 9};
	static const uint8_t wrap_len[] = {0,	 0,    0,    0,	   0, 0, 0, 1,
					   0xff, 0xff, 0xff, 0xff, 9, 9, 9, 9};
	static const uint8_t wrap_flood[] = {3, 0, 0,	 0, 0, 0, 0, 0,
					     0, 0, 0x40, 1, 9, 9, 9, 9};
	static const uint8_t no_op[24] = {DOWN_OPS};
	struct frames_down down;

	CHECK(next(one, 0, &down) == 0);
	for (size_t len = 1; len < sizeof(one); len++)
		CHECK(next(one, len, &down) == -EBADMSG);
	CHECK(next(one, sizeof(one), &down) == 0);
	CHECK(next(wrap_ports, sizeof(wrap_ports), &down) == -EBADMSG);
	CHECK(next(wrap_len, sizeof(wrap_len), &down) == -EBADMSG);
	CHECK(next(wrap_flood, sizeof(wrap_flood), &down) == -EBADMSG);
	CHECK(next(no_op, sizeof(no_op), &down) == -EBADMSG);
	for (unsigned int op = 0; op < DOWN_OPS; op++)
		CHECK(next(&(uint8_t){(uint8_t)op}, 1, &down) == -EBADMSG);
}

int main(void)
{
	RUN(a_frame_goes_up_as_drawn);
	RUN(a_frame_in_pieces_goes_up_as_one);
	RUN(frames_come_down_with_their_ports);
	RUN(decisions_come_down);
	RUN(lengths_that_do_not_fit_are_refused);
	UNIT_DONE();
}
