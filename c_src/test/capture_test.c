/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_test - what a capture records, where its file ends, and that the loop
 * waits for none of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "filter.h"
#include "net_rig.h"

static char dir[] = "/tmp/evum-capture_test-XXXXXX";

static struct capture_options options_for(const char *name)
{
	struct capture_options options = {.snaplen = FRAME_MAX,
					  .filter = (char *)""};
	int n = snprintf(options.target.path, PATH_MAX, "%s/%s", dir, name);

	options.target.path_len = (size_t)n;
	return options;
}

/* The result of the one capture, once it has ended. */
static struct capture_result result;
static bool running;

static void note(void *arg, uint32_t id, bool is_running,
		 const struct capture_result *it)
{
	(void)arg, (void)id;
	running = is_running;
	result = *it;
}

static void until_running(bool wanted)
{
	for (int i = 0; i < 5000; i++) {
		running = !wanted;
		settle();
		captures_visit(&rig.net, note, NULL);
		if (running == wanted)
			return;
		poll(NULL, 0, 1);
	}
	CHECK(0);
}

static void started(const struct capture_options *options)
{
	char *error = NULL;

	CHECK(!capture_start(&rig.net, 1, options, &error) && !error);
	until_running(true);
}

static void ended(void)
{
	uint32_t id = rig.net.last_capture_id;

	/* Answered when all is written, so it is looked at as it ends. */
	CHECK(!capture_stop(&rig.net, 2, id));
	for (int i = 0; i < 5000 && !LIST_EMPTY(&rig.net.captures); i++) {
		settle();
		poll(NULL, 0, 1);
	}
	CHECK(LIST_EMPTY(&rig.net.captures));
}

struct counts {
	unsigned int blocks, packets, interfaces, statistics, inbound;
	uint64_t missed;
	bool broken;
};

static uint8_t bytes[32 << 20];

static uint32_t word(size_t at)
{
	uint32_t value;

	memcpy(&value, bytes + at, sizeof(value));
	return value;
}

/* A packet's flags are its first option, and what was missed its second. */
static void count_packet(struct counts *counts, size_t at)
{
	size_t options = at + 28 + ((word(at + 20) + 3) & ~3u);

	counts->packets++;
	counts->inbound += word(options + 4) == PCAPNG_INBOUND;
	if ((word(options + 8) & 0xffff) == 4)
		counts->missed += word(options + 12);
}

/* What is in `bytes', which is whole blocks. */
static struct counts count_blocks(size_t n)
{
	struct counts counts = {.blocks = 0};

	for (size_t at = 0; at < n;) {
		uint32_t len = n - at < 12 ? 0 : pcapng_length(bytes + at);
		uint32_t type = len ? pcapng_type(bytes + at) : 0;

		if (len < 12 || len > n - at) {
			counts.broken = true;
			break;
		}
		counts.blocks++;
		counts.interfaces += type == PCAPNG_INTERFACE;
		counts.statistics += type == PCAPNG_STATISTICS;
		if (type == PCAPNG_PACKET)
			count_packet(&counts, at);
		at += len;
	}
	return counts;
}

/* What is in a file, which goes. */
static struct counts counts_of(const char *name)
{
	char path[128];
	size_t n = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "r");
	CHECK(file);
	if (file) {
		n = fread(bytes, 1, sizeof(bytes), file);
		fclose(file);
	}
	unlink(path);
	return count_blocks(n);
}

static uint8_t frame[1500] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 6};

/* As if it had come from a peer. */
static void input(uint32_t id, uint32_t len)
{
	struct frame one = {.bytes = frame, .len = len};

	capture_frame(net_port_by_id(&rig.net, id), PCAPNG_INBOUND, &one);
}

static void each_frame_once(void)
{
	struct capture_options all = options_for("all");
	struct capture_options one = options_for("one");
	struct counts counts;
	int a, b;

	rig_open();
	a = peer();
	b = peer();
	credit(1 << 20);
	CHECK(settle() < 1000);
	started(&all);
	/* Whatever goes out has come in elsewhere. */
	for (int i = 0; i < 10; i++) {
		struct frame it = {.bytes = frame, .len = 60};

		input(1, 60);
		capture_frame(net_port_by_id(&rig.net, 2), PCAPNG_OUTBOUND,
			      &it);
	}
	ended();
	counts = counts_of("all");
	CHECK(!counts.broken && counts.packets == 10 && counts.inbound == 10);
	CHECK(counts.interfaces == 2 && counts.statistics == 2);
	one.port = 2;
	started(&one);
	for (int i = 0; i < 10; i++) {
		struct frame it = {.bytes = frame, .len = 60};

		input(1, 60);
		input(2, 60);
		capture_frame(net_port_by_id(&rig.net, 2), PCAPNG_OUTBOUND,
			      &it);
	}
	ended();
	counts = counts_of("one");
	CHECK(!counts.broken && counts.packets == 20 && counts.inbound == 10);
	CHECK(counts.interfaces == 1);
	close(a);
	close(b);
	rig_close();
}

