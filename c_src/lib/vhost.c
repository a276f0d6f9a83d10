/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost_request.h"

void vhost_close_fd(int *fd)
{
	/* A TCP socket may be told to wait in close(). */
	struct linger linger = {.l_onoff = 0};

	if (*fd < 0)
		return;
	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(*fd);
	*fd = -1;
}

void vhost_close_attached(struct vhost_dev *dev)
{
	for (unsigned int i = 0; i < dev->n_fds; i++)
		vhost_close_fd(&dev->fds[i]);
	dev->n_fds = 0;
}

/* --- Queues ----------------------------------------------------------- */

static void queue_init(struct vhost_dev *dev, unsigned int index)
{
	dev->queues[index] = (struct vhost_queue){
		.dev = dev,
		.index = index,
		.kick_fd = -1,
		.call_fd = -1,
		.kick.fd = -1,
	};
}

void vhost_queue_stop(struct vhost_queue *queue)
{
	if (!virtq_running(&queue->ring))
		return;
	queue->dev->ops->stopped(queue);
	queue->base = queue->ring.taken;
	virtq_stop(&queue->ring);
	loop_del(queue->dev->loop, &queue->kick);
	loop_task_cancel(queue->dev->loop, &queue->again);
}

void vhost_queues_stop(struct vhost_dev *dev)
{
	for (unsigned int i = 0; i < dev->ops->n_queues; i++)
		vhost_queue_stop(&dev->queues[i]);
}

bool vhost_queues_running(const struct vhost_dev *dev)
{
	for (unsigned int i = 0; i < dev->ops->n_queues; i++)
		if (virtq_running(&dev->queues[i].ring))
			return true;
	return false;
}

static void queue_kicked(struct vhost_queue *queue)
{
	if (!virtq_running(&queue->ring))
		return;
	queue->dev->ops->kicked(queue);
	if (guestmem_lost(&queue->dev->mem))
		vhost_fail(queue->dev, -EFAULT, "");
}

static void queue_task(struct loop_task *task)
{
	queue_kicked(container_of(task, struct vhost_queue, again));
}

static void queue_ready(struct loop_fd *entry, uint32_t events)
{
	(void)events;
	queue_kicked(container_of(entry, struct vhost_queue, kick));
}

/* Watch its kick: what comes is told by kicked(). */
vhost_verdict vhost_queue_watch(struct vhost_queue *queue)
{
	return loop_add(queue->dev->loop, &queue->kick, queue->kick_fd,
			EPOLLIN | EPOLLET, queue_ready)
		       ? "a kick that cannot be watched"
		       : NULL;
}

/* Has the front end told all there is to know of the queue? */
static bool queue_complete(const struct vhost_queue *queue)
{
	const struct vhost_dev *dev = queue->dev;
	bool enabled =
		queue->enabled || !(dev->features & VHOST_FEATURE_PROTOCOL);

	return dev->features && dev->mem.n_regions && queue->num &&
	       queue->has_addr && queue->kick_fd >= 0 && enabled;
}

/* Start the queue if it can be. */
vhost_verdict vhost_queue_start(struct vhost_queue *queue)
{
	struct vhost_dev *dev = queue->dev;
	vhost_verdict bad;

	if (virtq_running(&queue->ring) || !queue_complete(queue))
		return NULL;
	if (virtq_start(&queue->ring, &dev->mem, queue->num, queue->base,
			dev->features, &queue->addr))
		return "a ring that is not in the memory";
	bad = vhost_queue_watch(queue);
	if (bad) {
		virtq_stop(&queue->ring);
		return bad;
	}
	dev->ops->started(queue);
	/* What came before we watched has nobody else to tell of it. */
	if (virtq_running(&queue->ring))
		vhost_again(queue);
	return NULL;
}

vhost_verdict vhost_queues_start(struct vhost_dev *dev)
{
	vhost_verdict bad = NULL;

	for (unsigned int i = 0; i < dev->ops->n_queues && !bad; i++)
		bad = vhost_queue_start(&dev->queues[i]);
	return bad;
}

void vhost_again(struct vhost_queue *queue)
{
	loop_task_add(queue->dev->loop, &queue->again, queue_task);
}

bool vhost_show(struct vhost_queue *queue, bool *wanted)
{
	*wanted = virtq_publish(&queue->ring);
	if (!guestmem_lost(&queue->dev->mem))
		return true;
	vhost_fail(queue->dev, -EFAULT, "");
	return false;
}

void vhost_call(const struct vhost_queue *queue)
{
	static const uint64_t one = 1;

	/* A socket that is full holds calls that the guest has not seen. */
	if (queue->call_fd >= 0)
		send(queue->call_fd, &one, sizeof(one),
		     MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool vhost_notify(struct vhost_queue *queue)
{
	bool wanted;

	if (!vhost_show(queue, &wanted))
		return false;
	if (wanted)
		vhost_call(queue);
	return true;
}

/* --- The end ---------------------------------------------------------- */

static void dev_close(struct vhost_dev *dev)
{
	vhost_queues_stop(dev);
	dev->open = false;
	for (unsigned int i = 0; i < dev->ops->n_queues; i++) {
		loop_task_cancel(dev->loop, &dev->queues[i].again);
		vhost_close_fd(&dev->queues[i].kick_fd);
		vhost_close_fd(&dev->queues[i].call_fd);
	}
	vhost_close_attached(dev);
	vhost_close_fd(&dev->request_fd);
	loop_del(dev->loop, &dev->io);
	vhost_close_fd(&dev->fd);
}

void vhost_unmap(struct vhost_dev *dev)
{
	guestmem_clear(&dev->mem);
}

void vhost_close(struct vhost_dev *dev)
{
	if (dev->open)
		dev_close(dev);
}

void vhost_fail(struct vhost_dev *dev, int err, const char *what)
{
	if (!dev->open)
		return;
	/* A ring that turned to zeros makes no sense either: say the cause. */
	if (guestmem_lost(&dev->mem)) {
		err = -EFAULT;
		what = "its memory has vanished";
	}
	dev_close(dev);
	dev->ops->ended(dev, err, what);
}

/* --- The start ---------------------------------------------------------- */

int vhost_open(struct vhost_dev *dev, struct loop *loop,
	       const struct vhost_ops *ops, struct vhost_queue *queues, int fd)
{
	int err = loop_add(loop, &dev->io, fd, EPOLLIN, vhost_requests_ready);

	if (err)
		return err;
	dev->loop = loop;
	dev->ops = ops;
	dev->queues = queues;
	dev->features = 0;
	dev->open = true;
	dev->fd = fd;
	dev->request_fd = -1;
	dev->got = 0;
	dev->n_fds = 0;
	memset(&dev->mem, 0, sizeof(dev->mem));
	for (unsigned int i = 0; i < ops->n_queues; i++)
		queue_init(dev, i);
	return 0;
}
