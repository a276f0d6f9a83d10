/* SPDX-License-Identifier: Apache-2.0 */
#include "virtq.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

#define MEM (1u << 20)
#define BASE UINT64_C(0x40000)
#define NUM 8
#define DESC 0
#define AVAIL 4096
#define USED 8192
#define TABLE 12288 /* of an INDIRECT descriptor */
#define DATA 65536

#define INDIRECT (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT_IDX (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

struct rig {
	struct guestmem mem;
	struct virtq ring;
	struct virtq_chain chain;
	struct iovec iov[VIRTQ_CHAIN_MAX];
	uint8_t *at; /* the guest's view of its memory */
	struct vring_desc *desc, *table;
	struct vring_avail *avail;
	struct vring_used *used;
	int fd;
};

static struct rig rig;

static int start(uint64_t features)
{
	struct virtq_addr addr = {BASE + DESC, BASE + AVAIL, BASE + USED};

	return virtq_start(&rig.ring, &rig.mem, NUM, 0, features, &addr);
}

static void rig_open(uint64_t features)
{
	memset(&rig, 0, sizeof(rig));
	rig.fd = memfd_create("guest", MFD_CLOEXEC);
	CHECK(!ftruncate(rig.fd, MEM));
	CHECK(!guestmem_add(&rig.mem, rig.fd, BASE, MEM, BASE, 0));
	rig.at = guestmem_at(&rig.mem, BASE, MEM);
	rig.desc = (void *)(rig.at + DESC);
	rig.avail = (void *)(rig.at + AVAIL);
	rig.used = (void *)(rig.at + USED);
	rig.table = (void *)(rig.at + TABLE);
	CHECK(!start(features));
}

static void rig_close(void)
{
	guestmem_clear(&rig.mem);
	close(rig.fd);
}

static void put(struct vring_desc *table, unsigned int i, uint64_t addr,
		uint32_t len, uint16_t flags, uint16_t next)
{
	table[i] = (struct vring_desc){addr, len, flags, next};
}

static void offer(uint16_t head)
{
	rig.avail->ring[rig.avail->idx % NUM] = head;
	rig.avail->idx++;
}

static int next(void)
{
	return virtq_next(&rig.ring, &rig.chain, rig.iov);
}

/* Offer one chain and say what becomes of it. */
static int offered(uint16_t head)
{
	int result;

	offer(head);
	result = next();
	if (result < 0) { /* as if it had never been */
		rig.ring.taken++;
		rig.ring.put++;
	}
	return result;
}

static void a_chain_comes_as_iovecs(void)
{
	rig_open(0);
	CHECK(next() == 0);
	put(rig.desc, 2, BASE + DATA, 10, VRING_DESC_F_NEXT, 5);
	put(rig.desc, 5, BASE + DATA + 100, 20,
	    VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 0);
	put(rig.desc, 0, BASE + DATA + 200, 30, VRING_DESC_F_WRITE, 9);
	offer(2);
	CHECK(virtq_waiting(&rig.ring) == 1);
	CHECK(next() == 1);
	CHECK(rig.chain.head == 2);
	CHECK(rig.chain.n_out == 1 && rig.chain.out_len == 10);
	CHECK(rig.chain.n_in == 2 && rig.chain.in_len == 50);
	CHECK(rig.chain.out[0].iov_base == rig.at + DATA);
	CHECK(rig.chain.in[0].iov_base == rig.at + DATA + 100);
	CHECK(rig.chain.in[1].iov_len == 30);
	CHECK(next() == 0);
	rig_close();
}

static void an_indirect_table_is_a_chain(void)
{
	rig_open(INDIRECT);
	put(rig.desc, 0, BASE + DATA, 1, VRING_DESC_F_NEXT, 1);
	put(rig.desc, 1, BASE + TABLE, 32, VRING_DESC_F_INDIRECT, 0);
	put(rig.table, 0, BASE + DATA + 8, 2, VRING_DESC_F_NEXT, 1);
	put(rig.table, 1, BASE + DATA + 16, 3, VRING_DESC_F_WRITE, 0);
	CHECK(offered(0) == 1);
	CHECK(rig.chain.n_out == 2 && rig.chain.out_len == 3);
	CHECK(rig.chain.n_in == 1 && rig.chain.in_len == 3);
	rig_close();
}

