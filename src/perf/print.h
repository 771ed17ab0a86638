/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_PRINT_H
#define WEFT_PERF_PRINT_H

/* Results in the layouts that people and their scripts know. */
#include "perf/job.h"

#include <stdio.h>

enum weft_perf_style {
	WEFT_PERF_STYLE_OWN, /* fi_pingpong's, perftest's or nccl-tests', by the test. */
	WEFT_PERF_STYLE_OSU,
	WEFT_PERF_STYLE_CSV,
};

void weft_perf_print_begin(FILE *to, enum weft_perf_style style, const struct weft_perf_run *run);
void weft_perf_print_row(FILE *to, enum weft_perf_style style, const struct weft_perf_run *run,
			 const struct weft_perf_row *row);
void weft_perf_print_end(FILE *to, enum weft_perf_style style, const struct weft_perf_run *run);

/* One object, without a newline behind it. */
void weft_perf_print_json(FILE *to, const struct weft_perf_run *run);

/* "2026-01-31T12:00:00Z". */
char *weft_perf_date_text(int64_t date, char *buf, size_t len);
/* "4 MB", with a blank, in powers of 1024. */
char *weft_perf_size_text(uint64_t bytes, char *buf, size_t len);
/* Cards of each rank that were used. */
uint32_t weft_perf_cards(const struct weft_perf_run *run);
/* Different hosts among the ranks, counted by name. */
uint32_t weft_perf_hosts(const struct weft_perf_run *run);
uint64_t weft_perf_wrong(const struct weft_perf_run *run);

#endif
