/* SPDX-License-Identifier: Apache-2.0 */
#include "port_pcap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net.h"
#include "offload.h"
#include "vnet.h"

#define VLAN_TAG 4
_Static_assert(BURST_HEADROOM >= VNET_HEADER && BURST_HEADROOM >= VLAN_TAG,
	       "no room in front of a frame");

/* How often an interface that is down is looked at, ms. */
#define DOWN_LOOK_MS 200

/* Pieces of a burst that is sent. */
#define PIECES ((size_t)BURST_FRAMES * 8)
_Static_assert(PIECES >= VNET_IOV_MAX, "no room for one frame");

union control {
	char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct cmsghdr align;
};

struct wire {
	struct net_port port;
	struct loop_garbage garbage;
	struct loop_timer down; /* armed while the interface is */
	char name[IFNAMSIZ];
	unsigned int ifindex;
	struct mmsghdr rx[BURST_FRAMES], tx[BURST_FRAMES];
	struct iovec in[BURST_FRAMES], out[PIECES];
	union control control[BURST_FRAMES];
	struct virtio_net_hdr headers[BURST_FRAMES];
};

static struct wire *wire_of(struct net_port *port)
{
	return container_of(port, struct wire, port);
}

static void wire_look(struct loop_timer *timer);

/* --- From the wire ---------------------------------------------------- */

static const struct tpacket_auxdata *auxdata(struct msghdr *msg)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg))
		if (cmsg->cmsg_level == SOL_PACKET &&
		    cmsg->cmsg_type == PACKET_AUXDATA &&
		    cmsg->cmsg_len >= CMSG_LEN(sizeof(struct tpacket_auxdata)))
			return (const void *)CMSG_DATA(cmsg);
	return NULL;
}

/* The kernel has taken the outer VLAN tag out: put it back, in the headroom. */
static void put_tag(struct frame *frame, const struct tpacket_auxdata *aux)
{
	uint16_t tag[2] = {htons(ETHERTYPE_VLAN), htons(aux->tp_vlan_tci)};
	uint8_t *at = (uint8_t *)(uintptr_t)frame->bytes - VLAN_TAG;

	if (aux->tp_status & TP_STATUS_VLAN_TPID_VALID)
		tag[0] = htons(aux->tp_vlan_tpid);
	memmove(at, frame->bytes, (size_t)2 * ETH_ALEN);
	memcpy(at + (size_t)2 * ETH_ALEN, tag, sizeof(tag));
	frame->bytes = at;
	frame->len += VLAN_TAG;
	if (frame_is_partial(frame)) {
		frame->offload.csum_start += VLAN_TAG;
		frame->offload.hdr_len += VLAN_TAG;
	}
}

static int wire_frame(struct wire *wire, unsigned int i, struct frame *frame)
{
	struct mmsghdr *msg = &wire->rx[i];
	const struct tpacket_auxdata *aux = auxdata(&msg->msg_hdr);
	int err = vnet_parse(wire->in[i].iov_base, msg->msg_len, frame);

	if (err)
		return err;
	if (aux && aux->tp_status & TP_STATUS_VLAN_VALID &&
	    frame->len >= (size_t)2 * ETH_ALEN)
		put_tag(frame, aux);
	return offload_check(frame);
}

/*
 * The interface is down. It may come up again, or go: the kernel tells of the
 * first that happens to it, and of nothing more (packet_notifier() of
 * net/packet/af_packet.c), so it is looked at until it is one or the other.
 */
static int wire_is_down(struct wire *wire)
{
	struct ifreq ifr = {.ifr_ifindex = 0};

	if (!if_indextoname(wire->ifindex, ifr.ifr_name)) {
		log_limited(&wire->port.net->resource_log,
			    "interface %s has gone", wire->name);
		return -ENODEV;
	}
	if (ioctl(wire->port.fd, SIOCGIFFLAGS, &ifr) < 0 ||
	    !(ifr.ifr_flags & IFF_UP))
		loop_timer_set(&wire->port.net->loop, &wire->down, DOWN_LOOK_MS,
			       wire_look);
	return 0;
}

