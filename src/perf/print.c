/* SPDX-License-Identifier: BSD-2-Clause */
/* The layouts of others are followed to the column, because scripts count columns. What they do not have (percentiles, the
 * coefficient of variation) comes behind, and what was measured with what stands in lines that begin with #. */
#define _GNU_SOURCE
#include "perf/print.h"

#include "base/json.h"

#include <string.h>
#include <time.h>

char *weft_perf_date_text(int64_t date, char *buf, size_t len)
{
	time_t t = (time_t)date;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(buf, len, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf;
}

char *weft_perf_size_text(uint64_t bytes, char *buf, size_t len)
{
	static const char *const units[] = { "B", "KB", "MB", "GB" };
	uint32_t u = 0;

	while (u + 1 < WEFT_ARRAY_SIZE(units) && bytes >= 1024 && bytes % 1024 == 0) {
		bytes /= 1024;
		u++;
	}
	snprintf(buf, len, "%llu %s", (unsigned long long)bytes, units[u]);
	return buf;
}

uint32_t weft_perf_cards(const struct weft_perf_run *run)
{
	uint32_t cards = WEFT_PERF_CARDS_MAX;

	for (uint32_t i = 0; i < run->job.ranks; i++)
		if (run->members[i].cards < cards)
			cards = run->members[i].cards;
	return cards;
}

uint32_t weft_perf_hosts(const struct weft_perf_run *run)
{
	uint32_t hosts = 0;

	for (uint32_t i = 0; i < run->job.ranks; i++) {
		uint32_t k = 0;

		while (k < i && strcmp(run->members[k].host, run->members[i].host) != 0)
			k++;
		hosts += k == i;
	}
	return hosts;
}

uint64_t weft_perf_wrong(const struct weft_perf_run *run)
{
	uint64_t wrong = 0;

	for (uint32_t i = 0; i < run->rows; i++)
		wrong += run->row[i].wrong[0] + run->row[i].wrong[1];
	return wrong;
}

/* As fi_pingpong writes them: 64, 1.2k, 4m. */
static char *short_size(uint64_t n, uint64_t base, char *buf, size_t len)
{
	static const char units[] = { 0, 'k', 'm', 'g' };
	uint64_t unit = 1;
	uint32_t u = 0;

	while (u + 1 < sizeof(units) && n / unit >= base) {
		unit *= base;
		u++;
	}
	if (u && n % unit * 10 / unit)
		snprintf(buf, len, "%llu.%llu%c", (unsigned long long)(n / unit),
			 (unsigned long long)(n % unit * 10 / unit), units[u]);
	else
		snprintf(buf, len, "%llu%.1s", (unsigned long long)(n / unit), &units[u]);
	return buf;
}

static void print_configuration(FILE *to, const struct weft_perf_run *run)
{
	const struct weft_perf_member *m = &run->members[0];
	char date[32];

	fprintf(to, "# weft %s %s, libfabric %s, provider %s, card %s, %u card%s each, %s\n",
		m->weft, weft_perf_test_name(run->job.test), m->libfabric, m->provider, m->card,
		weft_perf_cards(run), weft_perf_cards(run) == 1 ? "" : "s",
		weft_perf_date_text(run->date, date, sizeof(date)));
	for (uint32_t i = 0; i < run->job.ranks; i++) {
		m = &run->members[i];
		if (i < 8 || i + 1 == run->job.ranks)
			fprintf(to, "#  Rank %2u Pid %6u on %s, Linux %s %s, %s %s\n", i, m->pid,
				m->host, m->kernel, m->arch, m->provider, m->card);
		else if (i == 8)
			fprintf(to, "#  ... and so on\n");
	}
}

static void begin_collective(FILE *to, const struct weft_perf_run *run)
{
	const struct weft_perf_job *job = &run->job;

	fprintf(to,
		"# nThread 1 nGpus 0 minBytes %llu maxBytes %llu step: %llu(%s) warmup iters: %u "
		"iters: %u%s agg iters: 1 validation: %u graph: 0\n#\n",
		(unsigned long long)job->bytes_min, (unsigned long long)job->bytes_max,
		(unsigned long long)(job->factor ? job->factor : job->step_bytes),
		job->factor ? "factor" : "bytes", job->warmup,
		job->iterations ? job->iterations : 20,
		job->iterations ? "" : " (fewer where they take long)", job->is_checked);
	print_configuration(to, run);
	fputs("#\n"
	      "#                                                              out-of-place         "
	      "              in-place          \n"
	      "#       size         count      type   redop    root     time   algbw   busbw "
	      "#wrong "
	      "    time   algbw   busbw #wrong\n"
	      "#        (B)    (elements)                               (us)  (GB/s)  (GB/s)       "
	      " "
	      "    (us)  (GB/s)  (GB/s)       \n",
	      to);
}

static void row_collective(FILE *to, const struct weft_perf_run *run,
			   const struct weft_perf_row *row)
{
	bool is_reduce = run->job.test == WEFT_PERF_ALLREDUCE;
	uint64_t count = row->bytes / 4 / (is_reduce ? 1 : run->job.ranks);

	fprintf(to, "%12llu  %12llu  %8s  %6s  %6d", (unsigned long long)row->bytes,
		(unsigned long long)count, "float", is_reduce ? "sum" : "none", -1);
	for (uint32_t p = 0; p < 2; p++) {
		double us = row->pass[p].mean_ns / 1e3;

		fprintf(to, us < 10000 ? "  %7.2f" : us < 100000 ? "  %7.1f" : "  %7.0f", us);
		fprintf(to, "  %6.2f  %6.2f", weft_perf_algbw(run, row, p),
			weft_perf_busbw(run, row, p));
		if (run->job.is_checked)
			fprintf(to, "%7llu", (unsigned long long)row->wrong[p]);
		else
			fprintf(to, "%7s", "N/A");
	}
	putc('\n', to);
}

static void end_collective(FILE *to, const struct weft_perf_run *run)
{
	uint64_t wrong = weft_perf_wrong(run);
	double sum = 0;

	for (uint32_t i = 0; i < run->rows; i++)
		sum += weft_perf_busbw(run, &run->row[i], 0) +
		       weft_perf_busbw(run, &run->row[i], 1);
	if (run->job.is_checked)
		fprintf(to, "# Out of bounds values : %llu %s\n", (unsigned long long)wrong,
			wrong ? "FAILED" : "OK");
	fprintf(to, "# Avg bus bandwidth    : %g \n#\n", run->rows ? sum / run->rows / 2 : 0);
}

static void row_pingpong(FILE *to, const struct weft_perf_row *row)
{
	const struct weft_perf_stat *s = &row->pass[0];
	double us = s->mean_ns / 1e3;
	char size[32], sent[32], total[32];

	fprintf(to, "%-8s%-8s=%-8s%-8s%8.2fs%10.2f%11.2f%11.2f%10.2f%9.2f%9.2f%7.2f\n",
		short_size(row->bytes, 1024, size, sizeof(size)),
		short_size(s->iterations, 1000, sent, sizeof(sent)), sent,
		short_size(row->bytes * s->iterations * 2, 1024, total, sizeof(total)),
		(double)s->total_ns / 1e9, us > 0 ? (double)row->bytes / us : 0, us,
		us > 0 ? 1 / us : 0, s->p50_ns / 1e3, s->p99_ns / 1e3, s->p999_ns / 1e3, s->cov);
}

static double messages_per_us(const struct weft_perf_run *run, const struct weft_perf_row *row)
{
	double n = weft_perf_messages(&run->job) * (run->job.test == WEFT_PERF_BIBW ? 2.0 : 1.0);

	return row->pass[0].mean_ns > 0 ? n * 1e3 / row->pass[0].mean_ns : 0;
}

static void row_stream(FILE *to, const struct weft_perf_run *run, const struct weft_perf_row *row)
{
	const struct weft_perf_stat *s = &row->pass[0];
	double best = s->min_ns > 0 ? s->mean_ns / s->min_ns : 0;
	double mb = weft_perf_algbw(run, row, 0) * 1e3;

	fprintf(to, " %-11llu %-12llu %12.2f %18.2f %15.6f %11.2f%10.2f%10.2f%7.2f\n",
		(unsigned long long)row->bytes, (unsigned long long)s->iterations, mb * best, mb,
		messages_per_us(run, row), s->p50_ns / 1e3, s->p99_ns / 1e3, s->p999_ns / 1e3,
		s->cov);
}

static void begin_osu(FILE *to, const struct weft_perf_run *run)
{
	static const struct {
		const char *title, *column;
	} heads[WEFT_PERF_TESTS] = {
		[WEFT_PERF_PINGPONG] = { "Latency Test", "Latency (us)" },
		[WEFT_PERF_BW] = { "Bandwidth Test", "Bandwidth (MB/s)" },
		[WEFT_PERF_BIBW] = { "Bi-Directional Bandwidth Test", "Bandwidth (MB/s)" },
		[WEFT_PERF_RATE] = { "Multiple Bandwidth / Message Rate Test", "MB/s" },
		[WEFT_PERF_ALLREDUCE] = { "Allreduce Latency Test", "Avg Latency(us)" },
		[WEFT_PERF_ALLTOALL] = { "All-to-All Personalized Exchange Latency Test",
					 "Avg Latency(us)" },
	};

	fprintf(to, "# OSU MPI %s, as weft perf measures it without MPI\n",
		heads[run->job.test].title);
	print_configuration(to, run);
	fprintf(to, "%-10s%20s%s\n", "# Size", heads[run->job.test].column,
		run->job.test == WEFT_PERF_RATE ? "          Messages/s" : "");
}

static void row_osu(FILE *to, const struct weft_perf_run *run, const struct weft_perf_row *row)
{
	bool is_time =
		run->job.test == WEFT_PERF_PINGPONG || weft_perf_is_collective(run->job.test);

	fprintf(to, "%-10llu%20.2f", (unsigned long long)row->bytes,
		is_time ? row->pass[0].mean_ns / 1e3 : weft_perf_algbw(run, row, 0) * 1e3);
	if (run->job.test == WEFT_PERF_RATE)
		fprintf(to, "%20.2f", messages_per_us(run, row) * 1e6);
	putc('\n', to);
}

static void row_csv(FILE *to, const struct weft_perf_run *run, const struct weft_perf_row *row)
{
	const struct weft_perf_member *m = &run->members[0];
	char date[32];

	for (uint32_t p = 0; p < weft_perf_passes(run->job.test); p++) {
		const struct weft_perf_stat *s = &row->pass[p];

		fprintf(to, "%s,%s,%llu,%llu,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.4f,%.6f,%.6f,%.1f,",
			weft_perf_test_name(run->job.test), p ? "in-place" : "out-of-place",
			(unsigned long long)row->bytes, (unsigned long long)s->iterations,
			s->mean_ns / 1e3, s->min_ns / 1e3, s->max_ns / 1e3, s->p50_ns / 1e3,
			s->p99_ns / 1e3, s->p999_ns / 1e3, s->cov, weft_perf_algbw(run, row, p),
			weft_perf_busbw(run, row, p), messages_per_us(run, row) * 1e6);
		if (run->job.is_checked)
			fprintf(to, "%llu", (unsigned long long)row->wrong[p]);
		fprintf(to, ",%u,%u,%s,%s,%u,%s,%s,%s,%s,%s\n", run->job.ranks,
			weft_perf_hosts(run), m->provider, m->card, weft_perf_cards(run),
			m->libfabric, m->weft, m->host, m->kernel,
			weft_perf_date_text(run->date, date, sizeof(date)));
	}
}

void weft_perf_print_begin(FILE *to, enum weft_perf_style style, const struct weft_perf_run *run)
{
	if (style == WEFT_PERF_STYLE_CSV) {
		fputs("test,pass,bytes,iterations,mean_us,min_us,max_us,p50_us,p99_us,p999_us,cov,"
		      "algbw_gbytes,busbw_gbytes,messages_per_second,wrong,ranks,hosts,provider,"
		      "card,cards,libfabric,weft,host,kernel,date\n",
		      to);
	} else if (style == WEFT_PERF_STYLE_OSU) {
		begin_osu(to, run);
	} else if (weft_perf_is_collective(run->job.test)) {
		begin_collective(to, run);
	} else {
		print_configuration(to, run);
		if (run->job.test == WEFT_PERF_PINGPONG)
			fputs("bytes   #sent   #ack     total       time     MB/sec    usec/xfer   "
			      "Mxfers/sec  p50 usec      p99    p99.9    CoV\n",
			      to);
		else
			fputs(" #bytes     #iterations    BW peak[MB/sec]    BW average[MB/sec]   "
			      "MsgRate[Mpps]  p50 usec       p99     p99.9    CoV\n",
			      to);
	}
}

void weft_perf_print_row(FILE *to, enum weft_perf_style style, const struct weft_perf_run *run,
			 const struct weft_perf_row *row)
{
	if (style == WEFT_PERF_STYLE_CSV)
		row_csv(to, run, row);
	else if (style == WEFT_PERF_STYLE_OSU)
		row_osu(to, run, row);
	else if (weft_perf_is_collective(run->job.test))
		row_collective(to, run, row);
	else if (run->job.test == WEFT_PERF_PINGPONG)
		row_pingpong(to, row);
	else
		row_stream(to, run, row);
}

void weft_perf_print_end(FILE *to, enum weft_perf_style style, const struct weft_perf_run *run)
{
	uint64_t wrong = weft_perf_wrong(run);

	if (style == WEFT_PERF_STYLE_OWN && weft_perf_is_collective(run->job.test))
		end_collective(to, run);
	else if (style != WEFT_PERF_STYLE_CSV && run->job.is_checked)
		fprintf(to, "# %llu wrong values\n", (unsigned long long)wrong);
}

static void json_stat(FILE *to, const struct weft_perf_run *run, const struct weft_perf_row *row,
		      uint32_t p)
{
	const struct weft_perf_stat *s = &row->pass[p];

	fprintf(to,
		"{\"iterations\": %llu, \"mean_us\": %.3f, \"min_us\": %.3f, \"max_us\": %.3f, "
		"\"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, \"cov\": %.4f, "
		"\"algbw_gbytes\": %.6f, \"busbw_gbytes\": %.6f, \"wrong\": ",
		(unsigned long long)s->iterations, s->mean_ns / 1e3, s->min_ns / 1e3,
		s->max_ns / 1e3, s->p50_ns / 1e3, s->p99_ns / 1e3, s->p999_ns / 1e3, s->cov,
		weft_perf_algbw(run, row, p), weft_perf_busbw(run, row, p));
	if (run->job.is_checked)
		fprintf(to, "%llu}", (unsigned long long)row->wrong[p]);
	else
		fputs("null}", to);
}

static void json_member(FILE *to, const struct weft_perf_member *m)
{
	const struct {
		const char *key, *value;
	} texts[] = {
		{ "host", m->host },     { "kernel", m->kernel },       { "arch", m->arch },
		{ "weft", m->weft },     { "libfabric", m->libfabric }, { "provider", m->provider },
		{ "fabric", m->fabric }, { "card", m->card },
	};

	fputc('{', to);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(texts); i++) {
		fprintf(to, "\"%s\": ", texts[i].key);
		weft_json_put(to, texts[i].value);
		fputs(", ", to);
	}
	fprintf(to, "\"cards\": %u, \"pid\": %u}", m->cards, m->pid);
}

