/* SPDX-License-Identifier: BSD-2-Clause */
/* From a seed to a scenario: hosts, network, engine sizes, and which faults. How each fault is dosed
 * stands in scenario_faults.c, what the hosts do in workload.c.
 *
 * Most invariants can be judged in any run, a few only in runs made for them: nothing may be
 * retransmitted where nothing goes wrong, shares can be compared only in a clean incast. Hence the
 * flavours. Single faults are taken in turn by seed, so that any long range of seeds covers them all. */
#include "sim/scenario.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

const char *weft_sim_shape_name(enum weft_sim_shape shape)
{
	static const char *const names[WEFT_SHAPES] = { "mixed",  "bursts",  "incast",
							"rpc",    "streams", "small",
							"writes", "reads",   "all-to-all" };

	return shape < WEFT_SHAPES ? names[shape] : "?";
}

const char *weft_sim_flavour_name(enum weft_sim_flavour flavour)
{
	static const char *const names[] = { "clean", "fair", "dark", "isolate", "single", "mix" };

	return flavour < WEFT_ARRAY_SIZE(names) ? names[flavour] : "?";
}

uint64_t weft_sim_log_between(struct weft_prng *p, uint64_t lo, uint64_t hi)
{
	uint32_t doublings = 0;
	uint64_t top;

	weft_assert(lo > 0 && hi >= lo);
	while (doublings < 63 && lo << (doublings + 1) <= hi &&
	       (lo << (doublings + 1)) >> (doublings + 1) == lo)
		doublings++;
	lo <<= weft_prng_below(p, doublings + 1);
	top = WEFT_MIN(2 * lo, hi);
	return weft_sim_between(p, lo, top);
}

static uint32_t pick(struct weft_scenario *s, const uint32_t *list, uint32_t n)
{
	return list[weft_prng_below(&s->prng, n)];
}

#define PICK(s, ...)                               \
	pick(s, (const uint32_t[]){ __VA_ARGS__ }, \
	     (uint32_t)WEFT_ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ })))

static void make_network(struct weft_scenario *s)
{
	struct weft_lossy_cfg *net = &s->net;
	uint64_t gbps = PICK(s, 10, 25, 100, 100);
	uint32_t us = PICK(s, 1, 2, 5, 20);

	/* Shares even out over round trips: a fair incast has to last for some tens of them. */
	if (s->flavour == WEFT_FLAVOUR_FAIR && gbps > 10)
		us = gbps > 25 ? WEFT_MIN(us, 2u) : WEFT_MIN(us, 5u);
	*net = (struct weft_lossy_cfg){
		.hosts = s->hosts,
		.latency_min = WEFT_US(us),
		.nic_bps = gbps * 1000000000u,
		.path_bps = gbps * 1000000000u,
		.path_buffer = 4u << 20,
		.port_bps = 0,
		.port_buffer = 4u << 20,
		.ecn_threshold = 100000,
		.burst_len = 5,
		.burst_max = WEFT_MS(1),
		.reorder_max = WEFT_US(20),
		.late_min = WEFT_MS(1),
		.late_max = WEFT_MS(50),
		.tag_at = 32,
		.tag_len = 8,
	};
	net->seed = weft_prng_next(&s->prng);
	net->paths = (uint16_t)PICK(s, 1, 16, 16, 64, 64, 64, 256);
	net->latency_max = WEFT_US(us) + WEFT_US(us) * weft_prng_below(&s->prng, 3) / 2;
	net->jitter_max = weft_prng_below(&s->prng, 2) * 500;
	if (weft_prng_below(&s->prng, 2)) {
		net->port_bps = net->nic_bps;
		net->port_buffer = 1u << 20;
	}
}

static void make_engine(struct weft_scenario *s, uint32_t i, uint32_t payload,
			const struct weft_srd_cfg *like)
{
	struct weft_srd_cfg *cfg = &s->host[i].srd;

	*cfg = *like;
	memset(&cfg->gid, 0, sizeof(cfg->gid));
	cfg->gid.raw[0] = 0xfe;
	cfg->gid.raw[1] = 0x80;
	cfg->gid.raw[14] = 0x57;
	cfg->gid.raw[15] = (uint8_t)i;
	cfg->seed = weft_prng_next(&s->prng);
	cfg->payload_max = payload;
}

