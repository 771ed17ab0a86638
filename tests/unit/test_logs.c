/* SPDX-License-Identifier: BSD-2-Clause */
/* The reader of logs as a whole: tests/unit/logs.txt row by row, and what may not matter (how bytes are cut) or may
 * not hurt (what they are). */
#define _GNU_SOURCE
#include "advice/logs_report.h"

#include "base/prng.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES_MAX 100
#define MUTATIONS 10000u

/* One half of a case of logs.txt; borrows from the file's text. */
struct sample {
	char name[128], ids[128];
	int mode, first_rank;
	const char *text;
	size_t len;
	bool healthy;
};

static char *file_text;
static struct sample samples[2 * CASES_MAX];
static size_t sample_count;

static const char *next_line(const char *p)
{
	const char *end = strchr(p, '\n');

	return end ? end + 1 : p + strlen(p);
}

/* "== MODE NAME: ID ID", perhaps "first: RANK", lines, "--", lines */
static void parse_samples(void)
{
	struct sample *s = NULL;
	const char *p = file_text;

	while (*p && strncmp(p, "== ", 3) != 0)
		p = next_line(p);
	for (; *p; p = next_line(p)) {
		if (!strncmp(p, "== ", 3)) {
			const char *colon = memmem(p, (size_t)(next_line(p) - p), ": ", 2);
			int used = 0;

			assert_non_null(colon);
			assert_true(sample_count + 2 <= WEFT_ARRAY_SIZE(samples));
			s = &samples[sample_count++];
			s->first_rank = -1;
			assert_int_equal(sscanf(p, "== %d %n", &s->mode, &used), 1);
			snprintf(s->name, sizeof(s->name), "%.*s", (int)(colon - p - used),
				 p + used);
			snprintf(s->ids, sizeof(s->ids), "%.*s", (int)(next_line(p) - colon - 3),
				 colon + 2);
			s->text = next_line(p);
			if (sscanf(s->text, "first: rank %d", &s->first_rank) == 1) {
				p = s->text;
				s->text = next_line(p);
			}
		} else if (!strncmp(p, "--\n", 3)) {
			samples[sample_count] = *s;
			s = &samples[sample_count++];
			s->healthy = true;
			s->len = 0;
			s->text = next_line(p);
		} else {
			s->len = (size_t)(next_line(p) - s->text);
		}
	}
}

static int load(void **state)
{
	const char *folder = getenv("TEST_FOLDER");
	char path[4096];
	FILE *f;
	long size;

	(void)state;
	snprintf(path, sizeof(path), "%s/logs.txt", folder ? folder : "tests/unit");
	f = fopen(path, "r");
	if (!f)
		return -1;
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	file_text = calloc(1, (size_t)size + 1);
	if (!file_text || fread(file_text, 1, (size_t)size, f) != (size_t)size)
		return -1;
	fclose(f);
	parse_samples();
	return 0;
}

static int unload(void **state)
{
	(void)state;
	free(file_text);
	return 0;
}

static struct weft_logs *read_pieces(const char *text, size_t len, struct weft_prng *prng)
{
	struct weft_logs *logs = weft_logs_create();

	assert_non_null(logs);
	assert_int_equal(weft_logs_file(logs, "test.log"), 0);
	while (len) {
		size_t piece = prng ? 1 + weft_prng_below(prng, 400) : len;

		piece = WEFT_MIN(piece, len);
		weft_logs_feed(logs, text, piece);
		text += piece;
		len -= piece;
	}
	weft_logs_end(logs);
	return logs;
}

static bool has(const struct weft_logs_report *r, const char *id)
{
	for (size_t i = 0; i < r->findings.count; i++)
		if (!strcmp(weft_finding_info(r->findings.finding[i].id)->id, id))
			return true;
	return false;
}

static void weft_logs__every_sample(void **state)
{
	(void)state;
	assert_true(sample_count > 100);
	for (size_t i = 0; i < sample_count; i++) {
		const struct sample *s = &samples[i];
		struct weft_logs *logs = read_pieces(s->text, s->len, NULL);
		struct weft_logs_report r;
		char ids[128], *rest = ids, *id;

		memcpy(ids, s->ids, sizeof(ids));
		assert_int_equal(weft_logs_report_make(logs, NULL, false, &r), 0);
		while ((id = strsep(&rest, " "))) {
			if (!id[0])
				assert_int_not_equal(weft_findings_worst(&r.findings),
						     WEFT_SEV_FAIL);
			else if (has(&r, id) == s->healthy)
				fail_msg("%d %s%s: %s %s", s->mode, s->name,
					 s->healthy ? " (twin)" : "", id,
					 s->healthy ? "found" : "not found");
		}
		if (!s->healthy && s->first_rank >= 0) {
			assert_int_not_equal(r.first_source, WEFT_LOGS_NONE);
			assert_int_equal(logs->source[r.first_source].rank, s->first_rank);
		}
		weft_logs_report_fini(&r);
		weft_logs_destroy(logs);
	}
}

