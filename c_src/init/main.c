/* SPDX-License-Identifier: Apache-2.0 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A program that ends sooner than that is not started again at once. */
#define RESTART_MIN_S 1
#define FORK_RETRY_MS 20
/* systemd(1) counts from glibc's SIGRTMIN, 34; musl's is 35. */
#define SIG_SYSTEMD_HALT (34 + 3)
#define SIG_SYSTEMD_POWEROFF (34 + 4)
#define SIG_SYSTEMD_REBOOT (34 + 5)

void init_notify(const char *text)
{
	int fd = open("/proc/mconsole", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return; /* a guest that somebody started by hand */
	if (write(fd, text, strlen(text)) < 0)
		perror("evum_init: /proc/mconsole");
	close(fd);
}

_Noreturn static void power(int how)
{
	sync();
	reboot(how);
	for (;;)
		pause();
}

void init_fail(const char *step, const char *what)
{
	char text[256];

	snprintf(text, sizeof(text), "failed %s %s: %s", step, what,
		 strerror(errno));
	dprintf(STDERR_FILENO, "evum_init: %s\n", text);
	init_notify(text);
	power(RB_POWER_OFF);
}

/* The program on the console has ended; reap all others on the way. */
static bool console_ended(pid_t console)
{
	bool ended = false;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		ended |= pid == console;
	return ended;
}

static void sleep_ms(long ms)
{
	struct timespec time = {.tv_sec = ms / 1000,
				.tv_nsec = ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

static pid_t console_restart(const struct config *config, time_t started)
{
	pid_t pid;

	if (time(NULL) - started < RESTART_MIN_S)
		sleep_ms(RESTART_MIN_S * 1000);
	while ((pid = console_start(config)) < 0) {
		sleep_ms(FORK_RETRY_MS);
		/* Those who wait to be reaped may be what takes the room */
		console_ended(0);
	}
	return pid;
}

/*
 * Signals as other inits understand them: those of busybox's halt, poweroff
 * and reboot, and those of systemd's.
 */
static void serve(const struct config *config, const sigset_t *signals)
{
	time_t started = time(NULL);
	pid_t console = console_restart(config, 0);

	init_notify("ready");
	services_start(config);
	for (;;) {
		int sig = sigwaitinfo(signals, NULL);

		if (sig == SIGCHLD && console_ended(console)) {
			console = console_restart(config, started);
			started = time(NULL);
		} else if (sig == SIGUSR1 || sig == SIGUSR2 ||
			   sig == SIG_SYSTEMD_HALT ||
			   sig == SIG_SYSTEMD_POWEROFF) {
			power(RB_POWER_OFF);
		} else if (sig == SIGTERM || sig == SIGINT ||
			   sig == SIG_SYSTEMD_REBOOT) {
			power(RB_AUTOBOOT);
		}
	}
}

int main(void)
{
	static struct config config;
	sigset_t signals;

	root_mount_early();
	config_load(&config);
	root_enter(&config);
	program_check(&config);
	netdev_setup(&config);
	if (config.hostname[0] &&
	    sethostname(config.hostname, strlen(config.hostname)) < 0)
		init_fail("set the name", config.hostname);
	sigfillset(&signals);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	serve(&config, &signals);
}
