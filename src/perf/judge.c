/* SPDX-License-Identifier: BSD-2-Clause */
/* What may be expected. Of an all-reduce: what people report of NCCL, for the same number of nodes and a message that is
 * not larger; where nobody reports anything, nothing is expected. Of bandwidth between two hosts: the line rate of all
 * cards, from the size on at which a window of messages keeps them busy. There are no facts about latency, message rate
 * and all-to-all, and so no verdict.
 *
 * The share of an expectation tells how many cards carried the load, because their rates add up and nothing else that is
 * commonly wrong takes off exactly a quarter or a half. */
#include "perf/judge.h"

#include "base/json.h"
#include "cloud/busbw.h"
#include "cloud/plan.h"
#include "perf/print.h"

#include <math.h>

#define LINE_BYTES (1u << 20)

static bool expect(const struct weft_perf_run *run, const struct weft_perf_verdict *v,
		   uint64_t bytes, struct weft_perf_judged *out)
{
	const struct weft_busbw *report;

	switch (run->job.test) {
	case WEFT_PERF_ALLREDUCE:
		report = weft_busbw_expect(v->instance, v->hosts, bytes);
		out->expected = report ? report->low : 0;
		out->source = report ? report->source : NULL;
		break;
	case WEFT_PERF_BW:
	case WEFT_PERF_BIBW:
		out->expected =
			bytes < LINE_BYTES || v->hosts < 2 ? 0 : weft_plan_gbytes(v->instance);
		out->expected *= run->job.test == WEFT_PERF_BIBW ? 2 : 1;
		out->source = "line rate of all cards";
		break;
	default:
		out->expected = 0;
	}
	return out->expected > 0;
}

static void guess_cards(struct weft_perf_verdict *v)
{
	const struct weft_perf_judged *last = &v->row[v->judged - 1];
	double share = last->measured / last->expected;
	double cards = share * v->cards_all, whole = round(cards);

	if (v->cards_all > 1 && whole >= 1 && whole < v->cards_all && fabs(cards - whole) <= 0.25)
		v->cards_like = (uint32_t)whole;
}

void weft_perf_judge(const struct weft_perf_run *run, const struct weft_instance *instance,
		     uint32_t hosts, double tolerance, struct weft_perf_verdict *out)
{
	*out = (struct weft_perf_verdict){
		.instance = instance,
		.hosts = hosts,
		.tolerance = tolerance,
		.cards_all = weft_fact_or(instance->efas, 0),
		.cards_used = weft_perf_cards(run),
	};
	for (uint32_t i = 0; i < run->rows; i++) {
		struct weft_perf_judged *row = &out->row[out->judged];

		row->bytes = run->row[i].bytes;
		if (!expect(run, out, row->bytes, row))
			continue;
		row->measured = weft_perf_busbw(run, &run->row[i], 0);
		row->is_good = row->measured >= row->expected * (1 - tolerance);
		out->bad += !row->is_good;
		out->judged++;
	}
	if (out->judged && !out->row[out->judged - 1].is_good)
		guess_cards(out);
}

int weft_perf_verdict_status(const struct weft_perf_verdict *v)
{
	return !v->judged ? 2 : v->bad ? 1 : 0;
}

char *weft_perf_verdict_text(const struct weft_perf_verdict *v, char *buf, size_t len)
{
	const struct weft_perf_judged *last = v->judged ? &v->row[v->judged - 1] : NULL;
	char size[32], cards[96] = "", used[96] = "";

	if (!last) {
		snprintf(buf, len,
			 "nothing is known that this could be judged by: of %s with %u hosts, at "
			 "these sizes",
			 v->instance->name, v->hosts);
		return buf;
	}
	if (v->cards_like)
		snprintf(cards, sizeof(cards), ", as if %u of %u cards were in use", v->cards_like,
			 v->cards_all);
	if (v->bad && v->cards_used < v->cards_all)
		snprintf(used, sizeof(used), "; this test found and used %u on each host",
			 v->cards_used);
	snprintf(buf, len,
		 "%u of %u sizes are as fast as %s (within %.3g %%); %s reaches %.0f %% of what is "
		 "expected%s%s",
		 v->judged - v->bad, v->judged, v->instance->name, v->tolerance * 100,
		 weft_perf_size_text(last->bytes, size, sizeof(size)),
		 last->measured / last->expected * 100, cards, used);
	return buf;
}

void weft_perf_verdict_print(FILE *to, const struct weft_perf_verdict *v)
{
	char text[512], size[32];

	for (uint32_t i = 0; i < v->judged; i++) {
		const struct weft_perf_judged *row = &v->row[i];

		fprintf(to, "# expected: %s: %.2f of %.2f GB/s: %s (%s)\n",
			weft_perf_size_text(row->bytes, size, sizeof(size)), row->measured,
			row->expected, row->is_good ? "good" : "below", row->source);
	}
	fprintf(to, "# verdict: %s: %s\n", v->judged ? v->bad ? "below" : "good" : "none",
		weft_perf_verdict_text(v, text, sizeof(text)));
}

void weft_perf_verdict_print_json(FILE *to, const struct weft_perf_verdict *v)
{
	char text[512];

	fprintf(to,
		"{\"instance\": \"%s\", \"hosts\": %u, \"tolerance\": %.4g, \"verdict\": \"%s\", "
		"\"cards_like\": ",
		v->instance->name, v->hosts, v->tolerance,
		v->judged ? v->bad ? "below" : "good" : "none");
	if (v->cards_like)
		fprintf(to, "%u", v->cards_like);
	else
		fputs("null", to);
	fprintf(to, ", \"cards_used\": %u, \"cards\": %u, \"text\": ", v->cards_used, v->cards_all);
	weft_json_put(to, weft_perf_verdict_text(v, text, sizeof(text)));
	fputs(", \"sizes\": [", to);
	for (uint32_t i = 0; i < v->judged; i++) {
		fprintf(to,
			"%s\n  {\"bytes\": %llu, \"measured_gbytes\": %.6f, \"expected_gbytes\": "
			"%.6f, "
			"\"good\": %s, \"source\": ",
			i ? "," : "", (unsigned long long)v->row[i].bytes, v->row[i].measured,
			v->row[i].expected, v->row[i].is_good ? "true" : "false");
		weft_json_put(to, v->row[i].source);
		fputc('}', to);
	}
	fputs("]}", to);
}
