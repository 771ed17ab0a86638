/* SPDX-License-Identifier: BSD-2-Clause */
/* Work requests from post to completion: how each of them ends, receiver-not-ready, what is left behind
 * by a message that ends early, and READs. */
#include "pair.h"

#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct weft_srd_wr wr_of(enum weft_srd_op op, uint32_t len)
{
	return (struct weft_srd_wr){ .op = op, .len = len, .peer = PAIR_B, .rnr_retry = 7 };
}

static uint32_t data_packets(const struct pair *p, unsigned int from, unsigned int ops)
{
	return pair_count(
		p, (struct pair_rule){ .from = PAIR_BIT(from), .types = PAIR_T(DATA), .ops = ops });
}

/* How requests end */

struct ending {
	int id;
	enum weft_srd_op op;
	enum weft_srd_status want;
	void (*spoil)(struct pair *p, struct weft_srd_wr *wr);
};

static void bad_qpn(struct pair *p, struct weft_srd_wr *wr)
{
	(void)p;
	wr->dst_qpn = 666;
}

static void bad_key(struct pair *p, struct weft_srd_wr *wr)
{
	(void)p;
	wr->key = 0xbad;
}

static void out_of_range(struct pair *p, struct weft_srd_wr *wr)
{
	(void)p;
	wr->addr = PAIR_BASE + PAIR_MEM - wr->len + 1;
}

static void before_range(struct pair *p, struct weft_srd_wr *wr)
{
	(void)p;
	wr->addr = PAIR_BASE - 1;
}

static void short_recv(struct pair *p, struct weft_srd_wr *wr)
{
	p->end[PAIR_B].recv_len = wr->len - 1;
}

static void no_recv(struct pair *p, struct weft_srd_wr *wr)
{
	p->end[PAIR_B].recvs = 0;
	wr->rnr_retry = 1;
}

static void no_local(struct pair *p, struct weft_srd_wr *wr)
{
	(void)wr;
	p->end[PAIR_A].place_status = WEFT_SRD_INVALID_LKEY;
}

static void odd_claim(struct pair *p, struct weft_srd_wr *wr)
{
	(void)wr;
	p->end[PAIR_B].claim_status = WEFT_SRD_FEATURE_MISMATCH;
}

/* Each ending, in one packet and in many. Whatever becomes of one request, the next one works. */
static void weft_msg_fail__every_ending(void **state)
{
	static const struct ending rows[] = {
		{ 1, WEFT_SRD_SEND, WEFT_SRD_REMOTE_QPN, bad_qpn },
		{ 2, WEFT_SRD_SEND_IMM, WEFT_SRD_REMOTE_QPN, bad_qpn },
		{ 3, WEFT_SRD_WRITE, WEFT_SRD_REMOTE_QPN, bad_qpn },
		{ 4, WEFT_SRD_WRITE_IMM, WEFT_SRD_REMOTE_QPN, bad_qpn },
		{ 5, WEFT_SRD_READ, WEFT_SRD_REMOTE_QPN, bad_qpn },
		{ 6, WEFT_SRD_SEND, WEFT_SRD_REMOTE_QPN, bad_key }, /* A wrong qkey. */
		{ 7, WEFT_SRD_WRITE, WEFT_SRD_REMOTE_ADDRESS, bad_key },
		{ 8, WEFT_SRD_WRITE_IMM, WEFT_SRD_REMOTE_ADDRESS, bad_key },
		{ 9, WEFT_SRD_READ, WEFT_SRD_REMOTE_ADDRESS, bad_key },
		{ 10, WEFT_SRD_WRITE, WEFT_SRD_REMOTE_ADDRESS, out_of_range },
		{ 11, WEFT_SRD_READ, WEFT_SRD_REMOTE_ADDRESS, out_of_range },
		{ 12, WEFT_SRD_WRITE, WEFT_SRD_REMOTE_ADDRESS, before_range },
		{ 13, WEFT_SRD_READ, WEFT_SRD_REMOTE_ADDRESS, before_range },
		{ 14, WEFT_SRD_SEND, WEFT_SRD_REMOTE_LENGTH, short_recv },
		{ 15, WEFT_SRD_SEND_IMM, WEFT_SRD_REMOTE_LENGTH, short_recv },
		{ 16, WEFT_SRD_SEND, WEFT_SRD_RNR, no_recv },
		{ 17, WEFT_SRD_SEND_IMM, WEFT_SRD_RNR, no_recv },
		{ 18, WEFT_SRD_WRITE_IMM, WEFT_SRD_RNR, no_recv },
		{ 19, WEFT_SRD_READ, WEFT_SRD_INVALID_LKEY, no_local },
		{ 20, WEFT_SRD_SEND, WEFT_SRD_FEATURE_MISMATCH, odd_claim },
	};
	static const uint32_t lens[] = { 300, 5000 };

	(void)state;
	for (size_t i = 0; i < 2 * WEFT_ARRAY_SIZE(rows); i++) {
		const struct ending *row = &rows[i / 2];
		struct pair *p = pair_open(2, NULL);
		struct weft_srd_wr wr = wr_of(row->op, lens[i % 2]);
		uint64_t c;

		p->end[PAIR_B].bad_qpn = 666;
		row->spoil(p, &wr);
		c = pair_post_wr(p, PAIR_A, wr);
		pair_settle(p);
		if (p->end[PAIR_A].wr[c].status != row->want)
			fail_msg("row %d, length %u: \"%s\"", row->id, wr.len,
				 weft_srd_status_name(p->end[PAIR_A].wr[c].status));
		assert_int_equal(p->end[PAIR_B].recv_done, 0);
		assert_int_equal(p->end[PAIR_B].recv_released, p->end[PAIR_B].recv_n);
		p->end[PAIR_B].recvs = UINT32_MAX;
		p->end[PAIR_B].recv_len = WEFT_SRD_SEND_MAX;
		p->end[PAIR_B].claim_status = p->end[PAIR_A].place_status = WEFT_SRD_OK;
		c = pair_post_wr(p, PAIR_A, wr_of(row->op, lens[i % 2]));
		pair_settle(p);
		pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
		pair_close_idle(p);
	}
}

