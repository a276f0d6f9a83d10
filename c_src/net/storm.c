/* SPDX-License-Identifier: Apache-2.0 */
#include "storm.h"

#define SECOND_MS 1000

bool storm_admits(struct storm *storm, uint32_t per_second, int64_t now_ms)
{
	int64_t passed = now_ms - storm->filled_ms;
	uint64_t full = (uint64_t)per_second * 1000;

	if (!storm->filled_ms || passed > SECOND_MS)
		passed = SECOND_MS;
	storm->tokens += (uint64_t)passed * per_second;
	if (storm->tokens > full)
		storm->tokens = full;
	storm->filled_ms = now_ms;
	return storm->tokens >= 1000;
}
