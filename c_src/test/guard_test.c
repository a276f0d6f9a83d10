/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <arpa/inet.h>
#include <string.h>

#include "unit.h"

#define GATEWAY_MAC "\x52\x55\x0a\x00\x00\x01"
#define GATEWAY6_MAC "\x52\x56\x00\x00\x00\x01"
#define GUEST_MAC "\x02\x00\x00\x00\x00\x01"

static struct guard guard;
static uint8_t bytes[256];
static uint32_t len;

static void begin(const char *from)
{
	memset(bytes, 0, sizeof(bytes));
	memset(bytes, 0xff, 6);
	memcpy(bytes + 6, from, 6);
	len = 12;
}

static void put(const char *what, size_t n)
{
	memcpy(bytes + len, what, n);
	len += (uint32_t)n;
}

static void put4(const char *address)
{
	inet_pton(AF_INET, address, bytes + len);
	len += 4;
}

static void put6(const char *address)
{
	inet_pton(AF_INET6, address, bytes + len);
	len += 16;
}

static bool refused(void)
{
	/* Of just that size, so that ASan sees a byte too much. */
	uint8_t *exact = malloc(len);
	struct frame frame = {.bytes = exact, .len = len};
	bool yes;

	memcpy(exact, bytes, len);
	yes = guard_refuses(&guard, &frame);
	free(exact);
	return yes;
}

static void arp(const char *tags, size_t n, const char *sender)
{
	begin(GUEST_MAC);
	put(tags, n);
	put("\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02" GUEST_MAC, 16);
	put4(sender);
	put(GUEST_MAC, 6);
	put4("10.0.0.9");
}

static void ipv4(const char *from)
{
	begin(GUEST_MAC);
	put("\x08\x00\x45\x00\x00\x14\x00\x00\x00\x00\x40\x11\x00\x00", 14);
	put4(from);
	put4("10.0.0.9");
}

/* With so many extension headers in front of ICMPv6. */
static void advertisement(unsigned int extensions, const char *target)
{
	begin(GUEST_MAC);
	put("\x86\xdd\x60\x00\x00\x00\x00\x20", 8);
	put(extensions ? "\x3c" : "\x3a", 1);
	put("\xff", 1);
	put6("fe80::9");
	put6("ff02::1");
	for (; extensions; extensions--)
		put(extensions > 1 ? "\x3c\x00\x01\x04\x00\x00\x00\x00"
				   : "\x3a\x00\x01\x04\x00\x00\x00\x00",
		    8);
	put("\x88\x00\x00\x00\x20\x00\x00\x00", 8);
	put6(target);
}

static void setup(void)
{
	struct in_addr v4[GUARD_V4];
	struct in6_addr v6[GUARD_V6 - 1];

	inet_pton(AF_INET, "10.0.0.1", &v4[0]);
	inet_pton(AF_INET, "10.0.0.3", &v4[1]);
	inet_pton(AF_INET6, "fd00::1", &v6[0]);
	inet_pton(AF_INET6, "fd00::3", &v6[1]);
	guard_init(&guard, v4, v6);
}

static void addresses_of_the_nat_are_its_own(void)
{
	setup();
	ipv4("10.0.0.9");
	CHECK(!refused());
	ipv4("10.0.0.1");
	CHECK(refused());
	ipv4("10.0.0.3");
	CHECK(refused());
	arp("", 0, "10.0.0.9");
	CHECK(!refused());
	arp("", 0, "10.0.0.1");
	CHECK(refused());
	arp("\x81\x00\x00\x07", 4, "10.0.0.1");
	CHECK(refused());
	arp("\x88\xa8\x00\x07\x81\x00\x00\x07", 8, "10.0.0.3");
	CHECK(refused());
	for (unsigned int i = 0; i < 4; i++) {
		advertisement(i, "fd00::9");
		CHECK(!refused());
		advertisement(i, "fd00::3");
		CHECK(refused());
		advertisement(i, "fe80::2");
		CHECK(refused());
	}
	memcpy(bytes + 14 + 8, &guard.v6[0], 16);
	CHECK(refused());
}

static void so_are_its_mac_addresses(void)
{
	setup();
	begin(GATEWAY_MAC);
	put("\x88\xb5", 2);
	CHECK(refused());
	begin(GATEWAY6_MAC);
	put("\x88\xb5", 2);
	CHECK(refused());
	begin("\x52\x55\x0a\x00\x00\x09");
	put("\x88\xb5", 2);
	CHECK(!refused());
}

/* One family's guard says nothing of the other; none says nothing at all. */
static void without_a_nat_anything_goes(void)
{
	struct in_addr v4[GUARD_V4] = {{0}};

	guard_init(&guard, NULL, NULL);
	ipv4("10.0.0.1");
	CHECK(!refused());
	inet_pton(AF_INET, "10.0.0.1", &v4[0]);
	guard_init(&guard, v4, NULL);
	CHECK(refused());
	advertisement(0, "::");
	CHECK(!refused());
	begin(GATEWAY6_MAC);
	put("\x88\xb5", 2);
	CHECK(!refused());
}

/* However short it is. */
static void short_frames_are_not_read_beyond(void)
{
	uint32_t whole;

	setup();
	advertisement(3, "fd00::1");
	whole = len;
	for (len = FRAME_MIN; len < whole; len++)
		CHECK(!refused());
	arp("\x81\x00\x00\x07", 4, "10.0.0.1");
	whole = len - 10;
	for (len = FRAME_MIN; len < whole; len++)
		CHECK(!refused());
}

int main(void)
{
	RUN(addresses_of_the_nat_are_its_own);
	RUN(so_are_its_mac_addresses);
	RUN(without_a_nat_anything_goes);
	RUN(short_frames_are_not_read_beyond);
	UNIT_DONE();
}
