/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_FINDING_H
#define WEFT_ADVICE_FINDING_H

/* What can be wrong, and what was found. finding.inc is the one table of everything that can be found: its rows
 * are what `weft check --explain`, the pages of docs/findings, the printers and the tests are made of. An id is
 * for ever: people write it into the configuration of their CI. */
#include "base/types.h"

#include <stdio.h>

enum weft_severity {
	WEFT_SEV_OK, /* Looked at, and as it should be. */
	WEFT_SEV_NOTE, /* Worth knowing. */
	WEFT_SEV_WARN, /* Slow, fragile, or not what was meant. */
	WEFT_SEV_FAIL, /* EFA does not work so, or not as a whole. */
};

/* Which commands can find it. */
enum {
	WEFT_BY_CHECK = 1,
	WEFT_BY_LINT = 2,
	WEFT_BY_LOGS = 4,
};

enum weft_finding_id {
#define FINDING(symbol, ...) WEFT_FINDING_##symbol,
#include "advice/finding.inc"
#undef FINDING
	WEFT_FINDING_COUNT,
};

struct weft_finding_info {
	const char *id; /* Lower case, with hyphens. */
	enum weft_severity severity; /* Unless whoever finds it knows better. */
	const char *
		modes; /* Which rows of docs/findings/modes.md it is the answer to: "1", "7,8", "". */
	unsigned int by; /* WEFT_BY_* */
	const char *title; /* What is the matter, in a few words. */
	const char *reason; /* Why it matters: a sentence. */
	const char *fix; /* What to do, exactly. */
	const char *doc; /* Where it is documented: URL. */
	const char *source; /* Where the facts are from. */
};

const struct weft_finding_info *weft_finding_info(enum weft_finding_id id);

/* By its name. False: there is none such; then *suggest_out is one that may have been meant, or NULL. */
bool weft_finding_find(const char *name, enum weft_finding_id *id_out, const char **suggest_out);

/* Is `name` the id, or the id's first words ("env" of env-noop)? For --only and --skip. */
bool weft_finding_is_in(enum weft_finding_id id, const char *name);

/* A whole page about one of them. */
void weft_finding_explain(FILE *to, enum weft_finding_id id);

const char *weft_severity_name(enum weft_severity severity);

/* Where something stands. line and column count from 1; 0: not known. */
struct weft_place {
	const char *file;
	uint32_t line, column;
};

struct weft_finding {
	enum weft_finding_id id;
	enum weft_severity severity;
	char *evidence; /* owns. One line: what was seen. */
	char *fix; /* owns. The exact fix of this very case; NULL: that of the table. */
	char *file; /* owns. Or NULL. */
	uint32_t line, column;
};

/* What was found, in the order in which it was found. */
struct weft_findings {
	struct weft_finding *finding; /* owns */
	size_t count, cap;
	size_t of[WEFT_SEV_FAIL + 1]; /* By severity, those not kept included. */
	bool kept; /* The one that was added last. */
	size_t dropped; /* Past WEFT_FINDINGS_MAX, or out of memory: counted only. */
};

/* Hostile input must not make a report without end. So many of each severity: what is good must not crowd out what
 * is not. */
#define WEFT_FINDINGS_MAX 3000

void weft_findings_init(struct weft_findings *f);
void weft_findings_fini(struct weft_findings *f);

/* Control characters in the evidence become dots, and a very long one is cut. `place` may be NULL. */
void weft_findings_add(struct weft_findings *f, enum weft_finding_id id,
		       enum weft_severity severity, const struct weft_place *place,
		       const char *evidence, ...) __attribute__((format(printf, 5, 6)));

/* The same, with the severity of the table. */
#define weft_findings_report(f, id, place, ...) \
	weft_findings_add(f, id, weft_finding_info(id)->severity, place, __VA_ARGS__)

/* Replaces the fix of the finding that was added last. */
void weft_findings_fix(struct weft_findings *f, const char *fix, ...)
	__attribute__((format(printf, 2, 3)));

/* The worst severity; WEFT_SEV_OK for nothing at all. */
enum weft_severity weft_findings_worst(const struct weft_findings *f);
size_t weft_findings_count_of(const struct weft_findings *f, enum weft_severity severity);

/* For people: the worst first, each with evidence, reason, fix and where to read on; those that are ok in a line
 * each at the end (verbose), or only counted. The last line is the sum. */
void weft_findings_print(FILE *to, const struct weft_findings *f, bool verbose);

/* The elements of a JSON array, with its brackets: id, severity, title, evidence, file, line, column, reason,
 * fix, doc. Keys are always there; what is not known is null. */
void weft_findings_json(FILE *to, const struct weft_findings *f);

#endif
