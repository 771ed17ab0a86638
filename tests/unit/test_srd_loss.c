/* SPDX-License-Identifier: BSD-2-Clause */
/* Which packets are lost, and when: by a later one on the same path, by a later one on another path, by
 * silence. And that a packet that was only late is not. */
#include "pair.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define DATA_OF_A                                               \
	(struct pair_rule)                                      \
	{                                                       \
		.from = PAIR_BIT(PAIR_A), .types = PAIR_T(DATA) \
	}

static void tune_one_path(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->paths = 1;
}

/* The second transmission of the n-th PSN from `base`, or NULL. */
static const struct pair_pkt *again(const struct pair *p, uint64_t psn, uint32_t nth)
{
	for (uint32_t i = 0; i < p->logged; i++) {
		const struct pair_pkt *pkt = p->log[i];

		if (pkt->from == PAIR_A && pkt->hdr.type == WEFT_PKT_DATA && pkt->hdr.psn == psn &&
		    !nth--)
			return pkt;
	}
	return NULL;
}

/* One of ten packets in a row is lost, at each place; later ones prove it. Returns the time between the
 * first and the second transmission, or 0. */
static weft_ns lose_one_of_ten(pair_tune *tune, uint32_t which, struct weft_srd_stats *stats_out)
{
	struct pair *p = pair_open_warm(tune);
	const struct pair_pkt *first, *second;
	uint64_t psn;
	weft_ns gap;

	psn = pair_ctx(p, PAIR_B, PAIR_A)->rx_cum + which;
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
					 .types = PAIR_T(DATA),
					 .skip = which,
					 .count = 1,
					 .fate = PAIR_DROP });
	for (int i = 0; i < 10; i++) {
		pair_post(p, PAIR_A, WEFT_SRD_SEND, 1000);
		pair_run(p, WEFT_US(1));
	}
	pair_settle(p);
	first = again(p, psn, 0);
	second = again(p, psn, 1);
	assert_non_null(first);
	assert_non_null(second);
	assert_true(second->hdr.flags & WEFT_PKT_F_RTX);
	assert_int_not_equal(second->hdr.tx_ts, first->hdr.tx_ts);
	if (p->end[PAIR_A].cfg.paths > 1)
		assert_int_not_equal(second->path, first->path);
	assert_null(again(p, psn, 2));
	gap = second->sent - first->sent;
	*stats_out = *pair_stats(p, PAIR_A);
	assert_int_equal(p->end[PAIR_A].failed, 0);
	pair_close_idle(p);
	return gap;
}

/* The same path: the round trip and a quarter, and two microseconds; no timeout, nothing else sent again. */
static void weft_loss_scan__same_path(void **state)
{
	(void)state;
	for (uint32_t which = 0; which < 9; which++) {
		struct weft_srd_stats s;
		weft_ns gap = lose_one_of_ten(tune_one_path, which, &s);

		/* Undisturbed it is 10 us; the evidence may come a little later than that. */
		assert_in_range(gap, WEFT_US(10), WEFT_US(18));
		assert_int_equal(s.retrans_pkts, 1);
		assert_int_equal(s.retrans_timeout_events, 0);
		assert_int_equal(s.tail_probes, 0);
	}
}

static void tune_bursts(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->burst_bytes = 65536;
	cfg->ack_packets = 4;
}

/* Of a burst, all packets of which leave in the same moment, on one of many paths: the others tell. The burst that
 * follows takes another path. */
static void weft_loss_scan__same_burst(void **state)
{
	(void)state;
	for (uint32_t which = 0; which < 9; which++) {
		struct pair *p = pair_open_warm(tune_bursts);
		const struct pair_pkt *first, *second;
		uint64_t psn = pair_ctx(p, PAIR_B, PAIR_A)->rx_cum + which;

		pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
						 .types = PAIR_T(DATA),
						 .skip = which,
						 .count = 1,
						 .fate = PAIR_DROP });
		for (int i = 0; i < 10; i++)
			pair_post(p, PAIR_A, WEFT_SRD_SEND, 1000);
		pair_settle(p);
		first = again(p, psn, 0);
		second = again(p, psn, 1);
		assert_non_null(first);
		assert_non_null(second);
		assert_int_equal(first->hdr.tx_ts, again(p, psn + 1, 0)->hdr.tx_ts);
		assert_in_range(second->sent - first->sent, WEFT_US(10), WEFT_US(18));
		assert_int_equal(pair_stats(p, PAIR_A)->retrans_pkts, 1);
		assert_int_equal(pair_stats(p, PAIR_A)->path_out, 1);
		pair_close_idle(p);
	}
}

