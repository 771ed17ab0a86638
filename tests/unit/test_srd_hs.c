/* SPDX-License-Identifier: BSD-2-Clause */
/* The handshake: who may talk to whom, whatever is lost, doubled, old or crossed, and whoever is
 * restarted in between. */
#include "pair.h"

#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define A_TO_B                                                                 \
	(struct weft_srd_wr)                                                   \
	{                                                                      \
		.op = WEFT_SRD_SEND, .len = 10, .peer = PAIR_B, .rnr_retry = 7 \
	}
#define B_TO_A                                                                 \
	(struct weft_srd_wr)                                                   \
	{                                                                      \
		.op = WEFT_SRD_SEND, .len = 10, .peer = PAIR_A, .rnr_retry = 7 \
	}

static uint64_t contexts_reset(const struct pair *p)
{
	return pair_stats(p, PAIR_A)->contexts_reset + pair_stats(p, PAIR_B)->contexts_reset;
}

/* Both ends are open, and each knows the other's epoch. */
static void expect_paired(struct pair *p)
{
	const struct weft_ctx *a = pair_ctx(p, PAIR_A, PAIR_B), *b = pair_ctx(p, PAIR_B, PAIR_A);

	assert_int_equal(a->state, WEFT_CTX_OPEN);
	assert_int_equal(b->state, WEFT_CTX_OPEN);
	assert_int_equal(a->epoch, b->peer_epoch);
	assert_int_equal(b->epoch, a->peer_epoch);
	assert_int_equal(a->peer_ctx, weft_ctx_index(p->end[PAIR_B].srd, b));
	assert_int_equal(b->peer_ctx, weft_ctx_index(p->end[PAIR_A].srd, a));
	assert_int_not_equal(a->epoch, 0);
	assert_int_not_equal(b->epoch, 0);
}

/* The conversation works in both directions, now and at once. */
static void expect_works(struct pair *p)
{
	uint64_t a = pair_post_wr(p, PAIR_A, A_TO_B), b = pair_post_wr(p, PAIR_B, B_TO_A);

	pair_settle(p);
	pair_expect(p, PAIR_A, a, WEFT_SRD_OK);
	pair_expect(p, PAIR_B, b, WEFT_SRD_OK);
	pair_run(p, WEFT_MS(1));
	expect_paired(p);
}

/* After a restart the first messages may still meet the end of the old incarnation; later ones may not. */
static void recover(struct pair *p)
{
	pair_post_wr(p, PAIR_A, A_TO_B);
	pair_post_wr(p, PAIR_B, B_TO_A);
	pair_settle(p);
	pair_run(p, WEFT_MS(1));
	expect_works(p);
}

/* No message was delivered twice. Bytes come from `imm`, and each post has its own. */
static void expect_once(const struct pair *p, unsigned int id)
{
	const struct pair_end *end = &p->end[id];

	for (uint32_t i = 0; i < end->recv_n; i++)
		for (uint32_t k = 0; end->recv[i].done && k < i; k++)
			if (end->recv[k].done && end->recv[k].info.imm == end->recv[i].info.imm)
				fail_msg("message %u was delivered twice", end->recv[i].info.imm);
}

/* Nothing of a message before the handshake is over. */
static void weft_hs_begin__no_data_before_welcome(void **state)
{
	struct pair *p = pair_open(2, NULL);
	const struct pair_pkt *first;

	(void)state;
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 5000);
	pair_settle(p);
	first = pair_find(p, (struct pair_rule){ .types = PAIR_T(DATA) }, 0);
	assert_int_equal(p->log[0]->hdr.type, WEFT_PKT_HELLO);
	assert_int_equal(p->log[1]->hdr.type, WEFT_PKT_WELCOME);
	assert_ptr_equal(p->log[2], first);
	/* One round trip, and then data at once. */
	assert_int_equal(first->sent - p->log[0]->sent, 2 * p->delay);
	assert_int_equal(p->log[0]->hdr.dst_epoch, 0);
	assert_int_equal(p->log[1]->hdr.dst_epoch, p->log[0]->hello.epoch);
	assert_int_equal(first->hdr.dst_epoch, p->log[1]->hello.epoch);
	assert_true(first->hdr.psn == p->log[0]->hello.epoch);
	expect_works(p);
	pair_close_idle(p);
}