/* Errors belong to the request: others between the same two QPs go on beside it. */
static void weft_msg_fail__others_go_on(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_srd_wr bad = wr_of(WEFT_SRD_WRITE, 20000);

	(void)state;
	bad.key = 0xbad;
	for (int i = 0; i < 20; i++) {
		uint64_t c = pair_post_wr(p, PAIR_A, i % 2 ? bad : wr_of(WEFT_SRD_WRITE, 20000));

		assert_int_equal(c, i);
	}
	pair_settle(p);
	for (uint64_t c = 0; c < 20; c++)
		pair_expect(p, PAIR_A, c, c % 2 ? WEFT_SRD_REMOTE_ADDRESS : WEFT_SRD_OK);
	assert_int_equal(pair_stats(p, PAIR_A)->rdma_write_wr_err, 10);
	pair_close_idle(p);
}

/* An acknowledgement with a code that no receiver gives. */
static void weft_msg_on_resolved__senseless_code(void **state)
{
	static const uint8_t codes[] = { 1, 2, 5, 6, 12, 13, 15, 63, 66, 255 };

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(codes); i++) {
		struct pair *p = pair_open_warm(NULL);
		struct weft_ack ack = { .drops = 1 };
		struct weft_hdr hdr;
		uint8_t body[WEFT_SRD_HEAD_MAX];
		uint64_t c;

		pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
		c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 10));
		pair_drain(p);
		ack.cum = pair_ctx(p, PAIR_B, PAIR_A)->rx_cum + 1;
		ack.drop[0] =
			(struct weft_drop_entry){ .psn = (uint32_t)ack.cum - 1, .code = codes[i] };
		hdr = pair_hdr(p, PAIR_B, PAIR_A, WEFT_PKT_ACK);
		hdr.psn = 1000;
		pair_forge(p, PAIR_A, hdr, body, weft_ack_encode(body, &ack), NULL, 0);
		pair_expect(p, PAIR_A, c, WEFT_SRD_REMOTE_STATUS);
		pair_close(p);
	}
}

/* Receiver not ready */

struct attempts {
	weft_ns sent[64], refused[64];
	uint32_t n;
};

/* A message in one packet and its attempts; the answer to each arrives one round trip later. */
static void find_attempts(const struct pair *p, struct attempts *a)
{
	const struct pair_pkt *pkt;

	a->n = 0;
	for (uint32_t i = 0; a->n < WEFT_ARRAY_SIZE(a->sent); i++) {
		pkt = pair_find(
			p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A), .types = PAIR_T(DATA) },
			i);
		if (!pkt)
			break;
		a->sent[a->n] = pkt->sent;
		a->refused[a->n++] = pkt->sent + 2 * p->delay;
	}
}

static void weft_msg__rnr_retries(void **state)
{
	static const struct {
		int id;
		uint8_t retry;
		uint32_t attempts;
	} rows[] = {
		{ 1, 0, 1 }, { 2, 1, 2 }, { 3, 2, 3 }, { 4, 3, 4 }, { 5, 6, 7 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct pair *p = pair_open(2, NULL);
		struct weft_srd_wr wr = wr_of(WEFT_SRD_SEND, 100);
		struct attempts a;
		uint64_t c;

		p->end[PAIR_B].recvs = 0;
		wr.rnr_retry = rows[i].retry;
		c = pair_post_wr(p, PAIR_A, wr);
		pair_settle(p);
		pair_expect(p, PAIR_A, c, WEFT_SRD_RNR);
		find_attempts(p, &a);
		if (a.n != rows[i].attempts)
			fail_msg("row %d: %u attempts", rows[i].id, a.n);
		assert_int_equal(pair_stats(p, PAIR_B)->rnr_tx, rows[i].attempts);
		assert_int_equal(pair_stats(p, PAIR_A)->rnr_rx, rows[i].attempts);
		/* A new PSN each time; the old one is used up and nothing of it is retransmitted. */
		assert_int_equal(pair_stats(p, PAIR_A)->retrans_pkts, 0);
		pair_close_idle(p);
	}
}

/* The first retry at once, then 40 to 120 us, twice that, and so on up to a second. */
static void weft_msg__rnr_backs_off(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct attempts a;
	uint64_t c;

	(void)state;
	p->end[PAIR_B].recvs = 0;
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 100));
	pair_run(p, WEFT_S(8));
	pair_expect_open(p, PAIR_A, c);
	find_attempts(p, &a);
	assert_in_range(a.n, 18, 26);
	assert_int_equal(a.sent[1], a.refused[0]);
	for (uint32_t i = 2; i < a.n; i++) {
		weft_ns wait = a.sent[i] - a.refused[i - 1];
		weft_ns lo = WEFT_MIN(WEFT_US(40) << (i - 2), WEFT_MS(500));
		weft_ns hi = WEFT_MIN(WEFT_US(120) << (i - 2), WEFT_S(1));

		if (wait < lo || wait > hi + 2048)
			fail_msg("retry %u waited %u us", i, (unsigned int)(wait / 1000));
	}
	p->end[PAIR_B].recvs = 1;
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	pair_close_idle(p);
}

