/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_LOGLINE_H
#define WEFT_ADVICE_LOGLINE_H

/* One line of a log: who says it and when, and where the message itself begins, behind everything that launchers,
 * container runtimes and the logging library have put before it. */
#include "base/types.h"

enum weft_log_tool {
	WEFT_LOG_PLAIN, /* No logging library that we know: stdout, stderr, a shell. */
	WEFT_LOG_NCCL, /* NCCL, its plugins, and Neuron's CCOM. */
	WEFT_LOG_OFI, /* libfabric's own log. */
	WEFT_LOG_UCX,
	WEFT_LOG_OMPI, /* [host:pid] of Open MPI. */
};

enum weft_log_clock {
	WEFT_LOG_NO_CLOCK,
	WEFT_LOG_UTC, /* Seconds since 1970, or a time with its zone. */
	WEFT_LOG_LOCAL, /* A wall clock of an unknown zone: comparable with its like only. */
};

/* A piece of the line; borrows. len 0: not there. */
struct weft_log_word {
	const char *at;
	size_t len;
};

struct weft_log_line {
	const char *text;
	size_t len; /* Without the end of the line. */
	size_t msg; /* Where the message begins. */
	enum weft_log_tool tool;
	enum weft_log_clock clock;
	int64_t time_ns;
	struct weft_log_word host, pod;
	uint32_t pid; /* 0: unknown. */
	int32_t job, rank; /* Of the launcher's label; -1: unknown. */
};

/* `hit` is the offset of what is looked for: where several processes have written into one line, the last one
 * that speaks before it is the one that says it. */
void weft_log_line_read(struct weft_log_line *line, const char *text, size_t len, size_t hit);

#endif
