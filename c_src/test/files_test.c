/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What evum_init puts into a root, and what it says of its program. Both files
 * belong to a program that is built for the guest, so they are taken in here.
 */
#include "../init/files.c" /* NOLINT(bugprone-suspicious-include) */

#include "../init/program.c" /* NOLINT(bugprone-suspicious-include) */

#include <stdlib.h>

#include "unit.h"

void init_fail(const char *step, const char *what)
{
	fprintf(stderr, "init_fail: %s %s\n", step, what);
	abort();
}

void make_parents(char *path)
{
	(void)path;
}

#define PARSE(file, literal) \
	file_parse(file, (const unsigned char *)(literal), sizeof(literal) - 1)
/* Path of 3 bytes, mode 0644, 2 bytes. */
#define HEAD "\0\0\0\3\0\0\001\244\0\0\0\2"

static void whole(void)
{
	struct file file = {.path = "", .bytes = NULL};

	CHECK(PARSE(&file, HEAD "/a\0xyrest") == HEADER + 5);
	CHECK(!strcmp(file.path, "/a") && file.mode == 0644);
	CHECK(file.size == 2 && !memcmp(file.bytes, "xy", 2));
	CHECK(PARSE(&file, "") == 0);
}

static void broken(void)
{
	struct file file = {.path = "", .bytes = NULL};

	CHECK(PARSE(&file, "\0\0\0\3") == -EINVAL);	/* cut off */
	CHECK(PARSE(&file, HEAD "/a\0x") == -EINVAL);	/* so too */
	CHECK(PARSE(&file, HEAD "a/\0xy") == -EINVAL);	/* relative */
	CHECK(PARSE(&file, HEAD "/aaxy") == -EINVAL);	/* no NUL */
	CHECK(PARSE(&file, HEAD "/\0\0xy") == -EINVAL); /* NUL inside */
	CHECK(PARSE(&file, "\377\377\377\377\0\0\0\0\0\0\0\0/a") == -EINVAL);
	CHECK(PARSE(&file, "\0\0\0\3\0\0\0\0\377\377\377\377/a\0") == -EINVAL);
}

static void machines_by_name(void)
{
	unsigned char head[64] = ELFMAG;
	const char *name;

	head[EI_DATA] = ELFDATA2LSB;
	head[18] = EM_X86_64;
	CHECK(program_foreign(head, sizeof(head)) == NULL);
	head[18] = EM_AARCH64;
	name = program_foreign(head, sizeof(head));
	CHECK(name && !strcmp(name, "aarch64"));
	CHECK(program_foreign(head, 10) == NULL);
	head[EI_DATA] = ELFDATA2MSB;
	head[18] = 0;
	head[19] = EM_S390;
	name = program_foreign(head, sizeof(head));
	CHECK(name && !strcmp(name, "s390x"));
	head[19] = 0xff;
	name = program_foreign(head, sizeof(head));
	CHECK(name && !strcmp(name, "another machine"));
	CHECK(program_foreign((const unsigned char *)"#!/bin/sh", 9) == NULL);
}

int main(void)
{
	RUN(whole);
	RUN(broken);
	RUN(machines_by_name);
	UNIT_DONE();
}
