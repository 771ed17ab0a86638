/* SPDX-License-Identifier: BSD-2-Clause */
/* Contexts: peers that die, peers that fall silent, peers that come and go; when a context shrinks to
 * its stub and what it keeps; and what happens when there is no room for one more. */
#include "pair.h"

#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct weft_srd_wr send_to(unsigned int peer, uint32_t len)
{
	return (struct weft_srd_wr){
		.op = WEFT_SRD_SEND, .len = len, .peer = peer, .rnr_retry = 7
	};
}

/* Death */

/* It never answered: 15, after the whole time and not before, and after at least eight tries. */
static void weft_ctx_fail__never_answered(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint64_t c;

	(void)state;
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A), .fate = PAIR_DROP });
	c = pair_post_wr(p, PAIR_A, send_to(PAIR_B, 10));
	pair_run(p, WEFT_S(5) - WEFT_US(1));
	pair_expect_open(p, PAIR_A, c);
	pair_run(p, WEFT_MS(100));
	pair_expect(p, PAIR_A, c, WEFT_SRD_UNREACHABLE);
	assert_true(p->logged >= 8);
	assert_int_equal(pair_stats(p, PAIR_A)->unresponsive_remote_events, 1);
	pair_close_idle(p);
}

/* It answered before: 13. Whatever was to be done with it, sent or not, ends. */
static void weft_ctx_fail__answered_before(void **state)
{
	static const enum weft_srd_op ops[] = { WEFT_SRD_SEND, WEFT_SRD_WRITE, WEFT_SRD_READ,
						WEFT_SRD_WRITE_IMM };
	struct pair *p = pair_open_warm(NULL);
	uint64_t c[8];
	weft_ns start;

	(void)state;
	start = p->now;
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	for (int i = 0; i < 8; i++)
		c[i] = pair_post(p, PAIR_A, ops[i % 4], i < 4 ? 100 : 8000);
	pair_run(p, WEFT_S(5) - WEFT_US(1));
	for (int i = 0; i < 8; i++)
		pair_expect_open(p, PAIR_A, c[i]);
	pair_settle(p);
	for (int i = 0; i < 8; i++)
		pair_expect(p, PAIR_A, c[i], WEFT_SRD_UNRESPONSIVE);
	assert_in_range(p->now - start, WEFT_S(5), WEFT_S(5) + WEFT_MS(120));
	assert_true(pair_stats(p, PAIR_A)->retrans_timeout_events >= 8);
	assert_int_equal(pair_stats(p, PAIR_A)->impaired_remote_events, 1);
	pair_expect_idle(p);
	/* What is posted after that tries anew, and it is still a peer that answered once. */
	c[0] = pair_post_wr(p, PAIR_A, send_to(PAIR_B, 10));
	pair_settle(p);
	pair_expect(p, PAIR_A, c[0], WEFT_SRD_UNRESPONSIVE);
	pair_heal(p);
	c[0] = pair_post_wr(p, PAIR_A, send_to(PAIR_B, 10));
	pair_settle(p);
	pair_expect(p, PAIR_A, c[0], WEFT_SRD_OK);
	pair_close(p);
}

/* The handshake was answered and then nothing more came. */
static void weft_ctx_fail__only_the_handshake_was_answered(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint64_t c;

	(void)state;
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_B), .skip = 1, .fate = PAIR_DROP });
	c = pair_post_wr(p, PAIR_A, send_to(PAIR_B, 10));
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_UNRESPONSIVE);
	pair_close(p);
}

static void tune_eager(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->dead_after = WEFT_MS(1);
}

static void tune_patient(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->dead_after = WEFT_S(30);
}

