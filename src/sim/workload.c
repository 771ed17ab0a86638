/* SPDX-License-Identifier: BSD-2-Clause */
/* What the hosts want of each other: a list of work requests with the time, or the event, that starts
 * each. Bugs hide in the traffic as much as in the network, so shapes and sizes vary as widely as the
 * faults; but a run stays small, because many small runs find more than one large one. */
#include "sim/scenario.h"

#include "base/assert.h"

#include <stdlib.h>

static uint32_t below(struct weft_scenario *s, uint32_t n)
{
	return weft_prng_below(&s->prng, n);
}

static uint8_t other_host(struct weft_scenario *s, uint8_t host)
{
	return (uint8_t)((host + 1u + below(s, s->hosts - 1u)) % s->hosts);
}

/* Sizes at which something changes: nothing, one byte, one packet and its neighbours, the largest SEND. */
static uint32_t edge_size(struct weft_scenario *s)
{
	uint32_t payload = s->host[0].srd.payload_max;
	uint32_t sizes[] = { 0,           1,           payload - 1,           payload,
			     payload + 1, 2 * payload, WEFT_SRD_SEND_MAX - 1, WEFT_SRD_SEND_MAX };

	return WEFT_MIN(sizes[below(s, WEFT_ARRAY_SIZE(sizes))], WEFT_SRD_SEND_MAX);
}

static uint32_t send_size(struct weft_scenario *s)
{
	if (below(s, 4) == 0)
		return edge_size(s);
	if (below(s, 3) == 0)
		return below(s, WEFT_SRD_SEND_MAX + 1);
	return below(s, 256);
}

static uint32_t rdma_size(struct weft_scenario *s)
{
	if (below(s, 8) == 0)
		return edge_size(s);
	if (below(s, 64) == 0)
		return (uint32_t)weft_sim_log_between(&s->prng, 65536, 2u << 20);
	return (uint32_t)weft_sim_log_between(&s->prng, 1, 65536);
}

static uint8_t any_op(struct weft_scenario *s)
{
	static const uint8_t ops[] = {
		WEFT_SRD_SEND,  WEFT_SRD_SEND,  WEFT_SRD_SEND,      WEFT_SRD_SEND_IMM,
		WEFT_SRD_WRITE, WEFT_SRD_WRITE, WEFT_SRD_WRITE_IMM, WEFT_SRD_READ,
	};

	return ops[below(s, WEFT_ARRAY_SIZE(ops))];
}

/* Where in the target's memory: WRITEs have ranges of their own, READs may overlap. */
static void place(struct weft_scenario *s, struct weft_sim_wr_plan *w)
{
	uint32_t *used;

	if (w->op == WEFT_SRD_READ) {
		w->mr = (uint8_t)(WEFT_SIM_MRS / 2 + below(s, WEFT_SIM_MRS / 2));
		w->mr_off = below(s, WEFT_SIM_READ_REGION - w->len + 1);
		return;
	}
	w->mr = (uint8_t)below(s, WEFT_SIM_MRS / 2);
	used = &s->mr_len[w->peer][w->mr];
	w->mr_off = *used;
	*used += w->len + WEFT_SIM_GUARD;
}

static void add_flags(struct weft_scenario *s, struct weft_sim_wr_plan *w)
{
	/* In an isolation run only the victim makes mistakes, and only towards it. */
	if (s->flavour == WEFT_FLAVOUR_ISOLATE && w->host != s->victim && w->peer != s->victim)
		return;
	if (w->op >= WEFT_SRD_WRITE && weft_prng_chance(&s->prng, s->bad_key_ppm))
		w->flags |= WEFT_WR_BAD_KEY;
	else if (weft_prng_chance(&s->prng, s->bad_qpn_ppm))
		w->flags |= WEFT_WR_BAD_QPN;
	else if (w->op == WEFT_SRD_READ && w->len &&
		 weft_prng_chance(&s->prng, s->read_refused_ppm))
		w->flags |= WEFT_WR_REFUSED;
}

