/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame - an Ethernet frame on its way through evum_net, as a descriptor: the
 * bytes stay where they were received.
 *
 * A guest with virtio-net may leave work to whoever receives its frame: the
 * checksum, or cutting what is larger than the MTU into segments. What is left
 * is told by the offload header, with virtio's meanings (virtio 1.2, 5.1.6),
 * in host byte order. All zero, which is what every other kind of port
 * receives, means a frame that is complete.
 *
 * Who passes a frame on says how long its bytes last; see netport.h.
 */
#ifndef EVUM_NET_FRAME_H
#define EVUM_NET_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#define FRAME_MIN 14 /* an Ethernet header */
#define FRAME_MAX 65535

#define FRAME_NEEDS_CSUM 1 /* VIRTIO_NET_HDR_F_NEEDS_CSUM */

struct frame_offload {
	uint8_t flags;
	uint8_t gso_type;  /* VIRTIO_NET_HDR_GSO_*, 0: of one piece */
	uint16_t hdr_len;  /* headers that each segment repeats, bytes */
	uint16_t gso_size; /* payload of a segment, bytes */
	uint16_t csum_start, csum_offset;
};

struct frame {
	const uint8_t *bytes;
	uint32_t len;
	struct frame_offload offload;
};

/* Is something left to be done before anybody may have it? */
static inline bool frame_is_partial(const struct frame *frame)
{
	return frame->offload.flags & FRAME_NEEDS_CSUM ||
	       frame->offload.gso_type;
}

#endif
