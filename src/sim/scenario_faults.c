/* SPDX-License-Identifier: BSD-2-Clause */
/* How each fault is dosed: how strong, where, and when. One function per family.
 *
 * Times lie within the horizon, so that faults meet the traffic; how long they last is drawn by orders of
 * magnitude, from less than a round trip to more than the dead-peer timer. In an isolation run everything
 * happens at or towards the victim.
 *
 * C does not say in which order arguments and initialisers are evaluated. So here, as in all of the
 * simulator, no expression throws the dice twice: the same seed has to mean the same with every compiler. */
#include "sim/scenario.h"

#include "base/assert.h"

#include <stdlib.h>

static void act(struct weft_scenario *s, struct weft_sim_action a)
{
	if (s->actions_len == s->actions_cap) {
		s->actions_cap = s->actions_cap ? 2 * s->actions_cap : 64;
		s->actions = realloc(s->actions, s->actions_cap * sizeof(*s->actions));
		weft_assert(s->actions);
	}
	s->actions[s->actions_len++] = a;
}

static uint32_t below(struct weft_scenario *s, uint32_t n)
{
	return weft_prng_below(&s->prng, n);
}

static uint32_t ppm(struct weft_scenario *s, uint32_t lo, uint32_t hi)
{
	return (uint32_t)weft_sim_log_between(&s->prng, lo, hi);
}

static weft_ns span(struct weft_scenario *s, weft_ns lo, weft_ns hi)
{
	return weft_sim_log_between(&s->prng, lo, hi);
}

static weft_ns when(struct weft_scenario *s)
{
	return weft_sim_between(&s->prng, 0, s->horizon);
}

static uint8_t any_host(struct weft_scenario *s)
{
	return s->flavour == WEFT_FLAVOUR_ISOLATE ? s->victim : (uint8_t)below(s, s->hosts);
}

/* Something at one host, some time, for a time between lo and hi. */
static void act_on(struct weft_scenario *s, uint8_t kind, uint32_t fault, uint8_t host, weft_ns lo,
		   weft_ns hi)
{
	struct weft_sim_action a = {
		.at = when(s), .kind = kind, .fault = (uint8_t)fault, .host = host
	};

	a.span = span(s, lo, hi);
	act(s, a);
}

static void any_pair(struct weft_scenario *s, uint8_t *from_out, uint8_t *to_out)
{
	uint8_t a = any_host(s);
	uint8_t b = (uint8_t)((a + 1 + below(s, s->hosts - 1u)) % s->hosts);
	bool swap = below(s, 2);

	*from_out = swap ? b : a;
	*to_out = swap ? a : b;
}

static void apply_dose(struct weft_scenario *s, uint32_t fault)
{
	static const struct {
		uint32_t lo, hi;
	} range[WEFT_LOSSY_DOSES] = {
		[WEFT_LOSSY_LOSS] = { 1000, 200000 },
		[WEFT_LOSSY_BURST] = { 500, 20000 },
		[WEFT_LOSSY_LOSS_CONTROL] = { 5000, 400000 },
		[WEFT_LOSSY_LOSS_RTX] = { 50000, 500000 },
		[WEFT_LOSSY_LOSS_FIRST] = { 10000, 500000 },
		[WEFT_LOSSY_LOSS_LAST] = { 10000, 500000 },
		[WEFT_LOSSY_DUP] = { 1000, 300000 },
		[WEFT_LOSSY_DUP_LATE] = { 1000, 100000 },
		[WEFT_LOSSY_REORDER_PATH] = { 1000, 300000 },
		[WEFT_LOSSY_REORDER_CROSS] = { 1000, 300000 },
		[WEFT_LOSSY_CORRUPT_HEAD] = { 1000, 100000 },
		[WEFT_LOSSY_CORRUPT_TAG] = { 1000, 100000 },
		[WEFT_LOSSY_CORRUPT_PAYLOAD] = { 1000, 100000 },
		[WEFT_LOSSY_TRUNCATE] = { 1000, 50000 },
		[WEFT_LOSSY_OVERSIZE] = { 1000, 50000 },
		[WEFT_LOSSY_GARBAGE] = { 1000, 100000 },
		[WEFT_LOSSY_SPOOF] = { 1000, 100000 },
		[WEFT_LOSSY_REPLAY] = { 1000, 100000 },
	};

	s->net.dose[fault] = ppm(s, range[fault].lo, range[fault].hi);
	if (fault == WEFT_LOSSY_BURST) {
		s->net.burst_len = 2 + below(s, 30);
		s->net.burst_max = span(s, WEFT_US(20), WEFT_MS(5));
	}
	if (fault == WEFT_LOSSY_DUP_LATE)
		s->net.late_max = span(s, WEFT_MS(2), WEFT_MS(600));
	/* In a clean run only as much as the skew of real paths. */
	if (fault == WEFT_LOSSY_REORDER_PATH || fault == WEFT_LOSSY_REORDER_CROSS)
		s->net.reorder_max = s->flavour == WEFT_FLAVOUR_CLEAN
					     ? s->rtt / 2
					     : span(s, WEFT_US(1), WEFT_US(500));
}

