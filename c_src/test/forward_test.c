/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward_test - the rules that keep the cache from saying what evum_switch
 * would not (forward.h), with the test in place of evum_switch.
 */
#include "net_rig.h"

static int a, b, c; /* peers at the ports 1, 2 and 3 */

static void put(uint8_t **at, uint64_t value, int bytes)
{
	while (bytes-- > 0)
		*(*at)++ = (uint8_t)(value >> (8 * bytes));
}

static void down(const uint8_t *bytes, const uint8_t *end)
{
	CHECK(!net_frames_down(&rig.net, bytes, (size_t)(end - bytes)));
	CHECK(settle() < 1000);
}

static void station(uint64_t mac, uint32_t port)
{
	uint8_t bytes[20], *at = bytes;

	put(&at, DOWN_STATION, 1);
	put(&at, 0, 3);
	put(&at, mac, 8);
	put(&at, port, 4);
	put(&at, (uint32_t)rig.net.loop.now_ms, 4);
	down(bytes, at);
}

static void floods(uint32_t ups)
{
	uint8_t bytes[24], *at = bytes;

	put(&at, DOWN_FLOOD, 1);
	put(&at, 0, 3);
	put(&at, ups, 4);
	put(&at, 3, 4);
	for (unsigned int port = 1; port <= 3; port++)
		put(&at, port, 4);
	down(bytes, at);
}

/* Answer all that went up, with a station behind a port if port is not 0. */
static void answer_with(uint64_t mac, uint32_t port)
{
	uint64_t bytes_up = rig.net.forward.sent - rig.net.forward.answered;
	uint8_t bytes[28], *at = bytes;

	put(&at, DOWN_ANSWERS, 1);
	put(&at, 0, 3);
	put(&at, bytes_up, 4);
	if (port) {
		put(&at, DOWN_STATION, 1);
		put(&at, 0, 3);
		put(&at, mac, 8);
		put(&at, port, 4);
		put(&at, (uint32_t)rig.net.loop.now_ms, 4);
	}
	down(bytes, at);
}

static void answer(void)
{
	answer_with(0, 0);
}

static void send_to(int fd, uint64_t to, uint64_t from, uint8_t mark)
{
	uint8_t frame[60] = {0}, *at = frame;

	put(&at, to, 6);
	put(&at, from, 6);
	frame[14] = mark;
	CHECK(send(fd, frame, sizeof(frame), 0) == sizeof(frame));
	CHECK(settle() < 1000);
}

/* The mark of the next frame, or -1 where there is none. */
static int got(int fd)
{
	uint8_t frame[60];

	return recv(fd, frame, sizeof(frame), MSG_DONTWAIT) == sizeof(frame)
		       ? frame[14]
		       : -1;
}

static uint64_t ups(void)
{
	return rig.net.counters[NET_FRAMES_UP];
}

/* Three ports, the stations 1 and 2 behind the first two. */
static void open_three(void)
{
	rig_open();
	CHECK(!forward_configure(&rig.net.forward, false, 100, 60000));
	credit(1 << 20);
	a = peer();
	CHECK(settle() < 1000);
	b = peer();
	CHECK(settle() < 1000);
	c = peer();
	CHECK(settle() < 1000);
	station(0x020000000001, 1);
	station(0x020000000002, 2);
	floods(3);
}

static void close_three(void)
{
	close(a);
	close(b);
	close(c);
	CHECK(settle() < 1000);
	rig_close();
}

static void what_is_decided_does_not_go_up(void)
{
	open_three();
	send_to(a, 0x020000000002, 0x020000000001, 1);
	CHECK(got(b) == 1 && got(c) == -1);
	send_to(b, 0xffffffffffff, 0x020000000002, 2);
	CHECK(got(a) == 2 && got(c) == 2 && got(b) == -1);
	/* To itself: filtered. */
	send_to(a, 0x020000000001, 0x020000000001, 3);
	CHECK(got(a) == -1 && got(b) == -1);
	station(0x020000000009, STATION_UNKNOWN);
	send_to(a, 0x020000000009, 0x020000000001, 4);
	CHECK(got(b) == 4 && got(c) == 4);
	CHECK(ups() == 0);
	send_to(a, 0x020000000008, 0x020000000001, 5);
	CHECK(got(b) == -1 && ups() == 1);
	close_three();
}

