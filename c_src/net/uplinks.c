/* SPDX-License-Identifier: Apache-2.0 */
#include "uplinks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"
#include "port_nat.h"

/* A binary of exactly so many bytes. */
static void read_bytes(struct term_reader *r, void *at, size_t n)
{
	size_t len = 0;
	char *bytes = term_binary(r, &len);

	if (bytes && len == n)
		memcpy(at, bytes, n);
	else if (!r->err)
		r->err = -EBADMSG;
	free(bytes);
}

static void put_result(ei_x_buff *x, const char *where, int err)
{
	if (err)
		term_put_error(x, where, err);
	else
		ei_x_encode_atom(x, "ok");
}

static uint8_t read_prefix(struct term_reader *r, unsigned int max)
{
	uint64_t prefix = term_u64(r);

	if (prefix < 1 || prefix > max) {
		r->err = r->err ? r->err : -EBADMSG;
		return 1;
	}
	return (uint8_t)prefix;
}

static void read_nat4(struct term_reader *r, struct nat_config *config)
{
	term_tuple(r);
	config->in4 = term_bool(r);
	config->prefix4 = read_prefix(r, 31);
	read_bytes(r, &config->network4, sizeof(config->network4));
	read_bytes(r, &config->host4, sizeof(config->host4));
	read_bytes(r, &config->dns4, sizeof(config->dns4));
	read_bytes(r, &config->bind4, sizeof(config->bind4));
}

static void read_nat6(struct term_reader *r, struct nat_config *config)
{
	term_tuple(r);
	config->in6 = term_bool(r);
	config->prefix6 = read_prefix(r, 127);
	read_bytes(r, &config->network6, sizeof(config->network6));
	read_bytes(r, &config->host6, sizeof(config->host6));
	read_bytes(r, &config->dns6, sizeof(config->dns6));
	read_bytes(r, &config->bind6, sizeof(config->bind6));
}

/* {{Restrict, Loopback}, V4, V6, Mtu} */
int uplinks_nat(struct net *net, uint64_t id, struct term_reader *r,
		ei_x_buff *x)
{
	struct nat_config config = {.restricted = true};
	uint32_t port = 0;

	(void)id;
	term_tuple(r);
	term_tuple(r);
	config.restricted = term_bool(r);
	config.loopback = term_bool(r);
	read_nat4(r, &config);
	read_nat6(r, &config);
	config.mtu = (uint32_t)term_u64(r);
	if (!r->err) {
		int bind = nat_check_bind(&config);
		int err = bind ? bind : nat_open(net, &config, &port);

		net_put_port(x, bind ? "bind" : "nat", err, port);
	}
	return r->err;
}

/* {Address, Port}, the address as 4 or 16 bytes. */
static void read_address(struct term_reader *r, struct nat_address *address)
{
	size_t len = 0;
	char *bytes;
	uint64_t port;

	memset(address, 0, sizeof(*address));
	term_tuple(r);
	bytes = term_binary(r, &len);
	port = term_u64(r);
	if (!r->err && (port > UINT16_MAX || (len != 4 && len != 16)))
		r->err = -EBADMSG;
	if (!r->err && len == 4) {
		address->in4.sin_family = AF_INET;
		address->in4.sin_port = htons((uint16_t)port);
		memcpy(&address->in4.sin_addr, bytes, len);
	} else if (!r->err) {
		address->in6.sin6_family = AF_INET6;
		address->in6.sin6_port = htons((uint16_t)port);
		memcpy(&address->in6.sin6_addr, bytes, len);
	}
	free(bytes);
}

/* {Udp, Host, Guest} */
int uplinks_forward(struct net *net, uint64_t id, struct term_reader *r,
		    ei_x_buff *x)
{
	struct nat_address host, guest;
	bool udp;

	(void)id;
	term_tuple(r);
	udp = term_bool(r);
	read_address(r, &host);
	read_address(r, &guest);
	if (!r->err)
		put_result(x, "forward", nat_forward(net, udp, &host, &guest));
	return r->err;
}

/* {Udp, Host} */
int uplinks_unforward(struct net *net, uint64_t id, struct term_reader *r,
		      ei_x_buff *x)
{
	struct nat_address host;
	bool udp;

	(void)id;
	term_tuple(r);
	udp = term_bool(r);
	read_address(r, &host);
	if (!r->err)
		put_result(x, "forward", nat_unforward(net, udp, &host));
	return r->err;
}

static void put_address(ei_x_buff *x, const struct nat_address *address)
{
	bool in6 = address->any.sa_family == AF_INET6;

	ei_x_encode_tuple_header(x, 2);
	if (in6)
		term_put_binary(x, &address->in6.sin6_addr, 16);
	else
		term_put_binary(x, &address->in4.sin_addr, 4);
	ei_x_encode_ulong(
		x, ntohs(in6 ? address->in6.sin6_port : address->in4.sin_port));
}

static void put_forward(bool udp, const struct nat_address *host,
			const struct nat_address *guest, void *arg)
{
	ei_x_buff *x = arg;

	ei_x_encode_list_header(x, 1);
	ei_x_encode_tuple_header(x, 3);
	ei_x_encode_boolean(x, udp);
	put_address(x, host);
	put_address(x, guest);
}

int uplinks_forwards(struct net *net, uint64_t id, struct term_reader *r,
		     ei_x_buff *x)
{
	(void)id, (void)r;
	ei_x_encode_tuple_header(x, 2);
	ei_x_encode_atom(x, "ok");
	nat_forwards(net, put_forward, x);
	ei_x_encode_empty_list(x);
	return 0;
}
