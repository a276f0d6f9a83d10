/* SPDX-License-Identifier: Apache-2.0 */
#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "log.h"

#define CONSOLE_CHUNK (64u << 10)

static void console_watch(struct console *con)
{
	uint32_t events = 0;

	if (con->socket.fd < 0)
		return;
	if (port_credit(con->port))
		events |= EPOLLIN;
	if (buf_len(&con->input))
		events |= EPOLLOUT;
	loop_watch(con->loop, &con->socket, events);
}

static void console_write(struct console *con)
{
	while (buf_len(&con->input)) {
		ssize_t n = send(con->socket.fd, buf_data(&con->input),
				 buf_len(&con->input), MSG_NOSIGNAL);

		if (n < 0)
			return;
		buf_consume(&con->input, (size_t)n);
	}
}

/* One read of at most max bytes; its size, 0 when there is nothing now. */
static size_t console_read(struct console *con, uint64_t max)
{
	uint8_t chunk[CONSOLE_CHUNK];
	ssize_t n = recv(con->socket.fd, chunk,
			 max < sizeof(chunk) ? max : sizeof(chunk), 0);

	if (n > 0) {
		port_send_data(con->port, chunk, (size_t)n);
		return (size_t)n;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		loop_del(con->loop, &con->socket);
	return 0;
}

static void console_ready(struct loop_fd *entry, uint32_t events)
{
	struct console *con = container_of(entry, struct console, socket);

	if (events & EPOLLOUT)
		console_write(con);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		if (port_credit(con->port))
			console_read(con, port_credit(con->port));
		else if (events & (EPOLLHUP | EPOLLERR))
			/* Not to be waited for: the end drains what is left */
			loop_del(con->loop, &con->socket);
	}
	console_watch(con);
}

int console_init(struct console *con, struct loop *loop, struct port *port,
		 int fd)
{
	*con = (struct console){.loop = loop, .port = port};
	buf_init(&con->input, CONSOLE_INPUT_MAX);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return loop_add(loop, &con->socket, fd, port_credit(port) ? EPOLLIN : 0,
			console_ready);
}

void console_input(struct console *con, const uint8_t *bytes, size_t len)
{
	if (buf_append(&con->input, bytes, len)) {
		con->input_dropped += len;
		log_msg("console: %zu bytes of input dropped, %llu in all", len,
			(unsigned long long)con->input_dropped);
	}
	if (con->socket.fd >= 0)
		console_write(con);
	console_watch(con);
}

void console_resume(struct console *con)
{
	console_watch(con);
}

void console_drain(struct console *con)
{
	/* Bounded by the socket's own buffer: nobody writes to it any more. */
	while (con->socket.fd >= 0 && console_read(con, CONSOLE_CHUNK))
		;
}

void console_close(struct console *con)
{
	loop_del(con->loop, &con->socket);
	buf_free(&con->input);
}
