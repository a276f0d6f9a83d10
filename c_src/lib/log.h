/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - lines on stderr, which the BEAM's own stderr receives.
 *
 * stdout belongs to the port protocol, so nothing may ever be printed there.
 * What an outside peer can trigger is logged through log_limited(), at most
 * LOG_BURST lines in LOG_WINDOW_MS for one call site.
 */
#ifndef EVUM_LOG_H
#define EVUM_LOG_H

#include <stdint.h>

#define LOG_BURST 5
#define LOG_WINDOW_MS 10000

struct log_limit {
	int64_t window_start_ms;
	unsigned int lines;
	unsigned int suppressed;
};

void log_init(const char *program);
void log_msg(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_limited(struct log_limit *limit, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* For start-up and a broken pipe to the BEAM only: log and exit(1). */
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
