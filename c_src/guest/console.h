/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console - bytes between the guest's console and the BEAM.
 *
 * Output is read only as far as the BEAM has given credit: what it does not
 * take stays in the socket, and the program in the guest that writes it waits.
 * Input waits here, bounded, while the guest does not read.
 */
#ifndef EVUM_CONSOLE_H
#define EVUM_CONSOLE_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "loop.h"
#include "port.h"

/* Input that waits for the guest; what is more is dropped and counted. */
#define CONSOLE_INPUT_MAX (64u << 10)

struct console {
	struct loop *loop;
	struct port *port;
	struct loop_fd socket;
	struct buf input;
	uint64_t input_dropped; /* bytes */
};

int console_init(struct console *con, struct loop *loop, struct port *port,
		 int fd);
void console_input(struct console *con, const uint8_t *bytes, size_t len);
/* Credit has come: go on reading. */
void console_resume(struct console *con);
/* The guest has ended: send what is left in the socket, credit or not. */
void console_drain(struct console *con);
void console_close(struct console *con);

#endif
