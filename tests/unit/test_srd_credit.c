/* SPDX-License-Identifier: BSD-2-Clause */
/* Credits: a receiver with one sender leaves it alone; with several it hands out turns, and stops when
 * there is no need any more. */
#include "pair.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define PORT 100000000000u

static void tune_incast(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->link_bps = PORT;
	cfg->payload_max = 8192;
}

static struct pair *open_incast(void)
{
	struct pair *p = pair_open(4, tune_incast);

	p->port_bps = PORT;
	return p;
}

/* `count` WRITEs of `len` from each of the first `senders` ends after A, all of them to A. */
static void post_to_a(struct pair *p, unsigned int senders, uint32_t count, uint32_t len)
{
	for (uint32_t i = 0; i < count; i++)
		for (unsigned int id = PAIR_B; id <= senders; id++)
			pair_post_wr(p, id,
				     (struct weft_srd_wr){
					     .op = WEFT_SRD_WRITE, .len = len, .peer = PAIR_A });
}

static weft_ns last_done(const struct pair *p, unsigned int id)
{
	weft_ns t = 0;

	for (uint32_t i = 0; i < p->end[id].wrs; i++)
		t = WEFT_MAX(t, p->end[id].wr[i].done_at);
	return t;
}

static bool in_credit_mode(struct pair *p, unsigned int id)
{
	return pair_info(p, id, PAIR_A).credit_mode;
}

/* One sender, however much it has: no credits. */
static void weft_credit__one_sender_is_left_alone(void **state)
{
	struct pair *p = open_incast();

	(void)state;
	post_to_a(p, 1, 5, 1000000);
	pair_settle(p);
	assert_int_equal(pair_stats(p, PAIR_A)->credit_grants, 0);
	assert_false(in_credit_mode(p, PAIR_B));
	pair_close_idle(p);
}

/* Several with little each: no credits. */
static void weft_credit__small_backlogs_are_left_alone(void **state)
{
	struct pair *p = open_incast();

	(void)state;
	for (int i = 0; i < 20; i++) {
		post_to_a(p, 3, 1, 4000);
		pair_run(p, WEFT_US(5));
	}
	pair_settle(p);
	assert_int_equal(pair_stats(p, PAIR_A)->credit_grants, 0);
	pair_close_idle(p);
}

/* Two and three large ones: on, fair, nothing lost, no slower than the port, and off at the end. */
static void weft_credit__large_backlogs(void **state)
{
	(void)state;
	for (unsigned int senders = 2; senders <= 3; senders++) {
		struct pair *p = open_incast();
		weft_ns first = WEFT_NS_NEVER, last = 0, start;

		post_to_a(p, senders, 1, 1);
		pair_settle(p);
		start = p->now;
		post_to_a(p, senders, 2, 2000000);
		pair_run(p, WEFT_US(100));
		for (unsigned int id = PAIR_B; id <= senders; id++)
			assert_true(in_credit_mode(p, id));
		pair_settle(p);
		for (unsigned int id = PAIR_B; id <= senders; id++) {
			first = WEFT_MIN(first, last_done(p, id) - start);
			last = WEFT_MAX(last, last_done(p, id) - start);
			assert_int_equal(p->end[id].failed, 0);
			/* Nothing is lost; a late one or two may be sent again. */
			assert_in_range(pair_stats(p, id)->retrans_pkts, 0, 3);
		}
		assert_true(pair_stats(p, PAIR_A)->credit_grants > 10);
		/* 1 % for heads, 1 % of reserve, and the beginning. */
		assert_in_range(last, senders * WEFT_US(320),
				senders * WEFT_US(320) * 106 / 100 + WEFT_US(20));
		if (first * 110 / 100 < last)
			fail_msg("%u senders: from %llu to %llu ns", senders,
				 (unsigned long long)first, (unsigned long long)last);
		pair_run(p, WEFT_MS(1));
		for (unsigned int id = PAIR_B; id <= senders; id++)
			assert_false(in_credit_mode(p, id));
		pair_close_idle(p);
	}
}

