/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_port_vhost - a hostile guest's card on a switch: the input is a list of
 * what it does with its queues and frames. It is on an access port of VLAN 7,
 * and gets a mirror of the other port, which is a trunk of a driver that
 * knows no offloads: that one gets whole frames with the switch's tag, and
 * nothing else.
 */
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "port_vhost.h"
#include "vhost.h"
#include "vhost_front.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define MEM (256u << 10)
#define NUM 8
#define HEADER 12
#define BUFFER 2048
#define OUT (70u << 10)
#define PORTS 250
#define ALL_FEATURES                                                         \
	(VHOST_RING_FEATURES | UINT64_C(1) << 30 | 1u << VIRTIO_NET_F_CSUM | \
	 1u << VIRTIO_NET_F_GUEST_CSUM | 1u << VIRTIO_NET_F_GUEST_TSO4 |     \
	 1u << VIRTIO_NET_F_GUEST_TSO6 | 1u << VIRTIO_NET_F_HOST_TSO4 |      \
	 1u << VIRTIO_NET_F_HOST_TSO6 | 1u << VIRTIO_NET_F_MRG_RXBUF)

struct card {
	struct front front;
	struct front_queue *rx, *tx;
	uint8_t *in, *out; /* NUM times BUFFER; OUT */
};

struct rig {
	struct net net;
	struct loop_timer end;
	int beam;
	struct card bad, good;
	uint32_t gso_size;
	const uint8_t *at, *end_of_input;
};

static struct rig rig;

static void expect(bool what)
{
	if (!what)
		abort();
}

static void on_term(struct port *port, const char *term, size_t len)
{
	(void)port, (void)term, (void)len;
}

static void on_data(struct port *port, const uint8_t *bytes, size_t len)
{
	(void)port, (void)bytes, (void)len;
}

static void on_writable(struct port *port)
{
	net_resume(container_of(port, struct net, beam));
}

static void on_closed(struct port *port)
{
	loop_stop(port->loop);
}

static const struct port_ops ops = {
	.term = on_term,
	.data = on_data,
	.writable = on_writable,
	.closed = on_closed,
};

static void turn_over(struct loop_timer *timer)
{
	loop_stop(&container_of(timer, struct rig, end)->net.loop);
}

