/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/fabric_load.h"
#include "sim/fabric_stat.h"

#include "unit.h"

#include <string.h>

static const struct weft_sim_framing framing = { .mtu = 4150, .overhead = 122, .ack_bytes = 100 };

static struct weft_fabric_cfg fat_tree(uint32_t hosts)
{
	return (struct weft_fabric_cfg){
		.topology = WEFT_FABRIC_FAT_TREE,
		.hosts = hosts,
		.link_bps = 100000000000u,
		.hop = 1000,
	};
}

static void init(struct weft_sim_load *load, enum weft_sim_workload workload, uint32_t hosts,
		 uint32_t size, uint32_t senders, uint64_t seed)
{
	struct weft_fabric_cfg net = fat_tree(hosts);

	weft_sim_load_init(load, workload, size, senders, &net, &framing, seed);
}

static void weft_sim_load_init__permutation_is_a_derangement(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		unsigned int in[16] = { 0 };
		struct weft_sim_load load;

		init(&load, WEFT_SIM_PERMUTATION, 16, 1000, 0, seed);
		assert_int_equal(load.flows_len, 16);
		assert_int_equal(load.pairs_len, 16);
		for (uint32_t i = 0; i < 16; i++) {
			assert_int_equal(load.flows[i].src, i);
			assert_int_not_equal(load.flows[i].dst, i);
			in[load.flows[i].dst]++;
		}
		for (uint32_t i = 0; i < 16; i++)
			assert_int_equal(in[i], 1);
		weft_sim_load_fini(&load);
	}
}

static void weft_sim_load_init__incast_has_distinct_senders(void **state)
{
	struct weft_sim_load load;
	bool seen[128] = { false };

	(void)state;
	init(&load, WEFT_SIM_INCAST, 128, 2000000, 48, 5);
	assert_int_equal(load.flows_len, 48);
	for (uint32_t i = 0; i < 48; i++) {
		assert_int_equal(load.flows[i].dst, load.flows[0].dst);
		assert_int_not_equal(load.flows[i].src, load.flows[i].dst);
		assert_false(seen[load.flows[i].src]);
		seen[load.flows[i].src] = true;
	}
	/* 48 times 496 full frames and one of 2112 bytes of payload over one link, then five links and
	 * the acknowledgement's six. */
	assert_in_range(load.ideal, 48 * (496 * 332 + 178) + 12000,
			48 * (496 * 332 + 179) + 12000 + 5 * 179 + 6 * 8 + 2);
	weft_sim_load_fini(&load);
}

/* Every rank sends each step once, every step but the first waits for exactly one arrival at its
 * sender, and each chunk goes all the way round: sizes match along the chain. */
static void weft_sim_load_init__ring_is_one_chain_per_chunk(void **state)
{
	enum {
		RANKS = 16,
		STEPS = 2 * (RANKS - 1)
	};
	struct weft_sim_load load;
	unsigned int started[RANKS * STEPS] = { 0 };
	uint64_t first_step = 0;

	(void)state;
	init(&load, WEFT_SIM_RING_ALLREDUCE, RANKS, 1000003, 0, 3);
	assert_int_equal(load.flows_len, RANKS * STEPS);
	assert_int_equal(load.pairs_len, RANKS);
	assert_int_equal(load.tasks, RANKS);
	for (uint32_t i = 0; i < load.flows_len; i++) {
		const struct weft_sim_flow *flow = &load.flows[i];

		if (i < RANKS)
			first_step += flow->bytes;
		if (flow->next == WEFT_SIM_NONE)
			continue;
		started[flow->next]++;
		assert_int_equal(load.flows[flow->next].src, flow->dst);
		assert_int_equal(load.flows[flow->next].bytes, flow->bytes);
	}
	assert_int_equal(first_step, 1000003);
	for (uint32_t i = 0; i < load.flows_len; i++) {
		assert_int_equal(started[i], i >= RANKS);
		assert_int_equal(load.flows[i].waits, i >= RANKS);
	}
	weft_sim_load_fini(&load);
}

