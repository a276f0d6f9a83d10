/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_virtio - a hostile guest: the input is a list of what it does. It says
 * messages in order and out of it, with descriptors of all kinds attached,
 * scribbles over its memory and its rings, kicks, cuts its memory short, and
 * the device takes chains as devices do: every iovec it is given has to lie in
 * the memory that was mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost.h"
#include "vhost_front.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define MEM (64u << 10)
#define NUM 8
#define QUEUES 3
/* A chain may name the same bytes often: what one kick may touch. */
#define TOUCH_MAX (1u << 20)

struct guest {
	struct loop loop;
	struct loop_timer end;
	struct vhost_dev dev;
	struct vhost_queue queues[QUEUES];
	struct iovec iov[VIRTQ_CHAIN_MAX];
	struct front front;
	int running, ended;
	bool cut; /* the front end would fault itself */
	const uint8_t *at, *end_of_input;
	volatile uint8_t sink;
};

static struct guest guest;

static void on_started(struct vhost_queue *queue)
{
	(void)queue;
	guest.running++;
}

static void on_stopped(struct vhost_queue *queue)
{
	if (!virtq_running(&queue->ring))
		abort();
	guest.running--;
}

static void check(const struct vhost_dev *dev, const struct iovec *iov)
{
	const uint8_t *at = iov->iov_base;

	for (unsigned int i = 0; i < dev->mem.n_regions; i++) {
		const struct guestmem_region *region = &dev->mem.regions[i];

		if (at >= region->host &&
		    at + iov->iov_len <= region->host + region->size)
			return;
	}
	abort();
}

/* Read what is to be read and write what may be written, within reason. */
static size_t touch(const struct vhost_dev *dev, const struct iovec *iov,
		    unsigned int n, bool write)
{
	size_t sum = 0;

	for (unsigned int i = 0; i < n; i++) {
		volatile uint8_t *at = iov[i].iov_base;

		check(dev, &iov[i]);
		for (size_t j = 0; j < iov[i].iov_len; j += 512) {
			if (write)
				at[j] = 0xee;
			else
				guest.sink = at[j];
		}
		sum += iov[i].iov_len;
	}
	return sum;
}

static void on_kicked(struct vhost_queue *queue)
{
	struct virtq_chain chain;
	size_t touched = 0;
	int more = 0;

	virtq_kicks_off(&queue->ring);
	while (touched < TOUCH_MAX &&
	       (more = virtq_next(&queue->ring, &chain, guest.iov)) > 0) {
		size_t out = touch(queue->dev, chain.out, chain.n_out, false);
		size_t in = touch(queue->dev, chain.in, chain.n_in, true);

		if (out != chain.out_len || in != chain.in_len ||
		    chain.n_out + chain.n_in > queue->ring.num)
			abort();
		touched += out + in + 4096;
		virtq_put(&queue->ring, chain.head, chain.in_len);
	}
	if (more < 0)
		vhost_fail(queue->dev, -EPROTO, "a chain");
	else if (vhost_notify(queue) && virtq_kicks_on(&queue->ring))
		vhost_again(queue);
}

static void on_ended(struct vhost_dev *dev, int err, const char *what)
{
	(void)err;
	if (dev->open || !what || guest.running || guest.ended++)
		abort();
	vhost_unmap(dev);
}

static const struct vhost_ops ops = {
	.features = VHOST_RING_FEATURES,
	.n_queues = QUEUES,
	.started = on_started,
	.stopped = on_stopped,
	.kicked = on_kicked,
	.ended = on_ended,
};

static void turn_over(struct loop_timer *timer)
{
	loop_stop(&container_of(timer, struct guest, end)->loop);
}

static void turn(void)
{
	guest.loop.stopped = false;
	loop_timer_set(&guest.loop, &guest.end, 0, turn_over);
	if (loop_run(&guest.loop))
		abort();
}

static uint8_t next_byte(void)
{
	return guest.at < guest.end_of_input ? *guest.at++ : 0;
}

static uint64_t next_number(unsigned int n)
{
	uint64_t value = 0;

	while (n-- > 0)
		value = value << 8 | next_byte();
	return value;
}

