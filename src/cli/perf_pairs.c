/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft perf --all-pairs`: each host of a list with each other one, one pair at a time. A pair that cannot be measured is a
 * result, too: the fabric's commonest fault is that two hosts do not see each other. What is slow is told against
 * the median of all pairs, which no list of expectations has to know. */
#define _GNU_SOURCE
#include "cli/json.h"
#include "cli/perf_opts.h"
#include "perf/group.h"
#include "perf/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define CMD  "weft perf --all-pairs"
#define SLOW 0.25 /* Off the median by more is a straggler. */

struct pair {
	uint32_t from, to;
	double value; /* 0: could not be measured. */
	bool is_slow;
	char *why; /* Owned. */
};

struct matrix {
	const struct weft_perf_opts *opts;
	bool is_time, is_one_way;
	uint32_t pairs, failed, slow;
	struct pair *pair;
	double median;
};

static const char *unit(const struct matrix *m)
{
	return m->is_time ? "us" : m->opts->test == WEFT_PERF_RATE ? "Mmsg/s" : "GB/s";
}

static double value_of(const struct matrix *m, const struct weft_perf_run *run)
{
	const struct weft_perf_row *row = &run->row[0];

	if (m->is_time)
		return row->pass[0].p50_ns / 1e3;
	if (m->opts->test == WEFT_PERF_RATE)
		return weft_perf_messages(&run->job) * 1e3 / row->pass[0].mean_ns;
	return weft_perf_busbw(run, row, 0);
}

static void measure(struct matrix *m, struct pair *p, struct weft_perf_run *run)
{
	static struct weft_group group;
	char why[800];

	weft_group_init(&group, &m->opts->job);
	if (getrandom(&group.job.group, sizeof(group.job.group), 0) < 0 || !group.job.group)
		group.job.group = (uint64_t)getpid() << 32 | 1;
	if (m->opts->port)
		group.port = m->opts->port;
	group.host[0] = m->opts->host[p->from];
	group.host[1] = m->opts->host[p->to];
	if (!weft_group_run(&group, run, why, sizeof(why))) {
		p->why = strdup(why);
		m->failed++;
	} else if (weft_perf_wrong(run)) {
		p->why = strdup("wrong data");
		m->failed++;
	} else {
		p->value = value_of(m, run);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void find_slow(struct matrix *m)
{
	double *values = calloc(WEFT_MAX(m->pairs, 1), sizeof(*values));
	uint32_t n = 0;

	for (uint32_t i = 0; values && i < m->pairs; i++)
		if (m->pair[i].value > 0)
			values[n++] = m->pair[i].value;
	if (n) {
		qsort(values, n, sizeof(*values), compare);
		m->median = values[(n - 1) / 2];
	}
	free(values);
	for (uint32_t i = 0; i < m->pairs; i++) {
		struct pair *p = &m->pair[i];

		p->is_slow = p->value > 0 && (m->is_time ? p->value > m->median * (1 + SLOW)
							 : p->value < m->median * (1 - SLOW));
		m->slow += p->is_slow;
	}
}

static const struct pair *find_pair(const struct matrix *m, uint32_t from, uint32_t to)
{
	for (uint32_t i = 0; i < m->pairs; i++) {
		const struct pair *p = &m->pair[i];

		if ((p->from == from && p->to == to) ||
		    (!m->is_one_way && p->from == to && p->to == from))
			return p;
	}
	return NULL;
}

static void print_matrix(const struct matrix *m)
{
	const struct weft_perf_opts *o = m->opts;
	char size[32];

	printf("# weft perf %s between all pairs, %s, %s%s; * is more than a quarter off the "
	       "median, "
	       "%.4g\n",
	       weft_perf_test_name(o->test),
	       weft_perf_size_text(o->job.bytes_min, size, sizeof(size)), unit(m),
	       m->is_one_way ? ", from the row to the column" : "", m->median);
	printf("%-20s", "");
	for (uint32_t k = 0; k < o->hosts; k++)
		printf(" %10.10s", o->host[k]);
	putchar('\n');
	for (uint32_t i = 0; i < o->hosts; i++) {
		printf("%-20.20s", o->host[i]);
		for (uint32_t k = 0; k < o->hosts; k++) {
			const struct pair *p = i == k ? NULL : find_pair(m, i, k);

			if (!p)
				printf(" %10s", "-");
			else if (p->value > 0)
				printf(" %9.4g%s", p->value, p->is_slow ? "*" : " ");
			else
				printf(" %10s", "FAILED");
		}
		putchar('\n');
	}
	for (uint32_t i = 0; i < m->pairs; i++) {
		const struct pair *p = &m->pair[i];

		if (p->is_slow)
			printf("# slow: %s and %s: %.4g %s, %.0f %% of the median\n",
			       o->host[p->from], o->host[p->to], p->value, unit(m),
			       p->value / m->median * 100);
		else if (p->value <= 0)
			printf("# failed: %s and %s: %s\n", o->host[p->from], o->host[p->to],
			       p->why ? p->why : "?");
	}
}

static void print_json(const struct matrix *m)
{
	const struct weft_perf_opts *o = m->opts;

	printf("{\"test\": \"%s\", \"bytes\": %llu, \"unit\": \"%s\", \"median\": %.6f, \"pairs\": "
	       "[",
	       weft_perf_test_name(o->test), (unsigned long long)o->job.bytes_min, unit(m),
	       m->median);
	for (uint32_t i = 0; i < m->pairs; i++) {
		const struct pair *p = &m->pair[i];

		fputs(i ? ",\n  {\"from\": " : "\n  {\"from\": ", stdout);
		weft_json_string(o->host[p->from]);
		fputs(", \"to\": ", stdout);
		weft_json_string(o->host[p->to]);
		if (p->value > 0)
			printf(", \"value\": %.6f", p->value);
		else
			fputs(", \"value\": null", stdout);
		printf(", \"slow\": %s, \"error\": ", p->is_slow ? "true" : "false");
		weft_json_string(p->why);
		putchar('}');
	}
	printf("],\n \"slow\": %u, \"failed\": %u}\n", m->slow, m->failed);
}

static void print_csv(const struct matrix *m)
{
	puts("test,from,to,bytes,value,unit,slow,failed");
	for (uint32_t i = 0; i < m->pairs; i++) {
		const struct pair *p = &m->pair[i];

		printf("%s,%s,%s,%llu,%.6f,%s,%d,%d\n", weft_perf_test_name(m->opts->test),
		       m->opts->host[p->from], m->opts->host[p->to],
		       (unsigned long long)m->opts->job.bytes_min, p->value, unit(m), p->is_slow,
		       p->value <= 0);
	}
}

static void list_pairs(struct matrix *m)
{
	for (uint32_t i = 0; i < m->opts->hosts; i++)
		for (uint32_t k = m->is_one_way ? 0 : i + 1; k < m->opts->hosts; k++)
			if (k != i)
				m->pair[m->pairs++] = (struct pair){ .from = i, .to = k };
}

int weft_perf_all_pairs(const struct weft_perf_opts *opts)
{
	struct matrix m = {
		.opts = opts,
		.is_time = opts->test == WEFT_PERF_PINGPONG,
		.is_one_way = opts->test == WEFT_PERF_BW || opts->test == WEFT_PERF_RATE,
	};
	struct weft_perf_run *run = malloc(sizeof(*run));
	uint64_t began = weft_talk_now();

	m.pair = calloc((size_t)opts->hosts * opts->hosts, sizeof(*m.pair));
	if (!run || !m.pair) {
		perror(CMD);
		free(run);
		free(m.pair);
		return 2;
	}
	list_pairs(&m);
	for (uint32_t i = 0; i < m.pairs; i++) {
		if (isatty(2) && weft_talk_now() - began > 2000000000ull)
			fprintf(stderr, "\r\033[K%u of %u pairs", i, m.pairs);
		measure(&m, &m.pair[i], run);
	}
	if (isatty(2))
		fputs("\r\033[K", stderr);
	find_slow(&m);
	if (opts->json)
		print_json(&m);
	else if (opts->style == WEFT_PERF_STYLE_CSV)
		print_csv(&m);
	else
		print_matrix(&m);
	for (uint32_t i = 0; i < m.pairs; i++)
		free(m.pair[i].why);
	free(m.pair);
	free(run);
	return m.failed == m.pairs ? 2 : m.failed || m.slow;
}
