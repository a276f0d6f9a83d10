/* SPDX-License-Identifier: Apache-2.0 */
#include "nat_limit.h"

#include <stdbool.h>
#include <string.h>

#include "unit.h"

/* 100 of each. */
#define DESCRIPTORS 400
#define MTU 1500

static struct nat_limit limit;
static uint8_t frame[65536];
static uint32_t len;

static void ipv4(uint8_t protocol, uint8_t last, uint32_t transport)
{
	static const uint8_t header[] = {0x08, 0, 0x45, 0, 0, 0, 0,  0,
					 0,    0, 64,	0, 0, 0, 10, 0,
					 0,    0, 192,	0, 2, 1};

	memset(frame, 0, sizeof(frame));
	memcpy(frame + 12, header, sizeof(header));
	frame[23] = protocol;
	frame[29] = last;
	len = 34 + transport;
}

static void ipv6(uint8_t protocol, uint8_t last, uint32_t transport)
{
	static const uint8_t header[] = {0x86, 0xdd, 0x60};

	memset(frame, 0, sizeof(frame));
	memcpy(frame + 12, header, sizeof(header));
	frame[20] = protocol;
	frame[37] = last;
	len = 54 + transport;
}

static bool admitted(void)
{
	return nat_limit_judge(&limit, frame, len, 0) == NAT_ADMITTED;
}

static bool tcp(bool v6, uint8_t flags)
{
	if (v6)
		ipv6(6, 1, 20);
	else
		ipv4(6, 1, 20);
	frame[len - 7] = flags;
	return admitted();
}

static bool udp(bool v6, uint8_t last, uint8_t port)
{
	if (v6)
		ipv6(17, last, 8);
	else
		ipv4(17, last, 8);
	frame[len - 7] = port;
	return admitted();
}

static bool ping(bool v6, uint8_t type, uint8_t id)
{
	if (v6)
		ipv6(58, 1, 8);
	else
		ipv4(1, 1, 8);
	frame[len - 8] = type;
	frame[len - 3] = id;
	return admitted();
}

static void connections_end_at_the_limit(void)
{
	nat_limit_init(&limit, DESCRIPTORS, MTU);
	limit.streams = 99;
	for (int v6 = 0; v6 < 2; v6++)
		CHECK(tcp(v6, 0x02));
	limit.streams = 100;
	for (int v6 = 0; v6 < 2; v6++) {
		CHECK(!tcp(v6, 0x02));
		/* with whatever else libslirp does not look at */
		CHECK(!tcp(v6, 0xc2));
		/* Those that are there go on, and end. */
		CHECK(tcp(v6, 0x10));
		CHECK(tcp(v6, 0x12));
		CHECK(tcp(v6, 0x11));
		CHECK(udp(v6, 1, 1));
	}
}

static void known_flows_of_datagrams_go_on(void)
{
	for (int v6 = 0; v6 < 2; v6++) {
		nat_limit_init(&limit, DESCRIPTORS, MTU);
		limit.datagrams = 99;
		CHECK(udp(v6, 1, 1));
		CHECK(ping(v6, v6 ? 128 : 8, 1));
		limit.datagrams = 100;
		CHECK(udp(v6, 1, 1));
		CHECK(!udp(v6, 1, 2));
		CHECK(!udp(v6, 2, 1));
		CHECK(ping(v6, v6 ? 128 : 8, 1));
		CHECK(!ping(v6, v6 ? 128 : 8, 2));
		CHECK(tcp(v6, 0x02));
		/* Nobody who finds the right hash goes beyond that. */
		limit.datagrams = 200;
		CHECK(!udp(v6, 1, 1));
	}
}

static void what_opens_nothing_passes(void)
{
	static const uint8_t arp[] = {0x08, 0x06};

	nat_limit_init(&limit, 0, MTU);
	CHECK(!tcp(false, 0x02) && !udp(false, 1, 1));
	/* ARP, neighbours, answers to pings */
	memset(frame, 0, sizeof(frame));
	memcpy(frame + 12, arp, sizeof(arp));
	CHECK(admitted());
	CHECK(ping(true, 135, 1));
	CHECK(ping(false, 0, 1));
}

