/* SPDX-License-Identifier: Apache-2.0 */
/*
 * offload_guess - says what was left to be done for a frame that has come
 * without a word about it.
 *
 * Where no wire is in between, such as between namespaces or virtual machines
 * of one host, Linux hands what is in a tunnel on as it would to a card: not
 * cut, its checksum not written. Who reads a UDP socket is not told.
 *
 * A checksum that is still to be written holds the sum of the pseudo header.
 * One that holds it by chance, and is right, stays the same when it is written
 * again, so no good frame suffers from the guess.
 */
#ifndef EVUM_NET_OFFLOAD_GUESS_H
#define EVUM_NET_OFFLOAD_GUESS_H

#include "frame.h"

/*
 * Set the offload of a complete frame, in one piece, that looks unfinished. TCP
 * in a packet of more than mtu bytes is to be cut into such.
 */
void offload_guess(struct frame *frame, uint32_t mtu);

#endif
