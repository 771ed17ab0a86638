/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_LINT_LINT_H
#define WEFT_ADVICE_LINT_LINT_H

/* What is wrong with somebody's configuration: manifests, launch scripts, job scripts, Dockerfiles, and documents that
 * quote them. */
#include "advice/finding.h"
#include "cloud/catalogue.h"

enum weft_lint_format {
	WEFT_LINT_AUTO, /* By the name, and by what is in it. */
	WEFT_LINT_YAML,
	WEFT_LINT_JSON,
	WEFT_LINT_HCL,
	WEFT_LINT_SHELL,
	WEFT_LINT_DOCKERFILE,
	WEFT_LINT_MARKDOWN,
	WEFT_LINT_TOML,
};

/* By the name of --format; false: there is none such. */
bool weft_lint_format_find(const char *name, enum weft_lint_format *format_out);

/* One change that is certainly right: bytes [at, end) of the file become `with`. */
struct weft_lint_edit {
	uint32_t at, end;
	char *with; /* owns */
};

struct weft_lint_edits {
	struct weft_lint_edit *edit; /* owns. In order, and none overlaps another. */
	uint32_t count, cap;
};

void weft_lint_edits_init(struct weft_lint_edits *e);
void weft_lint_edits_fini(struct weft_lint_edits *e);

struct weft_lint_options {
	enum weft_lint_format format;
	const struct weft_instance
		*instance; /* Where the files do not say it themselves. Or NULL. */
};

/* Lints one file, whose bytes these are; its name stands in the findings. `edits` may be NULL. False: there is nothing in
 * it of a kind that is judged, which is no finding. */
bool weft_lint(const char *name, const char *bytes, uint32_t len,
	       const struct weft_lint_options *options, struct weft_findings *findings,
	       struct weft_lint_edits *edits);

#endif
