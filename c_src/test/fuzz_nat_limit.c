/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_nat_limit - any frame, below and at the limits: it is looked at within
 * its bounds, and one that was admitted at the limit is so again.
 */
#include <stdlib.h>
#include <string.h>

#include "nat_limit.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct nat_limit limit;
	uint8_t *own;
	enum nat_verdict verdict;

	if (!len)
		return 0;
	nat_limit_init(&limit, 400, 1500);
	own = malloc(len);
	if (!own)
		abort();
	memcpy(own, bytes, len);
	if (nat_limit_judge(&limit, own, (uint32_t)len, 0) != NAT_ADMITTED)
		abort();
	limit.streams = limit.streams_max;
	limit.datagrams = limit.datagrams_max;
	verdict = nat_limit_judge(&limit, own, (uint32_t)len, 0);
	if (verdict != nat_limit_judge(&limit, own, (uint32_t)len, 0))
		abort();
	limit.streams = limit.datagrams = 0;
	if (nat_limit_judge(&limit, own, (uint32_t)len, 0) != NAT_ADMITTED)
		abort();
	free(own);
	return 0;
}
