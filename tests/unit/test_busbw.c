/* SPDX-License-Identifier: BSD-2-Clause */
#include "cloud/busbw.h"

#include "unit.h"

static void weft_busbw_at__sound(void **state)
{
	const struct weft_instance *it;
	uint32_t all = 0;

	(void)state;
	for (uint32_t n = 0; (it = weft_catalogue_at(n)); n++) {
		const struct weft_busbw *r;

		for (uint32_t i = 0; (r = weft_busbw_at(it, i)); i++, all++) {
			if (r->low <= 0 || r->high < r->low || !r->source)
				fail_msg("%s, row %u", it->name, i);
			/* What can be expected has to say of what. */
			if (!r->condition && (!r->nodes || !r->bytes))
				fail_msg("%s, row %u: neither nodes nor size", it->name, i);
		}
	}
	/* Of a type that is not in the catalogue nobody would see the reports. */
	assert_int_equal(all, 25);
}

static void weft_busbw_expect__largest_that_fits(void **state)
{
	const struct weft_instance *p5 = weft_catalogue_find("p5.48xlarge");

	(void)state;
	assert_null(weft_busbw_expect(p5, 2, 1000));
	assert_int_equal(weft_busbw_expect(p5, 2, 1u << 30)->low, 289);
	assert_int_equal(weft_busbw_expect(p5, 2, 2147483648u)->low, 439);
	assert_int_equal(weft_busbw_expect(p5, 2, UINT64_MAX)->low, 487);
}

static void weft_busbw_expect__not_from_other_conditions(void **state)
{
	const struct weft_instance *p5 = weft_catalogue_find("p5.48xlarge");
	const struct weft_instance *p4d = weft_catalogue_find("p4d.24xlarge");

	(void)state;
	assert_null(weft_busbw_expect(p5, 1, UINT64_MAX)); /* NVLink */
	assert_null(weft_busbw_expect(p5, 16, UINT64_MAX)); /* Averages */
	assert_true(weft_busbw_expect(p4d, 2, UINT64_MAX)->low > 77); /* Not TCP's */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_busbw_at__sound),
		cmocka_unit_test(weft_busbw_expect__largest_that_fits),
		cmocka_unit_test(weft_busbw_expect__not_from_other_conditions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
