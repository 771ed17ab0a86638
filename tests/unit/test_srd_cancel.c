/* SPDX-License-Identifier: BSD-2-Clause */
/* What its owner tells the engine about the end of things: that a work request is to end now, whatever
 * stage it has reached, and that the network has nobody at an address any more. */
#include "pair.h"

#include "unit.h"

static struct weft_srd_wr wr_of(enum weft_srd_op op, uint32_t len)
{
	return (struct weft_srd_wr){ .op = op, .len = len, .peer = PAIR_B, .rnr_retry = 7 };
}

static uint32_t data_packets(const struct pair *p, unsigned int from, unsigned int ops)
{
	return pair_count(
		p, (struct pair_rule){ .from = PAIR_BIT(from), .types = PAIR_T(DATA), .ops = ops });
}

/* Both directions still work, and every receive that was claimed was filled or given back, but for those
 * that an engine took with it when it was restarted. */
static void expect_works_but(struct pair *p, uint32_t taken)
{
	for (unsigned int id = 0; id < 2; id++) {
		struct weft_srd_wr wr = wr_of(WEFT_SRD_SEND, 5000);
		uint64_t c;

		wr.peer = !id;
		c = pair_post_wr(p, id, wr);
		pair_settle(p);
		pair_expect(p, id, c, WEFT_SRD_OK);
	}
	pair_expect_idle(p);
	for (unsigned int id = 0; id < 2; id++)
		taken -= p->end[id].recv_n - p->end[id].recv_done - p->end[id].recv_released;
	assert_int_equal(taken, 0);
	pair_close(p);
}

static void expect_works_and_close(struct pair *p)
{
	expect_works_but(p, 0);
}

static const enum weft_srd_op all_ops[] = { WEFT_SRD_SEND, WEFT_SRD_SEND_IMM, WEFT_SRD_WRITE,
					    WEFT_SRD_WRITE_IMM, WEFT_SRD_READ };

static void tune_slow(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->cwnd_init = cfg->cwnd_max = 5000;
}

/* Cancelling */

/* At any time of a transfer, of any kind, with and without losses: it ends at that moment and once, or
 * was done before; then everything goes on. */
static void weft_srd_cancel__at_any_time(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 5 * 3 * 40; i++) {
		enum weft_srd_op op = all_ops[i % 5];
		uint32_t loss = i / 5 % 3, len = i % 2 ? 8000 : 600;
		weft_ns at = (weft_ns)(i / 15) * 997;
		struct pair *p = pair_open(2, tune_slow);
		uint64_t c;

		if (loss)
			pair_rule(p,
				  (struct pair_rule){ .types = PAIR_T(DATA),
						      .skip = i / 15 % 8,
						      .count = 2 + loss,
						      .fate = loss == 1 ? PAIR_DROP : PAIR_DUP });
		c = pair_post_wr(p, PAIR_A, wr_of(op, len));
		pair_run(p, at);
		if (p->end[PAIR_A].wr[c].done) {
			pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
			pair_cancel(p, PAIR_A, c, WEFT_SRD_FLUSHED);
			pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
		} else {
			pair_cancel(p, PAIR_A, c, WEFT_SRD_INVALID_LKEY);
			pair_expect(p, PAIR_A, c, WEFT_SRD_INVALID_LKEY);
			pair_cancel(p, PAIR_A, c, WEFT_SRD_FLUSHED);
			pair_expect(p, PAIR_A, c, WEFT_SRD_INVALID_LKEY);
		}
		pair_run(p, WEFT_MS(20));
		pair_heal(p);
		expect_works_and_close(p);
	}
}

/* The only thing that anybody wanted of a peer that does not answer: nobody is called any more. */
static void weft_srd_cancel__before_the_handshake(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint64_t c;
	uint32_t sent;

	(void)state;
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8000));
	pair_run(p, WEFT_MS(1));
	pair_cancel(p, PAIR_A, c, WEFT_SRD_FLUSHED);
	pair_expect(p, PAIR_A, c, WEFT_SRD_FLUSHED);
	sent = p->logged;
	pair_run(p, WEFT_S(1));
	assert_in_range(p->logged, sent, sent + 1);
	assert_int_equal(pair_stats(p, PAIR_A)->unresponsive_remote_events, 0);
	pair_expect_idle(p);
	pair_heal(p);
	expect_works_and_close(p);
}

