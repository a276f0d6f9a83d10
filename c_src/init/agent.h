/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent - what evum asks of a machine without going through its console.
 *
 *   agent.c          the process: the port, frames in, frames out, one poll()
 *   agent_frame.c    frames as bytes (fuzzed)
 *   agent_request.c  a request's life: its child, input, output, end
 *   agent_child.c    what a child does: a command, a file, netlink
 *   agent_console.c  the console's terminal: size, unread input
 *
 * The agent is a child of process 1, which starts it again when it ends: so
 * nothing that comes by the channel can hurt process 1, and a command that
 * outlives the agent finds its parent. It waits for nothing but poll(): work
 * that may take time (a file on a share, a command) is a child's, so that one
 * request does not hold up the others.
 */
#ifndef EVUM_AGENT_H
#define EVUM_AGENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent_frame.h"

/* Requests at a time; src/evum_agent.erl never has more under way. */
#define AGENT_REQUESTS_MAX 64
/* Input of one request that may be under way or wait here, bytes. */
#define AGENT_INPUT_WINDOW (256u << 10)
/* Output that waits for the channel, bytes. */
#define AGENT_OUT_MAX (128u << 10)
/* A piece of output: with its header, one write to the port. */
#define AGENT_CHUNK ((16u << 10) - FRAME_HEADER)

/* Frames on their way out. */
struct agent_out {
	size_t head, len;
	uint8_t bytes[AGENT_OUT_MAX];
};

struct request {
	bool used;
	uint32_t id;
	uint8_t type;
	pid_t pid; /* 0: has been reaped */
	int in, out;
	/* Input: what the host may send, has sent, and is owed. */
	uint8_t *input;
	size_t input_head, input_len;
	uint32_t input_granted, input_due;
	bool input_ended;
	/* Output: what may be sent; once the child has ended, what is left. */
	uint32_t window;
	bool ended;
	size_t left;
	uint8_t how;
	uint32_t value;
};

/* --- agent.c --- */

/* Room for a frame with n bytes of payload; where to put it, or NULL. */
uint8_t *agent_room(struct agent_out *out, size_t n);
/* n bytes have been put there. */
void agent_queued(struct agent_out *out, size_t n);

/* --- agent_request.c --- */

struct requests {
	struct request slots[AGENT_REQUESTS_MAX];
	struct agent_out out;
};

void requests_init(struct requests *rs);
/* A frame of the host's; -EBADMSG where it breaks the protocol. */
int requests_frame(struct requests *rs, const struct frame *frame);
/* A child has ended. */
void requests_reaped(struct requests *rs, pid_t pid, int wait_status);
/* Descriptors to wait for; how many were filled in, at most 2 a request. */
size_t requests_poll(struct requests *rs, struct pollfd *fds);
/* Move what can be moved, in and out. */
void requests_move(struct requests *rs);

/* --- agent_child.c --- */

/*
 * Start a child with stdin and stdout (and stderr) at in and out. Its process
 * id, or -errno. An internal child's exit status is an errno.
 */
pid_t child_run(const struct frame_run *run, int in, int out);
pid_t child_put(const struct frame_file *file, int in, int out);
pid_t child_get(const struct frame_file *file, int in, int out);
pid_t child_netlink(const uint8_t *message, size_t len, int in, int out);
/* Kill all processes of a command's session. */
void child_kill_session(pid_t sid);

/* --- agent_console.c --- */

/*
 * Bytes that the console's programs have not read, in 16 bits; above them the
 * character that ends a read (VEOF) where the terminal takes lines, so that one
 * which is not ended does not count. Or -errno.
 */
int console_unread(void);
/* 0 or -errno. */
int console_resize(uint16_t columns, uint16_t rows);

#endif
