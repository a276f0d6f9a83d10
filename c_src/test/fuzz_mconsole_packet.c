/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's kernel sends what it likes; no length may lead out of the bytes. */
#include "mconsole_packet.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct mconsole_reply reply = {0};
	struct mconsole_notice notice = {0};
	size_t len;

	if (size > sizeof(reply))
		return 0;
	memcpy(&reply, bytes, size);
	memcpy(&notice, bytes, size);
	if (!mconsole_reply_text(&reply, size, &len) &&
	    len > size - offsetof(struct mconsole_reply, data))
		abort();
	if (!mconsole_notice_text(&notice, size, &len) &&
	    len > size - offsetof(struct mconsole_notice, data))
		abort();
	return 0;
}
