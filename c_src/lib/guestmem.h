/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guestmem - memory that a guest shares with us: regions of files, mapped, and
 * the one way from a number of the guest's to a pointer of ours.
 *
 * The guest is hostile. Its numbers are checked against the regions, here and
 * nowhere else: guestmem_at() and guestmem_user() answer NULL where the range
 * does not lie within one region as a whole. What stands in the memory may
 * change at any time: read a value once, into a variable, and check that.
 *
 * The memory may vanish while we use it, too: a file can be truncated by
 * whoever has it open, and its file system can be full; then touching a page
 * raises SIGBUS. A handler puts anonymous memory over the region: the access
 * goes on (to zeros; what it writes is lost), and guestmem_lost() is true from
 * then on. Whoever has used the memory asks that when it is done, and ends the
 * device. So no access needs a check of its own, and only the guest whose
 * memory it was loses anything. Kernel calls on such memory say EFAULT.
 *
 * Only files of tmpfs (memfd is one) are taken: on any other file system,
 * touching a page can wait for somebody (FUSE: for the guest), or, with
 * hugetlbfs, a region has ends that cannot be replaced.
 */
#ifndef EVUM_GUESTMEM_H
#define EVUM_GUESTMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* As many as vhost-user knows without CONFIGURE_MEM_SLOTS; UML has one. */
#define GUESTMEM_REGIONS_MAX 8
/* Address space that one device may take, bytes. */
#define GUESTMEM_BYTES_MAX (UINT64_C(64) << 30)

struct guestmem_region {
	uint64_t guest_addr, size, user_addr; /* as the guest calls it */
	uint8_t *host;			      /* where guest_addr is here */
	void *map; /* what was mapped, and how much */
	size_t map_len;
};

/* All zeros: no memory. */
struct guestmem {
	unsigned int n_regions;
	struct guestmem_region regions[GUESTMEM_REGIONS_MAX];
	bool lost; /* written by a signal handler: guestmem_lost() reads it */
	LIST_ENTRY(guestmem) link; /* of those with regions, for that handler */
};

/*
 * Add a region: size bytes at offset of the file. The descriptor is still the
 * caller's. 0, -EINVAL where numbers are out of range, overlap, or lie beyond
 * the end of the file, -EMEDIUMTYPE where the file is of another kind, -E2BIG
 * beyond the limits above, or what mmap() said.
 */
int guestmem_add(struct guestmem *mem, int fd, uint64_t guest_addr,
		 uint64_t size, uint64_t user_addr, uint64_t offset);
/* Unmap all. Pointers that were handed out are dead. */
void guestmem_clear(struct guestmem *mem);

/* Our address of len bytes at a guest's physical address, or NULL. */
void *guestmem_at(const struct guestmem *mem, uint64_t addr, uint64_t len);
/* The same for an address as the front end sees it (those of the rings). */
void *guestmem_user(const struct guestmem *mem, uint64_t addr, uint64_t len);

/* Has a part of it vanished? */
bool guestmem_lost(const struct guestmem *mem);

#endif