/* Seven means for ever, longer than any count and than the time after which a peer counts as dead. */
static void weft_msg__rnr_seven_is_for_ever(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint64_t c;

	(void)state;
	p->end[PAIR_B].recvs = 0;
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 3000));
	pair_run(p, WEFT_S(400));
	pair_expect_open(p, PAIR_A, c);
	p->end[PAIR_B].recvs = 1;
	pair_run(p, WEFT_S(2));
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	pair_close_idle(p);
}

/* A QP without receives holds up nobody: all that goes between other QPs takes as long as without it. */
static void weft_msg__rnr_disturbs_nobody(void **state)
{
	weft_ns took[2];

	(void)state;
	for (int dry = 0; dry < 2; dry++) {
		struct pair *p = pair_open(2, NULL);
		struct weft_srd_wr stuck = wr_of(WEFT_SRD_SEND, 500);

		stuck.dst_qpn = 9;
		p->end[PAIR_B].dry_qpn = 9;
		pair_warm_up(p);
		for (int i = 0; dry && i < 50; i++)
			pair_post_wr(p, PAIR_A, stuck);
		pair_run(p, WEFT_MS(1));
		took[dry] = 0;
		for (int i = 0; i < 50; i++) {
			uint64_t c = pair_post_wr(
				p, PAIR_A, wr_of(i % 2 ? WEFT_SRD_SEND : WEFT_SRD_WRITE, 900));
			weft_ns start = p->now;

			while (!p->end[PAIR_A].wr[c].done && p->now < start + WEFT_MS(10))
				pair_run(p, WEFT_US(1));
			pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
			took[dry] += p->now - start;
		}
		p->end[PAIR_B].dry_qpn = UINT16_MAX;
		pair_settle_ok(p);
		pair_close_idle(p);
	}
	assert_in_range(took[1], took[0] - took[0] / 10, took[0] + took[0] / 10);
}

/* Fifty messages wait behind one: an attempt costs one packet, not fifty. */
static void weft_msg__rnr_followers_wait(void **state)
{
	struct pair *p = pair_open_warm(NULL);

	(void)state;
	p->end[PAIR_B].recvs = 0;
	pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 100));
	pair_run(p, WEFT_US(50));
	for (int i = 0; i < 50; i++)
		pair_post_wr(p, PAIR_A, wr_of(i % 2 ? WEFT_SRD_SEND_IMM : WEFT_SRD_SEND, 100));
	pair_run(p, WEFT_MS(20));
	assert_in_range(p->end[PAIR_B].claims_refused, 6, 12);
	p->end[PAIR_B].recvs = 51;
	pair_settle_ok(p);
	assert_int_equal(p->end[PAIR_B].recv_done, 52);
	pair_close_idle(p);
}

/* The leader gives up: its followers have their own retries. */
static void weft_msg__rnr_leader_fails_followers_try(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	struct weft_srd_wr leader = wr_of(WEFT_SRD_SEND, 100);
	uint64_t first, rest[5];

	(void)state;
	p->end[PAIR_B].recvs = 0;
	leader.rnr_retry = 2;
	first = pair_post_wr(p, PAIR_A, leader);
	pair_run(p, WEFT_US(15));
	for (int i = 0; i < 5; i++)
		rest[i] = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 100));
	pair_run(p, WEFT_MS(5));
	pair_expect(p, PAIR_A, first, WEFT_SRD_RNR);
	for (int i = 0; i < 5; i++)
		pair_expect_open(p, PAIR_A, rest[i]);
	p->end[PAIR_B].recvs = 5;
	pair_settle(p);
	for (int i = 0; i < 5; i++)
		pair_expect(p, PAIR_A, rest[i], WEFT_SRD_OK);
	pair_close_idle(p);
}

/* WRITE and READ between the two QPs need no receive and do not wait. */
static void weft_msg__rnr_only_claims_wait(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t w, r, s;

	(void)state;
	p->end[PAIR_B].recvs = 0;
	s = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 100));
	pair_run(p, WEFT_US(50));
	w = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_WRITE, 5000));
	r = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 5000));
	pair_run(p, WEFT_US(60));
	pair_expect(p, PAIR_A, w, WEFT_SRD_OK);
	pair_expect(p, PAIR_A, r, WEFT_SRD_OK);
	pair_expect_open(p, PAIR_A, s);
	pair_close(p);
}

