/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net - the one context of evum_net, and what its parts ask of one another.
 *
 *   clients -- listener --> port_daemon, port_bess, ... (kinds of netport)
 *                              |  ^
 *                netport_input |  | netport_send
 *                              v  |
 *                            forward ---------- what is decided already
 *                              |  ^
 *                 net_frame_up |  | net_frames_down
 *                              v  |
 *                             BEAM (lib/port)
 *
 * Frames of all ports are gathered into one batch, which goes up when it is
 * full and at the end of each turn of the loop. Every event goes up behind the
 * frames that came before it. Credit counts what the BEAM has not yet
 * processed: without it ports whose frames have to go up are not read, and
 * peers wait in their own sockets. While the BEAM's pipe is congested nobody is
 * accepted either, for each connection makes events.
 */
#ifndef EVUM_NET_NET_H
#define EVUM_NET_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "burst.h"
#include "capture.h"
#include "complete.h"
#include "forward.h"
#include "frame.h"
#include "guard.h"
#include "listener.h"
#include "log.h"
#include "loop.h"
#include "netport.h"
#include "port.h"
#include "term.h"

/* Connections, with or without a port; more are refused and counted. */
#define NET_CONNECTIONS_MAX 4096
/* How long the loop may look for events before it sleeps, microseconds. */
#define NET_POLL_MAX_US 100
/* Twice the connections: ids count up, so chains hardly ever form. */
#define NET_ID_BUCKETS 8192
/* Frames that go up in one message, bytes. */
#define NET_BATCH_MAX (256u << 10)

/* Counters of the switch: connections by what became of them. */
enum net_counter {
	NET_ACCEPTED,
	NET_REFUSED_LIMIT,	 /* NET_CONNECTIONS_MAX */
	NET_REFUSED_DESCRIPTORS, /* no descriptor or memory left */
	NET_BAD_MAGIC,
	NET_BAD_VERSION,
	NET_BAD_TYPE,
	NET_BAD_ADDRESS, /* of another family, or nobody is bound to it */
	NET_SHORT_REQUEST,
	NET_SURPLUS_BYTES,
	NET_TIMEOUT,
	NET_BAD_DESCRIPTOR, /* handed over, but no packet socket */
	NET_FRAMES_UP,	    /* that the BEAM had to decide on */
	NET_COPIES_MISSED,  /* by observers, while the BEAM was busy */
	NET_BROKEN_VHOST,   /* broke a rule, or took its memory away */
	NET_COUNTERS
};
extern const char *const net_counter_names[NET_COUNTERS];

LIST_HEAD(net_port_list, net_port);
TAILQ_HEAD(net_port_queue, net_port);

struct net {
	struct loop loop;
	struct port beam;
	struct burst burst;
	struct complete *complete;
	struct vlan_forms *forms;    /* of the frame at hand */
	struct vhost_scratch *vhost; /* of port_vhost; NULL before the first */

	uint8_t *batch; /* NET_BATCH_MAX bytes, towards the BEAM */
	size_t batch_len;
	struct loop_garbage turn_end; /* queued while there is what to flush */

	uint32_t last_port_id, last_listener_id, last_capture_id;
	struct net_port_list by_id[NET_ID_BUCKETS];
	struct net_port_list dirty_ports;
	struct net_port_queue paused_ports;
	struct forward forward;
	struct listener_list listeners;
	struct capture_list captures;
	struct nat *nat;		/* the port that leads out, or NULL */
	struct guard guard;		/* of that port's addresses */
	const struct net_port *guarded; /* that port, or NULL */
	unsigned int connections;
	size_t backlogs;       /* bytes that wait in all ports, either way */
	size_t impaired_bytes; /* under way, IMPAIRED_POOL at most */

	uint64_t counters[NET_COUNTERS];
	struct log_limit peer_log, resource_log;
	char errno_name[TERM_ATOM_MAX];
};

/* Serve the BEAM at in_fd and out_fd with ops. 0 or -errno. */
int net_init(struct net *net, const struct port_ops *ops, int in_fd,
	     int out_fd);
/* Close all: listeners, with their files, and ports. */
void net_close(struct net *net);

static inline void net_count(struct net *net, enum net_counter counter)
{
	net->counters[counter]++;
}

/* Valid until the next call. */
const char *net_errno_name(struct net *net, int err);

/* Is there credit for one more burst? */
bool net_takes_frames(const struct net *net);
/* One that is not complete goes up as the frames that it stands for. */
void net_frame_up(struct net *net, const struct frames_up *up,
		  const struct frame *frame);
/*
 * From now on net->forms has the forms of that frame (vlan.h). What is noted
 * for ports may be sent for that, and so a port go down.
 */
void net_begin_forms(struct net *net, const struct frame *frame, uint16_t tci,
		     bool has_tag);
/* Hand a batch that came down to its ports. 0 or -EBADMSG. */
int net_frames_down(struct net *net, const uint8_t *bytes, size_t len);
/* Send what was noted for ports with netport_send(). */
void net_flush_ports(struct net *net);
/* The same at the end of the loop's turn, if not before. */
void net_flush_later(struct net *net);
/* The BEAM takes more, or has answered: resume what was paused. */
void net_resume(struct net *net);

/* Queue an event or reply behind the frames gathered so far; frees x. */
void net_send_term(struct net *net, ei_x_buff *x);

/* {ok, PortId}, or {error, {Where, Errno}} where err is one. */
void net_put_port(ei_x_buff *x, const char *where, int err, uint32_t id);
/* Answer a request with that. */
void net_answer_port(struct net *net, uint64_t request,
		     const struct net_port *port, int err);

/* For netport: enter the port under a new id, or remove it, with the event. */
void net_port_up(struct net *net, struct net_port *port);
void net_port_down(struct net *net, struct net_port *port, const char *reason);
/* NULL if there is none. */
struct net_port *net_port_by_id(struct net *net, uint32_t id);

#endif
