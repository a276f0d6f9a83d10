/* SPDX-License-Identifier: Apache-2.0 */
/* The largest frames, in any pieces; what is none. (See also fuzz_framing.) */
#include "framing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static uint8_t *stream_of(const uint32_t *lens, size_t n, size_t *total)
{
	uint8_t *bytes, *at;

	*total = 0;
	for (size_t i = 0; i < n; i++)
		*total += 4 + lens[i];
	at = bytes = malloc(*total);
	for (size_t i = 0; i < n; i++) {
		uint8_t length[] = {(uint8_t)(lens[i] >> 24),
				    (uint8_t)(lens[i] >> 16),
				    (uint8_t)(lens[i] >> 8), (uint8_t)lens[i]};

		memcpy(at, length, 4);
		memset(at + 4, (int)i + 1, lens[i]);
		at += 4 + lens[i];
	}
	return bytes;
}

static void in_pieces_of(size_t piece)
{
	static const uint32_t lens[] = {0,	   FRAME_MAX, 60, FRAME_MAX,
					FRAME_MAX, FRAME_MAX, 1,  FRAME_MAX};
	const size_t n = sizeof(lens) / sizeof(*lens);
	struct framing framing;
	struct frame frame;
	size_t total, put = 0, seen = 0;
	uint8_t *bytes = stream_of(lens, n, &total);

	CHECK(framing_init(&framing) == 0);
	while (put < total) {
		uint8_t *at;
		size_t room = framing_room(&framing, &at);
		size_t len = piece < room ? piece : room;

		CHECK(room > 0);
		if (len > total - put)
			len = total - put;
		memcpy(at, bytes + put, len);
		framing_produced(&framing, len);
		put += len;
		while (framing_next(&framing, &frame) == 1) {
			CHECK(seen < n && frame.len == lens[seen]);
			seen++;
			CHECK(!frame.len ||
			      (frame.bytes[0] == seen &&
			       frame.bytes[frame.len - 1] == seen));
		}
	}
	CHECK(seen == n && framing_next(&framing, &frame) == 0);
	framing_free(&framing);
	free(bytes);
}

static void any_pieces(void)
{
	in_pieces_of(1);
	in_pieces_of(4096);
	in_pieces_of(65539);
	in_pieces_of(1 << 20);
}

static void too_long(void)
{
	static const uint8_t bytes[] = {0, 0, 0, 1, 7, 0, 1, 0, 0, 0, 0, 0, 0};
	struct framing framing;
	struct frame frame;
	uint8_t *at;

	CHECK(framing_init(&framing) == 0);
	CHECK(framing_room(&framing, &at) == FRAMING_BUFFER);
	memcpy(at, bytes, sizeof(bytes));
	framing_produced(&framing, sizeof(bytes));
	CHECK(framing_next(&framing, &frame) == 1 && frame.len == 1);
	/* And it stays so: there is no way back into step. */
	CHECK(framing_next(&framing, &frame) == -EPROTO);
	CHECK(framing_next(&framing, &frame) == -EPROTO);
	framing_free(&framing);
}

int main(void)
{
	RUN(any_pieces);
	RUN(too_long);
	UNIT_DONE();
}
