/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_vhost_test - network cards of guests, played by the test, on a switch
 * whose BEAM is the test as well.
 */
#include "port_vhost.h"

#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "unit.h"
#include "vhost.h"
#include "vhost_front.h"

#define MEM (2u << 20)
#define NUM 64
#define BUFFER 2048
#define HEADER 12
#define ALL_FEATURES                                                         \
	(VHOST_RING_FEATURES | UINT64_C(1) << 30 | 1u << VIRTIO_NET_F_CSUM | \
	 1u << VIRTIO_NET_F_GUEST_CSUM | 1u << VIRTIO_NET_F_GUEST_TSO4 |     \
	 1u << VIRTIO_NET_F_GUEST_TSO6 | 1u << VIRTIO_NET_F_HOST_TSO4 |      \
	 1u << VIRTIO_NET_F_HOST_TSO6 | 1u << VIRTIO_NET_F_MRG_RXBUF)
#define PLAIN_FEATURES (VHOST_RING_FEATURES | UINT64_C(1) << 30)

struct card {
	struct front front;
	struct front_queue *rx, *tx;
	uint8_t *buffers, *out; /* NUM of BUFFER bytes; room for one frame */
	uint16_t offered;
};

struct rig {
	struct net net;
	struct loop_timer end;
	int beam;
};

static struct rig rig;

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

static void turn(void)
{
	rig.net.loop.stopped = false;
	loop_timer_set(&rig.net.loop, &rig.end, 0, turn_over);
	CHECK(!loop_run(&rig.net.loop));
}

/* Turns until nothing is ready or left over; false where that never comes. */
static bool settle(void)
{
	struct pollfd pfd = {.fd = rig.net.loop.epoll_fd, .events = POLLIN};

	for (int turns = 0; turns < 1000; turns++) {
		turn();
		if (TAILQ_EMPTY(&rig.net.loop.tasks) && poll(&pfd, 1, 0) == 0)
			return true;
	}
	return false;
}

static void give_credit(void)
{
	uint8_t credit[9] = {0, 0, 0, 5, PORT_KIND_CREDIT, 0, 255, 255, 255};

	CHECK(write(rig.beam, credit, sizeof(credit)) == sizeof(credit));
	CHECK(settle());
}

static void rig_open_without_credit(void)
{
	int fds[2];

	memset(&rig, 0, sizeof(rig));
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	rig.beam = fds[1];
	CHECK(!net_init(&rig.net, &ops, fds[0], dup(fds[0])));
}

static void rig_open(void)
{
	rig_open_without_credit();
	give_credit();
}

static void rig_close(void)
{
	int in = rig.net.beam.in.fd, out = rig.net.beam.out.fd;

	net_close(&rig.net);
	close(in);
	close(out);
	close(rig.beam);
}

/* With queues of num entries. */
static void card_open_with(struct card *card, uint64_t features, uint16_t num)
{
	int fds[2];

	memset(card, 0, sizeof(*card));
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	vhost_accepted(&rig.net, fds[0]);
	CHECK(!front_open(&card->front, fds[1], MEM));
	CHECK(front_handshake(&card->front, features, 2, num));
	CHECK(settle());
	card->rx = &card->front.queues[0];
	card->tx = &card->front.queues[1];
	card->buffers = front_alloc(&card->front, NUM * BUFFER);
	card->out = front_alloc(&card->front, 128 << 10);
	for (uint16_t i = 0; i < NUM; i++)
		front_desc(card->rx, i,
			   front_addr(&card->front, card->buffers + i * BUFFER),
			   BUFFER, VRING_DESC_F_WRITE, 0);
}

static void card_open(struct card *card, uint64_t features)
{
	card_open_with(card, features, NUM);
}

/* Offer n more receive buffers. */
static void card_offer(struct card *card, unsigned int n)
{
	uint16_t from = card->rx->next;

	while (n-- > 0)
		front_avail(card->rx, card->offered++ % NUM);
	if (front_kick_wanted(card->rx, from))
		front_kick(card->rx);
}

