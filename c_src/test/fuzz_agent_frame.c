/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_agent_frame - any bytes: what a frame and its payload say lies inside
 * of them, strings end there, and the walk ends.
 */
#include <stdlib.h>
#include <string.h>

#include "agent_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static size_t strings(const char *const *at, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += strlen(at[i]);
	if (at[n])
		abort();
	return sum;
}

static size_t payload(const struct frame *frame)
{
	static struct frame_run run;
	struct frame_file file;
	uint32_t number;
	size_t sum = 0;

	if (!frame_run(frame, &run)) {
		if (!run.argc)
			abort();
		sum += strings(run.argv, run.argc) +
		       strings(run.env, run.envc) + strlen(run.dir);
	}
	if (!frame_put(frame, &file) || !frame_get(frame, &file))
		sum += strlen(file.path);
	if (!frame_u32(frame, &number) && frame->len != 4)
		abort();
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct frame frame;
	size_t at = 0, sum = 0;
	int n;

	while ((n = frame_next(bytes + at, len - at, &frame)) > 0) {
		at += (size_t)n;
		if (at > len || frame.payload + frame.len != bytes + at)
			abort();
		sum += payload(&frame);
	}
	return sum == SIZE_MAX ? -1 : 0;
}
