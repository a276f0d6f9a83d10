/* SPDX-License-Identifier: Apache-2.0 */
#include "frames.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define FRAMES_DOWN_HEADER 8
#define FRAMES_PORT_SIZE 4

static void put_u32(uint8_t *at, uint32_t value)
{
	value = htonl(value);
	memcpy(at, &value, sizeof(value));
}

static uint32_t get_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return ntohl(value);
}

void frames_put(uint8_t *at, uint32_t port, const struct frame *frame)
{
	put_u32(at, port);
	put_u32(at + 4, frame->len);
	frame_copy(frame, at + FRAMES_UP_HEADER);
}

int frames_next(struct frames_cursor *cursor, struct frames_down *down)
{
	size_t left = (size_t)(cursor->end - cursor->at);

	if (left == 0)
		return 0;
	if (left < FRAMES_DOWN_HEADER)
		return -EBADMSG;
	down->n_ports = get_u32(cursor->at);
	down->len = get_u32(cursor->at + 4);
	left -= FRAMES_DOWN_HEADER;
	if (down->n_ports > left / FRAMES_PORT_SIZE)
		return -EBADMSG;
	left -= (size_t)down->n_ports * FRAMES_PORT_SIZE;
	if (down->len > left)
		return -EBADMSG;
	down->ports = cursor->at + FRAMES_DOWN_HEADER;
	down->frame = down->ports + (size_t)down->n_ports * FRAMES_PORT_SIZE;
	cursor->at = down->frame + down->len;
	return 1;
}

uint32_t frames_port(const struct frames_down *down, uint32_t i)
{
	return get_u32(down->ports + (size_t)i * FRAMES_PORT_SIZE);
}
