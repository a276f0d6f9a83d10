/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's root: an overlay. Its lower layer is read only: the host's
 * files or a folder of them through hostfs, an image on the first disk, or the
 * folder tiny of our initramfs. The upper one is a tmpfs in the guest's own
 * memory, whose content is gone after a reboot, or the second disk. (That
 * none of the host's files can be written by a guest that mounts hostfs again
 * is the jail's doing, see guest/jail.c.)
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
#define OVERLAY_MODULE "kernel/fs/overlayfs/overlay.ko"
#define SQUASHFS_MODULE "kernel/fs/squashfs/squashfs.ko"
#define IMAGE_DEVICE "/dev/ubda"
#define DISK_DEVICE "/dev/ubdb"
#define TINY_ROOT "/tiny"

static void must_mount(const char *source, const char *target, const char *type,
		       unsigned long flags, const char *data)
{
	/* The folder may be missing where the root is a folder of the user's */
	mkdir(target, 0755);
	if (mount(source, target, type, flags, data) < 0)
		init_fail(type, target);
}

void make_parents(char *path)
{
	for (char *at = path + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			init_fail("mkdir", path);
		*at = '/';
	}
}

void root_mount_early(void)
{
	must_mount("proc", "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV,
		   NULL);
	must_mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
}

/* Before modprobe is in sight: of modules that depend on no other. */
static void load_module(const struct config *config, const char *module)
{
	char path[PATH_MAX];
	int fd;

	if (!config->modules[0]) {
		errno = ENODEV;
		init_fail("load, the kernel has no modules,", module);
	}
	must_mount("modules", "/modules", "hostfs", MS_RDONLY, config->modules);
	snprintf(path, sizeof(path), "/modules/%s", module);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		init_fail("open", path);
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
		init_fail("load", path);
	close(fd);
	umount("/modules");
}

/* The kernel may have the filesystem, or a module of it. */
static void mount_with_module(const struct config *config, const char *source,
			      const char *target, const char *type,
			      unsigned long flags, const char *data,
			      const char *module)
{
	mkdir(target, 0755);
	if (mount(source, target, type, flags, data) == 0)
		return;
	if (errno != ENODEV)
		init_fail(type, source);
	load_module(config, module);
	if (mount(source, target, type, flags, data) < 0)
		init_fail(type, source);
}

/* The lower layer's folder. */
static const char *mount_lower(const struct config *config)
{
	if (config->root[0])
		must_mount("lower", "/lower", "hostfs", MS_RDONLY,
			   config->root);
	else if (!config->image || !strcmp(config->image, "tiny"))
		return TINY_ROOT;
	else if (!strcmp(config->image, "squashfs"))
		mount_with_module(config, IMAGE_DEVICE, "/lower", "squashfs",
				  MS_RDONLY, NULL, SQUASHFS_MODULE);
	else
		/* What was not written back before stays so: read only */
		must_mount(IMAGE_DEVICE, "/lower", "ext4", MS_RDONLY, "noload");
	return "/lower";
}

static void mount_upper(const struct config *config)
{
	char options[64] = "mode=0755";

	if (config->disk) {
		/* A machine that is stopped has no time to write back */
		must_mount(DISK_DEVICE, "/rw", "ext4", 0, "commit=1");
	} else {
		if (config->room)
			snprintf(options, sizeof(options), "mode=0755,size=%s",
				 config->room);
		must_mount("rw", "/rw", "tmpfs", 0, options);
	}
	mkdir("/rw/upper", 0755);
	mkdir("/rw/work", 0755);
}

static void mount_overlay(const struct config *config)
{
	char options[128];

	snprintf(options, sizeof(options),
		 "lowerdir=%s,upperdir=/rw/upper,workdir=/rw/work",
		 mount_lower(config));
	mount_upper(config);
	mount_with_module(config, "overlay", "/new", "overlay", 0, options,
			  OVERLAY_MODULE);
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

/* Confined to the folder by the jail, where nothing else can be written. */
static void mount_shares(const struct config *config)
{
	char folder[sizeof(INIT_JAIL) + 16];
	char target[PATH_MAX];

	for (int i = 0; i < config->n_shares; i++) {
		const struct share *share = &config->shares[i];

		snprintf(target, sizeof(target), "%s", share->target);
		make_parents(target);
		snprintf(folder, sizeof(folder), INIT_JAIL "/share%d", i);
		must_mount("share", target, "hostfs",
			   share->writable ? 0 : MS_RDONLY, folder);
	}
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
	if (!config->image)
		must_mount("root", "/root", "tmpfs", 0, "mode=0700");
	mount_applets(config);
	mount_modules(config);
	files_install(config);
	mount_shares(config);
}
