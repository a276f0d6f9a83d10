/* SPDX-License-Identifier: Apache-2.0 */
/*
 * term - what the port programs need of ei: requests in, replies and events
 * out, with a cursor that remembers the first error.
 *
 * A request is {Id, Op, Arg}, its answer {reply, Id, Result}; what happens by
 * itself is {event, Name, Detail}. Decoding goes on quietly after an error
 * and yields zeroes, so a caller checks reader.err once, at the end.
 */
#ifndef EVUM_TERM_H
#define EVUM_TERM_H

#include <ei.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TERM_ATOM_MAX 64

struct term_reader {
	const char *term;
	int index;
	int err; /* 0 or -EBADMSG */
};

/* Open a term that starts with its version byte. */
void term_open(struct term_reader *r, const char *term);
/* The arity of a tuple, or the length of a proper list; 0 on error. */
int term_tuple(struct term_reader *r);
int term_list(struct term_reader *r);
/* After the elements of a non-empty list: its tail. */
void term_list_end(struct term_reader *r);
void term_atom(struct term_reader *r, char name[TERM_ATOM_MAX]);
uint64_t term_u64(struct term_reader *r);
bool term_bool(struct term_reader *r);
/*
 * A binary as a malloc'd, NUL-terminated copy that the caller frees. NULL on
 * error, with -EBADMSG where the bytes hold a NUL and len is NULL.
 */
char *term_binary(struct term_reader *r, size_t *len);
void term_skip(struct term_reader *r);

/* {reply, Id, ...}: encode the result behind it. */
void term_reply(ei_x_buff *x, uint64_t id);
/* {event, Name, ...}: encode the detail behind it. */
void term_event(ei_x_buff *x, const char *name);
void term_put_binary(ei_x_buff *x, const void *bytes, size_t len);
void term_put_ok(ei_x_buff *x);
/* {error, {Where, Errno}}, Errno an atom such as eacces. */
void term_put_error(ei_x_buff *x, const char *where, int err);

/* The POSIX name of an errno in lower case, as Erlang's file module has it. */
void term_errno_name(int err, char name[TERM_ATOM_MAX]);

#endif
