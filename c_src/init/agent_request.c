/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

#define PIPE_SIZE (256 << 10)

void requests_init(struct requests *rs)
{
	memset(rs, 0, sizeof(*rs));
}

static struct request *find(struct requests *rs, uint32_t id)
{
	for (size_t i = 0; i < AGENT_REQUESTS_MAX; i++)
		if (rs->slots[i].used && rs->slots[i].id == id)
			return &rs->slots[i];
	return NULL;
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* It is over, but for what is still to be sent. */
static void end(struct request *r, uint8_t how, uint32_t value)
{
	r->ended = true;
	r->how = how;
	r->value = value;
	r->input_due = 0;
	close_end(&r->in);
}

static void end_number(struct request *r, int number)
{
	if (number < 0)
		end(r, DONE_ERRNO, (uint32_t)-number);
	else
		end(r, DONE_OK, (uint32_t)number);
}

/* --- starting --- */

static pid_t start_child(const struct frame *frame, struct request *r, int in,
			 int out)
{
	static struct frame_run run;
	struct frame_file file;

	switch (frame->type) {
	case FRAME_RUN:
		if (frame_run(frame, &run))
			return -EBADMSG;
		r->window = run.window;
		return child_run(&run, in, out);
	case FRAME_PUT:
		if (frame_put(frame, &file))
			return -EBADMSG;
		return child_put(&file, in, out);
	case FRAME_GET:
		if (frame_get(frame, &file))
			return -EBADMSG;
		r->window = file.window;
		return child_get(&file, in, out);
	default:
		/* Its replies are no more than this by the nature of it. */
		r->window = AGENT_INPUT_WINDOW;
		return child_netlink(frame->payload, frame->len, in, out);
	}
}

static bool has_input(const struct frame *frame)
{
	/* RUN's flag is behind its window */
	return frame->type == FRAME_PUT ||
	       (frame->type == FRAME_RUN && frame->len > 4 &&
		frame->payload[4]);
}

/* A pipe whose end `ours' does not block; the other is a child's. */
static int open_pipe(int fds[2], int ours)
{
	if (pipe2(fds, O_CLOEXEC) < 0) {
		fds[0] = fds[1] = -1;
		return -errno;
	}
	fcntl(fds[ours], F_SETFL, O_NONBLOCK);
	/* Only saves turns: as small as it is where that is refused */
	fcntl(fds[ours], F_SETPIPE_SZ, PIPE_SIZE);
	return 0;
}

static void start(struct request *r, const struct frame *frame)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1};
	bool input = has_input(frame);
	pid_t pid = 0;

	if (input)
		pid = open_pipe(in, 1);
	else if ((in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
		pid = -errno;
	if (pid == 0)
		pid = open_pipe(out, 0);
	if (pid == 0)
		pid = start_child(frame, r, in[0], out[1]);
	close_end(&in[0]);
	close_end(&out[1]);
	r->in = in[1];
	r->out = out[0];
	if (pid < 0) {
		close_end(&r->out);
		end_number(r, pid);
		return;
	}
	r->pid = pid;
	if (input)
		r->input_due = AGENT_INPUT_WINDOW;
}

static int resize(const struct frame *frame)
{
	uint32_t size;

	if (frame_u32(frame, &size))
		return -EBADMSG;
	return console_resize((uint16_t)(size >> 16), (uint16_t)size);
}

/* Process 1 ends all in order, this process first. */
static int power(const struct frame *frame)
{
	uint32_t reboot;

	if (frame_u32(frame, &reboot))
		return -EBADMSG;
	return kill(1, reboot ? SIGTERM : SIGUSR2) < 0 ? -errno : 0;
}

static int request(struct requests *rs, const struct frame *frame)
{
	struct request *r = NULL;

	if (find(rs, frame->id))
		return -EBADMSG;
	for (size_t i = 0; i < AGENT_REQUESTS_MAX && !r; i++)
		if (!rs->slots[i].used)
			r = &rs->slots[i];
	/* evum_agent never has more of them under way */
	if (!r)
		return -EBADMSG;
	*r = (struct request){
		.used = true,
		.id = frame->id,
		.type = frame->type,
		.in = -1,
		.out = -1,
	};
	if (frame->type == FRAME_UNREAD)
		end_number(r, console_unread());
	else if (frame->type == FRAME_RESIZE)
		end_number(r, resize(frame));
	else if (frame->type == FRAME_POWER)
		end_number(r, power(frame));
	else
		start(r, frame);
	return 0;
}

/* --- input --- */

/* Into the pipe what fits; a child that has closed it wants no more. */
static void feed(struct request *r)
{
	while (r->in >= 0 && r->input_len) {
		ssize_t n =
			write(r->in, r->input + r->input_head, r->input_len);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			close_end(&r->in);
			break;
		}
		r->input_head += (size_t)n;
		r->input_len -= (size_t)n;
		r->input_due += (uint32_t)n;
	}
	if (r->in < 0) {
		r->input_due += (uint32_t)r->input_len;
		r->input_len = 0;
	}
	if (!r->input_len) {
		r->input_head = 0;
		if (r->input_ended)
			close_end(&r->in);
	}
}

static int input(struct request *r, const uint8_t *bytes, size_t len)
{
	if (len > r->input_granted || r->input_ended)
		return -EBADMSG;
	r->input_granted -= (uint32_t)len;
	if (!r->input)
		r->input = malloc(AGENT_INPUT_WINDOW);
	if (!r->input)
		return -ENOMEM;
	/* What was granted fits, once it is moved to the front. */
	if (r->input_head) {
		memmove(r->input, r->input + r->input_head, r->input_len);
		r->input_head = 0;
	}
	memcpy(r->input + r->input_len, bytes, len);
	r->input_len += len;
	feed(r);
	return 0;
}

