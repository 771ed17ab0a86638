/* SPDX-License-Identifier: BSD-2-Clause */
/* The network alone, with frames that mean nothing: an owner that sends what a list tells it to and
 * writes down what comes out. */
#include "wire/sim/fabric.h"

#include "base/prng.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define FRAMES_MAX 8192

struct sent {
	uint32_t src, dst, bytes, head_bytes;
	uint16_t entropy;
	bool control;
};

struct outcome {
	weft_ns at;
	bool arrived, lost, trimmed, ce;
	enum weft_fabric_loss why;
	uint32_t bytes;
};

/* Frames leave each host in the order of the list; a frame's owner pointer is its place in it. */
static struct world {
	struct weft_fabric *net;
	struct sent sent[FRAMES_MAX];
	struct outcome out[FRAMES_MAX];
	size_t n, next[1024];
	unsigned int timers[1024];
	weft_ns timer_at;
} w;

static bool next_frame(void *owner, uint32_t host, weft_ns now, struct weft_fabric_frame *frame_out)
{
	(void)owner;
	(void)now;
	for (size_t *i = &w.next[host]; *i < w.n; (*i)++) {
		const struct sent *s = &w.sent[*i];

		if (s->src != host)
			continue;
		*frame_out = (struct weft_fabric_frame){
			.owner = &w.out[*i],
			.bytes = s->bytes,
			.head_bytes = s->head_bytes,
			.dst = s->dst,
			.entropy = s->entropy,
			.control = s->control,
		};
		(*i)++;
		return true;
	}
	return false;
}

static void on_frame(void *owner, const struct weft_fabric_frame *frame, weft_ns now)
{
	struct outcome *o = frame->owner;

	(void)owner;
	assert_false(o->arrived || o->lost);
	assert_int_equal(frame->dst, w.sent[o - w.out].dst);
	assert_int_equal(frame->src, w.sent[o - w.out].src);
	o->arrived = true;
	o->at = now;
	o->trimmed = frame->trimmed;
	o->ce = frame->ce;
	o->bytes = frame->bytes;
}

static void on_lost(void *owner, const struct weft_fabric_frame *frame, enum weft_fabric_loss why,
		    weft_ns now)
{
	struct outcome *o = frame->owner;

	(void)owner;
	assert_false(o->arrived || o->lost);
	o->lost = true;
	o->why = why;
	o->at = now;
}

static void on_timer(void *owner, uint32_t host, weft_ns now)
{
	(void)owner;
	w.timers[host]++;
	w.timer_at = now;
}

static const struct weft_fabric_ops ops = {
	.next_frame = next_frame,
	.on_frame = on_frame,
	.on_lost = on_lost,
	.on_timer = on_timer,
};

/* 16 hosts, 4 to a leaf, 4 spines, 100 Gb/s, 1 us. */
static struct weft_fabric_cfg small(void)
{
	return (struct weft_fabric_cfg){
		.topology = WEFT_FABRIC_LEAF_SPINE,
		.hosts = 16,
		.leaves = 4,
		.spines = 4,
		.link_bps = 100000000000u,
		.hop = 1000,
		.data_bytes_max = 178450,
		.control_bytes_max = 16384,
		.seed = 1,
	};
}

static void begin(const struct weft_fabric_cfg *cfg)
{
	memset(&w, 0, sizeof(w));
	w.net = weft_fabric_create(cfg, &ops, NULL);
}

static size_t add(uint32_t src, uint32_t dst, uint32_t bytes, uint16_t entropy)
{
	assert_true(w.n < FRAMES_MAX);
	w.sent[w.n] = (struct sent){ .src = src, .dst = dst, .bytes = bytes, .entropy = entropy };
	return w.n++;
}

/* Send everything on the list and let it settle. */
static void flow(void)
{
	for (size_t i = 0; i < w.n; i++)
		weft_fabric_wake(w.net, w.sent[i].src);
	while (weft_fabric_step(w.net))
		;
	assert_int_equal(weft_fabric_inflight(w.net), 0);
}

