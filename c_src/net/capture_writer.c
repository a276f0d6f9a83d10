/* SPDX-License-Identifier: Apache-2.0 */
#include "capture_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop.h"
#include "pcapng.h"

/* Written in one system call, bytes: so much of the ring is free at once. */
#define WRITE_MAX ((size_t)1 << 20)
/* What a file's number adds to its name, at most, bytes. */
#define NUMBER_MAX 11

static void signal_eventfd(int fd)
{
	uint64_t one = 1;

	/* Fails only where it is signalled 2^64 - 1 times already. */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void clear_eventfd(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

/* --- Files ------------------------------------------------------------ */

static bool is_series(const struct writer *writer)
{
	return writer->target.file_bytes || writer->target.file_ns;
}

/* The n-th file of a ring: its number stands before what the name ends in. */
static void path_of(const struct writer *writer, uint32_t n,
		    char path[PATH_MAX + NUMBER_MAX])
{
	const char *whole = writer->target.path;
	const char *slash = strrchr(whole, '/');
	const char *base = slash ? slash + 1 : whole;
	const char *dot = strrchr(base, '.');
	size_t stem =
		dot && dot != base ? (size_t)(dot - whole) : strlen(whole);

	snprintf(path, PATH_MAX + NUMBER_MAX, "%.*s.%05u%s", (int)stem, whole,
		 n, whole + stem);
}

static int open_socket(const struct writer_target *target)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	size_t len = offsetof(struct sockaddr_un, sun_path) + target->path_len;
	int fd, err;

	if (target->path_len > sizeof(at.sun_path))
		return -ENAMETOOLONG;
	memcpy(at.sun_path, target->path, target->path_len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)(void *)&at, (socklen_t)len) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int open_file(const char *path)
{
	/* Without a reader a pipe is refused rather than waited for. */
	int fd = open(path,
		      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK |
			      O_NOCTTY,
		      0600);

	return fd < 0 ? -errno : fd;
}

static int open_target(struct writer *writer)
{
	char path[PATH_MAX + NUMBER_MAX];
	struct stat st;
	int fd;

	if (writer->target.is_socket) {
		fd = open_socket(&writer->target);
	} else if (is_series(writer)) {
		path_of(writer, ++writer->number, path);
		fd = open_file(path);
	} else {
		fd = open_file(writer->target.path);
	}
	if (fd < 0)
		return fd;
	writer->fd = fd;
	writer->is_regular = !fstat(fd, &st) && S_ISREG(st.st_mode);
	writer->file_size = writer->packets = 0;
	return 0;
}

static void remove_oldest(const struct writer *writer)
{
	char path[PATH_MAX + NUMBER_MAX];

	if (!is_series(writer) || writer->number <= writer->target.files)
		return;
	path_of(writer, writer->number - writer->target.files, path);
	unlink(path);
}

/* --- Writing ---------------------------------------------------------- */

/* Until a pipe or socket takes more. 0 or -errno. */
static int wait_for_reader(struct writer *writer)
{
	struct pollfd fds[] = {{.fd = writer->fd, .events = POLLOUT},
			       {.fd = writer->wake_fd, .events = POLLIN}};
	bool closing = atomic_load(&writer->closing);
	int64_t now = loop_now_ms();

	if (!closing) {
		if (poll(fds, 2, -1) > 0 && fds[1].revents)
			clear_eventfd(writer->wake_fd);
		return 0;
	}
	if (!writer->deadline_ms)
		writer->deadline_ms = now + WRITER_DRAIN_MS;
	if (now >= writer->deadline_ms)
		return -ETIMEDOUT;
	poll(fds, 1, (int)(writer->deadline_ms - now));
	return 0;
}

/* How many of n bytes were written: fewer with an error. */
static size_t write_all(struct writer *writer, const uint8_t *bytes, size_t n,
			int *err)
{
	size_t done = 0;

	*err = 0;
	while (done < n && !*err) {
		ssize_t wrote = write(writer->fd, bytes + done, n - done);

		if (wrote > 0)
			done += (size_t)wrote;
		else if (wrote < 0 && errno == EAGAIN)
			*err = wait_for_reader(writer);
		else if (wrote == 0 || errno != EINTR)
			*err = wrote ? -errno : -EIO;
	}
	return done;
}

/*
 * Write whole blocks, and count the packets that are in the file then. Where
 * not all fit, the file ends behind the last that did.
 */
static int write_blocks(struct writer *writer, const uint8_t *bytes, size_t n)
{
	uint64_t packets = 0;
	size_t whole = 0;
	int err;
	size_t done = write_all(writer, bytes, n, &err);

	while (whole < done && pcapng_length(bytes + whole) <= done - whole) {
		if (pcapng_type(bytes + whole) == PCAPNG_PACKET)
			packets++;
		whole += pcapng_length(bytes + whole);
	}
	writer->file_size += whole;
	writer->packets += packets;
	atomic_fetch_add(&writer->written, packets);
	if (err && writer->is_regular &&
	    ftruncate(writer->fd, (off_t)writer->file_size) < 0)
		return -errno;
	return err;
}

static int begin_file(struct writer *writer)
{
	int err = open_target(writer);

	if (err)
		return err;
	remove_oldest(writer);
	return write_blocks(writer, buf_data(&writer->prologue),
			    buf_len(&writer->prologue));
}

/* close() may be what tells of a full disk. */
static int end_file(struct writer *writer)
{
	int fd = writer->fd;

	writer->fd = -1;
	return fd >= 0 && close(fd) < 0 && errno != EINTR ? -errno : 0;
}

/* Does a block belong into the next file, behind n bytes that wait for this? */
static bool turns_over(const struct writer *writer, const uint8_t *block,
		       size_t n, bool first)
{
	uint64_t after = writer->file_size + n + pcapng_length(block);
	uint64_t time;

	if (pcapng_type(block) != PCAPNG_PACKET || (first && !writer->packets))
		return false;
	if (writer->target.file_bytes && after > writer->target.file_bytes)
		return true;
	time = pcapng_time_ns(block);
	/* The clock may have been set back. */
	return writer->target.file_ns && time > writer->began_ns &&
	       time - writer->began_ns >= writer->target.file_ns;
}

/*
 * Write the blocks up to where the next file begins, or no more than
 * WRITE_MAX.
 */
static int write_some(struct writer *writer, const uint8_t *bytes, size_t n)
{
	bool turn = false, first = true;
	size_t len = 0;
	int err = 0;

	while (len < n && len < WRITE_MAX && !err) {
		const uint8_t *block = bytes + len;
		uint32_t type = pcapng_type(block);

		turn = is_series(writer) &&
		       turns_over(writer, block, len, first);
		if (turn)
			break;
		if (type == PCAPNG_PACKET && first) {
			if (!writer->packets)
				writer->began_ns = pcapng_time_ns(block);
			first = false;
		} else if (type == PCAPNG_INTERFACE && is_series(writer)) {
			err = buf_append(&writer->prologue, block,
					 pcapng_length(block));
		}
		len += pcapng_length(block);
	}
	if (!err)
		err = write_blocks(writer, bytes, len);
	ring_take(&writer->ring, len);
	if (!err && turn)
		err = end_file(writer);
	if (!err && turn)
		err = begin_file(writer);
	return err;
}

/* --- The thread ------------------------------------------------------- */

static int write_until_closed(struct writer *writer)
{
	int err = 0;

	while (!err) {
		/* What was put in before that is in there. */
		bool closing = atomic_load(&writer->closing);
		const uint8_t *at;
		size_t n = ring_filled(&writer->ring, &at);

		if (n > 0)
			err = write_some(writer, at, n);
		else if (closing)
			return write_blocks(writer, buf_data(&writer->trailer),
					    buf_len(&writer->trailer));
		else
			clear_eventfd(writer->wake_fd);
	}
	return err;
}

static void *writer_main(void *arg)
{
	struct writer *writer = arg;
	int err = begin_file(writer), close_err;

	if (!err) {
		atomic_store(&writer->opened, true);
		signal_eventfd(writer->told_fd);
		err = write_until_closed(writer);
	}
	close_err = end_file(writer);
	writer->err = err ? err : close_err;
	atomic_store(&writer->ended, true);
	signal_eventfd(writer->told_fd);
	return NULL;
}

static void writer_free(struct writer *writer)
{
	ring_free(&writer->ring);
	buf_free(&writer->prologue);
	buf_free(&writer->trailer);
	if (writer->wake_fd >= 0)
		close(writer->wake_fd);
	if (writer->told_fd >= 0)
		close(writer->told_fd);
}

int writer_start(struct writer *writer, const struct writer_target *target,
		 const uint8_t *prologue, size_t n)
{
	int err;

	*writer = (struct writer){.target = *target, .fd = -1};
	buf_init(&writer->prologue, WRITER_PROLOGUE_MAX);
	buf_init(&writer->trailer, WRITER_PROLOGUE_MAX);
	writer->wake_fd = eventfd(0, EFD_CLOEXEC);
	writer->told_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = writer->wake_fd < 0 || writer->told_fd < 0 ? -errno : 0;
	if (!err)
		err = ring_init(&writer->ring, WRITER_RING);
	if (!err)
		err = buf_append(&writer->prologue, prologue, n);
	if (!err)
		err = -pthread_create(&writer->thread, NULL, writer_main,
				      writer);
	if (err)
		writer_free(writer);
	return err;
}

void writer_wake(struct writer *writer)
{
	signal_eventfd(writer->wake_fd);
}

void writer_finish(struct writer *writer)
{
	atomic_store(&writer->closing, true);
	writer_wake(writer);
}

int writer_join(struct writer *writer, const struct timespec *until)
{
	int err = until ? pthread_timedjoin_np(writer->thread, NULL, until)
			: pthread_join(writer->thread, NULL);

	if (err)
		return -err;
	writer_free(writer);
	return 0;
}
