/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_vxlan_test - a VXLAN port on the loopback, with two remotes that are
 * sockets here: whom it listens to, and to whom frames go.
 */
#include "port_vxlan.h"

#include <errno.h>

#include "net_rig.h"
#include "vxlan.h"

#define VNI 7
#define HERE 0x7f000001u  /* 127.0.0.1 */
#define THERE 0x7f000002u /* both remotes */
#define FOREIGN 0x7f000003u

static struct {
	uint32_t id;
	struct address local;
	int remotes[2];
} vx;

static struct sockaddr_in *in_of(struct address *address)
{
	return (struct sockaddr_in *)(void *)&address->storage;
}

/* A socket of that address and any port, which address tells. */
static int open_socket(uint32_t ip, struct address *address)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memset(address, 0, sizeof(*address));
	in_of(address)->sin_family = AF_INET;
	in_of(address)->sin_addr.s_addr = htonl(ip);
	address->len = sizeof(struct sockaddr_in);
	CHECK(!bind(fd, &address->any, address->len));
	CHECK(!getsockname(fd, &address->any, &address->len));
	return fd;
}

static void open_port(uint32_t n_remotes)
{
	struct vxlan_config config = {.vni = VNI, .n_remotes = n_remotes};

	rig_open();
	/* A port that is free, for the moment. */
	close(open_socket(HERE, &config.local));
	for (int i = 0; i < 2; i++)
		vx.remotes[i] = open_socket(THERE, &config.remotes[i]);
	CHECK(!vxlan_open(&rig.net, &config, &vx.id));
	CHECK(vxlan_open(&rig.net, &config, &vx.id) == -EADDRINUSE);
	vx.local = config.local;
	credit(1 << 20);
	CHECK(settle() < 1000);
}

static void close_port(void)
{
	close(vx.remotes[0]);
	close(vx.remotes[1]);
	rig_close();
}

static uint64_t counter(enum netport_counter which)
{
	return net_port_by_id(&rig.net, vx.id)->counters[which];
}

static void say(int fd, const void *bytes, size_t len)
{
	CHECK(sendto(fd, bytes, len, 0, &vx.local.any, vx.local.len) ==
	      (ssize_t)len);
	CHECK(settle() < 1000);
}

/* A frame of station N to another, in a VXLAN. */
static void say_frame(int fd, uint32_t vni, uint8_t from)
{
	uint8_t bytes[VXLAN_HEADER + 60] = {0};

	vxlan_put(bytes, vni);
	memset(bytes + VXLAN_HEADER, 255, 6);
	bytes[VXLAN_HEADER + 6] = 2;
	bytes[VXLAN_HEADER + 11] = from;
	say(fd, bytes, sizeof(bytes));
}

/* As evum_switch would send it down: to a station, or 255 for all. */
static void tell_frame(uint8_t to)
{
	uint8_t down[12 + 4 + 60] = {[7] = 1, [11] = 60};

	down[15] = (uint8_t)vx.id;
	memset(down + 16, to == 255 ? 255 : 0, 6);
	down[16] = to == 255 ? 255 : 2;
	down[21] = to;
	down[22] = 2;
	CHECK(!net_frames_down(&rig.net, down, sizeof(down)));
}

/* How many datagrams have come to a remote, frames of our network all. */
static int heard(int remote)
{
	uint8_t bytes[2000];
	uint32_t vni = 0;
	int n = 0;

	while (recv(vx.remotes[remote], bytes, sizeof(bytes), MSG_DONTWAIT) ==
	       VXLAN_HEADER + 60) {
		CHECK(!vxlan_parse(bytes, sizeof(bytes), &vni) && vni == VNI);
		n++;
	}
	CHECK(errno == EAGAIN);
	return n;
}

static void counts_what_it_does_not_take(void)
{
	static const uint8_t no_network[VXLAN_HEADER + 60] = {0};
	struct address address;
	int foreign;

	open_port(2);
	foreign = open_socket(FOREIGN, &address);
	say(vx.remotes[0], "", 0);
	say(vx.remotes[0], "\x08\0\0\0\0\0\x07", 7);
	say(vx.remotes[0], no_network, sizeof(no_network));
	CHECK(counter(NETPORT_RX_BAD) == 3);
	say_frame(vx.remotes[0], VNI + 1, 1);
	say_frame(foreign, VNI, 1);
	CHECK(counter(NETPORT_RX_FOREIGN) == 2);
	/* A header with nothing, or too little, behind it. */
	say(vx.remotes[0], "\x08\0\0\0\0\0\x07\0", 8);
	say(vx.remotes[0], "\x08\0\0\0\0\0\x07\0abc", 11);
	CHECK(counter(NETPORT_RX_RUNTS) == 2);
	CHECK(counter(NETPORT_RX_FRAMES) == 0);
	say_frame(vx.remotes[0], VNI, 1);
	CHECK(counter(NETPORT_RX_FRAMES) == 1);
	close(foreign);
	close_port();
}

static void learns_where_stations_are(void)
{
	open_port(2);
	tell_frame(1);
	CHECK(heard(0) == 1 && heard(1) == 1);
	say_frame(vx.remotes[1], VNI, 1);
	tell_frame(1);
	CHECK(heard(0) == 0 && heard(1) == 1);
	/* It moves. */
	say_frame(vx.remotes[0], VNI, 1);
	for (int i = 0; i < 3; i++)
		tell_frame(1);
	CHECK(heard(0) == 3 && heard(1) == 0);
	tell_frame(255);
	tell_frame(2);
	CHECK(heard(0) == 2 && heard(1) == 2);
	CHECK(counter(NETPORT_TX_FRAMES) == 7);
	close_port();
}

/* What comes in frames of other networks teaches nothing. */
static void learns_from_its_network_alone(void)
{
	open_port(2);
	say_frame(vx.remotes[1], VNI + 1, 1);
	tell_frame(1);
	CHECK(heard(0) == 1 && heard(1) == 1);
	close_port();
}

static void one_remote_gets_all(void)
{
	open_port(1);
	say_frame(vx.remotes[0], VNI, 1);
	tell_frame(1);
	tell_frame(2);
	tell_frame(255);
	CHECK(heard(0) == 3 && heard(1) == 0);
	close_port();
}

static void a_remote_that_cannot_be_reached(void)
{
	struct vxlan_config config = {.vni = VNI, .n_remotes = 2};

	rig_open();
	close(open_socket(HERE, &config.local));
	vx.remotes[0] = open_socket(THERE, &config.remotes[0]);
	config.remotes[1] = config.remotes[0];
	/* Bound to the loopback, nothing leaves it: EINVAL. */
	in_of(&config.remotes[0])->sin_addr.s_addr = htonl(0xc0000201);
	CHECK(!vxlan_open(&rig.net, &config, &vx.id));
	tell_frame(255);
	tell_frame(255);
	CHECK(heard(0) == 2);
	CHECK(counter(NETPORT_TX_FRAMES) == 2);
	CHECK(counter(NETPORT_TX_ERRORS) == 2);
	close(vx.remotes[0]);
	rig_close();
}

int main(void)
{
	RUN(counts_what_it_does_not_take);
	RUN(learns_where_stations_are);
	RUN(learns_from_its_network_alone);
	RUN(one_remote_gets_all);
	RUN(a_remote_that_cannot_be_reached);
	UNIT_DONE();
}