/* HELLOs are repeated after twice the time each, up to rto_max, and a quarter of chance on top. */
static void weft_hs_on_deadline__hello_backs_off(void **state)
{
	struct pair *p = pair_open(2, NULL);
	weft_ns last = 0, wait = 0;

	(void)state;
	pair_rule(p, (struct pair_rule){ .types = PAIR_T(HELLO), .count = 14, .fate = PAIR_DROP });
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 10);
	pair_settle_ok(p);
	assert_int_equal(pair_count(p, (struct pair_rule){ .types = PAIR_T(HELLO) }), 15);
	for (uint32_t i = 0; i < 15; i++) {
		const struct pair_pkt *pkt =
			pair_find(p, (struct pair_rule){ .types = PAIR_T(HELLO) }, i);

		if (i) {
			weft_ns want = WEFT_MIN(WEFT_US(100) << (i - 1), WEFT_MS(50));

			wait = pkt->sent - last;
			assert_in_range(wait, want, want + want / 4 + 2048);
		}
		last = pkt->sent;
		/* The same attempt: a new epoch each time would never match a late WELCOME. */
		assert_int_equal(pkt->hello.epoch, p->log[0]->hello.epoch);
	}
	expect_works(p);
	pair_close(p);
}

/* Each early packet lost, alone and together with the next; doubled; late. */
static void weft_hs__any_packet_lost_or_doubled(void **state)
{
	static const enum pair_fate fates[] = { PAIR_DROP, PAIR_DUP, PAIR_CORRUPT };

	(void)state;
	for (size_t f = 0; f < WEFT_ARRAY_SIZE(fates); f++) {
		for (uint32_t skip = 0; skip < 8; skip++) {
			for (uint32_t count = 1; count <= 4; count++) {
				struct pair *p = pair_open(2, NULL);

				pair_rule(p, (struct pair_rule){ .skip = skip,
								 .count = count,
								 .fate = fates[f] });
				pair_post_wr(p, PAIR_A, A_TO_B);
				pair_post_wr(p, PAIR_B, B_TO_A);
				pair_settle_ok(p);
				assert_int_equal(contexts_reset(p), 0);
				expect_works(p);
				expect_once(p, PAIR_A);
				expect_once(p, PAIR_B);
				pair_close_idle(p);
			}
		}
	}
}

static void weft_hs_on_hello__doubled_opens_once(void **state)
{
	struct pair *p = pair_open(2, NULL);

	(void)state;
	pair_rule(p,
		  (struct pair_rule){ .types = PAIR_T(HELLO) | PAIR_T(WELCOME), .fate = PAIR_DUP });
	pair_post_wr(p, PAIR_A, A_TO_B);
	pair_settle(p);
	pair_run(p, WEFT_MS(1));
	assert_int_equal(pair_stats(p, PAIR_A)->contexts_opened, 1);
	assert_int_equal(pair_stats(p, PAIR_B)->contexts_opened, 1);
	assert_true(pair_stats(p, PAIR_A)->rx_drops[WEFT_SRD_DROP_STALE] >= 1);
	expect_works(p);
	pair_close(p);
}

/* Both begin at the same time, and the answers cross. */
static void weft_hs_on_hello__simultaneous(void **state)
{
	(void)state;
	for (weft_ns skew = 0; skew < WEFT_US(12); skew += 500) {
		struct pair *p = pair_open(2, NULL);

		pair_post_wr(p, PAIR_A, A_TO_B);
		pair_run(p, skew);
		pair_post_wr(p, PAIR_B, B_TO_A);
		pair_settle_ok(p);
		assert_int_equal(contexts_reset(p), 0);
		assert_int_equal(pair_stats(p, PAIR_A)->contexts_opened, 1);
		assert_int_equal(pair_stats(p, PAIR_B)->contexts_opened, 1);
		/* Crossing costs no timeout. */
		assert_in_range(p->now, WEFT_S(1), WEFT_S(1) + WEFT_US(60));
		expect_works(p);
		pair_close_idle(p);
	}
}

/* Every order in which the handshake packets of two who begin at once can arrive: those named by the
 * bits of `held` come 200 us late, and so past the next try. */