/* A SYN, or ports, may come in pieces. */
static void fragments_may_open_either(void)
{
	nat_limit_init(&limit, DESCRIPTORS, MTU);
	ipv4(6, 1, 8);
	frame[20] = 0x20;
	CHECK(admitted());
	limit.streams = 100;
	CHECK(!admitted());
	frame[20] = 0;
	frame[21] = 1;
	CHECK(!admitted());
	limit.streams = 0;
	limit.datagrams = 100;
	CHECK(!admitted());
	/* Do not fragment: one that is whole. */
	frame[20] = 0x40;
	frame[21] = 0;
	CHECK(admitted());
}

static enum nat_verdict fragment(uint32_t id, uint32_t size, int64_t now_ms)
{
	ipv4(17, 1, 8);
	frame[18] = (uint8_t)(id >> 8);
	frame[19] = (uint8_t)id;
	frame[20] = 0x20;
	return nat_limit_judge(&limit, frame, size, now_ms);
}

/* Each may begin a datagram that is kept. */
static void fragments_have_a_budget(void)
{
	const int64_t start = 1000000;
	uint32_t n;

	nat_limit_init(&limit, DESCRIPTORS, MTU);
	for (n = 0; n < NAT_FRAGMENTS_MAX; n++)
		CHECK(fragment(n, len, start + n / 2) == NAT_ADMITTED);
	CHECK(fragment(n, len, start + 2048) == NAT_NO_FRAGMENT);
	/* Nobody else is concerned. */
	CHECK(tcp(false, 0x02) && udp(false, 1, 1));
	/* The oldest two are not kept any more. */
	CHECK(fragment(n, len, start + NAT_FRAGMENT_MS - 1) == NAT_NO_FRAGMENT);
	CHECK(fragment(n, len, start + NAT_FRAGMENT_MS) == NAT_ADMITTED);
	CHECK(fragment(n, len, start + NAT_FRAGMENT_MS) == NAT_ADMITTED);
	CHECK(fragment(n, len, start + NAT_FRAGMENT_MS) == NAT_NO_FRAGMENT);
	for (n = 0; n < NAT_FRAGMENTS_MAX; n++)
		CHECK(fragment(n, len, start + 3 * NAT_FRAGMENT_MS) ==
		      NAT_ADMITTED);
	/* One with a bit that means nothing is looked for as well. */
	ipv4(17, 1, 8);
	frame[20] = 0x80;
	CHECK(nat_limit_judge(&limit, frame, len,
			      start + 3 * NAT_FRAGMENT_MS) == NAT_NO_FRAGMENT);
}

static void fragments_have_a_budget_of_bytes(void)
{
	const uint32_t room = NAT_FRAGMENT_BYTES_MAX / (2 * 65000);
	uint32_t n;

	nat_limit_init(&limit, DESCRIPTORS, MTU);
	for (n = 0; n < room; n++)
		CHECK(fragment(n, 65000, 0) == NAT_ADMITTED);
	CHECK(fragment(n, 65000, 0) == NAT_NO_FRAGMENT);
	CHECK(fragment(n, 65000, NAT_FRAGMENT_MS) == NAT_ADMITTED);
	/* libslirp's buffers are of the MTU, however short the fragment. */
	nat_limit_init(&limit, DESCRIPTORS, 65000);
	for (n = 0; n < room; n++)
		CHECK(fragment(n, len, 0) == NAT_ADMITTED);
	CHECK(fragment(n, len, 0) == NAT_NO_FRAGMENT);
}

static void few_descriptors_lower_the_limits(void)
{
	nat_limit_init(&limit, 1 << 20, MTU);
	CHECK(limit.streams_max == NAT_STREAMS_MAX);
	CHECK(limit.datagrams_max == NAT_DATAGRAMS_MAX);
	nat_limit_init(&limit, 1024, MTU);
	CHECK(limit.streams_max == 256 && limit.datagrams_max == 256);
}

int main(void)
{
	RUN(connections_end_at_the_limit);
	RUN(known_flows_of_datagrams_go_on);
	RUN(what_opens_nothing_passes);
	RUN(fragments_may_open_either);
	RUN(fragments_have_a_budget);
	RUN(fragments_have_a_budget_of_bytes);
	RUN(few_descriptors_lower_the_limits);
	UNIT_DONE();
}
