/* SPDX-License-Identifier: BSD-2-Clause */
/* What `weft run` makes of the file that it is to run: the input is that file. Any bytes get an answer, the same
 * one whatever place there is for the reason, and a reason for each no, in one printable line. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "cli/program.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *put_file(const void *data, size_t len)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("program", MFD_CLOEXEC);
		FUZZ_CHECK(fd >= 0 && !fchmod(fd, 0700), "no file: %m");
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	FUZZ_CHECK(!ftruncate(fd, 0) && pwrite(fd, data, len, 0) == (ssize_t)len, "no file: %m");
	return path;
}

static void check_reason(const char *why, size_t size)
{
	size_t len = strnlen(why, size);

	FUZZ_CHECK(len < size, "the reason does not end");
	FUZZ_CHECK(len || size == 1, "no reason");
	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK((unsigned char)why[i] >= 0x20 && why[i] != 0x7f,
			   "the reason is not printable");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t sizes[] = { 4096, 1, 2, 40 };
	const char *path = put_file(data, size);
	char why[4096], name[64], found[WEFT_PROGRAM_PATH_MAX];
	bool first = false;

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(sizes); i++) {
		bool ok;

		memset(why, 0x5a, sizeof(why));
		ok = weft_program_can_preload(path, why, sizes[i]);
		if (!ok)
			check_reason(why, sizes[i]);
		if (i == 0)
			first = ok;
		FUZZ_CHECK(ok == first, "another answer for %zu bytes", sizes[i]);
		FUZZ_CHECK(why[sizes[i] % sizeof(why)] == 0x5a || sizes[i] == sizeof(why),
			   "written behind %zu bytes", sizes[i]);
	}
	(void)weft_program_is_library(path);

	/* And as the name of a program. */
	snprintf(name, sizeof(name), "%.*s", (int)WEFT_MIN(size, sizeof(name) - 1),
		 (const char *)data);
	if (!weft_program_find(name, found, why, sizeof(why)))
		check_reason(why, sizeof(why));
	return 0;
}