static void weft_hs__crossed_in_every_order(void **state)
{
	(void)state;
	for (unsigned int held = 0; held < 256; held++) {
		struct pair *p = pair_open(2, NULL);

		for (unsigned int i = 0; i < 8; i++)
			if (held >> i & 1)
				pair_rule(p, (struct pair_rule){
						     .skip = i, .count = 1, .fate = PAIR_HOLD });
		pair_post_wr(p, PAIR_A, A_TO_B);
		pair_post_wr(p, PAIR_B, B_TO_A);
		pair_run(p, WEFT_US(130));
		pair_release(p);
		pair_settle_ok(p);
		assert_int_equal(contexts_reset(p), 0);
		expect_once(p, PAIR_A);
		expect_once(p, PAIR_B);
		expect_works(p);
		pair_close(p);
	}
}

/* No HELLO or WELCOME ever pairs an epoch with a second one: two engines that talk at once, with
 * restarts, over a wire that shuffles. Looked at from the data: whoever shows epoch E of B sends from one
 * first PSN, its own epoch, and no other. */
static enum pair_fate shuffle(struct pair *p, struct pair_pkt *pkt)
{
	struct weft_prng *rnd = p->hook_arg;

	if (pkt->hdr.type > WEFT_PKT_RESET && weft_prng_chance(rnd, 500000))
		return PAIR_PASS;
	pkt->delay += weft_prng_below(rnd, 4) * WEFT_US(60);
	if (weft_prng_chance(rnd, 150000))
		return PAIR_DROP;
	return weft_prng_chance(rnd, 200000) ? PAIR_DUP : PAIR_PASS;
}

struct partner {
	uint32_t epoch, first_psn;
};

static void expect_one_partner(const struct pair *p)
{
	struct partner seen[4096];
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->logged; i++) {
		const struct pair_pkt *pkt = p->log[i];
		uint32_t k, first = (uint32_t)(pkt->hdr.psn >> 8);

		if (pkt->hdr.type != WEFT_PKT_DATA)
			continue;
		for (k = 0; k < n && seen[k].epoch != pkt->hdr.dst_epoch; k++)
			;
		if (k == n && n < WEFT_ARRAY_SIZE(seen))
			seen[n++] = (struct partner){ pkt->hdr.dst_epoch, first };
		/* A few hundred packets per incarnation: near the first PSN, or another incarnation. */
		assert_in_range(first - seen[k].first_psn + 8, 0, 16);
	}
}

static void weft_hs__one_epoch_one_partner(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct pair *p = pair_open(2, NULL);
		struct weft_prng rnd;

		weft_prng_init(&rnd, seed);
		p->hook = shuffle;
		p->hook_arg = &rnd;
		for (int i = 0; i < 40; i++) {
			unsigned int id = weft_prng_below(&rnd, 2);

			if (weft_prng_chance(&rnd, 200000))
				pair_restart(p, weft_prng_below(&rnd, 2));
			pair_post_wr(p, id, id == PAIR_A ? A_TO_B : B_TO_A);
			pair_run(p, weft_prng_below(&rnd, 200) * 1000);
		}
		pair_heal(p);
		pair_settle(p);
		expect_one_partner(p);
		expect_once(p, PAIR_A);
		expect_once(p, PAIR_B);
		pair_run(p, WEFT_MS(100));
		recover(p);
		pair_close(p);
	}
}

/* Either side is restarted at any moment of the first 40 us, with or without another post of its own
 * afterwards: nothing hangs, nothing is delivered twice, and the conversation can go on. */
static void restart_at(weft_ns at, unsigned int who, bool both)
{
	struct pair *p = pair_open(2, NULL);

	pair_post_wr(p, PAIR_A, A_TO_B);
	if (both)
		pair_post_wr(p, PAIR_B, B_TO_A);
	pair_run(p, at);
	pair_restart(p, who);
	if (both)
		pair_post_wr(p, who, who == PAIR_A ? A_TO_B : B_TO_A);
	pair_settle(p);
	for (unsigned int id = 0; id < 2; id++)
		for (uint32_t i = 0; i < p->end[id].wrs; i++)
			if (p->end[id].wr[i].done)
				assert_true(p->end[id].wr[i].status == WEFT_SRD_OK ||
					    p->end[id].wr[i].status == WEFT_SRD_ABORT);
	recover(p);
	expect_once(p, PAIR_A);
	expect_once(p, PAIR_B);
	pair_close_idle(p);
}

static void weft_hs__restart_between_any_two_packets(void **state)
{
	(void)state;
	for (weft_ns at = 0; at < WEFT_US(40); at += 1250)
		for (unsigned int who = PAIR_A; who <= PAIR_B; who++)
			for (int both = 0; both <= 1; both++)
				restart_at(at, who, both);
}

