/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - ports of the uml_switch control protocol v3 that send frames through
 * a switch, in place of guests, and look at what comes.
 *
 *     build/load SOCKET MODE COUNT BYTES WINDOW SECONDS [PID ...]
 *
 * one        port 0 sends to port 1 (COUNT: 2)
 * pairs      COUNT ports, each frame from one to another, by chance
 * deaf       the same, and one frame in 16 is for a port that never reads
 * flood      the first of COUNT ports sends to all others
 * addresses  port 0 sends to COUNT addresses behind port 1, in turn
 * rtt        port 0 sends to port 1, which answers; both sleep until then
 *
 * WINDOW frames may be on their way. Of each frame that arrives the length, the
 * number, the port and all bytes are checked. Prints one line:
 *
 *     frames=N seconds=S lost=N wrong=N strays=N cpu_us=T busy=R own=R rtt50=T
 *     rtt99=T
 *
 * strays came to a port that they were not for; cpu_us is what the processes
 * PID ... took a frame, in microseconds; busy is the part of the time that they
 * had a CPU, own that of this program.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "request_v3.h"

#define PORTS_MAX 64
#define BURST 64
#define FRAME_LEAST 60
#define FRAME_MOST 1514
/* One more byte shows a frame that is too long. */
#define SLOT (FRAME_MOST + 1)
#define ADDRESSES_MAX 65536u
/* A step that visits all addresses. */
#define ADDRESS_STEP 7919u
/* Nothing for so long: what was on its way is lost, seconds. */
#define QUIET_S 0.3
#define WARM_S 0.1
#define RTTS_MAX 1000000u
#define TO_ALL 0xffff
#define DEAF_ONE_IN 16

/* What stands before the pattern. */
struct head {
	uint8_t to[6], from[6];
	uint16_t type, target, source;
	uint32_t number;
} __attribute__((packed));

enum mode { ONE, PAIRS, DEAF, FLOOD, ADDRESSES, RTT, MODES };
static const char *const mode_names[MODES] = {"one",   "pairs",	    "deaf",
					      "flood", "addresses", "rtt"};

static struct port {
	int fd, control;
	struct sockaddr_un to;
} ports[PORTS_MAX];
static unsigned int n_ports; /* that read */
static unsigned int n_addresses;
static enum mode mode;
static size_t length;
static int epoll_fd;

/* Numbers of each pair, and what became of the frames. */
static uint32_t next_out[PORTS_MAX][PORTS_MAX];
static uint32_t next_in[PORTS_MAX][PORTS_MAX];
static uint64_t sent, received, wrong, strays;

static uint8_t pattern[256 + FRAME_MOST];
static uint8_t in[BURST][SLOT];
static struct mmsghdr rx[BURST], tx[BURST];
static struct iovec rx_iov[BURST], tx_iov[BURST][2];
static struct head heads[BURST];

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(2);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint32_t chance(uint32_t below)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % below;
}

static struct sockaddr *generic(struct sockaddr_un *address)
{
	return (struct sockaddr *)(void *)address;
}

/* As a guest does it: the address of the own socket goes, the switch's comes.
 */
static void port_open(struct port *port, const char *path, bool reads)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct sockaddr_un own = {.sun_family = AF_UNIX};
	uint8_t request[REQUEST_V3_SIZE] = {0};
	uint32_t words[3] = {REQUEST_V3_MAGIC, REQUEST_V3_VERSION,
			     REQUEST_V3_NEW_CONTROL};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = port};
	uint64_t random;

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	port->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	port->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (port->control < 0 || port->fd < 0 ||
	    connect(port->control, generic(&at), sizeof(at)) < 0)
		fail(path);
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		fail("getrandom");
	snprintf(own.sun_path + 1, sizeof(own.sun_path) - 1, "load-%016llx",
		 (unsigned long long)random);
	if (bind(port->fd, generic(&own), sizeof(own)) < 0)
		fail("bind");
	memcpy(request, words, sizeof(words));
	memcpy(request + sizeof(words), &own, sizeof(own));
	if (send(port->control, request, sizeof(request), 0) !=
		    sizeof(request) ||
	    recv(port->control, &port->to, sizeof(port->to), MSG_WAITALL) !=
		    sizeof(port->to))
		fail("the switch gives no port");
	if (reads && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, port->fd, &event) < 0)
		fail("epoll_ctl");
}

static void mac_of_port(uint8_t *mac, unsigned int port)
{
	memcpy(mac, "\x02\x00\x00\x00\x01", 5);
	mac[5] = (uint8_t)port;
}

static void mac_of_address(uint8_t *mac, unsigned int address)
{
	memcpy(mac, "\x02\x00\x00\x02", 4);
	mac[4] = (uint8_t)(address >> 8);
	mac[5] = (uint8_t)address;
}

