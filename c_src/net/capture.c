/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net.h"

enum capture_state {
	CAPTURE_OPENING, /* capture_start() is not answered yet */
	CAPTURE_RUNNING,
	CAPTURE_CLOSING, /* records nothing any more */
	CAPTURE_ENDED,	 /* nobody has asked for the result */
};

struct capture {
	struct net *net;
	enum capture_state state;
	uint32_t id;
	struct recording recording;
	struct capture_result result; /* once it has ended */
	struct writer writer;
	struct loop_fd told;
	uint64_t start_request, stop_request; /* stop: valid where has_stop */
	bool has_stop;
	struct loop_garbage garbage;
	LIST_ENTRY(capture) link;
};

static bool is_on(const struct capture *capture)
{
	return capture->state == CAPTURE_OPENING ||
	       capture->state == CAPTURE_RUNNING;
}

void captures_port_up(struct net_port *port)
{
	struct capture *capture;

	LIST_FOREACH(capture, &port->net->captures, link)
	if (is_on(capture) && !capture->recording.port &&
	    recording_tap(&capture->recording, port))
		log_limited(&port->net->resource_log,
			    "capture %u: no memory for port %u", capture->id,
			    port->id);
}

/* --- The end ---------------------------------------------------------- */

/* Record no more; the writer is to write the rest, and to end. */
static void capture_close(struct capture *capture)
{
	if (!is_on(capture))
		return;
	recording_end(&capture->recording);
	capture->state = CAPTURE_CLOSING;
	writer_finish(&capture->writer);
}

void captures_port_down(struct net_port *port)
{
	struct recording *recording;

	while ((recording = recording_of(port))) {
		if (recording->port)
			capture_close(container_of(recording, struct capture,
						   recording));
		else
			recording_untap_first(port);
	}
}

static void capture_free(struct loop_garbage *garbage)
{
	struct capture *capture =
		container_of(garbage, struct capture, garbage);

	recording_free(&capture->recording);
	free(capture);
}

static void capture_forget(struct capture *capture)
{
	LIST_REMOVE(capture, link);
	loop_defer(&capture->net->loop, &capture->garbage, capture_free);
}

static void put_result(struct net *net, ei_x_buff *x,
		       const struct capture_result *result)
{
	ei_x_encode_atom(x,
			 result->err ? net_errno_name(net, result->err) : "ok");
	ei_x_encode_ulonglong(x, result->written);
	ei_x_encode_ulonglong(x, result->dropped);
}

static void answer_stop(struct capture *capture, uint64_t request)
{
	ei_x_buff x;

	term_reply(&x, request);
	ei_x_encode_tuple_header(&x, 2);
	ei_x_encode_atom(&x, "ok");
	ei_x_encode_tuple_header(&x, 3);
	put_result(capture->net, &x, &capture->result);
	net_send_term(capture->net, &x);
	capture_forget(capture);
}

static void answer_start(struct capture *capture, int err)
{
	ei_x_buff x;

	term_reply(&x, capture->start_request);
	if (err) {
		term_put_error(&x, "capture", -err);
	} else {
		ei_x_encode_tuple_header(&x, 2);
		ei_x_encode_atom(&x, "ok");
		ei_x_encode_ulong(&x, capture->id);
	}
	net_send_term(capture->net, &x);
}

static void tell_of_end(struct capture *capture)
{
	const struct writer_target *target = &capture->writer.target;
	ei_x_buff x;

	term_event(&x, "capture_ended");
	ei_x_encode_tuple_header(&x, 5);
	ei_x_encode_ulong(&x, capture->id);
	put_result(capture->net, &x, &capture->result);
	term_put_binary(&x, target->path,
			target->is_socket ? 0 : target->path_len);
	net_send_term(capture->net, &x);
}

static void forget_oldest(struct net *net)
{
	struct capture *capture, *oldest = NULL;
	unsigned int n = 0;

	LIST_FOREACH(capture, &net->captures, link)
	{
		if (capture->state != CAPTURE_ENDED)
			continue;
		n++;
		oldest = capture; /* the newest is the first */
	}
	if (n > CAPTURES_ENDED_MAX)
		capture_forget(oldest);
}

/* The writer's thread is over. */
static void capture_ended(struct capture *capture, bool answered)
{
	capture->result = (struct capture_result){
		.err = capture->writer.err,
		.written = atomic_load(&capture->writer.written),
	};
	/* What was recorded and is not in the file is lost, too. */
	capture->result.dropped = capture->recording.dropped +
				  capture->recording.recorded -
				  capture->result.written;
	capture->state = CAPTURE_ENDED;
	if (!answered) {
		answer_start(capture, capture->result.err);
		capture_forget(capture);
	} else if (capture->has_stop) {
		answer_stop(capture, capture->stop_request);
	} else {
		tell_of_end(capture);
		forget_oldest(capture->net);
	}
}

