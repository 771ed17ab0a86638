/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WATCH_RECORD_H
#define WEFT_WATCH_RECORD_H

/* Samples as JSON, one a line: what `weft top --json` prints, --record writes and --replay reads. One form, so that
 * whatever was printed can be looked at again. */
#include "watch/rate.h"

#include <stdio.h>

/* Without a newline inside; one at the end. `rates` may be NULL. */
void weft_record_write(FILE *to, const struct weft_sample *sample, const struct weft_rates *rates);

/* One line. NULL: why_out (of `len` bytes) says why not. */
struct weft_sample *weft_record_parse(const char *text, size_t count, char *why_out, size_t len);

#endif
