/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit - the smallest frame for a test program: CHECK() and a TAP line a case.
 */
#ifndef EVUM_UNIT_H
#define EVUM_UNIT_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond)                                                         \
	do {                                                                \
		if (!(cond)) {                                              \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond); \
			unit_failed = 1;                                    \
		}                                                           \
	} while (0)

#define RUN(test)                                                     \
	do {                                                          \
		unit_failed = 0;                                      \
		test();                                               \
		printf("%s %d - %s\n", unit_failed ? "not ok" : "ok", \
		       ++unit_cases, #test);                          \
		unit_failures += unit_failed;                         \
	} while (0)

#define UNIT_DONE()                                                 \
	do {                                                        \
		printf("1..%d\n", unit_cases);                      \
		return unit_failures ? EXIT_FAILURE : EXIT_SUCCESS; \
	} while (0)

static int unit_failed, unit_failures, unit_cases;

#endif
