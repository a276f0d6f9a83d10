/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy - what a port is set to beyond up and isolated. Most are set to
 * nothing, and have none: net_port.policy is NULL then, which is all that it
 * costs them.
 */
#ifndef EVUM_NET_POLICY_H
#define EVUM_NET_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "vlan.h"

struct net_port;

struct policy {
	struct vlan_set vlans;
};

/* A copy of it is the port's from now on. 0 or -ENOMEM. */
int policy_set(struct net_port *port, const struct policy *policy);
void policy_free(struct net_port *port);

/* Is each frame of the port of a VLAN? */
bool policy_has_vlans(const struct net_port *port);
/* Send the frame of the forms in that which the port wants. */
void policy_send(struct net_port *port, struct vlan_forms *forms);

#endif
