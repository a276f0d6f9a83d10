/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

/* A descriptor that is ready, and what its callback is to do. */
struct source {
	struct loop_fd io;
	struct loop_garbage garbage;
	struct loop *loop;
	struct source *victim;
	int fd;
	int calls;
};

static struct source *source_of(struct loop_fd *io)
{
	return container_of(io, struct source, io);
}

static void source_open(struct loop *loop, struct source *source,
			void (*ready)(struct loop_fd *, uint32_t))
{
	*source = (struct source){.loop = loop, .fd = eventfd(1, EFD_CLOEXEC)};
	CHECK(!loop_add(loop, &source->io, source->fd, EPOLLIN, ready));
}

static void source_close(struct source *source)
{
	loop_del(source->loop, &source->io);
	close(source->fd);
}

static void stop_loop(struct loop_timer *timer);

/* A loop, a timer that ends it, and what has happened. */
struct bench {
	struct loop loop;
	struct loop_timer end;
	int order[8];
	int n;
};

static void bench_run(struct bench *bench, int64_t ms)
{
	loop_timer_set(&bench->loop, &bench->end, ms, stop_loop);
	CHECK(!loop_run(&bench->loop));
}

/* One turn: what is ready, and what is due. */
static void bench_turn(struct bench *bench)
{
	bench->loop.stopped = false;
	bench_run(bench, 0);
}

static void stop_loop(struct loop_timer *timer)
{
	loop_stop(&container_of(timer, struct bench, end)->loop);
}

/* --- timers --- */

struct numbered {
	struct loop_timer timer;
	struct bench *bench;
	int number;
};

static void note(struct loop_timer *timer)
{
	struct numbered *numbered = container_of(timer, struct numbered, timer);

	numbered->bench->order[numbered->bench->n++] = numbered->number;
}

static void timers_expire_in_order(void)
{
	struct bench bench = {.n = 0};
	struct numbered timers[4];

	CHECK(!loop_init(&bench.loop));
	for (int i = 0; i < 4; i++)
		timers[i] = (struct numbered){.bench = &bench, .number = i};
	loop_timer_set(&bench.loop, &timers[0].timer, 30, note);
	loop_timer_set(&bench.loop, &timers[1].timer, 10, note);
	loop_timer_set(&bench.loop, &timers[2].timer, 20, note);
	loop_timer_set(&bench.loop, &timers[3].timer, 5, note);
	loop_timer_cancel(&bench.loop, &timers[3].timer);
	loop_timer_cancel(&bench.loop, &timers[3].timer);
	/* Moved from the first place to the last. */
	loop_timer_set(&bench.loop, &timers[1].timer, 40, note);
	bench_run(&bench, 50);
	CHECK(bench.n == 3);
	CHECK(bench.order[0] == 2 && bench.order[1] == 0 &&
	      bench.order[2] == 1);
	CHECK(!timers[0].timer.armed);
	loop_close(&bench.loop);
}

static void note_time(struct loop_timer *timer)
{
	struct numbered *numbered = container_of(timer, struct numbered, timer);

	CHECK(loop_now_ns() >= timer->due_ns);
	note(timer);
	if (numbered->number == 2)
		loop_stop(&numbered->bench->loop);
}

/* Parts of a millisecond count, and nothing is early, as it is asked to be. */
static void timers_expire_on_the_nanosecond(void)
{
	struct bench bench = {.n = 0};
	struct numbered timers[3];
	int64_t start;

	CHECK(!loop_init(&bench.loop));
	start = loop_now_ns();
	for (int i = 0; i < 3; i++)
		timers[i] = (struct numbered){.bench = &bench, .number = i};
	loop_timer_at(&bench.loop, &timers[2].timer, start + 5000200,
		      note_time);
	loop_timer_at(&bench.loop, &timers[0].timer, start + 4900000,
		      note_time);
	loop_timer_at(&bench.loop, &timers[1].timer, start + 5000100,
		      note_time);
	CHECK(!loop_run(&bench.loop));
	CHECK(bench.n == 3);
	for (int i = 0; i < bench.n; i++)
		CHECK(bench.order[i] == i);
	loop_close(&bench.loop);
}

