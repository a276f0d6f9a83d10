/* SPDX-License-Identifier: Apache-2.0 */
#include "port_vxlan.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net.h"
#include "offload_guess.h"
#include "vxlan.h"

_Static_assert(BURST_HEADROOM >= VXLAN_HEADER, "no room in front of a frame");
_Static_assert(BURST_FRAMES >= REMOTES_MAX, "no room for a frame's copies");

struct vxlan {
	struct net_port port;
	struct loop_garbage garbage;
	uint32_t vni;
	uint32_t mtu; /* that frames of stations may have, as far as known */
	struct remotes remotes;
	uint32_t drops; /* of the socket, as they were last told */
	uint8_t header[VXLAN_HEADER];
	struct mmsghdr rx[BURST_FRAMES], tx[BURST_FRAMES];
	struct iovec in[BURST_FRAMES], out[BURST_FRAMES][2];
	struct sockaddr_storage from[BURST_FRAMES];
};

static struct vxlan *vxlan_of(struct net_port *port)
{
	return container_of(port, struct vxlan, port);
}

static uint32_t now_ms(const struct vxlan *vxlan)
{
	return (uint32_t)vxlan->port.net->loop.now_ms;
}

/* --- From remotes ----------------------------------------------------- */

/* Is a datagram one of our network? The frame is behind its header. */
static bool vxlan_accepts(struct vxlan *vxlan, unsigned int i,
			  struct frame *frame)
{
	const uint8_t *bytes = vxlan->in[i].iov_base;
	size_t len = vxlan->rx[i].msg_len;
	uint32_t remote = remotes_sender(&vxlan->remotes, &vxlan->from[i]);
	uint32_t vni;

	if (remote == REMOTE_NONE) {
		vxlan->port.counters[NETPORT_RX_FOREIGN]++;
		return false;
	}
	if (vxlan_parse(bytes, len, &vni)) {
		vxlan->port.counters[NETPORT_RX_BAD]++;
		return false;
	}
	if (vni != vxlan->vni) {
		vxlan->port.counters[NETPORT_RX_FOREIGN]++;
		return false;
	}
	*frame = (struct frame){.bytes = bytes + VXLAN_HEADER,
				.len = (uint32_t)(len - VXLAN_HEADER)};
	if (frame->len <= FRAME_MAX)
		offload_guess(frame, vxlan->mtu);
	remotes_learn(&vxlan->remotes, frame, remote, now_ms(vxlan));
	return true;
}

static int vxlan_receive(struct net_port *port, struct burst *burst)
{
	struct vxlan *vxlan = vxlan_of(port);
	int n;

	burst->count = 0;
	burst->ended = burst->more = false;
	for (int i = 0; i < BURST_FRAMES; i++)
		vxlan->rx[i].msg_hdr.msg_namelen = sizeof(*vxlan->from);
	n = recvmmsg(port->fd, vxlan->rx, BURST_FRAMES, MSG_DONTWAIT, NULL);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++)
		burst->count += vxlan_accepts(vxlan, (unsigned int)i,
					      &burst->frames[burst->count]);
	return 0;
}

/* The kernel counts in 32 bits. */
static void vxlan_count(struct net_port *port)
{
	struct vxlan *vxlan = vxlan_of(port);
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(memory);

	if (getsockopt(port->fd, SOL_SOCKET, SO_MEMINFO, memory, &len) ||
	    len < (SK_MEMINFO_DROPS + 1) * sizeof(*memory))
		return;
	port->counters[NETPORT_RX_DROPPED] +=
		memory[SK_MEMINFO_DROPS] - vxlan->drops;
	vxlan->drops = memory[SK_MEMINFO_DROPS];
}

/* --- To remotes ------------------------------------------------------- */

static void put_message(struct vxlan *vxlan, unsigned int i,
			const struct frame *frame, uint32_t remote)
{
	struct address *to = &vxlan->remotes.at[remote];

	vxlan->tx[i].msg_hdr.msg_name = &to->storage;
	vxlan->tx[i].msg_hdr.msg_namelen = to->len;
	/* It is only read; struct iovec knows no const. */
	vxlan->out[i][1] =
		(struct iovec){(void *)(uintptr_t)frame->bytes, frame->len};
}

static int send_messages(struct vxlan *vxlan, unsigned int from,
			 unsigned int to)
{
	int sent = sendmmsg(vxlan->port.fd, vxlan->tx + from, to - from,
			    MSG_DONTWAIT);

	return sent < 0 ? -errno : sent;
}

/*
 * A copy to each of the remotes. What one of them does not get is counted, and
 * the others get theirs. 1, or the -errno of the first where none got it.
 */
static int replicate(struct vxlan *vxlan, const struct frame *frame)
{
	unsigned int done = 0, missed = 0, n = vxlan->remotes.n;
	int first = 0;

	for (unsigned int i = 0; i < n; i++)
		put_message(vxlan, i, frame, i);
	while (done < n) {
		int sent = send_messages(vxlan, done, n);

		if (sent > 0) {
			done += (unsigned int)sent;
			continue;
		}
		first = first ? first : sent;
		done++;
		missed++;
	}
	if (missed == n)
		return first;
	vxlan->port.counters[first == -EAGAIN || first == -ENOBUFS
				     ? NETPORT_TX_DROPPED
				     : NETPORT_TX_ERRORS] += missed;
	return 1;
}

