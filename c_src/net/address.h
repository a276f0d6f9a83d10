/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address - where a socket is, as the BEAM tells it: {unix, Path} or
 * {inet, IP, Port}, IP a binary of 4 or 16 bytes. evum_switch has validated it.
 */
#ifndef EVUM_NET_ADDRESS_H
#define EVUM_NET_ADDRESS_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "term.h"

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_un local;
		struct sockaddr_storage storage;
	};
	socklen_t len;
};

/* 0; r->err, -ENAMETOOLONG or -EINVAL. */
int address_decode(struct address *address, struct term_reader *r);
/* 0 for a socket that is no internet socket. */
uint16_t address_port(int fd);

#endif
