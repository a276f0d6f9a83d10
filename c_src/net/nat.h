/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat - what the parts of the port that leads out (port_nat.h) share: its
 * frames and its life are in port_nat.c, what libslirp wants of its host,
 * descriptors watched and timers, in nat_host.c, forwards in nat_forwards.c.
 * What libslirp may open is bounded by nat_limit.h, which knows of none of
 * them.
 */
#ifndef EVUM_NET_NAT_H
#define EVUM_NET_NAT_H

#include <slirp/libslirp.h>
#include <sys/queue.h>

#include "nat_limit.h"
#include "net.h"
#include "port_nat.h"

struct nat_fd;
struct nat_forward;

struct nat {
	struct net_port port;
	struct loop_garbage garbage;
	struct loop_task round;
	struct loop_timer timeout; /* until a round is due in any case */
	uint64_t rounds;
	struct nat_config config;
	struct nat_limit limit;
	Slirp *slirp;
	/* nat_host.c */
	struct nat_fd **fds; /* by descriptor */
	int n_fds;
	LIST_HEAD(, nat_fd) known;
	struct buf arriving, delivering;
	LIST_HEAD(, nat_forward) forwards; /* nat_forwards.c */
	unsigned int n_forwards;
	/* libslirp keeps pointers to these. */
	struct sockaddr_in bind4;
	struct sockaddr_in6 bind6;
};

/* Have a round done in the next turn of the loop. */
void nat_wake(struct nat *nat);

/* --- nat_host.c: callbacks of libslirp's, whose last argument is the nat ---
 */

void nat_host_opened(int fd, void *nat);
void nat_host_closes(int fd, void *nat);
void *nat_host_timer_new(SlirpTimerCb expired, void *arg, void *nat);
void nat_host_timer_free(void *timer, void *nat);
void nat_host_timer_mod(void *timer, int64_t due_ms, void *nat);
int64_t nat_host_clock_ns(void *nat);

/* Tell libslirp what has happened to its descriptors: it does its work. */
void nat_host_tell(struct nat *nat);
/* Watch the descriptors that it waits for now, and no others. */
void nat_host_watch(struct nat *nat);
void nat_host_unwatch(struct nat *nat);
void nat_host_free(struct nat *nat);

/* --- nat_forwards.c ------------------------------------------------------- */

void nat_forwards_free(struct nat *nat);

#endif
