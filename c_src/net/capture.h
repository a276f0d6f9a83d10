/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture - frames that pass ports, as a pcapng file.
 *
 *   netport_input(), netport_transmit() ── recording ── ring ── writer
 *
 * A capture of all ports has each frame once, where it came in, and none that
 * the BEAM made; one of a port has what came in and what went out there. That
 * is recorded where the port's counters rx_frames and tx_frames count it, so
 * that written and dropped together are what the counters say. A frame that a
 * guest has left its receiver to complete (frame.h) is recorded as it passed
 * the port.
 *
 * Nothing waits for the writer: a frame that finds the ring full is not
 * recorded, and counted. What is on is a tap at a port for each capture of it;
 * a port without taps pays for a look at a list's head.
 *
 * A capture ends when it is told to, with its port, with evum_net, and with an
 * error of its file. Of the ones that ended by themselves the last few are
 * remembered, until somebody asks.
 */
#ifndef EVUM_NET_CAPTURE_H
#define EVUM_NET_CAPTURE_H

#include <stdint.h>
#include <sys/queue.h>

#include "capture_writer.h"
#include "recording.h"

/* At once; each has a ring, and each copies. */
#define CAPTURES_MAX 16
/* Ended by themselves, and not asked for yet; the oldest is forgotten. */
#define CAPTURES_ENDED_MAX 64
/* At the end of evum_net writers are waited for so long, ms. */
#define CAPTURE_CLOSE_MS 1000

struct net;
struct net_port;
struct capture;
LIST_HEAD(capture_list, capture);

struct capture_options {
	uint32_t port;	  /* 0: all */
	uint32_t snaplen; /* bytes of a frame */
	char *filter;	  /* empty: all */
	struct writer_target target;
};

struct capture_result {
	int err; /* why it ended, or 0 */
	uint64_t written, dropped;
};

/*
 * Begin. 0, and the request is answered once the file is open; -ENOENT without
 * that port; -EINVAL, and in error what libpcap says; or another -errno.
 */
int capture_start(struct net *net, uint64_t request,
		  const struct capture_options *options, char **error);
/* End one: the request is answered once all is written. 0 or -ENOENT. */
int capture_stop(struct net *net, uint64_t request, uint32_t id);
/* Write all out, and wait for that, within CAPTURE_CLOSE_MS. */
void captures_close(struct net *net);

/* Each capture, in the order of the list: those that run, and have ended. */
void captures_visit(struct net *net,
		    void (*visit)(void *arg, uint32_t id, bool running,
				  const struct capture_result *result),
		    void *arg);

/* For net: a port has come, or is going. */
void captures_port_up(struct net_port *port);
void captures_port_down(struct net_port *port);

#endif
