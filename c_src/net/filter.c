/* SPDX-License-Identifier: Apache-2.0 */
#include "filter.h"

#include <errno.h>
#include <string.h>

#include "term.h"

int filter_compile(struct bpf_program *filter, const char *text, char **error)
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, FRAME_MAX);
	int err = 0;

	if (!pcap)
		return -ENOMEM;
	if (pcap_compile(pcap, filter, text, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		*error = strdup(pcap_geterr(pcap));
		err = -EINVAL;
	}
	pcap_close(pcap);
	return err;
}

void filter_put_error(ei_x_buff *x, const char *error)
{
	ei_x_encode_tuple_header(x, 2);
	ei_x_encode_atom(x, "error");
	ei_x_encode_tuple_header(x, 2);
	ei_x_encode_atom(x, "bpf");
	term_put_binary(x, error, strlen(error));
}