/* All packets of one attempt may be refused: one refusal, or rnr_retry would mean packets. */
static void weft_msg__rnr_of_many_packets_counts_once(void **state)
{
	static const uint8_t retries[] = { 0, 1, 6 };

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(retries); i++) {
		struct pair *p = pair_open_warm(NULL);
		struct weft_srd_wr wr = wr_of(WEFT_SRD_SEND, 8000);
		uint64_t c;

		p->end[PAIR_B].recvs = 0;
		wr.rnr_retry = retries[i];
		c = pair_post_wr(p, PAIR_A, wr);
		pair_settle(p);
		pair_expect(p, PAIR_A, c, WEFT_SRD_RNR);
		if (retries[i]) {
			/* Each attempt after the first one is at least one packet. */
			assert_true(p->end[PAIR_B].claims_refused >= retries[i] + 1u);
			assert_true(p->end[PAIR_A].wr[c].done_at - p->end[PAIR_A].wr[c].posted_at >=
				    (retries[i] > 1 ? WEFT_US(40) : 0) + 4 * p->delay);
		}
		pair_close_idle(p);
	}
}

/* The receive is posted between two packets of one message: one is refused, the next one claims, and the
 * refused one comes again. */
static enum pair_fate late_receive(struct pair *p, struct pair_pkt *pkt)
{
	if (pkt->from == PAIR_A && pkt->hdr.type == WEFT_PKT_DATA)
		pkt->delay += *(uint32_t *)p->hook_arg * 1000;
	*(uint32_t *)p->hook_arg += pkt->from == PAIR_A && pkt->hdr.type == WEFT_PKT_DATA;
	return PAIR_PASS;
}

static void weft_msg__rnr_then_claimed_in_the_middle(void **state)
{
	(void)state;
	for (uint32_t when = 0; when < 12; when++) {
		struct pair *p = pair_open_warm(NULL);
		uint32_t spread = 0;
		uint64_t c;

		p->end[PAIR_B].recvs = 0;
		p->hook = late_receive;
		p->hook_arg = &spread;
		c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8000));
		pair_run(p, p->delay + when * 1000 + 500);
		p->end[PAIR_B].recvs = 1;
		pair_settle(p);
		pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
		assert_int_equal(p->end[PAIR_B].recv_n, 2);
		assert_int_equal(p->end[PAIR_B].recv_done, 2);
		pair_close_idle(p);
	}
}

/* Only the packet that brings the last byte of a WRITE_IMM meets the receiver that is not ready. */
static void weft_msg__rnr_of_write_imm(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t c;

	(void)state;
	p->end[PAIR_B].recvs = 0;
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_WRITE_IMM, 20000));
	pair_run(p, WEFT_MS(2));
	pair_expect_open(p, PAIR_A, c);
	assert_in_range(p->end[PAIR_B].claims_refused, 2, 8);
	assert_in_range(data_packets(p, PAIR_A, PAIR_O(WRITE_IMM)), 20, 28);
	p->end[PAIR_B].recvs = 1;
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	pair_close_idle(p);
}

/* Bytes that are in their place by other means: one packet without payload, through losses and refusals, and the target
 * checks and tells as ever. */
static void weft_msg__placed(void **state)
{
	static const enum weft_srd_op ops[] = { WEFT_SRD_WRITE, WEFT_SRD_WRITE_IMM };

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		struct pair *p = pair_open_warm(NULL);
		struct weft_srd_wr wr = wr_of(ops[i], 1000000);
		uint32_t before = p->end[PAIR_B].recv_done;
		uint64_t c;

		wr.placed = true;
		pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
						 .types = PAIR_T(DATA),
						 .count = 2,
						 .fate = PAIR_DROP });
		c = pair_post_wr(p, PAIR_A, wr);
		pair_settle(p);
		pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
		assert_int_equal(p->end[PAIR_B].write_bytes, 0);
		assert_int_equal(p->end[PAIR_B].recv_done, before + i);

		p->end[PAIR_B].recvs = 0;
		c = pair_post_wr(p, PAIR_A, wr);
		pair_run(p, WEFT_MS(2));
		if (i) {
			pair_expect_open(p, PAIR_A, c);
			assert_in_range(p->end[PAIR_B].claims_refused, 2, 8);
		}
		p->end[PAIR_B].recvs = 1;
		pair_settle(p);
		pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
		assert_int_equal(p->end[PAIR_B].recv_done, before + 2 * i);

		wr.key++;
		c = pair_post_wr(p, PAIR_A, wr);
		pair_settle(p);
		pair_expect(p, PAIR_A, c, WEFT_SRD_REMOTE_ADDRESS);
		pair_close_idle(p);
	}
}

/* Refusals come and packets vanish at the same time. */
static void weft_msg__rnr_with_losses(void **state)
{
	(void)state;
	for (uint32_t skip = 0; skip < 30; skip++) {
		struct pair *p = pair_open(2, NULL);

		pair_rule(p, (struct pair_rule){ .skip = skip, .count = 2, .fate = PAIR_DROP });
		pair_rule(p, (struct pair_rule){ .skip = skip + 5, .count = 1, .fate = PAIR_DUP });
		p->end[PAIR_B].recvs = 0;
		for (int i = 0; i < 4; i++)
			pair_post_wr(p, PAIR_A,
				     wr_of(i % 2 ? WEFT_SRD_WRITE_IMM : WEFT_SRD_SEND, 3000));
		pair_run(p, WEFT_US(300));
		p->end[PAIR_B].recvs = 4;
		pair_settle_ok(p);
		assert_int_equal(p->end[PAIR_B].recv_done, 4);
		pair_close_idle(p);
	}
}

