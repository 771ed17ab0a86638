/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_JOBS_H
#define WEFT_SIM_JOBS_H

/* Runs of the fault simulator spread over processes. A run that crashes, fails an assertion or never ends
 * takes only its process with it: it is reported as the failure of that run, and the rest goes on. */
#include "sim/run.h"

struct weft_job {
	uint64_t seed;
	bool liveness;
};

struct weft_job_result {
	uint32_t job;
	bool crashed; /* Then only `how` is valid. */
	bool differs; /* Run twice, and the hashes were not equal. */
	char how[64];
	struct weft_run_result run;
};

struct weft_jobs_cfg {
	const struct weft_job *jobs; /* borrows */
	uint32_t len, workers;
	const bool *only; /* borrows; may be NULL */
	FILE *trace_out; /* borrows; may be NULL */
	bool twice;
	uint32_t cpu_seconds_max; /* For one job. */
	void (*on_result)(void *user, const struct weft_job_result *result);
	void (*on_idle)(void *user); /* Called now and then; may be NULL. */
	void *user;
};

/* 0, or -errno when processes cannot be started. */
int weft_jobs_run(const struct weft_jobs_cfg *cfg);

#endif