/* The first of two that wait for the handshake: the other one goes, and nothing of the first does. */
static void weft_srd_cancel__one_of_two_before_the_handshake(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint64_t a, b;

	(void)state;
	a = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8000));
	b = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 800));
	pair_cancel(p, PAIR_A, a, WEFT_SRD_FLUSHED);
	pair_settle(p);
	pair_expect(p, PAIR_A, b, WEFT_SRD_OK);
	assert_int_equal(data_packets(p, PAIR_A, 0), 1);
	assert_int_equal(p->end[PAIR_B].recv_n, 1);
	expect_works_and_close(p);
}

/* Behind others in the queue: not a packet of it leaves, and the backlog is theirs alone. */
static void weft_srd_cancel__queued(void **state)
{
	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(all_ops); i++) {
		struct pair *p = pair_open_warm(tune_slow);
		uint64_t a, b;
		uint64_t backlog;

		a = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_WRITE, 50000));
		pair_drain(p);
		backlog = pair_info(p, PAIR_A, PAIR_B).backlog;
		b = pair_post_wr(p, PAIR_A, wr_of(all_ops[i], 7000));
		pair_cancel(p, PAIR_A, b, WEFT_SRD_FLUSHED);
		pair_expect(p, PAIR_A, b, WEFT_SRD_FLUSHED);
		assert_int_equal(pair_info(p, PAIR_A, PAIR_B).backlog, backlog);
		pair_settle(p);
		pair_expect(p, PAIR_A, a, WEFT_SRD_OK);
		assert_int_equal(p->end[PAIR_B].write_bytes, 50000);
		assert_int_equal(data_packets(p, PAIR_A, ~PAIR_O(WRITE)), 1); /* The warm-up. */
		assert_int_equal(p->end[PAIR_B].recv_n, 1);
		expect_works_and_close(p);
	}
}

/* In the middle: the peer has claimed its only receive, gets it back, and the next message takes it. What
 * was not sent stays unsent, and one CANCEL ends it. */
static void weft_srd_cancel__partly_sent(void **state)
{
	struct pair *p = pair_open_warm(tune_slow);
	struct pair_end *b = &p->end[PAIR_B];
	uint64_t c;

	(void)state;
	b->recvs = 1;
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8900));
	pair_run(p, WEFT_US(8));
	assert_int_equal(b->recvs, 0);
	pair_cancel(p, PAIR_A, c, WEFT_SRD_FLUSHED);
	pair_expect(p, PAIR_A, c, WEFT_SRD_FLUSHED);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).backlog, 0);
	pair_run(p, WEFT_MS(1));
	assert_int_equal(data_packets(p, PAIR_A, PAIR_O(CANCEL)), 1);
	assert_in_range(data_packets(p, PAIR_A, PAIR_O(SEND)), 2, 6);
	assert_int_equal(b->recv_released, 1);
	assert_int_equal(b->recvs, 1);
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8900));
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	b->recvs = UINT32_MAX;
	expect_works_and_close(p);
}

/* All of it is on its way: it may arrive, and does, but its sender has said how it ended. If it is lost, it
 * does not: its bytes are the owner's again. */
static void weft_srd_cancel__sent_and_not_acknowledged(void **state)
{
	(void)state;
	for (int lost = 0; lost < 2; lost++) {
		struct pair *p = pair_open_warm(NULL);
		uint64_t c;

		if (lost)
			pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
							 .types = PAIR_T(DATA),
							 .count = 1,
							 .fate = PAIR_DROP });
		c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 900));
		pair_run(p, WEFT_US(1));
		pair_cancel(p, PAIR_A, c, WEFT_SRD_FLUSHED);
		pair_expect(p, PAIR_A, c, WEFT_SRD_FLUSHED);
		pair_run(p, WEFT_MS(5));
		assert_int_equal(p->end[PAIR_B].recv_done, lost ? 1 : 2);
		assert_int_equal(data_packets(p, PAIR_A, PAIR_O(VOID)), lost);
		assert_int_equal(data_packets(p, PAIR_A, PAIR_O(CANCEL)), 0);
		expect_works_and_close(p);
	}
}

