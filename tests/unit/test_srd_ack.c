/* SPDX-License-Identifier: BSD-2-Clause */
/* Acknowledgements: when one is owed, what stands in it, and that each of them can be lost, doubled or
 * late without harm. */
#include "pair.h"

#include "base/crc32c.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define ACKS_OF_B                                              \
	(struct pair_rule)                                     \
	{                                                      \
		.from = PAIR_BIT(PAIR_B), .types = PAIR_T(ACK) \
	}

/* B receives what the test forges in A's name; A is deaf and says nothing. */
struct rig {
	struct pair *p;
	struct weft_ctx *ctx; /* B's, for A. */
	uint64_t base;
	uint32_t acks; /* Sent by B before. */
};

static void open_rig(struct rig *r, pair_tune *tune)
{
	r->p = pair_open(2, tune);
	pair_warm_up(r->p);
	r->ctx = pair_ctx(r->p, PAIR_B, PAIR_A);
	r->base = r->ctx->rx_cum;
	r->acks = pair_count(r->p, ACKS_OF_B);
	pair_rule(r->p, (struct pair_rule){ .fate = PAIR_DROP });
}

static void close_rig(struct rig *r)
{
	pair_close(r->p);
}

struct sent {
	uint64_t psn;
	uint32_t len, tx_ts;
	uint16_t ev;
	uint8_t flags;
	bool ce;
};

static void send(struct rig *r, struct sent s)
{
	struct weft_op op = {
		.op = WEFT_WIRE_SEND, .msg_len = s.len, .key = PAIR_QKEY, .imm = 9, .dst_qpn = 2
	};
	struct weft_hdr hdr = pair_hdr(r->p, PAIR_A, PAIR_B, WEFT_PKT_DATA);
	uint32_t len = WEFT_SRD_DATA_HEAD + s.len;
	uint8_t *frame = malloc(len);
	struct weft_srd_rx rx = { .data = frame, .len = len, .ce = s.ce };

	assert_non_null(frame);
	for (uint32_t i = 0; i < s.len; i++)
		frame[WEFT_SRD_DATA_HEAD + i] = pair_byte(9, i);
	op.crc = weft_crc32c(0, frame + WEFT_SRD_DATA_HEAD, s.len);
	hdr.psn = s.psn;
	op.una = (uint16_t)(s.psn - r->base); /* The oldest open one stays the first. */
	hdr.flags = s.flags | WEFT_PKT_F_CRC;
	hdr.ev = s.ev;
	hdr.len = (uint16_t)(WEFT_PROTO_OP + s.len);
	if (s.tx_ts)
		hdr.tx_ts = s.tx_ts;
	weft_hdr_encode(frame, &hdr);
	weft_op_encode(frame + WEFT_PROTO_HDR, &op);
	weft_head_seal(r->p->end[PAIR_B].cfg.key, frame, WEFT_SRD_DATA_HEAD);
	weft_srd_on_packet(r->p->end[PAIR_B].srd, &rx, r->p->now);
	free(frame);
	pair_drain(r->p);
}

static uint32_t new_acks(struct rig *r)
{
	return pair_count(r->p, ACKS_OF_B) - r->acks;
}

static const struct weft_ack *last_ack(struct rig *r)
{
	const struct pair_pkt *pkt = pair_find(r->p, ACKS_OF_B, pair_count(r->p, ACKS_OF_B) - 1);

	assert_non_null(pkt);
	return &pkt->ack;
}

/* When */

static void weft_ack_owe__four_packets(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, NULL);
	for (uint32_t i = 0; i < 40; i++) {
		send(&r, (struct sent){ .psn = r.base + i, .len = 100 });
		assert_int_equal(new_acks(&r), (i + 1) / 4);
	}
	close_rig(&r);
}

static void tune_large(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->payload_max = 8928;
}