/* Both conditions hold: the time, and eight timeouts in a row. */
static void weft_ctx_fail__not_before_eight_timeouts(void **state)
{
	static pair_tune *const tunes[] = { tune_eager, tune_patient };

	(void)state;
	for (int i = 0; i < 2; i++) {
		for (int warm = 0; warm < 2; warm++) {
			struct pair *p = pair_open(2, tunes[i]);
			uint64_t c;
			weft_ns start;

			if (warm)
				pair_warm_up(p);
			start = p->now;
			pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
			c = pair_post_wr(p, PAIR_A, send_to(PAIR_B, 10));
			pair_settle(p);
			pair_expect(p, PAIR_A, c,
				    warm ? WEFT_SRD_UNRESPONSIVE : WEFT_SRD_UNREACHABLE);
			/* 100 us doubling: eight of them are 25.5 ms. */
			assert_true(p->now - start >= WEFT_US(100) * 255);
			assert_true(p->now - start >= p->end[PAIR_A].cfg.dead_after);
			if (i == 0)
				assert_true(p->now - start < WEFT_MS(60));
			pair_close(p);
		}
	}
}

/* Answers come once in a while, far apart but before the time is over: nobody is declared dead. */
static enum pair_fate one_in_twenty(struct pair *p, struct pair_pkt *pkt)
{
	uint32_t *n = p->hook_arg;

	return pkt->from == PAIR_B || ++*n % 20 == 0 ? PAIR_PASS : PAIR_DROP;
}

static void weft_ctx_fail__hardly_alive(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint32_t n = 0;

	(void)state;
	p->hook = one_in_twenty;
	p->hook_arg = &n;
	for (int i = 0; i < 10; i++)
		pair_post_wr(p, PAIR_A, send_to(PAIR_B, 100));
	pair_settle_ok(p);
	pair_close(p);
}

/* A peer that was asked to READ lives as long as it answers, however long it takes. Here it holds its
 * answer back for much longer than dead_after. */
static void weft_ctx_fail__slow_answer_is_no_death(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t c;

	(void)state;
	pair_rule(p, (struct pair_rule){
			     .from = PAIR_BIT(PAIR_B), .ops = PAIR_O(RESP), .fate = PAIR_DROP });
	c = pair_post(p, PAIR_A, WEFT_SRD_READ, 1000);
	/* B gives up on its answer at last, but its ACKs and probes prove that it lives until then. */
	pair_run(p, WEFT_S(4));
	pair_expect_open(p, PAIR_A, c);
	pair_heal(p);
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	pair_close_idle(p);
}

/* The responder died after it had acknowledged the request: nothing of ours is in flight, and still the
 * READ ends. */
static void weft_ctx_fail__responder_dies(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t c;
	weft_ns start;

	(void)state;
	pair_rule(p, (struct pair_rule){
			     .from = PAIR_BIT(PAIR_B), .ops = PAIR_O(RESP), .fate = PAIR_DROP });
	c = pair_post(p, PAIR_A, WEFT_SRD_READ, 1000);
	pair_run(p, WEFT_US(100));
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).inflight_pkts, 0);
	start = p->now;
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	pair_run(p, WEFT_S(5) - WEFT_MS(1));
	pair_expect_open(p, PAIR_A, c);
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_UNRESPONSIVE);
	assert_in_range(p->now - start, WEFT_S(5) - WEFT_MS(1), WEFT_S(6));
	pair_close(p);
}

/* A message half received, and its sender dies: the receive goes back. */
static void weft_ctx_fail__sender_dies(void **state)
{
	struct pair *p = pair_open_warm(NULL);

	(void)state;
	p->end[PAIR_B].recvs = 1;
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
					 .types = PAIR_T(DATA),
					 .skip = 3,
					 .fate = PAIR_DROP });
	pair_post_wr(p, PAIR_A, send_to(PAIR_B, 8000));
	pair_run(p, WEFT_US(50));
	assert_int_equal(p->end[PAIR_B].recvs, 0);
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	pair_run(p, WEFT_S(7));
	assert_int_equal(p->end[PAIR_B].recv_released, 1);
	assert_int_equal(p->end[PAIR_B].recvs, 1);
	pair_close_idle(p);
}