/* What all engines of a run have in common. */
static void common_engine(struct weft_scenario *s, struct weft_srd_cfg *cfg)
{
	weft_srd_cfg_default(cfg);
	for (size_t i = 0; i < sizeof(cfg->key); i++)
		cfg->key[i] = (uint8_t)weft_prng_next(&s->prng);
	cfg->contexts_max = 32;
	cfg->active_max = 16;
	cfg->msgs_max = 512;
	cfg->reads_max = 64;
	cfg->rx_msgs_max = 256;
	cfg->packets_max = 2048;
	cfg->paths = s->net.paths;
	cfg->lb = weft_prng_below(&s->prng, 8) ? WEFT_SRD_LB_MIXED : WEFT_SRD_LB_OBLIVIOUS;
	cfg->burst_bytes = PICK(s, 0, 0, 0, 16384, 65536);
	cfg->payload_crc = weft_prng_below(&s->prng, 2);
	cfg->link_bps = weft_prng_below(&s->prng, 4) ? s->net.nic_bps : 0;
	cfg->rtt_hint = s->rtt;
	cfg->rto_min = WEFT_US(PICK(s, 100, 100, 200, 1000));
	cfg->rto_max = WEFT_MS(PICK(s, 5, 20, 50));
	cfg->dead_after = WEFT_MS(PICK(s, 100, 200, 400));
	cfg->idle_after = WEFT_MS(PICK(s, 2, 5, 20));
}

/* Settings that somebody may have, for runs in which nothing is measured. */
static void vary_engine(struct weft_scenario *s, struct weft_srd_cfg *cfg)
{
	s->varied = s->flavour >= WEFT_FLAVOUR_ISOLATE && weft_prng_below(&s->prng, 2);
	if (!s->varied)
		return;
	cfg->ack_packets = PICK(s, 1, 2, 4, 16);
	cfg->ack_bytes = PICK(s, 1500, 16384, 65536);
	cfg->ack_delay = WEFT_US(PICK(s, 1, 20, 50, 200));
	cfg->ack_hold = cfg->ack_packets > 1 ? cfg->ack_delay / 2 : 0;
	cfg->rtt_hint = s->rtt * PICK(s, 1, 2, 4, 8) / 4;
	cfg->delay_target = WEFT_US(PICK(s, 0, 0, 20, 100));
	cfg->cwnd_init = PICK(s, 0, 0, 4096, 65536);
	cfg->cwnd_max = PICK(s, 0, 0, 65536, 262144);
}

static void make_hosts(struct weft_scenario *s)
{
	static const uint32_t payloads[] = { 512, 1024, 1408, 4096, 4096, 8192, 8928, 16384 };
	struct weft_srd_cfg common;
	uint32_t payload = pick(s, payloads, (uint32_t)WEFT_ARRAY_SIZE(payloads));
	bool unequal = weft_prng_below(&s->prng, 8) == 0;

	common_engine(s, &common);
	vary_engine(s, &common);
	for (uint32_t i = 0; i < s->hosts; i++) {
		struct weft_sim_host_cfg *h = &s->host[i];

		if (unequal)
			payload = pick(s, payloads, (uint32_t)WEFT_ARRAY_SIZE(payloads));
		make_engine(s, i, payload, &common);
		/* Every clock starts somewhere else; far apart only as a fault. */
		h->clock_offset = WEFT_MS(1) + weft_prng_below(&s->prng, 1000000);
		h->socket_frames = 8192;
		h->recv_depth = 48;
	}
}

/* Paths that are slower than the NICs in front of them, with real switches' buffers. */
static void make_congested_paths(struct weft_scenario *s)
{
	if (s->flavour < WEFT_FLAVOUR_ISOLATE || weft_prng_below(&s->prng, 5))
		return;
	s->net.path_bps = s->net.nic_bps / PICK(s, 2, 4, 8);
	s->net.path_buffer = (uint32_t)weft_sim_log_between(&s->prng, 30000, 300000);
	s->net.ecn_threshold = s->net.path_buffer / 4;
}