/* Pools of the receiver are empty: it says so, and the sender tries until there is room */

static void tune_scarce(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->rx_msgs_max = 1;
	cfg->reads_max = 1;
}

static void weft_msg__busy_partly_received_messages(void **state)
{
	struct pair *p = pair_open(2, tune_scarce);

	(void)state;
	for (int i = 0; i < 30; i++)
		pair_post_wr(p, PAIR_A, wr_of(i % 3 ? WEFT_SRD_SEND : WEFT_SRD_WRITE_IMM, 4000));
	pair_settle_ok(p);
	assert_int_equal(p->end[PAIR_B].recv_done, 30);
	assert_int_equal(p->end[PAIR_B].recv_n, 30);
	pair_close_idle(p);
}

/* rnr_retry counts refusals of receives; BUSY is none and may come any number of times. */
static void weft_msg__busy_is_no_rnr(void **state)
{
	struct pair *p = pair_open(2, tune_scarce);
	struct weft_srd_wr wr = wr_of(WEFT_SRD_SEND, 8000);

	(void)state;
	wr.rnr_retry = 0;
	for (int i = 0; i < 30; i++)
		pair_post_wr(p, PAIR_A, wr);
	pair_settle_ok(p);
	assert_int_equal(pair_stats(p, PAIR_A)->rnr_rx, 0);
	pair_close_idle(p);
}

static void weft_msg__busy_reads(void **state)
{
	struct pair *p = pair_open(2, tune_scarce);

	(void)state;
	for (int i = 0; i < 20; i++) {
		pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 10000));
		pair_post_wr(p, PAIR_B, (struct weft_srd_wr){ .op = WEFT_SRD_READ, .len = 500 });
	}
	pair_settle_ok(p);
	pair_close_idle(p);
}

/* Ends before its time */

static uint64_t gone(struct pair *p, unsigned int id, uint16_t qpn)
{
	weft_srd_on_qp_gone(p->end[id].srd, qpn, p->now);
	return p->end[id].failed;
}

/* A SEND whose QP vanished while it was on its way: the receive that its first packet claimed goes back,
 * by a CANCEL that leaves when nothing else of it can arrive any more. */
static void weft_msg_fail__cancel_releases(void **state)
{
	(void)state;
	for (uint32_t lost = 1; lost < 256; lost += 3) {
		struct pair *p = pair_open_warm(NULL);
		uint64_t c;

		for (uint32_t i = 0; i < 8; i++)
			if (lost >> i & 1)
				pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
								 .types = PAIR_T(DATA),
								 .skip = i,
								 .count = 1,
								 .fate = PAIR_DROP });
		c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8000));
		pair_run(p, WEFT_US(8));
		gone(p, PAIR_A, 1);
		pair_expect(p, PAIR_A, c, WEFT_SRD_FLUSHED);
		pair_run(p, WEFT_MS(50));
		assert_int_equal(data_packets(p, PAIR_A, PAIR_O(CANCEL)), 1);
		assert_int_equal(p->end[PAIR_B].recv_done, 1);
		assert_int_equal(p->end[PAIR_B].recv_released, p->end[PAIR_B].recv_n - 1);
		pair_close_idle(p);
	}
}

/* No CANCEL before the last other packet of the message is resolved: one that came late would claim a
 * receive again, and nobody would give it back. */
static void weft_msg_fail__cancel_is_last(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	const struct pair_pkt *cancel;
	uint32_t n;

	(void)state;
	n = p->logged;
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
					 .types = PAIR_T(DATA),
					 .skip = 2,
					 .count = 4,
					 .fate = PAIR_DROP });
	pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8000));
	pair_run(p, WEFT_US(8));
	gone(p, PAIR_A, 1);
	pair_run(p, WEFT_MS(50));
	cancel = pair_find(p, (struct pair_rule){ .ops = PAIR_O(CANCEL) }, 0);
	assert_non_null(cancel);
	for (uint32_t i = n; i < p->logged; i++) {
		const struct pair_pkt *pkt = p->log[i];

		if (pkt->from == PAIR_A && pkt->hdr.type == WEFT_PKT_DATA && pkt != cancel)
			assert_true(pkt->sent < cancel->sent);
	}
	/* What was lost after the end went out again without its bytes: they are the owner's now. */
	assert_true(data_packets(p, PAIR_A, PAIR_O(VOID)) >= 4);
	pair_close_idle(p);
}

/* In one packet there is nothing to cancel; before the first packet neither. */
static void weft_msg_fail__no_cancel_needed(void **state)
{
	struct pair *p = pair_open(2, NULL);

	(void)state;
	pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8000));
	gone(p, PAIR_A, 1);
	pair_run(p, WEFT_MS(1));
	pair_warm_up(p);
	pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 800));
	pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_WRITE, 80000));
	pair_run(p, WEFT_US(3));
	gone(p, PAIR_A, 1);
	pair_run(p, WEFT_MS(5));
	assert_int_equal(data_packets(p, PAIR_A, PAIR_O(CANCEL)), 0);
	pair_close_idle(p);
}

