/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/prng.h"

#include "unit.h"

/* Seeds are quoted in bug reports, so the sequence of a seed may never change: the published outputs of
 * splitmix64 for the seed 1234567. */
static void weft_prng_next__published_sequence(void **state)
{
	static const uint64_t want[] = {
		6457827717110365317u, 3203168211198807973u,  9817491932198370423u,
		4593380528125082431u, 16408922859458223821u,
	};
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 1234567);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(want); i++)
		assert_true(weft_prng_next(&rnd) == want[i]);
}

static void weft_prng_below__in_range_and_even(void **state)
{
	static const uint32_t limits[] = { 1, 2, 3, 7, 64, 1000, 0x80000001u, UINT32_MAX };
	uint32_t seen[7] = { 0 };
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 5);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(limits); i++)
		for (int n = 0; n < 1000; n++)
			assert_true(weft_prng_below(&rnd, limits[i]) < limits[i]);
	for (int n = 0; n < 70000; n++)
		seen[weft_prng_below(&rnd, 7)]++;
	/* Six standard deviations (about 93 each) around 10,000. */
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(seen); i++)
		assert_in_range(seen[i], 9440, 10560);
}

static void weft_prng_chance__never_always_and_between(void **state)
{
	struct weft_prng rnd;
	uint32_t hits = 0;

	(void)state;
	weft_prng_init(&rnd, 9);
	for (int n = 0; n < 10000; n++) {
		assert_false(weft_prng_chance(&rnd, 0));
		assert_true(weft_prng_chance(&rnd, 1000000));
	}
	for (int n = 0; n < 100000; n++)
		hits += weft_prng_chance(&rnd, 250000);
	assert_in_range(hits, 24100, 25900);
}

/* Never asked, never moved: a fault that is switched off must not shift the rest of a run. */
static void weft_prng_chance__zero_draws_nothing(void **state)
{
	struct weft_prng a, b;

	(void)state;
	weft_prng_init(&a, 3);
	weft_prng_init(&b, 3);
	assert_false(weft_prng_chance(&a, 0));
	assert_true(weft_prng_next(&a) == weft_prng_next(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_prng_next__published_sequence),
		cmocka_unit_test(weft_prng_below__in_range_and_even),
		cmocka_unit_test(weft_prng_chance__never_always_and_between),
		cmocka_unit_test(weft_prng_chance__zero_draws_nothing),
	};

	return cmocka_run_group_tests_name("prng", tests, NULL, NULL);
}