/* The death of one peer is nothing to the others. */
static void weft_ctx_fail__others_go_on(void **state)
{
	struct pair *p = pair_open(3, NULL);
	uint64_t dead, alive = 0;

	(void)state;
	pair_post_wr(p, PAIR_A, send_to(PAIR_C, 1));
	pair_settle(p);
	dead = pair_post_wr(p, PAIR_A, send_to(PAIR_B, 8000));
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_B), .fate = PAIR_DROP });
	for (int i = 0; i < 560; i++) {
		alive = pair_post_wr(p, PAIR_A, send_to(PAIR_C, 8000));
		pair_run(p, WEFT_MS(10));
		pair_expect(p, PAIR_A, alive, WEFT_SRD_OK);
		assert_in_range(p->end[PAIR_A].wr[alive].done_at -
					p->end[PAIR_A].wr[alive].posted_at,
				1, WEFT_US(100));
	}
	pair_expect(p, PAIR_A, dead, WEFT_SRD_UNREACHABLE);
	pair_close(p);
}

/* Idleness */

/* After idle_after without traffic a context is its stub, and nothing is ever sent for it again. */
static void weft_ctx__idle_shrinks_to_its_stub(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	struct weft_srd_usage u;
	uint32_t sent;

	(void)state;
	weft_srd_usage(p->end[PAIR_A].srd, &u);
	assert_int_equal(u.active, 1);
	pair_run(p, p->end[PAIR_A].cfg.idle_after - WEFT_MS(1));
	weft_srd_usage(p->end[PAIR_A].srd, &u);
	assert_int_equal(u.active, 1);
	pair_run(p, WEFT_MS(3));
	for (unsigned int id = 0; id < 2; id++) {
		weft_srd_usage(p->end[id].srd, &u);
		assert_int_equal(u.active, 0);
		assert_int_equal(u.timers, 0);
		assert_true(weft_srd_next_deadline(p->end[id].srd) == WEFT_NS_NEVER);
	}
	sent = p->logged;
	pair_run(p, WEFT_S(10000));
	assert_int_equal(p->logged, sent);
	pair_close(p);
}

/* What the stub keeps is enough to go on: same incarnation, next PSN, no handshake. */
static void weft_ctx__goes_on_after_idleness(void **state)
{
	struct pair *p = pair_open(2, NULL);

	(void)state;
	for (int i = 0; i < 20; i++) {
		pair_post(p, PAIR_A, i % 2 ? WEFT_SRD_READ : WEFT_SRD_SEND, 5000);
		pair_post_wr(p, PAIR_B, send_to(PAIR_A, 3000));
		pair_settle(p);
		pair_expect_idle(p);
	}
	assert_int_equal(p->end[PAIR_A].failed + p->end[PAIR_B].failed, 0);
	assert_int_equal(pair_stats(p, PAIR_A)->contexts_opened, 1);
	assert_int_equal(pair_stats(p, PAIR_B)->contexts_opened, 1);
	assert_int_equal(pair_stats(p, PAIR_A)->retrans_pkts + pair_stats(p, PAIR_B)->retrans_pkts,
			 0);
	assert_int_equal(pair_count(p, (struct pair_rule){ .types = PAIR_T(HELLO) }), 1 + 1);
	pair_close(p);
}

/* One end idle, the other not yet: the same, since only one of them has forgotten. */
static void tune_uneven(struct weft_srd_cfg *cfg, unsigned int id)
{
	cfg->idle_after = id == PAIR_A ? WEFT_US(200) : WEFT_S(100);
}

static void weft_ctx__one_end_idle(void **state)
{
	struct pair *p = pair_open(2, tune_uneven);

	(void)state;
	for (int i = 0; i < 50; i++) {
		pair_rule(p, (struct pair_rule){ .skip = 3 + i % 5, .count = 1, .fate = PAIR_DUP });
		pair_post_wr(p, i % 2 ? PAIR_A : PAIR_B, send_to(i % 2 ? PAIR_B : PAIR_A, 5000));
		pair_settle(p);
		pair_run(p, WEFT_MS(2));
		pair_heal(p);
	}
	assert_int_equal(p->end[PAIR_A].failed + p->end[PAIR_B].failed, 0);
	assert_int_equal(pair_stats(p, PAIR_A)->contexts_opened, 1);
	pair_close(p);
}

