/* SPDX-License-Identifier: Apache-2.0 */
#include "port_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net.h"
#include "offload.h"
#include "vnet.h"

struct tap {
	struct net_port port;
	struct loop_garbage garbage;
	char name[IFNAMSIZ];
};

/* What the kernel may leave to us. */
#define TAP_OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)

/* The next frame into a slot. 0, or -errno, -EBADMSG for one that is none. */
static int tap_read(int fd, uint8_t *slot, struct frame *frame)
{
	uint8_t *at = slot - VNET_HEADER;
	ssize_t len = read(fd, at, VNET_HEADER + FRAME_MAX + 1);
	int err;

	if (len < 0)
		return -errno;
	err = vnet_parse(at, (size_t)len, frame);
	return err ? err : offload_check(frame);
}

static int tap_receive(struct net_port *port, struct burst *burst)
{
	struct tap *tap = container_of(port, struct tap, port);
	int err = 0;

	burst->count = 0;
	burst->ended = burst->more = false;
	for (int i = 0; i < BURST_FRAMES; i++) {
		err = tap_read(port->fd, burst->slots[i].iov_base,
			       &burst->frames[burst->count]);
		if (err == -EBADMSG)
			port->counters[NETPORT_RX_BAD]++;
		else if (err)
			break;
		else
			burst->count++;
	}
	/* An error comes again; first what came before it. */
	if (burst->count)
		return 0;
	if (err != -EBADFD)
		return err == -EBADMSG ? -EAGAIN : err;
	log_limited(&port->net->resource_log, "tap %s has gone", tap->name);
	return -ENODEV;
}

static int tap_write(int fd, const struct frame *frame)
{
	struct iovec iov[VNET_IOV_MAX];
	struct virtio_net_hdr header;
	int n = vnet_gather(frame, &header, iov);

	if (n < 0)
		return n;
	return writev(fd, iov, n) < 0 ? -errno : 0;
}

static int tap_send(struct net_port *port, const struct frame *frames,
		    unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		int err = tap_write(port->fd, &frames[i]);

		if (err)
			return i ? (int)i : err;
	}
	return (int)n;
}

static void tap_free(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct tap, garbage));
}

static void tap_close(struct net_port *port)
{
	struct tap *tap = container_of(port, struct tap, port);

	close(port->fd);
	loop_defer(&port->net->loop, &tap->garbage, tap_free);
}

static const struct port_kind_ops tap_ops = {
	.kind = "tap",
	.receive = tap_receive,
	.send = tap_send,
	.close = tap_close,
};

/* The cable's end at fd, of the interface that ifr names. */
static int tap_attach(int fd, struct ifreq *ifr)
{
	/* A tap keeps what its last user has set. */
	int header = VNET_HEADER;

	ifr->ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(fd, TUNSETIFF, ifr) < 0 ||
	    ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, TAP_OFFLOADS) < 0)
		return -errno;
	return 0;
}

static int set_up(int control, struct ifreq *ifr)
{
	if (ioctl(control, SIOCGIFFLAGS, ifr) < 0)
		return -errno;
	ifr->ifr_flags |= IFF_UP;
	return ioctl(control, SIOCSIFFLAGS, ifr) < 0 ? -errno : 0;
}

static int set_mtu(int control, struct ifreq *ifr, uint32_t mtu)
{
	ifr->ifr_mtu = (int)mtu;
	return ioctl(control, SIOCSIFMTU, ifr) < 0 ? -errno : 0;
}

static int tap_configure(int fd, const struct tap_config *config,
			 const char **step)
{
	struct ifreq ifr = {.ifr_mtu = 0};
	int control, err;
	bool is_there;

	strncpy(ifr.ifr_name, config->name, sizeof(ifr.ifr_name) - 1);
	*step = "interface";
	is_there = if_nametoindex(ifr.ifr_name);
	err = tap_attach(fd, &ifr);
	if (err || (is_there && !config->mtu))
		return err;
	control = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (control < 0)
		return -errno;
	if (!is_there)
		err = set_up(control, &ifr);
	if (!err && config->mtu) {
		*step = "mtu";
		err = set_mtu(control, &ifr, config->mtu);
	}
	close(control);
	return err;
}

int tap_open(struct net *net, const struct tap_config *config, uint32_t *id,
	     const char **step)
{
	struct tap *tap;
	int fd, err;

	*step = "device";
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = tap_configure(fd, config, step);
	tap = err ? NULL : calloc(1, sizeof(*tap));
	if (!tap) {
		close(fd);
		return err ? err : -ENOMEM;
	}
	strncpy(tap->name, config->name, sizeof(tap->name) - 1);
	netport_init(&tap->port, net, &tap_ops, fd);
	tap->port.takes = NETPORT_TAKES_PIECES | NETPORT_TAKES_CSUM |
			  NETPORT_TAKES_TCP4 | NETPORT_TAKES_TCP6;
	err = netport_up(&tap->port, -1);
	if (err) {
		close(fd);
		free(tap);
		return err;
	}
	*id = tap->port.id;
	return 0;
}
