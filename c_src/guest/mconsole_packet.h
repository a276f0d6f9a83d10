/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mconsole_packet - the datagrams of the management console, as bytes.
 *
 * arch/um/drivers/mconsole.h of the kernel has the structures. The guest's
 * kernel is at the other end: what a length says is believed no further than
 * the datagram reaches.
 */
#ifndef EVUM_MCONSOLE_PACKET_H
#define EVUM_MCONSOLE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MCONSOLE_DATA_MAX 512

struct mconsole_packet {
	uint32_t magic, version, len;
	char data[MCONSOLE_DATA_MAX];
};

struct mconsole_reply {
	uint32_t err, more, len;
	char data[MCONSOLE_DATA_MAX];
};

enum mconsole_notice_type {
	NOTICE_SOCKET,
	NOTICE_PANIC,
	NOTICE_HANG,
	NOTICE_USER,
};

struct mconsole_notice {
	uint32_t magic, version, type;
	int32_t len;
	char data[MCONSOLE_DATA_MAX];
};

/* A request for a command of less than MCONSOLE_DATA_MAX bytes. */
void mconsole_packet_make(struct mconsole_packet *packet, const char *command,
			  size_t len);

/*
 * How much of data is text, in a datagram of size bytes; -EPROTO where it is
 * no reply, or no notice.
 */
int mconsole_reply_text(const struct mconsole_reply *reply, size_t size,
			size_t *len);
int mconsole_notice_text(const struct mconsole_notice *notice, size_t size,
			 size_t *len);

#endif
