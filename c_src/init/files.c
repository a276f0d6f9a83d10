/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the host's, or made by evum, that go into the root before anything
 * runs in it. They come as one file in the jail's folder, one after the other:
 *
 *     +----------+----------+----------+------+-------+
 *     | path: 32 | mode: 32 | size: 32 | path | bytes |  ...
 *     +----------+----------+----------+------+-------+
 *
 * Numbers are big-endian; the path's length counts its NUL.
 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER 12
#define JAIL_MOUNT "/run/jail"
#define MODE_BITS 07777u

static uint32_t be32(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

long file_parse(struct file *file, const unsigned char *data, size_t n)
{
	uint32_t path, size;

	if (n == 0)
		return 0;
	if (n < HEADER)
		return -EINVAL;
	path = be32(data);
	size = be32(data + 8);
	if (path < 2 || path > PATH_MAX || path > n - HEADER ||
	    size > n - HEADER - path)
		return -EINVAL;
	data += HEADER;
	if (data[0] != '/' || memchr(data, '\0', path) != data + path - 1)
		return -EINVAL;
	*file = (struct file){.path = (const char *)data,
			      .bytes = data + path,
			      .size = size,
			      .mode = be32(data - 8) & MODE_BITS};
	return (long)(HEADER + path + size);
}

/*
 * What is new belongs to whom its folder does, so that a daemon's own user can
 * read what comes into its folder; what was there keeps its owner.
 */
static void own(int fd, char *path)
{
	struct stat st;

	if (stat(dirname(path), &st) == 0 &&
	    fchown(fd, st.st_uid, st.st_gid) < 0)
		init_fail("chown", path);
}

static void install(const struct file *file)
{
	char path[PATH_MAX];
	size_t done = 0;
	bool fresh;
	int fd;

	snprintf(path, sizeof(path), "%s", file->path);
	make_parents(path);
	fresh = access(path, F_OK) < 0;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		init_fail("write", path);
	while (done < file->size) {
		ssize_t n = write(fd, file->bytes + done, file->size - done);

		if (n < 0)
			init_fail("write", path);
		done += (size_t)n;
	}
	if (fchmod(fd, file->mode) < 0)
		init_fail("chmod", path);
	if (fresh)
		own(fd, path);
	close(fd);
}

void files_install(const struct config *config)
{
	const unsigned char *data;
	struct file file;
	struct stat st;
	size_t at = 0;
	long n;
	int fd;

	if (!config->files)
		return;
	mkdir(JAIL_MOUNT, 0700);
	if (mount("jail", JAIL_MOUNT, "hostfs", MS_RDONLY, INIT_JAIL) < 0)
		init_fail("mount hostfs", INIT_JAIL);
	fd = open(JAIL_MOUNT "/files", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		init_fail("open", "files");
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		init_fail("map", "files");
	while ((n = file_parse(&file, data + at, (size_t)st.st_size - at)) >
	       0) {
		install(&file);
		at += (size_t)n;
	}
	errno = EINVAL;
	if (n < 0)
		init_fail("parse", "files");
	munmap((void *)(uintptr_t)data, (size_t)st.st_size);
	close(fd);
	if (umount(JAIL_MOUNT) < 0 || rmdir(JAIL_MOUNT) < 0)
		init_fail("umount", JAIL_MOUNT);
}
