/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_offload_guess - any frame: what is guessed fits it, and completing it
 * stays within its bounds. Most inputs get the checksum that makes them look
 * unfinished.
 */
#include <stdlib.h>
#include <string.h>

#include "offload.h"
#include "offload_guess.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Headers of a packet that fills the frame, which few inputs come to have. */
static void nearly_good(uint8_t *at, uint32_t len, uint8_t how)
{
	bool v6 = how & 1, udp = how & 2;
	uint32_t transport = v6 ? 54 : 34, sum, l4;

	if (len < transport + 20)
		return;
	l4 = len - transport;
	at[12] = v6 ? 0x86 : 0x08;
	at[13] = v6 ? 0xdd : 0x00;
	at[14] = v6 ? 0x60 : 0x45;
	at[16] = (uint8_t)((len - 14) >> 8);
	at[17] = (uint8_t)(len - 14);
	at[20] = at[21] = 0;
	at[23] = udp ? 17 : 6;
	if (v6) {
		at[18] = (uint8_t)(l4 >> 8);
		at[19] = (uint8_t)l4;
		at[20] = udp ? 17 : 6;
	}
	sum = (udp ? 17 : 6) + l4;
	for (uint32_t i = v6 ? 22 : 26; i < transport; i += 2)
		sum += (uint32_t)at[i] << 8 | at[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	at[transport + (udp ? 6 : 16)] = (uint8_t)(sum >> 8);
	at[transport + (udp ? 7 : 17)] = (uint8_t)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct frame frame = {.bytes = NULL};
	struct offload_cut cut;
	uint8_t *own, *at;
	uint32_t got, n = 0;

	if (len < 3 + FRAME_MIN || len - 3 > FRAME_MAX)
		return 0;
	frame.len = (uint32_t)len - 3;
	own = malloc(frame.len);
	at = malloc(FRAME_MAX);
	if (!own || !at)
		abort();
	memcpy(own, bytes + 3, frame.len);
	if (bytes[0] & 4)
		nearly_good(own, frame.len, bytes[0]);
	frame.bytes = own;
	offload_guess(&frame, (uint32_t)bytes[1] << 8 | bytes[2]);
	if (offload_check(&frame) || frame.len > len - 3)
		abort();
	offload_begin(&cut, &frame, at);
	while ((got = offload_next(&cut, at)) > 0)
		if (got > frame.len || ++n > offload_segments(&frame))
			abort();
	free(own);
	free(at);
	return 0;
}