static void prepare(void)
{
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 167 + i / 256);
	for (int i = 0; i < BURST; i++) {
		rx_iov[i] = (struct iovec){in[i], SLOT};
		rx[i].msg_hdr.msg_iov = &rx_iov[i];
		rx[i].msg_hdr.msg_iovlen = 1;
		tx[i].msg_hdr.msg_iov = tx_iov[i];
		tx[i].msg_hdr.msg_iovlen = 2;
		tx[i].msg_hdr.msg_namelen = sizeof(struct sockaddr_un);
	}
}

/* Frame i of a burst. */
static void compose(unsigned int i, unsigned int source, unsigned int target,
		    uint32_t number)
{
	struct head *head = &heads[i];

	mac_of_port(head->from, source);
	if (target == TO_ALL)
		memset(head->to, 0xff, sizeof(head->to));
	else
		mac_of_port(head->to, target);
	head->type = 0xb588; /* for experiments */
	head->source = (uint16_t)source;
	head->target = (uint16_t)target;
	head->number = number;
	tx_iov[i][0] = (struct iovec){head, sizeof(*head)};
	tx_iov[i][1] = (struct iovec){pattern + (number & 0xff),
				      length - sizeof(*head)};
	tx[i].msg_hdr.msg_name = &ports[source].to;
}

/* How many of n frames the switch took. */
static unsigned int transmit(unsigned int source, unsigned int n)
{
	int done = sendmmsg(ports[source].fd, tx, n, MSG_DONTWAIT);

	if (done < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
		fail("send");
	return done < 0 ? 0 : (unsigned int)done;
}

static unsigned int choose_target(unsigned int source)
{
	if (mode == FLOOD)
		return TO_ALL;
	if (mode == DEAF && chance(DEAF_ONE_IN) == 0)
		return n_ports; /* the one behind those that read */
	return (source + 1 + chance(n_ports - 1)) % n_ports;
}

/* Send up to n frames of one port. Those for the deaf port are not sent. */
static void send_some(unsigned int n)
{
	static uint32_t address;
	bool single = mode != PAIRS && mode != DEAF;
	unsigned int source = single ? 0 : chance(n_ports), done;

	if (n > BURST)
		n = BURST;
	if (!single && n > BURST / 4)
		n = BURST / 4;
	for (unsigned int i = 0; i < n; i++) {
		unsigned int target =
			single && mode != FLOOD ? 1 : choose_target(source);

		compose(i, source, target,
			next_out[source][target % PORTS_MAX]++);
		if (mode == ADDRESSES) {
			address = (address + ADDRESS_STEP) % n_addresses;
			mac_of_address(heads[i].to, address);
		}
	}
	done = transmit(source, n);
	for (unsigned int i = 0; i < n; i++) {
		unsigned int target = heads[i].target;

		if (i >= done)
			next_out[source][target % PORTS_MAX]--;
		else if (target == TO_ALL)
			sent += n_ports - 1;
		else if (target < n_ports)
			sent++;
	}
}

static void check(unsigned int port, const uint8_t *frame, size_t len)
{
	const struct head *head = (const void *)frame;
	uint32_t *next;

	if (len != length || head->source >= PORTS_MAX ||
	    memcmp(frame + sizeof(*head), pattern + (head->number & 0xff),
		   len - sizeof(*head)) != 0) {
		wrong++;
		return;
	}
	if (head->target != port && head->target != TO_ALL) {
		strays++;
		return;
	}
	next = &next_in[head->source][port];
	if (head->number < *next)
		wrong++;
	*next = head->number + 1;
	received++;
}

static void receive(struct port *port)
{
	int n = recvmmsg(port->fd, rx, BURST, MSG_DONTWAIT, NULL);

	for (int i = 0; i < n; i++)
		check((unsigned int)(port - ports), in[i], rx[i].msg_len);
}

/* Whatever came within so many ms. */
static bool receive_all(int wait_ms)
{
	struct epoll_event events[PORTS_MAX];
	int n = epoll_wait(epoll_fd, events, PORTS_MAX, wait_ms);

	for (int i = 0; i < n; i++)
		receive(events[i].data.ptr);
	return n > 0;
}

static void forget(void)
{
	memset(next_out, 0, sizeof(next_out));
	memset(next_in, 0, sizeof(next_in));
	sent = received = wrong = strays = 0;
}

/* The switch learns where all are. */
static void introduce(bool deaf)
{
	for (int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < n_ports + deaf; i++) {
			compose(0, i, TO_ALL, 0);
			transmit(i, 1);
			while (receive_all(5))
				;
		}
	}
	for (unsigned int i = 0; mode == ADDRESSES && i < n_addresses;) {
		unsigned int n = 0;

		for (; n < BURST / 2 && i + n < n_addresses; n++) {
			compose(n, 1, 0, i + n);
			mac_of_address(heads[n].from, i + n);
		}
		i += transmit(1, n);
		while (receive_all(1))
			;
	}
	while (receive_all(100))
		;
}

