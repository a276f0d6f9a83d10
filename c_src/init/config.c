/* SPDX-License-Identifier: Apache-2.0 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define JAIL_MOUNT "/jail"
#define MAC_TEXT (sizeof("00:00:00:00:00:00") - 1)

static int copy_value(char *to, size_t size, const char *value)
{
	if (strlen(value) >= size)
		return -EINVAL;
	memcpy(to, value, strlen(value) + 1);
	return 0;
}

/* ro:PATH or rw:PATH */
static int add_share(struct config *config, char *value)
{
	struct share *share = &config->shares[config->n_shares];

	if (config->n_shares == INIT_SHARES_MAX ||
	    (strncmp(value, "ro:/", 4) != 0 && strncmp(value, "rw:/", 4) != 0))
		return -EINVAL;
	share->writable = value[1] == 'w';
	share->target = value + 3;
	config->n_shares++;
	return 0;
}

/* BORN,NAME,MAC */
static int add_interface(struct config *config, char *value)
{
	struct interface *interface = &config->interfaces[config->n_interfaces];
	char *name = strchr(value, ',');
	char *address = name ? strchr(name + 1, ',') : NULL;
	struct ether_addr mac;

	if (config->n_interfaces == INIT_INTERFACES_MAX || !address)
		return -EINVAL;
	*name++ = '\0';
	*address++ = '\0';
	if (!*value || !*name || strlen(name) >= IFNAMSIZ ||
	    strlen(address) != MAC_TEXT || !ether_aton_r(address, &mac))
		return -EINVAL;
	interface->born = value;
	interface->name = name;
	memcpy(interface->mac, &mac, sizeof(interface->mac));
	config->n_interfaces++;
	return 0;
}

static int config_pair(struct config *config, char *pair)
{
	char *value = strchr(pair, '=');

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	if (!strcmp(pair, "hostname"))
		return copy_value(config->hostname, sizeof(config->hostname),
				  value);
	if (!strcmp(pair, "interface"))
		return add_interface(config, value);
	if (!strcmp(pair, "agent")) {
		config->agent = !strcmp(value, "true");
		return 0;
	}
	if (!strcmp(pair, "init")) {
		if (config->argc == INIT_ARGS_MAX)
			return -EINVAL;
		config->argv[config->argc++] = value;
		return 0;
	}
	if (!strcmp(pair, "share"))
		return add_share(config, value);
	if (!strcmp(pair, "instead"))
		config->instead = value;
	else if (!strcmp(pair, "image"))
		config->image = value;
	else if (!strcmp(pair, "room"))
		config->room = value;
	else if (!strcmp(pair, "disk"))
		config->disk = true;
	else if (!strcmp(pair, "files"))
		config->files = true;
	else
		return -EINVAL;
	return 0;
}

int config_parse(struct config *config, size_t len)
{
	char *at = config->text;
	char *end = config->text + len;

	if (len == 0 || len > sizeof(config->text) || end[-1] != '\0')
		return -EINVAL;
	while (at < end) {
		char *next = at + strlen(at) + 1;

		if (config_pair(config, at))
			return -EINVAL;
		at = next;
	}
	return config->argc ? 0 : -EINVAL;
}

/*
 * In an open jail a link leads to a folder of the host; in a closed one the
 * folder is in its place. "" where there is none.
 */
static void read_link(const char *name, char to[PATH_MAX])
{
	char path[sizeof(JAIL_MOUNT) + 32];
	ssize_t n;

	snprintf(path, sizeof(path), JAIL_MOUNT "/%s", name);
	n = readlink(path, to, PATH_MAX - 1);
	to[n < 0 ? 0 : n] = '\0';
	if (n < 0 && errno == EINVAL)
		snprintf(to, PATH_MAX, INIT_JAIL "/%s", name);
}

void config_load(struct config *config)
{
	ssize_t len;
	int fd;

	mkdir(JAIL_MOUNT, 0700);
	if (mount("jail", JAIL_MOUNT, "hostfs", MS_RDONLY, INIT_JAIL) < 0)
		init_fail("mount hostfs", INIT_JAIL);
	fd = open(JAIL_MOUNT "/config", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		init_fail("open", JAIL_MOUNT "/config");
	len = read(fd, config->text, sizeof(config->text));
	if (len < 0)
		init_fail("read", JAIL_MOUNT "/config");
	close(fd);
	errno = EINVAL;
	if (config_parse(config, (size_t)len))
		init_fail("parse", JAIL_MOUNT "/config");
	read_link("root", config->root);
	read_link("applets", config->applets);
	read_link("modules", config->modules);
	if (umount(JAIL_MOUNT) < 0)
		init_fail("umount", JAIL_MOUNT);
}
