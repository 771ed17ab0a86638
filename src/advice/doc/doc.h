/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_DOC_DOC_H
#define WEFT_ADVICE_DOC_DOC_H

/* YAML, JSON and HCL as one kind of tree, each node of which knows where in the file it stands. The readers take
 * any bytes; memory is bounded by the limits below, per document. */
#include "advice/doc/text.h"

/* What a document may have at most. Aliases count with all that they stand for. */
#define WEFT_DOC_NODES_MAX   4000000u
#define WEFT_DOC_DEPTH_MAX   100u
#define WEFT_DOC_ANCHORS_MAX 1000u
#define WEFT_DOC_MERGES_MAX  4000000u /* Members compared for merge keys, in one document. */

enum weft_doc_kind {
	WEFT_DOC_SCALAR,
	WEFT_DOC_MAP,
	WEFT_DOC_LIST,
};

enum {
	WEFT_DOC_QUOTED = 1, /* A string for certain. Otherwise the text says what it is. */
	WEFT_DOC_EXPR = 2, /* An expression, or a tag of somebody's: the text is not the value. */
	WEFT_DOC_BLOCK = 4, /* HCL: the key, or a label, of a block; it may come again. */
	WEFT_DOC_MERGED = 8, /* YAML: came in with a merge key. */
	WEFT_DOC_LITERAL = 16, /* YAML `|`: line for line as it stands in the file. */
};

struct weft_doc_node {
	const struct weft_doc_node *next; /* Of the same map or list. */
	const struct weft_doc_node
		*child; /* The first one, of a map or list. Aliases share them. */
	const struct weft_doc_node *key; /* In a map. Most often a scalar. */
	const char *text; /* Of a scalar, with a NUL behind it; else "". */
	uint32_t len;
	uint32_t at, end; /* In the file. Of an alias: where the alias stands. */
	uint32_t weight; /* Nodes in here, itself included; each 64 bytes of text are one more. */
	uint32_t widest; /* Members of the largest map in here, itself included. */
	uint8_t kind, flags, height;
};

enum weft_doc_problem {
	WEFT_DOC_SYNTAX, /* Not what it says it is. Nothing behind it was read. */
	WEFT_DOC_DUPLICATE, /* A key that comes again; the last one counts. */
	WEFT_DOC_LIMIT, /* Right, perhaps, but past a limit. Nothing behind it was read. */
};

/* Whom a reader tells what it finds. A document lives until `document` returns. */
struct weft_doc_sink {
	void *ctx;
	void (*document)(void *ctx, const struct weft_doc_node *root);
	void (*problem)(void *ctx, enum weft_doc_problem what, uint32_t at, const char *why);
};

/* Each reads all documents of a text and returns whether it came to its end. */
bool weft_doc_read_yaml(const struct weft_text *text, const struct weft_doc_sink *sink);
bool weft_doc_read_json(const struct weft_text *text, const struct weft_doc_sink *sink);
bool weft_doc_read_hcl(const struct weft_text *text, const struct weft_doc_sink *sink);

/* The member of a map with that key: the last one, as everybody reads it. NULL: none, or no map, or `map` is
 * NULL. The second takes a path of keys with '/' between them, of which none may contain one. */
const struct weft_doc_node *weft_doc_get(const struct weft_doc_node *map, const char *key);
const struct weft_doc_node *weft_doc_path(const struct weft_doc_node *map, const char *path);

/* The text of a scalar whose value it is; NULL for anything else. */
const char *weft_doc_text(const struct weft_doc_node *node);

/* Is it this text? */
bool weft_doc_is(const struct weft_doc_node *node, const char *text);

/* A whole number, quoted or not. */
bool weft_doc_number(const struct weft_doc_node *node, uint64_t *value_out);

/* Is it true, or false? Everything else, and NULL, is neither. */
bool weft_doc_is_true(const struct weft_doc_node *node);
bool weft_doc_is_false(const struct weft_doc_node *node);

/* How many members a map or list has, or elements; 0 for NULL. */
uint32_t weft_doc_count(const struct weft_doc_node *node);

#endif
