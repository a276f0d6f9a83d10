/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_request_v3 - whatever a client sends, and an answer that holds. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "request_v3.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct request_v3 request;

	if (request_v3_parse(bytes, len, &request) != REQUEST_OK)
		return 0;
	if (len != REQUEST_V3_SIZE || request.peer.sun_family != AF_UNIX ||
	    request.peer_len <= sizeof(sa_family_t) ||
	    request.peer_len > sizeof(struct sockaddr_un))
		abort();
	return 0;
}