static void path_pair(struct weft_scenario *s, uint32_t fault, uint8_t kind, uint32_t on,
		      uint32_t off, uint8_t from, uint8_t to, uint16_t path)
{
	struct weft_sim_action a = {
		.at = when(s),
		.kind = kind,
		.fault = (uint8_t)fault,
		.host = from,
		.peer = to,
		.path = path,
		.value = on,
	};

	act(s, a);
	if (below(s, 2))
		return;
	a.at += span(s, WEFT_US(100), WEFT_MS(50));
	a.value = off;
	act(s, a);
}

static void apply_path(struct weft_scenario *s, uint32_t fault)
{
	uint32_t pairs = s->flavour == WEFT_FLAVOUR_DARK ? 1 : 1 + below(s, 2u * s->hosts);

	while (pairs-- > 0) {
		uint32_t paths =
			s->flavour == WEFT_FLAVOUR_DARK ? 1 : 1 + below(s, s->net.paths / 2u + 1);
		uint8_t from, to;

		any_pair(s, &from, &to);
		while (paths-- > 0) {
			uint16_t path = (uint16_t)below(s, s->net.paths);

			if (fault == WEFT_LOSSY_BLACKHOLE)
				path_pair(s, fault, WEFT_ACT_PATH_DOWN, 1, 0, from, to, path);
			else if (fault == WEFT_LOSSY_GREY)
				path_pair(s, fault, WEFT_ACT_PATH_GREY, ppm(s, 10000, 500000), 0,
					  from, to, path);
			else
				path_pair(s, fault, WEFT_ACT_PATH_SLOW, 4, 1, from, to, path);
		}
	}
}

/* In the dark flavour the one path goes dark for good while a long stream keeps it in demand. */
static void apply_dark(struct weft_scenario *s)
{
	weft_ns stream = (3u << 20) * 8000u / (s->net.nic_bps / 1000000u);
	struct weft_sim_action a = {
		.at = 3 * s->rtt + weft_sim_between(&s->prng, 0, stream / 2),
		.kind = WEFT_ACT_PATH_DOWN,
		.fault = WEFT_LOSSY_BLACKHOLE,
		.host = 0,
		.peer = 1,
		.value = 1,
	};

	a.path = (uint16_t)below(s, s->net.paths);
	s->shape = WEFT_SHAPE_STREAMS;
	for (uint32_t i = 0; i < s->hosts; i++)
		s->host[i].srd.lb = WEFT_SRD_LB_MIXED;
	act(s, a);
}

