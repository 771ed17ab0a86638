/* SPDX-License-Identifier: BSD-2-Clause */
/* The congestion window: cut only for good reasons, and never below one packet; and the arithmetic of
 * credits, which go round at 2^16 quanta. */
#include "pair.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define BASE     WEFT_US(10)
#define CWND_MAX (200u * 1104u)

static void tune_fixed(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->cwnd_init = 100 * 1104;
	cfg->cwnd_max = CWND_MAX;
}

struct rig {
	struct pair *p;
	struct weft_srd *srd;
	struct weft_active *act;
	uint32_t turn;
};

static void open_rig(struct rig *r)
{
	r->turn = 0;
	r->p = pair_open(2, tune_fixed);
	pair_warm_up(r->p);
	r->srd = r->p->end[PAIR_A].srd;
	r->act = pair_active(r->p, PAIR_A, PAIR_B);
	weft_cc_reset(r->srd, r->act, (uint32_t)BASE);
	weft_cc_on_sample(r->srd, r->act, weft_path_at(r->srd, r->act, 0), BASE);
	assert_int_equal(r->act->cc.base_rtt, BASE);
}

static void close_rig(struct rig *r)
{
	pair_close(r->p);
}

static void sample_on(struct rig *r, uint32_t ev, weft_ns rtt)
{
	weft_cc_on_sample(r->srd, r->act, weft_path_at(r->srd, r->act, (uint16_t)ev), rtt);
}

/* One path after the other, as spraying does. */
static void sample(struct rig *r, weft_ns rtt)
{
	sample_on(r, r->turn++ % r->srd->cfg.paths, rtt);
}

/* Time passes, `bytes` are acknowledged, and the round is over. */
static void end_round(struct rig *r, uint32_t bytes)
{
	r->srd->now += 2 * WEFT_MAX(r->act->cc.srtt, BASE);
	r->p->now = r->srd->now;
	weft_cc_on_acked(r->srd, r->act, bytes);
}

static void new_round(struct rig *r)
{
	end_round(r, 0);
}

/* `above` of `all` paths lie far above the target, until the average does, too. */
static uint32_t cwnd_after(struct rig *r, uint32_t above, uint32_t all)
{
	for (uint32_t round = 0; round < 6; round++) {
		for (uint32_t i = 0; i < all; i++)
			sample_on(r, i, i * above % all < above ? 8 * BASE : BASE);
		end_round(r, 0);
	}
	return r->act->cc.cwnd;
}

static void weft_cc__cut_by_majority_only(void **state)
{
	static const struct {
		int id;
		uint32_t above, all;
		bool cut;
	} rows[] = {
		{ 1, 0, 16, false },
		{ 2, 1, 16, false },
		{ 3, 4, 16, false },
		{ 4, 7, 16, false },
		{ 5, 8, 16, false },
		{ 6, 10, 16, true },
		{ 7, 16, 16, true },
		/* Too few to be a majority of anything. */
		{ 8, 3, 3, false },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct rig r;
		uint32_t before, after;

		open_rig(&r);
		new_round(&r);
		before = r.act->cc.cwnd;
		after = cwnd_after(&r, rows[i].above, rows[i].all);
		if ((after < before) != rows[i].cut)
			fail_msg("row %d: %u to %u", rows[i].id, before, after);
		close_rig(&r);
	}
}

/* Once per round trip, and by half at most. */
static void weft_cc__cut_once_and_by_half_at_most(void **state)
{
	struct rig r;
	uint32_t before;
	uint64_t cuts;

	(void)state;
	open_rig(&r);
	new_round(&r);
	for (int round = 0; round < 30; round++) {
		before = r.act->cc.cwnd;
		cuts = pair_stats(r.p, PAIR_A)->cwnd_cuts;
		for (int i = 0; i < 100; i++)
			sample(&r, 1000 * BASE);
		r.srd->now += 1;
		weft_cc_on_acked(r.srd, r.act, 0);
		weft_cc_on_acked(r.srd, r.act, 0);
		end_round(&r, 0);
		assert_in_range(pair_stats(r.p, PAIR_A)->cwnd_cuts, cuts, cuts + 1);
		assert_true(r.act->cc.cwnd >= before / 2);
		/* Never below one packet of full size. */
		assert_true(r.act->cc.cwnd >= 1024 + WEFT_SRD_DATA_HEAD);
	}
	assert_int_equal(r.act->cc.cwnd, 1024 + WEFT_SRD_DATA_HEAD);
	close_rig(&r);
}

