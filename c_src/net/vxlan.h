/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vxlan - the header of VXLAN in front of a frame (RFC 7348, section 5).
 *
 *     0                   1                   2                   3
 *    |R|R|R|R|I|R|R|R|            Reserved                           |
 *    |                VXLAN Network Identifier       |   Reserved    |
 */
#ifndef EVUM_NET_VXLAN_H
#define EVUM_NET_VXLAN_H

#include <stddef.h>
#include <stdint.h>

#define VXLAN_HEADER 8u
#define VXLAN_VNI_MAX 0xffffffu

/*
 * The network of a datagram: 0, or -EBADMSG where it is too short or has none.
 * What is reserved is ignored, as the RFC wants it.
 */
int vxlan_parse(const uint8_t *bytes, size_t len, uint32_t *vni);
void vxlan_put(uint8_t bytes[VXLAN_HEADER], uint32_t vni);

#endif
