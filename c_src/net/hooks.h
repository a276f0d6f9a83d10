/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks - which frames evum_switch wants to look at itself.
 *
 * A hook names ports, or has a filter of libpcap's, or both. A frame that one
 * of them matches goes up even where it is decided already, with the bits of
 * all that match; one that only observers match goes on, and a copy goes up.
 *
 * Where a frame goes is not known of each that goes up. So a hook on what goes
 * out at a port counts as matching then, and evum_switch sees to it.
 */
#ifndef EVUM_NET_HOOKS_H
#define EVUM_NET_HOOKS_H

#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

/* Bits of a mask. */
#define HOOKS_MAX 32

struct hook {
	bool observer;
	uint32_t in, out, either; /* ids of ports, 0: any */
	bool filtered;
	struct bpf_program filter;
};

struct hooks {
	uint32_t used, observers; /* masks */
	struct hook hooks[HOOKS_MAX];
};

/*
 * Set a hook that is not in use; an empty filter matches all. 0, or -EINVAL
 * and in error what libpcap says, which the caller frees.
 */
int hooks_set(struct hooks *hooks, uint32_t bit, const struct hook *hook,
	      const char *filter, char **error);
void hooks_clear(struct hooks *hooks, uint32_t bit);
void hooks_free(struct hooks *hooks);

/* Those that may match a frame from a port, wherever it goes. */
uint32_t hooks_match(const struct hooks *hooks, uint32_t in,
		     const struct frame *frame);
/* Those of them that match where it goes to a port, or is flooded (0). */
uint32_t hooks_match_out(const struct hooks *hooks, uint32_t mask, uint32_t in,
			 uint32_t out);

#endif
