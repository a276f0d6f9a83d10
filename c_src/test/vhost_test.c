/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_test - a device that echoes, and a front end that does as UML does, or
 * does not.
 */
#include "vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"
#include "vhost_front.h"

#define MEM (1u << 20)
#define NUM 16

/* Gives each chain's writable part the bytes of its readable one. */
struct echo {
	struct loop loop;
	struct loop_timer end;
	struct vhost_dev dev;
	struct vhost_queue queues[2];
	struct iovec iov[VIRTQ_CHAIN_MAX];
	struct front front;
	int started, stopped, kicked, ended, err;
	const char *what;
};

static struct echo echo;

static void on_started(struct vhost_queue *queue)
{
	CHECK(virtq_running(&queue->ring));
	echo.started++;
}

static void on_stopped(struct vhost_queue *queue)
{
	CHECK(virtq_running(&queue->ring));
	echo.stopped++;
}

static void on_kicked(struct vhost_queue *queue)
{
	struct virtq_chain chain;
	int more;

	echo.kicked++;
	while ((more = virtq_next(&queue->ring, &chain, echo.iov)) > 0) {
		if (chain.n_out && chain.n_in)
			memcpy(chain.in[0].iov_base, chain.out[0].iov_base,
			       chain.out[0].iov_len);
		virtq_put(&queue->ring, chain.head, chain.out_len);
	}
	if (more < 0)
		vhost_fail(queue->dev, -EPROTO, "a chain");
	else
		vhost_notify(queue);
}

static void on_ended(struct vhost_dev *dev, int err, const char *what)
{
	CHECK(!dev->open);
	vhost_unmap(dev);
	echo.ended++;
	echo.err = err;
	echo.what = what;
}

static const struct vhost_ops ops = {
	.features = VHOST_RING_FEATURES,
	.n_queues = 2,
	.started = on_started,
	.stopped = on_stopped,
	.kicked = on_kicked,
	.ended = on_ended,
};

static void turn_over(struct loop_timer *timer)
{
	loop_stop(&container_of(timer, struct echo, end)->loop);
}

static void turns(int n)
{
	while (n-- > 0) {
		echo.loop.stopped = false;
		loop_timer_set(&echo.loop, &echo.end, 0, turn_over);
		CHECK(!loop_run(&echo.loop));
	}
}

static void rig_open(void)
{
	int fds[2];

	memset(&echo, 0, sizeof(echo));
	memcpy(echo.dev.config, "\x52\x54\0\1\2\3", 6);
	echo.dev.config_len = 6;
	CHECK(!loop_init(&echo.loop));
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	CHECK(!vhost_open(&echo.dev, &echo.loop, &ops, echo.queues, fds[0]));
	CHECK(!front_open(&echo.front, fds[1], MEM));
}

static void rig_close(void)
{
	vhost_close(&echo.dev);
	vhost_unmap(&echo.dev);
	CHECK(echo.started == echo.stopped);
	front_close(&echo.front);
	loop_close(&echo.loop);
}

static void handshake(uint64_t features)
{
	CHECK(front_handshake(&echo.front, features, 2, NUM));
	turns(4);
}

/* Ended, for this reason, which cost its queues what started. */
static bool broken(int err)
{
	turns(2);
	return echo.ended == 1 && echo.err == err &&
	       echo.started == echo.stopped && echo.dev.mem.n_regions == 0;
}