static void ports_come_and_go(void)
{
	struct capture_options options = options_for("ports");
	struct counts counts;
	int a, b;

	rig_open();
	a = peer();
	credit(1 << 20);
	CHECK(settle() < 1000);
	started(&options);
	input(1, 60);
	b = peer();
	CHECK(settle() < 1000);
	input(2, 60);
	close(a);
	CHECK(settle() < 1000);
	CHECK(!net_port_by_id(&rig.net, 1));
	input(2, 60);
	ended();
	counts = counts_of("ports");
	CHECK(!counts.broken && counts.packets == 3 && counts.interfaces == 2);
	CHECK(counts.statistics == 2);
	/* One of a port ends with it. */
	options = options_for("port");
	options.port = 2;
	started(&options);
	input(2, 60);
	close(b);
	until_running(false);
	CHECK(result.written == 1 && !result.dropped && !result.err);
	CHECK(counts_of("port").statistics == 1);
	rig_close();
}

static void filter_and_snaplen(void)
{
	struct capture_options options = options_for("cut");
	char path[128];
	char *error = NULL;
	struct stat st;
	int a;

	rig_open();
	a = peer();
	credit(1 << 20);
	CHECK(settle() < 1000);
	options.filter = (char *)"no such filter";
	CHECK(capture_start(&rig.net, 1, &options, &error) == -EINVAL);
	CHECK(error && strstr(error, "syntax error"));
	free(error);
	options.filter = (char *)"arp";
	options.snaplen = 20;
	started(&options);
	for (int i = 0; i < 100; i++)
		input(1, 1500);
	frame[13] = 0;
	for (int i = 0; i < 100; i++)
		input(1, 1500);
	frame[13] = 6;
	ended();
	snprintf(path, sizeof(path), "%s/cut", dir);
	CHECK(!stat(path, &st) && st.st_size < 100 * 100);
	CHECK(counts_of("cut").packets == 100);
	close(a);
	rig_close();
}

/* The pieces of a guest's frame become one, up to any length. */
static void frames_in_pieces(void)
{
	static uint8_t content[4096];
	struct capture_options options = options_for("pieces");
	struct iovec rest[] = {{content + 256, 44}, {content + 300, 700}};
	char path[128];
	FILE *file;
	size_t n;
	int a;

	rig_open();
	a = peer();
	credit(1 << 20);
	CHECK(settle() < 1000);
	for (uint32_t snaplen = 250; snaplen <= 1010; snaplen += 10) {
		struct frame it = {.bytes = content,
				   .len = 1000,
				   .rest_len = 744,
				   .rest = rest,
				   .n_rest = 2};
		uint32_t want = snaplen < 1000 ? snaplen : 1000;
		static uint8_t got[8192];

		for (size_t i = 0; i < 1000; i++)
			content[i] = (uint8_t)(i * 7 + i / 256);
		options.snaplen = snaplen;
		started(&options);
		capture_frame(net_port_by_id(&rig.net, 1), PCAPNG_INBOUND, &it);
		ended();
		snprintf(path, sizeof(path), "%s/pieces", dir);
		file = fopen(path, "r");
		CHECK(file);
		n = file ? fread(got, 1, sizeof(got), file) : 0;
		CHECK(n > want && memmem(got, n, content, want));
		CHECK(want == 1000 || !memmem(got, n, content, want + 4));
		if (file)
			fclose(file);
	}
	unlink(path);
	close(a);
	rig_close();
}

static size_t read_pipe(int fd, size_t at)
{
	ssize_t n = read(fd, bytes + at, sizeof(bytes) - at);

	if (n <= 0)
		poll(NULL, 0, 1);
	return n > 0 ? (size_t)n : 0;
}

/* A pipe that nobody reads: frames are dropped, and nobody waits. */
static void slow_reader(void)
{
	struct capture_options options = options_for("pipe");
	struct counts counts;
	size_t got = 0;
	int a, pipe_fd;

	rig_open();
	a = peer();
	credit(1 << 20);
	CHECK(settle() < 1000);
	CHECK(!mkfifo(options.target.path, 0600));
	pipe_fd = open(options.target.path, O_RDONLY | O_NONBLOCK);
	started(&options);
	for (int i = 0; i < 20000; i++)
		input(1, 1500);
	captures_visit(&rig.net, note, NULL);
	CHECK(running && result.dropped > 8000 && result.dropped < 20000);
	/* Once it is read again, what was missed is told of. */
	for (int i = 0; i < 2000 && got < WRITER_RING - 4096; i++)
		got += read_pipe(pipe_fd, got);
	input(1, 1500);
	input(1, 1500);
	settle();
	CHECK(!capture_stop(&rig.net, 2, rig.net.last_capture_id));
	for (int i = 0; i < 5000 && !LIST_EMPTY(&rig.net.captures); i++) {
		settle();
		got += read_pipe(pipe_fd, got);
	}
	CHECK(LIST_EMPTY(&rig.net.captures));
	got += read_pipe(pipe_fd, got);
	counts = count_blocks(got);
	CHECK(!counts.broken && counts.statistics == 1);
	CHECK(counts.packets + counts.missed == 20002);
	CHECK(counts.missed > 8000);
	close(pipe_fd);
	unlink(options.target.path);
	close(a);
	rig_close();
}

