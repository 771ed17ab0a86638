/* SPDX-License-Identifier: BSD-2-Clause */
/* The one hook through which pure code ends a program: say what was expected, and where. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void weft_assert_fail(const char *expr, const char *file, int line)
{
	fprintf(stderr, "weft: assertion failed: %s (%s:%d)\n", expr, file, line);
	abort();
}
