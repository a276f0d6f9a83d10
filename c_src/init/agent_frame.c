/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_frame.h"

#include <errno.h>
#include <string.h>

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

void frame_put_u32(uint8_t at[4], uint32_t value)
{
	at[0] = (uint8_t)(value >> 24);
	at[1] = (uint8_t)(value >> 16);
	at[2] = (uint8_t)(value >> 8);
	at[3] = (uint8_t)value;
}

void frame_header(uint8_t at[FRAME_HEADER], uint8_t type, uint32_t id,
		  size_t payload)
{
	frame_put_u32(at, (uint32_t)(FRAME_HEADER - FRAME_LENGTH + payload));
	at[4] = type;
	frame_put_u32(at + 5, id);
}

int frame_next(const uint8_t *bytes, size_t len, struct frame *frame)
{
	uint32_t length;

	if (len < FRAME_LENGTH)
		return 0;
	length = get_u32(bytes);
	if (length < FRAME_HEADER - FRAME_LENGTH ||
	    length > FRAME_MAX - FRAME_LENGTH)
		return -EBADMSG;
	if (len < FRAME_LENGTH + length)
		return 0;
	*frame = (struct frame){
		.type = bytes[4],
		.id = get_u32(bytes + 5),
		.payload = bytes + FRAME_HEADER,
		.len = length - (FRAME_HEADER - FRAME_LENGTH),
	};
	return (int)(FRAME_LENGTH + length);
}

/* A walk over a payload that remembers whether it was too short. */
struct cursor {
	const uint8_t *at, *end;
	int err;
};

static const uint8_t *take(struct cursor *c, size_t n)
{
	const uint8_t *at = c->at;

	if (c->err || (size_t)(c->end - c->at) < n) {
		c->err = -EBADMSG;
		return NULL;
	}
	c->at += n;
	return at;
}

static uint32_t take_u32(struct cursor *c)
{
	const uint8_t *at = take(c, 4);

	return at ? get_u32(at) : 0;
}

static uint16_t take_u16(struct cursor *c)
{
	const uint8_t *at = take(c, 2);

	return (uint16_t)(at ? at[0] << 8 | at[1] : 0);
}

static const char *take_string(struct cursor *c)
{
	const uint8_t *at = c->at;
	const uint8_t *nul;

	if (c->err || c->at == c->end)
		goto bad;
	nul = memchr(c->at, '\0', (size_t)(c->end - c->at));
	if (!nul)
		goto bad;
	c->at = nul + 1;
	return (const char *)at;
bad:
	c->err = -EBADMSG;
	return "";
}

static int take_strings(struct cursor *c, const char **to)
{
	uint16_t n = take_u16(c);

	if (n > FRAME_STRINGS_MAX) {
		c->err = -EBADMSG;
		n = 0;
	}
	for (uint16_t i = 0; i < n && !c->err; i++)
		to[i] = take_string(c);
	to[n] = NULL;
	return n;
}

static struct cursor cursor_of(const struct frame *frame)
{
	return (struct cursor){
		.at = frame->payload,
		.end = frame->payload + frame->len,
	};
}

static int finish(const struct cursor *c)
{
	if (c->err)
		return c->err;
	return c->at == c->end ? 0 : -EBADMSG;
}

int frame_run(const struct frame *frame, struct frame_run *run)
{
	struct cursor c = cursor_of(frame);
	const uint8_t *input;

	run->window = take_u32(&c);
	input = take(&c, 1);
	run->input = input ? *input : 0;
	run->dir = take_string(&c);
	run->argc = take_strings(&c, run->argv);
	run->envc = take_strings(&c, run->env);
	if (!run->argc)
		return -EBADMSG;
	return finish(&c);
}

int frame_put(const struct frame *frame, struct frame_file *file)
{
	struct cursor c = cursor_of(frame);

	*file = (struct frame_file){.mode = take_u32(&c)};
	file->size = (uint64_t)take_u32(&c) << 32;
	file->size |= take_u32(&c);
	file->path = take_string(&c);
	return finish(&c);
}

int frame_get(const struct frame *frame, struct frame_file *file)
{
	struct cursor c = cursor_of(frame);

	*file = (struct frame_file){.window = take_u32(&c)};
	file->path = take_string(&c);
	return finish(&c);
}

int frame_u32(const struct frame *frame, uint32_t *value)
{
	struct cursor c = cursor_of(frame);

	*value = take_u32(&c);
	return finish(&c);
}
