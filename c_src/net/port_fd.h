/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_fd - a port whose socket was handed over: a SEQPACKET socketpair, a
 * frame a packet, of which the peer keeps one end and sends the other with
 * SCM_RIGHTS. So the peer's guest needs no path to the switch.
 *
 * One message on a connection brings the socket; then the connection is closed.
 */
#ifndef EVUM_NET_PORT_FD_H
#define EVUM_NET_PORT_FD_H

/* The message has to be there after so many milliseconds. */
#define FD_HANDOVER_MS 10000

struct net;

/* Wait for what an accepted connection hands over. */
void fd_accepted(struct net *net, int fd);

#endif
