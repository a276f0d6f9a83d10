/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

/* The first port of the first virtio console, drivers/char/virtio_console.c */
#define PORT "/dev/vport0p0"
#define MODULE "kernel/drivers/char/virtio_console.ko"
/* The device's port comes to be while this process starts. */
#define PORT_WAIT_MS 10000
#define PORT_RETRY_MS 2
/* The port takes no more in one write. */
#define WRITE_MAX (32u << 10)
/* Where the kernel has no larger piece of memory for it. */
#define WRITE_SMALL 2048

struct agent {
	int port, signals;
	struct requests requests;
	size_t in_len;
	uint8_t in[2 * FRAME_MAX];
};

_Noreturn static void agent_fail(const char *what)
{
	fprintf(stderr, "evum_init: agent: %s: %s\n", what, strerror(errno));
	_exit(EXIT_FAILURE);
}

/* --- frames on their way out --- */

uint8_t *agent_room(struct agent_out *out, size_t n)
{
	size_t size = FRAME_HEADER + n;

	if (sizeof(out->bytes) - out->len < size)
		return NULL;
	if (sizeof(out->bytes) - out->head - out->len < size) {
		memmove(out->bytes, out->bytes + out->head, out->len);
		out->head = 0;
	}
	return out->bytes + out->head + out->len;
}

void agent_queued(struct agent_out *out, size_t n)
{
	out->len += n;
}

static void write_port(struct agent *agent)
{
	struct agent_out *out = &agent->requests.out;
	size_t max = WRITE_MAX;

	while (out->len) {
		ssize_t n = write(agent->port, out->bytes + out->head,
				  out->len < max ? out->len : max);

		if (n < 0 && errno == ENOMEM && max > WRITE_SMALL) {
			max = WRITE_SMALL;
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != ENOMEM)
			agent_fail("write " PORT);
		if (n <= 0)
			return;
		out->head += (size_t)n;
		out->len -= (size_t)n;
	}
	out->head = 0;
}

static void say_hello(struct agent *agent)
{
	static const uint8_t hello[] = AGENT_MAGIC;
	uint8_t *at = agent_room(&agent->requests.out, 8);

	frame_header(at, FRAME_HELLO, 0, 8);
	memcpy(at + FRAME_HEADER, hello, 4);
	frame_put_u32(at + FRAME_HEADER + 4, AGENT_VERSION);
	agent_queued(&agent->requests.out, FRAME_HEADER + 8);
}

/* --- frames that come --- */

static void take_frames(struct agent *agent)
{
	size_t at = 0;

	for (;;) {
		struct frame frame;
		int n = frame_next(agent->in + at, agent->in_len - at, &frame);

		if (n == 0)
			break;
		errno = EBADMSG;
		if (n < 0 || requests_frame(&agent->requests, &frame))
			agent_fail("a frame of evum");
		at += (size_t)n;
	}
	memmove(agent->in, agent->in + at, agent->in_len - at);
	agent->in_len -= at;
}

/* Each read gives one buffer of the port, of at most a page. */
static void read_port(struct agent *agent)
{
	for (;;) {
		ssize_t n = read(agent->port, agent->in + agent->in_len,
				 sizeof(agent->in) - agent->in_len);

		if (n < 0 && errno != EAGAIN)
			agent_fail("read " PORT);
		if (n <= 0)
			break;
		agent->in_len += (size_t)n;
		if (agent->in_len == sizeof(agent->in))
			break;
	}
	take_frames(agent);
}

/* --- children --- */

static void reap(struct agent *agent)
{
	struct signalfd_siginfo info;
	int wait_status;
	pid_t pid;

	while (read(agent->signals, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
		requests_reaped(&agent->requests, pid, wait_status);
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* --- the port --- */

/* Debian's kernel has the driver as a module. */
static void load_driver(void)
{
	char path[PATH_MAX];
	struct utsname name;
	int fd;

	uname(&name);
	snprintf(path, sizeof(path), "/lib/modules/%s/" MODULE, name.release);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	/* EEXIST where this is not the first agent of this boot */
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
		agent_fail(path);
	close(fd);
}

static int open_port(void)
{
	int fd = open(PORT, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		load_driver();
	for (int ms = 0; fd < 0 && ms < PORT_WAIT_MS; ms += PORT_RETRY_MS) {
		fd = open(PORT, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			poll(NULL, 0, PORT_RETRY_MS);
	}
	if (fd < 0)
		agent_fail(PORT);
	return fd;
}

/* One turn: wait, then do all that can be done. */
static void turn(struct agent *agent)
{
	struct pollfd fds[2 + 2 * AGENT_REQUESTS_MAX];
	size_t n = 2;

	fds[0] = (struct pollfd){agent->port, POLLIN, 0};
	if (agent->requests.out.len)
		fds[0].events |= POLLOUT;
	fds[1] = (struct pollfd){agent->signals, POLLIN, 0};
	n += requests_poll(&agent->requests, fds + n);
	if (poll(fds, n, -1) < 0 && errno != EINTR)
		agent_fail("poll");
	/*
	 * No evum_guest at the other end yet; were it gone, so would be the
	 * machine.
	 */
	if (fds[0].revents & POLLHUP)
		poll(NULL, 0, PORT_RETRY_MS);
	if (fds[0].revents & POLLIN)
		read_port(agent);
	if (fds[1].revents & POLLIN)
		reap(agent);
	requests_move(&agent->requests);
	write_port(agent);
}

_Noreturn static void agent_main(void)
{
	static struct agent agent;

	setsid();
	agent.port = open_port();
	agent.signals = open_signals();
	if (agent.signals < 0)
		agent_fail("signalfd");
	requests_init(&agent.requests);
	say_hello(&agent);
	write_port(&agent);
	for (;;)
		turn(&agent);
}

pid_t agent_start(void)
{
	pid_t pid = fork();

	if (pid == 0)
		agent_main();
	return pid;
}