/* Both are restarted, the second some time after the first. */
static void weft_hs__both_restarted(void **state)
{
	(void)state;
	for (weft_ns gap = 0; gap < WEFT_US(300); gap += 7000) {
		struct pair *p = pair_open(2, NULL);

		expect_works(p);
		pair_restart(p, PAIR_A);
		pair_post_wr(p, PAIR_A, A_TO_B);
		pair_run(p, gap);
		pair_restart(p, PAIR_B);
		pair_post_wr(p, PAIR_B, B_TO_A);
		pair_settle(p);
		recover(p);
		expect_once(p, PAIR_A);
		expect_once(p, PAIR_B);
		pair_close(p);
	}
}

/* A new HELLO from a peer that was restarted ends what was under way with ABORT, once the peer shows
 * that it is alive; until then everything goes on. */
static void weft_hs_on_hello__restarted_peer_aborts(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint64_t c;

	(void)state;
	expect_works(p);
	pair_rule(p, (struct pair_rule){
			     .from = PAIR_BIT(PAIR_B), .types = PAIR_T(DATA), .fate = PAIR_DROP });
	c = pair_post_wr(p, PAIR_B, B_TO_A);
	pair_run(p, WEFT_US(20));
	pair_restart(p, PAIR_A);
	pair_post_wr(p, PAIR_A, A_TO_B);
	pair_run(p, WEFT_US(6));
	pair_expect_open(p, PAIR_B, c);
	pair_run(p, WEFT_US(10));
	pair_expect(p, PAIR_B, c, WEFT_SRD_ABORT);
	pair_heal(p);
	expect_works(p);
	pair_close(p);
}

static struct pair_pkt *copy_of(const struct pair_pkt *pkt)
{
	struct pair_pkt *copy = malloc(sizeof(*copy));

	assert_non_null(copy);
	*copy = *pkt;
	return copy;
}

/* Old packets of every kind, from this incarnation and earlier ones, delivered again at every stage:
 * nothing that works is disturbed, and nothing is delivered again. */
static void weft_hs__replays_are_harmless(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint32_t n;

	(void)state;
	expect_works(p);
	pair_restart(p, PAIR_A);
	recover(p);
	pair_restart(p, PAIR_B);
	recover(p);
	n = p->logged;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t a = pair_post_wr(p, PAIR_A, A_TO_B), b = pair_post_wr(p, PAIR_B, B_TO_A);
		uint64_t resets = contexts_reset(p);

		pair_run(p, WEFT_US(3));
		pair_deliver(p, p->log[i]);
		pair_settle(p);
		pair_expect(p, PAIR_A, a, WEFT_SRD_OK);
		pair_expect(p, PAIR_B, b, WEFT_SRD_OK);
		assert_int_equal(contexts_reset(p), resets);
	}
	expect_once(p, PAIR_A);
	expect_once(p, PAIR_B);
	pair_close_idle(p);
}

/* The same while nothing is under way: whatever the old packet sets off ends by itself. */
static void weft_hs__replays_when_idle(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint32_t n;

	(void)state;
	expect_works(p);
	pair_restart(p, PAIR_A);
	recover(p);
	n = p->logged;
	pair_expect_idle(p);
	for (uint32_t i = 0; i < n; i++) {
		pair_deliver(p, p->log[i]);
		pair_expect_idle(p);
	}
	expect_once(p, PAIR_A);
	expect_once(p, PAIR_B);
	expect_works(p);
	pair_close(p);
}

static void tune_one_packet(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->cwnd_init = 1;
}

/* The peer has lost the context: what has left is aborted, what has not goes out in the next one. */
static void weft_hs_on_reset__spares_unsent(void **state)
{
	struct pair *p = pair_open(2, tune_one_packet);
	uint64_t sent, unsent[3];

	(void)state;
	expect_works(p);
	pair_restart(p, PAIR_B);
	sent = pair_post(p, PAIR_A, WEFT_SRD_SEND, 1000);
	for (int i = 0; i < 3; i++)
		unsent[i] = pair_post(p, PAIR_A, i == 1 ? WEFT_SRD_READ : WEFT_SRD_SEND, 1000);
	pair_settle(p);
	pair_expect(p, PAIR_A, sent, WEFT_SRD_ABORT);
	for (int i = 0; i < 3; i++)
		pair_expect(p, PAIR_A, unsent[i], WEFT_SRD_OK);
	assert_int_equal(pair_count(p, (struct pair_rule){ .types = PAIR_T(RESET) }), 1);
	assert_int_equal(pair_stats(p, PAIR_A)->contexts_reset, 1);
	expect_once(p, PAIR_B);
	expect_works(p);
	pair_close_idle(p);
}