/* Send a frame of len bytes that lies in card->out behind the header. */
static void card_send(struct card *card, uint32_t len)
{
	uint64_t at = front_addr(&card->front, card->out);

	/* In three pieces, the first of them within the header. */
	front_desc(card->tx, 0, at, 5, VRING_DESC_F_NEXT, 1);
	front_desc(card->tx, 1, at + 5, HEADER - 5 + 20, VRING_DESC_F_NEXT, 2);
	front_desc(card->tx, 2, at + HEADER + 20, len - 20, 0, 0);
	front_avail(card->tx, 0);
	front_kick(card->tx);
	CHECK(settle());
}

static struct net_port *port_at(uint32_t id)
{
	return net_port_by_id(&rig.net, id);
}

static uint64_t count(uint32_t id, enum netport_counter counter)
{
	return port_at(id) ? port_at(id)->counters[counter] : UINT64_MAX;
}

/* Packets of the BEAM's pipe; those of data are appended to bytes. */
static size_t read_beam(uint8_t *bytes, size_t room)
{
	size_t got = 0;
	uint8_t head[5];

	while (recv(rig.beam, head, 5, MSG_DONTWAIT) == 5) {
		uint32_t len;

		static uint8_t packet[1 << 20];

		memcpy(&len, head, sizeof(len));
		len = ntohl(len) - 1;
		CHECK(len <= sizeof(packet));
		CHECK(recv(rig.beam, packet, len, MSG_WAITALL) == (ssize_t)len);
		if (head[4] != PORT_KIND_DATA)
			continue;
		CHECK(got + len <= room);
		memcpy(bytes + got, packet, len);
		got += len;
	}
	return got;
}

/* A TCP segment over IPv4 whose checksum is not there yet. */
static void put_tcp(uint8_t *at, uint32_t payload)
{
	static const uint8_t headers[] = {
		0x52, 0x54, 0,	  0,	0, 2, 0x52, 0x54, 0,	0,
		0,    1,    8,	  0, /* IPv4 */
		0x45, 0,    0,	  0,	0, 1, 0x40, 0,	  0x40, 6,
		0,    0,    10,	  0,	0, 1, 10,   0,	  0,	2, /* TCP */
		0x13, 0x88, 0x9c, 0x40, 0, 0, 0,    1,	  0,	0,
		0,    2,    0x50, 0x10, 2, 0, 0,    0,	  0,	0};

	memcpy(at, headers, sizeof(headers));
	for (uint32_t i = 0; i < payload; i++)
		at[sizeof(headers) + i] = (uint8_t)(i * 31);
}

static struct virtio_net_hdr_mrg_rxbuf tso_header(uint16_t gso_size)
{
	return (struct virtio_net_hdr_mrg_rxbuf){
		.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = gso_size ? VIRTIO_NET_HDR_GSO_TCPV4 : 0,
			.hdr_len = 54,
			.gso_size = gso_size,
			.csum_start = 34,
			.csum_offset = 16}};
}

static void a_port_comes_and_goes(void)
{
	struct card card;

	rig_open();
	card_open(&card, ALL_FEATURES);
	CHECK(port_at(1) && !strcmp(port_at(1)->ops->kind, "vhost"));
	CHECK(rig.net.connections == 1);
	front_close(&card.front);
	CHECK(settle());
	CHECK(!port_at(1) && rig.net.connections == 0);
	CHECK(rig.net.counters[NET_BROKEN_VHOST] == 0);
	rig_close();
}

static void frames_go_up(void)
{
	static uint8_t up[4096];
	struct card card;
	uint32_t id, len;

	rig_open();
	card_open(&card, ALL_FEATURES);
	put_tcp(card.out + HEADER, 6);
	card_send(&card, 60);
	CHECK(front_used(card.tx, &id, &len) && id == 0 && len == 0);
	CHECK(count(1, NETPORT_RX_FRAMES) == 1);
	CHECK(count(1, NETPORT_RX_BYTES) == 60);
	len = (uint32_t)read_beam(up, sizeof(up));
	CHECK(len > 60 && !memcmp(up + len - 60, card.out + HEADER, 60));
	front_close(&card.front);
	rig_close();
}