/* On and off again, many times. */
static void weft_credit__on_and_off(void **state)
{
	struct pair *p = open_incast();

	(void)state;
	for (int i = 0; i < 15; i++) {
		uint64_t grants = pair_stats(p, PAIR_A)->credit_grants;

		post_to_a(p, 3, 1, 400000);
		pair_settle(p);
		assert_true(pair_stats(p, PAIR_A)->credit_grants > grants);
		if (i % 3 == 0)
			pair_expect_idle(p);
	}
	for (unsigned int id = PAIR_B; id <= PAIR_D; id++)
		assert_int_equal(p->end[id].failed, 0);
	pair_close(p);
}

/* Counters are 16 bits of 256 bytes: 16.7 MB under credit bring them round once, and idle times must
 * not lose them. */
static void weft_credit__counters_go_round(void **state)
{
	struct pair *p = open_incast();
	weft_ns start;

	(void)state;
	for (int round = 0; round < 3; round++) {
		start = p->now;
		post_to_a(p, 2, 9, 2000000);
		pair_settle(p);
		/* 36 MB at 100 Gb/s. */
		assert_in_range(p->now - start, WEFT_US(2880), WEFT_US(3150));
		pair_expect_idle(p);
	}
	assert_int_equal(p->end[PAIR_B].failed + p->end[PAIR_C].failed, 0);
	pair_close(p);
}

/* The receiver's grants never run ahead of what is wanted, and never back. */
static void weft_credit__grants_are_bounded(void **state)
{
	struct pair *p = open_incast();

	(void)state;
	post_to_a(p, 3, 2, 500000);
	for (int i = 0; i < 200; i++) {
		pair_run(p, WEFT_US(2));
		for (unsigned int id = PAIR_B; id <= PAIR_D; id++) {
			const struct weft_ctx *ctx = pair_ctx(p, PAIR_A, id);

			/* What was sent before the first grant is no longer wanted, a round trip's worth. */
			if (ctx && ctx->state == WEFT_CTX_OPEN)
				assert_true((int16_t)(ctx->peer_pull - ctx->granted) > -700);
		}
	}
	pair_settle(p);
	pair_close(p);
}

/* All that tells of credits is lost for a while: a sender without any asks, and goes on. */
static void weft_credit__lost_grants(void **state)
{
	(void)state;
	for (uint32_t skip = 0; skip < 60; skip += 4) {
		struct pair *p = open_incast();

		pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
						 .types = PAIR_T(ACK),
						 .skip = skip,
						 .count = 20,
						 .fate = PAIR_DROP });
		post_to_a(p, 3, 1, 500000);
		pair_settle(p);
		for (unsigned int id = PAIR_B; id <= PAIR_D; id++)
			assert_int_equal(p->end[id].failed, 0);
		assert_in_range(p->now, WEFT_S(1), WEFT_S(1) + WEFT_MS(10));
		pair_close_idle(p);
	}
}

/* Data is lost under credit: retransmissions cost credit, and it does not run out for good. */
static enum pair_fate lossy(struct pair *p, struct pair_pkt *pkt)
{
	(void)pkt;
	return weft_prng_chance(p->hook_arg, 50000) ? PAIR_DROP : PAIR_PASS;
}

static void weft_credit__losses_cost_credit(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct pair *p = open_incast();
		struct weft_prng rnd;

		weft_prng_init(&rnd, seed);
		p->hook = lossy;
		p->hook_arg = &rnd;
		post_to_a(p, 3, 1, 1000000);
		pair_settle(p);
		for (unsigned int id = PAIR_B; id <= PAIR_D; id++)
			assert_int_equal(p->end[id].failed, 0);
		assert_in_range(p->now, WEFT_S(1), WEFT_S(1) + WEFT_MS(4));
		pair_heal(p);
		pair_close_idle(p);
	}
}

