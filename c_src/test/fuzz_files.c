/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_files - the file of files, whatever is in it: nothing outside is read.
 */
#include <stdint.h>
#include <stdlib.h>

#include "../init/init.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

void init_fail(const char *step, const char *what)
{
	(void)step;
	(void)what;
	abort();
}

void make_parents(char *path)
{
	(void)path;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct file file;
	size_t at = 0;
	long n;

	while ((n = file_parse(&file, bytes + at, len - at)) > 0) {
		at += (size_t)n;
		if (at > len || file.path[0] != '/' ||
		    file.bytes + file.size != bytes + at)
			abort();
	}
	return 0;
}
