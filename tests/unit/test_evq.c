/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire/sim/evq.h"

#include "base/prng.h"

#include "unit.h"

static void weft_evq_pop__empty(void **state)
{
	struct weft_evq q;
	struct weft_ev ev = { .kind = 77 };

	(void)state;
	weft_evq_init(&q);
	assert_false(weft_evq_pop(&q, &ev));
	assert_int_equal(ev.kind, 77);
	weft_evq_fini(&q);
}

static void weft_evq_pop__by_time_then_by_order(void **state)
{
	static const weft_ns at[] = { 5, 3, 5, 3, 0, 5, 9, 0 };
	static const uint32_t want[] = { 4, 7, 1, 3, 0, 2, 5, 6 };
	struct weft_evq q;
	struct weft_ev ev;

	(void)state;
	weft_evq_init(&q);
	for (uint32_t i = 0; i < WEFT_ARRAY_SIZE(at); i++)
		weft_evq_push(&q, at[i], i, 10 + i, 20 + i, &q);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(want); i++) {
		assert_true(weft_evq_pop(&q, &ev));
		assert_int_equal(ev.kind, want[i]);
		assert_int_equal(ev.at, at[want[i]]);
		assert_int_equal(ev.a, 10 + want[i]);
		assert_int_equal(ev.b, 20 + want[i]);
		assert_ptr_equal(ev.ptr, &q);
		assert_int_equal(q.now, ev.at);
	}
	assert_false(weft_evq_pop(&q, &ev));
	weft_evq_fini(&q);
}

/* Against a naive twin, pushes and pops mixed, with many equal times and past the first growth. */
static void weft_evq__like_a_scan_of_all(void **state)
{
	enum {
		ROUNDS = 8000,
		OPEN_MAX = 1500
	};
	static struct weft_ev open[OPEN_MAX];
	size_t len = 0, peak = 0;
	struct weft_prng rnd;
	struct weft_evq q;

	(void)state;
	weft_evq_init(&q);
	weft_prng_init(&rnd, 11);
	for (uint32_t i = 0; i < ROUNDS || len; i++) {
		size_t best = 0;
		struct weft_ev ev;

		if (i < ROUNDS && len < OPEN_MAX && weft_prng_below(&rnd, 3)) {
			weft_ns at = q.now + weft_prng_below(&rnd, 50);

			open[len++] = (struct weft_ev){ .at = at, .order = i, .kind = i };
			weft_evq_push(&q, at, i, 0, 0, NULL);
			peak = WEFT_MAX(peak, len);
			continue;
		}
		if (!len) {
			assert_false(weft_evq_pop(&q, &ev));
			continue;
		}
		for (size_t k = 1; k < len; k++)
			if (open[k].at < open[best].at ||
			    (open[k].at == open[best].at && open[k].order < open[best].order))
				best = k;
		assert_true(weft_evq_pop(&q, &ev));
		assert_int_equal(ev.kind, open[best].kind);
		assert_int_equal(ev.at, open[best].at);
		open[best] = open[--len];
	}
	assert_true(peak > 1024);
	weft_evq_fini(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_evq_pop__empty),
		cmocka_unit_test(weft_evq_pop__by_time_then_by_order),
		cmocka_unit_test(weft_evq__like_a_scan_of_all),
	};

	return cmocka_run_group_tests_name("evq", tests, NULL, NULL);
}
