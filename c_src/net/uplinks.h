/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uplinks - the requests of the BEAM that are about the way out, taken apart
 * and answered. doc/port-protocol.md lists them; requests.c calls these.
 */
#ifndef EVUM_NET_UPLINKS_H
#define EVUM_NET_UPLINKS_H

#include "term.h"

struct net;

/* 0, or -EBADMSG where the argument is none. */
int uplinks_nat(struct net *net, uint64_t id, struct term_reader *r,
		ei_x_buff *x);
int uplinks_forward(struct net *net, uint64_t id, struct term_reader *r,
		    ei_x_buff *x);
int uplinks_unforward(struct net *net, uint64_t id, struct term_reader *r,
		      ei_x_buff *x);
int uplinks_forwards(struct net *net, uint64_t id, struct term_reader *r,
		     ei_x_buff *x);

#endif
