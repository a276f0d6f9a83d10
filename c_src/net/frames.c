/* SPDX-License-Identifier: Apache-2.0 */
#include "frames.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#define FRAMES_PORT_SIZE 4

static void put_u16(uint8_t *at, uint16_t value)
{
	value = htons(value);
	memcpy(at, &value, sizeof(value));
}

static void put_u32(uint8_t *at, uint32_t value)
{
	value = htonl(value);
	memcpy(at, &value, sizeof(value));
}

static uint16_t get_u16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return ntohs(value);
}

static uint32_t get_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return ntohl(value);
}

static uint64_t get_u64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return be64toh(value);
}

void frames_begin(uint8_t *at, uint64_t now_ms)
{
	now_ms = htobe64(now_ms);
	memcpy(at, &now_ms, sizeof(now_ms));
}

void frames_put(uint8_t *at, const struct frames_up *up,
		const struct frame *frame)
{
	put_u32(at, up->port);
	put_u32(at + 4, frame->len);
	put_u16(at + 8, up->vlan);
	at[10] = up->flags;
	at[11] = 0;
	put_u32(at + 12, up->age);
	put_u32(at + 16, up->hooks);
	frame_copy(frame, at + FRAMES_UP_HEADER);
}

/* The list of ports at the end of what is fixed, if all of it is there. */
static int ports_next(struct frames_cursor *cursor, struct frames_down *down)
{
	size_t left = (size_t)(cursor->end - cursor->at);

	if (down->n_ports > left / FRAMES_PORT_SIZE)
		return -EBADMSG;
	down->ports = cursor->at;
	cursor->at += (size_t)down->n_ports * FRAMES_PORT_SIZE;
	return 1;
}

static int frame_next(struct frames_cursor *cursor, struct frames_down *down)
{
	if (ports_next(cursor, down) < 0 ||
	    down->len > (size_t)(cursor->end - cursor->at))
		return -EBADMSG;
	down->frame = cursor->at;
	cursor->at += down->len;
	return 1;
}

int frames_next(struct frames_cursor *cursor, struct frames_down *down)
{
	static const size_t fixed[DOWN_OPS] = {
		[DOWN_FRAME] = 12, [DOWN_STATION] = 20, [DOWN_FORGET] = 12,
		[DOWN_FLOOD] = 12, [DOWN_ANSWERS] = 8,
	};
	const uint8_t *at = cursor->at;

	if (at == cursor->end)
		return 0;
	if (*at >= DOWN_OPS || fixed[*at] > (size_t)(cursor->end - at))
		return -EBADMSG;
	*down = (struct frames_down){.op = at[0]};
	cursor->at += fixed[at[0]];
	if (at[0] == DOWN_FRAME || at[0] == DOWN_STATION)
		down->flags = at[1];
	switch (down->op) {
	case DOWN_FRAME:
		down->vlan = get_u16(at + 2);
		down->n_ports = get_u32(at + 4);
		down->len = get_u32(at + 8);
		return frame_next(cursor, down);
	case DOWN_STATION:
		down->port = get_u32(at + 12);
		down->seen = get_u32(at + 16);
		down->station = get_u64(at + 4);
		return 1;
	case DOWN_FORGET:
		down->station = get_u64(at + 4);
		return 1;
	case DOWN_FLOOD:
		down->vlan = get_u16(at + 2);
		down->ups = get_u32(at + 4);
		down->n_ports = get_u32(at + 8);
		return ports_next(cursor, down);
	case DOWN_ANSWERS:
		down->bytes = get_u32(at + 4);
		return 1;
	case DOWN_OPS:
		break;
	}
	return -EBADMSG;
}

uint32_t frames_port(const struct frames_down *down, uint32_t i)
{
	return get_u32(down->ports + (size_t)i * FRAMES_PORT_SIZE);
}