/* Old packets that come while the context sleeps wake it for a while and change nothing. */
static void weft_ctx__old_packets_while_asleep(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_srd_peer_info before;
	uint32_t n;

	(void)state;
	p->delay = WEFT_US(7);
	for (int i = 0; i < 3; i++) {
		pair_post(p, PAIR_A, WEFT_SRD_SEND, 5000);
		pair_post(p, PAIR_A, WEFT_SRD_READ, 5000);
	}
	pair_settle(p);
	pair_expect_idle(p);
	before = pair_info(p, PAIR_A, PAIR_B);
	n = p->logged;
	for (uint32_t i = 0; i < n; i++) {
		pair_deliver(p, p->log[i]);
		pair_expect_idle(p);
	}
	assert_int_equal(p->end[PAIR_B].recv_n, 3);
	/* Echoes of long ago say nothing about the way as it is now. */
	assert_in_range(pair_info(p, PAIR_A, PAIR_B).srtt, before.srtt / 2, 2 * before.srtt);
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 5000);
	pair_settle_ok(p);
	pair_close(p);
}

/* No room */

static void tune_one_active(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->active_max = 1;
	cfg->idle_after = WEFT_US(300);
}

/* One active block: a second peer has to wait until the first is idle, and is told so. */
static void weft_ctx_activate__one_block(void **state)
{
	struct pair *p = pair_open(3, tune_one_active);
	uint64_t c;

	(void)state;
	pair_post_wr(p, PAIR_A, send_to(PAIR_B, 5000));
	assert_int_equal(pair_try_post(p, PAIR_A, send_to(PAIR_C, 10), &c), -EAGAIN);
	pair_settle(p);
	pair_run(p, WEFT_MS(2));
	assert_int_equal(pair_try_post(p, PAIR_A, send_to(PAIR_C, 10), &c), 0);
	pair_settle_ok(p);
	pair_close_idle(p);
}

/* Two senders to a receiver with one block: the second is ignored until there is room, and loses
 * nothing by it. */
static void weft_ctx_activate__receiver_with_one_block(void **state)
{
	struct pair *p = pair_open(3, tune_one_active);

	(void)state;
	for (int i = 0; i < 10; i++) {
		pair_post_wr(p, PAIR_A, send_to(PAIR_B, 5000));
		pair_post_wr(p, PAIR_C, send_to(PAIR_B, 5000));
		pair_settle(p);
	}
	assert_int_equal(p->end[PAIR_A].failed + p->end[PAIR_C].failed, 0);
	assert_int_equal(p->end[PAIR_B].recv_done, 20);
	pair_close_idle(p);
}

static void tune_few_contexts(struct weft_srd_cfg *cfg, unsigned int id)
{
	if (id == PAIR_A)
		cfg->contexts_max = 2;
}

static struct weft_gid stranger(unsigned int n)
{
	return (struct weft_gid){ .raw = { 0xfd, [14] = (uint8_t)(n >> 8), [15] = (uint8_t)n } };
}

/* Peers nobody refers to and that have no open context make room; others do not. */
static void weft_ctx_create__eviction(void **state)
{
	struct pair *p = pair_open(2, tune_few_contexts);
	struct weft_srd *srd = p->end[PAIR_A].srd;
	struct weft_gid gid[3] = { stranger(1), stranger(2), stranger(3) };
	uint32_t one, two;

	(void)state;
	assert_int_equal(weft_srd_peer_get(srd, &gid[0], &one), 0);
	assert_int_equal(weft_srd_peer_get(srd, &gid[1], &two), -ENOMEM);
	weft_srd_peer_put(srd, one);
	assert_int_equal(weft_srd_peer_get(srd, &gid[1], &two), 0);
	assert_int_equal(two, one);
	assert_int_equal(weft_srd_peer_get(srd, &gid[1], &two), 0);
	weft_srd_peer_put(srd, two);
	assert_int_equal(weft_srd_peer_get(srd, &gid[2], &one),
			 -ENOMEM); /* One reference is left. */
	weft_srd_peer_put(srd, two);
	assert_int_equal(weft_srd_peer_get(srd, &gid[2], &one), 0);
	pair_warm_up(p);
	pair_close(p);
}

