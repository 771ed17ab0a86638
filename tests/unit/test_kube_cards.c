/* SPDX-License-Identifier: BSD-2-Clause */
#include "kube/cards.h"
#include "kube/real.h"

#include "base/prng.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct weft_kube_cards cards;

/* So many cards, on `nodes` NUMA nodes and near `groups` GPUs, neighbours together. */
static void make(uint32_t count, uint32_t nodes, uint32_t groups, uint32_t shared)
{
	memset(&cards, 0, sizeof(cards));
	cards.count = count;
	cards.shared = shared;
	for (uint32_t i = 0; i < count; i++) {
		snprintf(cards.card[i].id, sizeof(cards.card[i].id), "card%u", i);
		snprintf(cards.card[i].name, sizeof(cards.card[i].name), "rdmap%us27", i);
		cards.card[i].is_healthy = true;
		cards.card[i].numa = (int32_t)(i * nodes / count);
		cards.card[i].group = i * groups / count;
	}
}

/* A set of first shares of cards: a bit for each. */
static struct weft_kube_set set_of(uint64_t bits)
{
	struct weft_kube_set set = { .shares = { 0 } };

	for (uint32_t i = 0; i < WEFT_KUBE_CARDS_MAX; i++)
		set.shares[i] = bits >> i & 1;
	return set;
}

static uint64_t bits_of(const struct weft_kube_set *set)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < WEFT_KUBE_CARDS_MAX; i++)
		bits |= (uint64_t)(set->shares[i] != 0) << i;
	return bits;
}

static void weft_kube_device_find__all(void **state)
{
	static const char *const none[] = { "",         "card",      "card1",     "card1::",
					    "card1::8", "card1::01", "card99::0", "card1::0 " };
	char id[WEFT_KUBE_ID_MAX];
	struct weft_kube_device d, found;

	(void)state;
	make(64, 2, 8, 8);
	for (d.card = 0; d.card < 64; d.card++)
		for (d.share = 0; d.share < 8; d.share++) {
			const uint8_t *at = (const uint8_t *)weft_kube_device_id(&cards, d, id);
			struct weft_pb_in in = { at, at + strlen(id) };

			assert_true(weft_kube_device_find(&cards, in, &found));
			assert_true(found.card == d.card && found.share == d.share);
		}
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(none); i++) {
		const uint8_t *at = (const uint8_t *)none[i];
		struct weft_pb_in in = { at, at + strlen(none[i]) };

		assert_false(weft_kube_device_find(&cards, in, &found));
	}
}

static void weft_kube_prefer__table(void **state)
{
	static const struct {
		int id;
		uint32_t count, nodes, groups;
		uint64_t available, must;
		uint32_t want;
		uint64_t chosen;
	} rows[] = {
		{ 1, 4, 1, 1, 0xf, 0, 2, 0x3 },
		{ 2, 4, 1, 1, 0xa, 0, 2, 0xa },
		{ 3, 4, 1, 1, 0xf, 0, 0, 0 },
		{ 4, 4, 1, 1, 0x3, 0, 9, 0x3 }, /* As many as there are. */
		/* One node, and the smaller one that has enough. */
		{ 5, 8, 2, 2, 0xff, 0, 4, 0x0f },
		{ 6, 8, 2, 2, 0x3f, 0, 2, 0x30 },
		{ 7, 8, 2, 2, 0x3f, 0, 3, 0x07 },
		{ 8, 8, 2, 2, 0x7e, 0, 4,
		  0x1e }, /* None has: all of the first, and of the other. */
		/* All of a GPU before parts of two. */
		{ 9, 16, 2, 4, 0xfffe, 0, 4, 0x00f0 },
		{ 10, 16, 2, 4, 0xffff, 0, 8, 0x00ff },
		{ 11, 16, 2, 4, 0xfff1, 0, 2, 0x30 },
		{ 12, 16, 2, 4, 0xfff1, 0, 1, 0x1 }, /* What nobody else could use. */
		/* What must be says where. */
		{ 13, 16, 2, 4, 0xffff, 0x0200, 4, 0x0f00 },
		{ 14, 16, 2, 4, 0xffff, 0x8001, 2, 0x8001 },
		{ 15, 16, 2, 4, 0xffff, 0x8100, 4,
		  0x8700 }, /* Two GPUs have one each: one is filled up. */
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_kube_set available = set_of(rows[i].available);
		struct weft_kube_set must = set_of(rows[i].must), chosen;

		make(rows[i].count, rows[i].nodes, rows[i].groups, 1);
		weft_kube_prefer(&cards, &available, &must, rows[i].want, &chosen);
		if (bits_of(&chosen) != rows[i].chosen)
			fail_msg("row %d: 0x%llx", rows[i].id,
				 (unsigned long long)bits_of(&chosen));
	}
}

