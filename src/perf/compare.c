/* SPDX-License-Identifier: BSD-2-Clause */
/* An average over sizes says nothing: the same two networks differ by nothing at 8 bytes and by eighteen times at a
 * gigabyte. So sizes are put together into ranges in which the answer is the same. */
#include "perf/compare.h"

#include "perf/print.h"

#include <math.h>
#include <string.h>

#define ALIKE 1.1 /* Up to this ratio two figures are the same. */

const char *weft_perf_run_name(const struct weft_perf_run *run)
{
	const char *provider = run->members[0].provider;

	if (!strncmp(provider, "efa", 3))
		return "EFA";
	return strncmp(provider, "tcp;", 4) ? provider : "tcp"; /* Whatever is layered on it. */
}

double weft_perf_speedup(const struct weft_perf_run *a, const struct weft_perf_run *b, uint32_t row)
{
	double x = weft_perf_busbw(a, &a->row[row], 0), y = weft_perf_busbw(b, &b->row[row], 0);

	return x < 0.005 || y < 0.005 ? 0 : x / y;
}

/* Without zeros at the end: 0, 6.5, 19.03. */
static const char *short_number(double value, int digits, char *buf, size_t len)
{
	char *end;

	snprintf(buf, len, "%.*f", digits, value);
	if (!strchr(buf, '.'))
		return buf;
	end = buf + strlen(buf) - 1;
	while (*end == '0')
		*end-- = 0;
	if (*end == '.')
		*end = 0;
	return buf;
}

static void print_table(FILE *to, const struct weft_perf_run *a, const struct weft_perf_run *b)
{
	bool is_efa = !strcmp(weft_perf_run_name(a), "EFA");

	fprintf(to, "| Message Size | busbw %s (GB/s) | busbw %s (GB/s) | Speed-up |\n",
		weft_perf_run_name(a), is_efa ? "non-EFA" : weft_perf_run_name(b));
	fputs("|--------------|-------------|-------------|---------------|\n", to);
	for (uint32_t i = 0; i < a->rows && i < b->rows; i++) {
		double ratio = weft_perf_speedup(a, b, i);
		char size[32], x[32], y[32], r[32], with_unit[40] = "-";

		if (ratio > 0)
			snprintf(with_unit, sizeof(with_unit), "%s x",
				 short_number(ratio, 1, r, sizeof(r)));
		fprintf(to, "| %-12s | %-11s | %-11s | %-13s |\n",
			weft_perf_size_text(a->row[i].bytes, size, sizeof(size)),
			short_number(weft_perf_busbw(a, &a->row[i], 0), 2, x, sizeof(x)),
			short_number(weft_perf_busbw(b, &b->row[i], 0), 2, y, sizeof(y)),
			with_unit);
	}
}

void weft_perf_bend(const struct weft_perf_run *run, uint64_t *latency_bytes, uint64_t *full_bytes)
{
	double best = 0;

	*latency_bytes = *full_bytes = 0;
	for (uint32_t i = 0; i < run->rows; i++)
		best = fmax(best, weft_perf_busbw(run, &run->row[i], 0));
	for (uint32_t i = 0; i < run->rows; i++) {
		if (run->row[i].pass[0].mean_ns > 2 * run->row[0].pass[0].mean_ns)
			break;
		*latency_bytes = run->row[i].bytes;
	}
	for (uint32_t i = run->rows; i-- > 0;) {
		if (weft_perf_busbw(run, &run->row[i], 0) < 0.9 * best)
			break;
		*full_bytes = run->row[i].bytes;
	}
}

struct sayer {
	void (*say)(void *arg, const char *sentence);
	void *arg;
};

