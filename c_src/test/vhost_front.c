/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost_front.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define ALIGN 4096
#define FDS_MAX 16

int front_open(struct front *front, int sock, size_t len)
{
	*front = (struct front){.sock = sock, .len = len, .requests = {-1, -1}};
	front->memfd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (front->memfd < 0 ||
	    ftruncate(front->memfd, FRONT_FILE_OFFSET + (off_t)len) < 0)
		return -errno;
	front->mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
			  front->memfd, FRONT_FILE_OFFSET);
	return front->mem == MAP_FAILED ? -errno : 0;
}

void front_close(struct front *front)
{
	munmap(front->mem, front->len);
	close(front->memfd);
	close(front->sock);
	for (int i = 0; i < 2; i++)
		if (front->requests[i] >= 0)
			close(front->requests[i]);
	for (unsigned int i = 0; i < front->n_queues; i++) {
		close(front->queues[i].kick);
		close(front->queues[i].call[0]);
		close(front->queues[i].call[1]);
	}
}

void *front_alloc(struct front *front, size_t len)
{
	uint8_t *at = front->mem + front->allocated;

	len = (len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (len > front->len - front->allocated)
		return NULL;
	front->allocated += len;
	return at;
}

static uint64_t offset(const struct front *front, const void *at)
{
	return (uint64_t)((const uint8_t *)at - front->mem);
}

uint64_t front_addr(const struct front *front, const void *at)
{
	return FRONT_GUEST_BASE + offset(front, at);
}

bool front_send(struct front *front, uint32_t request, const void *payload,
		uint32_t len, const int *fds, unsigned int n_fds)
{
	uint32_t header[3] = {request, 1, len};
	struct iovec iov[2] = {{header, sizeof(header)},
			       {(void *)(uintptr_t)payload, len}};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = {.space = {0}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	if (n_fds) {
		control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	}
	return sendmsg(front->sock, &msg, MSG_NOSIGNAL) ==
	       (ssize_t)(sizeof(header) + len);
}

bool front_send_u64(struct front *front, uint32_t request, uint64_t value)
{
	return front_send(front, request, &value, sizeof(value), NULL, 0);
}

bool front_send_state(struct front *front, uint32_t request, uint32_t index,
		      uint32_t num)
{
	uint32_t state[2] = {index, num};

	return front_send(front, request, state, sizeof(state), NULL, 0);
}

bool front_set_memory(struct front *front, const struct front_region *region,
		      int fd)
{
	struct {
		uint32_t num, padding;
		struct front_region region;
	} table = {.num = 1, .region = *region};

	return front_send(front, FRONT_SET_MEM_TABLE, &table, sizeof(table),
			  &fd, 1);
}

static bool read_all(int fd, void *at, size_t len)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	uint8_t *bytes = at;

	while (len) {
		ssize_t n;

		if (poll(&pfd, 1, 1000) != 1)
			return false;
		n = recv(fd, bytes, len, 0);
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

int front_reply(struct front *front, uint32_t request, void *payload,
		size_t room)
{
	uint32_t header[3];

	if (!read_all(front->sock, header, sizeof(header)) ||
	    header[0] != request || header[1] != 5 || header[2] > room ||
	    !read_all(front->sock, payload, header[2]))
		return -1;
	return (int)header[2];
}

bool front_introduce(struct front *front, uint64_t features)
{
	struct front_region region = {FRONT_GUEST_BASE, front->len,
				      FRONT_USER_BASE, FRONT_FILE_OFFSET};

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, front->requests))
		return false;
	return front_send(front, FRONT_SET_OWNER, NULL, 0, NULL, 0) &&
	       front_send(front, FRONT_GET_FEATURES, NULL, 0, NULL, 0) &&
	       front_send(front, FRONT_GET_PROTOCOL_FEATURES, NULL, 0, NULL,
			  0) &&
	       front_send_u64(front, FRONT_SET_PROTOCOL_FEATURES, 0x220) &&
	       front_send(front, FRONT_SET_SLAVE_REQ_FD, NULL, 0,
			  &front->requests[1], 1) &&
	       front_send_u64(front, FRONT_SET_FEATURES, features) &&
	       front_set_memory(front, &region, front->memfd);
}

bool front_lay_out(struct front *front, unsigned int index, uint16_t num,
		   uint64_t features)
{
	struct front_queue *queue = &front->queues[index];

	*queue = (struct front_queue){
		.num = num,
		.event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1,
		.desc = front_alloc(front, num * sizeof(*queue->desc)),
		.avail = front_alloc(front, 6 + 2u * num),
		.used = front_alloc(front, 6 + 8u * num),
		.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	};
	front->n_queues = index + 1;
	return queue->desc && queue->avail && queue->used && queue->kick >= 0 &&
	       !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			   0, queue->call);
}