/* Nor is it waited for for ever at the end. */
static void reader_that_never_reads(void)
{
	struct capture_options options = options_for("pipe");
	int a, pipe_fd;

	rig_open();
	a = peer();
	credit(1 << 20);
	CHECK(settle() < 1000);
	CHECK(!mkfifo(options.target.path, 0600));
	pipe_fd = open(options.target.path, O_RDONLY | O_NONBLOCK);
	started(&options);
	for (int i = 0; i < 1000; i++)
		input(1, 1500);
	ended();
	close(pipe_fd);
	unlink(options.target.path);
	close(a);
	rig_close();
}

static void nobody_at_the_pipe(void)
{
	struct capture_options options = options_for("pipe");
	char *error = NULL;
	int a;

	rig_open();
	a = peer();
	credit(1 << 20);
	CHECK(settle() < 1000);
	CHECK(!mkfifo(options.target.path, 0600));
	CHECK(!capture_start(&rig.net, 1, &options, &error));
	for (int i = 0; i < 5000 && !LIST_EMPTY(&rig.net.captures); i++) {
		settle();
		poll(NULL, 0, 1);
	}
	CHECK(LIST_EMPTY(&rig.net.captures));
	unlink(options.target.path);
	close(a);
	rig_close();
}

/* The file ends with the last frame that it has room for. */
static void full_disk(void)
{
	struct rlimit limit = {100000, RLIM_INFINITY}, before;
	struct capture_options options = options_for("full");
	struct counts counts;
	int a;

	rig_open();
	a = peer();
	credit(1 << 20);
	CHECK(settle() < 1000);
	signal(SIGXFSZ, SIG_IGN);
	CHECK(!getrlimit(RLIMIT_FSIZE, &before));
	CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
	started(&options);
	for (int i = 0; i < 1000; i++)
		input(1, 1500);
	until_running(false);
	CHECK(!setrlimit(RLIMIT_FSIZE, &before));
	CHECK(result.err == -EFBIG);
	CHECK(result.written + result.dropped == 1000);
	counts = counts_of("full");
	CHECK(!counts.broken && counts.packets == result.written);
	CHECK(counts.packets > 60);
	/* The port is there as before, and nothing looks at it any more. */
	CHECK(LIST_EMPTY(&net_port_by_id(&rig.net, 1)->taps));
	CHECK(!capture_stop(&rig.net, 2, rig.net.last_capture_id));
	CHECK(capture_stop(&rig.net, 2, rig.net.last_capture_id) == -ENOENT);
	close(a);
	rig_close();
}

static void ring_of_files(void)
{
	struct capture_options options = options_for("many.pcapng");
	unsigned int packets = 0, files = 0;
	char path[128];
	int a;

	rig_open();
	a = peer();
	credit(1 << 20);
	CHECK(settle() < 1000);
	options.target.file_bytes = 50000;
	options.target.files = 3;
	started(&options);
	for (int i = 0; i < 1000; i++)
		input(1, 1000);
	ended();
	for (unsigned int i = 1; i < 100; i++) {
		struct counts counts;
		struct stat st;

		snprintf(path, sizeof(path), "%s/many.%05u.pcapng", dir, i);
		if (stat(path, &st) < 0)
			continue;
		CHECK(st.st_size <= 50000 + PCAPNG_BLOCK_MAX);
		snprintf(path, sizeof(path), "many.%05u.pcapng", i);
		counts = counts_of(path);
		CHECK(!counts.broken && counts.interfaces == 1);
		packets += counts.packets;
		files++;
	}
	CHECK(files == 3);
	CHECK(packets > 2 * 40 && packets <= 3 * 50);
	close(a);
	rig_close();
}

/* The end of evum_net: what was recorded is in the file. */
static void closed_with_the_switch(void)
{
	struct capture_options options = options_for("closed");
	struct counts counts;
	int a;

	rig_open();
	a = peer();
	credit(1 << 20);
	CHECK(settle() < 1000);
	started(&options);
	for (int i = 0; i < 1000; i++)
		input(1, 1000);
	rig_close();
	close(a);
	counts = counts_of("closed");
	CHECK(!counts.broken && counts.packets == 1000);
	CHECK(counts.statistics == 1);
}

int main(void)
{
	CHECK(mkdtemp(dir));
	RUN(each_frame_once);
	RUN(ports_come_and_go);
	RUN(filter_and_snaplen);
	RUN(frames_in_pieces);
	RUN(slow_reader);
	RUN(reader_that_never_reads);
	RUN(nobody_at_the_pipe);
	RUN(full_disk);
	RUN(ring_of_files);
	RUN(closed_with_the_switch);
	rmdir(dir);
	UNIT_DONE();
}