/* A message of which a part has left is aborted too: the rest would be nobody's. */
static void weft_hs_on_reset__half_sent_is_aborted(void **state)
{
	struct pair *p = pair_open(2, tune_one_packet);
	uint64_t c[3];

	(void)state;
	expect_works(p);
	c[0] = pair_post(p, PAIR_A, WEFT_SRD_WRITE, 50000);
	c[1] = pair_post(p, PAIR_A, WEFT_SRD_SEND, 5000);
	c[2] = pair_post(p, PAIR_A, WEFT_SRD_READ, 50000);
	pair_run(p, WEFT_US(25));
	for (int i = 0; i < 2; i++)
		pair_expect_open(p, PAIR_A, c[i]);
	pair_restart(p, PAIR_B);
	pair_settle(p);
	pair_expect(p, PAIR_A, c[0], WEFT_SRD_ABORT);
	expect_once(p, PAIR_B);
	expect_works(p);
	pair_close_idle(p);
}

static void forge_reset(struct pair *p, uint32_t dst_ctx, uint32_t src_ctx, uint64_t epoch,
			uint8_t type)
{
	struct weft_hdr hdr = {
		.type = type, .dst_ctx = dst_ctx, .src_ctx = src_ctx, .psn = epoch
	};

	pair_forge(p, PAIR_A, hdr, NULL, 0, NULL, 0);
}

static void weft_hs_on_reset__names_the_incarnation(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_ctx *a;
	uint64_t stale;

	(void)state;
	expect_works(p);
	a = pair_ctx(p, PAIR_A, PAIR_B);
	stale = pair_stats(p, PAIR_A)->rx_drops[WEFT_SRD_DROP_STALE];
	forge_reset(p, 0, a->peer_ctx, (uint64_t)a->peer_epoch + 1, WEFT_PKT_RESET);
	forge_reset(p, 0, a->peer_ctx, a->epoch, WEFT_PKT_RESET);
	forge_reset(p, 0, a->peer_ctx, a->peer_epoch | (uint64_t)1 << 32, WEFT_PKT_RESET);
	forge_reset(p, 0, a->peer_ctx, 0, WEFT_PKT_RESET);
	forge_reset(p, 0, a->peer_ctx + 1, a->peer_epoch, WEFT_PKT_RESET);
	forge_reset(p, 1, a->peer_ctx, a->peer_epoch, WEFT_PKT_RESET);
	forge_reset(p, UINT32_MAX, a->peer_ctx, a->peer_epoch, WEFT_PKT_RESET);
	forge_reset(p, 0, a->peer_ctx, a->peer_epoch, WEFT_PKT_FIN_ACK); /* We sent no FIN. */
	assert_int_equal(pair_stats(p, PAIR_A)->rx_drops[WEFT_SRD_DROP_STALE], stale + 8);
	assert_int_equal(a->state, WEFT_CTX_OPEN);
	forge_reset(p, 0, a->peer_ctx, a->peer_epoch, WEFT_PKT_RESET);
	assert_int_equal(a->state, WEFT_CTX_CLOSED);
	pair_post_wr(p, PAIR_A, A_TO_B);
	pair_settle(p);
	expect_works(p);
	pair_close(p);
}

/* Strangers get a RESET that names what they showed, and a flood of them gets a few. */
static void weft_hs_queue_reply__names_and_bounds(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_hdr hdr = {
		.type = WEFT_PKT_PROBE, .dst_ctx = 77, .dst_epoch = 0x1234, .src_ctx = 5
	};
	const struct pair_pkt *pkt;

	(void)state;
	pair_forge(p, PAIR_B, hdr, NULL, 0, NULL, 0);
	assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_NO_CONTEXT], 1);
	pair_drain(p);
	pkt = pair_find(p, (struct pair_rule){ .types = PAIR_T(RESET) }, 0);
	assert_non_null(pkt);
	assert_int_equal(pkt->hdr.dst_ctx, 5);
	assert_int_equal(pkt->hdr.src_ctx, 77);
	assert_int_equal(pkt->hdr.psn, 0x1234);
	assert_int_equal(pkt->to, PAIR_A);
	for (int i = 0; i < 1000; i++)
		pair_forge(p, PAIR_B, hdr, NULL, 0, NULL, 0);
	pair_drain(p);
	assert_in_range(pair_count(p, (struct pair_rule){ .types = PAIR_T(RESET) }), 2, 9);
	/* A RESET never answers a RESET. */
	pair_run(p, WEFT_MS(1));
	assert_int_equal(pair_count(p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A) }), 0);
	pair_close(p);
}