/* Timeouts of the scenario that follow from those of the engine. */
static void make_bounds(struct weft_scenario *s)
{
	const struct weft_srd_cfg *cfg = &s->host[0].srd;
	uint64_t window = cfg->cwnd_max ? cfg->cwnd_max : 131072;
	weft_ns transfer = s->plan_bytes * 8u * 1000u / (s->net.path_bps / 1000000u);

	s->bound = 4 * cfg->dead_after + WEFT_S(2);
	/* Delay by polling looks like congestion; in the worst case there is one packet per poll. */
	if (s->on[WEFT_FAULT_LATE_POLL] || s->on[WEFT_FAULT_SOCKET_FULL])
		s->bound += s->plan_bytes / WEFT_SRD_PAYLOAD_MIN * WEFT_MS(1);
	/* Back-off is at most rto_max when the faults end; then everything that waits has to get through,
	 * in the worst case to one receiver. */
	s->heal_bound = 2 * cfg->rto_max + 10 * s->rtt + 8 * transfer + WEFT_MS(2);
	s->heal_bound += 4 * (s->plan_bytes / window + 1) * s->rtt;
	if (s->on[WEFT_FAULT_RNR] || s->on[WEFT_FAULT_NO_WQE])
		s->heal_bound += WEFT_MS(1200);
	/* With room for one peer at a time the others wait until that one has gone idle. */
	if (s->on[WEFT_FAULT_POOL_ACTIVE] || s->on[WEFT_FAULT_POOL_CONTEXTS])
		s->heal_bound += cfg->dead_after + 4 * s->hosts * (cfg->idle_after + cfg->rto_max);
	if (s->on[WEFT_FAULT_POOL_MSGS] || s->on[WEFT_FAULT_POOL_PACKETS] ||
	    s->on[WEFT_FAULT_POOL_RX_MSGS] || s->on[WEFT_FAULT_POOL_READS])
		s->heal_bound += 10 * cfg->rto_max;
	if (s->on[WEFT_FAULT_CLOCK_DRIFT])
		s->heal_bound += s->heal_bound / 100;
}

static bool is_possible(const struct weft_scenario *s, uint32_t fault, const bool *only)
{
	if (!weft_sim_fault_is_choice(fault) || weft_sim_fault_is_extra(fault) ||
	    (only && !only[fault]))
		return false;
	/* What no end of the faults cures cannot be asked to finish. */
	return !(s->liveness && fault == WEFT_FAULT_POOL_CONTEXTS);
}

/* The n-th possible fault, counting round and round. */
static uint32_t nth_fault(const struct weft_scenario *s, uint64_t n, const bool *only)
{
	uint32_t possible = 0;

	for (uint32_t f = 0; f < WEFT_FAULT_COUNT; f++)
		possible += is_possible(s, f, only);
	if (!possible)
		return WEFT_FAULT_COUNT;
	n %= possible;
	for (uint32_t f = 0; f < WEFT_FAULT_COUNT; f++)
		if (is_possible(s, f, only) && n-- == 0)
			return f;
	return WEFT_FAULT_COUNT;
}

static void choose(struct weft_scenario *s, uint32_t fault)
{
	if (fault == WEFT_FAULT_COUNT || s->on[fault])
		return;
	s->on[fault] = true;
	weft_scenario_apply(s, fault);
}

static void choose_some(struct weft_scenario *s, uint32_t n, const bool *only)
{
	while (n-- > 0)
		choose(s, nth_fault(s, weft_prng_next(&s->prng), only));
}

/* Faults of the network cannot be limited to frames of one host by their nature, only by scope. */
static void isolate(struct weft_scenario *s)
{
	s->victim = (uint8_t)weft_prng_below(&s->prng, s->hosts);
	s->faulty_hosts = (uint64_t)1 << s->victim;
}

static void make_fair(struct weft_scenario *s)
{
	uint64_t bdp = s->rtt * (s->net.nic_bps / 8000u) / 1000000u;

	s->shape = WEFT_SHAPE_INCAST;
	s->net.port_bps = s->net.nic_bps;
	s->net.port_buffer = (uint32_t)WEFT_MAX(bdp, 131072u);
	for (uint32_t i = 0; i < s->hosts; i++)
		s->host[i].srd.link_bps = s->net.nic_bps;
}

static enum weft_sim_flavour pick_flavour(struct weft_scenario *s, const bool *only)
{
	uint32_t r = weft_prng_below(&s->prng, 100);

	if (only)
		return r < 50 ? WEFT_FLAVOUR_SINGLE : WEFT_FLAVOUR_MIX;
	if (s->liveness)
		return r < 40 ? WEFT_FLAVOUR_SINGLE : WEFT_FLAVOUR_MIX;
	return r < 6    ? WEFT_FLAVOUR_CLEAN
	       : r < 9  ? WEFT_FLAVOUR_FAIR
	       : r < 15 ? WEFT_FLAVOUR_DARK
	       : r < 27 ? WEFT_FLAVOUR_ISOLATE
	       : r < 60 ? WEFT_FLAVOUR_SINGLE
			: WEFT_FLAVOUR_MIX;
}

static void make_faults(struct weft_scenario *s, const bool *only)
{
	s->faulty_hosts = UINT64_MAX;
	switch (s->flavour) {
	case WEFT_FLAVOUR_CLEAN:
		if (weft_prng_below(&s->prng, 2))
			choose(s, WEFT_LOSSY_REORDER_CROSS);
		break;
	case WEFT_FLAVOUR_FAIR:
		make_fair(s);
		break;
	case WEFT_FLAVOUR_DARK:
		choose(s, WEFT_LOSSY_BLACKHOLE);
		break;
	case WEFT_FLAVOUR_ISOLATE:
		isolate(s);
		choose_some(s, 1 + weft_prng_below(&s->prng, 4), only);
		break;
	case WEFT_FLAVOUR_SINGLE:
		choose(s, nth_fault(s, s->seed, only));
		break;
	case WEFT_FLAVOUR_MIX:
		choose_some(s, 2 + weft_prng_below(&s->prng, 5), only);
		break;
	}
}