static void end(void)
{
	weft_fabric_destroy(w.net);
}

static void weft_fabric_cfg_check__refuses_nonsense(void **state)
{
	static const struct {
		int row;
		uint32_t hosts;
		bool fat_tree, fine;
	} rows[] = {
		{ 1, 2, true, true },       { 2, 16, true, true },
		{ 3, 54, true, true },      { 4, 128, true, true },
		{ 5, 1024, true, true },    { 6, 127, true, false },
		{ 7, 0, true, false },      { 8, 1, true, false },
		{ 9, 100000, true, false }, { 10, 16, false, true },
		{ 11, 18, false, false },   { 12, 0, false, false },
		{ 13, 65536, true, true },  { 14, 4294967295u, true, false },
	};
	struct weft_fabric_cfg cfg;
	const char *why;

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		cfg = small();
		cfg.hosts = rows[i].hosts;
		cfg.topology = rows[i].fat_tree ? WEFT_FABRIC_FAT_TREE : WEFT_FABRIC_LEAF_SPINE;
		if ((weft_fabric_cfg_check(&cfg, &why) == 0) != rows[i].fine)
			fail_msg("row %d", rows[i].row);
	}
	cfg = small();
	cfg.slow_links = 17;
	cfg.slow_ppm = 250000;
	assert_int_not_equal(weft_fabric_cfg_check(&cfg, &why), 0);
	cfg.slow_links = 16;
	assert_int_equal(weft_fabric_cfg_check(&cfg, &why), 0);
	cfg.slow_ppm = 0;
	assert_int_not_equal(weft_fabric_cfg_check(&cfg, &why), 0);
}

/* One frame alone, then two in a row, at rates that do and do not divide a picosecond. */
static void weft_fabric_step__exact_serialisation(void **state)
{
	static const struct {
		int row;
		uint64_t bps;
		uint32_t bytes, dst;
		weft_ns first, second;
	} rows[] = {
		{ 1, 100000000000u, 4150, 1, 2 * (1000 + 332), 2 * (1000 + 332) + 332 },
		{ 2, 100000000000u, 4150, 15, 4 * (1000 + 332), 4 * (1000 + 332) + 332 },
		{ 3, 25000000000u, 4150, 15, 4 * (1000 + 1328), 4 * (1000 + 1328) + 1328 },
		{ 4, 400000000000u, 4150, 15, 4 * (1000 + 83), 4 * (1000 + 83) + 83 },
		{ 5, 10000000000u, 64, 1, 2000 + 102, 2000 + 153 }, /* 51.2 ns each */
		{ 6, 3000000000u, 1, 1, 2000 + 5, 2000 + 8 }, /* 2.666... ns each */
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_fabric_cfg cfg = small();

		cfg.link_bps = rows[i].bps;
		begin(&cfg);
		add(0, rows[i].dst, rows[i].bytes, 7);
		add(0, rows[i].dst, rows[i].bytes, 7);
		flow();
		if (w.out[0].at != rows[i].first || w.out[1].at != rows[i].second)
			fail_msg("row %d: %u %u", rows[i].row, (unsigned int)w.out[0].at,
				 (unsigned int)w.out[1].at);
		end();
	}
}

/* 3000 frames of one byte at 3 Gb/s take 8 us to the picosecond: no rounding piles up. */
static void weft_fabric_step__division_remainder_carried(void **state)
{
	struct weft_fabric_cfg cfg = small();

	(void)state;
	cfg.link_bps = 3000000000u;
	begin(&cfg);
	for (int i = 0; i < 3000; i++)
		add(0, 1, 1, 0);
	flow();
	assert_int_equal(w.out[2999].at, 8000 + 2000 + 2); /* and the last hop's 2.666 ns */
	end();
}