static void forge_hello(struct pair *p, uint8_t type, const struct weft_hello *hello,
			uint32_t epoch)
{
	struct weft_hdr hdr = { .type = type, .dst_epoch = epoch };
	uint8_t body[WEFT_PROTO_HELLO];

	weft_hello_encode(body, hello);
	pair_forge(p, PAIR_B, hdr, body, sizeof(body), NULL, 0);
}

static void weft_hs_on_hello__for_another(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_hello hello = {
		.src = p->end[PAIR_A].cfg.gid,
		.dst = p->end[PAIR_A].cfg.gid,
		.epoch = 1,
		.version_max = 1,
		.payload_max = 1024,
	};

	(void)state;
	forge_hello(p, WEFT_PKT_HELLO, &hello, 0);
	forge_hello(p, WEFT_PKT_WELCOME, &hello, 1);
	hello.dst.raw[0] ^= 1;
	forge_hello(p, WEFT_PKT_HELLO, &hello, 0);
	assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_ADDRESS], 3);
	pair_run(p, WEFT_MS(1));
	assert_int_equal(p->logged, 0);
	pair_close(p);
}

/* A WELCOME for an attempt that is not ours, or from somebody else. */
static void weft_hs_on_welcome__stale_and_foreign(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_hello hello = {
		.src = p->end[PAIR_A].cfg.gid,
		.dst = p->end[PAIR_B].cfg.gid,
		.epoch = 99,
		.version_max = 1,
		.payload_max = 1024,
	};
	uint32_t epoch;

	(void)state;
	forge_hello(p, WEFT_PKT_WELCOME, &hello, 1);
	assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_STALE], 1);
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	pair_post_wr(p, PAIR_B, B_TO_A);
	pair_drain(p);
	epoch = p->log[0]->hello.epoch;
	forge_hello(p, WEFT_PKT_WELCOME, &hello, epoch + 1);
	assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_STALE], 2);
	hello.src.raw[15] = 3;
	forge_hello(p, WEFT_PKT_WELCOME, &hello, epoch);
	assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_ADDRESS], 1);
	assert_int_equal(pair_ctx(p, PAIR_B, PAIR_A)->state, WEFT_CTX_HELLO);
	pair_heal(p);
	pair_settle(p);
	expect_works(p);
	pair_close(p);
}

/* One HELLO after another from the same address, each with another epoch, and nobody behind them: the
 * open context does not care. */
static void weft_hs_on_hello__alone_changes_nothing(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_hello hello = {
		.src = p->end[PAIR_A].cfg.gid,
		.dst = p->end[PAIR_B].cfg.gid,
		.epoch = 1,
		.version_max = 1,
		.payload_max = 512,
	};
	uint32_t epoch;

	(void)state;
	expect_works(p);
	epoch = pair_ctx(p, PAIR_B, PAIR_A)->epoch;
	for (; hello.epoch < 100; hello.epoch++) {
		forge_hello(p, WEFT_PKT_HELLO, &hello, 0);
		pair_drain(p);
	}
	expect_works(p);
	assert_int_equal(pair_ctx(p, PAIR_B, PAIR_A)->epoch, epoch);
	assert_int_equal(pair_ctx(p, PAIR_B, PAIR_A)->payload, 1024);
	assert_int_equal(contexts_reset(p), 0);
	pair_close(p);
}

/* Orderly close */