static void wire_look(struct loop_timer *timer)
{
	struct wire *wire = container_of(timer, struct wire, down);
	int err = wire_is_down(wire);

	if (err)
		netport_down(&wire->port, net_errno_name(wire->port.net, err));
}

/* What an error of the socket means for the port. */
static int wire_error(struct wire *wire, int err)
{
	switch (err) {
	case -ENETDOWN:
		err = wire_is_down(wire);
		return err ? err : -EAGAIN;
	case -EINVAL:
		/* A frame that was left in a state which vnet.h cannot tell. */
		wire->port.counters[NETPORT_RX_BAD]++;
		return -EAGAIN;
	default:
		return err;
	}
}

static int wire_receive(struct net_port *port, struct burst *burst)
{
	struct wire *wire = wire_of(port);
	int n;

	burst->count = 0;
	burst->ended = burst->more = false;
	for (int i = 0; i < BURST_FRAMES; i++)
		wire->rx[i].msg_hdr.msg_controllen = sizeof(union control);
	n = recvmmsg(port->fd, wire->rx, BURST_FRAMES, MSG_DONTWAIT, NULL);
	if (n < 0)
		return wire_error(wire, -errno);
	for (int i = 0; i < n; i++) {
		struct frame *frame = &burst->frames[burst->count];

		if (wire_frame(wire, (unsigned int)i, frame))
			port->counters[NETPORT_RX_BAD]++;
		else
			burst->count++;
	}
	return 0;
}

/* The kernel forgets them when it has told. */
static void wire_count(struct net_port *port)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof(stats);

	if (!getsockopt(port->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		port->counters[NETPORT_RX_DROPPED] += stats.tp_drops;
}

/* --- To the wire ------------------------------------------------------ */

static int wire_send(struct net_port *port, const struct frame *frames,
		     unsigned int n)
{
	struct wire *wire = wire_of(port);
	struct iovec *at = wire->out;
	unsigned int ready = 0;
	int sent = 0;

	for (; ready < n && at <= wire->out + PIECES - VNET_IOV_MAX; ready++) {
		sent = vnet_gather(&frames[ready], &wire->headers[ready], at);
		if (sent < 0)
			break;
		wire->tx[ready].msg_hdr.msg_iov = at;
		wire->tx[ready].msg_hdr.msg_iovlen = (size_t)sent;
		at += sent;
	}
	if (!ready)
		return sent;
	sent = sendmmsg(port->fd, wire->tx, ready, MSG_DONTWAIT);
	return sent < 0 ? -errno : sent;
}

/* --- From the beginning to the end ------------------------------------ */

static void wire_free(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct wire, garbage));
}

static void wire_close(struct net_port *port)
{
	loop_timer_cancel(&port->net->loop, &wire_of(port)->down);
	close(port->fd);
	loop_defer(&port->net->loop, &wire_of(port)->garbage, wire_free);
}

static const struct port_kind_ops wire_ops = {
	.kind = "pcap",
	.receive = wire_receive,
	.send = wire_send,
	.count = wire_count,
	.close = wire_close,
};

