/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLOUD_MANIFEST_H
#define WEFT_CLOUD_MANIFEST_H

/* Configuration of other programs for an instance type: a template of each kind (folder manifests), filled with what the
 * catalogue knows and with what the user says. What neither knows is never made up. */
#include "cloud/catalogue.h"

#include <stdio.h>

struct weft_manifest_kind {
	const char *name; /* mpijob */
	const char *what; /* What it is, in a few words. */
	const char *text; /* The template. */
	bool is_script;
};

/* In order of name; NULL past the last. */
const struct weft_manifest_kind *weft_manifest_kind_at(uint32_t index);

/* NULL: none such. *suggest_out: the name that may have been meant, or NULL. */
const struct weft_manifest_kind *weft_manifest_kind_find(const char *name,
							 const char **suggest_out);

#define WEFT_MANIFEST_KEYS_MAX  32u
#define WEFT_MANIFEST_VALUE_MAX 256u

/* A value that the user may give to a kind. */
struct weft_manifest_key {
	const char *name;
	const char *what;
	const char *example;
	char standard[WEFT_MANIFEST_VALUE_MAX]; /* Used unless another is given. "": none. */
	bool is_optional; /* The manifest can do without. */
	bool depends,
		standard_depends; /* Whether it is used, or has a standard, depends on the type. */
};

/* False past the last. */
bool weft_manifest_key_at(const struct weft_manifest_kind *kind, uint32_t index,
			  struct weft_manifest_key *key_out);

/* One manifest in the making. Zero it, fill in what is known, and add values. */
struct weft_manifest {
	const struct weft_manifest_kind *kind;
	const struct weft_instance *instance; /* NULL: not said. */
	uint32_t nodes; /* 0: not said. */
	/* By the row of the table of keys; "": not said. */
	char said[WEFT_MANIFEST_KEYS_MAX][WEFT_MANIFEST_VALUE_MAX];
};

#define WEFT_MANIFEST_NODES_MAX 10000u

/* "key=value". False: `why` says why not. */
bool weft_manifest_set(struct weft_manifest *m, const char *assignment, char *why, size_t len);

/* Writes all of it, or nothing: then `why` says what is missing, unknown or makes no sense. */
bool weft_manifest_write(const struct weft_manifest *m, FILE *out, char *why, size_t len);

#endif
