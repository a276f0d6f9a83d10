/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports - requests of the BEAM that make ports, listeners, and end them; for
 * requests.c, whose handlers these are.
 */
#ifndef EVUM_NET_PORTS_H
#define EVUM_NET_PORTS_H

#include <ei.h>
#include <stdint.h>

#include "term.h"

struct net;

/* {listen, {Path, OwnDir}} */
int ports_listen(struct net *net, uint64_t id, struct term_reader *r,
		 ei_x_buff *x);
/* {listen_stream, {Address, Trunk}}: {ok, {Id, TcpPort}} */
int ports_listen_stream(struct net *net, uint64_t id, struct term_reader *r,
			ei_x_buff *x);
/* {unlisten, Id} */
int ports_unlisten(struct net *net, uint64_t id, struct term_reader *r,
		   ei_x_buff *x);
/* {connect_stream, {Address, Trunk}} */
int ports_connect_stream(struct net *net, uint64_t id, struct term_reader *r,
			 ei_x_buff *x);
/* {connect_dgram, {Local, Peer}} */
int ports_connect_dgram(struct net *net, uint64_t id, struct term_reader *r,
			ei_x_buff *x);
/* {close, PortId} */
int ports_close(struct net *net, uint64_t id, struct term_reader *r,
		ei_x_buff *x);

#endif