static void a_device_comes_up_and_echoes(void)
{
	struct front_queue *queue = &echo.front.queues[0];
	uint64_t features = 0;
	uint32_t id, len;
	uint8_t *data;

	rig_open();
	handshake(VHOST_RING_FEATURES | UINT64_C(1) << 30);
	CHECK(echo.started == 2 && echo.dev.features >> 30 & 1);
	CHECK(front_reply(&echo.front, FRONT_GET_FEATURES, &features, 8) == 8);
	CHECK(features == (VHOST_RING_FEATURES | UINT64_C(1) << 30));
	CHECK(front_reply(&echo.front, FRONT_GET_PROTOCOL_FEATURES, &features,
			  8) == 8);
	CHECK(features == 0x220);
	data = front_alloc(&echo.front, 4096);
	memcpy(data, "hello", sizeof("hello"));
	front_desc(queue, 0, front_addr(&echo.front, data), 5,
		   VRING_DESC_F_NEXT, 1);
	front_desc(queue, 1, front_addr(&echo.front, data + 100), 5,
		   VRING_DESC_F_WRITE, 0);
	front_avail(queue, 0);
	front_kick(queue);
	turns(1);
	CHECK(front_used(queue, &id, &len) && id == 0 && len == 5);
	CHECK(!memcmp(data + 100, "hello", 5));
	CHECK(front_calls(queue) == 1);
	/* Again: the eventfd was not read, and an edge is enough. */
	front_avail(queue, 0);
	front_kick(queue);
	turns(1);
	CHECK(front_used(queue, &id, &len));
	CHECK(echo.ended == 0);
	rig_close();
}

/* What was kicked for before the device looked. */
static void buffers_from_before_the_start_are_seen(void)
{
	struct front_queue *queue = &echo.front.queues[1];
	uint32_t id, len;

	rig_open();
	CHECK(front_handshake(&echo.front, VHOST_RING_FEATURES, 2, NUM));
	front_desc(queue, 3, FRONT_GUEST_BASE, 1, 0, 0);
	front_avail(queue, 3);
	turns(6);
	CHECK(front_used(queue, &id, &len) && id == 3);
	rig_close();
}

static void the_configuration_is_read_as_uml_does(void)
{
	uint32_t ask[4] = {0, 3, 0, 0}; /* three bytes from offset 0 */
	uint8_t answer[64];

	rig_open();
	CHECK(front_send(&echo.front, FRONT_GET_CONFIG, ask, 15, NULL, 0));
	turns(1);
	CHECK(front_reply(&echo.front, FRONT_GET_CONFIG, answer, 64) == 15);
	CHECK(!memcmp(answer + 12, "\x52\x54\0", 3));
	ask[0] = 250;
	ask[1] = 7;
	CHECK(front_send(&echo.front, FRONT_GET_CONFIG, answer, 19, NULL, 0));
	CHECK(broken(-EPROTO));
	rig_close();
}

static void a_queue_stops_and_starts_where_it_was(void)
{
	struct front_queue *queue = &echo.front.queues[0];
	uint32_t state[2], id, len;

	rig_open();
	handshake(VHOST_RING_FEATURES | UINT64_C(1) << 30);
	front_desc(queue, 0, FRONT_GUEST_BASE, 1, 0, 0);
	front_avail(queue, 0);
	front_kick(queue);
	turns(1);
	CHECK(front_used(queue, &id, &len));
	CHECK(front_send_state(&echo.front, FRONT_SET_VRING_ENABLE, 0, 0));
	turns(1);
	CHECK(echo.stopped == 1);
	front_avail(queue, 0);
	front_kick(queue);
	turns(1);
	CHECK(!front_used(queue, &id, &len));
	CHECK(front_send_state(&echo.front, FRONT_SET_VRING_ENABLE, 0, 1));
	turns(2);
	CHECK(front_used(queue, &id, &len) && echo.started == 3);
	/* The index that a driver would have to know to go on elsewhere. */
	CHECK(front_send_state(&echo.front, FRONT_GET_VRING_BASE, 0, 0));
	turns(1);
	for (int i = 0; i < 2; i++)
		front_reply(&echo.front,
			    i ? FRONT_GET_PROTOCOL_FEATURES
			      : FRONT_GET_FEATURES,
			    state, 8);
	CHECK(front_reply(&echo.front, FRONT_GET_VRING_BASE, state, 8) == 8);
	CHECK(state[1] == 2);
	rig_close();
}

