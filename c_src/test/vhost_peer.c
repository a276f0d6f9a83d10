/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_peer - a guest's network card for the suites, which cannot share
 * memory themselves.
 *
 *     vhost_peer SOCKET relay      frames in and out, {packet, 4}
 *     vhost_peer SOCKET MISDEED    behave badly; 0 once the switch has had
 * enough
 *
 * It ends with its stdin, too. Misdeeds that the switch has to live with
 * (half, deaf, flood) last until then.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vhost_front.h"

#define MEM (16u << 20)
#define NUM 64
#define SLOT (128u << 10) /* of one frame that is sent */
#define BUFFER 4096
#define HEADER sizeof(struct virtio_net_hdr_mrg_rxbuf)
#define FEATURES                                                 \
	(UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << 30 | \
	 UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC |            \
	 UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF)
/* The switch has had enough of a misdeed after so long, ms. */
#define PATIENCE_MS 20000

struct card {
	struct front front;
	struct front_queue *rx, *tx;
	uint8_t *buffers, *slots;
	unsigned int busy; /* slots on their way, in the order of the ring */
	uint8_t frame[SLOT];
	size_t frame_len;
	unsigned int missing; /* buffers of that frame still to come */
	uint8_t in[4 * SLOT];
	size_t in_len;
};

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "vhost_peer: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void card_connect(struct card *card, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)(void *)&address,
			      sizeof(address)) < 0)
		fail(path);
	if (front_open(&card->front, fd, MEM))
		fail("memory");
}

static void card_start(struct card *card)
{
	if (!front_handshake(&card->front, FEATURES, 2, NUM))
		fail("handshake");
	card->rx = &card->front.queues[0];
	card->tx = &card->front.queues[1];
	card->buffers = front_alloc(&card->front, NUM * BUFFER);
	card->slots = front_alloc(&card->front, NUM / 2 * SLOT);
	if (!card->buffers || !card->slots)
		fail("room");
}

static void card_offer(struct card *card, uint16_t i)
{
	uint16_t from = card->rx->next;

	front_desc(card->rx, i,
		   front_addr(&card->front, card->buffers + i * BUFFER), BUFFER,
		   VRING_DESC_F_WRITE, 0);
	front_avail(card->rx, i);
	if (front_kick_wanted(card->rx, from))
		front_kick(card->rx);
}

/* --- Relay ------------------------------------------------------------ */

static void write_all(const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len) {
		ssize_t n = write(STDOUT_FILENO, at, len);

		if (n < 0 && errno != EINTR)
			exit(0);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
}

/* A buffer has come: the next part of a frame, or all of it. */
static void take_buffer(struct card *card, uint32_t id, uint32_t len)
{
	const uint8_t *at = card->buffers + id * BUFFER;
	uint32_t prefix;

	if (!card->missing) {
		struct virtio_net_hdr_mrg_rxbuf header;

		memcpy(&header, at, HEADER);
		/* Nothing was negotiated that would make it incomplete. */
		if (header.hdr.flags || header.hdr.gso_type)
			fail("an offload that nobody wanted");
		card->missing = header.num_buffers;
		card->frame_len = 0;
		at += HEADER;
		len -= (uint32_t)HEADER;
	}
	memcpy(card->frame + card->frame_len, at, len);
	card->frame_len += len;
	if (--card->missing)
		return;
	prefix = htonl((uint32_t)card->frame_len);
	write_all(&prefix, sizeof(prefix));
	write_all(card->frame, card->frame_len);
}

static void serve_rings(struct card *card)
{
	uint32_t id, len;

	front_calls(card->rx);
	front_calls(card->tx);
	while (front_used(card->rx, &id, &len)) {
		take_buffer(card, id, len);
		card_offer(card, (uint16_t)id);
	}
	while (front_used(card->tx, &id, &len))
		card->busy--;
}

static void send_frame(struct card *card, const uint8_t *frame, size_t len)
{
	uint16_t i = card->tx->next % (NUM / 2), from = card->tx->next;
	uint8_t *slot = card->slots + i * SLOT;

	memset(slot, 0, HEADER);
	memcpy(slot + HEADER, frame, len);
	front_desc(card->tx, i, front_addr(&card->front, slot),
		   (uint32_t)(HEADER + len), 0, 0);
	front_avail(card->tx, i);
	card->busy++;
	if (front_kick_wanted(card->tx, from))
		front_kick(card->tx);
}

/* Send what has come on stdin, as far as there are slots. */
static void send_packets(struct card *card)
{
	size_t at = 0;

	while (card->in_len - at >= 4 && card->busy < NUM / 2) {
		uint32_t len;

		memcpy(&len, card->in + at, 4);
		len = ntohl(len);
		if (len > SLOT - HEADER)
			fail("a frame too long");
		if (card->in_len - at < 4 + len)
			break;
		send_frame(card, card->in + at + 4, len);
		at += 4 + len;
	}
	memmove(card->in, card->in + at, card->in_len - at);
	card->in_len -= at;
}

static void read_stdin(struct card *card)
{
	ssize_t n = read(STDIN_FILENO, card->in + card->in_len,
			 sizeof(card->in) - card->in_len);

	if (n == 0)
		exit(0);
	if (n > 0)
		card->in_len += (size_t)n;
}

