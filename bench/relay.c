/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay - two ports of the control protocol v3 and nothing between them: what
 * comes from one goes to the other, by recvmmsg() and sendmmsg(). The floor
 * below which no switch of datagram sockets gets.
 *
 *     build/relay SOCKET
 *
 * It ends with who started it.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "request_v3.h"

#define BURST 64
#define SLOT 2048

static struct mmsghdr messages[BURST];
static struct iovec slots[BURST];
static uint8_t memory[BURST]
		     [SLOT + 128]; /* not all at one place of the cache */

_Noreturn static void fail(const char *what)
{
	perror(what);
	exit(2);
}

static struct sockaddr *generic(struct sockaddr_un *address)
{
	return (struct sockaddr *)(void *)address;
}

/* Give a port to who connects; its datagram socket. */
static int serve(int listener, int number)
{
	struct sockaddr_un own = {.sun_family = AF_UNIX};
	uint8_t bytes[REQUEST_V3_SIZE];
	struct request_v3 request;
	int control = accept(listener, NULL, NULL);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (control < 0 || fd < 0 ||
	    recv(control, bytes, sizeof(bytes), MSG_WAITALL) != sizeof(bytes) ||
	    request_v3_parse(bytes, sizeof(bytes), &request) != REQUEST_OK)
		fail("request");
	snprintf(own.sun_path + 1, sizeof(own.sun_path) - 1, "relay-%d-%d",
		 (int)getpid(), number);
	if (connect(fd, generic(&request.peer), request.peer_len) < 0 ||
	    bind(fd, generic(&own), sizeof(own)) < 0 ||
	    send(control, &own, sizeof(own), 0) != sizeof(own))
		fail("port");
	return fd;
}

static void move(int from, int to)
{
	int n, sent = 0;

	for (int i = 0; i < BURST; i++)
		slots[i].iov_len = SLOT;
	n = recvmmsg(from, messages, BURST, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		slots[i].iov_len = messages[i].msg_len;
	while (sent < n) {
		int more = sendmmsg(to, messages + sent,
				    (unsigned int)(n - sent), 0);

		if (more <= 0)
			return;
		sent += more;
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	struct pollfd fds[2];

	if (argc != 2 || prctl(PR_SET_PDEATHSIG, SIGKILL))
		return 2;
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", argv[1]);
	if (listener < 0 || bind(listener, generic(&at), sizeof(at)) < 0 ||
	    listen(listener, 2) < 0)
		fail(argv[1]);
	for (int i = 0; i < BURST; i++) {
		slots[i].iov_base = memory[i];
		messages[i].msg_hdr.msg_iov = &slots[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (int i = 0; i < 2; i++)
		fds[i] = (struct pollfd){serve(listener, i), POLLIN, 0};
	for (;;) {
		if (poll(fds, 2, -1) < 0)
			fail("poll");
		for (int i = 0; i < 2; i++)
			if (fds[i].revents & POLLIN)
				move(fds[i].fd, fds[1 - i].fd);
	}
}