static void bad_indirect_tables_are_refused(void)
{
	rig_open(INDIRECT);
	put(rig.table, 0, BASE + DATA, 2, 0, 0);
	put(rig.desc, 0, BASE + TABLE, 0, VRING_DESC_F_INDIRECT, 0);
	CHECK(offered(0) == -EBADMSG);
	put(rig.desc, 0, BASE + TABLE, 17, VRING_DESC_F_INDIRECT, 0);
	CHECK(offered(0) == -EBADMSG);
	put(rig.desc, 0, BASE + TABLE, 16,
	    VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
	CHECK(offered(0) == -EBADMSG);
	put(rig.desc, 0, BASE + MEM - 16, 32, VRING_DESC_F_INDIRECT, 0);
	CHECK(offered(0) == -EFAULT);
	put(rig.desc, 0, BASE + TABLE + 4, 16, VRING_DESC_F_INDIRECT, 0);
	CHECK(offered(0) == -EFAULT);
	/* One in another, and one that goes on beyond its end. */
	put(rig.desc, 0, BASE + TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	put(rig.table, 0, BASE + TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	CHECK(offered(0) == -EBADMSG);
	put(rig.table, 0, BASE + DATA, 2, VRING_DESC_F_NEXT, 1);
	CHECK(offered(0) == -EBADMSG);
	rig_close();
	rig_open(0);
	put(rig.desc, 0, BASE + TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	CHECK(offered(0) == -EBADMSG);
	rig_close();
}

static void chains_that_loop_end(void)
{
	rig_open(INDIRECT);
	put(rig.desc, 0, BASE + DATA, 1, VRING_DESC_F_NEXT, 0);
	CHECK(offered(0) == -EBADMSG);
	put(rig.desc, 0, BASE + DATA, 0, VRING_DESC_F_NEXT, 1);
	put(rig.desc, 1, BASE + DATA, 0, VRING_DESC_F_NEXT, 0);
	CHECK(offered(0) == -EBADMSG);
	put(rig.desc, 0, BASE + TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	put(rig.table, 0, BASE + DATA, 1, VRING_DESC_F_NEXT, 0);
	CHECK(offered(0) == -EBADMSG);
	/* As long as the queue: the longest that is allowed. */
	for (uint16_t i = 0; i < NUM; i++)
		put(rig.desc, i, BASE + DATA, 1, VRING_DESC_F_NEXT,
		    (uint16_t)(i + 1));
	rig.desc[NUM - 1].flags = 0;
	CHECK(offered(0) == 1 && rig.chain.n_out == NUM);
	rig_close();
}

static void descriptors_to_nowhere_are_refused(void)
{
	rig_open(0);
	CHECK(offered(NUM) == -EBADMSG);
	CHECK(offered(UINT16_MAX) == -EBADMSG);
	put(rig.desc, 0, BASE + DATA, 1, VRING_DESC_F_NEXT, NUM);
	CHECK(offered(0) == -EBADMSG);
	put(rig.desc, 0, BASE - 1, 1, 0, 0);
	CHECK(offered(0) == -EFAULT);
	put(rig.desc, 0, BASE + MEM - 1, 2, 0, 0);
	CHECK(offered(0) == -EFAULT);
	put(rig.desc, 0, UINT64_MAX, 2, 0, 0);
	CHECK(offered(0) == -EFAULT);
	put(rig.desc, 0, BASE, UINT32_MAX, VRING_DESC_F_WRITE, 0);
	CHECK(offered(0) == -EFAULT);
	/* What is to be read comes first. */
	put(rig.desc, 0, BASE, 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	put(rig.desc, 1, BASE, 1, 0, 0);
	CHECK(offered(0) == -EBADMSG);
	rig_close();
}

static void an_index_that_jumps_is_refused(void)
{
	rig_open(0);
	rig.avail->idx = NUM + 1;
	CHECK(virtq_waiting(&rig.ring) == -EBADMSG);
	CHECK(next() == -EBADMSG);
	rig.avail->idx = UINT16_MAX;
	CHECK(next() == -EBADMSG);
	rig_close();
}

static void what_was_put_shows_at_once(void)
{
	rig_open(0);
	put(rig.desc, 0, BASE + DATA, 1, 0, 0);
	for (int i = 0; i < 70000; i++) {
		CHECK(offered(0) == 1);
		virtq_put(&rig.ring, 0, (uint32_t)i);
		CHECK(rig.used->idx == (uint16_t)i);
		CHECK(virtq_publish(&rig.ring));
		CHECK(rig.used->idx == (uint16_t)(i + 1));
		CHECK(rig.used->ring[i % NUM].len == (uint32_t)i);
	}
	CHECK(!virtq_publish(&rig.ring));
	rig_close();
}

static void given_back_chains_come_again(void)
{
	rig_open(0);
	put(rig.desc, 0, BASE + DATA, 1, 0, 0);
	put(rig.desc, 1, BASE + DATA, 1, 0, 0);
	offer(0);
	offer(1);
	CHECK(next() == 1 && next() == 1 && next() == 0);
	virtq_rewind(&rig.ring, 2);
	CHECK(next() == 1 && rig.chain.head == 0);
	CHECK(next() == 1 && rig.chain.head == 1);
	CHECK(next() == 0);
	rig_close();
}

static void calls_are_made_where_they_are_wanted(void)
{
	rig_open(0);
	put(rig.desc, 0, BASE + DATA, 1, 0, 0);
	CHECK(offered(0) == 1);
	virtq_put(&rig.ring, 0, 0);
	rig.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	CHECK(!virtq_publish(&rig.ring));
	rig_close();
	rig_open(EVENT_IDX);
	put(rig.desc, 0, BASE + DATA, 1, 0, 0);
	/* Wanted from the third on. */
	rig.avail->ring[NUM] = 2;
	for (int i = 0; i < 4; i++) {
		CHECK(offered(0) == 1);
		virtq_put(&rig.ring, 0, 0);
		CHECK(virtq_publish(&rig.ring) == (i == 2));
	}
	rig_close();
}

static void kicks_can_be_switched_off(void)
{
	uint16_t *event;

	rig_open(0);
	virtq_kicks_off(&rig.ring);
	CHECK(rig.used->flags == VRING_USED_F_NO_NOTIFY);
	CHECK(!virtq_kicks_on(&rig.ring));
	CHECK(rig.used->flags == 0);
	virtq_kicks_off(&rig.ring);
	offer(0);
	CHECK(virtq_kicks_on(&rig.ring));
	rig_close();
	rig_open(EVENT_IDX);
	event = (uint16_t *)(void *)&rig.used->ring[NUM];
	put(rig.desc, 0, BASE + DATA, 1, 0, 0);
	CHECK(offered(0) == 1 && offered(0) == 1);
	CHECK(!virtq_kicks_on(&rig.ring));
	CHECK(*event == 2);
	rig_close();
}

static void rings_that_cannot_be_are_refused(void)
{
	struct virtq_addr addr = {BASE + DESC, BASE + AVAIL, BASE + USED};
	struct virtq_addr bad;

	rig_open(0);
	CHECK(virtq_start(&rig.ring, &rig.mem, 0, 0, 0, &addr) == -EINVAL);
	CHECK(virtq_start(&rig.ring, &rig.mem, 3, 0, 0, &addr) == -EINVAL);
	CHECK(virtq_start(&rig.ring, &rig.mem, 2048, 0, 0, &addr) == -EINVAL);
	CHECK(!virtq_start(&rig.ring, &rig.mem, 1024, 0, 0, &addr));
	virtq_stop(&rig.ring);
	bad = addr;
	bad.desc += 8;
	CHECK(virtq_start(&rig.ring, &rig.mem, 8, 0, 0, &bad) == -EFAULT);
	bad = addr;
	bad.avail = BASE + MEM - 20;
	CHECK(virtq_start(&rig.ring, &rig.mem, 8, 0, 0, &bad) == -EFAULT);
	bad = addr;
	bad.used = BASE + MEM - 68;
	CHECK(virtq_start(&rig.ring, &rig.mem, 8, 0, 0, &bad) == -EFAULT);
	bad.used = 0;
	CHECK(virtq_start(&rig.ring, &rig.mem, 8, 0, 0, &bad) == -EFAULT);
	CHECK(!virtq_running(&rig.ring));
	rig_close();
}

/* A guest that goes on while its chains are taken, none of them given back. */
static void more_than_the_queue_holds_is_refused(void)
{
	rig_open(0);
	put(rig.desc, 0, BASE + DATA, 10, 0, 0);
	for (int i = 0; i < NUM; i++) {
		offer(0);
		CHECK(next() == 1);
	}
	CHECK(next() == 0);
	offer(0);
	CHECK(next() == -EBADMSG);
	virtq_put(&rig.ring, 0, 0);
	CHECK(next() == 1);
	rig_close();
}

int main(void)
{
	RUN(a_chain_comes_as_iovecs);
	RUN(an_indirect_table_is_a_chain);
	RUN(bad_indirect_tables_are_refused);
	RUN(chains_that_loop_end);
	RUN(descriptors_to_nowhere_are_refused);
	RUN(an_index_that_jumps_is_refused);
	RUN(more_than_the_queue_holds_is_refused);
	RUN(what_was_put_shows_at_once);
	RUN(given_back_chains_come_again);
	RUN(calls_are_made_where_they_are_wanted);
	RUN(kicks_can_be_switched_off);
	RUN(rings_that_cannot_be_are_refused);
	UNIT_DONE();
}