/* What has to go up waits in the guest's ring until the BEAM takes it. */
static void frames_wait_for_credit(void)
{
	struct card card;
	uint32_t id, len;

	rig_open_without_credit();
	card_open(&card, ALL_FEATURES);
	put_tcp(card.out + HEADER, 6);
	card_send(&card, 60);
	CHECK(!front_used(card.tx, &id, &len));
	CHECK(count(1, NETPORT_RX_FRAMES) == 0);
	front_avail(card.tx, 0);
	front_kick(card.tx);
	CHECK(settle());
	CHECK(!front_used(card.tx, &id, &len));
	give_credit();
	CHECK(front_used(card.tx, &id, &len));
	CHECK(front_used(card.tx, &id, &len));
	CHECK(count(1, NETPORT_RX_FRAMES) == 2);
	/* And kicks are wanted again. */
	front_avail(card.tx, 0);
	CHECK(front_kick_wanted(card.tx, (uint16_t)(card.tx->next - 1)));
	front_close(&card.front);
	rig_close();
}

/* The BEAM sees what would have been on the wire. */
static void what_goes_up_is_complete(void)
{
	static uint8_t up[1 << 20];
	struct virtio_net_hdr_mrg_rxbuf header = tso_header(1000);
	struct card card;
	size_t got;

	rig_open();
	card_open(&card, ALL_FEATURES);
	memcpy(card.out, &header, HEADER);
	put_tcp(card.out + HEADER, 10000);
	card_send(&card, 54 + 10000);
	CHECK(count(1, NETPORT_RX_FRAMES) == 1);
	got = read_beam(up, sizeof(up));
	/* Ten of them, each with a header of the batch's. */
	CHECK(got > 10 * 1054 && got < 10 * (1054 + 32));
	/* The last one: IPv4's id counted up, checksums that are there. */
	got -= 1054;
	CHECK(up[got + 16] == 1040 >> 8 && up[got + 17] == (1040 & 255));
	CHECK(up[got + 19] == 10);
	CHECK(up[got + 24] || up[got + 25]);
	CHECK(up[got + 50] || up[got + 51]);
	CHECK(up[got + 54] == (uint8_t)(9000 * 31));
	front_close(&card.front);
	rig_close();
}

static struct frame frame_of(uint8_t *bytes, uint32_t len, uint16_t gso_size)
{
	struct virtio_net_hdr_mrg_rxbuf header = tso_header(gso_size);

	return (struct frame){
		.bytes = bytes,
		.len = len,
		.offload = {.flags = header.hdr.flags,
			    .gso_type = header.hdr.gso_type,
			    .hdr_len = header.hdr.hdr_len,
			    .gso_size = header.hdr.gso_size,
			    .csum_start = header.hdr.csum_start,
			    .csum_offset = header.hdr.csum_offset}};
}

static void send_to(uint32_t id, const struct frame *frame)
{
	netport_send(port_at(id), frame);
	net_flush_ports(&rig.net);
}

static void an_offload_is_handed_on(void)
{
	static uint8_t bytes[10054];
	struct virtio_net_hdr_mrg_rxbuf header = tso_header(1000), got;
	struct frame frame = frame_of(bytes, sizeof(bytes), 1000);
	uint32_t id, len, at = 0;
	struct card card;

	rig_open();
	card_open(&card, ALL_FEATURES);
	put_tcp(bytes, 10000);
	card_offer(&card, 5);
	send_to(1, &frame);
	memcpy(&got, card.buffers, HEADER);
	CHECK(!memcmp(&got.hdr, &header.hdr, sizeof(got.hdr)));
	CHECK(got.num_buffers == 5);
	/* Each buffer full but the last. */
	for (uint32_t i = 0; i < 5; i++) {
		uint32_t skip = i ? 0 : HEADER;

		CHECK(front_used(card.rx, &id, &len) && id == i);
		CHECK(i == 4 || len == BUFFER);
		CHECK(!memcmp(card.buffers + i * BUFFER + skip, bytes + at,
			      len - skip));
		at += len - skip;
	}
	CHECK(at == sizeof(bytes) && !front_used(card.rx, &id, &len));
	CHECK(front_calls(card.rx) == 1);
	front_close(&card.front);
	rig_close();
}

