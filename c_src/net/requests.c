/* SPDX-License-Identifier: Apache-2.0 */
#include "requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"
#include "term.h"

static void put_ok(ei_x_buff *x)
{
	ei_x_encode_atom(x, "ok");
}

static void put_counters(ei_x_buff *x, const char *const *names,
			 const uint64_t *values, size_t n)
{
	ei_x_encode_list_header(x, (long)n);
	for (size_t i = 0; i < n; i++) {
		ei_x_encode_tuple_header(x, 2);
		ei_x_encode_atom(x, names[i]);
		ei_x_encode_ulonglong(x, values[i]);
	}
	ei_x_encode_empty_list(x);
}

static int do_listen(struct net *net, struct term_reader *r, ei_x_buff *x)
{
	uint32_t id = 0;
	const char *step;
	bool own_dir;
	char *path;
	int err;

	term_tuple(r);
	path = term_binary(r, NULL);
	own_dir = term_bool(r);
	if (r->err) {
		free(path);
		return r->err;
	}
	err = listener_open(net, path, own_dir, &id, &step);
	free(path);
	if (err) {
		term_put_error(x, step, err);
		return 0;
	}
	ei_x_encode_tuple_header(x, 2);
	put_ok(x);
	ei_x_encode_ulong(x, id);
	return 0;
}

static int do_unlisten(struct net *net, struct term_reader *r, ei_x_buff *x)
{
	struct listener *listener = listener_by_id(net, (uint32_t)term_u64(r));

	if (r->err)
		return r->err;
	if (listener) {
		listener_close(listener);
		put_ok(x);
	} else {
		term_put_error(x, "listener", -ENOENT);
	}
	return 0;
}

static int do_close(struct net *net, struct term_reader *r, ei_x_buff *x)
{
	struct net_port *port = net_port_by_id(net, (uint32_t)term_u64(r));

	if (r->err)
		return r->err;
	if (port) {
		netport_down(port, "closed");
		put_ok(x);
	} else {
		term_put_error(x, "port", -ENOENT);
	}
	return 0;
}

static int do_counters(struct net *net, struct term_reader *r, ei_x_buff *x)
{
	struct net_port *port;

	(void)r;
	ei_x_encode_tuple_header(x, 2);
	put_ok(x);
	ei_x_encode_tuple_header(x, 2);
	put_counters(x, net_counter_names, net->counters, NET_COUNTERS);
	for (size_t i = 0; i < NET_ID_BUCKETS; i++) {
		LIST_FOREACH(port, &net->by_id[i], id_link)
		{
			/* One at a time, as a list grows: [Port | Rest]. */
			ei_x_encode_list_header(x, 1);
			ei_x_encode_tuple_header(x, 2);
			ei_x_encode_ulong(x, port->id);
			put_counters(x, netport_counter_names, port->counters,
				     NETPORT_COUNTERS);
		}
	}
	ei_x_encode_empty_list(x);
	return 0;
}

static const struct {
	const char *name;
	int (*handle)(struct net *, struct term_reader *, ei_x_buff *);
} operations[] = {
	{"listen", do_listen},
	{"unlisten", do_unlisten},
	{"close", do_close},
	{"counters", do_counters},
};

int requests_handle(struct net *net, const char *term)
{
	char op[TERM_ATOM_MAX];
	struct term_reader r;
	ei_x_buff x;
	uint64_t id;

	term_open(&r, term);
	term_tuple(&r);
	id = term_u64(&r);
	term_atom(&r, op);
	if (r.err)
		return r.err;
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
		int err;

		if (strcmp(op, operations[i].name) != 0)
			continue;
		term_reply(&x, id);
		err = operations[i].handle(net, &r, &x);
		if (err)
			ei_x_free(&x);
		else
			net_send_term(net, &x);
		return err;
	}
	return -EBADMSG;
}
