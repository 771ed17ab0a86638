/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_GROUP_H
#define WEFT_PERF_GROUP_H

/* The ranks of one measurement, as the process sees them that the user started: it has one connection to each, however they
 * came to be, brings them together, and collects what they measured. */
#include "perf/job.h"

struct weft_group {
	struct weft_perf_job job; /* Of all ranks; rank and source are filled in for each. */
	uint16_t port;
	/* Where each rank comes from: a connection that is there already (taken over), or a host with
	 * `weft perf serve`, or (NULL) a new process here. */
	int fd[WEFT_PERF_RANKS_MAX];
	const char *host[WEFT_PERF_RANKS_MAX];
	/* The program of a new process, which finds its connection as its standard input. */
	char *const *rank_argv;
	/* New processes get the addresses 127.0.0.2, .3 and so on for weft's cards: each is a host. */
	bool is_spread;
	/* NULL, or told of everybody's record, of the iterations to come, and of each result. */
	void (*on_begin)(void *arg, const struct weft_perf_run *run);
	void (*on_step)(void *arg, uint64_t bytes, uint32_t pass);
	void (*on_row)(void *arg, const struct weft_perf_run *run, const struct weft_perf_row *row);
	void *arg;
};

void weft_group_init(struct weft_group *group, const struct weft_perf_job *job);

/* Runs it. False: `why` says what went wrong; all processes that it made are gone then, and connections closed. */
bool weft_group_run(struct weft_group *group, struct weft_perf_run *run_out, char *why, size_t len);

#endif
