/* SPDX-License-Identifier: BSD-2-Clause */
/* Path choice: all of them are used, bad ones are not, and those that were bad are found again when they
 * are good. */
#include "pair.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define DATA_OF_A                                               \
	(struct pair_rule)                                      \
	{                                                       \
		.from = PAIR_BIT(PAIR_A), .types = PAIR_T(DATA) \
	}

static uint32_t paths;
static enum weft_srd_lb lb;
static uint32_t burst;

static void tune_paths(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->paths = paths;
	cfg->lb = lb;
	cfg->burst_bytes = burst;
}

static struct pair *open_with(uint32_t n, enum weft_srd_lb how, uint32_t burst_bytes)
{
	struct pair *p;

	paths = n;
	lb = how;
	burst = burst_bytes;
	p = pair_open(2, tune_paths);
	pair_warm_up(p);
	return p;
}

static struct weft_srd *srd_of(struct pair *p)
{
	return p->end[PAIR_A].srd;
}

static struct weft_active *act_of(struct pair *p)
{
	return pair_active(p, PAIR_A, PAIR_B);
}

static struct weft_path *path_of(struct pair *p, uint16_t ev)
{
	return weft_path_at(srd_of(p), act_of(p), ev);
}

static void count_paths(const struct pair *p, weft_ns since, uint32_t *used_out)
{
	memset(used_out, 0, WEFT_SRD_PATHS_MAX * sizeof(*used_out));
	for (uint32_t i = 0; i < p->logged; i++)
		if (p->log[i]->from == PAIR_A && p->log[i]->hdr.type == WEFT_PKT_DATA &&
		    p->log[i]->sent >= since)
			used_out[p->log[i]->path]++;
}

/* Choice */

/* Any number of paths, powers of two or not: each gets its share, and none that does not exist. */
static void weft_path_pick__spreads(void **state)
{
	static const uint32_t counts[] = { 1, 16, 17, 31, 32, 48, 64, 100, 255, 256 };
	static const enum weft_srd_lb how[] = { WEFT_SRD_LB_MIXED, WEFT_SRD_LB_OBLIVIOUS };

	(void)state;
	for (size_t i = 0; i < 2 * WEFT_ARRAY_SIZE(counts); i++) {
		uint32_t n = counts[i / 2], used[WEFT_SRD_PATHS_MAX] = { 0 };
		struct pair *p = open_with(n, how[i % 2], 0);

		act_of(p)->lb.recycled_len = 0;
		for (uint32_t k = 0; k < 20 * n; k++) {
			uint16_t ev = weft_path_pick(srd_of(p), act_of(p), 1000, (uint16_t)n);

			assert_in_range(ev, 0, n - 1);
			used[ev]++;
		}
		for (uint32_t ev = 0; ev < n; ev++)
			assert_in_range(used[ev], 18, 22);
		pair_close(p);
	}
}

/* Not the same order twice: two laps differ, and two senders differ. */
static void weft_path_pick__laps_differ(void **state)
{
	struct pair *p = open_with(64, WEFT_SRD_LB_MIXED, 0);
	uint16_t lap[4][64];
	uint32_t same = 0;

	(void)state;
	act_of(p)->lb.recycled_len = 0;
	for (int l = 0; l < 4; l++)
		for (int k = 0; k < 64; k++)
			lap[l][k] = weft_path_pick(srd_of(p), act_of(p), 1000, 64);
	for (int l = 1; l < 4; l++)
		same += !memcmp(lap[l], lap[0], sizeof(lap[0]));
	assert_int_equal(same, 0);
	pair_close(p);
}