static void nothing_is_overtaken(void)
{
	open_three();
	send_to(a, 0x020000000008, 0x020000000001, 1);
	CHECK(ups() == 1);
	send_to(a, 0x020000000002, 0x020000000001, 2);
	send_to(a, 0xffffffffffff, 0x020000000001, 3);
	CHECK(got(b) == -1 && ups() == 1);
	/* Other ports do not wait. */
	send_to(c, 0x020000000002, 0x010000000000, 4);
	CHECK(got(b) == 4);
	answer();
	CHECK(got(b) == 2);
	CHECK(got(b) == 3);
	CHECK(got(c) == 3);
	CHECK(rig.net.backlogs == 0);
	close_three();
}

static void contradiction_forgets(void)
{
	open_three();
	/* Station 2 now speaks at the third port. */
	send_to(c, 0x020000000001, 0x020000000002, 1);
	CHECK(ups() == 1);
	send_to(a, 0x020000000002, 0x020000000001, 2);
	CHECK(ups() == 2 && got(b) == -1);
	answer_with(0x020000000002, 3);
	send_to(a, 0x020000000002, 0x020000000001, 3);
	CHECK(ups() == 2 && got(b) == -1 && got(c) == 3);
	/* And one that was unknown speaks. */
	station(0x020000000009, STATION_UNKNOWN);
	send_to(c, 0x020000000001, 0x020000000009, 4);
	send_to(a, 0x020000000009, 0x020000000001, 5);
	CHECK(ups() == 4 && got(b) == -1);
	close_three();
}

static void late_decision_is_not_taken(void)
{
	open_three();
	send_to(c, 0x020000000001, 0x020000000002, 1);
	/* Made before evum_switch saw that frame. */
	station(0x020000000002, 2);
	send_to(a, 0x020000000002, 0x020000000001, 2);
	CHECK(got(b) == -1 && ups() == 2);
	answer();
	station(0x020000000002, 2);
	send_to(a, 0x020000000002, 0x020000000001, 3);
	CHECK(got(b) == 3 && ups() == 2);
	close_three();
}

static void ports_that_come_and_go(void)
{
	int d;

	open_three();
	d = peer();
	CHECK(settle() < 1000);
	send_to(a, 0xffffffffffff, 0x020000000001, 1);
	CHECK(got(b) == -1 && ups() == 1);
	answer();
	floods(3);
	send_to(a, 0xffffffffffff, 0x020000000001, 2);
	CHECK(got(b) == -1 && ups() == 2);
	answer();
	floods(4);
	send_to(a, 0xffffffffffff, 0x020000000001, 3);
	CHECK(got(b) == 3 && ups() == 2);
	close(d);
	close(b);
	CHECK(settle() < 1000);
	send_to(a, 0x020000000002, 0x020000000001, 4);
	CHECK(ups() == 3);
	b = peer();
	close_three();
}

static void without_credit_what_is_decided_passes(void)
{
	open_three();
	send_to(a, 0x020000000002, 0x020000000001, 9);
	send_to(b, 0x020000000001, 0x020000000002, 9);
	CHECK(got(b) == 9 && got(a) == 9);
	rig.net.beam.credit = 0;
	send_to(a, 0x020000000002, 0x020000000001, 1);
	CHECK(got(b) == 1);
	send_to(a, 0x020000000008, 0x020000000001, 2);
	send_to(a, 0x020000000002, 0x020000000001, 3);
	CHECK(got(b) == -1 && ups() == 0);
	send_to(b, 0x020000000001, 0x020000000002, 4);
	CHECK(got(a) == 4);
	credit(1000);
	CHECK(settle() < 1000);
	CHECK(ups() == 1 && got(b) == -1);
	answer();
	CHECK(got(b) == 3);
	close_three();
}

/* A peer that has gone while its frames are held: they still go on. */
static void held_frames_outlive_their_peer(void)
{
	open_three();
	send_to(a, 0x020000000008, 0x020000000001, 1);
	send_to(a, 0x020000000002, 0x020000000001, 2);
	close(a);
	CHECK(settle() < 1000);
	CHECK(got(b) == -1);
	answer();
	CHECK(got(b) == 2);
	CHECK(!net_port_by_id(&rig.net, 1));
	a = peer();
	close_three();
}

int main(void)
{
	RUN(what_is_decided_does_not_go_up);
	RUN(nothing_is_overtaken);
	RUN(contradiction_forgets);
	RUN(late_decision_is_not_taken);
	RUN(ports_that_come_and_go);
	RUN(without_credit_what_is_decided_passes);
	RUN(held_frames_outlive_their_peer);
	UNIT_DONE();
}
