/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "init.h"

/*
 * Opened anew each time: a descriptor that is kept is hung up when the shell
 * ends.
 */
static int console_open(void)
{
	int fd = open(INIT_CONSOLE, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int console_unread(void)
{
	struct pollfd pfd = {.events = POLLIN, .fd = console_open()};
	struct termios termios = {0};
	int unread = 0, err = 0;

	if (pfd.fd < 0)
		return pfd.fd;
	/*
	 * poll() of a terminal takes in what the driver has received and the
	 * line discipline has not seen yet (n_tty_poll()), so that nothing is
	 * in between.
	 */
	if (poll(&pfd, 1, 0) < 0 || ioctl(pfd.fd, FIONREAD, &unread) < 0 ||
	    tcgetattr(pfd.fd, &termios) < 0)
		err = -errno;
	close(pfd.fd);
	if (err)
		return err;
	if (termios.c_lflag & ICANON)
		unread |= termios.c_cc[VEOF] << 16;
	return unread;
}

int console_resize(uint16_t columns, uint16_t rows)
{
	struct winsize size = {.ws_col = columns, .ws_row = rows};
	int fd = console_open();
	int err = 0;

	if (fd < 0)
		return fd;
	/* The foreground programs get SIGWINCH from the terminal. */
	if (ioctl(fd, TIOCSWINSZ, &size) < 0)
		err = -errno;
	close(fd);
	return err;
}
