/* SPDX-License-Identifier: BSD-2-Clause */
/* The send window: PSNs, how far they may run ahead, what stands in a data packet, and that a PSN stays
 * with its packet until the peer has resolved it. */
#include "pair.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define DATA_OF_A                                               \
	(struct pair_rule)                                      \
	{                                                       \
		.from = PAIR_BIT(PAIR_A), .types = PAIR_T(DATA) \
	}

static void tune_wide(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->cwnd_init = cfg->cwnd_max = 1 << 24;
	cfg->packets_max = 4096;
}

/* One after the other without a gap, beginning with the epoch; each new PSN once without RTX. */
static void weft_txw_next_packet__psns_in_order(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint64_t next;

	(void)state;
	for (int i = 0; i < 20; i++)
		pair_post(p, PAIR_A, (enum weft_srd_op)(i % 5), 4000);
	pair_settle(p);
	next = p->log[0]->hello.epoch;
	for (uint32_t i = 0; i < pair_count(p, DATA_OF_A); i++) {
		const struct pair_pkt *pkt = pair_find(p, DATA_OF_A, i);

		assert_true(pkt->hdr.psn == next++);
		assert_int_equal(pkt->hdr.flags & WEFT_PKT_F_RTX, 0);
	}
	pair_close(p);
}

/* Fields of a message's packets. */
static void weft_txw_next_packet__fields(void **state)
{
	struct pair *p = pair_open(2, NULL);
	const struct pair_pkt *pkt;
	struct weft_srd_wr wr = { .op = WEFT_SRD_WRITE_IMM,
				  .len = 2500,
				  .src_qpn = 3,
				  .dst_qpn = 4,
				  .addr = PAIR_BASE + 77,
				  .imm = 0x1234,
				  .rnr_retry = 7 };

	(void)state;
	pair_warm_up(p);
	pair_post_wr(p, PAIR_A, wr);
	pair_drain(p);
	for (uint32_t i = 0; i < 3; i++) {
		pkt = pair_find(p, DATA_OF_A, 1 + i);
		assert_int_equal(pkt->op.op, WEFT_WIRE_WRITE_IMM);
		assert_int_equal(pkt->op.msg_len, 2500);
		assert_int_equal(pkt->op.off, i * 1024);
		assert_int_equal(pkt->len - WEFT_SRD_DATA_HEAD, i < 2 ? 1024 : 452);
		assert_int_equal(pkt->op.src_qpn, 3);
		assert_int_equal(pkt->op.dst_qpn, 4);
		assert_int_equal(pkt->op.key, PAIR_RKEY);
		/* The address of the message's first byte, in each of them. */
		assert_true(pkt->op.addr == PAIR_BASE + 77);
		assert_int_equal(pkt->op.imm, 0x1234);
		assert_int_equal(pkt->op.una, i);
		assert_int_equal(!!(pkt->hdr.flags & WEFT_PKT_F_LAST), i == 2);
		/* Nothing more to send: whoever gets it answers at once. */
		assert_int_equal(!!(pkt->hdr.flags & WEFT_PKT_F_ACKREQ), i == 2);
		assert_int_equal(pkt->hdr.dst_epoch, pair_ctx(p, PAIR_B, PAIR_A)->epoch);
		assert_int_equal(pkt->hdr.tx_ts, weft_ts(pkt->sent));
	}
	pair_settle(p);
	pair_close(p);
}

/* Requests without bytes: READ of any length and messages of length 0. */
static void weft_txw_next_packet__no_payload(void **state)
{
	struct pair *p = pair_open(2, NULL);

	(void)state;
	for (int i = 0; i < 5; i++)
		pair_post(p, PAIR_A, (enum weft_srd_op)i, i == WEFT_SRD_READ ? 100000 : 0);
	pair_settle(p);
	assert_int_equal(pair_count(p, DATA_OF_A), 5);
	for (uint32_t i = 0; i < 5; i++) {
		const struct pair_pkt *pkt = pair_find(p, DATA_OF_A, i);

		assert_int_equal(pkt->len, WEFT_SRD_DATA_HEAD);
		assert_int_equal(pkt->op.off, 0);
		assert_int_equal(pkt->op.crc, 0);
		assert_int_equal(pkt->op.msg_len, i == 4 ? 100000 : 0);
	}
	pair_close_idle(p);
}

