/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request_v3 - what a client of the uml_switch control protocol sends.
 *
 * One request, once, on the stream socket, in the byte order of the host:
 *
 *      0        4         8        12                     122   124
 *      +--------+---------+--------+----------------------+-----+
 *      | magic  | version | type   | sockaddr_un, 110     | pad |
 *      +--------+---------+--------+----------------------+-----+
 *
 * The address is the one that the client's datagram socket is bound to. The
 * answer is the address of a datagram socket of the switch, 110 bytes. Both
 * sides (arch/um/drivers/daemon_user.c until Linux 6.15) bind and connect with
 * the whole size of struct sockaddr_un, so that the name of an abstract
 * address is always 107 bytes long, most of them zero.
 *
 * A pure function on bytes: what a hostile client can send is tried out by
 * test/request_v3_test.c and test/fuzz_request_v3.c.
 */
#ifndef EVUM_NET_REQUEST_V3_H
#define EVUM_NET_REQUEST_V3_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define REQUEST_V3_SIZE 124
#define REQUEST_V3_MAGIC 0xfeedfaceu
#define REQUEST_V3_VERSION 3u
#define REQUEST_V3_NEW_CONTROL 0u

enum request_verdict {
	REQUEST_OK,
	REQUEST_SHORT, /* good as far as it goes: wait for more */
	REQUEST_SURPLUS,
	REQUEST_BAD_MAGIC,
	REQUEST_BAD_VERSION,
	REQUEST_BAD_TYPE,
	REQUEST_BAD_ADDRESS,
};

struct request_v3 {
	struct sockaddr_un peer;
	socklen_t peer_len;
};

/*
 * Judge the len bytes that have come so far. A bad magic or version is told
 * as soon as it is there, since requests of other versions have other sizes.
 * *request is filled in for REQUEST_OK only.
 */
enum request_verdict request_v3_parse(const uint8_t *bytes, size_t len,
				      struct request_v3 *request);

#endif
