/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block - to which ports no frame of a port goes; and the request that says so.
 * evum_switch_core decides by the same rule what evum_net asks it.
 */
#ifndef EVUM_NET_BLOCK_H
#define EVUM_NET_BLOCK_H

#include <ei.h>
#include <stdbool.h>
#include <stdint.h>

#include "term.h"

struct net;

struct block {
	uint32_t n;
	uint32_t ids[]; /* of ports, ascending */
};

bool block_has(const struct block *block, uint32_t id);

/*
 * {block, [{From, <<To:32, ...>>}]}, To ascending: these pairs, and no others.
 * -ENOMEM ends evum_net: what it cannot keep apart it may not serve.
 */
int block_request(struct net *net, uint64_t id, struct term_reader *r,
		  ei_x_buff *x);

#endif
