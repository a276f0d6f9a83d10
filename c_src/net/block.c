/* SPDX-License-Identifier: Apache-2.0 */
#include "block.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

#define ID_SIZE sizeof(uint32_t)

bool block_has(const struct block *block, uint32_t id)
{
	uint32_t from = 0, to = block->n;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (block->ids[middle] == id)
			return true;
		if (block->ids[middle] < id)
			from = middle + 1;
		else
			to = middle;
	}
	return false;
}

static void clear_all(struct net *net)
{
	struct net_port *port;

	for (size_t i = 0; i < NET_ID_BUCKETS; i++) {
		LIST_FOREACH(port, &net->by_id[i], id_link)
		{
			free(port->blocked);
			port->blocked = NULL;
		}
	}
}

/* The ids of a binary; NULL where it is none, or without memory: *err tells. */
static struct block *read_ids(struct term_reader *r, int *err)
{
	size_t len = 0;
	char *bytes = term_binary(r, &len);
	struct block *block = NULL;

	*err = r->err ? r->err : -ENOMEM;
	if (bytes && len % ID_SIZE)
		*err = -EBADMSG;
	else if (bytes)
		block = malloc(sizeof(*block) + len);
	if (block) {
		block->n = (uint32_t)(len / ID_SIZE);
		for (uint32_t i = 0; i < block->n; i++) {
			memcpy(&block->ids[i], bytes + (size_t)i * ID_SIZE,
			       ID_SIZE);
			block->ids[i] = ntohl(block->ids[i]);
		}
		*err = 0;
	}
	free(bytes);
	return block;
}

int block_request(struct net *net, uint64_t id, struct term_reader *r,
		  ei_x_buff *x)
{
	int n = term_list(r), err = 0;

	(void)id;
	clear_all(net);
	for (int i = 0; i < n && !err; i++) {
		struct net_port *port;
		struct block *block;

		term_tuple(r);
		port = net_port_by_id(net, (uint32_t)term_u64(r));
		block = read_ids(r, &err);
		/* It may have gone meanwhile. */
		if (port && !port->blocked)
			port->blocked = block;
		else
			free(block);
	}
	if (err || r->err)
		return err ? err : r->err;
	forward_flush(&net->forward);
	term_put_ok(x);
	return 0;
}
