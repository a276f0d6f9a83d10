/* SPDX-License-Identifier: Apache-2.0 */
#include "port_vhost.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net.h"
#include "vhost.h"
#include "vnet.h"

#define BIT(n) (UINT64_C(1) << (n))

#define RX 0 /* the guest receives */
#define TX 1
#define QUEUES 2

/* Of VIRTIO_F_VERSION_1: always with num_buffers. */
#define HEADER sizeof(struct virtio_net_hdr_mrg_rxbuf)

/*
 * Segments that one guest may send before others have their turn. Frames count
 * as what they may have to be cut into.
 */
#define TURN_SEGMENTS 512

/*
 * A driver wants to be woken once its frame has gone, to free it. For a short
 * frame alone there is no haste: it is freed as well when the answer wakes the
 * driver, or with the next frame. So one such call waits for so long, ms.
 */
#define CALL_LATER_MS 1

/*
 * What the card says of its link. Drivers that bond links by LACP take no part
 * where that is unknown (ad_update_actor_keys() of drivers/net/bonding). Any
 * figure would do; this is veth's, which such set-ups know.
 */
#define LINK_MBIT 10000
#define LINK_FULL_DUPLEX 1
_Static_assert(sizeof(struct virtio_net_config) <= VHOST_CONFIG_MAX,
	       "no room for a card's configuration");

/* Pieces of a burst; what is left must be enough for any chain. */
#define PIECES (BURST_FRAMES * 24 + VIRTQ_CHAIN_MAX)

/* What is on its way from a guest at the moment: all ports share it. */
struct vhost_burst {
	struct frame frames[BURST_FRAMES];
	unsigned int position[BURST_FRAMES]; /* of the frame's chain */
	uint16_t chains[BURST_FRAMES];	     /* their heads */
	unsigned int n_frames, n_chains, segments;
	uint8_t heads[BURST_FRAMES][FRAME_HEAD];
	struct iovec pieces[PIECES];
};

/* Of a guest, for one frame. */
struct vhost_buffers {
	uint16_t chains[VIRTQ_NUM_MAX];
	uint32_t lens[VIRTQ_NUM_MAX];
	struct iovec pieces[PIECES];
};

struct vhost_scratch {
	struct vhost_burst burst;
	struct vhost_buffers buffers;
};

struct vhost_port {
	struct net_port port; /* up from when both queues run */
	struct net *net;
	struct vhost_dev dev;
	struct vhost_queue queues[QUEUES];
	bool held; /* paused: TX is looked at again once input is wanted */
	bool room; /* netport wants to be told of room in RX */
	bool owed; /* a call for TX, by the time that `later' expires */
	struct loop_timer limit, later;
	struct loop_garbage garbage;
};

static struct vhost_port *port_of(struct vhost_dev *dev)
{
	return container_of(dev, struct vhost_port, dev);
}

/* Until now its frames were on their way to others. */
static void vhost_free(struct loop_garbage *garbage)
{
	struct vhost_port *vhost =
		container_of(garbage, struct vhost_port, garbage);

	vhost_unmap(&vhost->dev);
	free(vhost);
}

/* Without a port: the connection is all there is to close. */
static void vhost_drop(struct vhost_port *vhost)
{
	loop_timer_cancel(&vhost->net->loop, &vhost->limit);
	loop_timer_cancel(&vhost->net->loop, &vhost->later);
	vhost_close(&vhost->dev);
	vhost->net->connections--;
	loop_defer(&vhost->net->loop, &vhost->garbage, vhost_free);
}

static void vhost_port_close(struct net_port *port)
{
	vhost_drop(container_of(port, struct vhost_port, port));
}

/* --- From the guest --------------------------------------------------- */

/* Take n bytes off the front of the pieces; false where there are fewer. */
static bool take(struct iovec **pieces, unsigned int *n_pieces, void *to,
		 size_t n)
{
	uint8_t *at = to;

	while (n) {
		struct iovec *first = *pieces;
		size_t len;

		if (!*n_pieces)
			return false;
		len = first->iov_len < n ? first->iov_len : n;
		memcpy(at, first->iov_base, len);
		at += len;
		n -= len;
		first->iov_base = (uint8_t *)first->iov_base + len;
		first->iov_len -= len;
		if (!first->iov_len) {
			(*pieces)++;
			(*n_pieces)--;
		}
	}
	return true;
}

/* The frame in a chain; its head is copied to where it cannot change. */
static bool frame_of(struct virtq_chain *chain, uint8_t *head,
		     struct frame *frame)
{
	struct virtio_net_hdr_mrg_rxbuf header;
	struct iovec *pieces = chain->out;
	unsigned int n = chain->n_out;
	uint32_t head_len;