/* The path to avoid is avoided while there is another, in whatever state the others are. */
static void weft_path_pick__avoids(void **state)
{
	static const enum weft_srd_lb how[] = { WEFT_SRD_LB_MIXED, WEFT_SRD_LB_OBLIVIOUS };

	(void)state;
	for (int h = 0; h < 2; h++) {
		for (int spoil = 0; spoil < 4; spoil++) {
			struct pair *p = open_with(16, how[h], 0);

			for (uint16_t ev = 0; ev < 16; ev++) {
				if (spoil == 1)
					weft_path_take_out(srd_of(p), act_of(p), ev);
				if (spoil == 2)
					weft_path_penalise(srd_of(p), act_of(p), ev, 15);
			}
			if (spoil == 3)
				weft_path_freeze(srd_of(p), act_of(p));
			for (int k = 0; k < 500; k++) {
				uint16_t avoid = (uint16_t)(k % 16);

				assert_int_not_equal(
					weft_path_pick(srd_of(p), act_of(p), 1000, avoid), avoid);
			}
			pair_close(p);
		}
	}
}

static void weft_path_pick__one_path_is_taken(void **state)
{
	struct pair *p = open_with(1, WEFT_SRD_LB_MIXED, 0);

	(void)state;
	weft_path_take_out(srd_of(p), act_of(p), 0);
	weft_path_penalise(srd_of(p), act_of(p), 0, 15);
	assert_int_equal(weft_path_pick(srd_of(p), act_of(p), 1000, 0), 0);
	assert_int_equal(weft_path_pick_control(srd_of(p), act_of(p)), 0);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).paths_out, 0);
	pair_close(p);
}

/* A path that is out gets nothing while one other is not. */
static void weft_path_pick__never_out(void **state)
{
	struct pair *p = open_with(16, WEFT_SRD_LB_MIXED, 0);

	(void)state;
	for (uint16_t ev = 0; ev < 16; ev++)
		if (ev != 11)
			weft_path_take_out(srd_of(p), act_of(p), ev);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).paths_out, 15);
	assert_int_equal(pair_stats(p, PAIR_A)->path_out, 15);
	weft_path_penalise(srd_of(p), act_of(p), 11, 15);
	for (int k = 0; k < 200; k++)
		assert_int_equal(weft_path_pick(srd_of(p), act_of(p), 1000, 16), 11);
	for (int k = 0; k < 200; k++)
		assert_int_equal(weft_path_pick_control(srd_of(p), act_of(p)), 11);
	/* Taking out what is out counts once. */
	weft_path_take_out(srd_of(p), act_of(p), 3);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).paths_out, 15);
	pair_close(p);
}

/* Penalty points: skipped as many laps as there are points, one less each time, fifteen at most. */
static void weft_path_penalise__skips_and_decays(void **state)
{
	static const uint32_t points[] = { 1, 4, 15, 100 };
	struct pair *p = open_with(16, WEFT_SRD_LB_MIXED, 0);

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(points); i++) {
		uint32_t skipped = WEFT_MIN(points[i], 15), picks = 0;

		act_of(p)->lb.recycled_len = 0;
		weft_path_penalise(srd_of(p), act_of(p), 5, points[i]);
		assert_int_equal(path_of(p, 5)->penalty, skipped);
		while (weft_path_pick(srd_of(p), act_of(p), 1000, 16) != 5)
			picks++;
		assert_in_range(picks + 16, 15 * skipped, 15 * skipped + 47);
		assert_int_equal(path_of(p, 5)->penalty, 0);
	}
	/* Points add up. */
	for (int k = 0; k < 20; k++)
		weft_path_penalise(srd_of(p), act_of(p), 6, 1);
	assert_int_equal(path_of(p, 6)->penalty, 15);
	/* No such path. */
	weft_path_penalise(srd_of(p), act_of(p), 16, 1);
	weft_path_penalise(srd_of(p), act_of(p), UINT16_MAX, 1);
	pair_close(p);
}

/* Every path has points: somebody has to be taken, and the search ends. */
static void weft_path_pick__all_penalised(void **state)
{
	struct pair *p = open_with(64, WEFT_SRD_LB_MIXED, 0);

	(void)state;
	for (uint16_t ev = 0; ev < 64; ev++)
		weft_path_penalise(srd_of(p), act_of(p), ev, 15);
	for (int k = 0; k < 2000; k++)
		assert_in_range(weft_path_pick(srd_of(p), act_of(p), 1000, 64), 0, 63);
	pair_close(p);
}

