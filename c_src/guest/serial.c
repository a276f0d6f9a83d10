/* SPDX-License-Identifier: Apache-2.0 */
#include "serial.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "jail.h"
#include "log.h"

/* The address that the kernel's command line refers to. */
#define SERIAL_PATH JAIL_DIR "/serial"
#define PORT_NAME "org.evum.agent"
/* Chains handled before others have their turn. */
#define TURN_CHAINS 64

static struct serial *serial_of(struct vhost_queue *queue)
{
	return container_of(queue->dev, struct serial, dev);
}

/* Have the guest tell of the next buffer; it may be there already. */
static void await_kick(struct vhost_queue *queue)
{
	if (virtq_kicks_on(&queue->ring))
		vhost_again(queue);
}

/* --- towards the guest --- */

/* Fill one of the guest's buffers from the front of buf; how much. */
static uint32_t fill(struct buf *buf, const struct virtq_chain *chain)
{
	uint32_t filled = 0;

	for (unsigned int i = 0; i < chain->n_in; i++) {
		size_t n = chain->in[i].iov_len;

		if (n > buf_len(buf))
			n = buf_len(buf);
		if (n)
			memcpy(chain->in[i].iov_base, buf_data(buf), n);
		buf_consume(buf, n);
		filled += (uint32_t)n;
	}
	return filled;
}

/* Move bytes of buf into buffers of the guest. */
static void push(struct vhost_queue *queue, struct buf *buf)
{
	struct iovec iov[VIRTQ_CHAIN_MAX];
	struct virtq_chain chain;
	int n = 0, taken = 0;

	if (!virtq_running(&queue->ring))
		return;
	while (buf_len(buf) && taken < TURN_CHAINS) {
		n = virtq_next(&queue->ring, &chain, iov);
		if (n <= 0)
			break;
		taken++;
		virtq_put(&queue->ring, chain.head, fill(buf, &chain));
	}
	if (n < 0) {
		vhost_fail(queue->dev, n, "a buffer that is none");
		return;
	}
	if (taken && !vhost_notify(queue))
		return;
	if (taken == TURN_CHAINS)
		vhost_again(queue);
	/* Buffers are asked after only while there is something for them. */
	else if (!buf_len(buf))
		virtq_kicks_off(&queue->ring);
	else
		await_kick(queue);
}

/* A message for each buffer: its length stands in front of it here. */
static void push_control(struct serial *serial)
{
	struct vhost_queue *queue = &serial->queues[QUEUE_CONTROL_IN];
	struct buf *control = &serial->control;

	while (buf_len(control) && virtq_running(&queue->ring)) {
		struct iovec iov[VIRTQ_CHAIN_MAX];
		struct virtq_chain chain;
		uint8_t len = *buf_data(control);
		struct buf message = {
			.bytes = buf_data(control),
			.head = 1,
			.tail = 1u + len,
		};
		int n = virtq_next(&queue->ring, &chain, iov);

		if (n == 0)
			await_kick(queue);
		if (n < 0)
			vhost_fail(queue->dev, n, "a buffer that is none");
		if (n <= 0)
			return;
		virtq_put(&queue->ring, chain.head, fill(&message, &chain));
		buf_consume(control, 1u + len);
		if (!vhost_notify(queue))
			return;
	}
}

static void send_control(struct serial *serial, uint16_t event, uint16_t value,
			 const void *tail, size_t tail_len)
{
	struct virtio_console_control head = {.event = event, .value = value};
	uint8_t len = (uint8_t)(sizeof(head) + tail_len);

	if (buf_append(&serial->control, &len, sizeof(len)) ||
	    buf_append(&serial->control, &head, sizeof(head)) ||
	    buf_append(&serial->control, tail, tail_len)) {
		vhost_fail(&serial->dev, -EPROTO, "it asks and does not read");
		return;
	}
	push_control(serial);
}

/* --- from the guest --- */