	if (!take(&pieces, &n, &header, HEADER))
		return false;
	*frame = (struct frame){
		.bytes = head,
		.len = chain->out_len - (uint32_t)HEADER,
		.offload = vnet_offload(&header.hdr),
	};
	head_len = frame->len < FRAME_HEAD ? frame->len : FRAME_HEAD;
	if (!take(&pieces, &n, head, head_len))
		return false;
	frame->rest = pieces;
	frame->n_rest = n;
	frame->rest_len = frame->len - head_len;
	return true;
}

/*
 * Collect a burst of frames. How many chains were taken, or -EPROTO where the
 * guest broke a rule of the ring.
 */
static int collect(struct vhost_port *vhost, struct vhost_burst *burst)
{
	struct virtq *ring = &vhost->queues[TX].ring;
	struct iovec *pieces = burst->pieces;
	struct virtq_chain chain;
	int more = 0;

	burst->n_frames = burst->n_chains = burst->segments = 0;
	while (burst->n_chains < BURST_FRAMES &&
	       burst->segments < TURN_SEGMENTS &&
	       pieces <= burst->pieces + PIECES - VIRTQ_CHAIN_MAX &&
	       (more = virtq_next(ring, &chain, pieces)) > 0) {
		struct frame *frame = &burst->frames[burst->n_frames];

		pieces += chain.n_out;
		burst->chains[burst->n_chains] = chain.head;
		if (!frame_of(&chain, burst->heads[burst->n_frames], frame))
			return -EPROTO;
		if (offload_check(frame)) {
			vhost->port.counters[NETPORT_RX_BAD]++;
			burst->segments++; /* or they have no end */
		} else {
			burst->position[burst->n_frames++] = burst->n_chains;
			burst->segments += offload_segments(frame);
		}
		burst->n_chains++;
	}
	return more < 0 ? -EPROTO : (int)burst->n_chains;
}

static void call_owed(struct loop_timer *timer)
{
	struct vhost_port *vhost =
		container_of(timer, struct vhost_port, later);

	vhost->owed = false;
	vhost_call(&vhost->queues[TX]);
}

/* Show the guest what of TX is done; false where the device has ended. */
static bool give_back(struct vhost_port *vhost, bool no_haste)
{
	struct vhost_queue *queue = &vhost->queues[TX];
	struct loop *loop = &vhost->net->loop;
	bool wanted;

	if (!vhost_show(queue, &wanted))
		return false;
	if (!wanted)
		return true;
	if (no_haste && !vhost->owed) {
		vhost->owed = true;
		loop_timer_set(loop, &vhost->later, CALL_LATER_MS, call_owed);
		return true;
	}
	vhost->owed = false;
	loop_timer_cancel(loop, &vhost->later);
	vhost_call(queue);
	return true;
}

/*
 * Switch a burst; give its chains back. False when that is all for now: the
 * port has gone down, or is paused.
 */
static bool switch_burst(struct vhost_port *vhost, struct vhost_burst *burst)
{
	struct vhost_queue *queue = &vhost->queues[TX];
	unsigned int taken =
		netport_input(&vhost->port, burst->frames, burst->n_frames);
	unsigned int done = burst->n_chains;

	if (!vhost->port.id)
		return false;
	if (taken < burst->n_frames) {
		done = burst->position[taken];
		vhost->held = true;
	}
	virtq_rewind(&queue->ring, (uint16_t)(burst->n_chains - done));
	for (unsigned int i = 0; i < done; i++)
		virtq_put(&queue->ring, burst->chains[i], 0);
	return give_back(vhost, done == 1 && burst->n_frames &&
					burst->frames[0].len <= FRAME_HEAD) &&
	       done == burst->n_chains;
}

static void tx_kicked(struct vhost_port *vhost)
{
	struct vhost_queue *queue = &vhost->queues[TX];
	struct vhost_burst *burst = &vhost->net->vhost->burst;
	unsigned int segments = 0;
	int n;

	if (!vhost->port.id)
		return;
	virtq_kicks_off(&queue->ring);
	if (vhost->port.paused) {
		vhost->held = true;
		return;
	}
	do {
		n = collect(vhost, burst);
		if (n < 0) {
			vhost_fail(&vhost->dev, -EPROTO,
				   "a chain that is no frame");
			return;
		}
		if (n == 0) {
			if (virtq_kicks_on(&queue->ring))
				vhost_again(queue);
			return;
		}
		if (!switch_burst(vhost, burst))
			return;
		segments += burst->segments;
	} while (segments < TURN_SEGMENTS);
	vhost_again(queue);
}