/* The CANCEL itself may be lost: it goes again, as long as it takes. */
static void weft_srd_cancel__cancel_is_lost(void **state)
{
	struct pair *p = pair_open_warm(tune_slow);
	uint64_t c;

	(void)state;
	pair_rule(p, (struct pair_rule){ .ops = PAIR_O(CANCEL), .count = 3, .fate = PAIR_DROP });
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8900));
	pair_run(p, WEFT_US(8));
	pair_cancel(p, PAIR_A, c, WEFT_SRD_FLUSHED);
	pair_run(p, WEFT_MS(20));
	assert_int_equal(data_packets(p, PAIR_A, PAIR_O(CANCEL)), 4);
	assert_int_equal(p->end[PAIR_B].recv_released, 1);
	expect_works_and_close(p);
}

/* The leader of those that wait for a receiver goes: the next one leads, and tries at once. */
static void weft_srd_cancel__rnr_leader(void **state)
{
	static const uint32_t lens[] = { 100, 5000 };

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(lens); i++) {
		struct pair *p = pair_open_warm(NULL);
		uint64_t c[4];
		uint32_t refused;

		p->end[PAIR_B].recvs = 0;
		for (int k = 0; k < 4; k++) {
			c[k] = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, lens[i]));
			pair_run(p, WEFT_MS(3));
		}
		refused = p->end[PAIR_B].claims_refused;
		pair_cancel(p, PAIR_A, c[0], WEFT_SRD_FLUSHED);
		pair_expect(p, PAIR_A, c[0], WEFT_SRD_FLUSHED);
		pair_run(p, WEFT_US(40));
		assert_true(p->end[PAIR_B].claims_refused > refused);
		p->end[PAIR_B].recvs = 3;
		pair_settle(p);
		for (int k = 1; k < 4; k++)
			pair_expect(p, PAIR_A, c[k], WEFT_SRD_OK);
		assert_int_equal(p->end[PAIR_B].recv_done, 4);
		p->end[PAIR_B].recvs = UINT32_MAX;
		expect_works_and_close(p);
	}
}

/* One that only follows: nobody hears of it, and the leader waits on. */
static void weft_srd_cancel__rnr_follower(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t c[3];
	uint32_t sent;

	(void)state;
	p->end[PAIR_B].recvs = 0;
	for (int k = 0; k < 3; k++) {
		c[k] = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 100));
		pair_run(p, WEFT_MS(2));
	}
	sent = p->logged;
	pair_cancel(p, PAIR_A, c[1], WEFT_SRD_RNR);
	pair_expect(p, PAIR_A, c[1], WEFT_SRD_RNR);
	pair_drain(p);
	assert_int_equal(p->logged, sent);
	p->end[PAIR_B].recvs = 2;
	pair_settle(p);
	pair_expect(p, PAIR_A, c[0], WEFT_SRD_OK);
	pair_expect(p, PAIR_A, c[2], WEFT_SRD_OK);
	assert_int_equal(p->end[PAIR_B].recvs, 0);
	p->end[PAIR_B].recvs = UINT32_MAX;
	expect_works_and_close(p);
}

/* A WRITE_IMM of which only the packet with the claim is missing: the peer holds nothing of it. */
static void weft_srd_cancel__rnr_of_write_imm(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t c;

	(void)state;
	p->end[PAIR_B].recvs = 0;
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_WRITE_IMM, 5000));
	pair_run(p, WEFT_MS(3));
	pair_expect_open(p, PAIR_A, c);
	pair_cancel(p, PAIR_A, c, WEFT_SRD_INVALID_LKEY);
	assert_int_equal(pair_stats(p, PAIR_A)->rdma_write_wr_err, 1);
	p->end[PAIR_B].recvs = UINT32_MAX;
	pair_run(p, WEFT_MS(20));
	assert_int_equal(p->end[PAIR_B].recv_n, 1);
	expect_works_and_close(p);
}

/* A READ that waits: its request was lost, or its answer is on its way. Not a byte is placed after the
 * end (pair.c would object), the peer stops, and the same cookie can be used again. */
