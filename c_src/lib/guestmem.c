/* SPDX-License-Identifier: Apache-2.0 */
#include "guestmem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/*
 * A signal handler has no context but this: all memory there is. SIGBUS comes
 * from an access to it, so never while the list is being changed.
 */
static LIST_HEAD(, guestmem) guestmem_all = LIST_HEAD_INITIALIZER(guestmem_all);

static bool covers(const struct guestmem_region *region, uintptr_t addr)
{
	uintptr_t start = (uintptr_t)region->map;

	return addr >= start && addr - start < region->map_len;
}

/* Put zeros in the place of a region that cannot be used any more. */
static bool replace(const struct guestmem_region *region)
{
	return mmap(region->map, region->map_len, PROT_READ | PROT_WRITE,
		    MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0) != MAP_FAILED;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	uintptr_t addr = (uintptr_t)info->si_addr;
	int saved = errno;
	struct guestmem *mem;

	(void)context;
	LIST_FOREACH(mem, &guestmem_all, link)
	{
		for (unsigned int i = 0; i < mem->n_regions; i++) {
			if (!covers(&mem->regions[i], addr) ||
			    !replace(&mem->regions[i]))
				continue;
			__atomic_store_n(&mem->lost, true, __ATOMIC_RELAXED);
			errno = saved;
			return;
		}
	}
	/* Nobody's memory: the access comes again and ends the program. */
	signal(sig, SIG_DFL);
}

static int install_handler(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus,
				   .sa_flags = SA_SIGINFO};

	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

static bool overlap(uint64_t a, uint64_t b, uint64_t a_size, uint64_t b_size)
{
	return a < b ? b - a < a_size : a - b < b_size;
}

static int check_range(const struct guestmem *mem, uint64_t guest_addr,
		       uint64_t size, uint64_t user_addr)
{
	uint64_t bytes = size;

	if (!size || size > GUESTMEM_BYTES_MAX ||
	    guest_addr > UINT64_MAX - size || user_addr > UINT64_MAX - size)
		return -EINVAL;
	for (unsigned int i = 0; i < mem->n_regions; i++) {
		const struct guestmem_region *other = &mem->regions[i];

		bytes += other->size;
		if (overlap(guest_addr, other->guest_addr, size, other->size) ||
		    overlap(user_addr, other->user_addr, size, other->size))
			return -EINVAL;
	}
	return bytes > GUESTMEM_BYTES_MAX ? -E2BIG : 0;
}

/* Does the file hold len bytes from offset on, and will it never make us wait?
 */
static int check_file(int fd, uint64_t offset, uint64_t len)
{
	struct statfs fs;
	struct stat st;
	uint64_t size;

	/*
	 * Says EINVAL of all but tmpfs and hugetlbfs, and asks no file system
	 * about it. Huge pages can be neither unmapped nor replaced in parts.
	 */
	if (fcntl(fd, F_GET_SEALS) < 0 || fstatfs(fd, &fs) < 0 ||
	    fs.f_type == HUGETLBFS_MAGIC)
		return -EMEDIUMTYPE;
	if (fstat(fd, &st) < 0)
		return -errno;
	size = (uint64_t)st.st_size;
	return offset > size || len > size - offset ? -EINVAL : 0;
}

int guestmem_add(struct guestmem *mem, int fd, uint64_t guest_addr,
		 uint64_t size, uint64_t user_addr, uint64_t offset)
{
	struct guestmem_region *region = &mem->regions[mem->n_regions];
	uint64_t skip = offset % (uint64_t)sysconf(_SC_PAGESIZE);
	int err;

	if (mem->n_regions == GUESTMEM_REGIONS_MAX)
		return -E2BIG;
	err = check_range(mem, guest_addr, size, user_addr);
	if (!err)
		err = check_file(fd, offset, size);
	if (!err)
		err = install_handler();
	if (err)
		return err;
	region->map_len = (size_t)(size + skip);
	region->map = mmap(NULL, region->map_len, PROT_READ | PROT_WRITE,
			   MAP_SHARED, fd, (off_t)(offset - skip));
	if (region->map == MAP_FAILED)
		return -errno;
	madvise(region->map, region->map_len, MADV_DONTDUMP);
	region->guest_addr = guest_addr;
	region->size = size;
	region->user_addr = user_addr;
	region->host = (uint8_t *)region->map + skip;
	if (!mem->n_regions++)
		LIST_INSERT_HEAD(&guestmem_all, mem, link);
	return 0;
}

void guestmem_clear(struct guestmem *mem)
{
	if (!mem->n_regions)
		return;
	LIST_REMOVE(mem, link);
	for (unsigned int i = 0; i < mem->n_regions; i++)
		munmap(mem->regions[i].map, mem->regions[i].map_len);
	memset(mem, 0, sizeof(*mem));
}

void *guestmem_at(const struct guestmem *mem, uint64_t addr, uint64_t len)
{
	for (unsigned int i = 0; i < mem->n_regions; i++) {
		const struct guestmem_region *region = &mem->regions[i];
		uint64_t at = addr - region->guest_addr;

		/* Below the region `at' wraps and is beyond any size. */
		if (at < region->size && len <= region->size - at)
			return region->host + at;
	}
	return NULL;
}

void *guestmem_user(const struct guestmem *mem, uint64_t addr, uint64_t len)
{
	for (unsigned int i = 0; i < mem->n_regions; i++) {
		const struct guestmem_region *region = &mem->regions[i];
		uint64_t at = addr - region->user_addr;

		if (at < region->size && len <= region->size - at)
			return region->host + at;
	}
	return NULL;
}

bool guestmem_lost(const struct guestmem *mem)
{
	return __atomic_load_n(&mem->lost, __ATOMIC_RELAXED);
}
