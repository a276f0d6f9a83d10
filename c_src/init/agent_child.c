/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "init.h"

#define COPY_CHUNK (64u << 10)
/* As shells have it. */
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND 127
#define NETLINK_TIMEOUT_S 5
#define NETLINK_BUFFER (32u << 10)
/* Processes that fork while they are being killed are looked for again. */
#define KILL_ROUNDS 20

/* --- a command --- */

static bool is_given(const struct frame_run *run, const char *pair)
{
	size_t name = strcspn(pair, "=") + 1;

	for (int i = 0; i < run->envc; i++)
		if (!strncmp(run->env[i], pair, name))
			return true;
	return false;
}

/* The console's environment, below what the request has. */
static void merge_environment(const struct frame_run *run, const char **to)
{
	int n = 0;

	for (int i = 0; i < run->envc; i++)
		to[n++] = run->env[i];
	for (int i = 0; init_environment[i]; i++)
		if (!is_given(run, init_environment[i]))
			to[n++] = init_environment[i];
	to[n] = NULL;
}

_Noreturn static void run_failed(const char *what)
{
	int err = errno;

	dprintf(STDERR_FILENO, "evum: %s: %s\n", what, strerror(err));
	_exit(err == ENOENT || err == ENOTDIR ? STATUS_NOT_FOUND
					      : STATUS_NOT_EXECUTABLE);
}

_Noreturn static void run_child(const struct frame_run *run, const char **env,
				int in, int out)
{
	sigset_t none;

	/* It must not go on where nobody will hear of its end. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsid();
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir(run->dir) < 0)
		run_failed(run->dir);
	execvpe(run->argv[0], (char *const *)run->argv, (char *const *)env);
	run_failed(run->argv[0]);
}

/*
 * vfork(): the child borrows the agent's memory until it executes, which
 * saves a copy of the address space that costs as much as the exec itself.
 */
pid_t child_run(const struct frame_run *run, int in, int out)
{
	static const char *env[FRAME_STRINGS_MAX + INIT_ENVIRONMENT_MAX + 1];
	char **own = environ;
	pid_t pid;

	merge_environment(run, env);
	/* Where execvpe() looks for PATH */
	environ = (char **)env;
	pid = vfork();
	if (pid == 0)
		run_child(run, env, in, out);
	environ = own;
	return pid < 0 ? -errno : pid;
}

/* pid, ppid, ...: the session is the fourth number behind the name. */
static pid_t session_of(const char *entry)
{
	char path[64], text[512], *at;
	pid_t session = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%.32s/stat", entry);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	at = strrchr(text, ')');
	if (!at || sscanf(at + 1, " %*c %*d %*d %d", &session) != 1)
		return 0;
	return session;
}

/* One look at all processes; whether there was one to kill. */
static bool kill_round(pid_t sid)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	if (!proc)
		return false;
	while ((entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name);

		if (pid > 1 && session_of(entry->d_name) == sid &&
		    kill(pid, SIGKILL) == 0)
			found = true;
	}
	closedir(proc);
	return found;
}

/*
 * Its process group would not do: shells with job control, and timeout(1),
 * make groups of their own.
 */
void child_kill_session(pid_t sid)
{
	kill(-sid, SIGKILL);
	for (int i = 0; i < KILL_ROUNDS && kill_round(sid); i++)
		;
}

/* --- the agent's own children --- */

/* Fork, with nothing open but in and out, as stdin and stdout. */
static pid_t fork_internal(int in, int out)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid < 0 ? -errno : pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	for (int fd = STDERR_FILENO + 1; fd < INIT_FDS_MAX; fd++)
		close(fd);
	return 0;
}

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Copy up to size bytes; an errno where they do not come or do not fit. */
static int copy(int from, int to, uint64_t size, uint64_t *copied)
{
	static uint8_t chunk[COPY_CHUNK];

	*copied = 0;
	while (*copied < size) {
		size_t max = size - *copied < sizeof(chunk)
				     ? (size_t)(size - *copied)
				     : sizeof(chunk);
		ssize_t n = read(from, chunk, max);
		int err;

		if (n < 0)
			return errno;
		if (n == 0)
			return 0;
		err = write_all(to, chunk, (size_t)n);
		if (err)
			return err;
		*copied += (uint64_t)n;
	}
	return 0;
}

