/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_DOC_TEXT_H
#define WEFT_ADVICE_DOC_TEXT_H

/* Text that is read, and where in its file each byte of it stands. Text is often inside of other text: YAML in a
 * Markdown file, a script in YAML, JSON in the quotes of a script. Each layer takes something away (indentation,
 * quotes, backslashes), so a piece of text carries a list of runs that stand in the file as they are. */
#include "base/types.h"

/* Offsets are 32 bits, and some of them are added. */
#define WEFT_TEXT_MAX (256u << 20)

struct weft_text_run {
	uint32_t at; /* Where it begins in the text, */
	uint32_t file_at; /* and in the file. */
};

struct weft_text {
	const char *bytes; /* borrows. len of them; no NUL is needed. */
	uint32_t len;
	const struct weft_text_run *run; /* borrows. In order; the first begins at 0. */
	uint32_t runs;
	uint32_t
		from; /* Where, for the runs, the text begins: it may be a part of what they are for. */
};

/* A whole file. */
struct weft_text weft_text_whole(const char *bytes, uint32_t len);

/* The offset in the file of the byte at `at`, which may be len. */
uint32_t weft_text_file_at(const struct weft_text *text, uint32_t at);

/* Pieces with more runs are not made: their list would be larger than the file. */
#define WEFT_TEXT_RUNS_MAX (1u << 22)

/* A piece that is made run by run, its bytes copied together. */
struct weft_text_builder {
	char *bytes; /* owns */
	uint32_t len, cap;
	struct weft_text_run *run; /* owns */
	uint32_t runs, runs_cap;
	bool failed; /* Out of memory, or past the limit: the rest is missing. */
};

void weft_text_builder_init(struct weft_text_builder *b);
void weft_text_builder_fini(struct weft_text_builder *b);
void weft_text_builder_reset(struct weft_text_builder *b);

/* One byte which stands at file_at (or for what stands there). */
void weft_text_builder_put(struct weft_text_builder *b, char c, uint32_t file_at);

/* Bytes [at, at + len) of `from`. */
void weft_text_builder_copy(struct weft_text_builder *b, const struct weft_text *from, uint32_t at,
			    uint32_t len);

/* Borrows from the builder until its next change. */
struct weft_text weft_text_builder_text(const struct weft_text_builder *b);

/* Lines and columns of a file, by offset. Columns count characters, as editors do; a tab is one. */
struct weft_lines {
	const char *bytes; /* borrows */
	uint32_t len;
	struct weft_lines_mark {
		uint32_t line; /* Of the byte at this mark, */
		uint32_t line_at; /* and where that line begins. */
		uint32_t chars; /* Characters between the two. */
	} * mark; /* owns. One for each WEFT_LINES_STEP bytes. */
	uint32_t marks;
};

#define WEFT_LINES_STEP 4096u

/* 0 or -ENOMEM. */
int weft_lines_init(struct weft_lines *l, const char *bytes, uint32_t len);
void weft_lines_fini(struct weft_lines *l);

/* Both count from 1. */
void weft_lines_find(const struct weft_lines *l, uint32_t at, uint32_t *line_out,
		     uint32_t *column_out);

/* Where the line of the byte at `at` begins, and where it ends: at its newline, or the end of the file. */
uint32_t weft_lines_begin(const struct weft_lines *l, uint32_t at);
uint32_t weft_lines_end(const struct weft_lines *l, uint32_t at);

#endif
