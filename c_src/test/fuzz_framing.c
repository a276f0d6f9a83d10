/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_framing - any stream, in any pieces: the frames are those that a look
 * at all of it at once finds, and as long as it is in step there is room for
 * more. The first byte says how large the pieces are.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "framing.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The frame at *at of the stream: 1, 0 where it is not whole, -1. */
static int expected(const uint8_t *bytes, size_t len, size_t at,
		    uint32_t *frame_len)
{
	if (len - at < 4)
		return 0;
	*frame_len = (uint32_t)bytes[at] << 24 | (uint32_t)bytes[at + 1] << 16 |
		     (uint32_t)bytes[at + 2] << 8 | bytes[at + 3];
	if (*frame_len > FRAME_MAX)
		return -1;
	return len - at - 4 >= *frame_len;
}

/* Take what is whole: false once the stream is out of step. */
static bool take(struct framing *framing, const uint8_t *bytes, size_t len,
		 size_t *at)
{
	struct frame frame;
	int more;

	while ((more = framing_next(framing, &frame)) > 0) {
		uint32_t want = 0;

		if (expected(bytes, len, *at, &want) != 1 ||
		    frame.len != want || frame.n_rest ||
		    memcmp(frame.bytes, bytes + *at + 4, want) != 0)
			abort();
		*at += 4 + want;
	}
	return more == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct framing framing;
	size_t put = 0, at = 0, piece;
	bool in_step = true;
	uint32_t ignored;

	if (!len || framing_init(&framing))
		return 0;
	piece = 1 + (size_t)bytes[0] * bytes[0];
	bytes++;
	len--;
	while (in_step && put < len) {
		uint8_t *to;
		size_t room = framing_room(&framing, &to);
		size_t n = piece < room ? piece : room;

		if (!room)
			abort();
		if (n > len - put)
			n = len - put;
		memcpy(to, bytes + put, n);
		framing_produced(&framing, n);
		put += n;
		in_step = take(&framing, bytes, len, &at);
	}
	/* Nothing that is whole was left, and nothing wrong overlooked. */
	if (expected(bytes, len, at, &ignored) != (in_step ? 0 : -1))
		abort();
	framing_free(&framing);
	return 0;
}
