/* SPDX-License-Identifier: Apache-2.0 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A program that ends sooner than that is not started again at once. */
#define RESTART_MIN_MS 1000
#define FORK_RETRY_MS 20
/* Processes have that long to end, when asked to and when made to. */
#define TERM_LIMIT_MS 2000
#define KILL_LIMIT_MS 1000
#define REAP_TURN_MS 20
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

/* A program that process 1 keeps running. */
struct service {
	pid_t (*start)(const struct config *config);
	pid_t pid;	    /* 0: does not run */
	int64_t started_ms; /* the last time */
	int64_t due_ms;	    /* start it then */
};

enum { SERVICE_CONSOLE, SERVICE_AGENT, SERVICES };

static int64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static pid_t start_agent(const struct config *config)
{
	(void)config;
	return agent_start();
}

/* Start it if that is due. */
static void tend(struct service *service, const struct config *config)
{
	int64_t now = now_ms();

	if (!service->start || service->pid || now < service->due_ms)
		return;
	service->pid = service->start(config);
	service->started_ms = now;
	if (service->pid < 0) {
		/* Those who wait to be reaped may be what takes the room */
		service->pid = 0;
		service->due_ms = now + FORK_RETRY_MS;
	}
}

static void ended(struct service *service)
{
	int64_t now = now_ms();

	service->pid = 0;
	service->due_ms = now - service->started_ms < RESTART_MIN_MS
				  ? now + RESTART_MIN_MS
				  : now;
}

static void reap(struct service services[SERVICES])
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (int i = 0; i < SERVICES; i++)
			if (services[i].pid == pid)
				ended(&services[i]);
}

/* A signal, or 0 once something is due. */
static int await_signal(const struct service services[SERVICES],
			const sigset_t *signals)
{
	int64_t due = INT64_MAX, left;
	struct timespec time;
	int sig;

	for (int i = 0; i < SERVICES; i++)
		if (services[i].start && !services[i].pid &&
		    services[i].due_ms < due)
			due = services[i].due_ms;
	if (due == INT64_MAX)
		return sigwaitinfo(signals, NULL);
	left = due - now_ms();
	if (left < 0)
		left = 0;
	time.tv_sec = left / 1000;
	time.tv_nsec = left % 1000 * 1000000;
	sig = sigtimedwait(signals, NULL, &time);
	return sig < 0 ? 0 : sig;
}

/* Whether all processes of the machine have ended within that time. */
static bool all_ended(int64_t limit_ms, const sigset_t *signals)
{
	int64_t end = now_ms() + limit_ms;
	struct timespec time = {.tv_nsec = REAP_TURN_MS * 1000000};
	pid_t pid;

	for (;;) {
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (pid < 0)
			return true;
		if (now_ms() >= end)
			return false;
		sigtimedwait(signals, NULL, &time);
	}
}

/*
 * All are asked to end, then made to. A shell on a terminal ignores SIGTERM;
 * it ends when its terminal is gone, which SIGHUP says. The agent goes first:
 * nobody is to start anything any more. What was written by then is on the disk
 * before they are waited for: the owner may lose patience.
 */
_Noreturn static void shut_down(struct service services[SERVICES],
				const sigset_t *signals, int how)
{
	if (services[SERVICE_AGENT].pid)
		kill(services[SERVICE_AGENT].pid, SIGKILL);
	sync();
	kill(-1, SIGTERM);
	if (services[SERVICE_CONSOLE].pid)
		kill(-services[SERVICE_CONSOLE].pid, SIGHUP);
	kill(-1, SIGCONT);
	if (!all_ended(TERM_LIMIT_MS, signals)) {
		kill(-1, SIGKILL);
		all_ended(KILL_LIMIT_MS, signals);
	}
	power(how);
}

/*
 * Signals as other inits understand them: those of busybox's halt, poweroff
 * and reboot, and those of systemd's.
 */
static void serve(const struct config *config, const sigset_t *signals)
{
	struct service services[SERVICES] = {
		[SERVICE_CONSOLE] = {.start = console_start},
		[SERVICE_AGENT] = {.start = config->agent ? start_agent : NULL},
	};

	tend(&services[SERVICE_CONSOLE], config);
	init_notify("ready");
	services_start(config);
	for (;;) {
		int sig;

		for (int i = 0; i < SERVICES; i++)
			tend(&services[i], config);
		sig = await_signal(services, signals);
		reap(services);
		if (sig == SIGUSR1 || sig == SIGUSR2 ||
		    sig == SIG_SYSTEMD_HALT || sig == SIG_SYSTEMD_POWEROFF)
			shut_down(services, signals, RB_POWER_OFF);
		if (sig == SIGTERM || sig == SIGINT ||
		    sig == SIG_SYSTEMD_REBOOT)
			shut_down(services, signals, RB_AUTOBOOT);
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
