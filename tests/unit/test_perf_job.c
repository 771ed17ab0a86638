/* SPDX-License-Identifier: BSD-2-Clause */
/* Jobs as they come over the network, sizes, statistics, and lists of hosts. */
#include "perf/job.h"

#include "perf/launch.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void weft_perf_parse_size__rows(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t value;
	} rows[] = {
		{ "8", true, 8 },
		{ "64K", true, 65536 },
		{ "64k", true, 65536 },
		{ "2GiB", true, 2ull << 30 },
		{ "1T", true, 1ull << 40 },
		{ "0", true, 0 },
		{ "", false, 0 },
		{ "x", false, 0 },
		{ "1.5M", false, 0 },
		{ "-1", false, 0 },
		{ "1MB", false, 0 }, /* A thousand, or 1024? */
		{ "1Mx", false, 0 },
		{ "18446744073709551616", false, 0 },
		{ "99999999999T", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		uint64_t value = 0;

		if (weft_perf_parse_size(rows[i].text, &value) != rows[i].ok ||
		    value != rows[i].value)
			fail_msg("row %zu: \"%s\" is %llu", i, rows[i].text,
				 (unsigned long long)value);
	}
}

static void weft_perf_job_check__hostile(void **state)
{
	struct weft_perf_job job;
	uint8_t bytes[sizeof(job)];
	uint32_t good = 0;
	char why[128];

	(void)state;
	weft_perf_job_init(&job, WEFT_PERF_BW);
	assert_true(weft_perf_job_check(&job, why, sizeof(why)));
	/* Whatever a byte becomes, what is accepted ends, and in bounded memory. */
	for (size_t i = 0; i < sizeof(job); i++) {
		for (uint32_t value = 0; value < 256; value += 51) {
			struct weft_perf_job bad;
			uint32_t sizes = 0;

			memcpy(bytes, &job, sizeof(job));
			bytes[i] = (uint8_t)value;
			memcpy(&bad, bytes, sizeof(bad));
			if (!weft_perf_job_check(&bad, why, sizeof(why)))
				continue;
			good++;
			for (uint64_t b = 0; (b = weft_perf_next_size(&bad, b)); sizes++)
				assert_true(b <= WEFT_PERF_BYTES_MAX);
			assert_true(sizes <= WEFT_PERF_SIZES_MAX);
			assert_true(strnlen(bad.provider, sizeof(bad.provider)) <
				    sizeof(bad.provider));
		}
	}
	assert_true(good > 0);
	memset(job.provider, 'x', sizeof(job.provider));
	assert_false(weft_perf_job_check(&job, why, sizeof(why)));
}

static void weft_perf_next_size__does_not_wrap(void **state)
{
	struct weft_perf_job job;

	(void)state;
	weft_perf_job_init(&job, WEFT_PERF_BW);
	job.bytes_min = 1;
	job.bytes_max = UINT64_MAX;
	job.factor = 1024;
	assert_int_equal(weft_perf_next_size(&job, 1ull << 60), 0);
	job.factor = 0;
	job.step_bytes = UINT64_MAX;
	assert_int_equal(weft_perf_next_size(&job, 5), 0);
}

static void weft_perf_stat_make__percentiles(void **state)
{
	uint64_t samples[1000];
	struct weft_perf_stat s;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		samples[i] = 1000 - i;
	weft_perf_stat_make(samples, 1000, &s);
	assert_true(s.mean_ns == 500.5 && s.min_ns == 1 && s.max_ns == 1000);
	assert_true(s.p50_ns == 500 && s.p99_ns == 990 && s.p999_ns == 999);
	assert_true(s.cov > 0.5767 && s.cov < 0.5768); /* 288.675 / 500.5 */
	weft_perf_stat_make(samples, 1, &s);
	assert_true(s.p50_ns == 1 && s.p999_ns == 1 && s.cov == 0);
	weft_perf_stat_make(samples, 0, &s);
	assert_true(s.iterations == 0 && s.mean_ns == 0);
}

static void weft_perf_busbw__is_of_the_links(void **state)
{
	struct weft_perf_run *run = calloc(1, sizeof(*run));
	struct weft_perf_row row = { .bytes = 1000, .pass = { { .mean_ns = 1000 } } };

	(void)state;
	assert_non_null(run);
	weft_perf_job_init(&run->job, WEFT_PERF_ALLREDUCE);
	run->job.ranks = 4;
	assert_true(weft_perf_algbw(run, &row, 0) == 1 && weft_perf_busbw(run, &row, 0) == 1.5);
	run->job.test = WEFT_PERF_ALLTOALL;
	assert_true(weft_perf_busbw(run, &row, 0) == 0.75);
	run->job.test = WEFT_PERF_BIBW;
	run->job.window = 8;
	assert_true(weft_perf_busbw(run, &row, 0) == 16);
	free(run);
}