static void weft_srd_cancel__read(void **state)
{
	(void)state;
	for (uint32_t us = 0; us < 120; us += 3) {
		struct pair *p = pair_open_warm(tune_slow);
		uint64_t c, other;
		uint32_t got, sent;

		if (us % 2)
			pair_rule(p, (struct pair_rule){
					     .ops = PAIR_O(READ), .count = 1, .fate = PAIR_DROP });
		c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 1000000));
		other = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 3000));
		pair_run(p, WEFT_US(us));
		pair_cancel(p, PAIR_A, c, WEFT_SRD_INVALID_LKEY);
		pair_expect(p, PAIR_A, c, WEFT_SRD_INVALID_LKEY);
		assert_int_equal(pair_stats(p, PAIR_A)->rdma_read_wr_err, 1);
		got = p->end[PAIR_A].wr[c].read_got;
		sent = data_packets(p, PAIR_B, PAIR_O(RESP));
		pair_settle(p);
		pair_expect(p, PAIR_A, other, WEFT_SRD_OK);
		pair_run(p, WEFT_MS(5));
		assert_int_equal(p->end[PAIR_A].wr[c].read_got, got);
		assert_in_range(data_packets(p, PAIR_B, PAIR_O(RESP)), sent, sent + 14);
		expect_works_and_close(p);
	}
}

/* The answer was held up until long after the end, and another READ has the slot: nothing is mixed up. */
static void weft_srd_cancel__read_answered_late(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t c;

	(void)state;
	pair_rule(p, (struct pair_rule){
			     .from = PAIR_BIT(PAIR_B), .ops = PAIR_O(RESP), .fate = PAIR_HOLD });
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 3000));
	pair_run(p, WEFT_US(60));
	pair_cancel(p, PAIR_A, c, WEFT_SRD_FLUSHED);
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 3000));
	pair_run(p, WEFT_US(20));
	pair_release(p);
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	expect_works_and_close(p);
}

/* No such cookie, or one whose request is done; the answer to a peer's READ has none and is not meant. */
static void weft_srd_cancel__nothing_to_cancel(void **state)
{
	struct pair *p = pair_open_warm(tune_slow);
	struct weft_srd_wr wr = wr_of(WEFT_SRD_READ, 100000);
	uint64_t c;

	(void)state;
	wr.peer = PAIR_A;
	c = pair_post_wr(p, PAIR_B, wr);
	pair_run(p, WEFT_US(50));
	pair_cancel(p, PAIR_A, 0, WEFT_SRD_FLUSHED);
	pair_cancel(p, PAIR_A, UINT64_MAX, WEFT_SRD_FLUSHED);
	pair_expect(p, PAIR_A, 0, WEFT_SRD_OK);
	pair_settle(p);
	pair_expect(p, PAIR_B, c, WEFT_SRD_OK);
	expect_works_and_close(p);
}

/* A cookie may be used again as soon as its work request is done, while remains of that are in flight: it
 * is the new one that is meant. */
static void weft_srd_cancel__cookie_in_use_again(void **state)
{
	struct pair *p = pair_open_warm(tune_slow);
	struct pair_end *a = &p->end[PAIR_A];
	uint64_t c;
	uint32_t failed;

	(void)state;
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8900));
	pair_drain(p);
	pair_cancel(p, PAIR_A, c, WEFT_SRD_FLUSHED);
	a->wrs--;
	a->done--;
	a->failed--;
	assert_int_equal(pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_WRITE, 8900)), c);
	failed = a->failed;
	pair_cancel(p, PAIR_A, c, WEFT_SRD_INVALID_LKEY);
	pair_expect(p, PAIR_A, c, WEFT_SRD_INVALID_LKEY);
	assert_int_equal(a->failed, failed + 1);
	expect_works_and_close(p);
}

/* Many between the same ends, every third is given up: the others never notice. */
static void weft_srd_cancel__others_go_on(void **state)
{
	struct pair *p = pair_open_warm(tune_slow);
	uint64_t c[60];

	(void)state;
	for (int i = 0; i < 60; i++)
		c[i] = pair_post_wr(p, PAIR_A,
				    wr_of(all_ops[i % 5], 200 + (uint32_t)i * 977 % 8000));
	for (int i = 0; i < 60; i += 3) {
		pair_run(p, WEFT_US(7));
		if (!p->end[PAIR_A].wr[c[i]].done)
			pair_cancel(p, PAIR_A, c[i], WEFT_SRD_FLUSHED);
	}
	pair_settle(p);
	for (int i = 0; i < 60; i++)
		if (i % 3)
			pair_expect(p, PAIR_A, c[i], WEFT_SRD_OK);
	expect_works_and_close(p);
}