/* The more delay, the deeper the cut. */
static void weft_cc__cut_in_proportion(void **state)
{
	uint32_t last = UINT32_MAX;

	(void)state;
	for (uint32_t tenths = 12; tenths < 24; tenths += 3) {
		struct rig r;

		open_rig(&r);
		new_round(&r);
		for (int i = 0; i < 100; i++)
			sample(&r, BASE + tenths * BASE / 10);
		end_round(&r, 0);
		assert_true(r.act->cc.cwnd < last);
		last = r.act->cc.cwnd;
		close_rig(&r);
	}
	assert_true(last >= 100 * 1104 / 2);
}

/* More than a tenth of what was sent is lost: down to what arrived, by half at most. */
static void weft_cc__cut_by_losses(void **state)
{
	static const struct {
		int id;
		uint32_t sent, lost, acked, want;
	} rows[] = {
		{ 1, 100000, 0, 100000, 110400 },
		{ 2, 100000, 9000, 91000, 110400 },
		{ 3, 100000, 20000, 80000, 80000 },
		{ 4, 100000, 90000, 10000, 55200 },
		{ 5, 0, 0, 0, 110400 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct rig r;

		open_rig(&r);
		new_round(&r);
		/* A delay that makes it neither grow nor shrink by itself. */
		for (int k = 0; k < 100; k++)
			sample(&r, BASE + weft_cc_target(r.srd, r.act));
		r.act->cc.cwnd = 110400;
		weft_cc_on_sent(r.srd, r.act, rows[i].sent);
		weft_cc_on_lost(r.srd, r.act, rows[i].lost);
		end_round(&r, rows[i].acked);
		if (r.act->cc.cwnd < rows[i].want ||
		    r.act->cc.cwnd > rows[i].want + rows[i].want / 50)
			fail_msg("row %d: %u", rows[i].id, r.act->cc.cwnd);
		close_rig(&r);
	}
}

/* Empty queues: it grows, up to the limit and not a byte more; at the limit it stays. */
static void weft_cc__grows_to_its_limit(void **state)
{
	struct rig r;
	uint32_t before;

	(void)state;
	open_rig(&r);
	new_round(&r);
	r.act->cc.cwnd = 1104;
	for (int round = 0; round < 200 && r.act->cc.cwnd < CWND_MAX; round++) {
		before = r.act->cc.cwnd;
		for (int i = 0; i < 8; i++)
			sample(&r, BASE);
		end_round(&r, before);
		assert_true(r.act->cc.cwnd > before);
		assert_true(r.act->cc.cwnd <= CWND_MAX);
	}
	assert_int_equal(r.act->cc.cwnd, CWND_MAX);
	end_round(&r, 1 << 30);
	assert_int_equal(r.act->cc.cwnd, CWND_MAX);
	close_rig(&r);
}

/* The fuller the queues, the slower it grows. */
static void weft_cc__grows_slower_with_delay(void **state)
{
	uint32_t last = UINT32_MAX;

	(void)state;
	for (weft_ns extra = 0; extra < BASE; extra += BASE / 4) {
		struct rig r;
		uint32_t before;

		open_rig(&r);
		new_round(&r);
		for (int i = 0; i < 200; i++)
			sample(&r, BASE + extra);
		before = r.act->cc.cwnd;
		weft_cc_on_acked(r.srd, r.act, 20000);
		assert_true(r.act->cc.cwnd - before < last);
		last = r.act->cc.cwnd - before;
		close_rig(&r);
	}
}

static void weft_cc_on_timeout__halves(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r);
	r.act->cc.cwnd = 50000;
	weft_cc_on_timeout(r.srd, r.act);
	assert_int_equal(r.act->cc.cwnd, 25000);
	for (int i = 0; i < 20; i++)
		weft_cc_on_timeout(r.srd, r.act);
	assert_int_equal(r.act->cc.cwnd, 1024 + WEFT_SRD_DATA_HEAD);
	close_rig(&r);
}