/* Recycling: what came back fast and unmarked is taken again, the latest first; eight are remembered. */
static void weft_path_on_sample__recycles(void **state)
{
	struct pair *p = open_with(64, WEFT_SRD_LB_MIXED, 0);
	struct weft_active *act = act_of(p);
	weft_ns base = act->cc.base_rtt;

	(void)state;
	act->lb.recycled_len = 0;
	for (uint16_t ev = 10; ev < 30; ev++)
		weft_path_on_sample(srd_of(p), act, ev, base, false);
	assert_int_equal(act->lb.recycled_len, WEFT_RECYCLE);
	act->lb.recycled_len = 0;
	weft_path_on_sample(srd_of(p), act, 40, base, false);
	weft_path_on_sample(srd_of(p), act, 41, base, false);
	assert_int_equal(weft_path_pick(srd_of(p), act, 1000, 64), 41);
	assert_int_equal(weft_path_pick(srd_of(p), act, 1000, 64), 40);
	/* Marked, slow, penalised, out: not those. A slow one has points at least, and may be out. */
	weft_path_on_sample(srd_of(p), act, 42, base, true);
	weft_path_on_sample(srd_of(p), act, 43, 10 * base, false);
	weft_path_penalise(srd_of(p), act, 44, 1);
	weft_path_on_sample(srd_of(p), act, 44, base, false);
	assert_int_equal(act->lb.recycled_len, 0);
	assert_int_equal(path_of(p, 42)->penalty, 1);
	assert_true(path_of(p, 43)->penalty >= 1);
	weft_path_on_sample(srd_of(p), act, 45, base, false);
	weft_path_take_out(srd_of(p), act, 45);
	assert_int_not_equal(weft_path_pick(srd_of(p), act, 1000, 64), 45);
	/* Not the one to avoid either. */
	weft_path_on_sample(srd_of(p), act, 46, base, false);
	assert_int_not_equal(weft_path_pick(srd_of(p), act, 1000, 46), 46);
	pair_close(p);
}

/* After a timeout only what has proved good is used, for ten round trips. */
static void weft_path_freeze__only_good_ones(void **state)
{
	struct pair *p = open_with(16, WEFT_SRD_LB_MIXED, 0);
	struct weft_active *act = act_of(p);
	uint32_t others = 0;

	(void)state;
	for (uint16_t ev = 0; ev < 16; ev++)
		path_of(p, ev)->flags &= (uint8_t)~WEFT_PATH_GOOD;
	weft_path_on_sample(srd_of(p), act, 3, act->cc.base_rtt, false);
	weft_path_on_sample(srd_of(p), act, 9, act->cc.base_rtt, false);
	weft_path_freeze(srd_of(p), act);
	assert_int_equal(act->lb.recycled_len, 0);
	for (int k = 0; k < 100; k++) {
		uint16_t ev = weft_path_pick(srd_of(p), act, 1000, 16);

		assert_true(ev == 3 || ev == 9);
	}
	srd_of(p)->now += 10 * act->cc.srtt;
	p->now = srd_of(p)->now;
	for (int k = 0; k < 100; k++) {
		uint16_t ev = weft_path_pick(srd_of(p), act, 1000, 16);

		others += ev != 3 && ev != 9;
	}
	assert_in_range(others, 70, 100);
	pair_close(p);
}

/* Without feedback nothing of all that happens. */
static void weft_path__oblivious_learns_nothing(void **state)
{
	struct pair *p = open_with(16, WEFT_SRD_LB_OBLIVIOUS, 0);
	uint32_t used[16] = { 0 };

	(void)state;
	weft_path_penalise(srd_of(p), act_of(p), 5, 15);
	weft_path_take_out(srd_of(p), act_of(p), 6);
	weft_path_on_sample(srd_of(p), act_of(p), 7, act_of(p)->cc.base_rtt, true);
	for (int k = 0; k < 320; k++)
		used[weft_path_pick(srd_of(p), act_of(p), 1000, 16)]++;
	for (int ev = 0; ev < 16; ev++)
		assert_in_range(used[ev], 19, 21);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).paths_out, 0);
	pair_close(p);
}

