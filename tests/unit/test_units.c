/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/units.h"

#include "base/prng.h"

#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What `out` holds before each call: a refused string must leave it alone. */
#define UNTOUCHED 0xdeadbeefu

struct row {
	int id;
	const char *in;
	bool ok;
	uint64_t want;
};

static void check(const struct row *row, bool ok, uint64_t got)
{
	if (ok != row->ok || got != (row->ok ? row->want : UNTOUCHED))
		fail_msg("row %d: \"%s\": %s, %" PRIu64, row->id, row->in, ok ? "taken" : "refused",
			 got);
}

static void weft_parse_u64__table(void **state)
{
	static const struct row rows[] = {
		{ 1, "0", true, 0 },
		{ 2, "4096", true, 4096 },
		{ 3, "007", true, 7 },
		{ 4, "0x1F", true, 31 },
		{ 5, "0Xff", true, 255 },
		{ 6, "18446744073709551615", true, UINT64_MAX },
		{ 7, "18446744073709551616", false, 0 },
		{ 8, "0xffffffffffffffff", true, UINT64_MAX },
		{ 9, "0x10000000000000000", false, 0 },
		{ 10, "", false, 0 },
		{ 11, "-1", false, 0 },
		{ 12, "+1", false, 0 },
		{ 13, " 1", false, 0 },
		{ 14, "1 ", false, 0 },
		{ 15, "1k", false, 0 },
		{ 16, "1.0", false, 0 },
		{ 17, "0x", false, 0 },
		{ 18, "1f", false, 0 },
		{ 19, "x1", false, 0 },
		{ 20, "99999999999999999999999999", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		uint64_t got = UNTOUCHED;
		bool ok = weft_parse_u64(rows[i].in, &got);

		check(&rows[i], ok, got);
	}
}

static void weft_parse_bytes__table(void **state)
{
	static const struct row rows[] = {
		{ 1, "0", true, 0 },
		{ 2, "4096", true, 4096 },
		{ 3, "4096B", true, 4096 },
		{ 4, "64k", true, 64000 },
		{ 5, "64K", true, 64000 },
		{ 6, "64KB", true, 64000 },
		{ 7, "64kB", true, 64000 },
		{ 8, "64KiB", true, 65536 },
		{ 9, "2MB", true, 2000000 },
		{ 10, "8MiB", true, 8388608 },
		{ 11, "2M", true, 2000000 },
		{ 12, "1GB", true, 1000000000 },
		{ 13, "1GiB", true, 1073741824 },
		{ 14, "1T", true, 1000000000000 },
		{ 15, "1TiB", true, 1099511627776 },
		{ 16, "1.5k", true, 1500 },
		{ 17, "0.5KiB", true, 512 },
		{ 18, "1.5", false, 0 },
		{ 19, "2.0", true, 2 },
		{ 20, "0.0001k", false, 0 },
		{ 21, "18446744073709551615", true, UINT64_MAX },
		{ 22, "18446744073709551616", false, 0 },
		{ 23, "18446744073709551615k", false, 0 },
		{ 24, "16777215TiB", true, 16777215ull << 40 },
		{ 25, "16777216TiB", false, 0 },
		{ 26, "", false, 0 },
		{ 27, "k", false, 0 },
		{ 28, "MB", false, 0 },
		{ 29, "-2MB", false, 0 },
		{ 30, "+2MB", false, 0 },
		{ 31, " 2MB", false, 0 },
		{ 32, "2 MB", false, 0 },
		{ 33, "2MB ", false, 0 },
		{ 34, "2MBx", false, 0 },
		{ 35, "2mB", false, 0 },
		{ 36, "2Mb", false, 0 },
		{ 37, "1.", false, 0 },
		{ 38, ".5k", false, 0 },
		{ 39, "1..5k", false, 0 },
		{ 40, "1,5k", false, 0 },
		{ 41, "0x10", false, 0 },
		{ 42, "1e3", false, 0 },
		{ 43, "0.0000000000000001T", false, 0 },
		{ 44, "nan", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		uint64_t got = UNTOUCHED;
		bool ok = weft_parse_bytes(rows[i].in, &got);

		check(&rows[i], ok, got);
	}
}

static void weft_parse_rate__table(void **state)
{
	static const struct row rows[] = {
		{ 1, "100g", true, 100000000000 },
		{ 2, "100G", true, 100000000000 },
		{ 3, "25Gbps", true, 25000000000 },
		{ 4, "25Gbit", true, 25000000000 },
		{ 5, "25Gbit/s", true, 25000000000 },
		{ 6, "1.5g", true, 1500000000 },
		{ 7, "0.1g", true, 100000000 },
		{ 8, "10m", true, 10000000 },
		{ 9, "3.2Tbps", true, 3200000000000 },
		{ 10, "9600", true, 9600 },
		{ 11, "9600bps", true, 9600 },
		{ 12, "64kbit/s", true, 64000 },
		{ 13, "0", true, 0 },
		{ 14, "", false, 0 },
		{ 15, "g", false, 0 },
		{ 16, "bps", false, 0 },
		{ 17, "25GBps", false, 0 },
		{ 18, "25GB", false, 0 },
		{ 19, "25Gi", false, 0 },
		{ 20, "-1g", false, 0 },
		{ 21, "1g ", false, 0 },
		{ 22, "1gbpsbps", false, 0 },
		{ 23, "1bps g", false, 0 },
		{ 24, "99999999t", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		uint64_t got = UNTOUCHED;
		bool ok = weft_parse_rate(rows[i].in, &got);

		check(&rows[i], ok, got);
	}
}

static void weft_parse_time__table(void **state)
{
	static const struct row rows[] = {
		{ 1, "0", true, 0 },
		{ 2, "500ns", true, 500 },
		{ 3, "1us", true, 1000 },
		{ 4, "2ms", true, 2000000 },
		{ 5, "5s", true, 5000000000 },
		{ 6, "1.5us", true, 1500 },
		{ 7, "0.001us", true, 1 },
		{ 8, "0.0001us", false, 0 },
		{ 9, "5", false, 0 }, /* No unit: five what? */
		{ 10, "00", false, 0 },
		{ 11, "", false, 0 },
		{ 12, "us", false, 0 },
		{ 13, "-1us", false, 0 },
		{ 14, "1 us", false, 0 },
		{ 15, "1usx", false, 0 },
		{ 16, "1m", false, 0 },
		{ 17, "18446744073s", true, 18446744073000000000u },
		{ 18, "18446744074s", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		uint64_t got = UNTOUCHED;
		bool ok = weft_parse_time(rows[i].in, &got);

		check(&rows[i], ok, got);
	}
}

static void weft_parse_percent__table(void **state)
{
	static const struct row rows[] = {
		{ 1, "0%", true, 0 },         { 2, "25%", true, 250000 },
		{ 3, "100%", true, 1000000 }, { 4, "100.0001%", false, 0 },
		{ 5, "101%", false, 0 },      { 6, "0.5%", true, 5000 },
		{ 7, "0.0001%", true, 1 },    { 8, "0.00001%", false, 0 },
		{ 9, "25", false, 0 },        { 10, "%", false, 0 },
		{ 11, "", false, 0 },         { 12, "-1%", false, 0 },
		{ 13, "25%%", false, 0 },     { 14, "25 %", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		uint32_t got = UNTOUCHED;
		bool ok = weft_parse_percent(rows[i].in, &got);

		check(&rows[i], ok, got);
	}
}

/* Whatever a whole number of nanoseconds is printed as, it reads back the same. */
static void weft_parse_time__reads_back_any_fraction(void **state)
{
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 2);
	for (int i = 0; i < 2000; i++) {
		uint64_t ns = weft_prng_next(&rnd) >> weft_prng_below(&rnd, 40) >> 24;
		char text[64];
		weft_ns got;

		snprintf(text, sizeof(text), "%" PRIu64 ".%09" PRIu64 "s", ns / 1000000000,
			 ns % 1000000000);
		assert_true(weft_parse_time(text, &got));
		assert_true(got == ns);
		snprintf(text, sizeof(text), "%" PRIu64 ".%03" PRIu64 "us", ns / 1000, ns % 1000);
		assert_true(weft_parse_time(text, &got));
		assert_true(got == ns);
	}
}

/* Random strings over the alphabet that matters: never a crash, and what is taken by one reader with
 * a digit in front stays within its rules. */
static void weft_parse__random_strings(void **state)
{
	static const char alphabet[] = "0123456789.kKmMgGtTiBbpsnu/%xe- ";
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 4);
	for (int i = 0; i < 200000; i++) {
		char s[12];
		size_t len = weft_prng_below(&rnd, sizeof(s));
		uint64_t v = UNTOUCHED;
		uint32_t ppm = UNTOUCHED;

		for (size_t k = 0; k < len; k++)
			s[k] = alphabet[weft_prng_below(&rnd, sizeof(alphabet) - 1)];
		s[len] = 0;
		if (weft_parse_bytes(s, &v) || weft_parse_rate(s, &v) || weft_parse_time(s, &v) ||
		    weft_parse_u64(s, &v) || weft_parse_percent(s, &ppm)) {
			assert_in_range(s[0], '0', '9');
			assert_null(strchr(s, '-'));
			assert_null(strchr(s, ' '));
		} else {
			assert_int_equal(v, UNTOUCHED);
			assert_int_equal(ppm, UNTOUCHED);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_parse_u64__table),
		cmocka_unit_test(weft_parse_bytes__table),
		cmocka_unit_test(weft_parse_rate__table),
		cmocka_unit_test(weft_parse_time__table),
		cmocka_unit_test(weft_parse_percent__table),
		cmocka_unit_test(weft_parse_time__reads_back_any_fraction),
		cmocka_unit_test(weft_parse__random_strings),
	};

	return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
