/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper - the guest's processes on the host, and how they end.
 *
 *     BEAM --- evum_guest --- keeper --- UML kernel --- its stubs
 *                            (process 1 of the jail's PID namespace)
 *
 * The keeper is killed when evum_guest dies (PR_SET_PDEATHSIG) and ends when
 * the UML kernel does; the host's kernel then kills all that is left in the
 * PID namespace, and lets evum_guest reap the keeper only when all are gone.
 */
#ifndef EVUM_KEEPER_H
#define EVUM_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "handover.h"
#include "start.h"

struct keeper {
	pid_t pid;	/* of the keeper itself, 0 when there is none */
	pid_t kernel;	/* of the UML kernel, in this process's namespace */
	int status_fd;	/* readable when the UML kernel has ended */
	int console_fd; /* the host's end of its console */
};

/*
 * Fork the keeper, and through it the guest, which takes its ends of what is
 * to be handed over along. 0, or -errno with *step saying what could not be
 * done (and nothing left running).
 */
int keeper_start(struct keeper *keeper, const struct start *start,
		 const struct handover *handover, const char **step);

/*
 * Kill what still runs and wait until it is gone. True, with the UML kernel's
 * wait status, where it had ended by itself.
 */
bool keeper_end(struct keeper *keeper, int *wait_status);

#endif
