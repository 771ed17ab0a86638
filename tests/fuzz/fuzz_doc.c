/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules for trees: marks lie in the file and in order, weights and heights are what a walk counts and within their
 * limits, texts end where they say, and a reader that stops says why. */
#include "fuzz_doc.h"

#include "fuzz.h"

#include <string.h>

struct seen {
	uint32_t size;
	uint32_t fatal; /* Problems after which nothing can follow. */
	uint32_t walked; /* A walk of everything that aliases stand for would take too long. */
};

#define WALK_MAX 200000u

static void check_node(struct seen *s, const struct weft_doc_node *n, uint32_t depth)
{
	uint32_t weight = 1, height = 0;

	if (s->walked++ > WALK_MAX)
		return;
	FUZZ_CHECK(depth <= WEFT_DOC_DEPTH_MAX + (n->kind == WEFT_DOC_SCALAR),
		   "deeper than allowed");
	FUZZ_CHECK(n->at <= n->end && n->end <= s->size, "mark [%u, %u) in %u bytes", n->at, n->end,
		   s->size);
	FUZZ_CHECK(!n->text[n->len], "a text does not end");
	FUZZ_CHECK(n->weight <= WEFT_DOC_NODES_MAX, "weight %u", n->weight);
	if (n->key)
		FUZZ_CHECK(n->key->at <= s->size && !n->key->text[n->key->len], "a bad key");
	if (n->kind == WEFT_DOC_SCALAR) {
		FUZZ_CHECK(!n->child && n->weight == 1 + n->len / 64 && !n->height,
			   "a scalar with members");
		return;
	}
	FUZZ_CHECK(!n->len, "a container with a text");
	for (const struct weft_doc_node *m = n->child; m; m = m->next) {
		FUZZ_CHECK((n->kind == WEFT_DOC_MAP) == (m->key != NULL), "key or none");
		check_node(s, m, depth + 1);
		weight += m->weight;
		height = WEFT_MAX(height, m->height + 1u);
	}
	if (s->walked > WALK_MAX)
		return;
	/* What is merged away is counted still. */
	FUZZ_CHECK(n->weight >= weight && n->height >= height, "weight %u of %u, height %u of %u",
		   n->weight, weight, n->height, height);
}

static void on_document(void *ctx, const struct weft_doc_node *root)
{
	struct seen *s = ctx;

	FUZZ_CHECK(!s->fatal, "a document after the end");
	check_node(s, root, 1);
	(void)weft_doc_path(root, "spec/template/spec");
}

static void on_problem(void *ctx, enum weft_doc_problem what, uint32_t at, const char *why)
{
	struct seen *s = ctx;

	FUZZ_CHECK(at <= s->size, "a problem behind the end");
	FUZZ_CHECK(*why || what == WEFT_DOC_DUPLICATE, "a problem without a reason");
	FUZZ_CHECK(!s->fatal, "a problem after the end");
	s->fatal += what != WEFT_DOC_DUPLICATE;
	fuzz_trace("%u: %s", at, why);
}

void fuzz_doc(const uint8_t *data, size_t size,
	      bool (*read)(const struct weft_text *text, const struct weft_doc_sink *sink))
{
	struct seen seen = { .size = (uint32_t)size };
	struct weft_doc_sink sink = { &seen, on_document, on_problem };
	struct weft_text text = weft_text_whole((const char *)data, (uint32_t)size);
	bool ended = read(&text, &sink);

	FUZZ_CHECK(ended == !seen.fatal, "it %s, with %u reasons", ended ? "ended" : "stopped",
		   seen.fatal);
}
