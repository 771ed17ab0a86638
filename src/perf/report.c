/* SPDX-License-Identifier: BSD-2-Clause */
/* A report is what is attached to a ticket: whoever opens it was not there. So it begins with what came out, in
 * words, and ends with what was measured with what. */
#include "perf/report.h"

#include "perf/chart.h"
#include "perf/compare.h"
#include "perf/print.h"

#include <stdlib.h>

static const char style[] =
	":root{color-scheme:light dark;--ink:#1c1c1a;--dim:#6b6a65;--rule:#e3e2dc;--page:#fff;"
	"--good:#1a7f37;--bad:#b3261e}\n"
	"@media(prefers-color-scheme:dark){:root{--ink:#ecebe6;--dim:#a3a29b;--rule:#383835;"
	"--page:#121211;--good:#56d364;--bad:#ff8a80}}\n"
	"body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);"
	"max-width:60rem;margin:2rem auto;padding:0 1rem}\n"
	"h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}\n"
	".dim,caption{color:var(--dim)}.good{color:var(--good)}.bad{color:var(--bad)}\n"
	".verdict{border-left:4px solid;padding:.3rem .8rem;margin:1rem 0}\n"
	"table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
	"th,td{padding:.2rem .7rem;border-bottom:1px solid var(--rule);text-align:right}\n"
	"th:first-child,td:first-child,.config td{text-align:left}\n"
	".wide{overflow-x:auto}figure{margin:1rem 0}\n";

static void put_item(void *arg, const char *sentence)
{
	FILE *to = arg;

	fputs("<li>", to);
	weft_chart_put_text(to, sentence);
	fputs("</li>\n", to);
}

static void put_verdict(FILE *to, const struct weft_perf_run *run,
			const struct weft_perf_verdict *verdict)
{
	uint64_t wrong = weft_perf_wrong(run);
	char text[512];

	if (wrong)
		fprintf(to, "<p class='verdict bad'><b>Wrong data:</b> %llu values.</p>\n",
			(unsigned long long)wrong);
	if (!verdict)
		return;
	fprintf(to, "<p class='verdict %s'><b>%s.</b> ",
		!verdict->judged ? "dim"
		: verdict->bad   ? "bad"
				 : "good",
		!verdict->judged ? "Not judged"
		: verdict->bad   ? "Below expectation"
				 : "As expected");
	weft_chart_put_text(to, weft_perf_verdict_text(verdict, text, sizeof(text)));
	fputs(".</p>\n", to);
	if (!verdict->judged)
		return;
	fputs("<div class='wide'><table><tr><th>size</th><th>measured "
	      "GB/s</th><th>expected</th><th>"
	      "</th><th>by</th></tr>\n",
	      to);
	for (uint32_t i = 0; i < verdict->judged; i++) {
		const struct weft_perf_judged *row = &verdict->row[i];

		fprintf(to, "<tr><td>%s</td><td>%.2f</td><td>%.2f</td><td class='%s'>%s</td><td>",
			weft_perf_size_text(row->bytes, text, sizeof(text)), row->measured,
			row->expected, row->is_good ? "good" : "bad",
			row->is_good ? "good" : "below");
		weft_chart_put_text(to, row->source);
		fputs("</td></tr>\n", to);
	}
	fputs("</table></div>\n", to);
}

static void put_plots(FILE *to, const struct weft_perf_run *run, const struct weft_perf_run *other)
{
	struct weft_chart *chart = calloc(1, sizeof(*chart));

	for (uint32_t is_time = 0; chart && is_time < 2; is_time++) {
		weft_chart_make(chart, run, other, is_time);
		fputs("<figure>\n", to);
		weft_chart_print(to, chart, false);
		fputs("</figure>\n", to);
	}
	free(chart);
}

static void put_comparison(FILE *to, const struct weft_perf_run *run,
			   const struct weft_perf_run *other)
{
	fputs("<h2>Ranges</h2>\n<ul>\n", to);
	weft_perf_ranges(run, other, put_item, to);
	fputs("</ul>\n", to);
	if (!other)
		return;
	fputs("<h2>Side by side</h2>\n<div class='wide'><table><tr><th>size</th><th>", to);
	weft_chart_put_text(to, weft_perf_run_name(run));
	fputs(" GB/s</th><th>", to);
	weft_chart_put_text(to, weft_perf_run_name(other));
	fputs(" GB/s</th><th>speed-up</th></tr>\n", to);
	for (uint32_t i = 0; i < run->rows && i < other->rows; i++) {
		double ratio = weft_perf_speedup(run, other, i);
		char size[32], text[32] = "-";

		if (ratio > 0)
			snprintf(text, sizeof(text), "%.1f x", ratio);
		fprintf(to, "<tr><td>%s</td><td>%.2f</td><td>%.2f</td><td>%s</td></tr>\n",
			weft_perf_size_text(run->row[i].bytes, size, sizeof(size)),
			weft_perf_busbw(run, &run->row[i], 0),
			weft_perf_busbw(other, &other->row[i], 0), text);
	}
	fputs("</table></div>\n", to);
}

