/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcapng - the blocks of a capture file (draft-ietf-opsawg-pcapng), in this
 * host's byte order, as the format allows.
 *
 * Pure functions that write to where they are told; each returns how many bytes
 * that were. Times are nanoseconds since 1970.
 */
#ifndef EVUM_NET_PCAPNG_H
#define EVUM_NET_PCAPNG_H

#include <stddef.h>
#include <stdint.h>

#define PCAPNG_SECTION 0x0a0d0d0au
#define PCAPNG_INTERFACE 1u
#define PCAPNG_STATISTICS 5u
#define PCAPNG_PACKET 6u

/* Of a text in an option, bytes; what is longer is cut. */
#define PCAPNG_TEXT_MAX 255
/* No block but a packet is larger, bytes. */
#define PCAPNG_BLOCK_MAX 1024
/* What a packet has beside its bytes, at most. */
#define PCAPNG_PACKET_MAX 64

#define PCAPNG_INBOUND 1u
#define PCAPNG_OUTBOUND 2u

struct pcapng_interface {
	const char *name, *description;
	const char *filter; /* or "" */
	uint32_t snaplen;
};

struct pcapng_packet {
	uint32_t interface; /* the n-th of the section, from 0 */
	uint64_t time_ns;
	uint32_t captured, length; /* bytes: in the file, and of the frame */
	uint32_t direction;
	uint64_t dropped; /* since the packet before it of that interface */
};

struct pcapng_statistics {
	uint32_t interface;
	uint64_t time_ns;
	uint64_t received, dropped; /* packets since the start */
};

size_t pcapng_section(uint8_t *at);
size_t pcapng_interface(uint8_t *at, const struct pcapng_interface *interface);
size_t pcapng_statistics(uint8_t *at,
			 const struct pcapng_statistics *statistics);

/* All of a packet's block but its bytes, which belong to *bytes. */
size_t pcapng_packet(uint8_t *at, const struct pcapng_packet *packet,
		     uint8_t **bytes);

/* The type and whole length of the block at at, and of a packet its time. */
uint32_t pcapng_type(const uint8_t *at);
uint32_t pcapng_length(const uint8_t *at);
uint64_t pcapng_time_ns(const uint8_t *at);

#endif
