/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal - the terminal that somebody sits at: raw while it shows a machine's
 * console, and then again as it was found.
 */
#ifndef EVUM_TERMINAL_H
#define EVUM_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

struct terminal {
	int fd; /* an open file of its own, non-blocking */
	struct termios found;
};

/* All return 0 or -errno. */
int terminal_open(struct terminal *term, const char *path);
int terminal_raw(const struct terminal *term);
int terminal_size(const struct terminal *term, unsigned int *columns,
		  unsigned int *rows);
/* Undo terminal_raw(), and what a program in a guest may have left behind. */
void terminal_restore(const struct terminal *term);
/* Let that be a terminal for lines, where it was found in use by a program that
 * cannot put it back any more. */
void terminal_sane(struct terminal *term);

#endif
