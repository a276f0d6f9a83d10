/* SPDX-License-Identifier: Apache-2.0 */
/*
 * burst_test - frames of many ports that come in one turn of the loop, more
 * than the burst has room for: each comes to whom it is for, whole, once and
 * behind those before it.
 */
#include "net_rig.h"

enum { PEERS = 9, EACH = 60, LONG = 9000 };

static int fds[PEERS];
static struct {
	uint8_t to[6], from[6], type[2];
	uint8_t source, target;
	uint16_t number;
	uint8_t fill[LONG - 18];
} __attribute__((packed)) frame;

static void station(unsigned int port)
{
	uint8_t bytes[20] = {DOWN_STATION};
	uint32_t seen = htonl((uint32_t)rig.net.loop.now_ms);

	bytes[6] = 2;
	bytes[11] = bytes[15] = (uint8_t)port;
	memcpy(bytes + 16, &seen, sizeof(seen));
	CHECK(!net_frames_down(&rig.net, bytes, sizeof(bytes)));
}

static void open_all(void)
{
	static const int room = 4 << 20;

	rig_open();
	CHECK(!forward_configure(&rig.net.forward, false, 100, 60000));
	credit(1 << 20);
	for (unsigned int i = 0; i < PEERS; i++) {
		fds[i] = peer();
		CHECK(!setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &room,
				  sizeof(room)));
		CHECK(settle() < 1000);
		station(i + 1);
	}
}

static void close_all(void)
{
	for (int i = 0; i < PEERS; i++)
		close(fds[i]);
	CHECK(settle() < 1000);
	rig_close();
}

static size_t length(unsigned int number)
{
	return number % 7 ? 60 + number : LONG;
}

static void send_one(unsigned int source, unsigned int target,
		     unsigned int number)
{
	size_t len = length(number);

	memset(&frame, 0, sizeof(frame));
	frame.to[0] = frame.from[0] = 2;
	frame.to[5] = (uint8_t)(target + 1);
	frame.from[5] = (uint8_t)(source + 1);
	frame.source = (uint8_t)source;
	frame.target = (uint8_t)target;
	frame.number = (uint16_t)number;
	memset(frame.fill, (int)(source * 16 + number), sizeof(frame.fill));
	CHECK(send(fds[source], &frame, len, MSG_DONTWAIT) == (ssize_t)len);
}

/* What has come to a peer, in the order of each sender; how many. */
static unsigned int receive_all(unsigned int target)
{
	unsigned int next[PEERS] = {0}, n = 0;
	ssize_t len;

	while ((len = recv(fds[target], &frame, sizeof(frame), MSG_DONTWAIT)) >
	       0) {
		if (frame.source >= PEERS) {
			CHECK(!"a sender there is");
			continue;
		}
		CHECK(frame.target == target);
		CHECK(frame.number >= next[frame.source]);
		next[frame.source] = frame.number + 1u;
		CHECK(len == (ssize_t)length(frame.number));
		for (size_t i = 0; i + 18 < (size_t)len; i++)
			CHECK(frame.fill[i] ==
			      (uint8_t)(frame.source * 16 + frame.number));
		n++;
		CHECK(settle() < 1000);
	}
	return n;
}

static void all_to_one(void)
{
	open_all();
	for (unsigned int number = 0; number < EACH; number++)
		for (unsigned int source = 1; source < PEERS; source++)
			send_one(source, 0, number);
	turn();
	/* Nothing waits for another turn. */
	CHECK(LIST_EMPTY(&rig.net.dirty_ports));
	CHECK(receive_all(0) == EACH * (PEERS - 1));
	close_all();
}

static void each_to_each(void)
{
	unsigned int n = 0;

	open_all();
	for (unsigned int number = 0; number < EACH; number++)
		for (unsigned int source = 0; source < PEERS; source++)
			send_one(source,
				 (source + 1 + number % (PEERS - 1)) % PEERS,
				 number);
	CHECK(settle() < 1000);
	for (unsigned int target = 0; target < PEERS; target++)
		n += receive_all(target);
	CHECK(n == EACH * PEERS);
	close_all();
}

/* The peer of frames that wait for the turn's end goes in that turn. */
static void target_goes(void)
{
	open_all();
	for (unsigned int source = 1; source < PEERS; source++) {
		send_one(source, 0, 0);
		send_one(source, source % (PEERS - 1) + 1, 1);
	}
	close(fds[0]);
	CHECK(settle() < 1000);
	CHECK(!net_port_by_id(&rig.net, 1));
	for (unsigned int target = 1; target < PEERS; target++)
		CHECK(receive_all(target) == 1);
	fds[0] = peer();
	close_all();
}

int main(void)
{
	RUN(all_to_one);
	RUN(each_to_each);
	RUN(target_goes);
	UNIT_DONE();
}
