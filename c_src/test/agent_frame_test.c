/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the agent. It belongs to a program that is built for the guest, so
 * its one file is taken in here.
 */
#include "../init/agent_frame.c" /* NOLINT(bugprone-suspicious-include) */

#include "unit.h"

/* Make a frame and take it apart; the payload's literal may hold NULs. */
static struct frame made(uint8_t type, const char *payload, size_t len)
{
	static uint8_t bytes[FRAME_MAX];
	struct frame frame = {.len = 0};

	frame_header(bytes, type, 7, len);
	memcpy(bytes + FRAME_HEADER, payload, len);
	CHECK(frame_next(bytes, FRAME_HEADER + len, &frame) ==
	      (int)(FRAME_HEADER + len));
	CHECK(frame_next(bytes, FRAME_HEADER + len - 1, &frame) == 0);
	CHECK(frame.type == type && frame.id == 7 && frame.len == len);
	return frame;
}

#define MADE(type, literal) made(type, literal, sizeof(literal) - 1)

static void commands(void)
{
	static struct frame_run run;
	struct frame frame = MADE(FRAME_RUN, "\0\1\0\0\1/tmp\0"
					     "\0\2ls\0-l\0\0\1A=b\0");

	CHECK(frame_run(&frame, &run) == 0);
	CHECK(run.window == 0x10000 && run.input == 1);
	CHECK(!strcmp(run.dir, "/tmp"));
	CHECK(run.argc == 2 && !strcmp(run.argv[1], "-l") && !run.argv[2]);
	CHECK(run.envc == 1 && !strcmp(run.env[0], "A=b") && !run.env[1]);
	frame = MADE(FRAME_RUN, "\0\1\0\0\0/\0\0\0\0\0");
	CHECK(frame_run(&frame, &run) == -EBADMSG); /* nothing to run */
	frame = MADE(FRAME_RUN, "\0\1\0\0\0/\0\0\2ls\0");
	CHECK(frame_run(&frame, &run) == -EBADMSG); /* cut short */
	frame = MADE(FRAME_RUN, "\0\1\0\0\0/\0\xff\xffls\0");
	CHECK(frame_run(&frame, &run) == -EBADMSG); /* too many */
	frame = MADE(FRAME_RUN, "\0\1\0\0\0/\0\0\1ls\0\0\0surplus");
	CHECK(frame_run(&frame, &run) == -EBADMSG);
}

static void files(void)
{
	struct frame_file file;
	struct frame frame = MADE(FRAME_PUT, "\0\0\1\xa4\0\0\0\1\0\0\0\2/x\0");

	CHECK(frame_put(&frame, &file) == 0);
	CHECK(file.mode == 0644 && file.size == 0x100000002 &&
	      !strcmp(file.path, "/x"));
	frame = MADE(FRAME_GET, "\0\0\1\0/x\0");
	CHECK(frame_get(&frame, &file) == 0);
	CHECK(file.window == 256 && !strcmp(file.path, "/x"));
	frame = MADE(FRAME_GET, "\0\0\1\0/x");
	CHECK(frame_get(&frame, &file) == -EBADMSG);
}

static void lengths(void)
{
	uint8_t bytes[FRAME_HEADER];
	struct frame frame;

	frame_header(bytes, FRAME_DATA, 1, FRAME_PAYLOAD_MAX);
	CHECK(frame_next(bytes, sizeof(bytes), &frame) == 0);
	frame_header(bytes, FRAME_DATA, 1, FRAME_PAYLOAD_MAX + 1);
	CHECK(frame_next(bytes, sizeof(bytes), &frame) == -EBADMSG);
	frame_put_u32(bytes, FRAME_HEADER - FRAME_LENGTH - 1);
	CHECK(frame_next(bytes, sizeof(bytes), &frame) == -EBADMSG);
	CHECK(frame_next(bytes, 3, &frame) == 0);
}

int main(void)
{
	RUN(commands);
	RUN(files);
	RUN(lengths);
	UNIT_DONE();
}
