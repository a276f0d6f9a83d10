/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evum_net - the ports of one switch: moves frames between its clients'
 * sockets and the BEAM, which decides. One process a switch, one thread.
 *
 * It ends when its stdin does, or at SIGTERM or SIGHUP, and takes its sockets'
 * files with it. SIGINT and SIGQUIT are for the shell in front, not for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net.h"
#include "requests.h"

/* Pipes to and from the BEAM, bytes: fewer wake-ups for large batches. */
#define PIPE_SIZE (1 << 20)

struct evum_net {
	struct net net;
	struct loop_fd signals;
};

static struct net *net_of(struct port *beam)
{
	return container_of(beam, struct net, beam);
}

static void beam_term(struct port *beam, const char *term, size_t len)
{
	(void)len;
	if (requests_handle(net_of(beam), term))
		die("malformed request");
}

static void beam_data(struct port *beam, const uint8_t *bytes, size_t len)
{
	if (net_frames_down(net_of(beam), bytes, len))
		die("malformed batch of frames");
}

static void beam_writable(struct port *beam)
{
	net_resume(net_of(beam));
}

static void beam_closed(struct port *beam)
{
	loop_stop(beam->loop);
}

static const struct port_ops beam_ops = {
	.term = beam_term,
	.data = beam_data,
	.writable = beam_writable,
	.closed = beam_closed,
};

static void signal_ready(struct loop_fd *entry, uint32_t events)
{
	(void)events;
	loop_stop(&container_of(entry, struct evum_net, signals)->net.loop);
}

static int signals_open(struct evum_net *evum)
{
	sigset_t set;
	int fd;

	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* of a capture: it ends with EFBIG */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	return loop_add(&evum->net.loop, &evum->signals, fd, EPOLLIN,
			signal_ready);
}

/* Two descriptors a port: take all that this user may have. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(void)
{
	static struct evum_net evum;
	int err;

	log_init("evum_net");
	umask(077); /* the sockets are this user's alone */
	raise_descriptor_limit();
	fcntl(STDIN_FILENO, F_SETPIPE_SZ, PIPE_SIZE);
	fcntl(STDOUT_FILENO, F_SETPIPE_SZ, PIPE_SIZE);
	ei_init();
	err = net_init(&evum.net, &beam_ops, STDIN_FILENO, STDOUT_FILENO);
	if (!err)
		err = signals_open(&evum);
	if (err)
		die("start: %s", strerror(-err));
	err = loop_run(&evum.net.loop);
	net_close(&evum.net);
	if (err)
		die("event loop: %s", strerror(-err));
	return EXIT_SUCCESS;
}
