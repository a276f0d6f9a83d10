/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_bess - a port of the vector transport `bess': a SEQPACKET connection,
 * a frame a packet. The port lives as long as the connection.
 */
#ifndef EVUM_NET_PORT_BESS_H
#define EVUM_NET_PORT_BESS_H

struct net;

/* Make a port of an accepted connection, or close it. */
void bess_accepted(struct net *net, int fd);
/* The same of a socket that was handed over, for port_fd. */
void bess_handed_over(struct net *net, int fd);

#endif