/* As much as there is credit for; a buffer goes as a whole. */
static void pull(struct serial *serial)
{
	struct vhost_queue *queue = &serial->queues[QUEUE_OUT];
	struct iovec iov[VIRTQ_CHAIN_MAX];
	struct virtq_chain chain;
	int n = 0, taken = 0;

	if (!virtq_running(&queue->ring))
		return;
	while (taken < TURN_CHAINS && port_second_credit(serial->port) &&
	       !port_congested(serial->port)) {
		n = virtq_next(&queue->ring, &chain, iov);
		if (n == 1 && chain.out_len > SERIAL_CHAIN_MAX)
			n = -E2BIG;
		if (n <= 0)
			break;
		taken++;
		for (unsigned int i = 0; i < chain.n_out; i++)
			if (iov[i].iov_len)
				port_send_second(serial->port, iov[i].iov_base,
						 iov[i].iov_len);
		virtq_put(&queue->ring, chain.head, 0);
	}
	if (n < 0) {
		vhost_fail(queue->dev, n, "a buffer that is none");
		return;
	}
	if (taken && !vhost_notify(queue))
		return;
	if (taken == TURN_CHAINS)
		vhost_again(queue);
	/* Without credit, nothing of it is to be known. */
	else if (port_second_credit(serial->port))
		await_kick(queue);
}

/* --- memory --- */

#define PAGE 4096u

/* Give back the pages of all buffers that wait to be written into. */
static void release_pages(struct vhost_queue *queue)
{
	struct iovec iov[VIRTQ_CHAIN_MAX];
	struct virtq_chain chain;
	uint16_t taken = 0;
	int n = 1;

	if (!virtq_running(&queue->ring))
		return;
	while (taken < queue->ring.num &&
	       (n = virtq_next(&queue->ring, &chain, iov)) > 0) {
		taken++;
		for (unsigned int i = 0; i < chain.n_in; i++)
			if (((uintptr_t)chain.in[i].iov_base |
			     chain.in[i].iov_len) %
				    PAGE ==
			    0)
				/* Where it cannot be, it only costs memory */
				madvise(chain.in[i].iov_base,
					chain.in[i].iov_len, MADV_REMOVE);
	}
	if (n < 0)
		vhost_fail(queue->dev, n, "a buffer that is none");
	else
		virtq_rewind(&queue->ring, taken);
}

static void idle(struct loop_timer *timer)
{
	struct serial *serial = container_of(timer, struct serial, idle);

	if (!serial->dev.open || buf_len(&serial->input))
		return;
	release_pages(&serial->queues[QUEUE_IN]);
	release_pages(&serial->queues[QUEUE_CONTROL_IN]);
}

static void set_opened(struct serial *serial, bool opened)
{
	if (serial->opened == opened)
		return;
	serial->opened = opened;
	buf_consume(&serial->input, buf_len(&serial->input));
	loop_timer_set(serial->loop, &serial->idle, SERIAL_IDLE_MS, idle);
	serial->ops->changed(serial, opened ? SERIAL_OPENED : SERIAL_CLOSED);
}

/* virtio 1.2, 5.3.6.2 */
static void control(struct serial *serial,
		    const struct virtio_console_control *message)
{
	switch (message->event) {
	case VIRTIO_CONSOLE_DEVICE_READY:
		send_control(serial, VIRTIO_CONSOLE_PORT_ADD, 1, NULL, 0);
		break;
	case VIRTIO_CONSOLE_PORT_READY:
		if (message->id)
			break;
		send_control(serial, VIRTIO_CONSOLE_PORT_NAME, 1, PORT_NAME,
			     sizeof(PORT_NAME) - 1);
		send_control(serial, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL, 0);
		break;
	case VIRTIO_CONSOLE_PORT_OPEN:
		if (message->id == 0)
			set_opened(serial, message->value != 0);
		break;
	default:
		break;
	}
}