/* Sixteen KB on the wire, heads of operations included. */
static void weft_ack_owe__sixteen_kilobytes(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, tune_large);
	for (uint32_t i = 0; i < 10; i++) {
		send(&r, (struct sent){ .psn = r.base + i, .len = 8192 });
		assert_int_equal(new_acks(&r), (i + 1) / 2);
	}
	close_rig(&r);
}

/* 20 us after the first packet that is owed one, not after the last. */
static void weft_ack_owe__delay(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, NULL);
	for (uint32_t i = 0; i < 5; i++) {
		weft_ns start = r.p->now;

		send(&r, (struct sent){ .psn = r.base + 2 * i, .len = 100 });
		pair_run(r.p, WEFT_US(15));
		send(&r, (struct sent){ .psn = r.base + 2 * i + 1, .len = 100 });
		pair_run_to(r.p, start + WEFT_US(20) - 1);
		assert_int_equal(new_acks(&r), i);
		pair_run_to(r.p, start + WEFT_US(20));
		assert_int_equal(new_acks(&r), i + 1);
	}
	close_rig(&r);
}

/* At once: when asked, for a duplicate, for a refusal, for a probe. */
static void weft_ack_owe__at_once(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, NULL);
	send(&r, (struct sent){ .psn = r.base, .len = 100, .flags = WEFT_PKT_F_ACKREQ });
	assert_int_equal(new_acks(&r), 1);
	send(&r, (struct sent){ .psn = r.base, .len = 100 });
	assert_int_equal(new_acks(&r), 2);
	assert_int_equal(last_ack(&r)->dups, 1);
	r.p->end[PAIR_B].recvs = 0;
	send(&r, (struct sent){ .psn = r.base + 1, .len = 100 });
	assert_int_equal(new_acks(&r), 3);
	pair_forge(r.p, PAIR_B, pair_hdr(r.p, PAIR_A, PAIR_B, WEFT_PKT_PROBE), NULL, 0, NULL, 0);
	pair_drain(r.p);
	assert_int_equal(new_acks(&r), 4);
	assert_true(last_ack(&r)->echo[0].probe);
	/* And no second time for the same. */
	pair_run(r.p, WEFT_US(50));
	assert_int_equal(new_acks(&r), 4);
	close_rig(&r);
}

/* One ACK for all that is owed, and its number is the next one. */
static void weft_ack_next_packet__numbers_count(void **state)
{
	struct rig r;
	uint64_t seq;

	(void)state;
	open_rig(&r, NULL);
	seq = r.ctx->ack_seq;
	for (uint32_t i = 0; i < 40; i++)
		send(&r, (struct sent){ .psn = r.base + i, .len = 100 });
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(pair_find(r.p, ACKS_OF_B, r.acks + i)->hdr.psn, seq + i + 1);
	close_rig(&r);
}

/* What */

/* Any set of PSNs: the words say exactly which. */
static void check_words(struct rig *r, const bool *got, uint32_t n)
{
	const struct weft_ack *ack = last_ack(r);
	uint64_t base = ack->cum & ~(uint64_t)63;
	uint32_t cum = 0, top = 0;

	while (cum < n && got[cum])
		cum++;
	for (uint32_t i = 0; i < n; i++)
		top = got[i] ? i + 1 : top;
	assert_true(ack->cum == r->base + cum);
	for (uint32_t i = cum; i < top; i++) {
		uint64_t psn = r->base + i;

		assert_in_range((psn - base) / 64, 0, ack->words - 1);
		assert_int_equal(ack->word[(psn - base) / 64] >> (psn - base) % 64 & 1, got[i]);
	}
	/* And nothing beyond. */
	for (uint64_t psn = r->base + top; psn < base + 64u * ack->words; psn++)
		assert_int_equal(ack->word[(psn - base) / 64] >> (psn - base) % 64 & 1, 0);
}