/* Nobody there */

/* One of each kind, small and large, in one direction. */
static void post_all(struct pair *p, unsigned int id, uint64_t *c)
{
	for (size_t i = 0; i < 2 * WEFT_ARRAY_SIZE(all_ops); i++) {
		struct weft_srd_wr wr = wr_of(all_ops[i / 2], i % 2 ? 8000 : 300);

		wr.peer = !id;
		c[i] = pair_post_wr(p, id, wr);
	}
}

#define ALL (2 * WEFT_ARRAY_SIZE(all_ops))

static void expect_all(struct pair *p, unsigned int id, const uint64_t *c,
		       enum weft_srd_status status)
{
	for (size_t i = 0; i < ALL; i++)
		pair_expect(p, id, c[i], status);
}

/* Our HELLO meets nobody: 9, and no more HELLOs. The next post calls again, and is answered when the
 * peer is there. */
static void weft_srd_on_unreachable__hello(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint64_t c[ALL];
	uint32_t sent;

	(void)state;
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	for (int again = 0; again < 3; again++) {
		post_all(p, PAIR_A, c);
		pair_run(p, WEFT_MS(1));
		sent = p->logged;
		pair_unreachable(p, PAIR_A, PAIR_B);
		expect_all(p, PAIR_A, c, WEFT_SRD_REMOTE_QPN);
		pair_expect_idle(p);
		assert_int_equal(p->logged, sent);
	}
	assert_int_equal(pair_stats(p, PAIR_A)->unresponsive_remote_events, 0);
	assert_int_equal(pair_stats(p, PAIR_A)->contexts_reset, 0);
	pair_heal(p);
	expect_works_and_close(p);
}

/* It comes with the very packet that is being sent, as when a lane of shared memory leads nowhere. */
static void weft_srd_on_unreachable__while_draining(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	struct weft_srd_tx tx;
	uint64_t c[ALL];

	(void)state;
	p->offline = true;
	for (int i = 0; i < 20; i++) {
		post_all(p, PAIR_A, c);
		for (int k = 0; k <= i; k++)
			if (!weft_srd_next_packet(p->end[PAIR_A].srd, p->now, &tx))
				break;
		pair_unreachable(p, PAIR_A, PAIR_B);
		expect_all(p, PAIR_A, c, i ? WEFT_SRD_REMOTE_QPN : WEFT_SRD_ABORT);
		assert_false(weft_srd_next_packet(p->end[PAIR_A].srd, p->now, &tx));
	}
	p->offline = false;
	expect_works_and_close(p);
}

/* Traffic both ways, and one end is told, at any time: all that it had open ends with 8 at once, also what
 * had not been sent, and the peer's receives are given back. The other end hears of it: what it had not
 * begun goes on. If the hint was false, both work on; if the peer had been restarted, too. */
static void weft_srd_on_unreachable__open(void **state)
{
	(void)state;
	for (uint32_t us = 0; us < 90; us++) {
		struct pair *p = pair_open_warm(tune_slow);
		uint64_t a[ALL], b[ALL];
		bool was_done[ALL];
		uint32_t taken = 0;

		post_all(p, PAIR_A, a);
		post_all(p, PAIR_B, b);
		pair_run(p, WEFT_US(us));
		for (size_t i = 0; i < ALL; i++)
			was_done[i] = p->end[PAIR_A].wr[a[i]].done;
		if (us % 3 == 2) {
			taken = p->end[PAIR_B].recv_n - p->end[PAIR_B].recv_done -
				p->end[PAIR_B].recv_released;
			pair_restart(p, PAIR_B);
		}
		pair_unreachable(p, PAIR_A, PAIR_B);
		for (size_t i = 0; i < ALL; i++)
			pair_expect(p, PAIR_A, a[i], was_done[i] ? WEFT_SRD_OK : WEFT_SRD_ABORT);
		assert_int_equal(p->end[PAIR_A].recv_done + p->end[PAIR_A].recv_released,
				 p->end[PAIR_A].recv_n);
		if (us % 3 == 1) /* Once more, which changes nothing. */
			pair_unreachable(p, PAIR_A, PAIR_B);
		assert_int_equal(pair_stats(p, PAIR_A)->contexts_reset, 1);
		pair_settle(p);
		for (size_t i = 0; i < ALL && us % 3 != 2; i++) {
			enum weft_srd_status st = p->end[PAIR_B].wr[b[i]].status;

			if (st)
				pair_expect(p, PAIR_B, b[i], WEFT_SRD_ABORT);
		}
		expect_works_but(p, taken);
	}
}

