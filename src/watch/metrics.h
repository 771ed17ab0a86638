/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WATCH_METRICS_H
#define WEFT_WATCH_METRICS_H

/* A sample in the text formats of Prometheus. */
#include "watch/rate.h"

#include <stdio.h>

struct weft_metrics_options {
	bool openmetrics; /* OpenMetrics 1.0, else the older text format 0.0.4. */
	bool details; /* Also what only weft's cards count, beyond drops and RNR: 30 series a card. */
	bool procs; /* A series for each program: many, and their names are in them. */
};

/* `rates` of the sample, for the alarms. */
void weft_metrics_write(FILE *to, const struct weft_sample *sample, const struct weft_rates *rates,
			const struct weft_metrics_options *options);

#endif
