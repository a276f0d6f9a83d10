/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat_limit - bounds what guests can have libslirp open: a socket of the host
 * for each TCP connection, each UDP port and each ping. A guest that opens all
 * it can shall take neither evum_net's memory nor its descriptors, which ports
 * of the switch need.
 *
 * libslirp has no such bound itself, so it is not given what would open one
 * socket more: a SYN, or a datagram of a flow (an address and port of a
 * guest's) that is not known. Whether libslirp knows a flow cannot be asked;
 * here those are remembered that were let through last, by a hash, so that at
 * the limit they go on. A hash may be another flow's by chance or intention:
 * hence a second limit, at twice the first, behind which no datagram passes.
 *
 * Pure, but for the counts, which who sees sockets come and go keeps.
 */
#ifndef EVUM_NET_NAT_LIMIT_H
#define EVUM_NET_NAT_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * At once, where the process may have four times as many descriptors; else a
 * quarter of that. libslirp has two buffers of 128 KB for each connection, that
 * is 512 MB at most where all are full.
 */
#define NAT_STREAMS_MAX 2048u
#define NAT_DATAGRAMS_MAX 512u
/* Flows of datagrams that are remembered. */
#define NAT_FLOWS 4096u

struct nat_limit {
	unsigned int streams, datagrams; /* that are open */
	unsigned int streams_max, datagrams_max;
	uint32_t flows[NAT_FLOWS]; /* hashes, by their lowest bits; 0: none */
};

void nat_limit_init(struct nat_limit *limit, uint64_t descriptors);

/* May libslirp have this frame? It is then taken to have had it. */
bool nat_limit_admits(struct nat_limit *limit, const uint8_t *frame,
		      uint32_t len);

#endif
