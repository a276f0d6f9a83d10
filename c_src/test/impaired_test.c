/* SPDX-License-Identifier: Apache-2.0 */
/*
 * impaired_test - frames on ways that are not perfect: those that have to be
 * cut first, those of a port that is paused, and more than there may be.
 */
#include <linux/virtio_net.h>

#include "net_rig.h"

#define HEADERS 54u
#define SEGMENT 1000u
#define SEGMENTS 3u

static uint64_t count_of(uint32_t id, enum impaired_direction direction,
			 enum impaired_event event)
{
	struct net_port *port = net_port_by_id(&rig.net, id);

	return port ? port->impaired_counters[direction][event] : UINT64_MAX;
}

static struct net_port *impair(uint32_t id, enum impaired_direction direction,
			       struct impair_options options)
{
	struct net_port *port = net_port_by_id(&rig.net, id);

	CHECK(port);
	options.gap = 1;
	options.limit = options.limit ? options.limit : 1000;
	impaired_set(port, direction, &options);
	return port;
}

/* TCP of three segments, which a guest has left to others to cut. */
static struct frame uncut(void)
{
	static uint8_t bytes[HEADERS + SEGMENTS * SEGMENT] = {
		0x52, 0x54, 0,	  0, 0, 2, 0x52, 0x54, 0,    0, 0,    1,
		0x08, 0x00, 0x45, 0, 0, 0, 0,	 0,    0x40, 0, 0x40, 6};

	bytes[46] = 5 << 4;
	return (struct frame){
		.bytes = bytes,
		.len = sizeof(bytes),
		.offload = {.flags = FRAME_NEEDS_CSUM,
			    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			    .hdr_len = HEADERS,
			    .gso_size = SEGMENT,
			    .csum_start = 34,
			    .csum_offset = 16},
	};
}

static unsigned int received(int fd, ssize_t len)
{
	static uint8_t frame[FRAME_MAX];
	unsigned int n = 0;
	ssize_t got;

	while ((got = recv(fd, frame, sizeof(frame), MSG_DONTWAIT)) > 0) {
		CHECK(got == len);
		n++;
	}
	return n;
}

static void what_was_to_be_cut_is(void)
{
	struct frame frame = uncut();
	struct net_port *port;
	int fd;

	rig_open();
	fd = peer();
	CHECK(settle() < 1000);
	port = impair(1, IMPAIRED_OUT,
		      (struct impair_options){.duplicate = RNG_CERTAIN});
	netport_send(port, &frame);
	net_flush_ports(&rig.net);
	turn();
	CHECK(received(fd, HEADERS + SEGMENT) == 2 * SEGMENTS);
	CHECK(count_of(1, IMPAIRED_OUT, IMPAIRED_DUPLICATE) == SEGMENTS);
	impair(1, IMPAIRED_OUT,
	       (struct impair_options){.lost_good = RNG_CERTAIN});
	netport_send(port, &frame);
	net_flush_ports(&rig.net);
	turn();
	CHECK(received(fd, 0) == 0);
	CHECK(count_of(1, IMPAIRED_OUT, IMPAIRED_LOSS) == SEGMENTS);
	impair(1, IMPAIRED_IN,
	       (struct impair_options){.lost_good = RNG_CERTAIN});
	CHECK(netport_input(port, &frame, 1) == 1);
	CHECK(count_of(1, IMPAIRED_IN, IMPAIRED_LOSS) == SEGMENTS);
	CHECK(rx_frames(1) == 0);
	close(fd);
	rig_close();
}

static void send_frames(int fd, int n)
{
	static const uint8_t frame[60] = {255, 255, 255, 255, 255, 255, 2};

	while (n-- > 0)
		CHECK(send(fd, frame, sizeof(frame), 0) == sizeof(frame));
}

/* The credit is for one; the others come when there is more, lost none. */
static void paused_with_frames_under_way(void)
{
	struct net_port *port;
	int fd;

	for (int healed = 0; healed < 2; healed++) {
		rig_open();
		fd = peer();
		CHECK(settle() < 1000);
		port = impair(1, IMPAIRED_IN,
			      (struct impair_options){.seed = 1});
		send_frames(fd, BURST_FRAMES);
		credit(1);
		CHECK(settle() < 1000);
		CHECK(rx_frames(1) == 1);
		CHECK(port->paused);
		CHECK(port->impaired[IMPAIRED_IN].queue.n == BURST_FRAMES - 1);
		/* It does not wake up for them meanwhile. */
		CHECK(!port->impaired[IMPAIRED_IN].timer.armed);
		if (healed)
			impaired_set(port, IMPAIRED_IN, NULL);
		CHECK(rx_frames(1) == 1);
		credit(1 << 20);
		CHECK(settle() < 1000);
		CHECK(rx_frames(1) == BURST_FRAMES);
		CHECK(port->impaired[IMPAIRED_IN].on == !healed);
		CHECK(!rig.net.impaired_bytes);
		read_all();
		close(fd);
		rig_close();
	}
}

static void no_more_than_there_may_be(void)
{
	static uint8_t bytes[FRAME_MAX];
	struct frame frame = {.bytes = bytes, .len = sizeof(bytes)};
	const size_t most = IMPAIRED_MAX / delayed_size(FRAME_MAX);
	struct net_port *port;
	int fd;

	rig_open();
	fd = peer();
	CHECK(settle() < 1000);
	port = impair(1, IMPAIRED_OUT,
		      (struct impair_options){.delay_ns = IMPAIR_DELAY_MAX_NS,
					      .limit = IMPAIR_LIMIT_MAX});
	for (size_t i = 0; i < most + 7; i++)
		netport_send(port, &frame);
	CHECK(count_of(1, IMPAIRED_OUT, IMPAIRED_LIMIT) == 7);
	CHECK(rig.net.impaired_bytes == most * delayed_size(FRAME_MAX));
	/* With its port all of that goes. */
	credit(1000);
	close(fd);
	CHECK(settle() < 1000);
	CHECK(!net_port_by_id(&rig.net, 1));
	CHECK(!rig.net.impaired_bytes);
	rig_close();
}

/* The pool of all: here it is nearly used up. */
static void no_more_than_the_pool_has(void)
{
	struct frame frame = {.bytes = (const uint8_t[60]){0}, .len = 60};
	struct net_port *port;
	int fd;

	rig_open();
	fd = peer();
	CHECK(settle() < 1000);
	port = impair(1, IMPAIRED_OUT,
		      (struct impair_options){.delay_ns = IMPAIR_DELAY_MAX_NS});
	rig.net.impaired_bytes = IMPAIRED_POOL - delayed_size(60);
	netport_send(port, &frame);
	netport_send(port, &frame);
	CHECK(count_of(1, IMPAIRED_OUT, IMPAIRED_LIMIT) == 1);
	CHECK(port->impaired[IMPAIRED_OUT].queue.n == 1);
	close(fd);
	rig_close();
}

int main(void)
{
	RUN(what_was_to_be_cut_is);
	RUN(paused_with_frames_under_way);
	RUN(no_more_than_there_may_be);
	RUN(no_more_than_the_pool_has);
	UNIT_DONE();
}
