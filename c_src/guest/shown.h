/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shown - what of the host's files a jail shows.
 *
 * Each path is taken as a mount of its own while the host's files are still in
 * sight, and put into the jail when that has its shape. One that may not be
 * written is read only from the start, with all that is mounted below it.
 */
#ifndef EVUM_SHOWN_H
#define EVUM_SHOWN_H

#include "start.h"

/* Devices that UML, or the keeper, opens on the host. */
#define SHOWN_DEVICES 5

struct shown {
	int trees[START_PATHS_MAX + SHOWN_DEVICES + 1]; /* -1: none */
	int disk;
};

/*
 * Take all that start asks for as mounts; lock the disk. 0, or -errno with
 * *step, the name of what could not be had: a literal, or start's.
 */
int shown_take(struct shown *shown, const struct start *start,
	       const char **step);
/* Put them into the jail. 0, or -errno with *step as before. */
int shown_put(struct shown *shown, const struct start *start,
	      const char **step);

#endif
