/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - one epoll set, timers and deferred frees, for every port program.
 *
 * Entries are embedded in the structures they serve (container_of() finds the
 * way back), so watching a descriptor never allocates. A callback may remove
 * any entry, its own included: an event that epoll had already reported for a
 * removed entry is dropped, and memory handed to loop_defer() is freed only at
 * the end of the turn, so such an event never points into freed memory.
 *
 * A task is work left over from this turn: it runs in the next one, behind the
 * descriptors that are ready then, and that turn does not sleep.
 *
 * With poll_us the loop looks again and again for so long before it sleeps, as
 * long as that pays: where the last events came later, it does not, until some
 * come so soon again. Without events it sleeps.
 *
 * Timers are in nanoseconds. The kernel wakes who sleeps for long a little
 * late, by 0.1 % of the time (select_estimate_accuracy() of fs/select.c), and
 * by the slack of the process: who needs it more exactly lowers that
 * (PR_SET_TIMERSLACK).
 */
#ifndef EVUM_LOOP_H
#define EVUM_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct loop_fd {
	int fd; /* -1: not watched */
	uint32_t events;
	void (*ready)(struct loop_fd *entry, uint32_t events);
};

struct loop_timer {
	struct loop_timer *next;
	int64_t due_ns;
	bool armed;
	void (*expired)(struct loop_timer *timer);
};

struct loop_task {
	bool queued;
	uint64_t turn; /* the first in which it may run */
	void (*run)(struct loop_task *task);
	TAILQ_ENTRY(loop_task) link;
};
TAILQ_HEAD(loop_task_list, loop_task);

struct loop_garbage {
	struct loop_garbage *next;
	void (*release)(struct loop_garbage *garbage);
};

struct loop {
	int epoll_fd;
	bool stopped;
	int64_t now_ms; /* of this turn, for who can do with its start */
	uint64_t turn;
	struct loop_timer *timers; /* ascending by due_ns */
	struct loop_task_list tasks;
	struct loop_garbage *garbage;
	uint32_t poll_us; /* 0: never polls */
	uint32_t pays;	  /* polling would have; up to LOOP_PAYS_MAX */
};

/* How many times polling is in vain before it ends: the logarithm of this. */
#define LOOP_PAYS_MAX 8

#define LOOP_NS_PER_MS INT64_C(1000000)

/* CLOCK_MONOTONIC. */
int64_t loop_now_ns(void);
int64_t loop_now_ms(void);

/* All return 0 or -errno. The loop never closes a descriptor it watches. */
int loop_init(struct loop *loop);
int loop_add(struct loop *loop, struct loop_fd *entry, int fd, uint32_t events,
	     void (*ready)(struct loop_fd *, uint32_t));
/* Change what is watched; a no-op, without a system call, when unchanged. */
int loop_watch(struct loop *loop, struct loop_fd *entry, uint32_t events);
void loop_del(struct loop *loop, struct loop_fd *entry);

/* One shot, at a time of loop_now_ns(); arming an armed timer moves it. */
void loop_timer_at(struct loop *loop, struct loop_timer *timer, int64_t due_ns,
		   void (*expired)(struct loop_timer *));
void loop_timer_set(struct loop *loop, struct loop_timer *timer,
		    int64_t after_ms, void (*expired)(struct loop_timer *));
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

/* Queue a task for the next turn; a no-op where it is queued already. */
void loop_task_add(struct loop *loop, struct loop_task *task,
		   void (*run)(struct loop_task *));
void loop_task_cancel(struct loop *loop, struct loop_task *task);

void loop_defer(struct loop *loop, struct loop_garbage *garbage,
		void (*release)(struct loop_garbage *));

/* Run until loop_stop(); returns 0, or -errno when epoll itself fails. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
void loop_close(struct loop *loop);

#endif
