/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include <errno.h>
#include <stdlib.h>

#include "net.h"
#include "offload.h"

int policy_set(struct net_port *port, const struct policy *policy)
{
	if (!policy->vlans.aware && !policy->mtu && !policy->mirror) {
		policy_free(port);
		return 0;
	}
	if (!port->policy)
		port->policy = malloc(sizeof(*policy));
	if (!port->policy)
		return -ENOMEM;
	*port->policy = *policy;
	return 0;
}

void policy_free(struct net_port *port)
{
	free(port->policy);
	port->policy = NULL;
}

static bool fits(const struct net_port *port, const struct frame *frame)
{
	return !port->policy->mtu ||
	       offload_payload(frame) <= port->policy->mtu;
}

static void mirror(struct net_port *port, const struct frame *frame)
{
	struct net_port *to;

	/* The port may have gone over the frame, and its policy with it. */
	if (!port->policy || !port->policy->mirror)
		return;
	to = net_port_by_id(port->net, port->policy->mirror);
	if (to)
		netport_mirror(to, frame);
}

enum forward_verdict policy_input(struct net_port *port,
				  const struct frame *frame, bool may_go_up)
{
	enum forward_verdict verdict = FORWARD_TAKEN;

	if (fits(port, frame))
		verdict = forward_frame(port->net, port, frame, may_go_up);
	else
		port->counters[NETPORT_RX_MTU]++;
	/* One that waits comes again. */
	if (verdict == FORWARD_TAKEN)
		mirror(port, frame);
	return verdict;
}

bool policy_output(struct net_port *port, const struct frame *frame)
{
	if (!fits(port, frame)) {
		port->counters[NETPORT_TX_MTU]++;
		return false;
	}
	mirror(port, frame);
	return true;
}

void policy_send(struct net_port *port, struct vlan_forms *forms)
{
	bool tagged = port->policy &&
		      vlan_is_tagged(&port->policy->vlans, forms->tci);
	const struct frame *frame = vlan_form(forms, tagged);

	if (frame)
		netport_send(port, frame);
	else
		port->counters[NETPORT_TX_MTU]++;
}
