/* SPDX-License-Identifier: Apache-2.0 */
#include "guestmem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#define PAGE 4096

static int file(size_t len)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, (off_t)len));
	return fd;
}

static void addresses_are_where_the_guest_says(void)
{
	struct guestmem mem = {.n_regions = 0};
	int fd = file(4 * PAGE);
	uint8_t *at;

	/* An offset that is not a multiple of the page size, too. */
	CHECK(!guestmem_add(&mem, fd, 0x10000, 2 * PAGE, 0x90000, PAGE + 16));
	CHECK(!guestmem_add(&mem, fd, 0x80000, PAGE, 0x20000, 0));
	CHECK(pwrite(fd, "guest", 5, PAGE + 16 + 100) == 5);
	at = guestmem_at(&mem, 0x10000 + 100, 5);
	CHECK(at && !memcmp(at, "guest", 5));
	CHECK(guestmem_user(&mem, 0x90000 + 100, 5) == at);
	CHECK(guestmem_at(&mem, 0x80000, PAGE));
	CHECK(guestmem_user(&mem, 0x20000, PAGE));
	CHECK(!guestmem_at(&mem, 0x90000, 1));
	CHECK(!guestmem_user(&mem, 0x10000, 1));
	guestmem_clear(&mem);
	CHECK(!guestmem_at(&mem, 0x10000, 1));
	close(fd);
}

static void ranges_lie_within_one_region(void)
{
	struct guestmem mem = {.n_regions = 0};
	int fd = file(4 * PAGE);
	uint64_t base = 0x10000;

	/* Two that touch: a range over both has no one address here. */
	CHECK(!guestmem_add(&mem, fd, base, PAGE, base, 0));
	CHECK(!guestmem_add(&mem, fd, base + PAGE, PAGE, base + PAGE, PAGE));
	CHECK(guestmem_at(&mem, base, PAGE));
	CHECK(guestmem_at(&mem, base + PAGE - 1, 1));
	CHECK(!guestmem_at(&mem, base + PAGE - 1, 2));
	CHECK(!guestmem_at(&mem, base, PAGE + 1));
	CHECK(!guestmem_at(&mem, base - 1, 1));
	CHECK(!guestmem_at(&mem, base + 2 * PAGE, 1));
	CHECK(!guestmem_at(&mem, base + 2 * PAGE, 0));
	CHECK(!guestmem_at(&mem, UINT64_MAX, 2));
	CHECK(!guestmem_at(&mem, base + 1, UINT64_MAX));
	CHECK(!guestmem_at(&mem, 0, UINT64_MAX));
	guestmem_clear(&mem);
	close(fd);
}

static void regions_that_cannot_be_are_refused(void)
{
	struct guestmem mem = {.n_regions = 0};
	int fd = file(PAGE * 16), pipes[2], huge;

	CHECK(guestmem_add(&mem, fd, 0, 0, 0, 0) == -EINVAL);
	CHECK(guestmem_add(&mem, fd, 0, 17 * PAGE, 0, 0) == -EINVAL);
	CHECK(guestmem_add(&mem, fd, 0, PAGE, 0, 15 * PAGE + 1) == -EINVAL);
	CHECK(guestmem_add(&mem, fd, 0, PAGE, 0, UINT64_MAX) == -EINVAL);
	CHECK(guestmem_add(&mem, fd, UINT64_MAX, PAGE, 0, 0) == -EINVAL);
	CHECK(guestmem_add(&mem, fd, 0, PAGE, UINT64_MAX, 0) == -EINVAL);
	CHECK(guestmem_add(&mem, fd, 0, UINT64_MAX, 0, 0) == -EINVAL);
	CHECK(!guestmem_add(&mem, fd, PAGE, 2 * PAGE, PAGE, 0));
	CHECK(guestmem_add(&mem, fd, 0, PAGE + 1, 0x90000, 0) == -EINVAL);
	CHECK(guestmem_add(&mem, fd, 3 * PAGE - 1, 1, 0x90000, 0) == -EINVAL);
	CHECK(guestmem_add(&mem, fd, 0x90000, PAGE, PAGE, 0) == -EINVAL);
	/* Files whose pages somebody else would have to deliver. */
	CHECK(!pipe(pipes));
	CHECK(guestmem_add(&mem, pipes[0], 0x90000, PAGE, 0x90000, 0) ==
	      -EMEDIUMTYPE);
	CHECK(guestmem_add(&mem, open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
			   0x90000, PAGE, 0x90000, 0) == -EMEDIUMTYPE);
	/* Needs no huge pages, where the kernel has them at all. */
	huge = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	if (huge >= 0) {
		CHECK(!ftruncate(huge, 1 << 30));
		CHECK(guestmem_add(&mem, huge, 0x90000, PAGE, 0x90000, 0) ==
		      -EMEDIUMTYPE);
		close(huge);
	}
	for (uint64_t i = 1; i < GUESTMEM_REGIONS_MAX; i++)
		CHECK(!guestmem_add(&mem, fd, i << 20, PAGE, i << 20, 0));
	CHECK(guestmem_add(&mem, fd, 0x90000, PAGE, 0x90000, 0) == -E2BIG);
	guestmem_clear(&mem);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
}

static void a_file_cut_short_costs_only_its_region(void)
{
	struct guestmem mem = {.n_regions = 0}, other = {.n_regions = 0};
	int fd = file(4 * PAGE), other_fd = file(PAGE);
	volatile uint8_t *at, *kept;
	uint8_t buffer[2 * PAGE];

	CHECK(!guestmem_add(&mem, fd, 0, 4 * PAGE, 0, 0));
	CHECK(!guestmem_add(&other, other_fd, 0, PAGE, 0, 0));
	at = guestmem_at(&mem, 0, 4 * PAGE);
	kept = guestmem_at(&other, 0, PAGE);
	at[0] = 1;
	at[2 * PAGE] = 2;
	kept[0] = 3;
	CHECK(!ftruncate(fd, PAGE));
	CHECK(!guestmem_lost(&mem));
	/* Read over the edge, then write there. */
	memcpy(buffer, (uint8_t *)(uintptr_t)at + PAGE, sizeof(buffer));
	CHECK(guestmem_lost(&mem) && !guestmem_lost(&other));
	CHECK(buffer[PAGE] == 0);
	at[3 * PAGE] = 4;
	CHECK(kept[0] == 3);
	guestmem_clear(&mem);
	CHECK(!guestmem_lost(&mem));
	guestmem_clear(&other);
	close(fd);
	close(other_fd);
}

/* An access to what is nobody's memory still ends the program. */
static void another_sigbus_is_not_hidden(void)
{
	struct guestmem mem = {.n_regions = 0};
	int fd = file(PAGE), status = 0;
	pid_t pid;

	CHECK(!guestmem_add(&mem, fd, 0, PAGE, 0, 0));
	pid = fork();
	if (pid == 0) {
		int gone = file(PAGE);
		volatile uint8_t *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					    MAP_SHARED, gone, 0);

		if (ftruncate(gone, 0) == 0)
			at[0] = 1;
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	guestmem_clear(&mem);
	close(fd);
}

int main(void)
{
	RUN(addresses_are_where_the_guest_says);
	RUN(ranges_lie_within_one_region);
	RUN(regions_that_cannot_be_are_refused);
	RUN(a_file_cut_short_costs_only_its_region);
	RUN(another_sigbus_is_not_hidden);
	UNIT_DONE();
}
