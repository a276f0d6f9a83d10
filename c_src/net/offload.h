/* SPDX-License-Identifier: Apache-2.0 */
/*
 * offload - does in software what a guest left to the receiver of its frame:
 * completes the checksum, or cuts what is larger than the MTU into segments.
 *
 * Pure functions on bytes. The offload header is the guest's, so hostile:
 * offload_check() says whether it fits the frame, and the others are for
 * frames that passed it. It looks at the head of a frame only (see frame.h),
 * which the guest cannot change in between.
 *
 * TCP and UDP over IPv4 and IPv6 is cut, behind any VLAN tags, as a network
 * card would do it: each segment repeats the headers, with its own lengths,
 * IPv4 ids that count up, sequence numbers and checksums; FIN and PSH are on
 * the last one only, CWR is on the first only.
 */
#ifndef EVUM_NET_OFFLOAD_H
#define EVUM_NET_OFFLOAD_H

#include <stdint.h>

#include "frame.h"

/*
 * The smallest payload of a segment, bytes: what Linux has as its least MSS.
 * It bounds into how many segments one frame is cut.
 */
#define OFFLOAD_GSO_SIZE_MIN 48

/*
 * VIRTIO_NET_HDR_GSO_UDP_L4, which headers before Linux 6.2 lack: a datagram
 * for each segment. No guest is offered it, but the host's kernel has it.
 */
#define OFFLOAD_GSO_UDP_L4 5

struct offload_cut {
	const struct frame *frame;
	const uint8_t *whole; /* all of the frame, where it is to be cut */
	unsigned int segments, next;
	uint32_t headers; /* bytes that each segment repeats */
	uint32_t network; /* where the IP header is */
	uint32_t done;	  /* bytes of payload so far */
};

/* 0, or -EBADMSG where the header makes no sense with that frame. */
int offload_check(const struct frame *frame);
/* Segments that the frame becomes; 1 for all but those to be cut. */
unsigned int offload_segments(const struct frame *frame);

/*
 * The most that a frame, or one of its segments, carries behind the Ethernet
 * header and VLAN tags, bytes: what a MTU is compared with.
 */
uint32_t offload_payload(const struct frame *frame);

/*
 * Complete a frame: room has space for FRAME_MAX bytes, and both last until
 * the last segment was taken.
 */
void offload_begin(struct offload_cut *cut, const struct frame *frame,
		   uint8_t *room);
/*
 * Write the next frame to at, complete and in one piece: at most the headers
 * and a segment's payload, or the length of the frame where it is not cut.
 * Returns its length, 0 when there are no more.
 */
uint32_t offload_next(struct offload_cut *cut, uint8_t *at);

/*
 * Write to at a frame that is to be cut as one that is not: with its lengths
 * and checksums, for who takes a packet above the MTU. As long as the frame.
 */
void offload_whole(const struct frame *frame, uint8_t *at);

#endif
