/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_dgram - a port that is a datagram socket, unix or UDP, between two
 * addresses, a frame a datagram: as QEMU's -netdev dgram has it.
 *
 * It is connected to the peer's address: nobody else can send to it. A unix
 * peer that has gone is noticed by the next frame to it, and ends the port;
 * that nobody listens at a UDP address loses the frame, and may change.
 */
#ifndef EVUM_NET_PORT_DGRAM_H
#define EVUM_NET_PORT_DGRAM_H

#include <stdint.h>

#include "address.h"

struct net;

/* Make the port, and answer the request: {ok, PortId} or what failed. */
void dgram_connect(struct net *net, uint64_t id, const struct address *local,
		   const struct address *peer);

#endif
