/* SPDX-License-Identifier: Apache-2.0 */
#include "vxlan.h"

#include <errno.h>
#include <string.h>

#define FLAG_VNI 0x08
#define VNI_AT 4

int vxlan_parse(const uint8_t *bytes, size_t len, uint32_t *vni)
{
	if (len < VXLAN_HEADER || !(bytes[0] & FLAG_VNI))
		return -EBADMSG;
	*vni = (uint32_t)(bytes[VNI_AT] << 16 | bytes[VNI_AT + 1] << 8 |
			  bytes[VNI_AT + 2]);
	return 0;
}

void vxlan_put(uint8_t bytes[VXLAN_HEADER], uint32_t vni)
{
	memset(bytes, 0, VXLAN_HEADER);
	bytes[0] = FLAG_VNI;
	bytes[VNI_AT] = (uint8_t)(vni >> 16);
	bytes[VNI_AT + 1] = (uint8_t)(vni >> 8);
	bytes[VNI_AT + 2] = (uint8_t)vni;
}
