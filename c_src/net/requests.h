/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests - what the BEAM asks of evum_net, and the answers.
 * doc/port-protocol.md lists them.
 */
#ifndef EVUM_NET_REQUESTS_H
#define EVUM_NET_REQUESTS_H

struct net;

/* Of a handler: the answer comes later, by the request's id. */
#define REQUEST_LATER 1

/* Carry out a request and answer it. 0, or -EBADMSG where it is none. */
int requests_handle(struct net *net, const char *term);

#endif
