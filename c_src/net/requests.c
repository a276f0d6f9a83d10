/* SPDX-License-Identifier: Apache-2.0 */
#include "requests.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "bridges.h"
#include "buf.h"
#include "capture_requests.h"
#include "filter.h"
#include "impair_request.h"
#include "net.h"
#include "ports.h"
#include "term.h"
#include "uplinks.h"

/* The head of a list; its end is the caller's. */
static void put_counters(ei_x_buff *x, const char *const *names,
			 const uint64_t *values, size_t n)
{
	ei_x_encode_list_header(x, (long)n);
	for (size_t i = 0; i < n; i++) {
		ei_x_encode_tuple_header(x, 2);
		ei_x_encode_atom(x, names[i]);
		ei_x_encode_ulonglong(x, values[i]);
	}
}

static void put_port_counters(ei_x_buff *x, const struct net_port *port)
{
	put_counters(x, netport_counter_names, port->counters,
		     NETPORT_COUNTERS);
	for (int i = 0; i < IMPAIRED_DIRECTIONS; i++)
		put_counters(x, impaired_counter_names[i],
			     port->impaired_counters[i], IMPAIRED_EVENTS);
	ei_x_encode_empty_list(x);
}

static int do_counters(struct net *net, uint64_t id, struct term_reader *r,
		       ei_x_buff *x)
{
	struct net_port *port;

	(void)id;
	(void)r;
	ei_x_encode_tuple_header(x, 2);
	term_put_ok(x);
	ei_x_encode_tuple_header(x, 2);
	put_counters(x, net_counter_names, net->counters, NET_COUNTERS);
	ei_x_encode_empty_list(x);
	for (size_t i = 0; i < NET_ID_BUCKETS; i++) {
		LIST_FOREACH(port, &net->by_id[i], id_link)
		{
			if (port->ops->count)
				port->ops->count(port);
			/* One at a time, as a list grows: [Port | Rest]. */
			ei_x_encode_list_header(x, 1);
			ei_x_encode_tuple_header(x, 2);
			ei_x_encode_ulong(x, port->id);
			put_port_counters(x, port);
		}
	}
	ei_x_encode_empty_list(x);
	return 0;
}

/* {configure, {Relay, Stations, AgeingMs}} */
static int do_configure(struct net *net, uint64_t id, struct term_reader *r,
			ei_x_buff *x)
{
	uint64_t stations, ageing;
	bool relay;
	int err;

	(void)id;
	term_tuple(r);
	relay = term_bool(r);
	stations = term_u64(r);
	ageing = term_u64(r);
	if (r->err || stations > INT32_MAX || ageing > INT32_MAX)
		return -EBADMSG;
	err = forward_configure(&net->forward, relay, (uint32_t)stations,
				(uint32_t)ageing);
	if (err)
		term_put_error(x, "memory", err);
	else
		term_put_ok(x);
	return 0;
}

#define SEEN_SIZE 16

struct seen {
	struct buf buf;
	uint32_t now;
};

/* Who does not fit in is told of the next time it is seen. */
static void tell_seen(void *arg, const struct station *station)
{
	struct seen *seen = arg;
	uint64_t key = htobe64(station->key);
	uint32_t port = htonl(station->port);
	uint32_t age = htonl(seen->now - station->seen);
	uint8_t *at;

	if (buf_reserve(&seen->buf, SEEN_SIZE, &at))
		return;
	memcpy(at, &key, sizeof(key));
	memcpy(at + 8, &port, sizeof(port));
	memcpy(at + 12, &age, sizeof(age));
	buf_produced(&seen->buf, SEEN_SIZE);
}

/* {seen, EveryMs}: {ok, {Now, <<Station:64, Port:32, Age:32>> ...}} */
static int do_seen(struct net *net, uint64_t id, struct term_reader *r,
		   ei_x_buff *x)
{
	struct seen seen = {.now = (uint32_t)net->loop.now_ms};
	uint64_t every = term_u64(r);

	(void)id;
	if (r->err)
		return r->err;
	buf_init(&seen.buf, SIZE_MAX);
	stations_collect(&net->forward.stations, seen.now, (uint32_t)every,
			 tell_seen, &seen);
	ei_x_encode_tuple_header(x, 2);
	term_put_ok(x);
	ei_x_encode_tuple_header(x, 2);
	ei_x_encode_longlong(x, net->loop.now_ms);
	term_put_binary(x, buf_data(&seen.buf), buf_len(&seen.buf));
	buf_free(&seen.buf);
	return 0;
}

/* {limits, {Reserved, StormLimit}} */
static int do_limits(struct net *net, uint64_t id, struct term_reader *r,
		     ei_x_buff *x)
{
	bool reserved;
	uint64_t storm;

	(void)id;
	term_tuple(r);
	reserved = term_bool(r);
	storm = term_u64(r);
	if (r->err || storm > UINT32_MAX)
		return -EBADMSG;
	net->forward.no_reserved = !reserved;
	net->forward.storm_limit = (uint32_t)storm;
	term_put_ok(x);
	return 0;
}

/* {poll, Microseconds} */
static int do_poll(struct net *net, uint64_t id, struct term_reader *r,
		   ei_x_buff *x)
{
	uint64_t us = term_u64(r);

	(void)id;
	if (r->err || us > NET_POLL_MAX_US)
		return -EBADMSG;
	net->loop.poll_us = (uint32_t)us;
	term_put_ok(x);
	return 0;
}

