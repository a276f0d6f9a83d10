/* SPDX-License-Identifier: Apache-2.0 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * As wide as that, so that line editors do not scroll sideways: on a dumb
 * terminal they show nothing but a window of a line that is longer.
 */
#define CONSOLE_COLUMNS 512
#define CONSOLE_ROWS 24

char *const init_environment[] = {
	(char[]){"HOME=/root"},
	(char[]){"USER=root"},
	(char[]){"LOGNAME=root"},
	(char[]){"LANG=C.UTF-8"},
	(char[]){"TERM=dumb"},
	(char[]){"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
		 "/sbin:/bin:" INIT_APPLETS},
	NULL,
};

_Noreturn static void console_child(const struct config *config)
{
	struct winsize size = {.ws_row = CONSOLE_ROWS,
			       .ws_col = CONSOLE_COLUMNS};
	sigset_t none;
	int fd;

	setsid();
	fd = open(INIT_CONSOLE, O_RDWR);
	if (fd < 0 || ioctl(fd, TIOCSCTTY, 1) < 0)
		init_fail("open", INIT_CONSOLE);
	ioctl(fd, TIOCSWINSZ, &size);
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(config->argv[0], config->argv, init_environment);
	init_fail("start", config->argv[0]);
}

pid_t console_start(const struct config *config)
{
	pid_t pid = fork();

	if (pid < 0 && errno != EAGAIN)
		init_fail("fork", config->argv[0]);
	if (pid == 0)
		console_child(config);
	return pid;
}
