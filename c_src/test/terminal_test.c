/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "terminal.h"
#include "unit.h"

static int master;

static void open_pty(struct terminal *term)
{
	master = posix_openpt(O_RDWR | O_NOCTTY);
	CHECK(master >= 0);
	CHECK(grantpt(master) == 0 && unlockpt(master) == 0);
	CHECK(terminal_open(term, ptsname(master)) == 0);
}

static struct termios now(const struct terminal *term)
{
	struct termios t;

	CHECK(tcgetattr(term->fd, &t) == 0);
	return t;
}

static void test_raw_and_back(void)
{
	struct terminal term;
	struct termios t;
	char shown[64];

	setenv("TERM", "xterm", 1);
	open_pty(&term);
	/* nothing was changed: nothing is written */
	terminal_restore(&term);
	CHECK(fcntl(master, F_SETFL, O_NONBLOCK) == 0);
	CHECK(read(master, shown, sizeof(shown)) < 0 && errno == EAGAIN);

	CHECK(terminal_raw(&term) == 0);
	t = now(&term);
	CHECK(!(t.c_lflag & (tcflag_t)(ICANON | ECHO | ISIG)));
	terminal_restore(&term);
	t = now(&term);
	CHECK(t.c_lflag == term.found.c_lflag);
	CHECK(t.c_oflag == term.found.c_oflag);
	CHECK(t.c_iflag == term.found.c_iflag);
	/* and a hidden cursor is shown */
	CHECK(read(master, shown, sizeof(shown)) > 0);
	CHECK(memmem(shown, sizeof(shown), "\033[?25h", 6) != NULL);
	close(term.fd);
	close(master);
}

/* As a shell that edits lines leaves it, when it is killed. */
static void test_sane(void)
{
	struct terminal term;
	struct termios t;

	open_pty(&term);
	t = now(&term);
	term.found.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	term.found.c_oflag &= ~(tcflag_t)OPOST;
	CHECK(terminal_raw(&term) == 0);
	terminal_sane(&term);
	terminal_restore(&term);
	CHECK(now(&term).c_lflag == t.c_lflag);
	CHECK(now(&term).c_oflag == t.c_oflag);
	close(term.fd);
	close(master);
}

static void test_size(void)
{
	struct winsize size = {.ws_col = 77, .ws_row = 21};
	unsigned int columns = 0, rows = 0;
	struct terminal term;

	open_pty(&term);
	CHECK(ioctl(master, TIOCSWINSZ, &size) == 0);
	CHECK(terminal_size(&term, &columns, &rows) == 0);
	CHECK(columns == 77 && rows == 21);
	close(term.fd);
	close(master);
}

static void test_no_terminal(void)
{
	struct terminal term;

	CHECK(terminal_open(&term, "/dev/null") == -ENOTTY);
	CHECK(terminal_open(&term, "/does/not/exist") == -ENOENT);
}

int main(void)
{
	RUN(test_raw_and_back);
	RUN(test_sane);
	RUN(test_size);
	RUN(test_no_terminal);
	UNIT_DONE();
}
