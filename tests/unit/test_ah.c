/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/prng.h"

#include "bare.h"

#include <errno.h>

static void weft_ah_create__one_per_address_and_pd(void **state)
{
	struct weft_gid gid = bare_gid(5);
	struct weft_pd *pd, *other;
	struct weft_ah *ah, *same, *third;

	(void)state;
	bare_open(16);
	pd = bare_pd();
	other = bare_pd();
	ah = bare_ah(pd, 5);
	assert_ptr_equal(ah, bare_ah(pd, 5));
	third = bare_ah(other, 5);
	assert_ptr_not_equal(ah, third);
	assert_ptr_equal(weft_ah_pd(ah), pd);
	assert_ptr_equal(weft_ah_pd(third), other);
	assert_ptr_equal(weft_ah_at(pd, weft_ah_number(ah)), ah);
	assert_int_equal(weft_ah_lookup(pd, &gid), weft_ah_number(ah));

	assert_int_equal(weft_ah_destroy(ah), 0);
	same = bare_ah(pd, 5);
	assert_ptr_equal(same, ah);
	assert_int_equal(weft_ah_destroy(ah), 0);
	assert_int_equal(weft_pd_destroy(pd), -EBUSY);
	assert_int_equal(weft_ah_destroy(ah), 0);
	assert_int_equal(weft_ah_lookup(pd, &gid), WEFT_DEV_AHN_UNKNOWN);
	assert_int_not_equal(weft_ah_lookup(other, &gid), WEFT_DEV_AHN_UNKNOWN);
	assert_int_equal(weft_pd_destroy(pd), 0);
	assert_int_equal(weft_ah_destroy(third), 0);
	assert_int_equal(weft_pd_destroy(other), 0);
	bare_close();
}

/* One that was freed names nobody for a while; but the numbers of a PD that holds few handles stay few, and so
 * does the memory that they touch. */
static void weft_ah_number__goes_round(void **state)
{
	struct weft_pd *pd;
	struct weft_ah *kept[100];
	uint32_t most = 0;

	(void)state;
	bare_open(16);
	pd = bare_pd();
	for (uint32_t i = 0; i < WEFT_ARRAY_SIZE(kept); i++)
		kept[i] = bare_ah(pd, i);
	for (uint32_t i = 0; i < 50000; i++) {
		struct weft_ah *ah = bare_ah(pd, 1000 + i % 10000);
		static uint32_t given_at[1 + WEFT_DEV_AH_MAX];
		uint16_t n = weft_ah_number(ah);

		assert_true(!given_at[n] || i - given_at[n] > 4000);
		given_at[n] = i;
		most = WEFT_MAX(most, n);
		assert_int_equal(weft_ah_destroy(ah), 0);
	}
	assert_in_range(most, 4096, 4096 + 2 * WEFT_ARRAY_SIZE(kept) + 2);
	for (uint32_t i = 0; i < WEFT_ARRAY_SIZE(kept); i++)
		assert_int_equal(weft_ah_destroy(kept[i]), 0);
	assert_int_equal(weft_pd_destroy(pd), 0);
	bare_close();
}

/* Against a naive twin: more addresses than places, up to full and down again. */
static void weft_ah__like_a_table_of_all(void **state)
{
	enum {
		HOSTS = 40000,
		ROUNDS = 400000
	};
	static struct weft_ah *twin[HOSTS];
	static uint8_t refs[HOSTS];
	uint32_t len = 0, peak = 0;
	struct weft_pd *pd;
	struct weft_prng rnd;

	(void)state;
	bare_open(16);
	pd = bare_pd();
	weft_prng_init(&rnd, 5);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t host = weft_prng_below(&rnd, HOSTS);
		uint32_t growing = i < ROUNDS / 2 ? 8 : 2;
		struct weft_gid gid = bare_gid(host);
		uint16_t n = weft_ah_lookup(pd, &gid);

		assert_int_equal(n, refs[host] ? weft_ah_number(twin[host]) : WEFT_DEV_AHN_UNKNOWN);
		if (weft_prng_below(&rnd, 10) < growing && refs[host] < 3) {
			struct weft_ah *ah = NULL;
			int err = weft_ah_create(pd, &gid, &ah);

			assert_int_equal(err, !refs[host] && len == WEFT_DEV_AH_MAX ? -ENOMEM : 0);
			if (err)
				continue;
			if (refs[host])
				assert_ptr_equal(ah, twin[host]);
			len += !refs[host]++;
			twin[host] = ah;
			peak = WEFT_MAX(peak, len);
		} else if (refs[host]) {
			assert_int_equal(weft_ah_destroy(twin[host]), 0);
			len -= !--refs[host];
		}
		assert_int_equal(pd->ahs, len);
	}
	assert_true(peak == WEFT_DEV_AH_MAX && len < WEFT_DEV_AH_MAX / 2);
	for (uint32_t host = 0; host < HOSTS; host++)
		for (; refs[host]; refs[host]--)
			assert_int_equal(weft_ah_destroy(twin[host]), 0);
	assert_int_equal(weft_pd_destroy(pd), 0);
	bare_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_ah_create__one_per_address_and_pd),
		cmocka_unit_test(weft_ah_number__goes_round),
		cmocka_unit_test(weft_ah__like_a_table_of_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