/* One that is there, up, and Ethernet. */
static int find_interface(struct wire *wire, int fd)
{
	struct ifreq ifr = {.ifr_ifindex = 0};

	memcpy(ifr.ifr_name, wire->name, sizeof(ifr.ifr_name));
	wire->ifindex = if_nametoindex(ifr.ifr_name);
	if (!wire->ifindex || ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		return -errno;
	if (ifr.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return -EAFNOSUPPORT;
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	return ifr.ifr_flags & IFF_UP ? 0 : -ENETDOWN;
}

/*
 * Compiled for an open interface, a filter also finds the VLAN tag that the
 * kernel has taken out of the frame.
 */
static int compile(const char *name, const char *filter,
		   struct bpf_program *program, char **text)
{
	char errors[PCAP_ERRBUF_SIZE] = "";
	pcap_t *pcap = pcap_create(name, errors);
	int err = 0;

	if (!pcap)
		return -ENOMEM;
	if (pcap_activate(pcap) < 0 ||
	    pcap_compile(pcap, program, filter, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		*text = strdup(pcap_geterr(pcap));
		err = -EINVAL;
	}
	pcap_close(pcap);
	return err;
}

static int set_filter(int fd, const struct wire_config *config, char **text)
{
	struct bpf_program program;
	struct sock_fprog fprog;
	int err;

	if (!*config->filter)
		return 0;
	err = compile(config->name, config->filter, &program, text);
	if (err)
		return err;
	fprog = (struct sock_fprog){
		.len = (unsigned short)program.bf_len,
		.filter = (struct sock_filter *)(void *)program.bf_insns};
	if (program.bf_len > BPF_MAXINSNS)
		err = -E2BIG;
	else if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &fprog,
			    sizeof(fprog)) < 0)
		err = -errno;
	pcap_freecode(&program);
	return err;
}

static int set_option(int fd, int option)
{
	const int on = 1;

	return setsockopt(fd, SOL_PACKET, option, &on, sizeof(on)) < 0 ? -errno
								       : 0;
}

static int set_options(struct wire *wire, int fd)
{
	struct packet_mreq mreq = {.mr_ifindex = (int)wire->ifindex,
				   .mr_type = PACKET_MR_PROMISC};
	const int size = PCAP_BUFFER;
	int err = set_option(fd, PACKET_VNET_HDR);

	if (!err)
		err = set_option(fd, PACKET_AUXDATA);
	if (!err)
		err = set_option(fd, PACKET_IGNORE_OUTGOING);
	if (!err && setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq,
			       sizeof(mreq)) < 0)
		err = -errno;
	/* Beyond the host's limit it takes CAP_NET_ADMIN. */
	if (!err &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return err;
}

/* From then on there are frames: the options are set before. */
static int start(struct wire *wire, int fd)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
				      .sll_protocol = htons(ETH_P_ALL),
				      .sll_ifindex = (int)wire->ifindex};

	return bind(fd, (struct sockaddr *)(void *)&address, sizeof(address)) <
			       0
		       ? -errno
		       : 0;
}

static int wire_configure(struct wire *wire, int fd,
			  const struct wire_config *config, const char **step,
			  char **text)
{
	int err;

	*step = "interface";
	err = find_interface(wire, fd);
	if (!err)
		err = set_options(wire, fd);
	if (err)
		return err;
	*step = "filter";
	err = set_filter(fd, config, text);
	if (err)
		return err;
	*step = "interface";
	return start(wire, fd);
}

static void set_messages(struct wire *wire, const struct burst *burst)
{
	for (int i = 0; i < BURST_FRAMES; i++) {
		struct msghdr *msg = &wire->rx[i].msg_hdr;

		wire->in[i].iov_base =
			(uint8_t *)burst->slots[i].iov_base - VNET_HEADER;
		wire->in[i].iov_len = VNET_HEADER + burst->slots[i].iov_len;
		msg->msg_iov = &wire->in[i];
		msg->msg_iovlen = 1;
		msg->msg_control = &wire->control[i];
	}
}

int wire_open(struct net *net, const struct wire_config *config, uint32_t *id,
	      const char **step, char **text)
{
	struct wire *wire;
	int fd, err;

	*text = NULL;
	*step = "socket";
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	wire = calloc(1, sizeof(*wire));
	if (!wire) {
		close(fd);
		return -ENOMEM;
	}
	strncpy(wire->name, config->name, sizeof(wire->name) - 1);
	set_messages(wire, &net->burst);
	err = wire_configure(wire, fd, config, step, text);
	if (!err) {
		netport_init(&wire->port, net, &wire_ops, fd);
		wire->port.takes = NETPORT_TAKES_PIECES | NETPORT_TAKES_CSUM |
				   NETPORT_TAKES_TCP4 | NETPORT_TAKES_TCP6;
		err = netport_up(&wire->port, -1);
	}
	if (err) {
		close(fd);
		free(wire);
		return err;
	}
	*id = wire->port.id;
	return 0;
}
