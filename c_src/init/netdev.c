/* SPDX-License-Identifier: Apache-2.0 */
#include "init.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A vector device is born vec0 (arch/um/drivers/vector_kern.c); legacy and
 * virtio ones are eth0.
 */
#define VECTOR_NAME "vec0"
#define FIRST_NAME "eth0"

static void loopback_up(int fd)
{
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		init_fail("bring up", "lo");
}

static void rename_first(int fd)
{
	struct ifreq ifr = {.ifr_name = VECTOR_NAME};

	if (ioctl(fd, SIOCGIFINDEX, &ifr) < 0)
		return; /* another kind of device, or none */
	memset(&ifr, 0, sizeof(ifr));
	strcpy(ifr.ifr_name, VECTOR_NAME);
	strcpy(ifr.ifr_newname, FIRST_NAME);
	if (ioctl(fd, SIOCSIFNAME, &ifr) < 0)
		init_fail("rename to " FIRST_NAME, VECTOR_NAME);
}

/* A virtio device has a random address; the machine's is in the config. */
static void set_address(int fd, const struct config *config)
{
	struct ifreq ifr = {.ifr_name = FIRST_NAME};

	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, config->mac, sizeof(config->mac));
	if (ioctl(fd, SIOCSIFHWADDR, &ifr) < 0 && errno != ENODEV)
		init_fail("set the address of", FIRST_NAME);
}

void netdev_setup(const struct config *config)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		init_fail("socket", "AF_INET");
	loopback_up(fd);
	rename_first(fd);
	if (config->has_mac)
		set_address(fd, config);
	close(fd);
}
