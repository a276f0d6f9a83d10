/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_load - two virtio cards that send frames through a switch, in place of
 * guests, and look at what comes.
 *
 *     build/vhost_load SOCKET BYTES WINDOW SECONDS
 *
 * SOCKET is a switch's, with its suffix .vhost; BYTES the length of a frame, 60
 * to 1514; WINDOW how many may be on their way. The first card sends to the
 * second; of each frame that arrives the length, the sequence number and all
 * bytes are checked. Prints one line:
 *
 *     frames=N seconds=S lost=N wrong=N rtt_us=T
 *
 * where rtt_us is the time that a frame is on its way when there is one at a
 * time (WINDOW 1), else 0. It looks at its rings without a pause: give it a
 * CPU.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "vhost_front.h"

#define MEM (4u << 20)
#define NUM 256
#define SLOT 2048
#define HEADER sizeof(struct virtio_net_hdr_mrg_rxbuf)
#define FRAME_MIN 60
#define FRAME_MAX 1514
#define FEATURES                                                 \
	(UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << 30 | \
	 UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |                \
	 UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF)
/* A frame that has not come after so long is lost, seconds. */
#define LOST_S 1.0

struct card {
	struct front front;
	struct front_queue *rx, *tx;
	uint8_t *in, *out; /* NUM slots each */
	uint16_t tx_used;  /* sent and given back, as a ring index */
	uint16_t kicked;   /* tx->next when last asked about a kick */
};

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "vhost_load: %s: %s\n", what, strerror(errno));
	exit(2);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void card_connect(struct card *card, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)(void *)&address,
			      sizeof(address)) < 0)
		fail(path);
	if (front_open(&card->front, fd, MEM) ||
	    !front_handshake(&card->front, FEATURES, 2, NUM))
		fail("handshake");
	card->rx = &card->front.queues[0];
	card->tx = &card->front.queues[1];
	card->in = front_alloc(&card->front, NUM * SLOT);
	card->out = front_alloc(&card->front, NUM * SLOT);
	for (uint16_t i = 0; i < NUM; i++) {
		front_desc(card->rx, i,
			   front_addr(&card->front, card->in + i * SLOT), SLOT,
			   VRING_DESC_F_WRITE, 0);
		front_avail(card->rx, i);
	}
	/* Never call us: we look. */
	card->rx->avail->ring[NUM] = (uint16_t)(card->rx->next + 0x8000);
	card->tx->avail->ring[NUM] = (uint16_t)(card->tx->next + 0x8000);
}

static void mac(uint8_t *at, uint8_t card)
{
	memset(at, 0, 6);
	at[0] = 2;
	at[5] = card;
}

/* The frame: addresses, a type for experiments, its number, a pattern. */
static void fill(uint8_t *frame, size_t len, uint8_t to, uint8_t from,
		 uint32_t number)
{
	mac(frame, to);
	mac(frame + 6, from);
	frame[12] = 0x88;
	frame[13] = 0xb5;
	memcpy(frame + 14, &number, sizeof(number));
	memset(frame + 18, (int)(number & 0xff), len - 18);
}

/* Queue a frame; flush() shows the switch all that was queued. */
static void queue_frame(struct card *card, size_t len, uint8_t to, uint8_t from,
			uint32_t number)
{
	uint16_t i = card->tx->next % NUM;
	uint8_t *slot = card->out + i * SLOT;

	memset(slot, 0, HEADER);
	fill(slot + HEADER, len, to, from, number);
	front_desc(card->tx, i, front_addr(&card->front, slot),
		   (uint32_t)(HEADER + len), 0, 0);
	front_avail(card->tx, i);
}

static void flush(struct card *card)
{
	if (card->kicked == card->tx->next)
		return;
	if (front_kick_wanted(card->tx, card->kicked))
		front_kick(card->tx);
	card->kicked = card->tx->next;
}

