/* SPDX-License-Identifier: Apache-2.0 */
#include "handover.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A connected socket, or -errno. Nobody is waited for. */
static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd, err;

	if (len >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int handover_connect(struct handover *handover, const struct start *start)
{
	handover->n = 0;
	for (int i = 0; i < start->n_sockets; i++) {
		int fd = connect_to(start->sockets[i]);

		if (fd < 0) {
			handover_close(handover);
			return fd;
		}
		handover->fds[handover->n++] = fd;
	}
	return 0;
}

void handover_close(struct handover *handover)
{
	while (handover->n)
		close(handover->fds[--handover->n]);
}

static int send_fd(int connection, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {"", 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return sendmsg(connection, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int handover_pair(int fd)
{
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	err = send_fd(fd, pair[1]);
	if (!err && dup2(pair[0], fd) < 0)
		err = -errno;
	close(pair[0]);
	close(pair[1]);
	return err;
}