/* A sender dies in the middle of its turn: the others do not wait for it. */
static void weft_credit_forget__sender_dies(void **state)
{
	struct pair *p = open_incast();
	weft_ns start;

	(void)state;
	post_to_a(p, 3, 1, 1);
	pair_settle(p);
	start = p->now;
	post_to_a(p, 3, 2, 1000000);
	pair_run(p, WEFT_US(100));
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_D), .fate = PAIR_DROP });
	while (!p->end[PAIR_B].wr[2].done || !p->end[PAIR_C].wr[2].done) {
		pair_run(p, WEFT_US(20));
		assert_true(p->now < start + WEFT_MS(20));
	}
	assert_int_equal(p->end[PAIR_B].failed + p->end[PAIR_C].failed, 0);
	pair_close(p);
}

/* A sender closes, another is restarted: the list of those who wait shrinks, and nobody is left on it. */
static void weft_credit_forget__sender_leaves(void **state)
{
	struct pair *p = open_incast();

	(void)state;
	post_to_a(p, 3, 2, 1000000);
	pair_run(p, WEFT_US(100));
	weft_srd_close(p->end[PAIR_C].srd, p->now);
	pair_run(p, WEFT_US(50));
	assert_in_range(p->end[PAIR_A].srd->credit.len, 0, 2);
	pair_restart(p, PAIR_D);
	pair_post_wr(p, PAIR_D,
		     (struct weft_srd_wr){ .op = WEFT_SRD_WRITE, .len = 1000000, .peer = PAIR_A });
	pair_settle(p);
	assert_int_equal(p->end[PAIR_B].failed, 0);
	pair_run(p, WEFT_MS(1));
	assert_false(p->end[PAIR_A].srd->credit.on);
	pair_close_idle(p);
}

/* A new incarnation begins at zero on both ends, whatever was used up before. */
static void weft_credit__new_incarnation_begins_at_zero(void **state)
{
	struct pair *p = open_incast();

	(void)state;
	post_to_a(p, 2, 5, 2000000);
	pair_settle(p);
	assert_int_not_equal(pair_ctx(p, PAIR_A, PAIR_B)->granted, 0);
	pair_restart(p, PAIR_A);
	for (int i = 0; i < 2; i++) {
		post_to_a(p, 2, 1, 1);
		pair_settle(p);
	}
	for (unsigned int id = PAIR_B; id <= PAIR_C; id++) {
		assert_int_equal(pair_ctx(p, PAIR_A, id)->granted, 0);
		assert_int_equal(pair_info(p, id, PAIR_A).credit, 0);
	}
	post_to_a(p, 2, 2, 1000000);
	pair_settle(p);
	assert_int_equal(p->end[PAIR_B].wr[p->end[PAIR_B].wrs - 1].status, WEFT_SRD_OK);
	pair_close_idle(p);
}

/* READs: the responder is the sender, and its backlog counts. */
static void weft_credit__incast_of_reads(void **state)
{
	struct pair *p = open_incast();
	weft_ns start = p->now;

	(void)state;
	for (unsigned int id = PAIR_B; id <= PAIR_D; id++)
		pair_post_wr(
			p, PAIR_A,
			(struct weft_srd_wr){ .op = WEFT_SRD_READ, .len = 1000000, .peer = id });
	pair_settle_ok(p);
	assert_true(pair_stats(p, PAIR_A)->credit_grants > 10);
	assert_in_range(p->now - start, WEFT_US(240), WEFT_US(300));
	pair_close_idle(p);
}

static void tune_oblivious(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->link_bps = PORT;
	cfg->lb = WEFT_SRD_LB_OBLIVIOUS;
}

/* An end that received data once and then only sends for 40 seconds: the newest time stamp it has seen
 * would look like the future, and what the peer asks for must be noted all the same. */
