/* SPDX-License-Identifier: Apache-2.0 */
/*
 * impair_load - sends frames into one end of a way and looks at what comes out
 * of the other.
 *
 *     build/impair_load bess SOCKET    two ports of an evum_switch
 *     build/impair_load veth A B       two interfaces, by packet sockets
 *
 * It prints `ready' once both ends are there, and known to the switch, and
 * then obeys lines on stdin:
 *
 *     delay COUNT            one frame after another: how long they take, us
 *     loss COUNT             in bursts that fit into any queue: how many come
 *     rate SECONDS KBIT      so much is offered: what comes in that time,
 * kbit/s end
 *
 * Each is answered by a line NAME=NUMBER ...
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)
/* Local experimental Ethertype 1 (IEEE 802): nobody else sends these. */
#define ETHERTYPE 0x88b5
#define FRAME_SMALL 60u
#define FRAME_LARGE 1250u
#define BURST 32u
/* What has not come for so long is lost. */
#define QUIET_NS (NS_PER_S / 50)
#define DELAYS_MAX 100000u
#define PAUSE_NS 1000000

struct head {
	uint8_t to[6], from[6];
	uint16_t type;
	uint16_t pad;
	int64_t sent_ns;
	uint32_t number;
} __attribute__((packed));

static const uint8_t addresses[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
static int ends[2];

static void fail(const char *what)
{
	printf("error: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int open_bess(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s.bess", path);
	if (fd < 0 ||
	    connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)))
		fail(path);
	return fd;
}

static int open_packet(const char *name)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETHERTYPE),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETHERTYPE));

	if (fd < 0 ||
	    bind(fd, (struct sockaddr *)(void *)&address, sizeof(address)))
		fail(name);
	return fd;
}

/* Whether it could be sent now. */
static int send_frame(int from, uint32_t len, uint32_t number)
{
	uint8_t frame[FRAME_LARGE] = {0};
	struct head head = {.type = htons(ETHERTYPE),
			    .sent_ns = now_ns(),
			    .number = number};

	memcpy(head.to, addresses[!from], sizeof(head.to));
	memcpy(head.from, addresses[from], sizeof(head.from));
	memcpy(frame, &head, sizeof(head));
	if (send(ends[from], frame, len, MSG_DONTWAIT | MSG_NOSIGNAL) ==
	    (ssize_t)len)
		return 1;
	/* A way that has gone ends this program, too. */
	if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
		fail("send");
	return 0;
}

/* The length of the next one within that time, or 0. */
static ssize_t receive(int at, int64_t wait_ns, struct head *head)
{
	struct timespec ts = {.tv_sec = wait_ns / NS_PER_S,
			      .tv_nsec = wait_ns % NS_PER_S};
	struct pollfd pfd = {.fd = ends[at], .events = POLLIN};
	uint8_t frame[FRAME_LARGE];
	ssize_t len;

	if (ppoll(&pfd, 1, &ts, NULL) <= 0)
		return 0;
	len = recv(ends[at], frame, sizeof(frame), MSG_DONTWAIT);
	if (len < (ssize_t)sizeof(*head))
		return 0;
	memcpy(head, frame, sizeof(*head));
	/* A packet socket sees what its own end sends, too. */
	return memcmp(head->to, addresses[at], sizeof(head->to)) ? 0 : len;
}

/* Each end has heard the other: the switch knows both. */
static void introduce(void)
{
	struct head head;

	for (int end = 0; end < 2; end++) {
		int tries = 0;

		do
			if (++tries > 100 || !send_frame(end, FRAME_SMALL, 0))
				fail("introduce");
		while (!receive(!end, NS_PER_S / 10, &head));
	}
	send_frame(0, FRAME_SMALL, 0);
	while (receive(1, NS_PER_S / 5, &head))
		;
}

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void measure_delay(uint32_t count)
{
	static int64_t delays[DELAYS_MAX];
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	uint32_t n = 0;

	for (uint32_t i = 0; i < count && i < DELAYS_MAX; i++) {
		struct head head;

		if (!send_frame(0, FRAME_SMALL, i))
			continue;
		/* One that was given up may come yet. */
		while (receive(1, NS_PER_S, &head)) {
			if (head.number != i)
				continue;
			delays[n++] = now_ns() - head.sent_ns;
			break;
		}
		nanosleep(&pause, NULL);
	}
	if (!n)
		fail("delay: nothing came");
	qsort(delays, n, sizeof(*delays), ascending);
	printf("came=%u least=%.1f p50=%.1f p99=%.1f most=%.1f\n", n,
	       (double)delays[0] / 1e3, (double)delays[n / 2] / 1e3,
	       (double)delays[(uint64_t)n * 99 / 100] / 1e3,
	       (double)delays[n - 1] / 1e3);
}

static void measure_loss(uint32_t count)
{
	uint32_t sent = 0, came = 0;
	struct head head;

	while (sent < count) {
		uint32_t want = 0, got = 0;

		for (; want < BURST && sent < count; want++, sent++)
			while (!send_frame(0, FRAME_SMALL, sent))
				;
		while (got < want && receive(1, QUIET_NS / 4, &head))
			got++;
		came += got;
	}
	while (receive(1, NS_PER_S / 2, &head))
		came++;
	printf("sent=%u came=%u\n", sent, came);
}

/* The first fifth of the time is not measured. */
static void measure_rate(int64_t seconds, int64_t kbit)
{
	const int64_t each_ns = FRAME_LARGE * 8 * 1000000 / kbit;
	const int64_t start = now_ns(), end = start + seconds * NS_PER_S;
	const int64_t from = start + seconds * NS_PER_S / 5;
	int64_t next = start, first = 0, last = 0, bytes = 0, now;
	uint32_t sent = 0;

	while ((now = now_ns()) < end) {
		int64_t wait = next > now ? next - now : 0;
		struct head head;
		ssize_t len;

		while ((len = receive(1, wait, &head)) > 0) {
			wait = 0;
			last = now_ns();
			if (first)
				bytes += len;
			else if (last >= from)
				first = last;
		}
		for (uint32_t n = 0; n < BURST && now_ns() >= next; n++) {
			sent += (uint32_t)send_frame(0, FRAME_LARGE, sent);
			next += each_ns;
		}
		/* Who has slept too long does not catch up for ever. */
		if (now_ns() - next > QUIET_NS)
			next = now_ns();
	}
	printf("sent=%u kbit=%.1f\n", sent,
	       last > first ? (double)bytes * 8e6 / (double)(last - first)
			    : 0.0);
}

int main(int argc, char **argv)
{
	long long a, b;
	char line[80];

	setvbuf(stdout, NULL, _IOLBF, 0);
	prctl(PR_SET_TIMERSLACK, 1UL);
	if (argc == 3 && !strcmp(argv[1], "bess")) {
		for (int i = 0; i < 2; i++)
			ends[i] = open_bess(argv[2]);
	} else if (argc == 4 && !strcmp(argv[1], "veth")) {
		for (int i = 0; i < 2; i++)
			ends[i] = open_packet(argv[2 + i]);
	} else {
		fputs("impair_load bess SOCKET | veth A B\n", stderr);
		return 2;
	}
	introduce();
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "delay %lld", &a) == 1)
			measure_delay((uint32_t)a);
		else if (sscanf(line, "loss %lld", &a) == 1)
			measure_loss((uint32_t)a);
		else if (sscanf(line, "rate %lld %lld", &a, &b) == 2 && b > 0)
			measure_rate(a, b);
		else
			break;
	}
	return 0;
}
