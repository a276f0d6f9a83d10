/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridges - the requests of the BEAM that join the switch with another
 * Ethernet, taken apart and answered: {ok, PortId}, or {error, {Step, Errno}}.
 * doc/port-protocol.md lists them; requests.c calls these.
 */
#ifndef EVUM_NET_BRIDGES_H
#define EVUM_NET_BRIDGES_H

#include "term.h"

struct net;

/* All return 0, or -EBADMSG where the argument is none. */
/* {Interface, Mtu} */
int bridges_tap(struct net *net, uint64_t id, struct term_reader *r,
		ei_x_buff *x);
/* {Interface, Filter}; {error, {bpf, Text}} where that does not compile */
int bridges_pcap(struct net *net, uint64_t id, struct term_reader *r,
		 ei_x_buff *x);
/* {Vni, Local, Remotes} */
int bridges_vxlan(struct net *net, uint64_t id, struct term_reader *r,
		  ei_x_buff *x);

#endif