static void weft_launch_first_host__rows(void **state)
{
	static const struct {
		const char *list, *first;
	} rows[] = {
		{ "gpu[007-012,3],x", "gpu007" },
		{ "node5", "node5" },
		{ "a,b", "a" },
		{ "10.0.0.1\n10.0.0.2", "10.0.0.1" },
		{ "n[3]", "n3" },
		{ "n[3", NULL },
		{ "n[]", NULL },
		{ "", NULL },
		{ ",a", NULL },
	};
	char out[WEFT_LAUNCH_HOST_MAX], *far = malloc(1000);

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		bool ok = weft_launch_first_host(rows[i].list, out);

		if (ok != (rows[i].first != NULL) || (ok && strcmp(out, rows[i].first) != 0))
			fail_msg("row %zu: %s", i, rows[i].list);
	}
	assert_non_null(far);
	memset(far, 'a', 999);
	far[999] = 0;
	assert_false(weft_launch_first_host(far, out));
	free(far);
}

#define VARS_MAX 8

static void forget_launchers(void)
{
	static const char *const names[] = {
		"OMPI_COMM_WORLD_RANK",
		"OMPI_COMM_WORLD_SIZE",
		"OMPI_COMM_WORLD_LOCAL_SIZE",
		"RANK",
		"WORLD_SIZE",
		"LOCAL_WORLD_SIZE",
		"MASTER_ADDR",
		"SLURM_PROCID",
		"SLURM_NTASKS",
		"SLURM_STEP_NUM_TASKS",
		"SLURM_STEP_NODELIST",
		"SLURM_GTIDS",
		"SKYPILOT_NODE_RANK",
		"SKYPILOT_NUM_NODES",
		"SKYPILOT_NODE_IPS",
		"SLURM_JOB_ID",
		"SLURM_STEP_ID",
		"PMIX_NAMESPACE",
		"MASTER_PORT",
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(names); i++)
		unsetenv(names[i]);
}