static void apply_flap(struct weft_scenario *s)
{
	struct weft_sim_action a = { .kind = WEFT_ACT_PATH_DOWN, .fault = WEFT_LOSSY_FLAP };

	for (uint32_t n = 1 + below(s, 6); n > 0; n--) {
		weft_ns period = span(s, WEFT_US(20), WEFT_MS(3));

		any_pair(s, &a.host, &a.peer);
		a.path = (uint16_t)below(s, s->net.paths);
		a.at = when(s);
		for (uint32_t k = 0; k < 16; k++) {
			a.value = !(k & 1);
			act(s, a);
			a.at += period / 2 + weft_sim_between(&s->prng, 0, period);
		}
	}
}

static void apply_remap(struct weft_scenario *s)
{
	for (uint32_t n = 1 + below(s, 12); n > 0; n--) {
		struct weft_sim_action a = { .at = when(s),
					     .kind = WEFT_ACT_REMAP,
					     .fault = WEFT_LOSSY_REMAP };

		any_pair(s, &a.host, &a.peer);
		act(s, a);
	}
	/* Reshuffling shows only where paths differ. */
	s->net.latency_max = s->net.latency_min * 2;
	s->rtt += 2 * s->net.latency_min;
}

static void apply_partition(struct weft_scenario *s)
{
	for (uint32_t n = 1 + below(s, 3); n > 0; n--) {
		struct weft_sim_action a = {
			.at = when(s),
			.kind = WEFT_ACT_BLOCK,
			.fault = WEFT_LOSSY_PARTITION,
			.value = 1,
		};

		any_pair(s, &a.host, &a.peer);
		act(s, a);
		a.at += span(s, WEFT_US(50), 2 * s->host[0].srd.dead_after);
		a.value = 0;
		act(s, a);
	}
}

static void block_host(struct weft_scenario *s, uint8_t host, weft_ns at, uint32_t on)
{
	for (uint8_t peer = 0; peer < s->hosts; peer++) {
		struct weft_sim_action a = {
			.at = at,
			.kind = WEFT_ACT_BLOCK,
			.fault = WEFT_LOSSY_CLOG,
			.host = host,
			.peer = peer,
			.value = on,
		};

		if (peer == host)
			continue;
		act(s, a);
		a.host = peer;
		a.peer = host;
		act(s, a);
	}
}

/* Links stop one by one and heal in another order. */
static void apply_clog(struct weft_scenario *s)
{
	uint32_t n = s->flavour == WEFT_FLAVOUR_ISOLATE ? 1 : 1 + below(s, s->hosts);
	weft_ns step = span(s, WEFT_US(50), WEFT_MS(10));
	weft_ns at = when(s);
	uint8_t host[WEFT_SIM_HOSTS];

	for (uint32_t i = 0; i < n; i++) {
		host[i] = any_host(s);
		block_host(s, host[i], at, 1);
		at += weft_sim_between(&s->prng, 0, step);
	}
	for (uint32_t i = n; i > 0; i--) {
		uint32_t k = below(s, i);

		at += weft_sim_between(&s->prng, 0, step);
		block_host(s, host[k], at, 0);
		host[k] = host[i - 1];
	}
}

static void apply_mtu(struct weft_scenario *s)
{
	struct weft_sim_action a = { .at = when(s), .kind = WEFT_ACT_MTU, .fault = WEFT_LOSSY_MTU };
	uint32_t biggest = 0;

	for (uint32_t i = 0; i < s->hosts; i++)
		biggest = WEFT_MAX(biggest, s->host[i].srd.payload_max);
	/* Every head and the smallest payload that an engine may fall back to still pass. */
	biggest = WEFT_MAX(biggest, WEFT_SRD_HEAD_MAX + 64u);
	a.value = s->mtu = WEFT_SRD_HEAD_MAX + below(s, biggest - WEFT_SRD_HEAD_MAX);
	act(s, a);
}

/* Queues that fill: a slower shared port, or slower paths than NICs. */
static void make_congested(struct weft_scenario *s)
{
	s->net.port_bps = s->net.nic_bps;
	s->net.ecn_threshold = 8192 + below(s, 32768);
	s->net.port_buffer = 65536 + below(s, 262144);
	if (s->flavour != WEFT_FLAVOUR_ISOLATE)
		s->shape = below(s, 2) ? WEFT_SHAPE_INCAST : WEFT_SHAPE_ALL_TO_ALL;
}