/* Files of these are settings, not data: they are written in place. */
static bool is_setting(const char *path)
{
	struct statfs fs;

	if (statfs(path, &fs) < 0)
		return false;
	return fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
	       fs.f_type == CGROUP2_SUPER_MAGIC;
}

static int put_setting(const struct frame_file *file)
{
	uint64_t copied;
	int fd = open(file->path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0)
		return errno;
	return copy(STDIN_FILENO, fd, file->size, &copied);
}

/* In the file's folder, so that it can be renamed into place. */
static int temporary_name(const char *path, char to[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash - path) + 1 : 0;
	int n = snprintf(to, PATH_MAX, "%.*s.evum-put-%d", folder, path,
			 (int)getpid());

	return n < PATH_MAX ? 0 : ENAMETOOLONG;
}

static int put_content(int fd, const struct frame_file *file)
{
	struct statfs fs;
	uint64_t copied;
	int err;

	/* Refused before it is half done, where that can be known. */
	if (fstatfs(fd, &fs) == 0 &&
	    file->size / (uint64_t)fs.f_bsize > fs.f_bavail)
		return ENOSPC;
	err = copy(STDIN_FILENO, fd, file->size, &copied);
	if (err)
		return err;
	/* Given up by evum, or the agent has died. */
	if (copied < file->size)
		return ECANCELED;
	return fchmod(fd, (mode_t)file->mode) < 0 ? errno : 0;
}

static int put_file(const struct frame_file *file)
{
	char temporary[PATH_MAX];
	int fd, err;

	if (is_setting(file->path))
		return put_setting(file);
	err = temporary_name(file->path, temporary);
	if (err)
		return err;
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	err = put_content(fd, file);
	if (close(fd) < 0 && !err)
		err = errno;
	if (!err && rename(temporary, file->path) < 0)
		err = errno;
	if (err)
		unlink(temporary);
	return err;
}

pid_t child_put(const struct frame_file *file, int in, int out)
{
	pid_t pid = fork_internal(in, out);

	if (pid == 0) {
		/* Its end is that of its input, so that it can tidy up. */
		prctl(PR_SET_PDEATHSIG, 0);
		_exit(put_file(file));
	}
	return pid;
}

static int get_file(const struct frame_file *file)
{
	int fd = open(file->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	uint64_t copied;

	if (fd < 0)
		return errno;
	return copy(fd, STDOUT_FILENO, UINT64_MAX, &copied);
}

pid_t child_get(const struct frame_file *file, int in, int out)
{
	pid_t pid = fork_internal(in, out);

	if (pid == 0)
		_exit(get_file(file));
	return pid;
}

/* --- netlink --- */

/* Whether a datagram of replies holds the last one. */
static bool is_last(const uint8_t *bytes, size_t len)
{
	while (len >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr header;
		size_t size;

		memcpy(&header, bytes, sizeof(header));
		if (header.nlmsg_type == NLMSG_ERROR ||
		    header.nlmsg_type == NLMSG_DONE)
			return true;
		size = NLMSG_ALIGN((size_t)header.nlmsg_len);
		if (size < sizeof(header) || size > len)
			return true;
		bytes += size;
		len -= size;
	}
	return false;
}

static int netlink(const uint8_t *message, size_t len)
{
	static uint8_t replies[NETLINK_BUFFER];
	struct timeval limit = {.tv_sec = NETLINK_TIMEOUT_S};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return errno;
	if (send(fd, message, len, 0) < 0)
		return errno;
	for (;;) {
		ssize_t n = recv(fd, replies, sizeof(replies), 0);
		int err;

		if (n < 0)
			return errno;
		err = write_all(STDOUT_FILENO, replies, (size_t)n);
		if (err || is_last(replies, (size_t)n))
			return err;
	}
}

pid_t child_netlink(const uint8_t *message, size_t len, int in, int out)
{
	pid_t pid = fork_internal(in, out);

	if (pid == 0)
		_exit(netlink(message, len));
	return pid;
}
