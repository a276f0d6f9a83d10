/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jail.h"
#include "log.h"

/* What evum_guest is told when a step on the way to exec fails. */
struct failure {
	const char *step; /* a literal: the same address in parent and child */
	int err;
};

/*
 * The descriptors of the way down, and nothing but them, in the keeper; behind
 * them are n_handover connections to switches, at HANDOVER_FD and up.
 */
struct channels {
	int status; /* SEQPACKET: "started" from the guest, then its status */
	int failure;
	int console;
	int n_handover;
};

#define CHANNELS 3
_Static_assert(HANDOVER_FD == STDERR_FILENO + 1 + CHANNELS,
	       "see close_others()");

_Noreturn static void fail(const struct channels *ch, const char *step, int err)
{
	struct failure failure = {step, err};

	if (write(ch->failure, &failure, sizeof(failure)) < 0)
		log_msg("%s: %s", step, strerror(-err));
	_exit(EXIT_FAILURE);
}

_Noreturn static void guest_child(const struct channels *ch,
				  const struct start *start)
{
	/*
	 * TMPDIR: where the guest's memory is. The rest of the environment is
	 * the host's and none of the guest's business.
	 */
	char *const env[] = {(char[]){"TMPDIR=" JAIL_SHM},
			     (char[]){"HOME=" JAIL_DIR}, NULL};
	sigset_t none;
	int err;

	/* evum_guest reads the sender's process id off this message. */
	if (send(ch->status, "", 1, 0) < 0)
		fail(ch, "status", -errno);
	if (dup2(ch->console, STDIN_FILENO) < 0 ||
	    dup2(ch->console, STDOUT_FILENO) < 0 ||
	    dup2(ch->console, STDERR_FILENO) < 0)
		fail(ch, "console", -errno);
	for (int i = 0; i < ch->n_handover; i++) {
		err = handover_pair(HANDOVER_FD + i);
		if (err)
			fail(ch, "switch", err);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	/*
	 * UML up to 6.15 takes all between its own end and its heap for its
	 * own: where the host puts the heap at a random place, the guest may
	 * lose most of its memory.
	 */
	if (personality(ADDR_NO_RANDOMIZE) < 0)
		fail(ch, "personality", -errno);
	/* All processes of the guest inherit it. */
	if (CPU_COUNT(&start->cpus) &&
	    sched_setaffinity(0, sizeof(start->cpus), &start->cpus) < 0)
		fail(ch, "cpus", -errno);
	err = jail_drop_privileges();
	if (err)
		fail(ch, "privileges", err);
	execve(start->kernel, start->argv, env);
	fail(ch, "exec", -errno);
}

/*
 * Fork with a process id of our choice. UML's daemon transport makes its
 * abstract address of its process id and a microsecond; were it the same id
 * in every PID namespace, two machines could meet on one address.
 */
static pid_t fork_with_id(pid_t id)
{
	pid_t set_tid[] = {id};
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)set_tid,
		.set_tid_size = 1,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	return pid < 0 ? (pid_t)-errno : (pid_t)pid;
}

/* Close all but stderr, the channels, and what is to be handed over. */
static void close_others(struct channels *ch, const struct handover *handover)
{
	int keep[CHANNELS + START_SOCKETS_MAX] = {ch->status, ch->failure,
						  ch->console};
	int n = CHANNELS + handover->n;

	for (int i = 0; i < handover->n; i++)
		keep[CHANNELS + i] = handover->fds[i];
	/* Above everything in use, then down to 3, 4, 5 and so on. */
	for (int i = 0; i < n; i++)
		keep[i] = fcntl(keep[i], F_DUPFD, 64);
	close_range(3, 63, 0);
	for (int i = 0; i < n; i++)
		dup3(keep[i], 3 + i, O_CLOEXEC);
	close_range((unsigned int)(3 + n), ~0u, 0);
	*ch = (struct channels){3, 4, 5, handover->n};
}