/* The rest shows on a node or in a manifest only: docs/findings/modes.md. */
static void weft_logs__modes_covered(void **state)
{
	static const int modes[] = {
		1,  2,  3,  4,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17,
		18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 31, 32, 35, 37
	};

	(void)state;
	for (size_t m = 0; m < WEFT_ARRAY_SIZE(modes); m++) {
		bool found = false;

		for (size_t i = 0; i < sample_count; i++)
			found |= samples[i].mode == modes[m] && !samples[i].healthy;
		if (!found)
			fail_msg("no sample of mode %d", modes[m]);
	}
}

/* A report as one text, to compare two of them. */
static char *report_text(const struct weft_logs *logs)
{
	struct weft_logs_report r;
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	assert_non_null(to);
	assert_int_equal(weft_logs_report_make(logs, NULL, true, &r), 0);
	fprintf(to, "%llu lines %llu cut %llu noise %u sources\n", (unsigned long long)logs->lines,
		(unsigned long long)logs->cut, (unsigned long long)logs->noise, logs->sources);
	for (uint32_t i = 0; i < r.groups; i++)
		fprintf(to, "%u %s\n", r.group[i].count, r.group[i].text);
	weft_findings_json(to, &r.findings);
	fclose(to);
	weft_logs_report_fini(&r);
	return text;
}

static void check_printable(const char *text)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 && *p != '\n')
			fail_msg("control character in: %s", text);
}

/* Some bytes of a log are lost, doubled, swapped, overwritten, mixed with another log's. */
static size_t mutate(char *buf, size_t size, struct weft_prng *prng)
{
	const struct sample *a = &samples[weft_prng_below(prng, (uint32_t)sample_count)];
	const struct sample *b = &samples[weft_prng_below(prng, (uint32_t)sample_count)];
	size_t len = WEFT_MIN(a->len, size / 2), from, n;
	uint64_t rounds = 1 + weft_prng_below(prng, 6);

	memcpy(buf, a->text, len);
	while (rounds-- && len > 2) {
		from = weft_prng_below(prng, (uint32_t)len);
		n = 1 + weft_prng_below(prng, 80);
		n = WEFT_MIN(n, len - from);
		switch (weft_prng_below(prng, 7)) {
		case 0:
			len = from + 1;
			break;
		case 1:
			for (size_t i = from; i < from + n; i++)
				buf[i] = (char)weft_prng_below(prng, 256);
			break;
		case 2:
			memset(buf + from, weft_prng_below(prng, 2) ? 0 : '\r', n);
			break;
		case 3:
			memmove(buf + from, buf + from + n, len - from - n);
			len -= n;
			break;
		case 4:
			memcpy(buf + from,
			       b->text +
				       weft_prng_below(
					       prng, (uint32_t)(b->len - WEFT_MIN(n, b->len)) + 1),
			       WEFT_MIN(n, b->len));
			break;
		case 5:
			/* A line without an end. */
			for (size_t i = from; i < len; i++)
				buf[i] = buf[i] == '\n' ? 'x' : buf[i];
			break;
		default:
			n = WEFT_MIN(b->len, size - len);
			memcpy(buf + len, b->text, n);
			len += n;
			break;
		}
	}
	return len;
}

static void weft_logs__mutations(void **state)
{
	static char buf[1 << 16];
	struct weft_prng prng;

	(void)state;
	weft_prng_init(&prng, 2026);
	for (uint32_t i = 0; i < MUTATIONS; i++) {
		size_t len = mutate(buf, sizeof(buf), &prng);
		struct weft_logs *whole = read_pieces(buf, len, NULL),
				 *pieces = read_pieces(buf, len, &prng);
		char *a = report_text(whole), *b = report_text(pieces);

		if (strcmp(a, b) != 0)
			fail_msg("mutation %u: how the bytes are cut makes a difference:\n%s\n%s",
				 i, a, b);
		check_printable(a);
		free(a);
		free(b);
		weft_logs_destroy(whole);
		weft_logs_destroy(pieces);
	}
}

