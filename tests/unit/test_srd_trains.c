/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets in several datagrams: who agrees on them, how long they are, and what becomes of them on a way that takes
 * shorter datagrams than was thought. */
#include "pair.h"

#include "unit.h"

#define SINGLE 1392u /* What a datagram carries at an MTU of 1500. */
#define TRAIN  10140u /* And seven of them, with a head for each. */

struct side {
	bool trains, crc;
	uint32_t payload;
};

static struct side side[2];

static void tune_sides(struct weft_srd_cfg *cfg, unsigned int id)
{
	cfg->trains = side[id].trains;
	cfg->payload_crc = side[id].crc;
	cfg->payload_max = side[id].payload;
}

static void post_all_ops(struct pair *p)
{
	for (int i = 0; i < 10; i++) {
		pair_post(p, PAIR_A, (enum weft_srd_op)(i % 5), 8928);
		pair_post(p, PAIR_B, (enum weft_srd_op)(i % 5), 5000);
	}
	pair_post(p, PAIR_A, WEFT_SRD_WRITE, 200000);
	pair_post(p, PAIR_B, WEFT_SRD_READ, 200000);
}

static uint32_t longest_payload(const struct pair *p)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < p->logged; i++)
		if (p->log[i]->hdr.type == WEFT_PKT_DATA)
			most = WEFT_MAX(most, p->log[i]->len - WEFT_SRD_DATA_HEAD);
	return most;
}

static void weft_hs__agrees_on_trains(void **state)
{
	static const struct row {
		int id;
		struct side a, b;
		uint32_t payload, seg_max;
	} rows[] = {
		{ 1, { true, false, SINGLE }, { true, false, SINGLE }, TRAIN, SINGLE + 80 },
		{ 2, { true, false, SINGLE }, { false, false, SINGLE }, SINGLE, 0 },
		{ 3, { false, false, SINGLE }, { true, false, SINGLE }, SINGLE, 0 },
		{ 4, { false, false, SINGLE }, { false, false, SINGLE }, SINGLE, 0 },
		{ 5, { true, true, SINGLE }, { true, false, SINGLE }, SINGLE, 0 },
		{ 6, { true, false, SINGLE }, { true, true, SINGLE }, SINGLE, 0 },
		{ 7, { true, true, SINGLE }, { true, true, SINGLE }, SINGLE, 0 },
		/* The shorter datagrams count, whatever the other link could carry. */
		{ 8, { true, false, 8928 }, { true, false, SINGLE }, TRAIN, SINGLE + 80 },
		{ 9, { true, false, 700 }, { true, false, SINGLE }, 12 * 768 - 80, 780 },
		{ 10, { true, false, 512 }, { true, false, 512 }, 16 * 580 - 80, 592 },
		/* The longest SEND fits into one, just not, into two of them, just not. */
		{ 11, { true, false, 8928 }, { true, false, 8928 }, 8928, 9008 },
		{ 12, { true, false, 8927 }, { true, false, 8927 }, WEFT_SRD_TRAIN_MAX, 9007 },
		{ 13, { true, false, 4436 }, { true, false, 4436 }, 8928, 4516 },
		{ 14, { true, false, 4435 }, { true, false, 4435 }, 3 * 4503 - 80, 4515 },
	};

	(void)state;
	for (size_t r = 0; r < WEFT_ARRAY_SIZE(rows); r++) {
		struct pair *p;

		side[PAIR_A] = rows[r].a;
		side[PAIR_B] = rows[r].b;
		p = pair_open(2, tune_sides);
		post_all_ops(p);
		pair_settle_ok(p);
		for (unsigned int id = 0; id < 2; id++)
			if (pair_info(p, id, !id).payload != rows[r].payload)
				fail_msg("row %d: %u", rows[r].id, pair_info(p, id, !id).payload);
		if (longest_payload(p) != rows[r].payload)
			fail_msg("row %d: %u", rows[r].id, longest_payload(p));
		for (uint32_t i = 0; i < p->logged; i++)
			if (p->log[i]->hdr.type == WEFT_PKT_DATA &&
			    p->log[i]->seg_max != rows[r].seg_max)
				fail_msg("row %d: seg_max %u", rows[r].id, p->log[i]->seg_max);
		assert_int_equal(pair_stats(p, PAIR_A)->rx_drops[WEFT_SRD_DROP_LONG], 0);
		assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_LONG], 0);
		pair_close_idle(p);
	}
}

