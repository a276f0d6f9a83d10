/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

static struct hooks hooks;

static int set(uint32_t bit, struct hook hook, const char *filter)
{
	char *error;
	int err = hooks_set(&hooks, bit, &hook, filter, &error);

	/* Told why, where it is the filter's fault. */
	CHECK(err == -EINVAL ? true : !error);
	free(error);
	return err;
}

static void finds_those_that_match(void)
{
	uint8_t arp[60] = {[12] = 0x08, [13] = 0x06};
	struct frame frame = {.bytes = arp, .len = sizeof(arp)};

	CHECK(!set(0, (struct hook){.in = 1}, ""));
	CHECK(!set(5, (struct hook){.observer = true}, "arp"));
	CHECK(!set(31, (struct hook){.out = 3}, "ip"));
	CHECK(!set(7, (struct hook){.either = 2}, ""));
	CHECK(hooks_match(&hooks, 1, &frame) == (1u | 1u << 5 | 1u << 7));
	CHECK(hooks_match(&hooks, 2, &frame) == (1u << 5 | 1u << 7));
	CHECK(hooks.observers == 1u << 5);
	arp[13] = 0;
	CHECK(hooks_match(&hooks, 2, &frame) == (1u << 31 | 1u << 7));
	CHECK(hooks_match_out(&hooks, 1u << 31 | 1u << 7, 2, 3) ==
	      (1u << 31 | 1u << 7));
	CHECK(hooks_match_out(&hooks, 1u << 31 | 1u << 7, 1, 2) == 1u << 7);
	CHECK(hooks_match_out(&hooks, 1u << 31 | 1u << 7, 1, 1) == 0);
	CHECK(hooks_match_out(&hooks, 1u << 31 | 1u << 7, 1, 0) ==
	      (1u << 31 | 1u << 7));
	hooks_clear(&hooks, 31);
	CHECK(hooks_match(&hooks, 2, &frame) == 1u << 7);
	hooks_free(&hooks);
	CHECK(!hooks.used && !hooks.observers);
}

/* A filter sees no further than the head of a frame in pieces. */
static void looks_at_the_head_only(void)
{
	uint8_t head[FRAME_HEAD] = {[255] = 7};
	uint8_t tail[] = {9};
	struct iovec rest = {tail, 1};
	struct frame frame = {.bytes = head,
			      .len = FRAME_HEAD + 1,
			      .rest_len = 1,
			      .rest = &rest,
			      .n_rest = 1};

	CHECK(!set(0, (struct hook){.in = 0}, "ether[255] = 7"));
	CHECK(!set(1, (struct hook){.in = 0}, "ether[256] = 9"));
	CHECK(!set(2, (struct hook){.in = 0}, "greater 257"));
	CHECK(hooks_match(&hooks, 1, &frame) == (1u | 1u << 2));
	hooks_free(&hooks);
}

static void refuses_what_is_wrong(void)
{
	CHECK(set(0, (struct hook){.in = 0}, "no such filter") == -EINVAL);
	CHECK(set(HOOKS_MAX, (struct hook){.in = 0}, "") == -EINVAL);
	CHECK(!hooks.used);
	CHECK(!set(0, (struct hook){.in = 0}, ""));
	CHECK(set(0, (struct hook){.in = 0}, "") == -EINVAL);
	hooks_clear(&hooks, HOOKS_MAX);
	hooks_free(&hooks);
}

int main(void)
{
	RUN(finds_those_that_match);
	RUN(looks_at_the_head_only);
	RUN(refuses_what_is_wrong);
	UNIT_DONE();
}