/* The time that cross_time promises is the time that a frame takes, between all pairs of tiers. */
static void weft_fabric_cross_time__matches_the_network(void **state)
{
	static const uint32_t dst[] = { 1, 3, 4, 15, 16, 127 }, links[] = { 2, 2, 4, 4, 6, 6 };
	struct weft_fabric_cfg cfg = small();

	(void)state;
	cfg.topology = WEFT_FABRIC_FAT_TREE;
	cfg.hosts = 128;
	assert_int_equal(weft_fabric_links_max(&cfg), 6);
	assert_int_equal(weft_fabric_core_links(&cfg), 128);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(dst); i++) {
		assert_int_equal(weft_fabric_links_between(&cfg, 0, dst[i]), links[i]);
		assert_int_equal(weft_fabric_links_between(&cfg, dst[i], 0), links[i]);
		begin(&cfg);
		add(0, dst[i], 4150, 3);
		flow();
		assert_int_equal(w.out[0].at, weft_fabric_cross_time(&cfg, links[i], 4150));
		assert_int_equal(weft_fabric_stats(w.net)->hops, links[i]);
		end();
	}
}

/* Every host reaches every other one, by any entropy, in both topologies. */
static void weft_fabric_step__all_pairs_connected(void **state)
{
	(void)state;
	for (int fat = 0; fat < 2; fat++) {
		struct weft_fabric_cfg cfg = small();

		if (fat) {
			cfg.topology = WEFT_FABRIC_FAT_TREE;
			cfg.hosts = 54;
		}
		cfg.data_bytes_max = 1u << 30;
		begin(&cfg);
		for (uint32_t a = 0; a < cfg.hosts; a++)
			for (uint32_t b = 0; b < cfg.hosts; b++)
				if (a != b)
					add(a, b, 100, (uint16_t)(a * 31 + b));
		flow();
		assert_int_equal(weft_fabric_stats(w.net)->arrived, w.n);
		end();
	}
}

/* Which core way a frame took shows in what its blackholes swallow: the same entropy gives the same
 * answer each time, and different ones spread over all ways. */
static void weft_fabric_step__same_entropy_same_path(void **state)
{
	struct weft_fabric_cfg cfg = small();
	bool lost[256];
	unsigned int n = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		cfg.seed = seed;
		begin(&cfg);
		weft_fabric_blackhole(w.net, 4, 0);
		for (int round = 0; round < 3; round++)
			for (uint16_t ev = 0; ev < 256; ev++)
				add(0, 15, 64, ev);
		flow();
		for (size_t ev = 0; ev < 256; ev++) {
			lost[ev] = w.out[ev].lost;
			n += lost[ev];
			assert_true(w.out[ev + 256].lost == lost[ev]);
			assert_true(w.out[ev + 512].lost == lost[ev]);
			if (lost[ev])
				assert_int_equal(w.out[ev].why, WEFT_FABRIC_LOSS_BLACKHOLE);
		}
		end();
	}
	/* Of the eight links between two leaves, four of the 16 in all are dead: mean .44 of the ways. */
	assert_in_range(n, 1024 / 8, 1024 * 3 / 4);
}

static void weft_fabric_step__flows_with_one_entropy_spread(void **state)
{
	struct weft_fabric_cfg cfg = small();
	const struct weft_fabric_stats *st;

	(void)state;
	cfg.topology = WEFT_FABRIC_FAT_TREE;
	cfg.hosts = 128;
	cfg.slow_links = 16; /* all of pod 0 */
	cfg.slow_ppm = 10000;
	cfg.data_bytes_max = 1u << 30;
	begin(&cfg);
	for (uint32_t a = 0; a < 16; a++)
		add(a, 127 - a, 4150, 0);
	flow();
	st = weft_fabric_stats(w.net);
	/* On one and the same link 16 frames would pile up 15 high. */
	assert_in_range(st->data_bytes_peak, 4150, 8 * 4150);
	end();
}