static void cancel(struct request *r)
{
	close_end(&r->in);
	r->input_len = 0;
	close_end(&r->out);
	if (r->ended || r->pid <= 0)
		return;
	if (r->type == FRAME_RUN)
		child_kill_session(r->pid);
	else if (r->type != FRAME_PUT)
		kill(r->pid, SIGKILL);
}

static int grant(struct request *r, const struct frame *frame)
{
	uint32_t more;

	if (frame_u32(frame, &more) || more > UINT32_MAX - r->window)
		return -EBADMSG;
	r->window += more;
	return 0;
}

int requests_frame(struct requests *rs, const struct frame *frame)
{
	struct request *r;

	if (frame->type >= FRAME_RUN && frame->type <= FRAME_POWER)
		return request(rs, frame);
	r = find(rs, frame->id);
	/* Its end was under way when the host sent this */
	if (!r)
		return 0;
	switch (frame->type) {
	case FRAME_DATA:
		return r->ended ? 0 : input(r, frame->payload, frame->len);
	case FRAME_EOF:
		r->input_ended = true;
		feed(r);
		return 0;
	case FRAME_WINDOW:
		return grant(r, frame);
	case FRAME_CANCEL:
		cancel(r);
		return 0;
	default:
		return -EBADMSG;
	}
}

/* --- output --- */

void requests_reaped(struct requests *rs, pid_t pid, int wait_status)
{
	for (size_t i = 0; i < AGENT_REQUESTS_MAX; i++) {
		struct request *r = &rs->slots[i];
		int left = 0;

		if (!r->used || r->pid != pid)
			continue;
		/*
		 * Others may have the pipe, a daemon that the command has
		 * left behind: what is in it now is the command's output.
		 */
		if (r->out >= 0)
			ioctl(r->out, FIONREAD, &left);
		r->left = (size_t)left;
		r->pid = 0;
		if (WIFSIGNALED(wait_status))
			end(r, DONE_SIGNAL, (uint32_t)WTERMSIG(wait_status));
		else if (r->type == FRAME_RUN || WEXITSTATUS(wait_status) == 0)
			end_number(r, WEXITSTATUS(wait_status));
		else
			end_number(r, -WEXITSTATUS(wait_status));
		return;
	}
}

static size_t output_size(const struct request *r)
{
	size_t size = r->window < AGENT_CHUNK ? r->window : AGENT_CHUNK;

	return r->ended && r->left < size ? r->left : size;
}

/* One piece; whether there may be more. */
static bool send_output(struct requests *rs, struct request *r)
{
	size_t max = output_size(r);
	uint8_t *at = max ? agent_room(&rs->out, max) : NULL;
	ssize_t n;

	if (!at || r->out < 0)
		return false;
	n = read(r->out, at + FRAME_HEADER, max);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		close_end(&r->out);
		r->left = 0;
		return false;
	}
	frame_header(at, FRAME_DATA, r->id, (size_t)n);
	agent_queued(&rs->out, FRAME_HEADER + (size_t)n);
	r->window -= (uint32_t)n;
	if (r->ended)
		r->left -= (size_t)n;
	return true;
}

/* Not a frame for each little piece that the child has taken. */
static void send_window(struct requests *rs, struct request *r)
{
	uint8_t *at;

	if (!r->input_due ||
	    (r->input_due < AGENT_INPUT_WINDOW / 4 && r->input_len))
		return;
	at = agent_room(&rs->out, 4);
	if (!at)
		return;
	frame_header(at, FRAME_WINDOW, r->id, 4);
	frame_put_u32(at + FRAME_HEADER, r->input_due);
	agent_queued(&rs->out, FRAME_HEADER + 4);
	r->input_granted += r->input_due;
	r->input_due = 0;
}

static void send_done(struct requests *rs, struct request *r)
{
	uint8_t *at = agent_room(&rs->out, 5);

	if (!at)
		return;
	frame_header(at, FRAME_DONE, r->id, 5);
	at[FRAME_HEADER] = r->how;
	frame_put_u32(at + FRAME_HEADER + 1, r->value);
	agent_queued(&rs->out, FRAME_HEADER + 5);
	close_end(&r->out);
	free(r->input);
	r->used = false;
}

void requests_move(struct requests *rs)
{
	/* A piece each in turn, so that none keeps the channel to itself. */
	for (size_t i = 0; i < AGENT_REQUESTS_MAX; i++) {
		struct request *r = &rs->slots[i];

		if (!r->used)
			continue;
		feed(r);
		send_window(rs, r);
		send_output(rs, r);
		if (r->ended && (r->out < 0 || !r->left))
			send_done(rs, r);
	}
}

size_t requests_poll(struct requests *rs, struct pollfd *fds)
{
	bool room = agent_room(&rs->out, AGENT_CHUNK) != NULL;
	size_t n = 0;

	for (size_t i = 0; i < AGENT_REQUESTS_MAX; i++) {
		const struct request *r = &rs->slots[i];

		if (!r->used)
			continue;
		if (r->in >= 0 && r->input_len)
			fds[n++] = (struct pollfd){r->in, POLLOUT, 0};
		if (room && r->out >= 0 && output_size(r))
			fds[n++] = (struct pollfd){r->out, POLLIN, 0};
	}
	return n;
}
