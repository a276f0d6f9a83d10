/* SPDX-License-Identifier: Apache-2.0 */
/* vnet_test - the kernel's header in front of a frame, both ways. */
#include "vnet.h"

#include <errno.h>

#include "unit.h"

static void both_ways(void)
{
	uint8_t bytes[VNET_HEADER + 60] = {0};
	struct virtio_net_hdr header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = 54,
		.gso_size = 1448,
		.csum_start = 34,
		.csum_offset = 16,
	};
	struct iovec iov[VNET_IOV_MAX];
	struct virtio_net_hdr written;
	struct frame frame;

	memcpy(bytes, &header, VNET_HEADER);
	CHECK(!vnet_parse(bytes, sizeof(bytes), &frame));
	CHECK(frame.bytes == bytes + VNET_HEADER && frame.len == 60);
	CHECK(frame.offload.flags == FRAME_NEEDS_CSUM);
	CHECK(frame.offload.gso_size == 1448 && frame.offload.hdr_len == 54);
	CHECK(vnet_gather(&frame, &written, iov) == 2);
	CHECK(iov[0].iov_base == &written && iov[0].iov_len == VNET_HEADER);
	CHECK(!memcmp(&written, &header, VNET_HEADER));
	CHECK(iov[1].iov_base == frame.bytes && iov[1].iov_len == 60);
}

static void too_short_for_a_header(void)
{
	uint8_t bytes[VNET_HEADER] = {0};
	struct frame frame;

	for (size_t len = 0; len < VNET_HEADER; len++)
		CHECK(vnet_parse(bytes, len, &frame) == -EBADMSG);
	CHECK(!vnet_parse(bytes, VNET_HEADER, &frame) && frame.len == 0);
}

/* DATA_VALID leaves nothing to be done, and means nothing to a guest. */
static void checksums_that_were_checked(void)
{
	uint8_t bytes[VNET_HEADER + 60] = {VIRTIO_NET_HDR_F_DATA_VALID};
	struct frame frame;

	CHECK(!vnet_parse(bytes, sizeof(bytes), &frame));
	CHECK(!frame_is_partial(&frame) && frame.offload.flags == 0);
}

static void pieces(void)
{
	static struct iovec rest[VNET_PIECES_MAX + 1];
	uint8_t bytes[FRAME_HEAD];
	struct frame frame = {.bytes = bytes,
			      .len = FRAME_HEAD + VNET_PIECES_MAX,
			      .rest = rest,
			      .n_rest = VNET_PIECES_MAX,
			      .rest_len = VNET_PIECES_MAX};
	struct iovec iov[VNET_IOV_MAX];
	struct virtio_net_hdr header;

	for (size_t i = 0; i < VNET_PIECES_MAX; i++)
		rest[i] = (struct iovec){&rest[i], 1};
	CHECK(vnet_gather(&frame, &header, iov) == (int)VNET_IOV_MAX);
	CHECK(iov[1].iov_len == FRAME_HEAD);
	CHECK(iov[2].iov_base == &rest[0]);
	CHECK(iov[VNET_IOV_MAX - 1].iov_base == &rest[VNET_PIECES_MAX - 1]);
	frame.n_rest++;
	CHECK(vnet_gather(&frame, &header, iov) == -EMSGSIZE);
}

int main(void)
{
	RUN(both_ways);
	RUN(too_short_for_a_header);
	RUN(checksums_that_were_checked);
	RUN(pieces);
	UNIT_DONE();
}