static void weft_fabric_step__full_queue_drops(void **state)
{
	struct weft_fabric_cfg cfg = small();
	const struct weft_fabric_stats *st;

	(void)state;
	cfg.data_bytes_max = 3 * 1000;
	begin(&cfg);
	/* Three hosts of one leaf to the fourth: in each frame time come two more than can leave. */
	for (uint32_t h = 0; h < 3; h++)
		for (int i = 0; i < 100; i++)
			add(h, 3, 1000, 0);
	flow();
	st = weft_fabric_stats(w.net);
	assert_int_equal(st->arrived + st->lost[WEFT_FABRIC_LOSS_DATA_FULL], 300);
	assert_int_equal(st->data_bytes_peak, 3000);
	/* One leaves for each three that come, then what waits: two, for the last three came just before
	 * the last one left. */
	assert_int_equal(st->arrived, 100 + 2);
	assert_int_equal(st->trims, 0);
	end();
}

static void weft_fabric_step__full_queue_trims(void **state)
{
	struct weft_fabric_cfg cfg = small();
	const struct weft_fabric_stats *st;
	uint64_t trimmed = 0;

	(void)state;
	cfg.data_bytes_max = 3 * 1000;
	cfg.control_bytes_max = 500;
	cfg.trim = true;
	begin(&cfg);
	for (uint32_t h = 0; h < 3; h++)
		for (int i = 0; i < 100; i++)
			w.sent[add(h, 3, 1000, 0)].head_bytes = i == 99 ? 0 : 100;
	flow();
	st = weft_fabric_stats(w.net);
	for (size_t i = 0; i < w.n; i++) {
		trimmed += w.out[i].trimmed;
		if (w.out[i].arrived)
			assert_int_equal(w.out[i].bytes, w.out[i].trimmed ? 100 : 1000);
	}
	assert_true(trimmed > 100);
	assert_int_equal(st->trims, trimmed + st->lost[WEFT_FABRIC_LOSS_CONTROL_FULL]);
	assert_int_equal(st->sent, st->arrived + st->lost[WEFT_FABRIC_LOSS_CONTROL_FULL] +
					   st->lost[WEFT_FABRIC_LOSS_DATA_FULL]);
	/* Only the frames that may not be trimmed were dropped for want of room. */
	assert_in_range(st->lost[WEFT_FABRIC_LOSS_DATA_FULL], 1, 3);
	end();
}

/* A control frame overtakes the data that waits, but not the frame being sent. */
static void weft_fabric_step__control_goes_first(void **state)
{
	struct weft_fabric_cfg cfg = small();
	size_t control;

	(void)state;
	begin(&cfg);
	for (int i = 0; i < 10; i++) {
		add(0, 3, 4150, 0);
		add(1, 3, 4150, 0);
	}
	for (int i = 0; i < 5; i++)
		add(2, 3, 4150, 0);
	control = add(2, 3, 64, 0);
	w.sent[control].control = true;
	flow();
	for (size_t i = 0; i < w.n; i++)
		assert_true(w.out[i].arrived);
	/* It reaches the switch 5 ns behind its host's fifth frame. By then 15 frames have come and four are
	 * out, so it waits for the fifth. */
	assert_int_equal(w.out[control].at, (332 + 1000) + 5 * 332 + 5 + 1000);
	end();
}

static void weft_fabric_step__ecn_thresholds(void **state)
{
	struct weft_fabric_cfg cfg = small();
	unsigned int marked[3] = { 0 }, seen[3] = { 0 };

	(void)state;
	cfg.data_bytes_max = 200 * 1000;
	cfg.ecn_low_bytes = 20 * 1000;
	cfg.ecn_high_bytes = 80 * 1000;
	begin(&cfg);
	for (uint32_t h = 0; h < 2; h++)
		for (int i = 0; i < 100; i++)
			add(h, 3, 1000, 0);
	flow();
	/* The queue grows by one frame per frame time up to 100 and then empties. When a frame leaves at time t
	 * (in frame times), the others behind it tell how many waited. */
	for (size_t i = 0; i < w.n; i++) {
		uint64_t t = (w.out[i].at - 2000) / 80; /* leaves the switch at its end */
		uint64_t waiting = t <= 101 ? t : 201 - t;
		size_t zone = waiting < 19 ? 0 : waiting > 81 ? 2 : 1;

		assert_true(w.out[i].arrived);
		seen[zone]++;
		marked[zone] += w.out[i].ce;
	}
	assert_int_equal(marked[0], 0);
	assert_int_equal(marked[2], seen[2]);
	assert_in_range(marked[1], seen[1] / 4, seen[1] * 3 / 4);
	assert_int_equal(weft_fabric_stats(w.net)->marks, marked[1] + marked[2]);
	end();
}