static void weft_ack_next_packet__words(void **state)
{
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 11);
	for (int round = 0; round < 30; round++) {
		uint32_t span = 1 + weft_prng_below(&rnd, WEFT_SPAN);
		bool got[WEFT_SPAN] = { false };
		struct rig r;

		open_rig(&r, NULL);
		for (uint32_t i = 0; i < 50; i++) {
			uint32_t at = weft_prng_below(&rnd, span);

			send(&r, (struct sent){ .psn = r.base + at,
						.len = 1,
						.flags = WEFT_PKT_F_ACKREQ });
			got[at] = true;
			check_words(&r, got, WEFT_SPAN);
		}
		close_rig(&r);
	}
}

/* Each path its own echo, with the newest time stamp; a run on one path shares one. */
static void weft_ack_next_packet__echoes(void **state)
{
	struct rig r;
	const struct weft_ack *ack;

	(void)state;
	open_rig(&r, NULL);
	send(&r, (struct sent){ .psn = r.base, .len = 1, .ev = 3, .tx_ts = 1000 });
	send(&r, (struct sent){ .psn = r.base + 1, .len = 1, .ev = 3, .tx_ts = 1010, .ce = true });
	send(&r, (struct sent){ .psn = r.base + 2, .len = 1, .ev = 4, .tx_ts = 1020 });
	pair_run(r.p, WEFT_US(10));
	send(&r, (struct sent){ .psn = r.base + 3, .len = 1, .ev = 3, .tx_ts = 1030 });
	ack = last_ack(&r);
	assert_int_equal(ack->echoes, 3);
	assert_int_equal(ack->echo[0].ev, 3);
	assert_int_equal(ack->echo[0].tx_ts, 1010);
	assert_true(ack->echo[0].ce);
	assert_int_equal(ack->echo[0].psn, (uint16_t)(r.base + 1));
	assert_int_equal(ack->echo[0].hold, WEFT_US(10) / 64);
	assert_int_equal(ack->echo[1].ev, 4);
	assert_false(ack->echo[1].ce);
	assert_int_equal(ack->echo[2].tx_ts, 1030);
	assert_int_equal(ack->echo[2].hold, 0);
	/* What was echoed is not echoed again. */
	send(&r, (struct sent){ .psn = r.base + 4, .len = 1, .ev = 9, .flags = WEFT_PKT_F_ACKREQ });
	assert_int_equal(last_ack(&r)->echoes, 1);
	assert_int_equal(last_ack(&r)->echo[0].ev, 9);
	close_rig(&r);
}

static void tune_seldom(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->ack_packets = 256;
	cfg->ack_bytes = 1 << 20;
	cfg->ack_delay = WEFT_MS(100);
}

/* More paths than echoes: the last ones stay. A hold time that is too long for its field says so. */
static void weft_ack_next_packet__echoes_overflow(void **state)
{
	struct rig r;
	const struct weft_ack *ack;

	(void)state;
	open_rig(&r, tune_seldom);
	for (uint32_t i = 0; i < 20; i++)
		send(&r, (struct sent){ .psn = r.base + i, .len = 1, .ev = (uint16_t)(i % 16) });
	pair_run(r.p, WEFT_MS(10));
	send(&r,
	     (struct sent){ .psn = r.base + 20, .len = 1, .ev = 15, .flags = WEFT_PKT_F_ACKREQ });
	ack = last_ack(&r);
	assert_int_equal(ack->echoes, WEFT_PROTO_ECHOES);
	for (uint32_t i = 0; i < WEFT_PROTO_ECHOES; i++)
		assert_int_equal(ack->echo[i].ev,
				 (20 - (WEFT_PROTO_ECHOES - 1) + i) % 16 + (i == 7 ? 11 : 0));
	assert_int_equal(ack->echo[0].hold, UINT16_MAX);
	close_rig(&r);
}