static int do_flush(struct net *net, uint64_t id, struct term_reader *r,
		    ei_x_buff *x)
{
	(void)id;
	(void)r;
	forward_flush(&net->forward);
	term_put_ok(x);
	return 0;
}

/* A set of VLANs: a binary of a bit each, or an empty one. */
static void decode_vlans(struct term_reader *r, struct vlan_set *set)
{
	uint64_t untagged = term_u64(r);
	size_t len = 0;
	char *tagged = term_binary(r, &len);

	if (!r->err && (untagged >= VLANS || (len && len != VLAN_SET_BYTES)))
		r->err = -EBADMSG;
	if (!r->err)
		vlan_set_init(set, (uint16_t)untagged,
			      len ? (const uint8_t *)tagged : NULL);
	free(tagged);
}

/*
 * {set_port, {Port, Up, Isolated, Untagged, Tagged, Mtu, Mirror}}: what was
 * decided before is of no use, and what is on its way down was decided after.
 */
static int do_set_port(struct net *net, uint64_t id, struct term_reader *r,
		       ei_x_buff *x)
{
	struct policy policy = {.vlans = {0}};
	struct net_port *port;
	uint64_t number;
	bool up, isolated;

	(void)id;
	term_tuple(r);
	number = term_u64(r);
	up = term_bool(r);
	isolated = term_bool(r);
	decode_vlans(r, &policy.vlans);
	policy.mtu = (uint32_t)term_u64(r);
	policy.mirror = (uint32_t)term_u64(r);
	if (r->err || number > UINT32_MAX)
		return -EBADMSG;
	port = net_port_by_id(net, (uint32_t)number);
	if (!port) {
		term_put_error(x, "port", ENOENT);
		return 0;
	}
	if (policy_set(port, &policy)) {
		term_put_error(x, "memory", ENOMEM);
		return 0;
	}
	port->disabled = !up;
	port->isolated = isolated;
	forward_flush(&net->forward);
	term_put_ok(x);
	return 0;
}

/* {hook, {Bit, Observer, In, Out, Either, Filter}} */
static int do_hook(struct net *net, uint64_t id, struct term_reader *r,
		   ei_x_buff *x)
{
	struct hook hook = {.observer = false};
	char *filter, *error = NULL;
	uint32_t bit;
	int err;

	(void)id;
	term_tuple(r);
	bit = (uint32_t)term_u64(r);
	hook.observer = term_bool(r);
	hook.in = (uint32_t)term_u64(r);
	hook.out = (uint32_t)term_u64(r);
	hook.either = (uint32_t)term_u64(r);
	filter = term_binary(r, NULL);
	err = r->err;
	if (err) {
		free(filter);
		return err;
	}
	err = hooks_set(&net->forward.hooks, bit, &hook, filter, &error);
	free(filter);
	if (error)
		filter_put_error(x, error);
	else if (err)
		term_put_error(x, "hook", err);
	else
		term_put_ok(x);
	free(error);
	return 0;
}

static int do_unhook(struct net *net, uint64_t id, struct term_reader *r,
		     ei_x_buff *x)
{
	uint32_t bit = (uint32_t)term_u64(r);

	(void)id;
	if (r->err)
		return r->err;
	hooks_clear(&net->forward.hooks, bit);
	term_put_ok(x);
	return 0;
}

/* Answered by the end of this process. */
static int do_stop(struct net *net, uint64_t id, struct term_reader *r,
		   ei_x_buff *x)
{
	(void)id;
	(void)r;
	(void)x;
	loop_stop(&net->loop);
	return REQUEST_LATER;
}

static const struct {
	const char *name;
	int (*handle)(struct net *, uint64_t id, struct term_reader *,
		      ei_x_buff *);
} operations[] = {
	{"listen", ports_listen},
	{"listen_stream", ports_listen_stream},
	{"unlisten", ports_unlisten},
	{"connect_stream", ports_connect_stream},
	{"connect_dgram", ports_connect_dgram},
	{"close", ports_close},
	{"counters", do_counters},
	{"configure", do_configure},
	{"limits", do_limits},
	{"poll", do_poll},
	{"seen", do_seen},
	{"flush", do_flush},
	{"set_port", do_set_port},
	{"impair", impair_request},
	{"block", block_request},
	{"hook", do_hook},
	{"unhook", do_unhook},
	{"nat", uplinks_nat},
	{"forward", uplinks_forward},
	{"unforward", uplinks_unforward},
	{"forwards", uplinks_forwards},
	{"tap", bridges_tap},
	{"pcap", bridges_pcap},
	{"vxlan", bridges_vxlan},
	{"capture", capture_requests_start},
	{"capture_stop", capture_requests_stop},
	{"captures", capture_requests_list},
	{"name_port", capture_requests_name},
	{"stop", do_stop},
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
	/* What came before goes as if the request had not been. */
	net_flush_ports(net);
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
		int err;

		if (strcmp(op, operations[i].name) != 0)
			continue;
		term_reply(&x, id);
		err = operations[i].handle(net, id, &r, &x);
		if (err)
			ei_x_free(&x);
		else
			net_send_term(net, &x);
		return err == REQUEST_LATER ? 0 : err;
	}
	return -EBADMSG;
}