static void weft_fabric_step__slow_links_both_ways(void **state)
{
	struct weft_fabric_cfg cfg = small();

	(void)state;
	cfg.leaves = 2;
	cfg.spines = 1;
	cfg.slow_links = 1; /* leaf 0 to the spine */
	cfg.slow_ppm = 250000;
	begin(&cfg);
	add(0, 15, 4150, 0);
	add(15, 0, 4150, 0);
	flow();
	assert_int_equal(w.out[0].at, 4000 + 3 * 332 + 4 * 332);
	assert_int_equal(w.out[1].at, 4000 + 3 * 332 + 4 * 332);
	end();
}

static void weft_fabric_step__random_loss_once_per_frame(void **state)
{
	struct weft_fabric_cfg cfg = small();
	uint64_t lost;

	(void)state;
	cfg.loss_ppm = 100000;
	begin(&cfg);
	for (int i = 0; i < 8000; i++)
		add((uint32_t)i % 4, 12 + (uint32_t)i % 4, 64, (uint16_t)i);
	flow();
	lost = weft_fabric_stats(w.net)->lost[WEFT_FABRIC_LOSS_RANDOM];
	assert_in_range(lost, 720, 880);
	assert_int_equal(weft_fabric_stats(w.net)->arrived, 8000 - lost);
	end();
}

static void weft_fabric_blackhole__swallows_from_its_time_on(void **state)
{
	struct weft_fabric_cfg cfg = small();

	(void)state;
	begin(&cfg);
	weft_fabric_blackhole(w.net, 16, 50000);
	for (int i = 0; i < 1000; i++)
		add(0, 15, 1250, (uint16_t)i); /* 100 ns each */
	flow();
	/* A frame is over its first core link 2100 + 200 ns after it began; over the second at 3 us. */
	for (size_t i = 0; i < w.n; i++) {
		weft_ns first = i * 100 + 2200, second = i * 100 + 3300;

		if (second < 49000)
			assert_true(w.out[i].arrived);
		if (first > 51000)
			assert_true(w.out[i].lost);
	}
	end();
}

static void weft_fabric_set_timer__last_setting_counts(void **state)
{
	struct weft_fabric_cfg cfg = small();

	(void)state;
	begin(&cfg);
	weft_fabric_set_timer(w.net, 5, 1000);
	weft_fabric_set_timer(w.net, 5, 3000); /* later */
	weft_fabric_set_timer(w.net, 5, 2000); /* earlier again */
	weft_fabric_set_timer(w.net, 6, 2500);
	weft_fabric_set_timer(w.net, 6, WEFT_NS_NEVER);
	weft_fabric_run_until(w.net, 1999);
	assert_int_equal(w.timers[5], 0);
	weft_fabric_run_until(w.net, 2000);
	assert_int_equal(w.timers[5], 1);
	assert_int_equal(w.timer_at, 2000);
	weft_fabric_set_timer(w.net, 5, 1500); /* past: at once */
	weft_fabric_run_until(w.net, 2000);
	assert_int_equal(w.timers[5], 2);
	weft_fabric_set_timer(w.net, 5, 1000);
	weft_fabric_set_timer(w.net, 5, 500);
	weft_fabric_run_until(w.net, 100000);
	assert_int_equal(w.timers[5], 3);
	assert_int_equal(w.timers[6], 0);
	end();
}