/* Returns its number. */
static uint32_t add(struct weft_scenario *s, weft_ns at, uint8_t host, uint8_t peer, uint8_t op,
		    uint32_t len)
{
	struct weft_sim_wr_plan *w;

	if (s->plan_len == s->plan_cap) {
		s->plan_cap = s->plan_cap ? 2 * s->plan_cap : 256;
		s->plan = realloc(s->plan, s->plan_cap * sizeof(*s->plan));
		weft_assert(s->plan);
	}
	w = &s->plan[s->plan_len];
	*w = (struct weft_sim_wr_plan){
		.at = at,
		.after = WEFT_SIM_NO_DEP,
		.host = host,
		.peer = peer,
		.op = op,
		.len = op <= WEFT_SRD_SEND_IMM ? WEFT_MIN(len, WEFT_SRD_SEND_MAX) : len,
		.rnr_retry = 7,
	};
	w->qp = (uint8_t)below(s, s->qps);
	w->peer_qp = (uint8_t)below(s, s->qps);
	if (s->rnr_retry_mode && below(s, 2))
		w->rnr_retry = (uint8_t)below(s, 7);
	if (op >= WEFT_SRD_WRITE)
		place(s, w);
	add_flags(s, w);
	s->plan_bytes += w->len;
	return s->plan_len++;
}

static void chain(struct weft_scenario *s, uint32_t wr, uint32_t after, bool delivery)
{
	s->plan[wr].after = after;
	s->plan[wr].after_delivery = delivery;
}

static uint32_t size_for(struct weft_scenario *s, uint8_t op)
{
	return op <= WEFT_SRD_SEND_IMM ? send_size(s) : rdma_size(s);
}

/* Is it enough for a small run? */
static bool is_full(const struct weft_scenario *s, uint32_t wrs, uint64_t bytes)
{
	return s->plan_len >= wrs * s->scale || s->plan_bytes >= bytes * s->scale;
}

static void plan_mixed(struct weft_scenario *s, weft_ns from, weft_ns until, uint32_t wrs)
{
	uint32_t limit = s->plan_len + wrs * s->scale;

	while (s->plan_len < limit && s->plan_bytes < (3u << 20) * s->scale) {
		uint8_t host = (uint8_t)below(s, s->hosts);
		uint8_t op = any_op(s);
		uint32_t n = below(s, 4) ? 1 : 1 + below(s, 8);
		weft_ns at = weft_sim_between(&s->prng, from, until);
		uint8_t peer = other_host(s, host);

		for (; n > 0; n--)
			add(s, at, host, peer, op, size_for(s, op));
	}
}

/* Far enough apart that contexts shrink in between, with every pair used again afterwards. */
static void plan_bursts(struct weft_scenario *s)
{
	for (uint32_t i = 0; i < 3; i++) {
		weft_ns from = i * (s->horizon / 4 + WEFT_MS(30));

		plan_mixed(s, from, from + s->horizon / 4, 60);
	}
	s->horizon = 2 * (s->horizon / 4 + WEFT_MS(30)) + s->horizon / 4;
}

static void plan_incast(struct weft_scenario *s)
{
	uint8_t sink = (uint8_t)below(s, s->hosts);
	uint32_t rounds = 1 + below(s, 4);

	for (uint32_t r = 0; r < rounds; r++) {
		weft_ns at = s->horizon * r / rounds;
		uint8_t op = any_op(s);

		for (uint8_t host = 0; host < s->hosts; host++) {
			uint32_t n = 1 + below(s, 12);

			for (; host != sink && n > 0 && !is_full(s, 400, 4u << 20); n--) {
				/* A READ pulls: the sink asks everyone for data at once. */
				if (op == WEFT_SRD_READ)
					add(s, at, sink, host, op, rdma_size(s));
				else
					add(s, at, host, sink, op, size_for(s, op));
			}
		}
	}
}

/* A long incast of equal shares, in which fairness can be measured. */
static void plan_fair(struct weft_scenario *s)
{
	uint32_t share = (6u << 20) / (s->hosts - 1u);

	for (uint8_t host = 1; host < s->hosts; host++)
		for (uint32_t left = share; left >= 32768; left -= 32768)
			add(s, 0, host, 0, WEFT_SRD_WRITE, 32768);
}

static void plan_rpc(struct weft_scenario *s)
{
	for (uint32_t chains = 4 + below(s, 28); chains > 0 && !is_full(s, 300, 2u << 20);
	     chains--) {
		uint8_t client = (uint8_t)below(s, s->hosts);
		uint8_t server = other_host(s, client);
		weft_ns at = weft_sim_between(&s->prng, 0, s->horizon);
		uint32_t wr = add(s, at, client, server, WEFT_SRD_SEND, send_size(s));

		for (uint32_t depth = below(s, 8); depth > 0; depth--) {
			bool answer = s->plan[wr].peer == server;
			uint8_t op = below(s, 4) ? WEFT_SRD_SEND : WEFT_SRD_WRITE_IMM;
			weft_ns think = below(s, 2000);
			uint32_t next = add(s, think, answer ? server : client,
					    answer ? client : server, op, size_for(s, op));

			chain(s, next, wr, true);
			wr = next;
		}
	}
}