/* One packet may always be under way, however small the window. */
static void weft_cc_may_send__one_packet_always(void **state)
{
	struct pair *p = pair_open_warm(tune_fixed);
	uint64_t c;

	(void)state;
	pair_active(p, PAIR_A, PAIR_B)->cc.cwnd = 1;
	p->offline = true;
	c = pair_post(p, PAIR_A, WEFT_SRD_WRITE, 5000);
	p->offline = false;
	pair_drain(p);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).inflight_pkts, 1);
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	pair_close(p);
}

/* The window counts bytes with their heads, and what is in flight never exceeds it by more than nothing. */
static void weft_cc_may_send__window_is_kept(void **state)
{
	struct pair *p = pair_open_warm(tune_fixed);

	(void)state;
	for (uint32_t cwnd = 1104; cwnd < 20 * 1104; cwnd += 777) {
		pair_active(p, PAIR_A, PAIR_B)->cc.cwnd = cwnd;
		pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
		pair_post(p, PAIR_A, WEFT_SRD_WRITE, 100000);
		pair_drain(p);
		assert_int_equal(pair_info(p, PAIR_A, PAIR_B).inflight, cwnd / 1104 * 1104);
		pair_heal(p);
		pair_settle(p);
		pair_run(p, WEFT_MS(1));
	}
	pair_close(p);
}

/* The smallest round trip of the last ten to twenty seconds; a longer way becomes the normal one then. */
static void weft_cc__base_round_trip_is_renewed(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r);
	sample(&r, BASE / 2);
	assert_int_equal(r.act->cc.base_rtt, BASE / 2);
	for (int s = 0; s < 9; s++) {
		r.srd->now += WEFT_S(1);
		sample(&r, 4 * BASE);
		assert_int_equal(r.act->cc.base_rtt, BASE / 2);
	}
	for (int s = 0; s < 15; s++) {
		r.srd->now += WEFT_S(1);
		sample(&r, 4 * BASE);
	}
	assert_int_equal(r.act->cc.base_rtt, 4 * BASE);
	sample(&r, BASE);
	assert_int_equal(r.act->cc.base_rtt, BASE);
	r.p->now = r.srd->now;
	close_rig(&r);
}

static void weft_cc_on_sample__smooths(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r);
	for (int i = 0; i < 200; i++)
		sample(&r, 3 * BASE);
	assert_in_range(r.act->cc.srtt, 3 * BASE - 20, 3 * BASE);
	assert_in_range(r.act->cc.rttvar, 0, 100);
	sample(&r, 11 * BASE);
	assert_in_range(r.act->cc.srtt, 4 * BASE - 20, 4 * BASE);
	assert_in_range(r.act->cc.rttvar, 2 * BASE - 100, 2 * BASE + 100);
	/* An hour, as from a peer whose clock jumped: no overflow, and it wears off. */
	sample(&r, WEFT_S(3600));
	for (int i = 0; i < 1000; i++)
		sample(&r, BASE);
	assert_in_range(r.act->cc.srtt, BASE, BASE + 20);
	close_rig(&r);
}

/* Credit */

static void weft_cc_credit__table(void **state)
{
	static const struct {
		int id;
		uint16_t got;
		uint32_t used_bytes;
		int32_t want;
	} rows[] = {
		{ 1, 0, 0, 0 },
		{ 2, 10, 0, 2560 },
		{ 3, 10, 2560, 0 },
		{ 4, 10, 2561, -1 },
		{ 5, 10, 2559, 1 },
		{ 6, 10, 2304, 256 },
		{ 7, 10, 5000, -2440 },
		/* Both counters go round. */
		{ 8, 5, 65535u * 256, 6 * 256 },
		{ 9, 65535, 0, -256 },
		{ 10, 5, 65535u * 256 + 255, 6 * 256 - 255 },
		{ 11, 0, 65536u * 256, 0 },
		{ 12, 3, 65536u * 256 + 256, 512 },
		{ 13, 1, 3u * 65536u * 256, 256 },
		{ 14, 32767, 0, 32767 * 256 },
	};
	struct rig r;

	(void)state;
	open_rig(&r);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_ctx ctx = { .credit_got = rows[i].got };

		r.act->cc.credit_used = rows[i].used_bytes;
		if (weft_cc_credit(&ctx, r.act) != rows[i].want)
			fail_msg("row %d: %d", rows[i].id, weft_cc_credit(&ctx, r.act));
	}
	close_rig(&r);
}

