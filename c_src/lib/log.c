/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "loop.h"

#define LOG_LINE_MAX 512

/* The one piece of state outside a context: fixed once, before any thread. */
static const char *log_program = "evum";

void log_init(const char *program)
{
	log_program = program;
}

static void log_line(const char *fmt, va_list ap)
	__attribute__((format(printf, 1, 0)));

/* One write(2) a line: lines of several programs do not interleave. */
static void log_line(const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX];
	int used, more;

	used = snprintf(line, sizeof(line), "%s[%d]: ", log_program,
			(int)getpid());
	more = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, fmt, ap);
	if (more < 0)
		return;
	used += more;
	if ((size_t)used > sizeof(line) - 2)
		used = (int)sizeof(line) - 2;
	line[used++] = '\n';
	/* A log that cannot be written has nobody to tell. */
	if (write(STDERR_FILENO, line, (size_t)used) < 0)
		return;
}

void log_msg(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(fmt, ap);
	va_end(ap);
}

void log_limited(struct log_limit *limit, const char *fmt, ...)
{
	int64_t now = loop_now_ms();
	va_list ap;

	if (!limit->lines || now - limit->window_start_ms > LOG_WINDOW_MS) {
		if (limit->suppressed)
			log_msg("%u more lines like the next one",
				limit->suppressed);
		limit->window_start_ms = now;
		limit->lines = 0;
		limit->suppressed = 0;
	}
	if (limit->lines >= LOG_BURST) {
		limit->suppressed++;
		return;
	}
	limit->lines++;
	va_start(ap, fmt);
	log_line(fmt, ap);
	va_end(ap);
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(fmt, ap);
	va_end(ap);
	exit(EXIT_FAILURE);
}
