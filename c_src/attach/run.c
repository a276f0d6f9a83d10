/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"
#include "port.h"
#include "term.h"

#define INPUT_CHUNK 4096u
#define REQUEST_ID 1

struct run {
	struct loop loop;
	struct port port;
	struct loop_fd input;
	bool is_file; /* epoll takes none; there is always more, or the end */
	bool ended;   /* stdin has */
	bool done;    /* nothing more is said */
	int status;
};

/* Read while it may be sent. Only a file is read more than once in a turn. */
static void input_read(struct run *run)
{
	uint8_t chunk[INPUT_CHUNK];
	ei_x_buff x;

	while (!run->ended && port_credit(&run->port)) {
		uint64_t credit = port_credit(&run->port);
		ssize_t n =
			read(STDIN_FILENO, chunk,
			     credit < sizeof(chunk) ? credit : sizeof(chunk));

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		if (n > 0) {
			port_send_data(&run->port, chunk, (size_t)n);
			if (run->is_file)
				continue;
			return;
		}
		run->ended = true;
		term_event(&x, "eof");
		ei_x_encode_ulong(&x, 0);
		port_send_term(&run->port, &x);
	}
}

static void input_watch(struct run *run)
{
	if (!run->is_file && !run->ended)
		loop_watch(&run->loop, &run->input,
			   port_credit(&run->port) ? EPOLLIN : 0);
}

static void input_ready(struct loop_fd *entry, uint32_t events)
{
	struct run *run = container_of(entry, struct run, input);

	/* A pipe whose writer has gone says so whatever is asked for. */
	if (events & (EPOLLHUP | EPOLLERR) && !port_credit(&run->port)) {
		loop_del(&run->loop, &run->input);
		run->is_file = true;
		return;
	}
	input_read(run);
	if (run->ended)
		loop_del(&run->loop, &run->input);
	else
		input_watch(run);
}

/* Blocking: what is not written yet is not told as such, and nothing comes. */
static void show(struct run *run, int fd, const uint8_t *bytes, size_t len)
{
	size_t done = 0;
	ei_x_buff x;

	while (done < len) {
		ssize_t n = write(fd, bytes + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			/* As SIGPIPE would: nobody is left to tell of it. */
			run->status = EXIT_FAILURE;
			loop_stop(&run->loop);
			return;
		}
		done += (size_t)n;
	}
	term_event(&x, "written");
	ei_x_encode_ulong(&x, len);
	port_send_term(&run->port, &x);
}

static void reply(struct run *run, struct term_reader *r)
{
	char word[TERM_ATOM_MAX];
	uint64_t status;

	term_u64(r);
	term_tuple(r);
	term_atom(r, word);
	status = term_u64(r);
	if (r->err || strcmp(word, "exit") != 0 || status > UINT8_MAX)
		die("an answer that is none");
	run->status = (int)status;
	run->done = true;
	loop_stop(&run->loop);
}

static void port_term(struct port *port, const char *term, size_t len)
{
	struct run *run = container_of(port, struct run, port);
	char word[TERM_ATOM_MAX];
	struct term_reader r;
	size_t size = 0;
	char *text;

	(void)len;
	term_open(&r, term);
	term_tuple(&r);
	term_atom(&r, word);
	if (!strcmp(word, "reply")) {
		reply(run, &r);
		return;
	}
	term_atom(&r, word);
	text = term_binary(&r, &size);
	if (r.err || strcmp(word, "stderr") != 0)
		die("an event that is none");
	show(run, STDERR_FILENO, (uint8_t *)text, size);
	free(text);
}

static void port_data(struct port *port, const uint8_t *bytes, size_t len)
{
	show(container_of(port, struct run, port), STDOUT_FILENO, bytes, len);
}

static void port_writable(struct port *port)
{
	struct run *run = container_of(port, struct run, port);

	if (run->is_file)
		input_read(run);
	input_watch(run);
}

static void port_closed(struct port *port)
{
	struct run *run = container_of(port, struct run, port);

	/* Told of each direction. */
	if (run->done)
		return;
	run->done = true;
	fprintf(stderr, "evum: the node has ended\n");
	run->status = EXIT_FAILURE;
	loop_stop(&run->loop);
}

static const struct port_ops port_ops = {
	.term = port_term,
	.data = port_data,
	.writable = port_writable,
	.closed = port_closed,
};

static void request(struct run *run, char **words)
{
	char cwd[PATH_MAX];
	struct buf text;
	ei_x_buff x;
	int err = 0;

	if (!getcwd(cwd, sizeof(cwd)))
		die("working directory: %s", strerror(errno));
	buf_init(&text, PORT_PACKET_MAX);
	err = buf_append(&text, (uint8_t *)cwd, strlen(cwd) + 1);
	for (; !err && *words; words++)
		err = buf_append(&text, (uint8_t *)*words, strlen(*words) + 1);
	if (err)
		die("the arguments: %s", strerror(-err));
	ei_x_new_with_version(&x);
	ei_x_encode_tuple_header(&x, 3);
	ei_x_encode_ulong(&x, REQUEST_ID);
	ei_x_encode_atom(&x, "run");
	ei_x_encode_binary(&x, buf_data(&text), (int)buf_len(&text));
	port_send_term(&run->port, &x);
	buf_free(&text);
}

int run_command(int in, int out, char **words)
{
	static struct run run = {.input.fd = -1};
	int err = loop_init(&run.loop);

	if (!err)
		err = port_init(&run.port, &run.loop, &port_ops, in, out);
	if (!err)
		err = loop_add(&run.loop, &run.input, STDIN_FILENO, 0,
			       input_ready);
	if (err == -EPERM) {
		run.is_file = true;
		err = 0;
	} else if (err == -EBADF) {
		run.ended = true;
		err = 0;
	}
	if (err)
		die("%s", strerror(-err));
	request(&run, words);
	err = loop_run(&run.loop);
	return err ? EXIT_FAILURE : run.status;
}