/* A hit near the end of what is read of a line, and behind it. */
static void weft_logs__huge_lines(void **state)
{
	static const char text[] = "No valid EFA devices found";
	static const size_t places[] = { WEFT_LOGS_LINE_MAX - sizeof(text) + 1,
					 WEFT_LOGS_LINE_MAX - 4, WEFT_LOGS_LINE_MAX + 1,
					 3 * WEFT_LOGS_LINE_MAX };
	size_t size = 4 * WEFT_LOGS_LINE_MAX;
	char *buf = malloc(size);
	struct weft_prng prng;

	(void)state;
	assert_non_null(buf);
	weft_prng_init(&prng, 1);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(places); i++) {
		struct weft_logs *logs[2];

		memset(buf, 'x', size);
		memcpy(buf + places[i], text, sizeof(text) - 1);
		memcpy(buf + size - 8, "\nweft\n\n\n", 8);
		logs[0] = read_pieces(buf, size, NULL);
		logs[1] = read_pieces(buf, size, &prng);
		for (int k = 0; k < 2; k++) {
			assert_int_equal(logs[k]->msg[WEFT_FINDING_K8S_PLUGIN].count, i == 0);
			assert_int_equal(logs[k]->lines, 4);
			assert_int_equal(logs[k]->cut, 1);
			weft_logs_destroy(logs[k]);
		}
	}
	free(buf);
}

static struct weft_logs *read_text(const char *text)
{
	return read_pieces(text, strlen(text), NULL);
}

static void weft_logs__line_ends(void **state)
{
	struct weft_logs *logs =
		read_text("a\r\nfi_getinfo: -61 (No data available)\r\n"
			  "12%\r99%\rfi_getinfo: -61 (No data available)\n\nfi_getinfo: -61");

	(void)state;
	assert_int_equal(logs->msg[WEFT_FINDING_PROVIDER_NONE].count, 3);
	assert_int_equal(logs->msg[WEFT_FINDING_PROVIDER_NONE].first.line, 2);
	assert_string_equal(logs->msg[WEFT_FINDING_PROVIDER_NONE].text,
			    "fi_getinfo: -61 (No data available)");
	assert_int_equal(logs->lines, 5);
	weft_logs_destroy(logs);
}

/* libfabric's lines, which have a pid only, belong to the process that NCCL's lines name. */
static void weft_logs_source__by_pid(void **state)
{
	struct weft_logs *logs = read_text(
		"libfabric:7:1764529576::efa:cq:f():1<warn> Message: Unresponsive receiver\n"
		"host:7:8 [0] NCCL INFO Using network Libfabric\n"
		"libfabric:7:1764529577::efa:cq:f():1<warn> Receiver connection aborted\n");

	(void)state;
	assert_int_equal(logs->sources, 1);
	assert_string_equal(logs->source[0].host, "host");
	assert_int_equal(logs->source[0].nets, WEFT_LOG_NET_LIBFABRIC);
	weft_logs_destroy(logs);
	/* Unless two have that pid: then nobody knows whose they are. */
	logs = read_text(
		"a:7:8 [0] NCCL INFO Using network Libfabric\nb:7:8 [0] NCCL INFO Using network "
		"Libfabric\n"
		"c:7:8 [0] NCCL INFO Using network Libfabric\n"
		"libfabric:7:1764529577::efa:cq:f():1<warn> Receiver connection aborted\n"
		"libfabric:7:1764529577::efa:cq:f():1<warn> Receiver connection aborted\n");
	assert_int_equal(logs->sources, 4);
	assert_string_equal(logs->source[3].host, "");
	weft_logs_destroy(logs);
}

static void weft_logs_source__bounded(void **state)
{
	struct weft_logs *logs = weft_logs_create();
	struct weft_logs_report r;
	char line[128];

	(void)state;
	assert_non_null(logs);
	assert_int_equal(weft_logs_file(logs, "test.log"), 0);
	for (uint32_t i = 1; i <= WEFT_LOGS_SOURCES_MAX + 1000; i++) {
		int len = snprintf(line, sizeof(line),
				   "host-%u:%u:1 [0] NCCL INFO Using network Libfabric\n", i, i);

		weft_logs_feed(logs, line, (size_t)len);
	}
	weft_logs_end(logs);
	assert_int_equal(logs->sources, WEFT_LOGS_SOURCES_MAX);
	assert_int_equal(logs->dropped, 1000);
	assert_int_equal(weft_logs_report_make(logs, NULL, false, &r), 0);
	assert_int_equal(r.ranks, WEFT_LOGS_SOURCES_MAX);
	assert_int_equal(r.groups, 1);
	weft_logs_report_fini(&r);
	weft_logs_destroy(logs);
}

static void weft_logs_names__ranges(void **state)
{
	struct weft_logs *logs = weft_logs_create();
	uint32_t list[8];
	char line[128], names[64];

	(void)state;
	assert_non_null(logs);
	for (uint32_t i = 0; i < 8; i++) {
		int len = snprintf(line, sizeof(line),
				   "[1,%u]<stdout>:a:%u:1 [0] NCCL INFO Using network Socket\n",
				   i < 4 ? i : 2 * i, i + 1);

		weft_logs_feed(logs, line, (size_t)len);
		list[i] = i;
	}
	assert_string_equal(weft_logs_names(logs, list, 8, names, sizeof(names)),
			    "ranks 0-3,8,10,12,14");
	assert_string_equal(weft_logs_names(logs, list + 1, 1, names, sizeof(names)), "rank 1");
	assert_string_equal(weft_logs_names(logs, list, 8, names, 36), "ranks 0-3,8 and 3 more");
	weft_logs_destroy(logs);
}

