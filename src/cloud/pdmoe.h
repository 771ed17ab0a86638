/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLOUD_PDMOE_H
#define WEFT_CLOUD_PDMOE_H

/* Disaggregated serving of a mixture of experts: the KV cache goes from prefill to decode nodes through the same cards
 * as the experts' all-to-all. What is left for one by the other, and whether each can have cards of its own. All
 * rates are of one node, in GB/s. See docs/plan.md. */
#include "cloud/catalogue.h"

struct weft_pdmoe {
	const struct weft_instance *instance;
	/* Said as a rate, or computed from what follows it; negative: not said. */
	double kv_gbytes;
	double kv_token_bytes; /* Of all layers; 0: computed from the four below. */
	uint32_t layers, kv_heads, head_dim;
	double kv_bytes; /* Of a number in the cache. */
	double prompt_tokens, requests; /* Of a request; a second. */
	/* The same for the all-to-all; where nothing is said it has what is left. */
	double a2a_gbytes;
	uint32_t moe_layers, hidden, top_k, ep_nodes;
	double dispatch_bytes, combine_bytes;
	double tokens; /* A second. */
};

enum weft_pdmoe_verdict {
	WEFT_PDMOE_BUDGET, /* Nothing was said of the all-to-all. */
	WEFT_PDMOE_SPLIT, /* Each can have cards of its own. */
	WEFT_PDMOE_SHARE, /* Both fit only if they share cards. */
	WEFT_PDMOE_TOO_MUCH,
};

struct weft_pdmoe_plan {
	double total, card; /* Line rate of the node and of a card. */
	double kv_token_bytes; /* 0: the rate was said. */
	double kv, a2a; /* What they need, a2a 0 if nothing was said. */
	double a2a_budget; /* What KV leaves, if they share the cards. */
	double utilisation; /* Of the total, by both. */
	uint32_t cards, kv_cards,
		a2a_cards; /* Whole cards that each needs; a2a: has, if nothing was said. */
	enum weft_pdmoe_verdict verdict;
	char token_formula[128], kv_formula[128], a2a_formula[256]; /* "": said. */
};

/* False: `why` says what is missing. */
bool weft_pdmoe_plan(const struct weft_pdmoe *in, struct weft_pdmoe_plan *plan_out, char *why,
		     size_t len);

#endif
