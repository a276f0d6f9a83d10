/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy - what a port is set to beyond up and isolated. Most are set to
 * nothing, and have none: net_port.policy is NULL then, which is all that it
 * costs them.
 *
 * A mirror gets what comes in, dropped or not, and what goes out, as it is on
 * the wire of its port. What a mirror gets is not mirrored again.
 */
#ifndef EVUM_NET_POLICY_H
#define EVUM_NET_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "forward.h"
#include "frame.h"
#include "vlan.h"

struct net_port;

struct policy {
	struct vlan_set vlans;
	uint32_t mtu;	 /* bytes (offload_payload()), or 0 */
	uint32_t mirror; /* the id of the port that gets copies, or 0 */
};

/* A copy of it is the port's from now on. 0 or -ENOMEM. */
int policy_set(struct net_port *port, const struct policy *policy);
void policy_free(struct net_port *port);

/* Is each frame of a port with that policy, if any, of a VLAN? */
static inline bool policy_has_vlans(const struct policy *policy)
{
	return policy && policy->vlans.aware;
}
/* What is to be done of the port's policy before and after forward_frame(). */
enum forward_verdict policy_input(struct net_port *port,
				  const struct frame *frame, bool may_go_up);
/* May the frame go out there? */
bool policy_output(struct net_port *port, const struct frame *frame);
/* Send the frame of the forms in that which the port wants. */
void policy_send(struct net_port *port, struct vlan_forms *forms);

#endif
