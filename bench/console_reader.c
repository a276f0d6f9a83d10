/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_reader - what a C program reads from a machine's console: evum_guest,
 * as the BEAM runs it, with nothing behind it. For bench/console.
 *
 *   console_reader EVUM_GUEST REQUEST PREPARE RUN BYTES
 *
 * REQUEST is a file with the start request; PREPARE and RUN are lines to type
 * at a prompt. Prints the microseconds from typing RUN until BYTES have come.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MAX (1u << 20)
#define WINDOW 65536u
#define KIND_DATA 1
#define KIND_CREDIT 2

static uint8_t packet[PACKET_MAX];

static void fail(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void read_all(int fd, void *to, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = read(fd, (char *)to + got, len - got);

		if (n <= 0)
			fail("read");
		got += (size_t)n;
	}
}

static void send_packet(int fd, int kind, const void *bytes, size_t len)
{
	static uint8_t out[PACKET_MAX];
	size_t head = kind ? 5 : 4;
	uint32_t size = htonl((uint32_t)(len + head - 4));

	memcpy(out, &size, sizeof(size));
	out[4] = (uint8_t)kind;
	memcpy(out + head, bytes, len);
	if (write(fd, out, head + len) != (ssize_t)(head + len))
		fail("write");
}

/* In lots, as evum_vm does. */
static void credit(int fd, uint32_t bytes)
{
	static uint32_t owed;
	uint32_t value;

	owed += bytes;
	if (owed < WINDOW / 4)
		return;
	value = htonl(owed);
	owed = 0;
	send_packet(fd, KIND_CREDIT, &value, sizeof(value));
}

/* The next packet of data; its length without the kind. */
static size_t next_data(int in, int out)
{
	for (;;) {
		uint32_t len;

		read_all(in, &len, sizeof(len));
		len = ntohl(len);
		if (len == 0 || len > sizeof(packet))
			fail("packet");
		read_all(in, packet, len);
		if (packet[0] != KIND_DATA)
			continue;
		credit(out, len - 1);
		return len - 1;
	}
}

static void type(int in, int out, const char *line)
{
	/* a prompt stands at the end of what has come */
	for (;;) {
		size_t len = next_data(in, out);

		if (len >= 2 && !memcmp(packet + len - 1, "# ", 2))
			break;
	}
	send_packet(out, KIND_DATA, line, strlen(line));
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
	int to[2], from[2];
	int64_t start;
	size_t left, len;
	FILE *file;

	if (argc != 6)
		return 2;
	if (pipe(to) < 0 || pipe(from) < 0)
		fail("pipe");
	if (fork() == 0) {
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		close(to[1]);
		close(from[0]);
		execl(argv[1], argv[1], (char *)NULL);
		fail(argv[1]);
	}
	close(to[0]);
	close(from[1]);
	file = fopen(argv[2], "r");
	if (!file)
		fail(argv[2]);
	len = fread(packet, 1, sizeof(packet), file);
	send_packet(to[1], 0, packet, len);
	credit(to[1], WINDOW);
	type(from[0], to[1], argv[3]);
	type(from[0], to[1], argv[4]);
	start = now_us();
	for (left = strtoul(argv[5], NULL, 10); left;) {
		len = next_data(from[0], to[1]);
		left -= len < left ? len : left;
	}
	printf("%lld\n", (long long)(now_us() - start));
	return 0;
}