/* A refusal stands in every ACK until its sender has shown that it knows. */
static void weft_ack_next_packet__drops_repeat(void **state)
{
	struct rig r;
	struct weft_hdr probe;

	(void)state;
	open_rig(&r, NULL);
	r.p->end[PAIR_B].recvs = 0;
	send(&r, (struct sent){ .psn = r.base, .len = 1 });
	send(&r, (struct sent){ .psn = r.base + 1, .len = 1 });
	for (int i = 0; i < 20; i++) {
		probe = pair_hdr(r.p, PAIR_A, PAIR_B, WEFT_PKT_PROBE);
		probe.psn = r.base;
		pair_forge(r.p, PAIR_B, probe, NULL, 0, NULL, 0);
		pair_drain(r.p);
		assert_int_equal(last_ack(&r)->drops, 2);
		assert_int_equal(last_ack(&r)->drop[0].psn, (uint32_t)r.base);
		assert_int_equal(last_ack(&r)->drop[1].code, WEFT_SRD_RNR);
	}
	probe.psn = r.base + 1;
	pair_forge(r.p, PAIR_B, probe, NULL, 0, NULL, 0);
	pair_drain(r.p);
	assert_int_equal(last_ack(&r)->drops, 1);
	/* A PROBE that claims more than was ever received clears no more than that. */
	probe.psn = UINT64_MAX;
	pair_forge(r.p, PAIR_B, probe, NULL, 0, NULL, 0);
	pair_drain(r.p);
	assert_int_equal(last_ack(&r)->drops, 0);
	assert_true(r.ctx->rx_cum == r.base + 2);
	close_rig(&r);
}

/* Use */

/* A's window with `n` packets open and nothing heard yet. */
static void open_window(struct pair *p, uint32_t n)
{
	pair_warm_up(p);
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	for (uint32_t i = 0; i < n; i++)
		pair_post(p, PAIR_A, WEFT_SRD_SEND, 10);
	pair_drain(p);
}

static void give_ack(struct pair *p, uint64_t nr, const struct weft_ack *ack)
{
	struct weft_hdr hdr = pair_hdr(p, PAIR_B, PAIR_A, WEFT_PKT_ACK);
	uint8_t body[WEFT_SRD_HEAD_MAX];

	hdr.psn = nr;
	pair_forge(p, PAIR_A, hdr, body, weft_ack_encode(body, ack), NULL, 0);
}

/* Any bits, in any order, again and again: each message completes when its packet is acknowledged. */
static void weft_ack_on_packet__any_bits(void **state)
{
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 12);
	for (int round = 0; round < 30; round++) {
		struct pair *p = pair_open(2, NULL);
		uint64_t base, nr = 100;
		bool acked[200] = { false };

		open_window(p, 200);
		base = pair_active(p, PAIR_A, PAIR_B)->tx.una;
		for (int i = 0; i < 60; i++) {
			struct weft_ack ack = { .cum = base };
			uint64_t start = base & ~(uint64_t)63;

			for (uint32_t at = 0; at < 200; at++) {
				if (!weft_prng_chance(&rnd, 60000))
					continue;
				ack.word[(base + at - start) / 64] |= (uint64_t)1
								      << (base + at - start) % 64;
				ack.words =
					(uint8_t)WEFT_MAX(ack.words, (base + at - start) / 64 + 1);
				acked[at] = true;
			}
			give_ack(p, weft_prng_chance(&rnd, 300000) ? 50 : nr++, &ack);
			for (uint32_t at = 0; at < 200; at++)
				assert_int_equal(p->end[PAIR_A].wr[at + 1].done, acked[at]);
		}
		give_ack(p, nr, &(struct weft_ack){ .cum = base + 200 });
		assert_int_equal(p->end[PAIR_A].done, 201);
		assert_int_equal(pair_info(p, PAIR_A, PAIR_B).inflight, 0);
		pair_close(p);
	}
}