static void apply_queue(struct weft_scenario *s, uint32_t fault)
{
	make_congested(s);
	switch (fault) {
	case WEFT_LOSSY_TRIM:
		s->net.trim = true;
		s->net.port_buffer = 20000 + below(s, 65536);
		break;
	case WEFT_LOSSY_ECN_OFF:
		s->net.ecn = WEFT_LOSSY_ECN_MODE_OFF;
		break;
	case WEFT_LOSSY_ECN_ALWAYS:
		s->net.ecn = WEFT_LOSSY_ECN_MODE_ALWAYS;
		break;
	case WEFT_LOSSY_ECN_BLEACH:
		s->net.ecn = WEFT_LOSSY_ECN_MODE_BLEACH;
		break;
	default:
		s->net.port_buffer = 12000 + below(s, 60000);
		break;
	}
}

static void apply_clock(struct weft_scenario *s, uint32_t fault)
{
	uint64_t wrap = (uint64_t)1 << 36; /* 2^32 units of 16 ns. */
	uint32_t n = s->flavour == WEFT_FLAVOUR_ISOLATE ? 1 : s->hosts;

	for (uint32_t i = 0; i < n; i++) {
		uint8_t host = n == 1 ? s->victim : (uint8_t)i;
		struct weft_sim_host_cfg *h = &s->host[host];

		if (fault == WEFT_FAULT_CLOCK_OFFSET)
			h->clock_offset = weft_sim_between(&s->prng, 0, (uint64_t)1 << 44);
		else if (fault == WEFT_FAULT_CLOCK_WRAP)
			h->clock_offset = (1 + below(s, 1000)) * wrap -
					  weft_sim_between(&s->prng, 0, s->horizon);
		else if (fault == WEFT_FAULT_CLOCK_DRIFT)
			h->drift_ppm = (int32_t)below(s, 1001) - 500;
		else if (below(s, 2))
			act_on(s, WEFT_ACT_CLOCK_JUMP, fault, host, WEFT_US(1), WEFT_MS(100));
	}
}

static void apply_stall(struct weft_scenario *s)
{
	for (uint32_t n = 1 + below(s, 3); n > 0; n--)
		act_on(s, WEFT_ACT_STALL, WEFT_FAULT_STALL, any_host(s), WEFT_MS(10), WEFT_MS(500));
}

static void apply_backpressure(struct weft_scenario *s)
{
	for (uint32_t n = 1 + below(s, 16); n > 0; n--)
		act_on(s, WEFT_ACT_TX_BLOCK, WEFT_FAULT_BACKPRESSURE, any_host(s), WEFT_US(5),
		       WEFT_MS(5));
}

static void apply_socket(struct weft_scenario *s, uint32_t fault)
{
	uint32_t n = s->flavour == WEFT_FLAVOUR_ISOLATE ? 1 : s->hosts;

	for (uint32_t i = 0; i < n; i++) {
		struct weft_sim_host_cfg *h = &s->host[n == 1 ? s->victim : i];

		if (fault == WEFT_FAULT_SHORT_GSO) {
			h->short_gso_ppm = ppm(s, 2000, 200000);
			continue;
		}
		if (n > 1 && below(s, 2))
			continue;
		h->poll = span(s, WEFT_US(5), WEFT_US(500));
		if (fault == WEFT_FAULT_SOCKET_FULL)
			h->socket_frames = 4 + below(s, 60);
	}
}

