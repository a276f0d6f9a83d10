/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <time.h>
#include <unistd.h>

#define LOOP_EVENTS 64
#define NS_PER_S INT64_C(1000000000)
#define NS_PER_US 1000

/*
 * The kernel may wake a sleeper late by this part of the time, and does. So
 * much earlier it is asked to; what is left then is slept for once more.
 */
#define SLACK_PART 1000

int64_t loop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t loop_now_ms(void)
{
	return loop_now_ns() / LOOP_NS_PER_MS;
}

int loop_init(struct loop *loop)
{
	*loop = (struct loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
			      .now_ms = loop_now_ms()};
	TAILQ_INIT(&loop->tasks);
	return loop->epoll_fd < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, struct loop_fd *entry, int fd, uint32_t events,
	     void (*ready)(struct loop_fd *, uint32_t))
{
	struct epoll_event ev = {.events = events, .data.ptr = entry};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	*entry = (struct loop_fd){.fd = fd, .events = events, .ready = ready};
	return 0;
}

int loop_watch(struct loop *loop, struct loop_fd *entry, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = entry};

	if (entry->events == events)
		return 0;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, entry->fd, &ev) < 0)
		return -errno;
	entry->events = events;
	return 0;
}

void loop_del(struct loop *loop, struct loop_fd *entry)
{
	if (entry->fd < 0)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, entry->fd, NULL);
	entry->fd = -1;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	struct loop_timer **at = &loop->timers;

	if (!timer->armed)
		return;
	while (*at != timer)
		at = &(*at)->next;
	*at = timer->next;
	timer->armed = false;
}

void loop_timer_at(struct loop *loop, struct loop_timer *timer, int64_t due_ns,
		   void (*expired)(struct loop_timer *))
{
	struct loop_timer **at = &loop->timers;

	loop_timer_cancel(loop, timer);
	timer->due_ns = due_ns;
	timer->expired = expired;
	timer->armed = true;
	while (*at && (*at)->due_ns <= timer->due_ns)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer,
		    int64_t after_ms, void (*expired)(struct loop_timer *))
{
	loop_timer_at(loop, timer, loop_now_ns() + after_ms * LOOP_NS_PER_MS,
		      expired);
}

void loop_task_add(struct loop *loop, struct loop_task *task,
		   void (*run)(struct loop_task *))
{
	if (task->queued)
		return;
	task->queued = true;
	task->turn = loop->turn + 1;
	task->run = run;
	TAILQ_INSERT_TAIL(&loop->tasks, task, link);
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
	if (!task->queued)
		return;
	TAILQ_REMOVE(&loop->tasks, task, link);
	task->queued = false;
}

void loop_defer(struct loop *loop, struct loop_garbage *garbage,
		void (*release)(struct loop_garbage *))
{
	garbage->release = release;
	garbage->next = loop->garbage;
	loop->garbage = garbage;
}

static void loop_collect(struct loop *loop)
{
	while (loop->garbage) {
		struct loop_garbage *garbage = loop->garbage;

		loop->garbage = garbage->next;
		garbage->release(garbage);
	}
}

static void loop_expire(struct loop *loop)
{
	int64_t now;

	if (!loop->timers)
		return;
	now = loop_now_ns();
	while (loop->timers && loop->timers->due_ns <= now) {
		struct loop_timer *timer = loop->timers;

		loop_timer_cancel(loop, timer);
		timer->expired(timer);
	}
}

static void loop_run_tasks(struct loop *loop)
{
	struct loop_task *task;

	while ((task = TAILQ_FIRST(&loop->tasks)) && task->turn <= loop->turn) {
		loop_task_cancel(loop, task);
		task->run(task);
	}
}

/* How long it may sleep; below 0: for ever. */
static int64_t loop_wait_ns(const struct loop *loop)
{
	int64_t left;

	if (!TAILQ_EMPTY(&loop->tasks))
		return 0;
	if (!loop->timers)
		return -1;
	left = loop->timers->due_ns - loop_now_ns();
	return left < 0 ? 0 : left;
}

static int loop_sleep(struct loop *loop, struct epoll_event *events,
		      int64_t wait_ns)
{
	int64_t early_ns = wait_ns - wait_ns / SLACK_PART;
	struct timespec ts = {.tv_sec = early_ns / NS_PER_S,
			      .tv_nsec = early_ns % NS_PER_S};
	int n;

	if (wait_ns <= 0)
		return epoll_wait(loop->epoll_fd, events, LOOP_EVENTS,
				  wait_ns < 0 ? -1 : 0);
	n = epoll_pwait2(loop->epoll_fd, events, LOOP_EVENTS, &ts, NULL);
	if (n >= 0 || errno != ENOSYS)
		return n;
	/* Before Linux 5.11, or in a sandbox: late by a millisecond. */
	wait_ns = (wait_ns + LOOP_NS_PER_MS - 1) / LOOP_NS_PER_MS;
	return epoll_wait(loop->epoll_fd, events, LOOP_EVENTS,
			  wait_ns > INT_MAX ? INT_MAX : (int)wait_ns);
}

static int loop_await(struct loop *loop, struct epoll_event *events)
{
	int64_t wait_ns = loop_wait_ns(loop), start;
	int64_t soon = (int64_t)loop->poll_us * NS_PER_US;
	int n = 0;

	if (!soon || !wait_ns)
		return loop_sleep(loop, events, wait_ns);
	if (wait_ns > 0 && soon > wait_ns)
		soon = wait_ns;
	start = loop_now_ns();
	if (loop->pays) {
		do
			n = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, 0);
		while (!n && loop_now_ns() - start < soon);
	} else {
		soon *= 2; /* to be woken takes time too */
	}
	if (!n)
		n = loop_sleep(loop, events, loop_wait_ns(loop));
	if (n <= 0 || loop_now_ns() - start > soon)
		loop->pays /= 2;
	else if (loop->pays < LOOP_PAYS_MAX)
		loop->pays++;
	return n;
}

int loop_run(struct loop *loop)
{
	struct epoll_event events[LOOP_EVENTS];

	while (!loop->stopped) {
		int n = loop_await(loop, events);

		if (n < 0 && errno != EINTR)
			return -errno;
		loop->turn++;
		loop->now_ms = loop_now_ms();
		for (int i = 0; i < n; i++) {
			struct loop_fd *entry = events[i].data.ptr;

			if (entry->fd >= 0)
				entry->ready(entry, events[i].events);
		}
		loop_run_tasks(loop);
		loop_expire(loop);
		loop_collect(loop);
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

void loop_close(struct loop *loop)
{
	loop_collect(loop);
	close(loop->epoll_fd);
}
