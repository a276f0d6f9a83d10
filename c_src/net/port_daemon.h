/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_daemon - a port of the uml_switch control protocol, version 3.
 *
 *   accepted --> ASKING --request_v3--> UP --either side ends--> CLOSED
 *                   |                                              ^
 *                   +-- bad, surplus or late bytes, end of file ---+
 *
 * The control connection carries the request, the answer, and then nothing:
 * its end is the end of the port. Frames are datagrams.
 *
 * uml_switch has one datagram socket for all of its clients and knows them by
 * the sender's address. Here each port has its own, connected to the address
 * that the request names:
 *
 *   - a connected datagram socket takes from its peer alone, so nobody else
 *     can put frames into a port, and the descriptor tells the port with no
 *     look-up of addresses;
 *   - receive queues are not shared: in a shared one a busy client makes the
 *     others' frames wait;
 *   - net.unix.max_dgram_qlen (10) does not bind a sender whose receiver is
 *     connected to it (unix_dgram_sendmsg() in net/unix/af_unix.c), so that a
 *     client's bursts are as long as its own send buffer allows;
 *   - EPOLLOUT tells when that one peer has room.
 *
 * It costs a descriptor a port. The socket is connected before it is bound:
 * so at no time can anybody else send to it. The name is a random abstract
 * one, as long as struct sockaddr_un allows, since clients use the answer's
 * whole size; an autobound name (five digits) they would not find.
 */
#ifndef EVUM_NET_PORT_DAEMON_H
#define EVUM_NET_PORT_DAEMON_H

/* The request has to be complete after so many milliseconds. */
#define DAEMON_REQUEST_MS 10000

struct net;

/* Serve an accepted control connection. */
void daemon_accepted(struct net *net, int fd);

#endif
