/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_vnet - any bytes of the kernel's: what is a frame would be written as
 * it came, but for a mark that the checksum was found good. Whether the header
 * fits the frame is fuzz_offload's.
 */
#include <stdlib.h>
#include <string.h>

#include "vnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct iovec iov[VNET_IOV_MAX];
	struct virtio_net_hdr header, came;
	struct frame frame;

	if (vnet_parse(bytes, len, &frame))
		return 0;
	if (vnet_gather(&frame, &header, iov) != 2 ||
	    iov[0].iov_len + iov[1].iov_len != len ||
	    iov[1].iov_base != bytes + VNET_HEADER)
		abort();
	memcpy(&came, bytes, VNET_HEADER);
	came.flags &= (uint8_t)~VIRTIO_NET_HDR_F_DATA_VALID;
	if (memcmp(&came, &header, VNET_HEADER) != 0)
		abort();
	return 0;
}