/* A burst stays on its path until its bytes are used up. */
static void weft_path_pick__bursts(void **state)
{
	static const uint32_t bursts[] = { 2000, 8192, 65536 };

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(bursts); i++) {
		struct pair *p = open_with(16, WEFT_SRD_LB_MIXED, bursts[i]);
		uint32_t in_row = 1, per_burst = bursts[i] / 1000;
		uint16_t last;

		act_of(p)->lb.recycled_len = 0;
		act_of(p)->lb.burst_left = 0;
		last = weft_path_pick(srd_of(p), act_of(p), 1000, 16);
		for (uint32_t k = 1; k < 20 * per_burst; k++) {
			uint16_t ev = weft_path_pick(srd_of(p), act_of(p), 1000, 16);

			if (ev == last) {
				in_row++;
				continue;
			}
			assert_int_equal(in_row % per_burst, 0);
			in_row = 1;
			last = ev;
		}
		/* One that has to go elsewhere does not stay. */
		assert_int_not_equal(weft_path_pick(srd_of(p), act_of(p), 1000, last), last);
		pair_close(p);
	}
}

/* End to end */

static void weft_path__bursts_on_the_wire(void **state)
{
	struct pair *p = open_with(16, WEFT_SRD_LB_MIXED, 16384);
	uint32_t changes = 0, n;
	uint16_t last = UINT16_MAX;

	(void)state;
	pair_post(p, PAIR_A, WEFT_SRD_WRITE, 1000000);
	pair_settle(p);
	n = pair_count(p, DATA_OF_A);
	for (uint32_t i = 0; i < n; i++) {
		const struct pair_pkt *pkt = pair_find(p, DATA_OF_A, i);

		changes += pkt->path != last;
		last = pkt->path;
	}
	/* 1000000 / 16384 = 61 bursts. */
	assert_in_range(changes, 30, 75);
	pair_close(p);
}

/* A path dies: it is left within a few round trips, only probes go there, and when it is back it is
 * used again. */
static void weft_path__dead_and_back(void **state)
{
	struct pair *p = open_with(16, WEFT_SRD_LB_MIXED, 0);
	uint32_t lost = 0, picks = 0;
	weft_ns died;

	(void)state;
	for (int i = 0; i < 100; i++)
		pair_post(p, PAIR_A, WEFT_SRD_WRITE, 200000);
	pair_run(p, WEFT_US(200));
	died = p->now;
	pair_rule(p, (struct pair_rule){
			     .from = PAIR_BIT(PAIR_A), .paths = PAIR_BIT(5), .fate = PAIR_DROP });
	pair_run(p, WEFT_US(500));
	for (uint32_t i = 0; i < p->logged; i++) {
		const struct pair_pkt *pkt = p->log[i];

		if (pkt->from != PAIR_A || pkt->path != 5 || pkt->sent < died ||
		    pkt->hdr.type != WEFT_PKT_DATA)
			continue;
		lost++;
		assert_in_range(pkt->sent - died, 0, WEFT_US(60));
	}
	assert_in_range(lost, 1, 40);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).paths_out, 1);
	assert_true(pair_stats(p, PAIR_A)->path_probes >= 2);
	assert_in_range(pair_stats(p, PAIR_A)->path_probes, 2, 10);
	pair_heal(p);
	pair_run(p, WEFT_US(300));
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).paths_out, 0);
	assert_int_equal(pair_stats(p, PAIR_A)->path_in, 1);
	pair_settle_ok(p);
	/* Its turn comes again, after the laps that its points cost. */
	act_of(p)->lb.recycled_len = 0;
	while (weft_path_pick(srd_of(p), act_of(p), 1000, 16) != 5)
		picks++;
	assert_in_range(picks, 0, 16 * 17);
	pair_close(p);
}

