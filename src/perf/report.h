/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_REPORT_H
#define WEFT_PERF_REPORT_H

/* One page of HTML that needs nothing else: verdict, plots, tables, configuration. */
#include "perf/judge.h"

/* `other`, `verdict`: NULL, or there is one. */
void weft_perf_report(FILE *to, const struct weft_perf_run *run, const struct weft_perf_run *other,
		      const struct weft_perf_verdict *verdict);

#endif
