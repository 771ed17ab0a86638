/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_PERF_OPTS_H
#define WEFT_CLI_PERF_OPTS_H

/* The command line of `weft perf`. */
#include "perf/job.h"
#include "perf/print.h"

struct weft_perf_opts {
	enum weft_perf_test test;
	struct weft_perf_job job;
	enum weft_perf_style style;
	bool json, is_soft, is_once, all_pairs;
	uint16_t port; /* 0: not said. */
	uint32_t hosts;
	char *host_text,
		*host[WEFT_PERF_RANKS_MAX]; /* owns; of the command line. The latter point into it. */
	bool is_local; /* --local: that many ranks on this host. */
	const char *compare, *expect, *report, *plot, *bind;
	double tolerance; /* Of --expect: 0.1 */
};

/* False: said on stderr. */
bool weft_perf_opts_parse(struct weft_perf_opts *opts, const char *cmd, int argc, char **argv);
bool weft_perf_opts_parse_serve(struct weft_perf_opts *opts, const char *cmd, int argc,
				char **argv);

/* `--all-pairs` (perf_pairs.c): the exit status. */
int weft_perf_all_pairs(const struct weft_perf_opts *opts);

#endif
