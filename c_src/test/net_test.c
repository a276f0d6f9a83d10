/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_test - what happens while the BEAM gives no credit, or does not read at
 * all.
 */
#include "net_rig.h"

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
	credit(FRAMES_UP_TIME + BURST_FRAMES * (FRAMES_UP_HEADER + 60));
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
	static uint8_t batch[12 + 4 * PEERS + 1514];
	size_t own = 0;
	int fds[PEERS];

	rig_open();
	for (int i = 0; i < PEERS; i++)
		fds[i] = peer();
	CHECK(settle() < 1000);
	batch[7] = PEERS;
	batch[10] = 1514 >> 8;
	batch[11] = 1514 & 255;
	for (unsigned int i = 0; i < PEERS; i++)
		batch[12 + 4 * i + 3] = (uint8_t)(i + 1);
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
	batch[7] = 1;
	batch[12 + 3] = PEERS + 1;
	memmove(batch + 16, batch + 12 + 4 * PEERS, 1514);
	for (int i = 0; i < 2000; i++)
		CHECK(!net_frames_down(&rig.net, batch, 12 + 4 + 1514));
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