/* The guest's control messages, each in one buffer of eight bytes. */
static void pull_control(struct serial *serial)
{
	struct vhost_queue *queue = &serial->queues[QUEUE_CONTROL_OUT];

	for (int taken = 0; virtq_running(&queue->ring); taken++) {
		struct virtio_console_control message = {0};
		struct iovec iov[VIRTQ_CHAIN_MAX];
		struct virtq_chain chain;
		int n;

		if (taken == TURN_CHAINS) {
			vhost_again(queue);
			return;
		}
		n = virtq_next(&queue->ring, &chain, iov);
		if (n == 0)
			await_kick(queue);
		if (n < 0)
			vhost_fail(queue->dev, n, "a buffer that is none");
		if (n <= 0)
			return;
		if (chain.n_out && iov[0].iov_len >= sizeof(message))
			memcpy(&message, iov[0].iov_base, sizeof(message));
		virtq_put(&queue->ring, chain.head, 0);
		if (!vhost_notify(queue))
			return;
		if (chain.out_len == sizeof(message))
			control(serial, &message);
	}
}

/* --- the device --- */

static void queue_started(struct vhost_queue *queue)
{
	(void)queue;
}

static void queue_stopped(struct vhost_queue *queue)
{
	(void)queue;
}

static void queue_kicked(struct vhost_queue *queue)
{
	struct serial *serial = serial_of(queue);

	switch (queue->index) {
	case QUEUE_IN:
		push(queue, &serial->input);
		break;
	case QUEUE_OUT:
		pull(serial);
		break;
	case QUEUE_CONTROL_IN:
		push_control(serial);
		break;
	default:
		pull_control(serial);
		break;
	}
}

static void device_ended(struct vhost_dev *dev, int err, const char *what)
{
	struct serial *serial = container_of(dev, struct serial, dev);

	vhost_unmap(dev);
	if (err)
		log_msg("serial: %s: %s", what, strerror(-err));
	buf_consume(&serial->control, buf_len(&serial->control));
	serial->opened = false;
	buf_consume(&serial->input, buf_len(&serial->input));
	serial->ops->changed(serial, err ? SERIAL_BROKEN : SERIAL_GONE);
}

static const struct vhost_ops device_ops = {
	.features = VHOST_RING_FEATURES | UINT64_C(1)
						  << VIRTIO_CONSOLE_F_MULTIPORT,
	.n_queues = SERIAL_QUEUES,
	.started = queue_started,
	.stopped = queue_stopped,
	.kicked = queue_kicked,
	.ended = device_ended,
};

/* A guest that reboots may be back before the end of the old one is seen. */
static void listener_ready(struct loop_fd *entry, uint32_t events)
{
	static const struct virtio_console_config config = {.max_nr_ports = 1};
	struct serial *serial = container_of(entry, struct serial, listener);
	int fd = accept4(entry->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int err;

	(void)events;
	if (fd < 0)
		return;
	vhost_fail(&serial->dev, 0, "replaced");
	memcpy(serial->dev.config, &config, sizeof(config));
	serial->dev.config_len = sizeof(config);
	err = vhost_open(&serial->dev, serial->loop, &device_ops,
			 serial->queues, fd);
	if (err) {
		log_msg("serial: %s", strerror(-err));
		close(fd);
	}
}

int serial_init(struct serial *serial, struct loop *loop, struct port *port,
		const struct serial_ops *ops)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX,
				  .sun_path = SERIAL_PATH};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*serial = (struct serial){.loop = loop, .port = port, .ops = ops};
	buf_init(&serial->input, SERIAL_INPUT_MAX);
	buf_init(&serial->control, SERIAL_CONTROL_MAX);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ||
	    listen(fd, 1) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return loop_add(loop, &serial->listener, fd, EPOLLIN, listener_ready);
}

void serial_input(struct serial *serial, const uint8_t *bytes, size_t len)
{
	if (!serial->opened)
		return;
	if (buf_append(&serial->input, bytes, len)) {
		serial->input_dropped += len;
		log_msg("serial: %zu bytes for the guest dropped, %llu in all",
			len, (unsigned long long)serial->input_dropped);
	}
	push(&serial->queues[QUEUE_IN], &serial->input);
	loop_timer_set(serial->loop, &serial->idle, SERIAL_IDLE_MS, idle);
}

void serial_resume(struct serial *serial)
{
	pull(serial);
}
