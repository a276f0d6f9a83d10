/* SPDX-License-Identifier: Apache-2.0 */
#include "start.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void decode_argv(struct start *start, struct term_reader *r)
{
	int n = term_list(r);

	if (n > START_ARGV_MAX)
		r->err = -EBADMSG;
	while (!r->err && start->argc < n)
		start->argv[start->argc++] = term_binary(r, NULL);
	if (n)
		term_list_end(r);
}

static void decode_links(struct start *start, struct term_reader *r)
{
	int n = term_list(r);

	if (n > START_LINKS_MAX)
		r->err = -EBADMSG;
	while (!r->err && start->n_links < n) {
		struct start_link *link = &start->links[start->n_links++];

		term_tuple(r);
		link->name = term_binary(r, NULL);
		link->path = term_binary(r, NULL);
	}
	if (n)
		term_list_end(r);
}

/* A tuple: a list of small numbers would come as a string. */
static void decode_cpus(struct start *start, struct term_reader *r)
{
	int n = term_tuple(r);

	for (int i = 0; i < n && !r->err; i++) {
		uint64_t cpu = term_u64(r);

		if (cpu < CPU_SETSIZE)
			CPU_SET(cpu, &start->cpus);
		else
			r->err = -EBADMSG;
	}
}

static void decode_pair(struct start *start, struct term_reader *r)
{
	char key[TERM_ATOM_MAX];

	term_tuple(r);
	term_atom(r, key);
	if (!strcmp(key, "kernel") && !start->kernel)
		start->kernel = term_binary(r, NULL);
	else if (!strcmp(key, "argv") && !start->argc)
		decode_argv(start, r);
	else if (!strcmp(key, "config") && !start->config)
		start->config = term_binary(r, &start->config_len);
	else if (!strcmp(key, "links") && !start->n_links)
		decode_links(start, r);
	else if (!strcmp(key, "cpus"))
		decode_cpus(start, r);
	else if (!strcmp(key, "room"))
		start->room_bytes = term_u64(r);
	else if (!strcmp(key, "net"))
		start->share_net = term_bool(r);
	else
		r->err = -EBADMSG;
}

int start_decode(struct start *start, struct term_reader *r)
{
	int n;

	memset(start, 0, sizeof(*start));
	n = term_list(r);
	for (int i = 0; i < n && !r->err; i++)
		decode_pair(start, r);
	if (r->err)
		return r->err;
	if (!start->kernel || !start->argc || !start->config ||
	    !start->room_bytes)
		return -EBADMSG;
	return 0;
}

void start_free(struct start *start)
{
	free(start->kernel);
	free(start->config);
	for (int i = 0; i < start->argc; i++)
		free(start->argv[i]);
	for (int i = 0; i < start->n_links; i++) {
		free(start->links[i].name);
		free(start->links[i].path);
	}
	memset(start, 0, sizeof(*start));
}