static void writer_told(struct loop_fd *entry, uint32_t events)
{
	struct capture *capture = container_of(entry, struct capture, told);
	bool answered = capture->state != CAPTURE_OPENING;
	uint64_t count;

	(void)events;
	if (read(entry->fd, &count, sizeof(count)) < 0)
		return;
	if (!answered && atomic_load(&capture->writer.opened)) {
		capture->state = CAPTURE_RUNNING;
		answer_start(capture, 0);
		answered = true;
	}
	if (!atomic_load(&capture->writer.ended))
		return;
	capture_close(capture);
	loop_del(&capture->net->loop, &capture->told);
	writer_join(&capture->writer, NULL);
	capture_ended(capture, answered);
}

void captures_close(struct net *net)
{
	struct capture *capture;
	struct timespec until;

	LIST_FOREACH(capture, &net->captures, link)
	capture_close(capture);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CAPTURE_CLOSE_MS / 1000;
	while ((capture = LIST_FIRST(&net->captures))) {
		bool joined = capture->state == CAPTURE_ENDED;

		if (!joined) {
			loop_del(&net->loop, &capture->told);
			joined = !writer_join(&capture->writer, &until);
		}
		/* A thread that hangs in a disk ends with the process. */
		if (joined)
			capture_forget(capture);
		else
			LIST_REMOVE(capture, link);
	}
}

/* --- Requests --------------------------------------------------------- */

static unsigned int count_on(const struct net *net)
{
	const struct capture *capture;
	unsigned int n = 0;

	LIST_FOREACH(capture, &net->captures, link)
	n += capture->state != CAPTURE_ENDED;
	return n;
}

static int tap_all(struct capture *capture)
{
	struct net_port *port;
	int err = 0;

	for (size_t i = 0; i < NET_ID_BUCKETS; i++)
		LIST_FOREACH(port, &capture->net->by_id[i], id_link)
	if (!err)
		err = recording_tap(&capture->recording, port);
	return err;
}

static int capture_open(struct capture *capture,
			const struct capture_options *options)
{
	struct net *net = capture->net;
	struct net_port *port =
		options->port ? net_port_by_id(net, options->port) : NULL;
	struct buf prologue;
	int err;

	if (options->port && !port)
		return -ENOENT;
	err = port ? recording_tap(&capture->recording, port)
		   : tap_all(capture);
	if (err)
		return err;
	buf_init(&prologue, WRITER_PROLOGUE_MAX);
	err = recording_begin(&capture->recording, &prologue);
	if (!err)
		err = writer_start(&capture->writer, &options->target,
				   buf_data(&prologue), buf_len(&prologue));
	buf_free(&prologue);
	return err;
}

int capture_start(struct net *net, uint64_t request,
		  const struct capture_options *options, char **error)
{
	struct capture *capture;
	int err;

	if (count_on(net) >= CAPTURES_MAX)
		return -EMFILE;
	capture = calloc(1, sizeof(*capture));
	if (!capture)
		return -ENOMEM;
	capture->net = net;
	capture->recording.net = net;
	capture->recording.writer = &capture->writer;
	capture->recording.port = options->port;
	capture->recording.snaplen = options->snaplen;
	capture->start_request = request;
	capture->told.fd = -1;
	err = recording_init(&capture->recording, options->filter, error);
	if (!err)
		err = capture_open(capture, options);
	if (!err) {
		capture->id = ++net->last_capture_id;
		LIST_INSERT_HEAD(&net->captures, capture, link);
		err = loop_add(&net->loop, &capture->told,
			       capture->writer.told_fd, EPOLLIN, writer_told);
		if (!err)
			return 0;
		writer_finish(&capture->writer);
		writer_join(&capture->writer, NULL);
		LIST_REMOVE(capture, link);
	}
	capture_free(&capture->garbage);
	return err;
}

int capture_stop(struct net *net, uint64_t request, uint32_t id)
{
	struct capture *capture;

	LIST_FOREACH(capture, &net->captures, link)
	if (capture->id == id)
		break;
	if (!capture || capture->has_stop || capture->state == CAPTURE_OPENING)
		return -ENOENT;
	if (capture->state == CAPTURE_ENDED) {
		answer_stop(capture, request);
		return 0;
	}
	capture->has_stop = true;
	capture->stop_request = request;
	capture_close(capture);
	return 0;
}

void captures_visit(struct net *net,
		    void (*visit)(void *arg, uint32_t id, bool running,
				  const struct capture_result *result),
		    void *arg)
{
	struct capture *capture;

	LIST_FOREACH(capture, &net->captures, link)
	{
		struct capture_result result = capture->result;

		if (capture->state == CAPTURE_OPENING)
			continue;
		if (capture->state != CAPTURE_ENDED) {
			result.written = atomic_load(&capture->writer.written);
			result.dropped = capture->recording.dropped;
		}
		visit(arg, capture->id, capture->state != CAPTURE_ENDED,
		      &result);
	}
}