/* Across paths: later than that, and well before the timeout. */
static void weft_loss_scan__across_paths(void **state)
{
	(void)state;
	for (uint32_t which = 0; which < 9; which++) {
		struct weft_srd_stats s;
		weft_ns gap = lose_one_of_ten(NULL, which, &s);

		assert_in_range(gap, WEFT_US(10), WEFT_US(85));
		assert_int_equal(s.retrans_pkts, 1);
		assert_int_equal(s.retrans_timeout_events, 0);
		assert_int_equal(s.path_out, 1);
	}
}

/* The last packet: nothing later can prove anything. After two round trips of silence it goes out again. */
static void weft_loss_on_tail__last_packet(void **state)
{
	struct weft_srd_stats s;
	weft_ns gap = lose_one_of_ten(NULL, 9, &s);

	(void)state;
	assert_in_range(gap, WEFT_US(20), WEFT_US(60));
	assert_int_equal(s.tail_probes, 1);
	assert_int_equal(s.retrans_pkts, 1);
	assert_int_equal(s.retrans_timeout_events, 0);
}

/* One tail probe, however long the silence; the next step is the timeout. */
static void weft_loss_on_tail__once(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t psn;

	(void)state;
	psn = pair_ctx(p, PAIR_B, PAIR_A)->rx_cum;
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 100);
	pair_run(p, WEFT_MS(30));
	assert_int_equal(pair_stats(p, PAIR_A)->tail_probes, 1);
	assert_in_range(again(p, psn, 1)->sent - again(p, psn, 0)->sent, WEFT_US(20), WEFT_US(60));
	pair_close(p);
}

/* Silence: 100 us at least, then twice as long each time, and never more than 50 ms. */
static void weft_loss__timeouts_back_off(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	weft_ns last, want = WEFT_US(100);
	uint64_t seen = 0;

	(void)state;
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	last = p->now;
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 100);
	while (p->now < WEFT_S(1) + WEFT_MS(700)) {
		pair_run(p, WEFT_US(10));
		if (pair_stats(p, PAIR_A)->retrans_timeout_events == seen)
			continue;
		seen++;
		assert_int_equal(pair_stats(p, PAIR_A)->retrans_timeout_events, seen);
		assert_in_range(p->now - last, want, want + want / 2 + WEFT_US(20));
		want = WEFT_MIN(2 * want, WEFT_MS(50));
		last = p->now;
	}
	assert_in_range(seen, 20, 25);
	pair_close(p);
}

/* After the silence the first answer ends it: no more waiting for the doubled time. */
static void weft_loss__timeout_ends_with_the_first_answer(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	weft_ns start;

	(void)state;
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	for (int i = 0; i < 50; i++)
		pair_post(p, PAIR_A, WEFT_SRD_SEND, 1000);
	pair_run(p, WEFT_MS(200));
	pair_heal(p);
	start = p->now;
	pair_settle(p);
	assert_in_range(p->now - start, 1, WEFT_MS(50) + WEFT_US(500));
	assert_int_equal(pair_active(p, PAIR_A, PAIR_B)->rto_count, 0);
	assert_int_equal(p->end[PAIR_B].recv_done, 51);
	pair_close(p);
}

/* ACKs are lost instead of data: what is sent again for it is reported as a duplicate, and patience
 * grows. */
static void weft_loss_on_spurious__more_patience(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	struct weft_active *act;

	(void)state;
	act = pair_active(p, PAIR_A, PAIR_B);
	assert_int_equal(act->reo_mult, 1);
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_B),
					 .types = PAIR_T(ACK),
					 .count = 2,
					 .fate = PAIR_DROP });
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 100);
	pair_settle(p);
	pair_run(p, WEFT_US(100));
	assert_true(pair_stats(p, PAIR_A)->retrans_spurious >= 1);
	assert_true(act->reo_mult >= 2);
	pair_close(p);
}

