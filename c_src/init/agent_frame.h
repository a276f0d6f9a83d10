/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_frame - the frames between the agent and the BEAM, as bytes.
 *
 *      0        4      5        9
 *      +--------+------+--------+---------+
 *      | length | type | id     | payload |   numbers are big-endian; length
 *      +--------+------+--------+---------+   counts type, id and payload
 *
 * doc/agent.md says what each type means. What comes here was made by
 * src/evum_agent.erl; it is checked all the same, as whatever is parsed in
 * this project: a length is believed no further than the bytes reach.
 */
#ifndef EVUM_AGENT_FRAME_H
#define EVUM_AGENT_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define AGENT_MAGIC "evum"
#define AGENT_VERSION 2

#define FRAME_LENGTH 4
#define FRAME_HEADER 9
/* The longest payload in either direction, bytes. */
#define FRAME_PAYLOAD_MAX (64u << 10)
#define FRAME_MAX (FRAME_HEADER + FRAME_PAYLOAD_MAX)
/* Arguments, and variables of the environment, of a command. */
#define FRAME_STRINGS_MAX 1024

enum frame_type {
	FRAME_HELLO = 0,
	/* requests */
	FRAME_RUN = 1,
	FRAME_PUT = 2,
	FRAME_GET = 3,
	FRAME_NETLINK = 4,
	FRAME_UNREAD = 5,
	FRAME_RESIZE = 6,
	FRAME_POWER = 7,
	/* on the way */
	FRAME_DATA = 16,
	FRAME_EOF = 17,
	FRAME_WINDOW = 18,
	FRAME_CANCEL = 19,
	/* the end of a request */
	FRAME_DONE = 20,
};

enum frame_done {
	DONE_OK = 0,	 /* an exit status, or another number */
	DONE_SIGNAL = 1, /* the signal's number */
	DONE_ERRNO = 2,
};

struct frame {
	uint8_t type;
	uint32_t id;
	const uint8_t *payload;
	size_t len;
};

/* What RUN asks for; the strings are in the frame's payload. */
struct frame_run {
	uint32_t window;
	uint8_t input; /* whether DATA and EOF will follow */
	const char *dir;
	int argc, envc;
	const char *argv[FRAME_STRINGS_MAX + 1];
	const char *env[FRAME_STRINGS_MAX + 1];
};

struct frame_file {
	uint32_t window; /* GET: bytes that may be sent */
	uint32_t mode;	 /* PUT: permissions */
	uint64_t size;	 /* PUT: bytes that will come */
	const char *path;
};

/*
 * The frame at the front of len bytes: how many bytes it takes, 0 where it is
 * not whole yet, -EBADMSG.
 */
int frame_next(const uint8_t *bytes, size_t len, struct frame *frame);

/* Payloads of requests; 0 or -EBADMSG. */
int frame_run(const struct frame *frame, struct frame_run *run);
int frame_put(const struct frame *frame, struct frame_file *file);
int frame_get(const struct frame *frame, struct frame_file *file);
int frame_u32(const struct frame *frame, uint32_t *value);

/* Write a frame's header; the payload's bytes follow it. */
void frame_header(uint8_t at[FRAME_HEADER], uint8_t type, uint32_t id,
		  size_t payload);
void frame_put_u32(uint8_t at[4], uint32_t value);

#endif