/* New memory under rings that run: they go on in it. */
static void memory_is_exchanged(void)
{
	struct front_region region = {FRONT_GUEST_BASE, MEM, FRONT_USER_BASE,
				      FRONT_FILE_OFFSET};
	struct front_queue *queue = &echo.front.queues[0];
	uint32_t id, len;

	rig_open();
	handshake(VHOST_RING_FEATURES);
	CHECK(front_set_memory(&echo.front, &region, echo.front.memfd));
	turns(2);
	CHECK(echo.started == 4 && echo.stopped == 2 && !echo.ended);
	front_desc(queue, 0, FRONT_GUEST_BASE, 1, 0, 0);
	front_avail(queue, 0);
	front_kick(queue);
	turns(1);
	CHECK(front_used(queue, &id, &len));
	rig_close();
}

static void the_end_of_the_front_end_is_the_end(void)
{
	rig_open();
	handshake(VHOST_RING_FEATURES);
	shutdown(echo.front.sock, SHUT_RDWR);
	CHECK(broken(0));
	rig_close();
}

/* Each of these, by itself, after a proper start. */
static void broken_rules_end_it(void)
{
	static const struct {
		uint32_t request, len;
		uint64_t value;
	} bad[] = {
		{0, 0, 0},
		{26, 0, 0},
		{UINT32_MAX, 0, 0},
		{6, 8, 0}, /* SET_LOG_BASE was not offered */
		{FRONT_SET_OWNER, 8, 0},
		{FRONT_SET_FEATURES, 4, 0},
		{FRONT_SET_FEATURES, 8, UINT64_MAX},
		{FRONT_SET_FEATURES, 8, 0},
		{FRONT_SET_FEATURES, 8, UINT64_C(1) << VIRTIO_F_VERSION_1},
		{FRONT_SET_PROTOCOL_FEATURES, 8, 1},
		{FRONT_SET_MEM_TABLE, 8, 1},
		{FRONT_SET_MEM_TABLE, 8, 9},
		{FRONT_SET_VRING_NUM, 8, 2},
		{FRONT_SET_VRING_NUM, 8, UINT64_C(8) << 32},
		{FRONT_SET_VRING_BASE, 8, 0},
		{FRONT_SET_VRING_KICK, 8, 0},
		{FRONT_SET_VRING_KICK, 8, 0x100},
		{FRONT_SET_VRING_CALL, 8, 0},
		{FRONT_SET_VRING_CALL, 8, 2},
		{FRONT_SET_VRING_ENABLE, 8, 2},
		{FRONT_GET_VRING_BASE, 8, UINT32_MAX},
		{FRONT_SET_SLAVE_REQ_FD, 0, 0},
		{FRONT_GET_CONFIG, 12, 0},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		uint64_t payload[2] = {bad[i].value, 0};

		rig_open();
		handshake(VHOST_RING_FEATURES);
		CHECK(echo.started == 2);
		if (bad[i].request == FRONT_GET_CONFIG)
			payload[0] = UINT64_C(1) << 32; /* one byte too many */
		CHECK(front_send(&echo.front, bad[i].request, payload,
				 bad[i].len, NULL, 0));
		if (!broken(-EPROTO))
			printf("# rule %zu is not kept\n", i);
		CHECK(echo.ended == 1);
		rig_close();
	}
}

static void descriptors_of_another_kind_end_it(void)
{
	static const uint32_t requests[] = {FRONT_SET_VRING_KICK,
					    FRONT_SET_VRING_CALL,
					    FRONT_SET_SLAVE_REQ_FD};
	uint64_t index = 0;

	for (size_t i = 0; i < 3; i++) {
		int fds[2];

		rig_open();
		handshake(VHOST_RING_FEATURES);
		CHECK(!pipe(fds));
		CHECK(front_send(&echo.front, requests[i], &index, 8, fds, 1));
		CHECK(broken(-EPROTO));
		close(fds[0]);
		close(fds[1]);
		rig_close();
	}
}

