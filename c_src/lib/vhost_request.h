/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_request - the messages of a vhost-user front end: what each may say,
 * checked, and what follows from it for the device and its queues.
 *
 * The two halves of vhost.h, and nobody else, share this header: vhost.c has
 * the life of a device and of its queues, vhost_request.c the socket.
 */
#ifndef EVUM_VHOST_REQUEST_H
#define EVUM_VHOST_REQUEST_H

#include "vhost.h"

/* Bit 30 of the features: there are protocol features, and ENABLE counts. */
#define VHOST_FEATURE_PROTOCOL (UINT64_C(1) << 30)

/* What a message amounts to: NULL, or how it broke the protocol. */
typedef const char *vhost_verdict;

/* The socket is readable: handle what has come. */
void vhost_requests_ready(struct loop_fd *entry, uint32_t events);

/* Start the queue, or all of them, where all there is to know was told. */
vhost_verdict vhost_queue_start(struct vhost_queue *queue);
vhost_verdict vhost_queues_start(struct vhost_dev *dev);
void vhost_queue_stop(struct vhost_queue *queue);
void vhost_queues_stop(struct vhost_dev *dev);
bool vhost_queues_running(const struct vhost_dev *dev);
/* Watch its kick: what comes is told by kicked(). */
vhost_verdict vhost_queue_watch(struct vhost_queue *queue);

void vhost_close_fd(int *fd);
/* Those that came with a message and that nobody has taken. */
void vhost_close_attached(struct vhost_dev *dev);

#endif