static void weft_srd_close__tells_the_peer(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint64_t mine, theirs;

	(void)state;
	expect_works(p);
	pair_rule(p, (struct pair_rule){ .types = PAIR_T(DATA), .fate = PAIR_DROP });
	mine = pair_post_wr(p, PAIR_A, A_TO_B);
	theirs = pair_post_wr(p, PAIR_B, B_TO_A);
	pair_run(p, WEFT_US(10));
	assert_false(weft_srd_is_closed(p->end[PAIR_A].srd));
	weft_srd_close(p->end[PAIR_A].srd, p->now);
	pair_expect(p, PAIR_A, mine, WEFT_SRD_FLUSHED);
	assert_false(weft_srd_is_closed(p->end[PAIR_A].srd));
	assert_int_equal(pair_try_post(p, PAIR_A, A_TO_B, &mine), -EAGAIN);
	pair_run(p, WEFT_US(20));
	pair_expect(p, PAIR_B, theirs, WEFT_SRD_ABORT);
	assert_true(weft_srd_is_closed(p->end[PAIR_A].srd));
	assert_int_equal(pair_count(p, (struct pair_rule){ .types = PAIR_T(FIN) }), 1);
	assert_int_equal(pair_count(p, (struct pair_rule){ .types = PAIR_T(FIN_ACK) }), 1);
	pair_heal(p);
	pair_close_idle(p);
}

static void weft_srd_close__lost_fins(void **state)
{
	(void)state;
	for (uint32_t lost = 0; lost < 7; lost++) {
		for (unsigned int type = WEFT_PKT_FIN; type <= WEFT_PKT_FIN_ACK; type++) {
			struct pair *p = pair_open(2, NULL);

			expect_works(p);
			pair_rule(p, (struct pair_rule){ .types = PAIR_BIT(type),
							 .count = lost,
							 .skip = lost ? 0 : 100,
							 .fate = PAIR_DROP });
			weft_srd_close(p->end[PAIR_A].srd, p->now);
			pair_run(p, WEFT_MS(40));
			assert_true(weft_srd_is_closed(p->end[PAIR_A].srd));
			assert_int_equal(pair_count(p, (struct pair_rule){ .types = PAIR_T(FIN) }),
					 lost + 1);
			assert_int_equal(pair_ctx(p, PAIR_B, PAIR_A)->state, WEFT_CTX_CLOSED);
			pair_close_idle(p);
		}
	}
}

/* Nobody answers: the engine gives up in the end. */
static void weft_srd_close__peer_is_gone(void **state)
{
	struct pair *p = pair_open(2, NULL);

	(void)state;
	expect_works(p);
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	weft_srd_close(p->end[PAIR_A].srd, p->now);
	pair_run(p, WEFT_S(1));
	assert_true(weft_srd_is_closed(p->end[PAIR_A].srd));
	assert_int_equal(pair_count(p, (struct pair_rule){ .types = PAIR_T(FIN) }), 8);
	pair_close(p);
}

static void weft_srd_close__both_at_once(void **state)
{
	struct pair *p = pair_open(2, NULL);

	(void)state;
	expect_works(p);
	weft_srd_close(p->end[PAIR_A].srd, p->now);
	weft_srd_close(p->end[PAIR_B].srd, p->now);
	pair_run(p, WEFT_US(50));
	assert_true(weft_srd_is_closed(p->end[PAIR_A].srd));
	assert_true(weft_srd_is_closed(p->end[PAIR_B].srd));
	pair_close_idle(p);
}

static void weft_srd_close__before_anything(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint64_t c;

	(void)state;
	c = pair_post_wr(p, PAIR_A, A_TO_B);
	weft_srd_close(p->end[PAIR_A].srd, p->now);
	pair_expect(p, PAIR_A, c, WEFT_SRD_FLUSHED);
	weft_srd_close(p->end[PAIR_B].srd, p->now);
	pair_drain(p);
	assert_true(weft_srd_is_closed(p->end[PAIR_A].srd));
	assert_true(weft_srd_is_closed(p->end[PAIR_B].srd));
	assert_int_equal(p->logged, 0);
	pair_close(p);
}

/* A peer that closes and comes back is talked to again. */
static void weft_srd_close__and_come_back(void **state)
{
	struct pair *p = pair_open(2, NULL);

	(void)state;
	for (int i = 0; i < 5; i++) {
		expect_works(p);
		weft_srd_close(p->end[PAIR_A].srd, p->now);
		pair_run(p, WEFT_MS(1));
		pair_restart(p, PAIR_A);
	}
	expect_works(p);
	assert_int_equal(p->end[PAIR_A].failed + p->end[PAIR_B].failed, 0);
	pair_close_idle(p);
}

