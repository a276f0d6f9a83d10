/* SPDX-License-Identifier: Apache-2.0 */
#include "vnet.h"

#include <errno.h>

struct frame_offload vnet_offload(const struct virtio_net_hdr *header)
{
	return (struct frame_offload){
		.flags = header->flags,
		.gso_type = header->gso_type,
		.hdr_len = header->hdr_len,
		.gso_size = header->gso_size,
		.csum_start = header->csum_start,
		.csum_offset = header->csum_offset,
	};
}

struct virtio_net_hdr vnet_header(const struct frame_offload *offload)
{
	return (struct virtio_net_hdr){
		.flags = offload->flags,
		.gso_type = offload->gso_type,
		.hdr_len = offload->hdr_len,
		.gso_size = offload->gso_size,
		.csum_start = offload->csum_start,
		.csum_offset = offload->csum_offset,
	};
}

int vnet_parse(const uint8_t *bytes, size_t len, struct frame *frame)
{
	struct virtio_net_hdr header;

	if (len < VNET_HEADER)
		return -EBADMSG;
	memcpy(&header, bytes, VNET_HEADER);
	/* That the checksum was found good leaves nothing to be done. */
	header.flags &= (uint8_t)~VIRTIO_NET_HDR_F_DATA_VALID;
	*frame = (struct frame){.bytes = bytes + VNET_HEADER,
				.len = (uint32_t)(len - VNET_HEADER),
				.offload = vnet_offload(&header)};
	return 0;
}

int vnet_gather(const struct frame *frame, struct virtio_net_hdr *header,
		struct iovec iov[VNET_IOV_MAX])
{
	if (frame->n_rest > VNET_PIECES_MAX)
		return -EMSGSIZE;
	*header = vnet_header(&frame->offload);
	iov[0] = (struct iovec){header, VNET_HEADER};
	/* They are only read; struct iovec knows no const. */
	iov[1] = (struct iovec){(void *)(uintptr_t)frame->bytes,
				frame_head(frame)};
	for (unsigned int i = 0; i < frame->n_rest; i++)
		iov[2 + i] = frame->rest[i];
	return (int)(2 + frame->n_rest);
}
