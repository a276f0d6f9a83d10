/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUF_MIN 4096

void buf_init(struct buf *buf, size_t limit)
{
	*buf = (struct buf){.limit = limit};
}

void buf_free(struct buf *buf)
{
	free(buf->bytes);
	buf_init(buf, buf->limit);
}

int buf_reserve(struct buf *buf, size_t n, uint8_t **at)
{
	size_t len = buf_len(buf);

	if (n > buf->limit - len)
		return -ENOBUFS;
	/* No more is moved than was consumed since the last time. */
	if (buf->capacity - buf->tail < n && buf->head && buf->head >= len) {
		memmove(buf->bytes, buf_data(buf), len);
		buf->head = 0;
		buf->tail = len;
	}
	if (buf->capacity - buf->tail < n) {
		size_t capacity = buf->capacity ? buf->capacity : BUF_MIN;
		uint8_t *bytes;

		while (capacity < buf->tail + n)
			capacity *= 2;
		bytes = realloc(buf->bytes, capacity);
		if (!bytes)
			return -ENOMEM;
		buf->bytes = bytes;
		buf->capacity = capacity;
	}
	*at = buf->bytes + buf->tail;
	return 0;
}

void buf_produced(struct buf *buf, size_t n)
{
	buf->tail += n;
}

int buf_append(struct buf *buf, const void *bytes, size_t n)
{
	uint8_t *at;
	int err = buf_reserve(buf, n, &at);

	if (err)
		return err;
	if (n)
		memcpy(at, bytes, n);
	buf_produced(buf, n);
	return 0;
}

void buf_consume(struct buf *buf, size_t n)
{
	buf->head += n;
	if (buf->head == buf->tail)
		buf->head = buf->tail = 0;
}