/* As they were seen in the tasks of each. */
static void weft_launch_find__rows(void **state)
{
	static const struct {
		int id, found;
		const char *by;
		uint32_t rank, ranks, ranks_here;
		const char *host;
		const char *vars[VARS_MAX];
	} rows[] = {
		{ 1, 0, NULL, 0, 0, 0, NULL, { NULL } },
		{ 2,
		  1,
		  "Slurm",
		  3,
		  4,
		  2,
		  "soft1",
		  { "SLURM_PROCID=3", "SLURM_NTASKS=4", "SLURM_STEP_NUM_TASKS=4",
		    "SLURM_STEP_NODELIST=soft[1-2]", "SLURM_GTIDS=2,3" } },
		/* The script of a job: nobody else runs yet. */
		{ 3,
		  0,
		  NULL,
		  0,
		  0,
		  0,
		  NULL,
		  { "SLURM_PROCID=0", "SLURM_NTASKS=4", "SLURM_GTIDS=0" } },
		/* A step of fewer tasks than its job has. */
		{ 4,
		  1,
		  "Slurm",
		  1,
		  2,
		  2,
		  "soft2",
		  { "SLURM_PROCID=1", "SLURM_NTASKS=4", "SLURM_STEP_NUM_TASKS=2",
		    "SLURM_STEP_NODELIST=soft2", "SLURM_GTIDS=0,1" } },
		/* One task, for `weft perf pingpong HOST`. */
		{ 5,
		  0,
		  NULL,
		  0,
		  0,
		  0,
		  NULL,
		  { "SLURM_PROCID=0", "SLURM_STEP_NUM_TASKS=1", "SLURM_STEP_NODELIST=soft1" } },
		/* srun starts one torchrun on each node, torchrun two processes. */
		{ 6,
		  1,
		  "torchrun",
		  3,
		  4,
		  2,
		  "soft1",
		  { "SLURM_PROCID=1", "SLURM_STEP_NUM_TASKS=2", "SLURM_STEP_NODELIST=soft[1-2]",
		    "SLURM_GTIDS=1", "RANK=3", "WORLD_SIZE=4", "LOCAL_WORLD_SIZE=2",
		    "MASTER_ADDR=soft1" } },
		/* mpirun by srun; all on one host. */
		{ 7,
		  1,
		  "Open MPI",
		  1,
		  2,
		  2,
		  "127.0.0.1",
		  { "SLURM_PROCID=0", "SLURM_STEP_NUM_TASKS=2", "SLURM_STEP_NODELIST=a,b",
		    "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2",
		    "OMPI_COMM_WORLD_LOCAL_SIZE=2" } },
		{ 8,
		  1,
		  "Open MPI",
		  1,
		  4,
		  2,
		  "",
		  { "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=4",
		    "OMPI_COMM_WORLD_LOCAL_SIZE=2" } },
		{ 9,
		  1,
		  "SkyPilot",
		  1,
		  2,
		  0,
		  "10.0.0.4",
		  { "SKYPILOT_NODE_RANK=1", "SKYPILOT_NUM_NODES=2",
		    "SKYPILOT_NODE_IPS=10.0.0.4\n10.0.0.5" } },
		{ 10, -1, NULL, 0, 0, 0, NULL, { "RANK=4", "WORLD_SIZE=4", "MASTER_ADDR=a" } },
		{ 11, -1, NULL, 0, 0, 0, NULL, { "RANK=one", "WORLD_SIZE=4" } },
		{ 12, -1, NULL, 0, 0, 0, NULL, { "RANK=1", "WORLD_SIZE=0" } },
		{ 13, -1, NULL, 0, 0, 0, NULL, { "RANK=1", "WORLD_SIZE=100000" } },
		{ 14, -1, NULL, 0, 0, 0, NULL, { "RANK=1", "WORLD_SIZE=4", "MASTER_ADDR=[" } },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_launch got = { .by = "?" };
		char why[256] = "";
		int found;

		forget_launchers();
		for (size_t v = 0; v < VARS_MAX && rows[i].vars[v]; v++)
			assert_int_equal(putenv((char *)(uintptr_t)rows[i].vars[v]), 0);
		found = weft_launch_find(&got, why, sizeof(why));
		if (found != rows[i].found || !why[0] != (found >= 0))
			fail_msg("row %d: found %d: %s", rows[i].id, found, why);
		if (found == 1 &&
		    (strcmp(got.by, rows[i].by) != 0 || got.rank != rows[i].rank ||
		     got.ranks != rows[i].ranks || got.ranks_here != rows[i].ranks_here ||
		     strcmp(got.host, rows[i].host) != 0))
			fail_msg("row %d: %s, rank %u of %u, %u here, at \"%s\"", rows[i].id,
				 got.by, got.rank, got.ranks, got.ranks_here, got.host);
	}
	forget_launchers();
}

/* Two steps of jobs may share a host. */
static void weft_launch_port__differs(void **state)
{
	static const struct {
		const char *job, *step;
	} rows[] = { { "7", "0" }, { "7", "1" }, { "8", "0" }, { "71", "" }, { "7", "10" } };
	struct weft_launch got[WEFT_ARRAY_SIZE(rows)];
	char why[256];

	(void)state;
	forget_launchers();
	setenv("SLURM_STEP_NUM_TASKS", "2", 1);
	setenv("SLURM_STEP_NODELIST", "a,b", 1);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_launch other;

		setenv("SLURM_JOB_ID", rows[i].job, 1);
		setenv("SLURM_STEP_ID", rows[i].step, 1);
		setenv("SLURM_PROCID", "0", 1);
		assert_int_equal(weft_launch_find(&got[i], why, sizeof(why)), 1);
		setenv("SLURM_PROCID", "1", 1);
		assert_int_equal(weft_launch_find(&other, why, sizeof(why)), 1);
		assert_int_equal(got[i].job, other.job);
		assert_int_equal(weft_launch_port(&got[i]), weft_launch_port(&other));
		assert_in_range(weft_launch_port(&got[i]), WEFT_PERF_PORT + 1,
				WEFT_PERF_PORT + 256);
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(got[i].job, got[k].job);
	}
	assert_int_not_equal(weft_launch_port(&got[0]), weft_launch_port(&got[1]));
	forget_launchers();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_perf_parse_size__rows),
		cmocka_unit_test(weft_perf_job_check__hostile),
		cmocka_unit_test(weft_perf_next_size__does_not_wrap),
		cmocka_unit_test(weft_perf_stat_make__percentiles),
		cmocka_unit_test(weft_perf_busbw__is_of_the_links),
		cmocka_unit_test(weft_launch_first_host__rows),
		cmocka_unit_test(weft_launch_find__rows),
		cmocka_unit_test(weft_launch_port__differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