/* Data still on its way over the path is no reason to re-admit it: only a probe is. */
static void weft_path__readmitted_by_probe_only(void **state)
{
	struct pair *p = open_with(16, WEFT_SRD_LB_MIXED, 0);
	struct weft_active *act = act_of(p);
	struct weft_ack ack = { .echoes = 1 };
	struct weft_hdr hdr;
	uint8_t body[WEFT_SRD_HEAD_MAX];

	(void)state;
	weft_path_take_out(srd_of(p), act, 7);
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	pair_run(p, WEFT_US(20));
	ack.cum = act->tx.una;
	ack.echo[0] = (struct weft_echo){ .ev = 7, .tx_ts = weft_ts(p->now - act->cc.base_rtt) };
	for (int probe = 0; probe < 2; probe++) {
		ack.echo[0].probe = probe;
		hdr = pair_hdr(p, PAIR_B, PAIR_A, WEFT_PKT_ACK);
		hdr.psn = 1000 + (uint64_t)probe;
		pair_forge(p, PAIR_A, hdr, body, weft_ack_encode(body, &ack), NULL, 0);
		assert_int_equal(pair_info(p, PAIR_A, PAIR_B).paths_out, !probe);
	}
	pair_close(p);
}

/* Half of the paths are dead: the traffic goes on over the other half, without a timeout for each. */
static void weft_path__half_are_dead(void **state)
{
	struct pair *p = open_with(16, WEFT_SRD_LB_MIXED, 0);
	uint32_t used[WEFT_SRD_PATHS_MAX];
	weft_ns start;

	(void)state;
	pair_rule(p, (struct pair_rule){
			     .from = PAIR_BIT(PAIR_A), .paths = 0xff00, .fate = PAIR_DROP });
	for (int i = 0; i < 50; i++)
		pair_post(p, PAIR_A, WEFT_SRD_WRITE, 100000);
	pair_run(p, WEFT_MS(1));
	start = p->now;
	pair_settle(p);
	count_paths(p, start, used);
	for (int ev = 8; ev < 16; ev++)
		assert_int_equal(used[ev], 0);
	assert_in_range(pair_stats(p, PAIR_A)->retrans_timeout_events, 0, 3);
	pair_close(p);
}

/* All are dead, one after the other, and then one comes back: it is found. */
static void weft_path__only_one_lives(void **state)
{
	struct pair *p = open_with(32, WEFT_SRD_LB_MIXED, 0);

	(void)state;
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
					 .types = PAIR_T(DATA) | PAIR_T(PROBE),
					 .paths = ~PAIR_BIT(13),
					 .fate = PAIR_DROP });
	for (int i = 0; i < 10; i++)
		pair_post(p, PAIR_A, WEFT_SRD_WRITE, 20000);
	pair_settle_ok(p);
	assert_in_range(p->now, WEFT_S(1), WEFT_S(1) + WEFT_MS(100));
	pair_close(p);
}

/* Marks on one path: it is used less than the others. */
static enum pair_fate mark_path_two(struct pair *p, struct pair_pkt *pkt)
{
	(void)p;
	pkt->ce = pkt->path == 2;
	return PAIR_PASS;
}

static void weft_path__marked_is_used_less(void **state)
{
	struct pair *p = open_with(16, WEFT_SRD_LB_MIXED, 0);
	uint32_t used[WEFT_SRD_PATHS_MAX], sum = 0;

	(void)state;
	p->hook = mark_path_two;
	for (int i = 0; i < 50; i++)
		pair_post(p, PAIR_A, WEFT_SRD_WRITE, 100000);
	pair_settle(p);
	count_paths(p, 0, used);
	for (int ev = 0; ev < 16; ev++)
		sum += used[ev];
	assert_in_range(used[2], 1, sum / 16 * 2 / 3);
	pair_close(p);
}

