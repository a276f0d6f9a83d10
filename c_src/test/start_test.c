/* SPDX-License-Identifier: Apache-2.0 */
/* The start request of evum_vm: whole, partial, and nonsense. */
#include "start.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

/* How many pairs the buffer holds. */
static int pairs;

static void begin(ei_x_buff *x)
{
	ei_x_new(x);
	pairs = 0;
}

static void put_pair(ei_x_buff *x, const char *key)
{
	pairs++;
	ei_x_encode_tuple_header(x, 2);
	ei_x_encode_atom(x, key);
}

static void put_text(ei_x_buff *x, const char *key, const char *text)
{
	put_pair(x, key);
	ei_x_encode_binary(x, text, (int)strlen(text));
}

static void put_needed(ei_x_buff *x)
{
	put_text(x, "kernel", "/boot/linux");
	put_text(x, "config", "init=/bin/sh");
	put_pair(x, "argv");
	ei_x_encode_list_header(x, 1);
	ei_x_encode_binary(x, "linux", 5);
	ei_x_encode_empty_list(x);
	put_pair(x, "room");
	ei_x_encode_ulonglong(x, 1 << 20);
}

/* Decode what put made; the buffer is freed. */
static int decode(struct start *start, ei_x_buff *x)
{
	struct term_reader r;
	ei_x_buff term;
	int err;

	ei_x_new_with_version(&term);
	ei_x_encode_list_header(&term, pairs);
	ei_x_append(&term, x);
	ei_x_encode_empty_list(&term);
	term_open(&r, term.buff);
	err = start_decode(start, &r);
	ei_x_free(&term);
	ei_x_free(x);
	return err;
}

static void whole(void)
{
	struct start start;
	ei_x_buff x;

	begin(&x);
	put_needed(&x);
	put_pair(&x, "links");
	ei_x_encode_list_header(&x, 1);
	ei_x_encode_tuple_header(&x, 2);
	ei_x_encode_binary(&x, "root", 4);
	ei_x_encode_binary(&x, "/", 1);
	ei_x_encode_empty_list(&x);
	put_pair(&x, "net");
	ei_x_encode_boolean(&x, 1);
	put_pair(&x, "cpus");
	ei_x_encode_tuple_header(&x, 2);
	ei_x_encode_long(&x, 0);
	ei_x_encode_long(&x, 3);
	CHECK(decode(&start, &x) == 0);
	CHECK(!strcmp(start.kernel, "/boot/linux"));
	CHECK(start.argc == 1 && !strcmp(start.argv[0], "linux"));
	CHECK(start.argv[1] == NULL);
	CHECK(start.n_paths == 1 && !strcmp(start.paths[0].path, "/"));
	CHECK(!start.paths[0].share && !start.closed && !start.disk);
	CHECK(start.room_bytes == 1 << 20 && start.share_net);
	CHECK(CPU_COUNT(&start.cpus) == 2 && CPU_ISSET(3, &start.cpus));
	start_free(&start);
}

static void put_share(ei_x_buff *x, const char *path, int writable)
{
	ei_x_encode_tuple_header(x, 3);
	ei_x_encode_binary(x, "share0", 6);
	ei_x_encode_binary(x, path, (int)strlen(path));
	ei_x_encode_boolean(x, writable);
}

static void image(void)
{
	struct start start;
	ei_x_buff x;

	begin(&x);
	put_needed(&x);
	put_pair(&x, "closed");
	ei_x_encode_boolean(&x, 1);
	put_pair(&x, "shares");
	ei_x_encode_list_header(&x, 2);
	put_share(&x, "/srv/a", 0);
	put_share(&x, "/srv/b", 1);
	ei_x_encode_empty_list(&x);
	put_pair(&x, "shown");
	ei_x_encode_list_header(&x, 1);
	ei_x_encode_binary(&x, "/lib/libc.so.6", 14);
	ei_x_encode_empty_list(&x);
	put_text(&x, "disk", "/srv/disk");
	put_pair(&x, "files");
	ei_x_encode_binary(&x, "a\0b", 3);
	CHECK(decode(&start, &x) == 0);
	CHECK(start.closed && start.n_paths == 3);
	CHECK(start.paths[0].share && !start.paths[0].writable);
	CHECK(start.paths[1].share && start.paths[1].writable);
	CHECK(!start.paths[2].share && !start.paths[2].name);
	CHECK(!strcmp(start.paths[2].path, "/lib/libc.so.6"));
	CHECK(!strcmp(start.disk, "/srv/disk"));
	CHECK(start.files_len == 3 && !memcmp(start.files, "a\0b", 3));
	start_free(&start);
}