static bool set_fd(struct front *front, uint32_t request, uint64_t index,
		   int fd)
{
	return front_send(front, request, &index, sizeof(index), &fd, 1);
}

bool front_set_queue(struct front *front, unsigned int index)
{
	struct front_queue *queue = &front->queues[index];
	struct {
		uint32_t index, flags;
		uint64_t desc, used, avail, log;
	} addr = {
		.index = index,
		.desc = FRONT_USER_BASE + offset(front, queue->desc),
		.used = FRONT_USER_BASE + offset(front, queue->used),
		.avail = FRONT_USER_BASE + offset(front, queue->avail),
		.log = UINT64_MAX,
	};

	return set_fd(front, FRONT_SET_VRING_CALL, index, queue->call[1]) &&
	       front_send_state(front, FRONT_SET_VRING_NUM, index,
				queue->num) &&
	       front_send_state(front, FRONT_SET_VRING_BASE, index, 0) &&
	       front_send(front, FRONT_SET_VRING_ADDR, &addr, sizeof(addr),
			  NULL, 0);
}

bool front_start_queue(struct front *front, unsigned int index)
{
	return set_fd(front, FRONT_SET_VRING_KICK, index,
		      front->queues[index].kick) &&
	       front_send_state(front, FRONT_SET_VRING_ENABLE, index, 1);
}

bool front_handshake(struct front *front, uint64_t features,
		     unsigned int n_queues, uint16_t num)
{
	if (!front_introduce(front, features))
		return false;
	for (unsigned int i = 0; i < n_queues; i++)
		if (!front_lay_out(front, i, num, features) ||
		    !front_set_queue(front, i))
			return false;
	for (unsigned int i = 0; i < n_queues; i++)
		if (!front_start_queue(front, i))
			return false;
	return true;
}

void front_desc(struct front_queue *queue, unsigned int i, uint64_t addr,
		uint32_t len, uint16_t flags, uint16_t next)
{
	queue->desc[i] = (struct vring_desc){
		.addr = addr, .len = len, .flags = flags, .next = next};
}

void front_avail(struct front_queue *queue, uint16_t head)
{
	queue->avail->ring[queue->next % queue->num] = head;
	queue->next++;
	__atomic_store_n(&queue->avail->idx, queue->next, __ATOMIC_RELEASE);
}

void front_kick(struct front_queue *queue)
{
	uint64_t one = 1;

	/* A counter that is full has been kicked. */
	if (write(queue->kick, &one, sizeof(one)) < 0)
		return;
}

bool front_kick_wanted(const struct front_queue *queue, uint16_t from)
{
	const uint16_t *event =
		(const uint16_t *)(const void *)&queue->used->ring[queue->num];

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (queue->event_idx)
		return vring_need_event(
			__atomic_load_n(event, __ATOMIC_RELAXED), queue->next,
			from);
	return !(__atomic_load_n(&queue->used->flags, __ATOMIC_RELAXED) &
		 VRING_USED_F_NO_NOTIFY);
}

bool front_used(struct front_queue *queue, uint32_t *id, uint32_t *len)
{
	const struct vring_used_elem *elem;

	if (__atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE) == queue->seen)
		return false;
	elem = &queue->used->ring[queue->seen % queue->num];
	*id = elem->id;
	*len = elem->len;
	queue->seen++;
	return true;
}

unsigned int front_calls(struct front_queue *queue)
{
	unsigned int calls = 0;
	uint64_t n;

	while (recv(queue->call[0], &n, sizeof(n), MSG_DONTWAIT) == sizeof(n))
		calls++;
	return calls;
}