/* A driver without offloads gets segments, each in one buffer. */
static void a_plain_driver_gets_complete_frames(void)
{
	static uint8_t bytes[10054];
	struct frame frame = frame_of(bytes, sizeof(bytes), 1000);
	struct virtio_net_hdr_mrg_rxbuf got;
	uint32_t id, len, n = 0;
	struct card card;

	rig_open();
	card_open(&card, PLAIN_FEATURES);
	put_tcp(bytes, 10000);
	card_offer(&card, 20);
	send_to(1, &frame);
	while (front_used(card.rx, &id, &len)) {
		memcpy(&got, card.buffers + id * BUFFER, HEADER);
		CHECK(!got.hdr.flags && !got.hdr.gso_type);
		CHECK(got.num_buffers == 1 && len == HEADER + 1054);
		n++;
	}
	CHECK(n == 10);
	/* What no buffer of its is large enough for is lost. */
	frame = (struct frame){.bytes = bytes, .len = BUFFER};
	send_to(1, &frame);
	CHECK(count(1, NETPORT_TX_ERRORS) == 1);
	front_close(&card.front);
	rig_close();
}

/* From one guest to the other, whatever lies in pieces on the way. */
static void a_long_frame_is_copied_whole(void)
{
	struct virtio_net_hdr_mrg_rxbuf header = tso_header(1448);
	struct card a, b;
	uint32_t id, len, at = 0;
	uint8_t *sent;

	rig_open();
	card_open(&a, ALL_FEATURES);
	card_open(&b, ALL_FEATURES);
	memcpy(a.out, &header, HEADER);
	put_tcp(a.out + HEADER, 60000);
	card_offer(&b, 40);
	/* Straight to the other one: no decision is needed for that. */
	sent = a.out + HEADER;
	{
		struct iovec rest[] = {{sent + FRAME_HEAD, 30000},
				       {sent + FRAME_HEAD + 30000,
					60054 - 30000 - FRAME_HEAD}};
		struct frame frame = frame_of(sent, 60054, 1448);

		frame.rest = rest;
		frame.n_rest = 2;
		frame.rest_len = 60054 - FRAME_HEAD;
		send_to(2, &frame);
	}
	while (front_used(b.rx, &id, &len)) {
		uint32_t skip = at ? 0 : HEADER;

		CHECK(!memcmp(b.buffers + id * BUFFER + skip, sent + at,
			      len - skip));
		at += len - skip;
	}
	CHECK(at == 60054);
	front_close(&a.front);
	front_close(&b.front);
	rig_close();
}

static void frames_wait_for_buffers(void)
{
	static uint8_t bytes[5054];
	struct frame frame = frame_of(bytes, sizeof(bytes), 1000);
	uint32_t id, len, n = 0;
	struct card card;

	rig_open();
	card_open(&card, ALL_FEATURES);
	card_offer(&card, 2); /* it takes three */
	send_to(1, &frame);
	/* With too few of them nobody keeps looking. */
	CHECK(settle());
	CHECK(!front_used(card.rx, &id, &len) && rig.net.backlogs);
	card_offer(&card, 1);
	CHECK(settle());
	while (front_used(card.rx, &id, &len))
		n++;
	CHECK(n == 3 && !rig.net.backlogs);
	CHECK(count(1, NETPORT_TX_DROPPED) == 0);
	/* Who offers nothing loses his own, once the backlog is full. */
	for (int i = 0; i < 1000; i++)
		send_to(1, &frame);
	CHECK(settle());
	CHECK(count(1, NETPORT_TX_DROPPED) > 0);
	CHECK(rig.net.backlogs <= NETPORT_BACKLOG_MAX);
	front_close(&card.front);
	CHECK(settle());
	CHECK(!rig.net.backlogs);
	rig_close();
}

/* An offload that does not fit its frame costs the frame, not the port. */
static void a_bad_offload_is_counted(void)
{
	struct virtio_net_hdr_mrg_rxbuf header = tso_header(1);
	struct card card;
	uint32_t id, len;

	rig_open();
	card_open(&card, ALL_FEATURES);
	memcpy(card.out, &header, HEADER);
	put_tcp(card.out + HEADER, 1000);
	card_send(&card, 1054);
	CHECK(count(1, NETPORT_RX_BAD) == 1);
	CHECK(count(1, NETPORT_RX_FRAMES) == 0);
	CHECK(front_used(card.tx, &id, &len));
	front_close(&card.front);
	rig_close();
}