static void reap(struct card *card)
{
	uint32_t id, len;

	while (front_used(card->tx, &id, &len))
		card->tx_used++;
	card->tx->avail->ring[NUM] = (uint16_t)(card->tx->seen + 0x8000);
}

static unsigned int in_ring(const struct card *card)
{
	return (uint16_t)(card->tx->next - card->tx_used);
}

struct tally {
	uint32_t received, wrong, next;
};

/* Look at what has come, and offer the buffers again. */
static void receive(struct card *card, size_t len, struct tally *tally)
{
	uint16_t from = card->rx->next;
	uint8_t wanted[FRAME_MAX];
	uint32_t id, used;

	while (front_used(card->rx, &id, &used)) {
		const uint8_t *frame = card->in + id * SLOT + HEADER;
		uint32_t number;

		memcpy(&number, frame + 14, sizeof(number));
		fill(wanted, len, 2, 1, number);
		if (used != HEADER + len || memcmp(frame, wanted, len) != 0 ||
		    number < tally->next)
			tally->wrong++;
		else
			tally->next = number + 1;
		tally->received++;
		front_avail(card->rx, (uint16_t)id);
	}
	card->rx->avail->ring[NUM] = (uint16_t)(card->rx->seen + 0x8000);
	if (card->rx->next != from && front_kick_wanted(card->rx, from))
		front_kick(card->rx);
}

/* The switch learns where the cards are, until a frame arrives. */
static void introduce(struct card *a, struct card *b)
{
	double end = now_s() + 10;
	struct tally ignored = {0};
	uint32_t id, len;

	while (!ignored.received) {
		if (now_s() > end)
			fail("the switch forwards nothing");
		queue_frame(b, FRAME_MIN, 1, 2, 0);
		flush(b);
		usleep(1000);
		queue_frame(a, FRAME_MIN, 2, 1, 0);
		flush(a);
		usleep(20000);
		reap(a);
		reap(b);
		receive(b, FRAME_MIN, &ignored);
	}
	/* What else was on its way. */
	usleep(100000);
	receive(b, FRAME_MIN, &ignored);
	while (front_used(a->rx, &id, &len))
		front_avail(a->rx, (uint16_t)id);
	reap(a);
	reap(b);
}

static void run(struct card *a, struct card *b, size_t len, uint32_t window,
		double seconds)
{
	double start = now_s(), end = start + seconds, last = start, now;
	struct tally tally = {0};
	uint32_t sent = 0, lost = 0, before;

	do {
		while (sent - tally.received - lost < window &&
		       in_ring(a) < NUM)
			queue_frame(a, len, 2, 1, sent++);
		flush(a);
		before = tally.received;
		receive(b, len, &tally);
		reap(a);
		now = now_s();
		if (tally.received != before)
			last = now;
		if (now - last > LOST_S) {
			lost = sent - tally.received;
			last = now;
		}
	} while (now < end);
	printf("frames=%u seconds=%.3f lost=%u wrong=%u rtt_us=%.2f\n",
	       tally.received, now - start, lost, tally.wrong,
	       window == 1 && tally.received
		       ? (now - start) / tally.received * 1e6
		       : 0.0);
}

int main(int argc, char **argv)
{
	static struct card a, b;
	unsigned long len, window;
	double seconds;

	if (argc != 5) {
		fprintf(stderr,
			"usage: vhost_load SOCKET BYTES WINDOW SECONDS\n");
		return 2;
	}
	len = strtoul(argv[2], NULL, 10);
	window = strtoul(argv[3], NULL, 10);
	seconds = strtod(argv[4], NULL);
	if (len < FRAME_MIN || len > FRAME_MAX || window < 1 || window > NUM)
		fail("a frame or window of that size");
	card_connect(&a, argv[1]);
	card_connect(&b, argv[1]);
	introduce(&a, &b);
	run(&a, &b, len, (uint32_t)window, seconds);
	return 0;
}