static void say_bend(const struct sayer *s, const struct weft_perf_run *run)
{
	char sentence[256], from[32], to[32];
	uint64_t latency, full;
	double mean;

	weft_perf_bend(run, &latency, &full);
	if (run->rows < 3)
		return;
	snprintf(sentence, sizeof(sentence),
		 "%s: up to %s time is latency (it does not double); bandwidth is within a tenth "
		 "of its "
		 "best from %s on",
		 weft_perf_run_name(run), weft_perf_size_text(latency, from, sizeof(from)),
		 full ? weft_perf_size_text(full, to, sizeof(to)) : "nowhere");
	if (full)
		s->say(s->arg, sentence);
	/* More to carry, and less carried: a change of protocol, or a queue that overflows. */
	for (uint32_t i = 1; i < run->rows; i++) {
		mean = weft_perf_busbw(run, &run->row[i - 1], 0);
		if (mean < 0.01 || weft_perf_busbw(run, &run->row[i], 0) > mean * 0.8)
			continue;
		snprintf(sentence, sizeof(sentence), "%s: drops from %.2f GB/s at %s to %.2f at %s",
			 weft_perf_run_name(run), mean,
			 weft_perf_size_text(run->row[i - 1].bytes, from, sizeof(from)),
			 weft_perf_busbw(run, &run->row[i], 0),
			 weft_perf_size_text(run->row[i].bytes, to, sizeof(to)));
		s->say(s->arg, sentence);
	}
}

/* By time, which is exact where bandwidth rounds to nothing. */
static double ratio_of(const struct weft_perf_run *a, const struct weft_perf_run *b, uint32_t i)
{
	double x = a->row[i].pass[0].mean_ns, y = b->row[i].pass[0].mean_ns;

	return x > 0 ? y / x : 1;
}

static int class_of(double ratio)
{
	return ratio > ALIKE ? 1 : ratio < 1 / ALIKE ? -1 : 0;
}

static void say_ratios(const struct sayer *s, const struct weft_perf_run *a,
		       const struct weft_perf_run *b)
{
	uint32_t rows = a->rows < b->rows ? a->rows : b->rows;

	for (uint32_t i = 0, end; i < rows; i = end) {
		double low = ratio_of(a, b, i), high = low, least, most;
		char sentence[256], from[32], to[32], range[80], factor[48];
		int class = class_of(low);

		for (end = i + 1; end < rows && class_of(ratio_of(a, b, end)) == class; end++) {
			low = fmin(low, ratio_of(a, b, end));
			high = fmax(high, ratio_of(a, b, end));
		}
		snprintf(range, sizeof(range), "%s%s%s",
			 weft_perf_size_text(a->row[i].bytes, from, sizeof(from)),
			 end - i > 1 ? " to " : "",
			 end - i > 1 ? weft_perf_size_text(a->row[end - 1].bytes, to, sizeof(to))
				     : "");
		least = class < 0 ? 1 / high : low;
		most = class < 0 ? 1 / low : high;
		if (most - least < 0.05)
			snprintf(factor, sizeof(factor), "%.1f", most);
		else
			snprintf(factor, sizeof(factor), "%.1f to %.1f", least, most);
		snprintf(sentence, sizeof(sentence), "%s: %s%s (%s times as fast)", range,
			 class ? weft_perf_run_name(class > 0 ? a : b) : "about the same",
			 class ? " is faster" : "", factor);
		s->say(s->arg, sentence);
	}
}

void weft_perf_ranges(const struct weft_perf_run *a, const struct weft_perf_run *b,
		      void (*say)(void *arg, const char *sentence), void *arg)
{
	struct sayer s = { say, arg };

	if (b)
		say_ratios(&s, a, b);
	say_bend(&s, a);
	if (b)
		say_bend(&s, b);
}

static void print_sentence(void *arg, const char *sentence)
{
	fprintf(arg, "- %s\n", sentence);
}

void weft_perf_compare_print(FILE *to, const struct weft_perf_run *a, const struct weft_perf_run *b)
{
	print_table(to, a, b);
	fputs("\n", to);
	weft_perf_ranges(a, b, print_sentence, to);
}
