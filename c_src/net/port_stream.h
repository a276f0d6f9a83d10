/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_stream - a port that is a stream socket, unix or TCP, with the length
 * of each frame in front of it (framing.h): as QEMU's -netdev stream and passt
 * have it. A trunk is the same, to another switch.
 *
 * A length above FRAME_MAX ends the port: where the next frame would begin is
 * not known any more. The port lives as long as the connection.
 */
#ifndef EVUM_NET_PORT_STREAM_H
#define EVUM_NET_PORT_STREAM_H

#include <stdint.h>

#include "address.h"

/* A connection has to come about within so many milliseconds. */
#define STREAM_CONNECT_MS 5000

struct net;

/* Make ports of accepted connections, or close them. */
void stream_accepted(struct net *net, int fd);
void trunk_accepted(struct net *net, int fd);
/*
 * Connect, and answer the request of this id with {ok, PortId} or what failed,
 * now or when it is known.
 */
void stream_connect(struct net *net, uint64_t id, const struct address *address,
		    bool trunk);

#endif