/* Five thousand strangers, one after the other, through two places. */
static void weft_ctx_create__many_strangers(void **state)
{
	struct pair *p = pair_open(2, tune_few_contexts);
	struct weft_srd *srd = p->end[PAIR_A].srd;

	(void)state;
	for (unsigned int i = 0; i < 5000; i++) {
		struct weft_gid gid = stranger(i);
		uint32_t peer;

		assert_int_equal(weft_srd_peer_get(srd, &gid, &peer), 0);
		weft_srd_peer_put(srd, peer);
		if (i % 500 == 0)
			pair_warm_up(p);
	}
	assert_int_equal(p->end[PAIR_A].failed, 0);
	pair_close(p);
}

/* HELLOs of a thousand strangers: no more stubs than there is room for, and the peer that is in use
 * stays. */
static void weft_ctx_create__hellos_of_strangers(void **state)
{
	struct pair *p = pair_open(2, tune_few_contexts);
	struct weft_hello hello = {
		.dst = p->end[PAIR_A].cfg.gid, .epoch = 5, .version_max = 1, .payload_max = 1024
	};
	uint8_t body[WEFT_PROTO_HELLO];
	uint64_t reset;

	(void)state;
	pair_warm_up(p);
	reset = pair_stats(p, PAIR_A)->contexts_reset;
	for (unsigned int i = 0; i < 1000; i++) {
		hello.src = stranger(i);
		weft_hello_encode(body, &hello);
		pair_forge(p, PAIR_A, (struct weft_hdr){ .type = WEFT_PKT_HELLO }, body,
			   sizeof(body), NULL, 0);
		pair_drain(p);
	}
	assert_in_range(p->end[PAIR_A].srd->ctx_len, 1, 2);
	assert_int_equal(pair_stats(p, PAIR_A)->contexts_reset, reset);
	pair_warm_up(p);
	assert_int_equal(p->end[PAIR_A].failed + p->end[PAIR_B].failed, 0);
	assert_int_equal(pair_stats(p, PAIR_A)->contexts_opened, 1);
	pair_close(p);
}

/* A peer that was forgotten while its own end is still open is asked to start over by RESET. */
static void weft_ctx_create__forgotten_peer_returns(void **state)
{
	struct pair *p = pair_open_warm(tune_few_contexts);
	struct weft_srd *srd = p->end[PAIR_A].srd;
	uint64_t c;

	(void)state;
	pair_restart(p, PAIR_A);
	srd = p->end[PAIR_A].srd;
	weft_srd_peer_put(srd, p->end[PAIR_A].peer[PAIR_B]);
	for (unsigned int i = 0; i < 4; i++) {
		struct weft_gid gid = stranger(i);
		uint32_t peer;

		if (!weft_srd_peer_get(srd, &gid, &peer))
			weft_srd_peer_put(srd, peer);
	}
	c = pair_post_wr(p, PAIR_B, send_to(PAIR_A, 10));
	pair_settle(p);
	pair_expect(p, PAIR_B, c, WEFT_SRD_ABORT);
	c = pair_post_wr(p, PAIR_B, send_to(PAIR_A, 10));
	pair_settle(p);
	pair_expect(p, PAIR_B, c, WEFT_SRD_OK);
	pair_close(p);
}

static void tune_few_packets(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->packets_max = 1;
}

/* Hardly any room for packets in flight, shared by three peers: slow, but everybody gets on. */
static void weft_ctx__few_packets(void **state)
{
	struct pair *p = pair_open(4, tune_few_packets);

	(void)state;
	for (unsigned int i = 0; i < 30; i++)
		pair_post_wr(p, PAIR_A,
			     (struct weft_srd_wr){
				     .op = WEFT_SRD_WRITE, .len = 60000, .peer = 1 + i % 3 });
	pair_settle_ok(p);
	pair_close_idle(p);
}

