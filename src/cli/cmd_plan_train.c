/* SPDX-License-Identifier: BSD-2-Clause */
/* weft plan train: prints what cloud/train.c computes. */
#include "cli/args.h"
#include "cli/json.h"
#include "cli/plan.h"
#include "cloud/train.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CMD "weft plan train"

static void print_measured(const struct weft_train_plan *p, const struct weft_plan_view *v)
{
	char size[32];

	if (!p->measured)
		return;
	printf("  as measured with %u nodes and %s, %g GB/s: %.4g s [%s]\n", p->measured->nodes,
	       weft_plan_size(p->measured->bytes, size, sizeof(size)), p->measured->low,
	       p->measured_seconds, p->measured->source);
	if (v->explain)
		printf("      = %g bytes / %g GB/s of bus bandwidth\n", p->rows[0].node_bytes,
		       p->measured->low);
}

static void print_text(const struct weft_train *t, const struct weft_train_plan *p,
		       const struct weft_plan_view *v)
{
	char bytes[32], sent[32];

	printf("%g parameters of %g bytes on %u x %s: %u GPUs = tp %u x pp %u x dp %u\n", t->params,
	       t->param_bytes, t->nodes, t->instance->name, t->nodes * p->gpus, t->tp, t->pp,
	       p->dp);
	printf("  %-28s %6s %6s %8s %10s %14s %10s\n", "each step", "RANKS", "NODES", "CALLS", "OF",
	       "A NODE SENDS", "SECONDS");
	for (uint32_t i = 0; i < p->row_count; i++) {
		const struct weft_train_row *row = &p->rows[i];

		printf("  %-28s %6u %6u %8g %10s ", row->what, row->group, row->group_nodes,
		       row->calls, weft_plan_bytes(row->bytes, bytes, sizeof(bytes)));
		if (row->group_nodes < 2)
			printf("%14s %10s\n", "nothing", "-");
		else
			printf("%14s %10.4g\n",
			       weft_plan_bytes(row->node_bytes, sent, sizeof(sent)), row->seconds);
		if (v->explain)
			printf("      = %s\n", row->formula);
	}
	printf("  %-28s %47s %10.4g\n", "in all",
	       weft_plan_bytes(p->node_bytes, sent, sizeof(sent)), p->seconds);
	if (v->explain)
		printf("      = at line rate, %u Gb/s / 8 bits = %g GB/s, nothing overlapping\n",
		       t->instance->gbps_total.value, p->gbytes);
	print_measured(p, v);
	if (!p->measured && p->node_bytes > 0)
		printf("  nobody reports a bandwidth of %u nodes that compares: line rate is the "
		       "limit, not a promise\n",
		       t->nodes);
}

static void print_json(const struct weft_train *t, const struct weft_train_plan *p)
{
	fputs("{\"instance\": ", stdout);
	weft_json_string(t->instance->name);
	printf(", \"nodes\": %u, \"gpus\": %u, \"tp\": %u, \"pp\": %u, \"dp\": %u", t->nodes,
	       t->nodes * p->gpus, t->tp, t->pp, p->dp);
	printf(", \"line_rate_gbytes_per_s\": %.10g, \"collectives\": [", p->gbytes);
	for (uint32_t i = 0; i < p->row_count; i++) {
		const struct weft_train_row *row = &p->rows[i];

		printf("%s\n  {\"collective\": \"%s\", \"ranks\": %u, \"nodes\": %u, \"calls\": "
		       "%.10g",
		       i ? "," : "", row->what, row->group, row->group_nodes, row->calls);
		printf(", \"bytes\": %.17g, \"node_bytes\": %.17g, \"seconds\": %.10g, "
		       "\"formula\": ",
		       row->bytes, row->node_bytes, row->seconds);
		weft_json_string(row->formula);
		putchar('}');
	}
	printf("], \"node_bytes\": %.17g, \"seconds\": %.10g, \"measured\": ", p->node_bytes,
	       p->seconds);
	if (p->measured) {
		printf("{\"nodes\": %u, \"bytes\": %" PRIu64
		       ", \"gbytes_per_s\": %g, \"seconds\": %.10g, \"source\": ",
		       p->measured->nodes, p->measured->bytes, p->measured->low,
		       p->measured_seconds);
		weft_json_string(p->measured->source);
		puts("}}");
	} else {
		puts("null}");
	}
}

static bool read_sharding(const char *text, enum weft_train_sharding *out)
{
	static const char *const names[] = { "none", "optimizer", "full" };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], text) != 0)
			continue;
		*out = (enum weft_train_sharding)i;
		return true;
	}
	fprintf(stderr, CMD ": --sharding wants none, optimizer or full, not \"%.64s\"\n", text);
	return false;
}

static bool has_all(const struct weft_train *t)
{
	const struct {
		const char *option;
		bool lacks;
	} needed[] = {
		{ "--model-params N", t->params <= 0 },
		{ "--dtype TYPE", t->param_bytes <= 0 },
		{ "--instance TYPE", !t->instance },
		{ "--nodes N", !t->nodes },
	};
	bool lacks = false;

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(needed); i++) {
		if (!needed[i].lacks)
			continue;
		fprintf(stderr, "%s%s", lacks ? ", " : CMD ": please say ", needed[i].option);
		lacks = true;
	}
	if (lacks)
		fputc('\n', stderr);
	return !lacks;
}

static bool parse(struct weft_train *t, struct weft_plan_view *view, int argc, char **argv)
{
	const struct weft_plan_number numbers[] = {
		{ "--model-params", WEFT_PLAN_REAL, &t->params },
		{ "--dtype", WEFT_PLAN_DTYPE, &t->param_bytes },
		{ "--nodes", WEFT_PLAN_COUNT, &t->nodes },
		{ "--tp", WEFT_PLAN_COUNT, &t->tp },
		{ "--pp", WEFT_PLAN_COUNT, &t->pp },
		{ "--dp", WEFT_PLAN_COUNT, &t->dp },
		{ "--layers", WEFT_PLAN_COUNT, &t->layers },
		{ "--hidden", WEFT_PLAN_COUNT, &t->hidden },
		{ "--seq", WEFT_PLAN_COUNT, &t->seq },
		{ "--micro-batch", WEFT_PLAN_COUNT, &t->micro_batch },
		{ "--micro-batches", WEFT_PLAN_COUNT, &t->micro_batches },
		{ "--activation-dtype", WEFT_PLAN_DTYPE, &t->activation_bytes },
	};
	const char *value;

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		int got = weft_args_value(CMD, argc, argv, &i, "--sharding", &value);

		if (got < 0 || (got && !read_sharding(value, &t->sharding)))
			return false;
		if (!got)
			got = weft_plan_take(CMD, argc, argv, &i, numbers, WEFT_ARRAY_SIZE(numbers),
					     &t->instance, view);
		if (!got)
			fprintf(stderr, CMD ": no such argument: %.64s\n", arg);
		if (got <= 0)
			return false;
	}
	if (t->activation_bytes <= 0)
		t->activation_bytes = t->param_bytes;
	return has_all(t);
}

int weft_plan_train(int argc, char **argv)
{
	struct weft_train t = { .tp = 1, .pp = 1 };
	struct weft_plan_view view = { .json = false };
	struct weft_train_plan plan;
	char why[256];

	if (!parse(&t, &view, argc, argv))
		return 2;
	if (!weft_train_plan(&t, &plan, why, sizeof(why))) {
		fprintf(stderr, CMD ": %s\n", why);
		return 2;
	}
	if (view.json)
		print_json(&t, &plan);
	else
		print_text(&t, &plan, &view);
	return 0;
}
