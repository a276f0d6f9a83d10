/* SPDX-License-Identifier: Apache-2.0 */
/*
 * impair_request - the request that makes the ways of a port worse, or perfect
 * again; for requests.c.
 *
 * {impair, {Port, In, Out}}, each of the two directions keep, none, or
 *
 *   {Seed, {DelayNs, JitterNs, Distribution, Correlation},
 *    {GoBad, GoGood, LostBad, LostGood}, Duplicate, Corrupt, {Reorder, Gap},
 *    {BitsPerSecond, BurstBytes}, LimitFrames}
 *
 * with probabilities as parts of 2^32, and Distribution uniform, normal or
 * pareto.
 */
#ifndef EVUM_NET_IMPAIR_REQUEST_H
#define EVUM_NET_IMPAIR_REQUEST_H

#include <ei.h>
#include <stdint.h>

#include "term.h"

struct net;

int impair_request(struct net *net, uint64_t id, struct term_reader *r,
		   ei_x_buff *x);

#endif
