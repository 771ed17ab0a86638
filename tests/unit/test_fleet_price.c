/* SPDX-License-Identifier: BSD-2-Clause */
#include "fleet/price.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void weft_prices_add__found_again(void **state)
{
	static const struct {
		const char *text, *type;
		bool spot;
		uint64_t micro;
	} rows[] = {
		{ "p5.48xlarge=55.04", "p5.48xlarge", false, 55040000 },
		{ "p5.48xlarge/spot = $20.5", "p5.48xlarge", true, 20500000 },
		{ "c5.2xlarge,0.3400", "ml.c5.2xlarge", false, 340000 },
		{ "ml.g5.8xlarge\t2", "g5.8xlarge", false, 2000000 },
		{ "x 0.0000019", "x", false, 1 },
		{ "y .5", "y", false, 500000 },
	};
	struct weft_prices p = { NULL, 0 };
	uint64_t micro;
	char why[200];

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++)
		assert_true(weft_prices_add(&p, rows[i].text, why, sizeof(why)));
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		assert_true(weft_prices_find(&p, rows[i].type, rows[i].spot, &micro));
		assert_int_equal(micro, rows[i].micro);
	}
	assert_false(weft_prices_find(&p, "c5.2xlarge", true, &micro));
	assert_true(weft_prices_add(&p, "y=7", why, sizeof(why)));
	assert_true(weft_prices_find(&p, "y", false, &micro));
	assert_int_equal(micro, 7000000);
	assert_int_equal(p.count, WEFT_ARRAY_SIZE(rows));
	weft_prices_fini(&p);
}

static void weft_prices_add__refused(void **state)
{
	static const char *const rows[] = {
		"",
		"x",
		"x=",
		"=1",
		"x=1.2.3",
		"x=-1",
		"x=1e3",
		"x=1,2",
		"x=1000000",
		"x/sp=1",
		"x=99999999999999999999999999",
		"a-name-of-a-type-that-is-longer-than-any-name-of-a-type-ever-was=1",
	};
	struct weft_prices p = { NULL, 0 };
	char why[200];

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		why[0] = '\0';
		assert_false(weft_prices_add(&p, rows[i], why, sizeof(why)));
		assert_true(why[0]);
	}
	assert_int_equal(p.count, 0);
}

static void weft_prices_load__file(void **state)
{
	char path[] = "/tmp/weft-price-XXXXXX", why[300];
	struct weft_prices p = { NULL, 0 };
	int fd = mkstemp(path);
	FILE *to = fdopen(fd, "w");

	(void)state;
	fputs("# a list\r\n\n  p5.48xlarge, 55.04   # by the hour\r\np4d.24xlarge/spot 10", to);
	fclose(to);
	assert_true(weft_prices_load(&p, path, why, sizeof(why)));
	assert_int_equal(p.count, 2);
	weft_prices_fini(&p);
	to = fopen(path, "w");
	fputs("a 1\nb\n", to);
	fclose(to);
	assert_false(weft_prices_load(&p, path, why, sizeof(why)));
	assert_non_null(strstr(why, "line 2"));
	weft_prices_fini(&p);
	to = fopen(path, "w");
	for (int i = 0; i < 5000; i++)
		fputc('x', to);
	fclose(to);
	assert_false(weft_prices_load(&p, path, why, sizeof(why)));
	assert_non_null(strstr(why, "too long"));
	unlink(path);
	assert_false(weft_prices_load(&p, path, why, sizeof(why)));
	assert_false(weft_prices_load(&p, "/", why, sizeof(why)));
	weft_prices_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_prices_add__found_again),
		cmocka_unit_test(weft_prices_add__refused),
		cmocka_unit_test(weft_prices_load__file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
