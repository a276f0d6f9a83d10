/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost_request.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Messages handled before others have their turn. */
#define TURN_MESSAGES 16

#define FLAG_VERSION_MASK 3u
#define FLAG_VERSION 1u
#define FLAG_REPLY 4u
#define PROTOCOL_SLAVE_REQ (UINT64_C(1) << 5)
#define PROTOCOL_CONFIG (UINT64_C(1) << 9)
/*
 * Not offered: REPLY_ACK would cost a guest's boot a round trip a message. The
 * request channel is never written to, but by its end a guest that has
 * nothing to send learns that its device is gone.
 */
#define PROTOCOL_FEATURES (PROTOCOL_SLAVE_REQ | PROTOCOL_CONFIG)

/* Of the u64 of SET_VRING_KICK and _CALL. */
#define VRING_INDEX_MASK 0xffu
#define VRING_NO_FD 0x100u

enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_VRING_ERR = 14,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
	SET_SLAVE_REQ_FD = 21,
	GET_CONFIG = 24,
	SET_CONFIG = 25,
};

/*
 *      0         4       8      12
 *      +---------+-------+------+---------+
 *      | request | flags | size | payload |   in the byte order of the host
 *      +---------+-------+------+---------+
 */
struct header {
	uint32_t request, flags, size;
};

struct ring_state {
	uint32_t index, num;
};

struct ring_addresses {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};

struct mem_region {
	uint64_t guest_addr, size, user_addr, offset;
};

struct mem_table {
	uint32_t num, padding;
	struct mem_region regions[GUESTMEM_REGIONS_MAX];
};

struct config_space {
	uint32_t offset, size, flags;
	uint8_t bytes[VHOST_CONFIG_MAX];
};

#define MEM_TABLE_HEAD offsetof(struct mem_table, regions)
#define CONFIG_HEAD offsetof(struct config_space, bytes)

_Static_assert(sizeof(struct header) + sizeof(struct mem_table) <=
		       VHOST_MESSAGE_MAX,
	       "room for the largest message");
_Static_assert(sizeof(struct header) + sizeof(struct config_space) <=
		       VHOST_MESSAGE_MAX,
	       "room for the largest message");

/* --- Messages --------------------------------------------------------- */

static void *payload(struct vhost_dev *dev)
{
	return dev->message + sizeof(struct header);
}

static uint64_t payload_u64(struct vhost_dev *dev)
{
	uint64_t value;

	memcpy(&value, payload(dev), sizeof(value));
	return value;
}

static uint32_t payload_size(const struct vhost_dev *dev)
{
	struct header header;

	memcpy(&header, dev->message, sizeof(header));
	return header.size;
}

/* Answer with what stands in the payload. */
static vhost_verdict reply(struct vhost_dev *dev, uint32_t size)
{
	struct header header;
	size_t len = sizeof(header) + size;

	memcpy(&header, dev->message, sizeof(header));
	header.flags = FLAG_VERSION | FLAG_REPLY;
	header.size = size;
	memcpy(dev->message, &header, sizeof(header));
	return send(dev->fd, dev->message, len, MSG_DONTWAIT | MSG_NOSIGNAL) ==
			       (ssize_t)len
		       ? NULL
		       : "replies are not read";
}

static vhost_verdict reply_u64(struct vhost_dev *dev, uint64_t value)
{
	memcpy(payload(dev), &value, sizeof(value));
	return reply(dev, sizeof(value));
}

static struct vhost_queue *queue_at(struct vhost_dev *dev, uint32_t index)
{
	return index < dev->ops->n_queues ? &dev->queues[index] : NULL;
}

static vhost_verdict get_features(struct vhost_dev *dev)
{
	return reply_u64(dev, dev->ops->features | VHOST_FEATURE_PROTOCOL);
}

static vhost_verdict set_features(struct vhost_dev *dev)
{
	uint64_t features = payload_u64(dev);

	if (features & ~(dev->ops->features | VHOST_FEATURE_PROTOCOL))
		return "features that were not offered";
	if (!(features >> VIRTIO_F_VERSION_1 & 1))
		return "a legacy driver";
	if (features != dev->features && vhost_queues_running(dev))
		return "features change under a ring that runs";
	dev->features = features;
	return NULL;
}

