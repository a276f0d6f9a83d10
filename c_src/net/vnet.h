/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vnet - the header in front of a frame with which the host's kernel says, and
 * is told, what is left to be done for it: a struct virtio_net_hdr in the
 * host's byte order, as taps have it (IFF_VNET_HDR) and packet sockets
 * (PACKET_VNET_HDR).
 */
#ifndef EVUM_NET_VNET_H
#define EVUM_NET_VNET_H

#include <linux/virtio_net.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "frame.h"

#define VNET_HEADER sizeof(struct virtio_net_hdr)
/*
 * Pieces of a frame that is sent from where they are. A driver has some 20 of
 * them for the largest frame.
 */
#define VNET_PIECES_MAX 64u
#define VNET_IOV_MAX (VNET_PIECES_MAX + 2)

struct frame_offload vnet_offload(const struct virtio_net_hdr *header);
struct virtio_net_hdr vnet_header(const struct frame_offload *offload);

/*
 * The frame in len bytes of the kernel's: 0, or -EBADMSG where they are too
 * few. What the header says is not checked against the frame.
 */
int vnet_parse(const uint8_t *bytes, size_t len, struct frame *frame);

/*
 * Header and frame as they are to be sent. How many entries of iov, or
 * -EMSGSIZE with too many pieces.
 */
int vnet_gather(const struct frame *frame, struct virtio_net_hdr *header,
		struct iovec iov[VNET_IOV_MAX]);

#endif
