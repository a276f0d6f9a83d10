/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_writer - the thread that writes a capture: takes blocks of pcapng
 * out of a ring, and puts them into a file, a ring of files, a pipe or a
 * socket.
 *
 *   capture (evum_net's loop) ── ring ──> writer_main ──> file
 *                             <── told_fd: opened, ended
 *
 * It alone waits for disks and readers: the loop never does, and finds the
 * ring full instead. A file ends with a whole block, even where the disk is
 * full. In a ring of files each one begins with the section and the interfaces
 * so far.
 *
 * Life: writer_start(); opened or ended is told; writer_finish(); ended is
 * told; writer_join().
 */
#ifndef EVUM_NET_CAPTURE_WRITER_H
#define EVUM_NET_CAPTURE_WRITER_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "ring.h"

/* Blocks that wait for the writer, bytes. */
#define WRITER_RING ((size_t)16 << 20)
/* When all is over, a pipe or socket that takes nothing is waited for so long,
 * ms. */
#define WRITER_DRAIN_MS 500
/* What each file of a ring begins with, bytes: more than that many interfaces
 * have. */
#define WRITER_PROLOGUE_MAX ((size_t)32 << 20)

struct writer_target {
	bool is_socket; /* the path is a unix socket's, abstract where it begins
			 * with a NUL */
	char path[PATH_MAX];
	size_t path_len;
	/* A ring of files: the next one begins after so many bytes, or with a
	 * packet so much later than the first, 0: never; the oldest of more
	 * than that many is removed. */
	uint64_t file_bytes, file_ns;
	uint32_t files;
};

struct writer {
	/* Of both threads */
	struct ring ring;
	_Atomic bool opened, closing, ended;
	_Atomic uint64_t written; /* packets */
	int wake_fd, told_fd;	  /* eventfds */
	/* Set before closing and read after, or set before ended */
	struct buf trailer;
	int err;
	/* Of the writer's thread */
	struct writer_target target;
	pthread_t thread;
	struct buf prologue;
	int fd;
	bool is_regular;
	uint32_t number; /* of the file */
	uint64_t file_size, packets, began_ns;
	int64_t deadline_ms; /* 0: none yet */
};

/* prologue is what the file begins with. 0 or -errno. */
int writer_start(struct writer *writer, const struct writer_target *target,
		 const uint8_t *prologue, size_t n);
/* There is something in the ring. */
void writer_wake(struct writer *writer);
/* Write what is in the ring, then the trailer, and end. */
void writer_finish(struct writer *writer);
/*
 * Wait for the end of the thread, until a time of CLOCK_REALTIME where one is
 * given. 0, and all is freed; or -ETIMEDOUT, and nothing can be.
 */
int writer_join(struct writer *writer, const struct timespec *until);

#endif