static void apply_qp(struct weft_scenario *s, uint32_t fault)
{
	for (uint32_t n = 1 + below(s, 3); n > 0; n--) {
		struct weft_sim_action a = {
			.at = when(s),
			.kind = fault == WEFT_FAULT_QP_GONE ? WEFT_ACT_QP_GONE : WEFT_ACT_QP_ERROR,
			.fault = (uint8_t)fault,
			.value = 1,
		};

		a.host = any_host(s);
		a.path = (uint16_t)below(s, s->qps);
		/* At once, or as soon as a message for it has come in part. */
		if (fault == WEFT_FAULT_QP_GONE)
			a.value = 1 + weft_prng_below(&s->late_prng, 2);
		act(s, a);
		if (fault == WEFT_FAULT_QP_GONE)
			continue;
		a.at += span(s, WEFT_US(20), WEFT_MS(10));
		a.value = 0;
		act(s, a);
	}
}

static void apply_recv(struct weft_scenario *s, uint32_t fault)
{
	uint32_t n = s->flavour == WEFT_FLAVOUR_ISOLATE ? 1 : s->hosts;

	s->rnr_retry_mode = below(s, 3) ? 1 : 0;
	for (uint32_t i = 0; i < n; i++) {
		uint8_t host = n == 1 ? s->victim : (uint8_t)i;
		struct weft_sim_host_cfg *h = &s->host[host];
		struct weft_sim_action a = {
			.at = span(s, WEFT_US(50), s->horizon + WEFT_MS(10)),
			.kind = WEFT_ACT_RECVS,
			.fault = (uint8_t)fault,
			.host = host,
		};

		if (n > 1 && below(s, 2))
			continue;
		if (fault == WEFT_FAULT_RNR) {
			h->recv_depth = 1 + below(s, 4);
			h->refill_max = span(s, WEFT_US(10), WEFT_MS(3));
		} else if (fault == WEFT_FAULT_SHORT_RECV) {
			h->short_recv_ppm = ppm(s, 20000, 500000);
		} else {
			h->recvs_from = below(s, 4) ? a.at : WEFT_NS_NEVER;
			if (h->recvs_from != WEFT_NS_NEVER)
				act(s, a);
		}
	}
}

static void apply_dereg(struct weft_scenario *s)
{
	if (s->shape < WEFT_SHAPE_WRITES && below(s, 2))
		s->shape = WEFT_SHAPE_WRITES;
	for (uint32_t n = 1 + below(s, 3); n > 0; n--) {
		struct weft_sim_action a = { .at = when(s),
					     .kind = WEFT_ACT_DEREG,
					     .fault = WEFT_FAULT_DEREG };

		a.host = any_host(s);
		a.path = (uint16_t)below(s, WEFT_SIM_MRS);
		act(s, a);
	}
}

static void crash(struct weft_scenario *s, uint32_t fault, uint8_t host, weft_ns at, weft_ns back)
{
	act(s, (struct weft_sim_action){
		       .at = at,
		       .kind = fault == WEFT_FAULT_CLOSE ? WEFT_ACT_CLOSE : WEFT_ACT_CRASH,
		       .fault = (uint8_t)fault,
		       .host = host,
		       .span = back,
	       });
}

static void apply_crash(struct weft_scenario *s, uint32_t fault)
{
	uint8_t host = any_host(s);
	weft_ns at = when(s);
	weft_ns back =
		span(s, WEFT_US(1), below(s, 4) ? WEFT_MS(30) : 2 * s->host[0].srd.dead_after);

	switch (fault) {
	case WEFT_FAULT_CRASH_FOREVER:
		crash(s, fault, host, at, WEFT_NS_NEVER);
		break;
	case WEFT_FAULT_CRASH_HELLO:
		s->host[host].doomed = true;
		s->host[host].doom_span = span(s, WEFT_US(1), WEFT_MS(2));
		break;
	case WEFT_FAULT_CRASH_BOTH:
		crash(s, fault, host, at, back);
		if (s->flavour != WEFT_FLAVOUR_ISOLATE)
			host = (uint8_t)((host + 1) % s->hosts);
		at += weft_sim_between(&s->prng, 0, WEFT_US(500));
		crash(s, fault, host, at, span(s, WEFT_US(1), WEFT_MS(30)));
		break;
	case WEFT_FAULT_HALF_OPEN:
		/* The gaps of this shape lie in the middle between its bursts. */
		s->shape = WEFT_SHAPE_BURSTS;
		crash(s, fault, host, s->horizon / 4 + WEFT_MS(15), WEFT_US(1 + below(s, 1000)));
		break;
	case WEFT_FAULT_CLOSE:
		crash(s, fault, host, at,
		      below(s, 3) ? span(s, WEFT_US(1), WEFT_MS(20)) : WEFT_NS_NEVER);
		break;
	default:
		for (uint32_t n = below(s, 3); n > 0; n--) {
			crash(s, fault, host, at, back);
			host = any_host(s);
			at = when(s);
		}
		crash(s, fault, host, at, back);
		break;
	}
}

