/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plug - executes a program, a UML kernel, whose descriptor 3 is a port of a
 * switch, for its transport `fd'.
 *
 *     build/plug v3 SOCKET PROGRAM ARGUMENT ...
 *     build/plug fd SOCKET PROGRAM ARGUMENT ...
 *
 * v3: a datagram socket that the control protocol v3 has been told of, as
 * uml_switch and vde_switch have it; kernels from 6.16 on have no transport of
 * their own for it. fd: one end of a socketpair, as evum's machines have it.
 * The program is killed when who started it ends.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handover.h"
#include "request_v3.h"

#define PORT_FD 3

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "plug: %s: %s\n", what, strerror(errno));
	exit(2);
}

static struct sockaddr *generic(struct sockaddr_un *address)
{
	return (struct sockaddr *)(void *)address;
}

/* The port lasts as long as the control connection, which stays open. */
static int plug_v3(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX}, to;
	struct sockaddr_un own = {.sun_family = AF_UNIX};
	uint8_t request[REQUEST_V3_SIZE] = {0};
	uint32_t words[3] = {REQUEST_V3_MAGIC, REQUEST_V3_VERSION,
			     REQUEST_V3_NEW_CONTROL};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	int control = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (control < 0 || fd < 0 ||
	    connect(control, generic(&at), sizeof(at)) < 0)
		fail(path);
	snprintf(own.sun_path + 1, sizeof(own.sun_path) - 1, "plug-%d",
		 (int)getpid());
	memcpy(request, words, sizeof(words));
	memcpy(request + sizeof(words), &own, sizeof(own));
	if (bind(fd, generic(&own), sizeof(own)) < 0 ||
	    send(control, request, sizeof(request), 0) != sizeof(request) ||
	    recv(control, &to, sizeof(to), MSG_WAITALL) != sizeof(to) ||
	    connect(fd, generic(&to), sizeof(to)) < 0)
		fail("the switch gives no port");
	return fd;
}

static int plug_fd(char *path)
{
	struct start start = {.sockets = {path}, .n_sockets = 1};
	struct handover handover;
	int err = handover_connect(&handover, &start);

	if (!err)
		err = handover_pair(handover.fds[0]);
	if (err) {
		errno = -err;
		fail(path);
	}
	return handover.fds[0];
}

int main(int argc, char **argv)
{
	int fd;

	if (argc < 4 || prctl(PR_SET_PDEATHSIG, SIGKILL))
		return 2;
	/* The port's socket, which is the first to be made, gets number 3. */
	close_range(PORT_FD, ~0u, 0);
	fd = strcmp(argv[1], "v3") ? plug_fd(argv[2]) : plug_v3(argv[2]);
	if (fd != PORT_FD)
		fail("a descriptor too many");
	execvp(argv[3], argv + 3);
	fail(argv[3]);
}
