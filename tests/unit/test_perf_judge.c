/* SPDX-License-Identifier: BSD-2-Clause */
/* Two runs side by side, and one against a catalogue. Figures are those that people published. */
#include "perf/judge.h"

#include "perf/compare.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static struct weft_perf_run *make_run(enum weft_perf_test test, const char *provider)
{
	struct weft_perf_run *run = calloc(1, sizeof(*run));

	assert_non_null(run);
	weft_perf_job_init(&run->job, test);
	for (uint32_t i = 0; i < 2; i++) {
		strcpy(run->members[i].provider, provider);
		run->members[i].host[0] = (char)('a' + i);
		run->members[i].cards = 4;
	}
	return run;
}

/* A row of that bus bandwidth. */
static void add(struct weft_perf_run *run, uint64_t bytes, double gbytes)
{
	struct weft_perf_row *row = &run->row[run->rows++];

	row->bytes = bytes;
	row->pass[0].mean_ns = 1;
	row->pass[0].mean_ns = weft_perf_busbw(run, row, 0) / gbytes;
}

static void weft_perf_compare_print__published_table(void **state)
{
	struct weft_perf_run *efa = make_run(WEFT_PERF_ALLREDUCE, "efa");
	struct weft_perf_run *tcp = make_run(WEFT_PERF_ALLREDUCE, "tcp");
	static const char want[] =
		"| Message Size | busbw EFA (GB/s) | busbw non-EFA (GB/s) | Speed-up |\n"
		"|--------------|-------------|-------------|---------------|\n"
		"| 8 B          | 0           | 0           | -             |\n"
		"| 4 KB         | 0.04        | 0.05        | 0.8 x         |\n"
		"| 512 KB       | 3.03        | 1.01        | 3 x           |\n"
		"| 2 MB         | 6.5         | 1.75        | 3.7 x         |\n"
		"| 2 GB         | 77.35       | 4.13        | 18.7 x        |\n"
		"\n"
		"- 8 B: about the same (1.0 times as fast)\n"
		"- 4 KB: tcp is faster (1.2 times as fast)\n"
		"- 512 KB to 2 GB: EFA is faster (3.0 to 18.7 times as fast)\n";
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	assert_non_null(f);
	add(efa, 8, 0.0001);
	add(tcp, 8, 0.0001);
	add(efa, 4096, 0.04);
	add(tcp, 4096, 0.05);
	add(efa, 512 << 10, 3.03);
	add(tcp, 512 << 10, 1.01);
	add(efa, 2 << 20, 6.5);
	add(tcp, 2 << 20, 1.75);
	add(efa, 2ull << 30, 77.35);
	add(tcp, 2ull << 30, 4.13);
	weft_perf_compare_print(f, efa, tcp);
	fclose(f);
	assert_true(strlen(text) > strlen(want));
	text[strlen(want)] = 0;
	assert_string_equal(text, want);
	free(text);
	free(efa);
	free(tcp);
}

static void weft_perf_bend__where(void **state)
{
	struct weft_perf_run *run = make_run(WEFT_PERF_BW, "tcp");
	uint64_t latency, full;

	(void)state;
	/* 10 us and 10 GB/s. */
	for (uint64_t b = 64; b <= 64 << 20; b *= 2) {
		struct weft_perf_row *row = &run->row[run->rows++];

		row->bytes = b;
		row->pass[0].mean_ns = 10000 + (double)b * 64 / 10;
	}
	weft_perf_bend(run, &latency, &full);
	assert_int_equal(latency, 1024); /* 16.6 us; 2048: 23.1, more than twice 10.4. */
	assert_int_equal(full, 16384);
	free(run);
}

static void judge(struct weft_perf_run *run, const char *name, uint32_t hosts,
		  struct weft_perf_verdict *v)
{
	const struct weft_instance *it = weft_catalogue_find(name);

	assert_non_null(it);
	weft_perf_judge(run, it, hosts, 0.1, v);
}

static void weft_perf_judge__one_card_of_four(void **state)
{
	struct weft_perf_run *run = make_run(WEFT_PERF_ALLREDUCE, "efa");
	struct weft_perf_verdict *v = malloc(sizeof(*v));
	char text[512];

	(void)state;
	assert_non_null(v);
	add(run, 8, 0.001); /* Too small for any report. */
	add(run, 1 << 20, 4.5);
	add(run, 2ull << 30, 20);
	judge(run, "p4d.24xlarge", 2, v);
	assert_int_equal(v->judged, 2);
	assert_int_equal(v->bad, 1); /* By size: 1 MiB is as it should be. */
	assert_int_equal(v->cards_like, 1);
	assert_int_equal(weft_perf_verdict_status(v), 1);
	assert_non_null(strstr(weft_perf_verdict_text(v, text, sizeof(text)), "1 of 4 cards"));
	run->row[2].pass[0].mean_ns *= 20 / 72.0;
	judge(run, "p4d.24xlarge", 2, v);
	assert_int_equal(v->bad, 0);
	assert_int_equal(v->cards_like, 0);
	assert_int_equal(weft_perf_verdict_status(v), 0);
	free(v);
	free(run);
}

static void weft_perf_judge__what_nobody_knows(void **state)
{
	struct weft_perf_run *run = make_run(WEFT_PERF_ALLREDUCE, "efa");
	struct weft_perf_verdict *v = malloc(sizeof(*v));

	(void)state;
	assert_non_null(v);
	add(run, 2ull << 30, 20);
	judge(run, "p4d.24xlarge", 7, v);
	assert_int_equal(weft_perf_verdict_status(v), 2);
	run->job.test = WEFT_PERF_PINGPONG;
	judge(run, "p4d.24xlarge", 2, v);
	assert_int_equal(weft_perf_verdict_status(v), 2);
	free(v);
	free(run);
}

static void weft_perf_judge__line_rate(void **state)
{
	struct weft_perf_run *run = make_run(WEFT_PERF_BW, "efa");
	struct weft_perf_verdict *v = malloc(sizeof(*v));

	(void)state;
	assert_non_null(v);
	add(run, 64, 0.1);
	add(run, 4 << 20, 25); /* 200 of 400 Gb/s. */
	judge(run, "p4d.24xlarge", 2, v);
	assert_int_equal(v->judged, 1);
	assert_int_equal(v->cards_like, 2);
	judge(run, "p4d.24xlarge", 1, v);
	assert_int_equal(weft_perf_verdict_status(v), 2);
	free(v);
	free(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_perf_compare_print__published_table),
		cmocka_unit_test(weft_perf_bend__where),
		cmocka_unit_test(weft_perf_judge__one_card_of_four),
		cmocka_unit_test(weft_perf_judge__what_nobody_knows),
		cmocka_unit_test(weft_perf_judge__line_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
