/* SPDX-License-Identifier: Apache-2.0 */
/*
 * burst - many frames of one packet socket in one system call.
 *
 * The memory is allocated once and shared by all ports. Bursts gather in it:
 * what burst_receive() has filled lasts until burst_restart(), whereas the
 * first BURST_FRAMES slots are for kinds of ports that receive in another way,
 * and last until the next burst. A slot is one byte larger than the largest
 * frame, which is how a frame that is too large shows.
 */
#ifndef EVUM_NET_BURST_H
#define EVUM_NET_BURST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "frame.h"

#define BURST_FRAMES 64
/* Those for one burst of another kind, and those for bursts that gather. */
#define BURST_SLOTS (BURST_FRAMES + 4 * BURST_FRAMES)
/* In front of each slot: for what comes in front of a frame, bytes. */
#define BURST_HEADROOM 64

struct burst {
	struct mmsghdr rx[BURST_SLOTS], tx[BURST_FRAMES];
	struct iovec slots[BURST_SLOTS], out[BURST_FRAMES];
	struct frame frames[BURST_FRAMES]; /* those received */
	uint8_t *memory;
	unsigned int next;  /* slot of those that gather */
	unsigned int count; /* frames received */
	bool gathers;	    /* and they last until burst_restart() */
	bool more;	    /* and there are more, read already */
	bool ended;	    /* and behind them nothing will ever come */
};

/* 0 or -ENOMEM. */
int burst_init(struct burst *burst);
void burst_free(struct burst *burst);

/* Is there no room to receive one more burst? */
bool burst_is_full(const struct burst *burst);
/* Nobody needs any more what was received. */
void burst_restart(struct burst *burst);

/*
 * Fill the burst from fd, which must not be full. 0 or -errno, -EAGAIN when
 * nothing waits. A frame's length is above FRAME_MAX whatever exactly the peer
 * sent beyond it.
 */
int burst_receive(struct burst *burst, int fd);

/*
 * Send up to BURST_FRAMES frames to the peer that fd is connected to. How many
 * went, at least one, or the -errno of the first.
 */
int burst_send(struct burst *burst, int fd, const struct frame *frames,
	       unsigned int n);

#endif
