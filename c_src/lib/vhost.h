/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost - the back end of one virtio device, served over vhost-user.
 *
 * The front end (a UML guest's virtio_uml, arch/um/drivers/virtio_uml.c)
 * connects to a stream socket and says there, in messages with descriptors
 * attached, where its memory and its rings are; after that the socket is
 * silent, and data moves through shared memory. Here is what all devices have
 * in common: the messages, the memory, the queues with their kicks and calls.
 * A program embeds a struct vhost_dev and gives it a const struct vhost_ops,
 * which makes it a network card, a console or a file system:
 *
 *   accepted fd -- vhost_open() --> SET_FEATURES, SET_MEM_TABLE, SET_VRING_*
 *                                      |
 *   per queue      ops->started() <----+---- ring, kick, ENABLE are all there
 *                  ops->kicked()  <--------- the guest has put buffers
 *                  ops->stopped() <--------- the guest takes the queue away
 *   at the end     ops->ended()   <--------- closed, broken, memory gone
 *
 * In kicked() the device takes chains with virtq_next(), moves bytes, gives
 * them back with virtq_put(), and calls vhost_notify() once for the burst. It
 * handles a bounded number of chains in one go and asks vhost_again() for the
 * rest: so a guest that never stops cannot keep the loop to itself. Kicks are
 * on when kicked() is called for the first time; a device that polls switches
 * them off with virtq_kicks_off().
 *
 * The guest is hostile. Who finds that it broke a rule (a negative result of
 * virtq_next(), a header that makes no sense) calls vhost_fail(), and touches
 * neither ring nor memory afterwards: that device ends, nobody else notices.
 * vhost_notify() looks whether memory has vanished (see guestmem.h), so no
 * device needs to.
 *
 * Nothing waits: the socket, the kicks and the calls are never blocked on. A
 * kick has to be an eventfd, which is watched by its edges and never read; a
 * call has to be a Unix socket, on which a send can be told not to wait
 * whatever flags the front end sets. UML's are these. A front end that does
 * not read its replies ends.
 *
 * A guest that reboots closes and connects again. Features not offered by
 * anybody here: packed rings, in-order, migration (log), IOMMU.
 */
#ifndef EVUM_VHOST_H
#define EVUM_VHOST_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guestmem.h"
#include "loop.h"
#include "virtq.h"

/* UML's limit. */
#define VHOST_QUEUES_MAX 64
/* The largest configuration space, bytes (the protocol's own limit). */
#define VHOST_CONFIG_MAX 256
/* Descriptors in one message: one for each region of memory. */
#define VHOST_FDS_MAX GUESTMEM_REGIONS_MAX
#define VHOST_MESSAGE_MAX (12 + 12 + VHOST_CONFIG_MAX)

/* What every device offers; the rest of `features' is the device's own. */
#define VHOST_RING_FEATURES                           \
	(UINT64_C(1) << VIRTIO_F_VERSION_1 |          \
	 UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC | \
	 UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

struct vhost_dev;

struct vhost_queue {
	struct vhost_dev *dev;
	unsigned int index;
	struct virtq ring; /* virtq_running() between started and stopped */

	/* What the front end has told so far. */
	uint16_t num, base;
	bool has_addr, enabled;
	struct virtq_addr addr;
	int kick_fd, call_fd; /* -1: none */
	struct loop_fd kick;
	struct loop_task again;
};

struct vhost_ops {
	/* Offered: VHOST_RING_FEATURES and what the device can. */
	uint64_t features;
	unsigned int n_queues; /* at most VHOST_QUEUES_MAX */

	/* Features are agreed upon (dev->features) and the ring is there. */
	void (*started)(struct vhost_queue *queue);
	/*
	 * The ring is still there for the last time: give back what is held of
	 * it with virtq_put(), or forget it. Not called for queues that never
	 * started. Comes for each queue before ended().
	 */
	void (*stopped)(struct vhost_queue *queue);
	/* Buffers may be there; also called once after started(). */
	void (*kicked)(struct vhost_queue *queue);
	/*
	 * The end: 0 when the front end closed, -EPROTO when it broke the
	 * protocol, -EFAULT when its memory vanished, or what a system call
	 * said; `what' is a literal for the log. All is closed already, and
	 * vhost_unmap() is to be called. The memory of the device is the user's
	 * again at the end of the loop's turn: loop_defer() its release.
	 */
	void (*ended)(struct vhost_dev *dev, int err, const char *what);
};

struct vhost_dev {
	struct loop *loop;
	const struct vhost_ops *ops;
	uint64_t features; /* agreed upon; 0 until then */
	bool open;

	/* Read by the guest; written by the user, before vhost_open(). */
	uint8_t config[VHOST_CONFIG_MAX];
	size_t config_len;

	struct guestmem mem;
	struct vhost_queue *queues; /* ops->n_queues of them, the user's */

	/* The rest is vhost.c's own. */
	int fd, request_fd;
	struct loop_fd io;
	size_t got;
	uint8_t message[VHOST_MESSAGE_MAX];
	int fds[VHOST_FDS_MAX];
	unsigned int n_fds;
};

static inline bool vhost_has_feature(const struct vhost_dev *dev,
				     unsigned int bit)
{
	return dev->features >> bit & 1;
}

/*
 * Serve the front end at fd, a connected stream socket, which is the device's
 * from then on. The user gives room for the queues, beside the device; dev's
 * config and config_len are filled in already, the rest is set here. 0 or
 * -errno; fd is still the caller's then, and there is no ended().
 */
int vhost_open(struct vhost_dev *dev, struct loop *loop,
	       const struct vhost_ops *ops, struct vhost_queue *queues, int fd);
/*
 * End it from our side: stopped() for its queues, no ended(). vhost_unmap() is
 * to be called.
 */
void vhost_close(struct vhost_dev *dev);
/* The guest broke a rule: stopped() for its queues, then ended(). */
void vhost_fail(struct vhost_dev *dev, int err, const char *what);
/*
 * The guest's memory is looked at no more: once the device has ended, and what
 * it was taken from there as pieces is done with.
 */
void vhost_unmap(struct vhost_dev *dev);

/*
 * Show the guest what was put into the queue, and wake it if it wants that.
 * False where the device has ended over it (its memory had vanished).
 */
bool vhost_notify(struct vhost_queue *queue);
/*
 * The two steps of it, for who knows better when: show, and say whether the
 * guest wants to be woken; wake it. False as above.
 */
bool vhost_show(struct vhost_queue *queue, bool *wanted);
void vhost_call(const struct vhost_queue *queue);
/* Call kicked() once more, in the next turn of the loop. */
void vhost_again(struct vhost_queue *queue);

#endif
