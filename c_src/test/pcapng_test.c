/* SPDX-License-Identifier: Apache-2.0 */
#include "pcapng.h"

#include <stdbool.h>
#include <string.h>

#include "unit.h"

/* Aligned, as a file's beginning is. */
static uint8_t block[PCAPNG_BLOCK_MAX];

static uint32_t word(size_t at)
{
	uint32_t value;

	memcpy(&value, block + at, sizeof(value));
	return value;
}

static bool is_block(uint32_t type, size_t n)
{
	return n % 4 == 0 && n <= sizeof(block) && word(0) == type &&
	       word(4) == n && word(n - 4) == n && pcapng_type(block) == type &&
	       pcapng_length(block) == n;
}

/* The option's value behind at, or NULL. */
static const uint8_t *option(size_t at, size_t end, uint16_t code,
			     uint16_t *len)
{
	while (at + 4 <= end) {
		uint16_t head[2];

		memcpy(head, block + at, sizeof(head));
		*len = head[1];
		if (head[0] == code)
			return block + at + 4;
		if (!head[0])
			return NULL;
		at += 4u + ((head[1] + 3u) & ~3u);
	}
	return NULL;
}

static void section(void)
{
	size_t n = pcapng_section(block);

	CHECK(is_block(PCAPNG_SECTION, n));
	CHECK(word(8) == 0x1a2b3c4d && word(12) == 1);
	CHECK(word(16) == UINT32_MAX && word(20) == UINT32_MAX);
}

static void interface(void)
{
	struct pcapng_interface given = {
		.name = "r1",
		.description = "port 1",
		.filter = "arp",
		.snaplen = 96,
	};
	size_t n = pcapng_interface(block, &given);
	const uint8_t *value;
	uint16_t len;

	CHECK(is_block(PCAPNG_INTERFACE, n));
	CHECK(word(8) == 1 && word(12) == 96);
	value = option(16, n - 4, 2, &len);
	CHECK(value && len == 2 && !memcmp(value, "r1", 2));
	value = option(16, n - 4, 9, &len);
	CHECK(value && len == 1 && *value == 9);
	value = option(16, n - 4, 11, &len);
	CHECK(value && len == 4 && !memcmp(value, "\0arp", 4));
	CHECK(option(16, n - 4, 0, &len));
}

/* The longest of all texts are cut, and a filter is left out then. */
static void texts_have_a_bound(void)
{
	static char text[4 * PCAPNG_TEXT_MAX];
	struct pcapng_interface given = {
		.name = text, .description = text, .filter = text};
	uint16_t len;
	size_t n;

	memset(text, 'x', sizeof(text) - 1);
	n = pcapng_interface(block, &given);
	CHECK(is_block(PCAPNG_INTERFACE, n));
	CHECK(option(16, n - 4, 2, &len) && len == PCAPNG_TEXT_MAX);
	CHECK(!option(16, n - 4, 11, &len));
	text[PCAPNG_TEXT_MAX] = 0;
	n = pcapng_interface(block, &given);
	CHECK(is_block(PCAPNG_INTERFACE, n));
	CHECK(option(16, n - 4, 11, &len) && len == 1 + PCAPNG_TEXT_MAX);
}

static void packets(void)
{
	for (uint32_t captured = 0; captured < 70; captured++) {
		struct pcapng_packet given = {
			.interface = 3,
			.time_ns = UINT64_C(1700000000123456789),
			.captured = captured,
			.length = 1514,
			.direction = PCAPNG_OUTBOUND,
			.dropped = captured & 1 ? UINT64_C(1) << 40 : 0,
		};
		uint64_t dropped;
		uint32_t flags;
		const uint8_t *value;
		uint8_t *bytes;
		uint16_t len;
		size_t n, options = 28 + ((captured + 3) & ~3u);

		memset(block, 0xee, sizeof(block));
		n = pcapng_packet(block, &given, &bytes);
		CHECK(is_block(PCAPNG_PACKET, n));
		CHECK(n <= captured + PCAPNG_PACKET_MAX);
		CHECK(word(8) == 3 && word(20) == captured && word(24) == 1514);
		CHECK(pcapng_time_ns(block) == given.time_ns);
		CHECK(bytes == block + 28);
		/* Padding is zeroes, and nothing is behind the end. */
		for (size_t i = 28 + captured; i < options; i++)
			CHECK(!block[i]);
		CHECK(block[n] == 0xee);
		value = option(options, n - 4, 2, &len);
		CHECK(value && len == 4);
		if (value) {
			memcpy(&flags, value, sizeof(flags));
			CHECK(flags == PCAPNG_OUTBOUND);
		}
		value = option(options, n - 4, 4, &len);
		CHECK(!value == !given.dropped);
		if (value) {
			memcpy(&dropped, value, sizeof(dropped));
			CHECK(len == 8 && dropped == given.dropped);
		}
	}
}

static void statistics(void)
{
	struct pcapng_statistics given = {
		.interface = 7,
		.time_ns = UINT64_C(5) << 32 | 6,
		.received = 100,
		.dropped = 3,
	};
	size_t n = pcapng_statistics(block, &given);
	const uint8_t *value;
	uint64_t count = 0;
	uint16_t len;

	CHECK(is_block(PCAPNG_STATISTICS, n));
	CHECK(word(8) == 7 && word(12) == 5 && word(16) == 6);
	value = option(20, n - 4, 5, &len);
	CHECK(value && len == 8);
	if (value)
		memcpy(&count, value, sizeof(count));
	CHECK(count == 3);
}

int main(void)
{
	RUN(section);
	RUN(interface);
	RUN(texts_have_a_bound);
	RUN(packets);
	RUN(statistics);
	UNIT_DONE();
}