static int relay(struct card *card)
{
	card_start(card);
	for (uint16_t i = 0; i < NUM; i++)
		card_offer(card, i);
	for (;;) {
		bool full = card->in_len == sizeof(card->in);
		struct pollfd fds[] = {
			{.fd = full ? -1 : STDIN_FILENO, .events = POLLIN},
			{.fd = card->rx->call[0], .events = POLLIN},
			{.fd = card->tx->call[0], .events = POLLIN},
			{.fd = card->front.sock, .events = POLLRDHUP},
		};

		if (poll(fds, 4, -1) < 0)
			fail("poll");
		if (fds[3].revents)
			return 2; /* the switch closed it */
		if (fds[0].revents)
			read_stdin(card);
		serve_rings(card);
		send_packets(card);
	}
}

/* --- Misdeeds --------------------------------------------------------- */

static void garbage(struct card *card)
{
	uint8_t bytes[4096];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 + 13);
	send(card->front.sock, bytes, sizeof(bytes), MSG_NOSIGNAL);
}

/* Rings before there is memory for them, and then memory without them. */
static void disorder(struct card *card)
{
	struct front_region region = {0, MEM, 0, FRONT_FILE_OFFSET};

	for (unsigned int i = 0; i < 2; i++) {
		front_lay_out(&card->front, i, NUM, FEATURES);
		front_set_queue(&card->front, i);
		front_start_queue(&card->front, i);
	}
	front_send_u64(&card->front, FRONT_SET_FEATURES, FEATURES);
	front_set_memory(&card->front, &region, card->front.memfd);
}

static void surplus(struct card *card)
{
	int fds[16];

	card_start(card);
	for (int i = 0; i < 16; i++)
		fds[i] = card->front.memfd;
	front_send(&card->front, FRONT_SET_OWNER, NULL, 0, fds, 16);
}

static void send_chain(struct card *card, uint16_t head)
{
	front_avail(card->tx, head);
	front_kick(card->tx);
}

static void nowhere(struct card *card)
{
	card_start(card);
	front_desc(card->tx, 0, UINT64_C(1) << 60, 100, 0, 0);
	send_chain(card, 0);
}

static void endless(struct card *card)
{
	card_start(card);
	front_desc(card->tx, 0, FRONT_GUEST_BASE, 64, VRING_DESC_F_NEXT, 1);
	front_desc(card->tx, 1, FRONT_GUEST_BASE, 64, VRING_DESC_F_NEXT, 0);
	send_chain(card, 0);
}

static void leap(struct card *card)
{
	card_start(card);
	card->tx->next = 30000;
	send_chain(card, 0);
}

static void cut(struct card *card)
{
	if (ftruncate(card->front.memfd, 0) < 0)
		fail("truncate");
}

static void shrink(struct card *card)
{
	card_start(card);
	cut(card);
	front_kick(card->tx);
}

/* Its memory is gone when a frame for it comes. */
static void vanish(struct card *card)
{
	card_start(card);
	for (uint16_t i = 0; i < NUM; i++)
		card_offer(card, i);
	cut(card);
}

static void half(struct card *card)
{
	send(card->front.sock, "\1\0\0", 3, MSG_NOSIGNAL);
}

/* --- Misdeeds that last ----------------------------------------------- */

static bool stdin_open(void)
{
	struct pollfd pfd = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&pfd, 1, 0) == 0;
}

/* Frames to nobody, faster than anybody takes them; and some are no frames. */
static void flood(struct card *card)
{
	uint8_t frame[60] = {2, 9, 9, 9, 9, 9, 2, 8};
	uint32_t id, len, n = 0;

	card_start(card);
	while (stdin_open()) {
		while (card->busy < NUM / 2) {
			memcpy(frame + 8, &n, sizeof(n));
			send_frame(card, frame, n++ % 7 ? sizeof(frame) : 5);
		}
		while (front_used(card->tx, &id, &len))
			card->busy--;
	}
}

static const struct {
	const char *name;
	void (*act)(struct card *card);
	bool lasts;
} misdeeds[] = {
	{"garbage", garbage, false}, {"disorder", disorder, false},
	{"surplus", surplus, false}, {"nowhere", nowhere, false},
	{"endless", endless, false}, {"leap", leap, false},
	{"shrink", shrink, false},   {"vanish", vanish, false},
	{"half", half, true},	     {"deaf", card_start, true},
	{"flood", flood, true},
};

/* Until the switch closes the connection, or stdin ends. */
static int await_end(struct card *card, bool lasts)
{
	struct pollfd fds[] = {
		{.fd = STDIN_FILENO, .events = POLLIN},
		{.fd = card->front.sock, .events = POLLRDHUP},
	};

	if (poll(fds, 2, lasts ? -1 : PATIENCE_MS) <= 0)
		return 1;
	if (fds[1].revents)
		return lasts;
	return !lasts;
}

int main(int argc, char **argv)
{
	static struct card card;

	if (argc != 3)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	card_connect(&card, argv[1]);
	if (!strcmp(argv[2], "relay"))
		return relay(&card);
	for (size_t i = 0; i < sizeof(misdeeds) / sizeof(*misdeeds); i++) {
		if (strcmp(argv[2], misdeeds[i].name) != 0)
			continue;
		misdeeds[i].act(&card);
		return await_end(&card, misdeeds[i].lasts);
	}
	return 2;
}
