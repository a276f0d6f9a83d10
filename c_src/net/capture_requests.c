/* SPDX-License-Identifier: Apache-2.0 */
#include "capture_requests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter.h"
#include "net.h"
#include "requests.h"

#define NS_PER_S UINT64_C(1000000000)

/* An integer of at most max. */
static uint64_t read_up_to(struct term_reader *r, uint64_t max)
{
	uint64_t value = term_u64(r);

	if (value <= max)
		return value;
	r->err = -EBADMSG;
	return 0;
}

static void read_path(struct term_reader *r, struct writer_target *target)
{
	size_t len = 0;
	char *path = term_binary(r, &len);

	if (!path)
		return;
	if (len == 0 || len >= sizeof(target->path) ||
	    (!target->is_socket && memchr(path, 0, len)))
		r->err = -EBADMSG;
	else
		memcpy(target->path, path, len);
	target->path_len = len;
	free(path);
}

static void read_options(struct term_reader *r, struct capture_options *options)
{
	struct writer_target *target = &options->target;

	term_tuple(r);
	options->port = (uint32_t)read_up_to(r, UINT32_MAX);
	options->snaplen = (uint32_t)read_up_to(r, FRAME_MAX);
	options->filter = term_binary(r, NULL);
	term_tuple(r);
	target->is_socket = term_bool(r);
	read_path(r, target);
	target->file_bytes = read_up_to(r, INT64_MAX);
	target->file_ns = read_up_to(r, UINT32_MAX) * NS_PER_S;
	target->files = (uint32_t)read_up_to(r, UINT32_MAX);
}

/*
 * {capture, {Port, Snaplen, Filter, {IsSocket, Path, FileBytes, FileSeconds,
 * Files}}}
 */
int capture_requests_start(struct net *net, uint64_t id, struct term_reader *r,
			   ei_x_buff *x)
{
	struct capture_options options = {.filter = NULL};
	char *error = NULL;
	int err;

	read_options(r, &options);
	if (r->err) {
		free(options.filter);
		return r->err;
	}
	err = capture_start(net, id, &options, &error);
	free(options.filter);
	if (!err)
		return REQUEST_LATER;
	if (error)
		filter_put_error(x, error);
	else
		term_put_error(x, err == -ENOENT ? "port" : "capture", err);
	free(error);
	return 0;
}

/* {capture_stop, Id}: {ok, {ok | Errno, Written, Dropped}} */
int capture_requests_stop(struct net *net, uint64_t id, struct term_reader *r,
			  ei_x_buff *x)
{
	uint32_t capture = (uint32_t)read_up_to(r, UINT32_MAX);
	int err;

	if (r->err)
		return r->err;
	err = capture_stop(net, id, capture);
	if (!err)
		return REQUEST_LATER;
	term_put_error(x, "capture", err);
	return 0;
}

struct visit {
	struct net *net;
	ei_x_buff *x;
};

static void put_capture(void *arg, uint32_t id, bool running,
			const struct capture_result *result)
{
	struct visit *visit = arg;
	ei_x_buff *x = visit->x;

	/* One at a time, as a list grows: [Capture | Rest]. */
	ei_x_encode_list_header(x, 1);
	ei_x_encode_tuple_header(x, 5);
	ei_x_encode_ulong(x, id);
	ei_x_encode_boolean(x, running);
	ei_x_encode_atom(x, result->err
				    ? net_errno_name(visit->net, result->err)
				    : "ok");
	ei_x_encode_ulonglong(x, result->written);
	ei_x_encode_ulonglong(x, result->dropped);
}

/* {captures, none}: {ok, [{Id, Running, ok | Errno, Written, Dropped}]} */
int capture_requests_list(struct net *net, uint64_t id, struct term_reader *r,
			  ei_x_buff *x)
{
	struct visit visit = {.net = net, .x = x};

	(void)id;
	(void)r;
	ei_x_encode_tuple_header(x, 2);
	term_put_ok(x);
	captures_visit(net, put_capture, &visit);
	ei_x_encode_empty_list(x);
	return 0;
}

/* {name_port, {Port, Name}} */
int capture_requests_name(struct net *net, uint64_t id, struct term_reader *r,
			  ei_x_buff *x)
{
	struct net_port *port;
	uint32_t number;
	char *name;

	(void)id;
	term_tuple(r);
	number = (uint32_t)read_up_to(r, UINT32_MAX);
	name = term_binary(r, NULL);
	if (r->err) {
		free(name);
		return r->err;
	}
	port = net_port_by_id(net, number);
	if (port)
		snprintf(port->name, sizeof(port->name), "%s", name);
	free(name);
	term_put_ok(x);
	return 0;
}