/* As a kernel that does not have the call. */
static int without_epoll_pwait2(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(*code),
				     .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void timers_expire_on_an_old_kernel(void)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (without_epoll_pwait2())
			_exit(2);
		timers_expire_on_the_nanosecond();
		fflush(stdout);
		_exit(unit_failed);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void again(struct loop_timer *timer)
{
	struct numbered *numbered = container_of(timer, struct numbered, timer);

	if (++numbered->number < 3)
		loop_timer_set(&numbered->bench->loop, timer, 1, again);
	else
		loop_stop(&numbered->bench->loop);
}

static void timer_rearms_itself(void)
{
	struct bench bench = {.n = 0};
	struct numbered timer = {.bench = &bench};

	CHECK(!loop_init(&bench.loop));
	loop_timer_set(&bench.loop, &timer.timer, 1, again);
	bench_run(&bench, 5000);
	CHECK(timer.number == 3);
	loop_close(&bench.loop);
}

/* --- entries --- */

static void removes_the_other(struct loop_fd *io, uint32_t events)
{
	struct source *source = source_of(io);

	(void)events;
	source->calls++;
	loop_del(source->loop, &source->victim->io);
	loop_del(source->loop, &source->io);
}

/*
 * Both are ready in the same turn, so epoll has reported the one that is
 * removed by the other.
 */
static void event_of_a_removed_entry_is_dropped(void)
{
	struct bench bench = {.n = 0};
	struct source a, b;

	CHECK(!loop_init(&bench.loop));
	source_open(&bench.loop, &a, removes_the_other);
	source_open(&bench.loop, &b, removes_the_other);
	a.victim = &b;
	b.victim = &a;
	bench_turn(&bench);
	CHECK(a.calls + b.calls == 1);
	source_close(&a);
	source_close(&b);
	loop_close(&bench.loop);
}

static void source_free(struct loop_garbage *garbage)
{
	struct source *source = container_of(garbage, struct source, garbage);

	source->loop->stopped = true;
	free(source);
}

static void frees_the_other(struct loop_fd *io, uint32_t events)
{
	struct source *source = source_of(io);
	struct source *victim = source->victim;

	(void)events;
	source->calls++;
	loop_del(source->loop, &source->io);
	source_close(victim);
	loop_defer(source->loop, &victim->garbage, source_free);
	/* Still there; ASan would tell. */
	victim->calls = 100;
}

static void deferred_memory_outlives_the_turn(void)
{
	struct bench bench = {.n = 0};
	struct source *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	struct source *left;

	CHECK(!loop_init(&bench.loop));
	source_open(&bench.loop, a, frees_the_other);
	source_open(&bench.loop, b, frees_the_other);
	a->victim = b;
	b->victim = a;
	/* epoll reports in the order of readiness, a before b. */
	left = a;
	bench_run(&bench, 1000);
	CHECK(left->calls == 1);
	source_close(left);
	free(left);
	loop_close(&bench.loop);
}

static void counts(struct loop_fd *io, uint32_t events)
{
	struct source *source = source_of(io);

	(void)events;
	if (++source->calls == 3)
		CHECK(!loop_watch(source->loop, io, 0));
}

static void watch_changes_what_is_reported(void)
{
	struct bench bench = {.n = 0};
	struct source a;

	CHECK(!loop_init(&bench.loop));
	source_open(&bench.loop, &a, counts);
	for (int i = 0; i < 5; i++)
		bench_turn(&bench);
	CHECK(a.calls == 3);
	CHECK(!loop_watch(&bench.loop, &a.io, EPOLLIN));
	bench_turn(&bench);
	CHECK(a.calls == 4);
	source_close(&a);
	CHECK(loop_add(&bench.loop, &a.io, a.fd, EPOLLIN, counts) == -EBADF);
	loop_close(&bench.loop);
}

static void writes(struct loop_timer *timer)
{
	struct numbered *numbered = container_of(timer, struct numbered, timer);
	uint64_t one = 1;

	CHECK(write(numbered->number, &one, sizeof(one)) == sizeof(one));
}

/* And that is all for this time. */
static void takes(struct loop_fd *io, uint32_t events)
{
	struct source *source = source_of(io);
	uint64_t value;

	(void)events;
	CHECK(read(source->fd, &value, sizeof(value)) == sizeof(value));
	source->calls++;
	loop_stop(source->loop);
}

static void polling_ends_where_it_does_not_pay(void)
{
	struct bench bench = {.n = 0};
	struct numbered late = {.bench = &bench};
	struct source a;

	CHECK(!loop_init(&bench.loop));
	source_open(&bench.loop, &a, takes);
	CHECK(!loop_run(&bench.loop));
	bench.loop.poll_us = 50;
	bench.loop.pays = LOOP_PAYS_MAX;
	late.number = a.fd;
	for (int i = 0; i < 5; i++) {
		bench.loop.stopped = false;
		loop_timer_set(&bench.loop, &late.timer, 20, writes);
		CHECK(!loop_run(&bench.loop));
	}
	CHECK(a.calls == 6);
	CHECK(bench.loop.pays < LOOP_PAYS_MAX);
	source_close(&a);
	loop_close(&bench.loop);
}

static void polling_pays_where_events_come_at_once(void)
{
	struct bench bench = {.n = 0};
	struct source a;

	CHECK(!loop_init(&bench.loop));
	bench.loop.poll_us = 10000000; /* above what a busy host delays */
	source_open(&bench.loop, &a, takes);
	CHECK(!loop_run(&bench.loop));
	CHECK(a.calls == 1 && bench.loop.pays == 1);
	source_close(&a);
	loop_close(&bench.loop);
}

int main(void)
{
	RUN(timers_expire_in_order);
	RUN(timers_expire_on_the_nanosecond);
	RUN(timers_expire_on_an_old_kernel);
	RUN(timer_rearms_itself);
	RUN(event_of_a_removed_entry_is_dropped);
	RUN(deferred_memory_outlives_the_turn);
	RUN(watch_changes_what_is_reported);
	RUN(polling_ends_where_it_does_not_pay);
	RUN(polling_pays_where_events_come_at_once);
	UNIT_DONE();
}