static void weft_sim_load_init__alltoall_has_all_pairs(void **state)
{
	struct weft_sim_load load;

	(void)state;
	init(&load, WEFT_SIM_ALLTOALL, 16, 4028, 0, 1);
	assert_int_equal(load.flows_len, 16 * 15);
	assert_int_equal(load.pairs_len, 16 * 15);
	assert_int_equal(load.ideal, 15 * 332 + 6 * 1000 + 5 * 332 + 6 * 1000 + 48);
	for (uint32_t i = 0; i < load.flows_len; i++) {
		const struct weft_sim_pair *pair = &load.pairs[load.flows[i].pair];

		assert_int_equal(pair->src, load.flows[i].src);
		assert_int_equal(pair->dst, load.flows[i].dst);
	}
	weft_sim_load_fini(&load);
}

static void weft_sim_spread__nearest_rank(void **state)
{
	weft_ns v[200], one[] = { 7 };
	struct weft_sim_spread s;

	(void)state;
	for (uint32_t i = 0; i < 200; i++)
		v[i] = 200 - i;
	weft_sim_spread(v, 200, &s);
	assert_int_equal(s.min, 1);
	assert_int_equal(s.p50, 100);
	assert_int_equal(s.p99, 198);
	assert_int_equal(s.max, 200);
	assert_int_equal(s.mean, 100);
	weft_sim_spread(one, 1, &s);
	assert_true(s.min == 7 && s.p50 == 7 && s.p99 == 7 && s.max == 7 && s.mean == 7);
}

static void weft_sim_jain__bounds(void **state)
{
	weft_ns same[] = { 5, 5, 5, 5 }, one[] = { 1, 1000000000, 1000000000, 1000000000 };

	(void)state;
	assert_true(weft_sim_jain(same, 4) > 0.999999 && weft_sim_jain(same, 4) < 1.000001);
	assert_true(weft_sim_jain(one, 4) > 0.2499 && weft_sim_jain(one, 4) < 0.2501);
}

/* 300 paths of three pairs, enough to make the table grow, losses told out of order. */
static void weft_sim_losses_left__by_pair_and_by_path(void **state)
{
	struct weft_sim_losses l = { 0 };
	struct weft_sim_left pair, path;

	(void)state;
	for (uint32_t i = 0; i < 300; i++) {
		weft_sim_losses_add(&l, i % 3, 9, (uint16_t)i, 1000 + i);
		weft_sim_losses_add(&l, i % 3, 9, (uint16_t)i, 1000 + i + (i == 100 ? 50 : 5));
		weft_sim_losses_add(&l, i % 3, 9, (uint16_t)i, 1000 + i + 1);
	}
	assert_int_equal(l.data, 900);
	weft_sim_losses_left(&l, 900, &pair, &path);
	assert_int_equal(pair.count, 3);
	assert_int_equal(pair.max, 100 + 299 + 5);
	assert_int_equal(pair.p50, 100 + 298 + 5);
	assert_int_equal(path.count, 300);
	assert_int_equal(path.p50, 5);
	assert_int_equal(path.max, 50);
	weft_sim_losses_fini(&l);
	weft_sim_losses_left(&l, 0, &pair, &path);
	assert_int_equal(pair.count, 0);
	assert_int_equal(path.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_sim_load_init__permutation_is_a_derangement),
		cmocka_unit_test(weft_sim_load_init__incast_has_distinct_senders),
		cmocka_unit_test(weft_sim_load_init__ring_is_one_chain_per_chunk),
		cmocka_unit_test(weft_sim_load_init__alltoall_has_all_pairs),
		cmocka_unit_test(weft_sim_spread__nearest_rank),
		cmocka_unit_test(weft_sim_jain__bounds),
		cmocka_unit_test(weft_sim_losses_left__by_pair_and_by_path),
	};

	return cmocka_run_group_tests_name("fabric_load", tests, NULL, NULL);
}