_Noreturn static void keeper_main(struct channels ch, const struct start *start,
				  const struct handover *handover, pid_t id)
{
	int null, err, status = 0;
	pid_t guest, pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* evum_guest may have died before that: then its end is closed. */
	if (recv(ch.status, &status, 1, MSG_DONTWAIT) == 0)
		_exit(EXIT_FAILURE);
	/* A ^C in the shell that started us all is not for the guest. */
	setsid();
	close_others(&ch, handover);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	close(null);
	/*
	 * What is copied from evum_guest, its environment and memory, is not
	 * for the guest to read through that /proc.
	 */
	prctl(PR_SET_DUMPABLE, 0);
	/* Where it is masked (some containers), the host's, read only, stays */
	err = jail_mount_proc();
	if (err)
		log_msg("a /proc of its own for the guest: %s", strerror(-err));
	guest = fork_with_id(id);
	if (guest < 0)
		fail(&ch, "fork", guest);
	if (guest == 0)
		guest_child(&ch, start);
	/* All but the status: what the guest has is the guest's alone. */
	close_range((unsigned int)ch.failure, ~0u, 0);
	err = jail_drop_privileges();
	if (err)
		_exit(EXIT_FAILURE);
	while ((pid = waitpid(-1, &status, 0)) != guest)
		if (pid < 0 && errno != EINTR)
			_exit(EXIT_FAILURE);
	send(ch.status, &status, sizeof(status), MSG_NOSIGNAL);
	_exit(EXIT_SUCCESS);
}

/* The guest's process id as this namespace sees it, from its credentials. */
static int receive_pid(int fd, pid_t *pid)
{
	char byte;
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	struct ucred creds;

	if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_CREDENTIALS)
		return -EPROTO;
	memcpy(&creds, CMSG_DATA(cmsg), sizeof(creds));
	*pid = creds.pid;
	return 0;
}

static int await_start(struct keeper *keeper, int failure_fd, const char **step)
{
	struct failure failure;
	ssize_t n;

	/* End of file: exec has closed the last copy of the other end. */
	do
		n = read(failure_fd, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (n == sizeof(failure)) {
		*step = failure.step;
		return failure.err;
	}
	*step = "keeper";
	return receive_pid(keeper->status_fd, &keeper->kernel);
}

int keeper_start(struct keeper *keeper, const struct start *start,
		 const struct handover *handover, const char **step)
{
	int status[2] = {-1, -1}, failure[2] = {-1, -1}, console[2] = {-1, -1};
	int one = 1, err = 0, ignored;
	pid_t self = getpid();

	*step = "channels";
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status) < 0 ||
	    setsockopt(status[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, console) < 0 ||
	    pipe2(failure, O_CLOEXEC) < 0) {
		err = -errno;
		goto close_ours;
	}
	*step = "fork";
	keeper->pid = fork();
	if (keeper->pid < 0) {
		err = -errno;
		keeper->pid = 0;
		goto close_ours;
	}
	if (keeper->pid == 0) {
		close(status[0]);
		keeper_main(
			(struct channels){status[1], failure[1], console[1], 0},
			start, handover, self);
	}
	close(status[1]);
	close(console[1]);
	close(failure[1]);
	keeper->status_fd = status[0];
	keeper->console_fd = console[0];
	err = await_start(keeper, failure[0], step);
	close(failure[0]);
	if (err)
		keeper_end(keeper, &ignored);
	return err;

close_ours:
	for (int i = 0; i < 2; i++) {
		close(status[i]);
		close(console[i]);
		close(failure[i]);
	}
	return err;
}

bool keeper_end(struct keeper *keeper, int *wait_status)
{
	bool ended;

	if (!keeper->pid)
		return false;
	ended = recv(keeper->status_fd, wait_status, sizeof(*wait_status),
		     MSG_DONTWAIT) == sizeof(*wait_status);
	kill(keeper->pid, SIGKILL);
	while (waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(keeper->status_fd);
	close(keeper->console_fd);
	keeper->pid = 0;
	return ended;
}