/* The window: the first packet does not get through, and everything else waits after WEFT_SPAN. */
static void weft_txw_next_packet__span(void **state)
{
	struct pair *p = pair_open_warm(tune_wide);
	uint64_t first, top = 0;

	(void)state;
	first = pair_ctx(p, PAIR_B, PAIR_A)->rx_cum;
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
					 .types = PAIR_T(DATA),
					 .count = 1,
					 .fate = PAIR_DROP });
	pair_rule(p, (struct pair_rule){
			     .from = PAIR_BIT(PAIR_B), .types = PAIR_T(ACK), .fate = PAIR_DROP });
	pair_post(p, PAIR_A, WEFT_SRD_WRITE, 2000000);
	pair_drain(p);
	for (uint32_t i = 0; i < p->logged; i++)
		if (p->log[i]->from == PAIR_A && p->log[i]->hdr.type == WEFT_PKT_DATA)
			top = WEFT_MAX(top, p->log[i]->hdr.psn);
	assert_int_equal(top - first, WEFT_SPAN - 1);
	/* The last one that fits asks for an answer. */
	assert_true(p->log[p->logged - 1]->hdr.flags & WEFT_PKT_F_ACKREQ);
	pair_run(p, WEFT_MS(3));
	for (uint32_t i = 0; i < p->logged; i++)
		if (p->log[i]->from == PAIR_A && p->log[i]->hdr.type == WEFT_PKT_DATA)
			assert_in_range(p->log[i]->op.una, 0, WEFT_SPAN - 1);
	pair_heal(p);
	pair_settle_ok(p);
	assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_WINDOW], 0);
	pair_close_idle(p);
}

/* Each PSN is one packet for good: the same bytes of the same message, or a VOID. */
static void check_psn_is_one_packet(const struct pair *p, unsigned int from)
{
	const struct pair_pkt **first = calloc(65536, sizeof(*first));
	uint64_t base = UINT64_MAX;

	assert_non_null(first);
	for (uint32_t i = 0; i < p->logged; i++) {
		const struct pair_pkt *pkt = p->log[i];
		uint64_t at;

		if (pkt->from != from || pkt->hdr.type != WEFT_PKT_DATA)
			continue;
		base = WEFT_MIN(base, pkt->hdr.psn);
		at = pkt->hdr.psn - base;
		assert_in_range(at, 0, 65535);
		assert_int_equal(!!(pkt->hdr.flags & WEFT_PKT_F_RTX), first[at] != NULL);
		if (first[at] && pkt->op.op != WEFT_WIRE_VOID) {
			assert_int_equal(pkt->op.op, first[at]->op.op);
			assert_int_equal(pkt->op.msg_id, first[at]->op.msg_id);
			assert_int_equal(pkt->op.off, first[at]->op.off);
			assert_int_equal(pkt->len, first[at]->len);
		}
		if (!first[at])
			first[at] = pkt;
	}
	free(first);
}

static enum pair_fate lossy(struct pair *p, struct pair_pkt *pkt)
{
	struct weft_prng *rnd = p->hook_arg;

	pkt->delay += weft_prng_below(rnd, 3) * weft_prng_below(rnd, 10000);
	if (weft_prng_chance(rnd, 60000))
		return PAIR_DROP;
	if (weft_prng_chance(rnd, 20000))
		return PAIR_CORRUPT;
	return weft_prng_chance(rnd, 60000) ? PAIR_DUP : PAIR_PASS;
}