static void weft_rx_note_time__pull_after_half_a_turn(void **state)
{
	struct pair *p = pair_open_warm(tune_oblivious);
	struct weft_srd_wr wr = { .op = WEFT_SRD_SEND, .len = 10 };
	uint16_t asked = 0, noted = 0;
	uint32_t from;

	(void)state;
	pair_post_wr(p, PAIR_B, wr);
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 10);
	for (int i = 0; i < 40 * 20; i++) {
		pair_post_wr(p, PAIR_B, wr);
		pair_run(p, WEFT_MS(50));
	}
	for (int i = 0; i < 3; i++)
		pair_post(p, PAIR_A, WEFT_SRD_WRITE, 2000000);
	from = p->logged;
	for (int i = 0; i < 100; i++) {
		pair_run(p, WEFT_US(10));
		noted = WEFT_MAX(noted, pair_ctx(p, PAIR_B, PAIR_A)->peer_pull);
	}
	for (uint32_t i = from; i < p->logged; i++)
		if (p->log[i]->from == PAIR_A && p->log[i]->hdr.type == WEFT_PKT_DATA)
			asked = WEFT_MAX(asked, p->log[i]->hdr.pull);
	assert_true(asked > 10000);
	assert_int_equal(noted, asked);
	pair_settle(p);
	pair_close_idle(p);
}

/* A PROBE has no number of its own that would tell a copy from the original: an old one does not set
 * back what its sender wants, a new one tells it. */
static void weft_rx_note_time__old_probe(void **state)
{
	struct pair *p = open_incast();
	struct weft_hdr hdr;
	uint16_t pull;

	(void)state;
	post_to_a(p, 2, 2, 2000000);
	pair_run(p, WEFT_US(100));
	pull = pair_ctx(p, PAIR_A, PAIR_B)->peer_pull;
	assert_int_not_equal(pull, 0);
	hdr = pair_hdr(p, PAIR_B, PAIR_A, WEFT_PKT_PROBE);
	hdr.psn = pair_active(p, PAIR_B, PAIR_A)->tx.una;
	hdr.tx_ts = weft_ts(p->now - WEFT_US(90));
	hdr.pull = (uint16_t)(pull - 100);
	pair_forge(p, PAIR_A, hdr, NULL, 0, NULL, 0);
	assert_int_equal(pair_ctx(p, PAIR_A, PAIR_B)->peer_pull, pull);
	hdr.tx_ts = weft_ts(p->now);
	hdr.pull = (uint16_t)(pull + 100);
	pair_forge(p, PAIR_A, hdr, NULL, 0, NULL, 0);
	assert_int_equal(pair_ctx(p, PAIR_A, PAIR_B)->peer_pull, hdr.pull);
	pair_settle(p);
	assert_int_equal(p->end[PAIR_B].failed + p->end[PAIR_C].failed, 0);
	pair_close_idle(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_credit__one_sender_is_left_alone),
		cmocka_unit_test(weft_credit__small_backlogs_are_left_alone),
		cmocka_unit_test(weft_credit__large_backlogs),
		cmocka_unit_test(weft_credit__on_and_off),
		cmocka_unit_test(weft_credit__counters_go_round),
		cmocka_unit_test(weft_credit__grants_are_bounded),
		cmocka_unit_test(weft_credit__lost_grants),
		cmocka_unit_test(weft_credit__losses_cost_credit),
		cmocka_unit_test(weft_credit_forget__sender_dies),
		cmocka_unit_test(weft_credit_forget__sender_leaves),
		cmocka_unit_test(weft_credit__new_incarnation_begins_at_zero),
		cmocka_unit_test(weft_credit__incast_of_reads),
		cmocka_unit_test(weft_rx_note_time__pull_after_half_a_turn),
		cmocka_unit_test(weft_rx_note_time__old_probe),
	};

	return cmocka_run_group_tests_name("srd_credit", tests, NULL, NULL);
}
