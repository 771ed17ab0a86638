/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_DOC_BUILD_H
#define WEFT_ADVICE_DOC_BUILD_H

/* How the readers make a tree: they say what they read, in its order, and the builder keeps the limits and looks for
 * keys that come twice. In a map, keys and values take turns. Every call but the problem's returns false when
 * reading cannot go on, and then has told the sink why. */
#include "advice/doc/doc.h"

struct weft_build_frame {
	struct weft_doc_node *node; /* A map or list that is still open. */
	struct weft_doc_node *last; /* Its last member. */
	struct weft_doc_node *key; /* Waits for its value. */
};

struct weft_build_anchor {
	const char *name; /* owns: in the builder's memory. */
	const struct weft_doc_node *node;
};

struct weft_build {
	const struct weft_doc_sink *sink;
	struct weft_build_chunk *chunk; /* owns */
	struct weft_doc_node *root;
	struct weft_build_frame frame[WEFT_DOC_DEPTH_MAX];
	uint32_t depth;
	uint32_t nodes;
	struct weft_build_anchor anchor[WEFT_DOC_ANCHORS_MAX];
	uint32_t anchors;
	uint32_t merged; /* What merge keys have cost. */
	const struct weft_doc_node **order; /* owns. Room for sorting members. */
	uint32_t order_cap;
	bool merges; /* `<<` means what YAML says. */
};

void weft_build_init(struct weft_build *b, const struct weft_doc_sink *sink, bool merges);
void weft_build_fini(struct weft_build *b);

/* A name that a later alias may call; NULL: none. */
bool weft_build_open(struct weft_build *b, enum weft_doc_kind kind, uint32_t at, uint8_t flags,
		     const char *anchor);
bool weft_build_close(struct weft_build *b, uint32_t end);
bool weft_build_scalar(struct weft_build *b, const char *text, size_t len, uint32_t at,
		       uint32_t end, uint8_t flags, const char *anchor);
bool weft_build_alias(struct weft_build *b, const char *anchor, uint32_t at, uint32_t end);

/* Is a key due next? */
bool weft_build_wants_key(const struct weft_build *b);

/* Gives the document to the sink and forgets it. */
void weft_build_finish(struct weft_build *b);

/* Tells the sink; returns false, for the caller to return. */
bool weft_build_problem(struct weft_build *b, enum weft_doc_problem what, uint32_t at,
			const char *why, ...) __attribute__((format(printf, 4, 5)));

#endif