/* Every operation, both ways, over a wire that loses, doubles, corrupts and shuffles. */
static void weft_txw__lossy_wire(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct pair *p = pair_open(2, NULL);
		struct weft_prng rnd;

		weft_prng_init(&rnd, seed);
		p->hook = lossy;
		p->hook_arg = &rnd;
		for (int i = 0; i < 100; i++) {
			struct weft_srd_wr wr = { .op = (enum weft_srd_op)weft_prng_below(&rnd, 5),
						  .rnr_retry = 7 };
			unsigned int id = weft_prng_below(&rnd, 2);

			wr.peer = !id;
			wr.len = weft_prng_below(&rnd, wr.op <= WEFT_SRD_SEND_IMM ? 8929 : 40000);
			pair_post_wr(p, id, wr);
			pair_run(p, weft_prng_below(&rnd, 10000));
		}
		pair_settle_ok(p);
		check_psn_is_one_packet(p, PAIR_A);
		check_psn_is_one_packet(p, PAIR_B);
		pair_heal(p);
		pair_close_idle(p);
	}
}

/* The same with everything that ends messages early: QPs go, receives are short or not there. */
static void disturb(struct pair *p, struct weft_prng *rnd)
{
	struct pair_end *b = &p->end[PAIR_B];

	b->recv_len = weft_prng_chance(rnd, 200000) ? 2000 : WEFT_SRD_SEND_MAX;
	b->dry_qpn = weft_prng_chance(rnd, 300000) ? 2 : UINT16_MAX;
	b->read_status = weft_prng_chance(rnd, 200000) ? WEFT_SRD_REMOTE_ADDRESS : WEFT_SRD_OK;
	b->write_status = weft_prng_chance(rnd, 100000) ? WEFT_SRD_REMOTE_ADDRESS : WEFT_SRD_OK;
	if (weft_prng_chance(rnd, 150000))
		weft_srd_on_qp_gone(p->end[PAIR_A].srd, (uint16_t)(1 + weft_prng_below(rnd, 3)),
				    p->now);
	if (weft_prng_chance(rnd, 100000))
		weft_srd_on_qp_gone(b->srd, 2, p->now);
}

static void weft_txw__lossy_wire_and_early_ends(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct pair *p = pair_open(2, NULL);
		struct pair_end *b = &p->end[PAIR_B];
		struct weft_prng rnd;

		weft_prng_init(&rnd, seed);
		p->hook = lossy;
		p->hook_arg = &rnd;
		for (int i = 0; i < 150; i++) {
			struct weft_srd_wr wr = { .op = (enum weft_srd_op)weft_prng_below(&rnd,
											  5) };
			uint64_t cookie;

			wr.peer = PAIR_B;
			wr.src_qpn = (uint16_t)(1 + weft_prng_below(&rnd, 3));
			wr.rnr_retry = (uint8_t)weft_prng_below(&rnd, 8);
			wr.len = weft_prng_below(&rnd, wr.op <= WEFT_SRD_SEND_IMM ? 8929 : 40000);
			pair_try_post(p, PAIR_A, wr, &cookie);
			pair_run(p, weft_prng_below(&rnd, 15000));
			disturb(p, &rnd);
		}
		b->recv_len = WEFT_SRD_SEND_MAX;
		b->dry_qpn = UINT16_MAX;
		b->read_status = b->write_status = WEFT_SRD_OK;
		pair_settle(p);
		pair_heal(p);
		pair_expect_idle(p);
		/* No receive is left with a message that will never come. */
		if (b->recv_n != b->recv_done + b->recv_released)
			fail_msg("seed %u: a receive is held for nobody", (unsigned int)seed);
		check_psn_is_one_packet(p, PAIR_A);
		pair_close(p);
	}
}

/* A message that ended leaves its PSNs to be resolved: as VOIDs, which carry nothing of it. */
static void weft_txw_next_packet__void_in_its_place(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint32_t voids;

	(void)state;
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
					 .types = PAIR_T(DATA),
					 .count = 5,
					 .fate = PAIR_DROP });
	pair_post(p, PAIR_A, WEFT_SRD_WRITE, 5 * 1024);
	pair_drain(p);
	weft_srd_on_qp_gone(p->end[PAIR_A].srd, 1, p->now);
	pair_run(p, WEFT_MS(20));
	voids = pair_count(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A), .ops = PAIR_O(VOID) });
	assert_true(voids >= 5);
	for (uint32_t i = 0; i < voids; i++) {
		const struct pair_pkt *pkt =
			pair_find(p, (struct pair_rule){ .ops = PAIR_O(VOID) }, i);

		assert_int_equal(pkt->len, WEFT_SRD_DATA_HEAD);
		assert_int_equal(pkt->op.msg_len + pkt->op.off + pkt->op.key + pkt->op.imm, 0);
	}
	assert_int_equal(p->end[PAIR_B].write_bytes, 0);
	pair_close_idle(p);
}