static vhost_verdict set_owner(struct vhost_dev *dev)
{
	(void)dev;
	return NULL;
}

static vhost_verdict get_protocol_features(struct vhost_dev *dev)
{
	return reply_u64(dev, PROTOCOL_FEATURES);
}

static vhost_verdict set_protocol_features(struct vhost_dev *dev)
{
	return payload_u64(dev) & ~PROTOCOL_FEATURES
		       ? "features that were not offered"
		       : NULL;
}

static vhost_verdict get_queue_num(struct vhost_dev *dev)
{
	return reply_u64(dev, dev->ops->n_queues);
}

static vhost_verdict set_mem_table(struct vhost_dev *dev)
{
	struct mem_table table;

	memcpy(&table, payload(dev), MEM_TABLE_HEAD);
	if (table.num > GUESTMEM_REGIONS_MAX || table.num != dev->n_fds)
		return "not one descriptor a region";
	/* Before 6.17, UML sends room for two regions with one. */
	if (payload_size(dev) <
	    MEM_TABLE_HEAD + table.num * sizeof(*table.regions))
		return "a table of regions cut short";
	memcpy(&table, payload(dev),
	       MEM_TABLE_HEAD + table.num * sizeof(*table.regions));
	vhost_queues_stop(dev);
	guestmem_clear(&dev->mem);
	for (uint32_t i = 0; i < table.num; i++) {
		struct mem_region *region = &table.regions[i];

		if (guestmem_add(&dev->mem, dev->fds[i], region->guest_addr,
				 region->size, region->user_addr,
				 region->offset))
			return "a region that cannot be mapped";
	}
	return vhost_queues_start(dev);
}

/* The queue of a vring_state, if it may be changed. */
static vhost_verdict idle_queue(struct vhost_dev *dev, uint32_t index,
				struct vhost_queue **queue)
{
	*queue = queue_at(dev, index);
	if (!*queue)
		return "no such queue";
	return virtq_running(&(*queue)->ring) ? "the ring runs" : NULL;
}

static vhost_verdict set_vring_num(struct vhost_dev *dev)
{
	struct vhost_queue *queue;
	struct ring_state state;
	vhost_verdict bad;

	memcpy(&state, payload(dev), sizeof(state));
	bad = idle_queue(dev, state.index, &queue);
	if (bad)
		return bad;
	if (state.num > VIRTQ_NUM_MAX)
		return "a ring too long";
	queue->num = (uint16_t)state.num;
	return vhost_queue_start(queue);
}

static vhost_verdict set_vring_base(struct vhost_dev *dev)
{
	struct vhost_queue *queue;
	struct ring_state state;
	vhost_verdict bad;

	memcpy(&state, payload(dev), sizeof(state));
	bad = idle_queue(dev, state.index, &queue);
	if (bad)
		return bad;
	if (state.num > UINT16_MAX)
		return "an index that is none";
	queue->base = (uint16_t)state.num;
	return NULL;
}

static vhost_verdict set_vring_addr(struct vhost_dev *dev)
{
	struct ring_addresses addr;
	struct vhost_queue *queue;
	vhost_verdict bad;

	memcpy(&addr, payload(dev), sizeof(addr));
	bad = idle_queue(dev, addr.index, &queue);
	if (bad)
		return bad;
	queue->addr = (struct virtq_addr){
		.desc = addr.desc, .avail = addr.avail, .used = addr.used};
	queue->has_addr = true;
	return vhost_queue_start(queue);
}

static vhost_verdict get_vring_base(struct vhost_dev *dev)
{
	struct vhost_queue *queue;
	struct ring_state state;

	memcpy(&state, payload(dev), sizeof(state));
	queue = queue_at(dev, state.index);
	if (!queue)
		return "no such queue";
	vhost_queue_stop(queue);
	/* It starts again with a new kick. */
	vhost_close_fd(&queue->kick_fd);
	state.num = queue->base;
	memcpy(payload(dev), &state, sizeof(state));
	return reply(dev, sizeof(state));
}

/* Take the descriptor of a message that has one, and only one. */
static int take_fd(struct vhost_dev *dev)
{
	int fd = dev->fds[0];

	dev->n_fds = 0;
	return fd;
}

