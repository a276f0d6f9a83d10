/* SPDX-License-Identifier: Apache-2.0 */
#include "pcapng.h"

#include <string.h>

#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LENGTH_UNKNOWN UINT64_MAX
#define LINKTYPE_ETHERNET 1

/* Codes of options. */
#define OPT_END 0
#define SHB_USERAPPL 4
#define IF_NAME 2
#define IF_DESCRIPTION 3
#define IF_TSRESOL 9
#define IF_FILTER 11
#define EPB_FLAGS 2
#define EPB_DROPCOUNT 4
#define ISB_IFRECV 4
#define ISB_IFDROP 5

/* if_tsresol: a power of ten. */
#define NANOSECONDS 9
/* if_filter: a text of libpcap's follows. */
#define FILTER_TEXT 0

static uint8_t *put(uint8_t *at, const void *bytes, size_t n)
{
	memcpy(at, bytes, n);
	return at + n;
}

static uint8_t *put_16(uint8_t *at, uint16_t value)
{
	return put(at, &value, sizeof(value));
}

static uint8_t *put_32(uint8_t *at, uint32_t value)
{
	return put(at, &value, sizeof(value));
}

/* Times are in two halves, the upper one first. */
static uint8_t *put_time(uint8_t *at, uint64_t ns)
{
	return put_32(put_32(at, (uint32_t)(ns >> 32)), (uint32_t)ns);
}

/* Up to the next multiple of 4. */
static uint8_t *pad(uint8_t *at, size_t n)
{
	size_t missing = -n & 3;

	memset(at, 0, missing);
	return at + missing;
}

static uint8_t *put_option(uint8_t *at, uint16_t code, const void *bytes,
			   size_t n)
{
	at = put_16(put_16(at, code), (uint16_t)n);
	return pad(put(at, bytes, n), n);
}

static uint8_t *put_text(uint8_t *at, uint16_t code, const char *text)
{
	return put_option(at, code, text, strnlen(text, PCAPNG_TEXT_MAX));
}

/* The length stands behind the type, and again at the end. */
static size_t end_block(uint8_t *start, uint32_t type, uint8_t *at)
{
	uint32_t length = (uint32_t)(at - start) + 4;

	put_32(at, length);
	put_32(put_32(start, type), length);
	return length;
}

size_t pcapng_section(uint8_t *start)
{
	uint64_t length = LENGTH_UNKNOWN;
	uint8_t *at = put_32(start + 8, BYTE_ORDER_MAGIC);

	at = put_16(put_16(at, 1), 0);
	at = put(at, &length, sizeof(length));
	at = put_text(at, SHB_USERAPPL, "evum");
	at = put_option(at, OPT_END, "", 0);
	return end_block(start, PCAPNG_SECTION, at);
}

size_t pcapng_interface(uint8_t *start,
			const struct pcapng_interface *interface)
{
	uint8_t resolution = NANOSECONDS;
	uint8_t filter[1 + PCAPNG_TEXT_MAX] = {FILTER_TEXT};
	size_t filter_len = strlen(interface->filter);
	uint8_t *at = put_16(put_16(start + 8, LINKTYPE_ETHERNET), 0);

	at = put_32(at, interface->snaplen);
	at = put_text(at, IF_NAME, interface->name);
	at = put_text(at, IF_DESCRIPTION, interface->description);
	at = put_option(at, IF_TSRESOL, &resolution, 1);
	/* Half a filter would be another one. */
	if (filter_len > 0 && filter_len <= PCAPNG_TEXT_MAX) {
		memcpy(filter + 1, interface->filter, filter_len);
		at = put_option(at, IF_FILTER, filter, 1 + filter_len);
	}
	at = put_option(at, OPT_END, "", 0);
	return end_block(start, PCAPNG_INTERFACE, at);
}

size_t pcapng_statistics(uint8_t *start,
			 const struct pcapng_statistics *statistics)
{
	uint8_t *at = put_32(start + 8, statistics->interface);

	at = put_time(at, statistics->time_ns);
	at = put_option(at, ISB_IFRECV, &statistics->received, 8);
	at = put_option(at, ISB_IFDROP, &statistics->dropped, 8);
	at = put_option(at, OPT_END, "", 0);
	return end_block(start, PCAPNG_STATISTICS, at);
}

size_t pcapng_packet(uint8_t *start, const struct pcapng_packet *packet,
		     uint8_t **bytes)
{
	uint8_t *at = put_32(start + 8, packet->interface);

	at = put_time(at, packet->time_ns);
	at = put_32(put_32(at, packet->captured), packet->length);
	*bytes = at;
	at = pad(at + packet->captured, packet->captured);
	at = put_option(at, EPB_FLAGS, &packet->direction, 4);
	if (packet->dropped)
		at = put_option(at, EPB_DROPCOUNT, &packet->dropped, 8);
	at = put_option(at, OPT_END, "", 0);
	return end_block(start, PCAPNG_PACKET, at);
}

static uint32_t get_32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

uint32_t pcapng_type(const uint8_t *at)
{
	return get_32(at);
}

uint32_t pcapng_length(const uint8_t *at)
{
	return get_32(at + 4);
}

uint64_t pcapng_time_ns(const uint8_t *at)
{
	return (uint64_t)get_32(at + 12) << 32 | get_32(at + 16);
}
