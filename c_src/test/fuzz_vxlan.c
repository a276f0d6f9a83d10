/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_vxlan - any datagram: what has a network is what would be written. */
#include <stdlib.h>
#include <string.h>

#include "vxlan.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	uint8_t written[VXLAN_HEADER];
	uint32_t vni;

	if (vxlan_parse(bytes, len, &vni))
		return 0;
	if (len < VXLAN_HEADER || vni > VXLAN_VNI_MAX)
		abort();
	vxlan_put(written, vni);
	if (memcmp(written + 4, bytes + 4, 3) != 0 || !(bytes[0] & written[0]))
		abort();
	return 0;
}
