/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail - the namespaces around one guest.
 *
 *   user     where evum is not root: what makes the others possible
 *   mount    a tmpfs of the guest's own on JAIL_SHM, for its memory, its
 *            sockets and what evum_init reads; beside it, in an open jail, all
 *            of the host read only, in a closed one nothing but what the start
 *            request names, a few devices and /proc (shown.h)
 *   PID      whatever runs in here ends with its first process
 *   IPC      nothing shared
 *   network  empty, unless the guest's transport needs abstract addresses
 *
 * The mounts are what keeps the host's files safe: the guest's root may mount
 * hostfs again, writable, and the UML process would write wherever its user
 * may. Only what is shared to be written is a writable mount. They also make
 * clean-up a matter of the host's kernel: all goes with the last process of
 * the namespace, however that one ends.
 */
#ifndef EVUM_JAIL_H
#define EVUM_JAIL_H

#include "start.h"

#define JAIL_SHM "/dev/shm"
#define JAIL_DIR JAIL_SHM "/evum"

/*
 * Move this process into a new jail and furnish it. Its children will be in
 * the new PID namespace, the first of them its init. 0, or -errno with *step
 * saying what could not be done.
 */
int jail_enter(const struct start *start, const char **step);

/*
 * For the first child: a /proc that shows the jail only. Read only as well: a
 * user id of 0 writes to /proc/sys without any capability. 0 or -errno.
 */
int jail_mount_proc(void);

/* Give up all capabilities, for this process and what it executes. */
int jail_drop_privileges(void);

#endif
