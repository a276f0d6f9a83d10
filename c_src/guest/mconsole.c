/* SPDX-License-Identifier: Apache-2.0 */
#include "mconsole.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "jail.h"
#include "log.h"

/* The two addresses that the guest's command line and replies refer to. */
#define NOTIFY_PATH JAIL_DIR "/notify"
#define CLIENT_PATH JAIL_DIR "/client"

static int bind_path(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static void request_next(struct mconsole *mc);

static void request_done(struct mconsole *mc, int err)
{
	struct mconsole_request *request = mc->queue;
	int fd = mc->reply.fd;

	mc->queue = request->next;
	mc->queued--;
	loop_timer_cancel(mc->loop, &mc->limit);
	if (fd >= 0) {
		loop_del(mc->loop, &mc->reply);
		close(fd);
	}
	mc->ops->answer(mc, request->id, err, buf_data(&mc->output),
			buf_len(&mc->output));
	buf_free(&mc->output);
	free(request);
	request_next(mc);
}

static void limit_expired(struct loop_timer *timer)
{
	request_done(container_of(timer, struct mconsole, limit), -ETIMEDOUT);
}

static void reply_ready(struct loop_fd *entry, uint32_t events)
{
	struct mconsole *mc = container_of(entry, struct mconsole, reply);
	struct mconsole_reply reply;
	ssize_t n = recv(entry->fd, &reply, sizeof(reply), 0);
	size_t len;

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0 || mconsole_reply_text(&reply, (size_t)n, &len)) {
		request_done(mc, -EPROTO);
		return;
	}
	if (buf_append(&mc->output, reply.data, len))
		log_msg("mconsole: output of more than %u bytes is cut",
			MCONSOLE_OUTPUT_MAX);
	if (!reply.more)
		request_done(mc, reply.err ? -EREMOTEIO : 0);
}

static int request_send(struct mconsole *mc, int fd)
{
	const struct mconsole_request *request = mc->queue;
	struct mconsole_packet packet;

	mconsole_packet_make(&packet, request->command, request->len);
	if (sendto(fd, &packet, sizeof(packet), 0,
		   (struct sockaddr *)&mc->guest, sizeof(mc->guest)) < 0)
		return -errno;
	return loop_add(mc->loop, &mc->reply, fd, EPOLLIN, reply_ready);
}

/* Start the first request of the queue. */
static void request_next(struct mconsole *mc)
{
	int fd, err;

	if (!mc->queue)
		return;
	fd = bind_path(CLIENT_PATH);
	err = fd < 0 ? fd : request_send(mc, fd);
	if (err) {
		if (fd >= 0)
			close(fd);
		request_done(mc, err);
		return;
	}
	loop_timer_set(mc->loop, &mc->limit, MCONSOLE_TIMEOUT_MS,
		       limit_expired);
}

int mconsole_request(struct mconsole *mc, uint64_t id, const char *command,
		     size_t len)
{
	struct mconsole_request *request, **at = &mc->queue;

	if (len >= MCONSOLE_DATA_MAX)
		return -E2BIG;
	if (!mc->guest.sun_family)
		return -ENOTCONN;
	if (mc->queued == MCONSOLE_QUEUE_MAX)
		return -EBUSY;
	request = calloc(1, sizeof(*request));
	if (!request)
		return -ENOMEM;
	request->id = id;
	request->len = len;
	memcpy(request->command, command, len);
	while (*at)
		at = &(*at)->next;
	*at = request;
	if (mc->queued++ == 0)
		request_next(mc);
	return 0;
}

/* The guest's kernel answers at this path; it must be one of the jail's. */
static void guest_at(struct mconsole *mc, const char *path, size_t len)
{
	static const char folder[] = JAIL_DIR "/";

	if (len < sizeof(folder) || len >= sizeof(mc->guest.sun_path) ||
	    memcmp(path, folder, sizeof(folder) - 1) != 0) {
		log_msg("mconsole: the guest names a socket outside its jail");
		return;
	}
	memset(&mc->guest, 0, sizeof(mc->guest));
	mc->guest.sun_family = AF_UNIX;
	memcpy(mc->guest.sun_path, path, len);
	mc->user_notices = 0;
	mc->ops->booted(mc);
}

static void notice_ready(struct loop_fd *entry, uint32_t events)
{
	struct mconsole *mc = container_of(entry, struct mconsole, notices);
	struct mconsole_notice notice;
	ssize_t n = recv(entry->fd, &notice, sizeof(notice), 0);
	size_t len;

	(void)events;
	if (n < 0 || mconsole_notice_text(&notice, (size_t)n, &len))
		return;
	switch (notice.type) {
	case NOTICE_SOCKET:
		guest_at(mc, notice.data, len);
		break;
	case NOTICE_PANIC:
		mc->ops->panicked(mc, notice.data, len);
		break;
	case NOTICE_USER:
		/* Any program of the guest's root may write these: bounded */
		if (mc->user_notices++ < MCONSOLE_NOTICES_MAX)
			mc->ops->notified(mc, notice.data, len);
		break;
	default:
		break;
	}
}

int mconsole_init(struct mconsole *mc, struct loop *loop,
		  const struct mconsole_ops *ops)
{
	int fd;

	*mc = (struct mconsole){.loop = loop, .ops = ops, .reply.fd = -1};
	buf_init(&mc->output, MCONSOLE_OUTPUT_MAX);
	fd = bind_path(NOTIFY_PATH);
	if (fd < 0)
		return fd;
	return loop_add(loop, &mc->notices, fd, EPOLLIN, notice_ready);
}

void mconsole_close(struct mconsole *mc)
{
	while (mc->queue) {
		struct mconsole_request *request = mc->queue;

		mc->queue = request->next;
		free(request);
	}
	loop_timer_cancel(mc->loop, &mc->limit);
	loop_del(mc->loop, &mc->reply);
	loop_del(mc->loop, &mc->notices);
	buf_free(&mc->output);
}
