/* SPDX-License-Identifier: Apache-2.0 */
#include "ports.h"

#include <errno.h>
#include <stdlib.h>

#include "net.h"
#include "port_dgram.h"
#include "port_stream.h"
#include "requests.h"

int ports_listen(struct net *net, uint64_t id, struct term_reader *r,
		 ei_x_buff *x)
{
	uint32_t listener = 0;
	const char *step;
	bool own_dir;
	char *path;
	int err;

	(void)id;
	term_tuple(r);
	path = term_binary(r, NULL);
	own_dir = term_bool(r);
	if (r->err) {
		free(path);
		return r->err;
	}
	err = listener_open(net, path, own_dir, &listener, &step);
	free(path);
	if (err) {
		term_put_error(x, step, err);
		return 0;
	}
	ei_x_encode_tuple_header(x, 2);
	term_put_ok(x);
	ei_x_encode_ulong(x, listener);
	return 0;
}

int ports_listen_stream(struct net *net, uint64_t id, struct term_reader *r,
			ei_x_buff *x)
{
	struct listener *listener = NULL;
	const char *step = "address";
	struct address address;
	bool trunk;
	int err;

	(void)id;
	term_tuple(r);
	err = address_decode(&address, r);
	trunk = term_bool(r);
	if (r->err)
		return r->err;
	if (!err)
		err = listener_open_stream(net, &address, trunk, &listener,
					   &step);
	if (err) {
		term_put_error(x, step, err);
		return 0;
	}
	ei_x_encode_tuple_header(x, 2);
	term_put_ok(x);
	ei_x_encode_tuple_header(x, 2);
	ei_x_encode_ulong(x, listener->id);
	ei_x_encode_ulong(x, address_port(listener->sockets[0].fd));
	return 0;
}

int ports_unlisten(struct net *net, uint64_t id, struct term_reader *r,
		   ei_x_buff *x)
{
	struct listener *listener = listener_by_id(net, (uint32_t)term_u64(r));

	(void)id;
	if (r->err)
		return r->err;
	if (listener) {
		listener_close(listener);
		term_put_ok(x);
	} else {
		term_put_error(x, "listener", -ENOENT);
	}
	return 0;
}

int ports_connect_stream(struct net *net, uint64_t id, struct term_reader *r,
			 ei_x_buff *x)
{
	struct address address;
	bool trunk;
	int err;

	term_tuple(r);
	err = address_decode(&address, r);
	trunk = term_bool(r);
	if (r->err)
		return r->err;
	if (err) {
		term_put_error(x, "address", err);
		return 0;
	}
	stream_connect(net, id, &address, trunk);
	return REQUEST_LATER;
}

int ports_connect_dgram(struct net *net, uint64_t id, struct term_reader *r,
			ei_x_buff *x)
{
	struct address local, peer;
	int err, err_peer;

	term_tuple(r);
	err = address_decode(&local, r);
	err_peer = address_decode(&peer, r);
	if (r->err)
		return r->err;
	if (err || err_peer) {
		term_put_error(x, "address", err ? err : err_peer);
		return 0;
	}
	dgram_connect(net, id, &local, &peer);
	return REQUEST_LATER;
}

int ports_close(struct net *net, uint64_t id, struct term_reader *r,
		ei_x_buff *x)
{
	struct net_port *port = net_port_by_id(net, (uint32_t)term_u64(r));

	(void)id;
	if (r->err)
		return r->err;
	if (port) {
		netport_down(port, "closed");
		term_put_ok(x);
	} else {
		term_put_error(x, "port", -ENOENT);
	}
	return 0;
}