static void run(uint64_t window, double seconds)
{
	double end = now_s() + seconds, last = now_s(), now;
	uint64_t lost = 0, before;

	if (mode == FLOOD)
		window *= n_ports - 1;
	do {
		while (sent - received - lost < window) {
			uint64_t was = sent, room = window + received + lost;

			room -= sent;
			if (mode == FLOOD)
				room = (room + n_ports - 2) / (n_ports - 1);
			send_some((unsigned int)room);
			if (sent == was)
				break;
		}
		before = received;
		receive_all(1);
		now = now_s();
		if (received != before)
			last = now;
		if (now - last > QUIET_S) {
			lost = sent - received;
			last = now;
		}
	} while (now < end);
}

static void finish(void)
{
	double last = now_s();

	while (received < sent && now_s() - last < QUIET_S)
		if (receive_all(10))
			last = now_s();
}

static int by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void pass(unsigned int source, unsigned int target)
{
	compose(0, source, target, next_out[source][target]++);
	while (!transmit(source, 1))
		;
	sent++;
	if (recv(ports[target].fd, in[0], SLOT, 0) < 0)
		fail("recv");
	check(target, in[0], length);
}

/* There and back, one at a time: the figures in us. */
static void round_trips(double seconds, float *p50, float *p99)
{
	float *times = malloc(RTTS_MAX * sizeof(*times));
	double end = now_s() + seconds, last = now_s(), now = last;
	unsigned int n = 0;

	for (; times && n < RTTS_MAX && now < end; n++) {
		pass(0, 1);
		pass(1, 0);
		now = now_s();
		times[n] = (float)((now - last) * 1e6);
		last = now;
	}
	if (!n)
		fail("no time");
	qsort(times, n, sizeof(*times), by_size);
	*p50 = times[n / 2];
	*p99 = times[n - 1 - n / 100];
	free(times);
}

/* CPU time of a process, us: of each of its threads, proc(5). */
static double cpu_us(const char *pid)
{
	unsigned long long ns, sum = 0;
	char path[320];
	struct dirent *entry;
	FILE *file;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/task", pid);
	dir = opendir(path);
	if (!dir)
		fail(path);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/task/%s/schedstat", pid,
			 entry->d_name);
		file = fopen(path, "r");
		if (!file)
			continue; /* it has ended */
		if (fscanf(file, "%llu", &ns) == 1)
			sum += ns;
		fclose(file);
	}
	closedir(dir);
	return (double)sum / 1e3;
}

static double own_cpu_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu_all(char **pids)
{
	double sum = 0;

	for (; *pids; pids++)
		sum += cpu_us(*pids);
	return sum;
}

static void open_ports(const char *path, unsigned int count)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	n_ports = count;
	if (mode == ADDRESSES) {
		n_addresses = count;
		n_ports = 3; /* the third sees what is flooded */
	}
	if (n_ports < 2 || n_ports >= PORTS_MAX || n_addresses > ADDRESSES_MAX)
		fail("so many ports");
	for (unsigned int i = 0; i < n_ports + (mode == DEAF); i++)
		port_open(&ports[i], path, i < n_ports);
	introduce(mode == DEAF);
}

int main(int argc, char **argv)
{
	float p50 = 0, p99 = 0;
	double seconds, start, cpu, own;
	unsigned long window;

	for (mode = 0; argc > 2 && mode < MODES; mode++)
		if (strcmp(argv[2], mode_names[mode]) == 0)
			break;
	if (argc < 7 || mode == MODES) {
		fprintf(stderr, "usage: load SOCKET MODE COUNT BYTES WINDOW "
				"SECONDS [PID ...]\n");
		return 2;
	}
	length = strtoul(argv[4], NULL, 10);
	window = strtoul(argv[5], NULL, 10);
	seconds = strtod(argv[6], NULL);
	if (length < FRAME_LEAST || length > FRAME_MOST || window < 1)
		fail("a frame or window of that size");
	prepare();
	open_ports(argv[1], (unsigned int)strtoul(argv[3], NULL, 10));
	if (mode == RTT) {
		round_trips(WARM_S, &p50, &p99);
	} else {
		forget();
		run(window, WARM_S);
		finish();
	}
	forget();
	cpu = cpu_all(argv + 7);
	own = own_cpu_s();
	start = now_s();
	if (mode == RTT)
		round_trips(seconds, &p50, &p99);
	else
		run(window, seconds);
	seconds = now_s() - start;
	own = own_cpu_s() - own;
	finish();
	cpu = cpu_all(argv + 7) - cpu;
	printf("frames=%llu seconds=%.3f lost=%llu wrong=%llu strays=%llu "
	       "cpu_us=%.3f busy=%.2f own=%.2f rtt50=%.1f rtt99=%.1f\n",
	       (unsigned long long)received, seconds,
	       (unsigned long long)(sent - received), (unsigned long long)wrong,
	       (unsigned long long)strays,
	       received ? cpu / (double)received : 0.0, cpu / 1e6 / seconds,
	       own / seconds, (double)p50, (double)p99);
	return 0;
}