/* The receiver refuses a SEND of many packets: it has claimed nothing, but a CANCEL does no harm. */
static void weft_msg_fail__refused_in_flight(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t c;

	(void)state;
	p->end[PAIR_B].recv_len = 100;
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8000));
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_REMOTE_LENGTH);
	pair_run(p, WEFT_MS(5));
	assert_int_equal(p->end[PAIR_B].recv_n, 1);
	pair_close_idle(p);
}

/* A QP goes and its number is taken again at once: the new owner's messages are not mixed up with the
 * remains of the old one's. */
static void weft_srd_on_qp_gone__number_is_reused(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t c;

	(void)state;
	for (int i = 0; i < 60; i++) {
		pair_rule(p, (struct pair_rule){ .types = PAIR_T(DATA),
						 .skip = 1 + i % 7,
						 .count = 3,
						 .fate = PAIR_DROP });
		pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8000));
		pair_run(p, WEFT_US(i));
		gone(p, PAIR_A, 1);
		c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 5000));
		pair_settle(p);
		pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
		pair_heal(p);
	}
	pair_expect_idle(p);
	assert_int_equal(p->end[PAIR_B].recv_done + p->end[PAIR_B].recv_released,
			 p->end[PAIR_B].recv_n);
	pair_close(p);
}

static void weft_srd_on_qp_gone__others_stay(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_srd_wr other = wr_of(WEFT_SRD_SEND, 8000);
	uint64_t mine, theirs;

	(void)state;
	other.src_qpn = 5;
	mine = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8000));
	theirs = pair_post_wr(p, PAIR_A, other);
	gone(p, PAIR_A, 1);
	pair_settle(p);
	pair_expect(p, PAIR_A, mine, WEFT_SRD_FLUSHED);
	pair_expect(p, PAIR_A, theirs, WEFT_SRD_OK);
	pair_close_idle(p);
}

static void weft_srd_on_qp_gone__while_not_ready(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_srd_wr other = wr_of(WEFT_SRD_SEND, 100);
	uint64_t c;

	(void)state;
	other.src_qpn = 5;
	p->end[PAIR_B].recvs = 0;
	for (int i = 0; i < 5; i++) {
		pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 100));
		pair_run(p, WEFT_US(60));
	}
	c = pair_post_wr(p, PAIR_A, other);
	pair_run(p, WEFT_MS(1));
	assert_int_equal(gone(p, PAIR_A, 1), 5);
	pair_run(p, WEFT_MS(1));
	pair_expect_open(p, PAIR_A, c);
	p->end[PAIR_B].recvs = 1;
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	pair_close_idle(p);
}

/* READ */

static void tune_slow(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->cwnd_init = cfg->cwnd_max = 5000;
}

/* The region goes while it is being read: the answer ends with the code, and so does the READ. */
static void weft_msg__read_region_gone_in_the_middle(void **state)
{
	(void)state;
	for (uint32_t after = 0; after < 40; after++) {
		struct pair *p = pair_open(2, tune_slow);
		uint64_t c;

		p->end[PAIR_B].read_checks_left = after;
		p->end[PAIR_B].read_status = WEFT_SRD_REMOTE_ADDRESS;
		if (!after)
			p->end[PAIR_B].read_checks_left = 0;
		c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 100000));
		pair_settle(p);
		pair_expect(p, PAIR_A, c, WEFT_SRD_REMOTE_ADDRESS);
		assert_int_equal(pair_stats(p, PAIR_A)->rdma_read_wr_err, 1);
		pair_expect_idle(p);
		assert_in_range(p->end[PAIR_A].wr[c].read_got, 0, after * 1024);
		pair_close(p);
	}
}

static void weft_msg__read_region_gone_with_losses(void **state)
{
	(void)state;
	for (uint32_t skip = 0; skip < 40; skip++) {
		struct pair *p = pair_open(2, tune_slow);
		uint64_t c;

		pair_rule(p, (struct pair_rule){ .skip = skip, .count = 3, .fate = PAIR_DROP });
		p->end[PAIR_B].read_checks_left = 12;
		p->end[PAIR_B].read_status = WEFT_SRD_REMOTE_ADDRESS;
		c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 100000));
		pair_settle(p);
		pair_expect(p, PAIR_A, c, WEFT_SRD_REMOTE_ADDRESS);
		pair_close_idle(p);
	}
}

/* Nobody waits for the answer any more: the responder hears of it and stops. */
static void weft_msg__read_flushed_stops_the_answer(void **state)
{
	struct pair *p = pair_open_warm(tune_slow);
	uint64_t c;
	uint32_t sent;

	(void)state;
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 1000000));
	pair_run(p, WEFT_US(100));
	gone(p, PAIR_A, 1);
	pair_expect(p, PAIR_A, c, WEFT_SRD_FLUSHED);
	sent = data_packets(p, PAIR_B, PAIR_O(RESP));
	assert_in_range(sent, 4, 100);
	pair_run(p, WEFT_MS(5));
	/* A window may have been on its way, and no more than one answer later it is over. */
	assert_in_range(data_packets(p, PAIR_B, PAIR_O(RESP)), sent, sent + 10);
	pair_close_idle(p);
}