/* Under credit both limits hold; without it only the window. What is sent is counted under credit. */
static void weft_cc_may_send__credit(void **state)
{
	struct rig r;
	struct weft_ctx *ctx;

	(void)state;
	open_rig(&r);
	ctx = pair_ctx(r.p, PAIR_A, PAIR_B);
	assert_true(weft_cc_may_send(r.srd, ctx, r.act, 1000));
	weft_cc_on_sent(r.srd, r.act, 1000);
	assert_int_equal(r.act->cc.credit_used, 0);
	r.act->cc.credit_mode = true;
	assert_false(weft_cc_may_send(r.srd, ctx, r.act, 1000));
	ctx->credit_got = 1;
	/* The last quantum may be overdrawn by one packet, else large ones would starve. */
	assert_true(weft_cc_may_send(r.srd, ctx, r.act, 1000));
	weft_cc_on_sent(r.srd, r.act, 1000);
	assert_int_equal(r.act->cc.credit_used, 1000);
	assert_false(weft_cc_may_send(r.srd, ctx, r.act, 1));
	ctx->credit_got = 5;
	assert_true(weft_cc_may_send(r.srd, ctx, r.act, 1));
	close_rig(&r);
}

/* End to end: a queue that grows with what is in it. The window settles near what the way can hold, and
 * nothing is lost. */
static void weft_cc__finds_the_bottleneck(void **state)
{
	struct pair *p = pair_open(2, tune_fixed);
	weft_ns start;

	(void)state;
	p->port_bps = 10000000000u;
	pair_warm_up(p);
	start = p->now;
	for (int i = 0; i < 40; i++)
		pair_post(p, PAIR_A, WEFT_SRD_WRITE, 200000);
	pair_run(p, WEFT_MS(3));
	/* The way holds 12.5 KB and the target allows about as much again in the queue. */
	assert_in_range(pair_info(p, PAIR_A, PAIR_B).cwnd, 8000, 60000);
	pair_settle(p);
	/* 8 MB at 10 Gb/s are 6.4 ms, and 8 % for heads. */
	assert_in_range(p->now - start, WEFT_US(6400), WEFT_US(7600));
	assert_int_equal(pair_stats(p, PAIR_A)->retrans_pkts, 0);
	assert_true(pair_stats(p, PAIR_A)->cwnd_cuts >= 1);
	pair_close(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_cc__cut_by_majority_only),
		cmocka_unit_test(weft_cc__cut_once_and_by_half_at_most),
		cmocka_unit_test(weft_cc__cut_in_proportion),
		cmocka_unit_test(weft_cc__cut_by_losses),
		cmocka_unit_test(weft_cc__grows_to_its_limit),
		cmocka_unit_test(weft_cc__grows_slower_with_delay),
		cmocka_unit_test(weft_cc_on_timeout__halves),
		cmocka_unit_test(weft_cc_may_send__one_packet_always),
		cmocka_unit_test(weft_cc_may_send__window_is_kept),
		cmocka_unit_test(weft_cc__base_round_trip_is_renewed),
		cmocka_unit_test(weft_cc_on_sample__smooths),
		cmocka_unit_test(weft_cc_credit__table),
		cmocka_unit_test(weft_cc_may_send__credit),
		cmocka_unit_test(weft_cc__finds_the_bottleneck),
	};

	return cmocka_run_group_tests_name("srd_cc", tests, NULL, NULL);
}