static int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void surplus_descriptors_are_closed(void)
{
	int fds[12], before;
	uint64_t index = 0;

	rig_open();
	handshake(VHOST_RING_FEATURES);
	for (int i = 0; i < 12; i++)
		fds[i] = echo.front.memfd;
	before = open_descriptors();
	/* Those of a message that wants none. */
	CHECK(front_send(&echo.front, FRONT_SET_OWNER, NULL, 0, fds, 3));
	turns(1);
	CHECK(open_descriptors() == before && !echo.ended);
	/* More than any message has: what fits is closed, too. */
	CHECK(front_send(&echo.front, FRONT_SET_VRING_CALL, &index, 8, fds,
			 12));
	CHECK(broken(-EPROTO));
	CHECK(open_descriptors() < before);
	rig_close();
}

static void a_message_may_come_in_pieces(void)
{
	uint32_t message[] = {FRONT_SET_VRING_ENABLE, 1, 8, 0, 0};

	rig_open();
	handshake(VHOST_RING_FEATURES | UINT64_C(1) << 30);
	for (size_t i = 0; i < sizeof(message); i++) {
		CHECK(send(echo.front.sock, (uint8_t *)message + i, 1, 0) == 1);
		turns(1);
	}
	CHECK(echo.stopped == 1 && !echo.ended);
	rig_close();
}

/* Who does not read replies makes nobody wait. */
static void replies_that_are_not_read_end_it(void)
{
	rig_open();
	for (int i = 0; i < 100000 && !echo.ended; i++) {
		CHECK(front_send(&echo.front, FRONT_GET_FEATURES, NULL, 0, NULL,
				 0));
		turns(1);
	}
	CHECK(echo.ended == 1 && echo.err == -EPROTO);
	rig_close();
}

static void a_chain_to_nowhere_ends_it(void)
{
	struct front_queue *queue = &echo.front.queues[0];

	rig_open();
	handshake(VHOST_RING_FEATURES);
	front_desc(queue, 0, 0, 1, 0, 0);
	front_avail(queue, 0);
	front_kick(queue);
	CHECK(broken(-EPROTO));
	rig_close();
}

static void memory_that_vanishes_ends_it(void)
{
	struct front_queue *queue = &echo.front.queues[0];

	rig_open();
	handshake(VHOST_RING_FEATURES);
	/* The front end would fault itself in what is gone: keep the rings. */
	front_desc(queue, 0, FRONT_GUEST_BASE + MEM / 2, 64, VRING_DESC_F_NEXT,
		   1);
	front_desc(queue, 1, FRONT_GUEST_BASE + MEM / 2 + 64, 64,
		   VRING_DESC_F_WRITE, 0);
	front_avail(queue, 0);
	CHECK(!ftruncate(echo.front.memfd, FRONT_FILE_OFFSET + MEM / 2));
	front_kick(queue);
	CHECK(broken(-EFAULT));
	rig_close();
}

/* All of it, before the rings were ever looked at. */
static void memory_that_was_never_there_ends_it(void)
{
	rig_open();
	CHECK(front_handshake(&echo.front, VHOST_RING_FEATURES, 2, NUM));
	CHECK(!ftruncate(echo.front.memfd, 0));
	turns(4);
	CHECK(echo.ended == 1);
	rig_close();
}

static void a_region_beyond_its_file_ends_it(void)
{
	struct front_region region = {0, MEM + 1, 0, FRONT_FILE_OFFSET};

	rig_open();
	CHECK(front_set_memory(&echo.front, &region, echo.front.memfd));
	CHECK(broken(-EPROTO));
	rig_close();
}

int main(void)
{
	RUN(a_device_comes_up_and_echoes);
	RUN(buffers_from_before_the_start_are_seen);
	RUN(the_configuration_is_read_as_uml_does);
	RUN(a_queue_stops_and_starts_where_it_was);
	RUN(memory_is_exchanged);
	RUN(the_end_of_the_front_end_is_the_end);
	RUN(broken_rules_end_it);
	RUN(descriptors_of_another_kind_end_it);
	RUN(surplus_descriptors_are_closed);
	RUN(a_message_may_come_in_pieces);
	RUN(replies_that_are_not_read_end_it);
	RUN(a_chain_to_nowhere_ends_it);
	RUN(memory_that_vanishes_ends_it);
	RUN(memory_that_was_never_there_ends_it);
	RUN(a_region_beyond_its_file_ends_it);
	UNIT_DONE();
}