/* Bits for PSNs that were never sent, cum beyond what was sent: dropped or without effect. */
static void weft_ack_on_packet__beyond_the_window(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_ack ack = { .words = WEFT_PROTO_WORDS };
	uint64_t next;

	(void)state;
	open_window(p, 10);
	next = pair_active(p, PAIR_A, PAIR_B)->tx.next;
	ack.cum = next + 1;
	give_ack(p, 100, &ack);
	ack.cum = UINT64_MAX;
	give_ack(p, 101, &ack);
	ack.cum = next - ((uint64_t)1 << 33);
	give_ack(p, 102, &ack);
	assert_int_equal(pair_stats(p, PAIR_A)->rx_drops[WEFT_SRD_DROP_BOUNDS], 3);
	ack.cum = next - 10;
	memset(ack.word, 0xff, sizeof(ack.word));
	ack.word[0] = 0;
	give_ack(p, 103, &ack);
	assert_true(pair_active(p, PAIR_A, PAIR_B)->tx.next == next);
	assert_true(pair_active(p, PAIR_A, PAIR_B)->tx.una <= next);
	/* A little behind is an old ACK and fine. */
	ack.words = 0;
	ack.cum = next - 10;
	for (uint64_t back = 0; back < 500; back += 7) {
		ack.cum = next - 10 - back;
		give_ack(p, 200 + back, &ack);
	}
	assert_int_equal(pair_stats(p, PAIR_A)->rx_drops[WEFT_SRD_DROP_BOUNDS], 3);
	pair_heal(p);
	pair_settle_ok(p);
	pair_close_idle(p);
}

/* Echoes count once for each ACK number; those far behind the newest not at all. */
static void weft_ack_on_packet__echoes_once(void **state)
{
	static const struct {
		int id;
		uint64_t nr;
		bool used;
	} rows[] = {
		{ 1, 1000, true },  { 2, 1000, false }, { 3, 999, true },    { 4, 999, false },
		{ 5, 937, true },   { 6, 937, false },  { 7, 936, false },   { 8, 1001, true },
		{ 9, 937, false },  { 10, 938, true },  { 11, 5000, true },  { 12, 1001, false },
		{ 13, 4999, true }, { 14, 4937, true }, { 15, 4936, false },
	};
	struct pair *p = pair_open(2, NULL);
	struct weft_ack ack = { .echoes = 1 };

	(void)state;
	open_window(p, 1);
	pair_run(p, WEFT_US(10));
	ack.cum = pair_active(p, PAIR_A, PAIR_B)->tx.una;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_active *act = pair_active(p, PAIR_A, PAIR_B);
		uint16_t before = act->cc.round_seen;

		ack.echo[0].tx_ts = weft_ts(p->now - WEFT_US(10));
		ack.echo[0].ev = (uint16_t)(i + 1); /* A path counts once in a round. */
		give_ack(p, rows[i].nr, &ack);
		if (act->cc.round_seen != before + rows[i].used)
			fail_msg("row %d", rows[i].id);
	}
	pair_close(p);
}

/* Credit and the count of duplicates come from the newest ACK only. */
static void weft_ack_on_packet__newest_counts(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_ack ack = { .grant = 500, .dups = 10 };

	(void)state;
	open_window(p, 1);
	ack.cum = pair_active(p, PAIR_A, PAIR_B)->tx.una;
	give_ack(p, 1000, &ack);
	assert_int_equal(pair_ctx(p, PAIR_A, PAIR_B)->credit_got, 500);
	ack.grant = 400;
	ack.dups = 5;
	give_ack(p, 999, &ack);
	assert_int_equal(pair_ctx(p, PAIR_A, PAIR_B)->credit_got, 500);
	ack.grant = 501;
	ack.dups = 12;
	give_ack(p, 1001, &ack);
	assert_int_equal(pair_ctx(p, PAIR_A, PAIR_B)->credit_got, 501);
	assert_int_equal(pair_stats(p, PAIR_A)->retrans_spurious, 12);
	pair_close(p);
}

