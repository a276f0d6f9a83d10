/* SPDX-License-Identifier: Apache-2.0 */
#include "request_v3.h"

#include <string.h>

#include "unit.h"

/* As a client of the kernel lays it out. */
struct wire {
	uint32_t magic, version, type;
	struct sockaddr_un sock;
};

_Static_assert(sizeof(struct wire) == REQUEST_V3_SIZE, "size on the wire");

static struct wire good(void)
{
	struct wire wire = {
		.magic = REQUEST_V3_MAGIC,
		.version = 3,
		.type = 0,
		.sock = {.sun_family = AF_UNIX, .sun_path = "/tmp/sock"},
	};
	return wire;
}

static enum request_verdict judge(const struct wire *wire, size_t len,
				  struct request_v3 *request)
{
	uint8_t bytes[REQUEST_V3_SIZE + 1] = {0};

	memcpy(bytes, wire, sizeof(*wire));
	return request_v3_parse(bytes, len, request);
}

static void good_request_yields_its_address(void)
{
	struct wire wire = good();
	struct request_v3 request;

	CHECK(judge(&wire, REQUEST_V3_SIZE, &request) == REQUEST_OK);
	CHECK(request.peer.sun_family == AF_UNIX);
	CHECK(!strcmp(request.peer.sun_path, "/tmp/sock"));
	CHECK(request.peer_len == sizeof(sa_family_t) + sizeof("/tmp/sock"));
}

static void every_prefix_waits_for_more(void)
{
	struct wire wire = good();
	struct request_v3 request;

	for (size_t len = 0; len < REQUEST_V3_SIZE; len++)
		CHECK(judge(&wire, len, &request) == REQUEST_SHORT);
	CHECK(judge(&wire, REQUEST_V3_SIZE + 1, &request) == REQUEST_SURPLUS);
}

static void bad_heads_are_told_at_once(void)
{
	struct request_v3 request;
	struct wire wire = good();

	wire.magic = 0xcefaedfe;
	CHECK(judge(&wire, 3, &request) == REQUEST_SHORT);
	CHECK(judge(&wire, 4, &request) == REQUEST_BAD_MAGIC);
	CHECK(judge(&wire, REQUEST_V3_SIZE, &request) == REQUEST_BAD_MAGIC);
	wire = good();
	wire.version = 2;
	CHECK(judge(&wire, 7, &request) == REQUEST_SHORT);
	CHECK(judge(&wire, 8, &request) == REQUEST_BAD_VERSION);
	wire = good();
	wire.type = 1;
	CHECK(judge(&wire, REQUEST_V3_SIZE, &request) == REQUEST_BAD_TYPE);
	wire = good();
	wire.sock.sun_family = AF_INET;
	CHECK(judge(&wire, REQUEST_V3_SIZE, &request) == REQUEST_BAD_ADDRESS);
}

static void address_lengths_stay_in_the_field(void)
{
	struct wire wire = good();
	struct request_v3 request;

	memset(wire.sock.sun_path, 'x', sizeof(wire.sock.sun_path));
	CHECK(judge(&wire, REQUEST_V3_SIZE, &request) == REQUEST_OK);
	CHECK(request.peer_len == sizeof(struct sockaddr_un));
	wire.sock.sun_path[sizeof(wire.sock.sun_path) - 1] = '\0';
	CHECK(judge(&wire, REQUEST_V3_SIZE, &request) == REQUEST_OK);
	CHECK(request.peer_len == sizeof(struct sockaddr_un));
	/* Abstract: the whole field is the name. */
	memset(&wire.sock.sun_path, 0, sizeof(wire.sock.sun_path));
	memcpy(wire.sock.sun_path + 1, "pid", 3);
	CHECK(judge(&wire, REQUEST_V3_SIZE, &request) == REQUEST_OK);
	CHECK(request.peer_len == sizeof(struct sockaddr_un));
}

int main(void)
{
	RUN(good_request_yields_its_address);
	RUN(every_prefix_waits_for_more);
	RUN(bad_heads_are_told_at_once);
	RUN(address_lengths_stay_in_the_field);
	UNIT_DONE();
}
