/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recording - what of the frames that pass ports gets into the ring of a
 * capture's writer, as blocks of pcapng, and how many do not.
 *
 * It listens at ports by taps. Each port that it has had a tap at is an
 * interface of the file, described at the beginning or in front of the port's
 * first frame. Who makes recordings, and for how long, see capture.h.
 */
#ifndef EVUM_NET_RECORDING_H
#define EVUM_NET_RECORDING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "capture_writer.h"
#include "filter.h"
#include "frame.h"
#include "loop.h"
#include "pcapng.h"

/* Ports that come and go in one capture. Frames of further ones are dropped. */
#define CAPTURE_INTERFACES_MAX 65536u
/* Bytes that are worth waking the writer for, and how long fewer wait, ms. */
#define CAPTURE_LOT ((size_t)64 << 10)
#define CAPTURE_LOT_MS 10

struct net;
struct net_port;
struct capture_interface;
struct capture_tap;
LIST_HEAD(capture_tap_list, capture_tap);
TAILQ_HEAD(capture_tap_queue, capture_tap);

struct recording {
	struct net *net;
	struct writer *writer;
	uint32_t port; /* 0: all, and then only what comes in */
	uint32_t snaplen;
	bool filtered;
	struct bpf_program filter;
	char *filter_text;
	struct capture_interface *interfaces;
	uint32_t n_interfaces;
	uint64_t recorded, dropped;
	size_t lot; /* bytes that the writer was not told of */
	struct loop_timer lot_timer;
	struct capture_tap_queue taps; /* in the order of their interfaces */
};

/*
 * One whose net, writer, port and snaplen are set. 0, -ENOMEM, or -EINVAL and
 * in error what libpcap says of the filter.
 */
int recording_init(struct recording *recording, const char *filter,
		   char **error);
/* 0 or -ENOMEM. */
int recording_tap(struct recording *recording, struct net_port *port);
/* The beginning of the file, with the ports that are tapped. 0 or -ENOMEM. */
int recording_begin(struct recording *recording, struct buf *prologue);
/* Listen no more; the end of the file goes to the writer. */
void recording_end(struct recording *recording);
/* Its writer gets no more. */
void recording_free(struct recording *recording);

/* The recording of a port's first tap, or NULL; and an end of that tap. */
struct recording *recording_of(const struct net_port *port);
void recording_untap_first(struct net_port *port);

/* For netport: a frame has passed. */
void capture_frame(struct net_port *port, uint32_t direction,
		   const struct frame *frame);

#endif