static void weft_loss_on_spurious__bounds(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	struct weft_active *act;

	(void)state;
	act = pair_active(p, PAIR_A, PAIR_B);
	weft_loss_on_spurious(p->end[PAIR_A].srd, act, 0);
	assert_int_equal(act->reo_mult, 1);
	/* A counter that went backwards is no count. */
	weft_loss_on_spurious(p->end[PAIR_A].srd, act, 0xfff0);
	assert_int_equal(act->reo_mult, 1);
	assert_int_equal(pair_stats(p, PAIR_A)->retrans_spurious, 0);
	for (int i = 0; i < 10; i++)
		weft_loss_on_spurious(p->end[PAIR_A].srd, act, 1);
	assert_int_equal(act->reo_mult, 8);
	assert_int_equal(act->reo_left, 16);
	pair_close(p);
}

/* Paths of different length, but nothing lost: nothing is sent again. */
static enum pair_fate uneven_paths(struct pair *p, struct pair_pkt *pkt)
{
	(void)p;
	pkt->delay += pkt->path * 200u;
	return PAIR_PASS;
}

static void weft_loss_scan__late_is_not_lost(void **state)
{
	struct pair *p = pair_open(2, NULL);

	(void)state;
	p->hook = uneven_paths;
	for (int i = 0; i < 300; i++) {
		pair_post(p, PAIR_A, i % 3 ? WEFT_SRD_SEND : WEFT_SRD_WRITE, 2000);
		pair_run(p, WEFT_US(2));
	}
	pair_settle(p);
	assert_int_equal(pair_stats(p, PAIR_A)->retrans_pkts, 0);
	assert_int_equal(pair_stats(p, PAIR_A)->retrans_spurious, 0);
	assert_int_equal(pair_stats(p, PAIR_A)->path_out, 0);
	pair_close(p);
}

/* One packet in a hundred is lost, at random: found without timeouts, and hardly anything is sent again
 * that was not lost. */
static enum pair_fate one_percent(struct pair *p, struct pair_pkt *pkt)
{
	return pkt->hdr.type == WEFT_PKT_DATA && weft_prng_chance(p->hook_arg, 10000) ? PAIR_DROP
										      : PAIR_PASS;
}

static void weft_loss__one_percent(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_prng rnd;
	uint32_t lost = 0;

	(void)state;
	weft_prng_init(&rnd, 5);
	p->hook = one_percent;
	p->hook_arg = &rnd;
	for (int i = 0; i < 20; i++)
		pair_post(p, PAIR_A, WEFT_SRD_WRITE, 500000);
	pair_settle(p);
	for (uint32_t i = 0; i < p->logged; i++)
		lost += p->log[i]->fate == PAIR_DROP;
	assert_in_range(lost, 50, 150);
	assert_in_range(pair_stats(p, PAIR_A)->retrans_pkts, lost, lost + lost / 3);
	assert_in_range(pair_stats(p, PAIR_A)->retrans_timeout_events, 0, 1);
	pair_close(p);
}

/* Every retransmission takes another path than the transmission before it, under every kind of loss. */
static enum pair_fate heavy(struct pair *p, struct pair_pkt *pkt)
{
	struct weft_prng *rnd = p->hook_arg;

	pkt->delay += weft_prng_below(rnd, 4000);
	/* Some paths are dead for a time, and the rest loses one in five. */
	if (pkt->path % 4 == p->now / WEFT_MS(1) % 4)
		return PAIR_DROP;
	return weft_prng_chance(rnd, 200000) ? PAIR_DROP : PAIR_PASS;
}

static void expect_other_paths(const struct pair *p, unsigned int from)
{
	uint16_t *last = malloc(65536 * sizeof(*last));
	uint64_t base = UINT64_MAX;

	assert_non_null(last);
	memset(last, 0xff, 65536 * sizeof(*last));
	for (uint32_t i = 0; i < p->logged; i++) {
		const struct pair_pkt *pkt = p->log[i];

		if (pkt->from != from || pkt->hdr.type != WEFT_PKT_DATA)
			continue;
		base = WEFT_MIN(base, pkt->hdr.psn);
		assert_in_range(pkt->hdr.psn - base, 0, 65535);
		if (last[pkt->hdr.psn - base] == pkt->path)
			fail_msg("psn +%u twice on path %u", (unsigned int)(pkt->hdr.psn - base),
				 pkt->path);
		last[pkt->hdr.psn - base] = pkt->path;
	}
	free(last);
}