/* pull: credit used plus what waits, in quanta, rounded up. */
static void weft_txw_fill_hdr__pull(void **state)
{
	struct pair *p = pair_open_warm(NULL);

	(void)state;
	pair_active(p, PAIR_A, PAIR_B)->cc.cwnd = 1;
	pair_post(p, PAIR_A, WEFT_SRD_WRITE, 10 * 1024 + 1);
	pair_drain(p);
	/* The first packet has left and counts no longer. */
	assert_int_equal(pair_find(p, DATA_OF_A, 1)->hdr.pull, (9 * 1024 + 1 + 255) / 256);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).backlog, 9 * 1024 + 1);
	pair_active(p, PAIR_A, PAIR_B)->cc.credit_used = 65535u * 256;
	pair_active(p, PAIR_A, PAIR_B)->cc.cwnd = 1 << 20;
	pair_settle(p);
	assert_int_equal(pair_find(p, DATA_OF_A, pair_count(p, DATA_OF_A) - 1)->hdr.pull, 65535);
	assert_int_equal(pair_find(p, DATA_OF_A, 2)->hdr.pull,
			 (uint16_t)(65535 + (8 * 1024 + 1 + 255) / 256));
	pair_close(p);
}

/* Chunks of the pool are held for what is open, and given back as the window moves on. */
static void weft_txw_advance__gives_chunks_back(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	struct weft_srd_usage u;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		pair_post(p, PAIR_A, WEFT_SRD_SEND, 10);
		pair_settle(p);
		weft_srd_usage(p->end[PAIR_A].srd, &u);
		assert_int_equal(u.chunks, 0);
		assert_int_equal(u.pieces, 0);
	}
	pair_close(p);
}

/* Bytes in flight, as the peer info tells, are those of what is open, and nothing is left. */
static void weft_txw__inflight_adds_up(void **state)
{
	struct pair *p = pair_open_warm(tune_wide);
	struct weft_srd_peer_info info;

	(void)state;
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	pair_post(p, PAIR_A, WEFT_SRD_WRITE, 100 * 1024);
	pair_post(p, PAIR_A, WEFT_SRD_READ, 100);
	pair_drain(p);
	info = pair_info(p, PAIR_A, PAIR_B);
	assert_int_equal(info.inflight_pkts, 101);
	assert_int_equal(info.inflight, 100 * (1024 + WEFT_SRD_DATA_HEAD) + WEFT_SRD_DATA_HEAD);
	assert_int_equal(info.backlog, 0);
	pair_heal(p);
	pair_settle(p);
	info = pair_info(p, PAIR_A, PAIR_B);
	assert_int_equal(info.inflight_pkts + info.inflight, 0);
	pair_close(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_txw_next_packet__psns_in_order),
		cmocka_unit_test(weft_txw_next_packet__fields),
		cmocka_unit_test(weft_txw_next_packet__no_payload),
		cmocka_unit_test(weft_txw_next_packet__span),
		cmocka_unit_test(weft_txw__lossy_wire),
		cmocka_unit_test(weft_txw__lossy_wire_and_early_ends),
		cmocka_unit_test(weft_txw_next_packet__void_in_its_place),
		cmocka_unit_test(weft_txw_fill_hdr__pull),
		cmocka_unit_test(weft_txw_advance__gives_chunks_back),
		cmocka_unit_test(weft_txw__inflight_adds_up),
	};

	return cmocka_run_group_tests_name("srd_txw", tests, NULL, NULL);
}
