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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_perf_parse_size__rows),
		cmocka_unit_test(weft_perf_job_check__hostile),
		cmocka_unit_test(weft_perf_next_size__does_not_wrap),
		cmocka_unit_test(weft_perf_stat_make__percentiles),
		cmocka_unit_test(weft_perf_busbw__is_of_the_links),
		cmocka_unit_test(weft_launch_first_host__rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
