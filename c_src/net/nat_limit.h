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
 * It also keeps each IPv4 fragment for 30 s, until the rest of its datagram is
 * there, as many as come, and looks at all that are begun for each one that
 * comes. So those are admitted by a budget for that time.
 *
 * Pure, but for the counts, which who sees sockets come and go keeps.
 */
#ifndef EVUM_NET_NAT_LIMIT_H
#define EVUM_NET_NAT_LIMIT_H

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
/*
 * Fragments within the time that libslirp keeps one (it counts 60 times half a
 * second and a little), and the memory of its that they may take, bytes.
 */
#define NAT_FRAGMENTS_MAX 4096u
#define NAT_FRAGMENT_BYTES_MAX (64u << 20)
#define NAT_FRAGMENT_MS 32000

struct nat_fragment {
	int64_t at_ms;
	uint32_t bytes;
};

struct nat_limit {
	unsigned int streams, datagrams; /* that are open */
	unsigned int streams_max, datagrams_max;
	uint32_t flows[NAT_FLOWS]; /* hashes, by their lowest bits; 0: none */
	/* A ring of those that may still be kept. */
	struct nat_fragment fragments[NAT_FRAGMENTS_MAX];
	unsigned int first_fragment, n_fragments;
	uint32_t fragment_bytes;
	uint32_t mtu;
};

enum nat_verdict {
	NAT_ADMITTED,
	NAT_NO_SOCKET,
	NAT_NO_FRAGMENT,
};

void nat_limit_init(struct nat_limit *limit, uint64_t descriptors,
		    uint32_t mtu);

/*
 * May libslirp have this frame? It is then taken to have had it. The time is
 * of any clock that does not go back.
 */
enum nat_verdict nat_limit_judge(struct nat_limit *limit, const uint8_t *frame,
				 uint32_t len, int64_t now_ms);

#endif
