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

/* How many paths a list brings; more than there is room for are an error. */
static int list_of_paths(const struct start *start, struct term_reader *r)
{
	int n = term_list(r);

	if (n <= START_PATHS_MAX - start->n_paths)
		return n;
	r->err = -EBADMSG;
	return 0;
}

/* [{Name, Path}] */
static void decode_links(struct start *start, struct term_reader *r)
{
	int n = list_of_paths(start, r);

	for (int i = 0; i < n && !r->err; i++) {
		struct start_path *link = &start->paths[start->n_paths++];

		term_tuple(r);
		link->name = term_binary(r, NULL);
		link->path = term_binary(r, NULL);
	}
	if (n)
		term_list_end(r);
}

/* [{Name, Path, Writable}] */
static void decode_shares(struct start *start, struct term_reader *r)
{
	int n = list_of_paths(start, r);

	for (int i = 0; i < n && !r->err; i++) {
		struct start_path *share = &start->paths[start->n_paths++];

		term_tuple(r);
		share->name = term_binary(r, NULL);
		share->path = term_binary(r, NULL);
		share->writable = term_bool(r);
		share->share = true;
	}
	if (n)
		term_list_end(r);
}

/* [Path] */
static void decode_shown(struct start *start, struct term_reader *r)
{
	int n = list_of_paths(start, r);

	for (int i = 0; i < n && !r->err; i++)
		start->paths[start->n_paths++].path = term_binary(r, NULL);
	if (n)
		term_list_end(r);
}

/* [Path] */
static void decode_sockets(struct start *start, struct term_reader *r)
{
	int n = term_list(r);

	if (n > START_SOCKETS_MAX)
		r->err = -EBADMSG;
	while (!r->err && start->n_sockets < n)
		start->sockets[start->n_sockets++] = term_binary(r, NULL);
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
	else if (!strcmp(key, "links"))
		decode_links(start, r);
	else if (!strcmp(key, "shares"))
		decode_shares(start, r);
	else if (!strcmp(key, "shown"))
		decode_shown(start, r);
	else if (!strcmp(key, "sockets") && !start->n_sockets)
		decode_sockets(start, r);
	else if (!strcmp(key, "disk") && !start->disk)
		start->disk = term_binary(r, NULL);
	else if (!strcmp(key, "files") && !start->files)
		start->files = term_binary(r, &start->files_len);
	else if (!strcmp(key, "closed"))
		start->closed = term_bool(r);
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
	free(start->disk);
	free(start->files);
	for (int i = 0; i < start->argc; i++)
		free(start->argv[i]);
	for (int i = 0; i < start->n_sockets; i++)
		free(start->sockets[i]);
	for (int i = 0; i < start->n_paths; i++) {
		free(start->paths[i].name);
		free(start->paths[i].path);
	}
	memset(start, 0, sizeof(*start));
}
