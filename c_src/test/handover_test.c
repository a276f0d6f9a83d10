/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest inherits of its interfaces, and what its switch is sent. */
#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit.h"

static char dir[] = "/tmp/handover_test.XXXXXX";

static struct sockaddr_un address(const char *name)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s", dir, name);
	return at;
}

static int listen_at(const char *name)
{
	struct sockaddr_un at = address(name);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	CHECK(!bind(fd, (struct sockaddr *)(void *)&at, sizeof(at)));
	CHECK(!listen(fd, 1));
	return fd;
}

/* The descriptor that comes over a connection; -1 without one. */
static int receive_fd(int connection)
{
	char byte, space[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = space,
			     .msg_controllen = sizeof(space)};
	int fd = -1;

	if (recvmsg(connection, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void one_end_each(void)
{
	struct sockaddr_un at = address("switch");
	struct start start = {.sockets = {at.sun_path}, .n_sockets = 1};
	int door = listen_at("switch"), connection, end, type = 0;
	socklen_t len = sizeof(type);
	struct handover handover;
	char got[8];

	CHECK(handover_connect(&handover, &start) == 0);
	CHECK(handover.n == 1);
	CHECK(handover_pair(handover.fds[0]) == 0);
	connection = accept(door, NULL, NULL);
	end = receive_fd(connection);
	CHECK(end >= 0);
	CHECK(!getsockopt(end, SOL_SOCKET, SO_TYPE, &type, &len));
	CHECK(type == SOCK_SEQPACKET);
	/* What is at the connection's number now lasts beyond exec. */
	CHECK(fcntl(handover.fds[0], F_GETFD) == 0);
	CHECK(write(handover.fds[0], "frame", 5) == 5);
	CHECK(read(end, got, sizeof(got)) == 5 && !memcmp(got, "frame", 5));
	/* And nothing else is left of either. */
	CHECK(read(connection, got, 1) == 0);
	handover_close(&handover);
	CHECK(read(end, got, sizeof(got)) == 0);
	close(end);
	close(connection);
	close(door);
	unlink(at.sun_path);
}

static void nobody_there(void)
{
	struct sockaddr_un there = address("there"), gone = address("gone");
	struct start start = {.sockets = {there.sun_path, gone.sun_path},
			      .n_sockets = 2};
	int door = listen_at("there"), connection;
	struct handover handover;
	char byte;

	CHECK(handover_connect(&handover, &start) == -ENOENT);
	CHECK(handover.n == 0);
	/* The one that was there has not been left connected. */
	connection = accept(door, NULL, NULL);
	CHECK(read(connection, &byte, 1) == 0);
	close(connection);
	close(door);
	unlink(there.sun_path);
}

static void name_too_long(void)
{
	char path[sizeof(struct sockaddr_un)];
	struct start start = {.sockets = {path}, .n_sockets = 1};
	struct handover handover;

	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	CHECK(handover_connect(&handover, &start) == -ENAMETOOLONG);
}

static void switch_that_has_gone(void)
{
	int pair[2];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	close(pair[1]);
	CHECK(handover_pair(pair[0]) == -EPIPE);
	close(pair[0]);
}

int main(void)
{
	CHECK(mkdtemp(dir));
	RUN(one_end_each);
	RUN(nobody_there);
	RUN(name_too_long);
	RUN(switch_that_has_gone);
	rmdir(dir);
	UNIT_DONE();
}