/* An echo of a path that does not exist, or of a time that has not come. */
static void weft_ack_on_packet__senseless_echoes(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_ack ack = { .echoes = 3 };
	struct weft_active *act;

	(void)state;
	open_window(p, 5);
	pair_run(p, WEFT_US(3));
	act = pair_active(p, PAIR_A, PAIR_B);
	ack.cum = act->tx.una;
	ack.echo[0] = (struct weft_echo){ .tx_ts = weft_ts(p->now - 3000), .ev = 16 };
	ack.echo[1] =
		(struct weft_echo){ .tx_ts = weft_ts(p->now - 3000), .ev = 8191, .trimmed = true };
	ack.echo[2] = (struct weft_echo){ .tx_ts = weft_ts(p->now) + 1000, .ev = 3, .probe = true };
	give_ack(p, 1000, &ack);
	assert_false(act->tx.rack_valid && weft_ts_after(act->tx.rack_ts, weft_ts(p->now)));
	/* Held longer than it was away. */
	ack.echo[0] = (struct weft_echo){ .tx_ts = weft_ts(p->now - 3000), .ev = 2, .hold = 60000 };
	ack.echoes = 1;
	give_ack(p, 1001, &ack);
	assert_in_range(pair_info(p, PAIR_A, PAIR_B).srtt, 1, WEFT_MS(1));
	pair_heal(p);
	pair_settle_ok(p);
	pair_close(p);
}

/* End to end */

static enum pair_fate mangle_acks(struct pair *p, struct pair_pkt *pkt)
{
	struct weft_prng *rnd = p->hook_arg;

	if (pkt->hdr.type != WEFT_PKT_ACK)
		return PAIR_PASS;
	pkt->delay += weft_prng_below(rnd, 40000);
	if (weft_prng_chance(rnd, 300000))
		return PAIR_DROP;
	return weft_prng_chance(rnd, 300000) ? PAIR_DUP : PAIR_PASS;
}

/* ACKs are lost, doubled and shuffled; refusals and answers to READs among them. */
static void weft_ack__mangled(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct pair *p = pair_open(2, NULL);
		struct weft_prng rnd;

		weft_prng_init(&rnd, seed);
		p->hook = mangle_acks;
		p->hook_arg = &rnd;
		p->end[PAIR_B].recvs = 0;
		for (int i = 0; i < 60; i++) {
			pair_post(p, PAIR_A, (enum weft_srd_op)(i % 5),
				  1 + weft_prng_below(&rnd, 6000));
			pair_run(p, weft_prng_below(&rnd, 20000));
			p->end[PAIR_B].recvs = weft_prng_below(&rnd, 2);
		}
		p->end[PAIR_B].recvs = UINT32_MAX;
		pair_settle_ok(p);
		assert_int_equal(p->end[PAIR_B].recv_done, 36);
		pair_close_idle(p);
	}
}

/* Every ACK of a conversation, delivered again in the end in reverse order: nothing moves. */
static void weft_ack__replayed_backwards(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint32_t n;

	(void)state;
	p->end[PAIR_B].dry_qpn = 7;
	for (int i = 0; i < 20; i++)
		pair_post(p, PAIR_A, (enum weft_srd_op)(i % 5), 3000);
	pair_post_wr(p, PAIR_A,
		     (struct weft_srd_wr){ .op = WEFT_SRD_SEND, .dst_qpn = 7, .rnr_retry = 3 });
	pair_settle(p);
	for (int i = 0; i < 5; i++)
		pair_post(p, PAIR_A, WEFT_SRD_SEND, 8000);
	pair_drain(p);
	n = p->logged;
	for (uint32_t i = n; i-- > 0;)
		if (p->log[i]->hdr.type == WEFT_PKT_ACK)
			pair_deliver(p, p->log[i]);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).inflight_pkts > 0, 1);
	pair_settle(p);
	assert_int_equal(p->end[PAIR_A].failed, 1);
	assert_int_equal(p->end[PAIR_B].recv_done, 17);
	pair_close_idle(p);
}