/* Such that the runs of tests/sim/regressions.txt get no extras and remain what they were. */
#define EXTRA_SALT ((uint64_t)0x251b << 32)

static bool has_dying_hosts(const struct weft_scenario *s)
{
	for (uint32_t f = WEFT_FAULT_CRASH; f <= WEFT_FAULT_CLOSE; f++)
		if (s->on[f])
			return true;
	return false;
}

/* Beside the others, with dice of their own: the runs that get none mean what they always meant. */
static void choose_extras(struct weft_scenario *s, const bool *only)
{
	uint32_t shares[WEFT_FAULT_COUNT] = {
		[WEFT_FAULT_CANCEL] = 12,
		[WEFT_FAULT_NOBODY] = has_dying_hosts(s) ? 4 : UINT32_MAX,
		[WEFT_FAULT_NOBODY_LIE] = 32,
	};

	for (uint32_t f = 0; f < WEFT_FAULT_COUNT; f++) {
		bool drawn;

		if (!weft_sim_fault_is_extra(f))
			continue;
		drawn = weft_prng_below(&s->extra_prng, shares[f]) == 0;
		if (only ? !only[f] : !drawn || s->flavour < WEFT_FLAVOUR_ISOLATE)
			continue;
		s->on[f] = true;
		weft_scenario_apply_extra(s, f);
	}
}

/* Each end may demand checksums by itself, and some do. They are what finds a changed payload: without
 * them that fault would be no fair one. */
static void demand_checksums(struct weft_scenario *s)
{
	bool own = weft_prng_below(&s->late_prng, 4) == 0;

	for (uint32_t i = 0; own && i < s->hosts; i++)
		s->host[i].srd.payload_crc = weft_prng_below(&s->late_prng, 2);
	for (uint32_t i = 0; s->on[WEFT_LOSSY_CORRUPT_PAYLOAD] && i < s->hosts; i++)
		s->host[i].srd.payload_crc = true;
}

void weft_scenario_make(struct weft_scenario *s, uint64_t seed, bool liveness, const bool *only)
{
	*s = (struct weft_scenario){ .seed = seed, .liveness = liveness, .mtu = UINT32_MAX };
	weft_prng_init(&s->prng, seed * 2 + liveness);
	weft_prng_init(&s->late_prng, ~(seed * 2 + liveness));
	weft_prng_init(&s->extra_prng, (seed * 2 + liveness) ^ EXTRA_SALT);
	s->flavour = pick_flavour(s, only);
	s->hosts = (uint8_t)PICK(s, 2, 2, 3, 4, 4, 6, 8, 16);
	if (s->flavour == WEFT_FLAVOUR_ISOLATE || s->flavour == WEFT_FLAVOUR_FAIR)
		s->hosts = (uint8_t)WEFT_MAX(s->hosts, 4u);
	if (s->flavour == WEFT_FLAVOUR_FAIR)
		s->hosts = (uint8_t)WEFT_MIN(s->hosts, 8u);
	s->qps = (uint8_t)(1 + weft_prng_below(&s->prng, WEFT_SIM_QPS));
	s->shape = (enum weft_sim_shape)weft_prng_below(&s->prng, WEFT_SHAPES);
	s->scale = PICK(s, 1, 1, 1, 2, 3);
	s->horizon = weft_sim_log_between(&s->prng, WEFT_US(500), WEFT_MS(20));
	make_network(s);
	if (s->flavour == WEFT_FLAVOUR_DARK)
		s->net.paths = (uint16_t)WEFT_MAX(s->net.paths, 16u);
	/* There and back, with the longest frames in every store-and-forward step. */
	s->rtt = 2 * s->net.latency_max + 2 * s->net.jitter_max +
		 6 * (9008u * 8u * 1000u / (s->net.nic_bps / 1000000u)) + WEFT_US(1);
	make_hosts(s);
	make_congested_paths(s);
	make_faults(s, only);
	demand_checksums(s);
	s->net.record = has_dying_hosts(s);
	weft_workload_plan(s);
	choose_extras(s, only);
	make_bounds(s);
}

void weft_scenario_fini(struct weft_scenario *s)
{
	free(s->plan);
	free(s->actions);
	s->plan = NULL;
	s->actions = NULL;
}
