/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_test - evum_net but for its main(), with the test in place of the BEAM:
 * what happens while that gives no credit, or does not read at all.
 */
#include "net.h"

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frames.h"
#include "unit.h"

struct rig {
	struct net net;
	struct loop_timer end;
	int beam;
	char dir[32];
	struct sockaddr_un bess;
	uint32_t listener;
};

static struct rig rig;

static void on_term(struct port *port, const char *term, size_t len)
{
	(void)port, (void)term, (void)len;
}

static void on_data(struct port *port, const uint8_t *bytes, size_t len)
{
	CHECK(!net_frames_down(container_of(port, struct net, beam), bytes,
			       len));
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

/* Turns until nothing is ready any more; how many there were. */
static int settle(void)
{
	struct pollfd pfd = {.fd = rig.net.loop.epoll_fd, .events = POLLIN};
	int turns = 0;

	for (; turns < 1000 && poll(&pfd, 1, 0) == 1; turns++)
		turn();
	return turns;
}

static void rig_open(void)
{
	const char *step;
	int fds[2];

	memset(&rig, 0, sizeof(rig));
	strcpy(rig.dir, "/tmp/evum-net_test-XXXXXX");
	CHECK(mkdtemp(rig.dir));
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	rig.beam = fds[1];
	CHECK(!net_init(&rig.net, &ops, fds[0], dup(fds[0])));
	rig.bess.sun_family = AF_UNIX;
	snprintf(rig.bess.sun_path, sizeof(rig.bess.sun_path), "%s/ctl",
		 rig.dir);
	CHECK(!listener_open(&rig.net, rig.bess.sun_path, true, &rig.listener,
			     &step));
	strncat(rig.bess.sun_path, LISTENER_BESS_SUFFIX,
		sizeof(rig.bess.sun_path) - strlen(rig.bess.sun_path) - 1);
}

static void rig_close(void)
{
	int in = rig.net.beam.in.fd, out = rig.net.beam.out.fd;

	net_close(&rig.net);
	close(in);
	close(out);
	close(rig.beam);
	/* With the sockets goes the folder, which is the listener's own. */
	CHECK(access(rig.dir, F_OK) < 0);
}

static int peer(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CHECK(!connect(fd, (struct sockaddr *)(void *)&rig.bess,
		       sizeof(rig.bess)));
	return fd;
}

static void credit(uint32_t bytes)
{
	uint8_t packet[9] = {0, 0, 0, 5, PORT_KIND_CREDIT};

	bytes = htonl(bytes);
	memcpy(packet + 5, &bytes, sizeof(bytes));
	CHECK(write(rig.beam, packet, sizeof(packet)) == sizeof(packet));
}

static void read_all(void)
{
	static uint8_t sink[1 << 16];

	while (recv(rig.beam, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

static uint64_t rx_frames(uint32_t id)
{
	struct net_port *port = net_port_by_id(&rig.net, id);

	return port ? port->counters[NETPORT_RX_FRAMES] : UINT64_MAX;
}

static void send_frames(int fd, int n)
{
	static const uint8_t frame[60] = {255, 255, 255, 255, 255, 255, 2};

	while (n-- > 0)
		CHECK(send(fd, frame, sizeof(frame), 0) == sizeof(frame));
}

static void without_credit_nothing_is_read(void)
{
	int a, b;

	rig_open();
	a = peer();
	b = peer();
	send_frames(a, 70);
	CHECK(settle() < 1000);
	CHECK(rx_frames(1) == 0);
	/* One byte lets one burst in, and leaves a debt. */
	credit(1);
	CHECK(settle() < 1000);
	CHECK(rx_frames(1) == BURST_FRAMES);
	send_frames(b, 1);
	credit(1);
	CHECK(settle() < 1000);
	CHECK(rx_frames(1) + rx_frames(2) == BURST_FRAMES);
	credit(BURST_FRAMES * (FRAMES_UP_HEADER + 60));
	CHECK(settle() < 1000);
	CHECK(rx_frames(1) + rx_frames(2) > BURST_FRAMES);
	credit(1 << 20);
	CHECK(settle() < 1000);
	CHECK(rx_frames(1) == 70 && rx_frames(2) == 1);
	close(a);
	close(b);
	rig_close();
}

/* EPOLLHUP cannot be masked: a paused port must not keep the loop busy. */
static void peer_that_ends_while_paused(void)
{
	int fd;

	rig_open();
	fd = peer();
	CHECK(settle() < 1000);
	send_frames(fd, 3);
	CHECK(settle() < 1000);
	close(fd);
	CHECK(settle() < 1000);
	CHECK(rx_frames(1) == 0);
	credit(1000);
	CHECK(settle() < 1000);
	/* Its last frames have come, and then its end. */
	CHECK(!net_port_by_id(&rig.net, 1));
	CHECK(rig.net.connections == 0);
	rig_close();
}

/* Each connection makes events, so nobody is accepted while those pile up. */
static void nobody_is_accepted_while_the_beam_does_not_read(void)
{
	uint64_t before;
	int fds[64];

	rig_open();
	credit(1);
	for (int i = 0; i < 100000 && !port_congested(&rig.net.beam); i++) {
		int fd = peer();

		turn();
		close(fd);
		turn();
	}
	CHECK(port_congested(&rig.net.beam));
	CHECK(settle() < 1000);
	before = rig.net.counters[NET_ACCEPTED];
	for (int i = 0; i < 64; i++)
		fds[i] = peer();
	CHECK(settle() < 1000);
	CHECK(rig.net.counters[NET_ACCEPTED] == before);
	for (int i = 0; i < 100; i++) {
		read_all();
		CHECK(settle() < 1000);
	}
	CHECK(rig.net.counters[NET_ACCEPTED] == before + 64);
	for (int i = 0; i < 64; i++)
		close(fds[i]);
	rig_close();
}

/* What waits for peers that never read has a bound of its own and in all. */
static void backlogs_are_bounded(void)
{
	enum { PEERS = 40 };
	static uint8_t batch[8 + 4 * PEERS + 1514];
	size_t own = 0;
	int fds[PEERS];

	rig_open();
	for (int i = 0; i < PEERS; i++)
		fds[i] = peer();
	CHECK(settle() < 1000);
	batch[3] = PEERS;
	batch[6] = 1514 >> 8;
	batch[7] = 1514 & 255;
	for (unsigned int i = 0; i < PEERS; i++)
		batch[8 + 4 * i + 3] = (uint8_t)(i + 1);
	for (int i = 0; i < 2000; i++) {
		CHECK(!net_frames_down(&rig.net, batch, sizeof(batch)));
		if (i == 0)
			CHECK(rig.net.backlogs == 0);
	}
	CHECK(rig.net.backlogs <= NETPORT_BACKLOG_POOL);
	CHECK(rig.net.backlogs > NETPORT_BACKLOG_POOL - 2000);
	/* Who comes late still has what is a port's own. */
	fds[0] = (close(fds[0]), peer());
	CHECK(settle() < 1000);
	batch[3] = 1;
	batch[8 + 3] = PEERS + 1;
	memmove(batch + 12, batch + 8 + 4 * PEERS, 1514);
	for (int i = 0; i < 2000; i++)
		CHECK(!net_frames_down(&rig.net, batch, 8 + 4 + 1514));
	own = buf_len(&net_port_by_id(&rig.net, PEERS + 1)->backlog);
	CHECK(own > NETPORT_BACKLOG_OWN - 2000);
	CHECK(own <= NETPORT_BACKLOG_MAX);
	for (int i = 0; i < PEERS; i++)
		close(fds[i]);
	CHECK(settle() < 1000);
	credit(1);
	CHECK(settle() < 1000);
	CHECK(rig.net.connections == 0);
	CHECK(rig.net.backlogs == 0);
	rig_close();
}

int main(void)
{
	RUN(without_credit_nothing_is_read);
	RUN(peer_that_ends_while_paused);
	RUN(nobody_is_accepted_while_the_beam_does_not_read);
	RUN(backlogs_are_bounded);
	UNIT_DONE();
}
