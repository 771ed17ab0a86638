/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_LOGS_INT_H
#define WEFT_ADVICE_LOGS_INT_H

/* What the parts of the log reader share. */
#include "advice/logs.h"
#include "advice/logsig.h"

/* The source that a line belongs to, made if need be. WEFT_LOGS_NONE: no room for more. */
uint32_t weft_logs_source(struct weft_logs *logs, const struct weft_log_line *line);

/* May all sources be looked at once more? Nobody's log needs it more often than the budget allows. */
bool weft_logs_may_scan(struct weft_logs *logs);

/* Something was said, at this place of this line. */
void weft_logs_event(struct weft_logs *logs, uint32_t source, uint32_t msg,
		     const struct weft_log_line *line, size_t at);

/* Takes the facts from a line. `at` is where the string of sig stands. False: the line is not as expected. */
bool weft_logs_says(struct weft_logs *logs, uint32_t source, const struct weft_log_line *line,
		    const struct weft_log_sig *sig, size_t at);

/* The number behind `at`; false: there is none. */
bool weft_logs_number(const struct weft_log_line *line, size_t at, uint32_t base, uint32_t *out);

/* Where `word` stands behind `at`, or SIZE_MAX. */
size_t weft_logs_find(const struct weft_log_line *line, size_t at, const char *word);

#endif