/* Nor does a guest that sends nothing else keep the others from their turn. */
static void bad_offloads_end_a_turn(void)
{
	struct virtio_net_hdr_mrg_rxbuf header = tso_header(1);
	uint64_t before = 0;
	struct card card;

	rig_open();
	card_open_with(&card, ALL_FEATURES, 1024);
	memcpy(card.out, &header, HEADER);
	put_tcp(card.out + HEADER, 1000);
	front_desc(card.tx, 0, front_addr(&card.front, card.out), HEADER + 1054,
		   0, 0);
	for (int i = 0; i < 1024; i++)
		front_avail(card.tx, 0);
	front_kick(card.tx);
	for (int turns = 0; turns < 100 && !before; turns++) {
		turn();
		before = count(1, NETPORT_RX_BAD);
	}
	CHECK(before == 512);
	CHECK(settle());
	CHECK(count(1, NETPORT_RX_BAD) == 1024);
	front_close(&card.front);
	rig_close();
}

/* Behind DOWN_FLOOD: broadcasts go to the third port, then to the second. */
static void flood_to_two(void)
{
	static const uint8_t down[] = {DOWN_STATION,
				       0,
				       0,
				       0,
				       0,
				       0,
				       0x52,
				       0x54,
				       0,
				       0,
				       0,
				       1,
				       0,
				       0,
				       0,
				       1,
				       0,
				       0,
				       0,
				       0,
				       DOWN_FLOOD,
				       0,
				       0,
				       0,
				       0,
				       0,
				       0,
				       3,
				       0,
				       0,
				       0,
				       2,
				       0,
				       0,
				       0,
				       3,
				       0,
				       0,
				       0,
				       2};

	CHECK(!net_frames_down(&rig.net, down, sizeof(down)));
}

/*
 * A guest whose frame is on its way to others, in pieces of its memory, breaks
 * a rule: by what a mirror makes of that frame.
 */
static void a_frame_outlives_its_sender(void)
{
	const struct policy mirror = {.mirror = 1};
	struct card from, mirrored, other;
	uint32_t id, len;

	rig_open();
	CHECK(!forward_configure(&rig.net.forward, false, 100, UINT32_MAX / 2));
	card_open(&from, ALL_FEATURES);
	card_open(&mirrored, ALL_FEATURES);
	card_open(&other, ALL_FEATURES);
	card_offer(&mirrored, 4);
	card_offer(&other, 4);
	CHECK(!policy_set(port_at(2), &mirror));
	flood_to_two();
	/* A receive buffer to be read: what it does not keep to. */
	front_desc(from.rx, 0, FRONT_GUEST_BASE, 100, 0, 0);
	front_avail(from.rx, 0);
	memset(from.out, 0, HEADER);
	put_tcp(from.out + HEADER, 1400);
	memset(from.out + HEADER, 0xff, 6);
	card_send(&from, 1454);
	CHECK(!port_at(1));
	CHECK(front_used(mirrored.rx, &id, &len) && len == HEADER + 1454);
	CHECK(front_used(other.rx, &id, &len) && len == HEADER + 1454);
	CHECK(!memcmp(other.buffers + HEADER, from.out + HEADER, 1454));
	front_close(&from.front);
	front_close(&mirrored.front);
	front_close(&other.front);
	rig_close();
}

