/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evum_init - process 1 of a guest.
 *
 *   main.c     the order of things: root, network, console, then reap; the end
 *   config.c   what evum_guest left for us in the jail's folder
 *   root.c     the guest's root: an overlay over its image or the host's
 *              files, and mounts
 *   files.c    files of the host's that go into the root
 *   program.c  can the console's program run here?
 *   netdev.c   loopback up, names and addresses of the interfaces
 *   services.c what starts with an image of ours
 *   console.c  the program on the console: session, environment
 *   agent*.c   the agent, a child of process 1, see agent.h
 *
 * A step that cannot be done ends the machine: init_fail() tells the console
 * and, through mconsole, evum.
 */
#ifndef EVUM_INIT_H
#define EVUM_INIT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The jail's folder as the UML process sees it, see c_src/guest/jail.h. */
#define INIT_JAIL "/dev/shm/evum"
#define INIT_CONFIG_MAX (64u << 10)
#define INIT_ARGS_MAX 64
#define INIT_SHARES_MAX 16
#define INIT_INTERFACES_MAX 16
/* Where busybox's applets are, behind everything else in PATH. */
#define INIT_APPLETS "/run/evum/bin"

#define INIT_CONSOLE "/dev/tty0"
#define INIT_ENVIRONMENT_MAX 16
/* No process of evum_init's has a descriptor beyond that. */
#define INIT_FDS_MAX 256
/* A folder of the host, the jail's folder shareN. */
struct share {
	const char *target; /* in the guest */
	bool writable;
};

struct interface {
	/* A name, or its virtio card's platform device, "virtio-uml.N" */
	const char *born;
	const char *name; /* what it is to be called, at most IFNAMSIZ */
	uint8_t mac[6];
};

struct config {
	char root[PATH_MAX];	/* on the host, "" with an image */
	char applets[PATH_MAX]; /* on the host, "" when there are none */
	char modules[PATH_MAX]; /* on the host, "" when there are none */
	char hostname[65];	/* "" leaves the kernel's own */
	const char *image; /* squashfs or ext4 on /dev/ubda, tiny, or NULL */
	const char *room;  /* bytes of the overlay's tmpfs; NULL: half */
	bool disk;	   /* the overlay's upper layer is on /dev/ubdb */
	bool files;	   /* there is a file `files` */
	struct share shares[INIT_SHARES_MAX];
	int n_shares;
	struct interface interfaces[INIT_INTERFACES_MAX];
	int n_interfaces;
	bool agent; /* the machine has a channel for it */
	int argc;
	char *argv[INIT_ARGS_MAX + 1]; /* the console's program */
	char *instead;		       /* of argv[0] where that is not there */
	char text[INIT_CONFIG_MAX];    /* what the pointers above point into */
};

/* Split len bytes at config->text. 0, or -EINVAL for what is no config. */
int config_parse(struct config *config, size_t len);
void config_load(struct config *config);

void root_mount_early(void);
void root_enter(const struct config *config);
/* All folders above a path; the path is as before when this returns. */
void make_parents(char *path);

struct file {
	const char *path;
	const unsigned char *bytes;
	size_t size;
	unsigned int mode;
};
/*
 * The first file of n bytes at data. How many bytes it takes; 0 when there are
 * none, -EINVAL for what is no file.
 */
long file_parse(struct file *file, const unsigned char *data, size_t n);
void files_install(const struct config *config);

/* Say at once, and by name, why it could not run. */
void program_check(struct config *config);
/* The machine that an ELF file's first n bytes name; NULL: this one. */
const char *program_foreign(const unsigned char *head, size_t n);

void netdev_setup(const struct config *config);

/*
 * Start the console's program; its process id, or -1 when there is no room for
 * a process now: that is no reason for a machine to end.
 */
pid_t console_start(const struct config *config);

/* Start what starts with the machine, and go on. */
void services_start(const struct config *config);

/* The agent's process id, or -1. It is started again when it ends. */
pid_t agent_start(void);

/* What the console's program, and each command of the agent's, starts with. */
extern char *const init_environment[];

/* Tell evum, by way of mconsole's notify socket. */
void init_notify(const char *text);
/* Say what failed, errno with it, and power off. */
_Noreturn void init_fail(const char *step, const char *what);

#endif
