/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_COMPARE_H
#define WEFT_PERF_COMPARE_H

/* Two runs of the same work, side by side, and where their curves bend. */
#include "perf/job.h"

#include <stdio.h>

/* "EFA", or the provider's name. */
const char *weft_perf_run_name(const struct weft_perf_run *run);

/* How much faster `a` is than `b` in this row; 0: too small to say. */
double weft_perf_speedup(const struct weft_perf_run *a, const struct weft_perf_run *b,
			 uint32_t row);

/* A table in Markdown, and lines about the ranges. */
void weft_perf_compare_print(FILE *to, const struct weft_perf_run *a,
			     const struct weft_perf_run *b);

/* The bend of one run: up to *latency_bytes its time hardly grows, and from *full_bytes its bandwidth is within a tenth of
 * its best. 0: there is no such size. */
void weft_perf_bend(const struct weft_perf_run *run, uint64_t *latency_bytes, uint64_t *full_bytes);

/* Sentences about what bends where, one at a time, by `say`. b: NULL or the other run. */
void weft_perf_ranges(const struct weft_perf_run *a, const struct weft_perf_run *b,
		      void (*say)(void *arg, const char *sentence), void *arg);

#endif
