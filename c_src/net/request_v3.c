/* SPDX-License-Identifier: Apache-2.0 */
#include "request_v3.h"

#include <string.h>

#define MAGIC_AT 0
#define VERSION_AT 4
#define TYPE_AT 8
#define ADDRESS_AT 12

_Static_assert(sizeof(struct sockaddr_un) == 110, "layout of sockaddr_un");

static uint32_t field(const uint8_t *bytes, size_t at)
{
	uint32_t value;

	memcpy(&value, bytes + at, sizeof(value));
	return value;
}

/*
 * A path ends at its NUL, or fills the field (the kernel adds a NUL then). An
 * abstract name has no end: the field is the name.
 */
static socklen_t address_len(const struct sockaddr_un *address)
{
	size_t len = strnlen(address->sun_path, sizeof(address->sun_path));

	if (len == 0 || len == sizeof(address->sun_path))
		return sizeof(*address);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

enum request_verdict request_v3_parse(const uint8_t *bytes, size_t len,
				      struct request_v3 *request)
{
	if (len >= VERSION_AT && field(bytes, MAGIC_AT) != REQUEST_V3_MAGIC)
		return REQUEST_BAD_MAGIC;
	if (len >= TYPE_AT && field(bytes, VERSION_AT) != REQUEST_V3_VERSION)
		return REQUEST_BAD_VERSION;
	if (len < REQUEST_V3_SIZE)
		return REQUEST_SHORT;
	if (len > REQUEST_V3_SIZE)
		return REQUEST_SURPLUS;
	if (field(bytes, TYPE_AT) != REQUEST_V3_NEW_CONTROL)
		return REQUEST_BAD_TYPE;
	memcpy(&request->peer, bytes + ADDRESS_AT, sizeof(request->peer));
	if (request->peer.sun_family != AF_UNIX)
		return REQUEST_BAD_ADDRESS;
	request->peer_len = address_len(&request->peer);
	return REQUEST_OK;
}
