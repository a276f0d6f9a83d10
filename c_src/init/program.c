/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console's program: an image may lack it, or be made for another machine.
 * The kernel would say so too, but of a loop of restarts, and by no name.
 */
#include "init.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
	unsigned int id;
	const char *name;
} machines[] = {
	{EM_386, "i386"},    {EM_ARM, "arm"},	 {EM_AARCH64, "aarch64"},
	{EM_PPC64, "ppc64"}, {EM_S390, "s390x"}, {EM_RISCV, "riscv"},

	{EM_MIPS, "mips"},
};

const char *program_foreign(const unsigned char *head, size_t n)
{
	unsigned int machine;

	if (n < EI_NIDENT + 4 || memcmp(head, ELFMAG, SELFMAG) != 0)
		return NULL; /* a script, perhaps: the kernel's affair */
	machine = head[EI_DATA] == ELFDATA2MSB
			  ? (unsigned int)head[18] << 8 | head[19]
			  : (unsigned int)head[19] << 8 | head[18];
	if (machine == EM_X86_64)
		return NULL;
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		if (machines[i].id == machine)
			return machines[i].name;
	return "another machine";
}

void program_check(struct config *config)
{
	unsigned char head[64];
	char step[64];
	const char *foreign;
	ssize_t n;
	int fd;

	if (config->instead && access(config->argv[0], F_OK) < 0 &&
	    access(config->instead, F_OK) == 0)
		config->argv[0] = config->instead;
	fd = open(config->argv[0], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		init_fail("start", config->argv[0]);
	n = read(fd, head, sizeof(head));
	close(fd);
	foreign = program_foreign(head, n < 0 ? 0 : (size_t)n);
	if (!foreign)
		return;
	errno = ENOEXEC;
	snprintf(step, sizeof(step), "start, built for %s,", foreign);
	init_fail(step, config->argv[0]);
}
