/* SPDX-License-Identifier: Apache-2.0 */
#include "impair_request.h"

#include <errno.h>
#include <string.h>

#include "net.h"

struct way {
	enum { WAY_KEEP, WAY_PERFECT, WAY_IMPAIRED } kind;
	struct impair_options options;
};

static uint64_t number(struct term_reader *r, uint64_t least, uint64_t most)
{
	uint64_t value = term_u64(r);

	if (value < least || value > most)
		r->err = -EBADMSG;
	return value;
}

static uint64_t probability(struct term_reader *r)
{
	return number(r, 0, RNG_CERTAIN);
}

static enum impair_distribution distribution(struct term_reader *r)
{
	static const char *const names[] = {
		[IMPAIR_UNIFORM] = "uniform",
		[IMPAIR_NORMAL] = "normal",
		[IMPAIR_PARETO] = "pareto",
	};
	char name[TERM_ATOM_MAX];

	term_atom(r, name);
	for (size_t i = 0; !r->err && i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(name, names[i]))
			return (enum impair_distribution)i;
	r->err = -EBADMSG;
	return IMPAIR_UNIFORM;
}

/* Atom or tuple? */
static bool is_atom(const struct term_reader *r)
{
	int type, size;

	return !ei_get_type(r->term, &r->index, &type, &size) &&
	       (type == ERL_ATOM_EXT || type == ERL_SMALL_ATOM_EXT ||
		type == ERL_ATOM_UTF8_EXT || type == ERL_SMALL_ATOM_UTF8_EXT);
}

static void options(struct term_reader *r, struct impair_options *options)
{
	term_tuple(r);
	options->seed = term_u64(r);
	term_tuple(r);
	options->delay_ns = number(r, 0, IMPAIR_DELAY_MAX_NS);
	options->jitter_ns = number(r, 0, IMPAIR_DELAY_MAX_NS);
	options->distribution = distribution(r);
	options->correlation = probability(r);
	term_tuple(r);
	options->go_bad = probability(r);
	options->go_good = probability(r);
	options->lost_bad = probability(r);
	options->lost_good = probability(r);
	options->duplicate = probability(r);
	options->corrupt = probability(r);
	term_tuple(r);
	options->reorder = probability(r);
	options->gap = (uint32_t)number(r, 1, IMPAIR_LIMIT_MAX);
	term_tuple(r);
	options->rate = number(r, 0, IMPAIR_RATE_MAX);
	options->burst = number(r, 0, IMPAIR_BURST_MAX);
	options->limit = (uint32_t)number(r, 1, IMPAIR_LIMIT_MAX);
	if (options->rate && options->rate < IMPAIR_RATE_MIN)
		r->err = -EBADMSG;
}

static void way(struct term_reader *r, struct way *way)
{
	char name[TERM_ATOM_MAX];

	*way = (struct way){.kind = WAY_IMPAIRED};
	if (!is_atom(r)) {
		options(r, &way->options);
		return;
	}
	term_atom(r, name);
	way->kind = strcmp(name, "keep") ? WAY_PERFECT : WAY_KEEP;
}

int impair_request(struct net *net, uint64_t id, struct term_reader *r,
		   ei_x_buff *x)
{
	struct way ways[IMPAIRED_DIRECTIONS];
	struct net_port *port;
	uint64_t number;

	(void)id;
	term_tuple(r);
	number = term_u64(r);
	way(r, &ways[IMPAIRED_IN]);
	way(r, &ways[IMPAIRED_OUT]);
	if (r->err || number > UINT32_MAX)
		return -EBADMSG;
	port = net_port_by_id(net, (uint32_t)number);
	if (!port) {
		term_put_error(x, "port", ENOENT);
		return 0;
	}
	for (int i = 0; i < IMPAIRED_DIRECTIONS && port->id; i++)
		if (ways[i].kind != WAY_KEEP)
			impaired_set(port, (enum impaired_direction)i,
				     ways[i].kind == WAY_PERFECT
					     ? NULL
					     : &ways[i].options);
	term_put_ok(x);
	return 0;
}
