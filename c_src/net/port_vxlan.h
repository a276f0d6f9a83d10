/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_vxlan - a port behind which are other switches, each behind a VXLAN
 * tunnel end point, evum's own kind, Linux's device or Open vSwitch: one UDP
 * socket for all of them.
 *
 *   netport -> which remote? (remotes.h) -> header -> sendmmsg()
 *                 none: a copy to each (head-end replication)
 *   netport <- learn <- is it of a remote, and of our network? <- recvmmsg()
 *
 * What comes from a remote does not go to another one, as nothing goes back to
 * the port that it came from: the remotes are expected to be joined with one
 * another (split horizon).
 *
 * Nothing is fragmented (RFC 7348, section 4.3): a datagram that does not fit
 * the way to its remote is counted as tx_errors.
 */
#ifndef EVUM_NET_PORT_VXLAN_H
#define EVUM_NET_PORT_VXLAN_H

#include <stdint.h>

#include "address.h"
#include "remotes.h"

/* What may wait to be read, or sent, bytes; or the host's limit. */
#define VXLAN_BUFFER (4 << 20)

struct net;

struct vxlan_config {
	uint32_t vni;
	struct address local;
	uint32_t n_remotes; /* 1 to REMOTES_MAX, of the local one's family */
	struct address remotes[REMOTES_MAX];
};

/* 0 and the port's id, or -errno: -EADDRINUSE, -EADDRNOTAVAIL. */
int vxlan_open(struct net *net, const struct vxlan_config *config,
	       uint32_t *id);

#endif
