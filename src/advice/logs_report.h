/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_LOGS_REPORT_H
#define WEFT_ADVICE_LOGS_REPORT_H

/* What follows from logs that were read: a verdict for each rank, the first failure, the findings. */
#include "advice/logs.h"
#include "cloud/catalogue.h"

enum weft_log_on {
	WEFT_ON_EFA,
	WEFT_ON_TCP,
	WEFT_ON_OTHER, /* InfiniBand and the like. */
	WEFT_ON_UNKNOWN, /* The log does not say. */
	WEFT_ON_COUNT,
};

const char *weft_log_on_name(enum weft_log_on on);

/* Ranks of which the same is to be said. */
struct weft_logs_group {
	enum weft_log_on on;
	char text[320];
	uint32_t *source; /* owns */
	uint32_t count;
};

struct weft_logs_report {
	struct weft_findings findings; /* owns */
	struct weft_logs_group *group; /* owns. The largest first within each verdict; EFA last. */
	uint32_t groups;
	uint32_t ranks; /* That the log shows; a process with several GPUs counts once for each. */
	uint32_t ranks_expected; /* That the largest communicator has; 0: unknown. */
	uint32_t on[WEFT_ON_COUNT]; /* Ranks. */
	uint64_t muted; /* Lines that are known and mean no harm here. */

	/* Of all that failed the first one. NONE: nothing failed. */
	uint32_t first_source, first_msg;
	struct weft_log_place first;
	uint32_t failures; /* How many it was chosen from. */
	bool first_by_time; /* Else by their order in the input. */
	bool first_is_echo; /* It says only that another rank is gone, and nobody says more. */
};

/* `expect`: the type of the instances, or NULL. `require_efa`: a rank without proof of EFA is a failure. -ENOMEM. */
int weft_logs_report_make(const struct weft_logs *logs, const struct weft_instance *expect,
			  bool require_efa, struct weft_logs_report *report_out);
void weft_logs_report_fini(struct weft_logs_report *report);

/* "ranks 0-3,7" and the like of some sources; what does not fit is counted. Returns buf. */
char *weft_logs_names(const struct weft_logs *logs, const uint32_t *source, uint32_t count,
		      char *buf, size_t len);

/* How many ranks a source is. */
static inline uint32_t weft_log_source_ranks(const struct weft_log_source *s)
{
	return s->rank_last > s->rank ? (uint32_t)(s->rank_last - s->rank) + 1 : 1;
}

#endif
