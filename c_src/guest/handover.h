/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handover - interfaces of the transport `fd': a socketpair, of which the
 * guest's kernel inherits one end, and the switch is sent the other. So the
 * guest knows no path to the switch.
 *
 *   evum_guest  handover_connect()  while the paths of the host are in reach
 *   keeper      passes the connections on, at HANDOVER_FD and up
 *   guest       handover_pair()     before exec: the pair is made by the
 * process that the switch is to see behind its port
 */
#ifndef EVUM_HANDOVER_H
#define EVUM_HANDOVER_H

#include "start.h"

/*
 * The descriptor of the first interface, in the guest; evum_machine puts it
 * on the kernel's command line.
 */
#define HANDOVER_FD 6

struct handover {
	int fds[START_SOCKETS_MAX]; /* connections to switches */
	int n;
};

/* Connect to all that the request names. 0 or -errno, and nothing is open. */
int handover_connect(struct handover *handover, const struct start *start);
void handover_close(struct handover *handover);

/*
 * Make a pair, send one end over the connection fd, and have the other one
 * take its place, for exec to inherit. 0 or -errno.
 */
int handover_pair(int fd);

#endif