static void weft_loss__never_the_same_path_again(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct pair *p = pair_open(2, NULL);
		struct weft_prng rnd;

		weft_prng_init(&rnd, seed);
		p->hook = heavy;
		p->hook_arg = &rnd;
		for (int i = 0; i < 20; i++) {
			pair_post(p, PAIR_A, WEFT_SRD_WRITE, 40000);
			pair_post_wr(p, PAIR_B,
				     (struct weft_srd_wr){ .op = WEFT_SRD_READ, .len = 20000 });
		}
		pair_settle_ok(p);
		expect_other_paths(p, PAIR_A);
		expect_other_paths(p, PAIR_B);
		pair_heal(p);
		pair_close_idle(p);
	}
}

/* Shrinking */

static void tune_wide_frames(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->payload_max = 8928;
}

static void check_shrink(weft_ns since, unsigned int from)
{
	struct pair *p = pair_open_warm(tune_wide_frames);

	for (int i = 0; i < 8; i++) {
		pair_post(p, PAIR_A, (enum weft_srd_op)(i % 5), 8000);
		pair_post(p, PAIR_A, WEFT_SRD_WRITE, 60000);
	}
	pair_run(p, since);
	pair_rule(p, (struct pair_rule){ .from = from, .longer_than = 1000, .fate = PAIR_DROP });
	for (int i = 0; i < 8; i++) {
		pair_post(p, PAIR_A, (enum weft_srd_op)(i % 5), 8928);
		pair_post_wr(
			p, PAIR_B,
			(struct weft_srd_wr){ .op = WEFT_SRD_SEND, .len = 8928, .rnr_retry = 7 });
	}
	pair_settle_ok(p);
	assert_int_equal(p->end[PAIR_A].recv_done, 8 + 1);
	if (!from || from & PAIR_BIT(PAIR_A)) {
		assert_in_range(pair_info(p, PAIR_A, PAIR_B).payload, 512, 920);
		assert_in_range(pair_stats(p, PAIR_A)->payload_shrinks, 4, 5);
	}
	/* Whoever is not concerned goes on with large packets. */
	if (from == PAIR_BIT(PAIR_A))
		assert_int_equal(pair_info(p, PAIR_B, PAIR_A).payload, 8928);
	assert_in_range(p->now, WEFT_S(1), WEFT_S(3));
	/* It is known now: what comes later goes through at once. */
	pair_run(p, WEFT_MS(1));
	since = p->now;
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 8928);
	pair_settle(p);
	if (from != PAIR_BIT(PAIR_B))
		assert_in_range(p->now - since, 1, WEFT_US(100));
	pair_close_idle(p);
}

/* From some time on, only frames of at most 1000 bytes get through: in both directions or in one. */
static void weft_loss__way_becomes_narrow(void **state)
{
	(void)state;
	for (weft_ns since = 0; since < WEFT_US(60); since += 4000) {
		check_shrink(since, 0);
		check_shrink(since, PAIR_BIT(PAIR_A));
		check_shrink(since, PAIR_BIT(PAIR_B));
	}
}

/* Narrow from the first data packet on. */
static void weft_loss__way_is_narrow(void **state)
{
	struct pair *p = pair_open(2, tune_wide_frames);

	(void)state;
	pair_rule(p, (struct pair_rule){ .longer_than = 600, .fate = PAIR_DROP });
	for (int i = 0; i < 10; i++)
		pair_post(p, PAIR_A, (enum weft_srd_op)(i % 5), 8928);
	pair_settle_ok(p);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).payload, 512);
	pair_close_idle(p);
}

/* The same, and the sender's own host says so while it sends: nobody waits for a timeout. */
static enum pair_fate refuse_long(struct pair *p, struct pair_pkt *pkt)
{
	const unsigned int *from = p->hook_arg;

	if (pkt->len <= 1000 || !(*from & PAIR_BIT(pkt->from)))
		return PAIR_PASS;
	pair_too_long(p, pkt->from, pkt->to, 1000 - WEFT_SRD_DATA_HEAD);
	return PAIR_DROP;
}