/* A call that is answered while ours is out, or again after a restart, agrees as well. */
static void weft_hs__agrees_on_trains_again(void **state)
{
	struct pair *p;

	(void)state;
	side[PAIR_A] = side[PAIR_B] = (struct side){ true, false, SINGLE };
	p = pair_open(2, tune_sides);
	post_all_ops(p);
	pair_settle_ok(p);
	side[PAIR_B].trains = false;
	p->end[PAIR_B].cfg.trains = false;
	pair_restart(p, PAIR_B);
	pair_post(p, PAIR_B, WEFT_SRD_SEND, 8928);
	pair_settle(p);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).payload, SINGLE);
	assert_int_equal(pair_info(p, PAIR_B, PAIR_A).payload, SINGLE);
	pair_post(p, PAIR_A, WEFT_SRD_WRITE, 100000);
	pair_settle(p);
	assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_LONG], 0);
	pair_close(p);
}

/* Longest datagram of a packet. */
static uint32_t datagram(const struct pair_pkt *pkt)
{
	return pkt->seg_max && pkt->len > pkt->seg_max ? pkt->seg_max : pkt->len;
}

struct way {
	uint32_t most; /* Bytes of a datagram that get through. */
	bool tells; /* Its host says so. */
	uint32_t refused;
};

static enum pair_fate take_short(struct pair *p, struct pair_pkt *pkt)
{
	struct way *way = p->hook_arg;

	if (datagram(pkt) <= way->most)
		return PAIR_PASS;
	way->refused++;
	if (way->tells)
		pair_too_long(p, pkt->from, pkt->to, way->most - WEFT_SRD_DATA_HEAD);
	return PAIR_DROP;
}

/* The card's interface takes long datagrams, the route does not: shorter ones, but still trains of them. */
static void weft_loss__told_that_way_is_narrow(void **state)
{
	struct way way = { .most = SINGLE + 80, .tells = true };
	struct pair *p;

	(void)state;
	side[PAIR_A] = side[PAIR_B] = (struct side){ true, false, 8928 };
	p = pair_open(2, tune_sides);
	p->hook = take_short;
	p->hook_arg = &way;
	post_all_ops(p);
	pair_settle_ok(p);
	for (unsigned int id = 0; id < 2; id++) {
		assert_int_equal(pair_info(p, id, !id).payload, TRAIN);
		assert_int_equal(pair_stats(p, id)->payload_shrinks, 1);
		assert_int_equal(pair_stats(p, id)->retrans_timeout_events, 0);
	}
	/* What was refused went out again as it was, and not cut anew. */
	assert_int_equal(longest_payload(p), TRAIN);
	for (uint32_t i = 0; i < p->logged; i++)
		assert_int_not_equal(p->log[i]->op.op, WEFT_WIRE_VOID);

	way.most = 1000;
	post_all_ops(p);
	pair_settle_ok(p);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).payload, 10 * 988 - 80);
	assert_int_equal(pair_stats(p, PAIR_A)->payload_shrinks, 2);
	/* Never up, until the context has rested. */
	pair_too_long(p, PAIR_A, PAIR_B, 4000);
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).payload, 10 * 988 - 80);
	pair_run(p, WEFT_S(1));
	assert_int_equal(pair_info(p, PAIR_A, PAIR_B).payload, 8928);
	pair_close_idle(p);
}

/* Nobody tells: packets of one short datagram are tried, and trains no more. */
static void weft_loss__trains_vanish(void **state)
{
	static const uint32_t most[] = { 1400, 1000, 600 };
	struct pair *p;

	(void)state;
	side[PAIR_A] = side[PAIR_B] = (struct side){ true, false, SINGLE };
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(most); i++) {
		struct way way = { .most = most[i] };

		p = pair_open(2, tune_sides);
		p->hook = take_short;
		p->hook_arg = &way;
		post_all_ops(p);
		pair_settle_ok(p);
		for (unsigned int id = 0; id < 2; id++)
			assert_in_range(pair_info(p, id, !id).payload, WEFT_SRD_PAYLOAD_MIN,
					most[i] - WEFT_SRD_DATA_HEAD);
		pair_run(p, WEFT_S(1));
		assert_int_equal(pair_info(p, PAIR_A, PAIR_B).payload, TRAIN);
		pair_close_idle(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_hs__agrees_on_trains),
		cmocka_unit_test(weft_hs__agrees_on_trains_again),
		cmocka_unit_test(weft_loss__told_that_way_is_narrow),
		cmocka_unit_test(weft_loss__trains_vanish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