static int vxlan_send(struct net_port *port, const struct frame *frames,
		      unsigned int n)
{
	struct vxlan *vxlan = vxlan_of(port);
	unsigned int ready = 0;

	for (; ready < n; ready++) {
		uint32_t remote = remotes_find(&vxlan->remotes, &frames[ready],
					       now_ms(vxlan));

		if (remote == REMOTE_NONE)
			break;
		put_message(vxlan, ready, &frames[ready], remote);
	}
	return ready ? send_messages(vxlan, 0, ready)
		     : replicate(vxlan, frames);
}

/* --- From the beginning to the end ------------------------------------ */

static void vxlan_release(struct vxlan *vxlan)
{
	remotes_free(&vxlan->remotes);
	free(vxlan);
}

static void vxlan_free(struct loop_garbage *garbage)
{
	vxlan_release(container_of(garbage, struct vxlan, garbage));
}

static void vxlan_close(struct net_port *port)
{
	close(port->fd);
	loop_defer(&port->net->loop, &vxlan_of(port)->garbage, vxlan_free);
}

static const struct port_kind_ops vxlan_ops = {
	.kind = "vxlan",
	.receive = vxlan_receive,
	.send = vxlan_send,
	.count = vxlan_count,
	.close = vxlan_close,
};

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno
									: 0;
}

static void set_buffers(int fd)
{
	/* Beyond the host's limit it takes CAP_NET_ADMIN. */
	if (set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, VXLAN_BUFFER))
		set_option(fd, SOL_SOCKET, SO_RCVBUF, VXLAN_BUFFER);
	if (set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, VXLAN_BUFFER))
		set_option(fd, SOL_SOCKET, SO_SNDBUF, VXLAN_BUFFER);
}

/* A socket of the local address: it, or -errno. */
static int vxlan_socket(const struct address *local)
{
	bool in6 = local->any.sa_family == AF_INET6;
	int fd = socket(local->any.sa_family,
			SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return -errno;
	set_buffers(fd);
	if (in6)
		err = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	else
		err = 0;
	if (!err)
		err = in6 ? set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
				       IPV6_PMTUDISC_DO)
			  : set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER,
				       IP_PMTUDISC_DO);
	if (!err && bind(fd, &local->any, local->len) < 0)
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/*
 * What packets may have on the way to a remote, less what is in front of them:
 * IP, UDP, VXLAN and Ethernet.
 */
static uint32_t inner_mtu(const struct address *local,
			  const struct address *remote)
{
	bool in6 = local->any.sa_family == AF_INET6;
	uint32_t headers = (in6 ? 40u : 20u) + 8 + VXLAN_HEADER + FRAME_MIN;
	int fd = socket(local->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t mtu = 0;
	socklen_t len = sizeof(mtu);

	if (fd < 0 || connect(fd, &remote->any, remote->len) < 0 ||
	    getsockopt(fd, in6 ? IPPROTO_IPV6 : IPPROTO_IP,
		       in6 ? IPV6_MTU : IP_MTU, &mtu, &len) < 0)
		mtu = ETHERMTU;
	if (fd >= 0)
		close(fd);
	return mtu > headers ? mtu - headers : 0;
}

static void set_messages(struct vxlan *vxlan, const struct burst *burst)
{
	for (int i = 0; i < BURST_FRAMES; i++) {
		struct msghdr *rx = &vxlan->rx[i].msg_hdr;
		struct msghdr *tx = &vxlan->tx[i].msg_hdr;

		vxlan->in[i].iov_base =
			(uint8_t *)burst->slots[i].iov_base - VXLAN_HEADER;
		vxlan->in[i].iov_len = VXLAN_HEADER + burst->slots[i].iov_len;
		rx->msg_iov = &vxlan->in[i];
		rx->msg_iovlen = 1;
		rx->msg_name = &vxlan->from[i];
		vxlan->out[i][0] = (struct iovec){vxlan->header, VXLAN_HEADER};
		tx->msg_iov = vxlan->out[i];
		tx->msg_iovlen = 2;
	}
}

static struct vxlan *vxlan_new(struct net *net,
			       const struct vxlan_config *config)
{
	struct vxlan *vxlan = calloc(1, sizeof(*vxlan));

	if (!vxlan)
		return NULL;
	vxlan->vni = config->vni;
	vxlan->mtu = inner_mtu(&config->local, &config->remotes[0]);
	vxlan->remotes.n = config->n_remotes;
	memcpy(vxlan->remotes.at, config->remotes,
	       config->n_remotes * sizeof(*config->remotes));
	if (remotes_init(&vxlan->remotes)) {
		free(vxlan);
		return NULL;
	}
	vxlan_put(vxlan->header, config->vni);
	set_messages(vxlan, &net->burst);
	return vxlan;
}

int vxlan_open(struct net *net, const struct vxlan_config *config, uint32_t *id)
{
	struct vxlan *vxlan;
	int fd = vxlan_socket(&config->local);
	int err;

	if (fd < 0)
		return fd;
	vxlan = vxlan_new(net, config);
	if (!vxlan) {
		close(fd);
		return -ENOMEM;
	}
	netport_init(&vxlan->port, net, &vxlan_ops, fd);
	err = netport_up(&vxlan->port, -1);
	if (err) {
		close(fd);
		vxlan_release(vxlan);
		return err;
	}
	*id = vxlan->port.id;
	return 0;
}
