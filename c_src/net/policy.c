/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include <errno.h>
#include <stdlib.h>

#include "netport.h"

int policy_set(struct net_port *port, const struct policy *policy)
{
	if (!policy->vlans.aware) {
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

bool policy_has_vlans(const struct net_port *port)
{
	return port->policy && port->policy->vlans.aware;
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
