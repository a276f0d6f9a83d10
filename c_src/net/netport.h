/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netport - a port of the switch: one peer whose frames go in and out.
 *
 * What all kinds have in common lives here: the id, the counters, reading in
 * bursts with a pause when the BEAM has had enough, and the backlog. A kind
 * (port_daemon, port_bess) adds how frames are moved and what there is to
 * close, as a const struct of operations, and embeds a struct net_port.
 *
 * A peer that does not read fills its socket's queue (ten datagrams where it
 * is not connected to the port's socket, net.unix.max_dgram_qlen), then its
 * backlog, and then loses frames of its own, counted as tx_dropped. Nobody
 * else waits for it.
 *
 * Life: netport_init(), netport_up() (known to the BEAM from then on),
 * netport_down(), after which the memory lasts until the loop's turn ends.
 */
#ifndef EVUM_NET_NETPORT_H
#define EVUM_NET_NETPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "buf.h"
#include "burst.h"
#include "loop.h"

/*
 * Frames that wait for one peer, bytes, each with a header of 4: what a port
 * may have in any case, and what it may have while the common pool lasts. So
 * a burst to one port finds room, and ports that never read cannot take all.
 */
#define NETPORT_BACKLOG_OWN (64u << 10)
#define NETPORT_BACKLOG_MAX (1u << 20)
#define NETPORT_BACKLOG_POOL (32u << 20)

struct net;
struct net_port;

struct port_kind_ops {
	const char *kind; /* as the BEAM calls it */
	/* Fill the burst: 0 or -errno, -EAGAIN when nothing waits. */
	int (*receive)(struct net_port *port, struct burst *burst);
	/* How many were taken, at least one, or the -errno of the first. */
	int (*send)(struct net_port *port, struct burst *burst,
		    struct iovec *frames, unsigned int n);
	/* Close descriptors and loop_defer() the memory. */
	void (*close)(struct net_port *port);
};

/* rx is from the peer into the switch, tx the other way. */
enum netport_counter {
	NETPORT_RX_FRAMES,
	NETPORT_RX_BYTES,
	NETPORT_RX_RUNTS,  /* shorter than an Ethernet header; not switched */
	NETPORT_RX_GIANTS, /* above 65535 bytes; not switched */
	NETPORT_TX_FRAMES,
	NETPORT_TX_BYTES,
	NETPORT_TX_DROPPED, /* the peer did not read */
	NETPORT_TX_ERRORS,  /* the peer's socket would not have it */
	NETPORT_COUNTERS
};
extern const char *const netport_counter_names[NETPORT_COUNTERS];

struct net_port {
	struct net *net;
	const struct port_kind_ops *ops;
	uint32_t id; /* 0: not up */
	int32_t peer_pid;
	int fd; /* carries the frames; closed by ops->close */
	struct loop_fd io;
	bool paused; /* not read until the BEAM takes frames again */
	unsigned int n_pending;
	struct iovec pending[BURST_FRAMES]; /* of the batch at hand */
	struct buf backlog;
	uint64_t counters[NETPORT_COUNTERS];
	LIST_ENTRY(net_port) id_link, paused_link, dirty_link;
};

void netport_init(struct net_port *port, struct net *net,
		  const struct port_kind_ops *ops, int fd);
/*
 * Give it an id, tell the BEAM, start to read. peer_fd is the socket whose
 * other end is the peer. 0 or -errno; nothing has changed then.
 */
int netport_up(struct net_port *port, int peer_fd);
/* Tell the BEAM, and close. The reason is an atom: closed, or an errno. */
void netport_down(struct net_port *port, const char *reason);

/*
 * Send a frame: it is noted and goes with netport_flush(), so its bytes have
 * to stay where they are until then.
 */
void netport_send(struct net_port *port, const uint8_t *frame, uint32_t len);
void netport_flush(struct net_port *port);
/* Read again, after a pause. */
void netport_resume(struct net_port *port);

#endif