static void check_told(weft_ns since, unsigned int from)
{
	struct pair *p = pair_open_warm(tune_wide_frames);

	for (int i = 0; i < 8; i++) {
		pair_post(p, PAIR_A, (enum weft_srd_op)(i % 5), 8000);
		pair_post(p, PAIR_B, WEFT_SRD_WRITE, 60000);
	}
	pair_run(p, since);
	p->hook = refuse_long;
	p->hook_arg = &from;
	for (int i = 0; i < 8; i++) {
		pair_post(p, PAIR_A, (enum weft_srd_op)(i % 5), 8928);
		pair_post(p, PAIR_B, WEFT_SRD_WRITE, 60000);
	}
	since = p->now;
	pair_settle_ok(p);
	assert_in_range(p->now - since, 1, WEFT_MS(2));
	for (unsigned int id = 0; id < 2; id++) {
		bool told = from & PAIR_BIT(id);

		assert_int_equal(pair_info(p, id, !id).payload,
				 told ? 1000 - WEFT_SRD_DATA_HEAD : 8928);
		assert_int_equal(pair_stats(p, id)->payload_shrinks, told);
		assert_int_equal(pair_stats(p, id)->retrans_timeout_events, 0);
	}
	/* Never below what every way takes, and never up. */
	pair_too_long(p, PAIR_A, PAIR_B, 0);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).payload, WEFT_SRD_PAYLOAD_MIN);
	pair_too_long(p, PAIR_A, PAIR_B, 4000);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).payload, WEFT_SRD_PAYLOAD_MIN);
	p->hook = NULL;
	pair_close_idle(p);
}

static void weft_loss__told_that_way_is_narrow(void **state)
{
	(void)state;
	for (weft_ns since = 0; since < WEFT_US(60); since += 1000) {
		check_told(since, PAIR_BIT(PAIR_A) | PAIR_BIT(PAIR_B));
		check_told(since, PAIR_BIT(PAIR_A));
		check_told(since, PAIR_BIT(PAIR_B));
	}
}

/* Total silence says nothing about sizes. */
static void weft_loss__silence_does_not_shrink(void **state)
{
	struct pair *p = pair_open_warm(tune_wide_frames);

	(void)state;
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	pair_post(p, PAIR_A, WEFT_SRD_WRITE, 100000);
	pair_run(p, WEFT_S(1));
	assert_int_equal(pair_stats(p, PAIR_A)->payload_shrinks, 0);
	pair_heal(p);
	pair_settle(p);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).payload, 8928);
	assert_int_equal(pair_stats(p, PAIR_A)->payload_shrinks, 0);
	pair_close(p);
}

/* Half of all packets lost, large and small alike: bad, but not narrow. */
static enum pair_fate one_half(struct pair *p, struct pair_pkt *pkt)
{
	(void)pkt;
	return weft_prng_chance(p->hook_arg, 500000) ? PAIR_DROP : PAIR_PASS;
}

static void weft_loss__half_of_everything(void **state)
{
	struct pair *p = pair_open(2, tune_wide_frames);
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 8);
	p->hook = one_half;
	p->hook_arg = &rnd;
	for (int i = 0; i < 20; i++)
		pair_post(p, PAIR_A, (enum weft_srd_op)(i % 5), 8928);
	pair_settle_ok(p);
	pair_close(p);
}

/* For 600 us nothing of A gets through, its probes neither. That B's own data arrives all the time is no
 * answer to them, so it does not tell that the way is narrow. */
static void weft_loss__one_way_silence_does_not_shrink(void **state)
{
	struct pair *p = pair_open_warm(tune_wide_frames);
	struct weft_srd_wr wr = { .op = WEFT_SRD_SEND, .len = 100, .rnr_retry = 7 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		pair_post_wr(p, PAIR_B, wr);
		pair_run(p, WEFT_MS(1));
	}
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A), .fate = PAIR_DROP });
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 8000);
	for (int i = 0; i < 6; i++) {
		pair_post_wr(p, PAIR_B, wr);
		pair_run(p, WEFT_US(100));
	}
	assert_in_range(pair_stats(p, PAIR_A)->retrans_timeout_events, 2, 6);
	pair_heal(p);
	pair_settle(p);
	assert_int_equal(pair_stats(p, PAIR_A)->payload_shrinks, 0);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).payload, 8928);
	pair_close_idle(p);
}

static enum pair_fate data_waits(struct pair *p, struct pair_pkt *pkt)
{
	(void)p;
	if (pkt->from == PAIR_A && !pkt->control)
		pkt->delay += WEFT_MS(2);
	return PAIR_PASS;
}

