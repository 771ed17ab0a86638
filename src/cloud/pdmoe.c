/* SPDX-License-Identifier: BSD-2-Clause */
/* Sums over the cards of one node. Line rate is the budget, though no transfer quite reaches it: what does not fit into
 * that fits nowhere. */
#include "cloud/pdmoe.h"

#include "cloud/plan.h"

#include <stdio.h>
#include <string.h>

struct input {
	const char *option;
	bool lacks;
};

/* False: `why` lists the options that are missing. */
static bool has_all(const struct input *inputs, size_t count, const char *what, char *why,
		    size_t len)
{
	size_t used;

	snprintf(why, len, "for %s please say", what);
	used = strlen(why);
	for (size_t i = 0; i < count; i++)
		if (inputs[i].lacks)
			snprintf(why + strlen(why), len - strlen(why), " %s", inputs[i].option);
	return strlen(why) == used;
}

static bool find_kv(const struct weft_pdmoe *in, struct weft_pdmoe_plan *p, char *why, size_t len)
{
	bool whole = in->kv_token_bytes > 0;
	const struct input inputs[] = {
		{ "--layers", !whole && !in->layers },
		{ "--kv-heads", !whole && !in->kv_heads },
		{ "--head-dim", !whole && !in->head_dim },
		{ "--dtype", !whole && in->kv_bytes <= 0 },
		{ "--prompt-tokens", in->prompt_tokens <= 0 },
		{ "--requests", in->requests <= 0 },
	};

	if (in->kv_gbytes >= 0) {
		p->kv = in->kv_gbytes;
		return true;
	}
	if (!has_all(inputs, WEFT_ARRAY_SIZE(inputs), "the KV cache (or its --kv-rate)", why, len))
		return false;
	p->kv_token_bytes = whole ? in->kv_token_bytes
				  : 2.0 * in->layers * in->kv_heads * in->head_dim * in->kv_bytes;
	p->kv = p->kv_token_bytes * in->prompt_tokens * in->requests / 1e9;
	if (whole)
		snprintf(p->token_formula, sizeof(p->token_formula), "as said");
	else
		snprintf(p->token_formula, sizeof(p->token_formula),
			 "2 (K, V) x %u layers x %u heads x %u x %g bytes", in->layers,
			 in->kv_heads, in->head_dim, in->kv_bytes);
	snprintf(p->kv_formula, sizeof(p->kv_formula), "%.10g bytes x %g tokens x %g requests/s",
		 p->kv_token_bytes, in->prompt_tokens, in->requests);
	return true;
}

static bool find_a2a(const struct weft_pdmoe *in, struct weft_pdmoe_plan *p, char *why, size_t len)
{
	bool any = in->moe_layers || in->top_k || in->ep_nodes || in->tokens > 0 || in->hidden;
	const struct input inputs[] = {
		{ "--moe-layers", !in->moe_layers },
		{ "--hidden", !in->hidden },
		{ "--top-k", !in->top_k },
		{ "--ep-nodes", !in->ep_nodes },
		{ "--dispatch-dtype", in->dispatch_bytes <= 0 },
		{ "--combine-dtype", in->combine_bytes <= 0 },
		{ "--tokens", in->tokens <= 0 },
	};

	p->verdict = in->a2a_gbytes < 0 && !any ? WEFT_PDMOE_BUDGET : WEFT_PDMOE_SPLIT;
	if (in->a2a_gbytes >= 0 || !any) {
		p->a2a = WEFT_MAX(in->a2a_gbytes, 0);
		return true;
	}
	if (!has_all(inputs, WEFT_ARRAY_SIZE(inputs), "the all-to-all (or its --a2a-rate)", why,
		     len))
		return false;
	/* Experts are spread evenly, so of n nodes one n-th of the tokens stays at home. */
	p->a2a = in->tokens * in->moe_layers * in->top_k * in->hidden *
		 (in->dispatch_bytes + in->combine_bytes) * (in->ep_nodes - 1) / in->ep_nodes / 1e9;
	snprintf(
		p->a2a_formula, sizeof(p->a2a_formula),
		"%g tokens/s x %u layers x %u experts x %u x (%g + %g) bytes x (%u-1)/%u elsewhere",
		in->tokens, in->moe_layers, in->top_k, in->hidden, in->dispatch_bytes,
		in->combine_bytes, in->ep_nodes, in->ep_nodes);
	return true;
}

/* Sums of decimal fractions may be off by their last digit, which is no reason to ask for one more card. */
static double cards_for(double gbytes, double card)
{
	double cards = WEFT_MIN(gbytes / card, 1e6), whole = (double)(uint32_t)cards;

	return cards - whole > 1e-9 ? whole + 1 : whole;
}

static void judge(struct weft_pdmoe_plan *p)
{
	double kv = cards_for(p->kv, p->card), a2a = cards_for(p->a2a, p->card);

	p->kv_cards = (uint32_t)kv;
	p->a2a_cards = (uint32_t)a2a;
	if (p->kv + p->a2a > p->total * (1 + 1e-9))
		p->verdict = WEFT_PDMOE_TOO_MUCH;
	else if (p->verdict == WEFT_PDMOE_BUDGET)
		p->a2a_cards = p->cards - p->kv_cards;
	else if (kv + a2a > p->cards)
		p->verdict = WEFT_PDMOE_SHARE;
}

bool weft_pdmoe_plan(const struct weft_pdmoe *in, struct weft_pdmoe_plan *plan_out, char *why,
		     size_t len)
{
	const struct weft_instance *it = in->instance;
	struct weft_pdmoe_plan p = { .total = weft_plan_gbytes(it), .cards = it->efas.value };

	if (p.total <= 0 || it->gbps.how == WEFT_FACT_UNKNOWN) {
		snprintf(why, len, "no source states of %s what its cards carry", it->name);
		return false;
	}
	p.card = it->gbps.value / 8.0;
	if (!find_kv(in, &p, why, len) || !find_a2a(in, &p, why, len))
		return false;
	p.a2a_budget = WEFT_MAX(p.total - p.kv, 0);
	p.utilisation = (p.kv + p.a2a) / p.total;
	judge(&p);
	*plan_out = p;
	return true;
}
