/* SPDX-License-Identifier: Apache-2.0 */
#include "mconsole_packet.h"

#include <errno.h>
#include <string.h>

#define MCONSOLE_MAGIC 0xcafebabeu
#define MCONSOLE_VERSION 2

void mconsole_packet_make(struct mconsole_packet *packet, const char *command,
			  size_t len)
{
	*packet = (struct mconsole_packet){
		.magic = MCONSOLE_MAGIC,
		.version = MCONSOLE_VERSION,
		.len = (uint32_t)len,
	};
	memcpy(packet->data, command, len);
}

int mconsole_reply_text(const struct mconsole_reply *reply, size_t size,
			size_t *len)
{
	const size_t header = offsetof(struct mconsole_reply, data);

	if (size < header || size > sizeof(*reply))
		return -EPROTO;
	*len = size - header;
	if (reply->len < *len)
		*len = reply->len;
	/* It counts a final NUL. */
	while (*len && reply->data[*len - 1] == '\0')
		--*len;
	return 0;
}

int mconsole_notice_text(const struct mconsole_notice *notice, size_t size,
			 size_t *len)
{
	const size_t header = offsetof(struct mconsole_notice, data);

	if (size < header || size > sizeof(*notice) ||
	    notice->magic != MCONSOLE_MAGIC || notice->len < 0)
		return -EPROTO;
	*len = size - header;
	if ((size_t)notice->len < *len)
		*len = (size_t)notice->len;
	*len = strnlen(notice->data, *len);
	return 0;
}
