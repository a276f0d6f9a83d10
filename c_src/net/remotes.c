/* SPDX-License-Identifier: Apache-2.0 */
#include "remotes.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#define MAC_SIZE 6
/* IEEE 802: the lowest bit of the first byte marks a group. */
#define MAC_GROUP ((uint64_t)1 << 40)

static uint64_t mac_at(const uint8_t *bytes)
{
	uint64_t mac = 0;

	for (int i = 0; i < MAC_SIZE; i++)
		mac = mac << 8 | bytes[i];
	return mac;
}

/* A port that is known by its id: remotes count from 1 in the table. */
static uint32_t port_of(uint32_t remote)
{
	return remote + 1;
}

int remotes_init(struct remotes *remotes)
{
	memset(&remotes->stations, 0, sizeof(remotes->stations));
	/* With one remote there is nothing to learn. */
	return remotes->n == 1
		       ? 0
		       : stations_init(&remotes->stations, REMOTES_STATIONS,
				       REMOTES_AGEING_MS);
}

void remotes_free(struct remotes *remotes)
{
	stations_free(&remotes->stations);
}

/* Of the same host, and if so, from the same port? */
static bool is_from(const struct address *remote,
		    const struct sockaddr_storage *from, bool *same_port)
{
	const struct sockaddr_in *a = (const void *)&remote->storage;
	const struct sockaddr_in *b = (const void *)from;
	const struct sockaddr_in6 *a6 = (const void *)&remote->storage;
	const struct sockaddr_in6 *b6 = (const void *)from;

	if (remote->storage.ss_family != from->ss_family)
		return false;
	if (from->ss_family == AF_INET) {
		*same_port = a->sin_port == b->sin_port;
		return a->sin_addr.s_addr == b->sin_addr.s_addr;
	}
	*same_port = a6->sin6_port == b6->sin6_port;
	return from->ss_family == AF_INET6 &&
	       !memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr));
}

uint32_t remotes_sender(const struct remotes *remotes,
			const struct sockaddr_storage *from)
{
	uint32_t found = REMOTE_NONE;

	for (uint32_t i = 0; i < remotes->n; i++) {
		bool same_port;

		if (!is_from(&remotes->at[i], from, &same_port))
			continue;
		if (same_port)
			return i;
		if (found == REMOTE_NONE)
			found = i;
	}
	return found;
}

void remotes_learn(struct remotes *remotes, const struct frame *frame,
		   uint32_t remote, uint32_t now_ms)
{
	struct station *known;
	uint64_t from;

	if (remotes->n == 1 || frame->len < FRAME_MIN)
		return;
	from = mac_at(frame->bytes + MAC_SIZE);
	if (!from || from & MAC_GROUP)
		return;
	known = stations_find(&remotes->stations, from, now_ms);
	if (known && known->port == port_of(remote))
		known->seen = now_ms;
	else
		stations_put(&remotes->stations, from, port_of(remote), now_ms,
			     false);
}

uint32_t remotes_find(struct remotes *remotes, const struct frame *frame,
		      uint32_t now_ms)
{
	struct station *known;
	uint64_t to;

	if (remotes->n == 1)
		return 0;
	to = mac_at(frame->bytes);
	if (to & MAC_GROUP)
		return REMOTE_NONE;
	known = stations_find(&remotes->stations, to, now_ms);
	return known ? known->port - 1 : REMOTE_NONE;
}
