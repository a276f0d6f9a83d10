/* SPDX-License-Identifier: Apache-2.0 */
#include "storm.h"

#include "unit.h"

static struct storm storm;

/* How many are admitted of a thousand that come at once. */
static unsigned int admitted(uint32_t per_second, int64_t now_ms)
{
	unsigned int n = 0;

	for (int i = 0; i < 1000; i++)
		if (storm_admits(&storm, per_second, now_ms)) {
			storm_count(&storm);
			n++;
		}
	return n;
}

static void so_many_a_second(void)
{
	int64_t now = 5;
	unsigned int n = 0;

	storm = (struct storm){.tokens = 0};
	CHECK(admitted(100, now) == 100);
	CHECK(admitted(100, now) == 0);
	CHECK(admitted(100, now + 9) == 0);
	CHECK(admitted(100, now + 10) == 1);
	CHECK(admitted(100, now + 500) == 49);
	/* No more than a second's after any silence. */
	CHECK(admitted(100, now + 1000000) == 100);
	for (now += 1000000; now < 1010005; now++)
		n += admitted(100, now);
	CHECK(n == 999);
}

static void slow_and_fast(void)
{
	storm = (struct storm){.tokens = 0};
	CHECK(admitted(1, 1) == 1);
	for (int64_t now = 2; now < 1001; now++)
		CHECK(admitted(1, now) == 0);
	CHECK(admitted(1, 1001) == 1);
	CHECK(admitted(UINT32_MAX, 1002) == 1000);
	CHECK(admitted(UINT32_MAX, INT64_MAX) == 1000);
}

int main(void)
{
	RUN(so_many_a_second);
	RUN(slow_and_fast);
	UNIT_DONE();
}