/* --- To the guest ----------------------------------------------------- */

/* Where a frame goes on in the guest's buffers. */
struct scatter {
	const struct iovec *piece;
	size_t used; /* bytes of that piece */
};

static void scatter(struct scatter *to, const void *from, size_t n)
{
	const uint8_t *at = from;

	while (n) {
		size_t room = to->piece->iov_len - to->used;
		size_t len = room < n ? room : n;

		memcpy((uint8_t *)to->piece->iov_base + to->used, at, len);
		at += len;
		n -= len;
		to->used += len;
		if (to->used == to->piece->iov_len) {
			to->piece++;
			to->used = 0;
		}
	}
}

/*
 * Take buffers for need bytes. How many; 0, and none taken, where there are
 * too few; -EMSGSIZE where there never will be enough; -EPROTO.
 */
static int take_buffers(struct vhost_port *vhost, struct vhost_buffers *buffers,
			uint32_t need)
{
	bool merge = vhost_has_feature(&vhost->dev, VIRTIO_NET_F_MRG_RXBUF);
	struct virtq *ring = &vhost->queues[RX].ring;
	struct iovec *pieces = buffers->pieces;
	struct iovec *last = pieces + PIECES - VIRTQ_CHAIN_MAX;
	struct virtq_chain chain;
	unsigned int n = 0;
	uint32_t room = 0;
	int more = 1;

	while (room < need && pieces <= last && (merge || !n) &&
	       (more = virtq_next(ring, &chain, pieces)) > 0) {
		/* Frames are read by the guest, and their header is whole. */
		if (chain.n_out || (!n && chain.in_len < HEADER))
			return -EPROTO;
		pieces += chain.n_in;
		buffers->chains[n] = chain.head;
		buffers->lens[n++] = chain.in_len;
		room += chain.in_len;
	}
	if (room >= need)
		return (int)n;
	if (more < 0)
		return -EPROTO;
	virtq_rewind(ring, (uint16_t)n);
	/* All of what it has is not enough, or is cut up too much. */
	return more > 0 || n == ring->num ? -EMSGSIZE : 0;
}

/* 1, or what take_buffers() says. */
static int put_frame(struct vhost_port *vhost, struct vhost_buffers *buffers,
		     const struct frame *frame)
{
	uint32_t left = (uint32_t)HEADER + frame->len;
	struct scatter to = {.piece = buffers->pieces};
	int n = take_buffers(vhost, buffers, left);
	struct virtio_net_hdr_mrg_rxbuf header;

	if (n <= 0)
		return n;
	header = (struct virtio_net_hdr_mrg_rxbuf){
		.hdr = vnet_header(&frame->offload),
		.num_buffers = (uint16_t)n,
	};
	scatter(&to, &header, HEADER);
	scatter(&to, frame->bytes, frame_head(frame));
	for (unsigned int i = 0; i < frame->n_rest; i++)
		scatter(&to, frame->rest[i].iov_base, frame->rest[i].iov_len);
	for (int i = 0; i < n; i++) {
		uint32_t len =
			left < buffers->lens[i] ? left : buffers->lens[i];

		virtq_put(&vhost->queues[RX].ring, buffers->chains[i], len);
		left -= len;
	}
	return 1;
}

static int vhost_send(struct net_port *port, const struct frame *frames,
		      unsigned int n)
{
	struct vhost_port *vhost = container_of(port, struct vhost_port, port);
	struct vhost_queue *queue = &vhost->queues[RX];
	unsigned int done = 0;
	int err = 1;

	/* The driver has taken its queues away, for now. */
	if (!virtq_running(&queue->ring))
		return -ENOBUFS;
	while (done < n && err > 0) {
		err = put_frame(vhost, &vhost->net->vhost->buffers,
				&frames[done]);
		done += err > 0;
	}
	if (err == -EPROTO) {
		vhost_fail(&vhost->dev, err, "a buffer that is none");
		return (int)n; /* the port is down, and they are gone */
	}
	/* Memory that has vanished looks like a guest without buffers. */
	if (!vhost_notify(queue))
		return (int)n;
	if (!done)
		return err ? err : -EAGAIN;
	return (int)done;
}

/* There are new buffers: netport says through watch() if that was not enough */
static void rx_kicked(struct vhost_port *vhost)
{
	if (!vhost->port.id || !vhost->room)
		return;
	vhost->room = false;
	virtq_kicks_off(&vhost->queues[RX].ring);
	netport_writable(&vhost->port);
}

