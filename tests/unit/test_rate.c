/* SPDX-License-Identifier: BSD-2-Clause */
#include "watch/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void weft_rate_text__rounds_to_three_digits(void **state)
{
	static const struct {
		double value;
		const char *text;
	} rows[] = {
		/* 1 */ { -1, "-" },
		/* 2 */ { 0, "0" },
		/* 3 */ { 0.44, "0.4" },
		/* 4 */ { 9.94, "9.9" },
		/* 5 */ { 9.96, "10" },
		/* 6 */ { 999.4, "999" },
		/* 7 */ { 999.6, "1.00k" },
		/* 8 */ { 9994, "9.99k" },
		/* 9 */ { 9996, "10.0k" },
		/* 10 */ { 99960, "100k" },
		/* 11 */ { 999499, "999k" },
		/* 12 */ { 12.5e9, "12.5G" },
		/* 13 */ { 3.2e12, "3.20T" },
		/* 14 */ { 1e30, "1000000000000E" },
	};
	char buf[16];

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++)
		assert_string_equal(weft_rate_text(rows[i].value, buf, sizeof(buf)), rows[i].text);
}

static struct weft_sample *sample(uint64_t time_ns, const char *where, uint64_t tx)
{
	struct weft_sample *s = calloc(1, sizeof(*s));
	struct weft_watch_card *card;

	assert_non_null(s);
	s->time_ns = time_ns;
	card = weft_sample_add_card(s);
	assert_non_null(card);
	snprintf(card->name, sizeof(card->name), "a");
	snprintf(card->where, sizeof(card->where), "%s", where);
	card->gbps = 100;
	card->value[WEFT_COUNTER_TX_BYTES] = tx;
	return s;
}

static double tx_rate(struct weft_sample *before, struct weft_sample *now)
{
	struct weft_rates rates;
	double tx;

	assert_true(weft_rates_init(before, now, WEFT_ALARM_BYTES, &rates));
	tx = rates.card[0].tx;
	weft_rates_fini(&rates);
	weft_sample_free(before);
	weft_sample_free(now);
	return tx;
}

static void weft_rates_init__knows_nothing_of_one_sample(void **state)
{
	(void)state;
	assert_true(tx_rate(NULL, sample(1, "", 5)) < 0);
	/* Nor of two at the same time, or out of order. */
	assert_true(tx_rate(sample(1, "", 5), sample(1, "", 6)) < 0);
	assert_true(tx_rate(sample(2, "", 5), sample(1, "", 6)) < 0);
	/* Nor of another card of the same name, or of a counter that was not there. */
	assert_true(tx_rate(sample(1, "10.0.0.1", 5), sample(2, "10.0.0.2", 6)) < 0);
	assert_true(tx_rate(sample(1, "", WEFT_WATCH_NONE), sample(2, "", 6)) < 0);
}

static void weft_rates_init__divides_by_the_time(void **state)
{
	(void)state;
	assert_true(tx_rate(sample(0, "", 1000), sample(500000000, "", 2000)) == 2000);
	/* A counter that fell began anew. */
	assert_true(tx_rate(sample(0, "", 1000), sample(1000000000, "", 30)) == 30);
}

static void weft_sample_add_card__stops_at_the_limit(void **state)
{
	struct weft_sample *s = calloc(1, sizeof(*s));

	(void)state;
	assert_non_null(s);
	for (uint32_t i = 0; i < WEFT_WATCH_CARDS_MAX; i++)
		assert_non_null(weft_sample_add_card(s));
	assert_null(weft_sample_add_card(s));
	assert_int_equal(s->left_out, 1);
	assert_true(s->card[WEFT_WATCH_CARDS_MAX - 1].value[0] == WEFT_WATCH_NONE);
	weft_sample_free(s);
}

static void weft_watch_counter__learns_names(void **state)
{
	uint32_t known = weft_watch_counters();
	char name[32];

	(void)state;
	assert_int_equal(weft_watch_counter("tx_bytes"), WEFT_COUNTER_TX_BYTES);
	assert_true(weft_watch_counter("cmds_err") >= (int)WEFT_COUNTER_COUNT);
	assert_int_equal(weft_watch_counter(""), -1);
	assert_int_equal(weft_watch_counter("Tx"), -1);
	assert_int_equal(weft_watch_counter("0x"), -1);
	assert_int_equal(weft_watch_counter("a-b"), -1);
	assert_int_equal(weft_watch_counter("a23456789012345678901234567890123456789012345678"),
			 -1);
	assert_int_equal(weft_watch_counters(), known);
	for (uint32_t i = known; i < WEFT_WATCH_COUNTERS_MAX; i++) {
		snprintf(name, sizeof(name), "new_%u", i);
		assert_int_equal(weft_watch_counter(name), i);
		assert_int_equal(weft_watch_counter(name), i);
		assert_string_equal(weft_watch_counter_name(i), name);
	}
	assert_int_equal(weft_watch_counter("one_more"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_rate_text__rounds_to_three_digits),
		cmocka_unit_test(weft_rates_init__knows_nothing_of_one_sample),
		cmocka_unit_test(weft_rates_init__divides_by_the_time),
		cmocka_unit_test(weft_sample_add_card__stops_at_the_limit),
		cmocka_unit_test(weft_watch_counter__learns_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