/* Data waits in a queue for 2 ms while control packets pass it. The probe of a timeout then overtakes
 * what was sent before it: its echo proves neither that all of that is lost nor that the way is narrow. */
static void weft_loss__probes_overtake_data(void **state)
{
	struct pair *p = pair_open_warm(tune_wide_frames);

	(void)state;
	p->hook = data_waits;
	for (int i = 0; i < 60; i++)
		pair_post(p, PAIR_A, WEFT_SRD_SEND, 1000);
	while (!pair_stats(p, PAIR_A)->retrans_timeout_events)
		pair_run(p, WEFT_US(1));
	/* The probe's echo is back; the tail probe and the two of a first timeout are all that went. */
	pair_run(p, WEFT_US(50));
	assert_int_equal(pair_stats(p, PAIR_A)->retrans_pkts, 3);
	pair_settle(p);
	pair_run(p, WEFT_MS(20));
	assert_int_equal(pair_stats(p, PAIR_A)->payload_shrinks, 0);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).payload, 8928);
	assert_int_equal(p->end[PAIR_A].failed, 0);
	pair_heal(p);
	pair_close_idle(p);
}

/* A fifth of the paths: on each of them the order stays. */
static enum pair_fate some_late(struct pair *p, struct pair_pkt *pkt)
{
	(void)p;
	if (pkt->from == PAIR_A && pkt->hdr.type == WEFT_PKT_DATA && pkt->path % 5 == 0)
		pkt->delay += WEFT_US(6);
	return PAIR_PASS;
}

/* Time stamps have 32 bits of 16 ns: an end that only received for 5 or for 40 seconds has old ones that
 * look new after half a turn. Nothing is lost, so nothing is sent again, whatever they look like. */
static void weft_loss_scan__evidence_grows_old(void **state)
{
	(void)state;
	for (int secs = 5; secs <= 40; secs += 35) {
		struct pair *p = pair_open_warm(NULL);
		struct weft_srd_stats before;

		for (int i = 0; i < 200; i++)
			pair_post(p, PAIR_A, WEFT_SRD_SEND, 900);
		pair_settle(p);
		for (int i = 0; i < secs * 20; i++) {
			pair_post_wr(p, PAIR_B,
				     (struct weft_srd_wr){ .op = WEFT_SRD_SEND, .len = 10 });
			pair_run(p, WEFT_MS(50));
		}
		before = *pair_stats(p, PAIR_A);
		p->hook = some_late;
		for (int k = 0; k < 10; k++) {
			for (int i = 0; i < 100; i++)
				pair_post(p, PAIR_A, WEFT_SRD_SEND, 900);
			pair_settle(p);
		}
		assert_int_equal(pair_stats(p, PAIR_A)->retrans_pkts, before.retrans_pkts);
		assert_int_equal(pair_stats(p, PAIR_A)->path_out, before.path_out);
		pair_heal(p);
		pair_close_idle(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_loss_scan__same_path),
		cmocka_unit_test(weft_loss_scan__same_burst),
		cmocka_unit_test(weft_loss_scan__across_paths),
		cmocka_unit_test(weft_loss_on_tail__last_packet),
		cmocka_unit_test(weft_loss_on_tail__once),
		cmocka_unit_test(weft_loss__timeouts_back_off),
		cmocka_unit_test(weft_loss__timeout_ends_with_the_first_answer),
		cmocka_unit_test(weft_loss_on_spurious__more_patience),
		cmocka_unit_test(weft_loss_on_spurious__bounds),
		cmocka_unit_test(weft_loss_scan__late_is_not_lost),
		cmocka_unit_test(weft_loss__one_percent),
		cmocka_unit_test(weft_loss__never_the_same_path_again),
		cmocka_unit_test(weft_loss__way_becomes_narrow),
		cmocka_unit_test(weft_loss__way_is_narrow),
		cmocka_unit_test(weft_loss__told_that_way_is_narrow),
		cmocka_unit_test(weft_loss__silence_does_not_shrink),
		cmocka_unit_test(weft_loss__half_of_everything),
		cmocka_unit_test(weft_loss__one_way_silence_does_not_shrink),
		cmocka_unit_test(weft_loss__probes_overtake_data),
		cmocka_unit_test(weft_loss_scan__evidence_grows_old),
	};

	return cmocka_run_group_tests_name("srd_loss", tests, NULL, NULL);
}