/* Shares: other cards first, and of those the one that the fewest have. */
static void weft_kube_prefer__shares(void **state)
{
	struct weft_kube_set available = { .shares = { 0x1, 0x7, 0x3, 0x7 } };
	struct weft_kube_set must = { .shares = { 0 } }, chosen;

	(void)state;
	make(4, 1, 1, 3);
	weft_kube_prefer(&cards, &available, &must, 2, &chosen);
	assert_int_equal(bits_of(&chosen), 0xa);
	weft_kube_prefer(&cards, &available, &must, 4, &chosen);
	assert_int_equal(bits_of(&chosen), 0xf);
	weft_kube_prefer(&cards, &available, &must, 100, &chosen);
	assert_memory_equal(chosen.shares, available.shares, sizeof(chosen.shares));
}

/* Whatever is asked for: what must be is in it, nothing that is not available, and as many as were wanted. */
static void weft_kube_prefer__random(void **state)
{
	struct weft_prng prng;

	(void)state;
	weft_prng_init(&prng, 1);
	for (int round = 0; round < 2000; round++) {
		uint32_t count = (uint32_t)(1 + weft_prng_next(&prng) % 32), want, had = 0, got = 0;
		uint32_t to_be_had = 0;
		struct weft_kube_set available = { .shares = { 0 } }, must = available, chosen;

		make(count, 1 + round % 2, 1 + round % 7 % count, 4);
		for (uint32_t i = 0; i < count; i++) {
			available.shares[i] = weft_prng_next(&prng) & 15;
			must.shares[i] = available.shares[i] & weft_prng_next(&prng) &
					 weft_prng_next(&prng) & weft_prng_next(&prng);
			had += (uint32_t)__builtin_popcountll(must.shares[i]);
			to_be_had += (uint32_t)__builtin_popcountll(available.shares[i]);
		}
		want = (uint32_t)(weft_prng_next(&prng) % 140);
		weft_kube_prefer(&cards, &available, &must, want, &chosen);
		for (uint32_t i = 0; i < count; i++) {
			assert_int_equal(chosen.shares[i] & ~available.shares[i], 0);
			assert_int_equal(must.shares[i] & ~chosen.shares[i], 0);
			got += (uint32_t)__builtin_popcountll(chosen.shares[i]);
		}
		assert_int_equal(got, WEFT_MIN(WEFT_MAX(want, had), to_be_had));
	}
}

static void weft_kube_cordon__words(void **state)
{
	static const struct {
		int id;
		const char *words;
		uint64_t out;
	} rows[] = {
		{ 1, "", 0 },
		{ 2, "card1", 2 },
		{ 3, "rdmap3s27\n", 8 },
		{ 4, "card1,card2 card3\tcard0", 15 },
		{ 5, "# card1\ncard2 # card3", 4 },
		{ 6, "card card11 ard1 card1x\n,,\r\n", 0 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		make(4, 1, 1, 1);
		weft_kube_cordon(&cards, rows[i].words);
		for (uint32_t k = 0; k < 4; k++)
			if (cards.card[k].is_healthy == (rows[i].out >> k & 1))
				fail_msg("row %d: card %u", rows[i].id, k);
	}
}

static void weft_kube_feel__pulse(void **state)
{
	struct weft_kube_pulse p = { .is_known = false };
	weft_ns now = WEFT_S(1000);

	(void)state;
	/* A driver that counts nothing says nothing. */
	for (int i = 0; i < 20; i++)
		assert_null(weft_kube_feel(&p, 0, 0, now += WEFT_S(10)));
	/* Once there was a sign of life, there have to be more of them. */
	assert_null(weft_kube_feel(&p, 1, 0, now += WEFT_S(10)));
	for (int i = 0; i < 6; i++)
		assert_null(weft_kube_feel(&p, 1, 0, now += WEFT_S(10)));
	assert_non_null(strstr(weft_kube_feel(&p, 1, 0, now += WEFT_S(10)), "keep_alive_rcvd"));
	assert_null(weft_kube_feel(&p, 2, 0, now += WEFT_S(10)));
	/* A command that got no answer is remembered for a while. */
	assert_non_null(strstr(weft_kube_feel(&p, 3, 1, now += WEFT_S(10)), "no_completion_cmds"));
	for (int i = 0; i < 29; i++)
		assert_non_null(weft_kube_feel(&p, 4 + (uint64_t)i, 1, now += WEFT_S(10)));
	assert_null(weft_kube_feel(&p, 40, 1, now += WEFT_S(10)));
	/* Counters that begin anew: the driver has been loaded again, and what was is forgotten. */
	assert_non_null(weft_kube_feel(&p, 41, 2, now += WEFT_S(10)));
	assert_null(weft_kube_feel(&p, 0, 0, now += WEFT_S(10)));
	for (int i = 0; i < 20; i++)
		assert_null(weft_kube_feel(&p, 0, 0, now += WEFT_S(10)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_kube_device_find__all),
		cmocka_unit_test(weft_kube_prefer__table),
		cmocka_unit_test(weft_kube_prefer__shares),
		cmocka_unit_test(weft_kube_prefer__random),
		cmocka_unit_test(weft_kube_cordon__words),
		cmocka_unit_test(weft_kube_feel__pulse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
