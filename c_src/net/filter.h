/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter - frames that a filter of libpcap's matches (pcap-filter(7)).
 *
 * It sees no further than the head of a frame in pieces.
 */
#ifndef EVUM_NET_FILTER_H
#define EVUM_NET_FILTER_H

#include <ei.h>
#include <pcap/pcap.h>
#include <stdbool.h>

#include "frame.h"

/* 0; -EINVAL, and in error what libpcap says, which the caller frees; -ENOMEM.
 */
int filter_compile(struct bpf_program *filter, const char *text, char **error);
/* {error, {bpf, Text}} */
void filter_put_error(ei_x_buff *x, const char *error);

static inline bool filter_matches(const struct bpf_program *filter,
				  const struct frame *frame)
{
	return bpf_filter(filter->bf_insns, frame->bytes, frame->len,
			  frame_head(frame));
}

#endif