/* A FIN is an old one too when its context was opened anew since. */
static void weft_hs_on_fin__old_one_is_answered_only(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct pair_pkt *fin;

	(void)state;
	expect_works(p);
	weft_srd_close(p->end[PAIR_A].srd, p->now);
	pair_run(p, WEFT_MS(1));
	fin = copy_of(pair_find(p, (struct pair_rule){ .types = PAIR_T(FIN) }, 0));
	pair_restart(p, PAIR_A);
	expect_works(p);
	pair_deliver(p, fin);
	pair_run(p, WEFT_US(20));
	expect_paired(p);
	assert_int_equal(pair_count(p, (struct pair_rule){ .types = PAIR_T(FIN_ACK) }), 2);
	assert_int_equal(pair_stats(p, PAIR_A)->rx_drops[WEFT_SRD_DROP_STALE], 1);
	expect_works(p);
	free(fin);
	pair_close(p);
}

/* A handshake for which nobody waits any more is given up. */
static void weft_hs_on_deadline__nobody_waits(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint64_t c;

	(void)state;
	pair_rule(p, (struct pair_rule){ .fate = PAIR_DROP });
	c = pair_post_wr(p, PAIR_A, A_TO_B);
	pair_run(p, WEFT_US(50));
	weft_srd_on_qp_gone(p->end[PAIR_A].srd, 1, p->now);
	pair_expect(p, PAIR_A, c, WEFT_SRD_FLUSHED);
	pair_expect_idle(p);
	assert_in_range(pair_count(p, (struct pair_rule){ .types = PAIR_T(HELLO) }), 1, 2);
	pair_heal(p);
	expect_works(p);
	pair_close(p);
}

/* The first PSN of a direction is its sender's epoch; a context opened again starts elsewhere. */
static void weft_hs_fresh_epoch__new_each_time(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint32_t seen[12];

	(void)state;
	for (int i = 0; i < 6; i++) {
		recover(p);
		seen[2 * i] = pair_ctx(p, PAIR_A, PAIR_B)->epoch;
		seen[2 * i + 1] = pair_ctx(p, PAIR_B, PAIR_A)->epoch;
		pair_restart(p, PAIR_A);
	}
	for (int i = 0; i < 12; i++)
		for (int k = 0; k < i; k++)
			assert_int_not_equal(seen[i], seen[k]);
	pair_close(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_hs_begin__no_data_before_welcome),
		cmocka_unit_test(weft_hs_on_deadline__hello_backs_off),
		cmocka_unit_test(weft_hs__any_packet_lost_or_doubled),
		cmocka_unit_test(weft_hs_on_hello__doubled_opens_once),
		cmocka_unit_test(weft_hs_on_hello__simultaneous),
		cmocka_unit_test(weft_hs__crossed_in_every_order),
		cmocka_unit_test(weft_hs__one_epoch_one_partner),
		cmocka_unit_test(weft_hs__restart_between_any_two_packets),
		cmocka_unit_test(weft_hs__both_restarted),
		cmocka_unit_test(weft_hs_on_hello__restarted_peer_aborts),
		cmocka_unit_test(weft_hs__replays_are_harmless),
		cmocka_unit_test(weft_hs__replays_when_idle),
		cmocka_unit_test(weft_hs_on_reset__spares_unsent),
		cmocka_unit_test(weft_hs_on_reset__half_sent_is_aborted),
		cmocka_unit_test(weft_hs_on_reset__names_the_incarnation),
		cmocka_unit_test(weft_hs_queue_reply__names_and_bounds),
		cmocka_unit_test(weft_hs_on_hello__for_another),
		cmocka_unit_test(weft_hs_on_welcome__stale_and_foreign),
		cmocka_unit_test(weft_hs_on_hello__alone_changes_nothing),
		cmocka_unit_test(weft_srd_close__tells_the_peer),
		cmocka_unit_test(weft_srd_close__lost_fins),
		cmocka_unit_test(weft_srd_close__peer_is_gone),
		cmocka_unit_test(weft_srd_close__both_at_once),
		cmocka_unit_test(weft_srd_close__before_anything),
		cmocka_unit_test(weft_srd_close__and_come_back),
		cmocka_unit_test(weft_hs_on_fin__old_one_is_answered_only),
		cmocka_unit_test(weft_hs_on_deadline__nobody_waits),
		cmocka_unit_test(weft_hs_fresh_epoch__new_each_time),
	};

	return cmocka_run_group_tests_name("srd_hs", tests, NULL, NULL);
}
