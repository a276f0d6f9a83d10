/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_tap - a port behind which is the host's kernel: a tap, an interface of
 * the host whose cable ends here. What is left to be done for a frame (vnet.h)
 * passes both ways, so that neither side cuts or sums what the other can take.
 *
 * A tap that is there already is used, and stays; one that is not is made, set
 * up, and goes with the port. If the interface is removed, so is the port.
 */
#ifndef EVUM_NET_PORT_TAP_H
#define EVUM_NET_PORT_TAP_H

#include <stdint.h>

struct net;

struct tap_config {
	const char *name;
	uint32_t mtu; /* 0: as it is */
};

/*
 * 0 and the port's id, or -errno and what failed: `device' (/dev/net/tun),
 * `interface', `mtu'.
 */
int tap_open(struct net *net, const struct tap_config *config, uint32_t *id,
	     const char **step);

#endif