/* A chunk of the pool comes free while other contexts wait for one and nothing of theirs is in flight. */
static void weft_ctx__few_packets_and_losses(void **state)
{
	struct pair *p = pair_open(4, tune_few_packets);
	struct pair_rule *r;

	(void)state;
	for (uint32_t i = 0; i < 8; i++) {
		r = pair_rule(p, (struct pair_rule){ .types = PAIR_T(DATA),
						     .skip = 17 * i,
						     .count = 3,
						     .fate = PAIR_DROP });
		assert_non_null(r);
	}
	for (unsigned int i = 0; i < 30; i++)
		pair_post_wr(p, PAIR_A,
			     (struct weft_srd_wr){ .op = WEFT_SRD_SEND,
						   .len = 8000,
						   .peer = 1 + i % 3,
						   .rnr_retry = 7 });
	pair_settle_ok(p);
	assert_in_range(p->now, WEFT_S(1), WEFT_S(2));
	pair_close_idle(p);
}

/* Patience begins with the send, not with the last acknowledgement of one: after six seconds of only
 * receiving, a way that is dead for 60 ms is no dead peer. */
static void weft_ctx_fail__only_received_before(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint64_t c;

	(void)state;
	for (int i = 0; i < 300; i++) {
		pair_post_wr(p, PAIR_B, send_to(PAIR_A, 100));
		pair_run(p, WEFT_MS(20));
	}
	pair_rule(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A), .fate = PAIR_DROP });
	c = pair_post_wr(p, PAIR_A, send_to(PAIR_B, 100));
	for (int i = 0; i < 30; i++) {
		pair_post_wr(p, PAIR_B, send_to(PAIR_A, 100));
		pair_run(p, WEFT_MS(2));
	}
	assert_in_range(pair_stats(p, PAIR_A)->retrans_timeout_events, 8, 20);
	pair_expect_open(p, PAIR_A, c);
	pair_heal(p);
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	assert_int_equal(p->end[PAIR_B].failed, 0);
	pair_close_idle(p);
}

static void tune_two_active(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->active_max = 2;
}

/* A context that merely rests gives up its block at once when another wants it; nobody waits for
 * idle_after. */
static void weft_ctx_activate__resting_ones_give_way(void **state)
{
	struct pair *p = pair_open(4, tune_two_active);
	uint64_t c;

	(void)state;
	for (int i = 0; i < 12; i++) {
		assert_int_equal(
			pair_try_post(p, PAIR_A, send_to(PAIR_B + (unsigned int)i % 3, 64), &c), 0);
		pair_settle(p);
		pair_run(p, WEFT_MS(1));
	}
	assert_int_equal(p->end[PAIR_A].failed, 0);
	pair_close_idle(p);
}

/* Everybody sends to the next two, in a ring, with two blocks each: if they all took both for sending,
 * each would wait for a peer that has none left for it, until others are done and have rested. So posts
 * leave one block to what comes in, and it is a matter of round trips. */
static void weft_ctx_may_activate__ring(void **state)
{
	struct pair *p = pair_open(4, tune_two_active);
	uint32_t refused = 0;
	weft_ns start = p->now;

	(void)state;
	for (unsigned int step = 1; step <= 2; step++) {
		for (unsigned int id = PAIR_A; id <= PAIR_D; id++) {
			uint64_t c;
			int rc;

			while ((rc = pair_try_post(p, id, send_to((id + step) % 4, 5000), &c))) {
				assert_int_equal(rc, -EAGAIN);
				assert_in_range(p->now - start, 0, WEFT_MS(5));
				refused++;
				pair_run(p, WEFT_US(10));
			}
		}
	}
	pair_settle(p);
	for (unsigned int id = PAIR_A; id <= PAIR_D; id++) {
		assert_int_equal(p->end[id].failed, 0);
		assert_int_equal(p->end[id].recv_done, 2);
	}
	assert_in_range(p->now - start, 0, WEFT_MS(5));
	assert_true(refused);
	pair_close_idle(p);
}

static uint32_t active_max;

static void tune_active(struct weft_srd_cfg *cfg, unsigned int id)
{
	if (id != PAIR_A)
		return;
	cfg->active_max = active_max;
	cfg->contexts_max = 16;
}

/* Work for peers that never answer takes all blocks but a quarter, and one at least: a peer that lives
 * and sends finds one. */