/* In = out + lost, whatever happens; and the same seed gives the same run. */
static void weft_fabric_step__conservation_and_replay(void **state)
{
	uint64_t hash[3] = { 0 };

	(void)state;
	for (int run = 0; run < 3; run++) {
		struct weft_fabric_cfg cfg = small();
		const struct weft_fabric_stats *st;
		uint64_t arrived = 0, lost = 0, bytes = 0;
		struct weft_prng prng;

		cfg.topology = WEFT_FABRIC_FAT_TREE;
		cfg.data_bytes_max = 20000;
		cfg.control_bytes_max = 2000;
		cfg.ecn_low_bytes = 4000;
		cfg.ecn_high_bytes = 16000;
		cfg.trim = true;
		cfg.loss_ppm = 10000;
		cfg.slow_links = 2;
		cfg.slow_ppm = 330000;
		cfg.seed = run == 2 ? 3 : 2;
		weft_prng_init(&prng, 9);
		begin(&cfg);
		weft_fabric_blackhole(w.net, 1, 10000);
		for (int i = 0; i < 8000; i++) {
			uint32_t src = weft_prng_below(&prng, 16), dst = weft_prng_below(&prng, 4);
			struct sent *s;

			if (src == dst)
				dst = 15;
			if (src == dst)
				continue;
			s = &w.sent[add(src, dst, 64 + weft_prng_below(&prng, 4000), (uint16_t)i)];
			s->head_bytes = weft_prng_chance(&prng, 800000) ? 64 : 0;
			s->control = weft_prng_chance(&prng, 100000);
		}
		flow();
		st = weft_fabric_stats(w.net);
		for (size_t i = 0; i < w.n; i++) {
			assert_true(w.out[i].arrived != w.out[i].lost);
			arrived += w.out[i].arrived;
			lost += w.out[i].lost;
			bytes += w.out[i].arrived ? w.out[i].bytes : 0;
		}
		assert_int_equal(st->sent, w.n);
		assert_int_equal(st->arrived, arrived);
		assert_int_equal(st->arrived_bytes, bytes);
		assert_int_equal(arrived + lost, w.n);
		for (int why = 0; why < WEFT_FABRIC_LOSS_COUNT; why++)
			assert_true(st->lost[why] > 0);
		assert_true(st->data_bytes_peak <= 20000 && st->control_bytes_peak <= 2000);
		hash[run] = weft_fabric_trace_hash(w.net);
		end();
	}
	assert_true(hash[0] == hash[1]);
	assert_true(hash[0] != hash[2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_fabric_cfg_check__refuses_nonsense),
		cmocka_unit_test(weft_fabric_step__exact_serialisation),
		cmocka_unit_test(weft_fabric_step__division_remainder_carried),
		cmocka_unit_test(weft_fabric_cross_time__matches_the_network),
		cmocka_unit_test(weft_fabric_step__all_pairs_connected),
		cmocka_unit_test(weft_fabric_step__same_entropy_same_path),
		cmocka_unit_test(weft_fabric_step__flows_with_one_entropy_spread),
		cmocka_unit_test(weft_fabric_step__full_queue_drops),
		cmocka_unit_test(weft_fabric_step__full_queue_trims),
		cmocka_unit_test(weft_fabric_step__control_goes_first),
		cmocka_unit_test(weft_fabric_step__ecn_thresholds),
		cmocka_unit_test(weft_fabric_step__slow_links_both_ways),
		cmocka_unit_test(weft_fabric_step__random_loss_once_per_frame),
		cmocka_unit_test(weft_fabric_blackhole__swallows_from_its_time_on),
		cmocka_unit_test(weft_fabric_set_timer__last_setting_counts),
		cmocka_unit_test(weft_fabric_step__conservation_and_replay),
	};

	return cmocka_run_group_tests_name("fabric", tests, NULL, NULL);
}