/* A sender that has taken note of refusals and has nothing more to send says so with an ACK, and it does
 * not start an exchange of ACKs without end. */
static void weft_ack__last_refusal_is_noted(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint32_t n;

	(void)state;
	n = p->logged;
	p->end[PAIR_B].bad_qpn = 2;
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 10);
	pair_settle(p);
	pair_run(p, WEFT_US(20));
	assert_false(weft_ack_has_refusals(pair_active(p, PAIR_B, PAIR_A)));
	assert_int_equal(p->logged, n + 3);
	pair_run(p, WEFT_MS(50));
	assert_int_equal(p->logged, n + 3);
	pair_close_idle(p);
}

/* The same when that ACK is lost: the receiver asks in the end, since it cannot rest with refusals. */
static void weft_ack__last_note_is_lost(void **state)
{
	struct pair *p = pair_open_warm(NULL);

	(void)state;
	p->end[PAIR_B].bad_qpn = 2;
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
					 .types = PAIR_T(ACK),
					 .count = 3,
					 .fate = PAIR_DROP });
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 10);
	pair_settle(p);
	pair_expect_idle(p);
	assert_int_equal(pair_stats(p, PAIR_A)->unresponsive_remote_events, 0);
	assert_int_equal(pair_stats(p, PAIR_B)->unresponsive_remote_events, 0);
	pair_close(p);
}

/* ACKs that were used before the context rested are not used again after it: their echoes would be round
 * trips of as long as the rest. */
static void weft_ack_on_packet__echoes_once_over_a_rest(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	struct weft_srd_peer_info before, after;
	uint32_t n;

	(void)state;
	for (int i = 0; i < 20; i++) {
		pair_post(p, PAIR_A, WEFT_SRD_SEND, 100);
		pair_settle(p);
	}
	n = p->logged;
	pair_run(p, WEFT_MS(300));
	assert_null(pair_active(p, PAIR_A, PAIR_B));
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 100);
	pair_drain(p);
	before = pair_info(p, PAIR_A, PAIR_B);
	for (uint32_t i = 0; i < n; i++)
		if (p->log[i]->from == PAIR_B && p->log[i]->hdr.type == WEFT_PKT_ACK)
			pair_deliver(p, p->log[i]);
	after = pair_info(p, PAIR_A, PAIR_B);
	assert_int_equal(after.srtt, before.srtt);
	assert_int_equal(after.rto, before.rto);
	pair_settle_ok(p);
	pair_close_idle(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_ack_owe__four_packets),
		cmocka_unit_test(weft_ack_owe__sixteen_kilobytes),
		cmocka_unit_test(weft_ack_owe__delay),
		cmocka_unit_test(weft_ack_owe__at_once),
		cmocka_unit_test(weft_ack_next_packet__numbers_count),
		cmocka_unit_test(weft_ack_next_packet__words),
		cmocka_unit_test(weft_ack_next_packet__echoes),
		cmocka_unit_test(weft_ack_next_packet__echoes_overflow),
		cmocka_unit_test(weft_ack_next_packet__drops_repeat),
		cmocka_unit_test(weft_ack_on_packet__any_bits),
		cmocka_unit_test(weft_ack_on_packet__beyond_the_window),
		cmocka_unit_test(weft_ack_on_packet__echoes_once),
		cmocka_unit_test(weft_ack_on_packet__newest_counts),
		cmocka_unit_test(weft_ack_on_packet__senseless_echoes),
		cmocka_unit_test(weft_ack__mangled),
		cmocka_unit_test(weft_ack__replayed_backwards),
		cmocka_unit_test(weft_ack__last_refusal_is_noted),
		cmocka_unit_test(weft_ack__last_note_is_lost),
		cmocka_unit_test(weft_ack_on_packet__echoes_once_over_a_rest),
	};

	return cmocka_run_group_tests_name("srd_ack", tests, NULL, NULL);
}
