/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_LINT_SHELL_H
#define WEFT_ADVICE_LINT_SHELL_H

/* Scripts of the shell, one simple command after the other: words without their quotes, and what is known of them.
 * Nothing is expanded; a word with an expansion in it says so. Control words and operators only separate. */
#include "advice/doc/text.h"

#define WEFT_SHELL_WORDS_MAX 1024u
#define WEFT_SHELL_HERES_MAX 4u

struct weft_shell_word {
	const char *text; /* With a NUL behind it. Expansions stand in it as they are written. */
	uint32_t from, len; /* In the command's text. */
	uint32_t at, end; /* In the file, quotes included. */
	bool dynamic; /* What it will be shows only when it runs. */
};

struct weft_shell_here {
	uint32_t at, len; /* The lines of a here-document, in the script. */
	bool expands;
};

struct weft_shell {
	const struct weft_text *text; /* borrows */
	uint32_t at;
	struct weft_text_builder built; /* The words of the command, a NUL behind each. */
	struct weft_shell_word word[WEFT_SHELL_WORDS_MAX];
	uint32_t words;
	struct weft_shell_here here[WEFT_SHELL_HERES_MAX];
	uint32_t heres; /* Complete with the command that ends the line. */
	struct {
		char name[64];
		bool expands, tabs;
	} due[WEFT_SHELL_HERES_MAX];
	uint32_t dues;
	uint32_t
		too_long; /* Commands that were left out, for want of memory or past the limit of runs. */
};

void weft_shell_init(struct weft_shell *s, const struct weft_text *text);
void weft_shell_fini(struct weft_shell *s);

/* The next command: into s->word, until the next call. A line that begins with #SBATCH, #PBS or #$ is one, too.
 * False: there are no more. */
bool weft_shell_next(struct weft_shell *s);

/* A word as a text of its own. */
struct weft_text weft_shell_word_text(const struct weft_shell *s, uint32_t word);

/* Is it NAME=VALUE? Then the length of NAME, else 0. */
uint32_t weft_shell_assigned(const char *word);

#endif
