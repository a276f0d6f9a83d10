/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_writer_test - when a ring of files turns to the next one by time. The
 * clock is that of the packets.
 */
#include "capture_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pcapng.h"
#include "unit.h"

#define LENGTH 60
#define MS UINT64_C(1000000)
/* Some time in 2033. */
#define BEGIN (UINT64_C(2000000000) * 1000 * MS)

static char dir[] = "/tmp/evum-capture_writer_test-XXXXXX";
static struct writer writer;

static void put_interface(void)
{
	const struct pcapng_interface interface = {
		.name = "port1", .description = "", .filter = ""};
	uint8_t *at = ring_room(&writer.ring, PCAPNG_BLOCK_MAX);

	CHECK(at);
	ring_put(&writer.ring, pcapng_interface(at, &interface));
}

/* So long after the beginning. */
static void put_packet(uint64_t ms)
{
	const struct pcapng_packet packet = {.time_ns = BEGIN + ms * MS,
					     .captured = LENGTH,
					     .length = LENGTH,
					     .direction = PCAPNG_INBOUND};
	uint8_t *at = ring_room(&writer.ring, LENGTH + PCAPNG_PACKET_MAX);
	uint8_t *bytes;
	size_t n;

	CHECK(at);
	n = pcapng_packet(at, &packet, &bytes);
	memset(bytes, 0, LENGTH);
	ring_put(&writer.ring, n);
}

static void started(uint64_t seconds, uint32_t files)
{
	struct writer_target target = {.file_ns = seconds * 1000 * MS,
				       .files = files};
	uint8_t section[PCAPNG_BLOCK_MAX];
	int n = snprintf(target.path, sizeof(target.path), "%s/x.pcapng", dir);

	target.path_len = (size_t)n;
	CHECK(!writer_start(&writer, &target, section,
			    pcapng_section(section)));
	put_interface();
}

static void ended(uint64_t packets)
{
	writer_finish(&writer);
	CHECK(!writer_join(&writer, NULL));
	CHECK(!writer.err && writer.written == packets);
}

/* How many packets the n-th file has, which goes; -1 without that file. */
static int packets_of(unsigned int n)
{
	static uint8_t bytes[65536];
	int packets = 0, interfaces = 0;
	char path[128];
	size_t len;
	FILE *file;

	snprintf(path, sizeof(path), "%s/x.%05u.pcapng", dir, n);
	file = fopen(path, "r");
	if (!file)
		return -1;
	len = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	unlink(path);
	CHECK(len > 0 && pcapng_type(bytes) == PCAPNG_SECTION);
	for (size_t at = 0; at < len; at += pcapng_length(bytes + at)) {
		interfaces += pcapng_type(bytes + at) == PCAPNG_INTERFACE;
		packets += pcapng_type(bytes + at) == PCAPNG_PACKET;
	}
	CHECK(interfaces == 1);
	return packets;
}

static void the_next_file_begins_in_time(void)
{
	started(2, 10);
	put_packet(0);
	put_packet(1999);
	/* Two seconds after the first packet, not after that before it. */
	put_packet(2000);
	put_packet(3500);
	put_packet(3999);
	put_packet(60000);
	ended(6);
	CHECK(packets_of(1) == 2);
	CHECK(packets_of(2) == 3);
	CHECK(packets_of(3) == 1);
	CHECK(packets_of(4) == -1);
}

static void the_oldest_go(void)
{
	started(1, 2);
	for (unsigned int i = 0; i < 5; i++)
		put_packet(i * 1000);
	ended(5);
	for (unsigned int i = 1; i <= 3; i++)
		CHECK(packets_of(i) == -1);
	CHECK(packets_of(4) == 1);
	CHECK(packets_of(5) == 1);
}

/* Then a file is as old as before, until the clock is there again. */
static void a_clock_that_is_set_back(void)
{
	started(2, 10);
	put_packet(10000);
	put_packet(0);
	put_packet(5000);
	put_packet(11999);
	put_packet(12000);
	ended(5);
	CHECK(packets_of(1) == 4);
	CHECK(packets_of(2) == 1);
}

int main(void)
{
	CHECK(mkdtemp(dir));
	RUN(the_next_file_begins_in_time);
	RUN(the_oldest_go);
	RUN(a_clock_that_is_set_back);
	rmdir(dir);
	UNIT_DONE();
}