static int vhost_watch(struct net_port *port, bool input, bool room)
{
	struct vhost_port *vhost = container_of(port, struct vhost_port, port);
	struct vhost_queue *rx = &vhost->queues[RX];

	if (input && vhost->held) {
		vhost->held = false;
		vhost_again(&vhost->queues[TX]);
	}
	if (room && !vhost->room && virtq_running(&rx->ring) &&
	    virtq_kicks_on(&rx->ring))
		vhost_again(rx);
	vhost->room = room;
	return 0;
}

static const struct port_kind_ops vhost_port_ops = {
	.kind = "vhost",
	.send = vhost_send,
	.watch = vhost_watch,
	.close = vhost_port_close,
};

/* --- The device ------------------------------------------------------- */

static unsigned int what_it_takes(const struct vhost_dev *dev)
{
	unsigned int takes = NETPORT_TAKES_PIECES;

	if (vhost_has_feature(dev, VIRTIO_NET_F_GUEST_CSUM))
		takes |= NETPORT_TAKES_CSUM;
	if (vhost_has_feature(dev, VIRTIO_NET_F_GUEST_TSO4))
		takes |= NETPORT_TAKES_TCP4;
	if (vhost_has_feature(dev, VIRTIO_NET_F_GUEST_TSO6))
		takes |= NETPORT_TAKES_TCP6;
	return takes;
}

static void vhost_started(struct vhost_queue *queue)
{
	struct vhost_port *vhost = port_of(queue->dev);

	if (queue->index == RX) {
		vhost->room = false;
		virtq_kicks_off(&queue->ring);
	}
	if (!virtq_running(&vhost->queues[RX].ring) ||
	    !virtq_running(&vhost->queues[TX].ring))
		return;
	vhost->port.takes = what_it_takes(&vhost->dev);
	if (vhost->port.id)
		return;
	loop_timer_cancel(&vhost->net->loop, &vhost->limit);
	if (netport_up(&vhost->port, vhost->dev.fd))
		vhost_fail(&vhost->dev, -ENOMEM, "no memory");
}

/* Nothing is held of a ring beyond a burst. */
static void vhost_stopped(struct vhost_queue *queue)
{
	(void)queue;
}

static void vhost_kicked(struct vhost_queue *queue)
{
	if (queue->index == RX)
		rx_kicked(port_of(queue->dev));
	else
		tx_kicked(port_of(queue->dev));
}

static void vhost_ended(struct vhost_dev *dev, int err, const char *what)
{
	struct vhost_port *vhost = port_of(dev);

	if (err) {
		net_count(vhost->net, NET_BROKEN_VHOST);
		log_limited(&vhost->net->peer_log, "vhost port %u closed: %s",
			    vhost->port.id, what);
	}
	if (vhost->port.id)
		netport_down(&vhost->port, !err		    ? "closed"
					   : err == -EFAULT ? "memory"
							    : "protocol");
	else
		vhost_drop(vhost);
}

static const struct vhost_ops vhost_net_ops = {
	.features = VHOST_RING_FEATURES | BIT(VIRTIO_NET_F_CSUM) |
		    BIT(VIRTIO_NET_F_GUEST_CSUM) |
		    BIT(VIRTIO_NET_F_GUEST_TSO4) |
		    BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_HOST_TSO4) |
		    BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
		    BIT(VIRTIO_NET_F_SPEED_DUPLEX),
	.n_queues = QUEUES,
	.started = vhost_started,
	.stopped = vhost_stopped,
	.kicked = vhost_kicked,
	.ended = vhost_ended,
};

static void vhost_late(struct loop_timer *timer)
{
	struct vhost_port *vhost =
		container_of(timer, struct vhost_port, limit);

	net_count(vhost->net, NET_TIMEOUT);
	vhost_drop(vhost);
}

static void describe(struct vhost_dev *dev)
{
	const struct virtio_net_config config = {.speed = LINK_MBIT,
						 .duplex = LINK_FULL_DUPLEX};

	memcpy(dev->config, &config, sizeof(config));
	dev->config_len = sizeof(config);
}

void vhost_accepted(struct net *net, int fd)
{
	struct vhost_port *vhost = calloc(1, sizeof(*vhost));

	if (!net->vhost)
		net->vhost = malloc(sizeof(*net->vhost));
	if (vhost)
		describe(&vhost->dev);
	if (!vhost || !net->vhost ||
	    vhost_open(&vhost->dev, &net->loop, &vhost_net_ops, vhost->queues,
		       fd)) {
		net_count(net, NET_REFUSED_DESCRIPTORS);
		free(vhost);
		close(fd);
		return;
	}
	vhost->net = net;
	netport_init(&vhost->port, net, &vhost_port_ops, -1);
	net->connections++;
	loop_timer_set(&net->loop, &vhost->limit, VHOST_START_MS, vhost_late);
}