static void apply_pool(struct weft_scenario *s, uint32_t fault)
{
	uint32_t n = s->flavour == WEFT_FLAVOUR_ISOLATE ? 1 : s->hosts;

	for (uint32_t i = 0; i < n; i++) {
		struct weft_srd_cfg *cfg = &s->host[n == 1 ? s->victim : i].srd;

		switch (fault) {
		case WEFT_FAULT_POOL_CONTEXTS:
			cfg->contexts_max = 1 + below(s, s->hosts);
			break;
		case WEFT_FAULT_POOL_ACTIVE:
			/* One for what it sends and one for what it gets, or rings of hosts lock up. */
			cfg->active_max = 2 + below(s, 3);
			break;
		case WEFT_FAULT_POOL_MSGS:
			cfg->msgs_max = 1 + below(s, 8);
			break;
		case WEFT_FAULT_POOL_READS:
			cfg->reads_max = 1 + below(s, 2);
			break;
		case WEFT_FAULT_POOL_RX_MSGS:
			cfg->rx_msgs_max = 1 + below(s, 3);
			break;
		default:
			cfg->packets_max = 1 + below(s, 64);
			break;
		}
	}
	if (fault == WEFT_FAULT_POOL_READS && s->flavour != WEFT_FLAVOUR_ISOLATE)
		s->shape = WEFT_SHAPE_READS;
	if (fault == WEFT_FAULT_POOL_RX_MSGS && s->flavour != WEFT_FLAVOUR_ISOLATE && below(s, 2))
		s->shape = WEFT_SHAPE_WRITES;
}

static void apply_bad_request(struct weft_scenario *s, uint32_t fault)
{
	uint32_t share = ppm(s, 20000, 300000);

	if (fault == WEFT_FAULT_BAD_KEY)
		s->bad_key_ppm = share;
	else if (fault == WEFT_FAULT_BAD_QPN)
		s->bad_qpn_ppm = share;
	else
		s->read_refused_ppm = share;
	/* In a closed loop the next READ takes the place of the refused one while its answer still comes. */
	if (fault == WEFT_FAULT_REFUSED)
		s->shape = below(s, 2) ? WEFT_SHAPE_READS : WEFT_SHAPE_STREAMS;
}

/* Half of them in a burst, as when an application gives up, the others any time. */
static void apply_cancel(struct weft_scenario *s)
{
	struct weft_prng *p = &s->extra_prng;
	uint32_t n = (uint32_t)weft_sim_log_between(p, 1, 64);
	weft_ns burst = weft_sim_between(p, 0, s->horizon);

	while (n-- > 0) {
		struct weft_sim_action a = { .kind = WEFT_ACT_CANCEL, .fault = WEFT_FAULT_CANCEL };

		a.at = burst;
		if (n % 2)
			a.at = weft_sim_between(p, 0, s->horizon);
		a.host = (uint8_t)weft_prng_below(p, s->hosts);
		if (s->flavour == WEFT_FLAVOUR_ISOLATE)
			a.host = s->victim;
		a.value = weft_prng_below(p, WEFT_CANCELS);
		a.path = (uint16_t)weft_prng_below(p, UINT16_MAX);
		act(s, a);
	}
}

