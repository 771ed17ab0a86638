/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_JOB_H
#define WEFT_PERF_JOB_H

/* What is to be measured, and what came of it. */
#include "base/types.h"

#define WEFT_PERF_RANKS_MAX  256u
#define WEFT_PERF_CARDS_MAX  32u
#define WEFT_PERF_SIZES_MAX  512u
#define WEFT_PERF_BYTES_MAX  (16ull << 30)
#define WEFT_PERF_ITERS_MAX  1000000u
#define WEFT_PERF_WINDOW_MAX 1024u
#define WEFT_PERF_NAME_MAX   64u
#define WEFT_PERF_PORT       47590u
#define WEFT_PERF_PASSES     2u
#define WEFT_PERF_MAGIC      0x66726570u
#define WEFT_PERF_VERSION    2u

enum weft_perf_test {
	WEFT_PERF_PINGPONG, /* One message there, one back. */
	WEFT_PERF_BW, /* A window of messages there, an answer back. */
	WEFT_PERF_BIBW, /* A window of messages each way. */
	WEFT_PERF_RATE, /* As BW, with small messages: how many. */
	WEFT_PERF_ALLREDUCE,
	WEFT_PERF_ALLTOALL,
	WEFT_PERF_TESTS,
};

/* As it travels: both ends are little-endian machines of 64 bits, and the version is checked first. */
struct weft_perf_job {
	uint32_t magic, version;
	uint32_t test;
	uint32_t ranks, rank;
	uint32_t warmup;
	uint32_t iterations; /* Of each size. 0: as many as fit, see weft_perf_fit(). */
	uint32_t window;
	uint32_t cards_max; /* Of one host. 0: all there are. */
	uint32_t factor; /* From size to size. 0: by step_bytes. */
	uint32_t is_checked;
	uint32_t is_crowded; /* More processes than processors: who waits gives way. */
	uint64_t group; /* Chance: servers tell groups apart by it. */
	uint64_t bytes_min, bytes_max, step_bytes;
	uint64_t timeout_ns; /* So long may nothing happen. */
	char provider[WEFT_PERF_NAME_MAX]; /* "": EFA if there is any, else TCP. */
	char source[WEFT_PERF_NAME_MAX]; /* Address of this rank. "": that of the connection. */
};

struct weft_perf_stat {
	uint64_t iterations;
	uint64_t total_ns;
	double mean_ns, min_ns, max_ns, p50_ns, p99_ns, p999_ns;
	double cov; /* Coefficient of variation: standard deviation by mean. */
};

struct weft_perf_row {
	uint64_t bytes;
	/* Collectives: out of place, in place. Others: the first only. */
	struct weft_perf_stat pass[WEFT_PERF_PASSES];
	uint64_t wrong[WEFT_PERF_PASSES];
};

/* What a rank says of itself. */
struct weft_perf_member {
	char host[WEFT_PERF_NAME_MAX], kernel[WEFT_PERF_NAME_MAX], weft[WEFT_PERF_NAME_MAX];
	char provider[WEFT_PERF_NAME_MAX], card[WEFT_PERF_NAME_MAX], fabric[WEFT_PERF_NAME_MAX];
	char libfabric[WEFT_PERF_NAME_MAX], arch[WEFT_PERF_NAME_MAX];
	uint32_t cards;
	uint32_t pid;
};

struct weft_perf_run {
	struct weft_perf_job job;
	int64_t date; /* Unix time of its begin. */
	struct weft_perf_member members[WEFT_PERF_RANKS_MAX];
	uint32_t rows;
	struct weft_perf_row row[WEFT_PERF_SIZES_MAX];
};

const char *weft_perf_test_name(uint32_t test);
bool weft_perf_is_collective(uint32_t test);
uint32_t weft_perf_passes(uint32_t test);

void weft_perf_job_init(struct weft_perf_job *job, enum weft_perf_test test);

/* Does it make sense? Jobs come over the network. False: `why` says why not. */
bool weft_perf_job_check(const struct weft_perf_job *job, char *why, size_t len);

/* The size after `bytes` (0: the first). 0: there is none. */
uint64_t weft_perf_next_size(const struct weft_perf_job *job, uint64_t bytes);

/* How many iterations of one size, when one takes `ns`. */
uint32_t weft_perf_fit(const struct weft_perf_job *job, uint64_t ns);

/* Of `n` samples, which it sorts. */
void weft_perf_stat_make(uint64_t *samples, uint32_t n, struct weft_perf_stat *out);

void weft_perf_stat_scale(struct weft_perf_stat *stat, double factor);

/* GB/s: of the data (what a user sees), and of the links, which is comparable between numbers of ranks. */
double weft_perf_algbw(const struct weft_perf_run *run, const struct weft_perf_row *row,
		       uint32_t pass);
double weft_perf_busbw(const struct weft_perf_run *run, const struct weft_perf_row *row,
		       uint32_t pass);
/* Messages of one iteration of a pair of ranks, each way. */
uint32_t weft_perf_messages(const struct weft_perf_job *job);

/* Sizes as benchmarks read them: 64, 4k, 8M, 1G are powers of 1024 ("4KiB", too). */
bool weft_perf_parse_size(const char *s, uint64_t *out);

#endif