/* The BEAM reads all, and answers nothing. */
static void turn(void)
{
	static uint8_t sink[1 << 16];

	rig.net.loop.stopped = false;
	loop_timer_set(&rig.net.loop, &rig.end, 0, turn_over);
	expect(!loop_run(&rig.net.loop));
	while (recv(rig.beam, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		continue;
}

static uint8_t next_byte(void)
{
	return rig.at < rig.end_of_input ? *rig.at++ : 0;
}

static uint32_t next_number(unsigned int n)
{
	uint32_t value = 0;

	while (n-- > 0)
		value = value << 8 | next_byte();
	return value;
}

static void card_open(struct card *card, uint64_t features)
{
	int fds[2];

	expect(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	vhost_accepted(&rig.net, fds[0]);
	expect(!front_open(&card->front, fds[1], MEM));
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	expect(front_handshake(&card->front, features, 2, NUM));
	turn();
	turn();
	card->rx = &card->front.queues[0];
	card->tx = &card->front.queues[1];
	card->in = front_alloc(&card->front, NUM * BUFFER);
	card->out = front_alloc(&card->front, OUT);
	for (uint16_t i = 0; i < NUM; i++) {
		front_desc(card->rx, i,
			   front_addr(&card->front, card->in + i * BUFFER),
			   BUFFER, VRING_DESC_F_WRITE, 0);
		front_avail(card->rx, i);
	}
	front_kick(card->rx);
}

/* Take what the good card got, and offer the buffers again. */
static void good_card(void)
{
	static const uint8_t tag[] = {0x81, 0, 0, 7};
	struct virtio_net_hdr_mrg_rxbuf header;
	uint32_t id, len;

	while (front_used(rig.good.rx, &id, &len)) {
		const uint8_t *at = rig.good.in + (size_t)id * BUFFER;

		expect(id < NUM && len >= HEADER + 18 && len <= BUFFER);
		memcpy(&header, at, HEADER);
		expect(!header.hdr.flags && !header.hdr.gso_type);
		expect(header.num_buffers == 1);
		expect(!memcmp(at + HEADER + 12, tag, sizeof(tag)));
		front_avail(rig.good.rx, (uint16_t)id);
		front_kick(rig.good.rx);
	}
}

/* Any number, or one near the limit: few inputs come so far. */
static uint32_t next_near(uint32_t limit)
{
	return next_byte() % 2 ? limit - next_byte() % 64 : next_number(2);
}

/* A segment of TCP that a card is to cut, or nearly one. */
static void write_frame(void)
{
	static const uint8_t headers[] = {
		0x52, 0x54, 0,	  0,	0, 2, 0x52, 0x54, 0,	0,
		0,    1,    8,	  0, /* IPv4 */
		0x45, 0,    0,	  0,	0, 1, 0x40, 0,	  0x40, 6,
		0,    0,    10,	  0,	0, 1, 10,   0,	  0,	2, /* TCP */
		0x13, 0x88, 1,	  1,	0, 0, 0,    1,	  0,	0,
		0,    2,    0x50, 0x10, 2, 0, 0,    0,	  0,	0};
	struct virtio_net_hdr_mrg_rxbuf header;
	uint8_t change;

	rig.gso_size = next_near(FRAME_MAX - 54);
	header = (struct virtio_net_hdr_mrg_rxbuf){
		.hdr = {.flags = next_byte() % 4 ? VIRTIO_NET_HDR_F_NEEDS_CSUM
						 : next_byte(),
			.gso_type = next_byte() % 4 ? VIRTIO_NET_HDR_GSO_TCPV4
						    : next_byte(),
			.hdr_len = 54,
			.gso_size = (uint16_t)rig.gso_size,
			.csum_start = 34,
			.csum_offset = 16}};
	change = next_byte();
	memcpy(rig.bad.out, &header, HEADER);
	memcpy(rig.bad.out + HEADER, headers, sizeof(headers));
	if (change % 2)
		memset(rig.bad.out + HEADER, 0xff, 6);
	if (change > 128)
		rig.bad.out[change % 66] = next_byte();
}

static void send_frame(void)
{
	struct front_queue *tx = rig.bad.tx;
	uint64_t at = front_addr(&rig.bad.front, rig.bad.out);
	uint32_t first = next_number(2) % 300 + 1,
		 rest = next_near(HEADER + 54 + rig.gso_size);

	front_desc(tx, 0, at, first, VRING_DESC_F_NEXT, 1);
	front_desc(tx, 1, at + first, rest, 0, 0);
	front_avail(tx, 0);
	front_kick(tx);
}

static void write_desc(struct front_queue *queue)
{
	unsigned int i = next_byte() % NUM;
	uint64_t addr = FRONT_GUEST_BASE + next_number(3) % (MEM + 64);
	uint32_t size = next_number(2);
	uint16_t flags = next_byte() % 8;

	front_desc(queue, i, addr, size, flags, next_byte() % (NUM + 1));
}

static void scribble(void)
{
	size_t at = next_number(3) % MEM, n = next_byte() % 32;

	for (; n > 0 && at < MEM; n--)
		rig.bad.front.mem[at++] = next_byte();
}

static void act(uint8_t op)
{
	struct front_queue *queue =
		&rig.bad.front.queues[op / 16 % rig.bad.front.n_queues];

	switch (op % 8) {
	case 0:
		write_frame();
		break;
	case 1:
	case 2:
		send_frame();
		break;
	case 3:
		write_desc(queue);
		break;
	case 4:
		front_avail(queue, next_byte() % (NUM + 1));
		front_kick(queue);
		break;
	case 5:
		scribble();
		break;
	case 6:
		front_send_state(&rig.bad.front, FRONT_SET_VRING_ENABLE,
				 op / 16 % 2, next_byte() % 2);
		break;
	default:
		turn();
		good_card();
	}
}

/* What Erlang has decided: who is where, and where floods of VLAN 7 go. */
static void decide(uint8_t bad, uint8_t good)
{
	const uint8_t down[] = {DOWN_STATION,
				0,
				0,
				0,
				0,
				7,
				0x52,
				0x54,
				0,
				0,
				0,
				1,
				0,
				0,
				0,
				bad,
				0,
				0,
				0,
				0, /* for ever */
				DOWN_STATION,
				0,
				0,
				0,
				0,
				7,
				0x52,
				0x54,
				0,
				0,
				0,
				2,
				0,
				0,
				0,
				good,
				0,
				0,
				0,
				0,
				DOWN_FLOOD,
				0,
				0,
				7,
				0,
				0,
				0,
				good,
				0,
				0,
				0,
				2,
				0,
				0,
				0,
				bad,
				0,
				0,
				0,
				good};
	struct policy access = {.mtu = 0}, trunk = {.mirror = bad};
	uint8_t all[VLAN_SET_BYTES];

	memset(all, 0xff, sizeof(all));
	vlan_set_init(&access.vlans, 7, NULL);
	vlan_set_init(&trunk.vlans, 0, all);
	expect(!policy_set(net_port_by_id(&rig.net, bad), &access));
	expect(!policy_set(net_port_by_id(&rig.net, good), &trunk));
	expect(!net_frames_down(&rig.net, down, sizeof(down)));
}

/* It costs more than an input does, so it lasts for some of them. */
static void net_open(void)
{
	int fds[2];

	memset(&rig, 0, sizeof(rig));
	expect(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	rig.beam = fds[1];
	expect(!net_init(&rig.net, &ops, fds[0], dup(fds[0])));
	expect(!forward_configure(&rig.net.forward, false, 100,
				  UINT32_MAX / 2));
}

static void net_end(void)
{
	int in = rig.net.beam.in.fd, out = rig.net.beam.out.fd;

	net_close(&rig.net);
	close(in);
	close(out);
	close(rig.beam);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static uint8_t ports;

	if (!ports)
		net_open();
	rig.at = bytes;
	rig.end_of_input = bytes + len;
	card_open(&rig.bad, ALL_FEATURES);
	card_open(&rig.good, VHOST_RING_FEATURES | UINT64_C(1) << 30);
	ports += 2;
	decide(ports - 1, ports);
	while (rig.at < rig.end_of_input)
		act(next_byte());
	turn();
	good_card();
	expect(net_port_by_id(&rig.net, ports));
	front_close(&rig.bad.front);
	front_close(&rig.good.front);
	while (rig.net.connections)
		turn();
	if (ports == PORTS) {
		net_end();
		ports = 0;
	}
	return 0;
}
