/* SPDX-License-Identifier: BSD-2-Clause */
/* weft plan pd-moe: prints what cloud/pdmoe.c computes. Exit 1: it does not fit. */
#include "cli/json.h"
#include "cli/plan.h"
#include "cloud/pdmoe.h"

#include <stdio.h>

#define CMD "weft plan pd-moe"

static const char *verdict_text(enum weft_pdmoe_verdict verdict)
{
	switch (verdict) {
	case WEFT_PDMOE_BUDGET:
		return "budget";
	case WEFT_PDMOE_SPLIT:
		return "split";
	case WEFT_PDMOE_SHARE:
		return "share";
	case WEFT_PDMOE_TOO_MUCH:
		return "too much";
	}
	return "?";
}

static void print_verdict(const struct weft_pdmoe_plan *p)
{
	switch (p->verdict) {
	case WEFT_PDMOE_BUDGET:
		printf("\nif each has cards of its own: %u for KV, %u (%g GB/s) for the "
		       "all-to-all\n",
		       p->kv_cards, p->a2a_cards, p->a2a_cards * p->card);
		break;
	case WEFT_PDMOE_SPLIT:
		printf("\nfits: %u cards for KV, %u for the all-to-all, %u left over\n",
		       p->kv_cards, p->a2a_cards, p->cards - p->kv_cards - p->a2a_cards);
		break;
	case WEFT_PDMOE_SHARE:
		printf("\ntight: both fit only if they share cards; of their own they would need "
		       "%u and %u, and there are %u\n",
		       p->kv_cards, p->a2a_cards, p->cards);
		return;
	case WEFT_PDMOE_TOO_MUCH:
		puts("\nmore than all cards carry: does not fit");
		return;
	}
	puts("to keep them apart: FI_EFA_IFACE with the names of the cards for each process; "
	     "NCCL_IB_HCA does nothing on EFA");
}

static void print_text(const struct weft_pdmoe *in, const struct weft_pdmoe_plan *p,
		       const struct weft_plan_view *v)
{
	char formula[128];

	printf("%s, each node:\n", in->instance->name);
	snprintf(formula, sizeof(formula), "%u cards x %g GB/s", p->cards, p->card);
	weft_plan_figure(v, "line rate", formula, "%g GB/s", p->total);
	if (p->kv_token_bytes > 0)
		weft_plan_figure(v, "KV cache of a token", p->token_formula, "%g bytes",
				 p->kv_token_bytes);
	weft_plan_figure(v, "KV cache transfer", *p->kv_formula ? p->kv_formula : "as said",
			 "%.6g GB/s, %.3g %%", p->kv, 100 * p->kv / p->total);
	weft_plan_figure(v, "left for all-to-all", "line rate - KV cache transfer", "%.6g GB/s",
			 p->a2a_budget);
	if (p->a2a > 0 || p->verdict != WEFT_PDMOE_BUDGET) {
		weft_plan_figure(v, "all-to-all", *p->a2a_formula ? p->a2a_formula : "as said",
				 "%.6g GB/s, %.3g %%", p->a2a, 100 * p->a2a / p->total);
		weft_plan_figure(v, "utilisation", "both / line rate", "%.3g %%",
				 100 * p->utilisation);
	}
	print_verdict(p);
	if (!v->explain)
		return;
	printf("  = %g / %g GB/s of a card", p->kv, p->card);
	if (p->verdict == WEFT_PDMOE_BUDGET)
		puts(", rounded up, and the others");
	else
		printf(", %g / %g GB/s of a card, rounded up\n", p->a2a, p->card);
}

static void print_json(const struct weft_pdmoe *in, const struct weft_pdmoe_plan *p)
{
	fputs("{\"instance\": ", stdout);
	weft_json_string(in->instance->name);
	printf(", \"cards\": %u, \"card_gbytes_per_s\": %.10g, \"total_gbytes_per_s\": %.10g",
	       p->cards, p->card, p->total);
	printf(", \"kv_gbytes_per_s\": %.10g, \"a2a_budget_gbytes_per_s\": %.10g", p->kv,
	       p->a2a_budget);
	if (p->a2a > 0 || p->verdict != WEFT_PDMOE_BUDGET)
		printf(", \"a2a_gbytes_per_s\": %.10g, \"utilisation\": %.10g", p->a2a,
		       p->utilisation);
	else
		fputs(", \"a2a_gbytes_per_s\": null, \"utilisation\": null", stdout);
	printf(", \"kv_cards\": %u, \"a2a_cards\": %u, \"verdict\": \"%s\", \"kv_formula\": ",
	       p->kv_cards, p->a2a_cards, verdict_text(p->verdict));
	weft_json_string(*p->kv_formula ? p->kv_formula : NULL);
	fputs(", \"a2a_formula\": ", stdout);
	weft_json_string(*p->a2a_formula ? p->a2a_formula : NULL);
	puts("}");
}

static bool parse(struct weft_pdmoe *in, struct weft_plan_view *view, int argc, char **argv)
{
	const struct weft_plan_number numbers[] = {
		{ "--kv-rate", WEFT_PLAN_REAL, &in->kv_gbytes },
		{ "--kv-bytes-per-token", WEFT_PLAN_REAL, &in->kv_token_bytes },
		{ "--layers", WEFT_PLAN_COUNT, &in->layers },
		{ "--kv-heads", WEFT_PLAN_COUNT, &in->kv_heads },
		{ "--head-dim", WEFT_PLAN_COUNT, &in->head_dim },
		{ "--dtype", WEFT_PLAN_DTYPE, &in->kv_bytes },
		{ "--prompt-tokens", WEFT_PLAN_REAL, &in->prompt_tokens },
		{ "--requests", WEFT_PLAN_REAL, &in->requests },
		{ "--a2a-rate", WEFT_PLAN_REAL, &in->a2a_gbytes },
		{ "--moe-layers", WEFT_PLAN_COUNT, &in->moe_layers },
		{ "--hidden", WEFT_PLAN_COUNT, &in->hidden },
		{ "--top-k", WEFT_PLAN_COUNT, &in->top_k },
		{ "--ep-nodes", WEFT_PLAN_COUNT, &in->ep_nodes },
		{ "--dispatch-dtype", WEFT_PLAN_DTYPE, &in->dispatch_bytes },
		{ "--combine-dtype", WEFT_PLAN_DTYPE, &in->combine_bytes },
		{ "--tokens", WEFT_PLAN_REAL, &in->tokens },
	};

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		int got = weft_plan_take(CMD, argc, argv, &i, numbers, WEFT_ARRAY_SIZE(numbers),
					 &in->instance, view);

		if (!got)
			fprintf(stderr, CMD ": no such argument: %.64s\n", arg);
		if (got <= 0)
			return false;
	}
	if (!in->instance)
		fputs(CMD ": please say --instance TYPE\n", stderr);
	return in->instance;
}

int weft_plan_pd_moe(int argc, char **argv)
{
	struct weft_pdmoe in = { .kv_gbytes = -1, .a2a_gbytes = -1 };
	struct weft_plan_view view = { .json = false };
	struct weft_pdmoe_plan plan;
	char why[256];

	if (!parse(&in, &view, argc, argv))
		return 2;
	if (!weft_pdmoe_plan(&in, &plan, why, sizeof(why))) {
		fprintf(stderr, CMD ": %s\n", why);
		return 2;
	}
	if (view.json)
		print_json(&in, &plan);
	else
		print_text(&in, &plan, &view);
	return plan.verdict == WEFT_PDMOE_TOO_MUCH ? 1 : 0;
}