/* Probes stay far below one percent of the packets, however many paths are dead. */
static void weft_path_next_probe__seldom(void **state)
{
	struct pair *p = open_with(16, WEFT_SRD_LB_MIXED, 0);

	(void)state;
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
					 .types = PAIR_T(DATA) | PAIR_T(PROBE),
					 .paths = 0x000f,
					 .fate = PAIR_DROP });
	for (int i = 0; i < 60; i++)
		pair_post(p, PAIR_A, WEFT_SRD_WRITE, 200000);
	pair_settle(p);
	assert_true(pair_stats(p, PAIR_A)->path_probes >= 4);
	assert_in_range(pair_stats(p, PAIR_A)->path_probes, 4,
			pair_stats(p, PAIR_A)->data_tx_pkts / 100 + 8);
	/* Nothing to send: no probes. */
	pair_run(p, WEFT_MS(1));
	{
		uint64_t before = pair_stats(p, PAIR_A)->path_probes;

		pair_run(p, WEFT_MS(50));
		assert_int_equal(pair_stats(p, PAIR_A)->path_probes, before);
	}
	pair_close_idle(p);
}

static void tune_wide_bursts(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->payload_max = 8928;
	cfg->burst_bytes = 65536;
	cfg->cwnd_init = cfg->cwnd_max = 4u << 20;
}

/* A burst is a turn too: when it is used up the next peer sends, although the window of this one is
 * still open, and although bursts do not divide by the length of a packet. */
static void weft_srd_next_packet__bursts_take_turns(void **state)
{
	struct pair *p = pair_open(3, tune_wide_bursts);
	struct weft_srd_wr wr = { .op = WEFT_SRD_WRITE, .len = 64 };
	uint32_t from, in_row = 0, sent[PAIR_ENDS_MAX] = { 0 };
	unsigned int last = PAIR_A;

	(void)state;
	for (wr.peer = PAIR_B; wr.peer <= PAIR_C; wr.peer++)
		pair_post_wr(p, PAIR_A, wr);
	pair_settle(p);
	from = p->logged;
	p->offline = true;
	wr.len = 1u << 20;
	for (int i = 0; i < 6; i++) {
		wr.peer = i % 2 ? PAIR_C : PAIR_B;
		pair_post_wr(p, PAIR_A, wr);
	}
	p->offline = false;
	pair_drain(p);
	for (uint32_t i = from; i < p->logged; i++) {
		const struct pair_pkt *pkt = p->log[i];

		if (pkt->hdr.type != WEFT_PKT_DATA)
			continue;
		in_row = pkt->to == last ? in_row + pkt->len : pkt->len;
		last = pkt->to;
		sent[last] += pkt->len;
		if (in_row > 65536)
			fail_msg("%u bytes in a row while another peer waits", in_row);
	}
	assert_true(sent[PAIR_B] > 1u << 20);
	assert_true(sent[PAIR_C] > 1u << 20);
	pair_settle_ok(p);
	pair_close_idle(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_path_pick__spreads),
		cmocka_unit_test(weft_path_pick__laps_differ),
		cmocka_unit_test(weft_path_pick__avoids),
		cmocka_unit_test(weft_path_pick__one_path_is_taken),
		cmocka_unit_test(weft_path_pick__never_out),
		cmocka_unit_test(weft_path_penalise__skips_and_decays),
		cmocka_unit_test(weft_path_pick__all_penalised),
		cmocka_unit_test(weft_path_on_sample__recycles),
		cmocka_unit_test(weft_path_freeze__only_good_ones),
		cmocka_unit_test(weft_path__oblivious_learns_nothing),
		cmocka_unit_test(weft_path_pick__bursts),
		cmocka_unit_test(weft_path__bursts_on_the_wire),
		cmocka_unit_test(weft_path__dead_and_back),
		cmocka_unit_test(weft_path__readmitted_by_probe_only),
		cmocka_unit_test(weft_path__half_are_dead),
		cmocka_unit_test(weft_path__only_one_lives),
		cmocka_unit_test(weft_path__marked_is_used_less),
		cmocka_unit_test(weft_path_next_probe__seldom),
		cmocka_unit_test(weft_srd_next_packet__bursts_take_turns),
	};

	return cmocka_run_group_tests_name("srd_path", tests, NULL, NULL);
}