static void put_rows(FILE *to, const struct weft_perf_run *run)
{
	fputs("<h2>", to);
	weft_chart_put_text(to, weft_perf_run_name(run));
	fputs(": all figures</h2>\n<div "
	      "class='wide'><table><tr><th>size</th><th></th><th>iterations</th>"
	      "<th>mean us</th><th>p50</th><th>p99</th><th>p99.9</th><th>CoV</th><th>algbw "
	      "GB/s</th>"
	      "<th>busbw</th><th>wrong</th></tr>\n",
	      to);
	for (uint32_t i = 0; i < run->rows; i++)
		for (uint32_t p = 0; p < weft_perf_passes(run->job.test); p++) {
			const struct weft_perf_stat *s = &run->row[i].pass[p];
			char size[32], wrong[32] = "-";

			if (run->job.is_checked)
				snprintf(wrong, sizeof(wrong), "%llu",
					 (unsigned long long)run->row[i].wrong[p]);
			fprintf(to,
				"<tr><td>%s</td><td>%s</td><td>%llu</td><td>%.2f</td><td>%.2f</td>"
				"<td>%.2f</td><td>%.2f</td><td>%.2f</td><td>%.3f</td><td>%.3f</td>"
				"<td>%s</td></tr>\n",
				weft_perf_size_text(run->row[i].bytes, size, sizeof(size)),
				p ? "in place" : "", (unsigned long long)s->iterations,
				s->mean_ns / 1e3, s->p50_ns / 1e3, s->p99_ns / 1e3,
				s->p999_ns / 1e3, s->cov, weft_perf_algbw(run, &run->row[i], p),
				weft_perf_busbw(run, &run->row[i], p), wrong);
		}
	fputs("</table></div>\n", to);
}

static void put_configuration(FILE *to, const struct weft_perf_run *run)
{
	fputs("<h2>", to);
	weft_chart_put_text(to, weft_perf_run_name(run));
	fprintf(to,
		": configuration</h2>\n<p class='dim'>%u warm-up iterations, %u messages at a "
		"time, "
		"%s.</p>\n<div class='wide'><table class='config'><tr>"
		"<th>rank</th><td>host</td><td>kernel</td><td>provider</td><td>card</td><td>cards"
		"</td><td>libfabric</td><td>weft</td></tr>\n",
		run->job.warmup, weft_perf_messages(&run->job),
		run->job.is_checked ? "data checked" : "data not checked");
	for (uint32_t i = 0; i < run->job.ranks; i++) {
		const struct weft_perf_member *m = &run->members[i];
		const char *const texts[] = { m->host, m->kernel, m->provider, m->card };

		fprintf(to, "<tr><td>%u</td>", i);
		for (size_t k = 0; k < WEFT_ARRAY_SIZE(texts); k++) {
			fputs("<td>", to);
			weft_chart_put_text(to, texts[k]);
			fputs("</td>", to);
		}
		fprintf(to, "<td>%u</td><td>", m->cards);
		weft_chart_put_text(to, m->libfabric);
		fputs("</td><td>", to);
		weft_chart_put_text(to, m->weft);
		fputs("</td></tr>\n", to);
	}
	fputs("</table></div>\n", to);
}

void weft_perf_report(FILE *to, const struct weft_perf_run *run, const struct weft_perf_run *other,
		      const struct weft_perf_verdict *verdict)
{
	const char *test = weft_perf_test_name(run->job.test);
	char date[32];

	fprintf(to,
		"<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>\n"
		"<meta name='viewport' content='width=device-width'>\n<title>weft perf %s</title>\n"
		"<style>\n%s%s</style></head><body>\n<h1>%s, ",
		test, style, weft_chart_style, test);
	weft_chart_put_text(to, weft_perf_run_name(run));
	if (other) {
		fputs(" and ", to);
		weft_chart_put_text(to, weft_perf_run_name(other));
	}
	fprintf(to, "</h1>\n<p class='dim'>%u ranks on %u host%s, %s, weft perf ", run->job.ranks,
		weft_perf_hosts(run), weft_perf_hosts(run) == 1 ? "" : "s",
		weft_perf_date_text(run->date, date, sizeof(date)));
	weft_chart_put_text(to, run->members[0].weft);
	fputs("</p>\n", to);
	put_verdict(to, run, verdict);
	put_plots(to, run, other);
	put_comparison(to, run, other);
	put_rows(to, run);
	if (other)
		put_rows(to, other);
	put_configuration(to, run);
	if (other)
		put_configuration(to, other);
	fputs("</body></html>\n", to);
}
