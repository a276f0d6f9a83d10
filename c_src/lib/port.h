/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port - the BEAM's end of a port program: {packet, 4} framing with credits.
 *
 *      0        4      5
 *      +--------+------+---------------------+
 *      | length | kind | payload             |   length is big-endian and
 *      +--------+------+---------------------+   counts kind and payload
 *
 *   kind 131  a term in the external term format (131 is its version byte,
 *             so kind and payload together are what term_to_binary/1 made)
 *   kind 1    data: raw bytes whose meaning is the program's own
 *   kind 2    credit, BEAM to C only: u32 big-endian, bytes of data the
 *             program may send in addition
 *   kind 3    data of a second channel, in programs that have one
 *   kind 4    credit of the second channel
 *
 * Data costs credit, a byte each; the program stops reading its sources when
 * port_credit() says that none is left. Terms are not counted: they are
 * answers to requests of the BEAM, and events, whose sources a program pauses
 * while port_congested(). doc/port-protocol.md lists the terms.
 *
 * The BEAM is the one peer that is trusted to send well-formed terms (ei's
 * decoders take no length). End of file on stdin means that the BEAM, or the
 * port's owner in it, is gone: the program cleans up and ends.
 */
#ifndef EVUM_PORT_H
#define EVUM_PORT_H

#include <ei.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "loop.h"

#define PORT_KIND_DATA 1
#define PORT_KIND_CREDIT 2
#define PORT_KIND_SECOND 3
#define PORT_KIND_SECOND_CREDIT 4
#define PORT_KIND_TERM 131

/* The largest packet taken from the BEAM, bytes. */
#define PORT_PACKET_MAX (16u << 20)
/* More than this waiting for the BEAM, bytes: port_congested(). */
#define PORT_OUT_HIGH (256u << 10)
/* The BEAM has stopped reading altogether: give up beyond this, bytes. */
#define PORT_OUT_MAX (64u << 20)

struct port;

struct port_ops {
	/* A packet's kind and payload; valid only during the call. */
	void (*term)(struct port *port, const char *term, size_t len);
	void (*data)(struct port *port, const uint8_t *bytes, size_t len);
	/* NULL: there is no second channel */
	void (*second)(struct port *port, const uint8_t *bytes, size_t len);
	/* Credit has come, or the queue towards the BEAM has drained. */
	void (*writable)(struct port *port);
	/* stdin has ended. */
	void (*closed)(struct port *port);
};

struct port {
	struct loop *loop;
	const struct port_ops *ops;
	struct loop_fd in, out;
	struct buf rx, tx;
	bool stalled;	/* was congested: writable() is owed */
	int64_t credit; /* below 0: a debt that later credit pays first */
	int64_t second_credit;
};

/* Serve in_fd and out_fd (made non-blocking). 0 or -errno. */
int port_init(struct port *port, struct loop *loop, const struct port_ops *ops,
	      int in_fd, int out_fd);

/* Credit that came in another way than a packet of its own. */
void port_grant(struct port *port, uint32_t bytes);
/* Bytes of data that may be sent now. */
uint64_t port_credit(const struct port *port);
uint64_t port_second_credit(const struct port *port);
bool port_congested(const struct port *port);

/* Queue data and take its length off the credit. */
void port_send_data(struct port *port, const void *bytes, size_t len);
void port_send_second(struct port *port, const void *bytes, size_t len);
/* Queue the term in x, which must start with a version, and free x. */
void port_send_term(struct port *port, ei_x_buff *x);

/* Write out all that is queued, blocking; for the way out. 0 or -errno. */
int port_flush(struct port *port);
void port_close(struct port *port);

#endif
