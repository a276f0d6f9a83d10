/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial - the machine's serial device: a virtio console over vhost-user with
 * one port, which is the channel between the agent in the guest and the BEAM.
 *
 *   evum_vm == second channel == serial -- virtqueues -- /dev/vport0p0 -- agent
 *
 * Bytes are carried, not looked at. Towards the BEAM they cost credit of the
 * second channel; without any the guest's buffers are left where they are, and
 * its writers wait. Towards the guest they wait here, bounded, for its
 * buffers; and only while somebody has the port open, as the guest throws away
 * what comes at other times (virtio 1.2, 5.3.6).
 *
 * Linux hands out 256 pages for each queue towards it and has written to all
 * of them: 2 MB for a machine that nobody talks to. Pages that are ours to
 * write into need no content, so they are given back to the host while the
 * channel is idle (a hole in the file that the guest's memory is).
 *
 * The port is no console: a console port's driver spins with a lock held until
 * the host has taken each of its buffers (put_chars() of virtio_console.c), so
 * that a reader who pauses would stop the machine.
 */
#ifndef EVUM_SERIAL_H
#define EVUM_SERIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "loop.h"
#include "port.h"
#include "vhost.h"

/*
 * Bytes that wait for the guest. evum_agent keeps to the agent's windows, which
 * sum up to less.
 */
#define SERIAL_INPUT_MAX (32u << 20)
/* Control messages that wait for it. */
#define SERIAL_CONTROL_MAX 4096
/* The channel is idle when nothing went to the guest for so long, ms. */
#define SERIAL_IDLE_MS 500
/* One buffer of the guest's, bytes; Linux makes them of 32 KB at most. */
#define SERIAL_CHAIN_MAX (1u << 20)

enum serial_queue { QUEUE_IN, QUEUE_OUT, QUEUE_CONTROL_IN, QUEUE_CONTROL_OUT };
#define SERIAL_QUEUES 4

enum serial_state {
	SERIAL_OPENED, /* a program in the guest has the port open */
	SERIAL_CLOSED, /* no longer */
	SERIAL_GONE,   /* the guest's kernel has left, or reboots */
	SERIAL_BROKEN, /* it broke the device's rules */
};

struct serial;

struct serial_ops {
	void (*changed)(struct serial *serial, enum serial_state state);
};

struct serial {
	struct loop *loop;
	struct port *port;
	const struct serial_ops *ops;
	struct loop_fd listener;
	struct vhost_dev dev;
	struct vhost_queue queues[SERIAL_QUEUES];
	struct loop_timer idle;
	bool opened;
	struct buf input, control;
	uint64_t input_dropped; /* bytes */
};

/* Listen in the jail's folder. 0 or -errno. */
int serial_init(struct serial *serial, struct loop *loop, struct port *port,
		const struct serial_ops *ops);
void serial_input(struct serial *serial, const uint8_t *bytes, size_t len);
/* Credit has come: go on. */
void serial_resume(struct serial *serial);

#endif
