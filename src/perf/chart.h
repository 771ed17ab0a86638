/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_CHART_H
#define WEFT_PERF_CHART_H

/* A plot of curves over message size, both axes logarithmic, as SVG. */
#include "perf/job.h"

#include <stdio.h>

#define WEFT_CHART_SERIES_MAX 4u

struct weft_chart {
	const char *title, *unit; /* Of the vertical axis. */
	uint32_t series;
	struct {
		const char *name;
		uint32_t points;
		double x[WEFT_PERF_SIZES_MAX]; /* Bytes. */
		double y[WEFT_PERF_SIZES_MAX]; /* Points that are not above 0 are left out. */
	} s[WEFT_CHART_SERIES_MAX];
};

/* is_alone: a file of its own, with its style; else it goes into a page that has weft_chart_style. */
void weft_chart_print(FILE *to, const struct weft_chart *chart, bool is_alone);

extern const char weft_chart_style[];

/* Bandwidth (is_time: time) of one or two runs. */
void weft_chart_make(struct weft_chart *chart, const struct weft_perf_run *a,
		     const struct weft_perf_run *b, bool is_time);

void weft_chart_put_text(FILE *to, const char *text); /* As HTML and SVG want it. */

#endif
