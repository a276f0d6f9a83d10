/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams of a kernel that is not to be trusted. */
#include "mconsole_packet.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

#define REPLY_HEADER offsetof(struct mconsole_reply, data)
#define NOTICE_HEADER offsetof(struct mconsole_notice, data)

static void request(void)
{
	struct mconsole_packet packet;

	mconsole_packet_make(&packet, "version", 7);
	CHECK(packet.magic == 0xcafebabe && packet.version == 2);
	CHECK(packet.len == 7 && !memcmp(packet.data, "version", 8));
}

static void reply(void)
{
	struct mconsole_reply reply = {.len = 3, .data = "ok"};
	size_t len = 99;

	CHECK(!mconsole_reply_text(&reply, REPLY_HEADER + 3, &len));
	CHECK(len == 2);
	/* says more than it brings */
	reply.len = UINT32_MAX;
	CHECK(!mconsole_reply_text(&reply, REPLY_HEADER + 1, &len));
	CHECK(len == 1);
	CHECK(!mconsole_reply_text(&reply, REPLY_HEADER, &len));
	CHECK(len == 0);
	CHECK(mconsole_reply_text(&reply, REPLY_HEADER - 1, &len) == -EPROTO);
	CHECK(mconsole_reply_text(&reply, sizeof(reply) + 1, &len) == -EPROTO);
}

static void notice(void)
{
	struct mconsole_notice notice = {
		.magic = 0xcafebabe, .version = 2, .len = 6, .data = "re\0ady"};
	size_t len = 99;

	CHECK(!mconsole_notice_text(&notice, sizeof(notice), &len));
	CHECK(len == 2);
	memset(notice.data, 'x', sizeof(notice.data));
	notice.len = INT32_MAX;
	CHECK(!mconsole_notice_text(&notice, NOTICE_HEADER + 5, &len));
	CHECK(len == 5);
	notice.len = -1;
	CHECK(mconsole_notice_text(&notice, sizeof(notice), &len) == -EPROTO);
	notice.len = 5;
	CHECK(mconsole_notice_text(&notice, NOTICE_HEADER - 1, &len) ==
	      -EPROTO);
	notice.magic = 1;
	CHECK(mconsole_notice_text(&notice, sizeof(notice), &len) == -EPROTO);
}

int main(void)
{
	RUN(request);
	RUN(reply);
	RUN(notice);
	UNIT_DONE();
}
