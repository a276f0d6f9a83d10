/* SPDX-License-Identifier: Apache-2.0 */
/* vxlan_test - the header, drawn from RFC 7348. */
#include "vxlan.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

static const uint8_t header[VXLAN_HEADER] = {8, 0, 0, 0, 0x12, 0x34, 0x56, 0};

static void writes_what_it_reads(void)
{
	uint8_t bytes[VXLAN_HEADER] = {255, 255, 255, 255, 255, 255, 255, 255};
	uint32_t vni = 0;

	vxlan_put(bytes, 0x123456);
	CHECK(!memcmp(bytes, header, sizeof(bytes)));
	CHECK(!vxlan_parse(bytes, sizeof(bytes), &vni) && vni == 0x123456);
	vxlan_put(bytes, VXLAN_VNI_MAX);
	CHECK(!vxlan_parse(bytes, 100, &vni) && vni == VXLAN_VNI_MAX);
}

static void refuses_what_has_no_network(void)
{
	uint8_t bytes[VXLAN_HEADER];
	uint32_t vni;

	for (size_t len = 0; len < VXLAN_HEADER; len++)
		CHECK(vxlan_parse(header, len, &vni) == -EBADMSG);
	memcpy(bytes, header, sizeof(bytes));
	bytes[0] = 0xf7;
	CHECK(vxlan_parse(bytes, sizeof(bytes), &vni) == -EBADMSG);
}

static void ignores_what_is_reserved(void)
{
	uint8_t bytes[VXLAN_HEADER] = {255, 1, 2, 3, 0x12, 0x34, 0x56, 255};
	uint32_t vni = 0;

	CHECK(!vxlan_parse(bytes, sizeof(bytes), &vni) && vni == 0x123456);
}

int main(void)
{
	RUN(writes_what_it_reads);
	RUN(refuses_what_has_no_network);
	RUN(ignores_what_is_reserved);
	UNIT_DONE();
}