static void apply_lie(struct weft_scenario *s)
{
	struct weft_prng *p = &s->extra_prng;

	for (uint32_t n = 1 + weft_prng_below(p, 6); n > 0; n--) {
		struct weft_sim_action a = { .kind = WEFT_ACT_NOBODY,
					     .fault = WEFT_FAULT_NOBODY_LIE };

		a.at = weft_sim_between(p, 0, s->horizon);
		a.host = (uint8_t)weft_prng_below(p, s->hosts);
		if (s->flavour == WEFT_FLAVOUR_ISOLATE)
			a.host = s->victim;
		a.peer = (uint8_t)((a.host + 1 + weft_prng_below(p, s->hosts - 1u)) % s->hosts);
		act(s, a);
	}
}

/* What the network says about dead hosts needs no dose: they are dead often enough. */
void weft_scenario_apply_extra(struct weft_scenario *s, uint32_t fault)
{
	if (fault == WEFT_FAULT_CANCEL)
		apply_cancel(s);
	else if (fault == WEFT_FAULT_NOBODY_LIE)
		apply_lie(s);
}

void weft_scenario_apply(struct weft_scenario *s, uint32_t fault)
{
	if (fault < WEFT_LOSSY_DOSES) {
		apply_dose(s, fault);
		return;
	}
	switch (fault) {
	case WEFT_LOSSY_BLACKHOLE:
		if (s->flavour == WEFT_FLAVOUR_DARK)
			apply_dark(s);
		else
			apply_path(s, fault);
		return;
	case WEFT_LOSSY_GREY:
	case WEFT_LOSSY_SLOW:
		apply_path(s, fault);
		return;
	case WEFT_LOSSY_FLAP:
		apply_flap(s);
		return;
	case WEFT_LOSSY_REMAP:
		apply_remap(s);
		return;
	case WEFT_LOSSY_PARTITION:
		apply_partition(s);
		return;
	case WEFT_LOSSY_CLOG:
		apply_clog(s);
		return;
	case WEFT_LOSSY_MTU:
		apply_mtu(s);
		return;
	case WEFT_LOSSY_TRIM:
	case WEFT_LOSSY_ECN_OFF:
	case WEFT_LOSSY_ECN_ALWAYS:
	case WEFT_LOSSY_ECN_BLEACH:
	case WEFT_LOSSY_PORT_OVERFLOW:
		apply_queue(s, fault);
		return;
	case WEFT_FAULT_CLOCK_OFFSET:
	case WEFT_FAULT_CLOCK_WRAP:
	case WEFT_FAULT_CLOCK_DRIFT:
	case WEFT_FAULT_CLOCK_JUMP:
		apply_clock(s, fault);
		return;
	case WEFT_FAULT_STALL:
		apply_stall(s);
		return;
	case WEFT_FAULT_BACKPRESSURE:
		apply_backpressure(s);
		return;
	case WEFT_FAULT_LATE_POLL:
	case WEFT_FAULT_SOCKET_FULL:
	case WEFT_FAULT_SHORT_GSO:
		apply_socket(s, fault);
		return;
	case WEFT_FAULT_QP_ERROR:
	case WEFT_FAULT_QP_GONE:
		apply_qp(s, fault);
		return;
	case WEFT_FAULT_RNR:
	case WEFT_FAULT_NO_WQE:
	case WEFT_FAULT_SHORT_RECV:
		apply_recv(s, fault);
		return;
	case WEFT_FAULT_DEREG:
		apply_dereg(s);
		return;
	case WEFT_FAULT_BAD_KEY:
	case WEFT_FAULT_BAD_QPN:
	case WEFT_FAULT_REFUSED:
		apply_bad_request(s, fault);
		return;
	default:
		if (fault >= WEFT_FAULT_CRASH && fault <= WEFT_FAULT_CLOSE)
			apply_crash(s, fault);
		else if (fault >= WEFT_FAULT_POOL_CONTEXTS && fault <= WEFT_FAULT_POOL_PACKETS)
			apply_pool(s, fault);
		return;
	}
}
