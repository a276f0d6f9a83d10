/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <time.h>
#include <unistd.h>

#define LOOP_EVENTS 64

int64_t loop_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
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

void loop_timer_set(struct loop *loop, struct loop_timer *timer,
		    int64_t after_ms, void (*expired)(struct loop_timer *))
{
	struct loop_timer **at = &loop->timers;

	loop_timer_cancel(loop, timer);
	timer->due_ms = loop_now_ms() + after_ms;
	timer->expired = expired;
	timer->armed = true;
	while (*at && (*at)->due_ms <= timer->due_ms)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
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
	now = loop_now_ms();
	while (loop->timers && loop->timers->due_ms <= now) {
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

static int loop_wait_ms(const struct loop *loop)
{
	int64_t left;

	if (!TAILQ_EMPTY(&loop->tasks))
		return 0;
	if (!loop->timers)
		return -1;
	left = loop->timers->due_ms - loop_now_ms();
	if (left < 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

static int64_t loop_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int loop_await(struct loop *loop, struct epoll_event *events)
{
	int wait_ms = loop_wait_ms(loop), n = 0;
	int64_t start, soon = loop->poll_us;

	if (!soon || !wait_ms)
		return epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, wait_ms);
	if (wait_ms > 0 && soon > wait_ms * INT64_C(1000))
		soon = wait_ms * INT64_C(1000);
	start = loop_now_us();
	if (loop->pays) {
		do
			n = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, 0);
		while (!n && loop_now_us() - start < soon);
	} else {
		soon *= 2; /* to be woken takes time too */
	}
	if (!n)
		n = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, wait_ms);
	if (n <= 0 || loop_now_us() - start > soon)
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
