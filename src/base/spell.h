/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_BASE_SPELL_H
#define WEFT_BASE_SPELL_H

/* "Did you mean ...": which known word somebody may have mistyped. */
#include "base/types.h"

/* Edits (insert, delete, replace) that turn one word into the other; case does not count. SIZE_MAX when one
 * of them is longer than any word that is worth correcting. */
size_t weft_spell_distance(const char *a, const char *b);

/* For a search through a list: is `candidate` a better guess at `word` than what *best (start with
 * SIZE_MAX) stands for? Then *best is its distance. Two typing mistakes still make a useful guess, three
 * do not, and a word that shares no letter with the candidate is not a misspelling of it. */
bool weft_spell_is_closer(const char *word, const char *candidate, size_t *best);

#endif