/* What the other end had not begun to send is not lost with the context. */
static void weft_srd_on_unreachable__peer_keeps_the_unsent(void **state)
{
	struct pair *p = pair_open_warm(tune_slow);
	struct weft_srd_wr wr = wr_of(WEFT_SRD_WRITE, 50000);
	uint64_t first, second;

	(void)state;
	wr.peer = PAIR_A;
	first = pair_post_wr(p, PAIR_B, wr);
	second = pair_post_wr(p, PAIR_B, wr);
	pair_run(p, WEFT_US(3));
	pair_unreachable(p, PAIR_A, PAIR_B);
	pair_settle(p);
	pair_expect(p, PAIR_B, first, WEFT_SRD_ABORT);
	pair_expect(p, PAIR_B, second, WEFT_SRD_OK);
	expect_works_and_close(p);
}

/* The remains of what was cancelled before end with the context: no CANCEL is owed to nobody. */
static void weft_srd_on_unreachable__remains(void **state)
{
	struct pair *p = pair_open_warm(tune_slow);
	uint64_t c, read;

	(void)state;
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A), .fate = PAIR_DROP });
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 8900));
	read = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_READ, 100));
	pair_run(p, WEFT_US(8));
	pair_cancel(p, PAIR_A, c, WEFT_SRD_FLUSHED);
	pair_cancel(p, PAIR_A, read, WEFT_SRD_FLUSHED);
	pair_unreachable(p, PAIR_A, PAIR_B);
	pair_expect(p, PAIR_A, c, WEFT_SRD_FLUSHED);
	pair_expect_idle(p);
	assert_int_equal(data_packets(p, PAIR_A, PAIR_O(CANCEL)), 0);
	pair_heal(p);
	expect_works_and_close(p);
}

/* With a peer that waits for receives, as leader and followers. */
static void weft_srd_on_unreachable__not_ready(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t c[5];

	(void)state;
	p->end[PAIR_B].recvs = 0;
	for (int i = 0; i < 5; i++) {
		c[i] = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_SEND, 100));
		pair_run(p, WEFT_US(60));
	}
	pair_unreachable(p, PAIR_A, PAIR_B);
	for (int i = 0; i < 5; i++)
		pair_expect(p, PAIR_A, c[i], WEFT_SRD_ABORT);
	p->end[PAIR_B].recvs = UINT32_MAX;
	expect_works_and_close(p);
}

/* Nobody is there to answer our FIN: the close is over. */
static void weft_srd_on_unreachable__fin(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t c;

	(void)state;
	c = pair_post_wr(p, PAIR_A, wr_of(WEFT_SRD_WRITE, 90000));
	pair_run(p, WEFT_US(3));
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	weft_srd_close(p->end[PAIR_A].srd, p->now);
	pair_expect(p, PAIR_A, c, WEFT_SRD_FLUSHED);
	pair_run(p, WEFT_US(50));
	assert_false(weft_srd_is_closed(p->end[PAIR_A].srd));
	pair_unreachable(p, PAIR_A, PAIR_B);
	assert_true(weft_srd_is_closed(p->end[PAIR_A].srd));
	pair_heal(p);
	pair_close_idle(p);
}

