/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_LINT_DIFF_H
#define WEFT_ADVICE_LINT_DIFF_H

/* What edits make of a file. */
#include "advice/lint/lint.h"

#include <stdio.h>

/* The difference as patch(1) takes it, with three lines around each change. */
void weft_lint_diff(FILE *to, const char *name, const char *bytes, uint32_t len,
		    const struct weft_lint_edits *edits);

/* The file with all of them, which the caller frees; NULL: out of memory. */
char *weft_lint_apply(const char *bytes, uint32_t len, const struct weft_lint_edits *edits,
		      uint32_t *len_out);

#endif
