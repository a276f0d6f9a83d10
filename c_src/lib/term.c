/* SPDX-License-Identifier: Apache-2.0 */
#include "term.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void term_bad(struct term_reader *r)
{
	if (!r->err)
		r->err = -EBADMSG;
}

void term_open(struct term_reader *r, const char *term)
{
	int version;

	*r = (struct term_reader){.term = term};
	if (ei_decode_version(term, &r->index, &version) < 0)
		term_bad(r);
}

int term_tuple(struct term_reader *r)
{
	int arity = 0;

	if (r->err || ei_decode_tuple_header(r->term, &r->index, &arity) < 0) {
		term_bad(r);
		return 0;
	}
	return arity;
}

int term_list(struct term_reader *r)
{
	int arity = 0;

	if (r->err || ei_decode_list_header(r->term, &r->index, &arity) < 0) {
		term_bad(r);
		return 0;
	}
	return arity;
}

void term_list_end(struct term_reader *r)
{
	int arity = 0;

	if (r->err || ei_decode_list_header(r->term, &r->index, &arity) < 0 ||
	    arity != 0)
		term_bad(r);
}

void term_atom(struct term_reader *r, char name[TERM_ATOM_MAX])
{
	char atom[MAXATOMLEN_UTF8];

	name[0] = '\0';
	if (r->err || ei_decode_atom(r->term, &r->index, atom) < 0 ||
	    strlen(atom) >= TERM_ATOM_MAX) {
		term_bad(r);
		return;
	}
	memcpy(name, atom, strlen(atom) + 1);
}

uint64_t term_u64(struct term_reader *r)
{
	EI_ULONGLONG value = 0;

	if (r->err || ei_decode_ulonglong(r->term, &r->index, &value) < 0) {
		term_bad(r);
		return 0;
	}
	return value;
}

bool term_bool(struct term_reader *r)
{
	int value = 0;

	if (r->err || ei_decode_boolean(r->term, &r->index, &value) < 0)
		term_bad(r);
	return value != 0;
}

char *term_binary(struct term_reader *r, size_t *len)
{
	int type, size;
	long got = 0;
	char *bytes;

	if (r->err || ei_get_type(r->term, &r->index, &type, &size) < 0 ||
	    type != ERL_BINARY_EXT) {
		term_bad(r);
		return NULL;
	}
	bytes = malloc((size_t)size + 1);
	if (!bytes) {
		term_bad(r);
		return NULL;
	}
	if (ei_decode_binary(r->term, &r->index, bytes, &got) < 0 ||
	    (!len && memchr(bytes, '\0', (size_t)got))) {
		term_bad(r);
		free(bytes);
		return NULL;
	}
	bytes[got] = '\0';
	if (len)
		*len = (size_t)got;
	return bytes;
}

void term_skip(struct term_reader *r)
{
	if (r->err || ei_skip_term(r->term, &r->index) < 0)
		term_bad(r);
}

/* ei allocates as it encodes; a BEAM's helper without memory has no way on. */
static void term_ok(int err)
{
	if (err < 0)
		abort();
}

static void term_begin(ei_x_buff *x, const char *name)
{
	term_ok(ei_x_new_with_version(x));
	term_ok(ei_x_encode_tuple_header(x, 3));
	term_ok(ei_x_encode_atom(x, name));
}

void term_reply(ei_x_buff *x, uint64_t id)
{
	term_begin(x, "reply");
	term_ok(ei_x_encode_ulonglong(x, id));
}

void term_event(ei_x_buff *x, const char *name)
{
	term_begin(x, "event");
	term_ok(ei_x_encode_atom(x, name));
}

void term_put_binary(ei_x_buff *x, const void *bytes, size_t len)
{
	term_ok(ei_x_encode_binary(x, bytes, (int)len));
}

void term_put_ok(ei_x_buff *x)
{
	term_ok(ei_x_encode_atom(x, "ok"));
}

void term_put_error(ei_x_buff *x, const char *where, int err)
{
	char name[TERM_ATOM_MAX];

	term_errno_name(err, name);
	term_ok(ei_x_encode_tuple_header(x, 2));
	term_ok(ei_x_encode_atom(x, "error"));
	term_ok(ei_x_encode_tuple_header(x, 2));
	term_ok(ei_x_encode_atom(x, where));
	term_ok(ei_x_encode_atom(x, name));
}

void term_errno_name(int err, char name[TERM_ATOM_MAX])
{
	const char *known = strerrorname_np(err < 0 ? -err : err);
	size_t i = 0;

	if (!known) {
		snprintf(name, TERM_ATOM_MAX, "errno_%d", err < 0 ? -err : err);
		return;
	}
	for (; i < TERM_ATOM_MAX - 1 && known[i]; i++)
		name[i] = (char)tolower((unsigned char)known[i]);
	name[i] = '\0';
}
