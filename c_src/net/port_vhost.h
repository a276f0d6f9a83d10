/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_vhost - a port that is a guest's virtio network card, served over
 * vhost-user (lib/vhost): frames move through the guest's memory.
 *
 *   accepted --> STARTING --both queues run--> UP --either side ends--> CLOSED
 *                   |                                                     ^
 *                   +-- a rule broken, too late, end of the connection ---+
 *
 * Queue 0 holds buffers for what the guest receives, queue 1 what it sends. In
 * front of each frame is a header that says what was left to be done to it:
 * between two such ports it is handed on as it is, and the frame is copied
 * once, from guest to guest. A guest may change its memory at any time, so the
 * head of a frame is copied first, and is what the switch looks at and sends.
 *
 * Without room in queue 0 frames wait in the port's backlog, as they do for
 * any peer that does not read. The card has no address of its own (F_MAC): one
 * listener serves many guests, and it is evum_init which gives `eth0' the
 * machine's.
 */
#ifndef EVUM_NET_PORT_VHOST_H
#define EVUM_NET_PORT_VHOST_H

/* From the connection until both queues run, milliseconds. */
#define VHOST_START_MS 60000

struct net;

/* Serve an accepted connection. */
void vhost_accepted(struct net *net, int fd);

#endif
