/* SPDX-License-Identifier: Apache-2.0 */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static int set_local(struct address *address, const char *path)
{
	size_t len = strlen(path);

	if (!len || len >= sizeof(address->local.sun_path))
		return -ENAMETOOLONG;
	address->local.sun_family = AF_UNIX;
	memcpy(address->local.sun_path, path, len + 1);
	address->len = sizeof(address->local);
	return 0;
}

static int set_inet(struct address *address, const char *ip, size_t len,
		    uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = port};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = port};

	if (len == sizeof(in.sin_addr)) {
		memcpy(&in.sin_addr, ip, len);
		memcpy(&address->storage, &in, sizeof(in));
		address->len = sizeof(in);
	} else if (len == sizeof(in6.sin6_addr)) {
		memcpy(&in6.sin6_addr, ip, len);
		memcpy(&address->storage, &in6, sizeof(in6));
		address->len = sizeof(in6);
	} else {
		return -EINVAL;
	}
	return 0;
}

int address_decode(struct address *address, struct term_reader *r)
{
	char family[TERM_ATOM_MAX];
	size_t len = 0;
	char *bytes;
	int err;

	memset(address, 0, sizeof(*address));
	term_tuple(r);
	term_atom(r, family);
	if (!strcmp(family, "unix")) {
		bytes = term_binary(r, NULL);
		err = r->err ? r->err : set_local(address, bytes);
	} else {
		uint16_t port;

		bytes = term_binary(r, &len);
		port = htons((uint16_t)term_u64(r));
		err = r->err ? r->err : set_inet(address, bytes, len, port);
	}
	free(bytes);
	return err;
}

uint16_t address_port(int fd)
{
	struct sockaddr_storage storage;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	socklen_t len = sizeof(storage);

	memset(&storage, 0, sizeof(storage));
	if (getsockname(fd, (struct sockaddr *)(void *)&storage, &len) < 0)
		return 0;
	memcpy(&in, &storage, sizeof(in));
	memcpy(&in6, &storage, sizeof(in6));
	if (storage.ss_family == AF_INET)
		return ntohs(in.sin_port);
	return storage.ss_family == AF_INET6 ? ntohs(in6.sin6_port) : 0;
}
