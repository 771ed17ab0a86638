/* SPDX-License-Identifier: BSD-2-Clause */
/* Levenshtein's distance with one row of the table. Words are short: names of commands, settings and
 * instance types, so the row has a fixed size and what does not fit is not corrected. */
#include "base/spell.h"

#include <string.h>

#define WORD_MAX     40u
#define MISTAKES_MAX 2u

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

size_t weft_spell_distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1];
	size_t n = strnlen(b, WORD_MAX + 1);

	if (n > WORD_MAX || strnlen(a, WORD_MAX + 1) > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; *a; a++, i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t best = diagonal + (lower(*a) != lower(b[j - 1]));

			diagonal = row[j];
			best = WEFT_MIN(best, row[j] + 1);
			row[j] = WEFT_MIN(best, row[j - 1] + 1);
		}
	}
	return row[n];
}

bool weft_spell_is_closer(const char *word, const char *candidate, size_t *best)
{
	size_t d = weft_spell_distance(word, candidate);

	if (d > MISTAKES_MAX || d >= *best || d >= strlen(candidate))
		return false;
	*best = d;
	return true;
}
