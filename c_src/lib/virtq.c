/* SPDX-License-Identifier: Apache-2.0 */
#include "virtq.h"

#include <errno.h>
#include <string.h>

/* The guest writes at any time: each of these reads or writes once. */
#define READ(at, order) __atomic_load_n(at, __ATOMIC_##order)
#define WRITE(at, value, order) __atomic_store_n(at, value, __ATOMIC_##order)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "virtio 1 is little-endian, and this is read as it is");

static void *part(const struct guestmem *mem, uint64_t addr, size_t len,
		  size_t align)
{
	void *at = guestmem_user(mem, addr, len);

	return at && (uintptr_t)at % align == 0 ? at : NULL;
}

/* Behind the entries of avail and used is an index for EVENT_IDX. */
static uint16_t *used_event(const struct virtq *ring)
{
	return &ring->avail->ring[ring->num];
}

static uint16_t *avail_event(const struct virtq *ring)
{
	return (uint16_t *)(void *)&ring->used->ring[ring->num];
}

int virtq_start(struct virtq *ring, const struct guestmem *mem, uint16_t num,
		uint16_t base, uint64_t features, const struct virtq_addr *addr)
{
	if (!num || num > VIRTQ_NUM_MAX || num & (num - 1))
		return -EINVAL;
	*ring = (struct virtq){
		.mem = mem,
		.event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1,
		.indirect = features >> VIRTIO_RING_F_INDIRECT_DESC & 1,
		.taken = base,
		.seen = base,
		.desc = part(mem, addr->desc, num * sizeof(*ring->desc),
			     VRING_DESC_ALIGN_SIZE),
		.avail = part(mem, addr->avail,
			      sizeof(*ring->avail) +
				      (num + 1u) * sizeof(uint16_t),
			      VRING_AVAIL_ALIGN_SIZE),
		.used = part(mem, addr->used,
			     sizeof(*ring->used) +
				     num * sizeof(struct vring_used_elem) +
				     sizeof(uint16_t),
			     VRING_USED_ALIGN_SIZE),
	};
	if (!ring->desc || !ring->avail || !ring->used)
		return -EFAULT;
	ring->num = num;
	/* What the guest has seen of ours before, where it goes on from. */
	ring->put = ring->shown = READ(&ring->used->idx, RELAXED);
	return 0;
}

void virtq_stop(struct virtq *ring)
{
	ring->num = 0;
}

int virtq_waiting(struct virtq *ring)
{
	/* Pairs with the guest's barrier between the entries and the index. */
	uint16_t idx = READ(&ring->avail->idx, ACQUIRE);
	uint16_t waiting = (uint16_t)(idx - ring->taken);

	/* Nor may it offer again what it has not had back. */
	if (waiting > ring->num || (uint16_t)(idx - ring->put) > ring->num)
		return -EBADMSG;
	ring->seen = idx;
	return waiting;
}

/* A table of descriptors: the ring's own, or an INDIRECT one. */
struct table {
	const struct vring_desc *desc;
	unsigned int len;
};

static struct vring_desc desc_read(const struct vring_desc *at)
{
	return (struct vring_desc){
		.addr = READ(&at->addr, RELAXED),
		.len = READ(&at->len, RELAXED),
		.flags = READ(&at->flags, RELAXED),
		.next = READ(&at->next, RELAXED),
	};
}

/* The table that an INDIRECT descriptor points to. */
static int table_open(const struct virtq *ring, const struct vring_desc *desc,
		      struct table *table)
{
	if (!ring->indirect || desc->flags & VRING_DESC_F_NEXT || !desc->len ||
	    desc->len % sizeof(*table->desc))
		return -EBADMSG;
	table->len = desc->len / (unsigned int)sizeof(*table->desc);
	table->desc = guestmem_at(ring->mem, desc->addr, desc->len);
	if (!table->desc ||
	    (uintptr_t)table->desc % _Alignof(struct vring_desc))
		return -EFAULT;
	return 0;
}

