/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services that start with the machine: an image of ours has a program that
 * knows which (rootfs/files/usr/lib/evum/rc). It runs beside the console, and
 * what it starts is reaped with all others.
 */
#include "init.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define RC "/usr/lib/evum/rc"

_Noreturn static void services_child(void)
{
	char *const argv[] = {(char[]){RC}, NULL};
	char *const environment[] = {
		(char[]){"HOME=/root"},
		(char[]){"TERM=dumb"},
		(char[]){"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
			 "/usr/bin:/sbin:/bin:" INIT_APPLETS},
		NULL,
	};
	sigset_t none;
	int fd;

	setsid();
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(RC, argv, environment);
	_exit(127);
}

void services_start(const struct config *config)
{
	/* The host's are the host's */
	if (config->image && access(RC, X_OK) == 0 && fork() == 0)
		services_child();
}
