/* SPDX-License-Identifier: Apache-2.0 */
#include "init.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A vector device is born vecN (arch/um/drivers/vector_kern.c), a legacy one
 * ethN, with N from the kernel's command line. A virtio one is the next ethN
 * when its driver finds it; which card it is, its path in sysfs tells.
 *
 * A name may be another's until that one has been renamed: so all go through
 * names that nobody has.
 */
#define CARD "virtio-uml."
#define BETWEEN "evum%d"

static void loopback_up(int fd)
{
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		init_fail("bring up", "lo");
}

static void copy_name(char to[IFNAMSIZ], const char *name)
{
	snprintf(to, IFNAMSIZ, "%s", name);
}

static void rename_interface(int fd, const char *from, const char *to)
{
	struct ifreq ifr = {0};

	copy_name(ifr.ifr_name, from);
	copy_name(ifr.ifr_newname, to);
	if (ioctl(fd, SIOCSIFNAME, &ifr) < 0)
		init_fail("rename to", to);
}

static bool is_on_card(const char *name, const char *card)
{
	char link[sizeof("/sys/class/net//device") + IFNAMSIZ];
	char path[PATH_MAX];
	const char *at;

	snprintf(link, sizeof(link), "/sys/class/net/%s/device", name);
	if (!realpath(link, path))
		return false;
	at = strstr(path, card);
	return at && at[strlen(card)] == '/';
}

/* Its name now, or false: the guest boots without what it has no driver for. */
static bool find(const char *born, char name[IFNAMSIZ])
{
	struct if_nameindex *all = if_nameindex();
	bool card = !strncmp(born, CARD, strlen(CARD));
	struct if_nameindex *i = all;
	bool found = false;

	while (i && i->if_index && !found) {
		found = card ? is_on_card(i->if_name, born)
			     : !strcmp(i->if_name, born);
		if (found)
			copy_name(name, i->if_name);
		i++;
	}
	if (!all)
		init_fail("list", "interfaces");
	if_freenameindex(all);
	return found;
}

/* A virtio card's address is random until it is set here. */
static void set_address(int fd, const struct interface *interface)
{
	struct ifreq ifr = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};

	copy_name(ifr.ifr_name, interface->name);
	memcpy(ifr.ifr_hwaddr.sa_data, interface->mac, sizeof(interface->mac));
	if (ioctl(fd, SIOCSIFHWADDR, &ifr) < 0)
		init_fail("set the address of", interface->name);
}

void netdev_setup(const struct config *config)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char between[INIT_INTERFACES_MAX][IFNAMSIZ];
	char name[IFNAMSIZ];

	if (fd < 0)
		init_fail("socket", "AF_INET");
	loopback_up(fd);
	for (int i = 0; i < config->n_interfaces; i++) {
		between[i][0] = '\0';
		if (!find(config->interfaces[i].born, name))
			continue;
		snprintf(between[i], IFNAMSIZ, BETWEEN, i);
		rename_interface(fd, name, between[i]);
	}
	for (int i = 0; i < config->n_interfaces; i++) {
		if (!between[i][0])
			continue;
		rename_interface(fd, between[i], config->interfaces[i].name);
		set_address(fd, &config->interfaces[i]);
	}
	close(fd);
}
