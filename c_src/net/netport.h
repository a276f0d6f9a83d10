/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netport - a port of the switch: one peer whose frames go in and out.
 *
 * What all kinds have in common lives here: the id, the counters, the way in,
 * with a pause when the BEAM has had enough, the way out, and the backlog. A
 * kind (port_daemon, port_bess) adds how frames are moved and what there is to
 * close, as a const struct of operations, and embeds a struct net_port.
 *
 *   kind's bytes -> netport_input() -> a decision -> netport_send() -> send()
 *
 * Impairments (impaired.h) are behind the first and before the last.
 *
 * Every frame passes netport_input() once and netport_send() once for each
 * port that gets it, whatever the kinds: what is to see or to hold up all
 * frames of a port belongs into these two.
 *
 * Most kinds have a packet socket, and leave it to netport to wait for it and
 * to read it in bursts (receive). One that moves frames in another way, such
 * as through shared memory, has no receive: it says netport_input() when it
 * has frames, netport_writable() when there is room again, and learns through
 * watch which of the two is wanted.
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

#include "buf.h"
#include "burst.h"
#include "capture.h"
#include "forward.h"
#include "frame.h"
#include "impaired.h"
#include "loop.h"
#include "policy.h"
#include "storm.h"

/*
 * Frames that wait for one peer, bytes, each with a header of 16: what a port
 * may have in any case, and what it may have while the common pool lasts. So
 * a burst to one port finds room, and ports that never read cannot take all.
 */
#define NETPORT_BACKLOG_OWN (64u << 10)
#define NETPORT_BACKLOG_MAX (1u << 20)
#define NETPORT_BACKLOG_POOL (32u << 20)
/*
 * Frames that were read already when the port had to be paused: what a port
 * may have in any case, which is a burst of the usual size.
 */
#define NETPORT_HELD_OWN (128u << 10)
#define NETPORT_HELD_MAX ((size_t)BURST_FRAMES * (FRAME_MAX + 16))

/* What a peer takes beside frames that are complete and in one piece. */
#define NETPORT_TAKES_PIECES 1u
#define NETPORT_TAKES_CSUM 2u
#define NETPORT_TAKES_TCP4 4u
#define NETPORT_TAKES_TCP6 8u
/* TCP by IPv4 above the MTU that has its checksums, in one piece. */
#define NETPORT_TAKES_LARGE4 16u

/* Of the machine behind a port, bytes with the NUL. */
#define NETPORT_NAME_MAX 64

struct net;
struct net_port;

struct port_kind_ops {
	const char *kind; /* as the BEAM calls it */
	/*
	 * Fill the burst: 0 or -errno, -EAGAIN when nothing waits. Where it
	 * says that there are more it is called again, with that still set.
	 */
	int (*receive)(struct net_port *port, struct burst *burst);
	/*
	 * How many were taken, at least one, or the -errno of the first. A
	 * kind that has taken a frame but not sent all of it sets unsent, and
	 * is called again, without frames, when there is room.
	 */
	int (*send)(struct net_port *port, const struct frame *frames,
		    unsigned int n);
	/*
	 * What is wanted of a kind without receive: input, and to be told of
	 * room after a send() that said -EAGAIN. 0 or -errno.
	 */
	int (*watch)(struct net_port *port, bool input, bool room);
	/* Bring counters up to date that the kernel keeps; may be absent. */
	void (*count)(struct net_port *port);
	/* Close descriptors and loop_defer() the memory. */
	void (*close)(struct net_port *port);
};

