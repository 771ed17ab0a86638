/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/spell.h"

#include "unit.h"

#include <string.h>

static void weft_spell_distance__table(void **state)
{
	static const struct {
		int id;
		const char *a, *b;
		size_t want;
	} rows[] = {
		{ 1, "", "", 0 },       { 2, "a", "", 1 },
		{ 3, "", "abc", 3 },    { 4, "version", "verison", 2 },
		{ 5, "p4d", "P4D", 0 }, { 6, "p4d.24xlarge", "p4de.24xlarge", 1 },
		{ 7, "abc", "xyz", 3 }, { 8, "kitten", "sitting", 3 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		if (weft_spell_distance(rows[i].a, rows[i].b) != rows[i].want ||
		    weft_spell_distance(rows[i].b, rows[i].a) != rows[i].want)
			fail_msg("row %d", rows[i].id);
	}
}

static void weft_spell_distance__long(void **state)
{
	char word[100];

	(void)state;
	memset(word, 'a', sizeof(word));
	word[41] = 0;
	assert_true(weft_spell_distance(word, "a") == SIZE_MAX);
	assert_true(weft_spell_distance("a", word) == SIZE_MAX);
	word[40] = 0;
	assert_true(weft_spell_distance(word, "a") == 39);
	assert_true(weft_spell_distance("a", word) == 39);
}

static void weft_spell_is_closer__best(void **state)
{
	size_t best = SIZE_MAX;

	(void)state;
	assert_false(weft_spell_is_closer("verison", "help", &best));
	assert_true(weft_spell_is_closer("versn", "version", &best));
	assert_false(weft_spell_is_closer("versn", "versxxn", &best));
	assert_true(weft_spell_is_closer("versn", "versin", &best));
	assert_int_equal(best, 1);
	best = SIZE_MAX;
	assert_false(weft_spell_is_closer("xy", "ab", &best));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_spell_distance__table),
		cmocka_unit_test(weft_spell_distance__long),
		cmocka_unit_test(weft_spell_is_closer__best),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
