/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * What full-screen programs set and one that was left in the middle has not
 * undone: colours, the cursor hidden, the other screen, cursor and keypad keys,
 * bracketed paste, reports of the mouse (ECMA-48 and xterm's control
 * sequences).
 */
static const char undo[] = "\033[0m\033[?25h\033[?47l\033[?1l\033>"
			   "\033[?2004l\033[?1000l\r\n";

int terminal_open(struct terminal *term, const char *path)
{
	term->fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (term->fd < 0)
		return -errno;
	if (tcgetattr(term->fd, &term->found) < 0) {
		int err = errno;

		close(term->fd);
		return -err;
	}
	return 0;
}

int terminal_raw(const struct terminal *term)
{
	struct termios raw = term->found;

	cfmakeraw(&raw);
	return tcsetattr(term->fd, TCSADRAIN, &raw) < 0 ? -errno : 0;
}

int terminal_size(const struct terminal *term, unsigned int *columns,
		  unsigned int *rows)
{
	struct winsize size;

	if (ioctl(term->fd, TIOCGWINSZ, &size) < 0)
		return -errno;
	*columns = size.ws_col;
	*rows = size.ws_row;
	return 0;
}

void terminal_sane(struct terminal *term)
{
	term->found.c_iflag |= ICRNL;
	term->found.c_oflag |= OPOST | ONLCR;
	term->found.c_lflag |= ICANON | ECHO | ISIG | IEXTEN;
}

void terminal_restore(const struct terminal *term)
{
	const char *kind = getenv("TERM");
	struct termios now;

	/* Nothing was changed, or it has been undone already. */
	if (tcgetattr(term->fd, &now) == 0 &&
	    now.c_lflag == term->found.c_lflag)
		return;
	if (kind && strcmp(kind, "dumb") != 0 &&
	    write(term->fd, undo, sizeof(undo) - 1) < 0)
		errno = 0; /* a terminal that is gone needs nothing */
	/* Not drained: a terminal that is stopped must not keep us. */
	tcsetattr(term->fd, TCSANOW, &term->found);
}