static void plan_streams(struct weft_scenario *s)
{
	bool dark = s->flavour == WEFT_FLAVOUR_DARK;
	uint32_t pairs = dark ? 1 : 1 + below(s, 4);

	while (pairs-- > 0) {
		uint8_t host = dark ? 0 : (uint8_t)below(s, s->hosts);
		uint8_t peer = dark ? 1 : other_host(s, host);
		uint32_t window = dark ? 16 : 1 + below(s, 8);
		uint32_t last[16];
		uint8_t op = s->on[WEFT_FAULT_REFUSED] ? WEFT_SRD_READ : any_op(s);

		weft_assert(window && window <= WEFT_ARRAY_SIZE(last));

		for (uint32_t i = 0; !is_full(s, 360 - 80 * pairs, 3u << 20); i++) {
			bool back = !dark && below(s, 4) == 0;
			weft_ns think = i < window ? 0 : below(s, 1000);
			uint32_t wr = add(s, think, back ? peer : host, back ? host : peer, op,
					  dark ? 16384 : size_for(s, op));

			/* Work request i starts when i - window is done, whoever posted it. */
			if (i >= window)
				chain(s, wr, last[i % window], false);
			last[i % window] = wr;
		}
	}
}

static void plan_small(struct weft_scenario *s)
{
	while (!is_full(s, 500, 1u << 20)) {
		uint8_t host = (uint8_t)below(s, s->hosts);
		uint8_t peer = other_host(s, host);
		weft_ns at = weft_sim_between(&s->prng, 0, s->horizon);

		for (uint32_t n = 1 + below(s, 64); n > 0; n--) {
			uint8_t op = below(s, 2) ? WEFT_SRD_SEND : WEFT_SRD_SEND_IMM;

			add(s, at, host, peer, op, below(s, 65));
		}
	}
}

static void plan_rdma(struct weft_scenario *s, uint8_t op)
{
	while (!is_full(s, 120, 4u << 20)) {
		uint8_t host = (uint8_t)below(s, s->hosts);
		uint8_t peer = other_host(s, host);
		uint8_t kind = op == WEFT_SRD_WRITE && below(s, 2) ? WEFT_SRD_WRITE_IMM : op;
		weft_ns at = weft_sim_between(&s->prng, 0, s->horizon);
		bool large = below(s, 4) == 0;

		add(s, at, host, peer, kind,
		    large ? (uint32_t)weft_sim_log_between(&s->prng, 4096, 524288) : rdma_size(s));
	}
}

static void plan_all_to_all(struct weft_scenario *s)
{
	uint32_t rounds = 1 + below(s, 3);

	for (uint32_t r = 0; r < rounds; r++) {
		uint8_t op = any_op(s);

		for (uint8_t host = 0; host < s->hosts; host++)
			for (uint8_t k = 1; k < s->hosts && !is_full(s, 480, 3u << 20); k++)
				add(s, s->horizon * r / rounds, host,
				    (uint8_t)((host + k) % s->hosts), op, size_for(s, op));
	}
}

void weft_workload_plan(struct weft_scenario *s)
{
	if (s->flavour == WEFT_FLAVOUR_FAIR) {
		plan_fair(s);
		return;
	}
	switch (s->shape) {
	case WEFT_SHAPE_MIXED:
		plan_mixed(s, 0, s->horizon, 40 + below(s, 160));
		return;
	case WEFT_SHAPE_BURSTS:
		plan_bursts(s);
		return;
	case WEFT_SHAPE_INCAST:
		plan_incast(s);
		return;
	case WEFT_SHAPE_RPC:
		plan_rpc(s);
		return;
	case WEFT_SHAPE_STREAMS:
		plan_streams(s);
		return;
	case WEFT_SHAPE_SMALL:
		plan_small(s);
		return;
	case WEFT_SHAPE_WRITES:
		plan_rdma(s, WEFT_SRD_WRITE);
		return;
	case WEFT_SHAPE_READS:
		plan_rdma(s, WEFT_SRD_READ);
		return;
	case WEFT_SHAPE_ALL_TO_ALL:
	case WEFT_SHAPES:
		plan_all_to_all(s);
		return;
	}
}
