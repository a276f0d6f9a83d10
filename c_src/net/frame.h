/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame - an Ethernet frame on its way through evum_net, as a descriptor: the
 * bytes stay where they were received.
 *
 * They are in one piece, but for a long frame of a guest with shared memory,
 * which would have to be copied for that: its first FRAME_HEAD bytes at least,
 * so all headers, are in `bytes', where the guest cannot change them any more,
 * and the rest is in pieces of the guest's memory, where it can. Look only at
 * the head (frame_head() is its length); copy with frame_copy(). What a port
 * of another kind is given to send, and what goes up, is in one piece.
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
#include <string.h>
#include <sys/uio.h>

#define FRAME_MIN 14 /* an Ethernet header */
#define FRAME_MAX 65535

/* Of 802.1Q, behind the addresses, bytes. */
#define FRAME_TAG 4

/* No headers that anybody looks into are longer, bytes. */
#define FRAME_HEAD 256

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
	uint32_t len; /* of all of it */
	uint32_t rest_len;
	const struct iovec *rest; /* behind `bytes': rest_len bytes of it */
	unsigned int n_rest;
	struct frame_offload offload;
};

/* How much of it is in `bytes'. */
static inline uint32_t frame_head(const struct frame *frame)
{
	return frame->len - frame->rest_len;
}

/* Copy all of it to at. */
static inline void frame_copy(const struct frame *frame, uint8_t *at)
{
	memcpy(at, frame->bytes, frame_head(frame));
	at += frame_head(frame);
	for (unsigned int i = 0; i < frame->n_rest; i++) {
		memcpy(at, frame->rest[i].iov_base, frame->rest[i].iov_len);
		at += frame->rest[i].iov_len;
	}
}

/* Is something left to be done before anybody may have it? */
static inline bool frame_is_partial(const struct frame *frame)
{
	return frame->offload.flags & FRAME_NEEDS_CSUM ||
	       frame->offload.gso_type;
}

#endif
