/* SPDX-License-Identifier: BSD-2-Clause */
#include "advice/quantity.h"

#include "unit.h"

static void weft_quantity_parse__taken(void **state)
{
	static const struct {
		const char *text;
		uint64_t milli;
	} rows[] = {
		{ "0", 0 },
		{ "1", 1000 },
		{ "+1", 1000 },
		{ "100m", 100 },
		{ "1500m", 1500 },
		{ "0.1", 100 },
		{ ".5", 500 },
		{ "5.", 5000 },
		{ "1.0005", 1001 }, /* Upwards. */
		{ "1u", 1 },
		{ "1n", 1 },
		{ "0n", 0 },
		{ "999999u", 1000 },
		{ "2k", 2000000 },
		{ "1e3", 1000000 },
		{ "1E3", 1000000 },
		{ "12e-1", 1200 },
		{ "1e+2", 100000 },
		{ "1M", 1000000000 },
		{ "2Ki", 2048000 },
		{ "1.5Ki", 1536000 },
		{ "5120Mi", 5368709120000 },
		{ "21122Mi", 22148022272000 },
		{ "1146004920Ki", 1173509038080000 },
		{ "868645791124", 868645791124000 },
		{ "1Ti", 1099511627776000 },
		{ "1P", 1000000000000000000 },
		{ "15Pi", 16888498602639360000u },
		{ "0E", 0 },
		{ "0.001k", 1000 },
		{ "0.00000000000000001E", 10000 },
		{ "0000000000000000000000000000000000000000001", 1000 },
		{ "1.0000000000000000000000000000000000000000", 1000 },
		{ "1.0000000000000000000000000000000000000001", 1001 },
		{ "0.0000000000000000000000000000000000000000000000000000000000001", 1 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		uint64_t milli = 77;

		if (!weft_quantity_parse(rows[i].text, &milli) || milli != rows[i].milli)
			fail_msg("%s: %llu", rows[i].text, (unsigned long long)milli);
	}
}

static void weft_quantity_parse__refused(void **state)
{
	static const char *const rows[] = {
		"",
		"m",
		".",
		"-1",
		"1 ",
		" 1",
		"1 k",
		"1K",
		"1ki",
		"1mi",
		"1e",
		"1e3k",
		"1e-",
		"1ee",
		"1..2",
		"1.2.3",
		"0x10",
		"1Kib",
		"inf",
		"nan",
		"1E",
		"19P",
		"1Ei",
		"1e17",
		"1e999",
		"1e1000",
		"<none>",
		"\xff",
		"1\xff",
		"1\n",
		"++1",
		"+-1",
		"1u1",
		"1i",
		"99999999999999999999",
		"99999999999999999999999999999999999999999999999999999999999999999999",
	};
	uint64_t milli = 77;

	(void)state;
	assert_false(weft_quantity_parse(NULL, &milli));
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++)
		if (weft_quantity_parse(rows[i], &milli))
			fail_msg("%s: %llu", rows[i], (unsigned long long)milli);
	assert_int_equal(milli, 77);
}

static void weft_quantity_add__stays_at_the_end(void **state)
{
	(void)state;
	assert_int_equal(weft_quantity_add(1, 2), 3);
	assert_true(weft_quantity_add(UINT64_MAX, 1) == UINT64_MAX);
	assert_true(weft_quantity_add(UINT64_MAX - 1, 1) == UINT64_MAX);
	assert_int_equal(weft_quantity_whole(1001), 2);
	assert_true(weft_quantity_whole(UINT64_MAX) == UINT64_MAX / 1000 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_quantity_parse__taken),
		cmocka_unit_test(weft_quantity_parse__refused),
		cmocka_unit_test(weft_quantity_add__stays_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
