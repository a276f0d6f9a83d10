/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_frames - any batch: what the walk yields lies inside of it, and the
 * walk ends.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct frames_cursor cursor = {.at = bytes, .end = bytes + len};
	struct frames_down down;
	uint32_t sum = 0;

	while (frames_next(&cursor, &down) > 0) {
		/* Read all of it, so that ASan sees a stray one. */
		for (uint32_t i = 0; i < down.n_ports; i++)
			sum += frames_port(&down, i);
		for (uint32_t i = 0; i < down.len; i++)
			sum += down.frame[i];
	}
	if (cursor.at > cursor.end)
		abort();
	return sum == UINT32_MAX ? -1 : 0;
}
