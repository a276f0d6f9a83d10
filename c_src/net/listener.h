/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener - the sockets at which clients come in, at one path.
 *
 *   PATH       stream, the uml_switch control protocol (port_daemon)
 *   PATH.bess  SEQPACKET, a frame a packet (port_bess)
 *   PATH.vhost stream, vhost-user (port_vhost)
 *   PATH.fd    stream, sockets that are handed over (port_fd)
 *
 * or at an address of its own, for streams with lengths (port_stream).
 *
 * A socket file that nobody listens at any more is replaced; a live one is
 * left alone. On the way out only files that are still the own ones go.
 * Running out of descriptors pauses accepting for a moment, so that a
 * connection that cannot be taken does not keep the loop busy.
 */
#ifndef EVUM_NET_LISTENER_H
#define EVUM_NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "address.h"
#include "loop.h"

#define LISTENER_BESS_SUFFIX ".bess"
#define LISTENER_VHOST_SUFFIX ".vhost"
#define LISTENER_FD_SUFFIX ".fd"
#define LISTENER_SOCKETS 4
/* Wait before accepting again without descriptors, milliseconds. */
#define LISTENER_RETRY_MS 100
/* Connections taken in one turn of the loop. */
#define LISTENER_BURST 16

struct net;

struct listen_socket {
	struct listener *listener;
	/* Takes the connection over, whatever becomes of it. */
	void (*accepted)(struct net *net, int fd);
	int fd;
	struct address address;
	dev_t dev; /* of the file, to know it again */
	ino_t ino;
	struct loop_fd io; /* io.fd is -1 while paused */
};

struct listener {
	struct net *net;
	uint32_t id;
	bool own_dir; /* the folder goes with the sockets */
	unsigned int n_sockets;
	struct listen_socket sockets[LISTENER_SOCKETS];
	struct loop_timer retry;
	struct loop_garbage garbage;
	LIST_ENTRY(listener) link;
};
LIST_HEAD(listener_list, listener);

/*
 * Listen at path. 0 and its id, or -errno and in *step what failed: path
 * (-ENAMETOOLONG), bind (-EADDRINUSE where somebody listens there already) or
 * listen.
 */
int listener_open(struct net *net, const char *path, bool own_dir, uint32_t *id,
		  const char **step);
/* The same for streams, or trunks, at one address. */
int listener_open_stream(struct net *net, const struct address *address,
			 bool trunk, struct listener **opened,
			 const char **step);
/* Close and unlink; connections stay. */
void listener_close(struct listener *listener);
struct listener *listener_by_id(struct net *net, uint32_t id);
/* Accept again, after the BEAM was congested. */
void listener_resume(struct listener *listener);

#endif
