/* SPDX-License-Identifier: Apache-2.0 */
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shown.h"

/* <sys/mount.h> and <linux/mount.h> of Debian 12 exclude each other. */
extern int mount(const char *source, const char *target, const char *type,
		 unsigned long flags, const void *data);
extern int umount2(const char *target, int flags);
#define MNT_DETACH 2
#define MOUNT_PRIVATE_RECURSIVE 0x44000ul /* MS_REC | MS_PRIVATE */
#define MOUNT_NOSUID_NODEV 0x6ul	  /* MS_NOSUID | MS_NODEV */
#define MOUNT_PROC 0xful /* MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC */

static int write_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ssize_t n;

	if (fd < 0)
		return -errno;
	/* At once: a file of a tmpfs, or one that wants it so (user namespaces)
	 */
	n = write(fd, bytes, len);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EIO;
}

/* In the new user namespace, everybody keeps the one id that he has. */
static int map_id(const char *path, unsigned int id)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "%u %u 1\n", id, id);

	return write_file(path, line, (size_t)len);
}

static int unshare_all(bool share_net)
{
	int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
		    (share_net ? 0 : CLONE_NEWNET);
	unsigned int uid = getuid(), gid = getgid();
	int err;

	if (unshare(flags) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	if (unshare(flags | CLONE_NEWUSER) < 0)
		return -errno;
	err = write_file("/proc/self/setgroups", "deny", 4);
	if (!err)
		err = map_id("/proc/self/uid_map", uid);
	if (!err)
		err = map_id("/proc/self/gid_map", gid);
	return err;
}

static int make_read_only(unsigned int recursive)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

	if (syscall(SYS_mount_setattr, AT_FDCWD, "/", recursive, &attr,
		    sizeof(attr)) < 0)
		return -errno;
	return 0;
}

/* Executable: UML maps its memory file with PROT_EXEC. */
static int mount_shm(uint64_t room_bytes)
{
	char options[64];

	snprintf(options, sizeof(options), "mode=0700,size=%llu",
		 (unsigned long long)room_bytes);
	if (mount("evum", JAIL_SHM, "tmpfs", MOUNT_NOSUID_NODEV, options) < 0 ||
	    mkdir(JAIL_DIR, 0700) < 0)
		return -errno;
	return 0;
}

/*
 * A root of its own, empty, in place of the host's: put over a folder that is
 * there anyway, then the host's is let go of.
 */
static int leave_host(void)
{
	if (mount("root", JAIL_SHM, "tmpfs", MOUNT_NOSUID_NODEV,
		  "mode=0755,size=1m,nr_inodes=1k") < 0 ||
	    chdir(JAIL_SHM) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
	    mkdir("/dev", 0755) < 0 || mkdir(JAIL_SHM, 0755) < 0 ||
	    mkdir("/proc", 0755) < 0)
		return -errno;
	return 0;
}

static int furnish(const struct start *start, struct shown *shown,
		   const char **step)
{
	int err = shown_put(shown, start, step);

	if (err)
		return err;
	*step = "furnish";
	err = write_file(JAIL_DIR "/config", start->config, start->config_len);
	if (!err && start->files)
		err = write_file(JAIL_DIR "/files", start->files,
				 start->files_len);
	return err;
}

int jail_enter(const struct start *start, const char **step)
{
	struct shown shown;
	int err;

	*step = "namespaces";
	err = unshare_all(start->share_net);
	if (err)
		return err;
	*step = "private";
	if (mount(NULL, "/", NULL, MOUNT_PRIVATE_RECURSIVE, NULL) < 0)
		return -errno;
	err = shown_take(&shown, start, step);
	if (err)
		return err;
	if (start->closed) {
		*step = "root";
		err = leave_host();
	} else {
		*step = "read_only";
		err = make_read_only(AT_RECURSIVE);
	}
	if (err)
		return err;
	*step = "tmpfs";
	err = mount_shm(start->room_bytes);
	if (!err)
		err = furnish(start, &shown, step);
	if (!err && start->closed) {
		*step = "read_only";
		err = make_read_only(0);
	}
	return err;
}

int jail_mount_proc(void)
{
	if (mount("proc", "/proc", "proc", MOUNT_PROC, NULL) < 0)
		return -errno;
	return 0;
}

int jail_drop_privileges(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	/* Beyond the last capability of this kernel: EINVAL, and no more. */
	for (unsigned long cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap) < 0 && errno == EINVAL)
			break;
	if (syscall(SYS_capset, &header, none) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}
