/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's root: hostfs, read only, under an overlay whose upper layer is
 * a tmpfs in the guest's own memory. Whatever the guest writes stays there
 * and is gone after a reboot. (That the host's files cannot be written by a
 * guest that mounts hostfs again is the jail's doing, see guest/jail.c.)
 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define READAHEAD_KB "32"
#define OVERLAY_MODULE "/modules/kernel/fs/overlayfs/overlay.ko"

static void must_mount(const char *source, const char *target, const char *type,
		       unsigned long flags, const char *data)
{
	/* The folder may be missing where the root is a folder of the user's */
	mkdir(target, 0755);
	if (mount(source, target, type, flags, data) < 0)
		init_fail(type, target);
}

void root_mount_early(void)
{
	must_mount("proc", "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV,
		   NULL);
	must_mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
}

static void load_overlay(const struct config *config)
{
	int fd;

	if (!config->modules[0]) {
		errno = ENODEV;
		init_fail("overlayfs", "the kernel has none, and no modules");
	}
	must_mount("modules", "/modules", "hostfs", MS_RDONLY, config->modules);
	fd = open(OVERLAY_MODULE, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		init_fail("open", OVERLAY_MODULE);
	if (syscall(SYS_finit_module, fd, "", 0) < 0)
		init_fail("load", OVERLAY_MODULE);
	close(fd);
	umount("/modules");
}

static void mount_overlay(const struct config *config)
{
	static const char options[] =
		"lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work";

	must_mount("lower", "/lower", "hostfs", MS_RDONLY, config->root);
	must_mount("rw", "/rw", "tmpfs", 0, "mode=0755");
	mkdir("/rw/upper", 0755);
	mkdir("/rw/work", 0755);
	mkdir("/new", 0755);
	if (mount("overlay", "/new", "overlay", 0, options) == 0)
		return;
	if (errno != ENODEV)
		init_fail("overlay", config->root);
	load_overlay(config);
	must_mount("overlay", "/new", "overlay", 0, options);
}

static void move_mount(const char *from, const char *to)
{
	mkdir(to, 0755);
	if (mount(from, to, NULL, MS_MOVE, NULL) < 0)
		init_fail("move", to);
}

/*
 * Modules of the kernel where modprobe looks for them, and a modprobe where
 * the root has none, so that what the guest asks for is loaded by itself.
 */
static void mount_modules(const struct config *config)
{
	static const char modprobe[] = INIT_APPLETS "/modprobe";
	char folder[PATH_MAX];
	struct utsname name;
	int fd;

	if (!config->modules[0])
		return;
	uname(&name);
	mkdir("/lib", 0755);
	mkdir("/lib/modules", 0755);
	snprintf(folder, sizeof(folder), "/lib/modules/%s", name.release);
	must_mount("modules", folder, "hostfs", MS_RDONLY, config->modules);
	if (access("/sbin/modprobe", X_OK) == 0)
		return;
	fd = open("/proc/sys/kernel/modprobe", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* a kernel without modules */
	if (write(fd, modprobe, sizeof(modprobe) - 1) < 0)
		init_fail("write", "/proc/sys/kernel/modprobe");
	close(fd);
}

/*
 * Read from the host what is asked for and little more: the host has the file
 * in its page cache anyway, and each page read ahead is memory of this machine.
 */
static void limit_readahead(void)
{
	glob_t found;
	int fd;

	if (glob("/sys/class/bdi/hostfs-*/read_ahead_kb", 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		fd = open(found.gl_pathv[i], O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (write(fd, READAHEAD_KB, strlen(READAHEAD_KB)) < 0)
			init_fail("write", found.gl_pathv[i]);
		close(fd);
	}
	globfree(&found);
}

static void mount_applets(const struct config *config)
{
	if (!config->applets[0])
		return;
	mkdir("/run/evum", 0755);
	must_mount("applets", INIT_APPLETS, "hostfs", MS_RDONLY,
		   config->applets);
}

void root_enter(const struct config *config)
{
	mount_overlay(config);
	move_mount("/proc", "/new/proc");
	move_mount("/dev", "/new/dev");
	if (chdir("/new") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 ||
	    chroot(".") < 0 || chdir("/") < 0)
		init_fail("switch to", "/new");
	must_mount("sys", "/sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV,
		   NULL);
	limit_readahead();
	must_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		   "gid=5,mode=0620,ptmxmode=0666");
	must_mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, NULL);
	/* The host's own sockets and locks mean nothing in here. */
	must_mount("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
	/*
	 * root's home: the host's is unreadable where evum is not root, and
	 * nobody's business where it is.
	 */
	must_mount("root", "/root", "tmpfs", 0, "mode=0700");
	mount_applets(config);
	mount_modules(config);
}
