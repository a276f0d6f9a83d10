/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_requests - the requests of the BEAM that are about captures, taken
 * apart and answered. doc/port-protocol.md lists them; requests.c calls these.
 */
#ifndef EVUM_NET_CAPTURE_REQUESTS_H
#define EVUM_NET_CAPTURE_REQUESTS_H

#include "term.h"

struct net;

/* 0, REQUEST_LATER, or -EBADMSG where the argument is none. */
int capture_requests_start(struct net *net, uint64_t id, struct term_reader *r,
			   ei_x_buff *x);
int capture_requests_stop(struct net *net, uint64_t id, struct term_reader *r,
			  ei_x_buff *x);
int capture_requests_list(struct net *net, uint64_t id, struct term_reader *r,
			  ei_x_buff *x);
/* What a capture calls a port. */
int capture_requests_name(struct net *net, uint64_t id, struct term_reader *r,
			  ei_x_buff *x);

#endif