static void weft_ctx_may_activate__leaves_a_quarter(void **state)
{
	static const struct {
		uint32_t blocks, posts;
	} rows[] = { { 2, 1 }, { 3, 2 }, { 4, 3 }, { 7, 6 }, { 8, 6 }, { 12, 9 } };

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct pair *p;
		uint32_t posts = 0;
		uint64_t c;
		int rc = 0;

		active_max = rows[i].blocks;
		p = pair_open(2, tune_active);
		while (!rc && posts < 13) {
			struct weft_gid gid = stranger(200 + posts);

			assert_int_equal(weft_srd_peer_get(p->end[PAIR_A].srd, &gid,
							   &p->end[PAIR_A].peer[PAIR_C]),
					 0);
			rc = pair_try_post(p, PAIR_A, send_to(PAIR_C, 10), &c);
			posts += !rc;
		}
		assert_int_equal(rc, -EAGAIN);
		c = pair_post_wr(p, PAIR_B, send_to(PAIR_A, 10));
		pair_run(p, WEFT_MS(5));
		pair_expect(p, PAIR_B, c, WEFT_SRD_OK);
		assert_int_equal(posts, rows[i].posts);
		pair_settle(p);
		assert_int_equal(p->end[PAIR_A].failed, posts);
		pair_close(p);
	}
}

/* More processes than there are places, one after the other, each killed without a word: the open stubs
 * that they leave behind make room once they have rested for dead_after. */
static void weft_ctx_create__peers_that_vanish(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_gid gid = stranger(1);
	uint32_t peer;

	(void)state;
	for (unsigned int i = 0; i < 3 * p->end[PAIR_B].cfg.contexts_max; i++) {
		uint64_t c;

		p->end[PAIR_A].cfg.gid.raw[8] = (uint8_t)(i + 1);
		pair_restart(p, PAIR_A);
		c = pair_post_wr(p, PAIR_A, send_to(PAIR_B, 10));
		pair_settle(p);
		pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
		pair_run(p, WEFT_S(10));
	}
	assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_NO_MEMORY], 0);
	assert_int_equal(weft_srd_peer_get(p->end[PAIR_B].srd, &gid, &peer), 0);
	pair_close(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_ctx_fail__never_answered),
		cmocka_unit_test(weft_ctx_fail__answered_before),
		cmocka_unit_test(weft_ctx_fail__only_the_handshake_was_answered),
		cmocka_unit_test(weft_ctx_fail__not_before_eight_timeouts),
		cmocka_unit_test(weft_ctx_fail__hardly_alive),
		cmocka_unit_test(weft_ctx_fail__slow_answer_is_no_death),
		cmocka_unit_test(weft_ctx_fail__responder_dies),
		cmocka_unit_test(weft_ctx_fail__sender_dies),
		cmocka_unit_test(weft_ctx_fail__others_go_on),
		cmocka_unit_test(weft_ctx__idle_shrinks_to_its_stub),
		cmocka_unit_test(weft_ctx__goes_on_after_idleness),
		cmocka_unit_test(weft_ctx__one_end_idle),
		cmocka_unit_test(weft_ctx__old_packets_while_asleep),
		cmocka_unit_test(weft_ctx_activate__one_block),
		cmocka_unit_test(weft_ctx_activate__receiver_with_one_block),
		cmocka_unit_test(weft_ctx_create__eviction),
		cmocka_unit_test(weft_ctx_create__many_strangers),
		cmocka_unit_test(weft_ctx_create__hellos_of_strangers),
		cmocka_unit_test(weft_ctx_create__forgotten_peer_returns),
		cmocka_unit_test(weft_ctx__few_packets),
		cmocka_unit_test(weft_ctx__few_packets_and_losses),
		cmocka_unit_test(weft_ctx_fail__only_received_before),
		cmocka_unit_test(weft_ctx_activate__resting_ones_give_way),
		cmocka_unit_test(weft_ctx_may_activate__ring),
		cmocka_unit_test(weft_ctx_may_activate__leaves_a_quarter),
		cmocka_unit_test(weft_ctx_create__peers_that_vanish),
	};

	return cmocka_run_group_tests_name("srd_ctx", tests, NULL, NULL);
}
