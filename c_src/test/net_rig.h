/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_rig - evum_net but for its main(), with the test in place of the BEAM,
 * and peers that are SEQPACKET sockets.
 */
#ifndef EVUM_NET_RIG_H
#define EVUM_NET_RIG_H

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

static inline void on_term(struct port *port, const char *term, size_t len)
{
	(void)port, (void)term, (void)len;
}

static inline void on_data(struct port *port, const uint8_t *bytes, size_t len)
{
	CHECK(!net_frames_down(container_of(port, struct net, beam), bytes,
			       len));
}

static inline void on_writable(struct port *port)
{
	net_resume(container_of(port, struct net, beam));
}

static inline void on_closed(struct port *port)
{
	loop_stop(port->loop);
}

static const struct port_ops ops = {
	.term = on_term,
	.data = on_data,
	.writable = on_writable,
	.closed = on_closed,
};

static inline void turn_over(struct loop_timer *timer)
{
	loop_stop(&container_of(timer, struct rig, end)->net.loop);
}

static inline void turn(void)
{
	rig.net.loop.stopped = false;
	loop_timer_set(&rig.net.loop, &rig.end, 0, turn_over);
	CHECK(!loop_run(&rig.net.loop));
}

/* Turns until nothing is ready any more; how many there were. */
static inline int settle(void)
{
	struct pollfd pfd = {.fd = rig.net.loop.epoll_fd, .events = POLLIN};
	int turns = 0;

	for (; turns < 1000 && poll(&pfd, 1, 0) == 1; turns++)
		turn();
	return turns;
}

static inline void rig_open(void)
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

static inline void rig_close(void)
{
	int in = rig.net.beam.in.fd, out = rig.net.beam.out.fd;

	net_close(&rig.net);
	close(in);
	close(out);
	close(rig.beam);
	/* With the sockets goes the folder, which is the listener's own. */
	CHECK(access(rig.dir, F_OK) < 0);
}

static inline int peer(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CHECK(!connect(fd, (struct sockaddr *)(void *)&rig.bess,
		       sizeof(rig.bess)));
	return fd;
}

static inline void credit(uint32_t bytes)
{
	uint8_t packet[9] = {0, 0, 0, 5, PORT_KIND_CREDIT};

	bytes = htonl(bytes);
	memcpy(packet + 5, &bytes, sizeof(bytes));
	CHECK(write(rig.beam, packet, sizeof(packet)) == sizeof(packet));
}

static inline void read_all(void)
{
	static uint8_t sink[1 << 16];

	while (recv(rig.beam, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

static inline uint64_t rx_frames(uint32_t id)
{
	struct net_port *port = net_port_by_id(&rig.net, id);

	return port ? port->counters[NETPORT_RX_FRAMES] : UINT64_MAX;
}

#endif