static void weft_msg__read_no_place_stops_the_answer(void **state)
{
	struct pair *p = pair_open_warm(tune_slow);
	uint64_t c;

	(void)state;
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 1000000));
	pair_run(p, WEFT_US(100));
	p->end[PAIR_A].place_status = WEFT_SRD_INVALID_LKEY;
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_INVALID_LKEY);
	pair_run(p, WEFT_MS(5));
	assert_in_range(data_packets(p, PAIR_B, PAIR_O(RESP)), 4, 100);
	pair_close_idle(p);
}

/* The QP of the responder goes: what its owner says at the next check ends the READ. */
static void weft_msg__read_responder_qp_gone(void **state)
{
	struct pair *p = pair_open_warm(tune_slow);
	uint64_t c;

	(void)state;
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 1000000));
	pair_run(p, WEFT_US(100));
	p->end[PAIR_B].bad_qpn = 2;
	weft_srd_on_qp_gone(p->end[PAIR_B].srd, 2, p->now);
	pair_settle(p);
	assert_true(p->end[PAIR_A].wr[c].status == WEFT_SRD_REMOTE_QPN ||
		    p->end[PAIR_A].wr[c].status == WEFT_SRD_ABORT);
	pair_close_idle(p);
}

/* A READ completes when the last byte is there, whatever comes first: the answer or the ACK. */
static void weft_msg__read_answer_before_ack(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t c;

	(void)state;
	pair_rule(p, (struct pair_rule){
			     .from = PAIR_BIT(PAIR_B), .types = PAIR_T(ACK), .fate = PAIR_DROP });
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 3000));
	pair_run(p, WEFT_US(40));
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	pair_heal(p);
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 0));
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	pair_close_idle(p);
}

/* An answer to an earlier use of the same slot is none to this one. */
static void weft_msg__read_late_answer(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t c;

	(void)state;
	pair_rule(p, (struct pair_rule){
			     .from = PAIR_BIT(PAIR_B), .ops = PAIR_O(RESP), .fate = PAIR_HOLD });
	pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 3000));
	pair_run(p, WEFT_US(60));
	gone(p, PAIR_A, 1);
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 3000));
	pair_run(p, WEFT_US(20));
	pair_release(p);
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	pair_close_idle(p);
}

/* Turns */

/* A small message does not wait for the end of a large one. */
static void weft_msg_next__small_beside_large(void **state)
{
	struct pair *p = pair_open_warm(tune_slow);
	uint64_t large, small;

	(void)state;
	large = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_WRITE, 2000000));
	pair_run(p, WEFT_US(100));
	small = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 100));
	pair_run(p, WEFT_US(500));
	pair_expect(p, PAIR_A, small, WEFT_SRD_OK);
	pair_expect_open(p, PAIR_A, large);
	pair_settle(p);
	pair_expect(p, PAIR_A, large, WEFT_SRD_OK);
	pair_close(p);
}

/* Two large messages share the way. */
static void weft_msg_next__large_ones_take_turns(void **state)
{
	struct pair *p = pair_open_warm(tune_slow);
	uint64_t one, two;
	weft_ns a, b;

	(void)state;
	one = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_WRITE, 1000000));
	two = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_WRITE, 1000000));
	pair_settle(p);
	a = p->end[PAIR_A].wr[one].done_at - p->end[PAIR_A].wr[one].posted_at;
	b = p->end[PAIR_A].wr[two].done_at - p->end[PAIR_A].wr[two].posted_at;
	assert_in_range(a, b * 9 / 10, b * 11 / 10);
	pair_close(p);
}

/* Slots of work requests are used again and again; the generation in the id tells them apart. */
static void weft_msg_alloc__ids_differ(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint32_t seen[300];

	(void)state;
	for (uint32_t i = 0; i < 300; i++) {
		const struct pair_pkt *pkt;

		pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 10));
		pair_settle(p);
		pkt = pair_find(
			p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A), .types = PAIR_T(DATA) },
			i + 1);
		assert_non_null(pkt);
		seen[i] = pkt->op.msg_id;
		for (uint32_t k = 0; k < i; k++)
			assert_int_not_equal(seen[i], seen[k]);
	}
	pair_close(p);
}

/* Not ready, and short of something else too */

/* No credit, nothing in flight, and only a refused message that is due. The ACK that would end credit mode
 * is lost: the sender has to ask, or it would wait for ever. */