/*
 * Whether it shares its inode with an eventfd: all that live in memory alone
 * do, and none of them lets poll() wait. Not by a link of /proc, which in a
 * jail is another PID namespace's.
 */
static bool is_eventfd(int fd)
{
	struct stat theirs, ours;
	int own = eventfd(0, EFD_CLOEXEC);
	bool same = own >= 0 && !fstat(fd, &theirs) && !fstat(own, &ours) &&
		    theirs.st_dev == ours.st_dev &&
		    theirs.st_ino == ours.st_ino;

	if (own >= 0)
		close(own);
	return same;
}

static bool is_unix_socket(int fd)
{
	int domain = -1;
	socklen_t len = sizeof(domain);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
	       domain == AF_UNIX;
}

static vhost_verdict set_vring_kick(struct vhost_dev *dev)
{
	uint64_t value = payload_u64(dev);
	struct vhost_queue *queue =
		queue_at(dev, (uint32_t)value & VRING_INDEX_MASK);

	if (!queue)
		return "no such queue";
	if (value & VRING_NO_FD || dev->n_fds != 1 || !is_eventfd(dev->fds[0]))
		return "a kick that is no eventfd";
	loop_del(dev->loop, &queue->kick);
	vhost_close_fd(&queue->kick_fd);
	queue->kick_fd = take_fd(dev);
	if (!virtq_running(&queue->ring))
		return vhost_queue_start(queue);
	return vhost_queue_watch(queue);
}

static vhost_verdict set_vring_call(struct vhost_dev *dev)
{
	uint64_t value = payload_u64(dev);
	struct vhost_queue *queue =
		queue_at(dev, (uint32_t)value & VRING_INDEX_MASK);

	if (!queue)
		return "no such queue";
	if (value & VRING_NO_FD) {
		vhost_close_fd(&queue->call_fd);
		return NULL;
	}
	if (dev->n_fds != 1 || !is_unix_socket(dev->fds[0]))
		return "a call that is no Unix socket";
	vhost_close_fd(&queue->call_fd);
	queue->call_fd = take_fd(dev);
	return NULL;
}

/* Our errors end the device: there is nothing to be told of. */
static vhost_verdict set_vring_err(struct vhost_dev *dev)
{
	(void)dev;
	return NULL;
}

static vhost_verdict set_vring_enable(struct vhost_dev *dev)
{
	struct vhost_queue *queue;
	struct ring_state state;

	memcpy(&state, payload(dev), sizeof(state));
	queue = queue_at(dev, state.index);
	if (!queue)
		return "no such queue";
	queue->enabled = state.num != 0;
	if (queue->enabled)
		return vhost_queue_start(queue);
	vhost_queue_stop(queue);
	return NULL;
}

static vhost_verdict set_slave_req_fd(struct vhost_dev *dev)
{
	if (dev->n_fds != 1 || !is_unix_socket(dev->fds[0]))
		return "a request channel that is no Unix socket";
	vhost_close_fd(&dev->request_fd);
	dev->request_fd = take_fd(dev);
	return NULL;
}

static vhost_verdict get_config(struct vhost_dev *dev)
{
	uint32_t size = payload_size(dev);
	struct config_space config;

	memcpy(&config, payload(dev), CONFIG_HEAD);
	if (config.size > VHOST_CONFIG_MAX ||
	    config.offset > VHOST_CONFIG_MAX - config.size ||
	    size != CONFIG_HEAD + config.size)
		return "a configuration beyond its end";
	memcpy((uint8_t *)payload(dev) + CONFIG_HEAD,
	       dev->config + config.offset, config.size);
	return reply(dev, size);
}

/* It is to be read only: what is written there changes nothing. */
static vhost_verdict set_config(struct vhost_dev *dev)
{
	(void)dev;
	return NULL;
}

#define STATE_SIZE sizeof(struct ring_state)
#define ADDR_SIZE sizeof(struct ring_addresses)

