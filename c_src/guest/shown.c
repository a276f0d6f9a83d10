/* SPDX-License-Identifier: Apache-2.0 */
#include "shown.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jail.h"

static const char *const devices[SHOWN_DEVICES] = {
	"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
};
/*
 * The host's, below the jail's own: a new /proc may be mounted only where one
 * is in sight (mount_too_revealing() in fs/namespace.c).
 */
#define PROC "/proc"
#define TREE_PROC (START_PATHS_MAX + SHOWN_DEVICES)

/*
 * With what is mounted below: without, the mounts of a user namespace's
 * parent could not be told apart, and the kernel refuses.
 */
static int take_tree(const char *path, bool writable)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path,
			      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
				      AT_RECURSIVE);

	if (fd < 0)
		return -errno;
	if (!writable &&
	    syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE,
		    &attr, sizeof(attr)) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* The descriptor stays open, and with it the lock, while this process lives. */
static int lock_disk(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
		return -EINVAL;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

int shown_take(struct shown *shown, const struct start *start,
	       const char **step)
{
	int err;

	memset(shown, -1, sizeof(*shown));
	for (int i = 0; i < start->n_paths; i++) {
		const struct start_path *path = &start->paths[i];

		if (!start->closed && !path->share)
			continue;
		*step = path->name ? path->name : "show";
		shown->trees[i] = take_tree(path->path, path->writable);
		if (shown->trees[i] < 0)
			return shown->trees[i];
	}
	for (int i = 0; start->closed && i < SHOWN_DEVICES; i++) {
		*step = "devices";
		shown->trees[START_PATHS_MAX + i] =
			take_tree(devices[i], false);
		if (shown->trees[START_PATHS_MAX + i] < 0)
			return shown->trees[START_PATHS_MAX + i];
	}
	if (start->closed) {
		*step = "proc";
		shown->trees[TREE_PROC] = take_tree(PROC, false);
		if (shown->trees[TREE_PROC] < 0)
			return shown->trees[TREE_PROC];
	}
	if (!start->disk)
		return 0;
	*step = "disk";
	err = lock_disk(start->disk);
	if (err)
		return err;
	shown->disk = take_tree(start->disk, true);
	return shown->disk < 0 ? shown->disk : 0;
}

/* All folders above a path, in the jail's own tmpfs. */
static int make_parents(char *path)
{
	for (char *at = path + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	return 0;
}

static int put_tree(int *tree, const char *where)
{
	char path[PATH_MAX];
	struct stat st;
	int err, fd;

	if ((size_t)snprintf(path, sizeof(path), "%s", where) >= sizeof(path))
		return -ENAMETOOLONG;
	if (fstat(*tree, &st) < 0)
		return -errno;
	err = make_parents(path);
	if (err)
		return err;
	if (S_ISDIR(st.st_mode)) {
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -errno;
	} else {
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			return -errno;
		close(fd);
	}
	if (syscall(SYS_move_mount, *tree, "", AT_FDCWD, path,
		    MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	close(*tree);
	*tree = -1;
	return 0;
}

/* A link, or the mount that was taken. */
static int put_path(int *tree, const struct start_path *path)
{
	char where[PATH_MAX];

	if (!path->name)
		return *tree < 0 ? 0 : put_tree(tree, path->path);
	if ((size_t)snprintf(where, sizeof(where), JAIL_DIR "/%s",
			     path->name) >= sizeof(where))
		return -ENAMETOOLONG;
	if (*tree >= 0)
		return put_tree(tree, where);
	return symlink(path->path, where) < 0 ? -errno : 0;
}

int shown_put(struct shown *shown, const struct start *start, const char **step)
{
	int err;

	for (int i = 0; i < start->n_paths; i++) {
		*step = start->paths[i].name ? start->paths[i].name : "show";
		err = put_path(&shown->trees[i], &start->paths[i]);
		if (err)
			return err;
	}
	for (int i = 0; start->closed && i < SHOWN_DEVICES; i++) {
		*step = "devices";
		err = put_tree(&shown->trees[START_PATHS_MAX + i], devices[i]);
		if (err)
			return err;
	}
	*step = "proc";
	err = start->closed ? put_tree(&shown->trees[TREE_PROC], PROC) : 0;
	if (err || shown->disk < 0)
		return err;
	*step = "disk";
	return put_tree(&shown->disk, JAIL_DIR "/disk");
}