static void weft_msg__rnr_without_credit(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	struct weft_hdr hdr;
	struct weft_ack ack;
	uint8_t body[WEFT_SRD_HEAD_MAX];
	uint64_t c;

	(void)state;
	p->end[PAIR_B].recvs = 0;
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 100));
	pair_run(p, WEFT_US(50));
	while (pair_active(p, PAIR_A, PAIR_B)->tx.fly_pkts)
		pair_run(p, WEFT_US(1));
	assert_int_not_equal(pair_active(p, PAIR_A, PAIR_B)->tx.rnr.head, WEFT_NIL);
	ack = (struct weft_ack){ .cum = pair_active(p, PAIR_A, PAIR_B)->tx.next,
				 .una = pair_active(p, PAIR_B, PAIR_A)->tx.una,
				 .grant = pair_ctx(p, PAIR_A, PAIR_B)->credit_got };
	hdr = pair_hdr(p, PAIR_B, PAIR_A, WEFT_PKT_ACK);
	hdr.psn = ++pair_ctx(p, PAIR_B, PAIR_A)->ack_seq;
	hdr.flags = WEFT_PKT_F_CREDIT;
	pair_forge(p, PAIR_A, hdr, body, weft_ack_encode(body, &ack), NULL, 0);
	assert_true(pair_info(p, PAIR_A, PAIR_B).credit_mode);
	p->end[PAIR_B].recvs = UINT32_MAX;
	pair_run(p, WEFT_MS(5));
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	pair_close_idle(p);
}

/* More WRITE_IMMs of two packets to a QP without receives than the peer can count: while they wait they
 * hold none of its memory, so a message to another QP goes through. */
static void weft_msg__rnr_of_write_imm_holds_no_memory(void **state)
{
	static const unsigned int senders[] = { PAIR_A, PAIR_C };
	struct pair *p = pair_open(3, NULL);
	struct weft_srd_wr wr = wr_of(WEFT_SRD_WRITE_IMM, 2000);
	struct weft_srd_usage u;
	uint64_t c;

	(void)state;
	pair_warm_up(p);
	p->end[PAIR_B].dry_qpn = wr.dst_qpn = 3;
	for (int i = 0; i < 200; i++)
		pair_post_wr(p, senders[i / 100], wr);
	pair_run(p, WEFT_MS(5));
	c = pair_post_wr(p, PAIR_C, wr_of(WEFT_SRD_SEND, 3000));
	pair_run(p, WEFT_MS(5));
	pair_expect(p, PAIR_C, c, WEFT_SRD_OK);
	weft_srd_usage(p->end[PAIR_B].srd, &u);
	assert_in_range(u.rx_msgs, 0, p->end[PAIR_B].cfg.rx_msgs_max / 2);
	p->end[PAIR_B].dry_qpn = UINT16_MAX;
	pair_settle(p);
	assert_int_equal(p->end[PAIR_A].failed + p->end[PAIR_C].failed, 0);
	pair_close_idle(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_msg_fail__every_ending),
		cmocka_unit_test(weft_msg_fail__others_go_on),
		cmocka_unit_test(weft_msg_on_resolved__senseless_code),
		cmocka_unit_test(weft_msg__rnr_retries),
		cmocka_unit_test(weft_msg__rnr_backs_off),
		cmocka_unit_test(weft_msg__rnr_seven_is_for_ever),
		cmocka_unit_test(weft_msg__rnr_disturbs_nobody),
		cmocka_unit_test(weft_msg__rnr_followers_wait),
		cmocka_unit_test(weft_msg__rnr_leader_fails_followers_try),
		cmocka_unit_test(weft_msg__rnr_only_claims_wait),
		cmocka_unit_test(weft_msg__rnr_of_many_packets_counts_once),
		cmocka_unit_test(weft_msg__rnr_then_claimed_in_the_middle),
		cmocka_unit_test(weft_msg__rnr_of_write_imm),
		cmocka_unit_test(weft_msg__placed),
		cmocka_unit_test(weft_msg__rnr_with_losses),
		cmocka_unit_test(weft_msg__busy_partly_received_messages),
		cmocka_unit_test(weft_msg__busy_is_no_rnr),
		cmocka_unit_test(weft_msg__busy_reads),
		cmocka_unit_test(weft_msg_fail__cancel_releases),
		cmocka_unit_test(weft_msg_fail__cancel_is_last),
		cmocka_unit_test(weft_msg_fail__no_cancel_needed),
		cmocka_unit_test(weft_msg_fail__refused_in_flight),
		cmocka_unit_test(weft_srd_on_qp_gone__number_is_reused),
		cmocka_unit_test(weft_srd_on_qp_gone__others_stay),
		cmocka_unit_test(weft_srd_on_qp_gone__while_not_ready),
		cmocka_unit_test(weft_msg__read_region_gone_in_the_middle),
		cmocka_unit_test(weft_msg__read_region_gone_with_losses),
		cmocka_unit_test(weft_msg__read_flushed_stops_the_answer),
		cmocka_unit_test(weft_msg__read_no_place_stops_the_answer),
		cmocka_unit_test(weft_msg__read_responder_qp_gone),
		cmocka_unit_test(weft_msg__read_answer_before_ack),
		cmocka_unit_test(weft_msg__read_late_answer),
		cmocka_unit_test(weft_msg_next__small_beside_large),
		cmocka_unit_test(weft_msg_next__large_ones_take_turns),
		cmocka_unit_test(weft_msg_alloc__ids_differ),
		cmocka_unit_test(weft_msg__rnr_without_credit),
		cmocka_unit_test(weft_msg__rnr_of_write_imm_holds_no_memory),
	};

	return cmocka_run_group_tests_name("srd_msg", tests, NULL, NULL);
}
