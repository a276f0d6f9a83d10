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
	bool admitted;

	if (!len)
		return 0;
	nat_limit_init(&limit, 400);
	own = malloc(len);
	if (!own)
		abort();
	memcpy(own, bytes, len);
	if (!nat_limit_admits(&limit, own, (uint32_t)len))
		abort();
	limit.streams = limit.streams_max;
	limit.datagrams = limit.datagrams_max;
	admitted = nat_limit_admits(&limit, own, (uint32_t)len);
	if (admitted != nat_limit_admits(&limit, own, (uint32_t)len))
		abort();
	limit.streams = limit.datagrams = 0;
	if (!nat_limit_admits(&limit, own, (uint32_t)len))
		abort();
	free(own);
	return 0;
}