static void too_many_paths(void)
{
	struct start start;
	ei_x_buff x;

	begin(&x);
	put_needed(&x);
	put_pair(&x, "shown");
	ei_x_encode_list_header(&x, START_PATHS_MAX + 1);
	for (int i = 0; i <= START_PATHS_MAX; i++)
		ei_x_encode_binary(&x, "x", 1);
	ei_x_encode_empty_list(&x);
	CHECK(decode(&start, &x) == -EBADMSG);
	start_free(&start);
}

static void something_is_missing(void)
{
	struct start start;
	ei_x_buff x;

	begin(&x);
	put_text(&x, "kernel", "/boot/linux");
	CHECK(decode(&start, &x) == -EBADMSG);
	start_free(&start);
}

static void unknown_key(void)
{
	struct start start;
	ei_x_buff x;

	begin(&x);
	put_needed(&x);
	put_text(&x, "colour", "red");
	CHECK(decode(&start, &x) == -EBADMSG);
	start_free(&start);
}

/* A NUL would cut a path short of what was checked. */
static void path_with_a_nul(void)
{
	struct start start;
	ei_x_buff x;

	begin(&x);
	put_needed(&x);
	put_pair(&x, "links");
	ei_x_encode_list_header(&x, 1);
	ei_x_encode_tuple_header(&x, 2);
	ei_x_encode_binary(&x, "ro\0t", 4);
	ei_x_encode_binary(&x, "/", 1);
	ei_x_encode_empty_list(&x);
	CHECK(decode(&start, &x) == -EBADMSG);
	start_free(&start);
}

static void put_sockets(ei_x_buff *x, int n)
{
	put_pair(x, "sockets");
	ei_x_encode_list_header(x, n);
	for (int i = 0; i < n; i++)
		ei_x_encode_binary(x, "/run/a.fd", 9);
	ei_x_encode_empty_list(x);
}

static void sockets(void)
{
	struct start start;
	ei_x_buff x;

	begin(&x);
	put_needed(&x);
	put_sockets(&x, START_SOCKETS_MAX);
	CHECK(decode(&start, &x) == 0);
	CHECK(start.n_sockets == START_SOCKETS_MAX);
	CHECK(!strcmp(start.sockets[START_SOCKETS_MAX - 1], "/run/a.fd"));
	start_free(&start);

	begin(&x);
	put_needed(&x);
	put_sockets(&x, START_SOCKETS_MAX + 1);
	CHECK(decode(&start, &x) == -EBADMSG);
	start_free(&start);
}

static void too_many_arguments(void)
{
	struct start start;
	ei_x_buff x;

	begin(&x);
	put_pair(&x, "argv");
	ei_x_encode_list_header(&x, START_ARGV_MAX + 1);
	for (int i = 0; i <= START_ARGV_MAX; i++)
		ei_x_encode_binary(&x, "x", 1);
	ei_x_encode_empty_list(&x);
	CHECK(decode(&start, &x) == -EBADMSG);
	start_free(&start);
}

static void cpu_out_of_range(void)
{
	struct start start;
	ei_x_buff x;

	begin(&x);
	put_needed(&x);
	put_pair(&x, "cpus");
	ei_x_encode_tuple_header(&x, 1);
	ei_x_encode_long(&x, CPU_SETSIZE);
	CHECK(decode(&start, &x) == -EBADMSG);
	start_free(&start);
}

int main(void)
{
	RUN(whole);
	RUN(image);
	RUN(too_many_paths);
	RUN(something_is_missing);
	RUN(unknown_key);
	RUN(path_with_a_nul);
	RUN(sockets);
	RUN(too_many_arguments);
	RUN(cpu_out_of_range);
	UNIT_DONE();
}
