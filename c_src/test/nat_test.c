/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat_test - the port that leads out, restricted so that nothing does: what it
 * answers, while the switch takes frames and while it does not, and its end.
 */
#include "port_nat.h"

#include <errno.h>

#include "nat_limit.h"
#include "net_rig.h"

#define GATEWAY 0x0a070001u
#define GUEST 0x0a07000fu

static uint32_t nat_id;

static void work(void)
{
	for (int i = 0; i < 4; i++)
		turn();
	CHECK(settle() < 1000);
}

static struct nat_config config(void)
{
	return (struct nat_config){
		.restricted = true,
		.in4 = true,
		.prefix4 = 24,
		.prefix6 = 64,
		.network4.s_addr = htonl(GATEWAY - 1),
		.host4.s_addr = htonl(GATEWAY),
		.dns4.s_addr = htonl(GATEWAY + 2),
		.mtu = 1500,
	};
}

static void nat_up(void)
{
	struct nat_config wanted = config();

	rig_open();
	CHECK(!nat_open(&rig.net, &wanted, &nat_id));
	work();
}

static struct nat_address address(uint32_t ip, uint16_t port)
{
	return (struct nat_address){.in4.sin_family = AF_INET,
				    .in4.sin_port = htons(port),
				    .in4.sin_addr.s_addr = htonl(ip)};
}

/* Who has the gateway's address? As evum_switch would send it down. */
static void ask_for_gateway(unsigned int times)
{
	static const uint8_t down[] = {
		0, 0,	0,   0,	  0,   0,   0,	 1, 0, 0,  0, 42, 0, 0, 0,
		1, 255, 255, 255, 255, 255, 255, 2, 0, 0,  0, 0,  1, 8, 6,
		0, 1,	8,   0,	  6,   4,   0,	 1, 2, 0,  0, 0,  0, 1, 10,
		7, 0,	15,  0,	  0,   0,   0,	 0, 0, 10, 7, 0,  1,
	};

	while (times-- > 0)
		CHECK(!net_frames_down(&rig.net, down, sizeof(down)));
}

static uint64_t counter(enum netport_counter which)
{
	return net_port_by_id(&rig.net, nat_id)->counters[which];
}

static void answers_for_the_gateway(void)
{
	nat_up();
	CHECK(nat_id == 1);
	credit(1 << 20);
	work();
	ask_for_gateway(1);
	work();
	CHECK(counter(NETPORT_TX_FRAMES) == 1);
	CHECK(counter(NETPORT_RX_FRAMES) == 1);
	rig_close();
}

static void holds_frames_until_they_are_taken(void)
{
	nat_up();
	ask_for_gateway(1000);
	work();
	CHECK(counter(NETPORT_RX_FRAMES) == 0);
	/* Nothing more than its bound, either. */
	for (int i = 0; i < 30; i++)
		ask_for_gateway(1000);
	work();
	CHECK(counter(NETPORT_RX_DROPPED) > 0);
	for (int i = 0; i < 1000; i++) {
		credit(1 << 20);
		read_all();
		turn();
	}
	CHECK(counter(NETPORT_RX_FRAMES) + counter(NETPORT_RX_DROPPED) ==
	      31000);
	rig_close();
}

/* One that waits for others, to the gateway. */
static void send_fragment(uint32_t id)
{
	/* a record, then Ethernet, IPv4, and UDP behind that */
	uint8_t down[] = {
		0,  0,	0,  0,	0, 0, 0,  1, 0,	 0,  0, 42, 0,	0, 0,
		1,  82, 85, 10, 7, 0, 1,  2, 0,	 0,  0, 0,  1,	8, 0,
		69, 0,	0,  28, 0, 0, 32, 0, 64, 17, 0, 0,  10, 7, 0,
		15, 10, 7,  0,	1, 0, 1,  0, 1,	 0,  8, 0,  0,
	};
	uint8_t *ip = down + 30;
	uint32_t sum = 0;

	ip[4] = (uint8_t)(id >> 8);
	ip[5] = (uint8_t)id;
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	ip[10] = (uint8_t)(~sum >> 8);
	ip[11] = (uint8_t)~sum;
	CHECK(!net_frames_down(&rig.net, down, sizeof(down)));
}

/* libslirp would keep them all. */
static void fragments_are_bounded(void)
{
	nat_up();
	credit(1 << 20);
	for (uint32_t id = 0; id < NAT_FRAGMENTS_MAX + 100; id++)
		send_fragment(id);
	work();
	CHECK(counter(NETPORT_TX_FRAMES) == NAT_FRAGMENTS_MAX);
	CHECK(counter(NETPORT_TX_FRAGMENTS) == 100);
	CHECK(counter(NETPORT_TX_DROPPED) == 100);
	CHECK(counter(NETPORT_TX_SOCKETS) == 0);
	ask_for_gateway(1);
	work();
	CHECK(counter(NETPORT_RX_FRAMES) == 1);
	rig_close();
}

static int client(uint16_t port)
{
	struct nat_address host = address(INADDR_LOOPBACK, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (connect(fd, &host.any, sizeof(host.in4)) < 0 &&
	    errno != EINPROGRESS) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* A port that is free, for the moment. */
static uint16_t free_port(void)
{
	struct nat_address any = address(INADDR_LOOPBACK, 0);
	socklen_t len = sizeof(any.in4);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(!bind(fd, &any.any, len));
	CHECK(!getsockname(fd, &any.any, &len));
	close(fd);
	return ntohs(any.in4.sin_port);
}

static void ends_with_a_connection_under_way(void)
{
	struct nat_address guest = address(GUEST, 7777), host;
	struct nat_config wanted = config();
	uint16_t port = free_port();
	int fd;

	nat_up();
	credit(1 << 20);
	host = address(INADDR_LOOPBACK, port);
	CHECK(nat_open(&rig.net, &wanted, &nat_id) == -EEXIST);
	CHECK(!nat_forward(&rig.net, false, &host, &guest));
	CHECK(nat_forward(&rig.net, false, &host, &guest) == -EADDRINUSE);
	CHECK(nat_forward(&rig.net, true, &host, &guest) == -EOPNOTSUPP);
	guest = address(GUEST + 256, 7777);
	CHECK(nat_forward(&rig.net, false, &host, &guest) == -ENETUNREACH);
	guest = address(GUEST, 7777);
	work();
	fd = client(port);
	CHECK(fd >= 0);
	work();
	/* It asks for the guest. */
	CHECK(counter(NETPORT_RX_FRAMES) > 0);
	netport_down(net_port_by_id(&rig.net, nat_id), "closed");
	CHECK(!rig.net.nat);
	work();
	CHECK(nat_forward(&rig.net, false, &host, &guest) == -ENOTCONN);
	close(fd);
	CHECK(!nat_open(&rig.net, &wanted, &nat_id));
	CHECK(nat_unforward(&rig.net, false, &host) == -ENOENT);
	rig_close();
}

int main(void)
{
	RUN(answers_for_the_gateway);
	RUN(holds_frames_until_they_are_taken);
	RUN(fragments_are_bounded);
	RUN(ends_with_a_connection_under_way);
	UNIT_DONE();
}
