/* SPDX-License-Identifier: BSD-2-Clause */
/* Logs of any bytes. The first byte of the input says how the rest is cut into pieces.
 *
 * Whatever is read: the report is the same however the bytes are cut, what it quotes is one printable line, and
 * its sums agree with each other. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "advice/logs_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct weft_logs *read_pieces(const char *data, size_t len, size_t piece)
{
	struct weft_logs *logs = weft_logs_create();

	FUZZ_CHECK(logs && !weft_logs_file(logs, "log"), "no memory");
	while (len) {
		size_t n = WEFT_MIN(piece, len);

		weft_logs_feed(logs, data, n);
		data += n;
		len -= n;
	}
	weft_logs_end(logs);
	return logs;
}

static void check_line(const char *s, const char *what)
{
	for (; *s; s++)
		FUZZ_CHECK((unsigned char)*s >= 0x20 && *s != 0x7f, "%s holds 0x%02x", what,
			   (unsigned char)*s);
}

static void check_sums(const struct weft_logs *logs, const struct weft_logs_report *r)
{
	uint32_t ranks = 0, on[WEFT_ON_COUNT] = { 0 };

	for (uint32_t i = 0; i < r->groups; i++) {
		check_line(r->group[i].text, "a verdict");
		for (uint32_t k = 0; k < r->group[i].count; k++) {
			uint32_t n = weft_log_source_ranks(&logs->source[r->group[i].source[k]]);

			on[r->group[i].on] += n;
			ranks += n;
		}
	}
	FUZZ_CHECK(ranks == r->ranks && !memcmp(on, r->on, sizeof(on)), "%u ranks of %u", ranks,
		   r->ranks);
	FUZZ_CHECK((r->first_source == WEFT_LOGS_NONE) == !r->failures, "first of %u", r->failures);
	FUZZ_CHECK(r->first_source == WEFT_LOGS_NONE ||
			   (r->first.line && r->first.line <= logs->lines),
		   "line %llu of %llu", (unsigned long long)r->first.line,
		   (unsigned long long)logs->lines);
	for (size_t i = 0; i < r->findings.count; i++)
		check_line(r->findings.finding[i].evidence, "evidence");
}

static char *report_of(struct weft_logs *logs)
{
	struct weft_logs_report r;
	char *text = NULL, name[200];
	size_t len;
	FILE *to = open_memstream(&text, &len);

	FUZZ_CHECK(to && !weft_logs_report_make(logs, NULL, true, &r), "no report");
	check_sums(logs, &r);
	fprintf(to, "%llu %llu %llu\n", (unsigned long long)logs->lines,
		(unsigned long long)logs->cut, (unsigned long long)logs->noise);
	for (uint32_t i = 0; i < logs->sources; i++)
		fprintf(to, "%s\n", weft_logs_source_name(logs, i, name, sizeof(name)));
	for (uint32_t i = 0; i < r.groups; i++)
		fprintf(to, "%u %s\n", r.group[i].count, r.group[i].text);
	weft_findings_json(to, &r.findings);
	fclose(to);
	weft_logs_report_fini(&r);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct weft_logs *whole, *pieces;
	char *a, *b;

	if (!size)
		return 0;
	whole = read_pieces((const char *)data + 1, size - 1, size);
	pieces = read_pieces((const char *)data + 1, size - 1, 1 + data[0]);
	a = report_of(whole);
	b = report_of(pieces);
	fuzz_trace("%s", a);
	FUZZ_CHECK(!strcmp(a, b), "how the bytes are cut makes a difference:\n%s\n%s", a, b);
	free(a);
	free(b);
	weft_logs_destroy(whole);
	weft_logs_destroy(pieces);
	return 0;
}