static void weft_logs_report__first_by_time(void **state)
{
	/* The second in the log is the first in time. */
	static const char text[] = "[1,0]<stderr>:libfabric:1:1764529580::efa:mr:f():1<warn> "
				   "Unable to register MR of 4 bytes\n"
				   "[1,0]<stderr>:libfabric:1:1764529580::efa:av:f():1<warn> "
				   "ibv_create_ah failed with EINVAL\n"
				   "[1,1]<stderr>:libfabric:2:1764529570::efa:av:f():1<warn> "
				   "ibv_create_ah failed with EINVAL\n";
	struct weft_logs *logs = read_text(text);
	struct weft_logs_report r;

	(void)state;
	assert_int_equal(weft_logs_report_make(logs, NULL, false, &r), 0);
	assert_true(r.first_by_time);
	assert_int_equal(logs->source[r.first_source].rank, 1);
	assert_int_equal(r.first.line, 3);
	weft_logs_report_fini(&r);
	weft_logs_destroy(logs);
}

static void weft_logs_report__require_and_expect(void **state)
{
	static const char efa[] = "a:1:2 [0] NCCL INFO NET/OFI Selected provider is efa, fabric is "
				  "efa (found 3 nics)\n";
	static const char other[] = "a:1:2 [0] NCCL INFO Using network IB\n";
	const struct weft_instance *p4d = weft_catalogue_find("p4d.24xlarge");
	struct weft_logs *logs = read_text(efa);
	struct weft_logs_report r;

	(void)state;
	assert_non_null(p4d);
	assert_int_equal(weft_logs_report_make(logs, NULL, true, &r), 0);
	assert_int_equal(weft_findings_worst(&r.findings), WEFT_SEV_OK);
	weft_logs_report_fini(&r);
	assert_int_equal(weft_logs_report_make(logs, p4d, true, &r), 0);
	assert_true(has(&r, "card-count"));
	weft_logs_report_fini(&r);
	weft_logs_destroy(logs);

	logs = read_text(other);
	assert_int_equal(weft_logs_report_make(logs, NULL, false, &r), 0);
	assert_int_equal(r.on[WEFT_ON_OTHER], 1);
	assert_int_not_equal(weft_findings_worst(&r.findings), WEFT_SEV_FAIL);
	weft_logs_report_fini(&r);
	assert_int_equal(weft_logs_report_make(logs, NULL, true, &r), 0);
	assert_int_equal(weft_findings_worst(&r.findings), WEFT_SEV_FAIL);
	weft_logs_report_fini(&r);
	weft_logs_destroy(logs);
}

/* Several GPUs in one process are several ranks. */
static void weft_logs_report__ranks_of_a_process(void **state)
{
	struct weft_logs *logs =
		read_text("a:1:2 [0] NCCL INFO comm 0x5 rank 0 nranks 4 cudaDev 0 busId 1000 - "
			  "Init COMPLETE\n"
			  "a:1:3 [1] NCCL INFO comm 0x6 rank 1 nranks 4 cudaDev 1 busId 2000 - "
			  "Init COMPLETE\n"
			  "a:1:3 [1] NCCL INFO comm 0x6 rank 0 nranks 2 cudaDev 1 busId 2000 - "
			  "Init COMPLETE\n"
			  "a:1:2 [0] NCCL INFO NET/OFI Selected Provider is efa (found 4 nics)\n");
	struct weft_logs_report r;

	(void)state;
	assert_int_equal(weft_logs_report_make(logs, NULL, true, &r), 0);
	assert_int_equal(r.ranks, 2);
	assert_int_equal(r.ranks_expected, 4);
	assert_int_equal(r.on[WEFT_ON_EFA], 2);
	weft_logs_report_fini(&r);
	weft_logs_destroy(logs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_logs__every_sample),
		cmocka_unit_test(weft_logs__modes_covered),
		cmocka_unit_test(weft_logs__mutations),
		cmocka_unit_test(weft_logs__huge_lines),
		cmocka_unit_test(weft_logs__line_ends),
		cmocka_unit_test(weft_logs_source__by_pid),
		cmocka_unit_test(weft_logs_source__bounded),
		cmocka_unit_test(weft_logs_names__ranges),
		cmocka_unit_test(weft_logs_report__first_by_time),
		cmocka_unit_test(weft_logs_report__require_and_expect),
		cmocka_unit_test(weft_logs_report__ranks_of_a_process),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