/* Enter what one descriptor points to behind what is there already. */
static int chain_add(const struct virtq *ring, struct virtq_chain *chain,
		     struct iovec *iov, const struct vring_desc *desc)
{
	bool in = desc->flags & VRING_DESC_F_WRITE;
	uint32_t *total = in ? &chain->in_len : &chain->out_len;
	void *at = guestmem_at(ring->mem, desc->addr, desc->len);

	if (chain->n_out + chain->n_in == ring->num || (!in && chain->n_in))
		return -EBADMSG;
	if (!at)
		return -EFAULT;
	if (desc->len > UINT32_MAX - *total)
		return -EBADMSG;
	*total += desc->len;
	iov[chain->n_out + chain->n_in] = (struct iovec){at, desc->len};
	if (in)
		chain->n_in++;
	else
		chain->n_out++;
	return 0;
}

/* Ends: each turn adds one of at most num, or goes indirect, once. */
static int chain_walk(const struct virtq *ring, struct virtq_chain *chain,
		      struct iovec *iov)
{
	struct table table = {.desc = ring->desc, .len = ring->num};
	unsigned int at = chain->head;
	bool indirect = false;

	for (;;) {
		struct vring_desc desc;
		int err;

		if (at >= table.len)
			return -EBADMSG;
		desc = desc_read(&table.desc[at]);
		at = desc.next;
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			/* Not within another, and the last of its chain. */
			err = indirect ? -EBADMSG
				       : table_open(ring, &desc, &table);
			if (err)
				return err;
			indirect = true;
			at = 0;
			continue;
		}
		err = chain_add(ring, chain, iov, &desc);
		if (err || !(desc.flags & VRING_DESC_F_NEXT))
			return err;
	}
}

int virtq_next(struct virtq *ring, struct virtq_chain *chain, struct iovec *iov)
{
	int err;

	if (ring->seen == ring->taken) {
		err = virtq_waiting(ring);
		if (err <= 0)
			return err;
	}
	*chain = (struct virtq_chain){
		.head = READ(&ring->avail->ring[ring->taken & (ring->num - 1)],
			     RELAXED),
		.out = iov,
	};
	err = chain_walk(ring, chain, iov);
	if (err)
		return err;
	chain->in = iov + chain->n_out;
	ring->taken++;
	return 1;
}

void virtq_rewind(struct virtq *ring, uint16_t n)
{
	ring->taken = (uint16_t)(ring->taken - n);
}

void virtq_put(struct virtq *ring, uint16_t head, uint32_t len)
{
	struct vring_used_elem *elem =
		&ring->used->ring[ring->put & (ring->num - 1)];

	WRITE(&elem->id, head, RELAXED);
	WRITE(&elem->len, len, RELAXED);
	ring->put++;
}

bool virtq_publish(struct virtq *ring)
{
	uint16_t from = ring->shown, event;

	if (ring->put == from)
		return false;
	ring->shown = ring->put;
	/* Pairs with the guest's barrier behind its read of the index. */
	WRITE(&ring->used->idx, ring->shown, RELEASE);
	/* The index first, then the wish, as the guest does the opposite. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!ring->event_idx)
		return !(READ(&ring->avail->flags, RELAXED) &
			 VRING_AVAIL_F_NO_INTERRUPT);
	event = READ(used_event(ring), RELAXED);
	return vring_need_event(event, ring->shown, from);
}

void virtq_kicks_off(struct virtq *ring)
{
	ring->kicks_off = true;
	/* With EVENT_IDX it is enough not to ask again. */
	if (!ring->event_idx)
		WRITE(&ring->used->flags, VRING_USED_F_NO_NOTIFY, RELAXED);
}

bool virtq_kicks_on(struct virtq *ring)
{
	ring->kicks_off = false;
	if (ring->event_idx)
		WRITE(avail_event(ring), ring->seen, RELAXED);
	else
		WRITE(&ring->used->flags, 0, RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return READ(&ring->avail->idx, RELAXED) != ring->seen;
}
