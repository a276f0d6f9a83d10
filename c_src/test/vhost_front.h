/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_front - the front end of a vhost-user device, as UML's virtio_uml is
 * one: for tests, which break its rules, and for generators of load.
 *
 * The memory is a memfd; the guest's addresses, the front end's own and the
 * offsets in the file all differ, as they may. Queues are laid out in it by
 * front_handshake(); what they hold is up to the user, who writes descriptors
 * one by one.
 */
#ifndef EVUM_VHOST_FRONT_H
#define EVUM_VHOST_FRONT_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRONT_GUEST_BASE UINT64_C(0x100000)
#define FRONT_USER_BASE UINT64_C(0x7000000000)
#define FRONT_FILE_OFFSET 4096
#define FRONT_QUEUES_MAX 8

/* Requests by their numbers, as the specification has them. */
enum front_request {
	FRONT_GET_FEATURES = 1,
	FRONT_SET_FEATURES = 2,
	FRONT_SET_OWNER = 3,
	FRONT_SET_MEM_TABLE = 5,
	FRONT_SET_VRING_NUM = 8,
	FRONT_SET_VRING_ADDR = 9,
	FRONT_SET_VRING_BASE = 10,
	FRONT_GET_VRING_BASE = 11,
	FRONT_SET_VRING_KICK = 12,
	FRONT_SET_VRING_CALL = 13,
	FRONT_GET_PROTOCOL_FEATURES = 15,
	FRONT_SET_PROTOCOL_FEATURES = 16,
	FRONT_SET_VRING_ENABLE = 18,
	FRONT_SET_SLAVE_REQ_FD = 21,
	FRONT_GET_CONFIG = 24,
};

struct front_queue {
	uint16_t num;
	bool event_idx;
	uint16_t next, seen; /* of avail and used, where we are */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	int kick, call[2]; /* call: our end, and the one that was given away */
};

struct front {
	int sock, memfd;
	int requests[2];
	uint8_t *mem;
	size_t len, allocated;
	unsigned int n_queues;
	struct front_queue queues[FRONT_QUEUES_MAX];
};

struct front_region {
	uint64_t guest_addr, size, user_addr, offset;
};

/* Use a connected stream socket, with len bytes of memory. 0 or -errno. */
int front_open(struct front *front, int sock, size_t len);
/* Close all, the socket too. */
void front_close(struct front *front);

/* Zeroed memory, aligned to 4096 bytes; NULL when there is no more. */
void *front_alloc(struct front *front, size_t len);
uint64_t front_addr(const struct front *front, const void *at);

/* All of these: false where the socket would not have it. */
bool front_send(struct front *front, uint32_t request, const void *payload,
		uint32_t len, const int *fds, unsigned int n_fds);
bool front_send_u64(struct front *front, uint32_t request, uint64_t value);
bool front_send_state(struct front *front, uint32_t request, uint32_t index,
		      uint32_t num);
bool front_set_memory(struct front *front, const struct front_region *region,
		      int fd);
/* Read a reply, waiting up to a second: its payload's length, or -1. */
int front_reply(struct front *front, uint32_t request, void *payload,
		size_t room);

/*
 * What UML says, in its order, for queues of num entries each: from SET_OWNER
 * to the last ENABLE. Replies are left to be read.
 */
bool front_handshake(struct front *front, uint64_t features,
		     unsigned int n_queues, uint16_t num);
/* The same in parts: before the queues, and one queue after the other. */
bool front_introduce(struct front *front, uint64_t features);
bool front_lay_out(struct front *front, unsigned int index, uint16_t num,
		   uint64_t features);
bool front_set_queue(struct front *front, unsigned int index);
bool front_start_queue(struct front *front, unsigned int index);

/* Write a descriptor of the queue's table. */
void front_desc(struct front_queue *queue, unsigned int i, uint64_t addr,
		uint32_t len, uint16_t flags, uint16_t next);
/* Make a chain available. */
void front_avail(struct front_queue *queue, uint16_t head);
/* Kick, whether it is wanted or not. */
void front_kick(struct front_queue *queue);
/* Does the back end want a kick for what came behind index `from'? */
bool front_kick_wanted(const struct front_queue *queue, uint16_t from);
/* The next used entry, if there is one. */
bool front_used(struct front_queue *queue, uint32_t *id, uint32_t *len);
/* Calls that have come since the last time. */
unsigned int front_calls(struct front_queue *queue);

#endif
