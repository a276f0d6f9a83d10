/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtq - the device's side of a split virtqueue (virtio 1.2, 2.7) in the
 * memory of a hostile guest.
 *
 *   guest   puts buffers into the descriptor table, their heads into `avail'
 *   we      virtq_next()     take the next one, as iovecs of our pointers
 *           virtq_put()      say that we are done with it
 *           virtq_publish()  show the guest all that was put: one barrier a
 *                            burst
 *
 * A chain comes as iovecs in the caller's array: first what the guest wrote
 * for us, then what we may write into. Each of them lies in the guest's memory
 * as a whole. A chain has at most as many descriptors as the queue, those of an
 * INDIRECT table included, so that one which loops ends there; readable parts
 * come before writable ones; its bytes sum up to 32 bits. Each descriptor is
 * read once and then checked. At most as many chains as the queue has entries
 * are taken and not done with. A guest that breaks a rule gets -EBADMSG (or
 * -EFAULT, for an address to nowhere) and the caller ends the device.
 *
 * Both sides tell the other not to wake them: by flags, or with EVENT_IDX by
 * the index at which to. While kicks are off, the ring is to be looked at by
 * other means; virtq_kicks_on() says whether something has come in between,
 * and must be heeded, or it waits for ever.
 */
#ifndef EVUM_VIRTQ_H
#define EVUM_VIRTQ_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "guestmem.h"

/* The longest queue, descriptors (UML's are 256), and so the longest chain. */
#define VIRTQ_NUM_MAX 1024
#define VIRTQ_CHAIN_MAX VIRTQ_NUM_MAX

struct virtq {
	const struct guestmem *mem;
	uint16_t num; /* a power of two; 0: not running */
	bool event_idx, indirect;
	bool kicks_off;
	uint16_t taken; /* index of the next chain in avail */
	uint16_t seen;	/* avail->idx as it was last read */
	uint16_t put;	/* index of the next entry in used */
	uint16_t shown; /* used->idx as the guest sees it */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
};

struct virtq_chain {
	uint16_t head;
	unsigned int n_out, n_in; /* iovecs to read from, then to write to */
	uint32_t out_len, in_len; /* their bytes */
	struct iovec *out, *in;
};

/* Where the three parts of a ring are, as the front end sees addresses. */
struct virtq_addr {
	uint64_t desc, avail, used;
};

/*
 * Run a ring of num entries from index base on, with the ring features (bits
 * of VIRTIO_RING_F_*) that were agreed upon. 0, or -EINVAL for a size that is
 * none, -EFAULT for addresses to nowhere or not aligned.
 */
int virtq_start(struct virtq *ring, const struct guestmem *mem, uint16_t num,
		uint16_t base, uint64_t features,
		const struct virtq_addr *addr);
/* It is no longer looked at. The index to go on from is `taken'. */
void virtq_stop(struct virtq *ring);
static inline bool virtq_running(const struct virtq *ring)
{
	return ring->num != 0;
}

/* How many chains wait; looks at the guest's index. Or -EBADMSG. */
int virtq_waiting(struct virtq *ring);
/*
 * Take the next chain; iov has room for VIRTQ_CHAIN_MAX. 1, 0 where none
 * waits, -EBADMSG, -EFAULT.
 */
int virtq_next(struct virtq *ring, struct virtq_chain *chain,
	       struct iovec *iov);
/* Give the last n chains back, unused: they come again. */
void virtq_rewind(struct virtq *ring, uint16_t n);
/*
 * Done with a chain that was taken; len bytes were written, from the start of
 * its writable part. Chains may come back in any order.
 */
void virtq_put(struct virtq *ring, uint16_t head, uint32_t len);
/* Show what was put. True where the guest wants to be woken for it. */
bool virtq_publish(struct virtq *ring);

void virtq_kicks_off(struct virtq *ring);
/*
 * Ask for a kick when more comes than was seen here before. True: it has come
 * already, and will not be kicked for.
 */
bool virtq_kicks_on(struct virtq *ring);

#endif