/* Closed, or an address that nobody has heard of: nothing to do, and nothing is remembered. */
static void weft_srd_on_unreachable__closed_and_unknown(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_srd_usage before, after;

	(void)state;
	weft_srd_usage(p->end[PAIR_A].srd, &before);
	pair_unreachable(p, PAIR_A, PAIR_B);
	pair_unreachable(p, PAIR_A, 77);
	weft_srd_usage(p->end[PAIR_A].srd, &after);
	assert_memory_equal(&before, &after, sizeof(after));
	assert_int_equal(weft_srd_next_deadline(p->end[PAIR_A].srd), WEFT_NS_NEVER);
	pair_warm_up(p);
	pair_unreachable(p, PAIR_A, PAIR_B);
	pair_unreachable(p, PAIR_A, PAIR_B);
	expect_works_and_close(p);
}

/* Both ends called at once; ours was answered, and then we are told that nobody is there. What the peer
 * sends under that answer is welcome all the same. */
static void weft_srd_on_unreachable__half_open(void **state)
{
	(void)state;
	for (uint32_t ns = 0; ns < 25000; ns += 500) {
		struct pair *p = pair_open(2, NULL);
		struct weft_srd_wr wr = wr_of(WEFT_SRD_SEND, 3000);
		uint64_t a, b;

		a = pair_post_wr(p, PAIR_A, wr);
		wr.peer = PAIR_A;
		b = pair_post_wr(p, PAIR_B, wr);
		pair_run(p, ns);
		pair_unreachable(p, PAIR_A, PAIR_B);
		assert_true(p->end[PAIR_A].wr[a].done);
		pair_settle(p);
		if (p->end[PAIR_B].wr[b].status)
			pair_expect(p, PAIR_B, b, WEFT_SRD_ABORT);
		expect_works_and_close(p);
	}
}

/* Only that peer is meant. */
static void weft_srd_on_unreachable__others_go_on(void **state)
{
	struct pair *p = pair_open(3, NULL);
	struct weft_srd_wr wr = wr_of(WEFT_SRD_SEND, 8000);
	uint64_t gone, other;

	(void)state;
	gone = pair_post_wr(p, PAIR_A, wr);
	wr.peer = PAIR_C;
	other = pair_post_wr(p, PAIR_A, wr);
	pair_run(p, WEFT_US(12));
	pair_unreachable(p, PAIR_A, PAIR_B);
	pair_expect(p, PAIR_A, gone, WEFT_SRD_ABORT);
	pair_settle(p);
	pair_expect(p, PAIR_A, other, WEFT_SRD_OK);
	pair_close_idle(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_srd_cancel__at_any_time),
		cmocka_unit_test(weft_srd_cancel__before_the_handshake),
		cmocka_unit_test(weft_srd_cancel__one_of_two_before_the_handshake),
		cmocka_unit_test(weft_srd_cancel__queued),
		cmocka_unit_test(weft_srd_cancel__partly_sent),
		cmocka_unit_test(weft_srd_cancel__sent_and_not_acknowledged),
		cmocka_unit_test(weft_srd_cancel__cancel_is_lost),
		cmocka_unit_test(weft_srd_cancel__rnr_leader),
		cmocka_unit_test(weft_srd_cancel__rnr_follower),
		cmocka_unit_test(weft_srd_cancel__rnr_of_write_imm),
		cmocka_unit_test(weft_srd_cancel__read),
		cmocka_unit_test(weft_srd_cancel__read_answered_late),
		cmocka_unit_test(weft_srd_cancel__nothing_to_cancel),
		cmocka_unit_test(weft_srd_cancel__cookie_in_use_again),
		cmocka_unit_test(weft_srd_cancel__others_go_on),
		cmocka_unit_test(weft_srd_on_unreachable__hello),
		cmocka_unit_test(weft_srd_on_unreachable__while_draining),
		cmocka_unit_test(weft_srd_on_unreachable__open),
		cmocka_unit_test(weft_srd_on_unreachable__peer_keeps_the_unsent),
		cmocka_unit_test(weft_srd_on_unreachable__remains),
		cmocka_unit_test(weft_srd_on_unreachable__not_ready),
		cmocka_unit_test(weft_srd_on_unreachable__fin),
		cmocka_unit_test(weft_srd_on_unreachable__closed_and_unknown),
		cmocka_unit_test(weft_srd_on_unreachable__half_open),
		cmocka_unit_test(weft_srd_on_unreachable__others_go_on),
	};

	return cmocka_run_group_tests_name("srd_cancel", tests, NULL, NULL);
}
