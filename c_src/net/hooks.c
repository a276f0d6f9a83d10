/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks.h"

#include <errno.h>

#include "filter.h"

int hooks_set(struct hooks *hooks, uint32_t bit, const struct hook *hook,
	      const char *filter, char **error)
{
	struct hook new = *hook;

	*error = NULL;
	if (bit >= HOOKS_MAX || hooks->used >> bit & 1)
		return -EINVAL;
	new.filtered = *filter;
	if (new.filtered) {
		int err = filter_compile(&new.filter, filter, error);

		if (err)
			return err;
	}
	hooks->hooks[bit] = new;
	hooks->used |= 1u << bit;
	if (new.observer)
		hooks->observers |= 1u << bit;
	return 0;
}

void hooks_clear(struct hooks *hooks, uint32_t bit)
{
	if (bit >= HOOKS_MAX || !(hooks->used >> bit & 1))
		return;
	if (hooks->hooks[bit].filtered)
		pcap_freecode(&hooks->hooks[bit].filter);
	hooks->used &= ~(1u << bit);
	hooks->observers &= ~(1u << bit);
}

void hooks_free(struct hooks *hooks)
{
	for (uint32_t bit = 0; bit < HOOKS_MAX; bit++)
		hooks_clear(hooks, bit);
}

static bool matches(const struct hook *hook, uint32_t in,
		    const struct frame *frame)
{
	if (hook->in && hook->in != in)
		return false;
	return !hook->filtered || filter_matches(&hook->filter, frame);
}

uint32_t hooks_match(const struct hooks *hooks, uint32_t in,
		     const struct frame *frame)
{
	uint32_t mask = 0;

	for (uint32_t left = hooks->used; left; left &= left - 1) {
		int bit = __builtin_ctz(left);

		if (matches(&hooks->hooks[bit], in, frame))
			mask |= 1u << bit;
	}
	return mask;
}

static bool matches_out(const struct hook *hook, uint32_t in, uint32_t out)
{
	if (hook->out && out && hook->out != out)
		return false;
	return !hook->either || hook->either == in || !out ||
	       hook->either == out;
}

uint32_t hooks_match_out(const struct hooks *hooks, uint32_t mask, uint32_t in,
			 uint32_t out)
{
	uint32_t matching = 0;

	for (; mask; mask &= mask - 1) {
		int bit = __builtin_ctz(mask);

		if (matches_out(&hooks->hooks[bit], in, out))
			matching |= 1u << bit;
	}
	return matching;
}
