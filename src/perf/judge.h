/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_JUDGE_H
#define WEFT_PERF_JUDGE_H

/* What was measured, against what is known of an instance type: size by size, for that number of hosts. */
#include "cloud/catalogue.h"
#include "perf/job.h"

#include <stdio.h>

struct weft_perf_judged {
	uint64_t bytes;
	double measured, expected; /* GB/s */
	bool is_good;
	const char *source; /* Of the expectation. */
};

struct weft_perf_verdict {
	const struct weft_instance *instance;
	uint32_t hosts;
	double tolerance;
	uint32_t judged, bad;
	struct weft_perf_judged row[WEFT_PERF_SIZES_MAX]; /* Those for which something is known. */
	/* As if so many of the cards were in use, by the last row; 0: no guess. */
	uint32_t cards_like, cards_all;
	uint32_t cards_used; /* What this measurement itself used. */
};

/* `tolerance`: so far below is still good, 0.1. */
void weft_perf_judge(const struct weft_perf_run *run, const struct weft_instance *instance,
		     uint32_t hosts, double tolerance, struct weft_perf_verdict *out);

/* 0: good; 1: below; 2: nothing is known. */
int weft_perf_verdict_status(const struct weft_perf_verdict *v);

/* One sentence. */
char *weft_perf_verdict_text(const struct weft_perf_verdict *v, char *buf, size_t len);

void weft_perf_verdict_print(FILE *to, const struct weft_perf_verdict *v);
void weft_perf_verdict_print_json(FILE *to, const struct weft_perf_verdict *v);

#endif