/* rx is from the peer into the switch, tx the other way. */
enum netport_counter {
	NETPORT_RX_FRAMES,
	NETPORT_RX_BYTES,
	NETPORT_RX_RUNTS,    /* shorter than an Ethernet header; not switched */
	NETPORT_RX_GIANTS,   /* above 65535 bytes; not switched */
	NETPORT_RX_BAD,	     /* an offload that does not fit; not switched */
	NETPORT_RX_FOREIGN,  /* of who is no peer of the port; not switched */
	NETPORT_RX_DROPPED,  /* no room to hold them until they may go on */
	NETPORT_RX_DOWN,     /* came while the port was set down */
	NETPORT_RX_VLAN,     /* of a VLAN that the port is not in */
	NETPORT_RX_ISOLATED, /* was for a port that it is isolated from */
	NETPORT_RX_MTU,	     /* longer than the port's MTU */
	NETPORT_RX_RESERVED, /* to an address that bridges keep for themselves
			      */
	NETPORT_RX_STORM,    /* one more than may be flooded */
	NETPORT_RX_SPOOFED,  /* claimed to be of the nat; not switched */
	NETPORT_TX_FRAMES,
	NETPORT_TX_BYTES,
	NETPORT_TX_DROPPED, /* the peer did not read */
	NETPORT_TX_ERRORS,  /* the peer's socket would not have it */
	NETPORT_TX_DOWN,    /* were for it while it was set down */
	NETPORT_TX_MTU, /* longer than the port's MTU, or too long for a tag */
	NETPORT_TX_MIRRORED, /* copies, for this port, of another's frames */
	NETPORT_TX_SOCKETS,  /* of tx_dropped: would have opened one too many */
	NETPORT_TX_FRAGMENTS, /* of tx_dropped: too many that wait for others */
	NETPORT_COUNTERS
};
extern const char *const netport_counter_names[NETPORT_COUNTERS];

struct net_port {
	struct net *net;
	const struct port_kind_ops *ops;
	uint32_t id; /* 0: not up */
	int32_t peer_pid;
	char name[NETPORT_NAME_MAX]; /* as evum_switch calls it, or empty */
	unsigned int takes; /* NETPORT_TAKES_*, may change while it is up */
	int fd; /* carries the frames, or -1; closed by ops->close */
	struct loop_fd io;
	bool disabled;	       /* set down: no frame goes in or out */
	bool isolated;	       /* from other ports that are */
	struct block *blocked; /* from these, or NULL */
	struct policy *policy; /* NULL: none */
	struct storm storm;
	bool paused;	   /* not read until the BEAM takes or answers frames */
	bool unsent;	   /* ops->send has something left */
	bool ended;	   /* the peer has gone, with frames held */
	bool missed;	   /* its last frame had to go up */
	uint64_t wait_for; /* while paused: forward.answered has to be there */
	uint64_t last_up;  /* forward.sent behind its last frame that went up */
	uint64_t senders[FORWARD_SENDERS]; /* the same, by sender */
	unsigned int n_pending;
	struct frame pending[BURST_FRAMES]; /* of the batch at hand */
	struct buf backlog, held;
	struct impaired impaired[IMPAIRED_DIRECTIONS];
	uint64_t counters[NETPORT_COUNTERS];
	uint64_t impaired_counters[IMPAIRED_DIRECTIONS][IMPAIRED_EVENTS];
	struct capture_tap_list taps;
	LIST_ENTRY(net_port) id_link, dirty_link;
	TAILQ_ENTRY(net_port) paused_link;
};

void netport_init(struct net_port *port, struct net *net,
		  const struct port_kind_ops *ops, int fd);
/*
 * Give it an id, tell the BEAM, start to read. peer_fd is the socket whose
 * other end is the peer, or -1. 0 or -errno; nothing has changed then.
 */
int netport_up(struct net_port *port, int peer_fd);
/* Tell the BEAM, and close. The reason is an atom: closed, or an errno. */
void netport_down(struct net_port *port, const char *reason);

/*
 * Frames have come from the peer; their bytes need to last until this returns.
 * It returns how many were taken: fewer than n when the port is paused, and
 * then the rest is to be offered again once input is wanted. The port may have
 * gone down over it (its id is 0 then).
 */
unsigned int netport_input(struct net_port *port, const struct frame *frames,
			   unsigned int n);
/* The same of frames that have come in, behind what impairs the way. */
unsigned int netport_switch(struct net_port *port, const struct frame *frames,
			    unsigned int n);
/*
 * One of them, whose bytes last until net_flush_ports(), which is the caller's
 * to say. False where the port is paused now.
 */
bool netport_switch_one(struct net_port *port, const struct frame *frame);
/* The peer has room again. */
void netport_writable(struct net_port *port);

/*
 * Send a frame: it is noted and goes with netport_flush(), so its bytes have
 * to stay where they are until then. It is made complete for a peer that does
 * not take it as it is.
 */
void netport_send(struct net_port *port, const struct frame *frame);
/* The same of a frame behind what impairs the way. */
void netport_pass(struct net_port *port, const struct frame *frame);
/* The same with a copy of what another port has got, or has sent. */
void netport_mirror(struct net_port *port, const struct frame *frame);
void netport_flush(struct net_port *port);
/* Go on after a pause, with what is held, and then read again. */
void netport_resume(struct net_port *port);

#endif