/* Up to max bytes of the input; how many. */
static size_t next_bytes(uint8_t *to, size_t max)
{
	size_t n = next_byte(), left = (size_t)(guest.end_of_input - guest.at);

	n = n < max ? n : max;
	n = n < left ? n : left;
	memcpy(to, guest.at, n);
	guest.at += n;
	return n;
}

/* A descriptor of the kind that the input wants. */
static int some_fd(uint8_t kind)
{
	switch (kind % 4) {
	case 0:
		return guest.front.memfd;
	case 1:
		return guest.front.queues[0].kick;
	case 2:
		return guest.front.queues[0].call[1];
	default:
		return guest.loop.epoll_fd;
	}
}

static void say_anything(void)
{
	int fds[16];
	uint8_t payload[300];
	uint32_t request = next_byte() % 28;
	unsigned int n_fds = next_byte() % 12;
	size_t len;

	for (unsigned int i = 0; i < n_fds; i++)
		fds[i] = some_fd(next_byte());
	len = next_bytes(payload, sizeof(payload));
	front_send(&guest.front, request, payload, (uint32_t)len, fds, n_fds);
}

static void say_raw(void)
{
	uint8_t raw[64];

	send(guest.front.sock, raw, next_bytes(raw, sizeof(raw)),
	     MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void say_memory(void)
{
	struct front_region region = {
		FRONT_GUEST_BASE - next_byte(), next_number(3),
		FRONT_USER_BASE + next_byte(), next_number(2)};

	front_set_memory(&guest.front, &region, some_fd(next_byte()));
}

static void scribble(void)
{
	size_t at = next_number(2);

	if (!guest.cut)
		next_bytes(guest.front.mem + at, MEM - at > 64 ? 64 : MEM - at);
}

/* A descriptor that is nearly good: fuzzers rarely hit 64 bit addresses. */
static void write_desc(struct front_queue *queue)
{
	unsigned int i = next_byte() % NUM;
	uint64_t addr = FRONT_GUEST_BASE + next_number(3);
	uint32_t size = (uint32_t)next_number(2);
	uint16_t flags = next_byte() % 8;
	uint16_t next = next_byte() % (NUM + 1);

	if (!guest.cut)
		front_desc(queue, i, addr, size, flags, next);
}

static void act(uint8_t op)
{
	struct front_queue *queue =
		&guest.front.queues[op / 16 % guest.front.n_queues];

	switch (op % 10) {
	case 0:
		say_anything();
		break;
	case 1:
		say_raw();
		break;
	case 2:
		say_memory();
		break;
	case 3:
		scribble();
		break;
	case 4:
	case 5:
		write_desc(queue);
		break;
	case 6:
		if (!guest.cut)
			front_avail(queue, next_byte() % (NUM + 1));
		front_kick(queue);
		break;
	case 7:
		guest.cut = true;
		if (ftruncate(guest.front.memfd, next_byte() * 1024))
			abort();
		break;
	case 8:
		front_send_state(&guest.front,
				 FRONT_SET_VRING_NUM + next_byte() % 11,
				 next_byte() % 4, next_byte());
		break;
	default:
		turn();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	int fds[2];
	uint64_t features;

	memset(&guest, 0, sizeof(guest));
	guest.at = bytes;
	guest.end_of_input = bytes + len;
	if (loop_init(&guest.loop) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) ||
	    vhost_open(&guest.dev, &guest.loop, &ops, guest.queues, fds[0]) ||
	    front_open(&guest.front, fds[1], MEM))
		abort();
	/* Never wait for a device that has stopped reading. */
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	features = UINT64_C(1) << VIRTIO_F_VERSION_1 |
		   (uint64_t)(next_byte() & 7) << VIRTIO_RING_F_INDIRECT_DESC;
	features &= VHOST_RING_FEATURES | UINT64_C(1) << 30;
	if (!front_handshake(&guest.front, features, QUEUES, NUM))
		abort();
	turn();
	turn();
	while (guest.at < guest.end_of_input)
		act(next_byte());
	turn();
	turn();
	vhost_close(&guest.dev);
	vhost_unmap(&guest.dev);
	if (guest.running)
		abort();
	front_close(&guest.front);
	loop_close(&guest.loop);
	return 0;
}