void weft_perf_print_json(FILE *to, const struct weft_perf_run *run)
{
	const struct weft_perf_job *job = &run->job;
	char date[32];

	fprintf(to, "{\"test\": \"%s\", \"date\": \"%s\", \"ranks\": %u, \"hosts\": %u, ",
		weft_perf_test_name(job->test), weft_perf_date_text(run->date, date, sizeof(date)),
		job->ranks, weft_perf_hosts(run));
	fprintf(to, "\"warmup\": %u, \"window\": %u, \"cards\": %u, \"members\": [", job->warmup,
		weft_perf_messages(job), weft_perf_cards(run));
	for (uint32_t i = 0; i < job->ranks; i++) {
		fputs(i ? ",\n  " : "\n  ", to);
		json_member(to, &run->members[i]);
	}
	fputs("],\n \"rows\": [", to);
	for (uint32_t i = 0; i < run->rows; i++) {
		const struct weft_perf_row *row = &run->row[i];

		fprintf(to,
			"%s\n  {\"bytes\": %llu, \"messages_per_second\": %.1f, \"out_of_place\": ",
			i ? "," : "", (unsigned long long)row->bytes,
			messages_per_us(run, row) * 1e6);
		json_stat(to, run, row, 0);
		if (weft_perf_passes(job->test) > 1) {
			fputs(", \"in_place\": ", to);
			json_stat(to, run, row, 1);
		}
		fputc('}', to);
	}
	fputs("]}", to);
}
