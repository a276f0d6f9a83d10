/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_pcap - a port behind which is the wire of a real interface of the
 * host's: whatever comes in there, promiscuously, comes into the switch, and
 * what the switch sends to the port goes out there. What goes out, be it ours
 * or the host's own, does not come in.
 *
 * The frames are those of a packet socket, and libpcap compiles the filter.
 * libpcap's own way of reading would not do: the kernel shows frames that it
 * has merged, or not cut yet, and whose checksum a card was to write, and
 * libpcap does not say so. A packet socket does (vnet.h), in both directions.
 *
 * An interface that is set down is waited for; with one that is removed the
 * port goes.
 */
#ifndef EVUM_NET_PORT_PCAP_H
#define EVUM_NET_PORT_PCAP_H

#include <stdint.h>

/* What may wait to be read, bytes; where the host's limit is lower, that. */
#define PCAP_BUFFER (4 << 20)

struct net;

struct wire_config {
	const char *name;
	const char *filter; /* pcap-filter(7), or "" */
};

/*
 * 0 and the port's id, or -errno and what failed: `socket', `interface',
 * `filter'. For a filter that does not compile, text says why, to be freed.
 */
int wire_open(struct net *net, const struct wire_config *config, uint32_t *id,
	      const char **step, char **text);

#endif
