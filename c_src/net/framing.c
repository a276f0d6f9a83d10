/* SPDX-License-Identifier: Apache-2.0 */
#include "framing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(FRAMING_BUFFER > FRAMING_LENGTH + FRAME_MAX,
	       "less than a frame leaves room");

int framing_init(struct framing *framing)
{
	*framing = (struct framing){.buffer = malloc(FRAMING_BUFFER)};
	return framing->buffer ? 0 : -ENOMEM;
}

void framing_free(struct framing *framing)
{
	free(framing->buffer);
	framing->buffer = NULL;
}

size_t framing_room(struct framing *framing, uint8_t **at)
{
	framing->got -= framing->taken;
	memmove(framing->buffer, framing->buffer + framing->taken,
		framing->got);
	framing->taken = 0;
	*at = framing->buffer + framing->got;
	return FRAMING_BUFFER - framing->got;
}

void framing_produced(struct framing *framing, size_t n)
{
	framing->got += n;
}

int framing_next(struct framing *framing, struct frame *frame)
{
	const uint8_t *at = framing->buffer + framing->taken;
	size_t left = framing->got - framing->taken;
	uint32_t len;

	if (left < FRAMING_LENGTH)
		return 0;
	memcpy(&len, at, FRAMING_LENGTH);
	len = ntohl(len);
	if (len > FRAME_MAX)
		return -EPROTO;
	if (left - FRAMING_LENGTH < len)
		return 0;
	*frame = (struct frame){.bytes = at + FRAMING_LENGTH, .len = len};
	framing->taken += FRAMING_LENGTH + len;
	return 1;
}