static const struct {
	size_t min, max; /* of the payload, bytes */
	vhost_verdict (*handle)(struct vhost_dev *dev);
} requests[] = {
	[GET_FEATURES] = {0, 0, get_features},
	[SET_FEATURES] = {8, 8, set_features},
	[SET_OWNER] = {0, 0, set_owner},
	[SET_MEM_TABLE] = {MEM_TABLE_HEAD, sizeof(struct mem_table),
			   set_mem_table},
	[SET_VRING_NUM] = {STATE_SIZE, STATE_SIZE, set_vring_num},
	[SET_VRING_ADDR] = {ADDR_SIZE, ADDR_SIZE, set_vring_addr},
	[SET_VRING_BASE] = {STATE_SIZE, STATE_SIZE, set_vring_base},
	[GET_VRING_BASE] = {STATE_SIZE, STATE_SIZE, get_vring_base},
	[SET_VRING_KICK] = {8, 8, set_vring_kick},
	[SET_VRING_CALL] = {8, 8, set_vring_call},
	[SET_VRING_ERR] = {8, 8, set_vring_err},
	[GET_PROTOCOL_FEATURES] = {0, 0, get_protocol_features},
	[SET_PROTOCOL_FEATURES] = {8, 8, set_protocol_features},
	[GET_QUEUE_NUM] = {0, 0, get_queue_num},
	[SET_VRING_ENABLE] = {STATE_SIZE, STATE_SIZE, set_vring_enable},
	[SET_SLAVE_REQ_FD] = {0, 8, set_slave_req_fd},
	[GET_CONFIG] = {CONFIG_HEAD, sizeof(struct config_space), get_config},
	[SET_CONFIG] = {CONFIG_HEAD, sizeof(struct config_space), set_config},
};

static vhost_verdict check_header(const struct header *header)
{
	uint32_t request = header->request;

	if ((header->flags & FLAG_VERSION_MASK) != FLAG_VERSION ||
	    header->flags & FLAG_REPLY)
		return "a header that is none";
	if (request >= sizeof(requests) / sizeof(*requests) ||
	    !requests[request].handle)
		return "an unknown request";
	if (header->size < requests[request].min ||
	    header->size > requests[request].max)
		return "a request of another size";
	return NULL;
}

/* --- The socket ------------------------------------------------------- */

/* Keep the descriptors that came, or close them: then there are too many. */
static vhost_verdict keep_attached(struct vhost_dev *dev, struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	bool surplus = msg->msg_flags & MSG_CTRUNC;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd),
			       sizeof(fd));
			if (dev->n_fds < VHOST_FDS_MAX) {
				dev->fds[dev->n_fds++] = fd;
			} else {
				vhost_close_fd(&fd);
				surplus = true;
			}
		}
	}
	return surplus ? "too many descriptors" : NULL;
}

/*
 * Read on, up to len bytes of the message at hand. The kernel hands out
 * descriptors with the bytes they were sent with, so those that come are this
 * message's. 1 when the bytes are there, 0 to wait, -ECONNRESET, -EPROTO.
 */
static int receive(struct vhost_dev *dev, size_t len, vhost_verdict *bad)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(dev->fds))];
	} control;
	struct iovec iov = {dev->message + dev->got, len - dev->got};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	if (dev->got >= len)
		return 1;
	n = recvmsg(dev->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -ECONNRESET;
	dev->got += (size_t)n;
	*bad = keep_attached(dev, &msg);
	if (*bad)
		return -EPROTO;
	return dev->got == len;
}

/* Handle one message. 1, 0 where it is not complete, or an error. */
static int handle_message(struct vhost_dev *dev, vhost_verdict *bad)
{
	struct header header;
	int more = receive(dev, sizeof(header), bad);

	if (more <= 0)
		return more;
	memcpy(&header, dev->message, sizeof(header));
	*bad = check_header(&header);
	if (*bad)
		return -EPROTO;
	more = receive(dev, sizeof(header) + header.size, bad);
	if (more <= 0)
		return more;
	dev->got = 0;
	*bad = requests[header.request].handle(dev);
	vhost_close_attached(dev);
	return *bad ? -EPROTO : 1;
}

void vhost_requests_ready(struct loop_fd *entry, uint32_t events)
{
	struct vhost_dev *dev = container_of(entry, struct vhost_dev, io);
	vhost_verdict bad = NULL;
	int more = 1;

	(void)events;
	for (int i = 0; i < TURN_MESSAGES && more > 0 && dev->open; i++)
		more = handle_message(dev, &bad);
	if (more == -ECONNRESET)
		vhost_fail(dev, 0, "closed");
	else if (more < 0)
		vhost_fail(dev, more, bad);
}