static void broken_guests_cost_nobody_else(void)
{
	struct card good, bad;
	uint32_t id, len;

	rig_open();
	card_open(&good, ALL_FEATURES);
	for (uint32_t i = 0; i < 5; i++) {
		card_open(&bad, ALL_FEATURES);
		CHECK(port_at(2 + i));
		switch (i) {
		case 0: /* a frame shorter than its header */
			front_desc(bad.tx, 0, FRONT_GUEST_BASE, 5, 0, 0);
			front_avail(bad.tx, 0);
			front_kick(bad.tx);
			break;
		case 1: /* an index that jumps */
			bad.tx->next = 1000;
			front_avail(bad.tx, 0);
			front_kick(bad.tx);
			break;
		case 2: /* memory that is gone */
			CHECK(!ftruncate(bad.front.memfd, 0));
			front_kick(bad.tx);
			break;
		case 3: /* the same, when a frame comes for it */
			CHECK(!ftruncate(bad.front.memfd, 0));
			send_to(2 + i,
				&(struct frame){.bytes = good.out, .len = 60});
			break;
		default: /* a receive buffer to be read */
			front_desc(bad.rx, 0, FRONT_GUEST_BASE, 100, 0, 0);
			front_avail(bad.rx, 0);
			put_tcp(good.out + HEADER, 6);
			send_to(2 + i,
				&(struct frame){.bytes = good.out, .len = 60});
		}
		CHECK(settle());
		CHECK(!port_at(2 + i));
		CHECK(rig.net.counters[NET_BROKEN_VHOST] == i + 1);
		front_close(&bad.front);
	}
	put_tcp(good.out + HEADER, 6);
	card_send(&good, 60);
	CHECK(front_used(good.tx, &id, &len));
	CHECK(count(1, NETPORT_RX_FRAMES) == 1);
	CHECK(rig.net.connections == 1);
	front_close(&good.front);
	rig_close();
}

/* Queues that are taken away and come again, as when a driver is reset. */
static void a_driver_may_start_again(void)
{
	struct frame frame = {.bytes = (const uint8_t[60]){0}, .len = 60};
	struct card card;
	uint32_t id, len;

	rig_open();
	card_open(&card, ALL_FEATURES);
	card_offer(&card, 4);
	CHECK(front_send_state(&card.front, FRONT_SET_VRING_ENABLE, 0, 0));
	CHECK(settle());
	CHECK(port_at(1));
	send_to(1, &frame);
	CHECK(count(1, NETPORT_TX_DROPPED) == 1);
	CHECK(front_send_state(&card.front, FRONT_SET_VRING_ENABLE, 0, 1));
	CHECK(settle());
	send_to(1, &frame);
	CHECK(front_used(card.rx, &id, &len) && len == HEADER + 60);
	front_close(&card.front);
	rig_close();
}

/* Calls that come until the timer for them has expired. */
static unsigned int calls_in_the_end(struct card *card)
{
	unsigned int calls = 0;

	while (rig.net.loop.timers) {
		turn();
		calls += front_calls(card->tx);
	}
	return calls + front_calls(card->tx);
}

/* Without EVENT_IDX: a call is wanted for each. */
static void a_short_frame_alone_is_freed_later(void)
{
	bool waited = false;
	struct card card;

	rig_open();
	card_open(&card,
		  PLAIN_FEATURES & ~(UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX));
	memset(card.out, 2, HEADER + 60);
	memset(card.out, 0, HEADER);
	CHECK(calls_in_the_end(&card) == 0);
	/* It may take longer than a call waits until we look: then again. */
	for (int i = 0; i < 100 && !waited; i++) {
		unsigned int at_once;

		card_send(&card, 60);
		at_once = front_calls(card.tx);
		waited = !at_once;
		CHECK(at_once + calls_in_the_end(&card) == 1);
	}
	CHECK(waited);
	/* The second brings the call for both, at once. */
	card_send(&card, 60);
	card_send(&card, 60);
	CHECK(front_calls(card.tx) > 0);
	calls_in_the_end(&card);
	/* A longer one is not kept. */
	card_send(&card, 300);
	CHECK(front_calls(card.tx) == 1);
	card_send(&card, 60);
	front_close(&card.front);
	CHECK(settle());
	CHECK(!rig.net.loop.timers);
	rig_close();
}

int main(void)
{
	RUN(a_port_comes_and_goes);
	RUN(frames_go_up);
	RUN(frames_wait_for_credit);
	RUN(what_goes_up_is_complete);
	RUN(an_offload_is_handed_on);
	RUN(a_plain_driver_gets_complete_frames);
	RUN(a_long_frame_is_copied_whole);
	RUN(frames_wait_for_buffers);
	RUN(a_bad_offload_is_counted);
	RUN(bad_offloads_end_a_turn);
	RUN(a_frame_outlives_its_sender);
	RUN(broken_guests_cost_nobody_else);
	RUN(a_driver_may_start_again);
	RUN(a_short_frame_alone_is_freed_later);
	UNIT_DONE();
}
