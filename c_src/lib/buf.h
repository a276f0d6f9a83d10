/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf - a byte queue: append at the tail, consume at the head.
 *
 * What it holds has a limit, given at init, and -ENOBUFS is said beyond it, so
 * that every queue of a program has a bound that somebody chose. The memory
 * grows by doubling, to less than four times that.
 */
#ifndef EVUM_BUF_H
#define EVUM_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *bytes;
	size_t head, tail; /* data is bytes[head..tail) */
	size_t capacity, limit;
};

void buf_init(struct buf *buf, size_t limit);
void buf_free(struct buf *buf);

static inline size_t buf_len(const struct buf *buf)
{
	return buf->tail - buf->head;
}

static inline uint8_t *buf_data(const struct buf *buf)
{
	return buf->bytes + buf->head;
}

/*
 * Make room for n more bytes and point *at to it; call buf_produced() with
 * what was really put there. -ENOBUFS beyond the limit, -ENOMEM.
 */
int buf_reserve(struct buf *buf, size_t n, uint8_t **at);
void buf_produced(struct buf *buf, size_t n);
int buf_append(struct buf *buf, const void *bytes, size_t n);
void buf_consume(struct buf *buf, size_t n);

#endif
